package asl

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// scope is what paths lead into: the data, and the context object.
type scope struct {
	data    any
	context map[string]any
}

// expression is a path, a call of an intrinsic function, or a literal that is its argument.
type expression interface {
	in(of scope) (any, error)
}

type literal struct{ value any }

func (l literal) in(scope) (any, error) { return l.value, nil }

// path is a reference to a part of the data or, after $$, of the context object.
type path struct {
	text    string
	context bool
	steps   []step
}

// step is a field, an index, or all elements.
type step struct {
	field string
	index int
	all   bool
}

func (p path) in(of scope) (any, error) {
	at := of.data
	if p.context {
		at = of.context
	}
	return p.follow(at, p.steps)
}

func (p path) follow(at any, steps []step) (any, error) {
	for i, s := range steps {
		switch here := at.(type) {
		case map[string]any:
			next, ok := here[s.field]
			if s.field == "" || !ok {
				return nil, fmt.Errorf("the path %s leads to nothing", p.text)
			}
			at = next
		case []any:
			switch {
			case s.all:
				found := make([]any, len(here))
				for n, element := range here {
					var err error
					if found[n], err = p.follow(element, steps[i+1:]); err != nil {
						return nil, err
					}
				}
				return found, nil
			case s.field != "" || s.index >= len(here):
				return nil, fmt.Errorf("the path %s leads to nothing", p.text)
			}
			at = here[s.index]
		default:
			return nil, fmt.Errorf("the path %s leads to nothing", p.text)
		}
	}
	return at, nil
}

// call is a call of an intrinsic function.
type call struct {
	name      string
	arguments []expression
}

// intrinsics are the functions of https://docs.aws.amazon.com/step-functions/latest/dg/intrinsic-functions.html that are known here.
var intrinsics = map[string]func(arguments []any) (any, error){
	"Array":        func(a []any) (any, error) { return a, nil },
	"ArrayGetItem": arrayGetItem,
	"Format":       format,
	"JsonMerge":    jsonMerge,
	"JsonToString": func(a []any) (any, error) { return text(a[0]) },
	"StringToJson": func(a []any) (any, error) {
		var value any
		from, ok := a[0].(string)
		if !ok {
			return nil, fmt.Errorf("%T is no string", a[0])
		}
		err := json.Unmarshal([]byte(from), &value)
		return value, err
	},
}

func (c call) in(of scope) (any, error) {
	arguments := make([]any, len(c.arguments))
	for i, argument := range c.arguments {
		var err error
		if arguments[i], err = argument.in(of); err != nil {
			return nil, err
		}
	}
	value, err := intrinsics[c.name](arguments)
	if err != nil {
		return nil, fmt.Errorf("States.%s: %w", c.name, err)
	}
	return value, nil
}

func arrayGetItem(a []any) (any, error) {
	array, isArray := a[0].([]any)
	index, isNumber := a[1].(float64)
	if !isArray || !isNumber || index != float64(int(index)) || index < 0 || int(index) >= len(array) {
		return nil, fmt.Errorf("no element %v of %d", a[1], len(array))
	}
	return array[int(index)], nil
}

func format(a []any) (any, error) {
	template, ok := a[0].(string)
	if !ok || strings.Count(template, "{}") != len(a)-1 {
		return nil, fmt.Errorf("%d values for %v", len(a)-1, a[0])
	}
	var b strings.Builder
	for _, value := range a[1:] {
		before, after, _ := strings.Cut(template, "{}")
		b.WriteString(before)
		written, isText := value.(string)
		if !isText {
			var err error
			if written, err = text(value); err != nil {
				return nil, err
			}
		}
		b.WriteString(written)
		template = after
	}
	return b.String() + template, nil
}

// jsonMerge is the shallow one, which is all that AWS knows.
func jsonMerge(a []any) (any, error) {
	one, isObject := a[0].(map[string]any)
	other, areBoth := a[1].(map[string]any)
	if !isObject || !areBoth || a[2] != false {
		return nil, errors.New("expected two objects, and false")
	}
	merged := maps.Clone(one)
	maps.Copy(merged, other)
	return merged, nil
}

// text is a value in JSON, as Step Functions writes it.
func text(value any) (string, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(value)
	return strings.TrimSuffix(b.String(), "\n"), err
}

// arguments are how many an intrinsic function takes at least, and at most.
var arguments = map[string][2]int{"Array": {0, 100}, "ArrayGetItem": {2, 2}, "Format": {1, 100}, "JsonMerge": {3, 3}, "JsonToString": {1, 1}, "StringToJson": {1, 1}}

// parse reads a path, or a call of an intrinsic function.
func parse(text string) (expression, error) {
	p := parser{text: text, rest: text}
	read, err := p.expression()
	if err == nil && p.rest != "" {
		err = p.unknown()
	}
	if _, isLiteral := read.(literal); err == nil && isLiteral {
		err = p.unknown()
	}
	return read, err
}

type parser struct{ text, rest string }

func (p *parser) unknown() error {
	return fmt.Errorf("%q of %q is not known here", p.rest, p.text)
}

// take takes a text, if it is next.
func (p *parser) take(text string) bool {
	after, ok := strings.CutPrefix(p.rest, text)
	p.rest = after
	return ok
}

