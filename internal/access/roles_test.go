package access

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/kubestep/kubestep/internal/contract"
)

func TestRolesAllowExactlyWhatIsMissing(t *testing.T) {
	got := roles([]contract.Check{
		{Verb: "patch", Group: "apps", Resource: "deployments", Namespace: "shop", Name: "web"},
		{Verb: "get", Group: "apps", Resource: "deployments", Namespace: "shop", Name: "web"},
		{Verb: "create", Group: "apps", Resource: "deployments", Namespace: "shop"},
		{Verb: "patch", Resource: "configmaps", Namespace: "shop", Name: "b"},
		{Verb: "patch", Resource: "configmaps", Namespace: "shop", Name: "a"},
		{Verb: "create", Resource: "namespaces", Name: "shop"},
	}, "kubestep-appliers")
	assert.Equal(t, `---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: kubestep-apply-X
rules:
- apiGroups:
  - ""
  resourceNames:
  - shop
  resources:
  - namespaces
  verbs:
  - create
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: kubestep-apply-X
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: kubestep-apply-X
subjects:
- apiGroup: rbac.authorization.k8s.io
  kind: Group
  name: kubestep-appliers
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: kubestep-apply-Y
  namespace: shop
rules:
- apiGroups:
  - ""
  resourceNames:
  - a
  - b
  resources:
  - configmaps
  verbs:
  - patch
- apiGroups:
  - apps
  resources:
  - deployments
  verbs:
  - create
- apiGroups:
  - apps
  resourceNames:
  - web
  resources:
  - deployments
  verbs:
  - get
  - patch
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: kubestep-apply-Y
  namespace: shop
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: kubestep-apply-Y
subjects:
- apiGroup: rbac.authorization.k8s.io
  kind: Group
  name: kubestep-appliers
`, nameless(got))
}

// nameless has a letter for each fingerprint.
func nameless(text string) string {
	letters := map[string]string{}
	return regexp.MustCompile(`kubestep-apply-[0-9a-f]{8}`).ReplaceAllStringFunc(text, func(name string) string {
		if letters[name] == "" {
			letters[name] = "kubestep-apply-" + string(rune('X'+len(letters)))
		}
		return letters[name]
	})
}

func TestRolesOfManyNamesAllowTheKind(t *testing.T) {
	var checks []contract.Check
	for i := range 1000 {
		checks = append(checks, contract.Check{Verb: "patch", Resource: "configmaps", Namespace: "shop", Name: fmt.Sprintf("a-config-map-%d", i)})
	}
	got := roles(checks, "g")
	assert.Less(t, len(got), maxRole)
	assert.NotContains(t, got, "resourceNames")
	assert.Contains(t, got, "configmaps")
}

func TestRolesOfOneExecutionDoNotReplaceThoseOfAnother(t *testing.T) {
	name := func(c contract.Check) string {
		text := roles([]contract.Check{c}, "g")
		return text[strings.Index(text, "name: "):strings.Index(text, "\n  namespace")]
	}
	one := contract.Check{Verb: "patch", Resource: "configmaps", Namespace: "shop"}
	other := contract.Check{Verb: "patch", Resource: "services", Namespace: "shop"}
	assert.NotEqual(t, name(one), name(other))
	assert.Equal(t, name(one), name(one))
}

func TestWhatIsReviewedInAllNamespacesIsAllowedByAClusterRole(t *testing.T) {
	got := roles([]contract.Check{{Verb: "list", Resource: "configmaps", Namespace: contract.AllNamespaces}}, "g")
	assert.Contains(t, got, "kind: ClusterRole\n")
	assert.Contains(t, got, "kind: ClusterRoleBinding\n")
	assert.NotContains(t, got, "namespace")
}
