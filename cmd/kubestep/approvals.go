package main

import (
	"bytes"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/kubestep/kubestep/internal/approval"
	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
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
  kubestep approvals -o json | jq -r '.[] | select(.cluster == "demo").digest'`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().StringVar(&arn, "state-machine-arn", "", "the `ARN` of the state machine apply-manifests; "+m.Variable()+" sets it too")
	cmd.Flags().BoolVar(&asList, "json", false, "print a list in JSON, as --output json does")
	of := newExecutions(cmd)
	format := addFormat(cmd, asWide, asName)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var wrong problems
		format.check(&wrong)
		if arn == "" {
			arn = of.stack.arn(m)
		}
		region := ""
		if arn != "" {
			region = parseARN("--state-machine-arn", arn, "stateMachine", &wrong).Region()
		}
		client := of.connect(cmd.Context(), region, &wrong)
		if len(wrong) > 0 {
			return wrong
		}
		if arn == "" {
			found, err := of.stack.machineARN(cmd.Context(), of.view.cfg, m)
			if err != nil {
				return &failure{explain(err, noExecution, awsRequest{})}
			}
			arn = string(found)
		}
		if asList {
			format.value = asJSON
		}
		all := []waitingPlan{}
		for pages := sfn.NewListExecutionsPaginator(client, &sfn.ListExecutionsInput{StateMachineArn: &arn, StatusFilter: types.ExecutionStatusRunning}); pages.HasMorePages(); {
			page, err := pages.NextPage(cmd.Context())
			if err != nil {
				return &failure{explain(fmt.Errorf("list the executions of %s: %w", arn, err), noExecution, awsRequest{stateMachineARN: arn, variable: m.Variable(), enables: m.enables()})}
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
			}
		}
		return format.print(cmd, all, waitingNames(all), func(on paper) string { return waitingTable(all, on, time.Now()) })
	}
	return cmd
}

func waitingNames(all []waitingPlan) []string {
	names := make([]string, len(all))
	for i, plan := range all {
		names[i] = contract.ExecutionARN(plan.Execution).Name()
	}
	return names
}

// waitingTable has a line for each plan that waits.
func waitingTable(all []waitingPlan, on paper, now time.Time) string {
	if len(all) == 0 {
		return "No execution of " + applymanifests.Name + " waits for an approval\n"
	}
	rows := [][]string{{"CLUSTER", "LEFT", "CHANGES", "DIGEST", "NAME"}}
	if on.wide {
		rows = [][]string{{"CLUSTER", "REGION", "SINCE", "UNTIL", "CHANGES", "DIGEST", "EXECUTION"}}
	}
	for _, p := range all {
		changes := fmt.Sprintf("+%d ~%d -%d", p.Created, p.Configured, p.Pruned)
		if on.wide {
			rows = append(rows, []string{cell(p.Cluster), cell(p.Region), p.Since.UTC().Format(time.RFC3339), p.Until.UTC().Format(time.RFC3339), changes, cell(p.Digest), cell(p.Execution)})
			continue
		}
		name := contract.ExecutionARN(p.Execution).Name()
		rows = append(rows, []string{cell(p.Cluster), duration.HumanDuration(p.Until.Sub(now)), changes, cell(p.Digest), cell(name)})
	}
	var b bytes.Buffer
	on.table(&b, rows, "DIGEST", "NAME")
	return b.String()
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
