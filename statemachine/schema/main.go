// Command schema writes the JSON Schemas of the execution's input and output,
// from the Go types of internal/contract and their comments.
//
//	go run ./statemachine/schema
package main

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/kubestep/kubestep/internal/contract"
)

const (
	// folder is where the schemas are, from the repository's root.
	folder = "statemachine/schema"
	source = "internal/contract"
	draft  = "https://json-schema.org/draft/2020-12/schema"
)

func main() {
	schemas, err := generate(source)
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

// generate makes the schemas, by file name. contractFolder holds the source of the types.
func generate(contractFolder string) (map[string][]byte, error) {
	said, err := read(contractFolder)
	if err != nil {
		return nil, err
	}
	input := said.object(reflect.TypeFor[contract.Request]())
	input["$schema"], input["title"] = draft, "Input of an execution of kubestep's state machine"
	input["description"] = "All is optional, but for the cluster where the stack sets none. What is null counts as left out."
	delete(input, "required")
	for _, property := range input["properties"].(schema) {
		optional(property.(schema))
	}
	// Step Functions adds such keys where another execution starts this one.
	input["patternProperties"] = schema{"^AWS_STEP_FUNCTIONS_": schema{}}

	output := said.object(reflect.TypeFor[contract.Output]())
	output["$schema"], output["title"] = draft, "Output of an execution of kubestep's state machine that succeeded"

	schemas := map[string][]byte{}
	for name, s := range map[string]schema{"input.schema.json": input, "output.schema.json": output} {
		text, err := json.MarshalIndent(s, "", "  ")
		if err != nil {
			return nil, fmt.Errorf("write %s: %w", name, err)
		}
		schemas[name] = append(text, '\n')
	}
	return schemas, nil
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
	"Request.ClusterName":   {"pattern": "^[0-9A-Za-z][0-9A-Za-z_-]{0,99}$"},
	"Request.Namespaces":    {"minItems": 1, "maxItems": contract.MaxNamespaces, "uniqueItems": true},
	"Request.LabelSelector": {"maxLength": 4096},
	"Request.FieldSelector": {"maxLength": 4096},
	"Request.MaxItems":      {"maximum": contract.MaxMaxItems},
}

// comments are the comments and constants of a package.
type comments struct {
	fields map[string]string   // by Type.Field
	values map[string][]string // of the constants of a type
}

// read reads the package in a folder.
func read(folder string) (comments, error) {
	c := comments{fields: map[string]string{}, values: map[string][]string{}}
	files, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil || len(files) == 0 {
		return c, fmt.Errorf("there is no Go package in %s", folder)
	}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		if err != nil {
			return c, fmt.Errorf("read the contract: %w", err)
		}
		for _, declaration := range parsed.Decls {
			if general, ok := declaration.(*ast.GenDecl); ok {
				for _, spec := range general.Specs {
					c.add(spec)
				}
			}
		}
	}
	return c, nil
}

func (c comments) add(spec ast.Spec) {
	switch spec := spec.(type) {
	case *ast.TypeSpec:
		if structure, ok := spec.Type.(*ast.StructType); ok {
			for _, field := range structure.Fields.List {
				for _, name := range field.Names {
					c.fields[spec.Name.Name+"."+name.Name] = sentence(field.Doc.Text())
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
				c.values[kind.Name] = append(c.values[kind.Name], text)
			}
		}
	}
}

// sentence is a comment on one line.
func sentence(comment string) string { return strings.Join(strings.Fields(comment), " ") }

// of is the schema of a type.
func (c comments) of(t reflect.Type) schema {
	switch t.Kind() {
	case reflect.Pointer:
		s := c.of(t.Elem())
		optional(s)
		return s
	case reflect.Struct:
		return c.object(t)
	case reflect.Slice:
		return schema{"type": "array", "items": c.of(t.Elem())}
	case reflect.Map:
		return schema{"type": "object", "additionalProperties": c.of(t.Elem())}
	case reflect.Bool:
		return schema{"type": "boolean"}
	case reflect.Int:
		return schema{"type": "integer", "minimum": 0}
	case reflect.String:
		s := schema{"type": "string"}
		if values := c.values[t.Name()]; len(values) > 0 {
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
		key := t.Name() + "." + field.Name
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
