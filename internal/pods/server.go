package pods

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/kube"
)

// acceptTable asks the API server for what it prints for kubectl, and
// includeObject=None for the cells alone: 180 bytes a pod instead of 20 KB.
// https://kubernetes.io/docs/reference/using-api/api-concepts/#receiving-resources-as-tables
const acceptTable = "application/json;as=Table;v=v1;g=meta.k8s.io"

// maxContinue bounds a continue token, in bytes, since those of the open places
// pass through the state: it is a resource version and a key, in base64.
// https://github.com/kubernetes/apiserver/blob/v0.37.2/pkg/storage/continue.go
const maxContinue = 2 << 10

// server is the API server, and what is asked of it.
type server struct {
	client                       *kube.Client
	clock                        Clock
	labelSelector, fieldSelector string
}

// page is what a request for pods came to.
type page struct {
	next        string // the continue token of the page that follows; empty where none does
	rows, bytes int
}

// pods reads one page of pods: of a namespace as a table, and across the cluster,
// where a table does not say which namespace a pod is of, as the pods themselves.
func (s server) pods(ctx context.Context, at contract.Place, limit int, add func(namespace string, r *row)) (page, error) {
	request := s.client.Get().AbsPath("/api/v1").NamespaceIfScoped(at.Namespace, at.Namespace != "").Resource("pods").
		Param("limit", strconv.Itoa(limit)).
		// client-go would wait and ask again up to ten times, past the function's end.
		MaxRetries(0)
	if at.Continue != "" {
		request = request.Param("continue", at.Continue)
	}
	if at.Namespace == "" {
		request = request.SetHeader("Accept", acceptProtobuf)
	} else {
		request = request.SetHeader("Accept", acceptTable).Param("includeObject", "None")
	}
	stream, err := s.selected(request).Stream(ctx)
	if err != nil {
		return page{}, err
	}
	defer func() { _ = stream.Close() }()
	var p page
	counted := &counter{Reader: stream}
	if at.Namespace == "" {
		var printed row
		p.next, err = decodeList(counted, func(pod *object) {
			p.rows++
			pod.print(&printed, s.clock.Now())
			add(string(pod.namespace), &printed)
		})
	} else {
		var meta metav1.ListMeta
		meta, err = decodeTable(counted, func(r *row) {
			p.rows++
			add(at.Namespace, r)
		})
		p.next = meta.Continue
	}
	if err != nil {
		return page{}, fmt.Errorf("read a page of pods: %w", err)
	}
	if len(p.next) > maxContinue {
		return page{}, fmt.Errorf("read a page of pods: its continue token has %d bytes, and no API server's has more than %d", len(p.next), maxContinue)
	}
	p.bytes = counted.bytes
	return p, nil
}

// namespaces reads the names of all namespaces, in their order.
func (s server) namespaces(ctx context.Context) ([]string, error) {
	stream, err := s.client.Get().AbsPath("/api/v1").Resource("namespaces").
		SetHeader("Accept", acceptTable).Param("includeObject", "None").
		MaxRetries(0).Stream(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = stream.Close() }()
	var names []string
	if _, err := decodeTable(stream, func(r *row) { names = append(names, string(r.cell(name))) }); err != nil {
		return nil, fmt.Errorf("read the namespaces: %w", err)
	}
	slices.Sort(names)
	return names, drain(stream)
}

// count is how many pods there are in the cluster, by what the API server says of
// a page of one. With a selector it counts no more than that page.
// https://kubernetes.io/docs/reference/generated/kubernetes-api/v1.34/#listmeta-v1-meta (remainingItemCount)
func (s server) count(ctx context.Context) (int, error) {
	request := s.client.Get().AbsPath("/api/v1").Resource("pods").
		SetHeader("Accept", acceptTable).Param("includeObject", "None").Param("limit", "1").
		MaxRetries(0)
	stream, err := s.selected(request).Stream(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { _ = stream.Close() }()
	pods := 0
	meta, err := decodeTable(stream, func(*row) { pods++ })
	if err != nil {
		return 0, fmt.Errorf("count the pods: %w", err)
	}
	if meta.RemainingItemCount != nil {
		pods += int(*meta.RemainingItemCount)
	}
	return pods, drain(stream)
}

// selected adds the selectors.
func (s server) selected(request *rest.Request) *rest.Request {
	for key, value := range map[string]string{"labelSelector": s.labelSelector, "fieldSelector": s.fieldSelector} {
		if value != "" {
			request = request.Param(key, value)
		}
	}
	return request
}

// drain reads an answer to its end, which the API server would otherwise log and
// count as a request that was aborted.
func drain(stream io.Reader) error {
	_, err := io.Copy(io.Discard, stream)
	return err
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
