package fleet

import (
	"bufio"
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
	contractfleet "github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/internal/contract/podinventory"
	"github.com/kubestep/kubestep/internal/fleet/report"
	"github.com/kubestep/kubestep/internal/shell"
	"github.com/kubestep/kubestep/internal/store"
)

const (
	// noOutcome is the error of a cluster that left none.
	noOutcome = "NoOutcome"
	// maxFailures bounds the errors that a summary names, and maxNames the clusters that it names for each.
	maxFailures = 12
	maxNames    = 5
	// maxConcurrentReads is how many outcomes are read at once.
	maxConcurrentReads = 32
	// maxList bounds the list of clusters: MaxFleetClusters with names and roles of the greatest length.
	maxList = 16 << 20
	// maxOutcome bounds an outcome in S3, whose role may be longer than the state allows.
	maxOutcome = 4 << 10
)

// transientErrors are the errors that may not come again: the machine of each workflow retries them,
// and has given up.
var transientErrors = []string{
	string(contract.Throttled), string(contract.ClusterUnreachable), string(contract.AWSUnreachable),
	"Lambda.ServiceException", "Lambda.TooManyRequestsException", "Lambda.ClientExecutionTimeoutException", "Lambda.AWSLambdaException", "Lambda.SdkClientException",
}

// MayPass reports whether a cluster that failed with this error is tried a second time.
func MayPass(name string) bool { return slices.Contains(transientErrors, name) }

// Summarizer adds up what became of the clusters.
type Summarizer struct {
	Store Store
	// Sealer verifies approvals.
	Sealer Verifier
	Now    func() time.Time
}

// Summarize returns the clusters that are to be run next or, once there are none, the
// summary of all, after the report is written. It does the same each time.
//
// Next are those that are worth a second try, and then, in a fleet that changes its
// clusters, as many of the others as may begin: none, once too many have failed or too
// little time is left. A wave begins once all of the wave before it have ended.
//
// Errors: AccessDenied, Throttled, AWSUnreachable, InvalidInput for a bucket that is not there.
func (s Summarizer) Summarize(ctx context.Context, in contractfleet.Summarize) (contractfleet.Run, error) {
	wave, age := waveOf(in.Fleet, in.Run.Waves, in.Run.Wave), s.age(in)
	if in.Run.Ending.Begun {
		return s.finish(ctx, in, nil, in.Run.Ending.Why)
	}
	taken, err := s.taken(ctx, in.Fleet)
	if err != nil {
		return contractfleet.Run{}, err
	}
	if in.Run.Rollback.Begun {
		return s.rollBack(ctx, in, taken)
	}
	switch gated := in.Run.Gate.Wave > 0 || in.Run.Gate.Stage != ""; {
	case gated && taken != "":
		return s.lose(ctx, in, nil, taken)
	case gated:
		return s.pass(ctx, in)
	}
	outcomes, err := s.round(ctx, in)
	if err != nil {
		return contractfleet.Run{}, err
	}
	if taken != "" {
		return s.lose(ctx, in, outcomes, taken)
	}
	settled, again := settle(in, outcomes)
	if in.Fleet.Changes && len(again) > inTime(age, wave.Concurrency) {
		settled, again = outcomes, nil
	}
	failed := in.Run.Failed + number(settled, contractfleet.Outcome.Failed)
	next := after(in, failed, settled)
	switch {
	case in.Fleet.Changes && failed > limit(in.Fleet.OnFailure, wave):
		return s.fail(ctx, in, outcomes, whyStopped(wave, failed))
	case len(again) > 0:
		next.Attempt, next.Verdict = in.Run.Attempt+1, contractfleet.VerdictTryAgain
		return lay(ctx, s.Store, in.Fleet, next, again)
	case !in.Fleet.Changes:
		return s.finish(ctx, in, outcomes, "")
	case next.Begun < end(in.Fleet, next.Waves, next.Wave):
		return s.begin(ctx, in, next, outcomes)
	case next.Wave == 0:
		return s.finish(ctx, in, outcomes, "")
	default:
		return s.enter(ctx, in, next, outcomes)
	}
}

