package deploy_test

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/kubestep/kubestep/deploy"
	"github.com/kubestep/kubestep/internal/workflow"
	"github.com/kubestep/kubestep/internal/workflows"
)

// references are what a template refers to: values are parameters or resources.
type references struct {
	values, resources, conditions map[string]bool
}

// variable is what !Sub replaces, but for ${!…}, which is left as it is.
var variable = regexp.MustCompile(`\$\{([A-Za-z0-9:.]+)\}`)

func (r *references) add(value any) {
	switch value := value.(type) {
	case []any:
		for _, element := range value {
			r.add(element)
		}
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(value)) {
			r.intrinsic(key, value[key])
			r.add(value[key])
		}
	}
}

// intrinsic adds what a function refers to, or a Condition that is a name: in a policy, it is an object.
func (r *references) intrinsic(key string, value any) {
	text, isText := value.(string)
	elements, _ := value.([]any)
	switch {
	case key == "!Ref":
		r.values[text] = true
	case key == "!GetAtt":
		id, _, _ := strings.Cut(text, ".")
		r.resources[id] = true
	case key == "!Sub" && isText:
		for _, found := range variable.FindAllStringSubmatch(text, -1) {
			if id, _, attribute := strings.Cut(found[1], "."); attribute {
				r.resources[id] = true
			} else {
				r.values[id] = true
			}
		}
	case isText && (key == "!Condition" || key == "Condition"):
		r.conditions[text] = true
	case key == "!If" || key == "Fn::If":
		r.conditions[elements[0].(string)] = true
	}
}

func refersTo(t *testing.T, text string) references {
	t.Helper()
	var document yaml.Node
	require.NoError(t, yaml.Unmarshal([]byte(text), &document))
	found := references{map[string]bool{}, map[string]bool{}, map[string]bool{}}
	found.add(plain(t, document.Content[0]))
	return found
}

// A template that refers to nothing can be written and parsed, but not deployed.
func TestAllThatTheTemplateRefersToIsThere(t *testing.T) {
	for sentence, version := range map[string]string{"as it is built": "", "of a release": "v1.2.3"} {
		t.Run(sentence, func(t *testing.T) {
			text := rendered(t, deploy.Kubestep(), version)
			has, refers := parse(t, text), refersTo(t, text)
			assert.Empty(t, missing(has, refers), "the template refers to what it has not. What is of a workflow alone is in its file in deploy/: its parameters too")
			for name := range has.Parameters {
				assert.True(t, refers.values[name], "nothing reads the parameter %s", name)
			}
			for name := range has.Conditions {
				assert.True(t, refers.conditions[name], "nothing asks for the condition %s", name)
			}
		})
	}
}

func TestAWorkflowWithoutItsParametersIsNoticed(t *testing.T) {
	stack := deploy.Stack{Workflows: append(deploy.Kubestep().Workflows, example("first", "First"))}
	text := rendered(t, stack, "")
	assert.Subset(t, missing(parse(t, text), refersTo(t, text)), []string{"FirstKubernetesGroup", "FirstRoleArns", "FirstScheduleExpression", "FirstScheduleInput"})
}

// missing are what a template refers to and has not. SAM makes a version of each function, and an alias of each state machine.
func missing(has template, refers references) []string {
	var names []string
	for id := range refers.resources {
		if _, there := has.Resources[id]; !there {
			names = append(names, id)
		}
	}
	for id := range refers.values {
		_, isParameter := has.Parameters[id]
		_, isResource := has.Resources[strings.TrimSuffix(strings.TrimSuffix(id, ".Version"), "Aliaslive")]
		if !isParameter && !isResource && !strings.HasPrefix(id, "AWS::") {
			names = append(names, id)
		}
	}
	for name := range refers.conditions {
		if _, there := has.Conditions[name]; !there {
			names = append(names, name)
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(names)))
}

func TestNoTwoWorkflowsHaveTheSamePrefix(t *testing.T) {
	first := map[string]string{}
	for _, m := range deploy.Kubestep().Machines() {
		if other, again := first[m.Prefix]; again {
			assert.Fail(t, "two workflows of one prefix", "%s and %s have the prefix %q, which begins what is there for one of them alone", other, m.Name, m.Prefix)
		}
		first[m.Prefix] = m.Name
	}
}

// The cause of a fleet that may not start a workflow says how to let it.
func TestAWorkflowSaysWhichParametersLetFleetsStartIt(t *testing.T) {
	of := map[string]workflow.Workflow{}
	for _, w := range workflows.All() {
		of[w.Name] = w
	}
	stack := deploy.Kubestep()
	for _, m := range stack.Workflows[1:] {
		want := "FleetWorkflows=" + stack.Workflows[0].Name + "," + m.Name
		if m.OnDemand {
			want = "Enable" + m.Prefix + "=true " + want
		}
		assert.Equal(t, want, of[m.Name].FleetParameters, "FleetParameters of %s", m.Name)
	}
}
