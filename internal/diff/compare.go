// Package diff compares objects, and words their differences for a person. It shows no value
// of a Secret, and nothing of the copy that kubectl keeps of an object.
package diff

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/kube"
)

// Change is one difference between the object in the cluster and what applying
// would make of it.
type Change struct {
	path     string
	old, new any // nil where the field is missing
	beside   beside
}

// beside are texts that may say what a value is, before and after: the name or the key in the
// same map, as of an environment variable, or the item before it, as a flag.
type beside [4]any

// String is the change without its values: "+" for a new field, "-" for one that
// goes, "~" for one that changes.
func (c Change) String() string {
	switch {
	case c.old == nil:
		return "+" + c.path
	case c.new == nil:
		return "-" + c.path
	default:
		return "~" + c.path
	}
}

// hidden takes the place of a value that must not be shown.
const hidden = "(hidden)"

// Rules say what of two objects is compared and shown.
type Rules struct {
	// StatusIsApart leaves the status out, because it is a subresource: then it is the
	// controllers', and applying changes nothing in it.
	StatusIsApart bool
	// Secret hides the values of a Secret.
	Secret bool
	// WithoutCopy leaves out the copy that kubectl keeps, because it goes with the ownership
	// of the fields.
	WithoutCopy bool
}

// Compare returns what applying would change. What the API server counts and keeps for
// itself is left out.
func Compare(live, next map[string]any, rules Rules) []Change {
	if rules.WithoutCopy {
		live, next = withoutCopy(live), withoutCopy(next)
	}
	var changes []Change
	diff("", strip(live, rules.StatusIsApart), strip(next, rules.StatusIsApart), beside{}, func(c Change) {
		changes = append(changes, c.conceal(rules.Secret))
	})
	return changes
}

// Sum is the same for the same changes: it is made of the path of each, and of its values, those
// of a Secret too. Whoever passes it on uses a keyed hash.
func Sum(to io.Writer, live, next map[string]any, rules Rules) error {
	if rules.WithoutCopy {
		live, next = withoutCopy(live), withoutCopy(next)
	}
	encoder := json.NewEncoder(to) // maps in the order of their keys
	var failed error
	diff("", strip(live, rules.StatusIsApart), strip(next, rules.StatusIsApart), beside{}, func(c Change) {
		if err := encoder.Encode([]any{c.path, c.old, c.new}); err != nil && failed == nil {
			failed = err
		}
	})
	return failed
}

// conceal hides what must not be shown: the values of a Secret, and of its annotations,
// in which kubectl, kapp and others keep the object as it was applied.
func (c Change) conceal(secret bool) Change {
	if c.path == join("metadata.annotations", kube.LastApplied) || secret && (inField(c.path, "data") || inField(c.path, "stringData") || inField(c.path, "metadata.annotations")) {
		c.old, c.new = conceal(c.old), conceal(c.new)
		return c
	}
	if secret && c.path == "metadata" {
		c.old, c.new = withoutAnnotations(c.old), withoutAnnotations(c.new)
	}
	c.old, c.new = withoutLastApplied(c.old), withoutLastApplied(c.new)
	return c
}

// conceal is hidden for whatever is there.
func conceal(value any) any {
	if value == nil {
		return nil
	}
	return hidden
}

// withoutAnnotations hides the annotations of metadata.
func withoutAnnotations(metadata any) any {
	fields, ok := metadata.(map[string]any)
	if !ok || fields["annotations"] == nil {
		return metadata
	}
	fields = maps.Clone(fields)
	fields["annotations"] = hidden
	return fields
}

func inField(path, field string) bool {
	return path == field || strings.HasPrefix(path, field+".") || strings.HasPrefix(path, field+"[")
}

// withoutLastApplied hides the copy in a value that has it somewhere inside. Only what
// has one is copied: a value may be megabytes.
func withoutLastApplied(value any) any {
	switch v := value.(type) {
	case map[string]any:
		var clean map[string]any
		for key, field := range v {
			seen := withoutLastApplied(field)
			if key == kube.LastApplied {
				seen = hidden
			}
			if !same(seen, field) {
				if clean == nil {
					clean = maps.Clone(v)
				}
				clean[key] = seen
			}
		}
		if clean != nil {
			return clean
		}
	case []any:
		var clean []any
		for i, item := range v {
			if seen := withoutLastApplied(item); !same(seen, item) {
				if clean == nil {
					clean = slices.Clone(v)
				}
				clean[i] = seen
			}
		}
		if clean != nil {
			return clean
		}
	}
	return value
}

// same reports whether a value is the other itself, not a copy.
func same(a, b any) bool {
	v, w := reflect.ValueOf(a), reflect.ValueOf(b)
	if !v.IsValid() || !w.IsValid() || v.Type() != w.Type() {
		return v.IsValid() == w.IsValid() && !v.IsValid()
	}
	switch v.Kind() {
	case reflect.Map, reflect.Slice:
		return v.Pointer() == w.Pointer()
	default:
		return a == b
	}
}

