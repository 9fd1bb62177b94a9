package list_test

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/kube/kubetest"
)

// longList serves 3,500 pods: the pages "", "two", "three" and "four". It does not send
// the rows of a page before the next one was requested, from page two on.
type longList struct {
	requested map[string]chan struct{}
	once      map[string]*sync.Once
	// answer answers a request instead, if it returns true.
	answer func(http.ResponseWriter, *http.Request) bool
}

func newLongList() *longList {
	l := &longList{requested: map[string]chan struct{}{}, once: map[string]*sync.Once{}}
	for _, page := range []string{"", "two", "three", "four", "three again"} {
		l.requested[page], l.once[page] = make(chan struct{}), &sync.Once{}
	}
	return l
}

func (l *longList) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	page := r.URL.Query().Get("continue")
	l.once[page].Do(func() { close(l.requested[page]) })
	if l.answer != nil && l.answer(w, r) {
		return
	}
	next, pods := map[string]string{"": "two", "two": "three", "three": "four", "three again": "four"}[page], 1000
	if next == "" {
		pods = 500
	}
	whole := table(next, slices.Repeat([]string{row("web", "1/1", "Running")}, pods)...)
	head, rows, _ := strings.Cut(whole, `"rows":[`)
	_, _ = fmt.Fprint(w, head, `"rows":[`)
	w.(http.Flusher).Flush()
	if page != "" && next != "" {
		select {
		case <-l.requested[next]:
		case <-r.Context().Done():
			return
		}
	}
	_, _ = fmt.Fprint(w, rows)
}

func TestTheNextPageOfALongListIsRequestedWhileOneIsRead(t *testing.T) {
	got, err := run(t.Context(), t, newLongList().ServeHTTP, nil)
	require.NoError(t, err)
	assert.Equal(t, 3500, got.total(), "a page that is read only after the next was requested would hang otherwise")
	assert.Nil(t, got.Cursor)
	assert.False(t, got.Expired)
}

func TestAPageThatWasRequestedAheadAndIsRefusedIsRequestedAgain(t *testing.T) {
	server := newLongList()
	server.answer = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Query().Get("continue") != "three" {
			return false
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusGone)
		_, _ = fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","metadata":{"continue":"three again"},"status":"Failure","reason":"Expired","code":410}`)
		return true
	}
	got, err := run(t.Context(), t, server.ServeHTTP, nil)
	require.NoError(t, err)
	assert.Equal(t, 3500, got.total())
	assert.True(t, got.Expired)
}

func TestAPageThatBreaksOffCountsForNothingAndSoDoesTheOneAhead(t *testing.T) {
	server := newLongList()
	server.answer = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Query().Get("continue") != "two" {
			return false
		}
		head, _, _ := strings.Cut(table("three", row("web", "1/1", "Running")), `"rows":[`)
		_, _ = fmt.Fprint(w, head, `"rows":[`, row("web", "1/1", "Running"))
		w.(http.Flusher).Flush()
		<-server.requested["three"]
		panic(http.ErrAbortHandler)
	}
	_, err := run(t.Context(), t, server.ServeHTTP, nil)
	name, _ := kubetest.Told(t, err)
	assert.Equal(t, "ClusterUnreachable", name)
}

func TestPagesGetSmallerTowardsTheEndOfALongList(t *testing.T) {
	for name, test := range map[string]struct {
		pods   int
		says   bool
		limits []string
	}{
		"half of what remains, and no less than 2,500":     {13_000, true, []string{"1000", "6000", "3000", "2500", "10000"}},
		"at most 10,000 of it":                             {40_000, true, []string{"1000", "10000", "10000", "9500", "4750", "2500", "10000"}},
		"a short rest at once":                             {3500, true, []string{"1000", "10000"}},
		"as many as may be if the API server does not say": {21_000, false, []string{"1000", "10000", "10000"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				var limits []string
				got, err := run(t.Context(), t, func(w http.ResponseWriter, r *http.Request) {
					asked := r.URL.Query().Get("limit")
					mu.Lock()
					limits = append(limits, asked)
					mu.Unlock()
					limit, _ := strconv.Atoi(asked)
					from, _ := strconv.Atoi(r.URL.Query().Get("continue"))
					next := ""
					if from+limit < test.pods {
						next = strconv.Itoa(from + limit)
					}
					page := table(next, slices.Repeat([]string{row("web", "1/1", "Running")}, min(limit, test.pods-from))...)
					if next != "" && test.says {
						page = strings.Replace(page, `"continue"`, fmt.Sprintf(`"remainingItemCount":%d,"continue"`, test.pods-from-limit), 1)
					}
					_, _ = fmt.Fprint(w, page)
				}, nil)
				require.NoError(t, err)
				assert.Equal(t, test.pods, got.total())
				assert.Equal(t, test.limits, limits)
			})
		})
	}
}

func TestTheSecondPageIsRequestedWhileTheFirstIsReadIfTheAPIServerSaysThatMuchRemains(t *testing.T) {
	for sentence, test := range map[string]struct {
		remaining int
		ahead     bool
	}{
		"of a long list":              {9000, true},
		"not of one that ends nearby": {900, false},
	} {
		t.Run(sentence, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var second, ahead atomic.Bool
				got, err := run(t.Context(), t, func(w http.ResponseWriter, r *http.Request) {
					from, _ := strconv.Atoi(r.URL.Query().Get("continue"))
					limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
					left := max(0, 1000+test.remaining-from-limit)
					next := ""
					if left > 0 {
						next = strconv.Itoa(from + limit)
					}
					page := table(next, slices.Repeat([]string{row("web", "1/1", "Running")}, min(limit, 1000+test.remaining-from))...)
					page = strings.Replace(page, `"continue"`, fmt.Sprintf(`"remainingItemCount":%d,"continue"`, left), 1)
					if from > 0 {
						second.Store(true)
						_, _ = fmt.Fprint(w, page)
						return
					}
					head, rows, _ := strings.Cut(page, `"rows":[`)
					_, _ = fmt.Fprint(w, head, `"rows":[`)
					w.(http.Flusher).Flush()
					synctest.Wait()
					ahead.Store(second.Load())
					_, _ = fmt.Fprint(w, rows)
				}, nil)
				require.NoError(t, err)
				assert.Equal(t, 1000+test.remaining, got.total())
				assert.Equal(t, test.ahead, ahead.Load(), "it was requested before the rows of the first were sent")
			})
		})
	}
}
