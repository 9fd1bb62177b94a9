package deploy

import (
	"cmp"
	"slices"
)

// Role is an IAM role.
type Role struct {
	ID          string
	Name        Value
	Description string
	// When is the condition of the template under which it is there; empty for always.
	When, Why string
	Trust     Statement
	Policies  []Policy
}

// Policy is an inline policy of roles.
type Policy struct {
	Name string
	// Key tells policies of the same name apart; empty for the name.
	Key string
	// When is the condition of the template under which a role has it; empty for always.
	When       string
	Why        string
	Statements []Statement
	// CalledBy is the service that makes the calls with the role, and where that is documented. If it is empty, the function or
	// the machine makes them itself.
	CalledBy string
}

// Statement is https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_statement.html
type Statement struct {
	Sid string
	// Effect is Allow if it is empty.
	Effect     string
	Service    string
	Principals []Value
	Actions    []string
	Resources  []Value
	Where      []Test
	Why        string
	// anchor is the YAML anchor of a document with only this statement.
	anchor string
	// CalledBy names a service that makes this call, as in Policy.
	CalledBy string
}

// Test is a condition of a statement: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition.html
type Test struct {
	Operator, Key string
	Is            []Value
	// When is the condition of the template without which there is none.
	When string
	Why  string
}

func equals(key string, is Value) Test {
	return Test{Operator: "StringEquals", Key: key, Is: []Value{is}}
}

func viaS3() []Test {
	return []Test{{Operator: "StringLike", Key: "kms:ViaService", Is: []Value{sub("s3.${AWS::Region}.amazonaws.com*")}}}
}

func ownAccount() Test { return equals("aws:ResourceAccount", ref("AWS::AccountId")) }

func everything() []Value { return []Value{text("*")} }

func trusts(service, anchor string, where ...Test) Statement {
	return Statement{Service: service + ".amazonaws.com", Actions: []string{"sts:AssumeRole"}, Where: where, anchor: anchor}
}

func writeLogs() Policy {
	return Policy{
		Name: "logs", CalledBy: "Lambda writes the logs of functions: https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs.html",
		Statements: []Statement{{Actions: []string{"logs:CreateLogStream", "logs:PutLogEvents"}, Resources: []Value{att("FunctionLogs.Arn")}}},
	}
}

func sendTraces() Policy {
	return Policy{
		Name: "tracing", CalledBy: "Lambda and Step Functions send traces: https://docs.aws.amazon.com/step-functions/latest/dg/concepts-xray-tracing.html",
		Statements: []Statement{{
			Actions: []string{"xray:PutTraceSegments", "xray:PutTelemetryRecords"}, Resources: everything(),
			Why: "X-Ray knows no resources for these.",
		}},
	}
}

func decryptVariables() Policy {
	return Policy{
		Name: "variables", When: "HasEncryptionKey", Why: "The stack's own key has this in its policy.",
		CalledBy:   "Lambda decrypts the variables of functions: https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars-encryption.html",
		Statements: []Statement{{Actions: []string{"kms:Decrypt"}, Resources: []Value{ref("EncryptionKeyArn")}}},
	}
}

// assumeRoles lets a function assume the roles that an execution's input may name.
func (m Machine) assumeRoles() Policy {
	return Policy{
		Name: kebab(m.Prefix, "roles"), When: "Has" + m.Prefix + "RoleArns",
		Statements: []Statement{{
			Actions: []string{"sts:AssumeRole"}, Resources: []Value{ref(m.Prefix + "RoleArns")},
			Where: []Test{{Operator: "StringEquals", Key: "aws:ResourceOrgID", Is: []Value{ref("OrganizationId")}, When: "HasOrganization"}},
			Why:   "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-resourceorgid",
		}},
	}
}

func describeOne() Policy {
	return Policy{Name: "cluster", When: "HasClusterName", Statements: []Statement{{
		Actions: []string{"eks:DescribeCluster"}, Resources: []Value{sub("arn:${AWS::Partition}:eks:${AWS::Region}:${AWS::AccountId}:cluster/${ClusterName}")},
	}}}
}

