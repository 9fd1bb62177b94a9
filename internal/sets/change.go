package sets

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubestep/kubestep/internal/batch"
	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/kube"
	"github.com/kubestep/kubestep/internal/objects"
)

// manager owns what kubestep writes on a parent. kubectl's is kubectl-applyset.
const manager = toolingName + "-applyset"

// grace is how much longer than the function the API server may work on its last request.
// https://github.com/kubernetes/kubernetes/blob/v1.37.2/staging/src/k8s.io/apiserver/pkg/endpoints/handlers/patch.go
const grace = 35 * time.Second

// maxConflicts is how often the parent may change between reading and writing it.
const maxConflicts = 10

// Change is one function's share of an execution's changes of a set. While it lasts, no
// other execution changes the set: whoever wants to must write the parent first, at the
// version that it read, and finds there until when the change may last.
type Change struct {
	client    objects.Client
	execution string
	parent    Parent
	// until is what this function wrote, and others is until when another function of the
	// execution may change the set: one that was invoked before, whose answer was lost.
	until, others time.Time
}

// Planned is what an execution knew of the parent before it planned, for its first change.
type Planned struct {
	// Parent is Parent.Planned.
	Parent string
	// Claimed is set if the execution has changed the set already.
	Claimed bool
}

// Check returns SetInUse if another execution changes the set at the moment.
func (p Parent) Check(c objects.Client, execution string) error {
	if p.Execution == execution || !time.Now().Before(p.ChangingUntil) {
		return nil
	}
	return contract.Errorf(contract.SetInUse, "Set %s in cluster %s is in use: execution %s is changing it, until %s at the latest. Nothing was changed by this one. Start it again when that one is over",
		p.Set, c.Conn.Cluster.Name, quoted(p.Execution), p.ChangingUntil.UTC().Format(time.RFC3339))
}

// CheckPlanned returns SetInUse if somebody else changed the parent since an execution planned.
func (p Parent) CheckPlanned(c objects.Client, execution, planned string) error {
	if p.Execution == execution || p.Planned() == planned {
		return nil
	}
	return p.changed(c)
}

// changed is the error of a parent that is not as it was planned. It may have been another
// execution, or a person.
func (p Parent) changed(c objects.Client) error {
	last := "it is not there any more"
	if p.Exists() {
		last = "the last execution that changed it is " + quoted(p.Execution)
	}
	return contract.Errorf(contract.SetInUse, "Set %s in cluster %s was changed after this execution had planned: %s. Nothing was changed by this one. Start it again when no other one changes the set", p.Set, c.Conn.Cluster.Name, last)
}

// Begin makes the execution the one that changes the set, until End, or until the time of
// ctx is over. It widens the parent by the scope of what is to be applied, and makes it if
// there is none.
//
// Errors: SetInUse if another execution changed the set since it was planned, or is about
// to; SetTaken if one did after this execution began to change it; the errors of Read.
func (s Set) Begin(ctx context.Context, c objects.Client, execution string, planned Planned, scope Scope) (*Change, error) {
	change := &Change{client: c, execution: execution, until: batch.Deadline(ctx).Add(grace)}
	err := change.update(ctx, s, func(p Parent) (annotations, error) {
		if err := change.mayBegin(p, planned); err != nil {
			return nil, err
		}
		if !p.ChangingUntil.Equal(change.until) { // which it is if the answer to writing it was lost
			change.others = p.ChangingUntil
		}
		now := p.And(scope).And(Scope{Namespaces: []string{s.Namespace}})
		return merged(now.annotations(s.Namespace), annotations{annotationExecution: execution, annotationChangingUntil: asText(change.until)}), nil
	})
	return change, err
}

