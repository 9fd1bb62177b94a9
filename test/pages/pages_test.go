// Package pages checks the pages of docs/ with the template and with the tools that read them. It needs no local world.
package pages

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

// repository is the parent of the module.
const repository = "../.."

// template is the part of a release's template that the pages may name.
type template struct {
	Parameters map[string]struct{ Default *string }
	Outputs    map[string]any
}

func readTemplate(t *testing.T) template {
	t.Helper()
	var parsed template
	require.NoError(t, yaml.Unmarshal([]byte(read(t, "template.yml")), &parsed))
	require.NotEmpty(t, parsed.Parameters)
	// hack/release adds these, which its test checks.
	prefix := "kubestep/v1.2.3/"
	parsed.Parameters["CodeBucket"] = struct{ Default *string }{}
	parsed.Parameters["CodePrefix"] = struct{ Default *string }{&prefix}
	return parsed
}

func read(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(repository, name))
	require.NoError(t, err)
	return string(content)
}

// given asserts that the parameters exist, and that each without a default is among them.
func (m template) given(t *testing.T, names []string) {
	t.Helper()
	require.NotEmpty(t, names)
	for _, name := range names {
		assert.Contains(t, m.Parameters, name)
	}
	for name, parameter := range m.Parameters {
		if parameter.Default == nil {
			assert.Contains(t, names, name, "it has no default")
		}
	}
}

func TestTheCDKAppSynthesizesAStackOfTheRelease(t *testing.T) {
	if _, err := exec.LookPath("npm"); err != nil {
		t.Skip("Node.js is missing")
	}
	modules, err := filepath.Abs(filepath.Join(repository, ".local", "cdk", "node_modules"))
	require.NoError(t, err)
	require.DirExists(t, modules, "make .local/cdk/done installs it")
	folder := t.TempDir()
	require.NoError(t, os.Symlink(modules, filepath.Join(folder, "node_modules")))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "app.mjs"), []byte(read(t, "docs/integrate/app.mjs")), 0o600))
	app := exec.CommandContext(t.Context(), "node", "app.mjs")
	app.Dir = folder
	app.Env = append(os.Environ(), "CDK_OUTDIR="+filepath.Join(folder, "out"), `CDK_CONTEXT_JSON={"release":"v1.2.3","bucket":"releases"}`)
	text, err := app.CombinedOutput()
	require.NoError(t, err, string(text))

	synthesized, err := os.ReadFile(filepath.Join(folder, "out", "platform.template.json"))
	require.NoError(t, err)
	var stack struct {
		Resources map[string]struct {
			Type       string
			Properties struct {
				Parameters  map[string]string
				TemplateURL any
			}
		}
	}
	require.NoError(t, json.Unmarshal(synthesized, &stack))
	nested := stack.Resources["Kubestep"]
	assert.Equal(t, "AWS::CloudFormation::Stack", nested.Type)
	url, err := json.Marshal(nested.Properties.TemplateURL)
	require.NoError(t, err)
	assert.Contains(t, string(url), "/releases/kubestep/v1.2.3/template.yml")
	var names []string
	for name := range nested.Properties.Parameters {
		names = append(names, name)
	}
	m := readTemplate(t)
	m.given(t, names)
	assert.Equal(t, *m.Parameters["CodePrefix"].Default, nested.Properties.Parameters["CodePrefix"])
	assert.Regexp(t, "^[0-9a-f]{10}$", nested.Properties.Parameters["ReleaseId"])
	startsByTheAlias(t, synthesized)
	used := regexp.MustCompile(`"Outputs\.([A-Za-z]+)"`).FindAllStringSubmatch(string(synthesized), -1)
	require.NotEmpty(t, used, "the rest of the app uses the stack")
	for _, output := range used {
		assert.Contains(t, m.Outputs, output[1])
	}
}