func describeFurther() Policy {
	return Policy{Name: "further-clusters", When: "HasClusterArns", Statements: []Statement{{
		Actions: []string{"eks:DescribeCluster"}, Resources: []Value{ref("ClusterArns")},
	}}}
}

// findClusters lets a function find clusters. The role of a member account has the same (member.yml).
func findClusters() Policy {
	return Policy{Name: "clusters", Statements: []Statement{
		{Actions: []string{"eks:ListClusters"}, Resources: everything(), Why: "EKS knows no resources for it."},
		{
			Actions: []string{"eks:DescribeCluster"}, Resources: []Value{sub("arn:${AWS::Partition}:eks:*:${AWS::AccountId}:cluster/*")},
			Why: "For the tags of what was listed.",
		},
	}}
}

func joinVPC() Policy {
	interfaces := []string{
		"ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets", "ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface",
		"ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses",
	}
	return Policy{
		Name: "vpc", Key: "join-vpc", When: "HasVpc", CalledBy: "Lambda connects functions to the VPC: https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html",
		Why: `Lambda itself joins the VPC with the function's role. The last statement keeps these permissions from the functions'
code: https://docs.aws.amazon.com/lambda/latest/dg/permissions-source-function-arn.html`,
		Statements: []Statement{
			{
				Actions: interfaces, Resources: everything(),
				Why: `EC2 knows no resources for the first two, and Lambda refuses a role that has not the third for all:
https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html#configuration-vpc-permissions`,
			},
			{
				Effect: "Deny", Actions: interfaces, Resources: everything(),
				Where: []Test{{Operator: "ArnLike", Key: "lambda:SourceFunctionArn", Is: []Value{
					sub("arn:${AWS::Partition}:lambda:${AWS::Region}:${AWS::AccountId}:function:${AWS::StackName}-*"),
				}}},
			},
		},
	}
}

// The bucket of what executions write.
func outputObjects() []Value {
	return []Value{sub("arn:${AWS::Partition}:s3:::${OutputBucket}/${OutputPrefix}*")}
}

func writeOutput() Policy {
	own := ownAccount()
	own.Why = "Whoever takes over the name of a bucket that was deleted gets nothing."
	return Policy{Name: "output", When: "HasOutputBucket", Statements: []Statement{
		{Actions: []string{"s3:PutObject"}, Resources: outputObjects(), Where: []Test{own}},
	}}
}

func encryptOutput() Policy {
	return Policy{
		Name: "output-key", When: "HasOutputKey", CalledBy: "S3 encrypts objects: https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html",
		Statements: []Statement{{
			Actions: []string{"kms:GenerateDataKey", "kms:Decrypt"}, Resources: []Value{ref("OutputKeyArn")}, Where: viaS3(),
			Why: "S3 decrypts the parts of a multipart upload to put them together.",
		}},
	}
}

// listBucket lets S3 say that there is no such object.
func listBucket(bucket Value) Statement {
	const why = "https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html"
	return Statement{
		Actions: []string{"s3:ListBucket"}, Resources: []Value{bucket}, Where: []Test{ownAccount()},
		Why:      "Without it S3 says of an object that is not there that it may not be read:\n" + why,
		CalledBy: "S3 reports 404 and not 403 for a key that does not exist: " + why,
	}
}

// readManifests lets a function read manifests from S3.
func readManifests() Policy {
	own := ownAccount()
	own.Why = "Whoever takes over the name of a bucket that was deleted decides about no cluster."
	return Policy{Name: "source", When: "HasManifestBucket", Statements: []Statement{
		{
			Actions: []string{"s3:GetObject", "s3:GetObjectVersion"}, Resources: []Value{sub("arn:${AWS::Partition}:s3:::${ManifestBucket}/${ManifestPrefix}*")},
			Where: []Test{own},
		},
		listBucket(sub("arn:${AWS::Partition}:s3:::${ManifestBucket}")),
	}}
}

func decryptManifests() Policy {
	return Policy{
		Name: "source-key", When: "HasManifestKey", CalledBy: "S3 decrypts objects: https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html",
		Statements: []Statement{{Actions: []string{"kms:Decrypt"}, Resources: []Value{ref("ManifestKeyArn")}, Where: viaS3()}},
	}
}

