package pages

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/local/cloudformation"
	"github.com/kubestep/kubestep/local/sam"
)

// The commands that need AWS run here in bash, with programs in place of aws and the others that write down how they were called.
// make, Makefile and hack/stack.sh are the real ones. Then the program that would have been called reads its arguments, as far as it
// is installed and can read without doing.

// command is how a program was called.
type command struct {
	page string
	name string
	args []string
}

func (c command) String() string { return c.page + ": " + c.name + " " + strings.Join(c.args, " ") }

// recorder writes down a call, and answers as AWS would where a script goes on with the answer. A loop over the answer runs once.
const recorder = `#!/bin/bash
{ printf '%s\0' "${0##*/}" "$@"; printf '\1'; } >>"$CALLS"
case "${0##*/} $*" in
*get-caller-identity*) echo 111122223333 ;;
*"eks describe-cluster"*status*) printf 'ACTIVE\tAPI\n' ;;
*describe-stacks*Parameters*) ;;
*describe-stacks*StackStatus*) echo UPDATE_COMPLETE ;;
*VersionIdsToStages*) printf 'AWSCURRENT\tsecond\n' ;;
*"cloudformation package"*) cp template.yml build/packaged.yml ;;
*) echo expansion ;;
esac
`

// replaced are the programs that recorder replaces.
var replaced = []string{"aws", "git", "kubectl", "kubestep", "eksctl", "sam", "npm", "npx", "gh", "terraform", "go", "zip"}

// workplace is a folder with what the commands read, and programs in its folder bin.
func workplace(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	root, err := filepath.Abs(repository)
	require.NoError(t, err)
	for _, name := range []string{"Makefile", "hack", "member.yml", "rbac", "statemachine", "docs"} {
		require.NoError(t, os.Symlink(filepath.Join(root, name), filepath.Join(folder, name)))
	}
	write := func(text string, at ...string) {
		path := filepath.Join(append([]string{folder}, at...)...)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o700))
	}
	// A copy, since stack.sh finds its folder by its own path, and the folder is this one.
	require.NoError(t, os.Remove(filepath.Join(folder, "hack")))
	write(read(t, "hack/stack.sh"), "hack", "stack.sh")
	write(read(t, "template.yml"), "template.yml")
	write("{}", "decision.json")
	write(read(t, "template.yml"), "v1.2.3", "template.yml")
	for _, code := range regexp.MustCompile(`CodeUri: (build/\S+)`).FindAllStringSubmatch(read(t, "template.yml"), -1) {
		write("", code[1], "bootstrap")
	}
	write(recorder, "build", "kubestep")
	for _, name := range replaced {
		write(recorder, "bin", name)
	}
	return folder
}

// shell runs commands in bash, in the workplace, and returns how programs were called.
func shell(t *testing.T, folder, page, text string) []command {
	t.Helper()
	calls := filepath.Join(t.TempDir(), "calls")
	script := exec.CommandContext(t.Context(), "bash", "-uc", text)
	script.Dir = folder
	script.Env = append(os.Environ(), "PATH="+filepath.Join(folder, "bin")+string(os.PathListSeparator)+os.Getenv("PATH"), "CALLS="+calls, "AWS_REGION=eu-west-1", "BUCKET=releases", "CONFIRM=kubestep")
	said, err := script.CombinedOutput()
	require.NoError(t, err, "%s\n%s\n%s", page, text, said)
	recorded, err := os.ReadFile(calls)
	require.NoError(t, err, "%s calls nothing:\n%s", page, text)
	var all []command
	for call := range bytes.SplitSeq(bytes.TrimSuffix(recorded, []byte{1}), []byte{1}) {
		words := strings.Split(strings.TrimSuffix(string(call), "\x00"), "\x00")
		all = append(all, command{page, words[0], words[1:]})
	}
	return all
}

// needs is a block of commands that no test can run.
var needs = regexp.MustCompile("(?ms)^```sh\n# needs [^\n]*\n(.*?)^```$")

// spans are commands within a sentence, and in what kubestep prints.
var (
	span    = regexp.MustCompile("`((?:aws|kubectl|eksctl|make deploy) [^`]+)`")
	printed = regexp.MustCompile(`\b(aws [a-z0-9]+ [a-z-]+(?: --[a-z-]+ (?:%s|%q|[\w./:=-]+))*(?: /dev/stdout)?)`)
)

