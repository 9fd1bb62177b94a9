package fleet_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/approval/proof"
	"github.com/kubestep/kubestep/internal/contract"
	contractfleet "github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/internal/fleet"
)

const approved = `{"approval":{"topicArn":"arn:aws:sns:eu-west-1:111122223333:changes","timeoutSeconds":3600}}`

// approver is the function approve, as far as its seal goes.
func approver(t *testing.T) proof.Sealer {
	t.Helper()
	sealer, err := proof.NewSealer(strings.Repeat("s", 32))
	require.NoError(t, err)
	return sealer
}

// decider is a finder whose stack has the function approve.
func decider(s3 *fakeS3) fleet.Finder {
	d := tester(s3)
	d.Approves = true
	return d
}

// decide returns what becomes of a gate once the machine is resumed with a decision or, if its
// digest is empty, with none.
func decide(t *testing.T, s3 *fakeS3, found contractfleet.FoundClusters, gate contractfleet.Run, d contract.Decision, failure contractfleet.Refusal) contractfleet.Run {
	t.Helper()
	ended := ran(gate)
	ended.Gate.Decision, ended.Gate.Failure = d, failure
	s := summarizer(s3)
	s.Sealer, s.Now = approver(t), func() time.Time { return found.Fleet.StartedAt.Add(time.Hour) }
	next, err := s.Summarize(t.Context(), contractfleet.Summarize{Fleet: found.Fleet, Request: found.Request, Jobs: found.Jobs, Run: ended})
	require.NoError(t, err)
	return next
}

func TestAGateWaitsForTheApprovalOfWhatTheRolloutGoesOnToChange(t *testing.T) {
	found, err := find(t, decider(&fakeS3{}), gateOf(approved))
	require.NoError(t, err)

	gate := summarize(t, &fakeS3{}, found.Fleet, ran(found.Run), time.Minute)

	assert.Equal(t, contractfleet.VerdictApproval, gate.Verdict)
	assert.Empty(t, gate.Clusters, "nothing runs meanwhile")
	rollout := gate.Gate.Rollout
	assert.Len(t, rollout.Digest, 24)
	rollout.Digest = ""
	assert.Equal(t, contractfleet.Rollout{
		Name: "nightly", Workflow: "apply-manifests", Request: `{"wait":{"timeoutSeconds":60}}`, Approve: contractfleet.Approve{TopicARN: "arn:aws:sns:eu-west-1:111122223333:changes", TimeoutSeconds: 3600}, Wave: "canary",
		Done: []contractfleet.WaveDone{{Name: "canary", Clusters: 2}}, Next: contractfleet.WaveNext{Name: "rest", Clusters: 1, Names: []string{"c"}},
	}, rollout)

	yes, err := approver(t).Seal(execution, contract.Decision{Digest: gate.Gate.Rollout.Digest, Approved: true, By: "ada", At: start})
	require.NoError(t, err)
	rest := decide(t, &fakeS3{}, found, gate, yes, contractfleet.Refusal{})
	assert.Equal(t, contractfleet.VerdictGoOn, rest.Verdict)
	assert.Equal(t, "c", rest.Clusters[0].Target.ClusterName)
	assert.Empty(t, rest.Gate.Rollout.Digest)
	done := decide(t, &fakeS3{}, found, rest, contract.Decision{}, contractfleet.Refusal{})
	assert.Equal(t, contractfleet.VerdictTolerable, done.Verdict)
	assert.Equal(t, contractfleet.Approved{By: "ada", At: start}, done.Summary.Waves[0].Approved)
	assert.Equal(t, contractfleet.GatePassed, done.Summary.Waves[0].Gate)
}

