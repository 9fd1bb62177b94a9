package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kubestep/kubestep/internal/follow"
)

// followVerb is the verb that shows an execution which somebody started already.
func followVerb() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "follow EXECUTION",
		Short: "Show an execution that was started already",
		Long: `Show the states of an execution, from its first one to its end, and print its
output. The execution may be running or over. EXECUTION is its name or its ARN.`,
		Example: `  # By the name that kubestep list prints
  kubestep follow morning

  # An execution that a schedule or another program started
  kubestep follow arn:aws:states:eu-west-1:111122223333:execution:kubestep-pod-inventory:morning

  # Start an execution with the aws command and follow it
  kubestep follow "$(aws stepfunctions start-execution --state-machine-arn "$POD_INVENTORY_ARN" \
    --input '{"clusterName":"demo"}' --query executionArn --output text)"`,
		ValidArgsFunction: completeExecutions,
	}
	view := newViewer(cmd)
	of := &executions{stack: addStack(cmd), view: view}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var wrong problems
		if len(args) == 0 {
			wrong.add("there is no execution: give its name or its ARN, as kubestep list prints them")
			return view.show(cmd, "", wrong, nil)
		}
		if len(args) > 1 {
			wrong.add("%q: expected one execution", strings.Join(args[1:], " "))
		}
		region := argumentRegion(args[0], &wrong)
		if region == "" && len(wrong) == 0 {
			arn, err := of.resolve(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			args[0] = arn
		}
		view.table = func(follow.Execution, paper) (string, error) {
			return "", fmt.Errorf("%s is not one of kubestep's state machines: use --output json", args[0])
		}
		view.recognizes = true
		return view.show(cmd, region, wrong, func(f *follow.Follower) (follow.Execution, error) {
			execution, err := f.Follow(cmd.Context(), args[0])
			explained := explain(err, execution, awsRequest{executionARN: args[0]})
			if err != nil && execution.Status == "" && cmd.Context().Err() == nil { // nobody knows whether there is one
				return execution, &refusal{explained}
			}
			return execution, explained
		})
	}
	return cmd
}
