package cloudformation

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// evaluation is the evaluation of one stack.
type evaluation struct {
	template  *Template
	stack     Stack
	resources map[string]Resource // evaluated so far
	under     map[string]bool     // being evaluated
}

// noValue is the value of AWS::NoValue: the property or element is left out.
type noValue struct{}

// resource evaluates a resource.
func (e *evaluation) resource(id string) (Resource, error) {
	if r, done := e.resources[id]; done {
		return r, nil
	}
	r, ok := e.template.Resources[id]
	if !ok {
		return Resource{}, fmt.Errorf("there is no resource %s", id)
	}
	if e.under[id] {
		return Resource{}, fmt.Errorf("resource %s depends on itself", id)
	}
	holds, err := e.holds(r.Condition)
	if err != nil {
		return Resource{}, err
	}
	if !holds {
		return Resource{}, fmt.Errorf("resource %s is not part of the stack: its condition %s is false", id, r.Condition)
	}
	e.under[id] = true
	defer delete(e.under, id)
	properties, err := e.value(r.Properties)
	if err != nil {
		return Resource{}, fmt.Errorf("resource %s: %w", id, err)
	}
	r.Properties, _ = properties.(map[string]any)
	e.resources[id] = r
	return r, nil
}

// value evaluates any value of a template.
func (e *evaluation) value(v any) (any, error) {
	switch v := v.(type) {
	case map[string]any:
		if function, argument, ok := intrinsic(v); ok {
			result, err := e.call(function, argument)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", function, err)
			}
			return result, nil
		}
		result := make(map[string]any, len(v))
		for key, element := range v {
			evaluated, err := e.value(element)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", key, err)
			}
			if evaluated != (noValue{}) {
				result[key] = evaluated
			}
		}
		return result, nil
	case []any:
		result := make([]any, 0, len(v))
		for _, element := range v {
			evaluated, err := e.value(element)
			if err != nil {
				return nil, err
			}
			if evaluated != (noValue{}) {
				result = append(result, evaluated)
			}
		}
		return result, nil
	case string:
		return e.resolve(v)
	default:
		return v, nil
	}
}

// text evaluates a value that must be text.
func (e *evaluation) text(v any) (string, error) {
	value, err := e.value(v)
	if err != nil {
		return "", err
	}
	switch value.(type) {
	case map[string]any, []any, noValue:
		return "", fmt.Errorf("%v is not text", value)
	}
	return scalar(value), nil
}

// intrinsic returns the intrinsic function that a map calls, if it does. In a condition, {"Condition": "NAME"} is one too.
func intrinsic(v map[string]any) (function string, argument any, ok bool) {
	if len(v) != 1 {
		return "", nil, false
	}
	for function, argument = range v {
		_, isText := argument.(string)
		ok = function == "Ref" || function == "Condition" && isText || strings.HasPrefix(function, "Fn::")
	}
	return function, argument, ok
}

func (e *evaluation) call(function string, argument any) (any, error) {
	parts, _ := argument.([]any)
	switch {
	case function == "Ref":
		return e.ref(scalar(argument))
	case function == "Condition":
		return e.holds(scalar(argument))
	case function == "Fn::GetAtt" && len(parts) == 2:
		return e.attribute(scalar(parts[0]), scalar(parts[1]))
	case function == "Fn::Sub" && len(parts) == 2:
		variables, _ := parts[1].(map[string]any)
		return e.sub(scalar(parts[0]), variables)
	case function == "Fn::Sub":
		return e.sub(scalar(argument), nil)
	case function == "Fn::If" && len(parts) == 3:
		holds, err := e.holds(scalar(parts[0]))
		if err != nil {
			return nil, err
		}
		if holds {
			return e.value(parts[1])
		}
		return e.value(parts[2])
	}
	// The arguments of all other functions are evaluated first.
	evaluated, err := e.value(argument)
	if err != nil {
		return nil, err
	}
	parts, _ = evaluated.([]any)
	switch {
	case function == "Fn::Equals" && len(parts) == 2:
		return scalar(parts[0]) == scalar(parts[1]), nil
	case function == "Fn::Not" || function == "Fn::And" || function == "Fn::Or":
		every, some := true, false
		for _, part := range parts {
			holds, ok := part.(bool)
			if !ok {
				return nil, fmt.Errorf("%v is not a condition", part)
			}
			every, some = every && holds, some || holds
		}
		return map[string]bool{"Fn::Not": !every, "Fn::And": every, "Fn::Or": some}[function], nil
	case function == "Fn::Join" && len(parts) == 2:
		elements, ok := parts[1].([]any)
		if !ok {
			return nil, fmt.Errorf("%v is not a list", parts[1])
		}
		texts := make([]string, len(elements))
		for i, element := range elements {
			texts[i] = scalar(element)
		}
		return strings.Join(texts, scalar(parts[0])), nil
	}
	return nil, fmt.Errorf("local/cloudformation cannot evaluate it with the argument %v", argument)
}

