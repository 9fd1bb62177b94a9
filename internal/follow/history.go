package follow

import (
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
)

// Step is one thing that happened to a state and is worth showing.
type Step struct {
	State string
	Kind  Kind
	// Attempt counts from 1: the attempt that ended, or the one that a retry begins.
	Attempt int
	// Duration is how long the attempt took, or how long the retry was waited for.
	Duration time.Duration
	// Error and Cause are set for an attempt that failed.
	Error, Cause string
}

// Kind is what happened.
type Kind int

const (
	// Succeeded means that a task, or a distributed Map, ended well.
	Succeeded Kind = iota + 1
	// Failed means that an attempt of a task, or a state's own evaluation, ended in an
	// error; what the machine does about it shows in the steps that follow.
	Failed
	// Retried means that a task, or the branches of a Parallel or Map, begins again.
	Retried
)

// history makes steps of the events of one execution.
//
// It relies on little: each event names the one before it, a state that is entered
// or exited is named, and an attempt is scheduled before it ends. Beyond that, the
// order of event types differs between Step Functions and the local engines.
type history struct {
	path  []string
	steps []Step
	ended bool

	last   int64
	marks  map[int64]mark
	latest *visit
}

// mark is what the events after one need to know of it.
type mark struct {
	at    time.Time
	visit *visit
	// opens reports whether the events that follow are inside the visited state.
	opens bool
}

// visit is one stay in a state, from when it is entered.
type visit struct {
	state string
	// parent is the Parallel or Map around the state, or nil.
	parent *visit
	// task reports whether the state does work; the others route.
	task bool
	// waits is true of a state that waits.
	waits bool
	// items is true of a Map whose items are executions of their own, with a history each.
	items bool
	// attempts counts the attempts of a task, or the starts of the branches of a
	// Parallel or Map.
	attempts int
	// began is when the running attempt began.
	began time.Time
	// failed is the error of the last attempt; empty if there is none.
	failed string
	exited bool
}

func newHistory() *history {
	return &history{marks: map[int64]mark{}}
}

// add takes an event in, once; it may amount to a step.
func (h *history) add(e types.HistoryEvent) (Step, bool) {
	if e.Id <= h.last {
		return Step{}, false
	}
	h.last = e.Id
	step, ok := h.step(e)
	if ok {
		h.steps = append(h.steps, step)
	}
	return step, ok
}

func (h *history) step(e types.HistoryEvent) (Step, bool) {
	at := aws.ToTime(e.Timestamp)
	before := h.marks[e.PreviousEventId]
	now := mark{at: at, visit: before.visit}
	defer func() { h.marks[e.Id] = now }()

	kind := string(e.Type)
	switch {
	case e.StateEnteredEventDetails != nil:
		now.visit = before.enter(aws.ToString(e.StateEnteredEventDetails.Name), kind == "TaskStateEntered", at)
		now.visit.waits = kind == "WaitStateEntered"
		h.path = append(h.path, now.visit.state)
		h.latest = now.visit

	case e.StateExitedEventDetails != nil:
		now.visit = before.visit.named(aws.ToString(e.StateExitedEventDetails.Name))
		if v := now.visit; v != nil {
			v.exited = true
			// A failure that is caught ends in an exit as well.
			if (v.task || v.items) && v.failed == "" {
				return Step{State: v.state, Kind: Succeeded, Attempt: max(v.attempts, 1), Duration: at.Sub(v.began)}, true
			}
		}

	case kind == "ParallelStateStarted", kind == "MapStateStarted":
		// A retry starts the branches anew, and follows from the event inside
		// of them that failed.
		now.visit, now.opens = before.visit.around(), true
		h.latest = now.visit
		return now.visit.attempt(at, before.at)

	case kind == "MapIterationStarted":
		now.visit, now.opens = before.visit.around(), true

	case kind == "MapRunStarted":
		now.visit = before.visit.around()
		if now.visit != nil {
			now.visit.items, h.latest = true, now.visit
		}

	case kind == "LambdaFunctionScheduled", kind == "TaskScheduled", kind == "ActivityScheduled":
		return now.visit.attempt(at, before.at)

	case strings.HasPrefix(kind, "Execution") && kind != "ExecutionStarted":
		h.ended = kind != "ExecutionRedriven"

	default:
		if name, cause, ok := failure(e); ok && now.visit != nil {
			v := now.visit
			v.failed = name
			return Step{State: v.state, Kind: Failed, Attempt: max(v.attempts, 1), Duration: at.Sub(v.began), Error: name, Cause: cause}, true
		}
	}
	return Step{}, false
}

