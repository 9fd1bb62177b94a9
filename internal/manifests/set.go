package manifests

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/kubestep/kubestep/internal/batch"
	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/diff"
	"github.com/kubestep/kubestep/internal/objects"
	"github.com/kubestep/kubestep/internal/sets"
)

// setOf is the set that a request names.
func setOf(r applymanifests.Request) sets.Set {
	return sets.Set{Namespace: r.Namespace, Name: r.Set}
}

// hasSet reports whether the objects are members of a set.
func hasSet(r applymanifests.Request) bool { return r.Set != "" }

// deletesSet reports whether all members of the set are to be deleted.
func deletesSet(r applymanifests.Request) bool {
	return r.Mode == applymanifests.ModeDelete || r.Mode == applymanifests.ModePlanDelete
}

// set is the set of the session's request.
func (s *session) set() sets.Set { return setOf(s.request) }

// rules say what may be deleted of the set.
func (s *session) rules() sets.Rules {
	return sets.Rules{Set: s.set(), Kept: s.targets, Kinds: s.request.Prune.Kinds}
}

// parentBeforePlan is the version of the set's parent before anything is planned.
func (s *session) parentBeforePlan(ctx context.Context, execution string) (string, error) {
	if !hasSet(s.request) {
		return "", nil
	}
	parent, err := sets.Read(ctx, s.Client, s.set())
	if err != nil {
		return "", err
	}
	if s.request.Mode.Changes() {
		if err := parent.Check(s.Client, execution); err != nil {
			return "", err
		}
	}
	if !parent.Exists() && !deletesSet(s.request) {
		if err := s.set().CheckNamespace(ctx, s.Client); err != nil {
			return "", err
		}
	}
	return parent.Planned(), nil
}

// membership says whose an object is that is to become a member of the set.
func (p *planner) membership(f found, live, next map[string]any, rules diff.Rules) found {
	if !hasSet(p.request) {
		return f.leaving(live, next)
	}
	if len(live) == 0 {
		return f
	}
	changed := next == nil || len(diff.Compare(withoutMembership(live), withoutMembership(next), rules)) > 0
	for _, owner := range p.set().Owners(live, changed, p.Manager) {
		if owner.IsAdopted(p.request.Adopt) {
			f.notes = append(f.notes, contract.Clip("it is taken into the set from "+owner.String(), maxNote))
		} else {
			f.owners = append(f.owners, owner)
		}
	}
	if len(f.owners) > 0 {
		f.notes = append(f.notes, contract.Clip("it cannot be taken into the set: it belongs to "+namesOfOwners(f.owners), maxNote))
	}
	return f
}

// leaving notes that an object is a member of a set no more once it is applied without one.
func (f found) leaving(live, next map[string]any) found {
	if next != nil && isMember(live) && !isMember(next) {
		f.notes = append([]string{"it is a member of a set, and leaves it: the input names none (--set)"}, f.notes...)
	}
	return f
}

func isMember(object map[string]any) bool {
	metadata, _ := object["metadata"].(map[string]any)
	labels, _ := metadata["labels"].(map[string]any)
	return labels[sets.LabelPartOf] != nil
}

// namesOfOwners names owners in a sentence.
func namesOfOwners(owners []sets.Owner) string {
	var all []string
	for _, owner := range owners {
		all = append(all, contract.Clip(owner.String(), maxNote))
	}
	return strings.Join(contract.Few(all, maxFailed), " and ")
}

// withoutMembership is an object without the label of a member.
func withoutMembership(object map[string]any) map[string]any {
	metadata, _ := object["metadata"].(map[string]any)
	labels, _ := metadata["labels"].(map[string]any)
	if labels[sets.LabelPartOf] == nil {
		return object
	}
	object, metadata, labels = maps.Clone(object), maps.Clone(metadata), maps.Clone(labels)
	delete(labels, sets.LabelPartOf)
	metadata["labels"] = labels
	if len(labels) == 0 {
		delete(metadata, "labels")
	}
	object["metadata"] = metadata
	return object
}

