// Package hack_test runs stack.sh with replacements of aws, make, go and kubectl. A scenario deploys with it to the local world
// (test/deploy_test.go).
package hack_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// account is the AWS account that the replacement of aws shows.
type account struct {
	// bucketOwner owns the bucket for the code.
	bucketOwner string
	// mode is the cluster's authentication mode.
	mode string
	// status and parameters are the stack's; without a status there is no stack.
	status, parameters string
	// secrets are the labels of the stack's secrets, by their logical ids.
	secrets map[string]string
	// outputs are the stack's.
	outputs map[string]string
	// typed is what is typed.
	typed string
}

const own = "111122223333"

// run runs stack.sh with these variables, and returns what it says and the calls of the aws command.
func (a account) run(t *testing.T, template string, verb string, variables ...string) (printed, calls string, err error) {
	t.Helper()
	root, bin := t.TempDir(), t.TempDir()
	script, err := os.ReadFile("stack.sh")
	require.NoError(t, err)
	write := func(name, text string) {
		require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o700))
		require.NoError(t, os.WriteFile(name, []byte(text), 0o700))
	}
	write(filepath.Join(root, "hack", "stack.sh"), string(script))
	write(filepath.Join(root, "template.yml"), template)
	write(filepath.Join(root, "build", "list-pods", "bootstrap"), os.Getenv("BOOTSTRAP"))
	write(filepath.Join(bin, "make"), "#!/bin/sh\n")
	write(filepath.Join(bin, "go"), "#!/bin/sh\n")
	var more strings.Builder
	for name, labels := range a.secrets {
		fmt.Fprintf(&more, "*describe-stack-resources*\"--logical-resource-id %[1]s \"*) echo arn-of-%[1]s ;;\n*describe-secret*\"--secret-id arn-of-%[1]s \"*) printf '%[2]s' ;;\n", name, strings.ReplaceAll(labels, " ", `\t`)+`\n`)
	}
	for name, value := range a.outputs {
		fmt.Fprintf(&more, "*\"OutputKey=='%s'\"*) echo '%s' ;;\n", name, value)
	}
	write(filepath.Join(bin, "aws"), fmt.Sprintf(`#!/bin/sh
echo "$@" >>%[1]s/calls
case "$*" in
%[7]s
*get-caller-identity*) echo %[2]s ;;
*describe-cluster*) printf 'ACTIVE\t%[3]s\n' ;;
*head-bucket*) case "$*" in *--expected-bucket-owner*) case "$*" in *"--expected-bucket-owner %[4]s"*) ;; *) exit 254 ;; esac ;; esac ;;
*describe-stacks*)
	[ -n "%[5]s" ] || exit 254
	case "$*" in
	*StackStatus*) echo "%[5]s" ;;
	*Parameters*) printf '%[6]s' ;;
	esac ;;
esac
`, bin, own, a.mode, a.bucketOwner, a.status, a.parameters, more.String()))
	var problems bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "bash", filepath.Join(root, "hack", "stack.sh"), verb)
	cmd.Env = append(append(os.Environ(), "PATH="+bin+":/usr/bin:/bin", "AWS_REGION=eu-west-1", "CLUSTER=demo", "KEEP_RBAC=1"), variables...)
	var said bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(a.typed), &said, &problems
	err = cmd.Run()
	made, _ := os.ReadFile(filepath.Join(bin, "calls"))
	return problems.String() + said.String(), string(made), err
}

const template = `Parameters:
  ClusterName:
    Type: String
    Default: ""
  CreateAccessEntry:
    Type: String
    Default: "true"
  OutputBucket:
    Type: String
    Default: ""
  CacheTtl:
    Type: String
    Default: 5m
  EnableApply:
    Type: String
    Default: "false"
  KubernetesGroup:
    Type: String
    Default: kubestep-pod-readers
  ScheduleExpression:
    Type: String
    Default: ""
  ScheduleInput:
    Type: String
    Default: "{}"
  SecretStage:
    Type: String
    Default: AWSCURRENT
  ReleaseId:
    Type: String
    Default: ""
Resources:
  ListPodsFunction:
    Properties:
      FunctionName: !Sub "${AWS::StackName}-list-pods"
  ApplyMintTokenRole:
    Properties:
      RoleName: !If [HasName, !Ref Name, !Sub "${AWS::StackName}-apply-mint-token"]
  SealKey:
    Type: AWS::SecretsManager::Secret
  ApplySealKey:
    Type: AWS::SecretsManager::Secret
    Condition: EnablesApply
Outputs:
  AwsAuthMapping:
    Condition: HasNoAccessEntry
  ApplyAwsAuthMapping:
    Condition: HasNoApplyAccessEntry
`

