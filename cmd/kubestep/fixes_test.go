package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract"
)

func TestCommandsInACauseAreForTheClusterOfTheExecution(t *testing.T) {
	const config = `
apiVersion: v1
clusters:
- {name: other, cluster: {server: "https://other.example"}}
- {name: eks, cluster: {server: "https://DEMO.example/"}}
contexts:
- {name: elsewhere, context: {cluster: other}}
- {name: "my demo", context: {cluster: eks}}
current-context: elsewhere
`
	demo := contract.Cluster{Name: "demo", ARN: "arn:aws:eks:eu-west-1:111122223333:cluster/demo", Region: "eu-west-1", Endpoint: "https://demo.example"}
	const folder = "To let group g do so: kubectl apply -k rbac/namespace -n shop"
	const roles = "These roles allow what is missing; apply them with kubectl apply -f -\n---\nkind: Role\n"
	const renamed = "To let group g do so: kubectl kustomize rbac/jobs | sed s/a/b/ | kubectl apply -f - -n shop"
	const update = "aws eks update-kubeconfig --region eu-west-1 --name demo && "
	for sentence, c := range map[string]struct {
		cluster       contract.Cluster
		known, here   bool
		release       string
		cause, wanted string
	}{
		"by the context at its endpoint, whatever is current":  {demo, true, true, "", folder, "To let group g do so: kubectl --context 'my demo' apply -k rbac/namespace -n shop"},
		"by its ARN, once it is in kubectl's configuration":    {demo, false, true, "", folder, "To let group g do so: " + update + "kubectl --context " + demo.ARN + " apply -k rbac/namespace -n shop"},
		"with the folder of the repository, if it is not here": {demo, true, false, "", folder, "To let group g do so: kubectl --context 'my demo' apply -k https://github.com/kubestep/kubestep//rbac/namespace -n shop"},
		"that is, of the release":                              {demo, true, false, "v1.2.3", folder, "To let group g do so: kubectl --context 'my demo' apply -k 'https://github.com/kubestep/kubestep//rbac/namespace?ref=v1.2.3' -n shop"},
		"before YAML":                                          {demo, false, true, "", roles, "These roles allow what is missing; apply them with " + update + "kubectl --context " + demo.ARN + " apply -f -\n---\nkind: Role\n"},
		"before a pipe":                                        {demo, false, true, "", renamed, "To let group g do so: " + update + "kubectl kustomize rbac/jobs | sed s/a/b/ | kubectl --context " + demo.ARN + " apply -f - -n shop"},
		"but not if nobody knows the cluster":                  {contract.Cluster{}, true, true, "", folder, folder},
		"and a text without commands stays":                    {demo, true, true, "", "Wait, and start again.", "Wait, and start again."},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Chdir(t.TempDir())
			if c.here {
				require.NoError(t, os.MkdirAll(filepath.Join("rbac", "namespace"), 0o700))
			}
			t.Setenv("KUBECONFIG", "none"+string(os.PathListSeparator)+"config")
			if c.known {
				require.NoError(t, os.WriteFile("config", []byte(config), 0o600))
			}
			before := version
			version = c.release
			t.Cleanup(func() { version = before })
			f := fixes{cluster: c.cluster}
			assert.Equal(t, c.wanted, f.of(c.cause))
		})
	}
}

func TestTheClusterOfAnExecutionIsReadInItsHistory(t *testing.T) {
	s := newStepFunctions(t, map[string]any{"status": "FAILED", "error": "Forbidden", "cause": "No permission. To let group g do so: kubectl apply -k rbac/namespace -n shop"})
	t.Setenv("KUBECONFIG", "none")
	s.history = func(int) []map[string]any {
		return []map[string]any{
			{"id": 1, "type": "TaskStateEntered", "timestamp": 1795449600.0, "stateEnteredEventDetails": map[string]any{"name": "DescribeCluster"}},
			{"id": 2, "previousEventId": 1, "type": "TaskStateExited", "timestamp": 1795449600.0, "stateExitedEventDetails": map[string]any{"name": "DescribeCluster", "output": `{"cluster":{"name":"demo","arn":"arn:aws:eks:eu-west-1:111122223333:cluster/demo","region":"eu-west-1","endpoint":"https://x"}}`}},
			{"id": 3, "previousEventId": 2, "type": "ExecutionFailed", "timestamp": 1795449601.0},
		}
	}
	_, stdout, stderr := kubestep(t.Context(), "inventory", "demo", "--state-machine-arn", podMachine, "-o", "json")
	assert.Contains(t, stderr, "do so: aws eks update-kubeconfig --region eu-west-1 --name demo && kubectl --context arn:aws:eks:eu-west-1:111122223333:cluster/demo apply -k ")
	assert.Contains(t, stdout, `"cause": "No permission. To let group g do so: kubectl apply -k rbac/namespace -n shop"`, "a program is told what the execution says")
}
