package objects

import (
	"strings"

	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// This file finds, sets and removes fields by the paths that managedFields have.
// Objects are JSON, without a schema.

// finder finds items in lists. It indexes a list when it looks into it first: an object
// may have tens of thousands of items, and its managers a path for each.
type finder struct {
	lists map[*any]map[string]map[string]int // by the first item: by the names of keys, by their values
}

func newFinder() finder { return finder{map[*any]map[string]map[string]int{}} }

// find returns the field at a path.
func (f finder) find(object any, path fieldpath.Path) (any, bool) {
	for _, element := range path {
		switch of := object.(type) {
		case map[string]any:
			if element.FieldName == nil {
				return nil, false
			}
			field, ok := of[*element.FieldName]
			if !ok {
				return nil, false
			}
			object = field
		case []any:
			i := f.item(of, element)
			if i < 0 {
				return nil, false
			}
			object = of[i]
		default:
			return nil, false
		}
	}
	return object, true
}

// set replaces a field that is there, in the object itself.
func (f finder) set(object any, path fieldpath.Path, to any) {
	last := len(path) - 1
	parent, _ := f.find(object, path[:last])
	switch of := parent.(type) {
	case map[string]any:
		of[*path[last].FieldName] = to
	case []any:
		of[f.item(of, path[last])] = to
	}
}

// item returns the index of the item that a path element selects, or -1.
func (f finder) item(list []any, element fieldpath.PathElement) int {
	if len(list) == 0 {
		return -1
	}
	var names []string
	var values []any
	switch {
	case element.Key != nil:
		for _, key := range *element.Key {
			names, values = append(names, key.Name), append(values, key.Value.Unstructured())
		}
	case element.Value != nil:
		values = []any{(*element.Value).Unstructured()}
	case element.Index != nil && *element.Index < len(list):
		return *element.Index
	default:
		return -1
	}
	by := strings.Join(names, " ")
	if f.lists[&list[0]] == nil {
		f.lists[&list[0]] = map[string]map[string]int{}
	}
	index := f.lists[&list[0]][by]
	if index == nil {
		index = make(map[string]int, len(list))
		for i, one := range list {
			if text, ok := identity(one, names); ok {
				index[text] = i
			}
		}
		f.lists[&list[0]][by] = index
	}
	if i, ok := index[string(encoded(values))]; ok {
		return i
	}
	return -1
}

// identity is what tells an item from the others of its list: the values of its keys or,
// without keys, the item itself.
func identity(item any, keys []string) (text string, ok bool) {
	if len(keys) == 0 {
		return string(encoded([]any{item})), true
	}
	fields, ok := item.(map[string]any)
	if !ok {
		return "", false
	}
	values := make([]any, len(keys))
	for i, key := range keys {
		if values[i], ok = fields[key]; !ok {
			return "", false
		}
	}
	return string(encoded(values)), true
}

// remove returns a copy of the object without the fields in gone, as the API server removes what
// a manager applied before and applies no longer: an item or a map with all that is in
// it, unless it is a field in which kept has something.
// https://github.com/kubernetes-sigs/structured-merge-diff/blob/v6.4.2/merge/update.go, prune
func (f finder) remove(object any, gone, kept *fieldpath.Set) any {
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
			left[name] = f.remove(field, below, kept.WithPrefix(element))
		}
		if len(left) == 0 && len(of) > 0 {
			return nil
		}
		return left
	case []any:
		elements := map[int]fieldpath.PathElement{}
		for _, all := range []func(func(fieldpath.PathElement)){gone.Members.Iterate, gone.Children.Iterate} {
			all(func(element fieldpath.PathElement) {
				if i := f.item(of, element); i >= 0 {
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
				left = append(left, f.remove(one, gone.WithPrefix(element), kept.WithPrefix(element)))
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