// after is where a fleet stands after a round, or a gate.
func after(in contractfleet.Summarize, failed int, settled []contractfleet.Outcome) contractfleet.Run {
	return contractfleet.Run{
		Round: in.Run.Round + 1, Attempt: 1, Begun: in.Run.Begun, Pending: in.Run.Pending, Failed: failed, LeftOut: in.Run.LeftOut + number(settled, isLeftOut), Waves: in.Run.Waves, Wave: in.Run.Wave, Approved: in.Run.Approved,
		Outcomes: slices.Concat(in.Run.Outcomes, settled),
	}
}

// nextWave begins the next wave, if there is another one, after a round with those outcomes.
func (s Summarizer) nextWave(ctx context.Context, in contractfleet.Summarize, next contractfleet.Run, outcomes []contractfleet.Outcome) (contractfleet.Run, error) {
	if next.Wave == len(next.Waves) {
		return s.finish(ctx, in, outcomes, "")
	}
	next.Wave, next.Failed, next.LeftOut = next.Wave+1, 0, 0
	return s.begin(ctx, in, next, outcomes)
}

// begin begins more clusters of the wave of next, if there is time, after a round with those outcomes.
func (s Summarizer) begin(ctx context.Context, in contractfleet.Summarize, next contractfleet.Run, outcomes []contractfleet.Outcome) (contractfleet.Run, error) {
	most := inTime(s.Now().Sub(in.Fleet.StartedAt), waveOf(in.Fleet, next.Waves, next.Wave).Concurrency)
	if most == 0 {
		return s.finish(ctx, in, outcomes, noTime)
	}
	next.Verdict = contractfleet.VerdictGoOn
	return s.goOn(ctx, in.Fleet, next, most)
}

// finish ends the fleet after a round with those outcomes, given why nothing else begins if
// something is left.
func (s Summarizer) finish(ctx context.Context, in contractfleet.Summarize, outcomes []contractfleet.Outcome, why string) (contractfleet.Run, error) {
	if in.Fleet.Lists && !in.Run.Ending.Begun {
		next := after(in, in.Run.Failed, outcomes)
		next.Verdict, next.Gate, next.Rollback, next.Ending = contractfleet.VerdictLookAgain, in.Run.Gate, in.Run.Rollback, contractfleet.Ending{Begun: true, Why: why}
		return lay(ctx, s.Store, in.Fleet, next, nil)
	}
	all, err := s.all(ctx, in, outcomes, why)
	if err != nil {
		return contractfleet.Run{}, err
	}
	return s.end(ctx, in, all, why)
}

// round is the outcomes of the round that ended, one for each of its clusters.
func (s Summarizer) round(ctx context.Context, in contractfleet.Summarize) ([]contractfleet.Outcome, error) {
	if in.Fleet.InS3 {
		clusters, err := s.written(ctx, in.Fleet, in.Run.List, in.Run.Digest)
		if err != nil {
			return nil, err
		}
		return s.read(ctx, clusters, func(ctx context.Context, cluster contractfleet.Cluster) (contractfleet.Outcome, error) {
			return s.get(ctx, in.Fleet, cluster)
		})
	}
	outcomes := slices.DeleteFunc(slices.Clone(in.Run.Clusters), func(o contractfleet.Outcome) bool { return o.Status == "" })
	for range in.Run.Size - len(outcomes) {
		outcomes = append(outcomes, lost(contractfleet.Cluster{Attempt: in.Run.Attempt, Wave: in.Run.Wave}))
	}
	return outcomes, nil
}

// settle tells the outcomes that stand from the clusters that are to be tried again.
func settle(in contractfleet.Summarize, outcomes []contractfleet.Outcome) (settled []contractfleet.Outcome, again []contractfleet.Cluster) {
	for _, o := range outcomes {
		if in.Run.Attempt < contractfleet.MaxAttempts && MayPass(o.Error) {
			again = append(again, contractfleet.Cluster{Target: o.Target, Attempt: in.Run.Attempt + 1, Execution: ExecutionName(in.Fleet, o.Target, in.Run.Attempt+1), Wave: o.Wave})
			continue
		}
		settled = append(settled, o)
	}
	return settled, again
}

