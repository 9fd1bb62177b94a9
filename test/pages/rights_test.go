package pages

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/kubestep/kubestep/test/iam"
)

// Each tutorial has IAM policies for whoever does it, besides docs/deploy/policy.json, which is for make deploy. They allow what its commands
// call, and what CloudFormation calls for the stacks that they deploy, and nothing else.

// right is a call of AWS, and the command that makes it.
type right struct {
	by               string
	action, resource string
	context          map[string]string
}

// handlers prints, for each type of resource, which actions its handlers call according to CloudFormation's schema. cfn-lint contains
// the schemas.
const handlers = `
import json, sys
from cfnlint.schema import PROVIDER_SCHEMA_MANAGER as schemas
json.dump({t: schemas.get_resource_schema("us-east-1", t).schema.get("handlers", {}) for t in sys.argv[1:]}, sys.stdout)`

// unused are actions of handlers for properties that the templates of docs/integrate do not use.
var unused = map[string]string{
	"AWS::CodePipeline::Pipeline codepipeline:DisableStageTransition": "no transition is disabled",
	"AWS::CodePipeline::Pipeline codepipeline:EnableStageTransition":  "no transition is disabled",
	"AWS::CodePipeline::Pipeline codestar-connections:PassConnection": "the source is a bucket",
	"AWS::Events::Rule iam:PassRole":                                  "a topic is reached by its own policy",
	"AWS::IAM::Role iam:AttachRolePolicy":                             "no managed policies",
	"AWS::IAM::Role iam:DetachRolePolicy":                             "no managed policies",
	"AWS::SNS::Topic iam:GetRole":                                     "no logs of deliveries",
	"AWS::SNS::Topic iam:PassRole":                                    "no logs of deliveries",
	"AWS::SNS::Topic sns:PutDataProtectionPolicy":                     "no masking",
	"AWS::SNS::Topic sns:Subscribe":                                   "whoever reads the messages subscribes",
	"AWS::SNS::Topic sns:Unsubscribe":                                 "whoever reads the messages subscribes",
}

// withoutHandlers is what CloudFormation calls for a type whose schema does not say it:
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_awscodebuild.html
var withoutHandlers = map[string][]string{
	"AWS::CodeBuild::Project": {"codebuild:BatchGetProjects", "codebuild:CreateProject", "codebuild:DeleteProject", "codebuild:UpdateProject", "iam:PassRole"},
}

// onAnything are actions for which IAM knows no resource.
var onAnything = []string{"chatbot:CreateSlackChannelConfiguration", "chatbot:DescribeSlackChannelConfigurations", "chatbot:ListTagsForResource"}

// passedTo is the service that gets the role of a resource.
var passedTo = map[string]string{
	"AWS::Chatbot::SlackChannelConfiguration": "chatbot.amazonaws.com",
	"AWS::CodeBuild::Project":                 "codebuild.amazonaws.com",
	"AWS::CodePipeline::Pipeline":             "codepipeline.amazonaws.com",
	"AWS::Scheduler::Schedule":                "scheduler.amazonaws.com",
}

const (
	here     = "eu-west-1:111122223333:"
	settings = "arn:aws:chatbot::111122223333:chat-configuration/slack-channel/"
)

// made returns the ARN of a resource of a stack, as CloudFormation names it, or as its property Name does.
func made(stack, id, kind string) string {
	random := stack + "-" + id + "-1A2B3C4D5E6F"
	return map[string]string{
		"AWS::Chatbot::SlackChannelConfiguration": settings + stack,
		"AWS::CodeBuild::Project":                 "arn:aws:codebuild:" + here + "project/" + stack,
		"AWS::CodePipeline::Pipeline":             "arn:aws:codepipeline:" + here + stack,
		"AWS::Events::Rule":                       "arn:aws:events:" + here + "rule/" + random,
		"AWS::IAM::OIDCProvider":                  "arn:aws:iam::111122223333:oidc-provider/token.actions.githubusercontent.com",
		"AWS::IAM::Role":                          "arn:aws:iam::111122223333:role/" + random,
		"AWS::SNS::Topic":                         "arn:aws:sns:" + here + random,
		"AWS::SNS::TopicPolicy":                   "arn:aws:sns:" + here + stack + "-Topic-1A2B3C4D5E6F",
		"AWS::SQS::Queue":                         "arn:aws:sqs:" + here + random,
		"AWS::Scheduler::Schedule":                "arn:aws:scheduler:" + here + "schedule/default/" + random,
	}[kind]
}

