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
)

// simulation runs a fleet as the machine does: Map, Summarize and so on. Gates are passed. That nothing begins which should not, whatever
// fails, is proved in test/rollouts, on the definition.
type simulation struct {
	t     *testing.T
	s3    *fakeS3
	fleet contractfleet.Fleet
	run   contractfleet.Run
	// request and former are what the clusters are asked, and the other request.
	request, former json.RawMessage
	// rolled are the starts of the rollback.
	rolled []rolling
	// outcome is the status and error of a cluster's execution.
	outcome func(contractfleet.Cluster) (contractfleet.Status, string)

	began  []string // each start, as "NAME" or "NAME again"
	rounds int
}

// rolling is the start of a cluster's rollback, and what it was asked.
type rolling struct {
	cluster contractfleet.Cluster
	request string
}

// simulate finds the clusters of an input and runs them.
func simulate(t *testing.T, input string, outcome func(contractfleet.Cluster) (contractfleet.Status, string)) *simulation {
	t.Helper()
	s := &simulation{t: t, s3: &fakeS3{}, outcome: outcome}
	s.all(input)
	return s
}

// all runs the fleet to its end.
func (s *simulation) all(input string) {
	t := s.t
	t.Helper()
	found, err := find(t, decider(s.s3), input)
	require.NoError(t, err)
	s.fleet, s.run, s.request, s.former = found.Fleet, found.Run, found.Request, found.Former
	summarizes := summarizer(s.s3)
	summarizes.Sealer = approver(t)
	var ended contractfleet.Ran
	if s.run.Verdict == contractfleet.VerdictApproval {
		ended = ran(s.run)
	} else {
		ended = s.runMap()
	}
	for {
		s.run, err = summarizes.Summarize(t.Context(), contractfleet.Summarize{Fleet: s.fleet, Request: s.request, Former: s.former, Jobs: found.Jobs, Run: ended})
		require.NoError(t, err)
		s.rounds++
		switch s.run.Verdict {
		case contractfleet.VerdictTryAgain, contractfleet.VerdictGoOn, contractfleet.VerdictJob:
			ended = s.runMap()
		case contractfleet.VerdictRollBack:
			s.request, s.former = s.former, s.request
			ended = s.runMap()
		case contractfleet.VerdictGate, contractfleet.VerdictApproval:
			ended = s.waitAtGate()
		default:
			return
		}
	}
}

// ran is where the fleet stands once its Map has run, or its gate was passed.
func (s *simulation) ran() contractfleet.Ran {
	return contractfleet.Ran{
		Round: s.run.Round, Attempt: s.run.Attempt, List: s.run.List, Digest: s.run.Digest, Size: s.run.Size, Begun: s.run.Begun, Pending: s.run.Pending, Failed: s.run.Failed, LeftOut: s.run.LeftOut, Waves: s.run.Waves, Wave: s.run.Wave, Outcomes: s.run.Outcomes,
		Rollback: s.run.Rollback, Gate: s.run.Gate, Approved: s.run.Approved,
	}
}

// runMap is a Map of the clusters, or of the Job of a gate, which succeeds.
func (s *simulation) runMap() contractfleet.Ran {
	clusters := s.run.Clusters
	if s.fleet.InS3 {
		require.NoError(s.t, json.Unmarshal([]byte(s.s3.objects["reports/"+s.run.List]), &clusters))
	}
	require.Len(s.t, clusters, s.run.Size)
	ended := s.ran()
	for _, c := range clusters {
		status, name := contractfleet.StatusSucceeded, ""
		switch isJob := s.run.Job > 0 && !s.run.Rollback.Begun; {
		case isJob:
		case s.run.Rollback.Begun:
			status, name = s.outcome(c)
			s.rolled = append(s.rolled, rolling{c, string(s.request)})
		default:
			status, name = s.outcome(c)
			s.began = append(s.began, c.Target.ClusterName+map[int]string{2: " again"}[c.Attempt])
		}
		outcome := contractfleet.Outcome{Target: c.Target, Attempt: c.Attempt, Status: status, Error: name, Wave: c.Wave}
		if name == nothing {
			outcome.Error, outcome.Totals = "", map[string]int{"applied": 0}
		}
		if s.fleet.InS3 {
			put(s.t, s.s3, "reports/"+folder+"outcomes/"+c.Execution+".json", outcome)
		} else {
			ended.Clusters = append(ended.Clusters, outcome)
		}
	}
	return ended
}