func TestAGateThatIsNotApprovedEndsTheRollout(t *testing.T) {
	found, err := find(t, decider(&fakeS3{}), gateOf(approved))
	require.NoError(t, err)
	gate := summarize(t, &fakeS3{}, found.Fleet, ran(found.Run), time.Minute)
	digest := gate.Gate.Rollout.Digest
	seal := func(execution string, d contract.Decision) contract.Decision {
		sealed, err := approver(t).Seal(execution, d)
		require.NoError(t, err)
		return sealed
	}
	other, err := find(t, decider(&fakeS3{}), strings.Replace(gateOf(approved), `"b","c"`, `"b","c","d"`, 1))
	require.NoError(t, err)
	otherDigest := summarize(t, &fakeS3{}, other.Fleet, ran(other.Run), time.Minute).Gate.Rollout.Digest
	require.NotEqual(t, digest, otherDigest, "another list of clusters is another gate")
	for sentence, c := range map[string]struct {
		decision contract.Decision
		failure  contractfleet.Refusal
		why      string
	}{
		"because it was rejected":             {decision: seal(execution, contract.Decision{Digest: digest, By: "ada", Reason: "not on a Friday."}), why: "it was rejected by ada: not on a Friday"},
		"because nobody says who rejected it": {decision: seal(execution, contract.Decision{Digest: digest}), why: "it was rejected"},
		"because nobody decided in time":      {failure: contractfleet.Refusal{Error: "States.Timeout"}, why: "nobody approved it within 1h0m0s"},
		"because the topic could not be told": {failure: contractfleet.Refusal{Error: "AccessDenied", Cause: `{"errorMessage":"sns:Publish to x is denied","errorType":"AccessDenied"}`}, why: "its approval could not be requested: AccessDenied: sns:Publish to x is denied"},
		"because the seal is no seal":         {decision: contract.Decision{Digest: digest, Approved: true, By: "eve", Seal: "Zm9yZ2Vk"}, why: "its approval does not come from the function approve"},
		"because the seal is another's":       {decision: seal(execution+"-other", contract.Decision{Digest: digest, Approved: true}), why: "its approval does not come from the function approve"},
		"because another gate was approved":   {decision: seal(execution, contract.Decision{Digest: otherDigest, Approved: true}), why: "what was approved is another gate"},
		"because there is no decision":        {why: "its approval does not come from the function approve"},
	} {
		t.Run(sentence, func(t *testing.T) {
			stopped := decide(t, &fakeS3{}, found, gate, c.decision, c.failure)
			assert.Equal(t, contractfleet.VerdictRolloutFailed, stopped.Verdict)
			assert.Contains(t, stopped.Cause, "Wave canary stopped the rollout: the gate of wave canary was not passed: "+c.why)
			assert.Contains(t, stopped.Summary.Waves[0].Why, c.why)
			assert.Equal(t, contractfleet.GateFailed, stopped.Summary.Waves[0].Gate)
			assert.Equal(t, map[contractfleet.Status]int{"SUCCEEDED": 2, "NOT_STARTED": 1}, stopped.Summary.ByStatus)
		})
	}
}

func TestNoTwoGatesHaveTheSameDigest(t *testing.T) {
	found, err := find(t, decider(&fakeS3{}), `{"workflow":"apply-manifests","clusters":["a","b","c"],"waves":[{"name":"one","clusters":["a"],"gate":`+approved+`},{"name":"two","clusters":["b"],"gate":`+approved+`},{"name":"rest","percentage":100}]}`)
	require.NoError(t, err)
	first := summarize(t, &fakeS3{}, found.Fleet, ran(found.Run), time.Minute)
	yes, err := approver(t).Seal(execution, contract.Decision{Digest: first.Gate.Rollout.Digest, Approved: true})
	require.NoError(t, err)
	second := decide(t, &fakeS3{}, found, decide(t, &fakeS3{}, found, first, yes, contractfleet.Refusal{}), contract.Decision{}, contractfleet.Refusal{})
	require.Equal(t, contractfleet.VerdictApproval, second.Verdict)
	assert.NotEqual(t, first.Gate.Rollout.Digest, second.Gate.Rollout.Digest)
	stopped := decide(t, &fakeS3{}, found, second, yes, contractfleet.Refusal{})
	assert.Contains(t, stopped.Cause, "what was approved is another gate", "the approval of the first gate is none of the second")
}

func TestAnApprovalComesAfterTheJob(t *testing.T) {
	found, err := find(t, decider(&fakeS3{}), gateOf(`{"job":`+smoke+`,`+strings.TrimPrefix(approved, "{")))
	require.NoError(t, err)
	job := summarize(t, &fakeS3{}, found.Fleet, ran(found.Run), time.Minute)
	require.Equal(t, contractfleet.VerdictJob, job.Verdict)
	gate := summarize(t, &fakeS3{}, found.Fleet, ran(job), time.Minute)
	assert.Equal(t, contractfleet.VerdictApproval, gate.Verdict)
	assert.Equal(t, []contractfleet.WaveDone{{Name: "canary", Clusters: 2, Jobs: 2}}, gate.Gate.Rollout.Done)
}

