package manifests

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/kubestep/kubestep/internal/batch"
	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/diff"
	"github.com/kubestep/kubestep/internal/kube"
	"github.com/kubestep/kubestep/internal/objects"
	"github.com/kubestep/kubestep/internal/sets"
)

const (
	// maxReport bounds the objects of a plan in state, in bytes of JSON, and
	// maxReferences those to wait for. The document that passes between states has room
	// for both beside the manifests of the largest input.
	maxReport     = 48 << 10
	maxReferences = 48 << 10
	// maxChanges, maxPath and maxText bound what is told of one object.
	maxChanges = 20
	maxPath    = 200
	maxText    = 1 << 10
	// maxRoundText is the length of a difference, in bytes, that ends a round.
	maxRoundText = 16 << 20
	// maxFailed is how many objects an error tells of.
	maxFailed = 20
)

// The letters of Plan.Actions.
const (
	created    = 'c'
	configured = 'm' // modified
	unchanged  = 'u'
	unowned    = 'o' // nothing changes but the owner of its fields
	deleting   = 'd' // whatever changes, it is being deleted
	// finished is the letter of a Job of before or after that completed. It is a capital if
	// the execution applied it: then it is not applied again, even if it is gone.
	finished = 'j'
)

// Plan asks by a dry run what applying would do, and changes nothing. It goes on
// after the rounds in in.Plan, until all objects are planned or the time of ctx is
// near.
//
// Errors: UnknownKind, InvalidInput for what the cluster does not accept, Forbidden,
// FieldConflict in mode apply without force, Unauthorized, Throttled,
// CertificateNotTrusted, ClusterUnreachable; AccessDenied and AWSUnreachable of S3.
func (a Applier) Plan(ctx context.Context, in applymanifests.PlanManifests) (applymanifests.Plan, error) {
	s, err := a.open(ctx, in.Session, "")
	if err != nil {
		return applymanifests.Plan{}, err
	}
	defer s.Conn.Close()
	p := &planner{session: s, ledger: batch.NewLedger(in.Plan.Actions, len(s.targets)), objects: map[int]applymanifests.PlannedObject{}, texts: map[int]string{}, hash: a.Effects, effects: newEffects(in.Plan.Effects, len(s.targets)), digest: newDigest(in.Plan.Digest)}
	p.report = in.Plan.PlanReport
	if in.Plan.Parent == "" {
		if in.Plan.Parent, err = s.parentBeforePlan(ctx, in.Execution); err != nil {
			return applymanifests.Plan{}, s.tell(err)
		}
	}
	part := len(s.targets) - p.ledger.Count(batch.IsLeft)
	// The definitions come first: an object of a kind that changes may not be right yet.
	r := batch.NewRound(ctx)
	p.round = r
	for _, filter := range []func(objects.Target) bool{objects.Target.IsDefinition, isNoDefinition} {
		targets := s.pending(p.ledger, filter)
		done, err := batch.Each(ctx, r, targets, p.plan)
		if err != nil {
			return applymanifests.Plan{}, s.withProgress(s.Conn.Explain(err, "plan the manifests"))
		}
		if done < len(targets) {
			break
		}
	}
	if err := p.failure(in.Manifests.Objects); err != nil {
		return applymanifests.Plan{}, err
	}
	compared := !p.ledger.Has(batch.IsLeft)
	plan := applymanifests.Plan{
		PlanReport: p.report, Actions: string(p.ledger), Compared: compared, Complete: compared && !hasSet(in.Request) && in.Request.Mode != applymanifests.ModeSets,
		Parent: in.Plan.Parent, Tries: in.Plan.Tries, Sets: []applymanifests.Set{}, Effects: p.effects.String(),
	}
	plan.Digest = p.digest.String()
	plan.Objects, plan.Truncated = shorten(append(plan.Objects, p.planned()...), plan.Truncated, maxReport)
	plan.Created, plan.Configured = p.ledger.Count(batch.Is(created, finished)), p.ledger.Count(batch.Is(configured))
	plan.Unchanged = p.ledger.Count(batch.Is(unchanged, unowned))
	plan.Deleting, plan.Adopted = p.ledger.Count(batch.Is(deleting)), p.ledger.Count(batch.Is(unowned))
	plan.Drift = plan.Created+plan.Configured+plan.Deleting > 0
	if plan.WaitFor, err = s.waitFor(); err != nil {
		return applymanifests.Plan{}, s.tell(err)
	}
	if in.Request.Output.Bucket == "" || !in.Request.Mode.HasManifests() {
		return plan, nil
	}
	plan.Diff = &applymanifests.Diff{Bucket: in.Request.Output.Bucket, Keys: []string{}}
	if in.Plan.Diff != nil {
		plan.Diff.Keys = in.Plan.Diff.Keys
	}
	key, err := a.Source.writeDiff(ctx, in.Request.Output, in.Execution, part, p.text())
	plan.Diff.Keys = append(slices.Clone(plan.Diff.Keys), key)
	return plan, s.tell(err)
}

