package pods

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/kube"
)

const (
	// atOnce bounds the namespaces that are listed at the same time, and with it what
	// is asked of the API server.
	atOnce = 4
	// oneByOne is up to how many namespaces are listed one by one where all are asked
	// for, whatever is in them: it takes a second.
	oneByOne = 1000
	// worthOne is how many pods across the cluster take as long as a namespace by
	// itself: what the two tables of all namespaces in docs/benchmarks.md differ by.
	worthOne = 4
	// defaultRetryAfter is how long to stay away where a 429 does not say.
	defaultRetryAfter = time.Second
)

// round is one invocation's share of the list.
type round struct {
	clock  Clock
	server server
	caller kube.Caller
	writer Writer    // nil where pods are not written
	end    time.Time // of the round's time

	mu         sync.Mutex // guards what follows
	places     []contract.Place
	namespaces []string
	found      *tally
	consistent bool
	pace       pace
	begun      int              // pages
	counted    int              // pages
	left       []contract.Place // for the next round
	throttled  error            // the API server's wish to be asked later, if it was for longer than there is time
}

// newRound goes on where the earlier ones stopped. It ends before the deadline.
func newRound(clock Clock, server server, caller kube.Caller, in contract.ListPods, deadline time.Time) (*round, error) {
	r := &round{
		clock: clock, server: server, caller: caller, end: deadline.Add(-reserve),
		namespaces: in.Namespaces,
		found:      newTally(in.Pods.Pods, in.MaxItems, newOrder(in.Namespaces)),
		consistent: in.Pods.Cursor == nil || in.Pods.Consistent,
	}
	cursor := in.Pods.Cursor
	if cursor == nil {
		return r, nil
	}
	r.places = cursor.Open
	if slices.Contains(in.Namespaces, contract.AllNamespaces) {
		return r, nil
	}
	begun := slices.Index(in.Namespaces, cursor.Next)
	switch {
	case cursor.Next == "":
		r.namespaces = nil
	case begun < 0:
		return nil, contract.Errorf(contract.Forbidden, "The right to list pods in namespace %s of cluster %s was taken away from %s while they were listed", cursor.Next, in.Cluster.Name, in.Token.Principal)
	default:
		r.namespaces = in.Namespaces[begun:]
	}
	return r, nil
}

// everywhere makes it a round over all namespaces: one by one where they may be
// listed and are worth it, or else across the cluster.
func (r *round) everywhere(ctx context.Context, cursor *contract.Cursor) error {
	r.namespaces = nil
	if cursor != nil && cursor.Next == "" {
		return nil // nothing but the open places is left
	}
	names, err := r.server.namespaces(ctx)
	across := cursor == nil && apierrors.IsForbidden(err)
	if err == nil && cursor == nil && len(names) > oneByOne {
		pods, err := r.server.count(ctx)
		if err != nil {
			return r.caller.Explain(err, "count the pods")
		}
		across = pods < worthOne*len(names)
	}
	switch {
	case across:
		r.places = []contract.Place{{}}
	case err != nil:
		return r.caller.Explain(err, "list namespaces")
	default:
		r.namespaces = slices.DeleteFunc(names, func(name string) bool { return cursor != nil && name < cursor.Next })
	}
	return nil
}

