package list_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/batch"
	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/kube/kubetest"
	"github.com/kubestep/kubestep/internal/list"
	"github.com/kubestep/kubestep/internal/list/listtest"
)

var row, table = listtest.Row, listtest.Table

// takes makes every answer take a time.
func takes(d time.Duration) func(http.ResponseWriter, *http.Request) bool {
	return func(http.ResponseWriter, *http.Request) bool {
		time.Sleep(d)
		return false
	}
}

// listed is what one round found.
type listed struct {
	list.Result
	mu   sync.Mutex          // guards rows
	rows map[string][]string // by namespace: the cells, with spaces between
}

// page is a page of a namespace.
type page struct {
	*listed
	namespace string
	rows      []string
}

func (p *page) Row(r *list.Row) {
	p.rows = append(p.rows, fmt.Sprintf("%s %s %s %s", r.Cell(0), r.Cell(1), r.Cell(2), r.Cell(3)))
}

func (p *page) Add(_ context.Context, rows int) error {
	if rows != len(p.rows) {
		return fmt.Errorf("%d rows, and %d were passed on", rows, len(p.rows))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listed.rows[p.namespace] = append(p.listed.rows[p.namespace], p.rows...)
	return nil
}

func (l *listed) total() int {
	n := 0
	for _, rows := range l.rows {
		n += len(rows)
	}
	return n
}

// byNamespace counts the rows.
func (l *listed) byNamespace() map[string]int {
	counts := map[string]int{}
	for namespace, rows := range l.rows {
		counts[namespace] = len(rows)
	}
	return counts
}

// run lists the pods of the namespace shop.
func run(ctx context.Context, t *testing.T, server http.HandlerFunc, change func(*list.Request)) (*listed, error) {
	t.Helper()
	conn, err := kubetest.Connector.Connect(kubetest.Session(kubetest.Serve(t, server)))
	require.NoError(t, err)
	defer conn.Close()
	request := list.Request{
		Resource: list.Resource{Path: "/api/v1", Name: "pods", Columns: []list.Column{
			{Name: "Name", MaxBytes: 253, Required: true}, {Name: "Ready", MaxBytes: 16}, {Name: "Status", MaxBytes: 64, Required: true}, {Name: "Restarts", MaxBytes: 32},
		}},
		Namespaces: []string{"shop"},
		Check: func(namespace string) contract.Check {
			return contract.Check{Verb: "list", Resource: "pods", Namespace: namespace}
		},
		NamespacesCheck: contract.Check{Verb: "list", Resource: "namespaces", Fix: "kubectl apply -k rbac/cluster"},
		Reserve:         batch.Reserve,
	}
	if change != nil {
		change(&request)
	}
	l := &listed{rows: map[string][]string{}}
	l.Result, err = list.List(ctx, conn, request, func(namespace string) list.Page { return &page{listed: l, namespace: namespace} })
	return l, err
}

func TestWhenTimeIsUpACursorSaysWhereToContinueAndTheRoundsAddUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &listtest.API{Pages: map[string]string{
			"a/pods?":    table("two", row("a1", "0/1", "Pending")),
			"a/pods?two": table("", row("a2", "1/1", "Running")),
			"b/pods?":    table("", row("b1", "1/1", "Running")),
			"c/pods?":    table(""),
		}, Before: takes(5 * time.Second)}
		var cursor *contract.Cursor
		var all []string
		rounds := 0
		for rounds < 10 && (rounds == 0 || cursor != nil) {
			rounds++
			ctx, cancel := context.WithTimeout(t.Context(), 12*time.Second)
			got, err := run(ctx, t, server.ServeHTTP, func(in *list.Request) {
				in.Namespaces, in.Cursor = []string{"a", "b", "c"}, cursor
			})
			cancel()
			require.NoError(t, err)
			assert.False(t, got.Expired)
			cursor = got.Cursor
			all = slices.Concat(all, got.rows["a"], got.rows["b"], got.rows["c"])
		}
		require.Greater(t, rounds, 1, "a second page of 5 s would have ended too late")
		assert.Nil(t, cursor)
		slices.Sort(all)
		assert.Equal(t, []string{"a1 0/1 Pending 3 (5m ago)", "a2 1/1 Running 3 (5m ago)", "b1 1/1 Running 3 (5m ago)"}, all)
		assert.Len(t, server.Requests, 4, "nothing is asked for twice")
	})
}

