package main

import (
	"github.com/spf13/cobra"

	"github.com/kubestep/kubestep/internal/follow"
)

// startVerb is the verb of a workflow that has no flags of its own.
func startVerb(m machine) *cobra.Command {
	cmd := &cobra.Command{
		Use:   m.Name + " [CLUSTER]",
		Short: m.Summary,
		Long: m.Summary + `.

CLUSTER is the name of the cluster. Leave it out if the stack has a default cluster
(its parameter ClusterName), or if --input names one.`,
		Example: `  # With the input in a file
  kubestep ` + m.Name + ` demo --input @input.json`,
	}
	start := newStarter(cmd, m, &struct{}{})
	start.addTarget(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var wrong problems
		start.readTarget(args, &wrong)
		return start.start(cmd, wrong)
	}
	return cmd
}

// outputAsYAML is the table of a workflow that has none.
func outputAsYAML(execution follow.Execution, _ paper) (string, error) {
	return formatted(execution.Output, asYAML)
}
