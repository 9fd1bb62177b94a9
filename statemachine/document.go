package statemachine

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"strings"
	"time"
)

// document is the type of the document that a state reads, and of the one that it leaves.
// They are the same but for a state that comes after a Map, which puts results in the
// place of its items.
type document struct{ reads, leaves reflect.Type }

func documentOf[T any]() document {
	t := reflect.TypeFor[T]()
	return document{t, t}
}

// copied is a payload template for a value of a type, out of the document. A machine that
// cannot be made of its types is a mistake in a Go file, so it panics.
func (d document) copied(to reflect.Type, set Object) Object {
	return source{"$", d.reads}.copied(to, set)
}

// source is what paths lead into: a value of a type, at a path.
type source struct {
	path string
	typ  reflect.Type
}

// copied takes each field of a type from the path in its tag or, without one, from the
// field of the source that has its name. A struct that the source has more fields of is
// copied field by field. Fields in set are not copied.
func (s source) copied(to reflect.Type, set Object) Object {
	template := maps.Clone(set)
	if template == nil {
		template = Object{}
	}
	for _, f := range fields(to) {
		if value, ok := set[f.name]; ok {
			if _, isObject := value.(Object); !isObject && reflect.TypeOf(value) != f.Type {
				panic(fmt.Sprintf("%s.%s is a %s, not %v", to, f.name, f.Type, value))
			}
			continue
		}
		if expression, ok := set[f.name+".$"]; ok {
			s.check(fmt.Sprint(expression), f.Type)
			continue
		}
		path := f.Tag.Get("path")
		if path == "" {
			path = s.path + "." + f.name
		}
		switch from := s.at(path); {
		case from == nil, from == f.Type, from == raw, f.Type == raw:
			template[f.name+".$"] = path
		case from.Kind() == reflect.Struct && f.Type.Kind() == reflect.Struct:
			template[f.name] = source{path, from}.copied(f.Type, nil)
		default:
			panic(fmt.Sprintf("%s.%s is a %s, and %s a %s", to, f.name, f.Type, path, from))
		}
	}
	for key := range set {
		mustHave(to, strings.TrimSuffix(key, ".$"))
	}
	return template
}

// raw is JSON that the function itself reads, with any fields.
var raw = reflect.TypeFor[json.RawMessage]()

// contextObject has the types of the fields of the context object that are copied; nil for
// any.
// https://docs.aws.amazon.com/step-functions/latest/dg/input-output-contextobject.html
var contextObject = map[string]reflect.Type{
	"$$.Execution.Id":        reflect.TypeFor[string](),
	"$$.Execution.Input":     raw,
	"$$.Execution.StartTime": reflect.TypeFor[time.Time](),
	"$$.State.RetryCount":    reflect.TypeFor[int](),
	"$$.Task.Token":          reflect.TypeFor[string](),
	"$$.Map.Item.Value":      nil,
}

// at is the type of what a path leads to; nil if it may be any.
func (s source) at(path string) reflect.Type {
	if t, ok := contextObject[path]; ok {
		return t
	}
	rest, ok := strings.CutPrefix(path, s.path)
	if !ok {
		panic(fmt.Sprintf("%s does not begin with %s", path, s.path))
	}
	t := s.typ
	for key := range strings.SplitSeq(strings.TrimPrefix(rest, "."), ".") {
		if key != "" {
			t = mustHave(t, key)
		}
	}
	return t
}

// check holds a path, or a choice of two, to a type, and the paths in another intrinsic function to
// strings of the source: all but the argument of States.JsonToString, which takes anything.
func (s source) check(expression string, to reflect.Type) {
	if plainPath.MatchString(expression) {
		if at := s.at(expression); at != to {
			panic(fmt.Sprintf("%s is a %s, not a %s", expression, at, to))
		}
		return
	}
	if match := choice.FindStringSubmatch(expression); match != nil {
		for i, want := range []reflect.Type{to, reflect.SliceOf(to), reflect.TypeFor[int](), reflect.TypeFor[int]()} {
			if at := s.at(match[i+1]); at != want {
				panic(fmt.Sprintf("%s: %s is a %s, not a %s", expression, match[i+1], at, want))
			}
		}
		return
	}
	for _, match := range paths.FindAllStringSubmatch(expression, -1) {
		if at := s.at(match[2]); match[1] == "" && at.Kind() != reflect.String {
			panic(expression + ": " + match[2] + " is no string")
		}
	}
}

var (
	plainPath = regexp.MustCompile(`^\$[\w.]+$`)
	// choice is one of a value and of an element of a list.
	choice = regexp.MustCompile(`^States\.ArrayGetItem\(States\.Array\((\$[\w.]+), States\.ArrayGetItem\((\$[\w.]+), (\$[\w.]+)\)\), (\$[\w.]+)\)$`)
	paths  = regexp.MustCompile(`(States\.JsonToString\()?(\$[\w.]+)`)
)

// field is a field of a type, by its name in JSON.
type field struct {
	reflect.StructField
	name string
}

// fields are a type's own fields and the fields of the types that it embeds.
func fields(t reflect.Type) []field {
	var all []field
	for _, f := range reflect.VisibleFields(t) {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous || name == "-" {
			continue
		}
		if options != "" {
			panic(fmt.Sprintf("%s.%s may be left out, and a path to nothing is an error that nothing catches", t, name))
		}
		all = append(all, field{f, name})
	}
	return all
}

// mustHave is the type of the field with that name in JSON.
func mustHave(t reflect.Type, name string) reflect.Type {
	for _, f := range reflect.VisibleFields(t) {
		if key, _, _ := strings.Cut(f.Tag.Get("json"), ","); key == name {
			return f.Type
		}
	}
	panic(fmt.Sprintf("%s has no %s", t, name))
}