func TestWhoApprovesIsToldOfClustersThatWereLeftOut(t *testing.T) {
	found, err := find(t, decider(&fakeS3{}), gateOf(approved))
	require.NoError(t, err)
	ended := ran(found.Run)
	ended.Clusters[0].Status = contractfleet.StatusLeftOut
	gate := summarize(t, &fakeS3{}, found.Fleet, ended, time.Minute)
	require.Equal(t, contractfleet.VerdictApproval, gate.Verdict)
	assert.Equal(t, []contractfleet.WaveDone{{Name: "canary", Clusters: 2, LeftOut: 1}}, gate.Gate.Rollout.Done)
}

func TestAnApprovalIsWaitedForAsLongAsThereIsTime(t *testing.T) {
	found, err := find(t, decider(&fakeS3{}), strings.Replace(gateOf(approved), "3600", "72000", 1))
	require.NoError(t, err)
	for age, seconds := range map[time.Duration]int{time.Hour: 72000, 10 * time.Hour: 12 * 3600, 21*time.Hour + 59*time.Minute: 60} {
		gate := summarize(t, &fakeS3{}, found.Fleet, ran(found.Run), age)
		assert.Equal(t, contractfleet.VerdictApproval, gate.Verdict)
		assert.Equal(t, seconds, gate.Gate.Rollout.TimeoutSeconds, age)
	}
	stopped := summarize(t, &fakeS3{}, found.Fleet, ran(found.Run), 22*time.Hour)
	assert.Equal(t, contractfleet.VerdictRolloutFailed, stopped.Verdict)
	assert.Contains(t, stopped.Cause, "an execution of a fleet ends after 24 hours")
}

func TestTheListOfALargeFleetIsTheOneThatWasApproved(t *testing.T) {
	s3 := &fakeS3{}
	long := "arn:aws:iam::444455556666:role/" + strings.Repeat("path/", 60) + "name"
	found, err := find(t, decider(s3), `{"workflow":"apply-manifests","output":{"bucket":"reports"},"clusters":["a","b",{"clusterName":"c","roleArn":"`+long+`"}],"waves":[{"name":"one","clusters":["a"],"gate":`+approved+`},{"name":"rest","percentage":100}]}`)
	require.NoError(t, err)
	require.True(t, found.Fleet.InS3)
	for _, c := range clusters(t, s3, found.Run.List) {
		put(t, s3, "reports/"+folder+"outcomes/"+c.Execution+".json", contractfleet.Outcome{Target: c.Target, Attempt: 1, Status: "SUCCEEDED", Wave: c.Wave})
	}
	first := ran(found.Run)
	first.List = found.Run.List
	gate := summarize(t, s3, found.Fleet, first, time.Minute)
	require.Equal(t, contractfleet.VerdictApproval, gate.Verdict)
	assert.Equal(t, []string{"b", "c"}, gate.Gate.Rollout.Next.Names)
	assert.Equal(t, "s3://reports/"+folder+"report.html", gate.Gate.Rollout.Report)

	all := clusters(t, s3, folder+"clusters.json")
	all[1].Target.ClusterName = "production"
	put(t, s3, "reports/"+folder+"clusters.json", all)
	yes, err := approver(t).Seal(execution, contract.Decision{Digest: gate.Gate.Rollout.Digest, Approved: true})
	require.NoError(t, err)
	ended := ran(gate)
	ended.Gate.Decision = yes
	s := summarizer(s3)
	s.Sealer, s.Now = approver(t), func() time.Time { return start }
	_, err = s.Summarize(t.Context(), contractfleet.Summarize{Fleet: found.Fleet, Run: ended})
	named(t, err, contract.InvalidInput, "clusters.json is not the list of clusters that the fleet wrote")
}

