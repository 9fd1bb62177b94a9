package asl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"
)

// MaxData is how many bytes may pass into a state, a task or an execution, or out of it.
// https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
const MaxData = 262_144

// Error is an error that a machine sees.
type Error struct{ Name, Cause string }

func (e Error) Error() string { return e.Name + ": " + e.Cause }

// The errors of the language that a machine may come to by itself.
const (
	Timeout           = "States.Timeout"
	DataLimitExceeded = "States.DataLimitExceeded"
	tooManyFailed     = "States.ExceedToleratedFailureThreshold"
	noChoice          = "States.NoChoiceMatched"
	all               = "States.ALL"
)

var (
	// ErrStopped ends an execution, as StopExecution does: nothing catches it.
	ErrStopped = errors.New("the execution was stopped")
	// ErrTimedOut is the end of an execution whose time is over.
	ErrTimedOut = errors.New("the execution timed out")
	// ErrNoTask is of a token that resumes nothing, or nothing any more.
	ErrNoTask = errors.New("no task waits with this token")

	errTask = errors.New("the time of the task is over")
)

// Task is what a task asks for.
type Task struct {
	State string
	// Resource is the service and what it does, such as lambda:invoke.
	Resource   string
	Parameters map[string]any
	// Token resumes the execution, if the resource ends in waitForTaskToken.
	Token string
}

const (
	// serviceOf comes before the service in a resource.
	serviceOf = ":states:::"
	// waits ends a resource whose task waits until it is resumed.
	waits = ".waitForTaskToken"
)

// Function is the name of the function that a task of lambda:invoke invokes, of a definition whose substitutions are named
// ${DescribeClusterFunctionArn}.
func (t Task) Function() string {
	return strings.TrimSuffix(strings.TrimPrefix(fmt.Sprint(t.Parameters["FunctionName"]), "${"), "FunctionArn}")
}

// Execution is an execution of a machine. Its fields are set before it runs.
type Execution struct {
	Machine Machine
	ARN     string
	Input   any
	// Do does a task. An Error is one that the machine sees; any other ends the execution, and Run returns it.
	Do func(ctx context.Context, task Task) (any, error)
	// Object reads an object in S3, for the items of a Map.
	Object func(ctx context.Context, bucket, key string) ([]byte, error)
	// Enters is called before each state, also of the items of a Map; nil for nothing.
	Enters func(state string)

	started time.Time
	// at is where the execution stands, for a redrive.
	at position

	mu      sync.Mutex // guards what follows
	tokens  int
	waiting map[string]chan any
	largest Size
}

// Size is how many bytes a state was given, or gave, at most.
type Size struct {
	State string
	Bytes int
}

// position is where a machine stands: in a state, which was entered with that data.
type position struct {
	state string
	data  any
	// items are those of a Map: nil before it begins.
	items []*item
}

// item is an item of a Map.
type item struct {
	at     position
	output any
	ended  bool // well
}

// Run runs the execution, and returns its output, or the error that it ends with.
func (e *Execution) Run(ctx context.Context) (any, error) {
	e.started, e.at = time.Now(), position{state: e.Machine.StartAt, data: e.Input}
	if err := e.fits("the execution", e.Input); err != nil {
		return nil, err
	}
	return e.whole(ctx)
}

// Redrive runs an execution that has not ended well from where it stands: from the state that failed or was stopped and, in a Map, the
// items that have not ended well. It has all of its time again.
// https://docs.aws.amazon.com/step-functions/latest/dg/redrive-executions.html
func (e *Execution) Redrive(ctx context.Context) (any, error) { return e.whole(ctx) }

func (e *Execution) whole(ctx context.Context) (any, error) {
	if e.Machine.TimeoutSeconds > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, seconds(e.Machine.TimeoutSeconds), ErrTimedOut)
		defer cancel()
	}
	return e.run(ctx, e.Machine, &e.at, nil)
}

// Largest is the most that any state was given, or gave.
func (e *Execution) Largest() Size {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.largest
}

// Resume resumes the task that waits with a token.
func (e *Execution) Resume(token string, output any) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	waits, ok := e.waiting[token]
	if !ok {
		return ErrNoTask
	}
	delete(e.waiting, token)
	waits <- output
	return nil
}

func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }

// sleep waits, or returns why there is nothing more to wait for.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// fits returns an error if a state of that name may not have the data, which no machine catches.
func (e *Execution) fits(state string, data any) error {
	n, err := size(data)
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if n > e.largest.Bytes {
		e.largest = Size{state, n}
	}
	if n > MaxData {
		return Error{DataLimitExceeded, fmt.Sprintf("%s: %d bytes", state, n)}
	}
	return nil
}

