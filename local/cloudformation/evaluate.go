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

// noValue is what AWS::NoValue is: the property or element is left out.
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
		return Resource{}, fmt.Errorf("resource %s is not part of the stack: its condition %s does not hold", id, r.Condition)
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

func (e *evaluation) text(v any) (string, error) {
	value, err := e.value(v)
	if err != nil {
		return "", err
	}
	switch value.(type) {
	case map[string]any, []any, noValue:
		return "", fmt.Errorf("%v is no text", value)
	}
	return scalar(value), nil
}

// intrinsic tells whether a map stands for a function.
func intrinsic(v map[string]any) (function string, argument any, ok bool) {
	if len(v) != 1 {
		return "", nil, false
	}
	for function, argument = range v {
		ok = function == "Ref" || strings.HasPrefix(function, "Fn::")
	}
	return function, argument, ok
}

func (e *evaluation) call(function string, argument any) (any, error) {
	switch function {
	case "Ref":
		return e.ref(scalar(argument))
	case "Fn::GetAtt":
		return e.getAtt(argument)
	case "Fn::Sub":
		return e.sub(argument)
	case "Fn::If":
		return e.choose(argument)
	case "Fn::Join":
		return e.join(argument)
	}
	return nil, errors.New("it is not known here")
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

func (e *evaluation) getAtt(argument any) (any, error) {
	parts, ok := argument.([]any)
	if text, isText := argument.(string); isText {
		id, attribute, _ := strings.Cut(text, ".")
		parts, ok = []any{id, attribute}, true
	}
	if !ok || len(parts) != 2 {
		return nil, fmt.Errorf("%v is no resource and attribute", argument)
	}
	return e.attribute(scalar(parts[0]), scalar(parts[1]))
}

var variable = regexp.MustCompile(`\$\{(!?)([^}]*)\}`)

func (e *evaluation) sub(argument any) (any, error) {
	text, more := argument, map[string]any{}
	if both, ok := argument.([]any); ok && len(both) == 2 {
		text = both[0]
		more, _ = both[1].(map[string]any)
	}
	template, ok := text.(string)
	if !ok {
		return nil, fmt.Errorf("%v is no text", text)
	}
	var failed error
	result := variable.ReplaceAllStringFunc(template, func(match string) string {
		found := variable.FindStringSubmatch(match)
		if found[1] == "!" { // what is to stay as it is
			return "${" + found[2] + "}"
		}
		value, err := e.substitution(strings.TrimSpace(found[2]), more)
		failed = errors.Join(failed, err)
		return value
	})
	if failed != nil {
		return nil, failed
	}
	return e.resolve(result)
}

func (e *evaluation) substitution(name string, more map[string]any) (string, error) {
	if value, ok := more[name]; ok {
		return e.text(value)
	}
	if strings.Contains(name, ".") {
		value, err := e.getAtt(name)
		return scalar(value), err
	}
	value, err := e.ref(name)
	if err != nil {
		return "", err
	}
	if _, isList := value.([]any); isList {
		return "", fmt.Errorf("%s is a list", name)
	}
	return scalar(value), nil
}

func (e *evaluation) choose(argument any) (any, error) {
	parts, ok := argument.([]any)
	if !ok || len(parts) != 3 {
		return nil, fmt.Errorf("%v is no condition and two values", argument)
	}
	holds, err := e.holds(scalar(parts[0]))
	if err != nil {
		return nil, err
	}
	if holds {
		return e.value(parts[1])
	}
	return e.value(parts[2])
}

func (e *evaluation) join(argument any) (any, error) {
	parts, ok := argument.([]any)
	if !ok || len(parts) != 2 {
		return nil, fmt.Errorf("%v is no delimiter and list", argument)
	}
	elements, err := e.value(parts[1])
	if err != nil {
		return nil, err
	}
	all, ok := elements.([]any)
	if !ok {
		return nil, fmt.Errorf("%v is no list", elements)
	}
	texts := make([]string, len(all))
	for i, element := range all {
		texts[i] = scalar(element)
	}
	return strings.Join(texts, scalar(parts[0])), nil
}

// holds evaluates a condition by its name; none always holds.
func (e *evaluation) holds(name string) (bool, error) {
	if name == "" {
		return true, nil
	}
	condition, ok := e.template.Conditions[name]
	if !ok {
		return false, fmt.Errorf("there is no condition %s", name)
	}
	holds, err := e.condition(condition)
	if err != nil {
		return false, fmt.Errorf("condition %s: %w", name, err)
	}
	return holds, nil
}

func (e *evaluation) condition(c any) (bool, error) {
	object, ok := c.(map[string]any)
	if !ok || len(object) != 1 {
		return false, fmt.Errorf("%v is no condition", c)
	}
	if name, ok := object["Condition"]; ok {
		return e.holds(scalar(name))
	}
	function, argument, _ := intrinsic(object)
	parts, ok := argument.([]any)
	if !ok {
		return false, fmt.Errorf("%v is no condition", c)
	}
	switch function {
	case "Fn::Equals":
		if len(parts) != 2 {
			return false, errors.New("Fn::Equals compares two values")
		}
		left, err := e.text(parts[0])
		if err != nil {
			return false, err
		}
		right, err := e.text(parts[1])
		return left == right, err
	case "Fn::Not", "Fn::And", "Fn::Or":
		every, some := true, false
		for _, part := range parts {
			holds, err := e.condition(part)
			if err != nil {
				return false, err
			}
			every, some = every && holds, some || holds
		}
		switch function {
		case "Fn::Not":
			return !every, nil
		case "Fn::And":
			return every, nil
		default:
			return some, nil
		}
	}
	return false, fmt.Errorf("%s is not known here", function)
}

var secret = regexp.MustCompile(`\{\{resolve:secretsmanager:([^}]+?)\}\}`)

// resolve replaces dynamic references: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/dynamic-references.html
func (e *evaluation) resolve(text string) (any, error) {
	var failed error
	result := secret.ReplaceAllStringFunc(text, func(match string) string {
		if e.stack.Secret == nil {
			failed = fmt.Errorf("%s: there are no secrets", match)
			return ""
		}
		value, err := e.stack.Secret(secret.FindStringSubmatch(match)[1])
		failed = errors.Join(failed, err)
		return value
	})
	if failed == nil && strings.Contains(result, "{{resolve:") {
		failed = fmt.Errorf("the dynamic reference in %q is not known here", result)
	}
	return result, failed
}
