// Package pods is the workflow pod-inventory: its request, and the listing of pods
// as the API server prints them, page by page, several namespaces at the same time.
// Of the pods it keeps the totals, and those that most need attention.
package pods

import (
	"context"
	"time"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/kube"
)

// unbounded is the time of a call without a deadline: that of a machine.
const unbounded = 15 * time.Minute

// Clock is time.
type Clock interface {
	Now() time.Time
	// Sleep returns after d, or with an error if ctx ends before.
	Sleep(ctx context.Context, d time.Duration) error
}

// Writer takes every pod, a page at a time: lines of JSON, gzipped.
type Writer interface {
	Add(ctx context.Context, page []byte, pods int) error
	// Finish ends a round; complete reports whether it was the last.
	Finish(ctx context.Context, complete bool) (*contract.Archive, error)
}

// Lister lists pods.
type Lister struct {
	Opener kube.Opener
	Clock  Clock
	// Archive makes a Writer for a request that asks for one.
	Archive func(contract.ListPods) Writer
}

// List continues at in.Pods.Cursor, until all pods are listed or the deadline of ctx
// is near; then the result holds the next cursor.
//
// Errors: Unauthorized, Forbidden, InvalidInput for a selector that the cluster
// does not know, Throttled, CertificateNotTrusted, ClusterUnreachable; and, if pods
// are written to S3, AccessDenied and AWSUnreachable.
func (l Lister) List(ctx context.Context, in contract.ListPods) (contract.Listing, error) {
	conn, err := kube.Connect(l.Opener, in.Session)
	if err != nil {
		return contract.Listing{}, err
	}
	defer conn.Close()
	deadline, bounded := ctx.Deadline()
	if !bounded {
		deadline = l.Clock.Now().Add(unbounded)
	}
	r := &round{conn: conn, clock: l.Clock, selectors: selectors{in.LabelSelector, in.FieldSelector}}
	end := deadline.Add(-reserve)
	if in.Output.Bucket != "" {
		r.writer = l.Archive(in)
		end = deadline.Add(-writeReserve)
	}
	// A request ends with the round, so that there is time left for the answer; but
	// every round has time for a page.
	pages, cancel := context.WithDeadline(ctx, latest(end, deadline.Add(-deadline.Sub(l.Clock.Now())/2)))
	defer cancel()
	names, err := r.namespaces(pages, in)
	if err != nil {
		return contract.Listing{}, err
	}
	r.schedule = newSchedule(l.Clock, end, names, in.Pods.Cursor)
	r.found = newTally(in.Pods.Pods, in.MaxItems, newOrder(in.Namespaces))
	r.consistent = in.Pods.Cursor == nil || in.Pods.Consistent
	if err := r.list(ctx, pages); err != nil {
		return contract.Listing{}, err
	}
	return r.listing(ctx)
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