func TestWhatIsMissingIsReportedBeforeAnythingIsDone(t *testing.T) {
	const code = "kubestep-111122223333-eu-west-1"
	for sentence, c := range map[string]struct {
		account   account
		variables []string
		want      string
	}{
		"the bucket belongs to another account": {
			account{bucketOwner: "999999999999", mode: "API"}, nil,
			"an S3 bucket of account 111122223333 for the code",
		},
		"listings would go to the bucket of the code": {
			account{bucketOwner: own, mode: "API"}, []string{"PARAMS=OutputBucket=" + code},
			"another bucket for listings, or for the code",
		},
		"listings go to the bucket of the code already": {
			account{bucketOwner: own, mode: "API", status: "UPDATE_COMPLETE", parameters: `OutputBucket\t` + code + `\n`}, nil,
			"another bucket for listings, or for the code",
		},
		"the first deployment was rolled back": {
			account{bucketOwner: own, mode: "API", status: "ROLLBACK_COMPLETE"}, []string{"STACK=first"},
			"Remove what is left of it (make destroy STACK=first), then deploy again",
		},
		"the stack's name is too long for the longest name that begins with it": {
			account{bucketOwner: own, mode: "API"}, []string{"STACK=" + strings.Repeat("s", 48)},
			"a letter and up to 46 letters, digits and -",
		},
		"a parameter is none": {
			account{bucketOwner: own, mode: "API"}, []string{"PARAMS=Wrong=1"},
			"PARAMS holds Wrong=1",
		},
		"a value with a space is not in quotes": {
			account{bucketOwner: own, mode: "API"}, []string{"PARAMS=ScheduleExpression=rate(1 hour)"},
			"PARAMS holds hour)",
		},
		"the shell took the quotes of an input away": {
			account{bucketOwner: own, mode: "API"}, []string{`PARAMS=ScheduleInput={"namespaces":["shop"]}`},
			`an execution input in JSON for ScheduleInput: PARAMS holds ScheduleInput={namespaces:[shop]}`,
		},
		"a parameter's name is a pattern": {
			account{bucketOwner: own, mode: "API"}, []string{"PARAMS=.*=x"}, "PARAMS holds .*=x",
		},
		"a quote in PARAMS is not closed": {
			account{bucketOwner: own, mode: "API"}, []string{`PARAMS=CacheTtl=1m 'OutputBucket=x EnableApply=true`},
			"PARAMS that can be read: unmatched single quote",
		},
		"a double quote in PARAMS is not closed": {
			account{bucketOwner: own, mode: "API"}, []string{`PARAMS=CacheTtl=1m "OutputBucket=x`},
			"PARAMS that can be read: unmatched double quote",
		},
		"apply-manifests is enabled after a rotation, whose label its new secret will not have": {
			account{
				bucketOwner: own, mode: "API", status: "UPDATE_COMPLETE", parameters: `SecretStage\tsecond\n`,
				secrets: map[string]string{"SealKey": "AWSCURRENT second"},
			},
			[]string{"PARAMS=EnableApply=true"},
			"this deployment creates ApplySealKey, with the label AWSCURRENT only, and SecretStage is second. Add SecretStage=AWSCURRENT to PARAMS",
		},
		"a rotation left out a secret": {
			account{
				bucketOwner: own, mode: "API", status: "UPDATE_COMPLETE", parameters: `EnableApply\ttrue\n`,
				secrets: map[string]string{"SealKey": "AWSCURRENT second", "ApplySealKey": "AWSCURRENT"},
			},
			[]string{"PARAMS=SecretStage=second"},
			"a version of the secret ApplySealKey with the label second",
		},
		"a first deployment names another label than a new secret has": {
			account{bucketOwner: own, mode: "API"}, []string{"PARAMS=SecretStage=second"},
			"this deployment creates SealKey, with the label AWSCURRENT only",
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			said, calls, err := c.account.run(t, template, "deploy", c.variables...)
			require.Error(t, err)
			assert.Contains(t, said, "Nothing was done. Missing:\n")
			assert.Contains(t, said, c.want)
			assert.NotContains(t, calls, "cloudformation package")
		})
	}
}

