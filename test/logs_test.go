package test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestEveryInvocationLeavesOneLineWithItsExecutionClusterAndMetrics(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	s.mapRole(t)
	e := s.run(t, `{"clusterName":"demo"}`)
	succeeded(t, e)
	name := e.ARN[strings.LastIndex(e.ARN, ":")+1:]

	for function, state := range map[string]string{"describe-cluster": "DescribeCluster", "mint-token": "MintToken", "verify-rbac": "VerifyRBAC", "list-pods": "ListPods"} {
		text, err := os.ReadFile(filepath.Join(logs, s.stack.Name+"-"+function+".log"))
		require.NoError(t, err)
		var found []map[string]any
		for line := range strings.Lines(string(text)) {
			var members map[string]any
			if json.Unmarshal([]byte(line), &members) == nil && members["_aws"] != nil {
				found = append(found, members)
			}
		}
		require.Len(t, found, 1, function)
		for member, want := range map[string]any{"stackName": s.stack.Name, "state": state, "execution": name, "cluster": "demo", "msg": "done", "coldStart": 1.0} {
			assert.Equal(t, want, found[0][member], "%s: %s", function, member)
		}
		if state == "ListPods" {
			assert.Positive(t, found[0]["pods.Running"])
		}
	}
}