// waitFor are the objects to wait for.
func (s *session) waitFor() ([]applymanifests.Reference, error) {
	references := []applymanifests.Reference{}
	if s.request.Wait.TimeoutSeconds == 0 {
		return references, nil
	}
	at := map[string]int{}
	for _, t := range s.targets {
		if s.gates[t.Index] != "" {
			continue // it is waited for until it completes, which may be long before
		}
		url := t.Path()
		path := strings.Join(url[:len(url)-1], "/")
		if _, known := at[path]; !known {
			at[path] = len(references)
			references = append(references, applymanifests.Reference{Kind: t.Kind, Namespace: t.Namespace, Path: path})
		}
		references[at[path]].Names = append(references[at[path]].Names, t.Name)
	}
	text, err := contract.Encode(references)
	if err == nil && len(text) > maxReferences {
		err = contract.Errorf(contract.InvalidInput, "wait: the names of the %d objects to wait for take %d bytes, and at most %d bytes fit in the state: apply the manifests in several executions", len(s.targets), len(text), maxReferences)
	}
	return references, err
}

func isNoDefinition(t objects.Target) bool { return !t.IsDefinition() }

// planner gathers what the dry runs say.
type planner struct {
	*session
	report applymanifests.PlanReport
	round  *batch.Round
	hash   Effects

	mu        sync.Mutex // guards what follows
	ledger    batch.Ledger
	objects   map[int]applymanifests.PlannedObject // of this round, by index
	effects   effects
	digest    digest
	texts     map[int]string // of the difference, by index
	textBytes int
	failures  []failed
	conflicts []failed
	owned     []failed // by others than the set
	// ownedBySets is set if other sets are among them.
	ownedBySets bool
}

// found is what was found out about a target.
type found struct {
	letter  byte // batch.Pending if it cannot be applied
	changes []diff.Change
	answer  objects.Answer
	notes   []string
	// unchecked says why there was no dry run.
	unchecked string
	// live and next are the object as it is and as it will be; nil if that is not known.
	live, next map[string]any
	rules      diff.Rules
	// owners are others whose it is, and from whom it is not taken.
	owners []sets.Owner
	err    *contract.Error
}

// maxTries is how often an object is planned again because it changed meanwhile.
const maxTries = 3

// plan plans one object. What is wrong with the object itself is gathered, so that
// it is told of all objects at once.
func (p *planner) plan(ctx context.Context, t objects.Target) error {
	ctx, end := p.Conn.Turn(ctx)
	defer end()
	if !t.Served {
		return p.unserved(ctx, t)
	}
	for try := 1; ; try++ {
		a, err := p.Put(ctx, t, true)
		switch {
		case err == nil:
		case apierrors.IsTooManyRequests(err):
			return err
		default:
			return p.refused(ctx, a.Sent, err)
		}
		if settled, err := p.compare(ctx, t, a, try == maxTries); settled || err != nil {
			return err
		}
	}
}

// unserved plans an object of a kind that only a CRD among the manifests defines. It may
// be there already, as another version of its kind.
func (p *planner) unserved(ctx context.Context, t objects.Target) error {
	if t.ServedAs == "" {
		p.add(t, found{letter: created, unchecked: "its CRD is among the manifests"})
		return nil
	}
	as := t
	as.Version, as.Served = t.ServedAs, true
	live, err := p.Get(ctx, as)
	switch {
	case apierrors.IsNotFound(err):
		p.add(t, found{letter: created, unchecked: fmt.Sprintf("the CRD among the manifests defines its version %s", t.Version)})
	case apierrors.IsTooManyRequests(err):
		return err
	case err != nil:
		return p.refused(ctx, as, err)
	default:
		f := found{letter: configured, unchecked: fmt.Sprintf("the CRD among the manifests defines its version %s; it is there as %s, and whether it changes is not known before", t.Version, t.ServedAs)}
		p.add(t, p.membership(f, live, nil, diff.Rules{}).beingDeleted(live))
	}
	return nil
}