// deployed are the calls of CloudFormation for a template, with the credentials of whoever deploys it.
func deployed(t *testing.T, file, stack string) []right {
	t.Helper()
	var template struct {
		Resources map[string]struct{ Type string }
	}
	require.NoError(t, yaml.Unmarshal([]byte(read(t, file)), &template))
	kinds := map[string]bool{}
	for _, r := range template.Resources {
		kinds[r.Type] = true
	}
	var all []right
	schemas := schemasOf(t, kinds)
	for id, r := range template.Resources {
		actions := withoutHandlers[r.Type]
		for _, handler := range []string{"create", "read", "update", "delete"} {
			actions = append(actions, schemas[r.Type][handler].Permissions...)
		}
		require.NotEmpty(t, actions, r.Type)
		slices.Sort(actions)
		for _, action := range slices.Compact(actions) {
			if _, ok := unused[r.Type+" "+action]; ok {
				continue
			}
			one := right{"deploy " + file, action, made(stack, id, r.Type), nil}
			require.NotEmpty(t, one.resource, r.Type)
			switch {
			case slices.Contains(onAnything, action):
				one.resource = "*"
			case action == "iam:PassRole":
				one.resource, one.context = made(stack, "Role", "AWS::IAM::Role"), map[string]string{"iam:PassedToService": passedTo[r.Type]}
			case action == "iam:CreateServiceLinkedRole":
				const service = "management.chatbot.amazonaws.com"
				one.resource = "arn:aws:iam::111122223333:role/aws-service-role/" + service + "/AWSServiceRoleForAWSChatbot"
				one.context = map[string]string{"iam:AWSServiceName": service}
			case strings.HasPrefix(action, "iam:") && r.Type != "AWS::IAM::OIDCProvider":
				one.resource = made(stack, "Role", "AWS::IAM::Role")
			}
			all = append(all, one)
		}
	}
	return all
}

func schemasOf(t *testing.T, kinds map[string]bool) map[string]map[string]struct{ Permissions []string } {
	t.Helper()
	python, err := filepath.Abs(filepath.Join(repository, ".local", "venv", "bin", "python"))
	require.NoError(t, err)
	args := []string{"-c", handlers}
	for kind := range kinds {
		args = append(args, kind)
	}
	output, err := exec.CommandContext(t.Context(), python, args...).Output()
	require.NoError(t, err)
	var schemas map[string]map[string]struct{ Permissions []string }
	require.NoError(t, json.Unmarshal(output, &schemas))
	return schemas
}

