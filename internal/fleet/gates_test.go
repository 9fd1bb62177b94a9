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
)

// gated is a rollout of two waves with a gate after each.
const gated = `{"workflow":"apply-manifests","clusters":["a","b"],"waves":[{"name":"canary","clusters":["a"],"gate":{"soakSeconds":600,"alarms":["errors","slow"]}},{"name":"rest","percentage":100,"gate":{"soakSeconds":60}}]}`

// ran is a run whose clusters all succeeded.
func ran(run contractfleet.Run) contractfleet.Ran {
	ended := contractfleet.Ran{
		Round: run.Round, Attempt: run.Attempt, Size: run.Size, Begun: run.Begun, Pending: run.Pending, Failed: run.Failed, LeftOut: run.LeftOut, Waves: run.Waves, Wave: run.Wave, Gate: run.Gate, Approved: run.Approved, Outcomes: run.Outcomes, List: run.List, Digest: run.Digest, Rollback: run.Rollback,
		Clusters: []contractfleet.Outcome{},
	}
	for _, c := range run.Clusters {
		o := well(c.Target.ClusterName, 1)
		o.Wave = c.Wave
		ended.Clusters = append(ended.Clusters, o)
	}
	return ended
}

// summarize returns the next run, at that age of the fleet.
func summarize(t *testing.T, s3 *fakeS3, f contractfleet.Fleet, ended contractfleet.Ran, age time.Duration) contractfleet.Run {
	t.Helper()
	s := summarizer(s3)
	s.Now = func() time.Time { return f.StartedAt.Add(age) }
	next, err := s.Summarize(t.Context(), contractfleet.Summarize{Fleet: f, Request: []byte(`{"wait":{"timeoutSeconds":60}}`), Run: ended})
	require.NoError(t, err)
	return next
}

func TestAGateIsBetweenAWaveAndTheNext(t *testing.T) {
	found, err := find(t, rollout(nil, &fakeS3{}), gated)
	require.NoError(t, err)

	gate := summarize(t, &fakeS3{}, found.Fleet, ran(found.Run), time.Minute)
	assert.Equal(t, contractfleet.VerdictGate, gate.Verdict)
	assert.Equal(t, contractfleet.Passage{Wave: 1, Stage: contractfleet.StageAlarms, SoakSeconds: 600, Alarms: []string{"errors", "slow"}, Watched: true, Seen: contractfleet.AlarmStates{Names: []string{}, States: []string{}, CompositeNames: []string{}, CompositeStates: []string{}}}, gate.Gate)
	assert.Empty(t, gate.Clusters, "nothing runs meanwhile")
	assert.Equal(t, []contract.Target{{ClusterName: "b", Region: "eu-west-1"}}, gate.Pending)

	passed := ran(gate)
	passed.Gate.Seen = contractfleet.AlarmStates{Names: []string{"slow"}, States: []string{"OK"}, CompositeNames: []string{"errors"}, CompositeStates: []string{"OK"}}
	rest := summarize(t, &fakeS3{}, found.Fleet, passed, 12*time.Minute)
	assert.Equal(t, contractfleet.VerdictGoOn, rest.Verdict)
	assert.Equal(t, 2, rest.Wave)
	assert.Zero(t, rest.Gate.Wave)
	require.Len(t, rest.Clusters, 1)
	assert.Equal(t, "b", rest.Clusters[0].Target.ClusterName)

	last := summarize(t, &fakeS3{}, found.Fleet, ran(rest), 13*time.Minute)
	assert.Equal(t, contractfleet.VerdictGate, last.Verdict, "the last wave's too")
	done := summarize(t, &fakeS3{}, found.Fleet, ran(last), 14*time.Minute)
	assert.Equal(t, contractfleet.VerdictTolerable, done.Verdict)
	assert.Len(t, done.Outcomes, 2)
	assert.Equal(t, []contractfleet.GateResult{"passed", "passed"}, []contractfleet.GateResult{done.Summary.Waves[0].Gate, done.Summary.Waves[1].Gate})
}