func TestALabelThatEachSecretHasIsTaken(t *testing.T) {
	for sentence, c := range map[string]struct{ parameters, params string }{
		"a rotation without apply-manifests":           {`\n`, "SecretStage=second"},
		"a deployment after the rotation":              {`SecretStage\tsecond\n`, ""},
		"apply-manifests, with the label of all again": {`SecretStage\tsecond\n`, "EnableApply=true SecretStage=AWSCURRENT"},
		"an update without a rotation":                 {`EnableApply\ttrue\n`, ""},
	} {
		t.Run(sentence, func(t *testing.T) {
			a := account{bucketOwner: own, mode: "API", status: "UPDATE_COMPLETE", parameters: c.parameters, secrets: map[string]string{"SealKey": "AWSCURRENT second"}}
			said, calls, err := a.run(t, template, "deploy", "PARAMS="+c.params)
			require.NoError(t, err, said)
			assert.Contains(t, calls, "cloudformation deploy")
		})
	}
}

func TestAValueMayHoldSpacesAndQuotes(t *testing.T) {
	for sentence, c := range map[string]struct{ params, want string }{
		"a value in quotes":                {`ScheduleExpression='rate(1 hour)'`, `ScheduleExpression=rate(1 hour) `},
		"a parameter in quotes":            {`'ScheduleExpression=rate(1 hour)' CacheTtl=1m`, `ScheduleExpression=rate(1 hour) CacheTtl=1m `},
		"JSON in single quotes":            {`'ScheduleInput={"namespaces": ["shop"]}'`, `ScheduleInput={"namespaces": ["shop"]} `},
		"what a shell would replace":       {"'ScheduleInput={\"a\":\"$HOME `id`\"}'", "ScheduleInput={\"a\":\"$HOME `id`\"} "},
		"an equals sign, in another value": {`'ScheduleInput={"fieldSelector":"a=b"}'`, `ScheduleInput={"fieldSelector":"a=b"} `},
	} {
		t.Run(sentence, func(t *testing.T) {
			said, calls, err := account{bucketOwner: own, mode: "API"}.run(t, template, "deploy", "PARAMS="+c.params)
			require.NoError(t, err, said)
			assert.Contains(t, overrides(t, calls), " "+c.want+"ReleaseId=")
		})
	}
}

func TestWhatIsLeftToDoInTheClusterIsToldForTheGroupsThatTheStackHas(t *testing.T) {
	outputs := map[string]string{
		"AwsAuthMapping":      "- rolearn: arn:r\n  username: kubestep\n  groups:\n    - team:readers\n",
		"ApplyAwsAuthMapping": "- rolearn: arn:a\n  username: kubestep-apply\n  groups:\n    - team:appliers\n",
	}
	said, _, err := account{bucketOwner: own, mode: "CONFIG_MAP", status: "UPDATE_COMPLETE", outputs: outputs}.run(t, template, "deploy", "PARAMS=KubernetesGroup=team:readers")
	require.NoError(t, err, said)
	assert.Contains(t, said, "--arn arn:r --username kubestep --group team:readers\n")
	assert.Contains(t, said, "--arn arn:a --username kubestep-apply --group team:appliers\n")
	assert.Contains(t, said, "kubectl kustomize rbac/namespace | sed s/kubestep-pod-readers/team:readers/ | kubectl apply -n default -f -\n", "rbac/ binds another group")
	assert.NotContains(t, said, "kubectl apply -k")
}

