package fleet_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract"
	contractfleet "github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/internal/fleet"
)

// former is where the former version is of the manifests that a rollout applies.
const former = `"onFailure":"rollback","rollback":{"versionId":"v1"},"output":{"bucket":"reports"},"request":{"mode":"apply","source":{"bucket":"manifests","key":"base.yaml"}},`

// versioned is S3 with the manifests.
func versioned() *fakeS3 {
	return &fakeS3{objects: map[string]string{"manifests/base.yaml": "kind: ConfigMap"}, kinds: map[string]string{}}
}

// simulateOn is simulate with what S3 has.
func simulateOn(t *testing.T, s3 *fakeS3, input string, outcome func(contractfleet.Cluster, bool) (contractfleet.Status, string)) *simulation {
	t.Helper()
	s := &simulation{t: t, s3: s3}
	s.outcome = func(c contractfleet.Cluster) (contractfleet.Status, string) {
		return outcome(c, s.run.Rollback.Begun)
	}
	s.all(input)
	return s
}

func TestARollbackSaysWhatIsChanged(t *testing.T) {
	const waves = `"clusters":["a","b","c","d"],"concurrency":1,"waves":[{"name":"canary","clusters":["b"]},{"name":"half","percentage":50},{"name":"rest","percentage":100}]}`
	fails := func(back ...string) func(contractfleet.Cluster, bool) (contractfleet.Status, string) {
		return func(c contractfleet.Cluster, rolls bool) (contractfleet.Status, string) {
			if rolls && slices.Contains(back, c.Target.ClusterName) || !rolls && c.Target.ClusterName == "c" {
				return contractfleet.StatusFailed, "NotReady"
			}
			return contractfleet.StatusSucceeded, ""
		}
	}
	where := " The report: aws s3 cp s3://reports/" + folder + "report.html ."
	notStarted := " 1 cluster was not started: see s3://reports/" + folder + "notstarted.jsonl."

	s := simulateOn(t, versioned(), `{"workflow":"apply-manifests",`+former+waves, fails())
	assert.Equal(t, "Wave half stopped the rollout: 1 of its 2 clusters failed, and none may fail: 1 NotReady. Nothing is changed any more, but for objects that only the new version has: they stay, because the request has no set and prune: 3 clusters were rolled back."+notStarted+where, s.run.Cause)
	assert.Contains(t, s.run.Summary.Report.Continue, `--request '{"mode":"apply","source":{"bucket":"manifests","key":"base.yaml"}}'`, "of the new version")
	assert.Empty(t, s.run.Summary.Report.RollBack)

	pruned := strings.Replace(former, `"mode":"apply"`, `"mode":"apply","set":"base","prune":true`, 1)
	s = simulateOn(t, versioned(), `{"workflow":"apply-manifests",`+pruned+waves, fails())
	assert.Contains(t, s.run.Cause, "Nothing is changed any more: 3 clusters were rolled back.")

	s = simulateOn(t, versioned(), `{"workflow":"apply-manifests",`+former+waves, fails("a"))
	assert.Contains(t, s.run.Cause, ": 1 NotReady. These clusters are changed, or may be: a (NotReady). s3://reports/"+folder+"changed.jsonl lists them. 2 of 3 were rolled back."+notStarted)
	assert.Equal(t, `{"clusterName":"a","region":"eu-west-1","roleArn":"","wave":"half"}`+"\n", s.s3.objects["reports/"+folder+"changed.jsonl"])
	assert.Equal(t, `kubestep fleet --workflow apply-manifests --request '{"mode":"apply","source":{"bucket":"manifests","key":"base.yaml","versionId":"v1"}}' --waves '[{"name":"half","concurrency":1,"toleratedFailures":{"count":0}}]' --on-failure continue --concurrency 1 --source s3://reports/`+folder+`changed.jsonl --report s3://reports/`, s.run.Summary.Report.RollBack)
	var report struct {
		Outcomes []contractfleet.Outcome `json:"outcomes"`
	}
	require.NoError(t, json.Unmarshal([]byte(s.s3.objects["reports/"+folder+"report.json"]), &report))
	rolled := map[string]*contractfleet.RolledBack{}
	for _, o := range report.Outcomes {
		rolled[o.ClusterName] = o.Rollback
	}
	ok := &contractfleet.RolledBack{Status: contractfleet.StatusSucceeded}
	assert.Equal(t, map[string]*contractfleet.RolledBack{"a": {Status: contractfleet.StatusFailed, Error: "NotReady"}, "b": ok, "c": ok, "d": nil}, rolled)
}

