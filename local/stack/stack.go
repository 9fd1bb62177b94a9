// Package stack deploys kubestep to the local world: of template.yml the functions, their roles and the state machine,
// as they are with a stack's name and parameters. LeftOut says what of the template has no counterpart here.
package stack

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/kubestep/kubestep/local/cloudformation"
	"github.com/kubestep/kubestep/local/lambdahost"
)

// Stack is one deployment. Several live side by side under different names.
type Stack struct {
	// Name begins the names of all that is deployed.
	Name            string
	Account, Region string
	// Template is template.yml, transformed.
	Template *cloudformation.Template
	// Parameters override the template's defaults.
	Parameters map[string]string
	// Read reads what the template names in a bucket.
	Read func(ctx context.Context, bucket, key string) ([]byte, error)
	// Binaries is the folder that holds NAME/bootstrap for each function STACK-NAME, for this computer.
	Binaries string
	// SealKey is the value of the secret that CloudFormation generates.
	SealKey string
	// Environment is added to the variables of all functions, such as AWS_ENDPOINT_URL; it overrides theirs.
	Environment map[string]string
}

// Evaluate is the template with the stack's name and parameters.
func (s Stack) Evaluate() (*cloudformation.Evaluated, error) {
	evaluated, err := s.Template.Evaluate(cloudformation.Stack{
		Name: s.Name, Partition: "aws", Region: s.Region, Account: s.Account, Parameters: s.Parameters,
		Secret: func(string) (string, error) { return s.SealKey, nil },
	})
	if err != nil {
		return nil, fmt.Errorf("stack %s: %w", s.Name, err)
	}
	return evaluated, nil
}

// Role is the ARN of a function's role; that of mint-token is whom the cluster knows. It is empty where the stack is
// wrong, which Deploy says.
func (s Stack) Role(function string) string {
	functions, _ := s.Functions()
	for _, f := range functions {
		if codeName(f.Bootstrap) == function {
			return f.Role
		}
	}
	return ""
}

// StateMachineARN is the ARN of the state machine, or empty where the stack is wrong, which Deploy says.
func (s Stack) StateMachineARN() string {
	evaluated, err := s.Evaluate()
	if err != nil {
		return ""
	}
	id, _, err := only(evaluated, "AWS::StepFunctions::StateMachine")
	if err != nil {
		return ""
	}
	return evaluated.PhysicalIDs[id]
}

// Functions are the functions as the Lambda host takes them.
func (s Stack) Functions() ([]lambdahost.Function, error) {
	evaluated, err := s.Evaluate()
	if err != nil {
		return nil, err
	}
	var all []lambdahost.Function
	for _, id := range slices.Sorted(maps.Keys(evaluated.Resources)) {
		if evaluated.Resources[id].Type != "AWS::Lambda::Function" {
			continue
		}
		f, err := s.function(evaluated.Resources[id].Properties)
		if err != nil {
			return nil, fmt.Errorf("stack %s: function %s: %w", s.Name, id, err)
		}
		all = append(all, f)
	}
	return all, nil
}

func (s Stack) function(properties map[string]any) (lambdahost.Function, error) {
	runs := fmt.Sprint(properties["Runtime"], " ", properties["Handler"], " ", properties["PackageType"])
	if runs != "provided.al2023 bootstrap <nil>" {
		return lambdahost.Function{}, fmt.Errorf("the local Lambda runs a bootstrap on provided.al2023, not %s", runs)
	}
	var err error
	numbers := map[string]int{}
	for _, name := range []string{"Timeout", "MemorySize", "ReservedConcurrentExecutions"} {
		value, given := properties[name]
		if !given {
			continue
		}
		// A parameter's number is text.
		if numbers[name], err = strconv.Atoi(fmt.Sprint(value)); err != nil {
			return lambdahost.Function{}, fmt.Errorf("%s: %w", name, err)
		}
	}
	environment := map[string]string{}
	if given, ok := properties["Environment"].(map[string]any); ok {
		variables, _ := given["Variables"].(map[string]any)
		for name, value := range variables {
			environment[name] = fmt.Sprint(value)
		}
	}
	maps.Copy(environment, s.Environment)
	name := fmt.Sprint(properties["FunctionName"])
	return lambdahost.Function{
		Name:        name,
		ARN:         arn.ARN{Partition: "aws", Service: "lambda", Region: s.Region, AccountID: s.Account, Resource: "function:" + name}.String(),
		Bootstrap:   filepath.Join(s.Binaries, strings.TrimPrefix(name, s.Name+"-"), "bootstrap"),
		Role:        fmt.Sprint(properties["Role"]),
		Timeout:     time.Duration(numbers["Timeout"]) * time.Second,
		MemoryMB:    numbers["MemorySize"],
		Concurrency: numbers["ReservedConcurrentExecutions"],
		Environment: environment,
	}, nil
}

