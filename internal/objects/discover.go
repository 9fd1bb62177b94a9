package objects

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

// Resource is how the API serves a kind.
type Resource struct {
	Plural     string
	Namespaced bool
	// Served is false while the cluster does not know the kind, and only a CRD among the
	// objects defines it.
	Served bool
	// Defined is set if a CRD among the objects defines it.
	Defined bool
	// ServedAs is the version that is served instead, if any.
	ServedAs string
	// Verbs are what can be done with its objects; none if that is not known.
	Verbs []string
	// HasStatus is set if its status is a subresource: applying an object leaves it as it is.
	HasStatus bool
}

// Unknown are objects of kinds that neither the cluster nor the objects define.
type Unknown []misnamed

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

// apiService is the APIService of a group and version that the API server passes on.
func apiService(v schema.GroupVersion) kube.Webhook {
	return kube.Webhook{APIService: v.Version + "." + v.Group}
}

// Discover finds out where each object is in the API, with one request for a group
// and version, and puts the objects into the order of their stages.
func (c Client) Discover(ctx context.Context, objects []Object) ([]Target, Unknown, error) {
	targets, nowhere, err := c.discover(ctx, objects)
	if err != nil {
		return nil, nil, c.explainKinds(err)
	}
	return targets, nowhere, nil
}

