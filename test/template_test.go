package test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/local/cloudformation"
	"github.com/kubestep/kubestep/local/lambdahost"
	"github.com/kubestep/kubestep/local/sam"
	"github.com/kubestep/kubestep/local/stack"
)

// running returns the functions of a stack in the local Lambda, by their names without the stack's.
func running(s stack.Stack) map[string]lambdahost.Function {
	found := map[string]lambdahost.Function{}
	for _, f := range local.Lambda.Functions() {
		if name, ok := strings.CutPrefix(f.Name, s.Name+"-"); ok {
			found[name] = f
		}
	}
	return found
}

func TestWhatRunsIsWhatTheTransformedTemplateSays(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	s.stack.Parameters = everyWorkflow()
	s.deploy(t)
	functions := running(s.stack)
	said := 0
	for _, r := range s.stack.Template.Resources {
		if r.Type != "AWS::Lambda::Function" {
			continue
		}
		said++
		name := strings.TrimPrefix(r.Properties["FunctionName"].(map[string]any)["Fn::Sub"].(string), "${AWS::StackName}-")
		require.Contains(t, functions, name)
		f := functions[name]
		assert.InDelta(t, r.Properties["Timeout"], f.Timeout.Seconds(), 0, name)
		assert.InDelta(t, r.Properties["MemorySize"], f.MemoryMB, 0, name)
		assert.Zero(t, f.Concurrency, name)
		code := strings.TrimPrefix(r.Properties["Code"].(map[string]any)["S3Key"].(string), "build/")
		assert.True(t, strings.HasSuffix(f.Bootstrap, filepath.Join("build", "local", code, "bootstrap")), f.Bootstrap)
		variables := slices.Collect(maps.Keys(r.Properties["Environment"].(map[string]any)["Variables"].(map[string]any)))
		assert.ElementsMatch(t, append(variables, "AWS_ENDPOINT_URL"), slices.Collect(maps.Keys(f.Environment)), "%s: what is only here is the endpoint", name)
	}
	assert.Len(t, functions, said, "and nothing else runs")
	text, err := os.ReadFile(filepath.Join(repository, "template.yml"))
	require.NoError(t, err)
	assert.Len(t, regexp.MustCompile(`AWS::Serverless::Function\b`).FindAllString(string(text), -1), said, "and all that the template has")

	evaluated, err := s.stack.Evaluate()
	require.NoError(t, err)
	for id, r := range evaluated.OfType("AWS::StepFunctions::StateMachine") {
		definition, err := os.ReadFile(filepath.Join(repository, r.Properties["DefinitionS3Location"].(map[string]any)["Key"].(string)))
		require.NoError(t, err)
		want := string(definition)
		for name, value := range r.Properties["DefinitionSubstitutions"].(map[string]any) {
			want = strings.ReplaceAll(want, "${"+name+"}", value.(string))
		}
		described, err := s.client.DescribeStateMachine(t.Context(), &sfn.DescribeStateMachineInput{StateMachineArn: aws.String(evaluated.PhysicalIDs[id])})
		require.NoError(t, err, id)
		assert.Equal(t, want, *described.Definition)
		assert.Equal(t, r.Properties["RoleArn"], *described.RoleArn)
	}
}

func TestParametersOfTheStackReachTheFunctions(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	s.stack.Parameters = map[string]string{"ClusterName": "demo", "CacheTtl": "7s", "ReservedConcurrency": "3"}
	s.deploy(t)
	s.mapRole(t)

	f := running(s.stack)["describe-cluster"]
	assert.Equal(t, "7s", f.Environment["KUBESTEP_CACHE_TTL"])
	assert.Equal(t, 3, f.Concurrency)
	assert.Equal(t, "demo", succeeded(t, s.run(t, `{}`)).Cluster.Name, "the stack sets a default")
}

func TestAChangeOfTheTemplateShowsInTheNextDeployment(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	root, err := filepath.Abs(repository)
	require.NoError(t, err)
	text, err := os.ReadFile(filepath.Join(root, "template.yml"))
	require.NoError(t, err)
	changed := []byte(strings.Replace(string(text), "Timeout: 30", "Timeout: 29", 1))
	transformed, err := sam.Transform(t.Context(), filepath.Join(root, ".local", "venv", "bin", "python"), changed, nil)
	require.NoError(t, err)
	s.stack.Template, err = cloudformation.Parse(transformed)
	require.NoError(t, err)

	before := running(s.stack)["verify-rbac"].Timeout
	s.deploy(t)
	assert.Equal(t, []time.Duration{30 * time.Second, 29 * time.Second}, []time.Duration{before, running(s.stack)["verify-rbac"].Timeout})
}

func TestTheStackKubestepHasTheRoleThatAwsAuthMaps(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(repository, "rbac", "aws-auth", "configmap.yaml"))
	require.NoError(t, err)
	assert.Contains(t, string(text), "- rolearn: "+local.Stack("kubestep").Role("mint-token")+"\n")
}
