// Package stack deploys a stack of template.yml to the local world: its functions, roles and state machines. LeftOut lists the parts of
// the template that are not deployed here.
//
// It stays because moto's CloudFormation would deploy the functions to moto's Lambda, which needs Docker.
package stack

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/kubestep/kubestep/local/cloudformation"
	"github.com/kubestep/kubestep/local/lambdahost"
	"github.com/kubestep/kubestep/local/sam"
)

const stateMachine = "AWS::StepFunctions::StateMachine"

// Stack is one deployment. Several with different names can exist at the same time.
type Stack struct {
	// Name is the prefix of the names of everything that is deployed.
	Name            string
	Account, Region string
	// Template is template.yml, transformed.
	Template *cloudformation.Template
	// Parameters override the template's defaults.
	Parameters map[string]string
	// Read reads an object that the template names.
	Read func(ctx context.Context, bucket, key string) ([]byte, error)
	// Binaries is the folder that holds NAME/bootstrap for each of functions/NAME, for this computer.
	Binaries string
	// SecretKey is the key from which the generated secrets are derived.
	SecretKey string
	// Secrets overrides generated secrets, by their logical ID.
	Secrets map[string]string
	// Environment is added to the variables of all functions, and overrides theirs.
	Environment map[string]string
}

// Evaluate evaluates the template with the stack's name and parameters.
func (s Stack) Evaluate() (*cloudformation.Evaluated, error) {
	evaluated, err := s.Template.Evaluate(cloudformation.Stack{
		Name: s.Name, Partition: "aws", Region: s.Region, Account: s.Account, Parameters: s.Parameters,
		Secret: func(arn string) (string, error) {
			if value, ok := s.Secrets[secretID(arn)]; ok {
				return value, nil
			}
			value := sha256.Sum256([]byte(s.SecretKey + arn))
			return hex.EncodeToString(value[:]), nil
		},
	})
	if err != nil {
		return nil, fmt.Errorf("stack %s: %w", s.Name, err)
	}
	return evaluated, nil
}

// AllWorkflows returns the parameters that deploy all workflows, and let fleets run them.
func (s Stack) AllWorkflows() map[string]string {
	parameters := map[string]string{}
	for name, parameter := range s.Template.Parameters {
		switch {
		case strings.HasPrefix(name, "Enable"):
			parameters[name] = "true"
		case name == "FleetWorkflows": // the last choice has all
			parameters[name] = fmt.Sprint(parameter.AllowedValues[len(parameter.AllowedValues)-1])
		}
	}
	return parameters
}

// secretID returns the logical ID of the secret in a dynamic reference: an ARN that ends in STACK-ID, and more parts after colons.
func secretID(reference string) string {
	_, name, _ := strings.Cut(reference, ":secret:")
	name, _, _ = strings.Cut(name, ":")
	return name[strings.LastIndexByte(name, '-')+1:]
}

// Role returns the ARN of a function's role. aws-auth maps mint-token's role. It is empty if the stack is not valid, which Deploy
// reports.
func (s Stack) Role(function string) string {
	evaluated, err := s.Evaluate()
	if err != nil {
		return ""
	}
	for _, f := range evaluated.OfType("AWS::Lambda::Function") {
		if f.Properties["FunctionName"] == s.Name+"-"+function {
			return fmt.Sprint(f.Properties["Role"])
		}
	}
	return ""
}

// StateMachineARN returns the ARN of the state machine of a workflow, such as pod-inventory.
func (s Stack) StateMachineARN(workflow string) string {
	return s.arn("states", "stateMachine:"+s.Name+"-"+workflow)
}

func (s Stack) arn(service, resource string) string {
	return arn.ARN{Partition: "aws", Service: service, Region: s.Region, AccountID: s.Account, Resource: resource}.String()
}

// functions returns the functions for the Lambda host.
func (s Stack) functions(ctx context.Context, evaluated *cloudformation.Evaluated) ([]lambdahost.Function, error) {
	var all []lambdahost.Function
	for id, r := range evaluated.OfType("AWS::Lambda::Function") {
		f, err := s.function(ctx, r.Properties)
		if err != nil {
			return nil, fmt.Errorf("function %s: %w", id, err)
		}
		all = append(all, f)
	}
	return all, nil
}

func (s Stack) function(ctx context.Context, properties map[string]any) (lambdahost.Function, error) {
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
		// The value of a parameter is text.
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
	code, err := s.code(ctx, properties["Code"])
	if err != nil {
		return lambdahost.Function{}, err
	}
	name := fmt.Sprint(properties["FunctionName"])
	return lambdahost.Function{
		Name:        name,
		ARN:         s.arn("lambda", "function:"+name),
		Bootstrap:   filepath.Join(s.Binaries, code, "bootstrap"),
		Role:        fmt.Sprint(properties["Role"]),
		Timeout:     time.Duration(numbers["Timeout"]) * time.Second,
		MemoryMB:    numbers["MemorySize"],
		Concurrency: numbers["ReservedConcurrentExecutions"],
		Environment: environment,
	}, nil
}