// mayBegin returns an error if another execution is, or was, at it.
func (c *Change) mayBegin(p Parent, planned Planned) error {
	mine := p.Exists() && p.Execution == c.execution
	switch {
	case mine:
		return nil
	case planned.Claimed && !p.Exists():
		return contract.Errorf(contract.SetTaken, "Set %s in cluster %s was deleted while this execution changed it. Start another execution to apply the manifests again", p.Set, c.client.Conn.Cluster.Name)
	case planned.Claimed:
		return contract.Errorf(contract.SetTaken, "Execution %s took over set %s in cluster %s while this one was changing it, so this one changes no more. If that one has other manifests, start this one again", quoted(p.Execution), p.Set, c.client.Conn.Cluster.Name)
	case p.Planned() != planned.Parent:
		return p.changed(c.client)
	default:
		return p.Check(c.client, c.execution)
	}
}

// Parent is the parent as it is now.
func (c *Change) Parent() Parent { return c.parent }

// End ends the change, and leaves the parent as it is. If it fails, the change ends by
// itself some time later.
func (c *Change) End(ctx context.Context) {
	_ = c.update(ctx, c.parent.Set, func(p Parent) (annotations, error) {
		if ended := c.ended(p); p.Execution == c.execution && len(ended) > 0 {
			return ended, nil
		}
		return nil, errNothing
	})
}

// ended is what is written once this function has ended. The execution may have other
// functions that go on, although their answers are lost: what a later one wrote stays, and
// what an earlier one wrote returns.
func (c *Change) ended(p Parent) annotations {
	switch {
	case !p.ChangingUntil.Equal(c.until):
		return annotations{}
	case time.Now().Before(c.others):
		return annotations{annotationChangingUntil: asText(c.others)}
	default:
		return annotations{annotationChangingUntil: nil}
	}
}

// asText has fractions of a second, which tell one function from the next.
func asText(at time.Time) string { return at.UTC().Format(time.RFC3339Nano) }

// Applied ends the change after all was applied and nothing is to be deleted.
func (c *Change) Applied(ctx context.Context, members int) error {
	return c.update(ctx, c.parent.Set, func(p Parent) (annotations, error) {
		return merged(applied(members), c.ended(p)), c.isMine(p)
	})
}

// Shrink ends the change of a round after which another one follows, and the parent then
// has the scope of what is left. If it fails, the parent has more than that.
func (c *Change) Shrink(ctx context.Context, left Scope) { _ = c.narrow(ctx, left, nil) }

// Narrow ends the change, and the parent then has the scope of what is left.
func (c *Change) Narrow(ctx context.Context, left Scope, members int) error {
	return c.narrow(ctx, left, applied(members))
}

func (c *Change) narrow(ctx context.Context, left Scope, more annotations) error {
	return c.update(ctx, c.parent.Set, func(p Parent) (annotations, error) {
		now := left.And(Scope{Namespaces: []string{p.Namespace}})
		return merged(merged(now.annotations(p.Namespace), more), c.ended(p)), c.isMine(p)
	})
}

func applied(members int) annotations {
	return annotations{annotationMembers: strconv.Itoa(members), annotationApplied: time.Now().UTC().Format(time.RFC3339)}
}

// Delete ends the change of a set that has no members, and deletes the parent.
func (c *Change) Delete(ctx context.Context) error {
	for range maxConflicts {
		p, err := Read(ctx, c.client, c.parent.Set)
		if err != nil || !p.Exists() {
			return err
		}
		if err := c.isMine(p); err != nil {
			return err
		}
		_, err = c.client.Delete(ctx, p.ParentTarget(), p.UID, p.Version)
		switch {
		case err == nil, apierrors.IsNotFound(err):
			return nil
		case apierrors.IsConflict(err):
		default:
			return c.client.Explain(err, "delete", p.ParentTarget())
		}
	}
	return c.changedTooOften()
}

func (c *Change) isMine(p Parent) error { return c.mayBegin(p, Planned{Claimed: true}) }

func (c *Change) changedTooOften() error {
	return contract.Errorf(contract.Throttled, "%s in cluster %s was changed by others %d times while this execution changed it. Try again later", c.parent.ParentTarget(), c.client.Conn.Cluster.Name, maxConflicts)
}