// while takes the characters for which is holds.
func (p *parser) while(is func(r rune) bool) string {
	end := strings.IndexFunc(p.rest, func(r rune) bool { return !is(r) })
	if end < 0 {
		end = len(p.rest)
	}
	taken := p.rest[:end]
	p.rest = p.rest[end:]
	return taken
}

func isName(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || isDigit(r) || r == '_'
}

func isDigit(r rune) bool { return r >= '0' && r <= '9' }

func (p *parser) expression() (expression, error) {
	switch {
	case p.take("$"):
		return p.path()
	case p.take("States."):
		return p.call()
	case p.take("'"):
		var b strings.Builder
		for p.rest != "" {
			switch {
			case p.take("'"):
				return literal{b.String()}, nil
			case strings.HasPrefix(p.rest, `\`):
				return nil, p.unknown()
			}
			b.WriteByte(p.rest[0])
			p.rest = p.rest[1:]
		}
		return nil, p.unknown()
	case p.take("true"):
		return literal{true}, nil
	case p.take("false"):
		return literal{false}, nil
	}
	if digits := p.while(isDigit); digits != "" {
		number, err := strconv.ParseFloat(digits, 64)
		return literal{number}, err
	}
	return nil, p.unknown()
}

func (p *parser) path() (expression, error) {
	read := path{text: p.text, context: p.take("$")}
	for {
		switch {
		case p.take("."):
			field := p.while(isName)
			if field == "" {
				return nil, p.unknown()
			}
			read.steps = append(read.steps, step{field: field})
		case p.take("[*]"):
			read.steps = append(read.steps, step{all: true})
		case p.take("["):
			index, err := strconv.Atoi(p.while(isDigit))
			if err != nil || !p.take("]") {
				return nil, p.unknown()
			}
			read.steps = append(read.steps, step{index: index})
		default:
			return read, nil
		}
	}
}

func (p *parser) call() (expression, error) {
	c := call{name: p.while(isName)}
	if intrinsics[c.name] == nil || !p.take("(") {
		return nil, fmt.Errorf("States.%s of %q is not known here", c.name, p.text)
	}
	for !p.take(")") {
		if len(c.arguments) > 0 && !p.take(",") {
			return nil, p.unknown()
		}
		p.while(func(r rune) bool { return r == ' ' })
		argument, err := p.expression()
		if err != nil {
			return nil, err
		}
		c.arguments = append(c.arguments, argument)
		p.while(func(r rune) bool { return r == ' ' })
	}
	if n, takes := len(c.arguments), arguments[c.name]; n < takes[0] || n > takes[1] {
		return nil, fmt.Errorf("States.%s of %q has %d arguments", c.name, p.text, n)
	}
	return c, nil
}

// value is what a path leads to, or a function returns.
func (of scope) value(text string) (any, error) {
	read, err := parse(text)
	if err != nil {
		return nil, err
	}
	return read.in(of)
}

// fill fills a template, whose keys that end in .$ have paths or functions.
func (of scope) fill(template map[string]any) (map[string]any, error) {
	filled := make(map[string]any, len(template))
	for key, value := range template {
		var err error
		name, isPath := strings.CutSuffix(key, ".$")
		switch nested, isNested := value.(map[string]any); {
		case isPath:
			filled[name], err = of.value(value.(string)) // as checkTemplate has seen
		case isNested:
			filled[name], err = of.fill(nested)
		default:
			filled[name] = value
		}
		if err != nil {
			return nil, err
		}
	}
	return filled, nil
}

// checkTemplate finds what could not be filled.
func checkTemplate(template map[string]any) error {
	for _, key := range slices.Sorted(maps.Keys(template)) {
		switch value := template[key].(type) {
		case map[string]any:
			if err := checkTemplate(value); err != nil {
				return err
			}
		case string:
			if !strings.HasSuffix(key, ".$") {
				continue
			}
			if _, err := parse(value); err != nil {
				return err
			}
		case []any:
			for _, element := range value {
				if _, isObject := element.(map[string]any); isObject {
					return fmt.Errorf("an object in the array %s is not known here", key)
				}
			}
		default:
			if strings.HasSuffix(key, ".$") {
				return fmt.Errorf("%s is no path", key)
			}
		}
	}
	return nil
}

// put puts a result where a path says: by default in place of the data.
func put(data any, at *string, result any) (any, error) {
	if at == nil || *at == "$" {
		return result, nil
	}
	read, err := parse(*at)
	if err != nil {
		return nil, err
	}
	reference, isPath := read.(path)
	if !isPath || reference.context {
		return nil, fmt.Errorf("nothing can be put at %s", *at)
	}
	return putAt(*at, data, reference.steps, result)
}

func putAt(at string, data any, steps []step, result any) (any, error) {
	if len(steps) == 0 {
		return result, nil
	}
	object, ok := data.(map[string]any)
	if !ok || steps[0].field == "" {
		return nil, fmt.Errorf("nothing can be put at %s", at)
	}
	object = maps.Clone(object)
	member, there := object[steps[0].field]
	if !there {
		member = map[string]any{}
	}
	var err error
	object[steps[0].field], err = putAt(at, member, steps[1:], result)
	return object, err
}
