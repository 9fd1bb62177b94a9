package manifests

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// change is one difference between the object in the cluster and what applying
// would make of it.
type change struct {
	path     string
	old, new any // nil where the field is missing
}

// String is the change without its values: "+" for a new field, "-" for one that
// goes, "~" for one that changes.
func (c change) String() string {
	switch {
	case c.old == nil:
		return "+" + c.path
	case c.new == nil:
		return "-" + c.path
	default:
		return "~" + c.path
	}
}

// lastApplied is where `kubectl apply` without --server-side keeps a copy of the
// whole object, Secrets too.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// hidden takes the place of a value that must not be shown.
const hidden = "(hidden)"

// compare returns what applying would change. What the API server counts and
// keeps for itself is left out, and so is the status if it is a subresource: then it is
// the controllers', and applying changes nothing in it.
func compare(live, next map[string]any, statusIsApart, secret bool) []change {
	var changes []change
	diff("", strip(live, statusIsApart), strip(next, statusIsApart), func(c change) {
		changes = append(changes, c.conceal(secret))
	})
	return changes
}

// conceal hides what must not be shown.
func (c change) conceal(secret bool) change {
	if secret && (inField(c.path, "data") || inField(c.path, "stringData")) || c.path == join("metadata.annotations", lastApplied) {
		if c.old != nil {
			c.old = hidden
		}
		if c.new != nil {
			c.new = hidden
		}
		return c
	}
	c.old, c.new = withoutLastApplied(c.old), withoutLastApplied(c.new)
	return c
}

func inField(path, field string) bool {
	return path == field || strings.HasPrefix(path, field+".") || strings.HasPrefix(path, field+"[")
}

// withoutLastApplied hides the copy in a value that has it somewhere inside.
func withoutLastApplied(value any) any {
	fields, ok := value.(map[string]any)
	if !ok {
		return value
	}
	clean := make(map[string]any, len(fields))
	for key, field := range fields {
		if key == lastApplied {
			field = hidden
		}
		clean[key] = withoutLastApplied(field)
	}
	return clean
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
// others: that goes with the ownership, and says nothing that the object does not.
func withoutCopy(object map[string]any) map[string]any {
	metadata, _ := object["metadata"].(map[string]any)
	annotations, _ := metadata["annotations"].(map[string]any)
	if _, ok := annotations[lastApplied]; !ok {
		return object
	}
	object, metadata, annotations = maps.Clone(object), maps.Clone(metadata), maps.Clone(annotations)
	delete(annotations, lastApplied)
	metadata["annotations"] = annotations
	if len(annotations) == 0 {
		delete(metadata, "annotations")
	}
	object["metadata"] = metadata
	return object
}

// diff reports the differences in the order of their paths.
func diff(path string, old, next any, report func(change)) {
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
		report(change{path, old, next})
	}
}

func diffMaps(path string, old, next map[string]any, report func(change)) {
	keys := slices.Collect(maps.Keys(old))
	for key := range next {
		if _, both := old[key]; !both {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	for _, key := range keys {
		diff(join(path, key), old[key], next[key], report)
	}
}

// diffLists compares items by their name where each has one, as containers do,
// and else by their position.
func diffLists(path string, old, next []any, report func(change)) {
	oldNames, ok := itemNames(old)
	nextNames, both := itemNames(next)
	if !ok || !both {
		for i := range max(len(old), len(next)) {
			var o, n any
			if i < len(old) {
				o = old[i]
			}
			if i < len(next) {
				n = next[i]
			}
			diff(fmt.Sprintf("%s[%d]", path, i), o, n, report)
		}
		return
	}
	named := func(items []any, names []string, name string) any {
		if i := slices.Index(names, name); i >= 0 {
			return items[i]
		}
		return nil
	}
	for _, name := range oldNames {
		diff(fmt.Sprintf("%s[name=%s]", path, name), named(old, oldNames, name), named(next, nextNames, name), report)
	}
	for i, name := range nextNames {
		if !slices.Contains(oldNames, name) {
			report(change{fmt.Sprintf("%s[name=%s]", path, name), nil, next[i]})
		}
	}
	kept := func(names, among []string) []string {
		return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !slices.Contains(among, name) })
	}
	if o, n := kept(oldNames, nextNames), kept(nextNames, oldNames); !slices.Equal(o, n) {
		report(change{path + " (order)", strings.Join(o, " "), strings.Join(n, " ")})
	}
}

func itemNames(items []any) ([]string, bool) {
	names := make([]string, 0, len(items))
	for _, item := range items {
		fields, _ := item.(map[string]any)
		name, ok := fields["name"].(string)
		if !ok || slices.Contains(names, name) {
			return nil, false
		}
		names = append(names, name)
	}
	return names, true
}

func join(path, key string) string {
	switch {
	case strings.ContainsAny(key, ".[] ") || key == "":
		return fmt.Sprintf("%s[%s]", path, key)
	case path == "":
		return key
	default:
		return path + "." + key
	}
}

// owned is what a field manager owns of an object, as the API server keeps it;
// empty if that is nothing.
func owned(object map[string]any, manager string) string {
	metadata, _ := object["metadata"].(map[string]any)
	entries, _ := metadata["managedFields"].([]any)
	for _, e := range entries {
		entry, _ := e.(map[string]any)
		if entry["manager"] == manager && entry["operation"] == "Apply" && entry["subresource"] == nil {
			fields, _ := json.Marshal(entry["fieldsV1"]) // it was JSON before
			return fmt.Sprint(entry["apiVersion"], string(fields))
		}
	}
	return ""
}