// waitAtGate is a gate that is passed.
func (s *simulation) waitAtGate() contractfleet.Ran {
	ended := s.ran()
	if s.run.Verdict == contractfleet.VerdictGate {
		for _, name := range s.run.Gate.Alarms {
			ended.Gate.Seen.Names, ended.Gate.Seen.States = append(ended.Gate.Seen.Names, name), append(ended.Gate.Seen.States, "OK")
		}
		return ended
	}
	var err error
	ended.Gate.Decision, err = approver(s.t).Seal(s.fleet.Execution, contract.Decision{Digest: s.run.Gate.Rollout.Digest, Approved: true, By: strings.Repeat("a", 2048), At: start})
	require.NoError(s.t, err)
	return ended
}

// nothing in the place of an error is a cluster in which nothing was to be changed.
const nothing = "nothing to change"

// after returns outcomes for clusters by name; those without one succeed.
func after(outcomes map[string]string) func(contractfleet.Cluster) (contractfleet.Status, string) {
	return func(c contractfleet.Cluster) (contractfleet.Status, string) {
		name := c.Target.ClusterName
		if c.Attempt == 2 {
			name += " again"
		}
		if err := outcomes[name]; err != "" {
			return contractfleet.StatusFailed, err
		}
		return contractfleet.StatusSucceeded, ""
	}
}

func TestAFleetThatChangesItsClustersStops(t *testing.T) {
	for sentence, c := range map[string]struct {
		input    string
		outcomes map[string]string
		began    []string
		pending  []string
		rounds   int
	}{
		"at the first failure, one by one": {
			`"clusters":["a","b","c","d"],"concurrency":1`, map[string]string{"a": "NotReady"}, []string{"a"}, []string{"b", "c", "d"}, 1,
		},
		"once more have failed than may": {
			`"clusters":["a","b","c","d","e"],"concurrency":1,"toleratedFailures":{"count":1}`, map[string]string{"a": "NotReady", "c": "NotReady"}, []string{"a", "b", "c"}, []string{"d", "e"}, 2,
		},
		"once a greater share has failed": {
			`"clusters":["a","b","c","d","e"],"concurrency":1,"toleratedFailures":{"percentage":39}`, map[string]string{"a": "NotReady", "b": "NotReady"}, []string{"a", "b"}, []string{"c", "d", "e"}, 1,
		},
		"and lets finish what runs beside it": {
			`"clusters":["a","b","c","d"],"concurrency":2`, map[string]string{"a": "NotReady"}, []string{"a", "b"}, []string{"c", "d"}, 1,
		},
		"and does not try again what may have passed, once it has": {
			`"clusters":["a","b","c"],"concurrency":2`, map[string]string{"a": "NotReady", "b": "Throttled"}, []string{"a", "b"}, []string{"c"}, 1,
		},
		"if a second try fails, before anything else begins": {
			`"clusters":["a","b","c"],"concurrency":1`, map[string]string{"a": "Throttled", "a again": "Throttled"}, []string{"a", "a again"}, []string{"b", "c"}, 2,
		},
		"not if a second try succeeds": {
			`"clusters":["a","b","c"],"concurrency":1`, map[string]string{"a": "Throttled", "c": "ClusterUnreachable"}, []string{"a", "a again", "b", "c", "c again"}, nil, 5,
		},
		"not if the last fails": {
			`"clusters":["c","b","a"],"concurrency":1`, map[string]string{"a": "NotReady"}, []string{"c", "b", "a"}, nil, 3,
		},
		"not if all may fail, in one round": {
			`"clusters":["a","b","c"],"concurrency":1,"toleratedFailures":{"percentage":100}`, map[string]string{"a": "NotReady", "b": "NotReady", "c": "NotReady"}, []string{"a", "b", "c"}, nil, 1,
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			s := simulate(t, `{"workflow":"apply-manifests","output":{"bucket":"reports"},`+c.input+`}`, after(c.outcomes))

			assert.Equal(t, c.began, s.began)
			assert.Equal(t, c.rounds, s.rounds)
			assert.Equal(t, len(c.pending), s.run.Summary.ByStatus[contractfleet.StatusNotStarted])
			var pending []string
			for line := range strings.Lines(s.s3.objects["reports/"+folder+"notstarted.jsonl"]) {
				var target contract.Target
				require.NoError(t, json.Unmarshal([]byte(line), &target))
				pending = append(pending, target.ClusterName)
			}
			assert.Equal(t, c.pending, pending)
		})
	}
}