func TestAGateThatIsNotPassedRollsBack(t *testing.T) {
	s3 := versioned()
	found, err := find(t, rollout(nil, s3), `{"workflow":"apply-manifests",`+former+`"clusters":["a","b"],"waves":[{"name":"canary","clusters":["a"],"gate":{"alarms":["errors"]}},{"name":"rest","percentage":100}]}`)
	require.NoError(t, err)
	first := well("a", 1)
	first.Wave = 1
	first.Totals = map[string]int{"created": 0, "configured": 1, "applied": 1}
	put(t, s3, "reports/"+folder+"outcomes/"+clusters(t, s3, found.Run.List)[0].Execution+".json", first)
	gate := summarize(t, s3, found.Fleet, ran(found.Run), time.Minute)
	require.Equal(t, contractfleet.VerdictGate, gate.Verdict)
	loud := ran(gate)
	loud.Gate.Seen = contractfleet.AlarmStates{Names: []string{"errors"}, States: []string{"ALARM"}}

	next := summarize(t, s3, found.Fleet, loud, time.Minute)

	assert.Equal(t, contractfleet.VerdictRollBack, next.Verdict)
	assert.Equal(t, contractfleet.RollingBack{Begun: true, Why: "the gate of wave canary was not passed: errors is ALARM", Clusters: 1, Laid: 1, Digest: next.Rollback.Digest}, next.Rollback)
	assert.Len(t, next.Rollback.Digest, 24)
	back := clusters(t, s3, next.List)
	require.Len(t, back, 1)
	put(t, s3, "reports/"+folder+"outcomes/"+back[0].Execution+".json", first)
	ended := ran(next)

	last := summarize(t, s3, found.Fleet, ended, time.Minute)

	assert.Equal(t, contractfleet.VerdictRolloutFailed, last.Verdict)
	assert.Contains(t, last.Cause, "Wave canary stopped the rollout: the gate of wave canary was not passed: errors is ALARM. Nothing is changed any more: 1 cluster was rolled back.", "nothing was created that could stay")
	assert.Equal(t, contractfleet.GateFailed, last.Summary.Waves[0].Gate)
	assert.Equal(t, 1, last.Summary.Waves[0].RolledBack)
	assert.Equal(t, 1, last.Summary.Waves[0].ByStatus[contractfleet.StatusSucceeded], "as before")

	for sentence, change := range map[string]func(*contractfleet.Outcome){
		"created an object":     func(o *contractfleet.Outcome) { o.Totals = map[string]int{"created": 1} },
		"does not tell":         func(o *contractfleet.Outcome) { o.Totals = nil },
		"failed, and was begun": func(o *contractfleet.Outcome) { o.Status = contractfleet.StatusFailed },
	} {
		t.Run("objects may stay if the cluster "+sentence, func(t *testing.T) {
			changed := first
			change(&changed)
			put(t, s3, "reports/"+folder+"outcomes/"+clusters(t, s3, found.Run.List)[0].Execution+".json", changed)
			assert.Contains(t, summarize(t, s3, found.Fleet, ended, time.Minute).Cause, "Nothing is changed any more, but for objects that only the new version has: they stay")
		})
	}
	t.Run("objects may stay if the cluster was tried twice", func(t *testing.T) {
		throttled := first
		throttled.Status, throttled.Error = contractfleet.StatusFailed, "Throttled"
		canary := clusters(t, s3, found.Run.List)[0]
		put(t, s3, "reports/"+folder+"outcomes/"+canary.Execution+".json", throttled)
		put(t, s3, "reports/"+folder+"outcomes/"+fleet.ExecutionName(found.Fleet, canary.Target, 2)+".json", first)
		assert.Contains(t, summarize(t, s3, found.Fleet, ended, time.Minute).Cause, "Nothing is changed any more, but for objects that only the new version has: they stay")
	})
}

