package fleet_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract"
	contractfleet "github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/internal/fleet"
	"github.com/kubestep/kubestep/internal/workflow/runjob"
)

const (
	runJobs      = "arn:aws:states:eu-west-1:111122223333:stateMachine:kubestep-run-job:live"
	jobExecution = "arn:aws:states:eu-west-1:111122223333:execution:kubestep-run-job"

	// tested is a rollout of two waves, of which the first has a gate that is replaced.
	tested = `{"workflow":"apply-manifests","clusters":["a","b","c"],"concurrency":2,"waves":[{"name":"canary","percentage":50,"toleratedFailures":{"count":1},"gate":GATE},{"name":"rest","percentage":100}]}`
	smoke  = `{"source":{"bucket":"jobs","key":"smoke.yaml"},"timeoutSeconds":60}`
)

// tester is a finder whose fleets may also run Jobs.
func tester(s3 *fakeS3) fleet.Finder {
	d := rollout(nil, s3)
	w := runjob.Workflow()
	d.Workflows["run-job"] = fleet.Workflow{Workflow: w, Read: w.Reader(func(string) string { return "" }), StateMachineARN: runJobs}
	return d
}

func gateOf(gate string) string { return strings.Replace(tested, "GATE", gate, 1) }

// begunJobs has a line for each cluster of a round: what is asked, and of which cluster.
func begunJobs(found contractfleet.FoundClusters, run contractfleet.Run) []string {
	var all []string
	for _, c := range run.Clusters {
		all = append(all, run.Task.Workflow+" "+c.Target.ClusterName+" "+string(found.Jobs[run.Job]))
	}
	return all
}

func TestTheJobOfAGateRunsInTheClustersOfItsWaveThatSucceeded(t *testing.T) {
	const asked = ` {"AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID":"` + execution + `","source":{"bucket":"jobs","key":"smoke.yaml"},"timeoutSeconds":60}`
	for sentence, c := range map[string]struct {
		gate, failed string
		want         []string
	}{
		"in each":                   {`{"job":` + smoke + `}`, "", []string{"run-job a" + asked, "run-job b" + asked}},
		"in each, if it says so":    {`{"job":` + strings.Replace(smoke, "{", `{"clusters":"each",`, 1) + `}`, "", []string{"run-job a" + asked, "run-job b" + asked}},
		"in the first":              {`{"job":` + strings.Replace(smoke, "{", `{"clusters":"one",`, 1) + `}`, "", []string{"run-job a" + asked}},
		"in none that failed":       {`{"job":` + smoke + `}`, "a", []string{"run-job b" + asked}},
		"in the first that has not": {`{"job":` + strings.Replace(smoke, "{", `{"clusters":"one",`, 1) + `}`, "a", []string{"run-job b" + asked}},
	} {
		t.Run(sentence, func(t *testing.T) {
			found, err := find(t, tester(&fakeS3{}), gateOf(c.gate))
			require.NoError(t, err)
			assert.Equal(t, contractfleet.Task{Workflow: "run-job", StateMachineARN: runJobs, Executions: jobExecution}, found.Fleet.Jobs)
			assert.Equal(t, "apply-manifests", found.Run.Task.Workflow)
			assert.Zero(t, found.Run.Asks)
			ended := ran(found.Run)
			for i := range ended.Clusters {
				if ended.Clusters[i].ClusterName == c.failed {
					ended.Clusters[i].Status, ended.Clusters[i].Error = contractfleet.StatusFailed, "NotReady"
				}
			}

			job := summarize(t, &fakeS3{}, found.Fleet, ended, time.Minute)

			assert.Equal(t, contractfleet.VerdictJob, job.Verdict)
			assert.Equal(t, c.want, begunJobs(found, job))
			assert.Equal(t, found.Fleet.Jobs, job.Task)
			assert.Equal(t, 1, job.Asks)
			assert.Equal(t, 2, job.Concurrency, "the wave's")
			for _, cluster := range job.Clusters {
				assert.Equal(t, fleet.ExecutionName(contractfleet.Fleet{Name: found.Fleet.Name, Digest: found.Run.Waves[0].Gate.Job.Digest + " " + found.Fleet.Own}, cluster.Target, 1), cluster.Execution, "the same each time")
			}

			rest := summarize(t, &fakeS3{}, found.Fleet, ran(job), 2*time.Minute)
			assert.Equal(t, contractfleet.VerdictGoOn, rest.Verdict)
			assert.Equal(t, 2, rest.Wave)
			assert.Equal(t, "apply-manifests", rest.Task.Workflow)
			assert.Zero(t, rest.Asks)
			done := summarize(t, &fakeS3{}, found.Fleet, ran(rest), 3*time.Minute)
			assert.Equal(t, contractfleet.VerdictTolerable, done.Verdict)
			assert.Len(t, done.Outcomes, 3, "what became of the Jobs is none of the clusters' outcomes")
			assert.Equal(t, contractfleet.GatePassed, done.Summary.Waves[0].Gate)
			assert.Equal(t, len(c.want), done.Summary.Waves[0].Jobs)
		})
	}
}

