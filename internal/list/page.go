package list

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/kube"
)

// acceptTable asks the API server for what it prints for kubectl, and
// includeObject=None for the cells alone: 180 bytes a pod instead of 20 KB.
// https://kubernetes.io/docs/reference/using-api/api-concepts/#receiving-resources-as-tables
const acceptTable = "application/json;as=Table;v=v1;g=meta.k8s.io"

// maxContinueBytes bounds a continue token, since the tokens of the open places pass
// through the state: it is a resource version and a key, in base64.
// https://github.com/kubernetes/apiserver/blob/v0.37.2/pkg/storage/continue.go
const maxContinueBytes = 2 << 10

// page is what a request for a page returned.
type page struct {
	next        string // the continue token of the next page; empty after the last
	remaining   int    // rows after this page; 0 if the API server does not say
	rows, bytes int
}

// request is a request for a page of a namespace, which the API server works on
// meanwhile.
type request struct {
	began  time.Time
	limit  int // rows
	cancel context.CancelFunc
	done   chan struct{} // closed once what follows is set
	answer io.ReadCloser
	err    error
}

func (r *round) request(ctx context.Context, at contract.Place, limit int) *request {
	ctx, cancel := context.WithCancel(ctx)
	q := &request{began: time.Now(), limit: limit, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(q.done)
		get := r.table(r.Resource).Namespace(at.Namespace).Param("limit", strconv.Itoa(limit))
		for key, value := range map[string]string{"continue": at.Continue, "labelSelector": r.LabelSelector, "fieldSelector": r.FieldSelector} {
			if value != "" {
				get = get.Param(key, value)
			}
		}
		q.answer, q.err = get.Stream(kube.Streamed(ctx, kube.PageBytes))
	}()
	return q
}

// close ends the request, whether it was read or not.
func (q *request) close() {
	q.cancel()
	<-q.done
	if q.answer != nil {
		_ = q.answer.Close()
	}
}

// read reads the page to its end, and closes the request. It calls more, if the list
// goes on, before the first row.
func (q *request) read(of Resource, more func(next string, remaining int), add func(*Row)) (page, error) {
	defer q.close()
	<-q.done
	if q.err != nil {
		return page{}, q.err
	}
	var p page
	counted := &counter{Reader: q.answer}
	meta, err := decodeTable(counted, of.Columns, func(meta metav1.ListMeta) {
		if meta.Continue != "" && len(meta.Continue) <= maxContinueBytes {
			more(meta.Continue, remaining(meta))
		}
	}, func(r *Row) {
		p.rows++
		add(r)
	})
	if err != nil {
		return page{}, fmt.Errorf("read a page of %s: %w", of.Name, err)
	}
	if len(meta.Continue) > maxContinueBytes {
		return page{}, kube.BadAnswer("its continue token has %d bytes, and an API server's at most %d", len(meta.Continue), maxContinueBytes)
	}
	p.next, p.remaining, p.bytes = meta.Continue, remaining(meta), counted.bytes
	return p, nil
}

// remaining is how many rows come after the page, which the API server does not say if
// there are selectors.
func remaining(meta metav1.ListMeta) int {
	if meta.RemainingItemCount == nil {
		return 0
	}
	return int(*meta.RemainingItemCount)
}

// namespaces are the namespaces of a cluster.
var namespaces = Resource{Path: "/api/v1", Name: "namespaces", Columns: []Column{{Name: "Name", MaxBytes: 253, Required: true}}}

// listNamespaces reads the names of all namespaces, in order.
func (r *round) listNamespaces(ctx context.Context) ([]string, error) {
	stream, err := r.table(namespaces).Stream(kube.Streamed(ctx, kube.PageBytes))
	if err != nil {
		return nil, err
	}
	defer func() { _ = stream.Close() }()
	var names []string
	if err := Decode(stream, namespaces.Columns, func(r *Row) { names = append(names, string(r.Cell(0))) }); err != nil {
		return nil, fmt.Errorf("read the namespaces: %w", err)
	}
	slices.Sort(names)
	// The API server would log and count an answer that is not read to its end as a
	// request that was aborted.
	_, err = io.Copy(io.Discard, stream)
	return names, err
}

// table begins a request for a Table, without the objects of its rows.
func (r *round) table(of Resource) *rest.Request {
	return r.conn.Get().AbsPath(of.Path).Resource(of.Name).SetHeader("Accept", acceptTable).Param("includeObject", "None").
		// client-go would wait and try again up to ten times, past the function's end.
		MaxRetries(0)
}

// counter counts what is read.
type counter struct {
	io.Reader
	bytes int
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.bytes += n
	return n, err
}
