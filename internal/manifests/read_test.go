package manifests_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/manifests"
	"github.com/kubestep/kubestep/internal/objects"
)

const configMap = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\ndata: {a: \"1\"}\n"

// names returns the objects, such as "ConfigMap shop/a".
func names(given []objects.Object) []string {
	all := make([]string, 0, len(given))
	for _, o := range given {
		all = append(all, fmt.Sprintf("%s %s/%s", o.Kind, o.Namespace, o.Name))
	}
	return all
}

func TestObjectsAreReadFromWhatPeopleHave(t *testing.T) {
	for sentence, c := range map[string]struct {
		text string
		want []string
	}{
		"one document":                         {fmt.Sprintf(configMap, "a"), []string{"ConfigMap shop/a"}},
		"several documents":                    {fmt.Sprintf(configMap, "a") + "---\n" + fmt.Sprintf(configMap, "b"), []string{"ConfigMap shop/a", "ConfigMap shop/b"}},
		"comments and empty documents":         {"# one\n---\n---\n# two\n---\n" + fmt.Sprintf(configMap, "a") + "---\n\n", []string{"ConfigMap shop/a"}},
		"a namespace of its own":               {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: other}", []string{"ConfigMap other/a"}},
		"a List":                               {"apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n- {apiVersion: apps/v1, kind: Deployment, metadata: {name: b}}", []string{"ConfigMap shop/a", "Deployment shop/b"}},
		"a List without items":                 {"apiVersion: v1\nkind: List\nitems: []\n---\n" + fmt.Sprintf(configMap, "a"), []string{"ConfigMap shop/a"}},
		"a typed List":                         {"apiVersion: v1\nkind: ConfigMapList\nitems:\n- metadata: {name: a}\n- metadata: {name: b}", []string{"ConfigMap shop/a", "ConfigMap shop/b"}},
		"JSON":                                 {`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}}`, []string{"ConfigMap shop/a"}},
		"JSON, one after the other":            {`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}} {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"b"}}`, []string{"ConfigMap shop/a", "ConfigMap shop/b"}},
		"YAML in the flow style":               {`{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}`, []string{"ConfigMap shop/a"}},
		"aliases":                              {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a: &x one, b: *x}", []string{"ConfigMap shop/a"}},
		"a kind whose name ends in List":       {"apiVersion: example.com/v1\nkind: AllowList\nmetadata: {name: a}\nspec: {}", []string{"AllowList shop/a"}},
		"a list of other things":               {"apiVersion: example.com/v1\nkind: DenyList\nmetadata: {name: a}\nitems: [1.2.3.4, {cidr: 10.0.0.0/8}]", []string{"DenyList shop/a"}},
		"after ...":                            {fmt.Sprintf(configMap, "a") + "...\n" + fmt.Sprintf(configMap, "b"), []string{"ConfigMap shop/a", "ConfigMap shop/b"}},
		"UTF-16":                               {"\xff\xfe" + strings.Join(strings.Split(fmt.Sprintf(configMap, "a"), ""), "\x00") + "\x00", []string{"ConfigMap shop/a"}},
		"what a cluster gives out, left empty": {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, resourceVersion: '', uid: '', creationTimestamp: null, managedFields: null}", []string{"ConfigMap shop/a"}},
		"a role's name":                        {"apiVersion: example.com/v1\nkind: ConfigMap\nmetadata: {name: 'system:a-é'}", []string{"ConfigMap shop/system:a-é"}},
		"Lists in Lists":                       {"apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: List\n  items:\n  - {apiVersion: v1, kind: ConfigMapList, items: [{metadata: {name: a}}]}", []string{"ConfigMap shop/a"}},
		"the same name in two kinds":           {fmt.Sprintf(configMap, "a") + "---\napiVersion: v1\nkind: Service\nmetadata: {name: a}", []string{"ConfigMap shop/a", "Service shop/a"}},
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
		"a key twice":                   {"apiVersion: v1\nkind: ConfigMap\nkind: Secret\nmetadata: {name: a}", "document 1: it is not valid YAML: line 3: the key of line 2 is there again"},
		"no object":                     {"just text", "document 1: it is not a Kubernetes object: expected apiVersion, kind and metadata"},
		"a separator with text":         {"--- text\na: b", "document 1: it is not valid YAML: line 2: mapping values are not allowed in this context"},
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
		"Latin-1":                       {fmt.Sprintf(configMap, "a") + "---\na: \"M\xfcller\"\n", "document 2: it is not valid UTF-8: line 6: save the file as UTF-8"},
		"a name of two lines":           {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: \"a\\n---\\nb\"}", `document 1 (ConfigMap "a\n---\nb"): "a\n---\nb" is not a valid name: it may not contain white space or what cannot be printed`},
		"a name with a space":           {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a b}", `document 1 (ConfigMap "a b"): "a b" is not a valid name: it may not contain white space or what cannot be printed`},
		"a name that runs backwards":    {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: \"a\\u202eb\"}", `document 1 (ConfigMap "a\u202eb"): "a\u202eb" is not a valid name`},
		"a kind of two lines":           {"apiVersion: v1\nkind: \"A\\n---\\nb: c\"\nmetadata: {name: a}", `document 1 ("A\n---\nb: c" a): "A\n---\nb: c" is not a valid kind`},
		"a version with a space":        {"apiVersion: example.com/v 1\nkind: A\nmetadata: {name: a}", `document 1 (A a): "example.com/v 1" is not a valid apiVersion`},
		"a group of two lines":          {"apiVersion: \"example\\n.com/v1\"\nkind: A\nmetadata: {name: a}", `document 1 (A a): "example\n.com/v1" is not a valid apiVersion`},
		"a namespace of two lines":      {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: \"b\\nc\"}", `document 1 (ConfigMap "b\nc"/a): "b\nc" is not a valid namespace`},
		"a problem in a List of a List": {"apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n- apiVersion: v1\n  kind: List\n  items:\n  - {apiVersion: v1, kind: ConfigMap, metadata: {}}", "document 1, item 2.1 (ConfigMap): metadata.name is missing"},
		"Lists four deep":               {"apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: List, items: []}]}]}]", "document 1, item 1.1.1: it is a List in 3 others: expected at most 3 in one another"},
		"a List of nothing":             {"apiVersion: v1\nkind: List\nitems:\n---\napiVersion: v1\nkind: List\nitems: {}", "document 1: the items of the List are not an array: if there are none, write items: []; document 2: the items"},
		"a list of other things":        {"apiVersion: example.com/v1\nkind: DenyList\nmetadata: {}\nitems: [1.2.3.4]", "document 1, item 1: it is not an object, and so not an item of a DenyList: if this DenyList is not a list of objects, give it a name"},
		"a List of texts":               {"apiVersion: v1\nkind: List\nitems: [a]", "document 1, item 1: it is not a Kubernetes object"},
		"a role, misspelt":              {"apiVersion: rbac.authorization.k8s.io/v1\nkind: role\nmetadata: {name: a}", "document 1 (role a): rbac.authorization.k8s.io has no kind role: did you mean Role?"},
		"roles":                         {"apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoles\nmetadata: {name: a}", "document 1 (ClusterRoles a): rbac.authorization.k8s.io has no kind ClusterRoles: did you mean ClusterRole?"},
		"who may enter EKS":             {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: aws-auth, namespace: kube-system}", "document 1 (ConfigMap kube-system/aws-auth): whoever applies it can make anybody an administrator of an EKS cluster, so this stack refuses it: to accept it, name ConfigMap/aws-auth in its parameter ApplyAllowedKinds"},
		"a role":                        {"apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: a}", "document 1 (Role a): whoever applies Role objects can give themselves any permission, so this stack refuses them: to accept them, name Role in its parameter ApplyAllowedKinds"},
		"a webhook":                     {"apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingWebhookConfiguration\nmetadata: {name: a}", "to accept them, name ValidatingWebhookConfiguration in its parameter ApplyAllowedKinds"},
		"a number in a Secret":          {"apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {pin: 4711}", "document 1 (Secret a): stringData.pin is not a string: put it in quotes"},
		"a value that looks like alias": {"apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {pin: *hunter2}", "an alias (*) names an anchor (&) that is not in the document"},
		"an anchor of much text":        {"a: &a " + strings.Repeat("x", 1<<20) + "\nb: [*a, *a, *a, *a]", "document 1: its aliases expand to more than 3145728 bytes"},
		"aliases of aliases":            {bomb(), "document 1: its aliases expand to more than 3145728 bytes"},
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

func TestWhoMayEnterEKSIsRefusedByTheDefaultNamespaceToo(t *testing.T) {
	text := []byte(fmt.Sprintf(configMap, "aws-auth"))
	_, err := manifests.Read(text, manifests.Rules{Namespace: "kube-system"})
	require.ErrorContains(t, err, "to accept it, name ConfigMap/aws-auth")
	for sentence, rules := range map[string]manifests.Rules{
		"another namespace": {Namespace: "shop", AllowedKinds: []string{""}},
		"it is accepted":    {Namespace: "kube-system", AllowedKinds: []string{"Role", "ConfigMap/aws-auth"}},
	} {
		_, err := manifests.Read(text, rules)
		assert.NoError(t, err, sentence)
	}
}

func TestWhatIsSentIsWhatTheAPIServerKeeps(t *testing.T) {
	for sentence, c := range map[string]struct{ text, want string }{
		"stringData becomes data, and wins": {
			"apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ndata: {w: YQ==, x: Yg==}\nstringData: {x: hunter2, z: é}\ntype: Opaque",
			`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a"},"type":"Opaque","data":{"w":"YQ==","x":"aHVudGVyMg==","z":"w6k="}}`},
		"a null value is empty": {
			"apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ndata: {w: , x: YQ==}\nstringData: {z: ~}",
			`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a"},"data":{"w":"","x":"YQ==","z":""}}`},
		"stringData that is empty": {
			"apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {}",
			`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a"}}`},
		"data that is empty": {
			"apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ndata: {}\nstringData:",
			`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a"},"data":{}}`},
		"a Secret of others is as it is": {
			"apiVersion: example.com/v1\nkind: Secret\nmetadata: {name: a}\nstringData: {x: 1}",
			`{"apiVersion":"example.com/v1","kind":"Secret","metadata":{"name":"a"},"stringData":{"x":1}}`},
		"the rules that others aggregate are left out": {
			"apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: a}\naggregationRule: {clusterRoleSelectors: []}\nrules: []",
			`{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole","metadata":{"name":"a"},"aggregationRule":{"clusterRoleSelectors":[]}}`},
		"other rules are sent": {
			"apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: a}\naggregationRule:\nrules: []",
			`{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole","metadata":{"name":"a"},"aggregationRule":null,"rules":[]}`},
		"what a YAML parser takes for the end of a line": {
			"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {x: \"a\\x85b\\/\"}",
			``},
		"escaped": {
			"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {x: \"a\\x85b\"}",
			`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"x":"a\u0085b"}}`},
	} {
		t.Run(sentence, func(t *testing.T) {
			objects, err := manifests.Read([]byte(c.text), manifests.Rules{AnyKind: true})
			if c.want == "" {
				require.Error(t, err)
				return
			}
			require.NoError(t, err)
			require.Len(t, objects, 1)
			assert.Equal(t, c.want, string(objects[0].JSON))
		})
	}
}

func TestASecretInTheInputIsRefusedHoweverItIsSpelt(t *testing.T) {
	for _, text := range []string{
		"apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {x: hunter2}",
		"apiVersion: v1\nkind: secret\nmetadata: {name: a}\nstringData: {x: hunter2}",
		"apiVersion: v1\nkind: Secrets\nmetadata: {name: a}\ndata: {x: hunter2}",
		"apiVersion: core/v1\nkind: Secret\nmetadata: {name: a}\ndata: {x: hunter2}",
		"apiVersion: v2\nkind: Secret\nmetadata: {name: a}\ndata: {x: hunter2}",
		"apiVersion: v1\nkind: SecretList\nitems: [{metadata: {name: a}, data: {x: hunter2}}]",
		`{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a"},"data":{"x":"hunter2"}}]}`,
		"apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ndata: hunter2",
		"apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ndata: {<<: {x: hunter2}}",
	} {
		value, err := json.Marshal(text)
		require.NoError(t, err)
		_, err = manifests.ReadInline(value, manifests.Rules{})
		require.ErrorContains(t, err, "a Secret in the execution input stays readable", text)
		assert.NotContains(t, err.Error(), "hunter2")
	}
}

// Without the space after the colon, YAML has a key that holds the value.
func TestAKeyOfASecretThatMayHoldAValueIsNotSaid(t *testing.T) {
	for _, field := range []string{"data", "stringData"} {
		_, err := manifests.Read([]byte("apiVersion: v1\nkind: Secret\nmetadata: {name: a}\n"+field+": {password:hunter2}"), manifests.Rules{})
		assert.EqualError(t, err, "The manifests have 1 problem: document 1 (Secret a): "+field+" has a key that is not valid, and that is not shown because it may be a value: expected letters, digits, -, _ and ., and white space after the colon")
	}
}

func TestWhatIsNoTextInTheInputIsRefused(t *testing.T) {
	for _, value := range []string{
		`"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {x: ` + "M\xfcller" + `}"`,
		`"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {x: \ud83d}"`,
	} {
		_, err := manifests.ReadInline(json.RawMessage(value), manifests.Rules{})
		assert.EqualError(t, err, "The manifests have 1 problem: document 1: it is not valid UTF-8: line 4: save the file as UTF-8")
	}
	_, err := manifests.ReadInline(json.RawMessage(`[{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"a":"1","a":"2"}}]`), manifests.Rules{})
	assert.EqualError(t, err, "The manifests have 1 problem: document 1: it is not valid JSON: line 1: a key is in an object twice")
}

func TestListsInListsTakeNoMemory(t *testing.T) {
	text := `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"a":"` + strings.Repeat("x", 9<<20) + `"}}`
	for range 100 {
		text = `{"apiVersion":"v1","kind":"List","items":[` + text + "]}"
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := manifests.Read([]byte(text), manifests.Rules{})
	runtime.ReadMemStats(&after)
	require.ErrorContains(t, err, "document 1, item 1.1.1: it is a List in 3 others: expected at most 3 in one another")
	assert.Less(t, (after.TotalAlloc-before.TotalAlloc)>>20, uint64(100), "MiB allocated in all")
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
		"document 2: it is not valid YAML: line 4: did not find expected node content; "+
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
	assert.EqualError(t, err, "The manifests have more than 10485760 bytes: put them into several files, and apply each in an execution of its own")
}

func TestASecretIsNotReadFromTheExecutionInput(t *testing.T) {
	const secret = `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a"},"stringData":{"pin":"4711"}}`
	_, err := manifests.ReadInline(json.RawMessage("["+secret+"]"), manifests.Rules{})
	require.Error(t, err)
	assert.Equal(t, "The manifests have 1 problem: document 1 (Secret a): a Secret in the execution input stays readable in the execution history: put the manifests into S3 and name them by source (--source), and change the values if an execution was started with them", err.Error())
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
	if testing.Short() {
		t.Skip("the race detector allocates too, and make race says -short")
	}
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

// Whoever reads an error may not read the Secret that it is about.
func TestNoValueOfASecretIsInAnError(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	const characters = "\"'{}[]:,&*!|>%@`#-?\n\t \\~<=."
	for range 3000 {
		value := fmt.Sprintf("%06d", 100000+random.IntN(899999)) // such as a PIN
		for range random.IntN(3) {
			at := random.IntN(2) * len(value)
			value = value[:at] + string(characters[random.IntN(len(characters))]) + value[at:]
		}
		digits := strings.Trim(value, characters)
		text := fmt.Sprintf("apiVersion: v1\nkind: Secret\nmetadata: {name: a}\n%s:\n  pin: %s\n  other: %s\n", []string{"data", "stringData"}[random.IntN(2)], value, value)
		for _, rules := range []manifests.Rules{{}, {Inline: true}} {
			if _, err := manifests.Read([]byte(text), rules); err != nil {
				assert.NotContains(t, err.Error(), digits, text)
			}
		}
	}
}