func TestARollbackForWhichThereIsNoTimeSaysWhichClustersAreChanged(t *testing.T) {
	s3 := versioned()
	found, err := find(t, rollout(nil, s3), `{"workflow":"apply-manifests",`+former+`"clusters":["a","b"],"concurrency":1,"waves":[{"name":"all","percentage":100}]}`)
	require.NoError(t, err)
	put(t, s3, "reports/"+folder+"outcomes/"+clusters(t, s3, found.Run.List)[0].Execution+".json", failed("a", "NotReady"))

	s := summarizer(s3)
	s.Now = func() time.Time { return found.Fleet.StartedAt.Add(23 * time.Hour) }
	last, err := s.Summarize(t.Context(), contractfleet.Summarize{Fleet: found.Fleet, Request: found.Request, Former: found.Former, Run: ran(found.Run)})
	require.NoError(t, err)

	assert.Equal(t, contractfleet.VerdictRollbackFailed, last.Verdict)
	assert.Contains(t, last.Cause, "These clusters are changed, or may be: a (NotStarted).")
	assert.Contains(t, last.Summary.Report.RollBack, `"versionId":"v1"`, "which is the former version")
	assert.NotContains(t, last.Summary.Report.Again, "versionId")
	assert.NotContains(t, last.Summary.Report.Continue, "versionId")
}

func TestAClusterIsRolledBackThatTheFirstTryChangedAndTheSecondFoundDone(t *testing.T) {
	s := simulateOn(t, versioned(), `{"workflow":"apply-manifests",`+former+`"clusters":["a","b","c"],"concurrency":1,"waves":[{"name":"canary","clusters":["a","b"]},{"name":"rest","percentage":100}]}`,
		func(c contractfleet.Cluster, rolls bool) (contractfleet.Status, string) {
			switch name := c.Target.ClusterName; {
			case rolls:
				return contractfleet.StatusSucceeded, ""
			case name == "c":
				return contractfleet.StatusFailed, "NotReady"
			case name == "a" && c.Attempt == 1: // once all was applied
				return contractfleet.StatusFailed, "ClusterUnreachable"
			}
			return contractfleet.StatusSucceeded, nothing
		})

	var rolled []string
	for _, r := range s.rolled {
		rolled = append(rolled, r.cluster.Target.ClusterName)
	}
	assert.Equal(t, []string{"c", "a"}, rolled, "and b was as it should be at its first try")
}

func TestNoTwoFleetsOfANameShareWhatRollsBackOrTests(t *testing.T) {
	const input = `{"workflow":"apply-manifests","name":"base",` + former + `"clusters":["a"],"waves":[{"name":"all","percentage":100,"gate":{"job":` + smoke + `}}]}`
	names := map[string]bool{}
	for _, by := range []string{execution, execution + "-later"} {
		s3 := versioned()
		found, err := tester(s3).Find(t.Context(), contractfleet.FindClusters{Execution: by, StartedAt: start, Input: json.RawMessage(input)})
		require.NoError(t, err)
		first := clusters(t, s3, found.Run.List)[0].Execution
		names[first] = true
		for _, outcome := range []contractfleet.Outcome{well("a", 1), failed("a", "NotReady")} {
			at := strings.TrimSuffix(found.Run.List, "clusters.json")
			outcome.Wave = 1
			put(t, s3, "reports/"+at+"outcomes/"+first+".json", outcome)
			next := summarize(t, s3, found.Fleet, ran(found.Run), time.Minute)
			names[clusters(t, s3, next.List)[0].Execution] = true
		}
	}
	assert.Len(t, names, 2+2+2, "nor what applies: one of them may be rolled back while the other believes that it has the new version")
}

