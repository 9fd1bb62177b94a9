package fleet_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
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

// simulation runs a fleet as the machine does: Map, Summarize and so on, with time that
// passes only where an execution runs.
type simulation struct {
	t     *testing.T
	s3    *fakeS3
	fleet contractfleet.Fleet
	run   contractfleet.Run
	// request and former are what the clusters are asked, and the other request.
	request, former json.RawMessage
	// rolled are the starts of the rollback.
	rolled []rolling
	// outcome is the status, error and duration of a cluster's execution.
	outcome func(contractfleet.Cluster) (contractfleet.Status, string, int)
	// gates are how gates fare; without it, all are passed.
	gates *gates

	now    int
	began  []string // each start, as "NAME" or "NAME again"
	counts []int    // how many clusters had failed at each start
	failed int
	rounds int
	sizes  []int // of the runs in the state
	starts []begun
	ended  map[int]int // clusters by the number of their wave, and of these those that failed
	lost   map[int]int
}

// rolling is the start of a cluster's rollback: when, of which wave, and what it was asked.
type rolling struct {
	cluster   contractfleet.Cluster
	at, ended int
	request   string
	status    contractfleet.Status
	error     string
}

// begun is what was so when a cluster of a wave began.
type begun struct {
	wave, running int
	// ended and failed are the clusters of each wave.
	ended, failed map[int]int
}

// simulate finds the clusters of an input and runs them.
func simulate(t *testing.T, input string, outcome func(contractfleet.Cluster) (contractfleet.Status, string, int)) *simulation {
	t.Helper()
	s := &simulation{t: t, s3: &fakeS3{}, outcome: outcome, ended: map[int]int{}, lost: map[int]int{}}
	s.all(input)
	return s
}

