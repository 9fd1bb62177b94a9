package rollouts_test

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	contractfleet "github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/test/asl"
	"github.com/kubestep/kubestep/test/rollouts"
)

var (
	seeds = flag.Uint64("seeds", 1000, "how many rollouts are run")
	first = flag.Uint64("first", 0, "the seed of the first")
)

// definition is the machine's.
func definition(t *testing.T) asl.Machine {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "statemachine", "fleet.asl.json"))
	require.NoError(t, err)
	m, err := asl.Read(text)
	require.NoError(t, err)
	return m
}

// tally counts what has happened in all rollouts.
type tally struct {
	sync.Mutex
	counts map[string]int
}

func (c *tally) add(w *rollouts.World) {
	c.Lock()
	defer c.Unlock()
	var failed asl.Error
	end := "it ends well"
	if errors.As(w.Err, &failed) {
		end = "it ends with " + failed.Name
	}
	c.counts[end]++
	for fault, n := range w.Faults {
		c.counts["fault: "+fault] += n
	}
	for _, e := range w.Log {
		c.counts["event: "+string(e.What)]++
	}
	for _, run := range w.Ran {
		c.counts["executions: "+string(run.Kind)]++
		c.counts[fmt.Sprintf("try %d", run.Attempt)]++
		if run.Own {
			c.counts["executions: of the fleet's own name"]++
		}
	}
	for status, n := range w.Summary.Summary.ByStatus {
		c.counts["clusters: "+string(status)] += n
	}
	for _, s := range w.Summary.Summary.Waves {
		c.counts["gates: "+string(s.Gate)]++
		if why := strings.FieldsFunc(s.Why, func(r rune) bool { return r == ' ' || r == ',' || r == ':' }); len(why) > 0 {
			c.counts["closed: "+strings.Join(why[:min(len(why), 4)], " ")]++
		}
	}
	c.counts["decisions that are refused"] += w.Refused
	for part, is := range map[string]bool{
		"without waves": len(w.Rollout.Waves) == 0, "in S3": w.Rollout.InS3, "listed": w.Rollout.Listed, "same plan": w.Rollout.SamePlan, "lock taken": w.Lost, "approved first": w.Rollout.First != nil, "a wave tested nothing": strings.Contains(w.Summary.Cause, "so it tested nothing"), "not approved": strings.Contains(w.Summary.Cause, "The rollout was not approved"),
		"for lack of time": strings.Contains(w.Summary.Cause, "24 hours"), "stop": w.Rollout.OnFailure == "stop", "continue": w.Rollout.OnFailure == "continue", "rollback": w.Rollout.OnFailure == "rollback",
	} {
		if is {
			c.counts["rollouts: "+part]++
		}
	}
	for _, w := range w.Rollout.Waves {
		if w.Gate.Approval != nil {
			c.counts["somebody "+string(w.Gate.Approval.Answer)]++
		}
	}
	c.counts["largest state"] = max(c.counts["largest state"], w.Largest.Bytes)
}

// run runs the rollout of a seed.
func run(t *testing.T, m asl.Machine, r rollouts.Rollout) (w *rollouts.World) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var err error
		w, err = rollouts.NewWorld(m, r)
		require.NoError(t, err)
		w.Run(t.Context())
	})
	return w
}

// ways are what the rollouts of 1,000 seeds must have exercised.
var ways = []string{
	"clusters: ABORTED", "clusters: FAILED", "clusters: LEFT_OUT", "clusters: NOT_STARTED", "clusters: SUCCEEDED", "clusters: TIMED_OUT",
	"executions: change", "executions: job", "executions: rollback", "executions: of the fleet's own name", "try 2", "decisions that are refused",
	"event: a gate was approved", "event: the fleet was redriven", "event: an earlier decision was sent again", "event: an outcome was not recorded", "gates: passed", "gates: failed",
	"fault: Lambda cannot serve", "fault: S3 refuses everything", "fault: S3 throttles", "fault: S3's answer is lost", "fault: a function crashes after its work",
	"fault: a function takes too long", "fault: a function's answer is lost", "fault: a start is repeated", "fault: a start is throttled", "fault: alarms cannot be read",
	"fault: an execution is stopped", "fault: " + string(rollouts.RunsAlready), "fault: " + string(rollouts.EndedAlready), "fault: " + string(rollouts.EndedBefore),
	"fault: " + string(rollouts.Foreign), "fault: " + string(rollouts.Taken), "fault: " + string(rollouts.Undescribed), "fault: " + string(rollouts.Hangs),
	"closed: its alarms could", "closed: alarm-0 is ALARM", "closed: alarm-0 is INSUFFICIENT_DATA", "closed: alarm-0 is no alarm", "closed: its job failed in",
	"closed: no cluster of", "closed: nobody approved it", "closed: it was rejected", "closed: its approval does", "closed: its approval could",
	"it ends well", "it ends with AccessDenied", "it ends with ClustersFailed", "it ends with RollbackFailed", "it ends with RolloutFailed", "it ends with SetInUse",
	"rollouts: approved first", "rollouts: not approved", "rollouts: a wave tested nothing", "rollouts: continue", "rollouts: for lack of time", "rollouts: in S3", "rollouts: listed", "rollouts: lock taken", "rollouts: rollback",
	"rollouts: same plan", "rollouts: stop", "rollouts: without waves",
}

