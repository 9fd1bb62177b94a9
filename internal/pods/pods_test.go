package pods_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/podinventory"
	"github.com/kubestep/kubestep/internal/kube/kubetest"
	"github.com/kubestep/kubestep/internal/list/listtest"
	"github.com/kubestep/kubestep/internal/pods"
	workflowpods "github.com/kubestep/kubestep/internal/workflow/podinventory"
)

var row, table = listtest.Row, listtest.Table

func listPods(ctx context.Context, t *testing.T, l pods.Lister, server http.HandlerFunc, change func(*podinventory.ListPods)) (podinventory.Listing, error) {
	t.Helper()
	l.Kube = kubetest.Connector
	in := podinventory.ListPods{Session: kubetest.Session(kubetest.Serve(t, server)), Namespaces: []string{"shop"}, MaxItems: workflowpods.DefaultMaxItems}
	if change != nil {
		change(&in)
	}
	return l.List(ctx, in)
}

func TestPodsAreRowsOfTheServersTable(t *testing.T) {
	server := &listtest.API{Pages: map[string]string{"shop/pods?": table("", row("cart", "1/1", "Running"), row("pay", "0/1", "CrashLoopBackOff"))}}
	got, err := listPods(t.Context(), t, pods.Lister{}, server.ServeHTTP, func(in *podinventory.ListPods) {
		in.LabelSelector, in.FieldSelector = "app=web", "status.phase=Running"
	})

	require.NoError(t, err)
	pod := podinventory.Pod{Namespace: "shop", Name: "pay", Ready: "0/1", Status: "CrashLoopBackOff", Restarts: 3, Age: "2d", IP: "10.0.0.1", Node: "node-1", Unhealthy: true}
	cart := pod
	cart.Name, cart.Ready, cart.Status, cart.Unhealthy = "cart", "1/1", "Running", false
	assert.Equal(t, podinventory.Listing{Pods: podinventory.Pods{
		Total: 2, Unhealthy: 1, ByNamespace: map[string]int{"shop": 2}, ByStatus: map[string]int{"Running": 1, "CrashLoopBackOff": 1}, Items: []podinventory.Pod{pod, cart}, Consistent: true,
	}}, got, "the unhealthy first")

	require.Len(t, server.Requests, 1)
	r := server.Requests[0]
	assert.Equal(t, "application/json;as=Table;v=v1;g=meta.k8s.io", r.Header.Get("Accept"))
	assert.Equal(t, url.Values{"includeObject": {"None"}, "limit": {"1000"}, "labelSelector": {"app=web"}, "fieldSelector": {"status.phase=Running"}}, r.URL.Query())
}

func TestPagesAndNamespacesAddUpInTheOrderOfTheRequest(t *testing.T) {
	server := &listtest.API{Pages: map[string]string{
		"b/pods?":     table("two", row("b1", "1/1", "Running")),
		"b/pods?two":  table("", row("b2", "1/1", "Running")),
		"a/pods?":     table("", row("a1", "1/1", "Running")),
		"empty/pods?": table(""),
	}}
	got, err := listPods(t.Context(), t, pods.Lister{}, server.ServeHTTP, func(in *podinventory.ListPods) { in.Namespaces = []string{"b", "empty", "a"} })

	require.NoError(t, err)
	assert.Equal(t, map[string]int{"a": 1, "b": 2, "empty": 0}, got.ByNamespace)
	var names []string
	for _, pod := range got.Items {
		names = append(names, pod.Namespace+"/"+pod.Name)
	}
	assert.Equal(t, []string{"b/b1", "b/b2", "a/a1"}, names)
}

func TestARoundAddsToWhatEarlierOnesFound(t *testing.T) {
	server := &listtest.API{Pages: map[string]string{
		"a/pods?two":          table("", row("a2", "1/1", "Running")),
		"/api/v1/namespaces?": listtest.Namespaces("a", "b", "c"),
		"c/pods?":             table("", row("c1", "0/1", "Pending")),
	}}
	for sentence, namespaces := range map[string][]string{"of some namespaces": {"a", "b", "c"}, "of all": {contract.AllNamespaces}} {
		for _, consistent := range []bool{true, false} {
			t.Run(sentence, func(t *testing.T) {
				got, err := listPods(t.Context(), t, pods.Lister{}, server.ServeHTTP, func(in *podinventory.ListPods) {
					in.Namespaces = namespaces
					in.Pods = podinventory.Listing{
						Pods:   podinventory.Pods{Total: 2, ByNamespace: map[string]int{"a": 1, "b": 1}, ByStatus: map[string]int{"Running": 2}, Consistent: consistent},
						Cursor: &contract.Cursor{Open: []contract.Place{{Namespace: "a", Continue: "two"}}, Begun: []string{"a", "b"}, Next: "c"},
					}
				})
				require.NoError(t, err)
				assert.Nil(t, got.Cursor)
				assert.Equal(t, 4, got.Total)
				assert.Equal(t, map[string]int{"a": 2, "b": 1, "c": 1}, got.ByNamespace)
				assert.Equal(t, map[string]int{"Running": 3, "Pending": 1}, got.ByStatus)
				assert.Equal(t, consistent, got.Consistent)
			})
		}
	}
}

