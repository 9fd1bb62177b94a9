package manifests_test

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/manifests"
)

const configMap = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\ndata: {a: \"1\"}\n"

// names returns the objects, such as "ConfigMap shop/a".
func names(objects []manifests.Object) []string {
	all := make([]string, 0, len(objects))
	for _, o := range objects {
		all = append(all, fmt.Sprintf("%s %s/%s", o.Kind, o.Namespace, o.Name))
	}
	return all
}

func TestObjectsAreReadFromWhatPeopleHave(t *testing.T) {
	for sentence, c := range map[string]struct {
		text string
		want []string
	}{
		"one document":                   {fmt.Sprintf(configMap, "a"), []string{"ConfigMap shop/a"}},
		"several documents":              {fmt.Sprintf(configMap, "a") + "---\n" + fmt.Sprintf(configMap, "b"), []string{"ConfigMap shop/a", "ConfigMap shop/b"}},
		"comments and empty documents":   {"# one\n---\n---\n# two\n---\n" + fmt.Sprintf(configMap, "a") + "---\n\n", []string{"ConfigMap shop/a"}},
		"a namespace of its own":         {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: other}", []string{"ConfigMap other/a"}},
		"a List":                         {"apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n- {apiVersion: apps/v1, kind: Deployment, metadata: {name: b}}", []string{"ConfigMap shop/a", "Deployment shop/b"}},
		"a List without items":           {"apiVersion: v1\nkind: List\nitems: []\n---\n" + fmt.Sprintf(configMap, "a"), []string{"ConfigMap shop/a"}},
		"a typed List":                   {"apiVersion: v1\nkind: ConfigMapList\nitems:\n- metadata: {name: a}\n- metadata: {name: b}", []string{"ConfigMap shop/a", "ConfigMap shop/b"}},
		"JSON":                           {`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}}`, []string{"ConfigMap shop/a"}},
		"JSON, one after the other":      {`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}} {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"b"}}`, []string{"ConfigMap shop/a", "ConfigMap shop/b"}},
		"YAML in the flow style":         {`{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}`, []string{"ConfigMap shop/a"}},
		"aliases":                        {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a: &x one, b: *x}", []string{"ConfigMap shop/a"}},
		"a kind whose name ends in List": {"apiVersion: example.com/v1\nkind: AllowList\nmetadata: {name: a}\nspec: {}", []string{"AllowList shop/a"}},
		"the same name in two kinds":     {fmt.Sprintf(configMap, "a") + "---\napiVersion: v1\nkind: Service\nmetadata: {name: a}", []string{"ConfigMap shop/a", "Service shop/a"}},
	} {
		t.Run(sentence, func(t *testing.T) {
			objects, err := manifests.Read([]byte(c.text), manifests.Rules{Namespace: "shop"})
			require.NoError(t, err)
			assert.Equal(t, c.want, names(objects))
			for _, o := range objects {
				var sent struct{ APIVersion, Kind string }
				require.NoError(t, json.Unmarshal(o.JSON, &sent))
				assert.Equal(t, o.Kind, sent.Kind, "what is sent says its kind")
				assert.Equal(t, o.GroupVersion().String(), sent.APIVersion)
			}
		})
	}
}

func TestInlineManifestsAreAStringOrAnArray(t *testing.T) {
	text, err := json.Marshal(fmt.Sprintf(configMap, "a"))
	require.NoError(t, err)
	for sentence, value := range map[string]string{
		"a string of YAML documents": string(text),
		"an array of objects":        `[{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"a":"1"}}]`,
	} {
		t.Run(sentence, func(t *testing.T) {
			objects, err := manifests.ReadInline(json.RawMessage(value), manifests.Rules{Namespace: "shop"})
			require.NoError(t, err)
			assert.Equal(t, []string{"ConfigMap shop/a"}, names(objects))
		})
	}
	_, err = manifests.ReadInline(json.RawMessage(`{"apiVersion":"v1"}`), manifests.Rules{})
	assert.EqualError(t, err, "manifests: expected a string of YAML documents or an array of objects")
}

func TestEachProblemHasASentence(t *testing.T) {
	for sentence, c := range map[string]struct{ text, want string }{
		"nothing at all":                {"", "The manifests hold no object: every document is empty or a comment"},
		"comments only":                 {"# later\n---\n# more\n", "The manifests hold no object: every document is empty or a comment"},
		"no YAML":                       {"a: [", "document 1: it is not valid YAML: line 1: did not find expected node content"},
		"a key twice":                   {"apiVersion: v1\nkind: ConfigMap\nkind: Secret\nmetadata: {name: a}", `document 1: it is not valid YAML: unmarshal errors: line 3: key "kind" already set in map`},
		"no object":                     {"just text", "document 1: it is not a Kubernetes object: expected apiVersion, kind and metadata"},
		"a separator with text":         {"--- text\na: b", "document 1: invalid Yaml document separator: text"},
		"no apiVersion":                 {"kind: ConfigMap\nmetadata: {name: a}", "document 1 (ConfigMap a): apiVersion is missing"},
		"an apiVersion of three parts":  {"apiVersion: a/b/c\nkind: ConfigMap\nmetadata: {name: a}", `document 1 (ConfigMap a): "a/b/c" is not a valid apiVersion`},
		"an apiVersion that climbs":     {"apiVersion: ../v1\nkind: ConfigMap\nmetadata: {name: a}", `document 1 (ConfigMap a): "../v1" is not a valid apiVersion`},
		"no kind":                       {"apiVersion: v1\nmetadata: {name: a}", "document 1 (object a): kind is missing"},
		"no name":                       {"apiVersion: v1\nkind: ConfigMap\nmetadata: {}", "document 1 (ConfigMap): metadata.name is missing"},
		"a name that is a number":       {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: 5}", "document 1: metadata.name is not a string: put it in quotes"},
		"a name with a slash":           {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a/b}", `document 1 (ConfigMap a/b): "a/b" is not a valid name: it may not contain '/'`},
		"a name too long":               {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + strings.Repeat("a", 254) + "}", "its name has 254 characters: expected at most 253"},
		"a namespace with capitals":     {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: Shop}", `document 1 (ConfigMap Shop/a): "Shop" is not a valid namespace`},
		"metadata that is a list":       {"apiVersion: v1\nkind: ConfigMap\nmetadata: []", "document 1: metadata is not an object"},
		"generateName":                  {"apiVersion: v1\nkind: ConfigMap\nmetadata: {generateName: a-}", "document 1 (ConfigMap): it has generateName, so each execution would create another object: give it a name"},
		"a status and nothing else":     {"apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nstatus: {phase: Running}", "document 1 (Pod a): it holds a status and nothing else, and a status is not applied"},
		"what a cluster gave out":       {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, resourceVersion: \"5\"}", "document 1 (ConfigMap a): metadata.resourceVersion belongs to an object that was read from a cluster: remove it"},
		"an object twice":               {fmt.Sprintf(configMap, "a") + "---\n" + fmt.Sprintf(configMap, "a"), "document 2 (ConfigMap a): it is in document 1 already"},
		"twice by the default":          {fmt.Sprintf(configMap, "a") + "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: shop}", "document 2 (ConfigMap shop/a): it is in document 1 already"},
		"a problem in a List":           {"apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n- {apiVersion: v1, kind: ConfigMap, metadata: {}}", "document 1, item 2 (ConfigMap): metadata.name is missing"},
		"a role":                        {"apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: a}", "document 1 (Role a): whoever applies Role objects can give themselves any permission, so this stack refuses them: to accept them, name Role in its parameter ApplyAllowedKinds"},
		"a webhook":                     {"apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingWebhookConfiguration\nmetadata: {name: a}", "to accept them, name ValidatingWebhookConfiguration in its parameter ApplyAllowedKinds"},
		"a number in a Secret":          {"apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {pin: 4711}", "document 1 (Secret a): stringData.pin is not a string: put it in quotes"},
		"a value that looks like alias": {"apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {pin: *hunter2}", "an alias (*) names an anchor (&) that is not in the document"},
		"an anchor of much text":        {"a: &a " + strings.Repeat("x", 1<<20) + "\nb: [*a, *a, *a, *a]", "document 1: its aliases expand to more than 3145728 bytes"},
		"aliases of aliases":            {bomb(), "document 1: it is not valid YAML: document contains excessive aliasing"},
		"a document too large":          {"a: " + strings.Repeat("x", 3<<20), "expected at most 3145728 in a YAML document"},
		"an object too large":           {`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"a":"` + strings.Repeat("x", 3<<20) + `"}}`, "the API server accepts at most 3145728"},
		"what is nested too deep":       {"a: " + strings.Repeat("[", 300) + strings.Repeat("]", 300), "document 1: it is nested deeper than 256 levels"},
		"what is nested far too deep":   {"a: " + strings.Repeat("[", 20000) + strings.Repeat("]", 20000), "exceeded max depth"},
	} {
		t.Run(sentence, func(t *testing.T) {
			_, err := manifests.Read([]byte(c.text), manifests.Rules{Namespace: "shop"})
			var named *contract.Error
			require.ErrorAs(t, err, &named)
			assert.Equal(t, contract.InvalidInput, named.Name)
			assert.Contains(t, named.Message, c.want)
			assert.NotContains(t, named.Message, "4711")
			assert.NotContains(t, named.Message, "hunter2")
			assert.Less(t, len(named.Message), 1000)
		})
	}
}

func TestACallerThatCannotKnowWhatTheStackAllowsReadsEveryKind(t *testing.T) {
	role := []byte("apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: a}")
	_, err := manifests.Read(role, manifests.Rules{})
	require.Error(t, err)
	objects, err := manifests.Read(role, manifests.Rules{AnyKind: true, Inline: true})
	require.NoError(t, err)
	assert.Equal(t, []string{"Role /a"}, names(objects))
}

func bomb() string {
	text := "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
	for i := 1; i < 9; i++ {
		text += fmt.Sprintf("a%d: &a%d [%s*a%d]\n", i, i, strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 9), i-1)
	}
	return text
}