func TestARolloutStopsWhereItSays(t *testing.T) {
	m := definition(t)
	all := tally{counts: map[string]int{}}
	for seed := *first; seed < *first+*seeds; seed++ {
		w := run(t, m, rollouts.New(seed))
		all.add(w)
		if problems := rollouts.Judge(w); len(problems) > 0 {
			t.Errorf("seed %d (go test ./rollouts -seeds 1 -first %d):\n\t%s", seed, seed, strings.Join(problems, "\n\t"))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(all.counts)) {
		t.Logf("%8d %s", all.counts[name], name)
	}
	assert.Less(t, all.counts["largest state"], asl.MaxData)
	for _, way := range ways {
		happened := func(name string) bool { return strings.HasPrefix(name, way) && all.counts[name] > 0 }
		assert.True(t, *seeds < 1000 || slices.ContainsFunc(slices.Collect(maps.Keys(all.counts)), happened), "no rollout of these seeds has %q", way)
	}
}

// large is a rollout to so many clusters, in as many waves as there may be, through gates that have all there is. The last is closed.
func large(clusters int, inS3 bool) rollouts.Rollout {
	r := rollouts.Rollout{
		Reports: "reports", Sources: "manifests", Former: "v1-former", Newest: "v2-newest", Concurrency: 200, Unmatched: "refuse", Listed: true, Report: true, Set: true, Longest: 60, Chances: rollouts.Chances{Fail: 0.005, Pass: 0.02, Same: 0.1},
		First: &rollouts.Approval{Seconds: 600, After: 30, Answer: rollouts.Approves},
	}
	if inS3 {
		r.OnFailure, r.InS3 = "rollback", true
	}
	for n := range clusters {
		r.Clusters = append(r.Clusters, rollouts.Cluster{Name: fmt.Sprintf("%05d-%s", n, strings.Repeat("checkout", 11)), Region: []string{"eu-west-1", "us-east-1"}[n%2]})
	}
	left := r.Clusters
	for n := range contractfleet.MaxWaves {
		w := rollouts.Wave{
			Name: fmt.Sprintf("wave-%02d", n), By: "percentage", Percentage: (100 + contractfleet.MaxWaves - n - 1) / (contractfleet.MaxWaves - n), Concurrency: 100, Tolerated: 50,
			Gate: rollouts.Gate{
				Soak: 60, Alarms: []rollouts.Alarm{{Name: "checkout-errors", State: "OK"}, {Name: "checkout-latency", State: "OK", Composite: true}},
				Job: []string{"one", "each"}[n%2], Approval: &rollouts.Approval{Seconds: 600, After: 30, Answer: rollouts.Approves, Topic: true},
			},
		}
		if n == contractfleet.MaxWaves-1 {
			w.Gate.Alarms[1].State = "ALARM"
		}
		taken := (len(left)*w.Percentage + 99) / 100
		for _, c := range left[:taken] {
			w.Names = append(w.Names, c.Name)
		}
		left = left[taken:]
		r.Waves = append(r.Waves, w)
	}
	return r
}

func TestTheLargestRolloutsFitIntoTheState(t *testing.T) {
	for sentence, r := range map[string]rollouts.Rollout{
		"10,000 clusters in 20 waves, which are rolled back": large(contractfleet.MaxClusters, true),
		"as many as pass between the states, in 20 waves":    large(contractfleet.MaxInStateOfWaves, false),
	} {
		t.Run(sentence, func(t *testing.T) {
			w := run(t, definition(t), r)

			assert.Empty(t, rollouts.Judge(w))
			var failed asl.Error
			require.ErrorAs(t, w.Err, &failed)
			assert.Contains(t, failed.Cause, "Wave wave-19 stopped the rollout: the gate of wave wave-19 was not passed: checkout-latency is ALARM")
			assert.Len(t, r.Clusters, w.Summary.Summary.Clusters)
			const request, eventsOfARound = (32 + 16) << 10, 17 // a request, and the jobs, may be so large
			assert.Less(t, w.Largest.Bytes+request, asl.MaxData)
			assert.Less(t, w.Rounds*eventsOfARound, 25_000)
			t.Logf("%d executions in %d rounds; the largest data of a state are those of %s: %d bytes of %d", len(w.Ran), w.Rounds, w.Largest.State, w.Largest.Bytes, asl.MaxData)
		})
	}
}