// all is the outcomes of all clusters, given the last round's and why no other began.
func (s Summarizer) all(ctx context.Context, in contractfleet.Summarize, last []contractfleet.Outcome, why string) ([]contractfleet.Outcome, error) {
	if in.Fleet.InS3 && len(last) < in.Fleet.Clusters {
		return s.readAll(ctx, in, last, why)
	}
	outcomes := slices.Concat(in.Run.Outcomes, last)
	for _, cluster := range first(in.Fleet, in.Run.Waves, in.Run.Pending, in.Run.Begun) {
		outcomes = append(outcomes, notStarted(in.Fleet, cluster, why))
	}
	return outcomes, nil
}

// readAll reads the outcomes of the rounds before the last.
func (s Summarizer) readAll(ctx context.Context, in contractfleet.Summarize, last []contractfleet.Outcome, why string) ([]contractfleet.Outcome, error) {
	clusters, err := frozen(ctx, s.Store, in.Fleet, in.Run.Waves)
	if err != nil {
		return nil, err
	}
	known := make(map[contract.Target]contractfleet.Outcome, len(last))
	for _, o := range last {
		known[o.Target] = o
	}
	for _, cluster := range clusters[min(in.Run.Begun, len(clusters)):] {
		known[cluster.Target] = notStarted(in.Fleet, cluster, why)
	}
	return s.read(ctx, clusters, func(ctx context.Context, cluster contractfleet.Cluster) (contractfleet.Outcome, error) {
		if o, ok := known[cluster.Target]; ok {
			return o, nil
		}
		return s.ofBoth(ctx, in, in.Fleet, cluster)
	})
}

// ofBoth is the outcome of the second try of a cluster, if there was one, and else of the first.
// of is the fleet that named the executions.
func (s Summarizer) ofBoth(ctx context.Context, in contractfleet.Summarize, of contractfleet.Fleet, cluster contractfleet.Cluster) (contractfleet.Outcome, error) {
	first, err := s.get(ctx, in.Fleet, cluster)
	if err != nil || !MayPass(first.Error) {
		return first, err
	}
	// It was tried again, before anything else was begun.
	cluster.Attempt = contractfleet.MaxAttempts
	cluster.Execution = ExecutionName(of, cluster.Target, cluster.Attempt)
	second, err := s.get(ctx, in.Fleet, cluster)
	if (in.Run.Ending.Begun || in.Run.Rollback.Begun) && second.Error == noOutcome {
		return first, err // too little time was left for another try, or it died
	}
	return second, err
}

// end is a fleet that has nothing left to run, given why nothing else began if something is left.
func (s Summarizer) end(ctx context.Context, in contractfleet.Summarize, outcomes []contractfleet.Outcome, why string) (contractfleet.Run, error) {
	var pending []contractfleet.Cluster // in the order in which they would have begun
	for _, o := range outcomes {
		if o.Status == contractfleet.StatusNotStarted {
			pending = append(pending, contractfleet.Cluster{Target: o.Target, Wave: o.Wave})
		}
	}
	slices.SortStableFunc(outcomes, byCluster)
	if err := s.rolledBack(ctx, in, outcomes, why); err != nil {
		return contractfleet.Run{}, err
	}
	summary := add(in.Fleet, outcomes)
	summary.Rollback = addRollback(in, outcomes)
	passed, refused := max(0, in.Run.Wave-1), 0
	switch {
	case in.Run.Gate.Wave == 0:
	case in.Run.Gate.Why == "":
		passed++
	default:
		refused = in.Run.Wave
	}
	summary.Waves = addWaves(in.Run.Waves, outcomes, passed, refused, in.Run.Gate.Why)
	if in.Run.Wave > 0 && isUntested(summary.Waves[in.Run.Wave-1], why) {
		summary.Waves[in.Run.Wave-1].Why = why
	}
	summary.Approved = in.Run.Approved
	if in.Run.Wave > 0 {
		summary.Note = note(in)
	}
	if in.Run.Ending.Begun {
		summary.Appeared = &in.Run.Ending.Appeared
	}
	if in.Fleet.Output.Bucket != "" {
		var err error
		if summary.Report, err = s.report(ctx, in, summary, outcomes, pending); err != nil {
			return contractfleet.Run{}, err
		}
	}
	run := contractfleet.Run{
		Round: in.Run.Round, Attempt: in.Run.Attempt, Clusters: []contractfleet.Cluster{}, Begun: in.Run.Begun, Pending: []contract.Target{},
		Failed: number(outcomes, contractfleet.Outcome.Failed), Waves: in.Run.Waves, Wave: in.Run.Wave, Approved: in.Run.Approved, Outcomes: outcomes, Verdict: contractfleet.VerdictTolerable, Summary: summary,
	}
	if in.Fleet.InS3 {
		run.Outcomes = []contractfleet.Outcome{}
	}
	run.Gate, run.Ending.Appeared.Names = filled(run.Gate), []string{}
	if run.Waves == nil { // of an execution that began before there were waves
		run.Waves = []contractfleet.Wave{}
	}
	switch over := slices.ContainsFunc(summary.Waves, func(w contractfleet.WaveSummary) bool { return w.Failed() > w.Tolerated }); {
	case run.Failed <= in.Fleet.Tolerated && len(pending) == 0 && !over && refused == 0:
	case in.Run.Gate.Wave == 0 && in.Run.Gate.Why != "":
		run.Verdict, run.Cause = contractfleet.VerdictRolloutFailed, notApproved(summary, in.Run.Gate.Why)
	case run.Wave > 0:
		run.Verdict, run.Cause = contractfleet.VerdictRolloutFailed, rolloutCause(in, summary, run.Waves[run.Wave-1], why, outcomes)
		if summary.Rollback != nil && summary.Rollback.RolledBack < summary.Rollback.Clusters {
			run.Verdict = contractfleet.VerdictRollbackFailed
		}
	default:
		run.Verdict, run.Cause = contractfleet.VerdictIntolerable, cause(in.Fleet, summary, run.Failed)
	}
	return run, nil
}

