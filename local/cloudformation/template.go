// Package cloudformation evaluates a template: it checks parameters, and evaluates conditions, intrinsic functions and dynamic
// references, as CloudFormation does before it creates anything. It creates nothing itself, and transforms nothing: see package sam.
//
// It stays because moto evaluates a template only while it creates the resources as its own, with random names, does not check
// the parameters, and ignores what it does not know; here that is an error. Every stack of every scenario is evaluated several
// times, which takes a moment here and seconds in a Python process. goformation has no Fn::GetAtt.
package cloudformation

import (
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Template is a template.
type Template struct {
	Parameters map[string]Parameter
	Conditions map[string]any
	Resources  map[string]Resource
	Outputs    map[string]Output
}

// Parameter is a parameter of a template.
type Parameter struct {
	Type           string
	Default        any
	AllowedValues  []any
	AllowedPattern string
	MaxLength      int
}

// Resource is a resource of a template or, evaluated, of a stack.
type Resource struct {
	Type       string
	Condition  string
	Properties map[string]any
}

// Output is an output of a template.
type Output struct {
	Condition   string
	Description string
	Value       any
}

// Parse reads a template in JSON.
func Parse(text []byte) (*Template, error) {
	var t Template
	if err := json.Unmarshal(text, &t); err != nil {
		return nil, fmt.Errorf("read the template: %w", err)
	}
	return &t, nil
}

// Stack is the stack that a template is evaluated for.
type Stack struct {
	Name, Partition, Region, Account string
	// Parameters override the template's defaults.
	Parameters map[string]string
	// Secret returns the value of the secret with that ARN.
	Secret func(arn string) (string, error)
}

// Evaluated is a stack as it would be created.
type Evaluated struct {
	// Resources are those whose condition is true, by logical ID, with evaluated properties.
	Resources map[string]Resource
	Outputs   map[string]string
	// PhysicalIDs are what Ref returns for each resource.
	PhysicalIDs map[string]string
}

// OfType iterates over the resources of a type, in the order of their logical IDs.
func (e *Evaluated) OfType(kind string) iter.Seq2[string, Resource] {
	return func(yield func(string, Resource) bool) {
		for _, id := range slices.Sorted(maps.Keys(e.Resources)) {
			if e.Resources[id].Type == kind && !yield(id, e.Resources[id]) {
				return
			}
		}
	}
}

// Evaluate evaluates the whole template. A mistake anywhere in it is an error.
func (t *Template) Evaluate(stack Stack) (*Evaluated, error) {
	e := &evaluation{template: t, stack: stack, resources: map[string]Resource{}, under: map[string]bool{}}
	if err := e.checkParameters(); err != nil {
		return nil, err
	}
	result := &Evaluated{Resources: map[string]Resource{}, Outputs: map[string]string{}, PhysicalIDs: map[string]string{}}
	for _, id := range slices.Sorted(maps.Keys(t.Resources)) {
		holds, err := e.holds(t.Resources[id].Condition)
		if err != nil {
			return nil, err
		}
		if !holds {
			continue
		}
		if result.Resources[id], err = e.resource(id); err != nil {
			return nil, err
		}
		if result.PhysicalIDs[id], err = e.physicalID(id); err != nil {
			return nil, err
		}
	}
	for name, output := range t.Outputs {
		holds, err := e.holds(output.Condition)
		if err != nil {
			return nil, err
		}
		if !holds {
			continue
		}
		value, err := e.text(output.Value)
		if err != nil {
			return nil, fmt.Errorf("output %s: %w", name, err)
		}
		result.Outputs[name] = value
	}
	return result, nil
}

func (e *evaluation) checkParameters() error {
	for name := range e.stack.Parameters {
		if _, ok := e.template.Parameters[name]; !ok {
			return fmt.Errorf("the template has no parameter %s", name)
		}
	}
	for name, parameter := range e.template.Parameters {
		value, given := e.parameter(name)
		if !given {
			return fmt.Errorf("parameter %s has no value", name)
		}
		if err := parameter.check(value); err != nil {
			return fmt.Errorf("parameter %s: %w", name, err)
		}
	}
	return nil
}

func (p Parameter) check(value string) error {
	if len(p.AllowedValues) > 0 && !slices.ContainsFunc(p.AllowedValues, func(allowed any) bool { return scalar(allowed) == value }) {
		return fmt.Errorf("%q is not one of %v", value, p.AllowedValues)
	}
	if p.AllowedPattern != "" {
		matches, err := match(p.AllowedPattern, value)
		if err != nil {
			return fmt.Errorf("its pattern: %w", err)
		}
		if !matches {
			return fmt.Errorf("%q does not match %s", value, p.AllowedPattern)
		}
	}
	if p.MaxLength > 0 && len(value) > p.MaxLength {
		return fmt.Errorf("%d characters: at most %d", len(value), p.MaxLength)
	}
	if p.Type == "Number" {
		if _, err := strconv.ParseFloat(value, 64); err != nil {
			return fmt.Errorf("%q is not a number", value)
		}
	}
	return nil
}

// not is a pattern that begins with what a value must not begin with. CloudFormation has Java's regular expressions; those of
// Go cannot look ahead.
var not = regexp.MustCompile(`^\^\(\?!([^()]*)\)(.*)$`)

// match reports whether all of a value matches a pattern.
func match(pattern, value string) (bool, error) {
	if parts := not.FindStringSubmatch(pattern); parts != nil {
		begins, err := regexp.MatchString(`^(?:`+parts[1]+`)`, value)
		if err != nil || begins {
			return false, err
		}
		pattern = parts[2]
	}
	return regexp.MatchString(`^(?:`+pattern+`)$`, value)
}

// parameter returns a parameter's value, as text.
func (e *evaluation) parameter(name string) (value string, given bool) {
	if value, given = e.stack.Parameters[name]; given {
		return value, true
	}
	parameter, ok := e.template.Parameters[name]
	if !ok || parameter.Default == nil {
		return "", false
	}
	return scalar(parameter.Default), true
}

// scalar returns a string, a number or a boolean as CloudFormation substitutes it.
func scalar(value any) string {
	switch value := value.(type) {
	case string:
		return value
	case float64:
		return strconv.FormatFloat(value, 'f', -1, 64)
	default:
		return fmt.Sprint(value)
	}
}

// list returns the value of a list parameter.
func list(value string) []any {
	var all []any
	for part := range strings.SplitSeq(value, ",") {
		all = append(all, strings.TrimSpace(part))
	}
	return all
}
