package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	contractfleet "github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/internal/contract/runjob"
	"github.com/kubestep/kubestep/internal/input"
)

// A gate is passed by the machine: it waits, asks CloudWatch, and runs Jobs. Summarize says which
// stage of which gate, and what the answer means.

const (
	alarmOK = "OK"
	// maxFailedJobs bounds the clusters that a cause names in which a Job failed, and maxJobCause
	// what it says of each.
	maxFailedJobs, maxJobCause = 3, 300
	// maxJobOutcomes bounds the outcomes of a round of a Job in the state.
	maxJobOutcomes = 20 << 10
	// maxJobs bounds what all gates ask of run-job: it is in the state.
	maxJobs = 16 << 10

	jobExample = `{"source": {"bucket": "manifests", "key": "smoke-test.yaml"}}`
	// In which clusters of the wave a Job runs.
	jobInEach, jobInOne = "each", "one"
)

// soaks reports whether the gate can be passed, and the last round begin, before the fleet ends.
func soaks(age time.Duration, gate contractfleet.Gate) bool {
	return left(age)-spare-time.Duration(gate.SoakSeconds)*time.Second > 0
}

// passage is the gate of a wave that is to be passed now.
func passage(wave int, gate contractfleet.Gate) contractfleet.Passage {
	return contractfleet.Passage{Wave: wave, Stage: contractfleet.StageAlarms, SoakSeconds: gate.SoakSeconds, Alarms: gate.Alarms, Watched: len(gate.Alarms) > 0}
}

// enter begins the gate of the wave of next, whose clusters have ended with those outcomes.
func (s Summarizer) enter(ctx context.Context, in contractfleet.Summarize, next contractfleet.Run, outcomes []contractfleet.Outcome) (contractfleet.Run, error) {
	gate := in.Run.Waves[next.Wave-1].Gate
	next.Waves = slices.Clone(next.Waves)
	next.Waves[next.Wave-1].Failed, next.Waves[next.Wave-1].LeftOut = next.Failed, next.LeftOut
	if testsNothing(in.Fleet, next) {
		return s.fail(ctx, in, outcomes, untested(next.Waves[next.Wave-1].Name, next.Failed, next.LeftOut))
	}
	switch {
	case gate.Open():
		return s.nextWave(ctx, in, next, outcomes)
	case !soaks(s.age(in), gate):
		next.Gate.Wave = next.Wave
		return s.stopBefore(ctx, in, next, noTime)
	case gate.Waits():
		next.Verdict, next.Gate = contractfleet.VerdictGate, passage(next.Wave, gate)
		return lay(ctx, s.Store, in.Fleet, next, nil)
	default:
		next.Gate.Wave = next.Wave
		return s.runJob(ctx, in, next, outcomes)
	}
}

// pass goes on with the gate of which a stage has ended.
func (s Summarizer) pass(ctx context.Context, in contractfleet.Summarize) (contractfleet.Run, error) {
	next := after(in, in.Run.Failed, nil)
	next.Gate = in.Run.Gate
	switch in.Run.Gate.Stage {
	case contractfleet.StageJob:
		return s.judgeJob(ctx, in, next)
	case contractfleet.StageAsk:
		if next.Gate.Decision == (contract.Decision{}) && next.Gate.Failure.Error == "" {
			return s.waitToBegin(ctx, in, next)
		}
		return s.judge(ctx, in, next) // an execution of a definition that does not lead here before
	case contractfleet.StageApproval:
		return s.judge(ctx, in, next)
	default:
		if why := refusal(in.Run.Gate); why != "" {
			return s.refuse(ctx, in, why)
		}
		return s.runJob(ctx, in, next, nil)
	}
}