// Whoever may write to the output may change a list. Each reader of one notices.
func TestAListThatSomebodyChangedEndsTheRollout(t *testing.T) {
	const long = `{"clusterName":"c","roleArn":"arn:aws:iam::444455556666:role/LONG"}`
	rollout := func(gate string) string {
		return `{"workflow":"apply-manifests",` + former + `"clusters":["a","b",` + strings.Replace(long, "LONG", strings.Repeat("path/", 60)+"name", 1) + `],"waves":[{"name":"one","clusters":["a","b"],"toleratedFailures":{"count":1}` + gate + `},{"name":"rest","percentage":100}]}`
	}
	other := func(all []contractfleet.Cluster) { all[0].Target.ClusterName = "production" }
	for sentence, c := range map[string]struct {
		gate, key string
		failing   string
		// rounds are to end before the list is changed.
		rounds int
		change func([]contractfleet.Cluster)
	}{
		"all clusters, before the next wave":  {key: "clusters.json", rounds: 0, change: other},
		"all clusters, before a Job":          {gate: `,"gate":{"job":` + smoke + `}`, key: "clusters.json", change: other},
		"all clusters, before the report":     {key: "clusters.json", rounds: 1, change: other},
		"all clusters, in another order":      {key: "clusters.json", change: func(all []contractfleet.Cluster) { all[0], all[2] = all[2], all[0] }},
		"a round's":                           {key: "clusters-1.json", change: other},
		"the name of an execution of a round": {key: "clusters-1.json", change: func(all []contractfleet.Cluster) { all[0].Execution = "of-somebody-else" }},
		"what is rolled back":                 {key: "rollback.json", failing: "c", rounds: 2, change: other},
	} {
		t.Run(sentence, func(t *testing.T) {
			s3 := versioned()
			d := tester(s3)
			found, err := find(t, d, rollout(c.gate))
			require.NoError(t, err)
			run := found.Run
			s := summarizer(s3)
			next := func() error {
				for _, cluster := range clusters(t, s3, run.List) {
					o := contractfleet.Outcome{Target: cluster.Target, Attempt: 1, Status: "SUCCEEDED", Wave: cluster.Wave}
					if cluster.Target.ClusterName == c.failing {
						o.Status, o.Error = "FAILED", "NotReady"
					}
					put(t, s3, "reports/"+folder+"outcomes/"+cluster.Execution+".json", o)
				}
				var err error
				run, err = s.Summarize(t.Context(), contractfleet.Summarize{Fleet: found.Fleet, Request: found.Request, Former: found.Former, Jobs: found.Jobs, Run: ran(run)})
				return err
			}
			for range c.rounds {
				require.NoError(t, next())
			}
			ended := ran(run)
			for _, cluster := range clusters(t, s3, run.List) {
				put(t, s3, "reports/"+folder+"outcomes/"+cluster.Execution+".json", contractfleet.Outcome{Target: cluster.Target, Attempt: 1, Status: "SUCCEEDED", Wave: cluster.Wave})
			}
			all := clusters(t, s3, folder+c.key)
			require.NotEmpty(t, all)
			c.change(all)
			put(t, s3, "reports/"+folder+c.key, all)

			_, err = s.Summarize(t.Context(), contractfleet.Summarize{Fleet: found.Fleet, Request: found.Request, Former: found.Former, Jobs: found.Jobs, Run: ended})

			named(t, err, contract.InvalidInput, c.key+" is not the list of clusters that the fleet wrote: see who else may write there")
		})
	}
}

func TestAnExecutionThatTheListOfAllClustersNamesOtherwiseIsNotRun(t *testing.T) {
	s3 := versioned()
	found, err := find(t, decider(s3), withOutput(gateOf(`{"soakSeconds":1}`), true))
	require.NoError(t, err)
	all := clusters(t, s3, folder+"clusters.json")
	want := all[2].Execution
	all[2].Execution, all[2].Wave = "of-somebody-else", 1
	put(t, s3, "reports/"+folder+"clusters.json", all)
	for _, c := range clusters(t, s3, found.Run.List) {
		put(t, s3, "reports/"+folder+"outcomes/"+c.Execution+".json", contractfleet.Outcome{Target: c.Target, Attempt: 1, Status: "SUCCEEDED", Wave: 1})
	}
	gate := summarize(t, s3, found.Fleet, ran(found.Run), time.Minute)
	rest := summarize(t, s3, found.Fleet, ran(gate), time.Minute)
	got := clusters(t, s3, rest.List)
	require.Len(t, got, 1)
	assert.Equal(t, want, got[0].Execution, "names are worked out anew")
	assert.Equal(t, 2, got[0].Wave)
}

