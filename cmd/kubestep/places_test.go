package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestACauseNamesTheFileAndTheLineOfAnObject(t *testing.T) {
	const (
		a = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"
		b = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}\n"
		c = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: c}}\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: d}}\n"
	)
	folder := t.TempDir()
	one, two := filepath.Join(folder, "one.yaml"), filepath.Join(folder, "two.yaml")
	for sentence, test := range map[string]struct{ first, second, cause, want string }{
		"by the number of its document":          {a + "---\n" + b, c, "x (document 2), y (document 3, item 2).", "x (ONE:5), y (TWO:1, item 2)."},
		"after comments, which are not sent":     {"# why\n\n" + a + "---\n# why\n" + b, c, "x (document 2), z (document 4).", "x (ONE:8), z (TWO:1)."},
		"after empty documents":                  {"---\n---\n" + a, b, "x (document 2), y (document 3).", "x (ONE:3), y (TWO:1)."},
		"but not one that nobody gave":           {a, b, "x (document 7).", "x (document 7)."},
		"of JSON":                                {`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}}`, b, "y (document 2).", "y (TWO:1)."},
		"after a directive, for which more goes": {"%YAML 1.1\n---\n" + a, b, "x (document 1), y (document 2).", "x (ONE:3), y (TWO:1)."},
	} {
		t.Run(sentence, func(t *testing.T) {
			require.NoError(t, os.WriteFile(one, []byte(test.first), 0o600))
			require.NoError(t, os.WriteFile(two, []byte(test.second), 0o600))
			newStepFunctions(t, map[string]any{"status": "FAILED", "error": "InvalidInput", "cause": test.cause})
			args := []string{"apply", "--state-machine-arn", podMachine, "-f", one, "-f", two}
			status, _, stderr := kubestep(t.Context(), args...)
			require.Equal(t, failed, status)
			assert.Contains(t, stderr, "\n"+strings.NewReplacer("ONE", one, "TWO", two).Replace(test.want)+"\n")
			_, stdout, _ := kubestep(t.Context(), append(args, "-o", "json")...)
			assert.Contains(t, stdout, `"cause": "`+test.cause+`"`, "a program is told what the execution says")
		})
	}
	t.Run("of a Job", func(t *testing.T) {
		newStepFunctions(t, map[string]any{"status": "FAILED", "error": "InvalidInput", "cause": "x (document 1)."})
		_, _, stderr := kubestep(t.Context(), "job", "run", "--state-machine-arn", podMachine, "-f", jobFile(t, "# why\n"+jobManifest))
		assert.Regexp(t, `x \(.*:[23]\)\.`, stderr)
	})
	t.Run("from the standard input", func(t *testing.T) {
		newStepFunctions(t, map[string]any{"status": "FAILED", "error": "InvalidInput", "cause": "x (document 1)."})
		var out, err bytes.Buffer
		run(t.Context(), []string{"apply", "--state-machine-arn", podMachine, "-f", "-"}, strings.NewReader("\n"+a), &out, &err)
		assert.Contains(t, err.String(), "x (standard input:2).")
	})
	t.Run("but not of what --input has", func(t *testing.T) {
		newStepFunctions(t, map[string]any{"status": "FAILED", "error": "InvalidInput", "cause": "x (document 1)."})
		_, _, stderr := kubestep(t.Context(), "apply", "--state-machine-arn", podMachine, "--input", `{"manifests":[{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}}]}`)
		assert.Contains(t, stderr, "x (document 1).")
	})
}

func TestAProblemOfAFileNamesItsLine(t *testing.T) {
	file := filepath.Join(t.TempDir(), "app.yaml")
	require.NoError(t, os.WriteFile(file, []byte("# why\nkind: ConfigMap\nmetadata: {name: a}\n---\n\napiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, metadata: {name: b}}\n---\nfoo: [\nbar: x\n"), 0o600))
	newStepFunctions(t, nil)
	status, _, stderr := kubestep(t.Context(), "apply", "--state-machine-arn", podMachine, "-f", file)
	assert.Equal(t, misused, status)
	for _, want := range []string{file + ":2 (ConfigMap a): apiVersion is missing", file + ":6, item 1 (object b): kind is missing", file + ":12: it is not valid YAML: did not find"} {
		assert.Contains(t, stderr, want)
	}
	assert.NotContains(t, stderr, "document ")
}
