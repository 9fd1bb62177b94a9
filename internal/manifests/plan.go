package manifests

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/kubestep/kubestep/internal/batch"
	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/kube"
)

const (
	// maxReport bounds the objects of a plan in state, in bytes of JSON, and
	// maxReferences those to wait for. The document that passes between states has room
	// for both beside the manifests of the largest input.
	maxReport     = 48 << 10
	maxReferences = 48 << 10
	// maxChanges and maxPath bound what is told of one object.
	maxChanges = 20
	maxPath    = 200
	// maxFailed is how many objects an error tells of.
	maxFailed = 20
)

// The letters of Plan.Actions.
const (
	created    = 'c'
	configured = 'm' // modified
	unchanged  = 'u'
	unowned    = 'o' // nothing changes but the owner of its fields
)

// Plan asks by a dry run what applying would do, and changes nothing. It goes on
// after the rounds in in.Plan, until all objects are planned or the time of ctx is
// near.
//
// Errors: UnknownKind, InvalidInput for what the cluster does not accept, Forbidden,
// FieldConflict in mode apply without force, Unauthorized, Throttled,
// CertificateNotTrusted, ClusterUnreachable; AccessDenied and AWSUnreachable of S3.
func (a Applier) Plan(ctx context.Context, in contract.PlanManifests) (contract.Plan, error) {
	s, err := a.open(ctx, in.ManifestsSession)
	if err != nil {
		return contract.Plan{}, err
	}
	defer s.conn.Close()
	p := &planner{session: s, marks: newMarks(in.Plan.Actions, len(s.targets)), report: in.Plan.PlanReport, texts: map[int]string{}}
	part := len(s.targets) - p.marks.count(pending)
	// The definitions come first: an object of a kind that changes may not be right yet.
	r := batch.NewRound(ctx, a.Clock)
	for _, filter := range []func(target) bool{target.isDefinition, target.isNoDefinition} {
		targets := s.pending(p.marks, filter)
		done, err := r.Run(ctx, 0, len(targets), func(ctx context.Context, i int) error { return p.plan(ctx, targets[i]) })
		if err != nil {
			return contract.Plan{}, s.conn.Explain(err, "plan the manifests")
		}
		if done < len(targets) {
			break
		}
	}
	if err := p.failure(in.Manifests.Objects); err != nil {
		return contract.Plan{}, err
	}
	plan := contract.Plan{PlanReport: p.report, Complete: p.marks.complete(), Actions: string(p.marks)}
	plan.Objects, plan.Truncated = shorten(append(plan.Objects, p.planned()...), plan.Truncated)
	plan.Created, plan.Configured = p.marks.count(created), p.marks.count(configured)
	plan.Unchanged = p.marks.count(unchanged) + p.marks.count(unowned)
	plan.Drift = plan.Created+plan.Configured > 0
	if plan.WaitFor, err = s.waitFor(); err != nil {
		return contract.Plan{}, err
	}
	if in.Request.Output.Bucket == "" {
		return plan, nil
	}
	plan.Diff = &contract.Diff{Bucket: in.Request.Output.Bucket, Keys: []string{}}
	if in.Plan.Diff != nil {
		plan.Diff.Keys = in.Plan.Diff.Keys
	}
	key, err := a.Source.writeDiff(ctx, in.Request.Output, in.Execution, part, p.text())
	plan.Diff.Keys = append(slices.Clone(plan.Diff.Keys), key)
	return plan, err
}

// waitFor are the objects to wait for.
func (s *session) waitFor() ([]contract.Reference, error) {
	references := []contract.Reference{}
	if s.request.Wait.TimeoutSeconds == 0 {
		return references, nil
	}
	at := map[string]int{}
	for _, t := range s.targets {
		url := t.url()
		path := strings.Join(url[:len(url)-1], "/")
		if _, known := at[path]; !known {
			at[path] = len(references)
			references = append(references, contract.Reference{Kind: t.Kind, Namespace: t.namespace(), Path: path})
		}
		references[at[path]].Names = append(references[at[path]].Names, t.Name)
	}
	text, err := contract.Encode(references)
	if err == nil && len(text) > maxReferences {
		err = contract.Errorf(contract.InvalidInput, "wait: the names of the %d objects to wait for take %d bytes, and at most %d bytes fit in the state: apply the manifests in several executions", len(s.targets), len(text), maxReferences)
	}
	return references, err
}

