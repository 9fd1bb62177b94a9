package deploy

import "slices"

// ApplyManifests plans and applies manifests. It can change clusters, so it is there on demand, and has functions, roles, a
// Kubernetes group and a seal key of its own.
func ApplyManifests() Machine {
	kinds := []Variable{{Name: "KUBESTEP_ALLOWED_KINDS", Value: allowedKinds()}}
	pruning := slices.Concat(kinds, []Variable{{
		Name: "KUBESTEP_PRUNE", Value: ref("EnablePrune"), Why: "What deletes looks itself, whatever an input says.",
	}})
	approvals := []Variable{{Name: "KUBESTEP_ATTESTATION_KEY", Value: attestationKey()}}
	source := []Policy{readManifests(), decryptManifests()}
	return Machine{
		Name: "apply-manifests", Prefix: "Apply", OnDemand: true,
		Identity: "Signs a bearer token that may apply, and seals it",
		Functions: []Function{
			{
				Name: "load-manifests", Description: "Reads the manifests and checks them", Memory: 512, Timeout: 60,
				Environment: pruning, Policies: source,
			},
			{
				Name: "verify-apply", Description: "Asks the cluster whether the manifests may be applied", Memory: 512, Timeout: 60,
				Connects: true, Environment: kinds, Policies: source,
			},
			{
				Name: "plan-manifests", Description: "Plans with a dry run what applying would do", Memory: 512, Timeout: 60,
				Connects: true, Environment: kinds, Policies: append(source[:2:2], writeOutput(), encryptOutput()),
			},
			{
				Name: "plan-set", Description: "Finds the members of a set that are not in the manifests", Memory: 512, Timeout: 60,
				Connects: true, Environment: kinds, Policies: append(source[:2:2], writeOutput(), encryptOutput()),
			},
			{
				Name: "request-approval", Description: "Says what there is to approve", Timeout: 30,
				Environment: []Variable{{Name: "KUBESTEP_APPROVE_FUNCTION", Value: sub("${AWS::StackName}-approve")}},
				Policies:    []Policy{publishApprovals()},
			},
			{
				Name: "apply-manifests", Description: "Applies what the plan would change", Memory: 512, Timeout: 60,
				Connects: true, Environment: append(kinds[:1:1], approvals...), Policies: source,
			},
			{Name: "check-readiness", Description: "Looks which objects are ready", Memory: 256, Timeout: 60, Connects: true},
			{
				Name: "prune-objects", Description: "Deletes the members of a set that are not in the manifests", Memory: 512, Timeout: 60,
				Connects: true, Environment: append(pruning[:2:2], approvals...), Policies: source,
			},
			{
				Name: "approve", Description: "Approves or rejects a plan, or a gate of a rollout, for whoever may invoke it", Timeout: 30, ByPeople: true,
				Environment: append([]Variable{
					{Name: "KUBESTEP_STATE_MACHINE", Value: sub("${AWS::StackName}-apply-manifests")},
					{Name: "KUBESTEP_FLEET_STATE_MACHINE", Value: sub("${AWS::StackName}-fleet")},
				}, approvals...),
				Policies: []Policy{decideApprovals()},
			},
		},
		Schedule: "DriftSchedule",
		Counts:   Counts{Metric: "objects", Title: "Objects of manifests by what applying does to them"},
		Conditions: []Condition{
			{"HasManifestBucket", isSet("ManifestBucket")},
			{"HasApprovalTopics", anySet("ApprovalTopicArns")},
			{"HasManifestKey", isSet("ManifestKeyArn")},
		},
		Parameters: Group{"Applying manifests", []Parameter{
			{
				Name: "EnableApply", Label: "Deploy apply-manifests?", Default: "false", Values: boolean(),
				Description: "Whether to deploy the second workflow, apply-manifests. It can change the cluster, as far as RBAC lets it, and so has functions, roles, a Kubernetes group and a seal key of its own.",
			},
			{
				Name: "ApplyKubernetesGroup", Label: "Kubernetes group that may apply", Default: "kubestep-appliers", Pattern: kubernetesGroup(),
				Description: "The group to which the role of apply-manifests is mapped. Nothing is bound to it; rbac/apply/ has examples.",
			},
			{
				Name: "ApplyRoleArns", Label: "Roles that may be assumed to apply", Type: commaDelimitedList,
				Description: "ARNs of the IAM roles, separated by commas, that an execution input of apply-manifests may name as roleArn. Each must trust the roles of describe-cluster and apply-mint-token.",
			},
			{
				Name: "EnablePrune", Label: "May apply-manifests delete?", Default: "false", Values: boolean(),
				Description: "Whether apply-manifests may delete members of a set that left its manifests, and sets. In the cluster, rbac/apply/prune grants it.",
			},
			{
				Name: "ApprovalTopicArns", Label: "SNS topics that may be told of approvals", Type: commaDelimitedList,
				Description: "ARNs of SNS topics, separated by commas, that an execution input may name to be told that a plan waits for an approval. Empty for none.",
			},
			{
				Name: "ManifestBucket", Label: "S3 bucket of manifests", Pattern: bucketName(),
				Description: "The S3 bucket, of this account and in this Region, from which manifests may be read. Empty if they are always in the input.",
			},
			{
				Name: "ManifestPrefix", Label: "Key prefix of manifests", Pattern: keyPrefix(),
				Description: "The prefix of those objects' keys, such as manifests/. Empty for the whole bucket.",
			},
			{
				Name: "ManifestKeyArn", Label: "That bucket's KMS key", Pattern: keyARN(),
				Description: "The KMS key with which those objects are encrypted (SSE-KMS). Empty if they use none.",
			},
			{
				Name: "ApplyAllowedKinds", Label: "RBAC and admission kinds to accept", Type: commaDelimitedList,
				Description: "Kinds of RBAC and of admission, separated by commas, that manifests may hold, such as Role,RoleBinding. Whoever applies one can give themselves any permission, so all others are refused. ConfigMap/aws-auth is one of them.",
			},
			{
				Name: "DriftScheduleExpression", Label: "When to plan or apply", Pattern: scheduleExpression(),
				Description: "When to start executions of apply-manifests, such as rate(1 hour). Empty for no schedule.",
			},
			{
				Name: "DriftScheduleInput", Label: "With which input", Default: "{}", Pattern: jsonObject(),
				Description: `The input of those executions, such as {"source":{"bucket":"manifests","key":"shop.yaml"}}. In mode plan, which is the default, their output says whether the cluster has drifted from the manifests.`,
			},
		}},
	}
}