// refuse ends the fleet at the gate of its wave.
func (s Summarizer) refuse(ctx context.Context, in contractfleet.Summarize, why string) (contractfleet.Run, error) {
	in.Run.Gate.Why = why
	if in.Run.Gate.Wave == 0 {
		return s.finish(ctx, in, nil, "the rollout was not approved: "+why)
	}
	why = "the gate of wave " + in.Run.Waves[in.Run.Wave-1].Name + " was not passed: " + why
	if in.Run.Gate.Why == noTime {
		return s.finish(ctx, in, nil, why)
	}
	return s.fail(ctx, in, nil, why)
}

// runJob begins the Job of the gate in clusters of its wave where it has not begun, if there are
// any, after a round of the wave with those outcomes.
func (s Summarizer) runJob(ctx context.Context, in contractfleet.Summarize, next contractfleet.Run, outcomes []contractfleet.Outcome) (contractfleet.Run, error) {
	wave := next.Waves[next.Wave-1]
	if wave.Gate.Job.Request == 0 {
		return s.ask(ctx, in, next, outcomes)
	}
	targets, err := s.wellOf(ctx, in, next)
	if err != nil {
		return contractfleet.Run{}, err
	}
	left := targets[min(next.Gate.Begun, len(targets)):]
	most := min(inTime(s.age(in), wave.Concurrency), jobsInRound(in.Fleet))
	switch {
	case len(left) == 0 && next.Gate.Begun > 0:
		next.Waves = slices.Clone(next.Waves)
		next.Waves[next.Wave-1].Jobs = next.Gate.Begun
		return s.ask(ctx, in, next, outcomes)
	case len(left) == 0:
		return s.stopBefore(ctx, in, next, "no cluster of the wave succeeded, so its job ran in none")
	case most == 0:
		return s.stopBefore(ctx, in, next, noTime)
	}
	left = left[:min(len(left), most)]
	asks := asksJob(in.Fleet, wave)
	clusters := make([]contractfleet.Cluster, len(left))
	for i, target := range left {
		clusters[i] = contractfleet.Cluster{Target: target, Attempt: 1, Execution: ExecutionName(asks, target, 1), Wave: next.Wave}
	}
	next.Gate.Stage, next.Verdict = contractfleet.StageJob, contractfleet.VerdictJob
	next.Gate.Begun += len(clusters)
	return lay(ctx, s.Store, in.Fleet, next, clusters)
}

// jobsInRound is how many clusters a round of a Job has: their outcomes are in the state beside
// those of the fleet, if it is not in S3.
func jobsInRound(fleet contractfleet.Fleet) int {
	if fleet.InS3 {
		return contractfleet.MaxClusters
	}
	return max(1, maxJobOutcomes/share(fleet, maxTarget+maxBesideTarget))
}

// stopBefore ends the fleet at the gate of next, before it soaks, its Job runs or its approval is asked for.
func (s Summarizer) stopBefore(ctx context.Context, in contractfleet.Summarize, next contractfleet.Run, why string) (contractfleet.Run, error) {
	in.Run.Outcomes, in.Run.Gate = next.Outcomes, next.Gate
	return s.refuse(ctx, in, why)
}

// asksJob is the fleet as it names the executions of the Job of a wave's gate. No other fleet has
// these names: one that shares the name may have run its Job before this one changed the cluster.
func asksJob(fleet contractfleet.Fleet, wave contractfleet.Wave) contractfleet.Fleet {
	fleet.Digest = wave.Gate.Job.Digest + " " + fleet.Own
	return fleet
}

// judgeJob goes on after a round of the Job of a gate.
func (s Summarizer) judgeJob(ctx context.Context, in contractfleet.Summarize, next contractfleet.Run) (contractfleet.Run, error) {
	wave := in.Run.Waves[in.Run.Wave-1]
	outcomes, err := s.round(ctx, in)
	if err != nil {
		return contractfleet.Run{}, err
	}
	asks := in
	asks.Fleet = asksJob(in.Fleet, wave)
	settled, again := settle(asks, outcomes)
	if len(again) > inTime(s.age(in), wave.Concurrency) {
		settled, again = outcomes, nil
	}
	switch why := failedJobs(asks.Fleet, settled); {
	case why != "":
		return s.refuse(ctx, in, why)
	case len(again) > 0:
		next.Attempt, next.Verdict = in.Run.Attempt+1, contractfleet.VerdictTryAgain
		return lay(ctx, s.Store, in.Fleet, next, again)
	default:
		return s.runJob(ctx, in, next, nil)
	}
}

