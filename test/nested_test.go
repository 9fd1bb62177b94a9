package test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// parent creates a state machine that starts executions of others.
func (s *scenario) parent(t *testing.T, name, definition string) string {
	t.Helper()
	made, err := s.client.CreateStateMachine(t.Context(), &sfn.CreateStateMachineInput{
		Name: aws.String(s.stack.Name + "-" + name), Definition: &definition, RoleArn: aws.String("arn:aws:iam::111122223333:role/parent"),
	})
	require.NoError(t, err)
	return *made.StateMachineArn
}

// child returns the key answer of its input, or fails if there is none.
const child = `{"StartAt":"Choose","States":{
	"Choose":{"Type":"Choice","Choices":[{"Variable":"$.answer","IsPresent":true,"Next":"Answer"}],"Default":"Refuse"},
	"Answer":{"Type":"Pass","OutputPath":"$.answer","End":true},
	"Refuse":{"Type":"Fail","Error":"Refused","Cause":"There is no answer."}}}`

// local/moto/server.py makes this work. AWS documents the result of an execution:
// https://docs.aws.amazon.com/step-functions/latest/dg/connect-stepfunctions.html
func TestAnExecutionStartsOthersAndReadsTheirOutcomes(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	start := fmt.Sprintf(`{
		"Type":"Task","Resource":"arn:aws:states:::states:startExecution.sync:2","Parameters":{"StateMachineArn":%q,"Input.$":"$"},
		"Catch":[{"ErrorEquals":["States.TaskFailed"],"Next":"Read"}],"End":true}`, s.parent(t, "child", child))
	states := fmt.Sprintf(`"StartAt":"Start","States":{"Start":%s,"Read":{"Type":"Pass","Parameters":{"Failed.$":"States.StringToJson($.Cause)"},"End":true}}`, start)
	for kind, definition := range map[string]string{
		"one by one": `{"StartAt":"Each","States":{"Each":{"Type":"Map","ItemProcessor":{"ProcessorConfig":{"Mode":"INLINE"},` + states + `},"End":true}}}`,
		"distributed": `{"StartAt":"Each","States":{"Each":{"Type":"Map","ItemProcessor":{"ProcessorConfig":{"Mode":"DISTRIBUTED","ExecutionType":"STANDARD"},` +
			states + `},"End":true}}}`,
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			e := s.start(t, s.parent(t, kind[:3], definition), `[{"answer":42},{}]`)

			require.Equal(t, types.ExecutionStatusSucceeded, e.Status, e.Cause)
			var outcomes []struct {
				ExecutionArn, Status string
				Input                json.RawMessage
				Output               int
				StartDate, StopDate  int64
				Failed               struct{ Status, Error, Cause string }
			}
			require.NoError(t, json.Unmarshal([]byte(e.Output), &outcomes))
			require.Len(t, outcomes, 2)
			succeeded, failed := outcomes[0], outcomes[1]
			assert.Equal(t, "SUCCEEDED", succeeded.Status)
			assert.JSONEq(t, `{"answer":42}`, string(succeeded.Input))
			assert.Equal(t, 42, succeeded.Output, "a value, not JSON in a string")
			assert.Contains(t, succeeded.ExecutionArn, ":execution:"+s.stack.Name+"-child:")
			assert.GreaterOrEqual(t, succeeded.StopDate, succeeded.StartDate)
			assert.Equal(t, "Refused: There is no answer.", failed.Failed.Error+": "+failed.Failed.Cause)
			assert.Equal(t, "FAILED", failed.Failed.Status)
		})
	}
}

// local/moto/server.py makes this work, too. https://docs.aws.amazon.com/step-functions/latest/apireference/API_StopExecution.html
func TestAnExecutionThatWaitsForATaskTokenIsAbortedOnceItIsStopped(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	// Nobody sends the token that the child is told.
	ask := fmt.Sprintf(`"StartAt":"Ask","States":{"Ask":{
		"Type":"Task","Resource":"arn:aws:states:::states:startExecution.waitForTaskToken","Parameters":{"StateMachineArn":%q,"Input":{"answer.$":"$$.Task.Token"}},
		"Retry":[{"ErrorEquals":["States.ALL"],"IntervalSeconds":1}],"Catch":[{"ErrorEquals":["States.ALL"],"Next":"Caught"}],"End":true},"Caught":{"Type":"Pass","End":true}}`, s.parent(t, "told", child))
	waits := s.parent(t, "waits", "{"+ask+"}")
	for kind, c := range map[string]struct {
		machine string
		path    []string
	}{
		"in a state": {waits, []string{"Ask"}},
		"in a Map": {s.parent(t, "map", `{"StartAt":"Each","States":{"Each":{"Type":"Map","Catch":[{"ErrorEquals":["States.ALL"],"Next":"Caught"}],
			"ItemProcessor":{"ProcessorConfig":{"Mode":"INLINE"},`+ask+`},"End":true},"Caught":{"Type":"Pass","End":true}}}`), []string{"Each", "Ask", "Ask"}},
		"in an execution that it has started": {s.parent(t, "outer", fmt.Sprintf(`{"StartAt":"Start","States":{"Start":{"Type":"Task","Resource":"arn:aws:states:::states:startExecution.sync:2",
			"Parameters":{"StateMachineArn":%q},"Catch":[{"ErrorEquals":["States.ALL"],"Next":"Caught"}],"End":true},"Caught":{"Type":"Pass","End":true}}}`, waits)), []string{"Start"}},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			started, err := s.client.StartExecution(t.Context(), &sfn.StartExecutionInput{StateMachineArn: &c.machine, Input: aws.String(`[1,2]`)})
			require.NoError(t, err)
			submitted := func(c *assert.CollectT) {
				history, err := s.client.GetExecutionHistory(t.Context(), &sfn.GetExecutionHistoryInput{ExecutionArn: started.ExecutionArn})
				if assert.NoError(c, err) {
					assert.Contains(c, kinds(history.Events), types.HistoryEventTypeTaskSubmitted)
				}
			}
			require.EventuallyWithT(t, submitted, time.Minute, 100*time.Millisecond)

			_, err = s.client.StopExecution(t.Context(), &sfn.StopExecutionInput{ExecutionArn: started.ExecutionArn})

			require.NoError(t, err)
			described, err := s.client.DescribeExecution(t.Context(), &sfn.DescribeExecutionInput{ExecutionArn: started.ExecutionArn})
			require.NoError(t, err)
			require.Equal(t, types.ExecutionStatusAborted, described.Status)
			assert.NotNil(t, described.StopDate)
			e := s.follow(t, *started.ExecutionArn)
			assert.Equal(t, types.ExecutionStatusAborted, e.Status)
			assert.Equal(t, c.path, e.Path, "nothing is caught, nothing is tried again")
		})
	}
}

// kinds are the types of events.
func kinds(events []types.HistoryEvent) []types.HistoryEventType {
	all := make([]types.HistoryEventType, len(events))
	for i, e := range events {
		all[i] = e.Type
	}
	return all
}
