package fleet

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/kubestep/kubestep/internal/contract"
	contractfleet "github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/internal/input"
)

// A fleet that changes its clusters runs in rounds, because a Map cannot be told to begin
// nothing more: one that fails aborts what runs, and leaves clusters half changed. A round
// is a Map of so few clusters that too many failures stop the fleet before any other
// cluster begins.

// maxRounds bounds the rounds in which each cluster is tried once. An execution has at
// most 25,000 events, a round has 17, and each round may be followed by one of second
// tries; what is left is for the retries of Summarize.
// https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
const maxRounds = 600

// mayBegin is how many clusters may begin once that many have failed. A cluster beyond
// concurrency begins when another has ended. So when the last begins, as many have ended
// as may still fail, and the tolerance is not exceeded even if all of these have failed.
func mayBegin(tolerated, failed, concurrency int) int {
	return max(0, min(tolerated, contractfleet.MaxClusters)-failed) + concurrency
}

// limit is how many clusters of a wave may fail before nothing else of the fleet begins.
func limit(onFailure contractfleet.OnFailure, wave contractfleet.Wave) int {
	if onFailure == contractfleet.OnFailureContinue {
		return contractfleet.MaxClusters
	}
	return wave.Tolerated
}

// spare is kept of a fleet's time for its last round: for starts that wait for a place, and
// for the report.
const spare = 30 * time.Minute

// inTime is how many clusters can begin so that each ends before the fleet does, even if
// each takes as long as it may: a fleet that runs out of time aborts what runs, half-way.
func inTime(age time.Duration, concurrency int) int {
	return max(0, int((left(age)-spare)/contractfleet.MaxRun)) * concurrency
}

// left is how much time a fleet of that age has. One that is older than it may become was
// redriven, which gives it all of its time again.
// https://docs.aws.amazon.com/step-functions/latest/dg/redrive-executions.html
func left(age time.Duration) time.Duration {
	left := contractfleet.MaxDuration - age
	if left < 0 {
		return contractfleet.MaxDuration
	}
	return left
}

// rounds is how many rounds that many clusters take at most. That is so if as many fail at once
// as may.
func rounds(clusters, tolerated, concurrency int) int {
	most, first := inTime(0, concurrency), mayBegin(tolerated, 0, concurrency)
	n := 1
	if first > most { // several rounds may begin before a cluster fails
		n += (clusters + most - 1) / most
	}
	if left := clusters - first; left > 0 {
		n += (left + concurrency - 1) / concurrency
	}
	return n
}

// enough is the least concurrency for that many clusters.
func enough(clusters, tolerated int) int {
	concurrency := 1
	for rounds(clusters, tolerated, concurrency) > maxRounds {
		concurrency++
	}
	return concurrency
}

// checkRounds adds a problem if the waves are more rounds than an execution can have.
func (r *request) checkRounds(f *input.Fields, clusters []contract.Target, waves []contractfleet.Wave) {
	perRound := jobsInRound(contractfleet.Fleet{Clusters: len(clusters), Waves: len(waves), InS3: r.inS3(clusters, len(waves))})
	all, most, longest := 0, 0, 0
	for i, w := range waves {
		n := rounds(w.Clusters, limit(r.onFailure, w), w.Concurrency)
		if most := min(inTime(0, w.Concurrency), perRound); w.Gate.Job.Request > 0 {
			n += (w.Clusters + most - 1) / most
		}
		if r.onFailure == contractfleet.OnFailureRollback { // so late that no cluster beyond concurrency may begin
			n += (w.Clusters + w.Concurrency - 1) / w.Concurrency
		}
		if all += n; n > most {
			most, longest = n, i
		}
	}
	if r.changes && all > maxRounds {
		f.Problem(fmt.Sprintf("waves[%d].concurrency", longest), "%d: the waves, of which each begins few clusters at a time so that failures stop it, are %d rounds, more than the %d that an execution can have: expected more at once, here or in other waves", waves[longest].Concurrency, all, maxRounds)
	}
}

// begin is the first round. The list of all clusters is written wherever a report is to
// be: that the bucket does not exist, or cannot be written to, is found out before
// anything is started.
func begin(ctx context.Context, objects Store, fleet contractfleet.Fleet, waves []contractfleet.Wave, targets []contract.Target) (contractfleet.Run, error) {
	clusters := first(fleet, waves, targets, 0)
	if fleet.Output.Bucket != "" {
		if err := writeList(ctx, objects, fleet, allKey(fleet), clusters); err != nil {
			return contractfleet.Run{}, err
		}
	}
	run := contractfleet.Run{Round: 1, Attempt: 1, Begun: len(clusters), Waves: waves}
	if fleet.Changes {
		run.Wave = min(1, len(waves))
		wave := waveOf(fleet, waves, run.Wave)
		run.Begun = min(wave.Clusters, mayBegin(limit(fleet.OnFailure, wave), 0, wave.Concurrency), inTime(0, wave.Concurrency))
	}
	run.Pending = targets[run.Begun:]
	return lay(ctx, objects, fleet, run, clusters[:run.Begun])
}