func TestARoundContinuesAtEveryOpenPlaceAndThenAtTheNamespacesNotBegun(t *testing.T) {
	server := &listtest.API{Pages: map[string]string{
		"b/pods?two": table("", row("b2", "1/1", "Running")),
		"c/pods?":    table("", row("c1", "1/1", "Running")),
		"d/pods?":    table("", row("d1", "1/1", "Running")),
	}}
	got, err := run(t.Context(), t, server.ServeHTTP, func(in *list.Request) {
		in.Namespaces = []string{"a", "b", "c", "d"}
		in.Cursor = &contract.Cursor{Open: []contract.Place{{Namespace: "b", Continue: "two"}, {Namespace: "c"}}, Begun: []string{"a", "b", "c"}}
	})
	require.NoError(t, err)
	assert.Nil(t, got.Cursor)
	assert.Equal(t, map[string]int{"b": 1, "c": 1, "d": 1}, got.byNamespace())
}

// With "onDenied": "skip" the machine continues with what is granted now.
func TestANamespaceThatIsGrantedBetweenRoundsIsListedAndOneThatIsRevokedIsNot(t *testing.T) {
	server := &listtest.API{Pages: map[string]string{"a/pods?": table("", row("a1", "1/1", "Running")), "d/pods?": table("", row("d1", "1/1", "Running"))}}
	got, err := run(t.Context(), t, server.ServeHTTP, func(in *list.Request) {
		// The first round was granted b, c and d. Since then c was revoked, and a granted.
		in.Namespaces = []string{"a", "b", "d"}
		in.Cursor = &contract.Cursor{Begun: []string{"b"}}
	})
	require.NoError(t, err)
	assert.Equal(t, map[string]int{"a": 1, "d": 1}, got.byNamespace())
	assert.Nil(t, got.Cursor)
}

func TestAContinueTokenThatExpiredGoesOnWithTheServersNewOne(t *testing.T) {
	server := &listtest.API{
		Pages: map[string]string{"shop/pods?": table("old", row("a", "1/1", "Running")), "shop/pods?new": table("", row("a", "1/1", "Running"), row("b", "1/1", "Running"))},
		Before: func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Query().Get("continue") != "old" {
				return false
			}
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusGone)
			_, _ = fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","metadata":{"continue":"new"},"status":"Failure","message":"The provided continue parameter is too old","reason":"Expired","code":410}`)
			return true
		},
	}
	got, err := run(t.Context(), t, server.ServeHTTP, nil)
	require.NoError(t, err)
	assert.True(t, got.Expired)
	assert.Nil(t, got.Cursor)
	assert.Equal(t, 3, got.total())
}

func TestAContinueTokenThatKeepsExpiringIsFollowedWithPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, refused := time.Now(), 0
		server := &listtest.API{
			Pages: map[string]string{"shop/pods?": table("old", row("a", "1/1", "Running")), "shop/pods?new": table("")},
			Before: func(w http.ResponseWriter, r *http.Request) bool {
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
		got, err := run(t.Context(), t, server.ServeHTTP, nil)
		require.NoError(t, err)
		assert.Equal(t, 1, got.total())
		assert.Equal(t, (1+2+4)*time.Second, time.Since(began), "none after the first")
	})
}