// rights are the calls of a command. Those of make deploy, make logs and make destroy alone are in docs/deploy/policy.json, for which
// another test asks.
func rights(t *testing.T, c command) []right {
	t.Helper()
	cluster := "arn:aws:eks:" + cmp.Or(flag(c, "--region"), "eu-west-1") + ":111122223333:"
	ec2, states := "arn:aws:ec2:"+cmp.Or(flag(c, "--region"), "eu-west-1")+":111122223333:", "arn:aws:states:"+here
	stack := "arn:aws:cloudformation:" + here + "stack/" + flag(c, "--stack-name") + "/1a2b3c4d"
	set := "arn:aws:cloudformation:us-east-1:111122223333:stackset/" + flag(c, "--stack-set-name") + ":1a2b3c4d"
	instances := func(action string) []right {
		target := strings.ReplaceAll(set, ":stackset/", ":stackset-target/")
		return []right{{action: action, resource: set}, {action: action, resource: target}, {action: action, resource: "arn:aws:cloudformation:us-east-1:111122223333:type/resource/AWS-IAM-Role"}}
	}
	bucket := func(name string) string { return "arn:aws:s3:::" + strings.TrimPrefix(name, "s3://") }
	last := c.args[len(c.args)-1]
	switch strings.Join(c.args[:min(2, len(c.args))], " ") {
	case "eks describe-cluster", "eks update-kubeconfig":
		return []right{{action: "eks:DescribeCluster", resource: cluster + "cluster/" + flag(c, "--name")}}
	case "eks list-clusters":
		return []right{{action: "eks:ListClusters", resource: "*"}}
	case "eks create-access-entry":
		return []right{{action: "eks:CreateAccessEntry", resource: cluster + "cluster/" + flag(c, "--cluster-name")}}
	case "eks associate-access-policy":
		return []right{{action: "eks:AssociateAccessPolicy", resource: cluster + "access-entry/" + flag(c, "--cluster-name") + "/role/111122223333/kubestep-member/1a2b"}}
	case "eks delete-access-entry":
		return []right{{action: "eks:DeleteAccessEntry", resource: cluster + "access-entry/" + flag(c, "--cluster-name") + "/role/111122223333/kubestep-member/1a2b"}}
	case "ec2 describe-route-tables":
		return []right{{action: "ec2:DescribeRouteTables", resource: "*"}}
	case "ec2 create-security-group":
		return []right{{action: "ec2:CreateSecurityGroup", resource: ec2 + "vpc/" + flag(c, "--vpc-id")}, {action: "ec2:CreateSecurityGroup", resource: ec2 + "security-group/sg-0a9b8c7d"}}
	case "ec2 authorize-security-group-ingress":
		return []right{{action: "ec2:AuthorizeSecurityGroupIngress", resource: ec2 + "security-group/" + flag(c, "--group-id")}}
	case "ec2 revoke-security-group-ingress":
		return []right{{action: "ec2:RevokeSecurityGroupIngress", resource: ec2 + "security-group/" + flag(c, "--group-id")}}
	case "ec2 create-vpc-endpoint":
		const create = "ec2:CreateVpcEndpoint"
		return []right{{action: create, resource: ec2 + "vpc/" + flag(c, "--vpc-id")}, {action: create, resource: ec2 + "route-table/" + flag(c, "--route-table-ids")}, {action: create, resource: ec2 + "vpc-endpoint/vpce-1"}}
	case "s3 mb":
		return []right{{action: "s3:CreateBucket", resource: bucket(c.args[2])}}
	case "s3api create-bucket":
		return []right{{action: "s3:CreateBucket", resource: bucket(flag(c, "--bucket"))}}
	case "s3api put-bucket-versioning":
		return []right{{action: "s3:PutBucketVersioning", resource: bucket(flag(c, "--bucket"))}}
	case "s3api head-object":
		return []right{{action: "s3:GetObject", resource: bucket(flag(c, "--bucket")) + "/" + flag(c, "--key")}}
	case "sns subscribe":
		return []right{{action: "sns:Subscribe", resource: flag(c, "--topic-arn")}}
	case "s3 cp":
		return []right{{action: "s3:PutObject", resource: bucket(last)}}
	case "s3 presign":
		return []right{{action: "s3:GetObject", resource: bucket(c.args[2])}}
	case "cloudformation deploy":
		file := templateOf(c)
		if file == "" {
			return nil // make deploy's
		}
		all := deployed(t, file, flag(c, "--stack-name"))
		for _, action := range []string{"CreateChangeSet", "DescribeChangeSet", "DescribeStacks", "ExecuteChangeSet", "GetTemplateSummary"} {
			all = append(all, right{action: "cloudformation:" + action, resource: stack})
		}
		return all
	case "cloudformation describe-stacks":
		return []right{{action: "cloudformation:DescribeStacks", resource: stack}}
	case "cloudformation delete-stack":
		return []right{{action: "cloudformation:DeleteStack", resource: stack}}
	case "cloudformation create-stack-set":
		return []right{{action: "cloudformation:CreateStackSet", resource: "*"}}
	case "cloudformation list-stack-instances":
		return []right{{action: "cloudformation:ListStackInstances", resource: set}}
	case "cloudformation delete-stack-set":
		return []right{{action: "cloudformation:DeleteStackSet", resource: set}}
	case "cloudformation create-stack-instances":
		return instances("cloudformation:CreateStackInstances")
	case "cloudformation delete-stack-instances":
		return instances("cloudformation:DeleteStackInstances")
	case "cloudformation update-stack-set":
		return instances("cloudformation:UpdateStackSet")
	case "apply demo", "fleet --region":
		machine := map[string]string{"apply": "kubestep-apply-manifests", "fleet": "kubestep-fleet"}[c.args[0]]
		execution := states + "execution:" + machine + ":noon"
		return []right{
			{action: "states:StartExecution", resource: states + "stateMachine:" + machine, context: map[string]string{"states:StateMachineQualifier": "live"}},
			{action: "states:DescribeExecution", resource: execution}, {action: "states:GetExecutionHistory", resource: execution},
		}
	case "approvals":
		return []right{{action: "states:ListExecutions", resource: states + "stateMachine:kubestep-apply-manifests"}}
	}
	if c.name == "aws" || c.name == "kubestep" {
		_, known := map[string]bool{
			"cloudformation package": true, "cloudformation wait": true, "cloudformation describe-stack-resources": true, "configure get": true,
			"s3 rm": true, "s3api head-bucket": true, "sts get-caller-identity": true,
		}[strings.Join(c.args[:2], " ")]
		require.True(t, known, "which rights does it take? %s", c)
	}
	return nil
}

