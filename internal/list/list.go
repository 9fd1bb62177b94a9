// Package list lists the objects of a resource as the API server prints them for kubectl:
// as Tables, page by page, several namespaces at the same time, for as long as the function
// has time. It knows no resource: whoever lists names the columns, and takes the rows.
package list

import (
	"context"
	"time"

	"github.com/kubestep/kubestep/internal/batch"
	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/kube"
)

// Resource is a resource, and the columns to read of its Tables.
type Resource struct {
	// Path is the path of its group and version in the API, such as /api/v1.
	Path string
	// Name is its plural, such as pods.
	Name    string
	Columns []Column
}

// Column is a column of a Table.
type Column struct {
	// Name is the API server's name of the column, in upper or lower case.
	Name string
	// MaxBytes bounds the text of a cell, whatever a server sends.
	MaxBytes int
	// Required refuses a Table that does not have the column.
	Required bool
}

// Request is what to list.
type Request struct {
	Resource
	// Namespaces are listed in this order; contract.AllNamespaces alone stands for all that
	// there are. A Table does not say which namespace a row is in, so each is listed alone.
	Namespaces []string
	// LabelSelector and FieldSelector are Kubernetes selectors; empty selects all.
	LabelSelector, FieldSelector string
	// Cursor is where earlier rounds stopped; nil in the first.
	Cursor *contract.Cursor
	// Check returns the permission to list the resource in a namespace, and NamespacesCheck
	// is the permission to list the namespaces: errors say how to grant them.
	Check           func(namespace string) contract.Check
	NamespacesCheck contract.Check
	// Reserve is kept of the function's time for what follows the last page.
	Reserve time.Duration
}

// Page takes the rows of a page.
type Page interface {
	// Row takes a row, which is valid until it returns.
	Row(row *Row)
	// Add counts the page, with so many rows, once it has arrived whole: a page that breaks
	// off counts for nothing. Pages of several namespaces may be added at the same time.
	Add(ctx context.Context, rows int) error
}

// Result is what a round of listing came to.
type Result struct {
	// Cursor is where the next round continues; nil once all is listed.
	Cursor *contract.Cursor
	// Expired is set if a list took longer than the cluster keeps its past: the rows of a
	// namespace are not from one moment.
	Expired bool
}

// List continues at the request's cursor, until all is listed or the deadline of ctx is near.
// It begins each page with begin.
//
// Errors: Unauthorized, Forbidden, InvalidInput for a selector that the cluster does not
// know, Throttled, CertificateNotTrusted, ClusterUnreachable, and the errors of Page.Add.
func List(ctx context.Context, conn *kube.Conn, request Request, begin func(namespace string) Page) (Result, error) {
	deadline := batch.Deadline(ctx)
	end := deadline.Add(-request.Reserve)
	r := &round{Request: request, conn: conn, begin: begin}
	// A request ends with the round, so that there is time left for the answer; but
	// every round has time for a page.
	half := deadline.Add(-time.Until(deadline) / 2)
	if half.Before(end) {
		half = end
	}
	pages, cancel := context.WithDeadline(ctx, half)
	defer cancel()
	names, err := r.namespaces(pages)
	if err != nil {
		return Result{}, err
	}
	r.schedule = newSchedule(end, names, request.Cursor)
	if err := r.list(ctx, pages); err != nil {
		return Result{}, err
	}
	return Result{Cursor: r.schedule.cursor(), Expired: r.expired.Load()}, nil
}
