package manifest_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubestep/kubestep/local/controlplane/manifest"
)

func write(t *testing.T, dir, name, content string) string {
	t.Helper()
	file := filepath.Join(dir, name)
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o700))
	require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
	return file
}

// names are the objects as KIND/NAME, with the namespace before it where there is one.
func names(objects []*unstructured.Unstructured) []string {
	var all []string
	for _, object := range objects {
		name := object.GetKind() + "/" + object.GetName()
		if namespace := object.GetNamespace(); namespace != "" {
			name = namespace + "/" + name
		}
		all = append(all, name)
	}
	return all
}

func object(apiVersion, kind, name string) *unstructured.Unstructured {
	o := &unstructured.Unstructured{}
	o.SetAPIVersion(apiVersion)
	o.SetKind(kind)
	o.SetName(name)
	return o
}

func TestAFileMayHoldDocumentsAndLists(t *testing.T) {
	file := write(t, t.TempDir(), "all.yaml", `# only a comment
---
apiVersion: v1
kind: ConfigMap
metadata: {name: one}
---
---
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: ConfigMap
  metadata: {name: two}
- apiVersion: v1
  kind: ConfigMap
  metadata: {name: three, namespace: shop}
`)

	objects, err := manifest.FromFile(file)

	require.NoError(t, err)
	assert.Equal(t, []string{"ConfigMap/one", "ConfigMap/two", "shop/ConfigMap/three"}, names(objects))
}

func TestAKustomizationIsBuilt(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "base/role.yaml", `
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader}
rules: [{apiGroups: [""], resources: [pods], verbs: [list]}]
`)
	write(t, dir, "base/kustomization.yaml", "resources: [role.yaml]\n")
	write(t, dir, "shop/kustomization.yaml", "namespace: shop\nresources: [../base]\n")

	objects, err := manifest.FromKustomization(filepath.Join(dir, "shop"))

	require.NoError(t, err)
	assert.Equal(t, []string{"shop/Role/reader"}, names(objects))
}

func TestWhatCannotBeReadIsNamed(t *testing.T) {
	dir := t.TempDir()
	tests := map[string]struct {
		file, want string
	}{
		"a file that is not there":     {filepath.Join(dir, "absent.yaml"), "absent.yaml"},
		"a file that is no YAML":       {write(t, dir, "broken.yaml", "a: [\n"), "broken.yaml"},
		"a document without its kind":  {write(t, dir, "kindless.yaml", "apiVersion: v1\n"), "it needs apiVersion and kind"},
		"a second document without it": {write(t, dir, "second.yaml", "apiVersion: v1\nkind: A\n---\nkind: B\n"), "document 2"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := manifest.FromFile(test.file)

			assert.ErrorContains(t, err, test.want)
		})
	}
	t.Run("a directory without a kustomization", func(t *testing.T) {
		_, err := manifest.FromKustomization(dir)

		assert.ErrorContains(t, err, dir)
	})
}

func TestNamespacesComeFirstAndTheRestKeepsItsOrder(t *testing.T) {
	objects := []*unstructured.Unstructured{
		object("rbac.authorization.k8s.io/v1", "RoleBinding", "b"),
		object("rbac.authorization.k8s.io/v1", "Role", "a"),
		object("v1", "Namespace", "shop"),
		object("example.com/v1", "Namespace", "not-one"),
		object("v1", "Namespace", "another"),
	}

	ordered := manifest.Ordered(objects)

	assert.Equal(t, []string{"Namespace/shop", "Namespace/another", "RoleBinding/b", "Role/a", "Namespace/not-one"}, names(ordered))
	assert.Equal(t, "RoleBinding/b", names(objects)[0], "the argument is left as it was")
}
