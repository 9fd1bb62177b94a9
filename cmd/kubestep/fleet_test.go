package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract/fleet"
)

const fleetMachine = "arn:aws:states:eu-west-1:123456789012:stateMachine:kubestep-fleet"

const fleetExecution = "arn:aws:states:eu-west-1:123456789012:execution:kubestep-fleet:nightly"

func fleetSummary() fleet.Summary {
	return fleet.Summary{
		Fleet: "nightly", Workflow: "pod-inventory", Clusters: 40,
		ByStatus: map[fleet.Status]int{fleet.StatusSucceeded: 37, fleet.StatusFailed: 2, fleet.StatusTimedOut: 1},
		Totals:   map[string]int{"pods": 1200, "unhealthy": 7},
		Failures: []fleet.Failure{
			{Error: "Unauthorized", Clusters: 2, Names: []string{"search"}, Cause: "Map the role."},
			{Error: "States.Timeout", Clusters: 1, Names: []string{"evil\x1b[2J"}},
		},
		Report: &fleet.Report{Bucket: "reports", HTML: "nightly/report.html", Failed: "nightly/failed.jsonl", Again: "kubestep fleet --workflow pod-inventory --source s3://reports/nightly/failed.jsonl --report s3://reports/"},
	}
}

func TestAFleetThatStoppedSaysWhatWasNotStartedAndHowToGoOn(t *testing.T) {
	g := &fleetGauge{fleet: fleet.Fleet{Clusters: 4}, summary: fleet.Summary{
		Clusters: 4, ByStatus: map[fleet.Status]int{fleet.StatusFailed: 1, fleet.StatusNotStarted: 3},
		Failures: []fleet.Failure{{Error: "NotReady", Clusters: 1, Names: []string{"canary"}, Cause: "Wait longer."}},
		Report:   &fleet.Report{Bucket: "reports", HTML: "a/report.html", Continue: "kubestep fleet --source s3://reports/a/notstarted.jsonl"},
	}}

	text := g.result(paper{})

	assert.Contains(t, text, "4 clusters: 1 failed, 3 not started (none may fail)\n")
	assert.Contains(t, text, "go on with those not started: kubestep fleet --source s3://reports/a/notstarted.jsonl\n")
	assert.NotContains(t, text, "again")
}

func TestAFleetWithWavesHasALineForEachThatFits(t *testing.T) {
	long := "a-name-of-the-greatest-length-32"
	g := &fleetGauge{summary: fleet.Summary{
		Note:     "The request has no wait.",
		Clusters: 10_000, ByStatus: map[fleet.Status]int{fleet.StatusSucceeded: 500, fleet.StatusFailed: 3, fleet.StatusNotStarted: 9497},
		Waves: []fleet.WaveSummary{
			{Name: long, Clusters: 2, ByStatus: map[fleet.Status]int{fleet.StatusSucceeded: 2}, Gate: fleet.GatePassed},
			{Name: "rest", Clusters: 9998, Tolerated: 2, ByStatus: map[fleet.Status]int{fleet.StatusSucceeded: 498, fleet.StatusFailed: 2, fleet.StatusTimedOut: 1, fleet.StatusNotStarted: 9497}},
		},
	}}

	text := g.result(paper{})

	assert.True(t, strings.HasPrefix(text, `WAVE                              TOTAL  DONE  FAILED  MAY FAIL  LEFT  GATE
a-name-of-the-greatest-length-32  2      2     0       0         0     passed
rest                              9998   498   3       2         9497  

The request has no wait.

10000 clusters:`), text)
	table, _, _ := strings.Cut(text, "10000 clusters:")
	for line := range strings.Lines(table) {
		assert.LessOrEqual(t, len(line), 80)
	}
}

func TestAFleetSaysHowManyClustersGetTheSameChange(t *testing.T) {
	g := &fleetGauge{summary: fleet.Summary{
		Clusters: 420, ByStatus: map[fleet.Status]int{fleet.StatusSucceeded: 420},
		Effects: []fleet.Effect{
			{Digest: "q83vEjRWeJq8", Clusters: 412, Names: []string{"payments", "search"}, Totals: map[string]int{"created": 1, "configured": 2}},
			{Digest: "different123", Clusters: 8, Names: []string{"evil\x1b[2J"}, Totals: map[string]int{"configured": 3}},
		},
	}}
	assert.True(t, strings.HasPrefix(g.result(paper{}), `412 of 420 clusters get the same change; 8 differ.
  q83vEjRWeJq8  412 clusters: 2 configured, 1 created
    payments, search, … and 410 more
  different123  8 clusters: 3 configured
    evil\x1b[2J, … and 7 more

420 clusters: 420 succeeded
`), g.result(paper{}))
}

