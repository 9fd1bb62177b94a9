package test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubestep/kubestep/internal/contract/applymanifests"
)

// newPruner returns an applier that may apply, list and delete everything.
func newPruner(t *testing.T) *applier {
	t.Helper()
	a := newApplier(t)
	a.allow(t, rbacv1.PolicyRule{APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"get", "create", "patch", "list", "delete"}})
	a.set(t, map[string]string{"EnablePrune": "true"})
	return a
}

// configMapsOf are manifests of ConfigMaps with these names.
func configMapsOf(names ...string) string {
	var b strings.Builder
	for _, name := range names {
		fmt.Fprintf(&b, "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\ndata: {a: b}\n", name)
	}
	return b.String()
}

func TestWhatLeftTheManifestsOfASetGoes(t *testing.T) {
	t.Parallel()
	a := newPruner(t)
	set := func(manifests string, more map[string]any) map[string]any {
		input := map[string]any{"manifests": manifests, "set": "addons"}
		for key, value := range more {
			input[key] = value
		}
		return input
	}
	out := applied(t, a.run(t, set(configMapsOf("one", "two", "three"), nil)))
	assert.Equal(t, 3, out.Applied)

	out = applied(t, a.run(t, set(configMapsOf("one", "two"), map[string]any{"mode": "plan", "prune": true})))
	assert.True(t, out.Drift)
	assert.Equal(t, 1, out.Plan.Pruned)
	assert.Equal(t, 3, out.Plan.Members)
	require.NotEmpty(t, out.Plan.Objects)
	assert.Equal(t, applymanifests.ActionPruned, out.Plan.Objects[0].Action)
	assert.Equal(t, "three", out.Plan.Objects[0].Name)

	out = applied(t, a.run(t, set(configMapsOf("one", "two"), map[string]any{"prune": true})))
	assert.Equal(t, 1, out.Pruned)
	all, err := admin(t).CoreV1().ConfigMaps(a.namespace).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	var names []string
	for _, c := range all.Items {
		names = append(names, c.Name)
		t.Log(c.Name, c.Labels, c.Annotations)
	}
	assert.Subset(t, names, []string{"addons", "one", "two"})
	assert.NotContains(t, names, "three")

	out = applied(t, a.run(t, map[string]any{"mode": "sets"}))
	t.Log(out.Sets)
	out = applied(t, a.run(t, map[string]any{"mode": "plan-delete", "set": "addons"}))
	assert.Equal(t, 2, out.Plan.Pruned)
	out = applied(t, a.run(t, map[string]any{"mode": "delete", "set": "addons"}))
	assert.Equal(t, 2, out.Pruned)
	out = applied(t, a.run(t, map[string]any{"mode": "delete", "set": "addons"}))
	assert.Equal(t, 0, out.Pruned)
	all, err = admin(t).CoreV1().ConfigMaps(a.namespace).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	for _, c := range all.Items {
		assert.Equal(t, "kube-root-ca.crt", c.Name)
	}
}
