package fleet_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract"
	contractfleet "github.com/kubestep/kubestep/internal/contract/fleet"
)

// gates are how the gates of a simulated rollout fare.
type gates struct {
	random *rand.Rand
	// alarm, job and approval are the shares of alarms that are not OK, of Jobs that fail, and of
	// gates that nobody approves.
	alarm, job, approval float64
	// closed says why a gate is not passed, and jobs counts the executions of Jobs.
	closed string
	jobs   int
}

func (s *simulation) runsJob() bool { return s.run.Job > 0 && !s.run.Rollback.Begun }

// outcomeOf is the outcome of a cluster's execution, or of that of a gate's Job.
func (s *simulation) outcomeOf(c contractfleet.Cluster) (contractfleet.Status, string, int) {
	if !s.runsJob() {
		require.True(s.t, s.gates.closed == "" || s.run.Rollback.Begun, "%s of wave %d begins", c.Target.ClusterName, c.Wave)
		return s.outcome(c)
	}
	s.gates.jobs++
	switch n := s.gates.random.Float64(); {
	case n < s.gates.job/2:
		s.gates.closed = "its job failed in "
		return contractfleet.StatusFailed, "JobFailed", 1
	case n < s.gates.job && c.Attempt == 1:
		return contractfleet.StatusFailed, "Throttled", 1
	default:
		return contractfleet.StatusSucceeded, "", 1
	}
}

// waitAtGate is what the machine does at a gate besides running Jobs.
func (s *simulation) waitAtGate() contractfleet.Ran {
	ended := contractfleet.Ran{
		Round: s.run.Round, Attempt: s.run.Attempt, Begun: s.run.Begun, Pending: s.run.Pending, Failed: s.run.Failed, LeftOut: s.run.LeftOut, Waves: s.run.Waves, Wave: s.run.Wave, Outcomes: s.run.Outcomes, Gate: s.run.Gate, Approved: s.run.Approved,
	}
	chance := func(share float64) bool { return s.gates.random.Float64() < share }
	if s.run.Verdict == contractfleet.VerdictGate {
		for _, name := range s.run.Gate.Alarms {
			state := "OK"
			if chance(s.gates.alarm) {
				state, s.gates.closed = "ALARM", name+" is ALARM"
			}
			ended.Gate.Seen.Names, ended.Gate.Seen.States = append(ended.Gate.Seen.Names, name), append(ended.Gate.Seen.States, state)
		}
		return ended
	}
	yes, err := approver(s.t).Seal(s.fleet.Execution, contract.Decision{Digest: s.run.Gate.Rollout.Digest, Approved: true, By: strings.Repeat("a", 2048), At: start})
	require.NoError(s.t, err)
	ended.Gate.Decision = yes
	if !chance(s.gates.approval) {
		return ended
	}
	switch s.gates.random.IntN(3) {
	case 0:
		s.gates.closed = "nobody approved it within "
		ended.Gate.Decision, ended.Gate.Failure = contract.Decision{}, contractfleet.Refusal{Error: "States.Timeout"}
	case 1:
		s.gates.closed = "it was rejected"
		ended.Gate.Decision.Approved = false
		ended.Gate.Decision, err = approver(s.t).Seal(s.fleet.Execution, ended.Gate.Decision)
		require.NoError(s.t, err)
	default:
		s.gates.closed = "its approval does not come from the function approve"
		ended.Gate.Decision.Seal = "Zm9yZ2Vk"
	}
	return ended
}