func TestAnInvalidApprovalIsRefusedBeforeAnythingStarts(t *testing.T) {
	_, err := find(t, decider(&fakeS3{}), gateOf(`{"approval":{"topicArn":"changes","timeoutSeconds":59,"by":"ada"}}`))
	named(t, err, contract.InvalidInput, "3 problems", `waves[0].gate.approval.topicArn: "changes": expected the ARN of an SNS topic`, "waves[0].gate.approval.timeoutSeconds: 59: expected 60 to 72000", `waves[0].gate.approval."by": unknown key`)
	_, err = find(t, tester(&fakeS3{}), gateOf(approved))
	named(t, err, contract.InvalidInput, "1 problem. waves[0].gate.approval: nobody can approve in this stack: deploy it with EnableApply=true")
}

func TestARolloutMayWaitForAnApprovalBeforeItBegins(t *testing.T) {
	for sentence, c := range map[string]struct{ input, next string }{
		"of all of it":         {`{"workflow":"apply-manifests","clusters":["a","b"],"request":{"namespaces":["shop"]},"approve":{"timeoutSeconds":3600}}`, ""},
		"of its waves":         {`{"workflow":"apply-manifests","clusters":["a","b"],"request":{"namespaces":["shop"]},"approve":{"timeoutSeconds":3600},"waves":[{"name":"canary","percentage":1},{"name":"rest","percentage":100}]}`, "canary"},
		"of what a list names": {`{"workflow":"apply-manifests","output":{"bucket":"reports"},"clusters":["a",{"clusterName":"b","roleArn":"arn:aws:iam::444455556666:role/` + strings.Repeat("path/", 60) + `name"}],"request":{"namespaces":["shop"]},"approve":{"timeoutSeconds":3600}}`, ""},
	} {
		t.Run(sentence, func(t *testing.T) {
			s3 := &fakeS3{}
			found, err := find(t, decider(s3), c.input)
			require.NoError(t, err)
			assert.Equal(t, contractfleet.VerdictApproval, found.Run.Verdict)
			assert.Empty(t, found.Run.Clusters, "nothing runs before")
			rollout := found.Run.Gate.Rollout
			assert.Equal(t, c.next, rollout.Next.Name)
			assert.Equal(t, "a", rollout.Next.Names[0])
			assert.Equal(t, `{"namespaces":["shop"]}`, rollout.Request, "what each is asked")
			assert.Empty(t, rollout.Done)
			assert.Len(t, rollout.Digest, 24)

			yes, err := approver(t).Seal(execution, contract.Decision{Digest: rollout.Digest, Approved: true, By: "ada", At: start})
			require.NoError(t, err)
			begun := decide(t, s3, found, found.Run, yes, contractfleet.Refusal{})
			assert.Equal(t, contractfleet.VerdictGoOn, begun.Verdict)
			assert.Positive(t, begun.Size)
			assert.Equal(t, contractfleet.Approved{By: "ada", At: start}, begun.Approved)
			assert.Empty(t, begun.Gate.Stage)

			no, err := approver(t).Seal(execution, contract.Decision{Digest: rollout.Digest, By: "ada", Reason: "not on a Friday"})
			require.NoError(t, err)
			stopped := decide(t, s3, found, found.Run, no, contractfleet.Refusal{})
			assert.Equal(t, contractfleet.VerdictRolloutFailed, stopped.Verdict)
			assert.Contains(t, stopped.Cause, "The rollout was not approved: it was rejected by ada: not on a Friday. No cluster is changed: 2 clusters were not started. ")
			assert.Equal(t, map[contractfleet.Status]int{"NOT_STARTED": 2}, stopped.Summary.ByStatus)
		})
	}
	s := simulate(t, `{"workflow":"apply-manifests","clusters":["a","b"],"approve":{}}`, after(nil))
	assert.Equal(t, contractfleet.VerdictTolerable, s.run.Verdict)
	assert.NotEmpty(t, s.run.Summary.Approved.By)
	_, err := find(t, decider(&fakeS3{}), `{"workflow":"pod-inventory","clusters":["a"],"approve":{}}`)
	named(t, err, contract.InvalidInput, "1 problem. approve: nothing is changed by what is asked, so there is nothing to approve")
}