// annotations are to be written on a parent; nil removes one.
type annotations = map[string]any

// errNothing says that there is nothing to write.
var errNothing = errors.New("nothing to write")

// update reads the parent and writes annotations at that version, until nobody else has
// changed it in between.
func (c *Change) update(ctx context.Context, s Set, change func(Parent) (annotations, error)) error {
	c.parent.Set = s
	for range maxConflicts {
		before, err := Read(ctx, c.client, s)
		if err != nil {
			return err
		}
		wanted, err := change(before)
		if errors.Is(err, errNothing) {
			return nil
		}
		if err != nil {
			return err
		}
		after, err := c.write(ctx, before, wanted)
		switch {
		case err == nil:
			c.parent = after
			return nil
		case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err), apierrors.IsNotFound(err) && before.Exists():
			// Somebody was faster.
		case apierrors.IsTooManyRequests(err) && batch.Sleep(ctx, batch.RetryAfter(err)) == nil:
		default:
			return c.client.Explain(err, "patch", s.ParentTarget())
		}
	}
	return c.changedTooOften()
}

// write writes annotations, and the label, if the parent is still the one that was read.
func (c *Change) write(ctx context.Context, before Parent, wanted annotations) (Parent, error) {
	t := before.ParentTarget()
	m := map[string]any{"labels": map[string]any{LabelID: before.ID()}, "annotations": wanted}
	request := c.client.Conn.Post().AbsPath(t.PathIn(t.Namespace)...).SetHeader("Content-Type", "application/json")
	body := map[string]any{"apiVersion": "v1", "kind": t.Kind, "metadata": m}
	if before.Exists() {
		request = c.client.Conn.Patch(types.MergePatchType).AbsPath(t.Path()...)
		// The API server compares both with what is stored, and answers 409.
		m["uid"], m["resourceVersion"] = before.UID, before.Version
	} else {
		m["name"], m["namespace"] = t.Name, t.Namespace
		m["annotations"] = withoutNull(wanted)
	}
	text, err := json.Marshal(body)
	if err != nil { // text alone cannot fail
		return Parent{}, err
	}
	answer, err := kube.Body(request.MaxRetries(0).Param("fieldManager", manager).Body(text).Do(kube.AtMost(ctx, kube.ObjectBytes)))
	if err != nil {
		return Parent{}, err
	}
	var object struct {
		Metadata metadata `json:"metadata"`
	}
	if err := kube.IsObject(answer, t.Kind, t.Name); err != nil {
		return Parent{}, err
	}
	if err := json.Unmarshal(answer, &object); err != nil {
		return Parent{}, kube.BadAnswer("it is not an object")
	}
	return before.parse(c.client, object.Metadata)
}

func withoutNull(all annotations) annotations {
	kept := maps.Clone(all)
	maps.DeleteFunc(kept, func(_ string, value any) bool { return value == nil })
	return kept
}

// CheckNamespace asks with a dry run whether the parent of a set that does not exist can be
// made: the namespace may be missing, and is not made by applying the manifests, as the
// parent comes first.
func (s Set) CheckNamespace(ctx context.Context, c objects.Client) error {
	t := s.ParentTarget()
	text, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": t.Kind, "metadata": map[string]any{"name": t.Name, "namespace": t.Namespace}})
	if err != nil { // text alone cannot fail
		return err
	}
	_, err = kube.Body(c.Conn.Post().AbsPath(t.PathIn(t.Namespace)...).SetHeader("Content-Type", "application/json").Param("dryRun", "All").MaxRetries(0).Body(text).Do(ctx))
	if apierrors.IsNotFound(err) {
		return contract.Errorf(contract.InvalidInput, "set: cluster %s has no namespace %s, in which the ConfigMap of set %s is to be, and it must be there before the manifests are applied. Create it, or keep the set in another namespace", c.Conn.Cluster.Name, s.Namespace, s.Name)
	}
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return c.Explain(err, "create", t)
	}
	return nil
}
