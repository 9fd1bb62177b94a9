// Command schema writes the JSON Schemas of each workflow's input and output, from
// the Go types and their comments.
//
//	go run ./statemachine/schema
package main

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/internal/contract/podinventory"
	"github.com/kubestep/kubestep/internal/pods"
)

const (
	// folder is where the schemas are, from the repository's root.
	folder = "statemachine/schema"
	draft  = "https://json-schema.org/draft/2020-12/schema"
)

// sources are the packages that the types are in, from the repository's root.
var sources = []string{"internal/contract", "internal/contract/applymanifests", "internal/contract/fleet", "internal/contract/podinventory"}

// workflow is what the schemas of one are made of. Its input is the target, unless it
// works on many clusters, and the request.
type workflow struct {
	name            string
	request, output reflect.Type
	many            bool
}

var workflows = []workflow{
	{name: "apply-manifests", request: reflect.TypeFor[applymanifests.Request](), output: reflect.TypeFor[applymanifests.Output]()},
	{name: "pod-inventory", request: reflect.TypeFor[podinventory.Request](), output: reflect.TypeFor[podinventory.Output]()},
	{name: "fleet", request: reflect.TypeFor[fleet.Input](), output: reflect.TypeFor[fleet.Output](), many: true},
}

func main() {
	schemas, err := generate(".")
	for name, text := range schemas {
		if err == nil {
			err = os.WriteFile(filepath.Join(folder, name), text, 0o644) //nolint:gosec // anybody may read it
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "schema:", err)
		os.Exit(1)
	}
}

// schema is a JSON Schema, as far as it is needed.
type schema map[string]any

// generate makes the schemas, by file name, of the sources below root.
func generate(root string) (map[string][]byte, error) {
	said, err := read(root)
	if err != nil {
		return nil, err
	}
	schemas := map[string][]byte{}
	for _, w := range workflows {
		for kind, s := range map[string]schema{"input": said.input(w), "output": said.output(w)} {
			text, err := json.MarshalIndent(s, "", "  ")
			if err != nil {
				return nil, fmt.Errorf("write the %s of %s: %w", kind, w.name, err)
			}
			schemas[w.name+"."+kind+".schema.json"] = append(text, '\n')
		}
	}
	return schemas, nil
}

func (c comments) input(w workflow) schema {
	input := c.object(w.request)
	input["$schema"], input["title"] = draft, "Input of an execution of "+w.name
	input["description"] = "Every member is optional, except the cluster's name if the stack has no default. Null counts as left out."
	properties := input["properties"].(schema)
	if w.many {
		input["description"] = "Every member but workflow is optional. Null counts as left out."
	} else {
		delete(input, "required")
		maps.Copy(properties, c.object(reflect.TypeFor[contract.Target]())["properties"].(schema))
	}
	for _, property := range properties {
		optional(property.(schema))
	}
	// Step Functions adds such keys if another execution starts this one.
	input["patternProperties"] = schema{"^AWS_STEP_FUNCTIONS_": schema{}}
	return input
}

func (c comments) output(w workflow) schema {
	output := c.object(w.output)
	output["$schema"], output["title"] = draft, "Output of an execution of "+w.name+" that succeeded"
	return output
}

// optional lets a property be null.
func optional(s schema) {
	if kind, ok := s["type"].(string); ok {
		s["type"] = []string{kind, "null"}
	}
	if values, ok := s["enum"].([]any); ok {
		s["enum"] = append(values, nil)
	}
}

// bounds are what a type does not say of a field.
var bounds = map[string]schema{
	"contract.Target.ClusterName":        {"pattern": "^[0-9A-Za-z][0-9A-Za-z_-]{0,99}$"},
	"podinventory.Request.Namespaces":    {"minItems": 1, "maxItems": pods.MaxNamespaces, "uniqueItems": true},
	"podinventory.Request.LabelSelector": {"maxLength": 4096},
	"podinventory.Request.FieldSelector": {"maxLength": 4096},
	"podinventory.Request.MaxItems":      {"maximum": pods.MaxMaxItems},

	"applymanifests.Request.Manifests":   {"type": []string{"string", "array", "null"}},
	"applymanifests.Wait.TimeoutSeconds": {"minimum": 1, "maximum": applymanifests.MaxWaitSeconds},
	"fleet.Input.Name":                   {"pattern": "^[0-9A-Za-z_-]{1,80}$"},
	"fleet.Input.Concurrency":            {"minimum": 1, "maximum": 1000},
	"fleet.Input.Clusters": {"minItems": 1, "maxItems": fleet.MaxClusters, "items": schema{"anyOf": []any{
		schema{"type": "string"},
		schema{"type": "object", "required": []string{"clusterName"}, "additionalProperties": false, "properties": schema{
			"clusterName": schema{"type": "string"}, "region": schema{"type": []string{"string", "null"}}, "roleArn": schema{"type": []string{"string", "null"}},
		}},
	}}},
	"fleet.ToleratedFailures.Percentage": {"maximum": 100},
}

