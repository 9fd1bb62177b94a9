package manifests_test

import (
	"encoding/json"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/manifests"
	"github.com/kubestep/kubestep/internal/objects"
)

// Whoever may start an execution, or write to the bucket of manifests, writes them.
func FuzzReadManifests(f *testing.F) {
	// The collector works within the memory that the functions have.
	debug.SetMemoryLimit(512 << 20)
	one := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"
	for _, seed := range []string{
		"", "---", "--- \n...\n", "# nothing", "null", "[]", "{}", "7", "\x00", "\xff\xfe", "\ufeff" + one, "%YAML 1.1\n---\n" + one,
		one, one + "---\n" + strings.ReplaceAll(one, "name: a", "name: b"), one + "---\n" + one, one + one, "---" + one, strings.ReplaceAll(one, "\n", "\r\n"),
		`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}} {"apiVersion":"v1","kind":"Secret","metadata":{"name":"b"},"data":{"a":"YQ=="}}`,
		`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"metadata":null,"Metadata":{"name":"b"}}`,
		"apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n- null\n- {kind: List, apiVersion: v1, items: [{}]}\n",
		"apiVersion: v1\nkind: SecretList\nitems: [{metadata: {name: a}, stringData: {pin: 1, key: x}}]\n",
		"a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\n", "a: *b", "<<: {a: b}", "? a\n: b", "a: !!binary x", "{[a]: b}",
		"apiVersion: a/b/c\nkind: ../..\nmetadata: {name: ../../secrets/x, namespace: ../x, generateName: y, uid: z, managedFields: []}\nstatus: {}\n",
		"apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: 'a:b', labels: 7}\n",
		strings.Repeat("[", 5000), strings.Repeat(`{"a":`, 5000), strings.Repeat("- ", 5000), "a: '" + strings.Repeat("x", 2000) + "'",
	} {
		f.Add([]byte(seed), false)
		f.Add([]byte(seed), true)
	}
	f.Fuzz(func(t *testing.T, text []byte, inline bool) {
		rules := manifests.Rules{Namespace: "shop"}
		read := func() ([]objects.Object, error) { return manifests.Read(text, rules) }
		if inline {
			value, err := json.Marshal(string(text))
			require.NoError(t, err)
			if json.Valid(text) {
				value = text
			}
			read = func() ([]objects.Object, error) { return manifests.ReadInline(value, rules) }
		}
		objects, err := read()
		if err != nil {
			var named *contract.Error
			require.ErrorAs(t, err, &named)
			assert.Equal(t, contract.InvalidInput, named.Name)
			assert.LessOrEqual(t, len(contract.Clip(named.Message, 30<<10)), 32<<10)
			assert.NotContains(t, named.Message, "\n", "nothing that is quoted begins a line")
			return
		}
		assert.NotEmpty(t, objects)
		assert.LessOrEqual(t, len(objects), manifests.MaxObjects)
		seen := map[string]bool{}
		for _, o := range objects {
			// What passes cannot become another path of the API.
			for _, segment := range []string{o.Group, o.Version, o.Kind, o.Namespace, o.Name} {
				assert.NotContains(t, segment, "/")
				assert.NotContains(t, segment, "%")
				assert.NotContains(t, []string{".", ".."}, segment)
			}
			for _, segment := range []string{o.Version, o.Kind, o.Namespace, o.Name} {
				assert.NotEmpty(t, segment)
			}
			for _, r := range o.Group + o.Version + o.Kind + o.Namespace + o.Name {
				assert.True(t, unicode.IsPrint(r) && !unicode.IsSpace(r), "%q", r)
			}
			assert.False(t, slices.Contains([]string{"rbac.authorization.k8s.io", "admissionregistration.k8s.io"}, o.Group), "it was not allowed")
			key := strings.Join([]string{o.Group, o.Kind, o.Namespace, o.Name}, "/")
			assert.False(t, seen[key], "an object is there once")
			seen[key] = true
			// What is sent is what was read. The API server tells apart what differs in case.
			sent := map[string]any{}
			require.NoError(t, json.Unmarshal(o.JSON, &sent))
			metadata, _ := sent["metadata"].(map[string]any)
			assert.Equal(t, o.GroupVersion().String(), sent["apiVersion"])
			assert.Equal(t, o.Kind, sent["kind"])
			assert.Equal(t, o.Name, metadata["name"])
			assert.Contains(t, []any{o.Namespace, "", nil}, metadata["namespace"])
			if inline && o.IsSecret() {
				assert.Empty(t, sent["data"])
				assert.Empty(t, sent["stringData"])
			}
		}
	})
}
