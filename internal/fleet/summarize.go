package fleet

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/fleet/report"
	"github.com/kubestep/kubestep/internal/store"
)

const (
	// noOutcome is the error of a cluster that left none.
	noOutcome = "NoOutcome"
	// maxFailures bounds the errors that a summary names, and maxNames the clusters that it names for each.
	maxFailures = 12
	maxNames    = 5
	// reading is how many outcomes are read at once.
	reading = 32
	// maxList bounds the list of clusters: MaxFleetClusters with names and roles of the greatest length.
	maxList = 16 << 20
	// maxOutcome bounds an outcome in S3, whose role may be longer than the state allows.
	maxOutcome = 4 << 10
)

// passing are the errors that may not come again.
var passing = []string{string(contract.Throttled), string(contract.ClusterUnreachable), string(contract.AWSUnreachable)}

// Summarizer adds up what became of the clusters.
type Summarizer struct {
	Store Store
	Now   func() time.Time
}

// Summarize returns the clusters that are worth a second try or, once all outcomes are
// settled, their summary, after the report is written. It does the same each time.
//
// Errors: AccessDenied, Throttled, AWSUnreachable, InvalidInput for a bucket that is not there.
func (s Summarizer) Summarize(ctx context.Context, in contract.Summarize) (contract.FleetRun, error) {
	settled, again, err := s.outcomes(ctx, in)
	if err != nil {
		return contract.FleetRun{}, err
	}
	if len(again) > 0 {
		run, err := begin(ctx, s.Store, in.Fleet, in.Run.Attempt+1, again)
		run.Verdict = contract.TryAgain
		if !in.Fleet.InS3 {
			run.Outcomes = settled
		}
		return run, err
	}
	slices.SortStableFunc(settled, func(a, b contract.FleetOutcome) int {
		return cmp.Or(cmp.Compare(a.ClusterName, b.ClusterName), cmp.Compare(a.Region, b.Region), cmp.Compare(a.RoleARN, b.RoleARN))
	})
	summary := add(in.Fleet, settled)
	if in.Fleet.Output.Bucket != "" {
		if summary.Report, err = s.report(ctx, in, summary, settled); err != nil {
			return contract.FleetRun{}, err
		}
	}
	run := contract.FleetRun{Attempt: in.Run.Attempt, Clusters: []contract.FleetCluster{}, Outcomes: settled, Verdict: contract.Tolerable, Summary: summary}
	if in.Fleet.InS3 {
		run.Outcomes = []contract.FleetOutcome{}
	}
	if failed := failures(summary); failed > in.Fleet.Tolerated {
		run.Verdict, run.Cause = contract.Intolerable, cause(in.Fleet, summary, failed)
	}
	return run, nil
}

// outcomes are those that stand, and the clusters that are to be tried again.
func (s Summarizer) outcomes(ctx context.Context, in contract.Summarize) (settled []contract.FleetOutcome, again []contract.FleetCluster, err error) {
	all := in.Run.Clusters
	settled = in.Run.Outcomes
	if in.Fleet.InS3 {
		if all, err = s.read(ctx, in); err != nil {
			return nil, nil, err
		}
	}
	for _, o := range all {
		if in.Run.Attempt < contract.MaxAttempts && slices.Contains(passing, o.Error) {
			again = append(again, contract.FleetCluster{Target: o.Target, Attempt: in.Run.Attempt + 1, Execution: ExecutionName(in.Fleet.Name, o.Target, in.Run.Attempt+1)})
			continue
		}
		settled = append(settled, o)
	}
	for range in.Fleet.Clusters - len(settled) - len(again) {
		settled = append(settled, lost(contract.Target{}, in.Run.Attempt))
	}
	return settled, again, nil
}

// lost is the outcome of a cluster that has none: Step Functions ended the state that
// was to record it.
func lost(target contract.Target, attempt int) contract.FleetOutcome {
	return contract.FleetOutcome{
		Target: target, Attempt: attempt, Status: contract.Failed, Error: noOutcome,
		Cause: "No outcome was recorded. See the failed items of the Map Run in the fleet's execution.",
	}
}