func TestNothingOfALaterWaveBeginsOnceAGateIsNotPassed(t *testing.T) {
	random := rand.New(rand.NewPCG(24, 7)) // the same each time
	stopped, whole, closed, jobs, notBegun := 0, 0, map[string]int{}, 0, 0
	for seed := range 1000 {
		clusters, waves := 4+random.IntN(40), 1+random.IntN(4)
		failing, passing := random.Float64()*0.1, random.Float64()*0.2
		targets, output := make([]contract.Target, clusters), ""
		for n := range targets {
			targets[n] = contract.Target{ClusterName: fmt.Sprintf("c%02d", n), Region: "eu-west-1"}
		}
		if seed%2 == 0 { // in S3, because one role is so long
			output, targets[0].RoleARN = `"output":{"bucket":"reports"},`, "arn:aws:iam::444455556666:role/"+strings.Repeat("path/", 60)+"name"
		}
		named, err := json.Marshal(targets)
		require.NoError(t, err)
		if clusters < 12 {
			waves = 1
		}
		var said []string
		for i := range waves {
			var parts []string
			for _, part := range []string{`"soakSeconds":60`, `"alarms":["errors","slow"]`, `"job":` + smoke, `"job":{"clusters":"one","cronJob":{"namespace":"shop","name":"smoke"}}`, `"approval":{}`} {
				if random.IntN(2) == 0 && !(strings.HasPrefix(part, `"job"`) && strings.Contains(strings.Join(parts, ""), `"job"`)) {
					parts = append(parts, part)
				}
			}
			said = append(said, fmt.Sprintf(`{"name":"w%d","percentage":%d,"concurrency":%d,"toleratedFailures":{"count":%d},"gate":{%s}}`, i, 10+random.IntN(41), 1+random.IntN(6), random.IntN(4), strings.Join(parts, ",")))
		}
		if random.IntN(4) == 0 {
			output += `"approve":{},`
		}
		input := fmt.Sprintf(`{"workflow":"apply-manifests",%s"unmatched":"last","waves":[%s],"clusters":%s}`, output, strings.Join(said, ","), named)
		share := random.Float64() * 0.15
		s := &simulation{t: t, s3: &fakeS3{}, ended: map[int]int{}, lost: map[int]int{}, gates: &gates{random: random, alarm: share, job: share, approval: share * 2}}
		s.outcome = func(contractfleet.Cluster) (contractfleet.Status, string, int) {
			switch n := random.Float64(); {
			case n < failing:
				return contractfleet.StatusFailed, "NotReady", 1
			case n < failing+passing:
				return contractfleet.StatusFailed, "Throttled", 1
			default:
				return contractfleet.StatusSucceeded, "", 1
			}
		}

		s.all(input)

		for _, at := range s.starts {
			for number := 1; number < at.wave; number++ {
				require.Equal(t, s.run.Waves[number-1].Clusters, at.ended[number], input)
			}
		}
		sum, over := 0, false
		for _, w := range s.run.Summary.Waves {
			for _, n := range w.ByStatus {
				sum += n
			}
			over = over || w.Failed() > w.Tolerated
		}
		require.Equal(t, clusters, sum, "each cluster has an outcome in its wave, and no Job is one: %s", input)
		jobs += s.gates.jobs
		nowhere := strings.Contains(s.run.Cause, "so its job ran in none")
		switch {
		case s.gates.closed != "":
			closed[s.gates.closed]++
			stopped++
			require.Equal(t, contractfleet.VerdictRolloutFailed, s.run.Verdict, input)
			require.Contains(t, s.run.Cause, s.gates.closed, input)
			if strings.HasPrefix(s.run.Cause, "The rollout was not approved: ") {
				notBegun++
				require.Empty(t, s.began, input)
				require.Equal(t, clusters, s.run.Summary.ByStatus[contractfleet.StatusNotStarted], input)
				continue
			}
			require.Equal(t, contractfleet.GateFailed, s.run.Summary.Waves[s.run.Wave-1].Gate, input)
		case over || nowhere || isUntested(s.run.Summary.Waves):
			stopped++
			require.Equal(t, contractfleet.VerdictRolloutFailed, s.run.Verdict, input)
		default:
			whole++
			require.Equal(t, contractfleet.VerdictTolerable, s.run.Verdict, "%s: %s", input, s.run.Cause)
			require.Zero(t, s.run.Summary.ByStatus[contractfleet.StatusNotStarted], input)
		}
	}
	assert.Greater(t, stopped, 100)
	assert.Greater(t, whole, 100)
	assert.Greater(t, notBegun, 10)
	assert.Len(t, closed, 6, "gates are closed in each way: %v", closed)
	t.Logf("1000 rollouts: %d ended well, %d stopped, of these at a gate: %v; %d Jobs; %d did not begin. 0 executions began after a gate that was not passed", whole, stopped, closed, jobs, notBegun)
}
