package fleet

import (
	"context"
	"slices"

	contractfleet "github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/internal/fleet/report"
)

// While a rollout waits for an approval, the page of its report says where it stands: whoever is to
// approve sees what the waves so far have come to. It has the key of the report, which replaces it.

// waitAtGate writes the page of next, which waits at the gate of its wave or to begin, after a round with those
// outcomes, if the fleet has an output. Of a fleet in S3, it reads the outcomes of all clusters that have begun,
// as the report does.
func (s Summarizer) waitAtGate(ctx context.Context, in contractfleet.Summarize, next contractfleet.Run, last []contractfleet.Outcome) error {
	fleet := in.Fleet
	if fleet.Output.Bucket == "" {
		return nil
	}
	outcomes, err := s.all(ctx, in, last, "")
	if err != nil {
		return err
	}
	for i := range outcomes {
		if outcomes[i].Status == contractfleet.StatusNotStarted {
			outcomes[i].Error, outcomes[i].Cause = "", "" // it has not stopped
		}
	}
	slices.SortStableFunc(outcomes, byCluster)
	summary := add(fleet, outcomes)
	summary.Waves, summary.Approved = addWaves(next.Waves, outcomes, max(0, next.Gate.Wave-1), 0, ""), next.Approved
	if next.Gate.Wave > 0 {
		summary.Waves[next.Gate.Wave-1].Gate = contractfleet.GateWaiting
		summary.Note = note(in)
	}
	page := report.Report{
		Fleet: fleet, Request: requestJSON(in.Request), Summary: summary, Waves: next.Waves, Outcomes: outcomes, FinishedAt: s.Now(),
		Execution: func(o contractfleet.Outcome) string { return ran(fleet, o) }, Waiting: &next.Gate.Rollout,
	}
	return write(ctx, s.Store, fleet, pageKey(fleet), pageKind, page.HTML)
}

// waitToBegin writes the page of next, of which nothing has begun, and lets it wait. The function find-clusters
// does not: the templates of the page would make it half as large again.
func (s Summarizer) waitToBegin(ctx context.Context, in contractfleet.Summarize, next contractfleet.Run) (contractfleet.Run, error) {
	next.Gate.Stage, next.Verdict = contractfleet.StageApproval, contractfleet.VerdictApproval
	if err := s.waitAtGate(ctx, in, next, nil); err != nil {
		return contractfleet.Run{}, err
	}
	return lay(ctx, s.Store, in.Fleet, next, nil)
}

// pageKey is the key of the page of the report, and pageKind its type.
func pageKey(fleet contractfleet.Fleet) string { return folder(fleet) + "report.html" }

const pageKind = "text/html; charset=utf-8"
