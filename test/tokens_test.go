package test

import (
	"bytes"
	"context"
	"encoding/json"
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

// inTheClear is the prefix of every bearer token of EKS.
const inTheClear = "k8s-aws-v1."

// leaks is where a token was found, and how much was searched.
type leaks struct {
	text             string
	places           []string
	executions, logs int
}

// find searches the input, output and history of every execution of these state machines, and every log in the folder, for a
// text.
func find(ctx context.Context, client *sfn.Client, text, folder string, machines []string) (leaks, error) {
	found := leaks{text: text}
	if err := found.readLogs(folder); err != nil {
		return found, err
	}
	for _, machine := range machines {
		if err := found.readExecutions(ctx, client, machine); err != nil {
			return found, err
		}
	}
	return found, nil
}

// allMachines returns the ARNs of all state machines.
func allMachines(ctx context.Context, client *sfn.Client) ([]string, error) {
	var all []string
	for machines := sfn.NewListStateMachinesPaginator(client, &sfn.ListStateMachinesInput{}); machines.HasMorePages(); {
		page, err := machines.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("list the state machines: %w", err)
		}
		for _, machine := range page.StateMachines {
			all = append(all, *machine.StateMachineArn)
		}
	}
	return all, nil
}

func (l *leaks) readExecutions(ctx context.Context, client *sfn.Client, machine string) error {
	for executions := sfn.NewListExecutionsPaginator(client, &sfn.ListExecutionsInput{StateMachineArn: &machine}); executions.HasMorePages(); {
		page, err := executions.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("list the executions of %s: %w", machine, err)
		}
		for _, execution := range page.Executions {
			described, err := client.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: execution.ExecutionArn})
			if err != nil {
				return fmt.Errorf("describe execution %s: %w", *execution.ExecutionArn, err)
			}
			var events []types.HistoryEvent
			for history := sfn.NewGetExecutionHistoryPaginator(client, &sfn.GetExecutionHistoryInput{ExecutionArn: execution.ExecutionArn}); history.HasMorePages(); {
				page, err := history.NextPage(ctx)
				if err != nil {
					return fmt.Errorf("read the history of %s: %w", *execution.ExecutionArn, err)
				}
				events = append(events, page.Events...)
			}
			text, err := json.Marshal([]any{described, events})
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
	s := newScenario(t)
	found, err := find(t.Context(), s.client, inTheClear, folder, []string{s.machine})
	require.NoError(t, err)
	assert.Equal(t, []string{"log " + file}, found.places)

	// Not a token's prefix, which the check at the end would find too.
	const planted = "planted-v1."
	s.run(t, `{"clusterName":"demo","`+planted+`":true}`)
	found, err = find(t.Context(), s.client, planted, logs, []string{s.machine})
	require.NoError(t, err)
	assert.Contains(t, found.places, "execution "+s.executions[0].ARN)
	assert.Contains(t, found.places, "log "+filepath.Join(logs, s.stack.Name+"-describe-cluster.log"), "the function names the unknown key")
	all, err := allMachines(t.Context(), s.client)
	require.NoError(t, err)
	assert.Contains(t, all, s.machine, "the check at the end reads them all")
}