// byCluster is the order of a report.
func byCluster(a, b contractfleet.Outcome) int {
	return cmp.Or(cmp.Compare(a.ClusterName, b.ClusterName), cmp.Compare(a.Region, b.Region), cmp.Compare(a.RoleARN, b.RoleARN))
}

// notApproved says why nothing was started.
func notApproved(summary contractfleet.Summary, why string) string {
	return fmt.Sprintf("The rollout was not approved: %s. No cluster is changed: %s not started. %s", why, were(summary.ByStatus[contractfleet.StatusNotStarted]), whereToRead(summary))
}

// lost is the outcome of a cluster that has none: Step Functions ended the state that
// was to record it.
func lost(cluster contractfleet.Cluster) contractfleet.Outcome {
	return contractfleet.Outcome{
		Target: cluster.Target, Attempt: cluster.Attempt, Status: contractfleet.StatusFailed, Error: noOutcome, Wave: cluster.Wave,
		Cause: "No outcome was recorded. See the failed items of the Map Run in the fleet's execution.",
	}
}

// read reads the outcome of each cluster, many at once.
func (s Summarizer) read(ctx context.Context, clusters []contractfleet.Cluster, one func(context.Context, contractfleet.Cluster) (contractfleet.Outcome, error)) ([]contractfleet.Outcome, error) {
	outcomes := make([]contractfleet.Outcome, len(clusters))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(maxConcurrentReads)
	for i, cluster := range clusters {
		group.Go(func() (err error) {
			outcomes[i], err = one(ctx, cluster)
			return err
		})
	}
	return outcomes, group.Wait()
}

func (s Summarizer) get(ctx context.Context, fleet contractfleet.Fleet, cluster contractfleet.Cluster) (contractfleet.Outcome, error) {
	text, err := s.Store.get(ctx, fleet, outcomeKey(fleet, cluster.Execution), maxOutcome)
	if errors.Is(err, store.ErrNoObject) {
		return lost(cluster), nil
	}
	if err != nil {
		return contractfleet.Outcome{}, err
	}
	var outcome contractfleet.Outcome
	if err := json.Unmarshal(text, &outcome); err != nil || outcome.Target != cluster.Target {
		return contractfleet.Outcome{}, changed(fleet, outcomeKey(fleet, cluster.Execution), "outcome")
	}
	// Whoever may write there has no say in where a second try, a Job or a rollback runs.
	outcome.Attempt, outcome.Wave = cluster.Attempt, cluster.Wave
	return outcome, nil
}

// changed is the error of an object that the fleet did not write as it is.
func changed(fleet contractfleet.Fleet, key, what string) error {
	return contract.Errorf(contract.InvalidInput, "output: s3://%s/%s is not the %s that the fleet wrote: see who else may write there", fleet.Output.Bucket, key, what)
}

