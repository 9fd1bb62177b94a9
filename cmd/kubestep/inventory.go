package main

import (
	"github.com/spf13/cobra"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/podinventory"
)

// inventory is the verb that lists the pods of a cluster.
func inventory(m machine) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "inventory [CLUSTER]",
		Aliases: []string{m.Name},
		Short:   m.Summary,
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
	var o inventoryOptions
	start := newStarter(cmd, m, &o.request)
	start.addTarget(cmd)
	o.addFlags(cmd, start)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var wrong problems
		o.complete(cmd, &wrong)
		start.readTarget(args, &wrong)
		return start.start(cmd, wrong)
	}
	return cmd
}

// inventoryOptions are the flags of kubestep inventory.
type inventoryOptions struct {
	request podinventory.Request
	all     bool
	archive string
}

func (o *inventoryOptions) addFlags(cmd *cobra.Command, start *starter) {
	flags := cmd.Flags()
	flags.StringSliceVarP(&o.request.Namespaces, "namespace", "n", nil, "list this `NAMESPACE`; repeat it, or separate several by commas (the namespace default if not set)")
	flags.BoolVarP(&o.all, "all-namespaces", "A", false, "list all namespaces")
	flags.StringVarP(&o.request.LabelSelector, "selector", "l", "", "list the pods whose labels match this `SELECTOR`, such as app=web,tier!=db")
	flags.StringVar(&o.request.FieldSelector, "field-selector", "", "list the pods whose fields match this `SELECTOR`, such as status.phase=Running")
	flags.IntVar(&o.request.MaxItems, "max-items", 0, "print at most this `NUMBER` of pods, 0 to 1000; the totals count all (100 if not set)")
	flags.StringVar((*string)(&o.request.OnDenied), "on-denied", "", "if RBAC denies a namespace: `fail|skip`; skip lists the others (fail if not set)")
	flags.StringVar(&o.archive, "archive", "", "also write every pod to S3, below `s3://BUCKET/PREFIX`")
	start.setFlags(map[string]any{
		"namespace": &o.request.Namespaces, "all-namespaces": &o.request.Namespaces, "selector": &o.request.LabelSelector,
		"field-selector": &o.request.FieldSelector, "max-items": &o.request.MaxItems, "on-denied": &o.request.OnDenied, "archive": &o.request.Output,
	})
	complete(cmd, "on-denied", string(contract.OnDeniedFail), string(contract.OnDeniedSkip))
	for _, flag := range []string{"namespace", "selector", "field-selector", "max-items", "archive"} {
		complete(cmd, flag)
	}
}

// complete completes the request.
func (o *inventoryOptions) complete(cmd *cobra.Command, wrong *problems) {
	if o.all {
		o.request.Namespaces = []string{contract.AllNamespaces}
		if cmd.Flags().Changed("namespace") {
			wrong.add("--namespace and --all-namespaces cannot be used together")
		}
	}
	if cmd.Flags().Changed("archive") {
		o.request.Output = destination("--archive", o.archive, wrong)
	}
}
