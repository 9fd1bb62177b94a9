package manifests

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubestep/kubestep/internal/batch"
	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/kube"
	"github.com/kubestep/kubestep/internal/objects"
	"github.com/kubestep/kubestep/internal/sets"
)

const (
	// establishing is how long a CRD may take until the API server serves its kind.
	establishing = 30 * time.Second
	// settling is how long an object may be refused for what was applied just before it.
	settling = 5 * time.Second
	// restarting is how long a webhook may fail while objects are applied: its pods may just
	// be replaced, and half of the objects would be applied. A plan has nothing to lose.
	restarting = 2 * time.Second
	// interval is how long to wait before the API server is asked the same again.
	interval = 200 * time.Millisecond
)

// Apply applies the objects that the plan would change, in stages, and goes on
// after the rounds in in.Apply. To apply an object once more is harmless.
//
// The Jobs of before are applied with what comes before workloads, and those of after once all
// else is ready. A round that waits for them looks at them and ends: the machine waits.
//
// Errors: as Plan, NotReady for a CRD that is not established; JobFailed, JobNeverStarted and
// JobDeadline of such a Job.
func (a Applier) Apply(ctx context.Context, in applymanifests.ApplyManifests) (applymanifests.Applied, error) {
	if !in.Request.Mode.Changes() {
		return applymanifests.Applied{}, contract.Errorf(contract.InvalidInput, "request.mode: %q: nothing is applied but in mode %q", in.Request.Mode, applymanifests.ModeApply)
	}
	s, err := a.open(ctx, in.Session, in.Apply.Done)
	if err != nil {
		return applymanifests.Applied{}, err
	}
	defer s.Conn.Close()
	work := &applier{
		session: s, actions: batch.NewLedger(in.Plan.Actions, len(s.targets)), ledger: batch.NewLedger(in.Apply.Done, len(s.targets)),
		warnings: append([]string{}, in.Apply.Warnings...), known: saidBy(in.Plan.PlanReport),
		jobs: a.Jobs, settled: in.Apply.Settled, watched: append([]applymanifests.WatchedJob{}, in.Apply.Watched...), completed: append([]applymanifests.CompletedJob{}, in.Apply.Jobs...),
	}
	for i, letter := range work.actions {
		switch {
		case work.ledger[i] != batch.Pending:
		case letter == unchanged:
			work.ledger[i] = skipped
		case batch.IsDone(letter): // before the cluster was described again
			work.ledger[i] = letter
		}
	}
	began := string(work.ledger)
	if err := a.approved(s, in.Session, in.Plan, in.Approval); err != nil {
		return applymanifests.Applied{}, work.halfway(err, in.Attempt)
	}
	// While Jobs run, there is nothing to apply, and so no set to change.
	switch passed, err := work.still(ctx); {
	case err != nil:
		return applymanifests.Applied{}, work.stopped(err, in.Attempt)
	case !passed:
		return work.applied(), nil
	}
	change, err := s.begin(ctx, in.Execution, sets.Planned{Parent: in.Plan.Parent, Claimed: in.Apply.Done != ""})
	if err != nil {
		return applymanifests.Applied{}, work.halfway(err, in.Attempt)
	}
	if change != nil {
		defer change.End(ctx)
	}
	if err := work.phases(ctx, batch.NewRound(ctx)); err != nil {
		var named *contract.Error
		if !errors.As(err, &named) {
			named = s.Conn.Explain(err, "apply the manifests")
		}
		if !slices.Contains(retried, named.Name) || string(work.ledger) == began {
			return applymanifests.Applied{}, work.stopped(err, in.Attempt)
		}
	}
	result := work.applied()
	if change != nil && result.Complete && !in.Request.Prune.Enabled {
		if err := change.Applied(ctx, len(s.targets)+in.Plan.Pruned+in.Plan.Spared); err != nil {
			return applymanifests.Applied{}, work.halfway(err, in.Attempt)
		}
	}
	return result, nil
}

// applied is what was done so far.
func (a *applier) applied() applymanifests.Applied {
	return applymanifests.Applied{
		Complete: !a.ledger.Has(batch.IsLeft) && a.settled && len(a.awaited(applymanifests.GateBefore, applymanifests.GateAfter)) == 0,
		Applied:  a.ledger.Count(batch.IsDone), Warnings: a.warnings, Done: string(a.ledger),
		Settled: a.settled, WaitSeconds: a.waitSeconds, Watched: a.watched, Jobs: a.reported(),
	}
}

// skipped is the letter of an object that is not applied, because nothing would change.
const skipped = 's'

// applier applies objects.
type applier struct {
	*session
	actions batch.Ledger // of the plan

	jobs Jobs
	// settled is true once all is applied but the Jobs of after.
	settled     bool
	waitSeconds int
	watched     []applymanifests.WatchedJob
	completed   []applymanifests.CompletedJob

	mu       sync.Mutex // guards what follows
	ledger   batch.Ledger
	warnings []string
	known    map[string]bool // what was said already
}