// add adds up the outcomes.
func add(fleet contractfleet.Fleet, outcomes []contractfleet.Outcome) contractfleet.Summary {
	summary := contractfleet.Summary{
		Fleet: fleet.Name, Workflow: fleet.Workflow, Clusters: len(outcomes),
		ByStatus: map[contractfleet.Status]int{}, Totals: map[string]int{},
	}
	summary.Effects = addEffects(outcomes)
	byError := map[string]*contractfleet.Failure{}
	for _, o := range outcomes {
		summary.ByStatus[o.Status]++
		for name, n := range o.Totals {
			if _, known := summary.Totals[name]; known || len(summary.Totals) < maxTotals {
				summary.Totals[name] += n
			}
		}
		if !o.Failed() {
			continue
		}
		failure, known := byError[o.Error]
		if !known {
			failure = &contractfleet.Failure{Error: o.Error, Cause: o.Cause, Names: []string{}}
			byError[o.Error] = failure
		}
		failure.Clusters++
		if len(failure.Names) < maxNames {
			failure.Names = append(failure.Names, o.ClusterName)
		}
	}
	summary.Failures = []contractfleet.Failure{}
	for _, failure := range slices.SortedFunc(maps.Values(byError), func(a, b *contractfleet.Failure) int {
		return cmp.Or(-cmp.Compare(a.Clusters, b.Clusters), cmp.Compare(a.Error, b.Error))
	}) {
		if len(summary.Failures) < maxFailures {
			summary.Failures = append(summary.Failures, *failure)
			continue
		}
		last := &summary.Failures[maxFailures-1]
		*last = contractfleet.Failure{Error: podinventory.Other, Clusters: last.Clusters + failure.Clusters, Names: last.Names}
	}
	return summary
}

// addEffects groups the clusters by what changed in them, or would. There are none if no
// outcome tells.
func addEffects(outcomes []contractfleet.Outcome) []contractfleet.Effect {
	byDigest := map[string]*contractfleet.Effect{}
	for _, o := range outcomes {
		if o.Effect == "" {
			continue
		}
		effect, known := byDigest[o.Effect]
		if !known {
			effect = &contractfleet.Effect{Digest: o.Effect, Names: []string{}, Totals: o.Totals}
			byDigest[o.Effect] = effect
		}
		effect.Clusters++
		if len(effect.Names) < maxNames {
			effect.Names = append(effect.Names, o.ClusterName)
		}
	}
	var all []contractfleet.Effect
	for _, effect := range slices.SortedFunc(maps.Values(byDigest), func(a, b *contractfleet.Effect) int {
		return cmp.Or(-cmp.Compare(a.Clusters, b.Clusters), cmp.Compare(a.Digest, b.Digest))
	}) {
		if len(all) == contractfleet.MaxEffects {
			break
		}
		all = append(all, *effect)
	}
	return all
}

// jobsOf are what gates asked of run-job, as the fleet's input had it.
func jobsOf(in contractfleet.Summarize) []string {
	var jobs []string
	for _, request := range in.Jobs[min(1, len(in.Jobs)):] {
		jobs = append(jobs, requestJSON(request))
	}
	return jobs
}

