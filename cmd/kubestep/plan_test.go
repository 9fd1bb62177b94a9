package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/follow"
)

func TestPlanTable(t *testing.T) {
	objects := []contract.PlannedObject{
		{APIVersion: "v1", Kind: "Namespace", Name: "fresh", Action: contract.Created},
		{APIVersion: "v1", Kind: "ConfigMap", Namespace: "fresh", Name: "settings", Action: contract.Created, Unchecked: "its namespace is among the manifests"},
		{
			APIVersion: "apps/v1", Kind: "Deployment", Namespace: "shop", Name: "web", Action: contract.Configured,
			Changes: []string{"~spec.replicas", "+metadata.labels.tier", "-spec.paused"}, Conflicts: []string{`spec.replicas is owned by "kubectl-edit" using apps/v1`},
		},
		{APIVersion: "v1", Kind: "Service", Namespace: "shop", Name: "web", Action: contract.Unchanged},
	}
	for name, output := range map[string]contract.ApplyResult{
		"planned":  {Cluster: demo, Mode: contract.PlanOnly, Drift: true, Plan: contract.PlanReport{Created: 2, Configured: 1, Unchanged: 1, Objects: objects, Diff: &contract.Diff{Bucket: "reports", Keys: []string{"nightly/diff-00000.txt"}}}},
		"applied":  {Cluster: demo, Mode: contract.Apply, Drift: true, Applied: 3, Ready: true, Plan: contract.PlanReport{Created: 2, Configured: 1, Unchanged: 700, Objects: objects, Truncated: true}},
		"no drift": {Cluster: demo, Mode: contract.PlanOnly, Plan: contract.PlanReport{Unchanged: 1, Objects: objects[3:]}},
		"hostile": {Cluster: demo, Mode: contract.PlanOnly, Plan: contract.PlanReport{Objects: []contract.PlannedObject{
			{Kind: "\x1b", Namespace: "a\tb", Name: "x\ny", Action: "\r", Changes: []string{"~\u202e"}, Conflicts: []string{"\x07"}, Unchecked: "\u009b"},
		}}},
	} {
		t.Run(name, func(t *testing.T) {
			document, err := json.Marshal(output)
			require.NoError(t, err)
			got, err := planTable(follow.Execution{Output: string(document), Stopped: time.Time{}.Add(2400 * time.Millisecond)}, false)
			require.NoError(t, err)
			golden(t, "plan-"+name, got)
			assert.NotRegexp(t, "[\x00-\x09\x0b-\x1f\x7f\u0080-\u009f\u202e]", got)
		})
	}
}

func TestApplyStartsAnExecutionOfTheManifests(t *testing.T) {
	one, two := filepath.Join(t.TempDir(), "one.yaml"), filepath.Join(t.TempDir(), "two.yaml")
	require.NoError(t, os.WriteFile(one, []byte("kind: A\n"), 0o600))
	require.NoError(t, os.WriteFile(two, []byte("kind: B\n"), 0o600))
	for sentence, c := range map[string]struct {
		args []string
		want string
	}{
		"of a file":             {[]string{"demo", "-f", one}, `{"clusterName":"demo","manifests":"kind: A\n","mode":"apply"}`},
		"of several files":      {[]string{"-f", one, "-f", two}, `{"manifests":"kind: A\n---\nkind: B\n","mode":"apply"}`},
		"of an object in S3":    {[]string{"--source", "s3://b/shop/all.yaml"}, `{"source":{"bucket":"b","key":"shop/all.yaml"},"mode":"apply"}`},
		"that only plans":       {[]string{"-f", one, "--plan"}, `{"manifests":"kind: A\n","mode":"plan"}`},
		"with every flag":       {[]string{"-f", one, "-n", "shop", "--force", "--wait", "90s", "--diff", "s3://b/p"}, `{"manifests":"kind: A\n","mode":"apply","namespace":"shop","force":true,"wait":{"timeoutSeconds":90},"output":{"bucket":"b","prefix":"p"}}`},
		"as its input has them": {[]string{"--input", `{"manifests":"kind: C"}`}, `{"manifests":"kind: C"}`},
	} {
		t.Run(sentence, func(t *testing.T) {
			s := newStepFunctions(t, map[string]any{"status": "SUCCEEDED", "output": `{}`})
			status, _, stderr := kubestep(t.Context(), append([]string{"apply", "--state-machine-arn", machine}, c.args...)...)
			require.Equal(t, succeeded, status, stderr)
			started := s.called("StartExecution")
			require.Len(t, started, 1)
			assert.JSONEq(t, c.want, started[0].body["input"].(string))
		})
	}
}

func TestApplySaysWhatIsWrongBeforeItStarts(t *testing.T) {
	for want, args := range map[string][]string{
		"there are no manifests":                           {"demo"},
		"--filename nowhere.yaml cannot be read":           {"-f", "nowhere.yaml"},
		"--filename and --source cannot be used together":  {"-f", "-", "--source", "s3://b/k"},
		`--source "b" is not of the form s3://BUCKET/KEY`:  {"--source", "b"},
		"--wait 2h0m0s is not between 1s and 1h":           {"-f", "-", "--wait", "2h"},
		"--plan and --wait cannot be used together":        {"-f", "-", "--plan", "--wait", "5s"},
		`--diff "x" is not of the form s3://BUCKET/PREFIX`: {"-f", "-", "--diff", "x"},
	} {
		t.Run(want, func(t *testing.T) {
			s := newStepFunctions(t, nil)
			status, _, stderr := kubestep(t.Context(), append([]string{"apply", "--state-machine-arn", machine}, args...)...)
			assert.Equal(t, misused, status)
			assert.Contains(t, stderr, want)
			assert.Empty(t, s.calls)
		})
	}
}
