package cloudformation

import (
	"fmt"
	"strings"
)

// kind is what Ref and Fn::GetAtt return for resources of a type.
type kind struct {
	// name is the property that names a resource. Without it, CloudFormation makes a name of the stack's name, the logical ID and
	// random letters; here it has no letters, so that each evaluation has the same result.
	name string
	// arn is the resource's ARN after the partition, with {region}, {account} and {name}.
	arn string
	// refIsARN is set if Ref returns the ARN, and not the name.
	refIsARN bool
	// more are the other attributes, with {name}.
	more map[string]string
}

// kinds are the types of template.yml. The documentation of each type has its return values:
// https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-template-resource-type-ref.html
var kinds = map[string]kind{
	"AWS::Lambda::Function":                   {name: "FunctionName", arn: "lambda:{region}:{account}:function:{name}"},
	"AWS::Lambda::Alias":                      {},
	"AWS::IAM::Role":                          {name: "RoleName", arn: "iam::{account}:role/{name}"},
	"AWS::Logs::LogGroup":                     {name: "LogGroupName", arn: "logs:{region}:{account}:log-group:{name}:*"},
	"AWS::Logs::QueryDefinition":              {},
	"AWS::Logs::MetricFilter":                 {},
	"AWS::KMS::Key":                           {arn: "kms:{region}:{account}:key/{name}"},
	"AWS::SecretsManager::Secret":             {name: "Name", arn: "secretsmanager:{region}:{account}:secret:{name}", refIsARN: true},
	"AWS::StepFunctions::StateMachine":        {name: "StateMachineName", arn: "states:{region}:{account}:stateMachine:{name}", refIsARN: true, more: map[string]string{"Name": "{name}", "StateMachineRevisionId": "INITIAL"}},
	"AWS::EKS::AccessEntry":                   {},
	"AWS::Events::Rule":                       {name: "Name", arn: "events:{region}:{account}:rule/{name}"},
	"AWS::Scheduler::Schedule":                {name: "Name", arn: "scheduler:{region}:{account}:schedule/default/{name}"},
	"AWS::SQS::Queue":                         {name: "QueueName", arn: "sqs:{region}:{account}:{name}", more: map[string]string{"QueueName": "{name}"}},
	"AWS::CloudWatch::Alarm":                  {name: "AlarmName", arn: "cloudwatch:{region}:{account}:alarm:{name}"},
	"AWS::CloudWatch::Dashboard":              {name: "DashboardName"},
	"AWS::Lambda::Version":                    {more: map[string]string{"Version": "1"}},
	"AWS::StepFunctions::StateMachineVersion": {},
	"AWS::StepFunctions::StateMachineAlias":   {},
}

// physicalID is what Ref returns for a resource.
func (e *evaluation) physicalID(id string) (string, error) {
	r, err := e.resource(id)
	if err != nil {
		return "", err
	}
	switch r.Type {
	// The ARN of a version or an alias begins with its function's or state machine's ARN. Each has one version here.
	case "AWS::Lambda::Version":
		function, err := e.arnOf("AWS::Lambda::Function", scalar(r.Properties["FunctionName"]))
		return function + ":1", err
	case "AWS::StepFunctions::StateMachineVersion":
		return scalar(r.Properties["StateMachineArn"]) + ":1", nil
	case "AWS::StepFunctions::StateMachineAlias":
		machine, err := aliased(r)
		return machine + ":" + scalar(r.Properties["Name"]), err
	}
	name, known, err := e.name(id)
	if err != nil {
		return "", err
	}
	if known.refIsARN {
		return e.arnOf(r.Type, name)
	}
	return name, nil
}

// aliased is the ARN of the state machine of an alias.
func aliased(r Resource) (string, error) {
	preference, _ := r.Properties["DeploymentPreference"].(map[string]any)
	version, ok := preference["StateMachineVersionArn"].(string)
	if !ok {
		return "", fmt.Errorf("the alias %v has no version", r.Properties["Name"])
	}
	return version[:strings.LastIndex(version, ":")], nil
}

func (e *evaluation) name(id string) (string, kind, error) {
	r, err := e.resource(id)
	if err != nil {
		return "", kind{}, err
	}
	known, ok := kinds[r.Type]
	if !ok {
		return "", kind{}, fmt.Errorf("local/cloudformation does not know the type %s", r.Type)
	}
	if name, ok := r.Properties[known.name]; ok {
		return scalar(name), known, nil
	}
	return e.stack.Name + "-" + id, known, nil
}

func (e *evaluation) attribute(id, attribute string) (string, error) {
	name, known, err := e.name(id)
	if err != nil {
		return "", err
	}
	kind := e.resources[id].Type
	if attribute == "Arn" {
		return e.arnOf(kind, name)
	}
	form, ok := known.more[attribute]
	if !ok {
		return "", fmt.Errorf("local/cloudformation does not know the attribute %s of %s", attribute, kind)
	}
	return e.format(form, name), nil
}

func (e *evaluation) arnOf(kind, name string) (string, error) {
	form := kinds[kind].arn
	if form == "" {
		return "", fmt.Errorf("local/cloudformation does not know the ARN of %s", kind)
	}
	return "arn:" + e.stack.Partition + ":" + e.format(form, name), nil
}

func (e *evaluation) format(form, name string) string {
	return strings.NewReplacer("{region}", e.stack.Region, "{account}", e.stack.Account, "{name}", name).Replace(form)
}