func TestAPodThatComesTwiceIsToldOnce(t *testing.T) {
	server := &listtest.API{Pages: map[string]string{"shop/pods?new": table("", row("a", "1/1", "Running"), row("b", "1/1", "Running"))}, Before: func(w http.ResponseWriter, r *http.Request) bool {
		switch r.URL.Query().Get("continue") {
		case "":
			_, _ = fmt.Fprint(w, table("old", row("a", "1/1", "Running")))
			return true
		case "old":
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusGone)
			_, _ = fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","metadata":{"continue":"new"},"status":"Failure","reason":"Expired","code":410}`)
			return true
		}
		return false
	}}
	got, err := listPods(t.Context(), t, pods.Lister{}, server.ServeHTTP, nil)
	require.NoError(t, err)
	assert.Equal(t, 3, got.Total)
	assert.Len(t, got.Items, 2)
	assert.False(t, got.Consistent)
}

func TestADenialSaysHowToGrantThePermission(t *testing.T) {
	for folder, namespaces := range map[string][]string{"rbac/namespace": {"shop"}, "rbac/cluster": {contract.AllNamespaces}} {
		_, err := listPods(t.Context(), t, pods.Lister{}, func(w http.ResponseWriter, _ *http.Request) {
			kubetest.Refuse(w, 403, metav1.StatusReasonForbidden, "forbidden")
		}, func(in *podinventory.ListPods) { in.Namespaces = namespaces })
		name, message := kubetest.Told(t, err)
		assert.Equal(t, "Forbidden", name)
		assert.Contains(t, message, "kubectl apply -k "+folder)
	}
}

// writer keeps the pods that are written, and whether the listing was finished.
type writer struct {
	lines []podinventory.Pod
	ended []bool
	err   error
}

func (w *writer) Add(_ context.Context, page []byte, pods int) error {
	unpacked, err := gzip.NewReader(bytes.NewReader(page))
	if err != nil {
		return err
	}
	for d := json.NewDecoder(unpacked); d.More(); pods-- {
		var pod podinventory.Pod
		if err := d.Decode(&pod); err != nil {
			return err
		}
		w.lines = append(w.lines, pod)
	}
	if pods != 0 {
		return fmt.Errorf("%d pods too few", pods)
	}
	return w.err
}

func (w *writer) Finish(_ context.Context, whole bool) (*podinventory.Archive, error) {
	w.ended = append(w.ended, whole)
	return &podinventory.Archive{Pods: len(w.lines)}, w.err
}

func TestEveryPodIsWrittenIfTheInputAsksForIt(t *testing.T) {
	pages := map[string]string{"shop/pods?": table("two", row("a\u00e9", "1/1", "Running")), "shop/pods?two": table("", row("b", "0/1", "Error"))}
	ask := func(w *writer, server http.HandlerFunc) (podinventory.Listing, error) {
		return listPods(t.Context(), t, pods.Lister{Archive: func(podinventory.ListPods) pods.Writer { return w }}, server, func(in *podinventory.ListPods) {
			in.Output.Bucket, in.MaxItems = "inventories", 1
		})
	}
	t.Run("all of them, independent of what the output holds", func(t *testing.T) {
		w := &writer{}
		got, err := ask(w, (&listtest.API{Pages: pages}).ServeHTTP)
		require.NoError(t, err)
		assert.Equal(t, &podinventory.Archive{Pods: 2}, got.Archive)
		assert.Len(t, got.Items, 1)
		pod := podinventory.Pod{Namespace: "shop", Name: "aé", Ready: "1/1", Status: "Running", Restarts: 3, Age: "2d", IP: "10.0.0.1", Node: "node-1"}
		assert.Equal(t, pod, w.lines[0])
		assert.Equal(t, "b", w.lines[1].Name)
		assert.Equal(t, []bool{true}, w.ended)
	})
	t.Run("but no token that the server has quoted", func(t *testing.T) {
		w := &writer{}
		_, err := ask(w, (&listtest.API{Pages: map[string]string{"shop/pods?": table("", row("k8s-aws-v1.aHR0cHM", "1/1", "Running"))}}).ServeHTTP)
		require.NoError(t, err)
		require.Len(t, w.lines, 1)
		assert.Equal(t, "[REDACTED]", w.lines[0].Name)
	})
	t.Run("and a list that fails half-way is not called whole", func(t *testing.T) {
		w := &writer{}
		_, err := ask(w, (&listtest.API{Pages: map[string]string{"shop/pods?": pages["shop/pods?"]}}).ServeHTTP)
		require.Error(t, err)
		assert.Len(t, w.lines, 1)
		assert.Empty(t, w.ended)
	})
	t.Run("and what cannot be written is an error", func(t *testing.T) {
		w := &writer{err: contract.Errorf(contract.AccessDenied, "no")}
		_, err := ask(w, (&listtest.API{Pages: pages}).ServeHTTP)
		var named *contract.Error
		require.ErrorAs(t, err, &named)
		assert.Equal(t, contract.AccessDenied, named.Name)
	})
}