// size is how many bytes a value has in JSON. Most of the time of a large execution would go into writing it.
func size(value any) (int, error) {
	n := len("{}")
	switch value := value.(type) {
	case map[string]any:
		for key, member := range value {
			of, err := size(member)
			if err != nil {
				return 0, err
			}
			n += sizeOf(key) + len(":") + of + len(",")
		}
		return n - min(1, len(value)), nil
	case []any:
		for _, element := range value {
			of, err := size(element)
			if err != nil {
				return 0, err
			}
			n += of + len(",")
		}
		return n - min(1, len(value)), nil
	case string:
		return sizeOf(value), nil
	default:
		written, err := text(value)
		return len(written), err
	}
}

// sizeOf is how many bytes a string has in JSON.
func sizeOf(text string) int {
	n := len(text) + len(`""`)
	for i := range len(text) {
		switch c := text[i]; {
		case strings.IndexByte("\"\\\n\r\t\b\f", c) >= 0:
			n++
		case c < ' ':
			n += len(`\u0000`) - 1
		}
	}
	return n
}

// run runs the states of a machine, from where it stands to the last.
func (e *Execution) run(ctx context.Context, m Machine, at *position, ofItem map[string]any) (any, error) {
	for {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		s := m.States[at.state]
		if e.Enters != nil {
			e.Enters(at.state)
		}
		after, next, err := e.enter(ctx, s, at, ofItem)
		if err == nil {
			err = e.fits(at.state, after)
		}
		switch {
		case err == nil && next == "":
			return after, nil
		case err == nil:
			*at = position{state: next, data: after}
		case errors.As(err, &Error{}), errors.Is(err, ErrStopped), errors.Is(err, ErrTimedOut):
			return nil, err
		default:
			return nil, fmt.Errorf("state %s: %w", at.state, err)
		}
	}
}

// enter runs a state, with its retries and catchers. The delays are the longest that there may be: none is jittered.
func (e *Execution) enter(ctx context.Context, s state, at *position, ofItem map[string]any) (after any, next string, err error) {
	attempts := make([]int, len(s.Retry))
	for retries := 0; ; retries++ {
		about := map[string]any{
			"Execution": map[string]any{"Id": e.ARN, "Input": e.Input, "StartTime": e.started.UTC().Format("2006-01-02T15:04:05.000Z")},
			"State":     map[string]any{"Name": at.state, "RetryCount": float64(retries)},
		}
		if ofItem != nil {
			about["Map"] = map[string]any{"Item": ofItem}
		}
		after, next, err = e.once(ctx, s, at, scope{at.data, about})
		var failed Error
		if !errors.As(err, &failed) || ctx.Err() != nil {
			return after, next, err
		}
		of := slices.IndexFunc(s.Retry, func(r retrier) bool { return catches(r.ErrorEquals, failed.Name) })
		if of < 0 || attempts[of] == or(s.Retry[of].MaxAttempts, 3) {
			break
		}
		r := s.Retry[of]
		delay := or(r.IntervalSeconds, 1) * math.Pow(or(r.BackoffRate, 2), float64(attempts[of]))
		if r.MaxDelaySeconds != nil {
			delay = min(delay, *r.MaxDelaySeconds)
		}
		attempts[of]++
		at.items = nil // a Map begins anew
		if err := sleep(ctx, seconds(delay)); err != nil {
			return nil, "", err
		}
	}
	var failed Error
	errors.As(err, &failed)
	for _, c := range s.Catch {
		if catches(c.ErrorEquals, failed.Name) {
			caught, err := put(at.data, c.ResultPath, map[string]any{"Error": failed.Name, "Cause": failed.Cause})
			return caught, c.Next, err
		}
	}
	return nil, "", failed
}

func or[T any](given *T, otherwise T) T {
	if given == nil {
		return otherwise
	}
	return *given
}

// catches reports whether the names of a retrier or a catcher have an error. States.ALL does not have what ends an execution.
// https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
func catches(names []string, name string) bool {
	return name != DataLimitExceeded && (slices.Contains(names, name) || slices.Contains(names, all))
}