func TestAGateThatIsNotPassedStopsTheRollout(t *testing.T) {
	for sentence, c := range map[string]struct {
		seen    contractfleet.AlarmStates
		failure contractfleet.Refusal
		cause   string
	}{
		"if an alarm is in alarm":          {contractfleet.AlarmStates{Names: []string{"errors", "slow"}, States: []string{"OK", "ALARM"}}, contractfleet.Refusal{}, "slow is ALARM"},
		"if a composite alarm is":          {contractfleet.AlarmStates{Names: []string{"errors"}, States: []string{"OK"}, CompositeNames: []string{"slow"}, CompositeStates: []string{"ALARM"}}, contractfleet.Refusal{}, "slow is ALARM"},
		"if an alarm has no data":          {contractfleet.AlarmStates{Names: []string{"slow", "errors"}, States: []string{"OK", "INSUFFICIENT_DATA"}}, contractfleet.Refusal{}, "errors is INSUFFICIENT_DATA"},
		"if there is no such alarm":        {contractfleet.AlarmStates{Names: []string{"slow"}, States: []string{"OK"}}, contractfleet.Refusal{}, "errors is no alarm of CloudWatch in the fleet's Region"},
		"if alarms could not be read":      {contractfleet.AlarmStates{}, contractfleet.Refusal{Error: "CloudWatch.CloudWatchException", Cause: "not authorized"}, "its alarms could not be read: CloudWatch.CloudWatchException: not authorized"},
		"and has what is wrong with each ": {contractfleet.AlarmStates{Names: []string{"errors", "slow"}, States: []string{"ALARM", "ALARM"}}, contractfleet.Refusal{}, "errors is ALARM, slow is ALARM"},
	} {
		t.Run(sentence, func(t *testing.T) {
			s3 := &fakeS3{}
			found, err := find(t, rollout(nil, s3), strings.Replace(gated, `"clusters":["a","b"]`, `"output":{"bucket":"reports"},"clusters":["a","b"]`, 1))
			require.NoError(t, err)
			ended := ran(summarize(t, s3, found.Fleet, ran(found.Run), time.Minute))
			ended.Gate.Seen, ended.Gate.Failure = c.seen, c.failure

			stopped := summarize(t, s3, found.Fleet, ended, 12*time.Minute)

			assert.Equal(t, contractfleet.VerdictRolloutFailed, stopped.Verdict)
			assert.Contains(t, stopped.Cause, "Wave canary stopped the rollout: the gate of wave canary was not passed: "+c.cause+". 1 cluster is changed, or may be: a. 1 cluster was not started: see s3://reports/")
			assert.Equal(t, contractfleet.GateFailed, stopped.Summary.Waves[0].Gate)
			assert.Empty(t, stopped.Summary.Waves[1].Gate, "was not reached")
			assert.Equal(t, "The fleet had stopped, because the gate of wave canary was not passed: "+c.cause+".", stopped.Outcomes[1].Cause)
			assert.Contains(t, stopped.Summary.Report.Continue, `--waves '[{"name":"rest","concurrency":40,"toleratedFailures":{"count":0},"gate":{"soakSeconds":60}}]'`)
		})
	}
}

func TestAGateAfterTheLastWaveFailsTheRollout(t *testing.T) {
	found, err := find(t, rollout(nil, &fakeS3{}), `{"workflow":"apply-manifests","clusters":["a"],"waves":[{"name":"all","percentage":100,"gate":{"alarms":["errors"]}}]}`)
	require.NoError(t, err)
	ended := ran(summarize(t, &fakeS3{}, found.Fleet, ran(found.Run), time.Minute))
	ended.Gate.Seen = contractfleet.AlarmStates{Names: []string{"errors"}, States: []string{"ALARM"}}
	stopped := summarize(t, &fakeS3{}, found.Fleet, ended, 2*time.Minute)
	assert.Equal(t, contractfleet.VerdictRolloutFailed, stopped.Verdict)
	assert.Contains(t, stopped.Cause, "errors is ALARM. 1 cluster is changed, or may be: a. No report")
}

func TestTheGateOfTheLastWaveIsNotPassedIfThereIsNoTimeForIt(t *testing.T) {
	found, err := find(t, rollout(nil, &fakeS3{}), `{"workflow":"apply-manifests","clusters":["a"],"waves":[{"name":"all","percentage":100,"gate":{"soakSeconds":72000,"alarms":["errors"]}}]}`)
	require.NoError(t, err)

	last := summarize(t, &fakeS3{}, found.Fleet, ran(found.Run), 4*time.Hour)

	assert.Equal(t, contractfleet.VerdictRolloutFailed, last.Verdict)
	assert.Contains(t, last.Cause, "Wave all stopped the rollout: the gate of wave all was not passed: an execution of a fleet ends after 24 hours")
	assert.Equal(t, contractfleet.GateFailed, last.Summary.Waves[0].Gate)
	assert.Len(t, last.Outcomes, 1)
}

func TestAGateOfALargeFleetReadsNoListOfARound(t *testing.T) {
	s3 := &fakeS3{}
	found, err := find(t, rollout(nil, s3), `{"workflow":"apply-manifests","output":{"bucket":"reports"},"clusters":["b",{"clusterName":"a","roleArn":"arn:aws:iam::444455556666:role/`+strings.Repeat("path/", 60)+`name"}],
		"waves":[{"name":"canary","clusters":["a"],"gate":{"soakSeconds":600}},{"name":"rest","percentage":100}]}`)
	require.NoError(t, err)
	require.True(t, found.Fleet.InS3)
	o := well("a", 1)
	o.RoleARN, o.Wave = "arn:aws:iam::444455556666:role/"+strings.Repeat("path/", 60)+"name", 1
	for _, c := range clusters(t, s3, found.Run.List) {
		put(t, s3, "reports/"+folder+"outcomes/"+c.Execution+".json", o)
	}
	first := ran(found.Run)
	first.List = found.Run.List
	gate := summarize(t, s3, found.Fleet, first, time.Minute)
	require.Equal(t, contractfleet.VerdictGate, gate.Verdict)
	assert.Empty(t, gate.List)

	rest := summarize(t, s3, found.Fleet, ran(gate), 12*time.Minute)
	assert.Equal(t, contractfleet.VerdictGoOn, rest.Verdict)
	assert.Equal(t, "b", clusters(t, s3, rest.List)[0].Target.ClusterName)

	closed := ran(gate)
	closed.Gate.Alarms = []string{"errors"}
	stopped := summarize(t, s3, found.Fleet, closed, 12*time.Minute)
	assert.Equal(t, map[contractfleet.Status]int{"SUCCEEDED": 1, "NOT_STARTED": 1}, stopped.Summary.ByStatus)
}