// samePlan is a rollout of one plan in two waves, with more of its input.
func samePlan(more string) string {
	return `{"workflow":"apply-manifests","requireSamePlan":true,"output":{"bucket":"reports"},"request":{"mode":"apply","effect":"q83vEjRWeJq8","source":{"bucket":"manifests","key":"base.yaml"}},` + more + `}`
}

// leaving leaves out those clusters, and of the others those fail.
func leaving(leftOut, failing string) func(contractfleet.Cluster, bool) (contractfleet.Status, string) {
	return func(c contractfleet.Cluster, rolls bool) (contractfleet.Status, string) {
		switch name := c.Target.ClusterName; {
		case !rolls && strings.Contains(leftOut, name):
			return contractfleet.StatusLeftOut, "PlanChanged"
		case !rolls && strings.Contains(failing, name):
			return contractfleet.StatusFailed, "NotReady"
		}
		return contractfleet.StatusSucceeded, ""
	}
}

func TestClustersThatAreLeftOutHaveNotFailed(t *testing.T) {
	s := simulateOn(t, versioned(), samePlan(`"onFailure":"rollback","rollback":{"versionId":"v1"},"clusters":["a","b","c","d"],"waves":[{"name":"canary","clusters":["b","d"]},{"name":"rest","percentage":100}]`), leaving("b", "c"))

	assert.True(t, s.fleet.SamePlan)
	assert.Equal(t, []string{"b", "d", "a", "c"}, s.began, "the canary has not failed")
	assert.Contains(t, s.run.Cause, "Wave rest stopped the rollout: 1 of its 2 clusters failed, and none may fail: 1 NotReady.")
	assert.Len(t, s.rolled, 3, "nor is it rolled back")
	assert.NotContains(t, s.rolled[0].request, "effect", "which is of the new version")
	assert.JSONEq(t, `{"clusterName":"b","region":"eu-west-1","roleArn":"","wave":"canary"}`, s.s3.objects["reports/"+folder+"differs.jsonl"])

	_, err := find(t, rollout(nil, versioned()), `{"workflow":"apply-manifests","requireSamePlan":true,"request":{"mode":"apply","manifests":"a"},"clusters":["a"]}`)
	named(t, err, contract.InvalidInput, "requireSamePlan: the request has no effect")
}

