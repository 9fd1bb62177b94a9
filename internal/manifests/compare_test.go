package manifests

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/kubestep/kubestep/internal/contract"
)

func object(t *testing.T, text string) map[string]any {
	t.Helper()
	var o map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(text), &o))
	return o
}

func TestAChangeIsReportedByItsPath(t *testing.T) {
	for sentence, c := range map[string]struct {
		live, next string
		want       []string
	}{
		"nothing":                            {"spec: {replicas: 2}", "spec: {replicas: 2}", nil},
		"a value":                            {"spec: {replicas: 2}", "spec: {replicas: 3}", []string{"~spec.replicas"}},
		"a new field":                        {"spec: {}", "spec: {paused: true}", []string{"+spec.paused"}},
		"a field that goes":                  {"data: {a: x, b: y}", "data: {a: x}", []string{"-data.b"}},
		"a key with dots":                    {"data: {a.conf: x}", "data: {a.conf: y}", []string{"~data[a.conf]"}},
		"a container, by its name":           {"c: [{name: a, image: x}, {name: b, image: x}]", "c: [{name: b, image: y}]", []string{"-c[name=a]", "~c[name=b].image"}},
		"a new container":                    {"c: [{name: a}]", "c: [{name: b}, {name: a}]", []string{"+c[name=b]"}},
		"the order of containers":            {"c: [{name: a}, {name: b}]", "c: [{name: b}, {name: a}]", []string{"~c (order)"}},
		"an item without a name":             {"args: [a, b]", "args: [a, c, d]", []string{"~args[1]", "+args[2]"}},
		"another type":                       {"a: {b: c}", "a: [b]", []string{"~a"}},
		"nothing that each write changes":    {"metadata: {resourceVersion: \"1\", generation: 1, managedFields: []}", "metadata: {resourceVersion: \"2\", generation: 2}", nil},
		"nothing that is the controllers'":   {"status: {phase: A}", "status: {phase: B}", nil},
		"a label":                            {"metadata: {labels: {a: x}}", "metadata: {labels: {a: x, b: y}}", []string{"+metadata.labels.b"}},
		"several things, by path":            {"b: 1\na: 1", "a: 2\nc: 1", []string{"~a", "-b", "+c"}},
		"the same number in another writing": {"a: 1", "a: 1", nil},
	} {
		t.Run(sentence, func(t *testing.T) {
			var got []string
			for _, change := range compare(object(t, c.live), object(t, c.next), true, false) {
				got = append(got, change.String())
			}
			assert.Equal(t, c.want, got)
		})
	}
}

const annotated = `metadata: {annotations: {kubectl.kubernetes.io/last-applied-configuration: "{hunter2}"}}`

func TestAValueOfASecretIsShownNowhere(t *testing.T) {
	for sentence, c := range map[string]struct{ live, next string }{
		"changed":                      {"data: {pin: hunter2}", "data: {pin: hunter3}"},
		"new":                          {"data: {}", "data: {pin: hunter2}"},
		"the first":                    {"kind: Secret", "data: {pin: hunter2}"},
		"with a dot in its key":        {"data: {.dockerconfigjson: hunter2}", "data: {.dockerconfigjson: hunter3}"},
		"in stringData":                {"stringData: {pin: hunter2}", "stringData: {pin: hunter3}"},
		"in what kubectl applied last": {annotated, "metadata: {annotations: {kubectl.kubernetes.io/last-applied-configuration: hunter3}}"},
		"with all annotations new":     {"metadata: {}", annotated},
		"with all metadata new":        {"{}", annotated},
		"gone":                         {annotated, "metadata: {annotations: {}}"},
	} {
		t.Run(sentence, func(t *testing.T) {
			changes := compare(object(t, c.live), object(t, c.next), true, true)
			require.NotEmpty(t, changes)
			shown := text("Secret shop/a", contract.PlannedObject{Action: contract.Configured}, changes)
			assert.NotContains(t, shown, "hunter")
			assert.Contains(t, shown, hidden)
		})
	}
}

func TestTheTextOfADifferenceReadsLikeADiff(t *testing.T) {
	changes := compare(
		object(t, "spec: {replicas: 2, old: true}\ndata: {a.conf: \"one\\ntwo\\nthree\"}"),
		object(t, "spec: {replicas: 3, new: {a: [1, 2]}}\ndata: {a.conf: \"one\\n2\\nthree\"}"), true, false)
	assert.Equal(t, `Deployment shop/web: configured
  @ data[a.conf]
  - two
  + 2
  @ spec.new
  + a:
  + - 1
  + - 2
  @ spec.old
  - true
  @ spec.replicas
  - 2
  + 3
`, text("Deployment shop/web", contract.PlannedObject{Action: contract.Configured}, changes))
}

func TestWhatTheManagerOwnsIsComparedByItself(t *testing.T) {
	const other = "{manager: kubectl, operation: Apply, apiVersion: v1, fieldsV1: {a: {}}}"
	const update = "{manager: kubestep, operation: Update, apiVersion: v1, fieldsV1: {a: {}}}"
	const status = "{manager: kubestep, operation: Apply, subresource: status, apiVersion: v1, fieldsV1: {a: {}}}"
	of := func(entries string) string {
		return owned(object(t, "metadata: {managedFields: ["+entries+"]}"), "kubestep")
	}
	assert.Empty(t, of(other+","+update+","+status))
	own := of(other + ", {manager: kubestep, operation: Apply, apiVersion: v1, time: 2026-01-01, fieldsV1: {a: {}, b: {}}}")
	assert.NotEmpty(t, own)
	assert.Equal(t, own, of("{manager: kubestep, operation: Apply, apiVersion: v1, time: 2027-01-01, fieldsV1: {b: {}, a: {}}}"), "whenever that was")
	assert.NotEqual(t, own, of("{manager: kubestep, operation: Apply, apiVersion: v1, fieldsV1: {a: {}}}"))
}