func TestAJobComesAfterTheSoakAndTheAlarms(t *testing.T) {
	found, err := find(t, tester(&fakeS3{}), gateOf(`{"soakSeconds":60,"alarms":["errors"],"job":`+smoke+`}`))
	require.NoError(t, err)
	soak := summarize(t, &fakeS3{}, found.Fleet, ran(found.Run), time.Minute)
	require.Equal(t, contractfleet.VerdictGate, soak.Verdict)
	ended := ran(soak)
	ended.Gate.Seen = contractfleet.AlarmStates{Names: []string{"errors"}, States: []string{"OK"}}
	job := summarize(t, &fakeS3{}, found.Fleet, ended, 2*time.Minute)
	assert.Equal(t, contractfleet.VerdictJob, job.Verdict)
	assert.Len(t, job.Clusters, 2)

	ended.Gate.Seen.States[0] = "ALARM"
	stopped := summarize(t, &fakeS3{}, found.Fleet, ended, 2*time.Minute)
	assert.Equal(t, contractfleet.VerdictRolloutFailed, stopped.Verdict, "no Job runs if an alarm is not OK")
	assert.Equal(t, "errors is ALARM", stopped.Summary.Waves[0].Why)
}

func TestAJobThatFailsStopsTheRollout(t *testing.T) {
	s3 := &fakeS3{}
	found, err := find(t, tester(s3), strings.Replace(gateOf(`{"job":`+smoke+`}`), `"clusters"`, `"output":{"bucket":"reports"},"clusters"`, 1))
	require.NoError(t, err)
	job := ran(summarize(t, s3, found.Fleet, ran(found.Run), time.Minute))
	job.Clusters[1].Status, job.Clusters[1].Error, job.Clusters[1].Cause = contractfleet.StatusFailed, "JobFailed", "Job shop/smoke failed: exit code 3. See its pods."

	s := summarizer(s3)
	stopped, err := s.Summarize(t.Context(), contractfleet.Summarize{Fleet: found.Fleet, Request: found.Request, Jobs: found.Jobs, Run: job})
	require.NoError(t, err)

	assert.Equal(t, contractfleet.VerdictRolloutFailed, stopped.Verdict)
	name := fleet.ExecutionName(contractfleet.Fleet{Name: found.Fleet.Name, Digest: found.Run.Waves[0].Gate.Job.Digest + " " + found.Fleet.Own}, contract.Target{ClusterName: "b", Region: "eu-west-1"}, 1)
	why := "its job failed in 1 cluster: b (eu-west-1): JobFailed: Job shop/smoke failed: exit code 3. See its pods (kubestep follow " + jobExecution + ":" + name + ")"
	assert.Contains(t, stopped.Cause, "Wave canary stopped the rollout: the gate of wave canary was not passed: "+why+". 2 clusters are changed, or may be: a, b. 1 cluster was not started: see s3://reports/")
	assert.Equal(t, contractfleet.GateFailed, stopped.Summary.Waves[0].Gate)
	assert.Equal(t, why, stopped.Summary.Waves[0].Why)
	assert.Equal(t, map[contractfleet.Status]int{"SUCCEEDED": 2, "NOT_STARTED": 1}, stopped.Summary.ByStatus)
	assert.NotContains(t, stopped.Summary.Report.Continue, "smoke", "the wave that is left has no gate")
}

func TestTheCommandThatGoesOnHasTheJobsOfTheWavesThatAreLeft(t *testing.T) {
	s3 := &fakeS3{}
	found, err := find(t, tester(s3), `{"workflow":"apply-manifests","output":{"bucket":"reports"},"clusters":["a","b"],"waves":[{"name":"canary","clusters":["a"]},{"name":"rest","percentage":100,"gate":{"job":{"clusters":"one","source":{"bucket":"jobs","key":"smoke.yaml"}}}}]}`)
	require.NoError(t, err)
	ended := ran(found.Run)
	ended.Clusters[0].Status, ended.Clusters[0].Error = contractfleet.StatusFailed, "NotReady"
	stopped, err := summarizer(s3).Summarize(t.Context(), contractfleet.Summarize{Fleet: found.Fleet, Request: found.Request, Jobs: found.Jobs, Run: ended})
	require.NoError(t, err)
	assert.Contains(t, stopped.Summary.Report.Continue, `--waves '[{"name":"rest","concurrency":40,"toleratedFailures":{"count":0},"gate":{"job":{"clusters":"one","source":{"bucket":"jobs","key":"smoke.yaml"}}}}]'`)
}