// failedJobs says where the Job of a gate failed, and why; it is empty if it failed nowhere.
func failedJobs(asks contractfleet.Fleet, outcomes []contractfleet.Outcome) string {
	var texts []string
	n := 0
	for _, o := range outcomes {
		if !o.Failed() {
			continue
		}
		if n++; n > maxFailedJobs {
			continue
		}
		text := fmt.Sprintf("%s (%s): %s: %s", o.ClusterName, o.Region, o.Error, strings.TrimSuffix(abbreviate(o.Cause, maxJobCause), "."))
		if n == 1 && o.ClusterName != "" {
			text += fmt.Sprintf(" (kubestep follow %s:%s)", asks.Jobs.Executions, ran(asks, o))
		}
		texts = append(texts, text)
	}
	if n == 0 {
		return ""
	}
	if more := n - len(texts); more > 0 {
		texts = append(texts, fmt.Sprintf("and in %d more", more))
	}
	return "its job failed in " + count(n) + ": " + strings.Join(texts, "; ")
}

// wellOf are the clusters in which the Job of the gate of next runs: those of the wave that
// succeeded, or the first of them.
func (s Summarizer) wellOf(ctx context.Context, in contractfleet.Summarize, next contractfleet.Run) ([]contract.Target, error) {
	one := next.Waves[next.Wave-1].Gate.Job.One
	outcomes := next.Outcomes
	standing := func(ctx context.Context, cluster contractfleet.Cluster) (contractfleet.Outcome, error) {
		return s.ofBoth(ctx, in, in.Fleet, cluster)
	}
	if in.Fleet.InS3 {
		clusters, err := frozen(ctx, s.Store, in.Fleet, next.Waves)
		if err != nil {
			return nil, err
		}
		to := min(end(in.Fleet, next.Waves, next.Wave), len(clusters))
		clusters = clusters[to-min(next.Waves[next.Wave-1].Clusters, to) : to]
		for ; one && len(clusters) > 0; clusters = clusters[1:] {
			o, err := standing(ctx, clusters[0])
			if err != nil || o.Status == contractfleet.StatusSucceeded {
				return []contract.Target{o.Target}, err
			}
		}
		if outcomes, err = s.read(ctx, clusters, standing); err != nil {
			return nil, err
		}
	}
	var targets []contract.Target
	for _, o := range outcomes {
		if o.Wave == next.Wave && o.Status == contractfleet.StatusSucceeded {
			targets = append(targets, o.Target)
		}
	}
	if one {
		targets = targets[:min(1, len(targets))]
	}
	return targets, nil
}

// open begins the next wave: the gate of next is passed.
func (s Summarizer) open(ctx context.Context, in contractfleet.Summarize, next contractfleet.Run, outcomes []contractfleet.Outcome) (contractfleet.Run, error) {
	in.Run.Waves, in.Run.Gate = next.Waves, next.Gate
	next.Gate = contractfleet.Passage{}
	return s.nextWave(ctx, in, next, outcomes)
}

// age is how long the fleet has run.
func (s Summarizer) age(in contractfleet.Summarize) time.Duration {
	return s.Now().Sub(in.Fleet.StartedAt)
}

// filled has empty arrays in the place of none: a path to an element of null is an error.
func filled(gate contractfleet.Passage) contractfleet.Passage {
	for _, list := range []*[]string{&gate.Alarms, &gate.Seen.Names, &gate.Seen.States, &gate.Seen.CompositeNames, &gate.Seen.CompositeStates} {
		if *list == nil {
			*list = []string{}
		}
	}
	return gate
}