func TestASoakThatDoesNotFitIsRefusedOrStopsTheRollout(t *testing.T) {
	_, err := find(t, rollout(nil, &fakeS3{}), strings.Replace(gated, `600`, `71000`, 1))
	require.NoError(t, err)
	_, err = find(t, rollout(nil, &fakeS3{}), strings.Replace(strings.Replace(gated, `600`, `71000`, 1), `60}`, `1001}`, 1))
	named(t, err, contract.InvalidInput, "1 problem. waves: they soak for 72001 seconds in all: expected at most 72000")

	found, err := find(t, rollout(nil, &fakeS3{}), gated)
	require.NoError(t, err)
	for age, verdict := range map[time.Duration]contractfleet.Verdict{
		23*time.Hour + 19*time.Minute: contractfleet.VerdictGate, 23*time.Hour + 20*time.Minute: contractfleet.VerdictRolloutFailed,
		50 * time.Hour: contractfleet.VerdictGate, // it was redriven, and has all of its time again
	} {
		next := summarize(t, &fakeS3{}, found.Fleet, ran(found.Run), age)
		assert.Equal(t, verdict, next.Verdict, age)
		if verdict == contractfleet.VerdictRolloutFailed {
			assert.Contains(t, next.Cause, "Wave canary stopped the rollout: the gate of wave canary was not passed: an execution of a fleet ends after 24 hours")
		}
	}
}

func TestInvalidGatesAreRefused(t *testing.T) {
	long := strings.Repeat("n", 256)
	_, err := find(t, rollout(nil, &fakeS3{}), `{"workflow":"apply-manifests","clusters":["a"],"waves":[{"name":"one","percentage":100,"gate":{"soakSeconds":-1,"alarms":["","a","a","`+long+`"],"approve":{}}},{"name":"two","percentage":1,"gate":{"alarms":[]}}]}`)
	named(t, err, contract.InvalidInput, "6 problems", "waves[0].gate.soakSeconds: -1: expected 0 to 72000", `waves[0].gate.alarms[0]: "" is not a valid name: expected 1 to 255 characters`, `waves[0].gate.alarms[2]: repeats "a"`,
		"waves[0].gate.alarms[3]: ", `waves[0].gate."approve": unknown key`, "waves[1].gate.alarms: 0 alarms: expected 1 to 10")

	var alarms []string
	for i := range 10 {
		alarms = append(alarms, strings.Repeat("n", 250)+string(rune('a'+i)))
	}
	gate := `"gate":{"alarms":["` + strings.Join(alarms, `","`) + `"]}}`
	var waves []string
	for _, name := range []string{"1", "2", "3", "4"} {
		waves = append(waves, `{"name":"`+name+`","percentage":25,`+gate)
	}
	_, err = find(t, rollout(nil, &fakeS3{}), `{"workflow":"apply-manifests","clusters":["a","b","c","d"],"waves":[`+strings.Join(waves, ",")+`]}`)
	named(t, err, contract.InvalidInput, "waves: 10", " bytes: expected at most 8192, with shorter names or fewer alarms")
}

func TestARolloutSaysThatItDoesNotWaitForReadiness(t *testing.T) {
	found, err := find(t, rollout(nil, &fakeS3{}), strings.Replace(strings.Replace(gated, `,"gate":{"soakSeconds":60}`, "", 1), `,"gate":{"soakSeconds":600,"alarms":["errors","slow"]}`, "", 1))
	require.NoError(t, err)
	for request, want := range map[string]string{`{"mode":"apply"}`: "The request has no wait: ", `{"wait":null}`: "The request has no wait: ", `{"wait":{"timeoutSeconds":1}}`: ""} {
		ended := ran(found.Run)
		ended.Clusters[0].Status = contractfleet.StatusFailed
		stopped, err := summarizer(&fakeS3{}).Summarize(t.Context(), contractfleet.Summarize{Fleet: found.Fleet, Request: []byte(request), Run: ended})
		require.NoError(t, err)
		assert.True(t, strings.HasPrefix(stopped.Summary.Note, want) && (want == "") == (stopped.Summary.Note == ""), stopped.Summary.Note)
	}
}

func clusters(t *testing.T, s3 *fakeS3, key string) []contractfleet.Cluster {
	t.Helper()
	var all []contractfleet.Cluster
	require.NoError(t, json.Unmarshal([]byte(s3.objects["reports/"+key]), &all))
	return slices.Clone(all)
}
