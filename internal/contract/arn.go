package contract

import "strings"

// ExecutionARN is the ARN of an execution of a state machine:
// arn:PARTITION:states:REGION:ACCOUNT:execution:MACHINE:NAME. It may be an input that
// nobody has checked, so a part that is missing is empty.
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsstepfunctions.html
type ExecutionARN string

// The parts of an ExecutionARN.
const (
	arnRegion  = 3
	arnAccount = 4
	arnMachine = 6
	arnName    = 7
	arnParts   = 8
)

// Name is the execution's name, which is unique in its state machine only.
func (a ExecutionARN) Name() string { return string(a[strings.LastIndex(string(a), ":")+1:]) }

// Region is the AWS Region of the state machine.
func (a ExecutionARN) Region() string { return a.part(arnRegion) }

// Account is the AWS account of the state machine.
func (a ExecutionARN) Account() string { return a.part(arnAccount) }

// Machine is the name of the state machine.
func (a ExecutionARN) Machine() string { return a.part(arnMachine) }

// Folder is ACCOUNT/REGION/MACHINE/NAME/, which no other execution has: names are
// unique in a state machine only, and names of state machines in a Region of an account.
func (a ExecutionARN) Folder() string {
	parts := strings.Split(string(a), ":")
	if len(parts) < arnParts {
		return a.Name() + "/"
	}
	return strings.Join([]string{parts[arnAccount], parts[arnRegion], parts[arnMachine], parts[arnName]}, "/") + "/"
}

func (a ExecutionARN) part(i int) string {
	parts := strings.Split(string(a), ":")
	if i >= len(parts) {
		return ""
	}
	return parts[i]
}
