package test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/follow"
)

func TestEveryInvocationLeavesOneLineWithItsExecutionClusterAndMetrics(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	s.mapRole(t)
	e := s.run(t, `{"clusterName":"demo"}`)
	succeeded(t, e)
	lines := linesOf(t, s, e, map[string]string{"describe-cluster": "DescribeCluster", "mint-token": "MintToken", "verify-rbac": "VerifyRBAC", "list-pods": "ListPods"})
	assert.Positive(t, lines["list-pods"]["pods.Running"])

	a := newAdmin(t)
	e = a.run(t, map[string]any{"manifests": configMaps(2), "mode": "plan"})
	applied(t, e)
	lines = linesOf(t, a.scenario, e, map[string]string{"load-manifests": "LoadManifests", "verify-apply": "VerifyApply", "plan-manifests": "PlanManifests"})
	for metric, want := range map[string]any{"objects.created": 2.0, "objects.configured": 0.0, "objects.unchanged": 0.0} {
		assert.Equal(t, want, lines["plan-manifests"][metric], metric)
	}
}

// linesOf are the lines that functions have written about their first execution, one each.
func linesOf(t *testing.T, s *scenario, e follow.Execution, functions map[string]string) map[string]map[string]any {
	t.Helper()
	lines := map[string]map[string]any{}
	name := e.ARN[strings.LastIndex(e.ARN, ":")+1:]
	for function, state := range functions {
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
		lines[function] = found[0]
	}
	return lines
}
