package sets

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/objects"
)

// Reason is why a member that is not in the manifests is not deleted.
type Reason interface {
	fmt.Stringer
	// IsDrift reports whether the cluster is other than it should be because of it.
	IsDrift() bool
}

// BelongsToObject is the reason of an object with an owner in the cluster: that one, or
// the garbage collector, deletes it.
type BelongsToObject struct{ Kind, Name string }

// BelongsToTool is the reason of an object that another tool marked as its own.
type BelongsToTool struct{ Owner Owner }

// KeptByAnnotation is the reason of an object that asks for it.
type KeptByAnnotation struct{ Key, Value string }

// OfProtectedKind is the reason of an object that takes others along, or data.
type OfProtectedKind struct{ Kind string }

// HoldsMember is the reason of an object that would take along one that stays.
type HoldsMember struct{ Member string }

// StandsForSet is the reason of the parent of another set: nobody could find the members
// of that without it.
type StandsForSet struct{}

// IsBeingDeleted is the reason of an object that somebody has deleted already.
type IsBeingDeleted struct {
	Since      string
	Finalizers []string
}

// ChangedSincePlan is the reason of an object that is not what was planned to be deleted.
type ChangedSincePlan struct{ How string }

func (r BelongsToObject) String() string { return fmt.Sprintf("%s %s owns it", r.Kind, r.Name) }

func (r BelongsToTool) String() string {
	tool, name, _ := strings.Cut(string(r.Owner), "/")
	return fmt.Sprintf("%s %s owns it", toolNames[tool], contract.OneLine(name))
}

func (r KeptByAnnotation) String() string {
	return fmt.Sprintf("its annotation %s: %s keeps it", r.Key, r.Value)
}

func (r OfProtectedKind) String() string {
	return fmt.Sprintf(`objects of kind %s take others along, or data: to prune them, name %s in "prune": {"kinds": […]} (--prune-kinds)`, r.Kind, r.Kind)
}

func (r HoldsMember) String() string {
	return fmt.Sprintf("deleting it would delete %s, which stays", r.Member)
}

func (r StandsForSet) String() string {
	return "it stands for another set, whose members nobody would find without it: delete that set first"
}

func (r IsBeingDeleted) String() string {
	text := "it is being deleted, since " + r.Since
	if len(r.Finalizers) > 0 {
		text += fmt.Sprintf(", and waits for its finalizers %v", r.Finalizers[:min(len(r.Finalizers), maxFinalizers)])
	}
	return text
}

func (r ChangedSincePlan) String() string { return r.How }

// IsDrift is false: its owner decides.
func (BelongsToObject) IsDrift() bool { return false }

// IsDrift is false: its owner decides.
func (BelongsToTool) IsDrift() bool { return false }

// IsDrift is false: whoever wrote the annotation wants it there.
func (KeptByAnnotation) IsDrift() bool { return false }

// IsDrift is true: it is there, and not in the manifests.
func (OfProtectedKind) IsDrift() bool { return true }

// IsDrift is true: it is there, and not in the manifests.
func (HoldsMember) IsDrift() bool { return true }

// IsDrift is true: it is there, and not in the manifests.
func (StandsForSet) IsDrift() bool { return true }

// IsDrift is true: it is there, and not in the manifests.
func (IsBeingDeleted) IsDrift() bool { return true }

// IsDrift is true: it is there, and not in the manifests.
func (ChangedSincePlan) IsDrift() bool { return true }

// maxFinalizers is how many finalizers a sentence names.
const maxFinalizers = 5

// annotationsThatKeep spare an object.
func annotationsThatKeep() []string {
	return []string{
		"client.lifecycle.config.k8s.io/deletion", // detach: https://github.com/kubernetes-sigs/cli-utils/blob/v0.37.2/pkg/common/common.go
		"cli-utils.sigs.k8s.io/on-remove",         // keep: the same
		"helm.sh/resource-policy",                 // keep: https://helm.sh/docs/howto/charts_tips_and_tricks/
		"kustomize.toolkit.fluxcd.io/prune",       // disabled: https://fluxcd.io/flux/components/kustomize/kustomizations/#prune
		"argocd.argoproj.io/sync-options",         // Prune=false: https://argo-cd.readthedocs.io/en/stable/user-guide/sync-options/
	}
}

// keeps reports whether the value of one of these annotations keeps an object.
func keeps(key, value string) bool {
	switch key {
	case "client.lifecycle.config.k8s.io/deletion":
		return value == "detach"
	case "cli-utils.sigs.k8s.io/on-remove", "helm.sh/resource-policy":
		return value == "keep"
	case "kustomize.toolkit.fluxcd.io/prune":
		return value == "disabled"
	default:
		for option := range strings.SplitSeq(value, ",") {
			switch strings.TrimSpace(option) {
			case "Prune=false", "Delete=false", "Prune=confirm", "Delete=confirm":
				return true
			}
		}
		return false
	}
}

