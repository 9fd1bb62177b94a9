// Command schema writes the JSON Schemas of each workflow's input and output, from
// the Go types and their comments.
//
//	go run ./statemachine/schema
package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/workflow"
	"github.com/kubestep/kubestep/internal/workflows"
	"github.com/kubestep/kubestep/statemachine/comments"
)

const (
	// folder is where the schemas are, from the repository's root.
	folder = "statemachine/schema"
	draft  = "https://json-schema.org/draft/2020-12/schema"
)

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

// generator makes schemas of types, of their comments and of what neither says of a field.
type generator struct {
	comments.Comments
	bounds map[string]map[string]any
}

// generate makes the schemas, by file name, of the sources below root.
func generate(root string) (map[string][]byte, error) {
	said, err := comments.Read(root)
	if err != nil {
		return nil, err
	}
	g := generator{said, map[string]map[string]any{"contract.Target.ClusterName": {"pattern": "^[0-9A-Za-z][0-9A-Za-z_-]{0,99}$"}}}
	schemas := map[string][]byte{}
	for _, w := range workflows.All() {
		maps.Copy(g.bounds, w.Bounds)
		for kind, s := range map[string]schema{"input": g.input(w), "output": g.output(w)} {
			text, err := json.MarshalIndent(s, "", "  ")
			if err != nil {
				return nil, fmt.Errorf("write the %s of %s: %w", kind, w.Name, err)
			}
			schemas[w.Name+"."+kind+".schema.json"] = append(text, '\n')
		}
	}
	return schemas, nil
}

func (g generator) input(w workflow.Workflow) schema {
	input := g.object(w.Request)
	input["$schema"], input["title"] = draft, "Input of an execution of "+w.Name
	input["description"] = "Every member is optional, except the cluster's name if the stack has no default. Null counts as left out."
	properties := input["properties"].(schema)
	if w.OnOneCluster() {
		delete(input, "required")
		maps.Copy(properties, g.object(reflect.TypeFor[contract.Target]())["properties"].(schema))
	} else {
		input["description"] = "Every member but " + strings.Join(input["required"].([]string), " and ") + " is optional. Null counts as left out."
	}
	for _, property := range properties {
		optional(property.(schema))
	}
	// Step Functions adds such keys if another execution starts this one.
	input["patternProperties"] = schema{"^AWS_STEP_FUNCTIONS_": schema{}}
	return input
}

func (g generator) output(w workflow.Workflow) schema {
	output := g.object(w.Output)
	output["$schema"], output["title"] = draft, "Output of an execution of "+w.Name+" that succeeded"
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

// of is the schema of a type.
func (g generator) of(t reflect.Type) schema {
	if t == reflect.TypeFor[json.RawMessage]() {
		return schema{"type": "object"}
	}
	if t == reflect.TypeFor[time.Time]() {
		return schema{"type": "string", "format": "date-time"}
	}
	switch t.Kind() {
	case reflect.Pointer:
		s := g.of(t.Elem())
		optional(s)
		return s
	case reflect.Struct:
		return g.object(t)
	case reflect.Slice:
		return schema{"type": "array", "items": g.of(t.Elem())}
	case reflect.Map:
		return schema{"type": "object", "additionalProperties": g.of(t.Elem())}
	case reflect.Bool:
		return schema{"type": "boolean"}
	case reflect.Int:
		return schema{"type": "integer", "minimum": 0}
	case reflect.Float64:
		return schema{"type": "number", "minimum": 0}
	case reflect.String:
		s := schema{"type": "string"}
		if values := g.Values[t.String()]; len(values) > 0 {
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
func (g generator) object(t reflect.Type) schema {
	properties, required := schema{}, []string{}
	for _, field := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if field.Anonymous || name == "" || name == "-" {
			continue
		}
		property := g.of(field.Type)
		key := t.String() + "." + field.Name
		if comment := g.Fields[key]; comment != "" {
			property["description"] = comment
		}
		for bound, value := range g.bounds[key] {
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
