package stack_test

import (
	"archive/zip"
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/local/cloudformation"
	"github.com/kubestep/kubestep/local/lambdahost"
	"github.com/kubestep/kubestep/local/stack"
)

const template = `{
	"Parameters": {"Limit": {"Type": "Number", "Default": 9}, "Writes": {"Type": "String", "Default": "true"}},
	"Conditions": {"DoesWrite": {"Fn::Equals": [{"Ref": "Writes"}, "true"]}},
	"Resources": {
		"Role": {"Type": "AWS::IAM::Role", "Properties": {"RoleName": {"Fn::Sub": "${AWS::StackName}-work"}}},
		"Key": {"Type": "AWS::SecretsManager::Secret", "Properties": {"GenerateSecretString": {}}},
		"WorkFunction": {"Type": "AWS::Lambda::Function", "Properties": {
			"FunctionName": {"Fn::Sub": "${AWS::StackName}-work"}, "Runtime": "provided.al2023", "Handler": "bootstrap", "Code": {"S3Bucket": "local", "S3Key": "build/work"},
			"Role": {"Fn::GetAtt": ["Role", "Arn"]}, "Timeout": 7, "MemorySize": 200, "ReservedConcurrentExecutions": {"Ref": "Limit"},
			"Environment": {"Variables": {"KEY": {"Fn::Sub": "{{resolve:secretsmanager:${Key}:SecretString::AWSCURRENT:}}"}, "TTL": "5m"}}}},
		"Machine": {"Type": "AWS::StepFunctions::StateMachine", "Properties": {
			"StateMachineName": {"Fn::Sub": "${AWS::StackName}-machine"}, "StateMachineType": "STANDARD", "RoleArn": {"Fn::GetAtt": ["Role", "Arn"]},
			"DefinitionS3Location": {"Bucket": "local", "Key": "machine.json"},
			"DefinitionSubstitutions": {"WorkFunctionArn": {"Fn::GetAtt": ["WorkFunction", "Arn"]}}}},
		"WriterRole": {"Type": "AWS::IAM::Role", "Condition": "DoesWrite", "Properties": {"RoleName": {"Fn::Sub": "${AWS::StackName}-writer"}}},
		"WriteFunction": {"Type": "AWS::Lambda::Function", "Condition": "DoesWrite", "Properties": {
			"FunctionName": {"Fn::Sub": "${AWS::StackName}-write"}, "Runtime": "provided.al2023", "Handler": "bootstrap", "Code": {"S3Bucket": "local", "S3Key": "build/work"},
			"Role": {"Fn::GetAtt": ["WriterRole", "Arn"]}, "Timeout": 8, "MemorySize": 200}},
		"Writer": {"Type": "AWS::StepFunctions::StateMachine", "Condition": "DoesWrite", "Properties": {
			"StateMachineName": {"Fn::Sub": "${AWS::StackName}-writer"}, "StateMachineType": "STANDARD", "RoleArn": {"Fn::GetAtt": ["WriterRole", "Arn"]},
			"DefinitionS3Location": {"Bucket": "local", "Key": "writer.json"},
			"DefinitionSubstitutions": {"Machine": {"Ref": "Machine"}, "WriteFunctionArn": {"Fn::GetAtt": ["WriteFunction", "Arn"]}}}}
	}
}`

func newStack(t *testing.T, template, definition string) stack.Stack {
	t.Helper()
	parsed, err := cloudformation.Parse([]byte(template))
	require.NoError(t, err)
	root := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(root, "bin", "work"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(root, "bin", "work", "bootstrap"), nil, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(root, "machine.json"), []byte(definition), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(root, "writer.json"), []byte(`{"starts": "${Machine}", "calls": "${WriteFunctionArn}"}`), 0o600))
	return stack.Stack{
		Name: "one", Account: "111122223333", Region: "eu-west-1", Template: parsed, Binaries: filepath.Join(root, "bin"), SecretKey: "sealed",
		Environment: map[string]string{"TTL": "1s"},
		Read:        func(_ context.Context, _, key string) ([]byte, error) { return os.ReadFile(filepath.Join(root, key)) },
	}
}

