package stack

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kubestep/kubestep/local/cloudformation"
)

// honoured are the properties that the local world goes by, of the types that it knows.
var honoured = map[string][]string{
	"AWS::Lambda::Function": {
		"FunctionName", "Code", "Runtime", "Handler", "Role", "Timeout", "MemorySize", "Environment", "ReservedConcurrentExecutions",
	},
	// The cluster knows a role by its ARN, which its name makes. make test evaluates the policies against the calls made.
	"AWS::IAM::Role": {"RoleName", "AssumeRolePolicyDocument", "Policies"},
	"AWS::StepFunctions::StateMachine": {
		"StateMachineName", "StateMachineType", "DefinitionS3Location", "DefinitionSubstitutions", "RoleArn",
	},
	// A key of the world's own.
	"AWS::SecretsManager::Secret": {"GenerateSecretString"},
}

// leftOut is all of the template that the local world does not go by, a type or a property of one: what it is, and why
// it is left out.
var leftOut = map[string]struct{ what, why string }{
	"AWS::Lambda::Function.Architectures":                   {"arm64", "the functions are built for this computer"},
	"AWS::Lambda::Function.VpcConfig":                       {"the VPC", "every function reaches the cluster, which listens on loopback"},
	"AWS::Lambda::Function.TracingConfig":                   {"tracing", "nothing here takes traces"},
	"AWS::Lambda::Function.LoggingConfig":                   {"log groups", "logs are files in .local/logs"},
	"AWS::Lambda::Function.KmsKeyArn":                       {"encryption with KMS", "nothing here is encrypted at rest"},
	"AWS::Lambda::Function.Description":                     {"descriptions", "nothing shows them"},
	"AWS::Lambda::Function.Tags":                            {"tags", "nothing shows them"},
	"AWS::Lambda::Version":                                  {"versions and gradual deployment", "the latest version runs, at once"},
	"AWS::Lambda::Alias":                                    {"versions and gradual deployment", "the latest version runs, at once"},
	"AWS::IAM::Role.PermissionsBoundary":                    {"the permissions boundary", "its policy is not part of the template"},
	"AWS::IAM::Role.Description":                            {"descriptions", "nothing shows them"},
	"AWS::Logs::LogGroup":                                   {"log groups", "logs are files in .local/logs"},
	"AWS::Logs::QueryDefinition":                            {"log queries", "logs are files in .local/logs"},
	"AWS::KMS::Key":                                         {"encryption with KMS", "nothing here is encrypted at rest"},
	"AWS::SecretsManager::Secret.KmsKeyId":                  {"encryption with KMS", "nothing here is encrypted at rest"},
	"AWS::SecretsManager::Secret.Description":               {"descriptions", "nothing shows them"},
	"AWS::StepFunctions::StateMachine.LoggingConfiguration": {"log groups", "the history has it all"},
	"AWS::StepFunctions::StateMachine.TracingConfiguration": {"tracing", "nothing here takes traces"},
	"AWS::StepFunctions::StateMachine.Tags":                 {"tags", "nothing shows them"},
	"AWS::StepFunctions::StateMachineVersion":               {"versions and gradual deployment", "the latest version runs, at once"},
	"AWS::StepFunctions::StateMachineAlias":                 {"versions and gradual deployment", "the latest version runs, at once"},
	"AWS::EKS::AccessEntry":                                 {"the access entry", "the local cluster knows roles by aws-auth"},
	"AWS::Scheduler::Schedule":                              {"the schedule", "nothing here keeps time for it"},
	"AWS::SQS::Queue":                                       {"the schedule", "nothing here keeps time for it"},
	"AWS::Logs::MetricFilter":                               {"alarms", "nothing here watches metrics"},
	"AWS::CloudWatch::Alarm":                                {"alarms", "nothing here watches metrics"},
	"AWS::CloudWatch::Dashboard":                            {"the dashboard", "nothing here shows metrics"},
}

// LeftOut lists in a few words what of the template has no counterpart here. What is neither honoured nor known to be
// left out is an error, so that nothing is left out unsaid.
func LeftOut(t *cloudformation.Template) ([]string, error) {
	var said []string
	for _, id := range slices.Sorted(maps.Keys(t.Resources)) {
		r := t.Resources[id]
		if left, ok := leftOut[r.Type]; ok {
			said = append(said, left.what)
			continue
		}
		known, ok := honoured[r.Type]
		if !ok {
			return nil, fmt.Errorf("resource %s of the template: local/stack neither deploys the type %s nor says why it is left out", id, r.Type)
		}
		for _, property := range slices.Sorted(maps.Keys(r.Properties)) {
			left, ok := leftOut[r.Type+"."+property]
			switch {
			case ok:
				said = append(said, left.what)
			case !slices.Contains(known, property):
				return nil, fmt.Errorf("resource %s of the template: local/stack neither goes by %s of %s nor says why it is left out", id, property, r.Type)
			}
		}
	}
	slices.SortFunc(said, strings.Compare)
	return slices.Compact(said), nil
}