// stages applies the objects that the filter lets pass, stage by stage, until all are applied
// or the time is up. It reports whether all are.
func (a *applier) stages(ctx context.Context, r *batch.Round, filter func(objects.Target) bool) (bool, error) {
	for stage := objects.Definitions; stage <= objects.LastStage; stage++ {
		targets := a.pending(a.ledger, func(t objects.Target) bool { return t.Stage() == stage && filter(t) })
		if stage > objects.Definitions && slices.ContainsFunc(targets, func(t objects.Target) bool { return t.Defined }) {
			if ok, err := a.establish(ctx, r); !ok || err != nil {
				return false, err
			}
		}
		done, err := batch.Each(ctx, r, targets, a.one)
		if err != nil || done < len(targets) {
			return false, err
		}
	}
	return true, nil
}

// one applies an object.
func (a *applier) one(ctx context.Context, t objects.Target) error {
	ctx, end := a.Conn.Turn(ctx)
	defer end()
	began := time.Now()
	for {
		answer, err := a.Put(ctx, t, false)
		if err == nil {
			a.mark(t, batch.HalfDone) // even if what kubectl owns of it cannot be taken over
			answer, err = a.Adopt(ctx, answer)
		}
		switch {
		case err == nil:
			a.mark(t, batch.Capital(a.actions[t.Index]))
			a.report(t, answer)
			return nil
		case apierrors.IsTooManyRequests(err):
			return err
		case apierrors.IsNotFound(err) && t.Defined && time.Since(began) < establishing && batch.Sleep(ctx, interval) == nil:
			// A CRD is established a moment before each API server serves its kind.
		case time.Since(began) < settling && a.settles(t, err) && batch.Sleep(ctx, interval) == nil:
		case time.Since(began) < restarting && hasFailedWebhook(err) && batch.Sleep(ctx, interval) == nil:
		case len(objects.Conflicts(err)) > 0:
			return contract.Errorf(contract.FieldConflict, `%s in cluster %s sets fields that another manager owns: %s. Remove these fields from the manifests, or take them with "force": true (--force)`,
				t, a.Conn.Cluster.Name, enumerate(wordedAs(objects.Conflicts(err), objects.Conflict.String)))
		default:
			return a.Explain(err, "patch", answer.Sent)
		}
	}
}

func hasFailedWebhook(err error) bool {
	_, failed := kube.FailedWebhook(err)
	return failed
}

// maxUnplanned and maxUnplannedText bound what is told of what came up only while
// applying: how much of it, and the bytes of each. It is in the state, beside the plan.
const (
	maxUnplanned     = 20
	maxUnplannedText = 400
)

func (a *applier) mark(t objects.Target, letter byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ledger[t.Index] = letter
}

// report keeps what the plan did not say of an object.
func (a *applier) report(t objects.Target, answer objects.Answer) {
	texts := answer.Warnings()
	for _, taken := range wordedAs(answer.Conflicts, objects.Conflict.Taken) {
		texts = append(texts, "force took "+taken)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, text := range texts {
		switch text = t.String() + ": " + text; {
		case a.known[text]:
		case len(a.warnings) < maxUnplanned:
			a.warnings = append(a.warnings, contract.Clip(text, maxUnplannedText))
		case len(a.warnings) == maxUnplanned:
			a.warnings = append(a.warnings, "and more")
		}
		a.known[text] = true
	}
}

// saidBy is what the plan says of its objects already.
func saidBy(plan applymanifests.PlanReport) map[string]bool {
	all := map[string]bool{}
	for _, o := range plan.Objects {
		name := objects.Describe(o.Kind, o.Namespace, o.Name) + ": "
		for _, text := range o.Warnings {
			all[name+text] = true
		}
		for _, text := range o.Takes {
			all[name+"force took "+text] = true
		}
	}
	return all
}

// establish waits until the API server serves the kinds that the manifests define.
// It reports whether it does; if not, the next round waits on.
func (a *applier) establish(ctx context.Context, r *batch.Round) (bool, error) {
	end := time.Now().Add(establishing)
	for _, t := range a.targets {
		if !t.IsDefinition() {
			continue
		}
		for {
			live, err := a.Get(ctx, t)
			if err != nil {
				return false, a.Explain(err, "get", t)
			}
			ok, reason := isEstablished(live)
			if ok {
				break
			}
			if reason != "" || time.Now().After(end) {
				return false, contract.Errorf(contract.NotReady, "Cluster %s does not serve the kind that %s defines, so its objects cannot be applied: %s", a.Conn.Cluster.Name, t, cmp.Or(reason, "it is not established yet"))
			}
			if r.Begun() && r.Left() <= interval {
				return false, nil
			}
			if err := batch.Sleep(ctx, interval); err != nil {
				return false, a.Conn.Explain(err, "wait for "+t.String())
			}
		}
	}
	return true, nil
}

// isEstablished reports whether a CRD is in use, and why it never will be.
// https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
func isEstablished(crd map[string]any) (ok bool, reason string) {
	conditions, _, _ := unstructured.NestedSlice(crd, "status", "conditions")
	for _, c := range conditions {
		condition, _ := c.(map[string]any)
		switch {
		case condition["type"] == "Established" && condition["status"] == "True":
			ok = true
		case condition["type"] == "NamesAccepted" && condition["status"] == "False":
			reason = contract.Clip(fmt.Sprint(condition["message"]), maxText)
		}
	}
	return ok, reason
}
