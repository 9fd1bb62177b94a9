// Package listtest answers as an API server that prints a list, page by page.
package listtest

import (
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/kubestep/kubestep/internal/kube/kubetest"
)

// Header are the column definitions of kube-apiserver 1.37 for pods, by name.
const Header = `[{"name":"Name"},{"name":"Ready"},{"name":"Status"},{"name":"Restarts"},{"name":"Age"},{"name":"IP"},{"name":"Node"},{"name":"Nominated Node"},{"name":"Readiness Gates"}]`

// Row returns a row of a Table of pods.
func Row(name, ready, status string) string {
	return fmt.Sprintf(`{"cells":[%q,%q,%q,"3 (5m ago)","2d","10.0.0.1","node-1","<none>","<none>"],"object":null}`, name, ready, status)
}

// Table returns a Table of pods, with the continue token of the next page.
func Table(next string, rows ...string) string {
	return fmt.Sprintf(`{"kind":"Table","apiVersion":"meta.k8s.io/v1","metadata":{"resourceVersion":"1","continue":%q},"columnDefinitions":%s,"rows":[%s]}`, next, Header, strings.Join(rows, ","))
}

// Namespaces returns a Table of namespaces, as kube-apiserver 1.37 prints it.
func Namespaces(names ...string) string {
	rows := make([]string, len(names))
	for i, name := range names {
		rows[i] = fmt.Sprintf(`{"cells":[%q,"Active","2d"],"object":null}`, name)
	}
	return `{"kind":"Table","apiVersion":"meta.k8s.io/v1","metadata":{},"columnDefinitions":[{"name":"Name"},{"name":"Status"},{"name":"Age"}],"rows":[` + strings.Join(rows, ",") + `]}`
}

// API serves pages, and keeps the requests.
type API struct {
	// Pages are the pages by path and continue token, such as "shop/pods?two". The paths
	// begin after /api/v1/namespaces/.
	Pages map[string]string
	// Before is called with each request. If it returns true, it has answered.
	Before func(http.ResponseWriter, *http.Request) bool

	mu       sync.Mutex // guards Requests
	Requests []*http.Request
}

func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	a.Requests = append(a.Requests, r)
	a.mu.Unlock()
	if a.Before != nil && a.Before(w, r) {
		return
	}
	page, ok := a.Pages[strings.TrimPrefix(r.URL.Path, "/api/v1/namespaces/")+"?"+r.URL.Query().Get("continue")]
	if !ok {
		kubetest.Refuse(w, 404, "NotFound", "no page "+r.URL.String())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprint(w, page)
}