// once runs a state once.
func (e *Execution) once(ctx context.Context, s state, at *position, of scope) (after any, next string, err error) {
	input := of.data
	if s.InputPath != nil {
		if of.data, err = of.value(*s.InputPath); err != nil {
			return nil, "", err
		}
	}
	result := of.data
	switch s.Type {
	case "Choice":
		next, err = s.choose(of)
		return input, next, err
	case "Fail":
		return nil, "", s.fail(of)
	case "Wait":
		delay := s.Seconds
		if s.SecondsPath != "" {
			if delay, err = of.number(s.SecondsPath); err != nil {
				return nil, "", err
			}
		}
		return input, s.Next, sleep(ctx, seconds(delay))
	case "Pass":
		if s.Parameters != nil {
			result, err = of.fill(s.Parameters)
		}
	case "Task":
		result, err = e.task(ctx, s, at.state, of)
	case "Parallel":
		branch := position{state: s.Branches[0].StartAt, data: of.data}
		var output any
		output, err = e.run(ctx, s.Branches[0], &branch, nil)
		result = []any{output}
	case "Map":
		result, err = e.items(ctx, s, at, of)
	}
	if err != nil {
		return nil, "", err
	}
	if s.ResultSelector != nil {
		if err := e.fits(at.state, result); err != nil {
			return nil, "", err
		}
		if result, err = (scope{result, of.context}).fill(s.ResultSelector); err != nil {
			return nil, "", err
		}
	}
	if after, err = put(input, s.ResultPath, result); err != nil {
		return nil, "", err
	}
	if s.OutputPath != nil {
		after, err = scope{after, of.context}.value(*s.OutputPath)
	}
	return after, s.Next, err
}

// number is the number that a path leads to.
func (of scope) number(path string) (float64, error) {
	value, err := of.value(path)
	if err != nil {
		return 0, err
	}
	number, ok := value.(float64)
	if !ok || number < 0 {
		return 0, fmt.Errorf("%s is %v: expected a number", path, value)
	}
	return number, nil
}

func (s state) choose(of scope) (next string, err error) {
	for _, r := range s.Choices {
		holds, err := r.holds(of)
		if err != nil {
			return "", err
		}
		if holds {
			return r.Next, nil
		}
	}
	if s.Default == "" {
		return "", Error{Name: noChoice}
	}
	return s.Default, nil
}

// holds reports whether a rule of a Choice does.
func (r rule) holds(of scope) (bool, error) {
	every := func(rules []rule, want bool) (bool, error) {
		for _, r := range rules {
			if holds, err := r.holds(of); err != nil || holds != want {
				return !want, err
			}
		}
		return want, nil
	}
	switch {
	case r.And != nil:
		return every(r.And, true)
	case r.Or != nil:
		return every(r.Or, false)
	case r.Not != nil:
		holds, err := r.Not.holds(of)
		return !holds, err
	}
	value, err := of.value(r.Variable)
	if err != nil {
		return false, err
	}
	switch {
	case r.BooleanEquals != nil:
		return value == *r.BooleanEquals, nil
	case r.IsNull != nil:
		return (value == nil) == *r.IsNull, nil
	case r.StringEquals != nil:
		return value == *r.StringEquals, nil
	case r.StringMatches != nil:
		written, isText := value.(string)
		return isText && matches(written, *r.StringMatches), nil
	default: // as check has seen
		number, is := value.(float64)
		return is && number > *r.NumericGreaterThan, nil
	}
}

// matches reports whether a text is like a pattern, in which * is any text.
func matches(written, pattern string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return written == pattern
	}
	rest, ok := strings.CutPrefix(written, parts[0])
	for _, part := range parts[1 : len(parts)-1] {
		at := strings.Index(rest, part)
		if ok = ok && at >= 0; !ok {
			return false
		}
		rest = rest[at+len(part):]
	}
	return ok && strings.HasSuffix(rest, parts[len(parts)-1])
}

// fail is the error of a Fail.
func (s state) fail(of scope) error {
	failed := Error{s.Error, s.Cause}
	for path, into := range map[string]*string{s.ErrorPath: &failed.Name, s.CausePath: &failed.Cause} {
		if path == "" {
			continue
		}
		value, err := of.value(path)
		if err != nil {
			return err
		}
		written, isText := value.(string)
		if !isText {
			return fmt.Errorf("%s is %v: expected a string", path, value)
		}
		*into = written
	}
	return failed
}

