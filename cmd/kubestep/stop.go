package main

import (
	"fmt"

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
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "stopped %s\n%s", terminal.Line(arn), afterwards(of, arn))
		return err //nolint:wrapcheck // it only writes
	}
	return cmd
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
