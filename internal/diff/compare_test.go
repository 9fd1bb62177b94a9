package diff

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/kubestep/kubestep/internal/kube"
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
			for _, change := range Compare(object(t, c.live), object(t, c.next), Rules{StatusIsApart: true}) {
				got = append(got, change.String())
			}
			assert.Equal(t, c.want, got)
		})
	}
}

const annotated = `metadata: {annotations: {kubectl.kubernetes.io/last-applied-configuration: "{hunter2}"}}`

func TestAValueOfASecretIsShownNowhere(t *testing.T) {
	for sentence, c := range map[string]struct{ live, next string }{
		"changed":                       {"data: {pin: hunter2}", "data: {pin: hunter3}"},
		"new":                           {"data: {}", "data: {pin: hunter2}"},
		"the first":                     {"kind: Secret", "data: {pin: hunter2}"},
		"with a dot in its key":         {"data: {.dockerconfigjson: hunter2}", "data: {.dockerconfigjson: hunter3}"},
		"in stringData":                 {"stringData: {pin: hunter2}", "stringData: {pin: hunter3}"},
		"in what kubectl applied last":  {annotated, "metadata: {annotations: {kubectl.kubernetes.io/last-applied-configuration: hunter3}}"},
		"with all annotations new":      {"metadata: {}", annotated},
		"with all metadata new":         {"{}", annotated},
		"gone":                          {annotated, "metadata: {annotations: {}}"},
		"in what another tool applied":  {"metadata: {annotations: {kapp.k14s.io/original: hunter2}}", "metadata: {annotations: {kapp.k14s.io/original: hunter3}}"},
		"in that, with all annotations": {"metadata: {}", "metadata: {annotations: {kapp.k14s.io/original: hunter3}}"},
		"in that, with all metadata":    {"{}", "metadata: {annotations: {kapp.k14s.io/original: hunter3}}"},
	} {
		t.Run(sentence, func(t *testing.T) {
			changes := Compare(object(t, c.live), object(t, c.next), Rules{StatusIsApart: true, Secret: true})
			require.NotEmpty(t, changes)
			shown := Text("Secret shop/a: configured", nil, changes)
			assert.NotContains(t, shown, "hunter")
			assert.Contains(t, shown, hidden)
		})
	}
}