// codeName is the name of the folder in functions/ that a bootstrap was built from.
func codeName(bootstrap string) string { return filepath.Base(filepath.Dir(bootstrap)) }

// only is the one resource of a type.
func only(evaluated *cloudformation.Evaluated, kind string) (string, cloudformation.Resource, error) {
	var found []string
	for id, r := range evaluated.Resources {
		if r.Type == kind {
			found = append(found, id)
		}
	}
	if len(found) != 1 {
		return "", cloudformation.Resource{}, fmt.Errorf("the template has %d resources of type %s, and not one", len(found), kind)
	}
	return found[0], evaluated.Resources[found[0]], nil
}

// machine is the state machine as Step Functions takes it.
func (s Stack) machine(ctx context.Context) (*sfn.CreateStateMachineInput, error) {
	evaluated, err := s.Evaluate()
	if err != nil {
		return nil, err
	}
	_, r, err := only(evaluated, "AWS::StepFunctions::StateMachine")
	if err != nil {
		return nil, err
	}
	location, _ := r.Properties["DefinitionS3Location"].(map[string]any)
	text, err := s.Read(ctx, fmt.Sprint(location["Bucket"]), fmt.Sprint(location["Key"]))
	if err != nil {
		return nil, fmt.Errorf("read the definition: %w", err)
	}
	substitutions, _ := r.Properties["DefinitionSubstitutions"].(map[string]any)
	var pairs []string
	for name, value := range substitutions {
		if !strings.Contains(string(text), "${"+name+"}") {
			return nil, fmt.Errorf("the definition has no ${%s}, which the template substitutes", name)
		}
		pairs = append(pairs, "${"+name+"}", fmt.Sprint(value))
	}
	definition := strings.NewReplacer(pairs...).Replace(string(text))
	if at := strings.Index(definition, "${"); at >= 0 {
		return nil, fmt.Errorf("the template does not substitute what the definition has at %.40q", definition[at:])
	}
	return &sfn.CreateStateMachineInput{
		Name: aws.String(fmt.Sprint(r.Properties["StateMachineName"])), RoleArn: aws.String(fmt.Sprint(r.Properties["RoleArn"])),
		Type:       types.StateMachineType(fmt.Sprint(r.Properties["StateMachineType"])),
		Definition: &definition,
	}, nil
}

// StateMachines is what is called of the Step Functions API.
type StateMachines interface {
	CreateStateMachine(context.Context, *sfn.CreateStateMachineInput, ...func(*sfn.Options)) (*sfn.CreateStateMachineOutput, error)
	UpdateStateMachine(context.Context, *sfn.UpdateStateMachineInput, ...func(*sfn.Options)) (*sfn.UpdateStateMachineOutput, error)
	DeleteStateMachine(context.Context, *sfn.DeleteStateMachineInput, ...func(*sfn.Options)) (*sfn.DeleteStateMachineOutput, error)
}

// Lambda is what takes the functions.
type Lambda interface {
	Put(lambdahost.Function) error
	Delete(name string)
}

// Deploy creates the stack, or updates it.
func (s Stack) Deploy(ctx context.Context, lambda Lambda, machines StateMachines) error {
	functions, err := s.Functions()
	if err != nil {
		return err
	}
	machine, err := s.machine(ctx)
	if err != nil {
		return fmt.Errorf("stack %s: %w", s.Name, err)
	}
	for _, f := range functions {
		if _, err := os.Stat(f.Bootstrap); err != nil {
			return fmt.Errorf("function %s is not built for %s/%s: %w", f.Name, runtime.GOOS, runtime.GOARCH, err)
		}
		if err := lambda.Put(f); err != nil {
			return fmt.Errorf("create function %s: %w", f.Name, err)
		}
	}
	_, err = machines.CreateStateMachine(ctx, machine)
	if _, exists := errors.AsType[*types.StateMachineAlreadyExists](err); exists {
		_, err = machines.UpdateStateMachine(ctx, &sfn.UpdateStateMachineInput{
			StateMachineArn: aws.String(s.StateMachineARN()), Definition: machine.Definition, RoleArn: machine.RoleArn,
		})
	}
	if err != nil {
		return fmt.Errorf("create the state machine of stack %s: %w", s.Name, err)
	}
	return nil
}

// Delete deletes all of the stack.
func (s Stack) Delete(ctx context.Context, lambda Lambda, machines StateMachines) error {
	functions, err := s.Functions()
	if err != nil {
		return err
	}
	if _, err := machines.DeleteStateMachine(ctx, &sfn.DeleteStateMachineInput{StateMachineArn: aws.String(s.StateMachineARN())}); err != nil {
		return fmt.Errorf("delete the state machine of stack %s: %w", s.Name, err)
	}
	for _, f := range functions {
		lambda.Delete(f.Name)
	}
	return nil
}
