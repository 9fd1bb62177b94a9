package manifests_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/kubestep/kubestep/internal/manifests"
)

const tellTale = "Hunter2horse" // the value of each Secret here

// mutations put the value of a Secret where people put it by mistake.
var mutations = map[string]func(r *rand.Rand, secret map[string]any) any{
	"as it is": func(_ *rand.Rand, s map[string]any) any { return s },
	"a key misspelled": func(r *rand.Rand, s map[string]any) any {
		key := drawnOf(r, slices.Sorted(maps.Keys(s)))
		value := s[key]
		delete(s, key)
		s[misspelled(r, key)] = value
		return s
	},
	"the kind misspelled": func(r *rand.Rand, s map[string]any) any { s["kind"] = misspelled(r, "Secret"); return s },
	"another version": func(r *rand.Rand, s map[string]any) any {
		s["apiVersion"] = drawnOf(r, []string{"v2", "v", "core/v1", "apps/v1", "v1beta1", "events.k8s.io/v1"})
		return s
	},
	"the values outdented": func(_ *rand.Rand, s map[string]any) any {
		maps.Copy(s, s["stringData"].(map[string]any))
		s["stringData"] = nil
		return s
	},
	"the values outdented into metadata": func(_ *rand.Rand, s map[string]any) any {
		maps.Copy(s["metadata"].(map[string]any), s["stringData"].(map[string]any))
		delete(s, "stringData")
		return s
	},
	"the values in metadata": func(r *rand.Rand, s map[string]any) any {
		// A label is as public as a name: what may be one is taken for one.
		key := drawnOf(r, []string{"stringData", "data", "annotations", "generateName", "uid", "finalizers", "ownerReferences", "managedFields", "creationTimestamp"})
		s["metadata"].(map[string]any)[key] = s["stringData"]
		delete(s, "stringData")
		return s
	},
	"the values under another key": func(r *rand.Rand, s map[string]any) any {
		key := drawnOf(r, []string{"data", "spec", "Data", "immutable", "type", "status", "items", "template", "binaryData", "values"})
		s[key] = s["stringData"]
		delete(s, "stringData")
		return s
	},
	"a value in place of another": func(r *rand.Rand, s map[string]any) any {
		delete(s, "stringData")
		s[drawnOf(r, []string{"data", "stringData", "immutable", "type", "status", "password"})] = tellTale
		return s
	},
	"a key of the flow style without white space": func(_ *rand.Rand, s map[string]any) any {
		delete(s, "stringData")
		s["password:"+tellTale] = nil
		return s
	},
	"the copy that kubectl keeps": func(r *rand.Rand, s map[string]any) any {
		annotation := drawnOf(r, []string{"kubectl.kubernetes.io/last-applied-configuration", "example.com/copy"})
		copied, _ := json.Marshal(s)
		delete(s, "stringData")
		s["metadata"].(map[string]any)["annotations"] = map[string]any{annotation: string(copied)}
		return s
	},
	"a value in an annotation": func(r *rand.Rand, s map[string]any) any {
		delete(s, "stringData")
		s["metadata"].(map[string]any)["annotations"] = map[string]any{drawnOf(r, []string{"password", "kubernetes.io/service-account.name"}): tellTale}
		return s
	},
	"JSON in a string": func(r *rand.Rand, s map[string]any) any {
		values, _ := json.Marshal(s["stringData"])
		delete(s, "stringData")
		s[drawnOf(r, []string{"data", "stringData", "stringdata", "type"})] = string(values)
		return s
	},
	"JSON in a string in place of the Secret": func(_ *rand.Rand, s map[string]any) any {
		text, _ := json.Marshal(s)
		return string(text)
	},
}

// wrappings put a Secret into something else.
var wrappings = map[string]func(r *rand.Rand, secret any) any{
	"itself": func(_ *rand.Rand, s any) any { return s },
	"a List": func(_ *rand.Rand, s any) any {
		return map[string]any{"apiVersion": "v1", "kind": "List", "items": []any{s}}
	},
	"Lists": func(_ *rand.Rand, s any) any {
		return map[string]any{"apiVersion": "v1", "kind": "List", "items": []any{map[string]any{"apiVersion": "v1", "kind": "List", "items": []any{s}}}}
	},
	"a List, misspelled": func(r *rand.Rand, s any) any {
		return map[string]any{"apiVersion": "v1", "kind": "List", misspelled(r, "items"): []any{s}}
	},
	"a List, beside its items": func(r *rand.Rand, s any) any {
		return map[string]any{"apiVersion": "v1", "kind": "List", "items": []any{}, drawnOf(r, []string{"item", "metadata", "data"}): s}
	},
	"a SecretList": func(r *rand.Rand, s any) any {
		list := map[string]any{"apiVersion": "v1", "kind": drawnOf(r, []string{"SecretList", "secretlist", "SecretsList"}), "items": []any{s}}
		if r.IntN(2) == 0 {
			list["metadata"] = map[string]any{"name": "all"}
		}
		if o, ok := s.(map[string]any); ok {
			delete(o, "kind")
		}
		return list
	},
	"a resource of another": func(r *rand.Rand, s any) any {
		return map[string]any{"apiVersion": "example.com/v1", "kind": "Bundle", "metadata": map[string]any{"name": "b"}, "spec": map[string]any{drawnOf(r, []string{"manifest", "objects"}): []any{s}}}
	},
}

