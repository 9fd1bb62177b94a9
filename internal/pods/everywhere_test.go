package pods_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/kube/kubetest"
	"github.com/kubestep/kubestep/internal/pods"
)

func everywhere(in *contract.ListPods) { in.Namespaces = []string{contract.AllNamespaces} }

// namespaces returns a table of namespaces, as kube-apiserver 1.37 prints it.
func namespaces(names ...string) string {
	rows := ""
	for i, name := range names {
		if i > 0 {
			rows += ","
		}
		rows += fmt.Sprintf(`{"cells":[%q,"Active","2d"],"object":null}`, name)
	}
	return `{"kind":"Table","apiVersion":"meta.k8s.io/v1","metadata":{},"columnDefinitions":[{"name":"Name"},{"name":"Status"},{"name":"Age"}],"rows":[` + rows + `]}`
}

func TestAllNamespacesAreListedOneByOne(t *testing.T) {
	server := &api{pages: map[string]string{
		"/api/v1/namespaces?": namespaces("a", "b"),
		"a/pods?":             table("", row("a1", "1/1", "Running")),
		"b/pods?":             table("", row("b1", "1/1", "Running")),
	}}
	got, err := list(t.Context(), t, pods.Lister{}, server.ServeHTTP, everywhere)
	require.NoError(t, err)
	assert.Equal(t, map[string]int{"a": 1, "b": 1}, got.ByNamespace)

	t.Run("and a later round continues after those that were begun", func(t *testing.T) {
		server.requests = nil
		again, err := list(t.Context(), t, pods.Lister{}, server.ServeHTTP, func(in *contract.ListPods) {
			everywhere(in)
			in.Pods = contract.Listing{Pods: contract.Pods{Total: 1, ByNamespace: map[string]int{"a": 1}}, Cursor: &contract.Cursor{Next: "b"}}
		})
		require.NoError(t, err)
		assert.Equal(t, map[string]int{"a": 1, "b": 1}, again.ByNamespace)
		assert.Len(t, server.requests, 2, "the namespaces, and b's pods")
	})
	t.Run("and not at all once only an open place is left", func(t *testing.T) {
		server.requests = nil
		_, err := list(t.Context(), t, pods.Lister{}, server.ServeHTTP, func(in *contract.ListPods) {
			everywhere(in)
			in.Pods.Cursor = &contract.Cursor{Open: []contract.Place{{Namespace: "b"}}}
		})
		require.NoError(t, err)
		assert.Len(t, server.requests, 1)
	})
}

func TestNamespacesThatMayNotBeListedAreForbiddenWithTheFix(t *testing.T) {
	for sentence, cursor := range map[string]*contract.Cursor{"in the first round": nil, "in a later one": {Next: "b"}} {
		t.Run(sentence, func(t *testing.T) {
			_, err := list(t.Context(), t, pods.Lister{}, func(w http.ResponseWriter, _ *http.Request) {
				kubetest.Refuse(w, 403, metav1.StatusReasonForbidden, "namespaces is forbidden")
			}, func(in *contract.ListPods) {
				everywhere(in)
				in.Pods.Cursor = cursor
			})
			var named *contract.Error
			require.ErrorAs(t, err, &named)
			assert.Equal(t, contract.Forbidden, named.Name)
			assert.Contains(t, named.Message, " list namespaces (namespaces is forbidden)")
			assert.Contains(t, named.Message, "kubectl apply -k rbac/cluster")
			assert.NotContains(t, named.Message, "system:basic-user")
		})
	}
}
