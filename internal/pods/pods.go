// Package pods lists pods as the API server prints them, page by page, several
// namespaces at once, and keeps of them the totals and the ones that most need a
// look.
package pods

import (
	"context"
	"slices"
	"time"

	"github.com/kubestep/kubestep/internal/bearer"
	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/kube"
	"github.com/kubestep/kubestep/internal/token"
)

// unbounded is the time of a call that nothing bounds: that of a machine.
const unbounded = 15 * time.Minute

// Opener opens a sealed token.
type Opener interface {
	Open(sealed string, binding token.Binding) (bearer.Token, error)
}

// Clock is time.
type Clock interface {
	Now() time.Time
	// Sleep returns after d, or with an error when ctx ends before.
	Sleep(ctx context.Context, d time.Duration) error
}

// Writer takes every pod, a page at a time: lines of JSON, gzipped.
type Writer interface {
	Add(ctx context.Context, page []byte, pods int) error
	// Finish ends a round; whole says that it was the last.
	Finish(ctx context.Context, whole bool) (*contract.Archive, error)
}

// Lister lists pods.
type Lister struct {
	Opener Opener
	Clock  Clock
	// Archive makes a Writer for a request that asks for one.
	Archive func(contract.ListPods) Writer
}

// List goes on where in.Pods.Cursor stands, until all pods are listed or the
// time of ctx is near; then the result holds the next cursor.
//
// Errors: Unauthorized, Forbidden, InvalidInput for a selector that the cluster
// does not know, Throttled, CertificateNotTrusted, ClusterUnreachable.
func (l Lister) List(ctx context.Context, in contract.ListPods) (contract.Listing, error) {
	opened, err := l.Opener.Open(in.Token.Sealed, token.Binding{Execution: in.Execution, Endpoint: in.Cluster.Endpoint, CertificateAuthority: in.Cluster.CertificateAuthority})
	if err != nil {
		return contract.Listing{}, err
	}
	client, err := kube.NewClient(in.Cluster, opened)
	if err != nil {
		return contract.Listing{}, err
	}
	defer client.Close()
	deadline, bounded := ctx.Deadline()
	if !bounded {
		deadline = l.Clock.Now().Add(unbounded)
	}
	s := server{client, l.Clock, in.LabelSelector, in.FieldSelector}
	caller := kube.Caller{Cluster: in.Cluster, Principal: in.Token.Principal}
	r, err := newRound(l.Clock, s, caller, in, deadline)
	if err != nil {
		return contract.Listing{}, err
	}
	if in.Output.Bucket != "" {
		r.writer = l.Archive(in)
	}
	if slices.Contains(in.Namespaces, contract.AllNamespaces) {
		if err := r.everywhere(ctx, in.Pods.Cursor); err != nil {
			return contract.Listing{}, err
		}
	}
	if err := r.list(ctx); err != nil {
		return contract.Listing{}, err
	}
	return r.listing(ctx)
}

// WallClock is the computer's own.
type WallClock struct{}

// Now is the time.
func (WallClock) Now() time.Time { return time.Now() }

// Sleep waits.
func (WallClock) Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