// startsByTheAlias asserts that the rule may start what it starts. IAM authorizes an alias by the ARN of its machine:
// https://docs.aws.amazon.com/step-functions/latest/dg/auth-version-alias.html
func startsByTheAlias(t *testing.T, synthesized []byte) {
	t.Helper()
	type reference struct {
		GetAtt []string `json:"Fn::GetAtt"`
	}
	var stack struct {
		Resources map[string]struct {
			Type       string
			Properties struct {
				Targets        []struct{ Arn, RoleArn reference }
				Roles          []struct{ Ref string }
				PolicyDocument struct {
					Statement []struct {
						Effect, Action any
						Resource       any
						Condition      map[string]map[string]any
					}
				}
			}
		}
	}
	require.NoError(t, json.Unmarshal(synthesized, &stack))
	encoded := func(value any) string {
		text, err := json.Marshal(value)
		require.NoError(t, err)
		return string(text)
	}
	rules, starters := 0, map[string]bool{}
	for _, r := range stack.Resources {
		for _, s := range r.Properties.PolicyDocument.Statement {
			if s.Effect == "Allow" && s.Action == "states:StartExecution" && encoded(s.Resource) == `{"Fn::GetAtt":["Kubestep","Outputs.StateMachineArnWithoutAlias"]}` {
				assert.Equal(t, `{"ForAnyValue:StringEquals":{"states:StateMachineQualifier":["live"]}}`, encoded(s.Condition))
				for _, role := range r.Properties.Roles {
					starters[role.Ref] = true
				}
			}
		}
	}
	for _, r := range stack.Resources {
		for _, target := range r.Properties.Targets {
			rules++
			assert.Equal(t, []string{"Kubestep", "Outputs.StateMachineArn"}, target.Arn.GetAtt)
			require.Len(t, target.RoleArn.GetAtt, 2)
			assert.True(t, starters[target.RoleArn.GetAtt[0]], "the rule's role may start executions by the alias")
		}
	}
	assert.Equal(t, 1, rules)
}

func TestTheTerraformConfigurationDeploysTheRelease(t *testing.T) {
	file, problems := hclsyntax.ParseConfig([]byte(read(t, "docs/integrate/main.tf")), "main.tf", hcl.InitialPos)
	require.False(t, problems.HasErrors(), problems.Error())
	m := readTemplate(t)
	var names []string
	text := read(t, "docs/integrate/main.tf")
	declared := map[string]bool{}
	for _, block := range file.Body.(*hclsyntax.Body).Blocks {
		if block.Type == "variable" {
			declared["var."+block.Labels[0]] = true
		}
		if block.Type == "locals" {
			for name := range block.Body.Attributes {
				declared["local."+name] = true
			}
			names = append(names, keys(t, block.Body.Attributes["parameters"].Expr)...)
		}
		if block.Type == "resource" && block.Labels[0] == "aws_cloudformation_stack" {
			merged := block.Body.Attributes["parameters"].Expr.(*hclsyntax.FunctionCallExpr)
			names = append(names, keys(t, merged.Args[1])...)
			capabilities, _ := block.Body.Attributes["capabilities"].Expr.Value(nil)
			assert.Equal(t, 2, capabilities.LengthInt(), "a named role, and SAM's transform")
		}
	}
	m.given(t, names)
	for _, reference := range regexp.MustCompile(`\b(?:var|local)\.[a-z_]+`).FindAllString(text, -1) {
		assert.True(t, declared[reference], reference)
	}
	for _, output := range regexp.MustCompile(`outputs\["([A-Za-z]+)"\]`).FindAllStringSubmatch(text, -1) {
		assert.Contains(t, m.Outputs, output[1])
	}
	assert.Equal(t, "kubestep/${var.release}/", regexp.MustCompile(`prefix = "(.+)"`).FindStringSubmatch(text)[1], "as the template's CodePrefix")
}

// keys are those of an object.
func keys(t *testing.T, expression hclsyntax.Expression) []string {
	t.Helper()
	object, ok := expression.(*hclsyntax.ObjectConsExpr)
	require.True(t, ok)
	var names []string
	for _, item := range object.Items {
		names = append(names, hcl.ExprAsKeyword(item.KeyExpr))
	}
	return names
}

func TestTheSAMCommandGivesWhatTheTemplateNeeds(t *testing.T) {
	overrides := regexp.MustCompile(`(?m)--parameter-overrides (.+)$`).FindStringSubmatch(read(t, "docs/integrate/sam.md"))
	require.NotNil(t, overrides)
	var names []string
	for _, parameter := range regexp.MustCompile(`([A-Za-z]+)=`).FindAllStringSubmatch(overrides[1], -1) {
		names = append(names, parameter[1])
	}
	readTemplate(t).given(t, names)
}
