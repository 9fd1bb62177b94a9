// Package sets is the membership of objects in a set, and what follows from it: which
// members are no longer in the manifests, which of them are spared and why, and how the
// others are deleted so that a crash at any point loses none and deletes none too many.
//
// A set is an ApplySet of a ConfigMap. The ConfigMap, its parent, says which kinds and
// namespaces have members, and each member has a label with the parent's id.
// https://github.com/kubernetes/enhancements/tree/master/keps/sig-cli/3659-kubectl-apply-prune
//
// The order of a change is that of kubectl: the parent is widened by the kinds and
// namespaces to come, objects are applied, others deleted, and the parent is narrowed to
// what is left. So whatever is a member is found from the parent, at any moment.
package sets

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/kube"
	"github.com/kubestep/kubestep/internal/objects"
)

// The wire format of an ApplySet.
// https://github.com/kubernetes/kubernetes/blob/v1.37.2/staging/src/k8s.io/kubectl/pkg/cmd/apply/applyset.go
const (
	// LabelID is on the parent. Its value is made of the parent's name, namespace and kind.
	LabelID = "applyset.kubernetes.io/id"
	// LabelPartOf is on each member, with the same value.
	LabelPartOf = "applyset.kubernetes.io/part-of"
	// annotationTooling is NAME/VERSION of the tool that the set belongs to. No other tool may
	// change it.
	annotationTooling = "applyset.kubernetes.io/tooling"
	// annotationKinds has the kinds of the members, such as ConfigMap,Deployment.apps.
	annotationKinds = "applyset.kubernetes.io/contains-group-kinds"
	// annotationNamespaces has their namespaces, but the parent's own.
	annotationNamespaces = "applyset.kubernetes.io/additional-namespaces"

	toolingName = "kubestep"
	tooling     = toolingName + "/v1"
)

// What kubestep keeps on the parent besides.
const (
	// annotationExecution is the execution that changed the set last, or is changing it.
	annotationExecution = "kubestep.github.io/execution"
	// annotationChangingUntil is there while a function of that execution changes members. After that
	// time, it does not any more.
	annotationChangingUntil = "kubestep.github.io/changing-until"
	// annotationMembers and annotationApplied say how many members there were when all was
	// applied last, and when that was.
	annotationMembers = "kubestep.github.io/members"
	annotationApplied = "kubestep.github.io/applied"
)

// Set names a set: it is the name of its parent.
type Set struct{ Namespace, Name string }

// ID is the value of the labels.
func (s Set) ID() string {
	hash := sha256.Sum256([]byte(s.Name + "." + s.Namespace + ".ConfigMap."))
	return "applyset-" + base64.RawURLEncoding.EncodeToString(hash[:]) + "-v1"
}

// String names the set as adopt does.
func (s Set) String() string { return s.Namespace + "/" + s.Name }

// ParentTarget is where the parent is in the API.
func (s Set) ParentTarget() objects.Target {
	return objects.Target{
		Object:   objects.Object{GroupVersionKind: schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}, Namespace: s.Namespace, Name: s.Name, From: "set " + s.Name},
		Resource: objects.Resource{Plural: "configmaps", Namespaced: true, Served: true},
	}
}

// Scope is where members of a set may be.
type Scope struct {
	Kinds      []schema.GroupKind // sorted
	Namespaces []string           // sorted
}

// And returns the scope that has both.
func (s Scope) And(other Scope) Scope {
	kinds := slices.Concat(s.Kinds, other.Kinds)
	slices.SortFunc(kinds, func(a, b schema.GroupKind) int { return strings.Compare(a.String(), b.String()) })
	namespaces := slices.Concat(s.Namespaces, other.Namespaces)
	slices.Sort(namespaces)
	return Scope{slices.Compact(kinds), slices.Compact(namespaces)}
}

// Covers reports whether the scope has all of another one.
func (s Scope) Covers(other Scope) bool {
	both := s.And(other)
	return len(both.Kinds) == len(s.Kinds) && len(both.Namespaces) == len(s.Namespaces)
}

// ScopeOf is the scope of objects.
func ScopeOf(targets []objects.Target) Scope {
	var s Scope
	for _, t := range targets {
		s.Kinds = append(s.Kinds, t.GroupKind())
		if t.Namespaced {
			s.Namespaces = append(s.Namespaces, t.Namespace)
		}
	}
	return s.And(Scope{})
}

// Parent is what the ConfigMap of a set says.
type Parent struct {
	Set
	Scope
	// UID and Version are of the ConfigMap; empty if there is none.
	UID, Version string
	// Execution is the execution that changed the set last, and ChangingUntil is when it
	// has ended what it does there now; zero if it does nothing.
	Execution     string
	ChangingUntil time.Time
}

// Exists reports whether there is a ConfigMap.
func (p Parent) Exists() bool { return p.UID != "" }

// Planned is the version that a plan keeps.
func (p Parent) Planned() string {
	if !p.Exists() {
		return applymanifests.NoParent
	}
	return p.UID + "/" + p.Version
}

// metadata is the metadata of a parent or a member, as the API server sends it.
type metadata struct {
	Name              string            `json:"name"`
	Namespace         string            `json:"namespace"`
	UID               string            `json:"uid"`
	ResourceVersion   string            `json:"resourceVersion"`
	Labels            map[string]string `json:"labels"`
	Annotations       map[string]string `json:"annotations"`
	OwnerReferences   []owner           `json:"ownerReferences"`
	DeletionTimestamp string            `json:"deletionTimestamp"`
	Finalizers        []string          `json:"finalizers"`
}

type owner struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
	UID  string `json:"uid"`
}

