package test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/follow"
)

func TestTheShellOfIntegrateMDStartsAnExecutionAndWaits(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	s.mapRole(t)
	var script string
	for _, block := range commands(t, "docs/integrate.md") {
		if strings.Contains(block, "start-execution") {
			script = block
		}
	}
	require.NotEmpty(t, script)
	found, _, err := newShell(t, local.ControlPlane.Kubeconfig).run(t, []string{"STATE_MACHINE_ARN=" + s.machine + ":live"}, "bash", "-euc", script)
	require.NoError(t, err)
	require.NoError(t, valid(t, "output", found))
	var output contract.Output
	require.NoError(t, json.Unmarshal([]byte(found), &output))
	assert.Len(t, output.Access.Namespaces, 2)
}

// The emulator fails startExecution.sync:2 (https://github.com/getmoto/moto/issues/10076), so of the parent this runs
// what the local engine can: how it reads a failure of the execution that it waited for.
func TestTheParentOfIntegrateMDFailsAsTheExecutionDid(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(repository, "docs", "integrate", "parent.asl.json"))
	require.NoError(t, err)
	var parent map[string]any
	require.NoError(t, json.Unmarshal(text, &parent))
	parent["StartAt"] = "Explain"
	delete(parent["States"].(map[string]any), "Pods")
	definition, err := json.Marshal(parent)
	require.NoError(t, err)
	client, err := stepFunctions()
	require.NoError(t, err)
	made, err := client.CreateStateMachine(t.Context(), &sfn.CreateStateMachineInput{
		Name: aws.String("parent"), Definition: aws.String(string(definition)), RoleArn: aws.String("arn:aws:iam::111122223333:role/parent"),
	})
	require.NoError(t, err)
	cause, err := json.Marshal(map[string]any{"Status": "FAILED", "Error": "Forbidden", "Cause": "RBAC denies it."})
	require.NoError(t, err)
	input, err := json.Marshal(map[string]any{"Error": "States.TaskFailed", "Cause": string(cause)})
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	follower := follow.Follower{Client: client, Clock: follow.WallClock{}, Interval: 250 * time.Millisecond, Out: t.Output()}
	e, err := follower.Start(ctx, follow.Start{StateMachineARN: *made.StateMachineArn, Input: string(input)})
	require.NoError(t, err)
	assert.Equal(t, []any{types.ExecutionStatusFailed, "Forbidden", "RBAC denies it."}, []any{e.Status, e.Error, e.Cause})
}