// cloud keeps what is deployed.
type cloud struct {
	functions []lambdahost.Function
	machines  []*sfn.CreateStateMachineInput
}

func (c *cloud) Put(f lambdahost.Function) error {
	c.functions = append(c.functions, f)
	return nil
}

func (c *cloud) Delete(name string) {
	c.functions = slices.DeleteFunc(c.functions, func(f lambdahost.Function) bool { return f.Name == name })
}

func (c *cloud) DeleteStateMachine(_ context.Context, in *sfn.DeleteStateMachineInput, _ ...func(*sfn.Options)) (*sfn.DeleteStateMachineOutput, error) {
	c.machines = slices.DeleteFunc(c.machines, func(m *sfn.CreateStateMachineInput) bool { return strings.HasSuffix(*in.StateMachineArn, *m.Name) })
	return &sfn.DeleteStateMachineOutput{}, nil
}

func (c *cloud) CreateStateMachine(_ context.Context, in *sfn.CreateStateMachineInput, _ ...func(*sfn.Options)) (*sfn.CreateStateMachineOutput, error) {
	c.machines = append(c.machines, in)
	return &sfn.CreateStateMachineOutput{}, nil
}

func (c *cloud) UpdateStateMachine(_ context.Context, in *sfn.UpdateStateMachineInput, _ ...func(*sfn.Options)) (*sfn.UpdateStateMachineOutput, error) {
	for _, m := range c.machines {
		if strings.HasSuffix(*in.StateMachineArn, ":"+*m.Name) {
			m.Definition, m.RoleArn = in.Definition, in.RoleArn
			return &sfn.UpdateStateMachineOutput{}, nil
		}
	}
	return nil, &types.StateMachineDoesNotExist{}
}

func TestWhatIsDeployedIsWhatTheTemplateSays(t *testing.T) {
	s, c := newStack(t, template, `{"at": "${WorkFunctionArn}"}`), &cloud{}
	require.NoError(t, s.Deploy(t.Context(), c, c))
	require.Len(t, c.functions, 2)
	work, write := c.functions[0], c.functions[1]
	assert.Len(t, work.Environment["KEY"], 64, "a secret of its own")
	assert.Equal(t, lambdahost.Function{
		Name: "one-work", ARN: "arn:aws:lambda:eu-west-1:111122223333:function:one-work", Role: "arn:aws:iam::111122223333:role/one-work",
		Bootstrap: filepath.Join(s.Binaries, "work", "bootstrap"), Timeout: 7 * time.Second, MemoryMB: 200, Concurrency: 9,
		Environment: map[string]string{"KEY": work.Environment["KEY"], "TTL": "1s"},
	}, work)
	assert.Equal(t, []any{"one-write", work.Bootstrap, 8 * time.Second}, []any{write.Name, write.Bootstrap, write.Timeout}, "the same binary, as another function")
	require.Len(t, c.machines, 2)
	machine, writer := c.machines[0], c.machines[1]
	assert.Equal(t, "one-machine", *machine.Name)
	assert.JSONEq(t, `{"at": "arn:aws:lambda:eu-west-1:111122223333:function:one-work"}`, *machine.Definition)
	assert.Equal(t, "arn:aws:iam::111122223333:role/one-work", *machine.RoleArn)
	assert.JSONEq(t, `{"starts": "`+s.StateMachineARN("machine")+`", "calls": "arn:aws:lambda:eu-west-1:111122223333:function:one-write"}`, *writer.Definition)
	assert.Equal(t, "arn:aws:iam::111122223333:role/one-writer", *writer.RoleArn)
	assert.Equal(t, "arn:aws:iam::111122223333:role/one-work", s.Role("work"))
	assert.Equal(t, "arn:aws:iam::111122223333:role/one-writer", s.Role("write"))

	again := newStack(t, template, `{"again": "${WorkFunctionArn}"}`)
	require.NoError(t, again.Deploy(t.Context(), c, c))
	require.Len(t, c.machines, 2)
	assert.JSONEq(t, `{"again": "arn:aws:lambda:eu-west-1:111122223333:function:one-work"}`, *c.machines[0].Definition, "an update has the new definition")

	require.NoError(t, s.Delete(t.Context(), c, c))
	assert.Empty(t, c.functions)
	assert.Empty(t, c.machines)
}