// all runs the fleet to its end.
func (s *simulation) all(input string) {
	t := s.t
	t.Helper()
	if s.gates == nil {
		s.gates = &gates{random: rand.New(rand.NewPCG(1, 1))}
	}
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
		text, err := json.Marshal(s.run)
		require.NoError(t, err)
		s.sizes = append(s.sizes, len(text))
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

// runMap is a distributed Map: as many items run at once as may, and one begins as soon
// as another ends.
func (s *simulation) runMap() contractfleet.Ran {
	type item struct {
		ends    int
		outcome contractfleet.Outcome
		key     string
	}
	clusters := s.run.Clusters
	if s.fleet.InS3 {
		require.NoError(s.t, json.Unmarshal([]byte(s.s3.objects["reports/"+s.run.List]), &clusters))
	}
	require.Len(s.t, clusters, s.run.Size)
	var running []item
	ended := contractfleet.Ran{
		Round: s.run.Round, Attempt: s.run.Attempt, List: s.run.List, Digest: s.run.Digest, Size: s.run.Size, Begun: s.run.Begun, Pending: s.run.Pending, Failed: s.run.Failed, LeftOut: s.run.LeftOut, Waves: s.run.Waves, Wave: s.run.Wave, Outcomes: s.run.Outcomes,
		Rollback: s.run.Rollback, Gate: s.run.Gate, Approved: s.run.Approved,
	}
	for len(clusters) > 0 || len(running) > 0 {
		for len(running) < s.run.Concurrency && len(clusters) > 0 {
			c := clusters[0]
			clusters = clusters[1:]
			status, name, duration := s.outcomeOf(c)
			outcome := contractfleet.Outcome{Target: c.Target, Attempt: c.Attempt, Status: status, Error: name, Wave: c.Wave}
			if name == nothing {
				outcome.Error, outcome.Totals = "", map[string]int{"applied": 0}
			}
			running = append(running, item{s.now + duration, outcome, "reports/" + folder + "outcomes/" + c.Execution + ".json"})
			if s.runsJob() {
				continue
			}
			if s.run.Rollback.Begun {
				s.rolled = append(s.rolled, rolling{c, s.now, s.now + duration, string(s.request), status, name})
				continue
			}
			s.began = append(s.began, c.Target.ClusterName+map[int]string{2: " again"}[c.Attempt])
			s.counts = append(s.counts, s.failed)
			s.starts = append(s.starts, begun{c.Wave, len(running) - 1, maps.Clone(s.ended), maps.Clone(s.lost)})
		}
		first := slices.IndexFunc(running, func(i item) bool {
			return !slices.ContainsFunc(running, func(other item) bool { return other.ends < i.ends })
		})
		done := running[first]
		running = slices.Delete(running, first, first+1)
		s.now = done.ends
		again := done.outcome.Attempt == 1 && slices.Contains([]string{"Throttled", "ClusterUnreachable", "AWSUnreachable"}, done.outcome.Error)
		if done.outcome.Failed() && !again && !s.run.Rollback.Begun && !s.runsJob() {
			s.failed++
			s.lost[done.outcome.Wave]++
		}
		if !again && !s.run.Rollback.Begun && !s.runsJob() {
			s.ended[done.outcome.Wave]++
		}
		switch {
		case done.outcome.Error == "NoOutcome": // the item failed
		case s.fleet.InS3:
			put(s.t, s.s3, done.key, done.outcome)
		default:
			ended.Clusters = append(ended.Clusters, done.outcome)
		}
	}
	return ended
}

// nothing in the place of an error is a cluster in which nothing was to be changed.
const nothing = "nothing to change"

func TestNothingBeginsOnceTooManyClustersHaveFailed(t *testing.T) {
	random := rand.New(rand.NewPCG(18, 9)) // the same each time
	for i := range 200 {
		clusters, concurrency, tolerated := 1+random.IntN(40), 1+random.IntN(8), random.IntN(6)
		failing, passing, losing := random.Float64()*0.6, random.Float64()*0.4, random.Float64()*0.1
		targets, output := make([]contract.Target, clusters), ""
		for n := range targets {
			targets[n] = contract.Target{ClusterName: fmt.Sprintf("c%02d", n), Region: "eu-west-1"}
		}
		if i%2 == 0 { // in S3, because one role is so long
			output, targets[0].RoleARN = `"output":{"bucket":"reports"},`, "arn:aws:iam::444455556666:role/"+strings.Repeat("path/", 60)+"name"
		}
		list, err := json.Marshal(targets)
		require.NoError(t, err)
		input := fmt.Sprintf(`{"workflow":"apply-manifests",%s"concurrency":%d,"toleratedFailures":{"count":%d},"clusters":%s}`, output, concurrency, tolerated, list)

		s := simulate(t, input, func(contractfleet.Cluster) (contractfleet.Status, string, int) {
			duration := 1 + random.IntN(20)
			switch n := random.Float64(); {
			case n < failing:
				return contractfleet.StatusFailed, "NotReady", duration
			case n < failing+passing:
				return contractfleet.StatusFailed, "Throttled", duration
			case n < failing+passing+losing:
				return contractfleet.StatusFailed, "NoOutcome", duration
			default:
				return contractfleet.StatusSucceeded, "", duration
			}
		})

		for start, failed := range s.counts {
			require.LessOrEqual(t, failed, tolerated, "%s: start %d, %s: %v", input, start, s.began[start], s.began)
		}
		assert.Equal(t, output != "", s.fleet.InS3)
		byStatus := s.run.Summary.ByStatus
		assert.Equal(t, clusters, s.run.Summary.Clusters, "each cluster has an outcome")
		firsts := 0
		for _, name := range s.began {
			if !strings.HasSuffix(name, " again") {
				firsts++
			}
		}
		assert.Equal(t, clusters-firsts, byStatus[contractfleet.StatusNotStarted], "those that did not begin: %s", input)
		if byStatus[contractfleet.StatusNotStarted] > 0 {
			assert.Greater(t, clusters-byStatus[contractfleet.StatusNotStarted]-byStatus[contractfleet.StatusSucceeded], tolerated, "the fleet stops for no other reason")
			assert.Equal(t, contractfleet.VerdictIntolerable, s.run.Verdict)
		}
		assert.Equal(t, clusters-byStatus[contractfleet.StatusNotStarted]-byStatus[contractfleet.StatusSucceeded] > tolerated, s.run.Verdict == contractfleet.VerdictIntolerable)
	}
}

// after returns outcomes for clusters by name; those without one succeed.
func after(outcomes map[string]string) func(contractfleet.Cluster) (contractfleet.Status, string, int) {
	return func(c contractfleet.Cluster) (contractfleet.Status, string, int) {
		name := c.Target.ClusterName
		if c.Attempt == 2 {
			name += " again"
		}
		if err := outcomes[name]; err != "" {
			return contractfleet.StatusFailed, err, 1
		}
		return contractfleet.StatusSucceeded, "", 1
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
