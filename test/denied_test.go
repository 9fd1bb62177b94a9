package test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/kubestep/kubestep/internal/contract"
)

func TestADeniedNamespaceIsSkippedIfTheInputAsksForItAndTheOthersAreListed(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	s.mapRole(t)
	namespace(t, "unbound")

	e := s.run(t, `{"clusterName":"demo","namespaces":["default","unbound","shop"],"onDenied":"skip"}`)

	output := succeeded(t, e)
	assert.Equal(t, well, e.Path)
	assert.False(t, output.Access.Allowed)
	allowed := map[string]bool{}
	for _, n := range output.Access.Namespaces {
		allowed[n.Namespace] = n.Allowed
	}
	assert.Equal(t, map[string]bool{"default": true, "unbound": false, "shop": true}, allowed)
	assert.Equal(t, contract.NamespaceAccess{Namespace: "unbound", Reason: "To allow it: kubectl apply -k rbac/namespace -n unbound"}, output.Access.Namespaces[1])
	assert.Len(t, output.Pods.ByNamespace, 2)
	assert.Positive(t, output.Pods.ByNamespace["default"])
	assert.Positive(t, output.Pods.ByNamespace["shop"])
}

func TestIfAllNamespacesAreDeniedAndSkippedThereAreNoPods(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	s.mapRole(t)
	namespace(t, "unbound")

	e := s.run(t, `{"clusterName":"demo","namespaces":["unbound"],"onDenied":"skip"}`)

	output := succeeded(t, e)
	assert.Equal(t, well, e.Path)
	assert.False(t, output.Access.Allowed)
	assert.Zero(t, output.Pods.Total)
	assert.Empty(t, output.Pods.Items)
	assert.NotNil(t, output.Pods.Items, "an empty list, not null")
	assert.Empty(t, output.Pods.ByNamespace)
}

func TestOneNamespaceOfTwoThatIsGrantedIsStillAList(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	s.mapRole(t)
	namespace(t, "unbound")

	output := succeeded(t, s.run(t, `{"clusterName":"demo","namespaces":["unbound","default"],"onDenied":"skip"}`))

	assert.Len(t, output.Access.Namespaces, 2)
	assert.Positive(t, output.Pods.ByNamespace["default"])
}