func TestAJobWhoseClusterDidNotAnswerIsTriedOnceMore(t *testing.T) {
	found, err := find(t, tester(&fakeS3{}), gateOf(`{"job":`+smoke+`}`))
	require.NoError(t, err)
	job := ran(summarize(t, &fakeS3{}, found.Fleet, ran(found.Run), time.Minute))
	job.Clusters[0].Status, job.Clusters[0].Error = contractfleet.StatusFailed, "ClusterUnreachable"
	again := summarize(t, &fakeS3{}, found.Fleet, job, 2*time.Minute)
	assert.Equal(t, contractfleet.VerdictTryAgain, again.Verdict)
	require.Equal(t, []string{"a"}, []string{again.Clusters[0].Target.ClusterName})
	assert.Equal(t, "run-job", again.Task.Workflow)
	assert.Regexp(t, "-2$", again.Clusters[0].Execution)
	rest := summarize(t, &fakeS3{}, found.Fleet, ran(again), 3*time.Minute)
	assert.Equal(t, contractfleet.VerdictGoOn, rest.Verdict)

	job = ran(again)
	job.Clusters[0].Status, job.Clusters[0].Error, job.Clusters[0].Attempt = contractfleet.StatusFailed, "ClusterUnreachable", 2
	stopped := summarize(t, &fakeS3{}, found.Fleet, job, 3*time.Minute)
	assert.Equal(t, contractfleet.VerdictRolloutFailed, stopped.Verdict)
}

func TestAJobThatRunsNowherePassesNoGate(t *testing.T) {
	found, err := find(t, tester(&fakeS3{}), strings.Replace(gateOf(`{"job":`+smoke+`}`), "{", `{"onFailure":"continue",`, 1))
	require.NoError(t, err)
	ended := ran(found.Run)
	for i := range ended.Clusters {
		ended.Clusters[i].Status, ended.Clusters[i].Error = contractfleet.StatusFailed, "NotReady"
	}
	stopped := summarize(t, &fakeS3{}, found.Fleet, ended, time.Minute)
	assert.Equal(t, contractfleet.VerdictRolloutFailed, stopped.Verdict)
	assert.Contains(t, stopped.Cause, "no cluster of the wave succeeded, so its job ran in none")
	assert.Len(t, stopped.Outcomes, 3)
	assert.Equal(t, 2, stopped.Failed)
}

func TestAJobThatMightNotEndInTimeDoesNotBegin(t *testing.T) {
	found, err := find(t, tester(&fakeS3{}), gateOf(`{"job":`+smoke+`}`))
	require.NoError(t, err)
	stopped := summarize(t, &fakeS3{}, found.Fleet, ran(found.Run), 22*time.Hour+time.Minute)
	assert.Equal(t, contractfleet.VerdictRolloutFailed, stopped.Verdict)
	assert.Contains(t, stopped.Cause, "an execution of a fleet ends after 24 hours")
	assert.Equal(t, contractfleet.GateFailed, stopped.Summary.Waves[0].Gate)
}

func TestAJobInManyClustersRunsInRoundsThatTheStateHasRoomFor(t *testing.T) {
	found, err := find(t, tester(&fakeS3{}), fmt.Sprintf(`{"workflow":"apply-manifests","output":{"bucket":"reports"},"concurrency":400,"clusters":[%s],"waves":[{"name":"all","percentage":100,"gate":{"job":%s}}]}`, strings.TrimSuffix(list(400), ","), smoke))
	require.NoError(t, err)
	run := summarize(t, &fakeS3{}, found.Fleet, ran(found.Run), time.Minute)
	seen := map[string]bool{}
	for run.Verdict == contractfleet.VerdictJob {
		assert.LessOrEqual(t, len(run.Clusters), 51)
		for _, c := range run.Clusters {
			seen[c.Target.ClusterName] = true
		}
		run = summarize(t, &fakeS3{}, found.Fleet, ran(run), time.Minute)
	}
	assert.Len(t, seen, 400)
	assert.Equal(t, contractfleet.VerdictTolerable, run.Verdict)
	assert.Equal(t, 400, run.Summary.Waves[0].Jobs)
}

