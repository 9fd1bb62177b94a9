package follow_test

import (
	"context"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	machine   = "arn:aws:states:eu-west-1:123456789012:stateMachine:pod-inventory"
	execution = "arn:aws:states:eu-west-1:123456789012:execution:pod-inventory:one"
)

var began = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// fakeStepFunctions has one execution, and returns more of its history at each look.
type fakeStepFunctions struct {
	events []types.HistoryEvent
	// end is the execution's status after all of its history.
	end sfn.DescribeExecutionOutput
	// perLook is how many more events each look returns; 0 is all.
	perLook int
	// pageSize is how many events a page has; 0 is all.
	pageSize int
	// unknownFor is how many looks do not find the execution.
	unknownFor int
	// descriptionLag is how many descriptions still have the status RUNNING after the end.
	descriptionLag int
	// startError is the error of StartExecution.
	startError error

	started []*sfn.StartExecutionInput
	looks   int
	tokens  []string
	shown   int
}

func (f *fakeStepFunctions) StartExecution(ctx context.Context, in *sfn.StartExecutionInput, _ ...func(*sfn.Options)) (*sfn.StartExecutionOutput, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f.started = append(f.started, in)
	if f.startError != nil {
		return nil, f.startError
	}
	return &sfn.StartExecutionOutput{ExecutionArn: aws.String(execution), StartDate: aws.Time(began)}, nil
}

func (f *fakeStepFunctions) DescribeExecution(ctx context.Context, in *sfn.DescribeExecutionInput, _ ...func(*sfn.Options)) (*sfn.DescribeExecutionOutput, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if aws.ToString(in.ExecutionArn) != execution {
		return nil, &types.ExecutionDoesNotExist{Message: aws.String("Execution Does Not Exist")}
	}
	out := f.end
	out.Name, out.StartDate = aws.String("one"), aws.Time(began)
	if f.shown < len(f.events) || f.descriptionLag > 0 {
		if f.shown >= len(f.events) {
			f.descriptionLag--
		}
		return &sfn.DescribeExecutionOutput{Name: out.Name, StartDate: out.StartDate, Status: types.ExecutionStatusRunning}, nil
	}
	return &out, nil
}

func (f *fakeStepFunctions) GetExecutionHistory(ctx context.Context, in *sfn.GetExecutionHistoryInput, _ ...func(*sfn.Options)) (*sfn.GetExecutionHistoryOutput, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f.looks++
	if f.looks <= f.unknownFor {
		return nil, &types.ExecutionDoesNotExist{Message: aws.String("Execution Does Not Exist")}
	}
	token := aws.ToString(in.NextToken)
	f.tokens = append(f.tokens, token)
	f.shown = len(f.events)
	if f.perLook > 0 {
		f.shown = min(f.looks*f.perLook, len(f.events))
	}
	from, _ := strconv.Atoi(token)
	to := f.shown
	if f.pageSize > 0 {
		to = min(from+f.pageSize, f.shown)
	}
	out := &sfn.GetExecutionHistoryOutput{Events: f.events[from:to]}
	if to < f.shown {
		out.NextToken = aws.String(strconv.Itoa(to))
	}
	return out, nil
}

// recorded returns a recorded history, without inputs and outputs.
func recorded(t *testing.T, name string) []types.HistoryEvent {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", name))
	require.NoError(t, err)
	var events []types.HistoryEvent
	require.NoError(t, json.Unmarshal(content, &events))
	require.NotEmpty(t, events)
	return events
}

// script makes a history, in which each event is 10 ms after the one before.
type script struct {
	events []types.HistoryEvent
	clock  time.Time
}

func newScript() *script {
	s := &script{clock: began}
	s.add(types.HistoryEvent{Type: types.HistoryEventTypeExecutionStarted})
	return s
}

// add appends an event that follows the last one, or that of its PreviousEventId.
func (s *script) add(e types.HistoryEvent) int64 {
	e.Id = int64(len(s.events) + 1)
	if e.PreviousEventId == 0 {
		e.PreviousEventId = e.Id - 1
	}
	s.clock = s.clock.Add(10 * time.Millisecond)
	e.Timestamp = aws.Time(s.clock)
	s.events = append(s.events, e)
	return e.Id
}

func (s *script) wait(d time.Duration) { s.clock = s.clock.Add(d) }

func (s *script) enter(kind types.HistoryEventType, state string) int64 {
	return s.add(types.HistoryEvent{Type: kind, StateEnteredEventDetails: &types.StateEnteredEventDetails{Name: aws.String(state)}})
}

func (s *script) exit(kind types.HistoryEventType, state string) int64 {
	return s.add(types.HistoryEvent{Type: kind, StateExitedEventDetails: &types.StateExitedEventDetails{Name: aws.String(state)}})
}

func (s *script) event(kind types.HistoryEventType) int64 {
	return s.add(types.HistoryEvent{Type: kind})
}

func (s *script) lambdaFails(name, cause string) int64 {
	s.event(types.HistoryEventTypeLambdaFunctionScheduled)
	return s.add(types.HistoryEvent{
		Type:                             types.HistoryEventTypeLambdaFunctionFailed,
		LambdaFunctionFailedEventDetails: &types.LambdaFunctionFailedEventDetails{Error: aws.String(name), Cause: aws.String(cause)},
	})
}

// task appends the events of a task state that succeeds.
func (s *script) task(state string) {
	s.enter(types.HistoryEventTypeTaskStateEntered, state)
	s.event(types.HistoryEventTypeLambdaFunctionScheduled)
	s.event(types.HistoryEventTypeLambdaFunctionSucceeded)
	s.exit(types.HistoryEventTypeTaskStateExited, state)
}

func ends(status types.ExecutionStatus, name, cause string) sfn.DescribeExecutionOutput {
	out := sfn.DescribeExecutionOutput{Status: status, StopDate: aws.Time(began.Add(2400 * time.Millisecond))}
	if status == types.ExecutionStatusSucceeded {
		out.Output = aws.String(`{"pods":{}}`)
	}
	if name != "" {
		out.Error, out.Cause = aws.String(name), aws.String(cause)
	}
	return out
}

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares a text with a golden file.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden")
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, string(want), got)
}
