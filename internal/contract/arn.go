package contract

import "strings"

// ARN is the ARN of a resource of AWS, arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE. It
// may be a text that nobody has checked: then each of its parts is empty.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html
type ARN string

// The parts of an ARN.
const (
	arnPartition = iota + 1
	arnService
	arnRegion
	arnAccount
	arnResource
	arnParts
)

// Partition is aws, aws-cn, aws-us-gov or another one.
func (a ARN) Partition() string { return a.part(arnPartition) }

// Service is the service's namespace, such as states.
func (a ARN) Service() string { return a.part(arnService) }

// Region is the AWS Region; empty for what is in none, such as a role.
func (a ARN) Region() string { return a.part(arnRegion) }

// Account is the 12 digits of the AWS account.
func (a ARN) Account() string { return a.part(arnAccount) }

// Resource is all that follows the account, such as cluster/demo.
func (a ARN) Resource() string { return a.part(arnResource) }

func (a ARN) part(i int) string {
	parts := strings.SplitN(string(a), ":", arnParts)
	if len(parts) < arnParts || parts[0] != "arn" {
		return ""
	}
	return parts[i]
}

// MachineARN is the ARN of a state machine, whose resource is stateMachine:NAME, or of one
// of its aliases or versions, stateMachine:NAME:ALIAS.
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsstepfunctions.html
type MachineARN string

// Name is the name of the state machine; empty for another resource.
func (a MachineARN) Name() string {
	kind, rest, _ := strings.Cut(ARN(a).Resource(), ":")
	if kind != "stateMachine" {
		return ""
	}
	name, _, _ := strings.Cut(rest, ":")
	return name
}

// Qualifier is the alias or the version; empty for the state machine itself.
func (a MachineARN) Qualifier() string {
	_, qualifier, _ := strings.Cut(ARN(a).Resource(), ":"+a.Name()+":")
	return qualifier
}

// Unqualified is the ARN of the state machine itself.
func (a MachineARN) Unqualified() string {
	return strings.TrimSuffix(string(a), ":"+a.Qualifier())
}

// Executions begins the ARNs of the executions, which name no alias; empty for another
// resource.
func (a MachineARN) Executions() string {
	if a.Name() == "" {
		return ""
	}
	return strings.TrimSuffix(string(a), ARN(a).Resource()) + "execution:" + a.Name()
}

// Execution is the ARN of the execution of that name.
func (a MachineARN) Execution(name string) ExecutionARN {
	return ExecutionARN(a.Executions() + ":" + name)
}

// ExecutionARN is the ARN of an execution, whose resource is execution:MACHINE:NAME.
type ExecutionARN string

// Name is the execution's name, which is unique in its state machine only.
func (a ExecutionARN) Name() string { return string(a[strings.LastIndex(string(a), ":")+1:]) }

// Machine is the name of the state machine.
func (a ExecutionARN) Machine() string {
	_, rest, _ := strings.Cut(ARN(a).Resource(), ":")
	machine, _, _ := strings.Cut(rest, ":")
	return machine
}

// Folder is ACCOUNT/REGION/MACHINE/NAME/, which no other execution has: names are
// unique in a state machine only, and names of state machines in a Region of an account.
func (a ExecutionARN) Folder() string {
	if a.Machine() == "" {
		return a.Name() + "/"
	}
	return strings.Join([]string{ARN(a).Account(), ARN(a).Region(), a.Machine(), a.Name()}, "/") + "/"
}