// inStrings put a Secret that is a manifest into a text of another object.
var inStrings = map[string]func(r *rand.Rand, secret map[string]any) any{
	"the data of a ConfigMap": func(r *rand.Rand, s map[string]any) any {
		text, _ := json.Marshal(s)
		if r.IntN(2) == 0 {
			text, _ = yaml.Marshal(s)
		}
		return map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "c"}, "data": map[string]any{"secret.yaml": string(text)}}
	},
	"an annotation of a ConfigMap": func(_ *rand.Rand, s map[string]any) any {
		text, _ := json.Marshal(s)
		return map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "c", "annotations": map[string]any{"kubectl.kubernetes.io/last-applied-configuration": string(text)}}}
	},
}

func drawnOf(r *rand.Rand, of []string) string { return of[r.IntN(len(of))] }

// misspelled changes a word as people do.
func misspelled(r *rand.Rand, word string) string {
	at := r.IntN(len(word))
	switch r.IntN(6) {
	case 0:
		return strings.ToLower(word)
	case 1:
		return strings.ToUpper(word[:1]) + word[1:]
	case 2:
		return word[:at] + word[at+1:]
	case 3:
		return word[:at] + word[at:at+1] + word[at:]
	case 4:
		return word + "s"
	default:
		return word[:at] + strings.ToUpper(word[at:at+1]) + word[at+1:]
	}
}

func newSecret(r *rand.Rand) map[string]any {
	s := map[string]any{
		"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": "db", "namespace": "shop"},
		"stringData": map[string]any{"password": tellTale},
	}
	if r.IntN(2) == 0 {
		s["type"] = "Opaque"
	}
	return s
}

// spelled is a document in a way in which an execution input may hold it.
func spelled(t *testing.T, r *rand.Rand, document any) json.RawMessage {
	t.Helper()
	configMap := map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "beside"}}
	array, err := json.Marshal([]any{configMap, document})
	require.NoError(t, err)
	first, err := yaml.Marshal(configMap)
	require.NoError(t, err)
	second, err := yaml.Marshal(document)
	require.NoError(t, err)
	text, err := json.Marshal(string(first) + "---\n" + string(second))
	require.NoError(t, err)
	if r.IntN(2) == 0 {
		return array
	}
	return text
}

// Everybody who may read an execution reads its input, so a Secret in it is refused
// whatever mistake is in it: the mistake is what makes it look like something else.
func TestNoValueOfASecretIsInManifestsThatAreAcceptedInline(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 2))
	try := func(sentence string, document any) {
		value := spelled(t, r, document)
		require.Contains(t, string(value), tellTale, sentence)
		_, err := manifests.ReadInline(value, manifests.Rules{Namespace: "shop", AnyKind: true})
		if assert.Error(t, err, "%s: %s", sentence, value) && !strings.Contains(sentence, "flow style") {
			assert.NotContains(t, err.Error(), tellTale, sentence)
		}
	}
	for range 40 {
		for mutation, mutate := range mutations {
			for wrapping, wrap := range wrappings {
				if wrapping == "a resource of another" && mutation != "as it is" && mutation != "the copy that kubectl keeps" && mutation != "JSON in a string in place of the Secret" {
					continue // it is read as closely as a Secret of its own is only if it is one
				}
				try(mutation+", in "+wrapping, wrap(r, mutate(r, newSecret(r))))
			}
		}
		for into, put := range inStrings {
			try(into, put(r, newSecret(r)))
		}
	}
}

func TestASecretWithoutValuesMayBeInTheInput(t *testing.T) {
	const token = `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a","namespace":"shop","labels":{"app.kubernetes.io/name":"shop","team":"a.b_c"},"creationTimestamp":null,` +
		`"annotations":{"kubernetes.io/service-account.name":"robot"}},"type":"kubernetes.io/service-account-token"`
	for sentence, object := range map[string]string{
		"a token of a service account": token + `}`,
		"empty values":                 token + `,"data":{},"stringData":null,"immutable":false}`,
		"no type":                      `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a"}}`,
		"a reference":                  `{"apiVersion":"example.com/v1","kind":"Route","metadata":{"name":"a","ownerReferences":[{"apiVersion":"v1","kind":"Secret","name":"b","uid":"1"}]},"spec":{"certificateRefs":[{"kind":"Secret","group":"","name":"tls"}]}}`,
		"a text about Secrets":         `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"readme":"Secret: kind: of\n  - secret: {{ .x }}","ref":"{\"kind\":\"Secret\",\"name\":\"a\"}"}}`,
		"the schema of something that writes Secrets": `{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"a.example.com"},"spec":{"properties":{"stringData":{"type":"object","additionalProperties":{"type":"string"}}}}}`,
		"a Secret of another group":                   `{"apiVersion":"secretsmanager.aws.example.com/v1","kind":"Secret","metadata":{"name":"a","annotations":{"a":"b"}},"spec":{"region":"eu-west-1"}}`,
		"a List as kubectl writes it":                 `{"apiVersion":"v1","kind":"List","metadata":{"resourceVersion":"","selfLink":""},"items":[` + token + `}]}`,
	} {
		t.Run(sentence, func(t *testing.T) {
			_, err := manifests.ReadInline(json.RawMessage("["+object+"]"), manifests.Rules{Namespace: "shop"})
			assert.NoError(t, err)
		})
	}
}

func TestWhatASecretInTheInputMayHoldIsSaid(t *testing.T) {
	_, err := manifests.ReadInline(json.RawMessage(`[{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a","annotations":{"team":"x"}}}]`), manifests.Rules{})
	require.Error(t, err)
	assert.Contains(t, fmt.Sprint(err), "document 1 (Secret a): a Secret in the execution input stays readable in the execution history: put the manifests into S3 and name them by source (--source)")
	assert.Contains(t, fmt.Sprint(err), "A Secret without values may be there if it has only apiVersion, kind, type, immutable, and metadata of name, namespace, labels and the annotation kubernetes.io/service-account.name")
}