func TestAWaveInWhichNoClusterSucceededIsTheLast(t *testing.T) {
	const (
		three = `"clusters":["a","b","c","d","e"],"concurrency":1,"waves":[{"name":"first","clusters":["e"]},{"name":"canary","clusters":["a","b"],"toleratedFailures":{"count":1},"gate":{"soakSeconds":60}},{"name":"rest","percentage":100}]`
		back  = `"onFailure":"rollback","rollback":{"versionId":"v1"},`
	)
	large := strings.Replace(three, `"a"`, `{"clusterName":"a","roleArn":"arn:aws:iam::444455556666:role/`+strings.Repeat("path/", 60)+`name"}`, 1)
	for sentence, c := range map[string]struct {
		input, leftOut, failing string
		began                   string
		cause                   []string
	}{
		"since all were left out": {
			input: three, leftOut: "ab", began: "e a b",
			cause: []string{
				"Wave canary stopped the rollout: no cluster of wave canary succeeded, so it tested nothing: 2 clusters were left out, where the plan is another one than the effect of the request. 1 cluster is changed, or may be: e. 2 clusters were not started: see s3://reports/",
				"Look at what would change in these clusters (s3://reports/" + folder + "differs.jsonl): plan again, and take the digest of now as the effect. Or put a cluster into wave canary that still has the plan. The report: ",
			},
		},
		"since all were left out, one after the other": {input: strings.Replace(three, `"count":1`, `"count":0`, 1), leftOut: "ab", began: "e a b", cause: []string{"so it tested nothing: 2 clusters were left out, "}},
		"in a large fleet too":                         {input: large, leftOut: "ab", began: "e a b", cause: []string{"no cluster of wave canary succeeded, so it tested nothing: 2 clusters were left out"}},
		"since the others failed, as it tolerates": {
			input: three, leftOut: "a", failing: "b", began: "e a b",
			cause: []string{"so it tested nothing: 1 cluster was left out, where the plan is another one than the effect of the request, and 1 cluster failed, as it tolerates: 1 NotReady. 2 clusters are changed, or may be: b, e."},
		},
		"since all failed, as it tolerates": {
			input: strings.Replace(three, `"count":1`, `"count":2`, 1), failing: "ab", began: "e a b",
			cause: []string{"so it tested nothing: 2 clusters failed, as it tolerates: 2 NotReady. ", " Put a cluster into wave canary in which it can succeed. The report: "},
		},
		"and is rolled back":                   {input: back + three, leftOut: "ab", began: "e a b", cause: []string{"so it tested nothing: 2 clusters were left out, ", ". Nothing is changed any more, but for objects that only the new version has: they stay, because the request has no set and prune: 1 cluster was rolled back."}},
		"unless one succeeded":                 {input: three, leftOut: "a", began: "e a b c d"},
		"unless the rollout continues":         {input: `"onFailure":"continue",` + three, leftOut: "ab", began: "e a b c d"},
		"or if it is the last one in any case": {input: three, leftOut: "cd", began: "e a b c d"},
		"but one that failed has failed":       {input: three, failing: "ab", began: "e a b", cause: []string{"Wave canary stopped the rollout: 2 of its 2 clusters failed, and at most 1 may fail"}},
	} {
		t.Run(sentence, func(t *testing.T) {
			s := simulateOn(t, versioned(), samePlan(c.input), leaving(c.leftOut, c.failing))

			assert.Equal(t, c.began, strings.Join(s.began, " "))
			for _, text := range c.cause {
				assert.Contains(t, s.run.Cause, text)
			}
			if c.cause == nil {
				assert.Equal(t, contractfleet.VerdictTolerable, s.run.Verdict, s.run.Cause)
				return
			}
			assert.Equal(t, contractfleet.VerdictRolloutFailed, s.run.Verdict)
			canary := s.run.Summary.Waves[1]
			assert.Empty(t, canary.Gate, "nothing soaks after nothing")
			assert.Equal(t, canary.Failed() <= canary.Tolerated, strings.HasPrefix(canary.Why, "no cluster of wave canary succeeded"), canary.Why)
		})
	}
}

func TestWhatAWaveThatFailedLeadsToIsChecked(t *testing.T) {
	const (
		waves   = `"waves":[{"name":"all","percentage":100}],`
		output  = `"output":{"bucket":"reports"},`
		request = `"request":{"mode":"apply","source":{"bucket":"manifests","key":"base.yaml"}},`
		back    = `"onFailure":"rollback",`
	)
	for given, want := range map[string]string{
		`"onFailure":"retry",` + waves:                                                                                                             `onFailure: "retry": expected stop, continue or rollback`,
		`"onFailure":"continue",`:                                                                                                                  "onFailure: is there without waves",
		`"rollback":{"versionId":"v1"},` + waves + request:                                                                                         `rollback: is there without onFailure: expected "rollback"`,
		back + waves + request + output:                                                                                                            "rollback: missing: expected the former version of the manifests",
		back + waves + output + `"rollback":{"versionId":"v1"},`:                                                                                   "onFailure: only what apply-manifests applies is rolled back",
		back + waves + request + `"rollback":{"versionId":"v1"},`:                                                                                  "output: missing: a rollout that is rolled back keeps its outcomes in an S3 bucket",
		back + waves + request + output + `"rollback":{},`:                                                                                         "rollback.versionId: missing: expected the version of the request's source",
		back + waves + request + output + `"rollback":{"source":{"bucket":"manifests","key":"base.yaml"}},`:                                        "rollback.source: is what the request applies",
		back + waves + request + output + `"rollback":{"source":{"bucket":"M","key":""}},`:                                                         `rollback.source.bucket: "M" is not a valid S3 bucket name`,
		back + waves + request + output + `"rollback":{"versionId":"v1","source":{"bucket":"manifests","key":"a"}},`:                               "rollback.versionId: give only one of these",
		back + waves + output + `"request":{"mode":"apply","manifests":"a"},"rollback":{"versionId":"v1"},`:                                        "rollback.source: missing: the request has no source",
		back + waves + output + `"request":{"mode":"apply","approve":{},"source":{"bucket":"manifests","key":"a"}},"rollback":{"versionId":"v1"},`: "the request has approve",
		back + waves + output + `"request":{"mode":"delete","set":"a"},"rollback":{"source":{"bucket":"manifests","key":"a"}},`:                    "onFailure: only what apply-manifests applies",
	} {
		t.Run(want, func(t *testing.T) {
			s3 := versioned()
			_, err := find(t, rollout(nil, s3), `{"workflow":"apply-manifests",`+given+`"clusters":["a"]}`)
			named(t, err, contract.InvalidInput, want)
			assert.Empty(t, s3.reads)
		})
	}
	_, err := find(t, rollout(nil, versioned()), `{"workflow":"apply-manifests",`+back+waves+request+output+`"rollback":{"source":{"bucket":"manifests","key":"former.yaml"}},"clusters":["a"]}`)
	named(t, err, contract.InvalidInput, "rollback.source: there is no object s3://manifests/former.yaml")
}

