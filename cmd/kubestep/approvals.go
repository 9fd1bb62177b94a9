package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/kubestep/kubestep/internal/approval"
	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/contract/fleet"
)

// approvalsVerb is the verb that lists what waits for an approval.
func approvalsVerb(m machine) *cobra.Command {
	var arn string
	var asList bool
	cmd := &cobra.Command{
		Use:   "approvals",
		Short: "List the executions that wait for an approval",
		Long: `List the executions of apply-manifests and of fleet that wait until somebody approves
their plans, or the gates of their waves, with what each would change, and the digest that
kubestep approve takes.`,
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
				return &refusal{explain(err, noExecution, awsRequest{})}
			}
			arn = string(found)
		}
		if asList {
			format.value = asJSON
		}
		all := []waitingPlan{}
		for _, of := range waitingMachines(arn) {
			those, err := waitingOf(cmd.Context(), client, of)
			if err != nil {
				return &refusal{explain(err, noExecution, awsRequest{stateMachineARN: of, variable: m.Variable(), enables: m.enables()})}
			}
			all = append(all, those...)
		}
		return format.print(cmd, all, waitingNames(all), func(on paper) string { return waitingTable(all, on, time.Now()) })
	}
	return cmd
}

// waitingMachines are the stack's state machines whose executions wait for approvals: apply-manifests and fleet.
func waitingMachines(arn string) []string {
	const name = 6 // of arn:aws:states:REGION:ACCOUNT:stateMachine:NAME, which an alias may follow
	parts := strings.Split(arn, ":")
	if len(parts) <= name || !strings.HasSuffix(parts[name], "-"+applymanifests.Name) {
		return []string{arn}
	}
	parts[name] = strings.TrimSuffix(parts[name], applymanifests.Name) + fleet.Name
	return []string{arn, strings.Join(parts, ":")}
}

// waitingOf are the executions of a state machine that wait.
func waitingOf(ctx context.Context, client *sfn.Client, machine string) ([]waitingPlan, error) {
	var all []waitingPlan
	for pages := sfn.NewListExecutionsPaginator(client, &sfn.ListExecutionsInput{StateMachineArn: &machine, StatusFilter: types.ExecutionStatusRunning}); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("list the executions of %s: %w", machine, err)
		}
		for _, e := range page.Executions {
			waits, err := approval.Find(ctx, client, *e.ExecutionArn)
			if err != nil {
				return nil, err //nolint:wrapcheck // it names the call already
			}
			if waits == nil {
				continue
			}
			all = append(all, waitingPlan{
				Execution: *e.ExecutionArn, Cluster: waits.Cluster.Name, Region: waits.Cluster.Region, Digest: waits.Digest(),
				Since: waits.Since, Until: waits.Since.Add(time.Duration(waits.TimeoutSeconds()) * time.Second),
				Created: waits.Plan.Created, Configured: waits.Plan.Configured, Pruned: waits.Plan.Pruned,
				Rollout: waits.Rollout.Name, Wave: waits.Rollout.Wave, Next: waits.Rollout.Next.Clusters, Report: waits.Rollout.Report,
			})
		}
	}
	return all, nil
}

// where is the cluster or, of a rollout, the wave at whose gate it waits.
func (w waitingPlan) where() string {
	switch {
	case w.Rollout == "":
		return w.Cluster
	case w.Wave == "":
		return "(begin)"
	default:
		return "wave " + w.Wave
	}
}

// changes counts what is changed then.
func (w waitingPlan) changes() string {
	if w.Rollout == "" {
		return fmt.Sprintf("+%d ~%d -%d", w.Created, w.Configured, w.Pruned)
	}
	return clusters(w.Next)
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
		return "No execution of " + applymanifests.Name + " or " + fleet.Name + " waits for an approval\n"
	}
	rows := [][]string{{"WAITS AT", "LEFT", "CHANGES", "DIGEST", "NAME"}}
	if on.wide {
		rows = [][]string{{"WAITS AT", "REGION", "SINCE", "UNTIL", "CHANGES", "DIGEST", "EXECUTION", "REPORT"}}
	}
	for _, p := range all {
		if on.wide {
			rows = append(rows, []string{cell(p.where()), cell(p.Region), p.Since.UTC().Format(time.RFC3339), p.Until.UTC().Format(time.RFC3339), p.changes(), cell(p.Digest), cell(p.Execution), cell(p.Report)})
			continue
		}
		name := contract.ExecutionARN(p.Execution).Name()
		rows = append(rows, []string{cell(p.where()), duration.HumanDuration(p.Until.Sub(now)), p.changes(), cell(p.Digest), cell(name)})
	}
	var b bytes.Buffer
	on.table(&b, rows, "DIGEST", "NAME")
	return b.String()
}

// waitingPlan is a plan, or the gate of a rollout, that waits for an approval.
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
	// Rollout is the name of the rollout whose gate of that wave waits, and Next how many clusters
	// are changed next.
	Rollout string `json:"rollout,omitempty"`
	Wave    string `json:"wave,omitempty"`
	Next    int    `json:"next,omitempty"`
	// Report is where a page says how the rollout stands, s3://BUCKET/KEY; empty if nowhere.
	Report string `json:"report,omitempty"`
}
