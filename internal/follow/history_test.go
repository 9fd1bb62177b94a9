package follow_test

import (
	"io"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/follow"
)

const ms = time.Millisecond

func TestSteps(t *testing.T) {
	for name, test := range map[string]struct {
		history func(*script)
		path    []string
		steps   []follow.Step
	}{
		"a task that ends well is a step": {
			history: func(s *script) { s.task("A") },
			path:    []string{"A"},
			steps:   []follow.Step{{State: "A", Kind: follow.Succeeded, Attempt: 1, Duration: 30 * ms}},
		},
		"states that route are in the path and no steps": {
			history: func(s *script) {
				s.enter(types.HistoryEventTypeChoiceStateEntered, "C")
				s.exit(types.HistoryEventTypeChoiceStateExited, "C")
				s.enter(types.HistoryEventTypePassStateEntered, "P")
				s.exit(types.HistoryEventTypePassStateExited, "P")
				s.enter(types.HistoryEventTypeFailStateEntered, "F")
			},
			path: []string{"C", "P", "F"},
		},
		"a distributed Map is a step, whose items are executions of their own": {
			history: func(s *script) {
				s.enter(types.HistoryEventTypeMapStateEntered, "M")
				s.event(types.HistoryEventTypeMapStateStarted)
				s.event(types.HistoryEventTypeMapRunStarted)
				s.event(types.HistoryEventTypeMapRunSucceeded)
				s.event(types.HistoryEventTypeMapStateSucceeded)
				s.exit(types.HistoryEventTypeMapStateExited, "M")
			},
			path:  []string{"M"},
			steps: []follow.Step{{State: "M", Kind: follow.Succeeded, Attempt: 1, Duration: 50 * ms}},
		},
		"a retry of a task waits, then counts and times the new attempt": {
			history: func(s *script) {
				s.enter(types.HistoryEventTypeTaskStateEntered, "A")
				s.lambdaFails("Throttled", "later")
				s.wait(2 * time.Second)
				s.event(types.HistoryEventTypeLambdaFunctionScheduled)
				s.event(types.HistoryEventTypeLambdaFunctionStarted)
				s.event(types.HistoryEventTypeLambdaFunctionSucceeded)
				s.exit(types.HistoryEventTypeTaskStateExited, "A")
			},
			path: []string{"A"},
			steps: []follow.Step{
				{State: "A", Kind: follow.Failed, Attempt: 1, Duration: 20 * ms, Error: "Throttled", Cause: "later"},
				{State: "A", Kind: follow.Retried, Attempt: 2, Duration: 2010 * ms},
				{State: "A", Kind: follow.Succeeded, Attempt: 2, Duration: 30 * ms},
			},
		},
		"a task of a service integration is recognized by its own events": {
			history: func(s *script) {
				s.enter(types.HistoryEventTypeTaskStateEntered, "A")
				s.event(types.HistoryEventTypeTaskScheduled)
				s.add(types.HistoryEvent{Type: types.HistoryEventTypeTaskFailed, TaskFailedEventDetails: &types.TaskFailedEventDetails{Error: aws.String("Throttled")}})
				s.event(types.HistoryEventTypeTaskScheduled)
				s.event(types.HistoryEventTypeTaskStarted)
				s.event(types.HistoryEventTypeTaskSucceeded)
				s.exit(types.HistoryEventTypeTaskStateExited, "A")
			},
			path: []string{"A"},
			steps: []follow.Step{
				{State: "A", Kind: follow.Failed, Attempt: 1, Duration: 20 * ms, Error: "Throttled"},
				{State: "A", Kind: follow.Retried, Attempt: 2, Duration: 10 * ms},
				{State: "A", Kind: follow.Succeeded, Attempt: 2, Duration: 30 * ms},
			},
		},
		"a failure that is caught ends in an exit, which is not a success": {
			history: func(s *script) {
				s.enter(types.HistoryEventTypeTaskStateEntered, "A")
				s.lambdaFails("InvalidInput", "namespace: no such key")
				s.exit(types.HistoryEventTypeTaskStateExited, "A")
				s.enter(types.HistoryEventTypeFailStateEntered, "Stopped")
			},
			path:  []string{"A", "Stopped"},
			steps: []follow.Step{{State: "A", Kind: follow.Failed, Attempt: 1, Duration: 20 * ms, Error: "InvalidInput", Cause: "namespace: no such key"}},
		},
		"a time-out is named, with details and without": {
			history: func(s *script) {
				s.enter(types.HistoryEventTypeTaskStateEntered, "A")
				s.event(types.HistoryEventTypeLambdaFunctionScheduled)
				s.event(types.HistoryEventTypeLambdaFunctionTimedOut)
				s.event(types.HistoryEventTypeLambdaFunctionScheduled)
				s.add(types.HistoryEvent{Type: types.HistoryEventTypeTaskTimedOut, TaskTimedOutEventDetails: &types.TaskTimedOutEventDetails{}})
			},
			path: []string{"A"},
			steps: []follow.Step{
				{State: "A", Kind: follow.Failed, Attempt: 1, Duration: 20 * ms, Error: "States.Timeout"},
				{State: "A", Kind: follow.Retried, Attempt: 2, Duration: 10 * ms},
				{State: "A", Kind: follow.Failed, Attempt: 2, Duration: 10 * ms, Error: "States.Timeout"},
			},
		},
		"a Parallel whose Retry starts its branch again says so with its own name": {
			history: func(s *script) {
				s.enter(types.HistoryEventTypeParallelStateEntered, "Try")
				s.event(types.HistoryEventTypeParallelStateStarted)
				s.task("A")
				s.enter(types.HistoryEventTypeTaskStateEntered, "B")
				s.lambdaFails("Unauthorized", "")
				s.wait(time.Second)
				s.event(types.HistoryEventTypeParallelStateStarted)
				s.task("A")
				s.task("B")
				s.event(types.HistoryEventTypeParallelStateSucceeded)
				s.exit(types.HistoryEventTypeParallelStateExited, "Try")
				s.task("C")
			},
			path: []string{"Try", "A", "B", "A", "B", "C"},
			steps: []follow.Step{
				{State: "A", Kind: follow.Succeeded, Attempt: 1, Duration: 30 * ms},
				{State: "B", Kind: follow.Failed, Attempt: 1, Duration: 20 * ms, Error: "Unauthorized"},
				{State: "Try", Kind: follow.Retried, Attempt: 2, Duration: 1010 * ms},
				{State: "A", Kind: follow.Succeeded, Attempt: 1, Duration: 30 * ms},
				{State: "B", Kind: follow.Succeeded, Attempt: 1, Duration: 30 * ms},
				{State: "C", Kind: follow.Succeeded, Attempt: 1, Duration: 30 * ms},
			},
		},
		"the same if the engine reports the failed Parallel before": {
			history: func(s *script) {
				s.enter(types.HistoryEventTypeParallelStateEntered, "Try")
				s.event(types.HistoryEventTypeParallelStateStarted)
				s.enter(types.HistoryEventTypeTaskStateEntered, "A")
				s.lambdaFails("Unauthorized", "")
				s.event(types.HistoryEventTypeParallelStateFailed)
				s.event(types.HistoryEventTypeParallelStateStarted)
				s.task("A")
			},
			path: []string{"Try", "A", "A"},
			steps: []follow.Step{
				{State: "A", Kind: follow.Failed, Attempt: 1, Duration: 20 * ms, Error: "Unauthorized"},
				{State: "Try", Kind: follow.Retried, Attempt: 2, Duration: 10 * ms},
				{State: "A", Kind: follow.Succeeded, Attempt: 1, Duration: 30 * ms},
			},
		},
		"a Parallel that a loop enters again is not a retry": {
			history: func(s *script) {
				for range 2 {
					s.enter(types.HistoryEventTypeParallelStateEntered, "Try")
					s.event(types.HistoryEventTypeParallelStateStarted)
					s.task("A")
					s.event(types.HistoryEventTypeParallelStateSucceeded)
					s.exit(types.HistoryEventTypeParallelStateExited, "Try")
				}
			},
			path: []string{"Try", "A", "Try", "A"},
			steps: []follow.Step{
				{State: "A", Kind: follow.Succeeded, Attempt: 1, Duration: 30 * ms},
				{State: "A", Kind: follow.Succeeded, Attempt: 1, Duration: 30 * ms},
			},
		},
		"branches that run at once are kept apart": {
			history: func(s *script) {
				s.enter(types.HistoryEventTypeParallelStateEntered, "Both")
				started := s.event(types.HistoryEventTypeParallelStateStarted)
				a := s.enter(types.HistoryEventTypeTaskStateEntered, "A")
				b := s.add(types.HistoryEvent{Type: types.HistoryEventTypeTaskStateEntered, PreviousEventId: started, StateEnteredEventDetails: &types.StateEnteredEventDetails{Name: aws.String("B")}})
				a = s.add(types.HistoryEvent{Type: types.HistoryEventTypeLambdaFunctionScheduled, PreviousEventId: a})
				s.add(types.HistoryEvent{Type: types.HistoryEventTypeLambdaFunctionScheduled, PreviousEventId: b})
				s.add(types.HistoryEvent{Type: types.HistoryEventTypeLambdaFunctionFailed, PreviousEventId: a, LambdaFunctionFailedEventDetails: &types.LambdaFunctionFailedEventDetails{Error: aws.String("Throttled")}})
			},
			path:  []string{"Both", "A", "B"},
			steps: []follow.Step{{State: "A", Kind: follow.Failed, Attempt: 1, Duration: 40 * ms, Error: "Throttled"}},
		},
		"events that follow from nothing known do no harm": {
			history: func(s *script) {
				s.event(types.HistoryEventTypeLambdaFunctionScheduled)
				s.lambdaFails("Odd", "")
				s.event(types.HistoryEventTypeParallelStateStarted)
				s.exit(types.HistoryEventTypeTaskStateExited, "A")
				s.add(types.HistoryEvent{Type: "SomethingNew", PreviousEventId: 999})
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScript()
			test.history(s)
			s.event(types.HistoryEventTypeExecutionSucceeded)
			fake := &fakeStepFunctions{events: s.events, end: ends(types.ExecutionStatusSucceeded, "", "")}
			got, err := follower(fake, io.Discard).Start(t.Context(), start)
			require.NoError(t, err)
			assert.Equal(t, test.path, got.Path)
			assert.Equal(t, test.steps, got.Steps)
		})
	}
}
