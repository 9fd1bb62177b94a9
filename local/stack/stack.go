// Package stack deploys kubestep to the local world: the four functions and the
// state machine that names them.
package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/kubestep/kubestep/local/lambdahost"
)

// Stack is one deployment. Several live side by side under different names.
type Stack struct {
	// Name begins the names of all that is deployed.
	Name            string
	Account, Region string
	// Binaries is the folder that holds NAME/bootstrap for each function.
	Binaries string
	// Definition is the file of the state machine.
	Definition string
	// SealKey is the secret that the functions share.
	SealKey string
	// Environment overrides variables of all functions, such as KUBESTEP_CACHE_TTL.
	Environment map[string]string
}

// function is a function as the template describes it.
type function struct {
	name, state string
	timeout     time.Duration
	memoryMB    int
	environment func(Stack) map[string]string
}

// A state's TimeoutSeconds in the definition is 5 seconds longer than its
// function's, so that Lambda's own error is the one that is seen.
var functions = []function{
	{"describe-cluster", "DescribeCluster", 15 * time.Second, 128, func(Stack) map[string]string {
		return map[string]string{"KUBESTEP_CACHE_TTL": "5m"}
	}},
	{"mint-token", "MintToken", 15 * time.Second, 128, func(s Stack) map[string]string {
		return map[string]string{"KUBESTEP_SEAL_KEY": s.SealKey, "KUBESTEP_ROLE_ARN": s.Role("mint-token")}
	}},
	{"verify-rbac", "VerifyRBAC", 30 * time.Second, 128, func(s Stack) map[string]string {
		return map[string]string{"KUBESTEP_SEAL_KEY": s.SealKey}
	}},
	{"list-pods", "ListPods", 60 * time.Second, 256, func(s Stack) map[string]string {
		return map[string]string{"KUBESTEP_SEAL_KEY": s.SealKey}
	}},
}

// Role is the ARN of a function's role. That of mint-token is whom the cluster knows.
func (s Stack) Role(function string) string {
	return fmt.Sprintf("arn:aws:iam::%s:role/%s-%s", s.Account, s.Name, function)
}

// StateMachineARN is the ARN of the state machine.
func (s Stack) StateMachineARN() string {
	return fmt.Sprintf("arn:aws:states:%s:%s:stateMachine:%s-pod-inventory", s.Region, s.Account, s.Name)
}

// Functions are the functions as the Lambda host takes them.
func (s Stack) Functions() []lambdahost.Function {
	all := make([]lambdahost.Function, 0, len(functions))
	for _, f := range functions {
		environment := f.environment(s)
		for key, value := range s.Environment {
			environment[key] = value
		}
		all = append(all, lambdahost.Function{
			Name: s.Name + "-" + f.name, ARN: s.functionARN(f.name), Bootstrap: filepath.Join(s.Binaries, f.name, "bootstrap"),
			Role: s.Role(f.name), Timeout: f.timeout, MemoryMB: f.memoryMB, Environment: environment,
		})
	}
	return all
}

func (s Stack) functionARN(name string) string {
	return fmt.Sprintf("arn:aws:lambda:%s:%s:function:%s-%s", s.Region, s.Account, s.Name, name)
}

// definition is the file with what the template substitutes.
func (s Stack) definition() (string, error) {
	text, err := os.ReadFile(s.Definition)
	if err != nil {
		return "", fmt.Errorf("read the definition: %w", err)
	}
	substitutions := []string{"${AWSPartition}", "aws"}
	for _, f := range functions {
		substitutions = append(substitutions, "${"+f.state+"FunctionArn}", s.functionARN(f.name))
	}
	definition := strings.NewReplacer(substitutions...).Replace(string(text))
	if at := strings.Index(definition, "${"); at >= 0 {
		return "", fmt.Errorf("the definition has a substitution that the stack does not know, at %.40q", definition[at:])
	}
	return definition, nil
}

// StateMachines is what is called of the Step Functions API.
type StateMachines interface {
	CreateStateMachine(context.Context, *sfn.CreateStateMachineInput, ...func(*sfn.Options)) (*sfn.CreateStateMachineOutput, error)
	UpdateStateMachine(context.Context, *sfn.UpdateStateMachineInput, ...func(*sfn.Options)) (*sfn.UpdateStateMachineOutput, error)
}

// Lambda is what takes the functions.
type Lambda interface {
	Put(lambdahost.Function) error
}

// Deploy creates the stack, or updates it.
func (s Stack) Deploy(ctx context.Context, lambda Lambda, machines StateMachines) error {
	definition, err := s.definition()
	if err != nil {
		return err
	}
	for _, f := range s.Functions() {
		if _, err := os.Stat(f.Bootstrap); err != nil {
			return fmt.Errorf("function %s is not built for %s/%s: %w", f.Name, runtime.GOOS, runtime.GOARCH, err)
		}
		if err := lambda.Put(f); err != nil {
			return fmt.Errorf("create function %s: %w", f.Name, err)
		}
	}
	_, err = machines.CreateStateMachine(ctx, &sfn.CreateStateMachineInput{
		Name: aws.String(s.Name + "-pod-inventory"), Definition: &definition, RoleArn: aws.String(s.Role("state-machine")),
	})
	var exists *types.StateMachineAlreadyExists
	if errors.As(err, &exists) {
		_, err = machines.UpdateStateMachine(ctx, &sfn.UpdateStateMachineInput{StateMachineArn: aws.String(s.StateMachineARN()), Definition: &definition})
	}
	if err != nil {
		return fmt.Errorf("create the state machine of stack %s: %w", s.Name, err)
	}
	return nil
}