func TestTheFlagsOfAFleetMakeItsInput(t *testing.T) {
	output, err := json.Marshal(fleet.Output{Summary: fleetSummary()})
	require.NoError(t, err)
	asked := filepath.Join(t.TempDir(), "asked.json")
	require.NoError(t, os.WriteFile(asked, []byte(`{"source":{"bucket":"abc","key":"k"}}`), 0o600))
	for want, args := range map[string][]string{
		`{"workflow":"pod-inventory","clusters":["payments","search"]}`: {"payments", "search"},
		`{"workflow":"pod-inventory","regions":["eu-west-1","us-east-1"],"tags":{"environment":"production"},"output":{"bucket":"abc","prefix":"kubestep/"}}`: {
			"--region", "eu-west-1", "--region", "us-east-1", "--tag", "environment=production", "--report", "s3://abc/kubestep/",
		},
		`{"workflow":"apply-manifests","roleArns":["arn:aws:iam::444455556666:role/m"],"toleratedFailures":{"percentage":5},"concurrency":100,"request":{"source":{"bucket":"abc","key":"k"}}}`: {
			"--workflow", "apply-manifests", "--role-arn", "arn:aws:iam::444455556666:role/m", "--tolerate", "5%", "--concurrency", "100", "--request", "@" + asked,
		},
		`{"workflow":"pod-inventory","source":{"bucket":"abc","key":"failed.jsonl"},"toleratedFailures":{"count":3}}`: {"--source", "s3://abc/failed.jsonl", "--tolerate", "3"},
		`{"workflow":"apply-manifests","clusters":["a"],"request":{"source":{"bucket":"abc","key":"k"}}}`:             {"--input", `{"workflow":"apply-manifests","clusters":["a"],"request":{"source":{"bucket":"abc","key":"k"}}}`},
		`{"workflow":"apply-manifests","regions":["eu-west-1"],"waves":[{"name":"canary","clusters":["a",{"clusterName":"b"}],"toleratedFailures":{"count":0}},{"name":"rest","percentage":100,"concurrency":9}],"unmatched":"last","request":{"source":{"bucket":"abc","key":"k"}}}`: {
			"--workflow", "apply-manifests", "--region", "eu-west-1", "--request", "@" + asked, "--unmatched", "last",
			"--waves", `[{"name":"canary","clusters":["a",{"clusterName":"b"}],"toleratedFailures":{"count":0}},{"name":"rest","percentage":100,"concurrency":9}]`,
		},
		`{"workflow":"pod-inventory","clusters":["b"]}`:                                                   {"--input", `{"clusters":["b"]}`},
		`{"workflow":"apply-manifests","clusters":["c"],"request":{"source":{"bucket":"abc","key":"k"}}}`: {"--input", `{"clusters":["c"],"request":{"source":{"bucket":"abc","key":"k"}}}`, "--workflow", "apply-manifests"},
	} {
		s := newStepFunctions(t, map[string]any{"status": "SUCCEEDED", "output": string(output)})
		status, stdout, stderr := kubestep(t.Context(), append([]string{"fleet", "--state-machine-arn", fleetMachine}, args...)...)
		require.Equal(t, succeeded, status, stderr)
		assert.JSONEq(t, want, s.called("StartExecution")[0].body["input"].(string))
		golden(t, "fleet", stdout)
	}
}

func TestEveryProblemOfAFleetIsReported(t *testing.T) {
	newStepFunctions(t, nil)
	status, _, stderr := kubestep(t.Context(), "fleet", "--state-machine-arn", fleetMachine, "--source", "here", "--report", "s3://", "--tolerate", "few%", "--request", "{", "--waves", `[{"nam":"a"}]`)
	assert.Equal(t, misused, status)
	for _, want := range []string{`--source "here" is not of the form s3://BUCKET/KEY`, `--report "s3://" is not of the form s3://BUCKET/PREFIX`, `--tolerate "few%" is not a number such as 3, nor a percentage such as 5%`, "--request is not valid JSON", `--waves is not an array such as [{"name":"canary"`, `unknown field "nam"`} {
		assert.Contains(t, stderr, want)
	}
	assert.NotContains(t, stderr, "RawMessage", "what is wrong is said once")
	assert.NotContains(t, stderr, "--input")
}
