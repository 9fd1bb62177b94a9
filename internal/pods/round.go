package pods

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/kubestep/kubestep/internal/access"
	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/kube"
)

const (
	// maxInFlight bounds the namespaces that are listed at the same time, and with
	// them the load on the API server.
	maxInFlight = 4
	// defaultRetryAfter is how long to wait if a 429 does not say.
	defaultRetryAfter = time.Second
	// expiredPause is how long to wait if a continue token expires again right after
	// the API server replaced it; each further time it doubles.
	expiredPause = time.Second
)

// round lists what there is time for in one invocation.
type round struct {
	conn      *kube.Conn
	clock     Clock
	selectors selectors
	schedule  *schedule
	writer    Writer // nil if pods are not written

	mu         sync.Mutex // guards what follows
	found      *tally
	consistent bool
}

// namespaces are those to list: those of the request, or all that there are.
func (r *round) namespaces(ctx context.Context, in contract.ListPods) (names, error) {
	if !slices.Contains(in.Namespaces, contract.AllNamespaces) {
		return names{list: in.Namespaces}, nil
	}
	if in.Pods.Cursor != nil && in.Pods.Cursor.Next == "" {
		return names{everywhere: true}, nil // only open places are left
	}
	check := namespacesCheck(r.conn.Group)
	all, err := listNamespaces(ctx, r.conn)
	if apierrors.IsForbidden(err) {
		return names{}, access.ForbiddenByStatus(ctx, r.conn, check, err)
	}
	if err != nil {
		return names{}, r.conn.Explain(err, check.String())
	}
	return names{all, true}, nil
}

// list lists until all is listed or the time is up. Requests for pages end with
// pages, and writing them with ctx.
func (r *round) list(ctx, pages context.Context) error {
	group, pages := errgroup.WithContext(pages)
	for range min(maxInFlight, r.schedule.places()) {
		group.Go(func() error {
			for {
				at, ok := r.schedule.take()
				if !ok {
					return nil
				}
				if err := r.follow(ctx, pages, at); err != nil {
					return err
				}
			}
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if !r.schedule.worthwhile() && r.schedule.throttled != nil {
		return r.schedule.throttled // the machine can wait for longer than a function should
	}
	return nil
}

// follow lists to a namespace's end, or until the time is up. The API server works on
// a page while the one before it is read.
func (r *round) follow(ctx, pages context.Context, at contract.Place) error {
	var ahead *request
	defer func() {
		if ahead != nil {
			ahead.close()
		}
	}()
	expired := 0 // continue tokens in a row
	left := 0    // rows, as far as it is known
	for {
		current := ahead
		ahead = nil
		if current == nil {
			limit, ok := r.schedule.begin(left)
			if !ok {
				r.schedule.leave(at)
				return nil
			}
			current = r.request(pages, at, limit)
		}
		counts := r.page(at.Namespace)
		got, err := current.read(func(next string, remaining int) {
			if limit, ok := r.schedule.ahead(remaining); ok {
				ahead = r.request(pages, contract.Place{Namespace: at.Namespace, Continue: next}, limit)
			}
		}, func(pod *row) { counts.row(at.Namespace, pod) })
		if err != nil {
			if ahead != nil {
				ahead.close()
				ahead = nil
			}
			next := r.recover(pages, at, err, &expired)
			if next.err != nil {
				return next.err
			}
			if !next.now {
				r.schedule.leave(next.at)
				return nil
			}
			at = next.at
			continue
		}
		expired = 0
		if err := r.count(ctx, counts, got, r.clock.Now().Sub(current.began)); err != nil {
			return err
		}
		if got.next == "" {
			return nil
		}
		at.Continue, left = got.next, got.remaining
	}
}

// page is a tally of a page's own, which counts once the page has arrived whole.
func (r *round) page(namespace string) *tally {
	r.mu.Lock()
	defer r.mu.Unlock()
	counts := r.found.page(namespace)
	if r.writer != nil {
		counts.lines = newLines()
	}
	return counts
}

// count takes in a page that arrived whole.
func (r *round) count(ctx context.Context, counts *tally, got page, took time.Duration) error {
	r.schedule.arrived(got, took)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.found.add(counts)
	if r.writer == nil || got.rows == 0 {
		return nil
	}
	return r.writer.Add(ctx, counts.lines.close(), got.rows)
}

// recovery is how to go on after an error: at a place, now or in the next round, or
// not at all.
type recovery struct {
	at  contract.Place
	now bool
	err error
}

func (r *round) recover(ctx context.Context, at contract.Place, err error, expired *int) recovery {
	check := podsCheck(at.Namespace, r.conn.Group)
	if apierrors.IsForbidden(err) {
		return recovery{err: access.ForbiddenByStatus(ctx, r.conn, check, err)}
	}
	explained := r.conn.Explain(err, check.String())
	switch {
	case apierrors.IsResourceExpired(err) && continuation(err) != "":
		// The cluster no longer has the state in which the list began, and offers to
		// continue with the current one. client-go's pager would ask for all at once.
		// https://kubernetes.io/docs/reference/using-api/api-concepts/#retrieving-large-results-sets-in-chunks
		at.Continue = continuation(err)
		r.mu.Lock()
		r.consistent = false
		r.mu.Unlock()
		*expired++
		return recovery{at: at, now: *expired == 1 || r.wait(ctx, expiredPause<<min(*expired-2, 6))}
	case explained.Name == contract.Throttled:
		wait := defaultRetryAfter
		if seconds, said := apierrors.SuggestsClientDelay(err); said && seconds > 0 {
			wait = time.Duration(seconds) * time.Second
		}
		if r.wait(ctx, wait) {
			return recovery{at: at, now: true}
		}
		r.schedule.throttle(explained)
		return recovery{at: at}
	case errors.Is(ctx.Err(), context.DeadlineExceeded) && r.schedule.worthwhile():
		return recovery{at: at} // what the round has listed counts without this page
	}
	return recovery{err: explained}
}

// wait waits if there is time, and reports whether it did.
func (r *round) wait(ctx context.Context, d time.Duration) bool {
	return d < r.schedule.timeLeft() && r.clock.Sleep(ctx, d) == nil
}

// continuation is the continue token that a 410 carries.
func continuation(err error) string {
	var status apierrors.APIStatus
	if errors.As(err, &status) && len(status.Status().Continue) <= maxContinueBytes {
		return status.Status().Continue
	}
	return ""
}

// listing is what the rounds have found so far.
func (r *round) listing(ctx context.Context) (contract.Listing, error) {
	l := contract.Listing{Pods: r.found.pods(), Cursor: r.schedule.cursor()}
	l.Consistent = r.consistent
	if r.writer == nil {
		return l, nil
	}
	var err error
	l.Archive, err = r.writer.Finish(ctx, l.Cursor == nil)
	return l, err
}
