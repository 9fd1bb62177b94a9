package pods_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract/podinventory"
	"github.com/kubestep/kubestep/internal/kube/kubetest"
	"github.com/kubestep/kubestep/internal/list/listtest"
	"github.com/kubestep/kubestep/internal/pods"
	workflowpods "github.com/kubestep/kubestep/internal/workflow/podinventory"
)

// Who can write a pod's status can write cells of the table, and whatever is at the cluster's endpoint can write all of it.
func FuzzList(f *testing.F) {
	cluster, answer := kubetest.ServeWhat(f)
	lister := pods.Lister{Kube: kubetest.Connector}

	whole := table("", row("cart", "1/1", "Running"), row("pay", "0/1", "CrashLoopBackOff"))
	for _, page := range []string{
		whole, whole[:len(whole)-40], whole[:len(whole)-1], whole + whole, "", "{}", "null", "[]", "7", `"Table"`,
		table("more"), table("more", row("cart", "1/1", "Running")), table(strings.Repeat("c", 70<<10)),
		table("", row("\x00\x1b[31m\u202e", "\u2028", "<script>&\x7f")),
		table("", row(strings.Repeat("n", 300<<10), "1/1", "Running")),
		table("", `{"cells":["a"],"conditions":[{"type":"Completed","status":"True","reason":"Failed"}]}`, `{"cells":["a"],"conditions":[[],{"type":7},null]}`, `{"cells":["a"],"conditions":{"type":"Completed"}}`),
		table("", `{"cells":["a","1/1","Running",1e999,null,{},[]]}`, `{"cells":["a","1/1","Running",-9223372036854775809]}`, `{"cells":[]}`, `{}`, `null`),
		table("", many(100, func(i int) string { return row(strings.Repeat("<", 253), "1/1", fmt.Sprintf("%064d", i)) })...),
		table("", many(100, func(i int) string { return row("p", "1/1", fmt.Sprintf("%02d%s", i, strings.Repeat("<", 62))) })...),
		strings.Replace(whole, `"Name"`, `"name"`, 1), strings.Replace(whole, `"Name"`, `"Status"`, 1),
		`{"rows":[{"cells":["a","b","c"]}],"columnDefinitions":` + listtest.Header + `,"kind":"Table"}`,
		`{"kind":"PodList","apiVersion":"v1","metadata":{"continue":7},"items":[]}`,
		`{"kind":"Table","metadata":{"remainingItemCount":-1},"columnDefinitions":[{"name":"Name"},{"name":"Name"},{"name":"Status"}],"rows":[{"cells":["a","b","c"]}]}`,
		strings.Repeat(`{"a":`, 20_000), strings.Repeat("[", 20_000),
		`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Expired","code":410,"metadata":{"continue":"more"}}`,
	} {
		f.Add(200, "application/json", true, []byte(page))
		f.Add(410, "application/json", false, []byte(page))
	}
	for _, next := range []string{"more", strings.Repeat("c", 70<<10), "a&limit=1#\x00"} { // endlessly
		f.Add(200, "application/json", false, []byte(table(next, row("cart", "1/1", "Running"))))
	}
	f.Add(403, "text/plain", false, []byte("Authorization: Bearer "+kubetest.Token))
	f.Fuzz(func(t *testing.T, status int, contentType string, ends bool, page []byte) {
		if status < 200 || status > 999 {
			t.Skip("net/http sends no such status")
		}
		answer(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", contentType)
			if ends && r.URL.Query().Has("continue") {
				_, _ = fmt.Fprint(w, table(""))
				return
			}
			w.WriteHeader(status)
			_, _ = w.Write(page)
		})
		// A second of the time is reserved for the answer.
		ctx, cancel := context.WithTimeout(t.Context(), 1200*time.Millisecond)
		defer cancel()
		listing, err := lister.List(ctx, podinventory.ListPods{Session: kubetest.Session(cluster), Namespaces: []string{"shop"}, MaxItems: workflowpods.DefaultMaxItems})
		if err != nil {
			kubetest.Told(t, err)
			return
		}
		output, err := json.Marshal(listing.Pods)
		require.NoError(t, err)
		assert.LessOrEqual(t, len(output), 64<<10)
		encoded, err := json.Marshal(listing)
		require.NoError(t, err)
		assert.LessOrEqual(t, len(encoded)-len(output), 10<<10, "the cursor, which the state holds beside it")
		byNamespace, byStatus := 0, 0
		for _, n := range listing.ByNamespace {
			byNamespace += n
		}
		for _, n := range listing.ByStatus {
			byStatus += n
		}
		assert.Equal(t, listing.Total, byNamespace)
		assert.Equal(t, listing.Total, byStatus)
		assert.LessOrEqual(t, len(listing.Items), listing.Total)
		assert.LessOrEqual(t, listing.Unhealthy, listing.Total)
		assert.Equal(t, len(listing.Items) < listing.Total, listing.Truncated)
		var again podinventory.Listing
		require.NoError(t, json.Unmarshal(encoded, &again), "what goes into the state comes out of it")
	})
}

func many(n int, row func(i int) string) []string {
	rows := make([]string, n)
	for i := range rows {
		rows[i] = row(i)
	}
	return rows
}