// compare finds out what the dry run changes. It settles nothing if the object changed
// between the dry run and the look at it, unless this is the last try.
func (p *planner) compare(ctx context.Context, t objects.Target, a objects.Answer, last bool) (settled bool, err error) {
	if a.Created && p.request.Output.Bucket == "" {
		p.add(t, found{letter: created, answer: a})
		return true, nil
	}
	f, before, live := found{letter: created, answer: a}, []byte(nil), map[string]any{}
	if !a.Created {
		before, err = p.Before(ctx, a)
		switch {
		case apierrors.IsNotFound(err): // it was deleted meanwhile
		case apierrors.IsTooManyRequests(err):
			return false, err
		case err != nil:
			return true, p.refused(ctx, a.Sent, err)
		case bytes.Equal(before, a.Object) && !objects.MayBeClientSide(before) && !mayBeDeleted(before):
			p.add(t, found{letter: unchanged, answer: a})
			return true, nil
		default:
			if live, err = kube.Object(before); err != nil {
				return false, p.Explain(err, "get", t)
			}
			f.letter = configured
		}
	}
	next, taken, err := p.AfterAdoption(ctx, a)
	if err != nil {
		return true, p.refused(ctx, a.Sent, err)
	}
	rules := diff.Rules{StatusIsApart: t.HasStatus, Secret: t.IsSecret(), WithoutCopy: len(taken) > 0}
	f.changes = diff.Compare(live, next, rules)
	if f.letter == configured {
		if len(f.changes) > 0 && versionOf(live) != versionOf(next) && !last {
			return false, nil
		}
		f.notes = p.notes(before, a.Object, next, taken)
		if len(f.changes) == 0 {
			f.letter = unchanged
			if len(taken) > 0 || p.Owned(live) != p.Owned(next) {
				f.letter = unowned
				f.notes = append(f.notes, fmt.Sprintf("no value changes; applying makes %s the owner of the fields", p.Manager))
			}
		}
		f = p.membership(f, live, next, rules).beingDeleted(live)
		f.live, f.next, f.rules = live, next, rules
	}
	p.add(t, f)
	return true, nil
}

// maxLost is how many fields a note names.
const maxLost = 3

// notes say what the changes alone do not.
func (p *planner) notes(before, dryRun []byte, next map[string]any, from []string) []string {
	var notes []string
	if len(from) > 0 {
		notes = append(notes, fmt.Sprintf("%s applied it without server-side apply: applying takes over what it owns, and removes the annotation %s", strings.Join(from, ", "), kube.LastApplied))
	}
	was, err := p.Ownership(before)
	if err != nil {
		return notes
	}
	is, err := p.Ownership(dryRun)
	if err != nil {
		return notes
	}
	if versions := is.OtherVersions(); len(versions) > 0 {
		notes = append(notes, fmt.Sprintf("what it was given as %s stays, even if the manifests no longer have it", strings.Join(versions, ", ")))
	}
	fields, at := objects.Lost(was, is, next)
	// That it leaves a set is said in another note.
	fields = slices.DeleteFunc(fields, func(field string) bool { return field == "metadata.labels."+sets.LabelPartOf })
	if len(fields) > 0 {
		names := strings.Join(contract.Few(fields, maxLost), ", ")
		notes = append(notes, contract.Clip(fmt.Sprintf("%s applied what goes%s: %s. If other manifests still hold it, give each set of manifests a fieldManager of its own", p.Manager, on(at), names), maxNote))
	}
	return notes
}

// on says when something was applied. The API server keeps no time of an apply that
// changed nothing but the owner of fields.
func on(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return ", on " + at.UTC().Format(time.RFC3339)
}

// maxNote bounds a note, in bytes.
const maxNote = 600

// mayBeDeleted reports whether an object, as JSON, may be being deleted.
func mayBeDeleted(object []byte) bool { return bytes.Contains(object, []byte(`"deletionTimestamp"`)) }

// beingDeleted says so if the live object is being deleted: whatever is applied to it
// goes with it.
func (f found) beingDeleted(live map[string]any) found {
	metadata, _ := live["metadata"].(map[string]any)
	since, ok := metadata["deletionTimestamp"].(string)
	if !ok {
		return f
	}
	f.letter = deleting
	note := "it is being deleted, since " + since
	if finalizers, _ := metadata["finalizers"].([]any); len(finalizers) > 0 {
		note = contract.Clip(note+fmt.Sprintf(", and waits for its finalizers %v", finalizers[:min(len(finalizers), maxNamed)]), maxNote)
	}
	f.notes = append(f.notes, contract.Clip(note+". What is applied goes with it: apply the manifests again once it is gone", maxNote))
	return f
}

