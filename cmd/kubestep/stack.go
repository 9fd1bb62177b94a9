package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/logging"
	"github.com/spf13/cobra"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/shell"
)

// A state machine is found by the name of its stack: it is STACK-WORKFLOW, in the Region and
// account of the credentials. STS says which account that is, and needs no permission to.
// https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html

const (
	// defaultStack is the stack that make deploy makes.
	defaultStack = "kubestep"
	// stackVariable is the environment variable that names another one.
	stackVariable = "KUBESTEP_STACK"
	// live is the alias by which executions are started.
	live = "live"
)

// stack is where a verb finds state machines.
type stack struct {
	// name is of --stack; empty if that is not set.
	name string
}

// addStack adds the flag that names the stack.
func addStack(cmd *cobra.Command) *stack {
	s := &stack{}
	cmd.Flags().StringVar(&s.name, "stack", "", "the `NAME` of kubestep's CloudFormation stack, in the AWS Region of the environment ("+defaultStack+" if not set); "+stackVariable+" sets it too")
	complete(cmd, "stack")
	return s
}

// called is the name of the stack.
func (s *stack) called() string {
	return cmp.Or(s.name, os.Getenv(stackVariable), defaultStack)
}

// arn is the ARN of the machine that the environment holds, unless --stack names another.
func (s *stack) arn(m machine) string {
	if s.name != "" {
		return ""
	}
	return m.arn()
}

// machineARN is the ARN of a machine of the stack, without an alias.
func (s *stack) machineARN(ctx context.Context, cfg aws.Config, m machine) (contract.MachineARN, error) {
	identity, err := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, nil)
	if err != nil {
		return "", fmt.Errorf("find the AWS account of the credentials: %w", err)
	}
	caller := contract.ARN(aws.ToString(identity.Arn))
	return machineARN(caller.Partition(), cfg.Region, aws.ToString(identity.Account), s.called(), m), nil
}

func machineARN(partition, region, account, stack string, m machine) contract.MachineARN {
	return contract.MachineARN(strings.Join([]string{"arn", partition, "states", region, account, "stateMachine", stack + "-" + m.Name}, ":"))
}

// ownRegion is the AWS Region of the environment or of the profile. otherwise says what else helps
// if there is none.
func ownRegion(ctx context.Context, of *stack, otherwise string, wrong *problems) string {
	cfg, err := config.LoadDefaultConfig(ctx, config.WithLogger(logging.Nop{}))
	if err != nil {
		return "" // which client says
	}
	if cfg.Region == "" {
		wrong.add("there is no AWS Region in which to look for the stack %s: set AWS_REGION, or a region in the profile%s", of.called(), otherwise)
	}
	return cfg.Region
}

// executions finds executions of the stack's state machines.
type executions struct {
	stack *stack
	view  *viewer
}

func newExecutions(cmd *cobra.Command) *executions {
	return &executions{stack: addStack(cmd), view: &viewer{}}
}

// connect makes the client, in the Region of an ARN or of the environment.
func (e *executions) connect(ctx context.Context, region string, wrong *problems) *sfn.Client {
	if region == "" {
		region = e.region(ctx, wrong)
	}
	if len(*wrong) > 0 {
		return nil
	}
	return e.view.connect(ctx, region, wrong)
}

// region is that of an ARN in the environment, or the environment's own.
func (e *executions) region(ctx context.Context, wrong *problems) string {
	for _, m := range machines() {
		if arn := e.stack.arn(m); arn != "" {
			return parseARN(m.Variable(), arn, "stateMachine", wrong).Region()
		}
	}
	return ownRegion(ctx, e.stack, "", wrong)
}

// found is a state machine of the stack, without an alias.
type found struct {
	machine
	arn contract.MachineARN
}

// machines are the state machines, be they deployed or not: those that the environment names
// or, if it names none, those of the stack.
func (e *executions) machines(ctx context.Context) ([]found, error) {
	var all []found
	for _, m := range machines() {
		if arn := e.stack.arn(m); arn != "" {
			all = append(all, found{m, contract.MachineARN(contract.MachineARN(arn).Unqualified())})
		}
	}
	if len(all) > 0 {
		return all, nil
	}
	for _, m := range machines() {
		if len(all) > 0 { // one question is enough
			of := contract.ARN(all[0].arn)
			all = append(all, found{m, machineARN(of.Partition(), of.Region(), of.Account(), e.stack.called(), m)})
			continue
		}
		arn, err := e.stack.machineARN(ctx, e.view.cfg, m)
		if err != nil {
			return nil, explain(err, noExecution, awsRequest{})
		}
		all = append(all, found{m, arn})
	}
	return all, nil
}

