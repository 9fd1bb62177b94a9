package list

import (
	"slices"
	"sync"
	"time"

	"github.com/kubestep/kubestep/internal/contract"
)

// schedule says what a round lists next, and whether there is time for it. It is
// safe for concurrent use.
type schedule struct {
	end time.Time

	mu         sync.Mutex // guards what follows
	pace       pace
	open       []contract.Place // that earlier rounds left
	namespaces []string         // that no round has begun
	everywhere bool             // whether the request is for all namespaces
	begun      []string         // the namespaces that some round has begun, unless everywhere
	pages      int              // begun in this round
	counted    int              // pages that arrived in this round
	left       []contract.Place // for the next round
	throttled  error            // set once the API server asks for a longer wait than there is time for
}

// names are the namespaces of a request: those that it names, or all that there are.
type names struct {
	list       []string
	everywhere bool
}

// newSchedule continues where the earlier rounds stopped. It ends at end.
func newSchedule(end time.Time, request names, cursor *contract.Cursor) *schedule {
	s := &schedule{end: end, namespaces: request.list, everywhere: request.everywhere}
	if cursor == nil {
		return s
	}
	s.open, s.begun = cursor.Open, cursor.Begun
	done := func(name string) bool { return slices.Contains(cursor.Begun, name) }
	if request.everywhere {
		done = func(name string) bool { return cursor.Next == "" || name < cursor.Next }
	}
	// By name, not by place: another round may be granted other namespaces.
	s.namespaces = slices.DeleteFunc(slices.Clone(request.list), done)
	return s
}

// places is how many places there are to list.
func (s *schedule) places() int { return len(s.open) + len(s.namespaces) }

// take returns where to list next: what an earlier round left, and then the
// namespaces in their order.
func (s *schedule) take() (contract.Place, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.open) > 0 {
		at := s.open[0]
		s.open = s.open[1:]
		return at, true
	}
	if _, ok := s.limit(0); !ok || len(s.namespaces) == 0 {
		return contract.Place{}, false
	}
	at := contract.Place{Namespace: s.namespaces[0]}
	s.namespaces = s.namespaces[1:]
	if !s.everywhere {
		s.begun = append(s.begun, at.Namespace)
	}
	return at, true
}

// begin returns how many rows the next page may have, and whether there is time for it.
func (s *schedule) begin(remaining int) (limit int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if limit, ok = s.limit(remaining); ok {
		s.pages++
	}
	return limit, ok
}

// ahead is begin for a page that is requested while the one before it is read, whose answer
// took that long to begin, and has so many rows. Only a long list is worth that. The first
// page shows by the time that it took how large the next one may be.
func (s *schedule) ahead(rows, remaining int, took time.Duration) (limit int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.throttled != nil {
		return 0, false
	}
	if s.pace.largest >= firstPageRows {
		return s.limit(remaining)
	}
	if rows < firstPageRows || remaining < lastPageRows {
		return 0, false
	}
	guess := s.pace
	guess.learn(rows, rows*guessedRowBytes, took)
	return guess.limit(s.timeLeft(), remaining)
}

// limit has time for one page in every round.
func (s *schedule) limit(remaining int) (int, bool) {
	rows, enough := s.pace.limit(s.timeLeft(), remaining)
	if s.pages == 0 {
		return max(rows, minPageRows), true
	}
	return rows, enough && s.throttled == nil
}

func (s *schedule) timeLeft() time.Duration { return time.Until(s.end) }

// arrived takes a page into account.
func (s *schedule) arrived(p page, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counted++
	s.pace.learn(p.rows, p.bytes, took)
}

// leave leaves a place to the next round.
func (s *schedule) leave(at contract.Place) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left = append(s.left, at)
}

// throttle ends the round: the API server asked for a longer wait than there is time for.
func (s *schedule) throttle(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.throttled = err
}

// worthwhile reports whether a page has arrived in this round.
func (s *schedule) worthwhile() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counted > 0
}

// cursor is where the next round continues; nil if all is listed.
func (s *schedule) cursor() *contract.Cursor {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.left) == 0 && len(s.namespaces) == 0 {
		return nil
	}
	c := &contract.Cursor{Open: append([]contract.Place{}, s.left...), Begun: s.begun}
	if s.everywhere && len(s.namespaces) > 0 {
		c.Next = s.namespaces[0]
	}
	return c
}