func TestAFleetThatStoppedSaysSo(t *testing.T) {
	s := simulate(t, `{"workflow":"apply-manifests","output":{"bucket":"reports"},"clusters":["a","b","c","d"],"concurrency":1}`, after(map[string]string{"a": "NotReady"}))
	assert.Equal(t, "1 of 4 clusters failed; none may fail: 1 NotReady. 3 clusters were not started: see s3://reports/"+folder+"notstarted.jsonl. The report: aws s3 cp s3://reports/"+folder+"report.html .", s.run.Cause)
	assert.Equal(t, contractfleet.Outcome{
		Target: contract.Target{ClusterName: "b", Region: "eu-west-1"}, Status: contractfleet.StatusNotStarted, Error: "NotStarted", Cause: "The fleet had stopped, because too many clusters had failed: none may fail.",
	}, s.run.Outcomes[1])
	assert.Equal(t, []contractfleet.Failure{{Error: "NotReady", Clusters: 1, Names: []string{"a"}}}, s.run.Summary.Failures, "what was not started has not failed")
	assert.Equal(t, "kubestep fleet --workflow apply-manifests --concurrency 1 --tolerate 0 --source s3://reports/"+folder+"notstarted.jsonl --report s3://reports/", s.run.Summary.Report.Continue)

	s = simulate(t, `{"workflow":"apply-manifests","clusters":["a","b"],"concurrency":1}`, after(map[string]string{"a": "NotReady"}))
	assert.Contains(t, s.run.Cause, "1 of 2 clusters failed; none may fail: 1 NotReady. 1 cluster was not started. No report was written")
}

func TestNothingBeginsThatMightNotEndInTime(t *testing.T) {
	const input = `{"workflow":"apply-manifests","clusters":["a","b","c","d","e","f","g","h"],"concurrency":2,"toleratedFailures":{"count":1}}`
	for sentence, c := range map[string]struct {
		age     time.Duration
		outcome string
		began   int
		attempt int
		cause   string
	}{
		"with all of its time, as many as may fail and run at once": {time.Hour, "", 6, 1, ""},
		"with time for one after another, as many as run at once":   {22 * time.Hour, "", 5, 1, ""},
		"with less, none":                                       {22*time.Hour + time.Minute, "", 3, 1, "0 of 8 clusters failed; at most 1 may fail. 5 clusters were not started, because an execution of a fleet ends after 24 hours, and the cluster might have been aborted half-way. No report"},
		"and none a second time":                                {23 * time.Hour, "Throttled", 3, 1, "1 of 8 clusters failed; at most 1 may fail: 1 Throttled. 5 clusters were not started, because"},
		"a second time with all of its time":                    {time.Hour, "Throttled", 3, 2, ""},
		"after a redrive on another day, all of its time again": {50 * time.Hour, "", 6, 1, ""},
	} {
		t.Run(sentence, func(t *testing.T) {
			s3 := &fakeS3{}
			d := finder(nil, s3)
			apply := d.Workflows["pod-inventory"]
			apply.Changes = func(any) bool { return true }
			d.Workflows["apply-manifests"] = apply
			found, err := find(t, d, input)
			require.NoError(t, err)
			require.Equal(t, 3, found.Run.Begun)
			ran := contractfleet.Ran{Round: 1, Attempt: 1, Size: 3, Begun: 3, Pending: found.Run.Pending, Outcomes: []contractfleet.Outcome{}}
			for i, name := range []string{"a", "b", "c"} {
				o := well(name, 1)
				if i == 0 && c.outcome != "" {
					o.Status, o.Error = contractfleet.StatusFailed, c.outcome
				}
				ran.Clusters = append(ran.Clusters, o)
			}
			s := summarizer(s3)
			s.Now = func() time.Time { return found.Fleet.StartedAt.Add(c.age) }

			next, err := s.Summarize(t.Context(), contractfleet.Summarize{Fleet: found.Fleet, Run: ran})

			require.NoError(t, err)
			assert.Equal(t, c.began, next.Begun)
			assert.Equal(t, c.attempt, next.Attempt)
			if c.cause == "" {
				assert.Contains(t, []contractfleet.Verdict{contractfleet.VerdictGoOn, contractfleet.VerdictTryAgain}, next.Verdict)
				return
			}
			assert.Equal(t, contractfleet.VerdictIntolerable, next.Verdict)
			assert.Contains(t, next.Cause, c.cause)
			assert.Equal(t, 5, next.Summary.ByStatus[contractfleet.StatusNotStarted])
		})
	}
}

func TestAsManyAsThereAreMayFail(t *testing.T) {
	s := simulate(t, `{"workflow":"apply-manifests","clusters":["a","b"],"toleratedFailures":{"count":9223372036854775807}}`, after(map[string]string{"a": "NotReady"}))
	assert.Equal(t, contractfleet.VerdictTolerable, s.run.Verdict)
}