func TestAllProblemsAreNamedAtOnce(t *testing.T) {
	_, err := manifests.Read([]byte("kind: ConfigMap\nmetadata: {}\n---\na: [\n---\napiVersion: v1\nkind: Pod\nmetadata: {generateName: x}"), manifests.Rules{})
	require.Error(t, err)
	assert.Equal(t, "The manifests have 4 problems: document 1 (ConfigMap): apiVersion is missing; document 1 (ConfigMap): metadata.name is missing; "+
		"document 2: it is not valid YAML: line 1: did not find expected node content; "+
		"document 3 (Pod): it has generateName, so each execution would create another object: give it a name", err.Error())
}

func TestMoreProblemsThanAPersonReadsAreCounted(t *testing.T) {
	_, err := manifests.Read([]byte(strings.Repeat("---\nkind: ConfigMap\nmetadata: {name: a}\n", 900)), manifests.Rules{})
	require.Error(t, err)
	assert.True(t, strings.HasPrefix(err.Error(), "The manifests have 900 problems: "), err.Error()[:100])
	assert.True(t, strings.HasSuffix(err.Error(), "; and 850 more"))
}

func TestMoreObjectsThanOneExecutionTakesAreRefused(t *testing.T) {
	var text strings.Builder
	for i := range 1200 {
		fmt.Fprintf(&text, "---\n"+configMap, fmt.Sprintf("c%d", i))
	}
	_, err := manifests.Read([]byte(text.String()), manifests.Rules{})
	assert.EqualError(t, err, "The manifests hold 1200 objects: expected at most 1000. Apply them in several executions")
	_, err = manifests.Read(make([]byte, manifests.MaxBytes+1), manifests.Rules{})
	assert.EqualError(t, err, "The manifests have 10485761 bytes: expected at most 10485760")
}