// one describes the execution that an argument is the ARN or the name of.
func (e *executions) one(ctx context.Context, argument string) (*sfn.DescribeExecutionOutput, error) {
	if isExecutionARN(argument) {
		described, err := e.view.states.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: &argument})
		return described, explain(err, noExecution, awsRequest{executionARN: argument})
	}
	all, err := e.machines(ctx)
	if err != nil {
		return nil, err
	}
	var those []*sfn.DescribeExecutionOutput
	for _, m := range all {
		arn := string(m.arn.Execution(argument))
		described, err := e.view.states.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: &arn})
		switch _, missing := errors.AsType[*types.ExecutionDoesNotExist](err); {
		case missing:
		case err != nil:
			return nil, explain(err, noExecution, awsRequest{executionARN: arn})
		default:
			those = append(those, described)
		}
	}
	switch len(those) {
	case 0:
		return nil, fmt.Errorf("no state machine of %s has an execution named %s. To see what there is: kubestep list", describedMachines(all), shell.Quote(argument))
	case 1:
		return those[0], nil
	}
	var arns []string
	for _, d := range those {
		arns = append(arns, *d.ExecutionArn)
	}
	return nil, fmt.Errorf("several state machines have an execution named %s. Give the ARN: %s", argument, strings.Join(arns, ", "))
}

// describedMachines says where the machines are.
func describedMachines(all []found) string {
	arn := contract.ARN(all[0].arn)
	return fmt.Sprintf("stack %s in %s of account %s", strings.TrimSuffix(all[0].arn.Name(), "-"+all[0].Name), arn.Region(), arn.Account())
}

// anyExecutionName matches what an execution may be named that others start:
// https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
var anyExecutionName = regexp.MustCompile("^[^\\s<>{}\\[\\]?*\"#%\\\\^|~`$&,;:/\\x00-\\x1f\\x7f-\u009f]{1,80}$")

// argumentRegion is the Region of an argument that is the ARN of an execution; empty if it is
// a name.
func argumentRegion(argument string, wrong *problems) string {
	if isExecutionARN(argument) {
		return parseARN("EXECUTION", argument, "execution", wrong).Region()
	}
	if !anyExecutionName.MatchString(argument) {
		wrong.add("EXECUTION %q is not a name, nor of the form arn:aws:states:REGION:ACCOUNT:execution:MACHINE:NAME", argument)
	}
	return ""
}

// resolve returns the ARN of the execution that an argument names, and connects. An ARN is
// taken as it is.
func (e *executions) resolve(ctx context.Context, argument string) (string, error) {
	var wrong problems
	region := argumentRegion(argument, &wrong)
	if e.connect(ctx, region, &wrong); len(wrong) > 0 {
		return "", wrong
	}
	if isExecutionARN(argument) {
		return argument, nil
	}
	described, err := e.one(ctx, argument)
	if err != nil {
		return "", &refusal{err}
	}
	return *described.ExecutionArn, nil
}

// checkOwn returns an error if the state machine of an execution is not one of the stack's.
func (e *executions) checkOwn(ctx context.Context, execution string) error {
	all, err := e.machines(ctx)
	if err != nil {
		return &refusal{err}
	}
	for _, m := range all {
		if rest, ok := strings.CutPrefix(execution, m.arn.Executions()); ok && strings.ContainsAny(rest[:min(1, len(rest))], ":/") { // or of a Map of it
			return nil
		}
	}
	return problems{fmt.Sprintf("%s is of the state machine %s, which is none of %s. Name its stack with --stack, or use --force", execution, contract.ExecutionARN(execution).Machine(), describedMachines(all))}
}

// isExecutionARN reports whether an argument is meant as an ARN, and not as a name.
func isExecutionARN(argument string) bool { return strings.HasPrefix(argument, "arn:") }

// oneExecution reports whether the arguments are one execution.
func oneExecution(args []string) error {
	switch len(args) {
	case 0:
		return problems{"there is no execution: give its name or its ARN, as kubestep list prints them"}
	case 1:
		return nil
	}
	return problems{fmt.Sprintf("%q: expected one execution", strings.Join(args[1:], " "))}
}

// workflowOf is the workflow of an execution, by the name of its state machine; empty if that
// does not say.
func (e *executions) workflowOf(execution string) string {
	name := contract.ExecutionARN(execution).Machine()
	for _, m := range machines() {
		if arn := m.arn(); arn != "" && contract.MachineARN(arn).Name() == name {
			return m.Name
		}
	}
	for _, m := range machines() {
		if strings.HasSuffix(name, "-"+m.Name) {
			return m.Name
		}
	}
	return ""
}