// Read reads the parent of a set.
//
// Errors: OwnerConflict if the ConfigMap is another tool's, or no parent at all;
// Unauthorized, Forbidden, Throttled, CertificateNotTrusted, ClusterUnreachable.
func Read(ctx context.Context, c objects.Client, s Set) (Parent, error) {
	t := s.ParentTarget()
	m, err := readMetadata(ctx, c, t)
	if apierrors.IsNotFound(err) {
		return Parent{Set: s}, nil
	}
	if err != nil {
		return Parent{}, c.Explain(err, "get", t)
	}
	return s.parse(c, m)
}

// parse reads the parent out of its metadata, and refuses what is none of ours.
func (s Set) parse(c objects.Client, m metadata) (Parent, error) {
	refuse := func(format string, args ...any) (Parent, error) {
		return Parent{}, contract.Errorf(contract.OwnerConflict, "%s in cluster %s cannot be set %s: %s. Give the set another name, or delete the ConfigMap if nothing needs it", s.ParentTarget(), c.Conn.Cluster.Name, s.Name, fmt.Sprintf(format, args...))
	}
	wrote, isSet := m.Annotations[annotationTooling]
	name := wrote
	if at := strings.LastIndexByte(wrote, '/'); at >= 0 {
		name = wrote[:at]
	}
	kinds, hasKinds := m.Annotations[annotationKinds]
	switch id := m.Labels[LabelID]; {
	case !isSet:
		return refuse("it exists and is no set, since it has no annotation %s", annotationTooling)
	case name != toolingName:
		return refuse("it is a set of %s, and only that may change it", quoted(wrote))
	case wrote != tooling:
		return refuse("%s wrote it, and this version of kubestep reads %s", quoted(wrote), tooling)
	case id != s.ID():
		return refuse("its label %s is %s instead of %s", LabelID, quoted(id), s.ID())
	case !hasKinds:
		return refuse("it has no annotation %s, without which its members are not known", annotationKinds)
	}
	p := Parent{Set: s, UID: m.UID, Version: m.ResourceVersion, Execution: m.Annotations[annotationExecution]}
	for kind := range split(kinds) {
		p.Kinds = append(p.Kinds, schema.ParseGroupKind(kind))
	}
	p.Namespaces = append(p.Namespaces, s.Namespace)
	for namespace := range split(m.Annotations[annotationNamespaces]) {
		p.Namespaces = append(p.Namespaces, namespace)
	}
	p.Scope = p.And(Scope{})
	if until := m.Annotations[annotationChangingUntil]; until != "" {
		at, err := time.Parse(time.RFC3339, until)
		if err != nil {
			return refuse("its annotation %s is %s, which is no time", annotationChangingUntil, quoted(until))
		}
		p.ChangingUntil = at
	}
	return p, nil
}

// split are the elements of a list with commas. An empty text is an empty list.
func split(list string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for element := range strings.SplitSeq(list, ",") {
			if element != "" && !yield(element) {
				return
			}
		}
	}
}

// annotations of the parent that say where its members are.
func (s Scope) annotations(parent string) map[string]any {
	kinds := make([]string, len(s.Kinds))
	for i, kind := range s.Kinds {
		kinds[i] = kind.String()
	}
	others := slices.DeleteFunc(slices.Clone(s.Namespaces), func(namespace string) bool { return namespace == parent })
	return map[string]any{annotationTooling: tooling, annotationKinds: strings.Join(kinds, ","), annotationNamespaces: strings.Join(others, ",")}
}

// metadataOf reads the metadata of an object.
func readMetadata(ctx context.Context, c objects.Client, t objects.Target) (metadata, error) {
	text, err := kube.Metadata(ctx, c.Conn, t.Path()...)
	if err != nil {
		return metadata{}, err
	}
	var object struct {
		Metadata metadata `json:"metadata"`
	}
	if err := json.Unmarshal(text, &object); err != nil || object.Metadata.UID == "" || object.Metadata.ResourceVersion == "" {
		return metadata{}, kube.BadAnswer("it has no uid and resourceVersion")
	}
	return object.Metadata, nil
}

// maxQuoted bounds what is quoted of the cluster's texts, in bytes.
const maxQuoted = 200

func quoted(text string) string { return strconv.Quote(contract.Clip(text, maxQuoted)) }

// All lists the sets in a namespace, or in all of them, of whatever tool.
//
// Errors: Unauthorized, Forbidden, Throttled, CertificateNotTrusted, ClusterUnreachable.
func All(ctx context.Context, c objects.Client, namespace string) ([]applymanifests.Set, error) {
	if namespace == contract.AllNamespaces {
		namespace = ""
	}
	parents := kindOf(Set{Namespace: namespace}.ParentTarget())
	all := []applymanifests.Set{}
	err := list(ctx, c, parents, namespace, LabelID, func(m metadata) {
		members, _ := strconv.Atoi(m.Annotations[annotationMembers]) // another tool keeps none
		all = append(all, applymanifests.Set{
			Name: m.Name, Namespace: m.Namespace, ID: contract.Clip(m.Labels[LabelID], maxQuoted), Members: max(members, 0), Applied: contract.Clip(m.Annotations[annotationApplied], maxQuoted),
			Tooling: contract.Clip(m.Annotations[annotationTooling], maxQuoted),
		})
	})
	if err != nil {
		return nil, c.Conn.Explain(err, "list the ConfigMaps that stand for sets")
	}
	slices.SortFunc(all, func(a, b applymanifests.Set) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
	})
	return all, nil
}

// merged is a map with the entries of another.
func merged(a, b map[string]any) map[string]any {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}
