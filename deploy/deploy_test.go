package deploy_test

import (
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/deploy"
	"github.com/kubestep/kubestep/internal/workflows"
)

func rendered(t *testing.T, stack deploy.Stack, version string) string {
	t.Helper()
	text, err := stack.Template(version)
	require.NoError(t, err)
	return text
}

func TestTheTemplateAndTheTablesAreWhatTheValuesSay(t *testing.T) {
	assert.Equal(t, rendered(t, deploy.Kubestep(), ""), read(t, "template.yml"), "make template writes it")
	page, err := deploy.Kubestep().SecurityPage(read(t, "docs/security.md"))
	require.NoError(t, err)
	assert.Equal(t, page, read(t, "docs/security.md"), "make template writes it")
}

func TestAPageWithoutTheMarkerIsNotOverwritten(t *testing.T) {
	_, err := deploy.Kubestep().SecurityPage("# By hand\n")
	assert.ErrorContains(t, err, "make template")
}

func TestAReleaseMeansTheSameAndHasNoAliases(t *testing.T) {
	text := rendered(t, deploy.Kubestep(), "v1.2.3")
	assert.NotRegexp(t, `[-:] [&*][a-z]`, text, "CloudFormation knows no aliases")
	here, released := parse(t, rendered(t, deploy.Kubestep(), "")), parse(t, text)
	assert.Equal(t, []string{"CodeBucket", "CodePrefix"}, slices.DeleteFunc(slices.Sorted(maps.Keys(released.Parameters)), func(name string) bool {
		_, both := here.Parameters[name]
		return both
	}))
	for id, r := range released.Resources {
		for _, location := range []string{"CodeUri", "DefinitionUri"} {
			if local, ok := here.Resources[id].Properties[location]; ok {
				name := strings.TrimSuffix(filepath.Base(local.(string)), ".asl.json")
				extension := map[string]string{"CodeUri": ".zip", "DefinitionUri": ".asl.json"}[location]
				assert.Equal(t, map[string]any{
					"Bucket": map[string]any{"!Ref": "CodeBucket"}, "Key": map[string]any{"!Sub": "${CodePrefix}" + name + "-v1.2.3" + extension},
				}, r.Properties[location])
				r.Properties[location] = local
			}
		}
	}
	assert.Equal(t, here.Resources, released.Resources)
	assert.Equal(t, here.Conditions, released.Conditions)
	assert.Equal(t, here.Outputs, released.Outputs)
}

func TestAMachineSubstitutesWhatItsDefinitionHas(t *testing.T) {
	machines := map[string]bool{}
	for _, m := range deploy.Kubestep().Machines() {
		machines[m.Name] = true
		var invoked []string
		for _, f := range m.Invoked() {
			invoked = append(invoked, f.State())
		}
		has := map[string]bool{}
		for _, found := range regexp.MustCompile(`\$\{(\w+)FunctionArn\}`).FindAllStringSubmatch(read(t, "statemachine/"+m.Name+".asl.json"), -1) {
			has[found[1]] = true
		}
		assert.ElementsMatch(t, slices.Collect(maps.Keys(has)), invoked, m.Name)
	}
	definitions, err := filepath.Glob(filepath.Join(repository, "statemachine", "*.asl.json"))
	require.NoError(t, err)
	for _, definition := range definitions {
		assert.Contains(t, machines, strings.TrimSuffix(filepath.Base(definition), ".asl.json"), "each definition is deployed")
	}
}

func TestEachWorkflowIsDeployed(t *testing.T) {
	var names, deployed []string
	for _, w := range workflows.All() {
		names = append(names, w.Name)
	}
	for _, m := range deploy.Kubestep().Machines() {
		deployed = append(deployed, m.Name)
	}
	assert.ElementsMatch(t, names, deployed)
}

func TestEachFolderOfFunctionsIsDeployed(t *testing.T) {
	built := map[string]bool{}
	for _, f := range deploy.Kubestep().Functions() {
		built[f.Built()] = true
	}
	programs, err := filepath.Glob(filepath.Join(repository, "functions", "*", "main.go"))
	require.NoError(t, err)
	require.NotEmpty(t, programs)
	for _, program := range programs {
		name := filepath.Base(filepath.Dir(program))
		assert.Contains(t, built, name)
		delete(built, name)
	}
	assert.Empty(t, built, "and has a program")
}