// read reads every cluster's outcome from S3, that of the second attempt if there was one.
func (s Summarizer) read(ctx context.Context, in contract.Summarize) ([]contract.FleetOutcome, error) {
	text, err := s.Store.get(ctx, in.Fleet, listKey(in.Fleet, 1), maxList)
	if err != nil {
		return nil, err
	}
	var clusters []contract.FleetCluster
	if err := json.Unmarshal(text, &clusters); err != nil {
		return nil, fmt.Errorf("read the list of clusters: %w", err)
	}
	outcomes := make([]contract.FleetOutcome, len(clusters))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(reading)
	for i, cluster := range clusters {
		group.Go(func() (err error) {
			outcomes[i], err = s.outcome(ctx, in, cluster)
			return err
		})
	}
	return outcomes, group.Wait()
}

func (s Summarizer) outcome(ctx context.Context, in contract.Summarize, cluster contract.FleetCluster) (contract.FleetOutcome, error) {
	first, err := s.get(ctx, in.Fleet, cluster)
	if err != nil || in.Run.Attempt == 1 || !slices.Contains(passing, first.Error) {
		return first, err
	}
	cluster.Attempt, cluster.Execution = in.Run.Attempt, ExecutionName(in.Fleet.Name, cluster.Target, in.Run.Attempt)
	return s.get(ctx, in.Fleet, cluster)
}

func (s Summarizer) get(ctx context.Context, fleet contract.Fleet, cluster contract.FleetCluster) (contract.FleetOutcome, error) {
	text, err := s.Store.get(ctx, fleet, outcomeKey(fleet, cluster.Execution), maxOutcome)
	if errors.Is(err, store.ErrNoObject) {
		return lost(cluster.Target, cluster.Attempt), nil
	}
	if err != nil {
		return contract.FleetOutcome{}, err
	}
	var outcome contract.FleetOutcome
	if err := json.Unmarshal(text, &outcome); err != nil {
		return contract.FleetOutcome{}, fmt.Errorf("read the outcome of %s: %w", cluster.Execution, err)
	}
	return outcome, nil
}

// begin is an attempt at those clusters. The list is in S3 if the fleet is. The
// first is written wherever a report is to be: that the bucket does not exist, or cannot
// be written to, is found out before anything is started.
func begin(ctx context.Context, objects Store, fleet contract.Fleet, attempt int, clusters []contract.FleetCluster) (contract.FleetRun, error) {
	run := contract.FleetRun{Attempt: attempt, Clusters: clusters, Outcomes: []contract.FleetOutcome{}, Summary: add(fleet, nil)}
	if !fleet.InS3 && (attempt > 1 || fleet.Output.Bucket == "") {
		return run, nil
	}
	key := listKey(fleet, attempt)
	if fleet.InS3 {
		run.Clusters, run.List = []contract.FleetCluster{}, key
	}
	text, err := json.Marshal(clusters)
	if err != nil {
		return run, fmt.Errorf("encode the list of clusters: %w", err)
	}
	return run, objects.put(ctx, fleet, key, "application/json", bytes.NewReader(text))
}

// add adds up the outcomes.
func add(fleet contract.Fleet, outcomes []contract.FleetOutcome) contract.FleetSummary {
	summary := contract.FleetSummary{
		Fleet: fleet.Name, Workflow: fleet.Workflow, Clusters: len(outcomes),
		ByStatus: map[contract.OutcomeStatus]int{}, Totals: map[string]int{},
	}
	byError := map[string]*contract.FleetFailure{}
	for _, o := range outcomes {
		summary.ByStatus[o.Status]++
		for name, n := range o.Totals {
			summary.Totals[name] += n
		}
		if o.Status == contract.Succeeded {
			continue
		}
		failure, known := byError[o.Error]
		if !known {
			failure = &contract.FleetFailure{Error: o.Error, Cause: o.Cause, Names: []string{}}
			byError[o.Error] = failure
		}
		failure.Clusters++
		if len(failure.Names) < maxNames {
			failure.Names = append(failure.Names, o.ClusterName)
		}
	}
	summary.Failures = []contract.FleetFailure{}
	for _, failure := range slices.SortedFunc(maps.Values(byError), func(a, b *contract.FleetFailure) int {
		return cmp.Or(-cmp.Compare(a.Clusters, b.Clusters), cmp.Compare(a.Error, b.Error))
	}) {
		if len(summary.Failures) < maxFailures {
			summary.Failures = append(summary.Failures, *failure)
			continue
		}
		last := &summary.Failures[maxFailures-1]
		*last = contract.FleetFailure{Error: contract.Other, Clusters: last.Clusters + failure.Clusters, Names: last.Names}
	}
	return summary
}