func TestThePoliciesOfATutorialAllowWhatItsCommandsCallAndNoMore(t *testing.T) {
	t.Parallel()
	simulator, found := iam.Find(repository)
	if !found {
		t.Skip("make test installs the IAM simulator, if there is Node.js")
	}
	organization := func(c command) bool {
		return strings.Contains(c.String(), "cloudformation ") && strings.Contains(c.String(), "-set-name")
	}
	member := func(c command) bool {
		return c.args[0] == "eks" && c.args[1] != "describe-cluster" || c.args[0] == "ec2" || c.args[0] == "eks" && flag(c, "--name") == "expansion"
	}
	for policy, tutorial := range map[string]struct {
		page, cluster string
		of            func(command) bool
		alone         bool
	}{
		"drift":               {"drift", "demo", func(command) bool { return true }, false},
		"pipelines":           {"pipelines", "demo", func(command) bool { return true }, false},
		"report":              {"report", "hub", func(c command) bool { return !organization(c) && !member(c) }, false},
		"report-organization": {"report", "hub", organization, true},
		"report-member":       {"report", "hub", member, true},
	} {
		t.Run(policy, func(t *testing.T) {
			page := "docs/tutorials/" + tutorial.page + ".md"
			statements := statementsOf(t, policy, tutorial.cluster)
			own := len(statements)
			if !tutorial.alone {
				for name, statement := range statementsOf(t, "policy", tutorial.cluster) {
					statements[name] = statement
				}
				require.Greater(t, len(statements), own)
			}
			var called []right
			var asked []iam.Request
			for _, c := range onPage(t, workplace(t), page) {
				if len(c.args) == 0 || !tutorial.of(c) {
					continue
				}
				for _, one := range rights(t, c) {
					one.by = cmp.Or(one.by, c.String())
					called = append(called, one)
					asked = append(asked, iam.Request{
						Principal: "arn:aws:iam::111122223333:role/ada", Action: one.action, Resource: one.resource, Account: "111122223333",
						Context: one.context, Statements: statements,
					})
				}
			}
			require.NotEmpty(t, asked)
			decisions, err := simulator.Decide(t.Context(), asked)
			require.NoError(t, err)
			needed := map[string]bool{}
			for i, d := range decisions {
				require.Empty(t, d.Error, "%s on %s, by %s", asked[i].Action, asked[i].Resource, called[i].by)
				assert.True(t, d.Allowed(), "%s on %s, by %s", asked[i].Action, asked[i].Resource, called[i].by)
				if len(d.Allows) == 1 {
					for name, matches := range d.Allows {
						for _, action := range matches.Actions {
							needed[fmt.Sprintf("%s, action %d", name, action)] = true
						}
						for _, resource := range matches.Resources {
							needed[fmt.Sprintf("%s, resource %d", name, resource)] = true
						}
					}
				}
			}
			for name, text := range statementsOf(t, policy, tutorial.cluster) {
				var s struct{ Action, Resource any }
				require.NoError(t, json.Unmarshal(text, &s))
				for element, value := range map[string]any{"action": s.Action, "resource": s.Resource} {
					list, ok := value.([]any)
					if !ok {
						list = []any{value}
					}
					for i, one := range list {
						assert.True(t, needed[fmt.Sprintf("%s, %s %d", name, element, i)], "no command of %s needs %s of %s", page, one, name)
					}
				}
			}
		})
	}
}

// statementsOf returns the statements of a policy of docs/deploy, by their Sid, for the account of the tutorials.
func statementsOf(t *testing.T, policy, cluster string) map[string]json.RawMessage {
	t.Helper()
	text := read(t, "docs/deploy/"+policy+".json")
	assert.Less(t, len(regexp.MustCompile(`\s`).ReplaceAllString(text, "")), 6144, "IAM's limit of a managed policy")
	text = strings.NewReplacer(
		"ACCOUNT", "111122223333", "REGION", "eu-west-1", "STACK", "kubestep", "CLUSTER", cluster, "BUCKET", "kubestep-111122223333-eu-west-1",
		"MANIFESTS", "manifests-111122223333", "REPORTS", "reports-111122223333", "SOURCE", "source-111122223333", "ARTIFACTS", "artifacts-111122223333",
	).Replace(text)
	var document struct{ Statement []json.RawMessage }
	require.NoError(t, json.Unmarshal([]byte(text), &document))
	all := map[string]json.RawMessage{}
	for _, statement := range document.Statement {
		var named struct{ Sid string }
		require.NoError(t, json.Unmarshal(statement, &named))
		require.Regexp(t, "^[A-Za-z0-9]+$", named.Sid)
		require.NotContains(t, all, policy+" "+named.Sid)
		all[policy+" "+named.Sid] = statement
	}
	return all
}