func TestTheJobOfALargeFleetRunsFromAListOfItsOwn(t *testing.T) {
	s3 := &fakeS3{}
	long := "arn:aws:iam::444455556666:role/" + strings.Repeat("path/", 60) + "name"
	found, err := find(t, tester(s3), `{"workflow":"apply-manifests","output":{"bucket":"reports"},"clusters":["b",{"clusterName":"a","roleArn":"`+long+`"}],"waves":[{"name":"all","percentage":100,"gate":{"job":`+smoke+`}}]}`)
	require.NoError(t, err)
	require.True(t, found.Fleet.InS3)
	for _, c := range clusters(t, s3, found.Run.List) {
		put(t, s3, "reports/"+folder+"outcomes/"+c.Execution+".json", contractfleet.Outcome{Target: c.Target, Attempt: 1, Status: "SUCCEEDED", Wave: c.Wave})
	}
	first := ran(found.Run)
	first.List = found.Run.List
	job := summarize(t, s3, found.Fleet, first, time.Minute)
	require.Equal(t, contractfleet.VerdictJob, job.Verdict)
	require.NotEqual(t, found.Run.List, job.List)
	jobs := clusters(t, s3, job.List)
	require.Len(t, jobs, 2)
	for i, c := range jobs {
		o := contractfleet.Outcome{Target: c.Target, Attempt: 1, Status: "SUCCEEDED", Wave: c.Wave}
		if i == 1 {
			o.Status, o.Error, o.Cause = "FAILED", "JobFailed", "exit code 3"
		}
		put(t, s3, "reports/"+folder+"outcomes/"+c.Execution+".json", o)
	}
	ended := ran(job)
	ended.List = job.List
	stopped := summarize(t, s3, found.Fleet, ended, 2*time.Minute)
	assert.Equal(t, contractfleet.VerdictRolloutFailed, stopped.Verdict)
	assert.Contains(t, stopped.Cause, "its job failed in 1 cluster: a (eu-west-1): JobFailed: exit code 3")
	assert.Equal(t, map[contractfleet.Status]int{"SUCCEEDED": 2}, stopped.Summary.ByStatus, "the outcomes of the clusters are as they were")
}

func TestTheJobsOfWavesAndTheFleetsOwnHaveNamesOfTheirOwn(t *testing.T) {
	found, err := find(t, tester(&fakeS3{}), `{"workflow":"run-job","request":`+smoke+`,"clusters":["a","b"],"waves":[{"name":"one","clusters":["a"],"gate":{"job":`+smoke+`}},{"name":"two","clusters":["b"],"gate":{"job":`+smoke+`}}]}`)
	require.NoError(t, err)
	digests := map[string]bool{found.Fleet.Digest: true, found.Run.Waves[0].Gate.Job.Digest: true, found.Run.Waves[1].Gate.Job.Digest: true}
	assert.Len(t, digests, 3)
}

func TestAnInvalidJobOfAGateIsRefusedBeforeAnythingStarts(t *testing.T) {
	_, err := find(t, tester(&fakeS3{}), gateOf(`{"job":{"clusters":"all","source":{"key":"k"},"cronJob":{"namespace":"shop","name":"smoke"},"timeoutSeconds":0,"nam":1,"stopped":"arn:aws:states:eu-west-1:111122223333:execution:kubestep-run-job:x"}}`))
	named(t, err, contract.InvalidInput, "6 problems", `waves[0].gate.job.clusters: "all": expected each or one`, "waves[0].gate.job.job: expected one of job, source and cronJob, not 2 of them",
		"waves[0].gate.job.source.bucket: missing", "waves[0].gate.job.timeoutSeconds: 0: expected 1 to", `waves[0].gate.job."nam": unknown key`, "waves[0].gate.job.stopped: a gate runs a Job")

	_, err = find(t, rollout(nil, &fakeS3{}), gateOf(`{"job":{"what":"ever"}}`))
	named(t, err, contract.InvalidInput, "1 problem. waves[0].gate.job: the fleets of this stack may not start run-job: deploy the stack with EnableJobs=true, and run-job in FleetWorkflows")

	env, err := json.Marshal(map[string]any{"source": map[string]string{"bucket": "jobs", "key": "smoke.yaml"}, "env": map[string]string{"TEXT": strings.Repeat("x", 17<<10)}})
	require.NoError(t, err)
	_, err = find(t, tester(&fakeS3{}), gateOf(`{"job":`+string(env)+`}`))
	named(t, err, contract.InvalidInput, "1 problem. waves[0].gate.job: the jobs of all gates have 17", " bytes: expected at most 16384. Put them into S3 (source)")
}