func TestALongNameOfAStackThatFitsIsTaken(t *testing.T) {
	_, calls, err := account{bucketOwner: own, mode: "API"}.run(t, template, "deploy", "STACK="+strings.Repeat("s", 47))
	require.NoError(t, err)
	assert.Contains(t, calls, "cloudformation deploy")
}

func TestTheOwnerOfTheBucketIsCheckedAndTheCodeHasAPrefixOfItsOwn(t *testing.T) {
	a := account{bucketOwner: own, mode: "API", status: "UPDATE_COMPLETE"}
	for _, verb := range []string{"deploy", "destroy"} {
		_, calls, err := a.run(t, template, verb, "CONFIRM=kubestep")
		require.NoError(t, err)
		assert.Contains(t, calls, "head-bucket --bucket kubestep-111122223333-eu-west-1 --expected-bucket-owner 111122223333", verb)
		for call := range strings.Lines(calls) {
			if strings.Contains(call, "--s3-bucket") {
				assert.Contains(t, call, "--s3-prefix kubestep-code/kubestep ")
			}
			if strings.HasPrefix(call, "s3 rm") {
				assert.Contains(t, call, "s3://kubestep-111122223333-eu-west-1/kubestep-code/kubestep/ --recursive")
			}
		}
	}
	a.bucketOwner = "999999999999"
	said, calls, err := a.run(t, template, "destroy", "CONFIRM=kubestep")
	require.NoError(t, err)
	assert.Contains(t, said, "It keeps:\n  - its code, in the bucket that BUCKET named")
	assert.NotContains(t, calls, "s3 rm", "of somebody else's bucket nothing is removed")
}

func TestWhatAFailedFirstDeploymentLeftIsRemoved(t *testing.T) {
	_, calls, err := account{bucketOwner: own, status: "ROLLBACK_COMPLETE"}.run(t, template, "destroy", "CONFIRM=kubestep")
	require.NoError(t, err)
	assert.Contains(t, calls, "cloudformation delete-stack --stack-name kubestep")
}

func TestNothingIsDeletedUntilTheStackIsNamed(t *testing.T) {
	for sentence, c := range map[string]struct {
		typed     string
		variables []string
		deletes   bool
	}{
		"nobody answers":               {"", nil, false},
		"an empty line":                {"\n", nil, false},
		"yes":                          {"yes\n", nil, false},
		"the name of another stack":    {"kubestep-test\n", nil, false},
		"the name":                     {"kubestep\n", nil, true},
		"the name, without a line end": {"kubestep", nil, true},
		"the name of the one in STACK": {"other\n", []string{"STACK=other"}, true},
		"kubestep, of another one":     {"kubestep\n", []string{"STACK=other"}, false},
		"a variable":                   {"", []string{"CONFIRM=kubestep"}, true},
		"another variable":             {"kubestep\n", []string{"CONFIRM=1"}, false},
	} {
		t.Run(sentence, func(t *testing.T) {
			a := account{bucketOwner: own, status: "UPDATE_COMPLETE", typed: c.typed, parameters: "a listings bucket"}
			said, calls, err := a.run(t, template, "destroy", c.variables...)
			name := "kubestep"
			if slices.Contains(c.variables, "STACK=other") {
				name = "other"
			}
			assert.Contains(t, said, "This deletes the stack "+name+" in eu-west-1 of account "+own+":\n")
			assert.Contains(t, said, "  - its code, s3://kubestep-"+own+"-eu-west-1/kubestep-code/"+name+"/\n")
			assert.Contains(t, said, "It keeps:\n  - the bucket kubestep-"+own+"-eu-west-1\n  - listings and reports in the bucket a listings bucket\n")
			assert.Contains(t, said, "  - what rbac/ put into demo, because KEEP_RBAC is set\n")
			if c.deletes {
				require.NoError(t, err, said)
				assert.Contains(t, calls, "cloudformation delete-stack --stack-name "+name)
				return
			}
			require.Error(t, err)
			assert.Contains(t, said, "Nothing was deleted. A script confirms with CONFIRM="+name+".\n")
			assert.NotContains(t, calls, "delete-stack --stack-name")
			assert.NotContains(t, calls, "s3 rm")
		})
	}
}

