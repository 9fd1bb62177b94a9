package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/shell"
)

const (
	// listLimit is how many executions are listed by default, and maxListLimit at most: each
	// is described for its cluster, and DescribeExecution has a quota.
	listLimit    = 20
	maxListLimit = 200
	// describedAtOnce is how many executions are described at once.
	describedAtOnce = 8
)

// listedExecution is an execution in a list.
type listedExecution struct {
	Name string `json:"name"`
	ARN  string `json:"executionArn"`
	// Workflow is the machine's, such as pod-inventory.
	Workflow string                `json:"workflow"`
	Status   types.ExecutionStatus `json:"status"`
	// Cluster is what the input or the output names; empty if neither does.
	Cluster string `json:"cluster"`
	// Region is the cluster's, if one of them says.
	Region string `json:"region"`
	// Error is how it failed.
	Error   string     `json:"error"`
	Started time.Time  `json:"started"`
	Stopped *time.Time `json:"stopped"`
}

// listOptions are the flags of kubestep list.
type listOptions struct {
	workflows []string
	status    string
	cluster   string
	limit     int
}

// listVerb is the verb that lists executions.
func listVerb() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List executions, the newest first",
		Long: `List the executions of the stack's state machines, the newest first: those that run, and
those that ended in the last 90 days. You need states:ListExecutions, and to see clusters
states:DescribeExecution.`,
		Example: `  # The last ones of all workflows
  kubestep list

  # What runs in a cluster now
  kubestep list --status running --cluster demo

  # The ARNs of the last 100 plans and applies that failed
  kubestep list --workflow apply-manifests --status failed --limit 100 -o jsonpath='{range [*]}{.executionArn}{"\n"}{end}'`,
		Aliases:    []string{"ls"},
		SuggestFor: []string{"executions", "history", "ps", "status", "runs"},
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return problems{fmt.Sprintf("%q: list takes no argument. For the executions of a cluster: --cluster %s", args[0], shell.Quote(args[0]))}
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	of := newExecutions(cmd)
	var o listOptions
	flags := cmd.Flags()
	flags.StringSliceVar(&o.workflows, "workflow", nil, "list the executions of the workflow of this `NAME`; repeat it for more (of all if not set)")
	flags.StringVar(&o.status, "status", "", "list those with this `STATUS`: running, succeeded, failed, timed_out or aborted")
	flags.StringVar(&o.cluster, "cluster", "", "list those of the cluster of this `NAME`, among the last ones")
	flags.IntVar(&o.limit, "limit", listLimit, fmt.Sprintf("list at most this `NUMBER`, up to %d", maxListLimit))
	var names []string
	for _, m := range machines() {
		names = append(names, m.Name)
	}
	complete(cmd, "workflow", names...)
	complete(cmd, "status", "running", "succeeded", "failed", "timed_out", "aborted")
	complete(cmd, "limit")
	completeClusters(cmd, "cluster")
	format := addFormat(cmd, asWide, asName)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var wrong problems
		o.check(names, &wrong)
		format.check(&wrong)
		if of.connect(cmd.Context(), "", &wrong); len(wrong) > 0 {
			return wrong
		}
		all, err := o.list(cmd.Context(), of)
		if err != nil {
			return &refusal{err}
		}
		return format.print(cmd, all, executionNames(all), func(on paper) string { return executionTable(all, on, time.Now()) })
	}
	return cmd
}

func (o *listOptions) check(names []string, wrong *problems) {
	for _, name := range o.workflows {
		if !slices.Contains(names, name) {
			wrong.add("--workflow %q is not one of %s", name, strings.Join(names, ", "))
		}
	}
	o.status = strings.ToUpper(strings.ReplaceAll(o.status, "-", "_"))
	if o.status != "" && !slices.Contains(types.ExecutionStatus("").Values(), types.ExecutionStatus(o.status)) {
		wrong.add("--status %q is not running, succeeded, failed, timed_out or aborted", strings.ToLower(o.status))
	}
	if o.limit < 1 || o.limit > maxListLimit {
		wrong.add("--limit %d is not between 1 and %d", o.limit, maxListLimit)
	}
}