func (c Client) discover(ctx context.Context, objects []Object) ([]Target, Unknown, error) {
	var mu sync.Mutex
	served := map[schema.GroupVersionKind]Resource{}
	asked := map[schema.GroupVersion]bool{}
	// Of the other kinds there may be more than there is memory for.
	wanted := map[schema.GroupVersionKind]bool{}
	for _, o := range objects {
		wanted[folded(o.GroupVersion(), o.Kind)] = true
		for name := range o.defines() {
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
			ctx, end := c.Conn.Turn(groupCtx)
			defer end()
			resources, err := c.resources(ctx, v)
			if apierrors.IsNotFound(err) {
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			for _, r := range resources {
				if _, again := served[v.WithKind(r.Kind)]; !again && (wanted[folded(v, r.Kind)] || wanted[folded(v, r.Name)]) && !r.IsSubresource() {
					served[v.WithKind(r.Kind)] = Resource{Plural: r.Name, Namespaced: r.Namespaced, Served: true, Verbs: r.Verbs, HasStatus: kube.HasStatus(resources, r.Name)}
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
		for name, k := range o.defines() {
			if known, ok := served[name]; ok {
				k = known
			}
			k.Defined = true
			served[name] = k
		}
	}
	if err := c.otherVersions(ctx, served); err != nil {
		return nil, nil, err
	}
	var targets []Target
	var nowhere Unknown
	for i, o := range objects {
		if k, ok := served[o.GroupVersionKind]; ok {
			if !k.Namespaced {
				o.Namespace = ""
			}
			targets = append(targets, Target{o, k, i})
		} else {
			nowhere = append(nowhere, misnamed{o, meant(o.GroupVersionKind, served)})
		}
	}
	slices.SortStableFunc(targets, func(a, b Target) int { return int(a.Stage()) - int(b.Stage()) })
	return targets, nowhere, nil
}

// otherVersions finds, for the kinds that are not served yet, a version of the same kind
// that is: objects of it are there already.
func (c Client) otherVersions(ctx context.Context, kinds map[schema.GroupVersionKind]Resource) error {
	groups := map[string][]string{}
	for name, k := range kinds {
		if k.Served {
			continue
		}
		versions, known := groups[name.Group]
		if !known {
			var err error
			if versions, err = c.versions(ctx, name.Group); err != nil {
				return err
			}
			groups[name.Group] = versions
		}
		for _, version := range versions {
			resources, err := c.resources(ctx, schema.GroupVersion{Group: name.Group, Version: version})
			if err != nil && !apierrors.IsNotFound(err) {
				return err
			}
			if slices.ContainsFunc(resources, func(r kube.APIResource) bool { return r.Name == k.Plural && r.Kind == name.Kind }) {
				k.ServedAs = version
				kinds[name] = k
				break
			}
		}
	}
	return nil
}

// Kinds finds out where kinds are in the API, each in the version that the cluster prefers.
// Those of known objects are known. A kind that the cluster does not serve is left out.
//
// Errors: WebhookFailed if an APIService does not answer, so that nobody can tell;
// Unauthorized, Forbidden, Throttled, CertificateNotTrusted, ClusterUnreachable.
func (c Client) Kinds(ctx context.Context, kinds []schema.GroupKind, known []Target) ([]Target, error) {
	found := make([]Target, len(kinds))
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(batch.AtOnce)
	for i, kind := range kinds {
		at := slices.IndexFunc(known, func(t Target) bool { return t.GroupKind() == kind && (t.Served || t.ServedAs != "") })
		if at >= 0 {
			found[i] = Target{Object: Object{GroupVersionKind: known[at].GroupVersionKind}, Resource: known[at].Resource}
			if !known[at].Served {
				found[i].Version, found[i].Served = known[at].ServedAs, true
			}
			continue
		}
		group.Go(func() error {
			ctx, end := c.Conn.Turn(groupCtx)
			defer end()
			var err error
			found[i], err = c.kind(ctx, kind)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, c.explainKinds(err)
	}
	return slices.DeleteFunc(found, func(t Target) bool { return !t.Served }), nil
}

func (c Client) kind(ctx context.Context, kind schema.GroupKind) (Target, error) {
	versions := []string{"v1"} // of the group without a name
	if kind.Group != "" {
		var err error
		if versions, err = c.versions(ctx, kind.Group); err != nil {
			return Target{}, err
		}
	}
	for _, version := range versions {
		v := schema.GroupVersion{Group: kind.Group, Version: version}
		resources, err := c.resources(ctx, v)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return Target{}, &ofGroup{v, err}
		}
		for _, r := range resources {
			if r.Kind == kind.Kind && !r.IsSubresource() {
				return Target{
					Object:   Object{GroupVersionKind: v.WithKind(r.Kind)},
					Resource: Resource{Plural: r.Name, Namespaced: r.Namespaced, Served: true, Verbs: r.Verbs, HasStatus: kube.HasStatus(resources, r.Name)},
				}, nil
			}
		}
	}
	return Target{}, nil
}

// Defines reports whether the object defines a kind.
func (o Object) Defines(kind schema.GroupVersionKind) bool {
	_, defines := o.defines()[kind]
	return defines
}

// defines are the kinds that an object defines.
func (o Object) defines() map[schema.GroupVersionKind]Resource {
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
	kinds := map[schema.GroupVersionKind]Resource{}
	for _, version := range crd.Spec.Versions {
		if version.Served {
			name := schema.GroupVersionKind{Group: crd.Spec.Group, Version: version.Name, Kind: crd.Spec.Names.Kind}
			kinds[name] = Resource{Plural: crd.Spec.Names.Plural, Namespaced: crd.Spec.Scope != "Cluster"}
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
func meant(asked schema.GroupVersionKind, served map[schema.GroupVersionKind]Resource) string {
	for name, k := range served {
		if name.GroupVersion() == asked.GroupVersion() && (strings.EqualFold(name.Kind, asked.Kind) || strings.EqualFold(k.Plural, asked.Kind)) {
			return name.Kind
		}
	}
	return ""
}

// String names the objects.
func (u Unknown) String() string {
	texts := make([]string, 0, len(u))
	for _, o := range u {
		text := fmt.Sprintf("kind %s in %s (%s, name %s", o.Kind, o.GroupVersion(), o.From, o.Name)
		if o.meant != "" {
			text += ": did you mean " + o.meant + "?"
		}
		texts = append(texts, text+")")
	}
	return strings.Join(contract.Few(texts, maxNamed), ", ")
}

// maxNamed is how many things a sentence names.
const maxNamed = 20

// resources are the kinds of a group and version.
func (c Client) resources(ctx context.Context, v schema.GroupVersion) ([]kube.APIResource, error) {
	return kube.Resources(ctx, c.Conn, groupPath(v)...)
}

// versions are a group's served versions, the preferred one first.
func (c Client) versions(ctx context.Context, group string) ([]string, error) {
	answer, err := kube.Body(c.Conn.Get().AbsPath("/apis", group).MaxRetries(0).Do(kube.AtMost(ctx, kube.KindsBytes)))
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var of struct {
		Kind     string `json:"kind"`
		Versions []struct {
			Version string `json:"version"`
		} `json:"versions"`
	}
	if err := json.Unmarshal(answer, &of); err != nil || of.Kind != "APIGroup" {
		return nil, kube.BadAnswer("it is not an APIGroup")
	}
	var versions []string
	for _, v := range of.Versions {
		versions = append(versions, v.Version)
	}
	return versions, nil
}