func (r *round) list(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for range min(atOnce, len(r.places)+len(r.namespaces)) {
		group.Go(func() error {
			for {
				at, ok := r.take()
				if !ok {
					return nil
				}
				if err := r.follow(ctx, at); err != nil {
					return err
				}
			}
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if r.counted == 0 && r.throttled != nil {
		return r.throttled // the machine can wait for longer than a function should
	}
	return nil
}

// take hands out where to list: what an earlier round left, and then the
// namespaces in their order.
func (r *round) take() (contract.Place, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.places) > 0 {
		at := r.places[0]
		r.places = r.places[1:]
		return at, true
	}
	if _, ok := r.limit(); !ok || len(r.namespaces) == 0 {
		return contract.Place{}, false
	}
	at := contract.Place{Namespace: r.namespaces[0]}
	r.namespaces = r.namespaces[1:]
	return at, true
}

// follow lists to a namespace's end, or to that of the time.
func (r *round) follow(ctx context.Context, at contract.Place) error {
	for {
		limit, counts, ok := r.begin(at)
		if !ok {
			r.leave(at)
			return nil
		}
		began := r.clock.Now()
		got, err := r.server.pods(ctx, at, limit, counts.row)
		switch {
		case err != nil:
			if at, ok, err = r.mend(ctx, at, err); err != nil {
				return err
			}
			if !ok {
				r.leave(at)
				return nil
			}
		case got.next == "":
			return r.count(ctx, counts, got, r.clock.Now().Sub(began))
		default:
			if err := r.count(ctx, counts, got, r.clock.Now().Sub(began)); err != nil {
				return err
			}
			at.Continue = got.next
		}
	}
}

// limit is how many rows the next page may have, and whether there is time for it.
// Every round has time for a page.
func (r *round) limit() (int, bool) {
	rows, enough := r.pace.limit(r.timeLeft())
	if r.begun == 0 {
		return max(rows, smallestPage), true
	}
	return rows, enough && r.throttled == nil
}

func (r *round) timeLeft() time.Duration { return r.end.Sub(r.clock.Now()) }

// begin makes ready for a page, if there is time for one.
func (r *round) begin(at contract.Place) (limit int, counts *tally, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if limit, ok = r.limit(); !ok {
		return 0, nil, false
	}
	r.begun++
	counts = r.found.page(at.Namespace)
	if r.writer != nil {
		counts.lines = newLines()
	}
	return limit, counts, true
}

// count takes in a page that arrived whole.
func (r *round) count(ctx context.Context, counts *tally, got page, took time.Duration) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counted++
	r.pace.learn(got.rows, got.bytes, took)
	r.found.add(counts)
	if r.writer == nil || got.rows == 0 {
		return nil
	}
	return r.writer.Add(ctx, counts.lines.close(), got.rows)
}

// leave leaves a place to the next round.
func (r *round) leave(at contract.Place) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.left = append(r.left, at)
}

// mend says where to go on after an error: at a place, in the next round where
// ok is false, or nowhere.
func (r *round) mend(ctx context.Context, at contract.Place, err error) (_ contract.Place, ok bool, _ error) {
	if apierrors.IsForbidden(err) {
		where := cmp.Or(at.Namespace, contract.AllNamespaces)
		return at, false, r.caller.Forbidden(ctx, r.server.client, []string{where}, err.Error()).From(err)
	}
	explained := r.caller.Explain(err, doing(at.Namespace))
	switch {
	case apierrors.IsResourceExpired(err) && continuation(err) != "":
		// The cluster no longer has the state that the list began with, and offers to go
		// on with the one it has. client-go's pager would ask for all at once instead.
		// https://kubernetes.io/docs/reference/using-api/api-concepts/#retrieving-large-results-sets-in-chunks
		at.Continue = continuation(err)
		r.mu.Lock()
		r.consistent = false
		r.mu.Unlock()
		return at, true, nil
	case explained.Name == contract.Throttled:
		wait := defaultRetryAfter
		if seconds, said := apierrors.SuggestsClientDelay(err); said && seconds > 0 {
			wait = time.Duration(seconds) * time.Second
		}
		if wait < r.timeLeft() && r.clock.Sleep(ctx, wait) == nil {
			return at, true, nil
		}
		r.mu.Lock()
		r.throttled = explained
		r.mu.Unlock()
		return at, false, nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.counted > 0 { // the round is worth something without this page
			return at, false, nil
		}
	}
	return at, false, explained
}

// continuation is the token that a 410 carries.
func continuation(err error) string {
	var status apierrors.APIStatus
	if errors.As(err, &status) && len(status.Status().Continue) <= maxContinue {
		return status.Status().Continue
	}
	return ""
}

func doing(namespace string) string {
	if namespace == "" {
		return "list pods in all namespaces"
	}
	return fmt.Sprintf("list pods in namespace %s", namespace)
}

// listing is what the rounds have come to.
func (r *round) listing(ctx context.Context) (contract.Listing, error) {
	l := contract.Listing{Pods: r.found.pods()}
	l.Consistent = r.consistent
	if len(r.left) > 0 || len(r.namespaces) > 0 {
		l.Cursor = &contract.Cursor{Open: append([]contract.Place{}, r.left...)}
		if len(r.namespaces) > 0 {
			l.Cursor.Next = r.namespaces[0]
		}
	}
	if r.writer == nil {
		return l, nil
	}
	var err error
	l.Archive, err = r.writer.Finish(ctx, l.Cursor == nil)
	return l, err
}
