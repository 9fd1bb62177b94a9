package main

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/spf13/cobra"

	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/internal/contract/runjob"
	"github.com/kubestep/kubestep/internal/follow/terminal"
	"github.com/kubestep/kubestep/internal/shell"
)

// stopVerb is the verb that stops an execution.
func stopVerb() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "stop EXECUTION",
		Short: "Stop an execution",
		Long: `Stop an execution, which then ends as ABORTED. EXECUTION is its name or its ARN.

What it has changed in a cluster stays. An execution of a fleet stops those of its clusters, too,
and the Job of an execution is deleted. You need states:StopExecution and
states:DescribeExecution.

An execution of a state machine that is not the stack's is stopped with --force only.`,
		Example: `  # By its name, as kubestep list prints it
  kubestep stop morning

  # In another stack, for a reason that its history tells
  kubestep stop morning --stack kubestep-test --reason "wrong manifests"`,
		SuggestFor:        []string{"cancel", "abort", "kill"},
		ValidArgsFunction: completeExecutions,
	}
	of := newExecutions(cmd)
	reason, force := "", false
	cmd.Flags().StringVar(&reason, "reason", "", "why, as `TEXT`, for the history of the execution")
	cmd.Flags().BoolVar(&force, "force", false, "stop it even if its state machine is not the stack's")
	complete(cmd, "reason")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := oneExecution(args); err != nil {
			return err
		}
		arn, err := of.resolve(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		if err := of.checkOwn(cmd.Context(), arn); err != nil && !force {
			return err
		}
		described, err := of.one(cmd.Context(), arn)
		if err != nil {
			return &refusal{err}
		}
		if described.Status != types.ExecutionStatusRunning {
			return &failure{fmt.Errorf("%s does not run any more: it ended as %s", arn, described.Status)}
		}
		of.view.line.used.Store(false) // what was asked before stops nothing
		_, err = of.view.states.StopExecution(cmd.Context(), &sfn.StopExecutionInput{ExecutionArn: &arn, Error: aws.String("Stopped"), Cause: aws.String("kubestep stop: " + orNone(reason))})
		if err != nil && of.view.line.startedNothing(err) {
			return &refusal{explain(err, noExecution, awsRequest{executionARN: arn})}
		}
		if err != nil {
			return &failure{explain(err, noExecution, awsRequest{executionARN: arn})}
		}
		switch status, err := statusAfterStop(cmd.Context(), of.view.states, arn); {
		case err != nil:
			return &failure{fmt.Errorf("Step Functions took the request to stop %s, but not the question whether it has stopped: %w", arn, explain(err, noExecution, awsRequest{executionARN: arn}))}
		case status == types.ExecutionStatusRunning:
			return &failure{fmt.Errorf("Step Functions took the request to stop %s, which still runs. To see whether it stops: kubestep follow %s", arn, shell.Quote(arn))}
		case status != types.ExecutionStatusAborted:
			return &failure{fmt.Errorf("%s was not stopped: it ended as %s before", arn, status)}
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "stopped %s\n%s", terminal.Line(arn), afterwards(of, arn))
		return err //nolint:wrapcheck // it only writes
	}
	return cmd
}

const (
	// stopTimeout is how long an execution may still be described as running after it was stopped:
	// DescribeExecution is eventually consistent,
	// https://docs.aws.amazon.com/step-functions/latest/apireference/API_DescribeExecution.html
	stopTimeout  = 3 * time.Second
	stopInterval = 200 * time.Millisecond
)

// statusAfterStop is the status of an execution that was stopped, once it runs no more, or after stopTimeout.
func statusAfterStop(ctx context.Context, client *sfn.Client, arn string) (types.ExecutionStatus, error) {
	for until := time.Now().Add(stopTimeout); ; {
		described, err := client.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: &arn})
		if err != nil {
			return "", err //nolint:wrapcheck // the caller explains it
		}
		if described.Status != types.ExecutionStatusRunning || time.Now().After(until) {
			return described.Status, nil
		}
		select {
		case <-ctx.Done():
			return "", context.Cause(ctx)
		case <-time.After(stopInterval):
		}
	}
}

// orNone is a reason, or that none is given.
func orNone(reason string) string {
	if reason == "" {
		return "no reason given"
	}
	return reason
}

// afterwards says what is left of an execution that was stopped, by the name of its machine.
func afterwards(of *executions, arn string) string {
	switch of.workflowOf(arn) {
	case applymanifests.Name:
		return "What it has applied stays. To go on, apply the manifests again.\n"
	case runjob.Name:
		return "Its Job is deleted by another execution.\n"
	case fleet.Name:
		return "The executions of its clusters are stopped, too. To run the clusters that are left, within 14 days: aws stepfunctions redrive-execution --execution-arn " + shell.Quote(arn) + "\n"
	}
	return ""
}