// strip leaves out what every write changes, and the status if it is apart.
func strip(object map[string]any, statusIsApart bool) map[string]any {
	object = maps.Clone(object)
	if statusIsApart {
		delete(object, "status")
	}
	if metadata, ok := object["metadata"].(map[string]any); ok {
		metadata = maps.Clone(metadata)
		for _, field := range []string{"managedFields", "resourceVersion", "generation", "uid", "creationTimestamp"} {
			delete(metadata, field)
		}
		object["metadata"] = metadata
	}
	return object
}

// withoutCopy leaves out what kubectl applied last, and the annotations if there are no
// others: it says nothing that the object does not.
func withoutCopy(object map[string]any) map[string]any {
	metadata, _ := object["metadata"].(map[string]any)
	annotations, _ := metadata["annotations"].(map[string]any)
	if _, ok := annotations[kube.LastApplied]; !ok {
		return object
	}
	object, metadata, annotations = maps.Clone(object), maps.Clone(metadata), maps.Clone(annotations)
	delete(annotations, kube.LastApplied)
	metadata["annotations"] = annotations
	if len(annotations) == 0 {
		delete(metadata, "annotations")
	}
	object["metadata"] = metadata
	return object
}

// diff reports the differences in the order of their paths.
func diff(path string, old, next any, of beside, report func(Change)) {
	switch o := old.(type) {
	case map[string]any:
		if n, ok := next.(map[string]any); ok {
			diffMaps(path, o, n, report)
			return
		}
	case []any:
		if n, ok := next.([]any); ok {
			diffLists(path, o, n, report)
			return
		}
	}
	if !reflect.DeepEqual(old, next) {
		report(Change{path, old, next, of})
	}
}

func diffMaps(path string, old, next map[string]any, report func(Change)) {
	keys := slices.Collect(maps.Keys(old))
	for key := range next {
		if _, both := old[key]; !both {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	of := beside{old["name"], old["key"], next["name"], next["key"]}
	for _, key := range keys {
		diff(join(path, key), old[key], next[key], of, report)
	}
}

// diffLists compares items by their name where each has one, as containers do,
// and else by their position.
func diffLists(path string, old, next []any, report func(Change)) {
	oldNames, oldAt, ok := itemNames(old)
	nextNames, nextAt, both := itemNames(next)
	if !ok || !both {
		for i := range max(len(old), len(next)) {
			var of beside
			o, n := itemAt(old, i), itemAt(next, i)
			of[0], _ = itemAt(old, i-1).(string)
			of[1], _ = itemAt(next, i-1).(string)
			at := path
			if len(path) <= maxFullPath {
				at += "[" + strconv.Itoa(i) + "]"
			}
			diff(at, o, n, of, report)
		}
		return
	}
	for i, name := range oldNames {
		var now any
		if j, still := nextAt[name]; still {
			now = next[j]
		}
		diff(named(path, name), old[i], now, beside{}, report)
	}
	for i, name := range nextNames {
		if _, was := oldAt[name]; !was {
			report(Change{path: named(path, name), new: next[i]})
		}
	}
	kept := func(names []string, among map[string]int) []string {
		return slices.DeleteFunc(slices.Clone(names), func(name string) bool { _, ok := among[name]; return !ok })
	}
	if o, n := kept(oldNames, nextAt), kept(nextNames, oldAt); !slices.Equal(o, n) {
		report(Change{path: path + " (order)", old: strings.Join(o, " "), new: strings.Join(n, " ")})
	}
}

// itemAt is an item of a list; nil if it has none there.
func itemAt(items []any, i int) any {
	if i < 0 || i >= len(items) {
		return nil
	}
	return items[i]
}

// itemNames are the names of all items, and where each is; ok is false if one has none,
// or the name of another.
func itemNames(items []any) (names []string, at map[string]int, ok bool) {
	if len(items) == 0 {
		return nil, nil, true
	}
	if fields, _ := items[0].(map[string]any); fields["name"] == nil {
		return nil, nil, false
	}
	names, at = make([]string, 0, len(items)), make(map[string]int, len(items))
	for i, item := range items {
		fields, _ := item.(map[string]any)
		name, ok := fields["name"].(string)
		if _, again := at[name]; !ok || again {
			return nil, nil, false
		}
		names, at[name] = append(names, name), i
	}
	return names, at, true
}

// maxFullPath bounds a path, and each name in it, in bytes. The paths of an object that
// is nested in ten thousand levels would take more than the function has.
const maxFullPath = 1 << 10

func named(path, name string) string {
	if len(path) > maxFullPath {
		return path
	}
	return fmt.Sprintf("%s[name=%s]", path, contract.Clip(name, maxFullPath))
}

func join(path, key string) string {
	key = contract.Clip(key, maxFullPath)
	switch {
	case len(path) > maxFullPath:
		return path
	case strings.ContainsAny(key, ".[] ") || key == "":
		return fmt.Sprintf("%s[%s]", path, key)
	case path == "":
		return key
	default:
		return path + "." + key
	}
}
