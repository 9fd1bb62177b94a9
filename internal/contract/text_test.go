package contract_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract"
)

func TestAWordOfACheckIsQuotedIfItCouldBeMoreThanAWord(t *testing.T) {
	for want, check := range map[string]contract.Check{
		"list pods in namespace shop":                            {Verb: "list", Resource: "pods", Namespace: "shop"},
		"list pods in all namespaces":                            {Verb: "list", Resource: "pods", Namespace: contract.AllNamespaces},
		"patch deployments.apps web in namespace shop":           {Verb: "patch", Group: "apps", Resource: "deployments", Namespace: "shop", Name: "web"},
		"get clusterroles.rbac.authorization.k8s.io system:node": {Verb: "get", Group: "rbac.authorization.k8s.io", Resource: "clusterroles", Name: "system:node"},
		`get configmaps "a\n---\nkind: ClusterRole"`:             {Verb: "get", Resource: "configmaps", Name: "a\n---\nkind: ClusterRole"},
		`get configmaps "a b" in namespace "c\td"`:               {Verb: "get", Resource: "configmaps", Name: "a b", Namespace: "c\td"},
		`get "a;b"."c'd"`:                                        {Verb: "get", Resource: "a;b", Group: "c'd"},
		`get configmaps "a\u2028---"`:                            {Verb: "get", Resource: "configmaps", Name: "a\u2028---"},
	} {
		assert.Equal(t, want, check.String())
	}
}

func TestATextOfLinesBecomesOne(t *testing.T) {
	for text, want := range map[string]string{
		"":                       "",
		"as it is, größer":       "as it is, größer",
		"a\n---\nb":              "a --- b",
		"\r\n a\t b\x00c\v":      "a b c",
		"a\u2028b\u2029c\u0085d": "a b c d",
		"a\u202eb\u200bc":        "a\ufffdb\ufffdc",
		"\xff":                   "\ufffd",
	} {
		assert.Equal(t, want, contract.OneLine(text), "%q", text)
	}
}

// Whoever writes manifests names what is in them.
func FuzzACheckIsOneLine(f *testing.F) {
	f.Add("configmaps", "", "shop", "x\n---\n{kind: ClusterRoleBinding}")
	f.Add("pods", "a.b", "*", "\u2028\x85\xff\\\"")
	f.Fuzz(func(t *testing.T, resource, group, namespace, name string) {
		check := contract.Check{Verb: "get", Resource: resource, Group: group, Namespace: namespace, Name: name}
		for _, text := range []string{check.String(), contract.OneLine(resource + group + namespace + name)} {
			assert.Negative(t, strings.IndexFunc(text, func(r rune) bool { return r != ' ' && unicode.IsSpace(r) || unicode.IsControl(r) }), "%q", text)
		}
		_, err := json.Marshal(check.String())
		require.NoError(t, err)
	})
}
