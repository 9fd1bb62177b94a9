package fleet

import (
	"context"
	"slices"
	"time"

	"github.com/kubestep/kubestep/internal/contract"
	contractfleet "github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/internal/fleet/report"
)

// While a rollout waits for an approval, the page of its report says where it stands: whoever is to
// approve sees what the waves so far have come to. It has the key of the report, which replaces it.

// writeWaiting writes the page of a rollout that waits with run, whose clusters have these outcomes,
// if the fleet has an output.
func writeWaiting(ctx context.Context, objects Store, in contractfleet.Summarize, run contractfleet.Run, outcomes []contractfleet.Outcome, now time.Time) error {
	fleet := in.Fleet
	if fleet.Output.Bucket == "" {
		return nil
	}
	for i := range outcomes {
		if outcomes[i].Status == contractfleet.StatusNotStarted {
			outcomes[i].Error, outcomes[i].Cause = "", "" // it has not stopped
		}
	}
	slices.SortStableFunc(outcomes, byCluster)
	summary := add(fleet, outcomes)
	summary.Waves, summary.Approved = addWaves(run.Waves, outcomes, max(0, run.Gate.Wave-1), 0, ""), run.Approved
	if run.Gate.Wave > 0 {
		summary.Waves[run.Gate.Wave-1].Gate = contractfleet.GateWaiting
		summary.Note = note(in)
	}
	page := report.Report{
		Fleet: fleet, Request: requestJSON(in.Request), Summary: summary, Waves: run.Waves, Outcomes: outcomes, FinishedAt: now,
		Execution: func(o contractfleet.Outcome) string { return ran(fleet, o) }, Waiting: &run.Gate.Rollout,
	}
	return write(ctx, objects, fleet, pageKey(fleet), pageKind, page.HTML)
}

// waitAtGate writes the page of next, which waits at the gate of its wave, after a round with those
// outcomes. Of a fleet in S3, it reads the outcomes of all clusters that have begun, as the report does.
func (s Summarizer) waitAtGate(ctx context.Context, in contractfleet.Summarize, next contractfleet.Run, outcomes []contractfleet.Outcome) error {
	if in.Fleet.Output.Bucket == "" {
		return nil
	}
	all, err := s.all(ctx, in, outcomes, "")
	if err != nil {
		return err
	}
	return writeWaiting(ctx, s.Store, in, next, all, s.Now())
}

// waitToBegin writes the page of run, of which nothing has begun.
func (d Finder) waitToBegin(ctx context.Context, found contractfleet.FoundClusters, targets []contract.Target) error {
	outcomes := make([]contractfleet.Outcome, len(targets))
	for i, cluster := range first(found.Fleet, found.Run.Waves, targets, 0) {
		outcomes[i] = contractfleet.Outcome{Target: cluster.Target, Status: contractfleet.StatusNotStarted, Wave: cluster.Wave}
	}
	return writeWaiting(ctx, d.Store, contractfleet.Summarize{Fleet: found.Fleet, Request: found.Request}, found.Run, outcomes, d.Now())
}

// pageKey is the key of the page of the report, and pageKind its type.
func pageKey(fleet contractfleet.Fleet) string { return folder(fleet) + "report.html" }

const pageKind = "text/html; charset=utf-8"