// versionOf is the resource version of an object.
func versionOf(object map[string]any) any {
	metadata, _ := object["metadata"].(map[string]any)
	return metadata["resourceVersion"]
}

// refused gathers what the API server says about the object, or returns what it
// says about anything else.
func (p *planner) refused(ctx context.Context, t objects.Target, err error) error {
	if why := p.unmet(ctx, t, err); why != "" {
		return p.unchecked(ctx, t, why)
	}
	explained := p.Explain(err, "patch", t)
	switch explained.Name {
	case contract.InvalidInput, contract.UnknownKind:
		if t.Defined && p.changes(t) {
			return p.unchecked(ctx, t, "its CRD changes with the manifests, and before that the cluster does not accept it")
		}
	case contract.Forbidden, contract.WebhookFailed:
	default:
		return explained
	}
	p.add(t, found{letter: batch.Pending, err: explained})
	return nil
}

// unchecked plans an object of which no dry run is possible yet.
func (p *planner) unchecked(ctx context.Context, t objects.Target, why string) error {
	f := found{letter: configured, unchecked: why}
	switch live, err := p.Get(ctx, t); {
	case apierrors.IsNotFound(err):
		f.letter = created
	case apierrors.IsTooManyRequests(err):
		return err
	case err == nil:
		f = p.membership(f, live, nil, diff.Rules{}).beingDeleted(live)
	}
	p.add(t, f)
	return nil
}

// changes reports whether a CRD among the manifests that defines the kind of the
// target is not in the cluster as it is in the manifests.
func (p *planner) changes(t objects.Target) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(p.targets, func(d objects.Target) bool {
		return d.Defines(t.GroupVersionKind) && p.ledger[d.Index] != unchanged
	})
}

