package fleet

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/kubestep/kubestep/internal/contract"
	contractfleet "github.com/kubestep/kubestep/internal/contract/fleet"
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

// spare is kept of a fleet's time for its last round: for starts that wait for a place, and
// for the report.
const spare = 30 * time.Minute

// inTime is how many clusters can begin so that each ends before the fleet does, even if
// each takes as long as it may: a fleet that runs out of time aborts what runs, half-way. A
// fleet that is older than it may become was redriven, which gives it all of its time again.
// https://docs.aws.amazon.com/step-functions/latest/dg/redrive-executions.html
func inTime(age time.Duration, concurrency int) int {
	left := contractfleet.MaxDuration - age
	if left < 0 {
		left = contractfleet.MaxDuration
	}
	return max(0, int((left-spare)/contractfleet.MaxRun)) * concurrency
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

// begin is the first round. The list of all clusters is written wherever a report is to
// be: that the bucket does not exist, or cannot be written to, is found out before
// anything is started.
func begin(ctx context.Context, objects Store, fleet contractfleet.Fleet, targets []contract.Target) (contractfleet.Run, error) {
	clusters := first(fleet, targets)
	if fleet.Output.Bucket != "" {
		if err := writeList(ctx, objects, fleet, allKey(fleet), clusters); err != nil {
			return contractfleet.Run{}, err
		}
	}
	run := contractfleet.Run{Round: 1, Attempt: 1, Begun: len(clusters)}
	if fleet.Changes {
		run.Begun = min(len(clusters), mayBegin(fleet.Tolerated, 0, fleet.Concurrency), inTime(0, fleet.Concurrency))
	}
	run.Pending = targets[run.Begun:]
	return lay(ctx, objects, fleet, run, clusters[:run.Begun])
}

// goOn is the next round of clusters that have not begun, at most that many.
func (s Summarizer) goOn(ctx context.Context, fleet contractfleet.Fleet, run contractfleet.Run, most int) (contractfleet.Run, error) {
	size := min(fleet.Clusters-run.Begun, mayBegin(fleet.Tolerated, run.Failed, fleet.Concurrency), most)
	if !fleet.InS3 {
		next := run.Pending[:size]
		run.Begun, run.Pending = run.Begun+size, run.Pending[size:]
		return lay(ctx, s.Store, fleet, run, first(fleet, next))
	}
	all, err := s.list(ctx, fleet, allKey(fleet))
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

// first is the first try of each cluster.
func first(fleet contractfleet.Fleet, targets []contract.Target) []contractfleet.Cluster {
	clusters := make([]contractfleet.Cluster, len(targets))
	for i, target := range targets {
		clusters[i] = contractfleet.Cluster{Target: target, Attempt: 1, Execution: ExecutionName(fleet, target, 1)}
	}
	return clusters
}

// lay gives the round its clusters: in a list in S3 if the fleet is there.
func lay(ctx context.Context, objects Store, fleet contractfleet.Fleet, run contractfleet.Run, clusters []contractfleet.Cluster) (contractfleet.Run, error) {
	run.Size, run.Clusters, run.Summary = len(clusters), clusters, add(fleet, nil)
	if run.Outcomes == nil {
		run.Outcomes = []contractfleet.Outcome{}
	}
	if !fleet.InS3 {
		return run, nil
	}
	run.Clusters, run.Pending, run.Outcomes = []contractfleet.Cluster{}, []contract.Target{}, []contractfleet.Outcome{}
	if run.Size == fleet.Clusters && run.Attempt == 1 {
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
func notStarted(fleet contractfleet.Fleet, target contract.Target, why string) contractfleet.Outcome {
	return Bound(fleet, contractfleet.Outcome{
		Target: target, Status: contractfleet.StatusNotStarted, Error: contractfleet.NotStartedError,
		Cause: "The fleet had stopped, because " + why + ".",
	})
}

// noTime is why a fleet stops before its time is over.
const noTime = "an execution of a fleet ends after 24 hours, and the cluster might have been aborted half-way"

// whyStopped says why a fleet begins no other cluster.
func whyStopped(fleet contractfleet.Fleet, failed int) string {
	if failed > fleet.Tolerated {
		return "too many clusters had failed: " + tolerance(fleet)
	}
	return noTime
}