func TestAFleetThatChangesNothingDoesNotStop(t *testing.T) {
	s := simulate(t, `{"workflow":"pod-inventory","output":{"bucket":"reports"},"clusters":["a","b","c"],"concurrency":1}`, after(map[string]string{"a": "Forbidden", "b": "Throttled"}))
	assert.Equal(t, []string{"a", "b", "c", "b again"}, s.began)
	assert.Equal(t, 2, s.rounds)
	assert.NotContains(t, s.s3.objects, "reports/"+folder+"notstarted.jsonl")
}

func TestALargeFleetReadsOnlyTheOutcomesOfTheRound(t *testing.T) {
	s3 := &fakeS3{}
	outcomes := make([]contractfleet.Outcome, 600)
	for i := range outcomes {
		outcomes[i] = well(fmt.Sprintf("c%03d", i), 1)
	}
	f := large(t, s3, outcomes...)
	f.Changes, f.Concurrency, f.Tolerated = true, 10, 3
	var round []contractfleet.Cluster
	for _, o := range outcomes[100:113] {
		round = append(round, contractfleet.Cluster{Target: o.Target, Attempt: 1, Execution: fleet.ExecutionName(f, o.Target, 1)})
	}
	put(t, s3, "reports/"+folder+"clusters-7.json", round)
	s3.reads = nil

	next, err := summarizer(s3).Summarize(t.Context(), contractfleet.Summarize{Fleet: f, Run: contractfleet.Ran{Round: 7, Attempt: 1, List: folder + "clusters-7.json", Begun: 113, Failed: 2}})

	require.NoError(t, err)
	assert.Len(t, s3.reads, 15, "the lists of the round and of the fleet, and 13 outcomes")
	assert.Equal(t, contractfleet.VerdictGoOn, next.Verdict)
	assert.Equal(t, contractfleet.Run{
		Round: 8, Attempt: 1, Clusters: []contractfleet.Cluster{}, List: folder + "clusters-8.json", Digest: next.Digest, Size: 11, Begun: 124, Pending: []contract.Target{}, Failed: 2,
		Waves: []contractfleet.Wave{}, Concurrency: 10, Task: next.Task, Gate: next.Gate, Ending: next.Ending, Outcomes: []contractfleet.Outcome{}, Verdict: contractfleet.VerdictGoOn, Summary: next.Summary,
	}, next, "one more may fail, and ten run at once")
	var listed []contractfleet.Cluster
	require.NoError(t, json.Unmarshal([]byte(s3.objects["reports/"+folder+"clusters-8.json"]), &listed))
	require.Len(t, listed, 11)
	assert.Equal(t, "c113", listed[0].Target.ClusterName)
}

func TestAFleetOfTooManyRoundsIsRefused(t *testing.T) {
	input := func(concurrency, tolerated int) string {
		return fmt.Sprintf(`{"workflow":"apply-manifests","output":{"bucket":"reports"},"concurrency":%d,"toleratedFailures":{"count":%d},"clusters":[%s]}`, concurrency, tolerated, strings.TrimSuffix(list(1201), ","))
	}
	d := finder(nil, &fakeS3{})
	apply := d.Workflows["pod-inventory"]
	apply.Changes = func(any) bool { return true }
	d.Workflows["apply-manifests"] = apply

	_, err := find(t, d, input(2, 0))
	named(t, err, contract.InvalidInput, "1 problem. concurrency: 2: 1201 clusters, begun few at a time so that failures stop the fleet, are more rounds than an execution can have: expected at least 3")
	for _, enough := range []string{input(3, 0), input(2, 1)} {
		_, err = find(t, d, enough)
		require.NoError(t, err)
	}
	_, err = find(t, finder(nil, &fakeS3{}), strings.Replace(input(2, 0), "apply-manifests", "pod-inventory", 1))
	require.NoError(t, err, "what changes nothing has one round")

	back := func(concurrency int) string {
		return fmt.Sprintf(`{"workflow":"apply-manifests",%s"concurrency":%d,"waves":[{"name":"all","percentage":100}],"clusters":[%s]}`, former, concurrency, strings.TrimSuffix(list(1201), ","))
	}
	_, err = find(t, rollout(nil, versioned()), back(3))
	named(t, err, contract.InvalidInput, "waves[0].concurrency: 3: the waves, of which each begins few clusters at a time so that failures stop it, are 802 rounds, more than the 600 that an execution can have")
	_, err = find(t, rollout(nil, versioned()), back(5))
	require.NoError(t, err, "with as many to roll back")
}
