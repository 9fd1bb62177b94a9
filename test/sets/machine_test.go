package sets

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// definition is a state machine, as far as that of apply-manifests uses the language.
// https://states-language.net/
type definition struct {
	StartAt string
	States  map[string]state
}

type state struct {
	Type, Next                 string
	End                        bool
	Parameters, ResultSelector map[string]any
	ResultPath, OutputPath     *string
	Seconds                    int
	SecondsPath, Default       string
	Choices                    []rule
	Branches                   []definition
	Retry                      []retrier
	Catch                      []catcher
	ErrorPath, CausePath       string
}

type rule struct {
	And, Or            []rule
	Variable           string
	BooleanEquals      *bool
	StringEquals       *string
	NumericGreaterThan *float64
	Next               string
}

type retrier struct {
	ErrorEquals                      []string
	IntervalSeconds, MaxDelaySeconds float64
	MaxAttempts                      int
	BackoffRate                      float64
	JitterStrategy                   string
}

type catcher struct {
	ErrorEquals []string
	ResultPath  *string
	Next        string
}

// failure is an error that the machine can catch.
type failure struct{ Name, Cause string }

func (f failure) Error() string { return f.Name + ": " + f.Cause }

// errStopped ends an execution, as StopExecution does: nothing catches it.
var errStopped = errors.New("the execution was stopped")

func readDefinition(root string) (definition, error) {
	text, err := os.ReadFile(filepath.Join(root, "statemachine", "apply-manifests.asl.json"))
	if err != nil {
		return definition{}, err
	}
	var d definition
	return d, json.Unmarshal(text, &d)
}

// execution interprets the definition.
type execution struct {
	arn   string
	input any
	// invoke invokes the function of a task.
	invoke func(ctx context.Context, function string, payload json.RawMessage) (json.RawMessage, error)
	// retries is how often the current task was tried again.
	retries int
	// path are the tasks that were invoked.
	path []string
	// waits is called before a Wait, with its name; nil for nothing.
	waits func(state string)
}

// run runs states from the first to the last, and returns the output.
func (e *execution) run(ctx context.Context, d definition, data any) (any, error) {
	for name := d.StartAt; ; {
		s, ok := d.States[name]
		if !ok {
			return nil, fmt.Errorf("the definition has no state %q", name)
		}
		if s.Type == "Wait" && e.waits != nil {
			e.waits(name)
		}
		after, next, err := e.enter(ctx, s, data)
		if err != nil {
			if errors.As(err, &failure{}) || errors.Is(err, errStopped) {
				return nil, err
			}
			return nil, fmt.Errorf("state %s: %w", name, err)
		}
		if next == "" {
			return after, nil
		}
		data, name = after, next
	}
}

// enter runs a state, with its retries and catchers.
func (e *execution) enter(ctx context.Context, s state, data any) (after any, next string, err error) {
	attempts := make([]int, len(s.Retry))
	for retries := 0; ; retries++ {
		e.retries = retries
		after, next, err = e.once(ctx, s, data)
		var failed failure
		if !errors.As(err, &failed) {
			return after, next, err
		}
		at := slices.IndexFunc(s.Retry, func(r retrier) bool { return catches(r.ErrorEquals, failed.Name) })
		if at < 0 || attempts[at] == s.Retry[at].MaxAttempts {
			break
		}
		r := s.Retry[at]
		seconds := r.IntervalSeconds * math.Pow(r.BackoffRate, float64(attempts[at]))
		if r.MaxDelaySeconds > 0 {
			seconds = min(seconds, r.MaxDelaySeconds)
		}
		attempts[at]++
		time.Sleep(time.Duration(seconds * float64(time.Second)))
	}
	var failed failure
	errors.As(err, &failed)
	for _, c := range s.Catch {
		if catches(c.ErrorEquals, failed.Name) {
			caught, err := put(data, c.ResultPath, map[string]any{"Error": failed.Name, "Cause": failed.Cause})
			return caught, c.Next, err
		}
	}
	return nil, "", failed
}

func catches(names []string, name string) bool {
	return slices.Contains(names, name) || slices.Contains(names, "States.ALL")
}

func (e *execution) once(ctx context.Context, s state, data any) (after any, next string, err error) {
	next = s.Next
	result := data
	switch s.Type {
	case "Choice":
		for _, r := range s.Choices {
			holds, err := r.holds(e, data)
			if err != nil {
				return nil, "", err
			}
			if holds {
				return data, r.Next, nil
			}
		}
		return data, s.Default, nil
	case "Wait":
		seconds := float64(s.Seconds)
		if s.SecondsPath != "" {
			value, err := e.value(s.SecondsPath, data)
			if err != nil {
				return nil, "", err
			}
			seconds, _ = value.(float64)
		}
		time.Sleep(time.Duration(seconds * float64(time.Second)))
		return data, next, nil
	case "Pass":
		if s.Parameters != nil {
			if result, err = e.fill(s.Parameters, data); err != nil {
				return nil, "", err
			}
		}
	case "Task":
		if result, err = e.task(ctx, s, data); err != nil {
			return nil, "", err
		}
	case "Parallel":
		if len(s.Branches) != 1 {
			return nil, "", errors.New("a Parallel of several branches is not known here")
		}
		out, err := e.run(ctx, s.Branches[0], data)
		if err != nil {
			return nil, "", err
		}
		result = []any{out}
	case "Fail":
		name, err := e.value(s.ErrorPath, data)
		if err != nil {
			return nil, "", err
		}
		cause, err := e.value(s.CausePath, data)
		if err != nil {
			return nil, "", err
		}
		return nil, "", failure{fmt.Sprint(name), fmt.Sprint(cause)}
	default:
		return nil, "", fmt.Errorf("a %s is not known here", s.Type)
	}
	if after, err = put(data, s.ResultPath, result); err != nil {
		return nil, "", err
	}
	if s.OutputPath != nil {
		after, err = e.value(*s.OutputPath, after)
	}
	return after, next, err
}