// slowWriter writes until its context ends, and then fails.
type slowWriter struct {
	writer
	left []time.Duration // of the time, when Finish was called
}

func (w *slowWriter) Finish(ctx context.Context, complete bool) (*podinventory.Archive, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	deadline, _ := ctx.Deadline()
	w.left = append(w.left, time.Until(deadline))
	return w.writer.Finish(ctx, complete)
}

func TestAPageThatHangsLeavesTimeToWriteWhatWasListed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &listtest.API{Pages: map[string]string{"shop/pods?": table("two", row("a1", "1/1", "Running"))}, Before: func(_ http.ResponseWriter, r *http.Request) bool {
			if r.URL.Query().Get("continue") != "two" {
				return false
			}
			<-r.Context().Done()
			return true
		}}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		w := &slowWriter{}
		got, err := listPods(ctx, t, pods.Lister{Archive: func(podinventory.ListPods) pods.Writer { return w }}, server.ServeHTTP, func(in *podinventory.ListPods) { in.Output.Bucket = "inventories" })
		require.NoError(t, err)
		assert.Equal(t, 1, got.Total)
		assert.NotNil(t, got.Cursor, "the next round continues")
		require.Len(t, w.left, 1)
		assert.Equal(t, 6*time.Second, w.left[0])
	})
}

func TestIfNothingIsGrantedNothingIsListed(t *testing.T) {
	got, err := listPods(t.Context(), t, pods.Lister{}, (&listtest.API{}).ServeHTTP, func(in *podinventory.ListPods) { in.Namespaces = nil })
	require.NoError(t, err)
	assert.Equal(t, podinventory.Listing{Pods: podinventory.Pods{ByNamespace: map[string]int{}, ByStatus: map[string]int{}, Items: []podinventory.Pod{}, Consistent: true}}, got)
}

func TestTheOutputIsBounded(t *testing.T) {
	t.Parallel()
	var rows []string
	for i := range 1000 {
		status := "Running"
		if i%100 == 99 {
			status = "CrashLoopBackOff"
		}
		rows = append(rows, row(fmt.Sprintf("p%03d", i), "1/1", status))
	}
	t.Run("in items, the unhealthy first", func(t *testing.T) {
		got, err := listPods(t.Context(), t, pods.Lister{}, (&listtest.API{Pages: map[string]string{"shop/pods?": table("", rows...)}}).ServeHTTP, func(in *podinventory.ListPods) { in.MaxItems = 12 })
		require.NoError(t, err)
		assert.Equal(t, 1000, got.Total)
		assert.True(t, got.Truncated)
		require.Len(t, got.Items, 12)
		assert.Equal(t, "p099", got.Items[0].Name)
		assert.Equal(t, "p999", got.Items[9].Name)
		assert.Equal(t, "p000", got.Items[10].Name)
	})
	t.Run("in totals alone where no items are asked for", func(t *testing.T) {
		got, err := listPods(t.Context(), t, pods.Lister{}, (&listtest.API{Pages: map[string]string{"shop/pods?": table("", rows...)}}).ServeHTTP, func(in *podinventory.ListPods) { in.MaxItems = 0 })
		require.NoError(t, err)
		assert.Equal(t, 1000, got.Total)
		assert.True(t, got.Truncated)
		assert.Equal(t, []podinventory.Pod{}, got.Items)
	})
	t.Run("in bytes, whatever the server sends", func(t *testing.T) {
		long := strings.Repeat("\u0001", 500)
		for i := range rows {
			rows[i] = fmt.Sprintf(`{"cells":[%s,"1/1",%s,"0","1d",%s,%s]}`, quote(long), quote(fmt.Sprint("reason ", i)), quote(long), quote(long))
		}
		got, err := listPods(t.Context(), t, pods.Lister{}, (&listtest.API{Pages: map[string]string{"shop/pods?": table("", rows...)}}).ServeHTTP, func(in *podinventory.ListPods) { in.MaxItems = 1000 })
		require.NoError(t, err)
		encoded, err := json.Marshal(got)
		require.NoError(t, err)
		assert.Less(t, len(encoded), 64<<10)
		assert.Equal(t, 1000, got.Total)
		assert.Contains(t, got.ByStatus, podinventory.Other)
		sum := 0
		for _, n := range got.ByStatus {
			sum += n
		}
		assert.Equal(t, 1000, sum, "what is beyond is summed")
	})
}

func size(t *testing.T, v any) int {
	t.Helper()
	encoded, err := json.Marshal(v)
	require.NoError(t, err)
	return len(encoded)
}

func quote(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}
