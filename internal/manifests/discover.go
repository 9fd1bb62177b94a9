package manifests

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubestep/kubestep/internal/batch"
	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/kube"
)

// kind is how the API serves a kind.
type kind struct {
	resource   string // the plural
	namespaced bool
	// served is false while the cluster does not know the kind, and only a CRD among
	// the manifests defines it.
	served bool
	// defined is set if a CRD among the manifests defines it.
	defined bool
	// servedAs is the version that is served instead, if any.
	servedAs string
	// verbs are what can be done with its objects; none if that is not known.
	verbs []string
	// hasStatus is set if its status is a subresource: applying an object leaves it as it is.
	hasStatus bool
}

// apiResource is an entry of an APIResourceList.
type apiResource struct {
	Name       string   `json:"name"`
	Kind       string   `json:"kind"`
	Namespaced bool     `json:"namespaced"`
	Verbs      []string `json:"verbs"`
}

func (r apiResource) isSubresource() bool { return strings.Contains(r.Name, "/") }

// isStatus reports whether another resource is the status of this one.
func (r apiResource) isStatus(other apiResource) bool { return other.Name == r.Name+"/status" }

// unknown are objects of kinds that neither the cluster nor the manifests define.
type unknown []misnamed

// misnamed is an object with the kind that is meant, if that differs from its own in
// capitals or is not the plural.
type misnamed struct {
	Object
	meant string
}

// ofGroup is the error of asking for the kinds of a group and version.
type ofGroup struct {
	schema.GroupVersion
	error
}

func (e *ofGroup) Unwrap() error { return e.error }

// apiService is that of a group and version, if it is one that the API server passes on.
func apiService(v schema.GroupVersion) kube.Webhook {
	return kube.Webhook{APIService: v.Version + "." + v.Group}
}

