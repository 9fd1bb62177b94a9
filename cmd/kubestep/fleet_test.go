package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract"
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

	g.summary.Waves = []fleet.WaveSummary{{Name: "canary", Clusters: 1, Gate: fleet.GateFailed}}
	assert.Contains(t, g.result(paper{}), "go on with those not started (without the gate of wave canary, which was not passed): kubestep fleet ")
}

func TestAFleetWithWavesHasALineForEachThatFits(t *testing.T) {
	long := "a-name-of-the-greatest-length-32"
	g := &fleetGauge{summary: fleet.Summary{
		Note:     "The request has no wait.",
		Clusters: 10_000, ByStatus: map[fleet.Status]int{fleet.StatusSucceeded: 500, fleet.StatusFailed: 3, fleet.StatusNotStarted: 9497},
		Waves: []fleet.WaveSummary{
			{Name: long, Clusters: 2, ByStatus: map[fleet.Status]int{fleet.StatusSucceeded: 2}, Gate: fleet.GatePassed, Jobs: 2},
			{Name: "rest", Clusters: 9998, Tolerated: 2, ByStatus: map[fleet.Status]int{fleet.StatusSucceeded: 498, fleet.StatusFailed: 2, fleet.StatusTimedOut: 1, fleet.StatusNotStarted: 9497}},
		},
	}}
	fits := func(text string) {
		table, _, _ := strings.Cut(text, "10000 clusters")
		for line := range strings.Lines(table) {
			assert.LessOrEqual(t, utf8.RuneCountInString(strings.TrimSuffix(line, "\n")), 80, line)
		}
	}

	text := g.result(paper{width: 80})

	assert.True(t, strings.HasPrefix(text, `WAVE                              TOTAL  DONE  FAILED  NOT STARTED  MAY FAIL
a-name-of-the-greatest-length-32  2      2     0       0            0
rest                              9998   498   3       9497         2
  gate of a-name-of-the-greatest-length-32: passed; its job succeeded in 2 clusters

The request has no wait.

10000 clusters: 500 succeeded`), text)

	g.summary.Waves[0].RolledBack, g.summary.Waves[0].Gate, g.summary.Waves[0].Jobs = 2, "", 0
	g.summary.Waves[1].ByStatus = map[fleet.Status]int{fleet.StatusSucceeded: 490, fleet.StatusLeftOut: 8, fleet.StatusFailed: 3, fleet.StatusNotStarted: 9497}
	g.summary.Waves[1].RolledBack = 488
	g.summary.Rollback = &fleet.RollbackSummary{Clusters: 490, RolledBack: 490}
	g.summary.Totals = map[string]int{"applied": 490}
	text = g.result(paper{width: 80})
	fits(text)
	assert.True(t, strings.HasPrefix(text, `WAVE           TOTAL  DONE  FAILED  LEFT OUT  ROLLED BACK  NOT STARTED  MAY FAIL
a-name…gth-32  2      0     0       0         2            0            0
rest           9998   2     3       8         488          9497         2
`), text)
	assert.Contains(t, text, "\n10000 clusters, before the rollback: 500 succeeded, 3 failed")
	assert.Contains(t, text, "in all, before the rollback: applied 490\n")
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

func TestNothingOfTheWavesIsLost(t *testing.T) {
	const rest = `{"name":"rest","percentage":100}`
	for waves, want := range map[string]string{
		`[{"name":"canary","percentage":5,"percentage":50},` + rest + `]`: "--waves has keys twice: [0].percentage",
		`[` + rest + `] [` + rest + `]`:                                   "--waves is not valid JSON: line 1, character 36",
	} {
		status, _, stderr := kubestep(t.Context(), "fleet", "--state-machine-arn", fleetMachine, "demo", "--waves", waves)
		assert.Equal(t, misused, status)
		assert.Contains(t, stderr, want)
	}
}

func TestAFleetWithoutClustersIsToldTheFlagsThatNameThem(t *testing.T) {
	const flags = "there are no clusters: name them, or use --region (and, if you like, --role-arn and --tag), --source or --filename"
	status, _, stderr := kubestep(t.Context(), "fleet", "--state-machine-arn", fleetMachine, "--concurrency", "5000")
	assert.Equal(t, misused, status)
	assert.Contains(t, stderr, flags)
	assert.Contains(t, stderr, "concurrency: 5000", "and what else is wrong")

	status, _, stderr = kubestep(t.Context(), "fleet", "--state-machine-arn", fleetMachine, "--input", "{}")
	assert.Equal(t, misused, status)
	assert.Contains(t, stderr, "clusters: missing: expected clusters, source, or regions (and, if you like, roleArns and tags)", "who writes an input is told its keys")
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

func TestAWideFleetHasALineForEachClusterWithItsRegionAndAccount(t *testing.T) {
	g := &fleetGauge{fleet: fleet.Fleet{StateMachineARN: podMachine}, summary: fleet.Summary{Clusters: 2, ByStatus: map[fleet.Status]int{fleet.StatusSucceeded: 1, fleet.StatusFailed: 1}}, outcomes: []fleet.Outcome{
		{Target: contract.Target{ClusterName: "demo"}, Status: fleet.StatusSucceeded, Seconds: 1.25, Totals: map[string]int{"pods": 12, "unhealthy": 5, "archived": 0}},
		{Target: contract.Target{ClusterName: "demo", Region: "us-east-1", RoleARN: "arn:aws:iam::444455556666:role/member"}, Status: fleet.StatusFailed, Seconds: 3, Error: "Unauthorized"},
	}}
	assert.True(t, strings.HasPrefix(g.result(paper{wide: true, width: 20}), `CLUSTER   REGION      ACCOUNT        STATUS      TOOK    TOTALS                 ERROR
demo      eu-west-1   123456789012   succeeded   1.2 s   pods 12, unhealthy 5   <none>
demo      us-east-1   444455556666   failed      3.0 s   <none>                 Unauthorized

`), g.result(paper{wide: true, width: 20}))
	assert.Contains(t, g.result(paper{}), "ACCOUNT", "of a few, not only a wide one")
	here := *g
	here.outcomes = g.outcomes[:1]
	assert.True(t, strings.HasPrefix(here.result(paper{}), `CLUSTER   STATUS      TOOK    TOTALS                 ERROR
demo      succeeded   1.2 s   pods 12, unhealthy 5   <none>
all in eu-west-1 of account 123456789012

`), here.result(paper{}))
	here.outcomes = []fleet.Outcome{{Target: contract.Target{ClusterName: "demo"}, Status: fleet.StatusSucceeded, Seconds: 1, Totals: map[string]int{"applied": 0, "configured": 0, "created": 0, "drift": 0, "pruned": 0, "unchanged": 0}}}
	assert.Contains(t, here.result(paper{width: 80}), "demo      succeeded   1.0 s   nothing   <none>\n", "figures that are 0 would be cut")
	g.outcomes = slices.Repeat(g.outcomes, 11)
	assert.NotContains(t, g.result(paper{}), "ACCOUNT")
	assert.Contains(t, g.result(paper{wide: true}), "ACCOUNT")
}

func TestAFleetReadsItsClustersFromAFile(t *testing.T) {
	write := func(name, text string) string {
		file := filepath.Join(t.TempDir(), name)
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		return file
	}
	const arn = "arn:aws:eks:eu-west-1:123456789012:cluster/prod"
	manyARNs := ""
	for i := range 6000 {
		manyARNs += fmt.Sprintf("%s-%d\n", arn, i)
	}
	for sentence, c := range map[string]struct {
		args []string
		want string
	}{
		"a name in each line":             {[]string{"-f", write("c.txt", "demo\n# not this\n\n  prod \n")}, `{"workflow":"pod-inventory","clusters":["demo","prod"]}`},
		"an ARN":                          {[]string{"-f", write("c.txt", arn+"\n")}, `{"workflow":"pod-inventory","clusters":["` + arn + `"]}`},
		"JSON lines":                      {[]string{"-f", write("c.jsonl", "{\"clusterName\":\"demo\",\"region\":\"us-east-1\"}\n\"prod\"\n")}, `{"workflow":"pod-inventory","clusters":[{"clusterName":"demo","region":"us-east-1"},"prod"]}`},
		"one JSON line":                   {[]string{"-f", write("c.jsonl", `{"clusterName":"demo"}`)}, `{"workflow":"pod-inventory","clusters":[{"clusterName":"demo"}]}`},
		"CSV, as Excel writes it":         {[]string{"-f", write("c.csv", "\ufeffclusterName,region\r\ndemo,us-east-1\r\nprod,\r\n,\r\n")}, `{"workflow":"pod-inventory","clusters":[{"clusterName":"demo","region":"us-east-1"},{"clusterName":"prod"}]}`},
		"CSV of another name":             {[]string{"-f", write("clusters", "region,clusterName\nus-east-1,demo\n")}, `{"workflow":"pod-inventory","clusters":[{"clusterName":"demo","region":"us-east-1"}]}`},
		"CSV with spaces before quotes":   {[]string{"-f", write("c.csv", "clusterName, region\nprod, eu-west-1\ndemo, \"us-east-1\"\n")}, `{"workflow":"pod-inventory","clusters":[{"clusterName":"prod","region":"eu-west-1"},{"clusterName":"demo","region":"us-east-1"}]}`},
		"CSV with ARNs":                   {[]string{"-f", write("c.csv", "clusterName,roleArn\n"+arn+",\n"+arn+",arn:aws:iam::123456789012:role/other\n")}, ""},
		"the whole input, as YAML":        {[]string{"-f", write("f.yaml", "workflow: pod-inventory\nclusters: [demo]\nrequest: {namespaces: [shop]}\n"), "--concurrency", "2"}, `{"workflow":"pod-inventory","clusters":["demo"],"request":{"namespaces":["shop"]},"concurrency":2}`},
		"the whole input, as JSON":        {[]string{"-f", write("f.json", `{"regions":["eu-west-1"]}`)}, `{"workflow":"pod-inventory","regions":["eu-west-1"]}`},
		"a name that looks like a number": {[]string{"-f", write("c.txt", "2026\n")}, `{"workflow":"pod-inventory","clusters":["2026"]}`},
	} {
		t.Run(sentence, func(t *testing.T) {
			s := newStepFunctions(t, pods(t))
			status, _, stderr := kubestep(t.Context(), append([]string{"fleet", "--state-machine-arn", fleetMachine, "-o", "json"}, c.args...)...)
			if c.want == "" { // it is read, but twice the same cluster
				assert.Equal(t, misused, status)
				assert.Contains(t, stderr, "c.csv:3")
				return
			}
			require.Equal(t, succeeded, status, stderr)
			require.Len(t, s.called("StartExecution"), 1)
			assert.JSONEq(t, c.want, s.called("StartExecution")[0].body["input"].(string))
		})
	}
	for sentence, c := range map[string]struct {
		args []string
		want string
	}{
		"a name that is none, by its line":     {[]string{"-f", write("c.txt", "demo\n\n-x\n")}, `c.txt:3: "-x" is not`},
		"a Region of CSV, by its line":         {[]string{"-f", write("c.csv", "clusterName,region\ndemo,x\n")}, `c.csv:2.region: "x" is not a valid AWS Region`},
		"a column that nobody knows":           {[]string{"-f", write("c.csv", "clusterName,Region\ndemo,x\n")}, "c.csv:1: column 2: did you mean region?: expected the header clusterName,region,roleArn,wave"},
		"waves, which a list in S3 has":        {[]string{"-f", write("c.csv", "clusterName,wave\ndemo,x\n")}, "c.csv:2: has a wave: a list with waves is read from S3, so use --source"},
		"a wave in a line":                     {[]string{"-f", write("c.jsonl", `{"clusterName":"demo","wave":"x"}`)}, "c.jsonl:1: has a wave"},
		"what is not UTF-8, by its line":       {[]string{"-f", write("c.txt", "demo\n\xff\n")}, "c.txt:2: is not text in UTF-8"},
		"an ARN of another account":            {[]string{"-f", write("c.csv", "clusterName,roleArn\n\n"+arn+",arn:aws:iam::111122223333:role/a\n")}, "c.csv:3: has an ARN of another account in the column roleArn"},
		"what is not a role":                   {[]string{"-f", write("c.csv", "clusterName,roleArn\n"+arn+",member\n")}, `c.csv:2.roleArn: "member" is not a valid`},
		"more than an input holds":             {[]string{"-f", write("c.txt", manyARNs)}, "Step Functions accepts 262144. Put the list in S3, and name it with --source"},
		"records of another length":            {[]string{"-f", write("c.csv", "clusterName,region\ndemo\n")}, "c.csv:2: has another number of fields than the header: expected 2, not 1"},
		"a line that is not a cluster":         {[]string{"-f", write("c.txt", "demo\n{x\n")}, "c.txt:2: is not JSON: expected a name, an ARN, or an object"},
		"an argument twice":                    {[]string{"demo", "prod", "demo"}, "argument 3 (demo): repeats argument 1 (demo)"},
		"a cluster of a wave":                  {[]string{"demo", "--workflow", "apply-manifests", "--waves", `[{"name":"a","clusters":["-"]}]`}, `waves[0].clusters[0]: "-" is not a valid EKS cluster name`},
		"an argument that is none":             {[]string{"demo", "-", "a b"}, `argument 3 (a b): "a b" is not a valid EKS cluster name`},
		"more than a fleet has":                {[]string{"-f", write("c.txt", strings.Repeat("a\n", 10_002))}, "c.txt has 10002 clusters: expected at most 10000"},
		"an empty file":                        {[]string{"-f", write("c.txt", "# none\n")}, "c.txt has no clusters"},
		"a file that is not there":             {[]string{"-f", "nowhere.txt"}, "--filename nowhere.txt cannot be read"},
		"clusters twice":                       {[]string{"demo", "-f", write("c.txt", "prod\n")}, "--filename cannot be used together with the names of clusters or --source"},
		"an input twice":                       {[]string{"-f", write("f.yaml", "clusters: [demo]\n"), "--input", "{}"}, "and --input are both the whole input"},
		"a key that is there twice":            {[]string{"-f", write("f.json", `{"clusters":["a"],"clusters":["b"]}`)}, "f.json has keys twice: clusters"},
		"a key of the input that nobody knows": {[]string{"-f", write("f.yaml", "clusters: [demo]\nregion: x\n")}, `"region": unknown key`},
	} {
		t.Run(sentence, func(t *testing.T) {
			s := newStepFunctions(t, nil)
			status, _, stderr := kubestep(t.Context(), append([]string{"fleet", "--state-machine-arn", fleetMachine}, c.args...)...)
			assert.Equal(t, misused, status)
			assert.Contains(t, stderr, c.want)
			assert.Empty(t, s.calls)
		})
	}
}