// start lets a service start executions of machines by their alias.
func start(machines ...Value) Statement {
	return Statement{
		Actions: []string{"states:StartExecution"}, Resources: machines,
		Where: []Test{{Operator: "ForAnyValue:StringEquals", Key: "states:StateMachineQualifier", Is: []Value{list("live")}}},
	}
}

// Role is the role of the machine.
func (m Machine) Role() Role {
	arns := []Value{sub("arn:${AWS::Partition}:states:${AWS::Region}:${AWS::AccountId}:stateMachine:${AWS::StackName}-" + m.Name + "*")}
	source := Test{Operator: "ArnLike", Key: "aws:SourceArn", Is: arns}
	if m.Distributed {
		source.Is = append(source.Is, sub("arn:${AWS::Partition}:states:${AWS::Region}:${AWS::AccountId}:mapRun:${AWS::StackName}-"+m.Name+"/*"))
		source.Why = `Which ARN Step Functions presents for the items of a distributed Map is not documented: the machine's, or the Map Run's,
arn:PARTITION:states:REGION:ACCOUNT:mapRun:MACHINE/LABEL:ID.
https://docs.aws.amazon.com/step-functions/latest/dg/procedure-create-iam-role.html#prevent-cross-service-confused-deputy`
	}
	invoke := Statement{Actions: []string{"lambda:InvokeFunction"}, Why: "Versions only. While an update takes over there are two of each."}
	var also []Policy
	for _, f := range m.Invoked() {
		versions := sub("${" + f.ID() + ".Arn}:*")
		if f.When == "" || f.When == m.When() {
			invoke.Resources = append(invoke.Resources, versions)
			continue
		}
		also = append(also, Policy{Name: f.Name, When: f.When, Statements: []Statement{{Actions: invoke.Actions, Resources: []Value{versions}}}})
	}
	return Role{
		ID: m.Part("Role"), When: m.When(), Description: "What the state machine " + m.Name + " may do",
		Trust: trusts("states", "", equals("aws:SourceAccount", ref("AWS::AccountId")), source),
		Policies: append(slices.Concat([]Policy{{Name: "functions", Key: m.Name + "-functions", Statements: []Statement{invoke}}}, also, m.Policies),
			Policy{
				Name: "logs", Key: "machine-logs", CalledBy: "Step Functions sets up its logs: https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html",
				Statements: []Statement{{
					Actions: []string{
						"logs:CreateLogDelivery", "logs:GetLogDelivery", "logs:UpdateLogDelivery", "logs:DeleteLogDelivery", "logs:ListLogDeliveries",
						"logs:PutResourcePolicy", "logs:DescribeResourcePolicies", "logs:DescribeLogGroups",
					},
					Resources: everything(), Why: "CloudWatch Logs knows no resources for these: https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html",
				}},
			},
			Policy{
				Name: "tracing", Key: "machine-tracing", CalledBy: sendTraces().CalledBy,
				Statements: []Statement{{
					Actions:   []string{"xray:PutTraceSegments", "xray:PutTelemetryRecords", "xray:GetSamplingRules", "xray:GetSamplingTargets"},
					Resources: everything(), Why: "X-Ray knows no resources for these.",
				}},
			}),
	}
}

// ScheduleRole is the role of the machine's schedule.
func (m Machine) ScheduleRole() Role {
	startMachine := start(ref(m.ID()))
	startMachine.Why = "An alias is authorized by its machine's ARN: https://docs.aws.amazon.com/step-functions/latest/dg/auth-version-alias.html"
	return Role{
		ID: m.Schedule + "Role", When: "Has" + m.Schedule, Description: "What the schedule of " + m.Name + " may do",
		Trust: trusts("scheduler", "schedulerTrust", equals("aws:SourceAccount", ref("AWS::AccountId")), Test{
			Operator: "StringEquals", Key: "aws:SourceArn", Is: []Value{sub("arn:${AWS::Partition}:scheduler:${AWS::Region}:${AWS::AccountId}:schedule-group/default")},
			Why: "EventBridge Scheduler assumes the role in the name of the schedule's group.",
		}),
		Policies: []Policy{{
			Name: "schedule", Key: m.Name + "-schedule", CalledBy: "EventBridge Scheduler starts executions: https://docs.aws.amazon.com/scheduler/latest/UserGuide/setting-up.html",
			Statements: []Statement{startMachine, {Actions: []string{"sqs:SendMessage"}, Resources: []Value{att("ScheduleDeadLetters.Arn")}}},
		}},
	}
}

