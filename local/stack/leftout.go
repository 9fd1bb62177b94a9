package stack

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kubestep/kubestep/local/cloudformation"
)

// honored are the properties that the local world implements, by type.
var honored = map[string][]string{
	"AWS::Lambda::Function": {
		"FunctionName", "Code", "Runtime", "Handler", "Role", "Timeout", "MemorySize", "Environment", "ReservedConcurrentExecutions",
	},
	// aws-auth maps a role by its ARN, which contains its name. make test evaluates the policies against the calls made.
	"AWS::IAM::Role": {"RoleName", "AssumeRolePolicyDocument", "Policies"},
	"AWS::StepFunctions::StateMachine": {
		"StateMachineName", "StateMachineType", "DefinitionS3Location", "DefinitionSubstitutions", "RoleArn",
	},
	// Of rules on executions that were stopped. Their targets are retried at once, and no other events are sent.
	eventRule: {"Name", "EventPattern", "Targets"},
	// The value is a random key of the world.
	"AWS::SecretsManager::Secret": {"GenerateSecretString"},
}

// leftOut are the types, and properties of types, that the local world does not implement: what they are, and why.
var leftOut = map[string]struct{ what, why string }{
	"AWS::Lambda::Function.Architectures":                   {"arm64", "the functions are built for this computer"},
	"AWS::Lambda::Function.VpcConfig":                       {"the VPC", "every function reaches the cluster, which listens on loopback"},
	"AWS::Lambda::Function.TracingConfig":                   {"tracing", "nothing here collects traces"},
	"AWS::Lambda::Function.LoggingConfig":                   {"log groups", "logs are files in .local/logs"},
	"AWS::Lambda::Function.KmsKeyArn":                       {"encryption with KMS", "nothing here is encrypted at rest"},
	"AWS::Lambda::Function.Description":                     {"descriptions", "nothing shows them"},
	"AWS::Lambda::Function.Tags":                            {"tags", "nothing shows them"},
	"AWS::Lambda::Version":                                  {"versions and gradual deployment", "the latest version runs, at once"},
	"AWS::Lambda::Alias":                                    {"versions and gradual deployment", "the latest version runs, at once"},
	"AWS::IAM::Role.PermissionsBoundary":                    {"the permissions boundary", "its policy is not part of the template"},
	"AWS::IAM::Role.Description":                            {"descriptions", "nothing shows them"},
	"AWS::Events::Rule.Description":                         {"descriptions", "nothing shows them"},
	"AWS::Logs::LogGroup":                                   {"log groups", "logs are files in .local/logs"},
	"AWS::Logs::QueryDefinition":                            {"log queries", "logs are files in .local/logs"},
	"AWS::KMS::Key":                                         {"encryption with KMS", "nothing here is encrypted at rest"},
	"AWS::SecretsManager::Secret.KmsKeyId":                  {"encryption with KMS", "nothing here is encrypted at rest"},
	"AWS::SecretsManager::Secret.Description":               {"descriptions", "nothing shows them"},
	"AWS::StepFunctions::StateMachine.LoggingConfiguration": {"log groups", "the history has it all"},
	"AWS::StepFunctions::StateMachine.TracingConfiguration": {"tracing", "nothing here collects traces"},
	"AWS::StepFunctions::StateMachine.Tags":                 {"tags", "nothing shows them"},
	"AWS::StepFunctions::StateMachineVersion":               {"versions and gradual deployment", "the latest version runs, at once"},
	"AWS::StepFunctions::StateMachineAlias":                 {"versions and gradual deployment", "the latest version runs, at once"},
	"AWS::EKS::AccessEntry":                                 {"the access entry", "the local cluster maps roles with aws-auth"},
	"AWS::Scheduler::Schedule":                              {"the schedule", "nothing here runs schedules"},
	"AWS::SQS::Queue":                                       {"the schedule", "nothing here runs schedules"},
	"AWS::Logs::MetricFilter":                               {"alarms", "nothing here watches metrics"},
	"AWS::CloudWatch::Alarm":                                {"alarms", "nothing here watches metrics"},
	"AWS::CloudWatch::Dashboard":                            {"the dashboard", "nothing here shows metrics"},
}

// LeftOut lists the parts of the template that are not implemented here. A type or a property that is in neither list is an
// error, so that nothing is left out without saying so.
func LeftOut(t *cloudformation.Template) ([]string, error) {
	var said []string
	for _, id := range slices.Sorted(maps.Keys(t.Resources)) {
		r := t.Resources[id]
		if left, ok := leftOut[r.Type]; ok {
			said = append(said, left.what)
			continue
		}
		known, ok := honored[r.Type]
		if !ok {
			return nil, fmt.Errorf("resource %s of the template: local/stack neither deploys the type %s nor says why not", id, r.Type)
		}
		for _, property := range slices.Sorted(maps.Keys(r.Properties)) {
			left, ok := leftOut[r.Type+"."+property]
			switch {
			case ok:
				said = append(said, left.what)
			case !slices.Contains(known, property):
				return nil, fmt.Errorf("resource %s of the template: local/stack neither implements %s of %s nor says why not", id, property, r.Type)
			}
		}
	}
	slices.SortFunc(said, strings.Compare)
	return slices.Compact(said), nil
}