func TestAFunctionAndAMachineWhoseConditionDoesNotHoldAreNotDeployed(t *testing.T) {
	s, c := newStack(t, template, `{"at": "${WorkFunctionArn}"}`), &cloud{}
	s.Parameters = map[string]string{"Writes": "false"}
	require.NoError(t, s.Deploy(t.Context(), c, c))
	assert.Len(t, c.functions, 1)
	assert.Len(t, c.machines, 1)
	assert.Empty(t, s.Role("write"))
}

func TestADeployedArchiveRecordsWhatItWasBuiltFrom(t *testing.T) {
	archive := &bytes.Buffer{}
	files := zip.NewWriter(archive)
	bootstrap, err := files.Create("bootstrap")
	require.NoError(t, err)
	this, err := os.ReadFile(os.Args[0])
	require.NoError(t, err)
	_, err = bootstrap.Write(this)
	require.NoError(t, err)
	require.NoError(t, files.Close())
	s, c := newStack(t, strings.ReplaceAll(template, `"S3Bucket": "local", "S3Key": "build/work"`, `"S3Bucket": "code", "S3Key": "5f3a"`), `{"at": "${WorkFunctionArn}"}`), &cloud{}
	read := s.Read
	s.Read = func(ctx context.Context, bucket, key string) ([]byte, error) {
		if bucket == "code" {
			return archive.Bytes(), nil
		}
		return read(ctx, bucket, key)
	}

	require.ErrorContains(t, s.Deploy(t.Context(), c, c), filepath.Join(s.Binaries, "stack.test", "bootstrap"), "the program of this test, which is not built there")
}

func TestADefinitionAndItsSubstitutionsGoTogether(t *testing.T) {
	for sentence, c := range map[string]struct{ definition, want string }{
		"one that is not substituted": {`{"at": "${WorkFunctionArn}", "in": "${AWSPartition}"}`, "does not substitute what the definition has at \"${AWSPartition}"},
		"one that is not there":       {`{}`, "the definition has no ${WorkFunctionArn}"},
	} {
		t.Run(sentence, func(t *testing.T) {
			cloud := &cloud{}
			require.ErrorContains(t, newStack(t, template, c.definition).Deploy(t.Context(), cloud, cloud), c.want)
			assert.Empty(t, cloud.functions, "nothing is deployed")
		})
	}
}

func TestWhatIsLeftOutIsListed(t *testing.T) {
	for sentence, c := range map[string]struct {
		resources string
		said      []string
		wrong     string
	}{
		"what is deployed":           {`{"R":{"Type":"AWS::IAM::Role","Properties":{"RoleName":"x"}}}`, nil, ""},
		"what is left out":           {`{"R":{"Type":"AWS::IAM::Role","Properties":{"Policies":[],"Description":"x"}},"A":{"Type":"AWS::CloudWatch::Alarm"}}`, []string{"alarms", "descriptions"}, ""},
		"a type in neither list":     {`{"R":{"Type":"AWS::New::Thing"}}`, nil, "R of the template: local/stack neither deploys the type AWS::New::Thing"},
		"a property in neither list": {`{"R":{"Type":"AWS::IAM::Role","Properties":{"Path":"/x/"}}}`, nil, "neither implements Path of AWS::IAM::Role nor says why not"},
	} {
		t.Run(sentence, func(t *testing.T) {
			parsed, err := cloudformation.Parse([]byte(`{"Resources":` + c.resources + `}`))
			require.NoError(t, err)
			said, err := stack.LeftOut(parsed)
			if c.wrong != "" {
				require.ErrorContains(t, err, c.wrong)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, c.said, said)
		})
	}
}

func TestCodeIsAFolderOfTheRepositoryAndNotAPath(t *testing.T) {
	for _, key := range []string{"build/../../etc", "build/a/b", "build/.", "elsewhere/work"} {
		s, c := newStack(t, strings.ReplaceAll(template, "build/work", key), `{"at": "${WorkFunctionArn}"}`), &cloud{}
		assert.ErrorContains(t, s.Deploy(t.Context(), c, c), "not at build/NAME", key)
	}
}