// onPage returns the commands of a page that need AWS.
func onPage(t *testing.T, folder, page string) []command {
	t.Helper()
	var all []command
	text := read(t, page)
	for _, block := range needs.FindAllStringSubmatch(text, -1) {
		all = append(all, shell(t, folder, page, block[1])...)
	}
	for _, found := range span.FindAllStringSubmatch(text, -1) {
		first, _, _ := strings.Cut(strings.ReplaceAll(found[1], "\n", " "), " | ")
		if !strings.ContainsAny(first, "…<>") && strings.Count(first, " ") > 2 {
			all = append(all, shell(t, folder, page, first)...)
		}
	}
	return all
}

// called returns the commands of all pages, and of what the functions and the command print.
func called(t *testing.T) []command {
	t.Helper()
	var all []command
	folder := workplace(t)
	for _, page := range documents(t) {
		all = append(all, onPage(t, folder, page)...)
	}
	for _, tree := range []string{"internal", "cmd"} {
		require.NoError(t, filepath.WalkDir(filepath.Join(repository, tree), func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			for _, found := range printed.FindAllStringSubmatch(string(text), -1) {
				words := strings.Fields(strings.NewReplacer("%s", "expansion", "%q", "expansion").Replace(found[1]))
				if len(words) > 3 {
					all = append(all, command{filepath.Base(path), words[0], words[1:]})
				}
			}
			return err
		}))
	}
	return all
}

// answer is what testdata/aws.py found.
type answer struct {
	Problems   []string
	Operations []string
	Parameters []struct{ ParameterKey, ParameterValue string }
}

// understood lets the aws command read its arguments.
func understood(t *testing.T, commands []command) []answer {
	t.Helper()
	python, err := filepath.Abs(filepath.Join(repository, ".local", "aws", "bin", "python"))
	require.NoError(t, err)
	if _, err := os.Stat(python); err != nil {
		t.Skip("make test installs the aws command")
	}
	script, err := filepath.Abs(filepath.Join("testdata", "aws.py"))
	require.NoError(t, err)
	var arguments [][]string
	for _, c := range commands {
		arguments = append(arguments, c.args)
	}
	input, err := json.Marshal(arguments)
	require.NoError(t, err)
	reader := exec.CommandContext(t.Context(), python, script)
	reader.Dir = workplace(t)
	require.NoError(t, os.WriteFile(filepath.Join(reader.Dir, "build", "packaged.yml"), []byte(read(t, "template.yml")), 0o600))
	for _, name := range []string{"decision.json", "source.zip"} {
		require.NoError(t, os.WriteFile(filepath.Join(reader.Dir, name), []byte("{}"), 0o600))
	}
	var problems bytes.Buffer
	reader.Stdin, reader.Stderr = bytes.NewReader(input), &problems
	output, err := reader.Output()
	require.NoError(t, err, problems.String())
	var answers []answer
	require.NoError(t, json.Unmarshal(output, &answers))
	require.Len(t, answers, len(commands))
	return answers
}

func of(commands []command, name string) []command {
	found := map[string]bool{}
	return slices.DeleteFunc(slices.Clone(commands), func(c command) bool {
		again := found[strings.Join(c.args, "\x00")]
		found[strings.Join(c.args, "\x00")] = true
		return c.name != name || again
	})
}

func TestEachCommandOfThePagesIsUnderstoodByItsProgram(t *testing.T) {
	t.Parallel()
	all := called(t)
	t.Run("aws", func(t *testing.T) { awsUnderstands(t, of(all, "aws")) })
	t.Run("the template, of deployments", func(t *testing.T) { templateAccepts(t, of(all, "aws")) })
	t.Run("the other templates", func(t *testing.T) { otherTemplatesAccept(t, of(all, "aws")) })
	t.Run("kubectl", func(t *testing.T) { kubectlUnderstands(t, of(all, "kubectl")) })
	t.Run("kubestep", func(t *testing.T) { kubestepUnderstands(t, of(all, "kubestep")) })
	t.Run("others, by their manuals", func(t *testing.T) { manualsHave(t, all) })
}

func awsUnderstands(t *testing.T, commands []command) {
	t.Helper()
	require.Greater(t, len(commands), 30)
	for i, a := range understood(t, commands) {
		for _, problem := range a.Problems {
			assert.Fail(t, problem[:min(len(problem), 1000)], commands[i].String())
		}
	}
}