// ownerConflict is the error that objects of other owners come to, if there are any.
func (p *planner) ownerConflict(total int) error {
	if len(p.owned) == 0 {
		return nil
	}
	byOrder(p.owned, func(f failed) objects.Target { return f.Target })
	which := ""
	if p.ownedBySets {
		which = fmt.Sprintf(". These sets are in: kubectl get configmaps -A -l %[1]s -L %[1]s", sets.LabelID)
	}
	return p.withProgress(contract.Errorf(contract.OwnerConflict, "%d of %d objects cannot be taken into set %s of cluster %s, because others own what is there: %s. Give them other names, leave them out, or take them by naming their owners in \"adopt\": […] (--adopt)%s",
		len(p.owned), total, p.set(), p.Conn.Cluster.Name, strings.Join(texts(p.owned), "; "), which))
}

// PlanSet finds the members of the set that are not in the manifests, and says which of them
// would be deleted. In mode sets, it lists the sets of the cluster.
//
// Errors: PruneRefused in the modes that delete, if more would be deleted than the request
// allows; OwnerConflict, SetInUse, Unauthorized, Forbidden, Throttled,
// CertificateNotTrusted, ClusterUnreachable, WebhookFailed, InvalidInput; AccessDenied and
// AWSUnreachable of S3.
func (a Applier) PlanSet(ctx context.Context, in applymanifests.PlanSet) (applymanifests.Plan, error) {
	plan := in.Plan
	s, err := a.open(ctx, in.Session, "")
	if err != nil {
		return applymanifests.Plan{}, err
	}
	defer s.Conn.Close()
	if in.Request.Mode == applymanifests.ModeSets {
		all, err := sets.All(ctx, s.Client, in.Request.Namespace)
		plan.Sets, plan.Truncated = thatFit(all)
		plan.Complete = true
		return plan, err
	}
	parent, err := sets.Read(ctx, s.Client, s.set())
	if err != nil {
		return applymanifests.Plan{}, s.tell(err)
	}
	if in.Request.Mode.Changes() {
		if err := parent.CheckPlanned(s.Client, in.Execution, plan.Parent); err != nil {
			return applymanifests.Plan{}, s.tell(err)
		}
	}
	scope := parent.And(sets.ScopeOf(s.targets))
	members, _, err := s.set().Members(ctx, s.Client, scope, s.targets)
	if err != nil {
		return applymanifests.Plan{}, s.tell(err)
	}
	leaving := sets.Leave(members, s.rules())
	plan.Members, plan.Pruned, plan.Spared = len(members), 0, 0
	var digests strings.Builder
	planned := s.plannedParent(parent)
	plan.Drift = plan.Drift || len(planned) > 0 || deletesSet(in.Request) && parent.Exists()
	for _, l := range leaving {
		o := applymanifests.PlannedObject{APIVersion: l.GroupVersion().String(), Kind: l.Kind, Namespace: l.Target.Namespace, Name: l.Target.Name, Action: applymanifests.ActionPruned}
		switch {
		case l.Spared != nil:
			plan.Spared++
			plan.Drift = plan.Drift || l.Spared.IsDrift()
			o.Action, o.Notes = applymanifests.ActionSpared, []string{contract.Clip(contract.OneLine(l.Spared.String()), maxNote)}
		default:
			plan.Pruned++
			plan.Drift = true
			digests.WriteString(l.Digest())
			if !in.Request.Prune.Enabled {
				o.Notes = []string{`it stays, because the input has no "prune": true (--prune)`}
			}
		}
		planned = append(planned, o)
	}
	if in.Request.Prune.Enabled {
		plan.Leaving = digests.String()
		plan.Refused = s.refused(plan)
		if plan.Refused != "" && in.Request.Mode.Changes() {
			return applymanifests.Plan{}, s.tell(contract.Errorf(contract.PruneRefused, "Nothing was applied to cluster %s, and nothing deleted: of set %s, %s: %s", s.Conn.Cluster.Name, s.set(), plan.Refused, enumerate(namesOf(leaving))))
		}
	}
	sum := newDigest(plan.Digest)
	for _, o := range planned {
		sum.add(a.Effects.member(o))
	}
	plan.Digest = sum.String()
	plan.Objects, plan.Truncated = shorten(append(planned, plan.Objects...), plan.Truncated, maxReport-len(plan.Leaving))
	plan.Complete = true
	if len(planned) > 0 && in.Request.Output.Bucket != "" {
		key, err := a.Source.writeDiff(ctx, in.Request.Output, in.Execution, len(s.targets), textOf(planned))
		if err != nil {
			return applymanifests.Plan{}, s.tell(err)
		}
		if plan.Diff == nil {
			plan.Diff = &applymanifests.Diff{Bucket: in.Request.Output.Bucket}
		}
		plan.Diff.Keys = append(slices.Clone(plan.Diff.Keys), key)
	}
	return plan, nil
}

