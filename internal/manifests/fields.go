package manifests

import (
	"maps"
	"slices"
	"strings"

	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/value"
)

// This file finds, sets and removes fields by the paths that managedFields have.
// Objects are JSON, without a schema, and are not changed: what changes is copied.

// find returns the field at a path.
func find(object any, path fieldpath.Path) (any, bool) {
	for _, element := range path {
		var ok bool
		if object, ok = child(object, element); !ok {
			return nil, false
		}
	}
	return object, true
}

// child returns the field of a map, or the item of a list.
func child(parent any, element fieldpath.PathElement) (any, bool) {
	switch of := parent.(type) {
	case map[string]any:
		if element.FieldName == nil {
			return nil, false
		}
		field, ok := of[*element.FieldName]
		return field, ok
	case []any:
		if i := item(of, element); i >= 0 {
			return of[i], true
		}
	}
	return nil, false
}

// item returns the index of the item that a path element selects, or -1.
func item(list []any, element fieldpath.PathElement) int {
	switch {
	case element.Key != nil:
		return slices.IndexFunc(list, func(one any) bool {
			fields, ok := one.(map[string]any)
			return ok && !slices.ContainsFunc(*element.Key, func(key value.Field) bool {
				field, ok := fields[key.Name]
				return !ok || !value.Equals(value.NewValueInterface(field), key.Value)
			})
		})
	case element.Value != nil:
		return slices.IndexFunc(list, func(one any) bool { return value.Equals(value.NewValueInterface(one), *element.Value) })
	case element.Index != nil && *element.Index < len(list):
		return *element.Index
	default:
		return -1
	}
}

// set returns the object with a field that is there replaced.
func set(object any, path fieldpath.Path, to any) any {
	if len(path) == 0 {
		return to
	}
	switch of := object.(type) {
	case map[string]any:
		of = maps.Clone(of)
		name := *path[0].FieldName
		of[name] = set(of[name], path[1:], to)
		return of
	case []any:
		of = slices.Clone(of)
		i := item(of, path[0])
		of[i] = set(of[i], path[1:], to)
		return of
	}
	return object
}

// remove returns the object without the fields in gone, as the API server removes what
// a manager applied before and applies no longer: an item or a map with all that is in
// it, unless it is a field in which kept has something.
// https://github.com/kubernetes-sigs/structured-merge-diff/blob/v6.4.2/merge/update.go, prune
func remove(object any, gone, kept *fieldpath.Set) any {
	switch of := object.(type) {
	case map[string]any:
		left := map[string]any{}
		for name, field := range of {
			element := fieldpath.FieldNameElement(name)
			below := gone.WithPrefix(element)
			stays := kept.Members.Has(element) || !kept.WithPrefix(element).Empty()
			if !stays && (gone.Members.Has(element) || !below.Empty()) {
				continue
			}
			left[name] = remove(field, below, kept.WithPrefix(element))
		}
		if len(left) == 0 && len(of) > 0 {
			return nil
		}
		return left
	case []any:
		elements := map[int]fieldpath.PathElement{}
		for _, all := range []func(func(fieldpath.PathElement)){gone.Members.Iterate, gone.Children.Iterate} {
			all(func(element fieldpath.PathElement) {
				if i := item(of, element); i >= 0 {
					elements[i] = element
				}
			})
		}
		var left []any
		for i, one := range of {
			element, named := elements[i]
			switch {
			case !named:
				left = append(left, one)
			case !gone.Members.Has(element):
				left = append(left, remove(one, gone.WithPrefix(element), kept.WithPrefix(element)))
			}
		}
		if len(left) == 0 && len(of) > 0 {
			return nil
		}
		return left
	}
	return object
}

// topmost are the paths of a set that are below no other one and that the filter lets
// pass, as text.
func topmost(of *fieldpath.Set, filter func(fieldpath.Path) bool) []string {
	var texts []string
	of.Iterate(func(path fieldpath.Path) {
		for i := range path[:len(path)-1] {
			if of.Has(path[:i+1]) && filter(path[:i+1]) {
				return
			}
		}
		if filter(path) {
			texts = append(texts, strings.TrimPrefix(path.String(), "."))
		}
	})
	return texts
}