// asked is the request as the fleet's input had it: without what ask adds. It is empty
// if there was none.
func asked(request json.RawMessage) string {
	var members map[string]json.RawMessage
	if json.Unmarshal(request, &members) != nil {
		return ""
	}
	delete(members, startedBy)
	if len(members) == 0 {
		return ""
	}
	text, err := contract.Encode(members)
	if err != nil {
		return "" // it was JSON before
	}
	return string(text)
}

func failures(summary contract.FleetSummary) int {
	return summary.Clusters - summary.ByStatus[contract.Succeeded]
}

// cause says how many failed, of which errors, and where to read on.
func cause(fleet contract.Fleet, summary contract.FleetSummary, failed int) string {
	errors := make([]string, len(summary.Failures))
	for i, failure := range summary.Failures {
		errors[i] = fmt.Sprintf("%d %s", failure.Clusters, failure.Error)
	}
	tolerated := "none may fail"
	if fleet.Tolerated > 0 {
		tolerated = fmt.Sprintf("at most %d may fail", fleet.Tolerated)
	}
	where := "No report was written, because the input has no output (--report): the outcomes are in the result of the state Summarize."
	if summary.Report != nil {
		where = fmt.Sprintf("The report: aws s3 cp s3://%s/%s .", summary.Report.Bucket, summary.Report.HTML)
	}
	return fmt.Sprintf("%d of %d clusters failed; %s: %s. %s", failed, summary.Clusters, tolerated, strings.Join(errors, ", "), where)
}

// report writes the report, by way of a file: the pages of large fleets are megabytes.
func (s Summarizer) report(ctx context.Context, of contract.Summarize, summary contract.FleetSummary, outcomes []contract.FleetOutcome) (*contract.FleetReport, error) {
	fleet := of.Fleet
	in := folder(fleet.Output, fleet.Name)
	at := &contract.FleetReport{Bucket: fleet.Output.Bucket, HTML: in + "report.html", CSV: in + "report.csv", JSON: in + "report.json", Failed: in + "failed.jsonl"}
	summary.Report = at
	r := report.Report{
		Fleet: fleet, Request: asked(of.Request), Summary: summary, Outcomes: outcomes, FinishedAt: s.Now(),
		Execution: func(o contract.FleetOutcome) string { return ExecutionName(fleet.Name, o.Target, o.Attempt) },
	}
	at.Again = r.Again(at.Bucket, at.Failed)
	for _, object := range []struct {
		key, kind string
		write     func(io.Writer) error
	}{
		{at.HTML, "text/html; charset=utf-8", r.HTML},
		{at.CSV, "text/csv; charset=utf-8", r.CSV},
		{at.JSON, "application/json", r.JSON},
		{at.Failed, "application/x-ndjson", r.Failed},
	} {
		if err := s.write(ctx, fleet, object.key, object.kind, object.write); err != nil {
			return nil, err
		}
	}
	return at, nil
}

func (s Summarizer) write(ctx context.Context, fleet contract.Fleet, key, kind string, write func(io.Writer) error) error {
	file, err := os.CreateTemp("", "report-")
	if err != nil {
		return fmt.Errorf("make a file for the report: %w", err)
	}
	defer func() { _, _ = file.Close(), os.Remove(file.Name()) }()
	buffered := bufio.NewWriter(file)
	if err := errors.Join(write(buffered), buffered.Flush()); err != nil {
		return err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("read the report: %w", err)
	}
	return s.Store.put(ctx, fleet, key, kind, file)
}
