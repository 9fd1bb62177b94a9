package main

import (
	"bytes"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/workflow"
)

func TestAnExecutionIsShownAsTheWorkflowThatItsHistoryNames(t *testing.T) {
	scheduled := func(parameters string) types.HistoryEvent {
		return types.HistoryEvent{TaskScheduledEventDetails: &types.TaskScheduledEventDetails{Parameters: &parameters}}
	}
	entered := func(state string) types.HistoryEvent {
		return types.HistoryEvent{StateEnteredEventDetails: &types.StateEnteredEventDetails{Name: aws.String(state)}}
	}
	for want, event := range map[string]types.HistoryEvent{
		"pod-inventory":   scheduled(`{"FunctionName":"f","Payload":{"workflow":"pod-inventory","refresh":false}}`),
		"apply-manifests": scheduled(`{"FunctionName":"f","Payload":{"workflow":"apply-manifests"}}`),
		"fleet":           entered("FindClusters"),
	} {
		got, ok := machineOf(event)
		assert.True(t, ok, want)
		assert.Equal(t, want, got.Name)
	}
	for why, event := range map[string]types.HistoryEvent{
		"it has only begun":                {},
		"the state is in several machines": entered("DescribeCluster"),
		"the function is another one":      scheduled(`{"FunctionName":"f","Payload":{"cluster":{}}}`),
		"the workflow is another one":      scheduled(`{"Payload":{"workflow":"inventory"}}`),
		"the history holds no data":        scheduled(``),
		"it has no name of a function":     scheduled(`["pod-inventory"]`),
	} {
		_, ok := machineOf(event)
		assert.False(t, ok, why)
	}
}

func TestAWorkflowWithoutFlagsOfItsOwnTakesJSONAndShowsYAML(t *testing.T) {
	s := newStepFunctions(t, map[string]any{"status": "SUCCEEDED", "output": `{"things":{"total":7}}`})
	t.Setenv("COUNT_THINGS_ARN", podMachine)
	verb := startVerb(machine{Workflow: workflow.Workflow{Name: "count-things", Summary: "Count things"}, table: outputAsYAML})
	var out, err bytes.Buffer
	verb.SetOut(&out)
	verb.SetErr(&err)
	verb.SetArgs([]string{"demo", "--region", "eu-west-1", "--input", `{"color":"red"}`})

	require.NoError(t, verb.ExecuteContext(t.Context()))

	assert.JSONEq(t, `{"clusterName":"demo","region":"eu-west-1","color":"red"}`, s.called("StartExecution")[0].body["input"].(string))
	assert.Equal(t, podMachine, s.called("StartExecution")[0].body["stateMachineArn"])
	assert.Equal(t, "things:\n  total: 7\n", out.String())
	assert.Contains(t, verb.Long, "Count things.")
}