// protected are the kinds that applymanifests.ProtectedKinds names.
var protected = map[schema.GroupKind]bool{
	{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition"}: true,
	{Kind: "Namespace"}: true, {Kind: "PersistentVolume"}: true, {Kind: "PersistentVolumeClaim"}: true,
}

// Leaving is a member that is not in the manifests.
type Leaving struct {
	Member
	// Spared is why it is not deleted; nil if it is.
	Spared Reason
}

// Rules say what may be deleted.
type Rules struct {
	Set Set
	// Kept are the objects of the manifests.
	Kept []objects.Target
	// Kinds are the protected kinds that may be deleted all the same.
	Kinds []string
}

// Leave returns the members that are not in the manifests, in the order of Members, and
// whether each is spared.
func Leave(members []Member, rules Rules) []Leaving {
	kept, keptUIDs := map[identity]bool{}, map[string]bool{}
	for _, t := range rules.Kept {
		kept[identityOf(t)] = true
	}
	for _, m := range members {
		if kept[identityOf(m.Target)] {
			keptUIDs[m.UID()] = true
		}
	}
	var leaving []Leaving
	for _, m := range members {
		// Another group may serve the same object, which only its UID tells.
		if !keptUIDs[m.UID()] {
			leaving = append(leaving, Leaving{m, rules.spare(m)})
		}
	}
	spareHolders(leaving, members, rules)
	return leaving
}

// spare is why the member alone is spared, whatever the other members are.
func (r Rules) spare(m Member) Reason {
	switch {
	case m.isBeingDeleted():
		return IsBeingDeleted{m.DeletionTimestamp, m.Finalizers}
	case len(m.OwnerReferences) > 0:
		return BelongsToObject{m.OwnerReferences[0].Kind, m.OwnerReferences[0].Name}
	case m.Labels[LabelID] != "":
		return StandsForSet{}
	}
	if tool := toolOf(m.Labels, m.Annotations, m.Namespace); tool != "" {
		return BelongsToTool{tool}
	}
	for _, key := range annotationsThatKeep() {
		if value := m.Annotations[key]; keeps(key, value) {
			return KeptByAnnotation{key, contract.Clip(contract.OneLine(value), maxQuoted)}
		}
	}
	if protected[m.GroupKind()] && !slices.Contains(r.Kinds, m.Kind) {
		return OfProtectedKind{m.Kind}
	}
	return nil
}

// spareHolders spares what would take along something that stays: a namespace its
// objects, a definition the objects of its kind, and an owner what it owns. Whatever is
// spared may be held by something else.
func spareHolders(leaving []Leaving, members []Member, rules Rules) {
	gone := map[string]bool{}
	for again := true; again; {
		again = false
		clear(gone)
		for _, l := range leaving {
			if _, deleted := l.Spared.(IsBeingDeleted); l.Spared == nil || deleted {
				gone[l.UID()] = true
			}
		}
		for i, l := range leaving {
			if l.Spared != nil {
				continue
			}
			if held := rules.held(l.Member, members, gone); held != "" {
				leaving[i].Spared, again = HoldsMember{held}, true
			}
		}
	}
}

// held names something that stays and that deleting the member would delete.
func (r Rules) held(m Member, members []Member, gone map[string]bool) string {
	if m.IsNamespace() && m.Name == r.Set.Namespace {
		return r.Set.ParentTarget().String() + ", the set itself"
	}
	for _, t := range r.Kept { // which may not be there yet, or have no label
		if m.takes(t) {
			return t.String()
		}
	}
	for _, other := range members {
		if gone[other.UID()] || other.UID() == m.UID() {
			continue
		}
		if m.takes(other.Target) || slices.ContainsFunc(other.OwnerReferences, func(o owner) bool { return o.UID == m.UID() }) {
			return other.String()
		}
	}
	return ""
}

// takes reports whether deleting the member deletes an object because of where it is.
func (m Member) takes(t objects.Target) bool {
	switch {
	case m.IsNamespace():
		return t.Namespaced && t.Namespace == m.Name
	case m.IsDefinition(): // its name is PLURAL.GROUP
		return m.Name == t.Plural+"."+t.Group
	default:
		return false
	}
}

const (
	// free is how many members are deleted without prune.max.
	free = 10
	// half of a set of so many members or more are not.
	large = 10
)

// Refused says why so many members are not deleted at once; empty if they are. Of a set that
// is deleted as a whole, only max is looked at.
func Refused(pruned, members int, prune applymanifests.Prune, whole bool) string {
	switch {
	case prune.Max > 0 && pruned > prune.Max:
		return fmt.Sprintf(`%d objects are not in the manifests, and "prune": {"max": %d} allows fewer`, pruned, prune.Max)
	case prune.Max > 0 || whole:
		return ""
	case pruned > free:
		return fmt.Sprintf(`%d objects are not in the manifests, and more than %d are pruned only with "prune": {"max": %d} (--prune-max %d)`, pruned, free, pruned, pruned)
	case members >= large && pruned*2 > members:
		return fmt.Sprintf(`%d of the %d members of the set are not in the manifests, and more than half are pruned only with "prune": {"max": %d} (--prune-max %d)`, pruned, members, pruned, pruned)
	default:
		return ""
	}
}
