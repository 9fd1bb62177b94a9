package test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// inTheClear is how every bearer token of EKS begins.
const inTheClear = "k8s-aws-v1."

// leaks is where a token was found, and in how much it was looked for.
type leaks struct {
	text             string
	places           []string
	executions, logs int
}

// find reads every input, output and history of every execution, and every log
// below the folder, for a text.
func find(ctx context.Context, text, folder string) (leaks, error) {
	found := leaks{text: text}
	if err := found.readLogs(folder); err != nil {
		return found, err
	}
	client, err := stepFunctions()
	if err != nil {
		return found, err
	}
	for machines := sfn.NewListStateMachinesPaginator(client, &sfn.ListStateMachinesInput{}); machines.HasMorePages(); {
		page, err := machines.NextPage(ctx)
		if err != nil {
			return found, fmt.Errorf("list the state machines: %w", err)
		}
		for _, machine := range page.StateMachines {
			if err := found.readExecutions(ctx, client, *machine.StateMachineArn); err != nil {
				return found, err
			}
		}
	}
	return found, nil
}

func (l *leaks) readExecutions(ctx context.Context, client *sfn.Client, machine string) error {
	for executions := sfn.NewListExecutionsPaginator(client, &sfn.ListExecutionsInput{StateMachineArn: &machine}); executions.HasMorePages(); {
		page, err := executions.NextPage(ctx)
		var gone *types.StateMachineDoesNotExist
		if errors.As(err, &gone) {
			return nil // a scenario that runs at the same time has removed its stack
		}
		if err != nil {
			return fmt.Errorf("list the executions of %s: %w", machine, err)
		}
		for _, execution := range page.Executions {
			described, err := client.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: execution.ExecutionArn})
			var gone *types.ExecutionDoesNotExist
			if errors.As(err, &gone) {
				continue
			}
			if err != nil {
				return fmt.Errorf("describe execution %s: %w", *execution.ExecutionArn, err)
			}
			history, err := client.GetExecutionHistory(ctx, &sfn.GetExecutionHistoryInput{ExecutionArn: execution.ExecutionArn})
			if err != nil {
				return fmt.Errorf("read the history of %s: %w", *execution.ExecutionArn, err)
			}
			text, err := json.Marshal([]any{described, history.Events})
			if err != nil {
				return fmt.Errorf("encode the history of %s: %w", *execution.ExecutionArn, err)
			}
			l.executions++
			l.look("execution "+*execution.ExecutionArn, text)
		}
	}
	return nil
}

func (l *leaks) readLogs(folder string) error {
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		l.logs++
		l.look("log "+path, text)
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the logs: %w", err)
	}
	return nil
}

func (l *leaks) look(where string, text []byte) {
	if bytes.Contains(text, []byte(l.text)) {
		l.places = append(l.places, where)
	}
}

func TestTheCheckForTokensFindsOneInALogAndInAnExecution(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	file := filepath.Join(folder, "function.log")
	require.NoError(t, os.WriteFile(file, []byte("Authorization: Bearer "+inTheClear+"aHR0cHM\n"), 0o600))
	found, err := find(t.Context(), inTheClear, folder)
	require.NoError(t, err)
	assert.Equal(t, []string{"log " + file}, found.places)

	// Another text than a token's own, which the check at the end would find too.
	const planted = "planted-v1."
	s := newScenario(t)
	s.run(t, `{"clusterName":"demo","`+planted+`":true}`)
	found, err = find(t.Context(), planted, logs)
	require.NoError(t, err)
	assert.Contains(t, found.places, "execution "+s.executions[0].ARN)
	assert.Contains(t, found.places, "log "+filepath.Join(logs, s.stack.Name+"-describe-cluster.log"), "the function names the unknown key")
}