// running describes what the machine is at, in a few words; empty where that
// is not known.
func (h *history) running() string {
	switch v := h.latest; {
	case v == nil || h.ended || v.exited || !v.task && !v.items && !v.waits:
		return ""
	case v.failed != "":
		return v.state + ": waiting after " + v.failed
	default:
		return v.state
	}
}

// enter begins a visit that follows from the mark.
func (m mark) enter(state string, task bool, at time.Time) *visit {
	v := &visit{state: state, task: task, began: at}
	switch {
	case m.opens:
		v.parent = m.visit
	case m.visit != nil:
		v.parent = m.visit.parent
	}
	return v
}

// named is the visit itself or the nearest around it of a state of that name.
func (v *visit) named(state string) *visit {
	for v != nil && v.state != state {
		v = v.parent
	}
	return v
}

// around is the visit itself if it is one of a Parallel or Map whose branches
// start, else the nearest around it.
func (v *visit) around() *visit {
	if v != nil && v.task {
		return v.parent.around()
	}
	return v
}

// attempt counts an attempt that begins; from the second on it is a retry.
func (v *visit) attempt(at, waitedSince time.Time) (Step, bool) {
	if v == nil {
		return Step{}, false
	}
	v.attempts++
	if v.attempts == 1 {
		return Step{}, false
	}
	v.began, v.failed = at, ""
	return Step{State: v.state, Kind: Retried, Attempt: v.attempts, Duration: at.Sub(waitedSince)}, true
}

// failure is the error of an event that ends an attempt in one, and whether the
// event is of that sort.
func failure(e types.HistoryEvent) (name, cause string, ok bool) {
	var n, c *string
	switch {
	case e.LambdaFunctionFailedEventDetails != nil:
		n, c = e.LambdaFunctionFailedEventDetails.Error, e.LambdaFunctionFailedEventDetails.Cause
	case e.LambdaFunctionTimedOutEventDetails != nil:
		n, c = e.LambdaFunctionTimedOutEventDetails.Error, e.LambdaFunctionTimedOutEventDetails.Cause
	case e.LambdaFunctionScheduleFailedEventDetails != nil:
		n, c = e.LambdaFunctionScheduleFailedEventDetails.Error, e.LambdaFunctionScheduleFailedEventDetails.Cause
	case e.LambdaFunctionStartFailedEventDetails != nil:
		n, c = e.LambdaFunctionStartFailedEventDetails.Error, e.LambdaFunctionStartFailedEventDetails.Cause
	case e.TaskFailedEventDetails != nil:
		n, c = e.TaskFailedEventDetails.Error, e.TaskFailedEventDetails.Cause
	case e.TaskTimedOutEventDetails != nil:
		n, c = e.TaskTimedOutEventDetails.Error, e.TaskTimedOutEventDetails.Cause
	case e.TaskStartFailedEventDetails != nil:
		n, c = e.TaskStartFailedEventDetails.Error, e.TaskStartFailedEventDetails.Cause
	case e.TaskSubmitFailedEventDetails != nil:
		n, c = e.TaskSubmitFailedEventDetails.Error, e.TaskSubmitFailedEventDetails.Cause
	case e.EvaluationFailedEventDetails != nil:
		n, c = e.EvaluationFailedEventDetails.Error, e.EvaluationFailedEventDetails.Cause
	default:
		if !strings.HasSuffix(string(e.Type), "TimedOut") {
			return "", "", false
		}
	}
	name = aws.ToString(n)
	switch {
	case name == "" && strings.HasSuffix(string(e.Type), "TimedOut"):
		name = "States.Timeout"
	case name == "":
		name = "an error without a name"
	}
	return name, aws.ToString(c), true
}