func (e *evaluation) ref(name string) (any, error) {
	switch name {
	case "AWS::NoValue":
		return noValue{}, nil
	case "AWS::StackName":
		return e.stack.Name, nil
	case "AWS::Region":
		return e.stack.Region, nil
	case "AWS::AccountId":
		return e.stack.Account, nil
	case "AWS::Partition":
		return e.stack.Partition, nil
	}
	if parameter, ok := e.template.Parameters[name]; ok {
		value, _ := e.parameter(name)
		if strings.HasPrefix(parameter.Type, "List<") || parameter.Type == "CommaDelimitedList" {
			return list(value), nil
		}
		return value, nil
	}
	return e.physicalID(name)
}

var variable = regexp.MustCompile(`\$\{(!?)([^}]*)\}`)

// sub substitutes the variables of a text, some of which Fn::Sub itself may define.
func (e *evaluation) sub(template string, variables map[string]any) (any, error) {
	var failed error
	result := variable.ReplaceAllStringFunc(template, func(match string) string {
		found := variable.FindStringSubmatch(match)
		if found[1] == "!" { // ${!X} is a literal ${X}
			return "${" + found[2] + "}"
		}
		name := strings.TrimSpace(found[2])
		value, defined := variables[name]
		if id, attribute, isAttribute := strings.Cut(name, "."); !defined && isAttribute {
			value = map[string]any{"Fn::GetAtt": []any{id, attribute}}
		} else if !defined {
			value = map[string]any{"Ref": name}
		}
		text, err := e.text(value)
		failed = errors.Join(failed, err)
		return text
	})
	if failed != nil {
		return nil, failed
	}
	return e.resolve(result)
}

// holds evaluates a condition by its name. Without a name it is true.
func (e *evaluation) holds(name string) (bool, error) {
	if name == "" {
		return true, nil
	}
	condition, ok := e.template.Conditions[name]
	if !ok {
		return false, fmt.Errorf("there is no condition %s", name)
	}
	value, err := e.value(condition)
	holds, ok := value.(bool)
	if err == nil && !ok {
		err = fmt.Errorf("%v is not a condition", value)
	}
	if err != nil {
		return false, fmt.Errorf("condition %s: %w", name, err)
	}
	return holds, nil
}

var secret = regexp.MustCompile(`\{\{resolve:secretsmanager:([^}]+?)\}\}`)

// resolve replaces dynamic references: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/dynamic-references.html
func (e *evaluation) resolve(text string) (any, error) {
	var failed error
	result := secret.ReplaceAllStringFunc(text, func(match string) string {
		value, err := e.stack.Secret(secret.FindStringSubmatch(match)[1])
		failed = errors.Join(failed, err)
		return value
	})
	if failed == nil && strings.Contains(result, "{{resolve:") {
		failed = fmt.Errorf("local/cloudformation cannot resolve the dynamic reference in %q", result)
	}
	return result, failed
}
