package deploy_test

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/deploy"
)

// released is what the template of the last release has that an update must keep. After a release:
//
//	go test ./deploy -update
const released = "testdata/released.txt"

var update = flag.Bool("update", false, "take the template as it is for the one of the last release")

// createOnly are the properties whose change replaces a resource, "createOnlyProperties" in the resource's schema:
// https://docs.aws.amazon.com/cloudformation-cli/latest/userguide/resource-type-schema.html
var createOnly = map[string][]string{
	"AWS::CloudWatch::Alarm":      {"AlarmName"},
	"AWS::CloudWatch::Dashboard":  {"DashboardName"},
	"AWS::EKS::AccessEntry":       {"ClusterName", "PrincipalArn", "Type"},
	"AWS::Events::Rule":           {"Name"},
	"AWS::IAM::Role":              {"Path", "RoleName"},
	"AWS::KMS::Key":               {},
	"AWS::Logs::LogGroup":         {"LogGroupName"},
	"AWS::Logs::MetricFilter":     {"FilterName", "LogGroupName"},
	"AWS::Logs::QueryDefinition":  {},
	"AWS::SQS::Queue":             {"FifoQueue", "QueueName"},
	"AWS::Scheduler::Schedule":    {"Name"},
	"AWS::SecretsManager::Secret": {"Name"},
}

// serverless are the resources that SAM makes others of: what they become, and what their properties are there. SAM makes the
// logical id of an alias, and its name, of AutoPublishAlias.
var serverless = map[string]struct {
	becomes    string
	properties map[string]string
}{
	"AWS::Serverless::Function": {"AWS::Lambda::Function", map[string]string{
		"FunctionName": "FunctionName", "PackageType": "PackageType", "TenancyConfig": "TenancyConfig", "AutoPublishAlias": "",
	}},
	"AWS::Serverless::StateMachine": {"AWS::StepFunctions::StateMachine", map[string]string{
		"Name": "StateMachineName", "Type": "StateMachineType", "AutoPublishAlias": "",
	}},
}

// kept returns what an update must keep, each with what it must stay.
func kept(t *testing.T, text string) map[string]string {
	t.Helper()
	all := map[string]string{}
	parsed := parse(t, text)
	for id, r := range parsed.Resources {
		properties, known := createOnly[r.Type]
		if sam, ok := serverless[r.Type]; ok {
			properties, known = slices.Sorted(maps.Keys(sam.properties)), true
		}
		require.True(t, known, "say here which changes replace a %s", r.Type)
		var facts strings.Builder
		facts.WriteString(r.Type)
		if r.Condition != "" {
			facts.WriteString(" if " + r.Condition)
		}
		for _, property := range properties {
			value, set := r.Properties[property]
			if !set && r.Type == "AWS::Serverless::Function" {
				value, set = parsed.Globals.Function[property]
			}
			if set {
				encoded, err := json.Marshal(value)
				require.NoError(t, err)
				fmt.Fprintf(&facts, ", %s %s", property, encoded)
			}
		}
		all["resource "+id] = facts.String()
	}
	for name, p := range parsed.Parameters {
		all["parameter "+name] = p.Type
	}
	for name, o := range parsed.Outputs {
		all["output "+name] = cmp.Or(o.Condition, "always")
	}
	return all
}

func TestAnUpdateFromTheLastReleaseReplacesNothingAndTakesNothingAway(t *testing.T) {
	now := kept(t, rendered(t, deploy.Kubestep(), ""))
	if *update {
		var lines []string
		for _, what := range slices.Sorted(maps.Keys(now)) {
			lines = append(lines, what+": "+now[what]+"\n")
		}
		require.NoError(t, os.WriteFile(released, []byte(strings.Join(lines, "")), 0o600))
	}
	before := map[string]string{}
	for line := range strings.Lines(read(t, filepath.Join("deploy", released))) {
		what, facts, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		before[what] = facts
		current, there := now[what]
		if assert.True(t, there, "an update deletes the %s of the last release", what) {
			assert.Equal(t, facts, current, "an update replaces the %s of the last release, or changes it for those who use it", what)
		}
	}
	require.NotEmpty(t, before)
	for name, p := range parse(t, rendered(t, deploy.Kubestep(), "")).Parameters {
		if _, there := before["parameter "+name]; !there {
			assert.NotNil(t, p.Default, "an update cannot say what the new parameter %s is", name)
		}
	}
}

// make local installs cfn-lint, with the schemas of all resource types.
func TestTheChangesThatReplaceAResourceAreThoseOfItsSchema(t *testing.T) {
	found, err := filepath.Glob(filepath.Join(repository, ".local", "venv", "lib", "python*", "site-packages", "cfnlint", "data", "schemas"))
	require.NoError(t, err)
	if len(found) == 0 {
		t.Skip("make local installs the schemas")
	}
	decode := func(path string, into any) {
		text, err := os.ReadFile(filepath.Join(found[0], path))
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(text, into), path)
	}
	var files map[string]any
	decode("providers/us-east-1.json", &files)
	of := func(kind string) []string {
		var schema struct{ CreateOnlyProperties []string }
		decode(fmt.Sprintf("resources/%v.json", files[kind]), &schema)
		names := []string{}
		for _, pointer := range schema.CreateOnlyProperties {
			names = append(names, strings.TrimPrefix(pointer, "/properties/"))
		}
		return names
	}
	for kind, properties := range createOnly {
		assert.ElementsMatch(t, of(kind), properties, kind)
	}
	for _, sam := range serverless {
		known := slices.DeleteFunc(slices.Collect(maps.Values(sam.properties)), func(name string) bool { return name == "" })
		assert.ElementsMatch(t, of(sam.becomes), known, sam.becomes)
	}
}