func TestTheRoleOfAMemberAccountMayFindClustersAsFindClustersMay(t *testing.T) {
	policies := func(path, role string) []any {
		return parse(t, read(t, path)).Resources[role].Properties["Policies"].([]any)
	}
	assert.Contains(t, policies("template.yml", "FindClustersRole"), policies("member.yml", "MemberRole")[0])
}

// example is a workflow that is nowhere else.
func example(name, prefix string) deploy.Machine {
	return deploy.Machine{
		Name: name, Prefix: prefix, OnDemand: true, Identity: "Signs a bearer token for an example, and seals it",
		Functions: []deploy.Function{{Name: "work-on-" + name, Description: "Works", Connects: true}},
		Schedule:  prefix + "Schedule", Counts: deploy.Counts{Metric: "things", Title: "Things by status"},
		Parameters: deploy.Group{Label: "An example", Parameters: []deploy.Parameter{
			{Name: "Enable" + prefix, Label: "Deploy it?", Default: "false", Values: []string{"true", "false"}, Description: "Whether to deploy it."},
		}},
	}
}

func TestAFurtherWorkflowIsOneValue(t *testing.T) {
	stack := deploy.Stack{Workflows: append(deploy.Kubestep().Workflows[:1:1], example("first", "First"))}
	before := parse(t, rendered(t, stack, ""))
	stack.Workflows = append(stack.Workflows, example("second", "Second"))
	after := parse(t, rendered(t, stack, ""))
	var added []string
	for id, r := range after.Resources {
		if _, there := before.Resources[id]; !there {
			added = append(added, id)
			assert.NotEmpty(t, r.Condition, "%s is there on demand", id)
		}
	}
	assert.ElementsMatch(t, []string{
		"Second", "SecondStateMachineRole", "SecondStateMachineLogs", "SecondSchedule", "SecondScheduleRole", "SecondExecutionsFailedAlarm", "SecondExecutionsTimedOutAlarm",
		"SecondSealKey", "SecondMintTokenFunction", "SecondMintTokenRole", "SecondAccessEntry", "WorkOnSecondFunction", "WorkOnSecondRole",
	}, added)
	for _, output := range []string{"StateMachineArn", "StateMachineArnWithoutAlias", "RoleArn", "TrustPolicy", "KubernetesGroup", "AwsAuthMapping"} {
		assert.Contains(t, after.Outputs, "Second"+output)
	}
	for _, condition := range []string{"EnablesSecond", "HasSecondAccessEntry", "HasNoSecondAccessEntry", "HasSecondRoleArns", "HasSecondSchedule"} {
		assert.Contains(t, after.Conditions, condition)
	}
}

func TestAFleetMayRunTheFirstWorkflowAndThoseThatFleetWorkflowsNames(t *testing.T) {
	stack := deploy.Stack{Workflows: append(deploy.Kubestep().Workflows[:1:1], example("first", "First"), example("second", "Second"))}
	parsed := parse(t, rendered(t, stack, ""))
	assert.Equal(t, []any{"pod-inventory", "pod-inventory,first", "pod-inventory,second", "pod-inventory,first,second"}, parsed.Parameters["FleetWorkflows"].AllowedValues)
	named := func(workflows string) any {
		return map[string]any{"!Equals": []any{map[string]any{"!Ref": "FleetWorkflows"}, workflows}}
	}
	assert.Equal(t, map[string]any{"!And": []any{
		map[string]any{"!Condition": "EnablesSecond"}, map[string]any{"!Or": []any{named("pod-inventory,second"), named("pod-inventory,first,second")}},
	}}, parsed.Conditions["FleetsMaySecond"])
	variables := parsed.Resources["FindClustersFunction"].Properties["Environment"].(map[string]any)["Variables"].(map[string]any)
	assert.Equal(t, map[string]any{"!Ref": "PodInventoryAliaslive"}, variables["KUBESTEP_POD_INVENTORY_ARN"])
	assert.Equal(t, map[string]any{"!If": []any{"FleetsMaySecond", map[string]any{"!Ref": "SecondAliaslive"}, ""}}, variables["KUBESTEP_SECOND_ARN"])
}
