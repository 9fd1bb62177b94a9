package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/follow"
)

// apply is the verb that applies manifests to a cluster.
func apply(m machine) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "apply [CLUSTER] -f FILE",
		Aliases: []string{m.Name},
		Short:   m.Summary,
		Long: `Apply manifests to an EKS cluster by server-side apply, or only plan it: show what
would be created and configured, and which fields would change.

CLUSTER is the name of the cluster. Leave it out if the stack has a default cluster
(its parameter ClusterName), or if --input names one. The stack must be deployed with
EnableApply, and RBAC must let the group kubestep-appliers apply the objects.

kubestep reads the files before it starts anything, and names what is wrong in them. Secrets
cannot be part of the execution input, because its history keeps it: put such manifests in
S3 and name them with --source. So must be those that are larger than 128 KiB.`,
		Example: `  # What would change in the cluster? Nothing is applied
  kubestep apply demo -f shop.yaml --plan

  # Is the cluster as the manifests say? Exit status 3 if it is not
  kubestep apply demo -f shop.yaml --plan --detailed-exitcode

  # Apply, and wait up to five minutes until every object is ready
  kubestep apply demo -n shop -f deployment.yaml -f service.yaml --wait 5m

  # What helm or kustomize writes
  kubectl kustomize overlays/production | kubestep apply demo -f -

  # Apply a set: what an earlier apply of the set had, and the files no longer have, is deleted
  kubestep apply demo -n shop --set addons --prune -f shop.yaml

  # The Job migrate first, then all else, and once that is ready the Job smoke-test
  kubestep apply demo -n shop -f shop.yaml --before migrate --after smoke-test

  # Manifests in S3, up to 10 MB
  kubestep apply demo --source s3://my-manifests/shop.yaml`,
		SuggestFor: []string{"deploy", "diff", "plan"},
	}
	var o applyOptions
	start := newStarter(cmd, m, &o.request)
	start.advice = adviseOnApply
	start.addTarget(cmd)
	o.addFlags(cmd, start)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var wrong problems
		start.set, start.otherwise = o.complete(cmd, start, &wrong)
		start.readTarget(args, &wrong)
		if o.detailed {
			start.verdict = drift
		}
		return start.start(cmd, wrong)
	}
	return cmd
}

// applyOptions are the flags of kubestep apply.
type applyOptions struct {
	request        setRequest
	pruning        pruning
	files          []string
	source, diff   string
	plan, detailed bool
	prune          bool
	wait           time.Duration
	jobTimeout     time.Duration
	jobLogs        string
}

func (o *applyOptions) addFlags(cmd *cobra.Command, start *starter) {
	flags := cmd.Flags()
	flags.StringArrayVarP(&o.files, "filename", "f", nil, "read manifests from this `FILE`, or from standard input if it is -; repeat it for several")
	flags.StringVar(&o.source, "source", "", "read manifests from S3: `s3://BUCKET/KEY`")
	flags.BoolVar(&o.plan, "plan", false, "show what would change, and apply nothing")
	flags.BoolVar(&o.detailed, "detailed-exitcode", false, "with --plan: exit with status 3 if the cluster is not as the manifests say")
	flags.BoolVar(&o.request.Force, "force-conflicts", false, "take the fields that other field managers own, as kubectl's flag does")
	flags.BoolVar(&o.request.Force, "force", false, "an alias of --force-conflicts; unlike kubectl's --force, it deletes nothing")
	flags.DurationVar(&o.wait, "wait", 0, "wait up to this `DURATION`, such as 5m, until every object is ready")
	flags.StringSliceVar(&o.request.Before, "before", nil, "apply this `JOB` of the manifests first, and let it complete before the workloads are applied; repeat it for more")
	flags.StringSliceVar(&o.request.After, "after", nil, "apply this `JOB` of the manifests once all else is ready, and wait until it completes; repeat it for more")
	flags.DurationVar(&o.jobTimeout, "job-timeout", 0, "with --before or --after: how long their Jobs may take, such as 10m (15m if not set)")
	flags.StringVar(&o.jobLogs, "job-logs", "", "with --before or --after: `tail` tells the last lines of a container that failed (none if not set)")
	flags.StringVarP(&o.request.Namespace, "namespace", "n", "", "apply objects that name no namespace to this `NAMESPACE` (default if not set)")
	flags.StringVar(&o.diff, "diff", "", "also write the whole difference to S3, below `s3://BUCKET/PREFIX`")
	flags.StringVar(&o.request.FieldManager, "field-manager", "", "own what is applied by this `NAME` (kubestep if not set)")
	flags.BoolVar(&o.prune, "prune", false, "with --set: delete the members that are no longer in the manifests")
	flags.StringSliceVar(&o.request.Adopt, "adopt", nil, "with --set: take objects into it from this `OWNER`, such as helm/NAMESPACE/RELEASE; repeat it for more")
	flags.StringVar(&o.request.Effect, "effect", "", "apply nothing but the plan that has this `DIGEST`")
	o.pruning.addFlags(cmd, start, &o.request, "make the objects members of the set of this `NAME`")
	start.setFlags(map[string]any{
		"prune": &o.request.Prune, "adopt": &o.request.Adopt,
		"source": &o.request.Source, "namespace": &o.request.Namespace, "force": &o.request.Force, "force-conflicts": &o.request.Force, "field-manager": &o.request.FieldManager,
		"wait": &o.request.Wait, "diff": &o.request.Output, "effect": &o.request.Effect,
		"before": &o.request.Before, "after": &o.request.After, "job-timeout": &o.request.Jobs, "job-logs": &o.request.Jobs,
	})
	complete(cmd, "job-logs", string(applymanifests.JobLogsNone), string(applymanifests.JobLogsTail))
	for _, flag := range []string{"before", "after", "job-timeout", "field-manager", "source", "wait", "namespace", "diff", "adopt", "effect"} {
		complete(cmd, flag)
	}
}