func TestTheTextOfADifferenceReadsLikeADiff(t *testing.T) {
	changes := Compare(
		object(t, "spec: {replicas: 2, old: true}\ndata: {a.conf: \"one\\ntwo\\nthree\"}"),
		object(t, "spec: {replicas: 3, new: {a: [1, 2]}}\ndata: {a.conf: \"one\\n2\\nthree\"}"), Rules{StatusIsApart: true})
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
`, Text("Deployment shop/web: configured", nil, changes))
}

func TestTheCopyThatKubectlKeepsIsShownNowhere(t *testing.T) {
	for sentence, next := range map[string]string{
		"of the object":           annotated,
		"in a template":           "spec: {template: {" + annotated + "}}",
		"in an item of a list":    "spec: {templates: [{a: b}, {" + annotated + "}]}",
		"in a list of lists":      "spec: [[{" + annotated + "}]]",
		"with all annotations":    "metadata: {annotations: {a: b, kubectl.kubernetes.io/last-applied-configuration: {c: hunter2}}}",
		"beside another of these": "a: {" + annotated + "}\nb: {" + annotated + "}",
	} {
		t.Run(sentence, func(t *testing.T) {
			o := object(t, next)
			shown := Text("ConfigMap shop/a: configured", nil, Compare(object(t, "{}"), o, Rules{StatusIsApart: true}))
			assert.NotContains(t, shown, "hunter")
			assert.Contains(t, shown, hidden)
			assert.Equal(t, object(t, next), o, "what is compared stays as it is")
		})
	}
}

func TestAValueIsShownAsYAML(t *testing.T) {
	for _, value := range []string{
		`{"a": 1, "b": ["x", "1", null, true], "c": {}, "d": [], "e f": "two\nlines\n", "g": "", "h": 1.5, "i": " x", "j": "\t", "k": 9223372036854775807, "l": "yes"}`,
		`[["a", ["b"]], {"c": [{"d": "e"}]}]`, `7`, `[]`, `{}`, `true`, `1e300`,
	} {
		o, err := kube.Object([]byte(`{"a":` + value + `}`))
		require.NoError(t, err)
		decoded := o["a"]
		want, err := yaml.Marshal(decoded)
		require.NoError(t, err)
		lines := ""
		for line := range strings.Lines(string(want)) {
			lines += "  + " + line
		}
		assert.Equal(t, "x: configured\n  @ a\n"+lines, Text("x: configured", nil, []Change{{path: "a", new: decoded}}))
	}
}

// People print a difference from S3 to their terminal.
func TestADifferenceHoldsNothingThatATerminalActsOn(t *testing.T) {
	shown := Text("ConfigMap shop/a: configured", []string{"conflict: data.a\x1b[8m of kubectl\r"}, []Change{
		{path: "data.k\x1b[2J", old: "one\x1b[1A\rtwo\tthree\n", new: "é 😀 \u009b31m \u202egnp\n"},
		{path: "data", new: map[string]any{"x\x1b": "y\r"}},
	})
	assert.Equal(t, "ConfigMap shop/a: configured\n  # conflict: data.a\\x1b[8m of kubectl\\r\n  @ data.k\\x1b[2J\n"+
		"  - one\\x1b[1A\\rtwo\tthree\n  + é 😀 \\u009b31m \\u202egnp\n  @ data\n  + \"x\\e\": \"y\\r\"\n", shown)
}

// Who reviews a difference reads what is changed off its lines, and a key may be any text.
func TestNoNameInADifferenceIsALineOfItsOwn(t *testing.T) {
	shown := Text("Role shop/a: unchanged\nRole shop/b\x1b[2J: configured", []string{"of m\n  @ rules"}, []Change{
		{path: join("spec.any", "x\n  - 1\n  + 1\n  @ y"), old: "1", new: "2"},
	})
	assert.Equal(t, `Role shop/a: unchanged\nRole shop/b\x1b[2J: configured
  # of m   @ rules
  @ spec.any[x\n  - 1\n  + 1\n  @ y]
  - 1
  + 2
`, shown)
}

func TestADifferenceHasABound(t *testing.T) {
	long := strings.Repeat("x\n", 8<<20)
	for sentence, changes := range map[string][]Change{
		"of a long text":       {{path: "a", new: long}, {path: "b", new: "c"}},
		"of a long line":       {{path: "a", new: strings.Repeat("x", 8<<20)}, {path: "b", new: "c"}},
		"of two long texts":    {{path: "a", old: long + "y\n", new: "z\n" + long}, {path: "b", new: "c"}},
		"of many values":       {{path: "a", new: slices.Repeat([]any{map[string]any{"b": "c"}}, 1<<20)}, {path: "b", new: "c"}},
		"of a long text in it": {{path: "a", new: []any{long}}, {path: "b", new: "c"}},
	} {
		t.Run(sentence, func(t *testing.T) {
			shown := Text("ConfigMap shop/a: configured", nil, changes)
			assert.Less(t, len(shown), maxText+512<<10)
			assert.True(t, strings.HasSuffix(shown, "\n  … and 1 more changes: this difference is cut after 4194304 bytes\n"), shown[max(0, len(shown)-200):])
		})
	}
	t.Run("and a value of very many is shown as JSON, for which there is memory", func(t *testing.T) {
		shown := Text("t: configured", nil, []Change{{path: "p", new: slices.Repeat([]any{"a"}, maxNodes)}})
		assert.Contains(t, shown, "  @ p\n  + [\n  +  \"a\",\n")
		shown = Text("t: configured", nil, []Change{{path: "p", new: slices.Repeat([]any{"a"}, maxNodes-2)}})
		assert.Contains(t, shown, "  @ p\n  + - a\n")
	})
	t.Run("and texts are compared line by line", func(t *testing.T) {
		for _, c := range []struct{ old, next, want string }{
			{"a\nb", "a\nb\nc", "  - b\n  + b\n  + c\n"},
			{"a\n", "a\nb", "  + b\n"},
			{"x\nz", "y\nz", "  - x\n  + y\n"},
			{"az", "bz", "  - az\n  + bz\n"},
			{"a\na\na", "a\na", "  - a\n"},
			{"", "a", "  + a\n"},
			{"a\nb\nc\n", "a\nc\n", "  - b\n"},
			{"a\nb\nc\nd\ne\n", "A\nb\nc\nd\nE\n", "  - a\n  + A\n  …\n  - e\n  + E\n"},
			{strings.Repeat("a\n", maxNodes+1), "a\n", strings.Repeat("  - a\n", maxNodes+1) + "  + a\n"},
		} {
			assert.Equal(t, "t: configured\n  @ p\n"+c.want, Text("t: configured", nil, []Change{{path: "p", old: c.old, new: c.next}}), "%q %q", c.old, c.next)
		}
	})
}

// test/memory compares such objects in the function's memory.
func TestToCompareTakesNoMoreThanTheObjects(t *testing.T) {
	nested := func(leaf any) map[string]any {
		value := leaf
		for range 9000 {
			value = map[string]any{strings.Repeat("k", 1000): value}
		}
		return map[string]any{"a": value}
	}
	named := func(first int) map[string]any {
		items := make([]any, 100_000)
		for i := range items {
			items[i] = map[string]any{"name": fmt.Sprint(i + first)}
		}
		return map[string]any{"a": items}
	}
	for sentence, c := range map[string]struct {
		old, next map[string]any
		changes   int
	}{
		"nested in 9,000 levels":              {nested(1), nested(2), 1},
		"lists of 100,000 that are named":     {named(0), named(0), 0},
		"and lists in which they have others": {named(0), named(50_000), 100_000},
	} {
		t.Run(sentence, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			changes := Compare(c.old, c.next, Rules{StatusIsApart: true})
			runtime.ReadMemStats(&after)
			assert.Len(t, changes, c.changes)
			assert.Less(t, (after.TotalAlloc-before.TotalAlloc)>>20, uint64(100), "MiB")
		})
	}
}