// add takes in what was found out about a target.
func (p *planner) add(t objects.Target, f found) {
	o := applymanifests.PlannedObject{
		APIVersion: t.GroupVersion().String(), Kind: t.Kind, Namespace: t.Namespace, Name: t.Name,
		Action: actions[f.letter], Gate: p.gates[t.Index], Warnings: f.answer.Warnings(), Notes: f.notes, Unchecked: contract.Clip(f.unchecked, maxText),
	}
	if was := p.history[t.Index]; batch.IsDone(was) && (f.letter == unchanged || f.letter == unowned || was == batch.Capital(finished)) {
		// It is unchanged since this execution applied it.
		f.letter = was
		o.Action = actions[batch.Small(was)]
	}
	shows := f.letter == configured && showsValues(t, f)
	for i, c := range f.changes {
		if i == maxChanges {
			o.Changes = append(o.Changes, fmt.Sprintf("and %d more", len(f.changes)-i))
			break
		}
		o.Changes = append(o.Changes, contract.Clip(c.String(), maxPath))
		if shows {
			before, after := c.Values()
			o.Values = append(o.Values, applymanifests.ChangedValue{Before: before, After: after})
		}
	}
	owners := contract.Few(wordedAs(f.answer.Conflicts, objects.Conflict.String), maxChanges)
	if p.request.Force {
		o.Takes = contract.Few(wordedAs(f.answer.Conflicts, objects.Conflict.Taken), maxChanges)
	} else {
		o.Conflicts = owners
	}
	if f.letter == created {
		o.Changes = nil // all of it
	}
	here, everywhere, err := p.hash.sum(effect{t, o.Action, f.live, f.next, f.rules, f.changes})
	if err != nil { // what was JSON can be encoded
		panic(err)
	}
	for _, owner := range f.owners[:min(len(f.owners), maxChanges)] {
		o.Owners = append(o.Owners, contract.Clip(contract.OneLine(string(owner)), maxPath))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if f.err != nil {
		p.failures = append(p.failures, failed{t, f.err})
		return
	}
	if len(o.Conflicts) > 0 {
		p.conflicts = append(p.conflicts, failed{t, contract.Errorf(contract.FieldConflict, "%s: %s", t, strings.Join(o.Conflicts, ", "))})
	}
	if len(f.owners) > 0 {
		p.ownedBySets = p.ownedBySets || slices.ContainsFunc(f.owners, sets.Owner.IsSet)
		p.owned = append(p.owned, failed{t, contract.Errorf(contract.OwnerConflict, "%s belongs to %s", t, namesOfOwners(f.owners))})
	}
	p.ledger[t.Index] = f.letter
	p.effects.set(t.Index, here)
	p.digest.add(everywhere)
	p.objects[t.Index] = o
	if p.request.Output.Bucket != "" && o.Action != applymanifests.ActionUnchanged {
		p.texts[t.Index] = text(t, o, f.changes)
		if p.textBytes += len(p.texts[t.Index]); p.textBytes > maxRoundText {
			p.round.End()
		}
	}
}

// showsValues reports whether the plan may tell values of an object. It stays in the history of
// the execution, so it tells none of a Secret, be it misspelt or within another object, nor of
// a custom resource or a ConfigMap that is named after credentials.
func showsValues(t objects.Target, f found) bool {
	if diff.NamesCredential(t.Kind) || t.Kind == "ConfigMap" && diff.NamesCredential(t.Name) {
		return false
	}
	return !t.IsSecret() && !meansSecret(t.GroupVersionKind) && !holdsSecret(f.live, maxTexts) && !holdsSecret(f.next, maxTexts)
}

// text is the whole difference of an object, for a person.
func text(t objects.Target, o applymanifests.PlannedObject, changes []diff.Change) string {
	title := fmt.Sprintf("%s: %s", t, o.Action)
	if o.Unchecked != "" {
		title += fmt.Sprintf(" (%s)", o.Unchecked)
	}
	var notes []string
	for _, said := range []struct {
		about string
		texts []string
	}{{"warning: ", o.Warnings}, {"conflict: ", o.Conflicts}, {"takes ", o.Takes}, {"", o.Notes}} {
		for _, one := range said.texts {
			notes = append(notes, said.about+one)
		}
	}
	return diff.Text(title, notes, changes)
}

// wordedAs words each of the conflicts.
func wordedAs(all []objects.Conflict, word func(objects.Conflict) string) []string {
	var texts []string
	for _, c := range all {
		texts = append(texts, word(c))
	}
	return texts
}

// actions are what the letters are in the report.
var actions = map[byte]applymanifests.Action{
	created: applymanifests.ActionCreated, finished: applymanifests.ActionCreated, configured: applymanifests.ActionConfigured, unchanged: applymanifests.ActionUnchanged, unowned: applymanifests.ActionUnchanged, deleting: applymanifests.ActionDeleting,
}

func byOrder[T any](list []T, of func(T) objects.Target) {
	slices.SortFunc(list, func(a, b T) int { return of(a).Index - of(b).Index })
}

// planned are the objects of this round.
func (p *planner) planned() []applymanifests.PlannedObject {
	objects := make([]applymanifests.PlannedObject, 0, len(p.objects))
	for i := range p.ledger {
		if o, ok := p.objects[i]; ok {
			objects = append(objects, o)
		}
	}
	return objects
}

// text is the difference that this round found.
func (p *planner) text() string {
	var b strings.Builder
	b.Grow(p.textBytes)
	for i := range p.ledger {
		b.WriteString(p.texts[i])
	}
	return b.String()
}

// encodedSize is what an object takes in state, with the comma after it.
func encodedSize(o applymanifests.PlannedObject) int {
	text, err := contract.Encode(o)
	if err != nil { // strings alone cannot fail
		panic(err)
	}
	return len(text) + 1
}

// shorten drops objects until the rest has room in state: first the unchanged ones of
// which there is nothing to say, then the other unchanged ones, then the last ones. Before
// any of these it drops values, so no object has to go for them.
func shorten(objects []applymanifests.PlannedObject, truncated bool, room int) ([]applymanifests.PlannedObject, bool) {
	sizes, total := make([]int, len(objects)), 0
	for i, o := range objects {
		sizes[i] = encodedSize(o)
		total += sizes[i]
	}
	for i := len(objects) - 1; i >= 0 && total > room; i-- {
		if objects[i].Values != nil {
			objects[i].Values = nil
			total -= sizes[i]
			sizes[i] = encodedSize(objects[i])
			total += sizes[i]
		}
	}
	keep := make([]bool, len(objects))
	for i := range keep {
		keep[i] = true
	}
	for _, drop := range []func(applymanifests.PlannedObject) bool{
		func(o applymanifests.PlannedObject) bool {
			return o.Action == applymanifests.ActionUnchanged && len(o.Warnings)+len(o.Notes) == 0
		},
		func(o applymanifests.PlannedObject) bool { return o.Action == applymanifests.ActionUnchanged },
		func(applymanifests.PlannedObject) bool { return true },
	} {
		for i := len(objects) - 1; i >= 0 && total > room; i-- {
			if keep[i] && drop(objects[i]) {
				keep[i], truncated = false, true
				total -= sizes[i]
			}
		}
	}
	kept := make([]applymanifests.PlannedObject, 0, len(objects))
	for i, o := range objects {
		if keep[i] {
			kept = append(kept, o)
		}
	}
	return kept, truncated
}