func TestARetryAfterIsHonoredWithinTheTimeThereIs(t *testing.T) {
	throttle := func(w http.ResponseWriter) bool {
		w.Header().Set("Retry-After", "7")
		http.Error(w, "too many requests", http.StatusTooManyRequests)
		return true
	}
	pages := map[string]string{"a/pods?": table("", row("a1", "1/1", "Running")), "b/pods?": table("", row("b1", "1/1", "Running"))}
	t.Run("by waiting as long as the server says", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			began, refused := time.Now(), 0
			server := &listtest.API{Pages: pages, Before: func(w http.ResponseWriter, _ *http.Request) bool {
				refused++
				return refused <= 2 && throttle(w)
			}}
			got, err := run(t.Context(), t, server.ServeHTTP, func(in *list.Request) { in.Namespaces = []string{"a"} })
			require.NoError(t, err)
			assert.Equal(t, 1, got.total())
			assert.Equal(t, 2*7*time.Second, time.Since(began))
		})
	})
	short := func(t *testing.T) context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		t.Cleanup(cancel)
		return ctx
	}
	t.Run("by leaving it to the machine where nothing was listed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			server := &listtest.API{Pages: pages, Before: func(w http.ResponseWriter, _ *http.Request) bool { return throttle(w) }}
			_, err := run(short(t), t, server.ServeHTTP, func(in *list.Request) { in.Namespaces = []string{"a"} })
			var named *contract.Error
			require.ErrorAs(t, err, &named)
			assert.Equal(t, contract.Throttled, named.Name)
			assert.Zero(t, time.Since(began))
		})
	})
	t.Run("by leaving it to the next round where something was", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			server := &listtest.API{Pages: map[string]string{"a/pods?": table("two", row("a1", "1/1", "Running"))}, Before: func(w http.ResponseWriter, r *http.Request) bool {
				return r.URL.Query().Get("continue") == "two" && throttle(w)
			}}
			got, err := run(short(t), t, server.ServeHTTP, func(in *list.Request) { in.Namespaces = []string{"a"} })
			require.NoError(t, err)
			assert.Equal(t, 1, got.total())
			assert.Equal(t, &contract.Cursor{Open: []contract.Place{{Namespace: "a", Continue: "two"}}, Begun: []string{"a"}}, got.Cursor)
		})
	})
}

func TestAPageThatHangsIsLeftToTheNextRoundAndCountsForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		whole := table("", row("a2", "1/1", "Running"), row("a3", "1/1", "Running"))
		server := &listtest.API{Pages: map[string]string{"shop/pods?": table("two", row("a1", "1/1", "Running"))}, Before: func(w http.ResponseWriter, r *http.Request) bool {
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
		got, err := run(ctx, t, server.ServeHTTP, nil)
		require.NoError(t, err)
		assert.Equal(t, 1, got.total())
		assert.Equal(t, &contract.Cursor{Open: []contract.Place{{Namespace: "shop", Continue: "two"}}, Begun: []string{"shop"}}, got.Cursor)
	})
}

func TestPagesGrowWithWhatTheOnesBeforeTook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		many := func(from, n int) []string {
			rows := make([]string, n)
			for i := range rows {
				rows[i] = row(fmt.Sprintf("p%05d", from+i), "1/1", "Running")
			}
			return rows
		}
		limits := func(took time.Duration, rowsOfTheFirst int, budget time.Duration) []string {
			server := &listtest.API{Pages: map[string]string{"shop/pods?": table("two", many(0, rowsOfTheFirst)...), "shop/pods?two": table("")}, Before: takes(took)}
			ctx, cancel := context.WithTimeout(t.Context(), budget)
			defer cancel()
			_, err := run(ctx, t, server.ServeHTTP, nil)
			require.NoError(t, err)
			var all []string
			for _, r := range server.Requests {
				all = append(all, r.URL.Query().Get("limit"))
			}
			return all
		}
		assert.Equal(t, []string{"1000", "10000"}, limits(time.Millisecond, 1000, time.Minute), "as many as may be decoded at once")
		assert.Equal(t, []string{"1000", "2500"}, limits(2*time.Second, 1000, time.Minute), "as many as come in five seconds")
		assert.Equal(t, []string{"1000", "1166"}, limits(2*time.Second, 1000, 10*time.Second), "or in a third of the time that is left")
		assert.Equal(t, []string{"1000"}, limits(4*time.Second, 1000, 10*time.Second), "and none where it is short")
	})
}

