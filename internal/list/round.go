package list

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/kubestep/kubestep/internal/access"
	"github.com/kubestep/kubestep/internal/batch"
	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/kube"
)

const (
	// maxInFlight bounds the namespaces that are listed at the same time, and with
	// them the load on the API server.
	maxInFlight = 4
	// expiredPause is how long to wait if a continue token expires again right after
	// the API server replaced it; each further time it doubles.
	expiredPause = time.Second
)

// round lists what there is time for in one invocation.
type round struct {
	Request
	conn     *kube.Conn
	begin    func(namespace string) Page
	schedule *schedule
	expired  atomic.Bool // a continue token
}

// namespaces are what to list: the request's, or all that there are.
func (r *round) namespaces(ctx context.Context) (names, error) {
	if !slices.Contains(r.Namespaces, contract.AllNamespaces) {
		return names{list: r.Namespaces}, nil
	}
	if r.Cursor != nil && r.Cursor.Next == "" {
		return names{everywhere: true}, nil // only open places are left
	}
	all, err := r.listNamespaces(ctx)
	if apierrors.IsForbidden(err) {
		return names{}, access.ForbiddenByStatus(ctx, r.conn, r.NamespacesCheck, err)
	}
	if err != nil {
		return names{}, r.conn.Explain(err, r.NamespacesCheck.String())
	}
	return names{all, true}, nil
}

// list lists until all is listed or the time is up. Requests for pages end with
// pages, and adding them with ctx.
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
		page := r.begin(at.Namespace)
		got, err := current.read(r.Resource, func(next string, remaining int) {
			if limit, ok := r.schedule.ahead(current.limit, remaining, time.Since(current.began)); ok {
				ahead = r.request(pages, contract.Place{Namespace: at.Namespace, Continue: next}, limit)
			}
		}, page.Row)
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
		r.schedule.arrived(got, time.Since(current.began))
		if err := page.Add(ctx, got.rows); err != nil {
			return err
		}
		if got.next == "" {
			return nil
		}
		at.Continue, left = got.next, got.remaining
	}
}

// recovery is how to go on after an error: at a place, now or in the next round, or
// not at all.
type recovery struct {
	at  contract.Place
	now bool
	err error
}

func (r *round) recover(ctx context.Context, at contract.Place, err error, expired *int) recovery {
	check := r.Check(at.Namespace)
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
		r.expired.Store(true)
		*expired++
		return recovery{at: at, now: *expired == 1 || r.wait(ctx, expiredPause<<min(*expired-2, 6))}
	case explained.Name == contract.Throttled:
		if r.wait(ctx, batch.RetryAfter(err)) {
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
	return d < r.schedule.timeLeft() && batch.Sleep(ctx, d) == nil
}

// continuation is the continue token that a 410 carries.
func continuation(err error) string {
	var status apierrors.APIStatus
	if errors.As(err, &status) && len(status.Status().Continue) <= maxContinueBytes {
		return status.Status().Continue
	}
	return ""
}