func TestTheAWSCommandRefusesWhatIsWrong(t *testing.T) {
	t.Parallel()
	for i, a := range understood(t, []command{
		{name: "aws", args: []string{"eks", "list-clusterz"}},
		{name: "aws", args: []string{"eks", "describe-cluster", "--nam", "demo", "--what"}},
		{name: "aws", args: []string{"eks", "list-clusters", "--query", "]["}},
		{name: "aws", args: []string{"cloudformation", "create-stack-set", "--stack-set-name", "a", "--permission-model", "OTHER"}},
		{name: "aws", args: []string{"cloudformation", "create-stack-instances", "--stack-set-name", "a", "--regions", "r", "--deployment-targets", "Unit=x"}},
		{name: "aws", args: []string{"cloudformation", "deploy", "--stack-name", "a", "--template-file", "member.yml", "--parameter-overrides", "hour)"}},
		{name: "aws", args: []string{"stepfunctions", "list-state-machine-versions"}},
	}) {
		assert.NotEmpty(t, a.Problems, i)
	}
}

// templateAccepts reads deployments as the template does: each parameter that PARAMS sets, and the input that a machine will read.
func templateAccepts(t *testing.T, commands []command) {
	t.Helper()
	python, err := filepath.Abs(filepath.Join(repository, ".local", "venv", "bin", "python"))
	require.NoError(t, err)
	if _, err := os.Stat(python); err != nil {
		t.Skip("make test installs the transform of the template")
	}
	transformed, err := sam.Transform(t.Context(), python, []byte(read(t, "template.yml")), nil)
	require.NoError(t, err)
	parsed, err := cloudformation.Parse(transformed)
	require.NoError(t, err)
	deployments := slices.DeleteFunc(slices.Clone(commands), func(c command) bool {
		return !slices.Contains(c.args, "--parameter-overrides") || !slices.Contains(c.args, "build/packaged.yml") && !slices.Contains(c.args, "v1.2.3/template.yml")
	})
	require.NotEmpty(t, deployments)
	set := map[string]bool{}
	for i, a := range understood(t, deployments) {
		given := map[string]string{}
		for _, p := range a.Parameters {
			if p.ParameterValue != "" {
				given[p.ParameterKey] = p.ParameterValue
				set[p.ParameterKey] = true
			}
		}
		_, err := parsed.Evaluate(cloudformation.Stack{
			Name: "kubestep", Partition: "aws", Region: "eu-west-1", Account: "111122223333", Parameters: given,
			Secret: func(string) (string, error) { return "secret", nil },
		})
		assert.NoError(t, err, deployments[i])
		for parameter, schema := range map[string]string{"ScheduleInput": "pod-inventory", "DriftScheduleInput": "apply-manifests"} {
			if input, ok := given[parameter]; ok {
				assert.NoError(t, valid(t, schema, input), deployments[i])
			}
		}
	}
	for _, name := range []string{"DriftScheduleInput", "DriftScheduleExpression", "ScheduleInput", "RoleArns", "OrganizationId", "ClusterArns", "SecretStage"} {
		assert.True(t, set[name], "no page sets %s: is it read?", name)
	}
}

// flag returns the value of a flag of a command.
func flag(c command, name string) string {
	if at := slices.Index(c.args, name); at >= 0 && at+1 < len(c.args) {
		return c.args[at+1]
	}
	return ""
}