// comments are the comments and constants of the sources.
type comments struct {
	fields map[string]string   // by package.Type.Field
	values map[string][]string // of the constants of a type, by package.Type
}

// read reads the sources.
func read(root string) (comments, error) {
	c := comments{fields: map[string]string{}, values: map[string][]string{}}
	for _, source := range sources {
		files, err := filepath.Glob(filepath.Join(root, source, "*.go"))
		if err != nil || len(files) == 0 {
			return c, fmt.Errorf("there is no Go package in %s", source)
		}
		for _, file := range files {
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
			if err != nil {
				return c, fmt.Errorf("read %s: %w", source, err)
			}
			for _, declaration := range parsed.Decls {
				if general, ok := declaration.(*ast.GenDecl); ok {
					for _, spec := range general.Specs {
						c.add(parsed.Name.Name+".", spec)
					}
				}
			}
		}
	}
	return c, nil
}

func (c comments) add(of string, spec ast.Spec) {
	switch spec := spec.(type) {
	case *ast.TypeSpec:
		if structure, ok := spec.Type.(*ast.StructType); ok {
			for _, field := range structure.Fields.List {
				for _, name := range field.Names {
					c.fields[of+spec.Name.Name+"."+name.Name] = sentence(field.Doc.Text())
				}
			}
		}
	case *ast.ValueSpec:
		kind, named := spec.Type.(*ast.Ident)
		for _, value := range spec.Values {
			literal, ok := value.(*ast.BasicLit)
			if !named || !ok || literal.Kind != token.STRING {
				continue
			}
			if text, err := strconv.Unquote(literal.Value); err == nil {
				c.values[of+kind.Name] = append(c.values[of+kind.Name], text)
			}
		}
	}
}

// sentence is a comment on one line.
func sentence(comment string) string { return strings.Join(strings.Fields(comment), " ") }

// of is the schema of a type.
func (c comments) of(t reflect.Type) schema {
	if t == reflect.TypeFor[json.RawMessage]() {
		return schema{"type": "object"}
	}
	if t == reflect.TypeFor[time.Time]() {
		return schema{"type": "string", "format": "date-time"}
	}
	switch t.Kind() {
	case reflect.Pointer:
		s := c.of(t.Elem())
		optional(s)
		return s
	case reflect.Struct:
		return c.object(t)
	case reflect.Slice:
		if t == reflect.TypeFor[json.RawMessage]() {
			return schema{} // anything
		}
		return schema{"type": "array", "items": c.of(t.Elem())}
	case reflect.Map:
		return schema{"type": "object", "additionalProperties": c.of(t.Elem())}
	case reflect.Bool:
		return schema{"type": "boolean"}
	case reflect.Int:
		return schema{"type": "integer", "minimum": 0}
	case reflect.Float64:
		return schema{"type": "number", "minimum": 0}
	case reflect.String:
		s := schema{"type": "string"}
		if values := c.values[t.String()]; len(values) > 0 {
			all := make([]any, len(values))
			for i, value := range values {
				all[i] = value
			}
			s["enum"] = all
		}
		return s
	default:
		panic(fmt.Sprintf("the contract has a %s, which has no schema here", t))
	}
}

// object is the schema of a struct: every field, and no other.
func (c comments) object(t reflect.Type) schema {
	properties, required := schema{}, []string{}
	for _, field := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if field.Anonymous || name == "" || name == "-" {
			continue
		}
		property := c.of(field.Type)
		key := t.String() + "." + field.Name
		if comment := c.fields[key]; comment != "" {
			property["description"] = comment
		}
		for bound, value := range bounds[key] {
			property[bound] = value
		}
		properties[name] = property
		if !strings.Contains(field.Tag.Get("json"), "omitempty") && !strings.Contains(field.Tag.Get("json"), "omitzero") {
			required = append(required, name)
		}
	}
	slices.Sort(required)
	return schema{"type": "object", "properties": properties, "required": required, "additionalProperties": false}
}
