package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/kubestep/kubestep/internal/contract/applymanifests"
)

// deleteVerb is the verb that deletes a set of manifests from a cluster.
func deleteVerb(m machine) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "delete [CLUSTER] --set NAME",
		Short: "Delete a set of manifests from a cluster",
		Long: `Delete the members of a set, which kubestep apply --set made, and then the set; or only
plan it: show what would be deleted, and what would stay and why.

CLUSTER is the name of the cluster. Leave it out if the stack has a default cluster
(its parameter ClusterName), or if --input names one. The stack must be deployed with
EnablePrune, and RBAC must let the group kubestep-appliers list and delete the members.

Objects stay that carry an annotation to be kept, that another object or tool owns, and those
of the kinds that --prune-kinds is for. Then the set stays, too. A set that does not exist is
deleted already.`,
		Example: `  # What would go? Nothing is deleted
  kubestep delete demo -n shop --set addons --plan

  # Delete it, and wait up to a minute until every object is gone
  kubestep delete demo -n shop --set addons --wait 1m

  # A set with a namespace, and whatever is in it
  kubestep delete demo --set tenants --prune-kinds Namespace`,
		SuggestFor: []string{"destroy", "prune", "remove", "uninstall"},
	}
	var o deleteOptions
	start := newStarter(cmd, m, &o.request)
	start.addTarget(cmd)
	o.addFlags(cmd, start)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var wrong problems
		start.set = o.complete(cmd, &wrong)
		start.readTarget(args, &wrong)
		if o.detailed {
			start.verdict = drift
		}
		return start.start(cmd, wrong)
	}
	return cmd
}

// deleteOptions are the flags of kubestep delete.
type deleteOptions struct {
	request        setRequest
	pruning        pruning
	plan, detailed bool
	wait           time.Duration
}

func (o *deleteOptions) addFlags(cmd *cobra.Command, start *starter) {
	flags := cmd.Flags()
	flags.StringVarP(&o.request.Namespace, "namespace", "n", "", "the set is in this `NAMESPACE` (default if not set)")
	flags.BoolVar(&o.plan, "plan", false, "show what would be deleted, and delete nothing")
	flags.BoolVar(&o.detailed, "detailed-exitcode", false, "with --plan: exit with status 3 if there is anything to delete")
	flags.DurationVar(&o.wait, "wait", 0, "wait up to this `DURATION`, such as 1m, until every object is gone")
	o.pruning.addFlags(cmd, start, &o.request, "delete the set of this `NAME`")
	start.setFlags(map[string]any{"namespace": &o.request.Namespace, "wait": &o.request.Wait})
	complete(cmd, "namespace")
	complete(cmd, "wait")
}

// complete completes the request, and returns the addresses of the fields that it sets
// although no flag does.
func (o *deleteOptions) complete(cmd *cobra.Command, wrong *problems) (set []any) {
	o.request.Mode = applymanifests.ModeDelete
	if o.plan {
		o.request.Mode = applymanifests.ModePlanDelete
	}
	if o.pruning.given(cmd) {
		o.request.Prune = o.pruning.value(cmd)
	}
	if o.detailed && !o.plan {
		wrong.add("--detailed-exitcode is for --plan")
	}
	if !cmd.Flags().Changed("set") && !cmd.Flags().Changed("input") {
		wrong.add("the set is missing: name it with --set or --input")
	}
	waits(cmd, &o.request, o.wait, o.plan, wrong)
	return []any{&o.request.Mode}
}