// complete completes the request, and returns the addresses of the fields that it sets
// although no flag does: in place of what --input holds, and if that holds none.
func (o *applyOptions) complete(cmd *cobra.Command, start *starter, wrong *problems) (set, otherwise []any) {
	flags := cmd.Flags()
	o.manifests(cmd, start, wrong)
	if o.request.Manifests != nil {
		set = append(set, &o.request.Manifests)
	}
	switch {
	case o.plan:
		o.request.Mode = applymanifests.ModePlan
		set = append(set, &o.request.Mode)
	case flags.Changed("plan"): // --plan=false
		o.request.Mode = applymanifests.ModeApply
		set = append(set, &o.request.Mode)
	case len(o.files) > 0 || flags.Changed("source"):
		o.request.Mode = applymanifests.ModeApply
		otherwise = append(otherwise, &o.request.Mode)
	}
	switch {
	case o.prune:
		o.request.Prune = o.pruning.value(cmd)
	case o.pruning.given(cmd):
		wrong.add("--prune-max and --prune-kinds are for --prune")
	default:
		o.request.Prune = false // --prune=false
	}
	waits(cmd, &o.request, o.wait, o.plan, wrong)
	o.request.Jobs = map[string]any{}
	if flags.Changed("job-logs") {
		o.request.Jobs["logs"] = o.jobLogs
	}
	if flags.Changed("job-timeout") {
		o.request.Jobs["timeoutSeconds"] = int(math.Ceil(o.jobTimeout.Seconds()))
		if o.jobTimeout < time.Second || o.jobTimeout > applymanifests.MaxWaitSeconds*time.Second {
			wrong.add("--job-timeout %s is not between 1s and 1h", o.jobTimeout)
		}
	}
	if o.detailed && !o.plan {
		wrong.add("--detailed-exitcode is for --plan")
	}
	if flags.Changed("diff") {
		o.request.Output = destination("--diff", o.diff, wrong)
	}
	return set, otherwise
}

// manifests puts the manifests, or where they are, into the request.
func (o *applyOptions) manifests(cmd *cobra.Command, start *starter, wrong *problems) {
	inS3 := cmd.Flags().Changed("source")
	switch {
	case len(o.files) > 0 && inS3:
		wrong.add("--filename and --source cannot be used together")
	case len(o.files) > 0:
		text, from := readFiles(cmd, o.files, cmp.Or(o.request.Namespace, "default"), wrong)
		if start.origins = from; text != "" {
			o.request.Manifests, _ = encode(text) // a string encodes
		}
	case inS3:
		o.request.Source.Bucket, o.request.Source.Key = location("--source", o.source, "s3://BUCKET/KEY", wrong)
	case !cmd.Flags().Changed("input"):
		wrong.add("there are no manifests: use --filename, --source or --input")
	}
}

// drift is the verdict on a plan.
func drift(execution follow.Execution) error {
	var output applymanifests.Output
	if err := json.Unmarshal([]byte(execution.Output), &output); err != nil {
		return &failure{fmt.Errorf("apply-manifests does not write such an output: %w", err)}
	}
	if output.Drift {
		return exitStatus(drifted)
	}
	return nil
}

// adviseOnApply names the flags that set the keys of the input which a cause names.
func adviseOnApply(execution follow.Execution) string {
	if execution.Error == string(contract.FieldConflict) {
		return "\nWith this command: --force-conflicts\n"
	}
	return ""
}