// maxSets bounds what the state says of sets, in bytes of JSON.
const maxSets = 160 << 10

// thatFit are the sets that the state has room for. It reports whether some are left out.
func thatFit(all []applymanifests.Set) (fit []applymanifests.Set, truncated bool) {
	size := 0
	for i, set := range all {
		text, err := contract.Encode(set)
		if size += len(text) + len(","); err != nil || size > maxSets {
			return all[:i], true
		}
	}
	return all, false
}

// plannedParent is the parent of the set, if applying makes or widens it.
func (s *session) plannedParent(parent sets.Parent) []applymanifests.PlannedObject {
	action := applymanifests.ActionCreated
	switch {
	case deletesSet(s.request), parent.Exists() && parent.Covers(sets.ScopeOf(s.targets)):
		return nil
	case parent.Exists():
		action = applymanifests.ActionConfigured
	}
	t := parent.ParentTarget()
	return []applymanifests.PlannedObject{{
		APIVersion: t.GroupVersion().String(), Kind: t.Kind, Namespace: t.Namespace, Name: t.Name, Action: action,
		Notes: []string{"it stands for the set, and says where its members are. It is not counted"},
	}}
}

// maxPruned is how many members can be deleted at once beside manifests, and maxDeleted how
// many of a set that goes: the state has a digest for each.
const (
	maxPruned  = 1000
	maxDeleted = applymanifests.MaxPruned
)

// refused says why so many members are not deleted.
func (s *session) refused(plan applymanifests.Plan) string {
	most := maxPruned
	if deletesSet(s.request) {
		most = maxDeleted
	}
	if plan.Pruned > most {
		return fmt.Sprintf("%d objects are to be deleted, and one execution deletes at most %d. Delete some of them with kubectl before", plan.Pruned, most)
	}
	return sets.Refused(plan.Pruned, plan.Members, s.request.Prune, deletesSet(s.request))
}

// namesOf are those of the members that are to be deleted.
func namesOf(leaving []sets.Leaving) []string {
	var names []string
	for _, l := range leaving {
		if l.Spared == nil {
			names = append(names, l.String())
		}
	}
	return names
}

// textOf is what the difference in S3 says of members.
func textOf(planned []applymanifests.PlannedObject) string {
	var b strings.Builder
	for _, o := range planned {
		b.WriteString(diff.Text(fmt.Sprintf("%s: %s", objects.Describe(o.Kind, o.Namespace, o.Name), o.Action), o.Notes, nil))
	}
	return b.String()
}

// begin makes the execution the one that changes the set.
func (s *session) begin(ctx context.Context, execution string, planned sets.Planned) (*sets.Change, error) {
	if !hasSet(s.request) || planned.Parent == applymanifests.NoParent && deletesSet(s.request) {
		return nil, nil //nolint:nilnil // there is nothing to change
	}
	return s.set().Begin(ctx, s.Client, execution, planned, sets.ScopeOf(s.targets))
}

const (
	// shortestPause and longestPause bound the time between looks at what is being deleted,
	// in seconds.
	shortestPause = 2
	longestPause  = 15
	// maxDeletingText bounds what the state says of what is being deleted or kept, in bytes.
	maxDeletingText = 4 << 10
)

