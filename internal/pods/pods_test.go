package pods_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/kube/kubetest"
	"github.com/kubestep/kubestep/internal/pods"
)

// header are the column definitions of kube-apiserver 1.37 for pods, by name.
const header = `[{"name":"Name"},{"name":"Ready"},{"name":"Status"},{"name":"Restarts"},{"name":"Age"},{"name":"IP"},{"name":"Node"},{"name":"Nominated Node"},{"name":"Readiness Gates"}]`

func row(name, ready, status string) string {
	return fmt.Sprintf(`{"cells":[%q,%q,%q,"3 (5m ago)","2d","10.0.0.1","node-1","<none>","<none>"],"object":null}`, name, ready, status)
}

func table(next string, rows ...string) string {
	return fmt.Sprintf(`{"kind":"Table","apiVersion":"meta.k8s.io/v1","metadata":{"resourceVersion":"1","continue":%q},"columnDefinitions":%s,"rows":[%s]}`, next, header, strings.Join(rows, ","))
}

// api answers each path with its pages, by continue token, and keeps the requests.
type api struct {
	pages    map[string]string
	requests []*http.Request
	before   func()
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.requests = append(a.requests, r)
	if a.before != nil {
		a.before()
	}
	page, ok := a.pages[strings.TrimPrefix(r.URL.Path, "/api/v1/namespaces/")+"?"+r.URL.Query().Get("continue")]
	if !ok {
		kubetest.Refuse(w, 404, "NotFound", "no page "+r.URL.String())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprint(w, page)
}

func list(ctx context.Context, t *testing.T, l pods.Lister, server http.HandlerFunc, change func(*contract.ListPods)) (contract.Listing, error) {
	t.Helper()
	l.Opener = kubetest.Opener{}
	if l.MaxItems == 0 {
		l.MaxItems = pods.DefaultMaxItems
	}
	if l.Now == nil {
		l.Now = time.Now
	}
	in := contract.ListPods{Execution: "e", Cluster: kubetest.Serve(t, server), Token: contract.Token{Sealed: "s", Principal: "arn:aws:iam::111122223333:role/reader"}, Namespaces: []string{"shop"}}
	if change != nil {
		change(&in)
	}
	return l.List(ctx, in)
}

func TestPodsAreRowsOfTheServersTable(t *testing.T) {
	server := &api{pages: map[string]string{"shop/pods?": table("", row("cart", "1/1", "Running"), row("pay", "0/1", "CrashLoopBackOff"))}}
	got, err := list(t.Context(), t, pods.Lister{}, server.ServeHTTP, func(in *contract.ListPods) {
		in.LabelSelector, in.FieldSelector = "app=web", "status.phase=Running"
	})

	require.NoError(t, err)
	pod := contract.Pod{Namespace: "shop", Name: "pay", Ready: "0/1", Status: "CrashLoopBackOff", Restarts: 3, Age: "2d", IP: "10.0.0.1", Node: "node-1"}
	cart := pod
	cart.Name, cart.Ready, cart.Status = "cart", "1/1", "Running"
	assert.Equal(t, contract.Listing{Pods: contract.Pods{
		Total: 2, ByNamespace: map[string]int{"shop": 2}, ByStatus: map[string]int{"Running": 1, "CrashLoopBackOff": 1}, Items: []contract.Pod{pod, cart},
	}}, got, "the unhealthy first")

	require.Len(t, server.requests, 1)
	r := server.requests[0]
	assert.Equal(t, "application/json;as=Table;v=v1;g=meta.k8s.io", r.Header.Get("Accept"))
	assert.Equal(t, url.Values{"includeObject": {"None"}, "limit": {"5000"}, "labelSelector": {"app=web"}, "fieldSelector": {"status.phase=Running"}}, r.URL.Query())
}

func TestPagesAndNamespacesAddUpInTheOrderOfTheRequest(t *testing.T) {
	server := &api{pages: map[string]string{
		"b/pods?":     table("two", row("b1", "1/1", "Running")),
		"b/pods?two":  table("", row("b2", "1/1", "Running")),
		"a/pods?":     table("", row("a1", "1/1", "Running")),
		"empty/pods?": table(""),
	}}
	got, err := list(t.Context(), t, pods.Lister{}, server.ServeHTTP, func(in *contract.ListPods) { in.Namespaces = []string{"b", "empty", "a"} })

	require.NoError(t, err)
	assert.Equal(t, map[string]int{"a": 1, "b": 2, "empty": 0}, got.ByNamespace)
	var names []string
	for _, pod := range got.Items {
		names = append(names, pod.Namespace+"/"+pod.Name)
	}
	assert.Equal(t, []string{"b/b1", "b/b2", "a/a1"}, names)
}

func TestWhereTimeIsUpACursorSaysWhereToGoOn(t *testing.T) {
	clock := time.Now()
	server := &api{
		pages:  map[string]string{"a/pods?": table("two", row("a1", "0/1", "Pending")), "a/pods?two": table("", row("a2", "1/1", "Running")), "b/pods?": table("", row("b1", "1/1", "Running"))},
		before: func() { clock = clock.Add(5 * time.Second) },
	}
	lister := pods.Lister{Now: func() time.Time { return clock }}
	ctx, cancel := context.WithDeadline(t.Context(), clock.Add(20*time.Second))
	defer cancel()
	both := func(in *contract.ListPods) { in.Namespaces = []string{"a", "b"} }

	first, err := list(ctx, t, lister, server.ServeHTTP, both)
	require.NoError(t, err)
	assert.Equal(t, &contract.Cursor{Namespace: "a", Continue: "two"}, first.Cursor, "a third page of 5 s would have ended too late")
	assert.Equal(t, 1, first.Total)

	second, err := list(t.Context(), t, lister, server.ServeHTTP, func(in *contract.ListPods) { both(in); in.Pods = first })
	require.NoError(t, err)
	assert.Nil(t, second.Cursor)
	assert.Equal(t, 3, second.Total)
	assert.Equal(t, map[string]int{"a": 2, "b": 1}, second.ByNamespace)
	assert.Equal(t, map[string]int{"Pending": 1, "Running": 2}, second.ByStatus)
	assert.Equal(t, "a1", second.Items[0].Name)
	assert.Len(t, second.Items, 3)
}

func TestTheOutputIsBounded(t *testing.T) {
	var rows []string
	for i := range 1000 {
		status := "Running"
		if i%100 == 99 {
			status = "CrashLoopBackOff"
		}
		rows = append(rows, row(fmt.Sprintf("p%03d", i), "1/1", status))
	}
	t.Run("in items, the unhealthy first", func(t *testing.T) {
		got, err := list(t.Context(), t, pods.Lister{MaxItems: 12}, (&api{pages: map[string]string{"shop/pods?": table("", rows...)}}).ServeHTTP, nil)
		require.NoError(t, err)
		assert.Equal(t, 1000, got.Total)
		assert.True(t, got.Truncated)
		require.Len(t, got.Items, 12)
		assert.Equal(t, "p099", got.Items[0].Name)
		assert.Equal(t, "p999", got.Items[9].Name)
		assert.Equal(t, "p000", got.Items[10].Name)
	})
	t.Run("in bytes, whatever the server sends", func(t *testing.T) {
		long := strings.Repeat("\u0001", 500)
		for i := range rows {
			rows[i] = fmt.Sprintf(`{"cells":[%s,"1/1",%s,"0","1d",%s,%s]}`, quote(long), quote(fmt.Sprint("reason ", i)), quote(long), quote(long))
		}
		got, err := list(t.Context(), t, pods.Lister{MaxItems: 1000}, (&api{pages: map[string]string{"shop/pods?": table("", rows...)}}).ServeHTTP, nil)
		require.NoError(t, err)
		encoded, err := json.Marshal(got)
		require.NoError(t, err)
		assert.Less(t, len(encoded), 64<<10)
		assert.Equal(t, 1000, got.Total)
		assert.LessOrEqual(t, len(got.ByStatus), 65)
		sum := 0
		for _, n := range got.ByStatus {
			sum += n
		}
		assert.Equal(t, 1000, sum, "what is beyond is summed")
	})
}

func quote(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

func TestColumnsAreFoundByName(t *testing.T) {
	page := `{"kind":"Table","metadata":{},"columnDefinitions":[{"name":"Extra"},{"name":"Status"},{"name":"Name"},{"name":"Restarts"}],"rows":[{"cells":["x","Running","cart",4]}]}`
	got, err := list(t.Context(), t, pods.Lister{}, (&api{pages: map[string]string{"shop/pods?": page}}).ServeHTTP, nil)
	require.NoError(t, err)
	assert.Equal(t, []contract.Pod{{Namespace: "shop", Name: "cart", Status: "Running", Restarts: 4}}, got.Items)
}

func TestAnAnswerThatIsNoTableIsAnError(t *testing.T) {
	whole := table("", row("cart", "1/1", "Running"))
	for sentence, page := range map[string]string{
		"cut in its rows":               whole[:len(whole)-40],
		"cut before its end":            whole[:len(whole)-1],
		"empty":                         "",
		"a PodList":                     `{"kind":"PodList","apiVersion":"v1","metadata":{},"items":[]}`,
		"an array":                      `[]`,
		"without the columns it needs":  `{"kind":"Table","metadata":{},"columnDefinitions":[{"name":"Age"}],"rows":[]}`,
		"with rows before its columns":  `{"kind":"Table","metadata":{},"rows":[{"cells":["a"]}],"columnDefinitions":` + header + `}`,
		"with rows that are an object":  `{"kind":"Table","metadata":{},"columnDefinitions":` + header + `,"rows":{}}`,
		"with cells that are an object": `{"kind":"Table","metadata":{},"columnDefinitions":` + header + `,"rows":[{"cells":{}}]}`,
	} {
		t.Run(sentence, func(t *testing.T) {
			_, err := list(t.Context(), t, pods.Lister{}, (&api{pages: map[string]string{"shop/pods?": page}}).ServeHTTP, nil)
			var named *contract.Error
			require.ErrorAs(t, err, &named)
			assert.Equal(t, contract.ClusterUnreachable, named.Name)
		})
	}
}

func TestARefusalHasAName(t *testing.T) {
	for code, name := range map[int32]contract.ErrorName{400: contract.InvalidInput, 401: contract.Unauthorized, 403: contract.Forbidden, 429: contract.Throttled, 503: contract.ClusterUnreachable} {
		_, err := list(t.Context(), t, pods.Lister{}, func(w http.ResponseWriter, _ *http.Request) {
			kubetest.Refuse(w, code, "", "field label not supported")
		}, nil)
		var named *contract.Error
		require.ErrorAs(t, err, &named, code)
		assert.Equal(t, name, named.Name, code)
	}
}