// refusal says why the gate is not passed; it is empty if it is.
func refusal(gate contractfleet.Passage) string {
	if gate.Failure.Error != "" {
		return fmt.Sprintf("its alarms could not be read: %s: %s", gate.Failure.Error, abbreviate(gate.Failure.Cause, maxBesideTarget))
	}
	seen := gate.Seen
	var bad []string
	for _, name := range gate.Alarms {
		state := "no alarm of CloudWatch in the fleet's Region"
		if i := slices.Index(seen.Names, name); i >= 0 && i < len(seen.States) {
			state = seen.States[i]
		} else if i := slices.Index(seen.CompositeNames, name); i >= 0 && i < len(seen.CompositeStates) {
			state = seen.CompositeStates[i]
		}
		if state != alarmOK {
			bad = append(bad, fmt.Sprintf("%s is %s", name, state))
		}
	}
	return strings.Join(bad, ", ")
}

// note says that a wave ended without waiting for what it applied; it is empty if it did.
func note(in contractfleet.Summarize) string {
	var request struct {
		Wait json.RawMessage `json:"wait"`
	}
	if in.Fleet.Workflow != applymanifests.Name || json.Unmarshal(in.Request, &request) != nil || len(request.Wait) > 0 && string(request.Wait) != "null" {
		return ""
	}
	return "The request has no wait: a cluster succeeded once its objects were applied, whether or not they got ready."
}

// readGateJob reads the Job of the gate of the wave of that name: a request of run-job, which
// its reader checks, and in which clusters it runs. It is zero without one.
func (d Finder) readGateJob(f *input.Fields, r *request, wave string) contractfleet.GateJob {
	nested, given := f.Object("job", jobExample)
	if !given {
		return contractfleet.GateJob{}
	}
	where := jobInEach
	nested.String("clusters", &where)
	if where != jobInEach && where != jobInOne {
		nested.Problem("clusters", "%s: expected %s or %s", input.Quote(where), jobInEach, jobInOne)
	}
	workflow, known := d.Workflows[runjob.Name]
	if !known || workflow.StateMachineARN == "" {
		f.Problem("job", "the fleets of this stack may not start %s: deploy the stack with EnableJobs=true, and %s in FleetWorkflows", runjob.Name, runjob.Name)
		nested.Ignore()
		return contractfleet.GateJob{}
	}
	read, _ := workflow.Read(nested)
	if check := d.Checks[runjob.Name]; check != nil {
		check(nested, read)
	}
	if nested.Raw("stopped") != nil {
		nested.Problem("stopped", "a gate runs a Job: expected no execution that was stopped")
	}
	asked, digest, err := jobOf(f.Raw("job"), wave)
	if err != nil {
		f.Problem("job", "%v", err)
		return contractfleet.GateJob{}
	}
	if r.jobs = append(r.jobs, asked); size(r.jobs) > maxJobs {
		f.Problem("job", "the jobs of all gates have %d bytes: expected at most %d. Put them into S3 (source)", size(r.jobs), maxJobs)
	}
	return contractfleet.GateJob{Request: len(r.jobs), Digest: digest, One: where == jobInOne}
}

// jobOf is what a gate asks of run-job, and its digest, which is another one for each wave: each
// has a Job of its own, and none is what the fleet itself may ask of run-job.
func jobOf(raw json.RawMessage, wave string) (asked json.RawMessage, digest string, err error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil {
		return nil, "", fmt.Errorf("read the request: %w", err)
	}
	delete(members, "clusters")
	if asked, err = contract.Encode(members); err != nil {
		return nil, "", fmt.Errorf("encode the request: %w", err)
	}
	digest, err = Digest("gate "+wave, asked)
	return asked, digest, err
}

func size(texts []json.RawMessage) int {
	n := 0
	for _, text := range texts {
		n += len(text)
	}
	return n
}