// Whoever may write to the bucket may say what became of a cluster, but not where anything runs next.
func TestAnOutcomeInS3NamesNoOtherCluster(t *testing.T) {
	other := contract.Target{ClusterName: "payroll", Region: "us-east-1", RoleARN: theirs}
	for sentence, outcome := range map[string]contractfleet.Outcome{
		"that is tried again":   {Target: other, Attempt: 1, Status: contractfleet.StatusFailed, Error: "Throttled", Wave: 1},
		"that is rolled back":   {Target: other, Attempt: 1, Status: contractfleet.StatusFailed, Error: "NotReady", Wave: 1},
		"in which a Job runs":   {Target: other, Attempt: 1, Status: contractfleet.StatusSucceeded, Wave: 1},
		"called as another one": {Target: contract.Target{ClusterName: "a", Region: "eu-west-1", RoleARN: theirs}, Attempt: 1, Status: contractfleet.StatusFailed, Error: "Throttled", Wave: 1},
	} {
		t.Run(sentence, func(t *testing.T) {
			s3 := versioned()
			found, err := find(t, tester(s3), `{"workflow":"apply-manifests",`+former+`"clusters":["a","b"],"concurrency":1,"waves":[{"name":"canary","clusters":["a"],"gate":{"job":`+smoke+`}},{"name":"rest","percentage":100}]}`)
			require.NoError(t, err)
			key := folder + "outcomes/" + clusters(t, s3, found.Run.List)[0].Execution + ".json"
			put(t, s3, "reports/"+key, outcome)
			_, err = summarizer(s3).Summarize(t.Context(), contractfleet.Summarize{Fleet: found.Fleet, Request: found.Request, Former: found.Former, Run: ran(found.Run)})
			named(t, err, contract.InvalidInput, "output: s3://reports/"+key+" is not the outcome that the fleet wrote: see who else may write there")
		})
	}

	s3 := versioned()
	found, err := find(t, rollout(nil, s3), `{"workflow":"apply-manifests",`+former+`"clusters":["a","b"],"concurrency":1,"waves":[{"name":"canary","clusters":["a"]},{"name":"rest","percentage":100}]}`)
	require.NoError(t, err)
	first := clusters(t, s3, found.Run.List)[0]
	put(t, s3, "reports/"+folder+"outcomes/"+first.Execution+".json", contractfleet.Outcome{Target: first.Target, Attempt: 7, Status: contractfleet.StatusFailed, Error: "NotReady", Wave: 99})
	next := summarize(t, s3, found.Fleet, ran(found.Run), time.Minute)
	back := clusters(t, s3, next.List)
	require.Len(t, back, 1)
	assert.Equal(t, 1, back[0].Wave, "nor another wave")
}
