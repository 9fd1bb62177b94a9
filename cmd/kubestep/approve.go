package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/spf13/cobra"

	"github.com/kubestep/kubestep/internal/approval"
	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/internal/follow/terminal"
	"github.com/kubestep/kubestep/internal/shell"
)

// approveOptions are what kubestep approve is told.
type approveOptions struct {
	execution          string
	digest, reason, by string
	reject             bool
}

// approveVerb is the verb that approves the plan for which an execution waits, or rejects it.
func approveVerb() *cobra.Command {
	var options approveOptions
	cmd := &cobra.Command{
		Use:   "approve EXECUTION",
		Short: "Approve, or reject, the plan or the gate that an execution waits with",
		Long: `Approve the plan of an execution of apply-manifests that waits for an approval, because its
input has "approve". The execution then plans again, and applies only if the plan is the same.
Or approve that a rollout goes on, whose execution of fleet waits at the gate of a wave.
EXECUTION is its name or its ARN.

Without --digest, it shows what would be changed and ends: look at that, and name the digest
that it prints. You need to be allowed to invoke the function approve of the stack
(lambda:InvokeFunction), and without --digest also to read the history of the execution.`,
		Example: `  # What there is to approve
  kubestep approve arn:aws:states:eu-west-1:111122223333:execution:kubestep-apply-manifests:noon

  # Approve that
  kubestep approve arn:aws:states:eu-west-1:111122223333:execution:kubestep-apply-manifests:noon \
    --digest q83vEjRWeJq83vEjRWeJq83v

  # Reject it
  kubestep approve arn:aws:states:eu-west-1:111122223333:execution:kubestep-apply-manifests:noon \
    --digest q83vEjRWeJq83vEjRWeJq83v --reject --reason "not on a Friday"`,
		ValidArgsFunction: completeExecutions,
	}
	cmd.Flags().StringVar(&options.digest, "digest", "", "the `DIGEST` of the plan or the gate (shows it if not set)")
	cmd.Flags().BoolVar(&options.reject, "reject", false, "reject it")
	cmd.Flags().StringVar(&options.reason, "reason", "", "why it is rejected, as `TEXT`")
	cmd.Flags().StringVar(&options.by, "by", "", "who decides, as `TEXT`, for the output; CloudTrail has the identity")
	of := newExecutions(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var wrong problems
		if err := oneExecution(args); err != nil {
			return err
		}
		argumentRegion(args[0], &wrong)
		if options.digest == "" && (options.reject || options.reason != "") {
			wrong.add("--reject and --reason need --digest, which names what is rejected")
		}
		if options.digest != "" && !approval.IsDigest(options.digest) {
			wrong.add("--digest %q is not a digest: expected 24 letters, digits, - and _. To see the digest to approve: kubestep approve %s", options.digest, shell.Quote(args[0]))
		}
		if len(wrong) > 0 {
			return wrong
		}
		var err error
		if options.execution, err = of.resolve(cmd.Context(), args[0]); err != nil {
			return err
		}
		client := of.view.states
		if options.digest == "" {
			return showWaiting(cmd, client, options.execution)
		}
		return options.decide(cmd, of.view)
	}
	return cmd
}

// showWaiting prints what an execution waits for.
func showWaiting(cmd *cobra.Command, client *sfn.Client, execution string) error {
	waits, err := approval.Find(cmd.Context(), client, execution)
	if err != nil {
		return &refusal{explain(err, noExecution, awsRequest{executionARN: execution})}
	}
	if waits == nil {
		return &failure{fmt.Errorf("execution %s waits for no approval", execution)}
	}
	out := cmd.OutOrStdout()
	if waits.Rollout.Digest != "" {
		where := "to begin"
		if waits.Rollout.Wave != "" {
			where = "at the gate of wave " + waits.Rollout.Wave
		}
		_, _ = fmt.Fprintf(out, "Rollout %s waits %s.\n", terminal.Line(waits.Rollout.Name), terminal.Line(where))
		for _, line := range approval.Rollout(waits.Rollout) {
			_, _ = fmt.Fprintln(out, terminal.Line(line))
		}
		_, err = fmt.Fprintf(out, "\nTo approve: kubestep approve %s --digest %s\n", execution, terminal.Line(waits.Digest()))
		return err //nolint:wrapcheck // it only writes
	}
	for _, o := range waits.Plan.Objects {
		if o.Action != applymanifests.ActionUnchanged {
			_, _ = fmt.Fprintf(out, "%-10s %s\n", action(o, applymanifests.Output{Mode: applymanifests.ModePlan, Prune: true}), terminal.Line(o.Kind+" "+applymanifests.ObjectName{Namespace: o.Namespace, Name: o.Name}.String()))
			var b bytes.Buffer
			writeChanges(&b, o, paperOf(out))
			_, _ = b.WriteTo(out)
		}
	}
	if waits.Plan.Truncated {
		_, _ = fmt.Fprintln(out, "… and more, which have no room in the state")
	}
	_, err = fmt.Fprintf(out, "\nCluster %s in %s. %s\nTo approve: kubestep approve %s --digest %s\n",
		terminal.Line(waits.Cluster.Name), terminal.Line(waits.Cluster.Region), approval.Summary(waits.Plan), execution, waits.Plan.Digest)
	return err //nolint:wrapcheck // it only writes
}

// machineSuffixes end the names of the state machines whose plans and gates are approved.
var machineSuffixes = []string{"-" + applymanifests.Name, "-" + fleet.Name}

// alphanumeric matches what an error of a function is named.
var alphanumeric = regexp.MustCompile(`^[A-Za-z0-9.]+$`)

// decide invokes the function approve of the execution's stack.
func (o approveOptions) decide(cmd *cobra.Command, of *viewer) error {
	machine := contract.ExecutionARN(o.execution).Machine()
	stack := machine
	for _, suffix := range machineSuffixes {
		stack = strings.TrimSuffix(stack, suffix)
	}
	if stack == machine {
		return problems{fmt.Sprintf("%s is not an execution of apply-manifests or of fleet, whose state machines are named STACK%s", o.execution, strings.Join(machineSuffixes, " and STACK"))}
	}
	payload, err := json.Marshal(applymanifests.ApprovePlan{Execution: o.execution, Digest: o.digest, Reject: o.reject, Reason: o.reason, By: o.by})
	if err != nil {
		return &failure{fmt.Errorf("encode the decision: %w", err)}
	}
	client := lambda.NewFromConfig(of.cfg)
	of.line.used.Store(false) // what was asked before decides nothing
	answer, err := client.Invoke(cmd.Context(), &lambda.InvokeInput{FunctionName: aws.String(stack + "-approve"), Payload: payload})
	if err != nil {
		if of.line.startedNothing(err) {
			return &refusal{explain(err, noExecution, awsRequest{executionARN: o.execution})}
		}
		return &failure{explainInvoke(err, stack)}
	}
	if answer.FunctionError != nil {
		var said struct{ ErrorType, ErrorMessage string }
		if json.Unmarshal(answer.Payload, &said) != nil || !alphanumeric.MatchString(said.ErrorType) {
			said.ErrorType, said.ErrorMessage = "Unexpected", "the function approve failed: see its log"
		}
		return &failure{fmt.Errorf("%s: %s", said.ErrorType, said.ErrorMessage)}
	}
	what := "approved"
	if o.reject {
		what = "rejected"
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s %s\nTo see what becomes of it: kubestep follow %s\n", what, o.digest, o.execution)
	return err //nolint:wrapcheck // it only writes
}

func explainInvoke(err error, stack string) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("invoke the function %s-approve, which takes lambda:InvokeFunction on it: %w", stack, err)
}
