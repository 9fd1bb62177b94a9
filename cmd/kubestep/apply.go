package main

import (
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/follow"
)

func applyManifests() workflow {
	return workflow{name: "apply-manifests", variable: "APPLY_MANIFESTS_ARN", table: planTable}
}

// apply is the verb that applies manifests to a cluster.
func apply() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "apply [CLUSTER] -f FILE",
		Aliases: []string{applyManifests().name},
		Short:   "Apply manifests to a cluster",
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

  # Manifests in S3, up to 10 MB
  kubestep apply demo --source s3://my-manifests/shop.yaml`,
		SuggestFor: []string{"deploy", "diff", "plan"},
	}
	start := newStarter(cmd, applyManifests())
	start.advice, start.check = adviseOnApply, checkInline
	start.addTarget(cmd)
	start.keys["namespace"], start.keys["force"], start.keys["field-manager"] = "namespace", "force", "fieldManager"
	var o applyOptions
	o.addFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var wrong problems
		input := o.input(cmd, &wrong)
		start.target(args, input, &wrong)
		if o.detailed {
			start.verdict = drift
		}
		return start.start(cmd, input, wrong)
	}
	return cmd
}

// applyOptions are the flags of kubestep apply that are more than a key of the execution input.
type applyOptions struct {
	files          []string
	source, diff   string
	plan, detailed bool
	wait           time.Duration
}

func (o *applyOptions) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVarP(&o.files, "filename", "f", nil, "read manifests from this `FILE`, or from standard input if it is -; repeat it for several")
	flags.StringVar(&o.source, "source", "", "read manifests from S3: `s3://BUCKET/KEY`")
	flags.BoolVar(&o.plan, "plan", false, "show what would change, and apply nothing")
	flags.BoolVar(&o.detailed, "detailed-exitcode", false, "with --plan: exit with status 3 if the cluster is not as the manifests say")
	flags.Bool("force", false, "take the fields that other field managers own")
	flags.DurationVar(&o.wait, "wait", 0, "wait up to this `DURATION`, such as 5m, until every object is ready")
	flags.StringP("namespace", "n", "", "apply objects that name no namespace to this `NAMESPACE` (default if not set)")
	flags.StringVar(&o.diff, "diff", "", "also write the whole difference to S3, below `s3://BUCKET/PREFIX`")
	flags.String("field-manager", "", "own what is applied by this `NAME` (kubestep if not set)")
	for _, flag := range []string{"field-manager", "source", "wait", "namespace", "diff"} {
		complete(cmd, flag)
	}
}

// input is the part of the execution input that the options set.
func (o *applyOptions) input(cmd *cobra.Command, wrong *problems) map[string]any {
	flags, input := cmd.Flags(), map[string]any{}
	o.manifests(cmd, input, wrong)
	switch {
	case o.plan:
		input["mode"] = applymanifests.ModePlan
	case len(o.files) > 0 || flags.Changed("source"):
		input["mode"] = applymanifests.ModeApply
	}
	if flags.Changed("wait") {
		input["wait"] = applymanifests.Wait{TimeoutSeconds: int(math.Ceil(o.wait.Seconds()))}
		if o.wait < time.Second || o.wait > applymanifests.MaxWaitSeconds*time.Second {
			wrong.add("--wait %s is not between 1s and 1h", o.wait)
		}
		if o.plan {
			wrong.add("--plan and --wait cannot be used together: a plan applies nothing")
		}
	}
	if o.detailed && !o.plan {
		wrong.add("--detailed-exitcode is for --plan")
	}
	if flags.Changed("diff") {
		input["output"] = destination("--diff", o.diff, wrong)
	}
	return input
}

// manifests puts the manifests, or where they are, into the execution input.
func (o *applyOptions) manifests(cmd *cobra.Command, input map[string]any, wrong *problems) {
	inS3 := cmd.Flags().Changed("source")
	switch {
	case len(o.files) > 0 && inS3:
		wrong.add("--filename and --source cannot be used together")
	case len(o.files) > 0:
		if text := readFiles(cmd, o.files, namespaceOf(cmd), wrong); text != "" {
			input["manifests"] = text
		}
	case inS3:
		bucket, key := location("--source", o.source, "s3://BUCKET/KEY", wrong)
		input["source"] = applymanifests.Source{Bucket: bucket, Key: key}
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
		return "\nWith this command: --force\n"
	}
	return ""
}

// namespaceOf is the value of --namespace, for objects without a namespace.
func namespaceOf(cmd *cobra.Command) string {
	if namespace, err := cmd.Flags().GetString("namespace"); err == nil && namespace != "" {
		return namespace
	}
	return "default"
}
