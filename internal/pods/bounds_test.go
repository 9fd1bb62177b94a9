package pods_test

import (
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/podinventory"
	"github.com/kubestep/kubestep/internal/list/listtest"
	"github.com/kubestep/kubestep/internal/pods"
)

// The allocations of a page do not depend on the computer, so a test can assert them. The limits are twice the measured
// values, so that a change of a library passes, and a change of the order of growth does not.
func TestWhatAPageTakes(t *testing.T) {
	if testing.Short() {
		t.Skip("the race detector allocates too, and make race says -short")
	}
	page := func(rows int) string {
		all := make([]string, rows)
		for i := range all {
			all[i] = row(fmt.Sprintf("orders-7c9f6d5b84-%05d", i), "2/2", "Running")
		}
		return table("", all...)
	}
	decode := func(text string) func() {
		return func() {
			n, err := pods.Decode(strings.NewReader(text))
			require.NoError(t, err)
			require.Positive(t, n)
		}
	}
	small, large := testing.AllocsPerRun(5, decode(page(1000))), testing.AllocsPerRun(5, decode(page(10_000)))
	assert.Less(t, large, 900.0, "allocations of a page of 10,000 rows, 100 of which are kept")
	assert.InDelta(t, small, large, 60, "rows that are not kept allocate nothing")

	allocated := func(run func()) float64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		run()
		runtime.ReadMemStats(&after)
		return float64(after.TotalAlloc - before.TotalAlloc)
	}
	thousand, tenThousand := decode(page(1000)), decode(page(10_000))
	assert.Less(t, (allocated(tenThousand)-allocated(thousand))/9000, 16.0, "bytes for each pod more")
}

func TestTheStateStaysSmallWhateverTheCluster(t *testing.T) {
	names := make([]string, 1000)
	pages := map[string]string{}
	for i := range names {
		names[i] = fmt.Sprintf("namespace-of-a-team-with-a-long-name-%04d", i)
		pages[names[i]+"/pods?"] = table("", row(fmt.Sprintf("orders-7c9f6d5b84-%05d", i), "2/2", "Running"))
	}
	pages["/api/v1/namespaces?"] = listtest.Namespaces(names...)
	server := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, pages[strings.TrimPrefix(r.URL.Path, "/api/v1/namespaces/")+"?"])
	}
	listed := func(maxItems int) podinventory.Listing {
		got, err := listPods(t.Context(), t, pods.Lister{}, server, func(in *podinventory.ListPods) {
			in.Namespaces = []string{contract.AllNamespaces}
			in.MaxItems = maxItems
		})
		require.NoError(t, err)
		require.Equal(t, 1000, got.Total)
		sum := 0
		for _, n := range got.ByNamespace {
			sum += n
		}
		assert.Equal(t, 1000, sum)
		assert.Contains(t, got.ByNamespace, names[0], "the first by name are kept")
		assert.NotContains(t, got.ByNamespace, names[999])
		assert.Positive(t, got.ByNamespace[podinventory.Other])
		return got
	}
	assert.Less(t, size(t, listed(0)), 9<<10, "without items")
	assert.LessOrEqual(t, size(t, listed(1000)), 64<<10, "with as many as may be asked for")
}