func (e *execution) task(ctx context.Context, s state, data any) (any, error) {
	parameters, err := e.fill(s.Parameters, data)
	if err != nil {
		return nil, err
	}
	of := parameters.(map[string]any)
	payload, err := json.Marshal(of["Payload"])
	if err != nil {
		return nil, err
	}
	function := strings.TrimSuffix(strings.TrimPrefix(fmt.Sprint(of["FunctionName"]), "${"), "FunctionArn}")
	e.path = append(e.path, function)
	answer, err := e.invoke(ctx, function, payload)
	if err != nil {
		return nil, err
	}
	var result any
	if err := json.Unmarshal(answer, &result); err != nil {
		return nil, err
	}
	return e.fill(s.ResultSelector, map[string]any{"Payload": result})
}

// holds reports whether the rule of a Choice does.
func (r rule) holds(e *execution, data any) (bool, error) {
	all := func(rules []rule, want bool) (bool, error) {
		for _, r := range rules {
			if holds, err := r.holds(e, data); err != nil || holds != want {
				return !want, err
			}
		}
		return want, nil
	}
	switch {
	case r.And != nil:
		return all(r.And, true)
	case r.Or != nil:
		return all(r.Or, false)
	}
	value, err := e.value(r.Variable, data)
	if err != nil {
		return false, err
	}
	switch {
	case r.BooleanEquals != nil:
		return value == *r.BooleanEquals, nil
	case r.StringEquals != nil:
		return value == *r.StringEquals, nil
	case r.NumericGreaterThan != nil:
		number, is := value.(float64)
		return is && number > *r.NumericGreaterThan, nil
	default:
		return false, fmt.Errorf("the comparison of %s is not known here", r.Variable)
	}
}

// fill fills a template whose keys that end in .$ are paths or intrinsic functions.
func (e *execution) fill(template map[string]any, data any) (any, error) {
	filled := map[string]any{}
	for key, value := range template {
		var err error
		name, isPath := strings.CutSuffix(key, ".$")
		switch nested, isNested := value.(map[string]any); {
		case isPath:
			filled[name], err = e.value(fmt.Sprint(value), data)
		case isNested:
			filled[name], err = e.fill(nested, data)
		default:
			filled[name] = value
		}
		if err != nil {
			return nil, err
		}
	}
	return filled, nil
}

var intrinsic = regexp.MustCompile(`^States\.(\w+)\((.*)\)$`)

// value is what a path leads to, or an intrinsic function returns.
func (e *execution) value(path string, data any) (any, error) {
	if call := intrinsic.FindStringSubmatch(path); call != nil {
		return e.call(call[1], call[2], data)
	}
	of := data
	if rest, isContext := strings.CutPrefix(path, "$$"); isContext {
		of, path = map[string]any{"Execution": map[string]any{"Id": e.arn, "Input": e.input}, "State": map[string]any{"RetryCount": float64(e.retries)}}, "$"+rest
	}
	if path == "$[0]" {
		return of.([]any)[0], nil
	}
	for _, field := range strings.Split(path, ".")[1:] {
		fields, _ := of.(map[string]any)
		value, ok := fields[field]
		if !ok {
			return nil, fmt.Errorf("path %s leads to nothing", path)
		}
		of = value
	}
	return of, nil
}

func (e *execution) call(name, arguments string, data any) (any, error) {
	switch name {
	case "StringToJson":
		text, err := e.value(arguments, data)
		if err != nil {
			return nil, err
		}
		var value any
		err = json.Unmarshal([]byte(fmt.Sprint(text)), &value)
		return value, err
	case "Format":
		end := strings.LastIndex(arguments, "'")
		text := arguments[1:end]
		for path := range strings.SplitSeq(arguments[end+1:], ",") {
			if path = strings.TrimSpace(path); path == "" {
				continue
			}
			value, err := e.value(path, data)
			if err != nil {
				return nil, err
			}
			text = strings.Replace(text, "{}", fmt.Sprint(value), 1)
		}
		return text, nil
	default:
		return nil, fmt.Errorf("States.%s is not known here", name)
	}
}

// put puts a result where a path says: by default in place of the data.
func put(data any, path *string, result any) (any, error) {
	if path == nil || *path == "$" {
		return result, nil
	}
	field, _ := strings.CutPrefix(*path, "$.")
	of, ok := data.(map[string]any)
	if !ok || strings.Contains(field, ".") {
		return nil, fmt.Errorf("nothing can be put at %s", *path)
	}
	of = maps.Clone(of)
	of[field] = result
	return of, nil
}
