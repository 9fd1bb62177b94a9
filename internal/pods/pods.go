// Package pods lists pods as the API server prints them. Of the pods it keeps the totals,
// and those that most need attention.
package pods

import (
	"context"
	"sync"
	"time"

	"github.com/kubestep/kubestep/internal/batch"
	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/podinventory"
	"github.com/kubestep/kubestep/internal/kube"
	"github.com/kubestep/kubestep/internal/list"
	workflowpods "github.com/kubestep/kubestep/internal/workflow/podinventory"
)

// writeReserve is kept of the function's time for the answer after the last part is
// written to S3.
const writeReserve = 6 * time.Second

// Writer takes every pod, a page at a time: lines of JSON, gzipped.
type Writer interface {
	Add(ctx context.Context, page []byte, pods int) error
	// Finish ends a round; complete reports whether it was the last.
	Finish(ctx context.Context, complete bool) (*podinventory.Archive, error)
}

// Lister lists pods.
type Lister struct {
	Kube kube.Connector
	// Archive makes a Writer for a request that asks for one.
	Archive func(podinventory.ListPods) Writer
}

// List continues at in.Pods.Cursor, until all pods are listed or the deadline of ctx
// is near; then the result holds the next cursor.
//
// Errors: Unauthorized, Forbidden, InvalidInput for a selector that the cluster
// does not know, Throttled, CertificateNotTrusted, ClusterUnreachable; and, if pods
// are written to S3, AccessDenied and AWSUnreachable.
func (l Lister) List(ctx context.Context, in podinventory.ListPods) (podinventory.Listing, error) {
	conn, err := l.Kube.Connect(in.Session)
	if err != nil {
		return podinventory.Listing{}, err
	}
	defer conn.Close()
	r := &round{found: newTally(in.Pods.Pods, in.MaxItems, newOrder(in.Namespaces))}
	request := list.Request{
		Resource:   list.Resource{Path: "/api/v1", Name: "pods", Columns: columns[:]},
		Namespaces: in.Namespaces, LabelSelector: in.LabelSelector, FieldSelector: in.FieldSelector, Cursor: in.Pods.Cursor,
		Check:           func(namespace string) contract.Check { return workflowpods.PodsCheck(namespace, conn.Group) },
		NamespacesCheck: workflowpods.NamespacesCheck(conn.Group),
		Reserve:         batch.Reserve,
	}
	if in.Output.Bucket != "" {
		r.writer = l.Archive(in)
		request.Reserve = writeReserve
	}
	result, err := list.List(ctx, conn, request, r.page)
	if err != nil {
		return podinventory.Listing{}, err
	}
	listing := podinventory.Listing{Pods: r.found.pods(), Cursor: result.Cursor}
	listing.Consistent = !result.Expired && (in.Pods.Cursor == nil || in.Pods.Consistent)
	if r.writer != nil {
		listing.Archive, err = r.writer.Finish(ctx, result.Cursor == nil)
	}
	return listing, err
}

// round is what one invocation finds, after what earlier ones found.
type round struct {
	writer Writer // nil if pods are not written

	mu    sync.Mutex // guards found, and the writer
	found *tally
}

// page is a page of a namespace's pods, with a tally of its own.
type page struct {
	round     *round
	namespace string
	counts    *tally
}

func (r *round) page(namespace string) list.Page {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := &page{r, namespace, r.found.page(namespace)}
	if r.writer != nil {
		p.counts.lines = newLines()
	}
	return p
}

// Row counts a pod.
func (p *page) Row(r *list.Row) { p.counts.row(p.namespace, row{r}) }

// Add takes in the page, and writes its pods.
func (p *page) Add(ctx context.Context, pods int) error {
	p.round.mu.Lock()
	defer p.round.mu.Unlock()
	p.round.found.add(p.counts)
	if p.round.writer == nil || pods == 0 {
		return nil
	}
	return p.round.writer.Add(ctx, p.counts.lines.close(), pods)
}
