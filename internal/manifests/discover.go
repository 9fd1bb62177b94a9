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
}

// apiResource is an entry of an APIResourceList.
type apiResource struct {
	Name       string `json:"name"`
	Kind       string `json:"kind"`
	Namespaced bool   `json:"namespaced"`
}

// unknown are objects of kinds that neither the cluster nor the manifests define.
type unknown []Object

// discover finds out where each object is in the API, by one request for a group
// and version, and puts the objects into the order of their stages.
func discover(ctx context.Context, s server, objects []Object) ([]target, unknown, error) {
	var mu sync.Mutex
	served := map[schema.GroupVersionKind]kind{}
	asked := map[schema.GroupVersion]bool{}
	var group errgroup.Group
	group.SetLimit(batch.AtOnce)
	for _, o := range objects {
		v := o.GroupVersion()
		if asked[v] {
			continue
		}
		asked[v] = true
		group.Go(func() error {
			ctx, end := s.rest.Turn(ctx)
			defer end()
			resources, err := s.resources(ctx, v)
			if apierrors.IsNotFound(err) {
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			for _, r := range resources {
				if _, again := served[v.WithKind(r.Kind)]; !again && !strings.Contains(r.Name, "/") { // a subresource
					served[v.WithKind(r.Kind)] = kind{resource: r.Name, namespaced: r.Namespaced, served: true}
				}
			}
			return err
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
	var targets []target
	var nowhere unknown
	for i, o := range objects {
		if k, ok := served[o.GroupVersionKind]; ok {
			targets = append(targets, target{o, i, k})
		} else {
			nowhere = append(nowhere, o)
		}
	}
	slices.SortStableFunc(targets, func(a, b target) int { return int(a.stage()) - int(b.stage()) })
	return targets, nowhere, nil
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

// String names the objects.
func (u unknown) String() string {
	texts := make([]string, 0, len(u))
	for _, o := range u {
		texts = append(texts, fmt.Sprintf("kind %s in %s (%s, name %s)", o.Kind, o.GroupVersion(), o.place, o.Name))
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
