package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/spf13/cobra"

	"github.com/kubestep/kubestep/internal/approval"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/follow/terminal"
)

// approvalsVerb is the verb that lists what waits for an approval.
func approvalsVerb(m machine) *cobra.Command {
	var arn string
	var asList bool
	cmd := &cobra.Command{
		Use:   "approvals",
		Short: "List the executions that wait for an approval",
		Long: `List the executions of apply-manifests that wait until somebody approves their plans,
with what each would change, and the digest that kubestep approve takes.`,
		Example: `  # All that wait
  kubestep approvals

  # The digests of what waits for one cluster
  kubestep approvals --json | jq -r '.[] | select(.cluster == "demo").digest'`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().StringVar(&arn, "state-machine-arn", m.arn(), "the `ARN` of the state machine apply-manifests; $"+m.Variable())
	cmd.Flags().BoolVar(&asList, "json", false, "print a list in JSON")
	var view viewer
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var wrong problems
		parsed := parseARN("--state-machine-arn", arn, "stateMachine", &wrong)
		if len(wrong) > 0 {
			return wrong
		}
		client := view.client(cmd.Context(), parsed.Region(), &wrong)
		if len(wrong) > 0 {
			return wrong
		}
		all := []waitingPlan{}
		var rows, b bytes.Buffer
		rows.WriteString("CLUSTER\tSINCE\tUNTIL\tCHANGES\tDIGEST\tEXECUTION\n")
		for pages := sfn.NewListExecutionsPaginator(client, &sfn.ListExecutionsInput{StateMachineArn: &arn, StatusFilter: types.ExecutionStatusRunning}); pages.HasMorePages(); {
			page, err := pages.NextPage(cmd.Context())
			if err != nil {
				return &failure{fmt.Errorf("list the executions of %s: %w", arn, err)}
			}
			for _, e := range page.Executions {
				waits, err := approval.Find(cmd.Context(), client, *e.ExecutionArn)
				if err != nil {
					return &failure{err}
				}
				if waits == nil {
					continue
				}
				plan := waits.Plan
				until := waits.Since.Add(time.Duration(waits.Approve.TimeoutSeconds) * time.Second)
				all = append(all, waitingPlan{*e.ExecutionArn, waits.Cluster.Name, waits.Cluster.Region, plan.Digest, waits.Since, until, plan.Created, plan.Configured, plan.Pruned})
				fmt.Fprintf(&rows, "%s\t%s\t%s\t+%d ~%d -%d\t%s\t%s\n", cell(waits.Cluster.Name), waits.Since.Format(time.DateTime), until.Format(time.DateTime), plan.Created, plan.Configured, plan.Pruned, cell(plan.Digest), terminal.Line(*e.ExecutionArn))
			}
		}
		switch {
		case asList:
			text, err := json.MarshalIndent(all, "", "  ")
			if err != nil {
				return &failure{fmt.Errorf("encode the list: %w", err)}
			}
			b.Write(append(text, '\n'))
		case len(all) == 0:
			b.WriteString("No execution of " + applymanifests.Name + " waits for an approval\n")
		default:
			align(&b, rows.Bytes())
		}
		_, err := cmd.OutOrStdout().Write(b.Bytes())
		return err //nolint:wrapcheck // it only writes
	}
	return cmd
}

// waitingPlan is a plan that waits for an approval.
type waitingPlan struct {
	Execution  string    `json:"execution"`
	Cluster    string    `json:"cluster"`
	Region     string    `json:"region"`
	Digest     string    `json:"digest"`
	Since      time.Time `json:"since"`
	Until      time.Time `json:"until"`
	Created    int       `json:"created"`
	Configured int       `json:"configured"`
	Pruned     int       `json:"pruned"`
}
