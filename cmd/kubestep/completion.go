package main

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/kubestep/kubestep/internal/contract/applymanifests"
)

// completionTimeout bounds how long a shell waits for names. Whatever goes wrong, it gets none:
// a message would be in the middle of what is being typed.
const completionTimeout = 2 * time.Second

// completeName completes the arguments or the values of a flag by names that AWS has.
func completeName(names func(ctx context.Context, cmd *cobra.Command) []string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(cmd.Context(), completionTimeout)
		defer cancel()
		done := make(chan []string, 1)
		go func() { done <- names(ctx, cmd) }() // the SDK may look for credentials beyond the context
		select {
		case all := <-done:
			return slices.DeleteFunc(all, func(name string) bool { return !strings.HasPrefix(name, begun) }), cobra.ShellCompDirectiveNoFileComp
		case <-ctx.Done():
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
	}
}

// completeClusters completes a flag by the clusters of the account.
func completeClusters(cmd *cobra.Command, flag string) {
	if err := cmd.RegisterFlagCompletionFunc(flag, completeName(clusterList)); err != nil {
		panic(err) // the flag does not exist
	}
}

// completeCluster completes the first argument by the clusters of the account.
func completeCluster(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return completeName(clusterList)(cmd, args, begun)
}

// clusterList are the names of the clusters in the Region of --region or of the environment,
// as far as the first page has them.
func clusterList(ctx context.Context, cmd *cobra.Command) []string {
	region := ""
	if flag := cmd.Flags().Lookup("region"); flag != nil && flag.Value.Type() == "string" {
		region = flag.Value.String()
	}
	var wrong problems
	e := &executions{stack: stackOf(cmd), view: &viewer{}}
	if e.connect(ctx, region, &wrong); len(wrong) > 0 {
		return nil
	}
	page, err := eks.NewFromConfig(e.view.cfg).ListClusters(ctx, &eks.ListClustersInput{})
	if err != nil {
		return nil
	}
	return page.Clusters
}

// completeExecutions completes the first argument by the newest executions.
func completeExecutions(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return completeName(func(ctx context.Context, cmd *cobra.Command) []string {
		var names []string
		for _, e := range newest(ctx, cmd, "") {
			names = append(names, cobra.CompletionWithDesc(e.Name, strings.ToLower(string(e.Status))+" "+e.Workflow+" "+duration.HumanDuration(time.Since(e.Started))))
		}
		return names
	})(cmd, args, begun)
}

// newest are the newest executions, without what only their descriptions say.
func newest(ctx context.Context, cmd *cobra.Command, workflow string) []listedExecution {
	var wrong problems
	e := &executions{stack: stackOf(cmd), view: &viewer{}}
	if e.connect(ctx, "", &wrong); len(wrong) > 0 {
		return nil
	}
	all, err := e.machines(ctx)
	if err != nil {
		return nil
	}
	o := listOptions{limit: listLimit}
	var listed []listedExecution
	for _, m := range all {
		if workflow != "" && m.Name != workflow {
			continue
		}
		of, err := o.ofMachine(ctx, e.view.states, m)
		if err == nil {
			listed = append(listed, of...)
		}
	}
	return listed
}

// setList are the names of the sets that the newest executions of apply-manifests have in
// their inputs.
func setList(ctx context.Context, cmd *cobra.Command) []string {
	var wrong problems
	e := &executions{stack: stackOf(cmd), view: &viewer{}}
	if e.connect(ctx, "", &wrong); len(wrong) > 0 {
		return nil
	}
	var names []string
	for _, listed := range newest(ctx, cmd, applymanifests.Name) {
		d, err := e.view.states.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: &listed.ARN})
		if err != nil {
			return names
		}
		var input struct {
			Set string `json:"set"`
		}
		if json.Unmarshal([]byte(aws.ToString(d.Input)), &input) == nil && input.Set != "" && !slices.Contains(names, input.Set) {
			names = append(names, input.Set)
		}
	}
	return names
}

// stackOf is the stack that the flags of a command name.
func stackOf(cmd *cobra.Command) *stack {
	name := ""
	if flag := cmd.Flags().Lookup("stack"); flag != nil {
		name = flag.Value.String()
	}
	return &stack{name: name}
}