func (t target) isDefinition() bool   { return t.IsDefinition() }
func (t target) isNoDefinition() bool { return !t.IsDefinition() }

// planner gathers what the dry runs say.
type planner struct {
	*session
	report contract.PlanReport

	mu        sync.Mutex // guards what follows
	marks     marks
	objects   []planned
	texts     map[int]string // of the difference, by index
	failures  []failed
	conflicts []failed
}

// planned is an object and where it is in the order.
type planned struct {
	target
	contract.PlannedObject
}

// plan plans one object. What is wrong with the object itself is gathered, so that
// it is told of all objects at once.
func (p *planner) plan(ctx context.Context, t target) error {
	if !t.kind.served {
		p.add(t, created, nil, nil, nil, "its CRD is among the manifests")
		return nil
	}
	ctx, end := p.conn.Turn(ctx)
	defer end()
	answer, isNew, err := p.apply(ctx, t, true, p.request.Force)
	owners := conflicts(err)
	if len(owners) > 0 {
		answer, isNew, err = p.apply(ctx, t, true, true)
	}
	switch {
	case err == nil:
	case apierrors.IsTooManyRequests(err):
		return err
	case apierrors.IsNotFound(err) && missingNamespace(err) && p.brings(t.Namespace):
		p.add(t, created, nil, nil, nil, "its namespace is among the manifests")
		return nil
	default:
		return p.refused(ctx, t, err)
	}
	return p.compare(ctx, t, answer, isNew, owners)
}

// compare finds out what the dry run changes.
func (p *planner) compare(ctx context.Context, t target, answer []byte, isNew bool, owners []string) error {
	if isNew && p.request.Output.Bucket == "" {
		p.add(t, created, nil, nil, nil, "")
		return nil
	}
	live, letter := map[string]any{}, byte(created)
	if !isNew {
		before, err := p.getSince(ctx, t, resourceVersion(answer))
		switch {
		case apierrors.IsNotFound(err): // it was deleted meanwhile
		case apierrors.IsTooManyRequests(err):
			return err
		case err != nil:
			return p.explain(err, "get", t)
		case bytes.Equal(before, answer):
			p.add(t, unchanged, nil, owners, nil, "")
			return nil
		default:
			if live, err = kube.Object(before); err != nil {
				return p.explain(err, "get", t)
			}
			letter = configured
		}
	}
	next, err := kube.Object(answer)
	if err != nil {
		return p.explain(err, "plan", t)
	}
	changes := compare(live, next, t.IsSecret())
	if letter == configured && len(changes) == 0 {
		letter = unchanged
		if owned(live) != owned(next) {
			letter = unowned
		}
	}
	p.add(t, letter, changes, owners, nil, "")
	return nil
}

// resourceVersion is that of an object in JSON: in the answer of a dry run, the one
// that would be changed.
func resourceVersion(object []byte) string {
	var of struct {
		Metadata struct {
			ResourceVersion string `json:"resourceVersion"`
		} `json:"metadata"`
	}
	_ = json.Unmarshal(object, &of) // without it, the latest is read
	return of.Metadata.ResourceVersion
}

// refused gathers what the API server says about the object, or returns what it
// says about anything else.
func (p *planner) refused(ctx context.Context, t target, err error) error {
	explained := p.explain(err, "patch", t)
	switch explained.Name {
	case contract.InvalidInput, contract.UnknownKind:
		if t.kind.defined && p.changes(t) {
			letter := byte(configured)
			if _, err := p.get(ctx, t); apierrors.IsNotFound(err) {
				letter = created
			}
			p.add(t, letter, nil, nil, nil, "its CRD changes with the manifests, and before that the cluster does not accept it")
			return nil
		}
	case contract.Forbidden, contract.WebhookFailed:
	default:
		return explained
	}
	p.add(t, pending, nil, nil, explained, "")
	return nil
}