// overrides are the parameters that a deployment passes, in their order.
func overrides(t *testing.T, calls string) string {
	t.Helper()
	_, after, found := strings.Cut(calls, "--parameter-overrides ")
	require.True(t, found, calls)
	line, _, _ := strings.Cut(after, "\n")
	return line
}

func TestWhetherThereIsAnAccessEntryFollowsTheCluster(t *testing.T) {
	for sentence, c := range map[string]struct {
		mode, params, want string
	}{
		"a cluster without access entries":             {"CONFIG_MAP", "", "CreateAccessEntry=false ReleaseId"},
		"one that has moved to them, after such a one": {"API_AND_CONFIG_MAP", "", "CreateAccessEntry=true ReleaseId"},
		"one whose entry is created elsewhere":         {"API", "CreateAccessEntry=false", "CreateAccessEntry=true CreateAccessEntry=false ReleaseId"},
	} {
		t.Run(sentence, func(t *testing.T) {
			a := account{bucketOwner: own, mode: c.mode, status: "UPDATE_COMPLETE", parameters: `CreateAccessEntry\tfalse\n`}
			_, calls, err := a.run(t, template, "deploy", "PARAMS="+c.params)
			require.NoError(t, err)
			assert.Contains(t, overrides(t, calls), c.want)
		})
	}
}

func TestAReleaseIsNewWhenCodeTemplateOrParametersAre(t *testing.T) {
	released := func(a account, template string, variables ...string) string {
		a.bucketOwner, a.mode = own, "API"
		_, calls, err := a.run(t, template, "deploy", variables...)
		require.NoError(t, err)
		found := regexp.MustCompile(`ReleaseId=([0-9a-f]{10})$`).FindStringSubmatch(overrides(t, calls))
		require.NotNil(t, found, calls)
		return found[1]
	}
	deployed := account{status: "UPDATE_COMPLETE", parameters: `CacheTtl\t5m\nClusterName\tdemo\nOutputBucket\t\nReleaseId\t0123456789\n`}
	first := released(account{}, template)
	for sentence, again := range map[string]string{
		"the same once more":                        released(account{}, template),
		"the same, now that the stack is there":     released(deployed, template),
		"a default that is given":                   released(deployed, template, "PARAMS=CacheTtl=5m"),
		"a parameter that does not reach the stack": released(deployed, template, "NAMESPACE=shop"),
	} {
		assert.Equal(t, first, again, sentence)
	}
	kept := deployed
	kept.parameters = strings.Replace(kept.parameters, "5m", "9s", 1)
	t.Setenv("BOOTSTRAP", "other")
	code := released(deployed, template)
	t.Setenv("BOOTSTRAP", "")
	for sentence, other := range map[string]string{
		"other code":                             code,
		"another template":                       released(deployed, template+"\n"),
		"another parameter":                      released(deployed, template, "PARAMS=CacheTtl=9s"),
		"a parameter that the stack has already": released(kept, template),
	} {
		assert.NotEqual(t, first, other, sentence)
	}
	assert.Equal(t, released(kept, template), released(deployed, template, "PARAMS=CacheTtl=9s"), "whether given now or before")
}

// macOS has bash 3.2. It is not available here, so the test searches the script for what it does not support.
func TestTheScriptKeepsToTheBashOfMacOS(t *testing.T) {
	script, err := os.ReadFile("stack.sh")
	require.NoError(t, err)
	for _, expansion := range regexp.MustCompile(`(\+)?"\$\{([a-z_]+)\[@\]\}"`).FindAllStringSubmatch(string(script), -1) {
		filled := expansion[2] == "missing" || expansion[2] == "given" // after a look at its length, and from its first value on
		assert.True(t, filled || expansion[1] == "+", "%s fails if %s is empty", expansion[0], expansion[2])
	}
	assert.NotRegexp(t, `(declare|local|typeset) -[An]|mapfile|readarray|\$\{[a-z_]+(,,|\^\^|@[A-Z])|&>>|\|&|sed -n? ?'[^']*\\\|`, string(script))
}