func TestASecretIsNotReadFromTheExecutionInput(t *testing.T) {
	const secret = `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a"},"stringData":{"pin":"4711"}}`
	_, err := manifests.ReadInline(json.RawMessage("["+secret+"]"), manifests.Rules{})
	require.Error(t, err)
	assert.Equal(t, "The manifests have 1 problem: document 1 (Secret a): a Secret in the execution input stays readable in the execution history: put the manifests into S3 and name them by source (--source)", err.Error())
	_, err = manifests.Read([]byte(secret), manifests.Rules{})
	require.NoError(t, err, "from S3 it is")
	_, err = manifests.ReadInline(json.RawMessage(`[{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a"},"type":"kubernetes.io/service-account-token"}]`), manifests.Rules{})
	assert.NoError(t, err, "one without values is")
}

func TestARestrictedKindIsReadIfTheStackNamesIt(t *testing.T) {
	const role = "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: a}"
	_, err := manifests.Read([]byte(role), manifests.Rules{AllowedKinds: []string{"Role"}})
	require.NoError(t, err)
	_, err = manifests.Read([]byte(role), manifests.Rules{AllowedKinds: []string{"RoleBinding"}})
	require.Error(t, err)
}

func TestTenMegabytesOfJSONTakeAFewTimesTheirSize(t *testing.T) {
	item := `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c%d"},"data":{"a":"` + strings.Repeat("x", 10000) + `"}},`
	var text strings.Builder
	text.WriteString(`{"apiVersion":"v1","kind":"List","items":[`)
	for i := range 999 {
		fmt.Fprintf(&text, item, i)
	}
	list := strings.TrimSuffix(text.String(), ",") + "]}"
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	objects, err := manifests.Read([]byte(list), manifests.Rules{})
	runtime.ReadMemStats(&after)
	require.NoError(t, err)
	assert.Len(t, objects, 999)
	assert.Less(t, (after.TotalAlloc-before.TotalAlloc)>>20, uint64(150), "MiB allocated in all")
}