// list lists the newest executions of all machines. A machine that is not deployed has none.
func (o *listOptions) list(ctx context.Context, of *executions) ([]listedExecution, error) {
	all, err := of.machines(ctx)
	if err != nil {
		return nil, err
	}
	if len(o.workflows) > 0 {
		all = slices.DeleteFunc(slices.Clone(all), func(m found) bool { return !slices.Contains(o.workflows, m.Name) })
	}
	listed, there := []listedExecution{}, 0
	for _, m := range all {
		of, err := o.ofMachine(ctx, of.view.states, m)
		switch _, missing := errors.AsType[*types.StateMachineDoesNotExist](err); {
		case missing:
			continue
		case err != nil:
			return nil, explain(err, noExecution, awsRequest{stateMachineARN: string(m.arn), variable: m.Variable()})
		}
		there++
		listed = append(listed, of...)
	}
	if there == 0 {
		return nil, fmt.Errorf("there is no state machine of %s. Check --stack, AWS_REGION and AWS_PROFILE", describedMachines(all))
	}
	slices.SortStableFunc(listed, func(a, b listedExecution) int { return b.Started.Compare(a.Started) })
	if o.cluster == "" {
		listed = listed[:min(len(listed), o.limit)]
	} else {
		listed = listed[:min(len(listed), maxListLimit)]
	}
	describe(ctx, of.view.states, listed)
	if ctx.Err() != nil { // what is described by then is not all
		return nil, ctx.Err() //nolint:wrapcheck // whoever interrupted it knows
	}
	if o.cluster != "" {
		listed = slices.DeleteFunc(listed, func(e listedExecution) bool { return e.Cluster != o.cluster })
		listed = listed[:min(len(listed), o.limit)]
	}
	return listed, nil
}

// ofMachine lists the newest executions of a machine.
func (o *listOptions) ofMachine(ctx context.Context, client *sfn.Client, m found) ([]listedExecution, error) {
	limit := o.limit
	if o.cluster != "" {
		limit = maxListLimit
	}
	page, err := client.ListExecutions(ctx, &sfn.ListExecutionsInput{StateMachineArn: aws.String(string(m.arn)), StatusFilter: types.ExecutionStatus(o.status), MaxResults: int32(limit)})
	if err != nil {
		return nil, fmt.Errorf("list the executions of %s: %w", m.arn, err)
	}
	var listed []listedExecution
	for _, e := range page.Executions {
		listed = append(listed, listedExecution{Name: aws.ToString(e.Name), ARN: aws.ToString(e.ExecutionArn), Workflow: m.Name, Status: e.Status, Started: aws.ToTime(e.StartDate), Stopped: e.StopDate})
	}
	return listed, nil
}

// describe adds what only the descriptions say, and leaves it out where there is none.
func describe(ctx context.Context, client *sfn.Client, all []listedExecution) {
	var group errgroup.Group
	group.SetLimit(describedAtOnce)
	for i := range all {
		group.Go(func() error {
			if d, err := client.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: &all[i].ARN}); err == nil {
				all[i].Error = aws.ToString(d.Error)
				all[i].Cluster, all[i].Region = clusterOf(aws.ToString(d.Input), aws.ToString(d.Output))
			}
			return nil
		})
	}
	_ = group.Wait() // none has an error
}

// clusterOf reads which cluster an execution is of, or of how many.
func clusterOf(input, output string) (name, region string) {
	var asked struct {
		ClusterName string            `json:"clusterName"`
		Region      string            `json:"region"`
		Clusters    []json.RawMessage `json:"clusters"`
	}
	var was struct {
		Cluster contract.ClusterSummary `json:"cluster"`
		Summary struct {
			Clusters int `json:"clusters"`
		} `json:"summary"`
	}
	_ = json.Unmarshal([]byte(input), &asked) // what cannot be read says nothing
	_ = json.Unmarshal([]byte(output), &was)
	n := cmp.Or(was.Summary.Clusters, len(asked.Clusters))
	if n > 0 {
		return clusters(n), ""
	}
	return cmp.Or(was.Cluster.Name, asked.ClusterName), cmp.Or(was.Cluster.Region, asked.Region)
}

func executionNames(all []listedExecution) []string {
	names := make([]string, len(all))
	for i, e := range all {
		names[i] = e.Name
	}
	return names
}

// executionTable has a line for each execution.
func executionTable(all []listedExecution, on paper, now time.Time) string {
	if len(all) == 0 {
		return "No executions\n"
	}
	head := []string{"AGE", "STATUS", "WORKFLOW", "CLUSTER", "NAME"}
	if on.wide {
		head = []string{"STARTED", "TOOK", "STATUS", "WORKFLOW", "CLUSTER", "REGION", "ERROR", "EXECUTION"}
	}
	rows := [][]string{head}
	for _, e := range all {
		took := now.Sub(e.Started)
		if e.Stopped != nil {
			took = e.Stopped.Sub(e.Started)
		}
		status := strings.ToLower(string(e.Status))
		if on.wide {
			rows = append(rows, []string{e.Started.UTC().Format(time.RFC3339), duration.HumanDuration(took), status, e.Workflow, cell(e.Cluster), cell(e.Region), cell(e.Error), cell(e.ARN)})
			continue
		}
		rows = append(rows, []string{duration.HumanDuration(now.Sub(e.Started)), status, e.Workflow, cell(e.Cluster), cell(e.Name)})
	}
	var b bytes.Buffer
	on.table(&b, rows, "NAME") // which follow and stop take
	return b.String()
}
