package main

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/follow"
	"github.com/kubestep/kubestep/internal/follow/terminal"
)

// setsVerb is the verb that lists the sets of a cluster.
func setsVerb(m machine) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sets [CLUSTER]",
		Short: "List the sets of manifests in a cluster",
		Long: `List the sets of a cluster: those that kubestep apply --set made, and those of other tools
that mark theirs in the same way, such as kubectl apply --applyset.

CLUSTER is the name of the cluster. Leave it out if the stack has a default cluster
(its parameter ClusterName), or if --input names one. RBAC must let the group
kubestep-appliers list the ConfigMaps of the namespace, or of all without --namespace.`,
		Example: `  # The sets of a namespace
  kubestep sets demo -n shop

  # All sets, with their ids, which the members have in a label
  kubestep sets demo --output json`,
		SuggestFor: []string{"applysets", "set"},
	}
	var request setRequest
	start := newStarter(cmd, m, &request)
	start.addTarget(cmd)
	cmd.Flags().StringVarP(&request.Namespace, "namespace", "n", "", "list the sets of this `NAMESPACE` (of all namespaces if not set)")
	start.setFlags(map[string]any{"namespace": &request.Namespace})
	complete(cmd, "namespace")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var wrong problems
		request.Mode = applymanifests.ModeSets
		start.set = []any{&request.Mode}
		start.readTarget(args, &wrong)
		return start.start(cmd, wrong)
	}
	return cmd
}

// setsTable is each set, its size, and when and with what it was applied last.
func setsTable(output applymanifests.Output, execution follow.Execution, on paper) string {
	var b bytes.Buffer
	if len(output.Sets) > 0 {
		rows := [][]string{{"NAMESPACE", "NAME", "MEMBERS", "APPLIED", "TOOLING"}}
		for _, set := range output.Sets {
			members, at := strconv.Itoa(set.Members), cell(set.Applied)
			if set.Applied == "" { // other tools do not say
				members, at = unknown, unknown
			}
			rows = append(rows, []string{cell(set.Namespace), cell(set.Name), members, at, cell(set.Tooling)})
		}
		on.table(&b, rows, "NAME")
		if output.Plan.Truncated {
			b.WriteString("… and more: list them by --namespace\n")
		}
		b.WriteByte('\n')
	}
	sets := fmt.Sprintf("%d sets", len(output.Sets))
	switch len(output.Sets) {
	case 0:
		sets = "No sets"
	case 1:
		sets = "1 set"
	}
	if output.Namespace != contract.AllNamespaces {
		sets += " in namespace " + terminal.Line(output.Namespace)
	}
	fmt.Fprintf(&b, "%s in cluster %s, in %.1f s\n", sets, described(output.Cluster), execution.Stopped.Sub(execution.Started).Seconds())
	return b.String()
}

// unknown is in the cell of what nobody tells.
const unknown = "<unknown>"
