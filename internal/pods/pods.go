// Package pods lists pods as the API server prints them, page by page, and keeps
// of them the totals and the ones that most need a look.
package pods

import (
	"context"
	"fmt"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/kubestep/kubestep/internal/bearer"
	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/kube"
	"github.com/kubestep/kubestep/internal/token"
)

const (
	// DefaultMaxItems is how many pods the output holds at most.
	DefaultMaxItems = 100
	// pageSize is how many rows a page has. A row takes about 300 bytes, and none of
	// them is kept, so the page is bounded by what the API server holds for it.
	pageSize = 5000
	// reserve is kept of the function's time for the answer.
	reserve = time.Second

	// accept asks the API server for what it prints for kubectl, and
	// includeObject=None for the cells alone: 290 bytes a pod instead of 20 KB.
	// https://kubernetes.io/docs/reference/using-api/api-concepts/#receiving-resources-as-tables
	accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
)

// Opener opens a sealed token.
type Opener interface {
	Open(sealed string, binding token.Binding) (bearer.Token, error)
}

// Lister lists pods.
type Lister struct {
	Opener Opener
	// MaxItems is how many pods the output holds at most.
	MaxItems int
	Now      func() time.Time
}

// List goes on where in.Pods.Cursor stands, until all pods are listed or the
// time of ctx is near; then the result holds the next cursor.
//
// Errors: Unauthorized, Forbidden, InvalidInput for a selector that the cluster
// does not know, Throttled, CertificateNotTrusted, ClusterUnreachable.
func (l Lister) List(ctx context.Context, in contract.ListPods) (contract.Listing, error) {
	if len(in.Namespaces) == 0 { // all were denied, and skipped
		return newTally(in.Pods.Pods, l.MaxItems).listing(nil), nil
	}
	opened, err := l.Opener.Open(in.Token.Sealed, token.Binding{Execution: in.Execution, Endpoint: in.Cluster.Endpoint, CertificateAuthority: in.Cluster.CertificateAuthority})
	if err != nil {
		return contract.Listing{}, err
	}
	client, err := kube.NewClient(in.Cluster, opened)
	if err != nil {
		return contract.Listing{}, err
	}
	defer client.Close()
	caller := kube.Caller{Cluster: in.Cluster, Principal: in.Token.Principal}

	found := newTally(in.Pods.Pods, l.MaxItems)
	at := contract.Cursor{Namespace: in.Namespaces[0]}
	if in.Pods.Cursor != nil {
		at = *in.Pods.Cursor
	}
	var slowest time.Duration
	for first := true; ; first = false {
		started := l.Now()
		// Three times the slowest page so far: pages of one size differ that much.
		if deadline, bounded := ctx.Deadline(); !first && bounded && deadline.Sub(started) < 3*slowest+reserve {
			return found.listing(&at), nil
		}
		next, err := page(ctx, client, in, at, found)
		if apierrors.IsForbidden(err) {
			return contract.Listing{}, caller.Forbidden(ctx, client, []string{at.Namespace}, err.Error()).From(err)
		}
		if err != nil {
			return contract.Listing{}, caller.Explain(err, "list pods in namespace "+at.Namespace)
		}
		slowest = max(slowest, l.Now().Sub(started))
		if at.Continue = next; next != "" {
			continue
		}
		namespace, more := after(in.Namespaces, at.Namespace)
		if !more {
			return found.listing(nil), nil
		}
		at.Namespace = namespace
	}
}

// after is the namespace that follows in the order of the request.
func after(namespaces []string, namespace string) (string, bool) {
	for i, n := range namespaces[:len(namespaces)-1] {
		if n == namespace {
			return namespaces[i+1], true
		}
	}
	return "", false
}

// page reads one page into found and returns the continue token of the next.
func page(ctx context.Context, client *kube.Client, in contract.ListPods, at contract.Cursor, found *tally) (string, error) {
	found.enter(at.Namespace)
	request := client.Get().AbsPath("/api/v1").Namespace(at.Namespace).Resource("pods").
		SetHeader("Accept", accept).
		Param("includeObject", "None").
		Param("limit", strconv.Itoa(pageSize)).
		// client-go would wait and ask again up to ten times, past the function's end; the machine does that.
		MaxRetries(0)
	for key, value := range map[string]string{"continue": at.Continue, "labelSelector": in.LabelSelector, "fieldSelector": in.FieldSelector} {
		if value != "" {
			request = request.Param(key, value)
		}
	}
	stream, err := request.Stream(ctx)
	if err != nil {
		return "", err
	}
	defer func() { _ = stream.Close() }()
	next, err := decodeTable(stream, func(pod contract.Pod) {
		pod.Namespace = at.Namespace
		found.add(pod)
	})
	if err != nil {
		return "", fmt.Errorf("read a page of pods: %w", err)
	}
	return next, nil
}