// otherTemplatesAccept reads deployments of member.yml and of docs/integrate as their templates do: each parameter exists, each value is
// allowed, and no parameter without a default is left out.
func otherTemplatesAccept(t *testing.T, commands []command) {
	t.Helper()
	python, err := filepath.Abs(filepath.Join(repository, ".local", "venv", "bin", "python"))
	require.NoError(t, err)
	if _, err := os.Stat(python); err != nil {
		t.Skip("make test installs the transform of the template")
	}
	templates := map[string]*cloudformation.Template{}
	for _, pattern := range []string{"member.yml", "docs/integrate/*.yml"} {
		files, err := filepath.Glob(filepath.Join(repository, pattern))
		require.NoError(t, err)
		for _, file := range files {
			name, err := filepath.Rel(repository, file)
			require.NoError(t, err)
			inJSON, err := sam.Transform(t.Context(), python, []byte(read(t, name)), nil)
			require.NoError(t, err, name)
			parsed, err := cloudformation.Parse(inJSON)
			require.NoError(t, err, name)
			// Only its parameters are evaluated.
			templates[name] = &cloudformation.Template{Parameters: parsed.Parameters}
		}
	}
	deployed := map[string]bool{}
	deployments := slices.DeleteFunc(slices.Clone(commands), func(c command) bool { return templateOf(c) == "" })
	for i, a := range understood(t, deployments) {
		name := templateOf(deployments[i])
		require.Contains(t, templates, name, deployments[i])
		deployed[name] = true
		given := map[string]string{}
		for _, p := range a.Parameters {
			given[p.ParameterKey] = p.ParameterValue
		}
		template := templates[name]
		for key, value := range given {
			// A value that is kept, or that stands for one, says nothing of itself.
			if placeholder := regexp.MustCompile(`^[A-Z_]*$|/[A-Z_]+$|expansion`).MatchString(value); placeholder {
				assert.Contains(t, template.Parameters, key, deployments[i])
				delete(given, key)
				template = without(template, key)
			}
		}
		if strings.HasSuffix(deployments[i].args[1], "-stack-instances") {
			// The stack set has the others.
			for key := range template.Parameters {
				if _, ok := given[key]; !ok {
					template = without(template, key)
				}
			}
		}
		_, err := template.Evaluate(cloudformation.Stack{Name: "other", Partition: "aws", Region: "eu-west-1", Account: "111122223333", Parameters: given})
		assert.NoError(t, err, deployments[i])
		if input, ok := given["Input"]; ok {
			assert.NoError(t, valid(t, "fleet", input), deployments[i])
		}
	}
	for name := range templates {
		assert.True(t, deployed[name], "no page deploys %s: is it read?", name)
	}
}

// templateOf returns the template that a command deploys by itself, or an empty string.
func templateOf(c command) string {
	name := flag(c, "--template-file")
	switch {
	case len(c.args) < 2 || c.args[0] != "cloudformation":
		return ""
	case strings.HasSuffix(c.args[1], "-stack-instances") && flag(c, "--parameter-overrides") != "", strings.HasSuffix(c.args[1], "-stack-set"):
		name = strings.TrimPrefix(flag(c, "--template-body"), "file://")
		if name == "" && strings.HasSuffix(c.args[1], "-stack-instances") {
			name = "member.yml"
		}
	case c.args[1] != "deploy" || strings.HasPrefix(name, "build/") || strings.HasPrefix(name, "v1.2.3/t"):
		return ""
	}
	return name
}

// without returns a template that does not have the parameter.
func without(t *cloudformation.Template, name string) *cloudformation.Template {
	parameters := maps.Clone(t.Parameters)
	delete(parameters, name)
	return &cloudformation.Template{Parameters: parameters}
}

func TestATemplateRefusesADeploymentThatIsWrong(t *testing.T) {
	t.Parallel()
	deploy := func(template string, parameters ...string) command {
		return command{"wrong.md", "aws", append([]string{"cloudformation", "deploy", "--stack-name", "a", "--template-file", template, "--parameter-overrides"}, parameters...)}
	}
	assert.Equal(t, "docs/integrate/weekly.yml", templateOf(deploy("docs/integrate/weekly.yml", "A=b")))
	assert.Empty(t, templateOf(deploy("build/packaged.yml", "A=b")))
	assert.Equal(t, "member.yml", templateOf(command{"p", "aws", []string{"cloudformation", "create-stack-set", "--template-body", "file://member.yml"}}))
	assert.Empty(t, templateOf(command{"p", "aws", []string{"cloudformation", "create-stack-instances", "--stack-set-name", "a"}}))
	parameters := map[string]cloudformation.Parameter{"Namespace": {AllowedPattern: "^[a-z]+$"}, "Regions": {}}
	for sentence, given := range map[string]map[string]string{
		"a parameter that it does not have":      {"Namespace": "shop", "Regions": "eu-west-1", "Region": "eu-west-1"},
		"a parameter without a default missing":  {"Namespace": "shop"},
		"a value that its pattern does not have": {"Namespace": "Shop", "Regions": "eu-west-1"},
	} {
		_, err := (&cloudformation.Template{Parameters: parameters}).Evaluate(cloudformation.Stack{Parameters: given})
		assert.Error(t, err, sentence)
	}
}

// valid returns what a schema says against the input of a machine.
func valid(t *testing.T, machine, input string) error {
	t.Helper()
	compiled, err := jsonschema.NewCompiler().Compile(filepath.Join(repository, "statemachine", "schema", machine+".input.schema.json"))
	require.NoError(t, err)
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(input))
	if err != nil {
		return fmt.Errorf("%s: %w", input, err)
	}
	return compiled.Validate(value)
}