func TestColumnsAreFoundByName(t *testing.T) {
	page := `{"kind":"Table","metadata":{},"columnDefinitions":[{"name":"Extra"},{"name":"readiness gates"},{"name":"Status"},{"name":"Name"},{"name":"Restarts"},{"name":"READY"}],"rows":[{"cells":["x","<none>","Running","cart",4,"1/1"]}]}`
	got, err := run(t.Context(), t, (&listtest.API{Pages: map[string]string{"shop/pods?": page}}).ServeHTTP, nil)
	require.NoError(t, err)
	assert.Equal(t, map[string][]string{"shop": {"cart 1/1 Running 4"}}, got.rows)
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
		"with rows before its columns":  `{"kind":"Table","metadata":{},"rows":[{"cells":["a"]}],"columnDefinitions":` + listtest.Header + `}`,
		"with rows that are an object":  `{"kind":"Table","metadata":{},"columnDefinitions":` + listtest.Header + `,"rows":{}}`,
		"with cells that are an object": `{"kind":"Table","metadata":{},"columnDefinitions":` + listtest.Header + `,"rows":[{"cells":{}}]}`,
	} {
		t.Run(sentence, func(t *testing.T) {
			_, err := run(t.Context(), t, (&listtest.API{Pages: map[string]string{"shop/pods?": page}}).ServeHTTP, nil)
			var named *contract.Error
			require.ErrorAs(t, err, &named)
			assert.Equal(t, contract.ClusterUnreachable, named.Name)
		})
	}
}

func TestARefusalHasAName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for code, name := range map[int32]contract.ErrorName{400: contract.InvalidInput, 401: contract.Unauthorized, 403: contract.Forbidden, 429: contract.Throttled, 503: contract.ClusterUnreachable} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second) // too short to wait
			defer cancel()
			_, err := run(ctx, t, func(w http.ResponseWriter, _ *http.Request) {
				kubetest.Refuse(w, code, "", "field label not supported")
			}, nil)
			var named *contract.Error
			require.ErrorAs(t, err, &named, code)
			assert.Equal(t, name, named.Name, code)
		}
	})
}

// test/memory runs the function with them, in its memory.
func TestATableThatNoAPIServerSendsIsRefusedBeforeItIsRead(t *testing.T) {
	long := strings.Repeat
	for sentence, c := range map[string]struct{ table, text string }{
		"with more columns than a table has": {`{"kind":"Table","columnDefinitions":[{}` + long(",{}", 30_000) + `],"rows":[]}`, "the table beside its rows has more than 65536 bytes"},
		"with long metadata":                 {`{"metadata":{"continue":"` + long("c", 70<<10) + `"},"kind":"Table"}`, "the table beside its rows has more than 65536 bytes"},
		"with a long member":                 {`{"kind":"Table","other":"` + long("c", 70<<10) + `"}`, "the table beside its rows has more than 65536 bytes"},
		"with a row that etcd cannot hold":   {table("", `{"cells":["`+long("c", 3<<20)+`"]}`), "a row of the table has more than 2097152 bytes"},
		"with a cell too deep":               {table("", `{"cells":["a","b",`+long("[", 20_000)), "exceeded max depth"},
	} {
		t.Run(sentence, func(t *testing.T) {
			_, err := run(t.Context(), t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, c.table) }, func(*list.Request) {})
			name, message := kubetest.Told(t, err)
			assert.Equal(t, "ClusterUnreachable", name)
			assert.Contains(t, message, "what answers at https://127.0.0.1")
			assert.Contains(t, message, " does not answer as an API server does: ")
			assert.Contains(t, message, c.text)
		})
	}
	t.Run("and a row of all that etcd can hold is read", func(t *testing.T) {
		got, err := run(t.Context(), t, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, table("", row(long("n", 1500<<10), "1/1", "Running"), row("b", "1/1", "Running")))
		}, func(*list.Request) {})
		require.NoError(t, err)
		assert.Equal(t, 2, got.total())
	})
}