// code returns the folder of functions/ that a function is built from. Several functions may share one. template.yml names it, as
// build/NAME. A packaged template names an archive: the build information of its program has the folder.
func (s Stack) code(ctx context.Context, value any) (string, error) {
	location, _ := value.(map[string]any)
	bucket, key := fmt.Sprint(location["S3Bucket"]), fmt.Sprint(location["S3Key"])
	if bucket == sam.Bucket {
		name, ok := strings.CutPrefix(key, "build/")
		if !ok || strings.ContainsAny(name, "/.") {
			return "", fmt.Errorf("the code is at %s, not at build/NAME", key)
		}
		return name, nil
	}
	archive, err := s.Read(ctx, bucket, key)
	if err != nil {
		return "", fmt.Errorf("read the code: %w", err)
	}
	files, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		return "", fmt.Errorf("read the code: %w", err)
	}
	program, err := fs.ReadFile(files, "bootstrap")
	if err != nil {
		return "", fmt.Errorf("read the code: %w", err)
	}
	info, err := buildinfo.Read(bytes.NewReader(program))
	if err != nil {
		return "", fmt.Errorf("find out what the code was built from: %w", err)
	}
	return path.Base(info.Path), nil
}

// machine returns a state machine for Step Functions.
func (s Stack) machine(ctx context.Context, properties map[string]any) (*sfn.CreateStateMachineInput, error) {
	location, _ := properties["DefinitionS3Location"].(map[string]any)
	text, err := s.Read(ctx, fmt.Sprint(location["Bucket"]), fmt.Sprint(location["Key"]))
	if err != nil {
		return nil, fmt.Errorf("read the definition: %w", err)
	}
	substitutions, _ := properties["DefinitionSubstitutions"].(map[string]any)
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
		Name: aws.String(fmt.Sprint(properties["StateMachineName"])), RoleArn: aws.String(fmt.Sprint(properties["RoleArn"])),
		Type:       types.StateMachineType(fmt.Sprint(properties["StateMachineType"])),
		Definition: &definition,
	}, nil
}

// StateMachines is the part of the Step Functions API that is called.
type StateMachines interface {
	CreateStateMachine(context.Context, *sfn.CreateStateMachineInput, ...func(*sfn.Options)) (*sfn.CreateStateMachineOutput, error)
	UpdateStateMachine(context.Context, *sfn.UpdateStateMachineInput, ...func(*sfn.Options)) (*sfn.UpdateStateMachineOutput, error)
	DeleteStateMachine(context.Context, *sfn.DeleteStateMachineInput, ...func(*sfn.Options)) (*sfn.DeleteStateMachineOutput, error)
}

// Lambda creates and deletes functions.
type Lambda interface {
	Put(lambdahost.Function) error
	Delete(name string)
}

// Deploy creates or updates the stack. If the stack is not valid, it changes nothing.
func (s Stack) Deploy(ctx context.Context, lambda Lambda, machines StateMachines) error {
	evaluated, err := s.Evaluate()
	if err != nil {
		return err
	}
	functions, err := s.functions(ctx, evaluated)
	if err != nil {
		return fmt.Errorf("stack %s: %w", s.Name, err)
	}
	var definitions []*sfn.CreateStateMachineInput
	for id, r := range evaluated.OfType(stateMachine) {
		machine, err := s.machine(ctx, r.Properties)
		if err != nil {
			return fmt.Errorf("stack %s: state machine %s: %w", s.Name, id, err)
		}
		definitions = append(definitions, machine)
	}
	for _, f := range functions {
		if _, err := os.Stat(f.Bootstrap); err != nil {
			return fmt.Errorf("function %s is not built for %s/%s: %w", f.Name, runtime.GOOS, runtime.GOARCH, err)
		}
		if err := lambda.Put(f); err != nil {
			return fmt.Errorf("create function %s: %w", f.Name, err)
		}
	}
	for _, machine := range definitions {
		// moto creates no machine of a name that there is, and does not say so.
		_, err = machines.UpdateStateMachine(ctx, &sfn.UpdateStateMachineInput{
			StateMachineArn: aws.String(s.arn("states", "stateMachine:"+*machine.Name)), Definition: machine.Definition, RoleArn: machine.RoleArn,
		})
		if _, missing := errors.AsType[*types.StateMachineDoesNotExist](err); missing {
			_, err = machines.CreateStateMachine(ctx, machine)
		}
		if err != nil {
			return fmt.Errorf("create the state machine %s: %w", *machine.Name, err)
		}
	}
	return nil
}

// Delete deletes the stack.
func (s Stack) Delete(ctx context.Context, lambda Lambda, machines StateMachines) error {
	evaluated, err := s.Evaluate()
	if err != nil {
		return err
	}
	for id := range evaluated.OfType(stateMachine) {
		if _, err := machines.DeleteStateMachine(ctx, &sfn.DeleteStateMachineInput{StateMachineArn: aws.String(evaluated.PhysicalIDs[id])}); err != nil {
			return fmt.Errorf("delete the state machine %s of stack %s: %w", id, s.Name, err)
		}
	}
	for _, f := range evaluated.OfType("AWS::Lambda::Function") {
		lambda.Delete(fmt.Sprint(f.Properties["FunctionName"]))
	}
	return nil
}