// Prune deletes the members that the plan says are to be deleted, and narrows the parent to
// what is left. In mode delete, it deletes the parent too, if nothing is left. It goes on
// after the rounds in in.Prune.
//
// Errors: SetTaken if another execution changes the set now; NotDeleted if something is
// still being deleted when the time to wait is over; the errors of PlanSet.
func (a Applier) Prune(ctx context.Context, in applymanifests.PruneObjects) (applymanifests.Pruned, error) {
	if !in.Request.Mode.Changes() || !in.Request.Prune.Enabled {
		return applymanifests.Pruned{}, contract.Errorf(contract.InvalidInput, "request.prune: nothing is deleted in mode %q without prune", in.Request.Mode)
	}
	if err := a.Source.mayPrune(in.Request); err != nil {
		return applymanifests.Pruned{}, err
	}
	before := in.Prune
	result := applymanifests.Pruned{Deleting: []applymanifests.NotReadyObject{}, Kept: []applymanifests.NotReadyObject{}, Until: before.Until}
	s, err := a.open(ctx, in.Session, "")
	if err != nil {
		return applymanifests.Pruned{}, err
	}
	defer s.Conn.Close()
	if err := a.approved(s, in.Session, in.Plan, in.Approval); err != nil {
		return applymanifests.Pruned{}, s.tell(err)
	}
	planned := digests(in.Plan.Leaving)
	if deletesSet(in.Request) && (in.Plan.Parent == applymanifests.NoParent || before.Empty) {
		done, err := s.dissolve(ctx, in)
		result.Complete, result.Pruned = done, len(planned)
		return result, err
	}
	change, err := s.begin(ctx, in.Execution, sets.Planned{Parent: in.Plan.Parent, Claimed: true})
	if err != nil {
		return applymanifests.Pruned{}, s.tell(err)
	}
	ended := false
	defer func() {
		if !ended {
			change.End(ctx)
		}
	}()
	members, unserved, err := s.set().Members(ctx, s.Client, change.Parent().Scope, s.targets)
	if err != nil {
		return applymanifests.Pruned{}, s.tell(err)
	}
	leaving := sets.Leave(members, s.rules())
	for i, l := range leaving {
		if l.Spared == nil && !planned[l.Digest()] {
			leaving[i].Spared = sets.ChangedSincePlan{How: "it is a member since the plan only: the next execution with prune deletes it"}
		}
	}
	wait := time.Duration(in.Request.Wait.TimeoutSeconds) * time.Second
	if result.Until.IsZero() {
		result.Until = until(in.Readiness.Until, wait)
	}
	left, err := change.Prune(ctx, batch.NewRound(ctx), leaving, s.rules(), wait > 0)
	if err != nil {
		return applymanifests.Pruned{}, s.afterPruning(s.tell(s.Conn.Explain(err, "delete members of set "+s.set().String())), planned, leaving)
	}
	result.Pruned = gone(planned, left.Members)
	deleting, kept := report(&result, left, planned)
	scope := sets.ScopeOfMembers(left.Members, s.targets).And(unserved)
	if left.More || wait > 0 && deleting > 0 {
		// A definition that goes may not be served in the next round, and then its kind stays.
		change.Shrink(ctx, scope)
		ended = true
		return s.nextRound(result, left, wait)
	}
	if deletesSet(in.Request) && deleting+kept == 0 {
		result.Empty = true // the next round deletes the parent, and knows then that it may be gone
		return result, nil
	}
	if err := change.Narrow(ctx, scope, len(s.targets)+deleting+kept); err != nil {
		return applymanifests.Pruned{}, s.tell(err)
	}
	ended, result.Complete = true, true
	return result, nil
}

// leastWait is for what is deleted if the objects took all the time to become ready.
const leastWait = 30 * time.Second

// until is when the time to wait is over: objects that become ready and those that go share it.
func until(ready time.Time, wait time.Duration) time.Time {
	if ready.IsZero() {
		return time.Now().Add(wait).UTC()
	}
	if least := time.Now().Add(min(leastWait, wait)).UTC(); ready.Before(least) {
		return least
	}
	return ready
}

// dissolve deletes the parent of a set that has no members any more. It reports whether it
// is gone.
func (s *session) dissolve(ctx context.Context, in applymanifests.PruneObjects) (bool, error) {
	parent, err := sets.Read(ctx, s.Client, s.set())
	if err != nil {
		return false, s.tell(err)
	}
	if !parent.Exists() || in.Plan.Parent == applymanifests.NoParent {
		return true, nil
	}
	change, err := s.begin(ctx, in.Execution, sets.Planned{Parent: in.Plan.Parent, Claimed: true})
	if err != nil {
		return false, s.tell(err)
	}
	members, _, err := s.set().Members(ctx, s.Client, change.Parent().Scope, nil)
	if err == nil && len(members) > 0 { // somebody else has made one since
		err = contract.Errorf(contract.SetTaken, "Set %s in cluster %s has new members, such as %s, so it is not deleted. Start the execution again", s.set(), s.Conn.Cluster.Name, members[0])
	}
	if err != nil {
		change.End(ctx)
		return false, s.tell(err)
	}
	return true, s.tell(change.Delete(ctx))
}

