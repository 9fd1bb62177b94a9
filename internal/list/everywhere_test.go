package list_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/kube/kubetest"
	"github.com/kubestep/kubestep/internal/list"
	"github.com/kubestep/kubestep/internal/list/listtest"
)

func everywhere(in *list.Request) { in.Namespaces = []string{contract.AllNamespaces} }

func TestAllNamespacesAreListedOneByOne(t *testing.T) {
	server := &listtest.API{Pages: map[string]string{
		"/api/v1/namespaces?": listtest.Namespaces("a", "b"),
		"a/pods?":             table("", row("a1", "1/1", "Running")),
		"b/pods?":             table("", row("b1", "1/1", "Running")),
	}}
	got, err := run(t.Context(), t, server.ServeHTTP, everywhere)
	require.NoError(t, err)
	assert.Equal(t, map[string]int{"a": 1, "b": 1}, got.byNamespace())

	t.Run("and a later round continues after those that were begun", func(t *testing.T) {
		server.Requests = nil
		again, err := run(t.Context(), t, server.ServeHTTP, func(in *list.Request) {
			everywhere(in)
			in.Cursor = &contract.Cursor{Next: "b"}
		})
		require.NoError(t, err)
		assert.Equal(t, map[string]int{"b": 1}, again.byNamespace())
		assert.Len(t, server.Requests, 2, "the namespaces, and b's pods")
	})
	t.Run("and not at all once only an open place is left", func(t *testing.T) {
		server.Requests = nil
		_, err := run(t.Context(), t, server.ServeHTTP, func(in *list.Request) {
			everywhere(in)
			in.Cursor = &contract.Cursor{Open: []contract.Place{{Namespace: "b"}}}
		})
		require.NoError(t, err)
		assert.Len(t, server.Requests, 1)
	})
}

func TestNamespacesThatMayNotBeListedAreForbiddenWithTheFix(t *testing.T) {
	for sentence, cursor := range map[string]*contract.Cursor{"in the first round": nil, "in a later one": {Next: "b"}} {
		t.Run(sentence, func(t *testing.T) {
			_, err := run(t.Context(), t, func(w http.ResponseWriter, _ *http.Request) {
				kubetest.Refuse(w, 403, metav1.StatusReasonForbidden, "namespaces is forbidden")
			}, func(in *list.Request) {
				everywhere(in)
				in.Cursor = cursor
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