// discover finds out where each object is in the API, by one request for a group
// and version, and puts the objects into the order of their stages.
func discover(ctx context.Context, s server, objects []Object) ([]target, unknown, error) {
	var mu sync.Mutex
	served := map[schema.GroupVersionKind]kind{}
	asked := map[schema.GroupVersion]bool{}
	// Of the other kinds there may be more than there is memory for.
	wanted := map[schema.GroupVersionKind]bool{}
	for _, o := range objects {
		wanted[folded(o.GroupVersion(), o.Kind)] = true
		for name := range defined(o) {
			wanted[folded(name.GroupVersion(), name.Kind)] = true
		}
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(batch.AtOnce)
	for _, o := range objects {
		v := o.GroupVersion()
		if asked[v] {
			continue
		}
		asked[v] = true
		group.Go(func() error {
			ctx, end := s.rest.Turn(groupCtx)
			defer end()
			resources, err := s.resources(ctx, v)
			if apierrors.IsNotFound(err) {
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			for _, r := range resources {
				if _, again := served[v.WithKind(r.Kind)]; !again && (wanted[folded(v, r.Kind)] || wanted[folded(v, r.Name)]) && !r.isSubresource() {
					served[v.WithKind(r.Kind)] = kind{resource: r.Name, namespaced: r.Namespaced, served: true, verbs: r.Verbs, hasStatus: slices.ContainsFunc(resources, r.isStatus)}
				}
			}
			if err != nil {
				return &ofGroup{v, err}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, nil, err
	}
	for _, o := range objects {
		for name, k := range defined(o) {
			if known, ok := served[name]; ok {
				k = known
			}
			k.defined = true
			served[name] = k
		}
	}
	if err := otherVersions(ctx, s, served); err != nil {
		return nil, nil, err
	}
	var targets []target
	var nowhere unknown
	for i, o := range objects {
		if k, ok := served[o.GroupVersionKind]; ok {
			targets = append(targets, target{o, i, k})
		} else {
			nowhere = append(nowhere, misnamed{o, meant(o.GroupVersionKind, served)})
		}
	}
	slices.SortStableFunc(targets, func(a, b target) int { return int(a.stage()) - int(b.stage()) })
	return targets, nowhere, nil
}

// otherVersions finds, for the kinds that are not served yet, a version of the same kind
// that is: objects of it are there already.
func otherVersions(ctx context.Context, s server, kinds map[schema.GroupVersionKind]kind) error {
	groups := map[string][]string{}
	for name, k := range kinds {
		if k.served {
			continue
		}
		versions, known := groups[name.Group]
		if !known {
			var err error
			if versions, err = s.versions(ctx, name.Group); err != nil {
				return err
			}
			groups[name.Group] = versions
		}
		for _, version := range versions {
			resources, err := s.resources(ctx, schema.GroupVersion{Group: name.Group, Version: version})
			if err != nil && !apierrors.IsNotFound(err) {
				return err
			}
			if slices.ContainsFunc(resources, func(r apiResource) bool { return r.Name == k.resource && r.Kind == name.Kind }) {
				k.servedAs = version
				kinds[name] = k
				break
			}
		}
	}
	return nil
}

// otherGroups are the groups that once served resources which another one serves now:
// it is the same object, whichever it is asked of.
// https://kubernetes.io/docs/reference/using-api/deprecation-guide/
var otherGroups = map[schema.GroupResource]string{
	{Group: "extensions", Resource: "daemonsets"}:      "apps",
	{Group: "extensions", Resource: "deployments"}:     "apps",
	{Group: "extensions", Resource: "replicasets"}:     "apps",
	{Group: "extensions", Resource: "ingresses"}:       "networking.k8s.io",
	{Group: "extensions", Resource: "networkpolicies"}: "networking.k8s.io",
	{Group: "", Resource: "events"}:                    "events.k8s.io",
}

// twice names the targets that are one and the same object in the cluster: whichever is
// applied last would win, at every apply. Only the cluster knows whether a kind is in
// namespaces, and that two versions are of one kind.
func twice(targets []target) error {
	type identity struct {
		schema.GroupResource
		namespace, name string
	}
	var problems []string
	first := map[identity]target{}
	ordered := slices.Clone(targets)
	byOrder(ordered, func(t target) target { return t })
	for _, t := range ordered {
		of := identity{schema.GroupResource{Group: t.Group, Resource: t.kind.resource}, t.namespace(), t.Name}
		if group, moved := otherGroups[of.GroupResource]; moved {
			of.Group = group
		}
		earlier, again := first[of]
		if !again {
			first[of] = t
			continue
		}
		problem := fmt.Sprintf("%s (%s): it is in %s already", t.place, t, earlier.place)
		switch {
		case t.GroupVersion() != earlier.GroupVersion():
			problem += fmt.Sprintf(", as %s", earlier.GroupVersion())
		case !t.kind.namespaced:
			problem += ", since the kind is cluster-wide, whatever namespace is given"
		}
		problems = append(problems, problem)
	}
	switch len(problems) {
	case 0:
		return nil
	case 1:
		return contract.Errorf(contract.InvalidInput, "The manifests have 1 problem: %s", problems[0])
	default:
		return contract.Errorf(contract.InvalidInput, "The manifests have %d problems: %s", len(problems), strings.Join(few(problems, maxNamed), "; "))
	}
}

func (t target) stage() stage { return stageOf(t.Object, !t.kind.namespaced) }

// defined are the kinds that an object defines.
func defined(o Object) map[schema.GroupVersionKind]kind {
	if !o.IsDefinition() {
		return nil
	}
	var crd struct {
		Spec struct {
			Group    string `json:"group"`
			Scope    string `json:"scope"`
			Names    struct{ Plural, Kind string }
			Versions []struct {
				Name   string `json:"name"`
				Served bool   `json:"served"`
			} `json:"versions"`
		} `json:"spec"`
	}
	if json.Unmarshal(o.JSON, &crd) != nil {
		return nil // the API server says what is wrong with it
	}
	kinds := map[schema.GroupVersionKind]kind{}
	for _, version := range crd.Spec.Versions {
		if version.Served {
			name := schema.GroupVersionKind{Group: crd.Spec.Group, Version: version.Name, Kind: crd.Spec.Names.Kind}
			kinds[name] = kind{resource: crd.Spec.Names.Plural, namespaced: crd.Spec.Scope != "Cluster"}
		}
	}
	return kinds
}

// folded is a kind, or a resource, in any writing.
func folded(v schema.GroupVersion, name string) schema.GroupVersionKind {
	return v.WithKind(strings.ToLower(name))
}

// meant returns the kind of the same group and version that is meant by another, or
// nothing.
func meant(asked schema.GroupVersionKind, served map[schema.GroupVersionKind]kind) string {
	for name, k := range served {
		if name.GroupVersion() == asked.GroupVersion() && (strings.EqualFold(name.Kind, asked.Kind) || strings.EqualFold(k.resource, asked.Kind)) {
			return name.Kind
		}
	}
	return ""
}

// String names the objects.
func (u unknown) String() string {
	texts := make([]string, 0, len(u))
	for _, o := range u {
		text := fmt.Sprintf("kind %s in %s (%s, name %s", o.Kind, o.GroupVersion(), o.place, o.Name)
		if o.meant != "" {
			text += ": did you mean " + o.meant + "?"
		}
		texts = append(texts, text+")")
	}
	return enumerate(texts)
}

// maxNamed is how many things a sentence names.
const maxNamed = 20

func enumerate(texts []string) string {
	if len(texts) <= maxNamed {
		return strings.Join(texts, ", ")
	}
	return fmt.Sprintf("%s, and %d more", strings.Join(texts[:maxNamed], ", "), len(texts)-maxNamed)
}