// nextRound is the answer of a round after which another one follows, or an error once the time to wait is over.
func (s *session) nextRound(result applymanifests.Pruned, left sets.Left, wait time.Duration) (applymanifests.Pruned, error) {
	if len(result.Deleting) == 0 {
		return result, nil // the time of this round was over
	}
	until := time.Until(result.Until)
	if until <= 0 {
		var texts []string
		for _, l := range left.Members {
			if deleted, is := l.Spared.(sets.IsBeingDeleted); is {
				texts = append(texts, fmt.Sprintf("%s: %s", l.Member, deleted))
			}
		}
		return applymanifests.Pruned{}, s.tell(contract.Errorf(contract.NotDeleted, "After %d seconds, %s still there, of set %s in cluster %s: %s. What is still there stays a member of the set. What removes a finalizer is the controller that set it: see whether it runs",
			int(wait.Seconds()), are(len(texts)), s.set(), s.Conn.Cluster.Name, contract.Clip(contract.OneLine(strings.Join(contract.Few(texts, maxFailed), "; ")), maxNames)))
	}
	result.WaitSeconds = max(1, min(shortestPause+int((wait-until).Seconds())/4, longestPause, int(until.Seconds())+1))
	return result, nil
}

// are counts objects as the subject of a sentence.
func are(objects int) string {
	if objects == 1 {
		return "1 object is"
	}
	return fmt.Sprintf("%d objects are", objects)
}

// report puts into the result what is left, and counts it. What the plan spared already, it
// only counts.
func report(result *applymanifests.Pruned, left sets.Left, planned map[string]bool) (deleting, kept int) {
	size := 0
	for _, l := range left.Members {
		if l.Spared == nil {
			continue
		}
		_, isDeleted := l.Spared.(sets.IsBeingDeleted)
		if _, changed := l.Spared.(sets.ChangedSincePlan); !isDeleted && !changed && !planned[l.Digest()] {
			kept++
			continue
		}
		o := applymanifests.NotReadyObject{Kind: l.Kind, Namespace: l.Target.Namespace, Name: l.Target.Name, Status: "Kept", Message: contract.Clip(contract.OneLine(l.Spared.String()), maxNote)}
		size += len(o.Kind) + len(o.Namespace) + len(o.Name) + len(o.Message) + len(`{"kind":"","namespace":"","name":"","status":"","message":""},`)
		if isDeleted {
			if deleting++; size < maxDeletingText {
				o.Status = "Terminating"
				result.Deleting = append(result.Deleting, o)
			}
			continue
		}
		if kept++; size < maxDeletingText {
			result.Kept = append(result.Kept, o)
		}
	}
	return deleting, kept
}

// digests are the digests of a plan.
func digests(leaving string) map[string]bool {
	all := map[string]bool{}
	for ; len(leaving) >= applymanifests.DigestLength; leaving = leaving[applymanifests.DigestLength:] {
		all[leaving[:applymanifests.DigestLength]] = true
	}
	return all
}

// gone counts the members of the plan that are not left.
func gone(planned map[string]bool, left []sets.Leaving) int {
	all := maps.Clone(planned)
	for _, l := range left {
		delete(all, l.Digest())
	}
	return len(all)
}

// afterPruning adds to an error how many members were deleted before it.
func (s *session) afterPruning(err error, planned map[string]bool, leaving []sets.Leaving) error {
	named := s.Conn.Explain(err, "delete members of set "+s.set().String())
	text := fmt.Sprintf("%s. Of the %d members to be deleted, %d were gone when this function began, and more may be now. The next execution with prune deletes the rest", named.Message, len(planned), gone(planned, leaving))
	return s.withFix(contract.Errorf(named.Name, "%s", text).From(named), named)
}