// task does a task within its time.
func (e *Execution) task(ctx context.Context, s state, name string, of scope) (any, error) {
	_, resource, _ := strings.Cut(s.Resource, serviceOf)
	task, limit := Task{State: name, Resource: resource}, s.TimeoutSeconds
	var err error
	if s.TimeoutSecondsPath != "" {
		if limit, err = of.number(s.TimeoutSecondsPath); err != nil {
			return nil, err
		}
	}
	var resumed chan any
	if strings.HasSuffix(resource, waits) {
		task.Token, resumed = e.wait()
		defer e.forget(task.Token)
		of.context["Task"] = map[string]any{"Token": task.Token}
	}
	if task.Parameters, err = of.fill(s.Parameters); err != nil {
		return nil, err
	}
	if err := e.fits(name, task.Parameters); err != nil {
		return nil, err
	}
	within := ctx
	if limit > 0 {
		var cancel context.CancelFunc
		within, cancel = context.WithTimeoutCause(ctx, seconds(limit), errTask)
		defer cancel()
	}
	result, err := e.Do(within, task)
	if err == nil && resumed != nil {
		select {
		case result = <-resumed:
		case <-within.Done():
		}
	}
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case within.Err() != nil:
		return nil, Error{Name: Timeout}
	case err != nil:
		return nil, err
	}
	return result, e.fits(name, result)
}

func (e *Execution) wait() (token string, resumed chan any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.waiting == nil {
		e.waiting = map[string]chan any{}
	}
	e.tokens++
	token, resumed = fmt.Sprintf("token-%d", e.tokens), make(chan any, 1)
	e.waiting[token] = resumed
	return token, resumed
}

func (e *Execution) forget(token string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.waiting, token)
}

// items runs a machine on each item of a Map, some at a time and in their order. The output is of those that ended well.
func (e *Execution) items(ctx context.Context, s state, at *position, of scope) (any, error) {
	limit := s.MaxConcurrency
	if s.MaxConcurrencyPath != "" {
		number, err := of.number(s.MaxConcurrencyPath)
		if err != nil {
			return nil, err
		}
		limit = int(number)
	}
	if at.items == nil {
		var err error
		if at.items, err = e.lay(ctx, s, at.state, of); err != nil {
			return nil, err
		}
	}
	if limit == 0 {
		limit = 10_000 // https://docs.aws.amazon.com/step-functions/latest/dg/state-map-distributed.html
	}
	within, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var group sync.WaitGroup
	var mu sync.Mutex // guards what follows
	failed := 0
	var fault error
	places := make(chan struct{}, limit)
	for n, one := range at.items {
		if one.ended {
			continue
		}
		select {
		case places <- struct{}{}:
		case <-within.Done():
		}
		if within.Err() != nil {
			break
		}
		group.Go(func() {
			defer func() { <-places }()
			output, err := e.run(within, *s.ItemProcessor, &one.at, map[string]any{"Index": float64(n)})
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				one.output, one.ended = output, true
			case within.Err() != nil: // it was aborted
			case errors.As(err, &Error{}):
				if failed++; failed > s.ToleratedFailureCount {
					fault = Error{Name: tooManyFailed}
					cancel(fault)
				}
			default:
				fault = err
				cancel(err)
			}
		})
	}
	group.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if fault != nil {
		return nil, fault
	}
	outputs := []any{}
	for _, one := range at.items {
		if one.ended {
			outputs = append(outputs, one.output)
		}
	}
	return outputs, e.fits(at.state, outputs)
}

// lay makes the items of a Map.
func (e *Execution) lay(ctx context.Context, s state, name string, of scope) ([]*item, error) {
	values, err := e.values(ctx, s, of)
	if err != nil {
		return nil, err
	}
	items := make([]*item, len(values))
	for n, value := range values {
		data := value
		if s.ItemSelector != nil {
			of.context["Map"] = map[string]any{"Item": map[string]any{"Index": float64(n), "Value": value}}
			if data, err = of.fill(s.ItemSelector); err != nil {
				return nil, err
			}
		}
		if err := e.fits(name, data); err != nil {
			return nil, err
		}
		items[n] = &item{at: position{state: s.ItemProcessor.StartAt, data: data}}
	}
	return items, nil
}

func (e *Execution) values(ctx context.Context, s state, of scope) ([]any, error) {
	if s.ItemReader == nil {
		value, err := of.value(s.ItemsPath)
		values, ok := value.([]any)
		if err == nil && !ok {
			err = fmt.Errorf("%s leads to no array", s.ItemsPath)
		}
		return values, err
	}
	where, err := of.fill(s.ItemReader.Parameters)
	if err != nil {
		return nil, err
	}
	read, err := e.Object(ctx, fmt.Sprint(where["Bucket"]), fmt.Sprint(where["Key"]))
	if err != nil {
		return nil, err
	}
	var values []any
	return values, json.Unmarshal(read, &values)
}
