package test

import (
	"encoding/json"
	"maps"
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

// handlers prints, for each type of resource, which actions its handlers call according to CloudFormation's schema. cfn-lint
// contains the schemas.
const handlers = `
import json, sys
from cfnlint.schema import PROVIDER_SCHEMA_MANAGER as schemas
json.dump({t: schemas.get_resource_schema("us-east-1", t).schema["handlers"] for t in sys.argv[1:]}, sys.stdout)`

// unused are actions for properties that the template does not use, so deploying it needs no permission for them.
var unused = map[string]string{
	"codedeploy:":                                 "functions' aliases move at once; the state machine's is Step Functions' own",
	"elasticfilesystem:":                          "no file systems",
	"s3files:":                                    "no file systems",
	"firehose:":                                   "no delivery of logs",
	"s3:REST.PUT.OBJECT":                          "no delivery of logs",
	"s3:GetObjectVersion":                         "the code is named without a version",
	"eks:AssociateAccessPolicy":                   "the entry names a group, and no access policy",
	"eks:DisassociateAccessPolicy":                "the entry names a group, and no access policy",
	"iam:AttachRolePolicy":                        "no managed policies",
	"iam:DetachRolePolicy":                        "no managed policies",
	"kms:DisableKey":                              "the key is enabled",
	"kms:DisableKeyRotation":                      "the key rotates",
	"lambda:GetCodeSigningConfig":                 "no code signing",
	"lambda:GetLayerVersion":                      "no layers",
	"lambda:PassCapacityProvider":                 "no capacity providers",
	"logs:AssociateKmsKey":                        "log groups have AWS's key",
	"logs:DisassociateKmsKey":                     "log groups have AWS's key",
	"logs:CreateLogDelivery":                      "no delivery of logs",
	"logs:PutResourcePolicy":                      "no resource policies",
	"logs:DeleteResourcePolicy":                   "no resource policies",
	"logs:PutIndexPolicy":                         "no field indexes",
	"logs:DeleteIndexPolicy":                      "no field indexes",
	"logs:PutDataProtectionPolicy":                "no masking",
	"logs:DeleteDataProtectionPolicy":             "no masking",
	"logs:PutBearerTokenAuthentication":           "no bearer tokens for logs",
	"logs:PutLogGroupDeletionProtection":          "no deletion protection",
	"secretsmanager:ReplicateSecretToRegions":     "no replicas",
	"secretsmanager:RemoveRegionsFromReplication": "no replicas",
}

// permissions are the actions that each command of stack.sh calls.
var permissions = map[string][]string{
	"aws cloudformation delete-stack":             {"cloudformation:DeleteStack"},
	"aws cloudformation deploy":                   {"cloudformation:CreateChangeSet", "cloudformation:DescribeChangeSet", "cloudformation:ExecuteChangeSet", "cloudformation:DescribeStacks", "cloudformation:GetTemplateSummary"},
	"aws cloudformation describe-stacks":          {"cloudformation:DescribeStacks"},
	"aws cloudformation describe-stack-events":    {"cloudformation:DescribeStackEvents"},
	"aws cloudformation describe-stack-resources": {"cloudformation:DescribeStackResources"},
	"aws cloudformation package":                  {"s3:GetObject", "s3:PutObject"},
	"aws cloudformation wait":                     {"cloudformation:DescribeStacks"},
	"aws configure get":                           nil,
	"aws eks describe-cluster":                    {"eks:DescribeCluster"},
	"aws logs filter-log-events":                  {"logs:FilterLogEvents"},
	"aws s3 rm":                                   {"s3:ListBucket", "s3:DeleteObject"},
	"aws s3api head-bucket":                       {"s3:ListBucket"},
	"aws secretsmanager describe-secret":          {"secretsmanager:DescribeSecret"},
	"aws sts get-caller-identity":                 nil, // needs no permission
	// Commands of docs/deploy.md that rotate the secrets.
	"aws secretsmanager get-random-password": {"secretsmanager:GetRandomPassword"},
	"aws secretsmanager put-secret-value":    {"secretsmanager:PutSecretValue"},
	// Commands that stack.sh only suggests.
	"aws eks list-clusters": nil, "aws eks update-kubeconfig": {"eks:DescribeCluster"}, "aws s3 mb": nil, "aws s3 rb": nil,
}

func TestTheDeployersPolicyAllowsWhatTheScriptAndTheTemplateNeedAndNoMore(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(repository, "docs", "deploy", "policy.json"))
	require.NoError(t, err)
	var policy policyDocument
	require.NoError(t, json.Unmarshal(text, &policy))
	compact, err := json.Marshal(into[any](t, json.RawMessage(text)))
	require.NoError(t, err)
	assert.Less(t, len(compact), 6144, "IAM's limit of a managed policy")
	var allowed []string
	for _, s := range policy.Statement {
		allowed = append(allowed, s.Action...)
	}

	needed := map[string]string{}
	script, err := os.ReadFile(filepath.Join(repository, "hack", "stack.sh"))
	require.NoError(t, err)
	page, err := os.ReadFile(filepath.Join(repository, "docs", "deploy.md"))
	require.NoError(t, err)
	_, rotation, found := strings.Cut(string(page), "To rotate a secret")
	require.True(t, found)
	rotation, _, _ = strings.Cut(rotation, "\n## ")
	require.Contains(t, rotation, "put-secret-value")
	for _, command := range regexp.MustCompile(`\baws [a-z0-9]+ [a-z-]+`).FindAllString(string(script)+rotation, -1) {
		if strings.HasPrefix(command, "aws command") {
			continue
		}
		actions, known := permissions[command]
		assert.True(t, known, "which permissions does %q take?", command)
		for _, action := range actions {
			needed[action] = command
		}
	}
	for action, by := range called(t) {
		needed[action] = by
	}

	for _, action := range slices.Sorted(maps.Keys(needed)) {
		assert.True(t, like(allowed, action), "%s, which %s takes", action, needed[action])
	}
	for _, action := range allowed {
		assert.True(t, slices.ContainsFunc(slices.Collect(maps.Keys(needed)), func(need string) bool { return like([]string{action}, need) }), "nothing takes %s", action)
	}
}

// called returns the actions that the handlers of the template's resources call, with the types that call them.
func called(t *testing.T) map[string]string {
	t.Helper()
	root, err := filepath.Abs(repository)
	require.NoError(t, err)
	interpreter := filepath.Join(root, ".local", "venv", "bin", "python")
	types := map[string]bool{}
	for _, r := range local.Stack("s").Template.Resources {
		types[r.Type] = true
	}
	output, err := exec.CommandContext(t.Context(), interpreter, append([]string{"-c", handlers}, slices.Sorted(maps.Keys(types))...)...).Output()
	require.NoError(t, err)
	var schemas map[string]map[string]struct{ Permissions []string }
	require.NoError(t, json.Unmarshal(output, &schemas))
	all := map[string]string{}
	for kind, byHandler := range schemas {
		for _, handler := range []string{"create", "read", "update", "delete"} {
			for _, action := range byHandler[handler].Permissions {
				if !slices.ContainsFunc(slices.Collect(maps.Keys(unused)), func(u string) bool { return strings.HasPrefix(action, u) }) {
					all[action] = kind
				} else {
					assert.NotEqual(t, "read", handler, "%s: reading %s takes it, used or not", action, kind)
				}
			}
		}
	}
	return all
}