// StoppedRule is the name of the rule on executions that were stopped.
func (m Machine) StoppedRule() Value { return sub("${AWS::StackName}-" + m.Name + "-stopped") }

// StoppedRole is the role of that rule.
func (m Machine) StoppedRole() Role {
	startMachine := start(ref(m.ID()))
	startMachine.Why = "An alias is authorized by its machine's ARN: https://docs.aws.amazon.com/step-functions/latest/dg/auth-version-alias.html"
	return Role{
		ID: m.Part("StoppedRole"), When: m.When(), Description: "What the rule on stopped executions of " + m.Name + " may do",
		Trust: trusts("events", "", equals("aws:SourceAccount", ref("AWS::AccountId")), Test{
			Operator: "StringEquals", Key: "aws:SourceArn", Is: []Value{sub("arn:${AWS::Partition}:events:${AWS::Region}:${AWS::AccountId}:rule/" + m.StoppedRule().text)},
		}),
		Policies: []Policy{{
			Name: "stopped", Key: m.Name + "-stopped",
			Statements: []Statement{startMachine},
		}},
	}
}

// keyPolicy is the policy of the key that encrypts the functions' variables and the secrets.
func (s Stack) keyPolicy() []Statement {
	account := []Value{sub("arn:${AWS::Partition}:iam::${AWS::AccountId}:root")}
	via := func(services ...string) []Test {
		t := Test{Operator: "StringLike", Key: "kms:ViaService", Why: "In China the name ends in .cn."}
		for _, service := range services {
			t.Is = append(t.Is, sub(service+".${AWS::Region}.amazonaws.com*"))
		}
		return []Test{t}
	}
	var roles []Value
	for _, f := range s.Functions() {
		arn := att(f.ExecutionRole().ID + ".Arn")
		if f.When != "" {
			arn = choice(f.When, arn, nothing())
		}
		roles = append(roles, arn)
	}
	return []Statement{
		{
			Sid: "AdministerByIAM", Principals: account, Resources: everything(),
			Why: `Not kms:*, as in the default key policy: that lets every principal decrypt that has kms:Decrypt on all keys. Nor
kms:CreateGrant, by which an administrator would let anybody decrypt without a trace in this policy.`,
			Actions: []string{
				"kms:CancelKeyDeletion", "kms:DescribeKey", "kms:DisableKey", "kms:DisableKeyRotation", "kms:EnableKey", "kms:EnableKeyRotation",
				"kms:GetKeyPolicy", "kms:GetKeyRotationStatus", "kms:ListGrants", "kms:ListKeyPolicies", "kms:ListResourceTags", "kms:PutKeyPolicy",
				"kms:RevokeGrant", "kms:ScheduleKeyDeletion", "kms:TagResource", "kms:UntagResource", "kms:UpdateKeyDescription",
			},
		},
		{
			Sid: "DeployFunctionsByIAM", Principals: account, Resources: everything(), Where: via("lambda", "cloudformation"),
			Why: `Lambda encrypts the variables, and grants decryption to the function's role, in the name of whoever deploys:
https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars-encryption.html`,
			Actions: []string{"kms:CreateGrant", "kms:Encrypt", "kms:GenerateDataKey"},
		},
		{
			Sid: "ReadSecretsByIAM", Principals: account, Resources: everything(), Where: via("secretsmanager", "cloudformation"),
			Why: `CloudFormation reads the secrets in the name of whoever deploys, and Secrets Manager encrypts them anew if the key changes:
https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_UpdateSecret.html`,
			Actions: []string{"kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey"},
		},
		{Sid: "DecryptVariables", Principals: roles, Actions: []string{"kms:Decrypt"}, Resources: everything()},
	}
}

// key is what tells policies apart.
func (p Policy) key() string { return cmp.Or(p.Key, p.Name) }