// changes reports whether a CRD among the manifests that defines the kind of the
// target is not in the cluster as it is in the manifests.
func (p *planner) changes(t target) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(p.targets, func(d target) bool {
		_, defines := defined(d.Object)[t.GroupVersionKind]
		return defines && p.marks[d.index] != unchanged
	})
}

// add takes in what was found out about a target.
func (p *planner) add(t target, letter byte, changes []change, owners []string, err *contract.Error, unchecked string) {
	o := contract.PlannedObject{APIVersion: t.GroupVersion().String(), Kind: t.Kind, Namespace: t.namespace(), Name: t.Name, Unchecked: contract.Clip(unchecked, maxMessage)}
	switch letter {
	case created:
		o.Action = contract.Created
	case configured:
		o.Action = contract.Configured
		for _, c := range changes {
			o.Changes = append(o.Changes, contract.Clip(c.String(), maxPath))
		}
		o.Changes = few(o.Changes)
	default:
		o.Action = contract.Unchanged
	}
	o.Conflicts = few(owners)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.failures = append(p.failures, failed{t, err})
		return
	}
	if len(owners) > 0 {
		p.conflicts = append(p.conflicts, failed{t, contract.Errorf(contract.FieldConflict, "%s: %s", t, strings.Join(o.Conflicts, ", "))})
	}
	p.marks[t.index] = letter
	p.objects = append(p.objects, planned{t, o})
	if p.request.Output.Bucket != "" && o.Action != contract.Unchanged {
		title := fmt.Sprintf("%s: %s", t, o.Action)
		if unchecked != "" {
			title += " (" + unchecked + ")"
		}
		p.texts[t.index] = text(title, changes)
	}
}

// few keeps the first, and says how many there are more.
func few(texts []string) []string {
	if len(texts) <= maxChanges {
		return texts
	}
	return append(slices.Clone(texts[:maxChanges]), fmt.Sprintf("and %d more", len(texts)-maxChanges))
}

func byOrder[T any](list []T, of func(T) target) {
	slices.SortFunc(list, func(a, b T) int { return of(a).index - of(b).index })
}

// planned are the objects of this round.
func (p *planner) planned() []contract.PlannedObject {
	byOrder(p.objects, func(o planned) target { return o.target })
	objects := make([]contract.PlannedObject, 0, len(p.objects))
	for _, o := range p.objects {
		objects = append(objects, o.PlannedObject)
	}
	return objects
}

// text is the difference that this round found.
func (p *planner) text() string {
	var b strings.Builder
	for i := range p.marks {
		b.WriteString(p.texts[i])
	}
	return b.String()
}

// shorten drops objects until the rest has room in state: first the unchanged ones,
// then the last ones.
func shorten(objects []contract.PlannedObject, truncated bool) ([]contract.PlannedObject, bool) {
	sizes, total := make([]int, len(objects)), 0
	for i, o := range objects {
		text, err := contract.Encode(o)
		if err != nil { // strings alone cannot fail
			panic(err)
		}
		sizes[i] = len(text) + 1
		total += sizes[i]
	}
	keep := make([]bool, len(objects))
	for i := range keep {
		keep[i] = true
	}
	for _, drop := range []func(contract.PlannedObject) bool{
		func(o contract.PlannedObject) bool { return o.Action == contract.Unchanged },
		func(contract.PlannedObject) bool { return true },
	} {
		for i := len(objects) - 1; i >= 0 && total > maxReport; i-- {
			if keep[i] && drop(objects[i]) {
				keep[i], truncated = false, true
				total -= sizes[i]
			}
		}
	}
	kept := make([]contract.PlannedObject, 0, len(objects))
	for i, o := range objects {
		if keep[i] {
			kept = append(kept, o)
		}
	}
	return kept, truncated
}
