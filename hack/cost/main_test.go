package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func at(ms int64) *time.Time { return aws.Time(time.UnixMilli(ms)) }

func TestATransitionIsAStateThatIsEnteredAndAnInvocationIsBilledByMemoryAndTime(t *testing.T) {
	events := []types.HistoryEvent{
		{Id: 1, Type: types.HistoryEventTypeExecutionStarted, Timestamp: at(0)},
		{Id: 2, PreviousEventId: 1, Type: types.HistoryEventTypeTaskStateEntered, Timestamp: at(0), StateEnteredEventDetails: &types.StateEnteredEventDetails{}},
		{Id: 3, PreviousEventId: 2, Type: types.HistoryEventTypeLambdaFunctionScheduled, Timestamp: at(1), LambdaFunctionScheduledEventDetails: &types.LambdaFunctionScheduledEventDetails{Resource: aws.String("arn:aws:lambda:eu-west-1:111122223333:function:kubestep-apply-mint-token:7")}},
		{Id: 4, PreviousEventId: 3, Type: types.HistoryEventTypeLambdaFunctionStarted, Timestamp: at(10)},
		{Id: 5, PreviousEventId: 4, Type: types.HistoryEventTypeLambdaFunctionFailed, Timestamp: at(1010)},
		{Id: 6, PreviousEventId: 5, Type: types.HistoryEventTypeLambdaFunctionScheduled, Timestamp: at(2000), LambdaFunctionScheduledEventDetails: &types.LambdaFunctionScheduledEventDetails{Resource: aws.String("arn:aws:lambda:eu-west-1:111122223333:function:kubestep-apply-mint-token:7")}},
		{Id: 7, PreviousEventId: 6, Type: types.HistoryEventTypeLambdaFunctionStarted, Timestamp: at(2000)},
		{Id: 8, PreviousEventId: 7, Type: types.HistoryEventTypeLambdaFunctionSucceeded, Timestamp: at(2000)},
	}
	r, err := measure("a", events, map[string]float64{"mint-token": 1, "apply-mint-token": 0.5})
	require.NoError(t, err)
	assert.Equal(t, 3, r.transitions, "the start, the state, and its retry")
	assert.Equal(t, 2, r.invocations)
	assert.InDelta(t, 0.5*1.001, r.gbSeconds, 1e-9, "a millisecond at least, by the longest name that fits")

	_, err = measure("a", events, map[string]float64{"list-pods": 1})
	assert.ErrorContains(t, err, "kubestep-apply-mint-token")
}

func TestTheTemplateHasWhatTheTableOfAStackCounts(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "template.yml"))
	require.NoError(t, err)
	stack, err := readTemplate(text)
	require.NoError(t, err)
	assert.InDelta(t, 0.125, stack.memory["mint-token"], 1e-9, "the default of the template")
	assert.InDelta(t, 0.25, stack.memory["list-pods"], 1e-9)
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "cost.md"))
	require.NoError(t, err)
	assert.Contains(t, string(page), stack.table(), "go run ./hack/cost -write docs/cost.md LABEL=ARN …")
}

func TestATableTakesThePlaceOfTheOneBefore(t *testing.T) {
	got, err := between([]byte("a\n<!-- x (go run ./hack/cost) -->\nold\n<!-- end of x -->\nb\n"), "x", "new\n")
	require.NoError(t, err)
	assert.Equal(t, "a\n<!-- x (go run ./hack/cost) -->\nnew\n<!-- end of x -->\nb\n", string(got))
	_, err = between([]byte("a"), "x", "new\n")
	assert.Error(t, err)
}
