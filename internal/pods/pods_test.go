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
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	realclock "github.com/kubestep/kubestep/internal/clock"
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

// api serves the pages of each path, by continue token, and keeps the requests.
type api struct {
	pages    map[string]string
	requests []*http.Request
	// before is called with each request. If it returns true, it has answered.
	before func(http.ResponseWriter, *http.Request) bool
	mu     sync.Mutex
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.requests = append(a.requests, r)
	if a.before != nil && a.before(w, r) {
		return
	}
	page, ok := a.pages[strings.TrimPrefix(r.URL.Path, "/api/v1/namespaces/")+"?"+r.URL.Query().Get("continue")]
	if !ok {
		kubetest.Refuse(w, 404, "NotFound", "no page "+r.URL.String())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprint(w, page)
}

// clock advances only when the test sets it.
type clock struct {
	mu    sync.Mutex
	now   time.Time
	slept []time.Duration
}

func newClock() *clock { return &clock{now: time.Now()} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Sleep(_ context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	c.slept = append(c.slept, d)
	return nil
}

// takes makes every answer take a time.
func (c *clock) takes(d time.Duration) func(http.ResponseWriter, *http.Request) bool {
	return func(http.ResponseWriter, *http.Request) bool {
		_ = c.Sleep(context.Background(), d)
		return false
	}
}

func list(ctx context.Context, t *testing.T, l pods.Lister, server http.HandlerFunc, change func(*contract.ListPods)) (contract.Listing, error) {
	t.Helper()
	l.Opener = kubetest.Opener{}
	if l.Clock == nil {
		l.Clock = realclock.Wall{}
	}
	in := contract.ListPods{Session: kubetest.Session(kubetest.Serve(t, server)), Namespaces: []string{"shop"}, MaxItems: pods.DefaultMaxItems}
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
	pod := contract.Pod{Namespace: "shop", Name: "pay", Ready: "0/1", Status: "CrashLoopBackOff", Restarts: 3, Age: "2d", IP: "10.0.0.1", Node: "node-1", Unhealthy: true}
	cart := pod
	cart.Name, cart.Ready, cart.Status, cart.Unhealthy = "cart", "1/1", "Running", false
	assert.Equal(t, contract.Listing{Pods: contract.Pods{
		Total: 2, Unhealthy: 1, ByNamespace: map[string]int{"shop": 2}, ByStatus: map[string]int{"Running": 1, "CrashLoopBackOff": 1}, Items: []contract.Pod{pod, cart}, Consistent: true,
	}}, got, "the unhealthy first")

	require.Len(t, server.requests, 1)
	r := server.requests[0]
	assert.Equal(t, "application/json;as=Table;v=v1;g=meta.k8s.io", r.Header.Get("Accept"))
	assert.Equal(t, url.Values{"includeObject": {"None"}, "limit": {"1000"}, "labelSelector": {"app=web"}, "fieldSelector": {"status.phase=Running"}}, r.URL.Query())
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

func TestWhenTimeIsUpACursorSaysWhereToContinueAndTheRoundsAddUp(t *testing.T) {
	server := &api{pages: map[string]string{
		"a/pods?":    table("two", row("a1", "0/1", "Pending")),
		"a/pods?two": table("", row("a2", "1/1", "Running")),
		"b/pods?":    table("", row("b1", "1/1", "Running")),
		"c/pods?":    table(""),
	}}
	var in contract.Listing
	var rounds []*contract.Cursor
	for range 10 {
		clock := newClock()
		server.before = clock.takes(5 * time.Second)
		ctx, cancel := context.WithDeadline(t.Context(), clock.Now().Add(12*time.Second))
		got, err := list(ctx, t, pods.Lister{Clock: clock}, server.ServeHTTP, func(l *contract.ListPods) {
			l.Namespaces, l.Pods = []string{"a", "b", "c"}, in
		})
		cancel()
		require.NoError(t, err)
		if rounds = append(rounds, got.Cursor); got.Cursor == nil {
			in = got
			break
		}
		in = got
	}
	require.Greater(t, len(rounds), 1, "a second page of 5 s would have ended too late")
	assert.Nil(t, in.Cursor)
	assert.Equal(t, 3, in.Total)
	assert.Equal(t, map[string]int{"a": 2, "b": 1, "c": 0}, in.ByNamespace)
	assert.Equal(t, map[string]int{"Pending": 1, "Running": 2}, in.ByStatus)
	assert.True(t, in.Consistent)
	var names []string
	for _, pod := range in.Items {
		names = append(names, pod.Name)
	}
	assert.Equal(t, []string{"a1", "a2", "b1"}, names)
	assert.Len(t, server.requests, 4, "nothing is asked for twice")
}

func TestARoundContinuesAtEveryOpenPlaceAndThenAtTheNamespacesNotBegun(t *testing.T) {
	server := &api{pages: map[string]string{
		"b/pods?two": table("", row("b2", "1/1", "Running")),
		"c/pods?":    table("", row("c1", "1/1", "Running")),
		"d/pods?":    table("", row("d1", "1/1", "Running")),
	}}
	got, err := list(t.Context(), t, pods.Lister{}, server.ServeHTTP, func(in *contract.ListPods) {
		in.Namespaces = []string{"a", "b", "c", "d"}
		in.Pods = contract.Listing{
			Pods:   contract.Pods{Total: 2, ByNamespace: map[string]int{"a": 1, "b": 1}, ByStatus: map[string]int{"Running": 2}, Consistent: false},
			Cursor: &contract.Cursor{Open: []contract.Place{{Namespace: "b", Continue: "two"}, {Namespace: "c"}}, Begun: []string{"a", "b", "c"}},
		}
	})
	require.NoError(t, err)
	assert.Nil(t, got.Cursor)
	assert.Equal(t, map[string]int{"a": 1, "b": 2, "c": 1, "d": 1}, got.ByNamespace)
	assert.False(t, got.Consistent, "as an earlier round has found")
}

// writer keeps the pods that are written, and whether the listing was finished.
type writer struct {
	lines []contract.Pod
	ended []bool
	err   error
}

func (w *writer) Add(_ context.Context, page []byte, pods int) error {
	unpacked, err := gzip.NewReader(bytes.NewReader(page))
	if err != nil {
		return err
	}
	for d := json.NewDecoder(unpacked); d.More(); pods-- {
		var pod contract.Pod
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

func (w *writer) Finish(_ context.Context, whole bool) (*contract.Archive, error) {
	w.ended = append(w.ended, whole)
	return &contract.Archive{Pods: len(w.lines)}, w.err
}

func TestEveryPodIsWrittenIfTheInputAsksForIt(t *testing.T) {
	pages := map[string]string{"shop/pods?": table("two", row("a\u00e9", "1/1", "Running")), "shop/pods?two": table("", row("b", "0/1", "Error"))}
	ask := func(w *writer, server http.HandlerFunc) (contract.Listing, error) {
		return list(t.Context(), t, pods.Lister{Archive: func(contract.ListPods) pods.Writer { return w }}, server, func(in *contract.ListPods) {
			in.Output.Bucket, in.MaxItems = "inventories", 1
		})
	}
	t.Run("all of them, independent of what the output holds", func(t *testing.T) {
		w := &writer{}
		got, err := ask(w, (&api{pages: pages}).ServeHTTP)
		require.NoError(t, err)
		assert.Equal(t, &contract.Archive{Pods: 2}, got.Archive)
		assert.Len(t, got.Items, 1)
		pod := contract.Pod{Namespace: "shop", Name: "aé", Ready: "1/1", Status: "Running", Restarts: 3, Age: "2d", IP: "10.0.0.1", Node: "node-1"}
		assert.Equal(t, pod, w.lines[0])
		assert.Equal(t, "b", w.lines[1].Name)
		assert.Equal(t, []bool{true}, w.ended)
	})
	t.Run("but no token that the server has quoted", func(t *testing.T) {
		w := &writer{}
		_, err := ask(w, (&api{pages: map[string]string{"shop/pods?": table("", row("k8s-aws-v1.aHR0cHM", "1/1", "Running"))}}).ServeHTTP)
		require.NoError(t, err)
		require.Len(t, w.lines, 1)
		assert.Equal(t, "[REDACTED]", w.lines[0].Name)
	})
	t.Run("and a list that fails half-way is not called whole", func(t *testing.T) {
		w := &writer{}
		_, err := ask(w, (&api{pages: map[string]string{"shop/pods?": pages["shop/pods?"]}}).ServeHTTP)
		require.Error(t, err)
		assert.Len(t, w.lines, 1)
		assert.Empty(t, w.ended)
	})
	t.Run("and what cannot be written is an error", func(t *testing.T) {
		w := &writer{err: contract.Errorf(contract.AccessDenied, "no")}
		_, err := ask(w, (&api{pages: pages}).ServeHTTP)
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

func (w *slowWriter) Finish(ctx context.Context, complete bool) (*contract.Archive, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	deadline, _ := ctx.Deadline()
	w.left = append(w.left, time.Until(deadline))
	return w.writer.Finish(ctx, complete)
}

func TestAPageThatHangsLeavesTimeToWriteWhatWasListed(t *testing.T) {
	t.Parallel()
	server := &api{pages: map[string]string{"shop/pods?": table("two", row("a1", "1/1", "Running"))}, before: func(_ http.ResponseWriter, r *http.Request) bool {
		if r.URL.Query().Get("continue") != "two" {
			return false
		}
		<-r.Context().Done()
		return true
	}}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	w := &slowWriter{}
	got, err := list(ctx, t, pods.Lister{Archive: func(contract.ListPods) pods.Writer { return w }}, server.ServeHTTP, func(in *contract.ListPods) { in.Output.Bucket = "inventories" })
	require.NoError(t, err)
	assert.Equal(t, 1, got.Total)
	assert.NotNil(t, got.Cursor, "the next round continues")
	require.Len(t, w.left, 1)
	assert.Greater(t, w.left[0], 700*time.Millisecond, "half of the time is left to Finish")
}

func TestIfNothingIsGrantedNothingIsListed(t *testing.T) {
	got, err := list(t.Context(), t, pods.Lister{}, (&api{}).ServeHTTP, func(in *contract.ListPods) { in.Namespaces = nil })
	require.NoError(t, err)
	assert.Equal(t, contract.Listing{Pods: contract.Pods{ByNamespace: map[string]int{}, ByStatus: map[string]int{}, Items: []contract.Pod{}, Consistent: true}}, got)
}

// With "onDenied": "skip" the machine continues with what is granted now.
func TestANamespaceThatIsGrantedBetweenRoundsIsListedAndOneThatIsRevokedIsNot(t *testing.T) {
	server := &api{pages: map[string]string{"a/pods?": table("", row("a1", "1/1", "Running")), "d/pods?": table("", row("d1", "1/1", "Running"))}}
	got, err := list(t.Context(), t, pods.Lister{}, server.ServeHTTP, func(in *contract.ListPods) {
		// The first round was granted b, c and d. Since then c was revoked, and a granted.
		in.Namespaces = []string{"a", "b", "d"}
		in.Pods = contract.Listing{Pods: contract.Pods{Total: 1, ByNamespace: map[string]int{"b": 1}}, Cursor: &contract.Cursor{Begun: []string{"b"}}}
	})
	require.NoError(t, err)
	assert.Equal(t, map[string]int{"a": 1, "b": 1, "d": 1}, got.ByNamespace)
	assert.Nil(t, got.Cursor)
}

func TestAContinueTokenThatExpiredGoesOnWithTheServersNewOne(t *testing.T) {
	server := &api{
		pages: map[string]string{"shop/pods?": table("old", row("a", "1/1", "Running")), "shop/pods?new": table("", row("a", "1/1", "Running"), row("b", "1/1", "Running"))},
		before: func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Query().Get("continue") != "old" {
				return false
			}
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusGone)
			_, _ = fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","metadata":{"continue":"new"},"status":"Failure","message":"The provided continue parameter is too old","reason":"Expired","code":410}`)
			return true
		},
	}
	got, err := list(t.Context(), t, pods.Lister{}, server.ServeHTTP, nil)
	require.NoError(t, err)
	assert.False(t, got.Consistent)
	assert.Nil(t, got.Cursor)
	assert.Equal(t, 3, got.Total)
	assert.Len(t, got.Items, 2, "a pod that came twice is told once")
}

func TestAContinueTokenThatKeepsExpiringIsFollowedWithPauses(t *testing.T) {
	clock, refused := newClock(), 0
	server := &api{
		pages: map[string]string{"shop/pods?": table("old", row("a", "1/1", "Running")), "shop/pods?new": table("")},
		before: func(w http.ResponseWriter, r *http.Request) bool {
			if refused == 4 || !r.URL.Query().Has("continue") {
				return false
			}
			refused++
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusGone)
			_, _ = fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","metadata":{"continue":"new"},"status":"Failure","reason":"Expired","code":410}`)
			return true
		},
	}
	got, err := list(t.Context(), t, pods.Lister{Clock: clock}, server.ServeHTTP, nil)
	require.NoError(t, err)
	assert.Equal(t, 1, got.Total)
	assert.Equal(t, []time.Duration{time.Second, 2 * time.Second, 4 * time.Second}, clock.slept, "none after the first")
}

func TestARetryAfterIsHonoredWithinTheTimeThereIs(t *testing.T) {
	throttle := func(w http.ResponseWriter) bool {
		w.Header().Set("Retry-After", "7")
		http.Error(w, "too many requests", http.StatusTooManyRequests)
		return true
	}
	pages := map[string]string{"a/pods?": table("", row("a1", "1/1", "Running")), "b/pods?": table("", row("b1", "1/1", "Running"))}
	t.Run("by waiting as long as the server says", func(t *testing.T) {
		clock, refused := newClock(), 0
		server := &api{pages: pages, before: func(w http.ResponseWriter, _ *http.Request) bool {
			refused++
			return refused <= 2 && throttle(w)
		}}
		got, err := list(t.Context(), t, pods.Lister{Clock: clock}, server.ServeHTTP, func(in *contract.ListPods) { in.Namespaces = []string{"a"} })
		require.NoError(t, err)
		assert.Equal(t, 1, got.Total)
		assert.Equal(t, []time.Duration{7 * time.Second, 7 * time.Second}, clock.slept)
	})
	short := func(t *testing.T, clock *clock) context.Context {
		ctx, cancel := context.WithDeadline(t.Context(), clock.Now().Add(5*time.Second))
		t.Cleanup(cancel)
		return ctx
	}
	t.Run("by leaving it to the machine where nothing was listed", func(t *testing.T) {
		clock := newClock()
		server := &api{pages: pages, before: func(w http.ResponseWriter, _ *http.Request) bool { return throttle(w) }}
		_, err := list(short(t, clock), t, pods.Lister{Clock: clock}, server.ServeHTTP, func(in *contract.ListPods) { in.Namespaces = []string{"a"} })
		var named *contract.Error
		require.ErrorAs(t, err, &named)
		assert.Equal(t, contract.Throttled, named.Name)
		assert.Empty(t, clock.slept)
	})
	t.Run("by leaving it to the next round where something was", func(t *testing.T) {
		clock := newClock()
		server := &api{pages: map[string]string{"a/pods?": table("two", row("a1", "1/1", "Running"))}, before: func(w http.ResponseWriter, r *http.Request) bool {
			return r.URL.Query().Get("continue") == "two" && throttle(w)
		}}
		got, err := list(short(t, clock), t, pods.Lister{Clock: clock}, server.ServeHTTP, func(in *contract.ListPods) { in.Namespaces = []string{"a"} })
		require.NoError(t, err)
		assert.Equal(t, 1, got.Total)
		assert.Equal(t, &contract.Cursor{Open: []contract.Place{{Namespace: "a", Continue: "two"}}, Begun: []string{"a"}}, got.Cursor)
	})
}

func TestAPageThatHangsIsLeftToTheNextRoundAndCountsForNothing(t *testing.T) {
	t.Parallel()
	whole := table("", row("a2", "1/1", "Running"), row("a3", "1/1", "Running"))
	server := &api{pages: map[string]string{"shop/pods?": table("two", row("a1", "1/1", "Running"))}, before: func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Query().Get("continue") != "two" {
			return false
		}
		_, _ = fmt.Fprint(w, whole[:len(whole)-30]) // its first row is whole
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		return true
	}}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	got, err := list(ctx, t, pods.Lister{}, server.ServeHTTP, nil)
	require.NoError(t, err)
	assert.Equal(t, 1, got.Total)
	assert.Equal(t, &contract.Cursor{Open: []contract.Place{{Namespace: "shop", Continue: "two"}}, Begun: []string{"shop"}}, got.Cursor)
}

func TestPagesGrowWithWhatTheOnesBeforeTook(t *testing.T) {
	many := func(from, n int) []string {
		rows := make([]string, n)
		for i := range rows {
			rows[i] = row(fmt.Sprintf("p%05d", from+i), "1/1", "Running")
		}
		return rows
	}
	limits := func(took time.Duration, rowsOfTheFirst int, budget time.Duration) []string {
		clock := newClock()
		server := &api{pages: map[string]string{"shop/pods?": table("two", many(0, rowsOfTheFirst)...), "shop/pods?two": table("")}, before: clock.takes(took)}
		ctx, cancel := context.WithDeadline(t.Context(), clock.Now().Add(budget))
		defer cancel()
		_, err := list(ctx, t, pods.Lister{Clock: clock}, server.ServeHTTP, nil)
		require.NoError(t, err)
		var all []string
		for _, r := range server.requests {
			all = append(all, r.URL.Query().Get("limit"))
		}
		return all
	}
	assert.Equal(t, []string{"1000", "10000"}, limits(time.Millisecond, 1000, time.Minute), "as many as may be decoded at once")
	assert.Equal(t, []string{"1000", "2500"}, limits(2*time.Second, 1000, time.Minute), "as many as come in five seconds")
	assert.Equal(t, []string{"1000", "1166"}, limits(2*time.Second, 1000, 10*time.Second), "or in a third of the time that is left")
	assert.Equal(t, []string{"1000"}, limits(4*time.Second, 1000, 10*time.Second), "and none where it is short")
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
		got, err := list(t.Context(), t, pods.Lister{}, (&api{pages: map[string]string{"shop/pods?": table("", rows...)}}).ServeHTTP, func(in *contract.ListPods) { in.MaxItems = 12 })
		require.NoError(t, err)
		assert.Equal(t, 1000, got.Total)
		assert.True(t, got.Truncated)
		require.Len(t, got.Items, 12)
		assert.Equal(t, "p099", got.Items[0].Name)
		assert.Equal(t, "p999", got.Items[9].Name)
		assert.Equal(t, "p000", got.Items[10].Name)
	})
	t.Run("in totals alone where no items are asked for", func(t *testing.T) {
		got, err := list(t.Context(), t, pods.Lister{}, (&api{pages: map[string]string{"shop/pods?": table("", rows...)}}).ServeHTTP, func(in *contract.ListPods) { in.MaxItems = 0 })
		require.NoError(t, err)
		assert.Equal(t, 1000, got.Total)
		assert.True(t, got.Truncated)
		assert.Equal(t, []contract.Pod{}, got.Items)
	})
	t.Run("in bytes, whatever the server sends", func(t *testing.T) {
		long := strings.Repeat("\u0001", 500)
		for i := range rows {
			rows[i] = fmt.Sprintf(`{"cells":[%s,"1/1",%s,"0","1d",%s,%s]}`, quote(long), quote(fmt.Sprint("reason ", i)), quote(long), quote(long))
		}
		got, err := list(t.Context(), t, pods.Lister{}, (&api{pages: map[string]string{"shop/pods?": table("", rows...)}}).ServeHTTP, func(in *contract.ListPods) { in.MaxItems = 1000 })
		require.NoError(t, err)
		encoded, err := json.Marshal(got)
		require.NoError(t, err)
		assert.Less(t, len(encoded), 64<<10)
		assert.Equal(t, 1000, got.Total)
		assert.Contains(t, got.ByStatus, contract.Other)
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

func TestColumnsAreFoundByName(t *testing.T) {
	page := `{"kind":"Table","metadata":{},"columnDefinitions":[{"name":"Extra"},{"name":"readiness gates"},{"name":"Status"},{"name":"Name"},{"name":"Restarts"},{"name":"READY"}],"rows":[{"cells":["x","<none>","Running","cart",4,"1/1"]}]}`
	got, err := list(t.Context(), t, pods.Lister{}, (&api{pages: map[string]string{"shop/pods?": page}}).ServeHTTP, nil)
	require.NoError(t, err)
	assert.Equal(t, []contract.Pod{{Namespace: "shop", Name: "cart", Ready: "1/1", Status: "Running", Restarts: 4}}, got.Items)
}

func TestAnAnswerThatIsNotATableIsAnError(t *testing.T) {
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
		ctx, cancel := context.WithTimeout(t.Context(), time.Second) // too short to wait
		defer cancel()
		_, err := list(ctx, t, pods.Lister{}, func(w http.ResponseWriter, _ *http.Request) {
			kubetest.Refuse(w, code, "", "field label not supported")
		}, nil)
		var named *contract.Error
		require.ErrorAs(t, err, &named, code)
		assert.Equal(t, name, named.Name, code)
	}
}