// allowedKinds are the kinds that manifests may hold though they can give permissions.
func allowedKinds() Value {
	return Value{yaml: `!Join [",", !Ref ApplyAllowedKinds]`, anchor: "allowedKinds"}
}

// publishApprovals lets a function tell topics what there is to approve.
func publishApprovals() Policy {
	return Policy{Name: "topics", When: "HasApprovalTopics", Statements: []Statement{{Actions: []string{"sns:Publish"}, Resources: []Value{ref("ApprovalTopicArns")}}}}
}

// decideApprovals lets a function resume an execution that waits for an approval.
func decideApprovals() Policy {
	return Policy{Name: "approvals", Statements: []Statement{
		{
			Actions: []string{"states:DescribeExecution", "states:GetExecutionHistory"},
			Resources: []Value{
				sub("arn:${AWS::Partition}:states:${AWS::Region}:${AWS::AccountId}:execution:${AWS::StackName}-apply-manifests:*"),
				sub("arn:${AWS::Partition}:states:${AWS::Region}:${AWS::AccountId}:execution:${AWS::StackName}-fleet:*"),
			},
		},
		{
			Actions: []string{"states:SendTaskSuccess"}, Resources: everything(),
			Why: "It takes a task token and no ARN, so there is nothing to narrow:\nhttps://docs.aws.amazon.com/service-authorization/latest/reference/list_awsstepfunctions.html",
		},
	}}
}
