package main

import (
	"github.com/spf13/cobra"

	"github.com/kubestep/kubestep/internal/contract"
)

func podInventory() workflow {
	return workflow{name: "pod-inventory", variable: "STATE_MACHINE_ARN", table: podTable}
}

// inventory is the verb that lists the pods of a cluster.
func inventory() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "inventory [CLUSTER]",
		Aliases: []string{podInventory().name},
		Short:   "List the pods of a cluster",
		Long: `List the pods of an EKS cluster, the unhealthy ones first.

CLUSTER is the name of the cluster. Leave it out if the stack has a default cluster
(its parameter ClusterName), or if --input names one.`,
		Example: `  # The pods of two namespaces
  kubestep inventory demo -n default -n shop

  # All namespaces, as JSON for a program
  kubestep inventory demo --all-namespaces --output json | jq .pods.byStatus

  # Only the pods that do not run, of a cluster in another account
  kubestep inventory demo --field-selector 'status.phase!=Running' --role-arn arn:aws:iam::444455556666:role/kubestep

  # Write every pod to S3, and print none
  kubestep inventory demo -A --archive s3://my-bucket/kubestep/ --max-items 0

  # The same input as an execution that a schedule starts
  kubestep inventory --input @input.json`,
		SuggestFor: []string{"start", "list", "pods", "get"},
	}
	start := newStarter(cmd, podInventory())
	start.addTarget(cmd)
	start.keys["namespace"] = "namespaces"
	start.keys["selector"] = "labelSelector"
	start.keys["field-selector"] = "fieldSelector"
	start.keys["max-items"] = "maxItems"
	start.keys["on-denied"] = "onDenied"
	var o inventoryOptions
	o.addFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var wrong problems
		input := o.input(cmd, &wrong)
		start.target(args, input, &wrong)
		return start.start(cmd, input, wrong)
	}
	return cmd
}

// inventoryOptions are the flags of kubestep inventory that are more than a key of the execution input.
type inventoryOptions struct {
	all     bool
	archive string
}

func (o *inventoryOptions) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringSliceP("namespace", "n", nil, "list this `NAMESPACE`; repeat it, or separate several by commas (the namespace default if not set)")
	flags.BoolVarP(&o.all, "all-namespaces", "A", false, "list all namespaces")
	flags.StringP("selector", "l", "", "list the pods whose labels match this `SELECTOR`, such as app=web,tier!=db")
	flags.String("field-selector", "", "list the pods whose fields match this `SELECTOR`, such as status.phase=Running")
	flags.Int("max-items", 0, "print at most this `NUMBER` of pods, 0 to 1000; the totals count all (100 if not set)")
	flags.String("on-denied", "", "if RBAC denies a namespace: `fail|skip`; skip lists the others (fail if not set)")
	flags.StringVar(&o.archive, "archive", "", "also write every pod to S3, below `s3://BUCKET/PREFIX`")
	complete(cmd, "on-denied", string(contract.OnDeniedFail), string(contract.OnDeniedSkip))
	for _, flag := range []string{"namespace", "selector", "field-selector", "max-items", "archive"} {
		complete(cmd, flag)
	}
}

// input is the part of the execution input that the options set.
func (o *inventoryOptions) input(cmd *cobra.Command, wrong *problems) map[string]any {
	input := map[string]any{}
	if o.all {
		input["namespaces"] = []string{contract.AllNamespaces}
		if cmd.Flags().Changed("namespace") {
			wrong.add("--namespace and --all-namespaces cannot be used together")
		}
	}
	if cmd.Flags().Changed("archive") {
		input["output"] = destination("--archive", o.archive, wrong)
	}
	return input
}