// requestJSON is the request as the fleet's input had it: without what ask adds. It is empty
// if there was none.
func requestJSON(request json.RawMessage) string {
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

// number is how many outcomes are so.
func number(outcomes []contractfleet.Outcome, are func(contractfleet.Outcome) bool) int {
	n := 0
	for _, o := range outcomes {
		if are(o) {
			n++
		}
	}
	return n
}

func isLeftOut(o contractfleet.Outcome) bool { return o.Status == contractfleet.StatusLeftOut }

// cause says how many failed, of which errors, how many were not started, and where to
// read on.
func cause(fleet contractfleet.Fleet, summary contractfleet.Summary, failed int) string {
	errors := make([]string, len(summary.Failures))
	for i, failure := range summary.Failures {
		errors[i] = fmt.Sprintf("%d %s", failure.Clusters, failure.Error)
	}
	stopped := ""
	switch n := summary.ByStatus[contractfleet.StatusNotStarted]; {
	case n == 0:
	case summary.Report != nil && failed <= fleet.Tolerated:
		stopped = fmt.Sprintf(" %s not started, because %s: see s3://%s/%s.", were(n), noTime, summary.Report.Bucket, summary.Report.NotStarted)
	case failed <= fleet.Tolerated:
		stopped = fmt.Sprintf(" %s not started, because %s.", were(n), noTime)
	case summary.Report != nil:
		stopped = fmt.Sprintf(" %s not started: see s3://%s/%s.", were(n), summary.Report.Bucket, summary.Report.NotStarted)
	default:
		stopped = fmt.Sprintf(" %s not started.", were(n))
	}
	failures := ""
	if len(errors) > 0 {
		failures = ": " + strings.Join(errors, ", ")
	}
	return fmt.Sprintf("%d of %s failed; %s%s.%s %s", failed, count(summary.Clusters), tolerance(fleet.Tolerated), failures, stopped, whereToRead(summary))
}

// whereToRead says where the report is.
func whereToRead(summary contractfleet.Summary) string {
	if summary.Report == nil {
		return "No report was written, because the input has no output (--report): the outcomes are in the result of the state Summarize."
	}
	return fmt.Sprintf("The report: aws s3 cp %s .", shell.Quote("s3://"+summary.Report.Bucket+"/"+summary.Report.HTML))
}

// tolerance says how many clusters may fail.
func tolerance(tolerated int) string {
	if tolerated == 0 {
		return "none may fail"
	}
	return fmt.Sprintf("at most %d may fail", tolerated)
}

// count is a number of clusters.
func count(n int) string { return contract.Counted(n, "cluster") }

func were(n int) string {
	if n == 1 {
		return "1 cluster was"
	}
	return count(n) + " were"
}

// report writes the report.
func (s Summarizer) report(ctx context.Context, of contractfleet.Summarize, summary contractfleet.Summary, outcomes []contractfleet.Outcome, pending []contractfleet.Cluster) (*contractfleet.Report, error) {
	fleet := of.Fleet
	in := folder(fleet)
	at := &contractfleet.Report{Bucket: fleet.Output.Bucket, HTML: pageKey(fleet), CSV: in + "report.csv", JSON: in + "report.json", Failed: in + "failed.jsonl"}
	if summary.ByStatus[contractfleet.StatusNotStarted] > 0 {
		at.NotStarted = in + "notstarted.jsonl"
	}
	if summary.Rollback != nil && summary.Rollback.RolledBack < summary.Rollback.Clusters {
		at.Changed = in + "changed.jsonl"
	}
	if summary.ByStatus[contractfleet.StatusLeftOut] > 0 {
		at.Differs = in + "differs.jsonl"
	}
	if !fleet.Changes && len(summary.Effects) > 0 {
		at.Same = in + "same.jsonl"
	}
	summary.Report = at
	r := report.Report{
		Fleet: fleet, Request: requestJSON(of.Request), Former: requestJSON(of.Former), Summary: summary, Waves: of.Run.Waves, Jobs: jobsOf(of), Outcomes: outcomes, Pending: pending, FinishedAt: s.Now(),
		Execution: func(o contractfleet.Outcome) string { return ran(fleet, o) },
	}
	if of.Run.Rollback.Begun {
		r.Request, r.Former = r.Former, r.Request
	}
	at.Again, at.Continue = r.Commands(at)
	at.RollBack = r.RollBack(at)
	for _, object := range []struct {
		key, kind string
		write     func(io.Writer) error
	}{
		{at.HTML, pageKind, r.HTML},
		{at.CSV, "text/csv; charset=utf-8", r.CSV},
		{at.JSON, "application/json", r.JSON},
		{at.Failed, "application/x-ndjson", r.Failed},
		{at.NotStarted, "application/x-ndjson", r.NotStarted},
		{at.Same, "application/x-ndjson", r.Same},
		{at.Changed, "application/x-ndjson", r.Changed},
		{at.Differs, "application/x-ndjson", r.Differs},
	} {
		if object.key == "" {
			continue
		}
		if err := write(ctx, s.Store, fleet, object.key, object.kind, object.write); err != nil {
			return nil, err
		}
	}
	return at, nil
}

// write writes an object by way of a file: the pages of large fleets are megabytes.
func write(ctx context.Context, objects Store, fleet contractfleet.Fleet, key, kind string, write func(io.Writer) error) error {
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
	return objects.put(ctx, fleet, key, kind, file)
}
