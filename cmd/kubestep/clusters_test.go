package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract"
)

// Whatever is in a file: it is the input of a fleet, or each cluster of the list is one that find-clusters
// would be told, or it is refused with nothing started.
func FuzzAFileOfClustersIsReadOrRefused(f *testing.F) {
	for _, seed := range []string{
		"demo\n# a\narn:aws:eks:eu-west-1:123456789012:cluster/prod\n", "clusterName,region\ndemo,eu-west-1\n", "\"demo\"\n{\"clusterName\":\"shop\"}\n", "clusters: [demo]\n", `{"regions":["eu-west-1"]}`,
		"\xef\xbb\xbf\"clusterName\"\r\ndemo\r\n", "clusterName,wave\na,b\n", "\xff\xfed\x00\n\x00",
	} {
		f.Add([]byte(seed))
	}
	var fleetOf machine
	for _, m := range machines() {
		if m.Name == "fleet" {
			fleetOf = m
		}
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		name := filepath.Join(t.TempDir(), "list")
		require.NoError(t, os.WriteFile(name, content, 0o600))
		cmd := &cobra.Command{}
		cmd.SetContext(t.Context())
		var wrong problems
		list, document := readFleetFile(cmd, name, &wrong)
		assert.Len(t, list.lines, len(list.clusters))
		lines := 1 + bytes.Count(content, []byte("\n"))
		for _, problem := range wrong {
			assert.True(t, strings.HasPrefix(problem, "--filename "+name), problem)
		}
		if document != "" {
			assert.True(t, json.Valid([]byte(document)))
			assert.Empty(t, list.clusters)
			return
		}
		for i, cluster := range list.clusters {
			require.True(t, json.Valid(cluster))
			require.LessOrEqual(t, list.lines[i], lines)
		}
		if len(wrong) > 0 || len(list.clusters) == 0 {
			return
		}
		input, err := encode(map[string]any{"workflow": "pod-inventory", "clusters": list.clusters})
		require.NoError(t, err)
		if err := fleetOf.readInput(contract.MachineARN(fleetMachine).Execution("one"), input); err != nil {
			assert.NotRegexp(t, `\bclusters\[\d+\]`, list.of(err.Error()), "each problem is told by its line")
		}
	})
}

// What a reader of one document does not see must not be lost: it may be half of the clusters.
func TestAFileThatIsAnInputIsOneDocument(t *testing.T) {
	for text, another := range map[string]bool{
		"clusters: [demo]\n": false, "---\nclusters: [demo]\n": false, "# a\n---\nclusters: [demo]\n...\n": false, `{"clusters":["demo"]}` + "\n": false, "{clusters: [demo]}\n# b\n": false,
		"clusters: [demo]\n---\nclusters: [prod]\n": true, `{"clusters":["demo"]}` + "\n" + `{"clusters":["prod"]}` + "\n": true, `{"clusters":["demo"]} {"clusters":["prod"]}`: true, "clusters: [demo]\n...\nclusters: [prod]\n": true,
	} {
		name := filepath.Join(t.TempDir(), "fleet.yaml")
		require.NoError(t, os.WriteFile(name, []byte(text), 0o600))
		cmd := &cobra.Command{}
		cmd.SetContext(t.Context())
		var wrong problems
		_, document := readFleetFile(cmd, name, &wrong)
		assert.JSONEq(t, `{"clusters":["demo"]}`, document, text)
		want := problems(nil)
		if another {
			want = problems{"--filename " + name + " has something after its first document, which would be lost: expected one input"}
		}
		assert.Equal(t, want, wrong, text)
	}
}
