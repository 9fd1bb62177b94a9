// Package manifest reads Kubernetes objects from kustomizations and files, and applies them to a cluster or deletes
// them from it: as much of kubectl as the local world needs.
package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// FromKustomization builds the kustomization in a directory.
func FromKustomization(dir string) ([]*unstructured.Unstructured, error) {
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		return nil, fmt.Errorf("build the kustomization in %s: %w", dir, err)
	}
	content, err := resources.AsYaml()
	if err != nil {
		return nil, fmt.Errorf("write what the kustomization in %s builds: %w", dir, err)
	}
	objects, err := parse(content)
	if err != nil {
		return nil, fmt.Errorf("read what the kustomization in %s builds: %w", dir, err)
	}
	return objects, nil
}

// FromFile reads the objects in a file of YAML or JSON documents, each an object or a list of them.
func FromFile(name string) ([]*unstructured.Unstructured, error) {
	content, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read a manifest: %w", err)
	}
	objects, err := parse(content)
	if err != nil {
		return nil, fmt.Errorf("read the manifest %s: %w", name, err)
	}
	return objects, nil
}

// Ordered puts namespaces before what may be in them, and changes no other order.
func Ordered(objects []*unstructured.Unstructured) []*unstructured.Unstructured {
	ordered := slices.Clone(objects)
	slices.SortStableFunc(ordered, func(a, b *unstructured.Unstructured) int {
		return rank(a) - rank(b)
	})
	return ordered
}

func rank(object *unstructured.Unstructured) int {
	if kind := object.GroupVersionKind(); kind.Group == "" && kind.Kind == "Namespace" {
		return 0
	}
	return 1
}

func parse(content []byte) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), 4096)
	for {
		var document map[string]any
		err := decoder.Decode(&document)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, err
		}
		if len(document) == 0 {
			continue // nothing, or a comment, between two separators
		}
		object := &unstructured.Unstructured{Object: document}
		if object.GetKind() == "" || object.GetAPIVersion() == "" {
			return nil, fmt.Errorf("document %d is no Kubernetes object: it needs apiVersion and kind", len(objects)+1)
		}
		if !object.IsList() {
			objects = append(objects, object)
			continue
		}
		if err := object.EachListItem(func(item runtime.Object) error {
			objects = append(objects, item.(*unstructured.Unstructured))
			return nil
		}); err != nil {
			return nil, err
		}
	}
}