// goOn is the next round of clusters of the run's wave that have not begun, at most that many.
func (s Summarizer) goOn(ctx context.Context, fleet contractfleet.Fleet, run contractfleet.Run, most int) (contractfleet.Run, error) {
	wave := waveOf(fleet, run.Waves, run.Wave)
	size := min(end(fleet, run.Waves, run.Wave)-run.Begun, mayBegin(limit(fleet.OnFailure, wave), run.Failed, wave.Concurrency), most)
	if !fleet.InS3 {
		next := first(fleet, run.Waves, run.Pending[:size], run.Begun)
		run.Begun, run.Pending = run.Begun+size, run.Pending[size:]
		return lay(ctx, s.Store, fleet, run, next)
	}
	all, err := frozen(ctx, s.Store, fleet, run.Waves)
	if err != nil {
		return contractfleet.Run{}, err
	}
	if len(all) < run.Begun+size {
		return contractfleet.Run{}, fmt.Errorf("the list s3://%s/%s has %s, and had %d", fleet.Output.Bucket, allKey(fleet), count(len(all)), fleet.Clusters)
	}
	next := all[run.Begun : run.Begun+size]
	run.Begun += size
	return lay(ctx, s.Store, fleet, run, next)
}

// waveOf is the wave of that number: for 0, all of the fleet.
func waveOf(fleet contractfleet.Fleet, waves []contractfleet.Wave, number int) contractfleet.Wave {
	if number == 0 {
		return contractfleet.Wave{Clusters: fleet.Clusters, Concurrency: fleet.Concurrency, Tolerated: fleet.Tolerated}
	}
	return waves[number-1]
}

// end is how many clusters there are up to the end of the wave of that number.
func end(fleet contractfleet.Fleet, waves []contractfleet.Wave, number int) int {
	if number == 0 {
		return fleet.Clusters
	}
	n := 0
	for _, wave := range waves[:number] {
		n += wave.Clusters
	}
	return n
}

// first is the first try of each of the clusters, of which that many are before.
func first(fleet contractfleet.Fleet, waves []contractfleet.Wave, targets []contract.Target, before int) []contractfleet.Cluster {
	clusters := make([]contractfleet.Cluster, len(targets))
	number := min(1, len(waves))
	for i, target := range targets {
		for number < len(waves) && before+i >= end(fleet, waves, number) {
			number++
		}
		clusters[i] = contractfleet.Cluster{Target: target, Attempt: 1, Execution: ExecutionName(fleet, target, 1), Wave: number}
	}
	return clusters
}

// task is what a round runs, and the place of the Job if it is one.
func task(fleet contractfleet.Fleet, run contractfleet.Run) (contractfleet.Task, int) {
	if run.Gate.Stage == contractfleet.StageJob && !run.Rollback.Begun {
		return fleet.Jobs, run.Waves[run.Gate.Wave-1].Gate.Job.Request
	}
	return contractfleet.Task{Workflow: fleet.Workflow, StateMachineARN: fleet.StateMachineARN, Executions: fleet.Executions}, 0
}

// lay gives the round its clusters: in a list in S3 if the fleet is there.
func lay(ctx context.Context, objects Store, fleet contractfleet.Fleet, run contractfleet.Run, clusters []contractfleet.Cluster) (contractfleet.Run, error) {
	run.Size, run.Clusters, run.Summary = len(clusters), clusters, add(fleet, nil)
	run.Concurrency = waveOf(fleet, run.Waves, run.Wave).Concurrency
	run.Task, run.Job = task(fleet, run)
	run.Asks = min(run.Job, 1)
	if run.Outcomes == nil {
		run.Outcomes = []contractfleet.Outcome{}
	}
	if run.Waves == nil { // of an execution that began before there were waves
		run.Waves = []contractfleet.Wave{}
	}
	run.Gate, run.Ending.Appeared.Names = filled(run.Gate), []string{}
	if !fleet.InS3 {
		return run, nil
	}
	run.Clusters, run.Pending, run.Outcomes = []contractfleet.Cluster{}, []contract.Target{}, []contractfleet.Outcome{}
	if run.Size == 0 { // a gate
		return run, nil
	}
	var err error
	if run.Digest, err = digestOf(clusters); err != nil {
		return run, err
	}
	if run.Size == fleet.Clusters && run.Attempt == 1 && run.Job == 0 && !run.Rollback.Begun {
		run.List = allKey(fleet)
		return run, nil
	}
	run.List = roundKey(fleet, run.Round)
	return run, writeList(ctx, objects, fleet, run.List, clusters)
}

func writeList(ctx context.Context, objects Store, fleet contractfleet.Fleet, key string, clusters []contractfleet.Cluster) error {
	text, err := contract.Encode(clusters)
	if err != nil {
		return fmt.Errorf("encode the list of clusters: %w", err)
	}
	return objects.put(ctx, fleet, key, "application/json", bytes.NewReader(text))
}

// notStarted is the outcome of a cluster that did not begin.
func notStarted(fleet contractfleet.Fleet, cluster contractfleet.Cluster, why string) contractfleet.Outcome {
	return Bound(fleet, contractfleet.Outcome{
		Target: cluster.Target, Status: contractfleet.StatusNotStarted, Error: contractfleet.NotStartedError, Wave: cluster.Wave,
		Cause: "The fleet had stopped, because " + why + ".",
	})
}

// noTime is why a fleet stops before its time is over.
const noTime = "an execution of a fleet ends after 24 hours, and the cluster might have been aborted half-way"

// whyStopped says why a fleet begins no other cluster, of whose wave that many have failed.
func whyStopped(wave contractfleet.Wave, failed int) string {
	switch {
	case failed <= wave.Tolerated:
		return noTime
	case wave.Name != "":
		return "too many clusters of wave " + wave.Name + " had failed: " + tolerance(wave.Tolerated)
	default:
		return "too many clusters had failed: " + tolerance(wave.Tolerated)
	}
}