func kubectlUnderstands(t *testing.T, commands []command) {
	t.Helper()
	kubectl, err := exec.LookPath("kubectl")
	if err != nil {
		if kubectl, err = filepath.Abs(filepath.Join(repository, "build", "local", "kubectl")); err != nil || exec.Command(kubectl, "version", "--client").Run() != nil {
			t.Skip("make local builds kubectl")
		}
	}
	require.NotEmpty(t, commands)
	for _, c := range commands {
		// It reads the flags first, and says what they mean instead of doing it.
		explain := exec.CommandContext(t.Context(), kubectl, append(slices.Clone(c.args), "--help")...)
		explain.Dir = repository
		said, err := explain.CombinedOutput()
		assert.NoError(t, err, "%s: %s", c, said)
		if at := slices.Index(c.args, "-k"); at >= 0 {
			assert.FileExists(t, filepath.Join(repository, c.args[at+1], "kustomization.yaml"), c)
		}
	}
}

func kubestepUnderstands(t *testing.T, commands []command) {
	t.Helper()
	program, err := filepath.Abs(filepath.Join(repository, "build", "local", "kubestep"))
	require.NoError(t, err)
	if exec.CommandContext(t.Context(), program, "--version").Run() != nil {
		t.Skip("make local builds kubestep")
	}
	require.NotEmpty(t, commands)
	for _, c := range commands {
		// It reads the flags first, and says what they mean instead of doing it.
		args := slices.DeleteFunc(slices.Clone(c.args), func(word string) bool { return word == "--" })
		said, err := exec.CommandContext(t.Context(), program, append(args, "--help")...).CombinedOutput()
		assert.NoError(t, err, "%s: %s", c, said)
	}
}

func TestTheCommandRefusesAFlagThatItDoesNotHave(t *testing.T) {
	t.Parallel()
	program, err := filepath.Abs(filepath.Join(repository, "build", "local", "kubestep"))
	require.NoError(t, err)
	if exec.CommandContext(t.Context(), program, "--version").Run() != nil {
		t.Skip("make local builds kubestep")
	}
	require.Error(t, exec.CommandContext(t.Context(), program, "inventory", "demo", "--what", "--help").Run())
}

// grammar is what a program that is not installed here understands of a command: its flags, and where that is documented.
var grammar = map[string]struct {
	flags  []string
	source string
}{
	"eksctl create iamidentitymapping": {[]string{"--cluster", "--region", "--arn", "--username", "--group"}, "https://docs.aws.amazon.com/eks/latest/eksctl/iam-identity-mappings.html"},
	"gh attestation verify":            {[]string{"--repo"}, "https://cli.github.com/manual/gh_attestation_verify"},
	"gh release download":              {[]string{"--repo", "--dir"}, "https://cli.github.com/manual/gh_release_download"},
	"git checkout":                     {nil, "https://git-scm.com/docs/git-checkout"},
	"git pull":                         {nil, "https://git-scm.com/docs/git-pull"},
	"npm install":                      {nil, "https://docs.npmjs.com/cli/commands/npm-install"},
	"npx cdk deploy":                   {[]string{"--app", "--context"}, "https://docs.aws.amazon.com/cdk/v2/guide/ref-cli-cmd-deploy.html"},
	"sam deploy": {
		[]string{"--guided", "--template-file", "--stack-name", "--s3-bucket", "--s3-prefix", "--capabilities", "--parameter-overrides"},
		"https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-cli-command-reference-sam-deploy.html",
	},
	"terraform apply": {[]string{"-var"}, "https://developer.hashicorp.com/terraform/cli/commands/apply"},
	"terraform init":  {nil, "https://developer.hashicorp.com/terraform/cli/commands/init"},
	"zip -r":          {[]string{"-r"}, "https://infozip.sourceforge.net/"},
}

func manualsHave(t *testing.T, commands []command) {
	t.Helper()
	for _, c := range commands {
		if slices.Contains([]string{"aws", "kubectl", "go", "kubestep"}, c.name) {
			continue
		}
		var known []string
		for _, verbs := range []int{1, 2} {
			if len(c.args) >= verbs {
				if g, ok := grammar[c.name+" "+strings.Join(c.args[:verbs], " ")]; ok {
					known = append([]string{g.source}, g.flags...)
				}
			}
		}
		require.NotEmpty(t, known, "%s: say here what it understands", c)
		for _, word := range c.args {
			if flag, _, _ := strings.Cut(word, "="); strings.HasPrefix(word, "-") {
				assert.Contains(t, known, flag, c)
			}
		}
	}
}
