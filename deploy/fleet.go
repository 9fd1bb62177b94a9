package deploy

import (
	"slices"
	"strings"
)

// fleet runs a workflow on many clusters, each as an execution of its own.
func (s Stack) fleet() Machine {
	find := []Variable{
		{Name: "KUBESTEP_EXTERNAL_ID", Value: ref("ExternalId")},
		{Name: "KUBESTEP_KUBERNETES_GROUP", Value: ref("KubernetesGroup")},
	}
	locks := []Variable{
		{Name: "KUBESTEP_LOCK_BUCKET", Value: ref("OutputBucket"), Why: "The locks of sets, of which each has one rollout at a time, are there."},
		{Name: "KUBESTEP_LOCK_PREFIX", Value: ref("OutputPrefix")},
	}
	var machines, executions []Value
	var assume []Policy // to list the clusters that a role sees
	for _, w := range s.Workflows {
		roles := w.assumeRoles()
		alias, machine := ref(w.ID()+"Aliaslive"), ref(w.ID())
		execution := sub("arn:${AWS::Partition}:states:${AWS::Region}:${AWS::AccountId}:execution:${" + w.ID() + ".Name}:*")
		if may := w.mayRun(); may != "" {
			alias, machine, execution = choice(may, alias, text("")), choice(may, machine, nothing()), choice(may, execution, nothing())
			roles.When, roles.Key = w.mayAssume(), "fleet-"+roles.Name
		}
		assume = append(assume, roles)
		find = append(find, Variable{Name: "KUBESTEP_" + strings.ToUpper(strings.ReplaceAll(w.Name, "-", "_")) + "_ARN", Value: alias})
		machines, executions = append(machines, machine), append(executions, execution)
	}
	objects := Policy{Name: "objects", When: "HasOutputBucket", Statements: []Statement{
		{Actions: []string{"s3:GetObject", "s3:PutObject"}, Resources: outputObjects(), Where: []Test{ownAccount()}},
		listBucket(sub("arn:${AWS::Partition}:s3:::${OutputBucket}")),
	}}
	const own = "arn:${AWS::Partition}:states:${AWS::Region}:${AWS::AccountId}:"
	asks, approve := s.requestApproval()
	return Machine{
		Name: "fleet", Prefix: "Fleet", Distributed: true, Also: asks,
		Functions: []Function{
			{
				Name: "find-clusters", Description: "Finds the clusters of a fleet and names their executions", Memory: 256, Timeout: 300,
				Environment: slices.Concat(find, []Variable{
					{Name: "KUBESTEP_ALLOWED_KINDS", Value: allowedKinds()},
					{Name: "KUBESTEP_APPROVE_FUNCTION", Value: approve},
				}, locks),
				Policies: slices.Concat([]Policy{findClusters()}, assume, []Policy{objects, encryptOutput(), readManifests(), decryptManifests(), {
					Name: "locks", When: "HasOutputBucket", Why: "Whether a rollout has ended that has the lock of a set.",
					Statements: []Statement{{Actions: []string{"states:DescribeExecution"}, Resources: []Value{sub(own + "execution:${AWS::StackName}-fleet:*")}}},
				}}),
			},
			{
				Name: "record-outcome", Description: "Keeps what became of one cluster of a fleet",
				Environment: []Variable{{
					Name: "GOGC", Value: text("400"),
					Why: "The output of an execution is garbage once its figures are read. To collect it less often saves a sixth of the time\nof processors, and takes 20 MB.",
				}},
				Policies: []Policy{writeOutput(), encryptOutput()},
			},
			{
				Name: "summarize", Description: "Adds up what became of a fleet and writes the report", Memory: 512, Timeout: 120,
				MemoryWhy: "For the share of a core that comes with it: ten thousand outcomes need 64 MB.",
				Environment: []Variable{
					{
						Name: "GOMEMLIMIT", Value: text("96MiB"),
						Why: "Twice what ten thousand outcomes are: at their size, Go would do nothing but collect.",
					},
					{Name: "KUBESTEP_ATTESTATION_KEY", Value: attestationKey()},
				},
				Policies: []Policy{objects, encryptOutput()},
			},
		},
		Policies: []Policy{
			{
				Name: "workflows", Why: "https://docs.aws.amazon.com/step-functions/latest/dg/stepfunctions-iam.html",
				Statements: []Statement{
					start(machines...),
					{Actions: []string{"states:DescribeExecution", "states:StopExecution"}, Resources: executions},
					{
						Actions:   []string{"events:PutTargets", "events:PutRule", "events:DescribeRule"},
						Resources: []Value{sub("arn:${AWS::Partition}:events:${AWS::Region}:${AWS::AccountId}:rule/StepFunctionsGetEventsForStepFunctionsExecutionRule")},
						Why:       "Step Functions learns by this rule that an execution has ended.",
					},
				},
			},
			{
				Name: "items", CalledBy: "Step Functions runs the items of a distributed Map: https://docs.aws.amazon.com/step-functions/latest/dg/iam-policies-eg-dist-map.html",
				Why: "The items of a distributed Map are executions of this machine itself:\nhttps://docs.aws.amazon.com/step-functions/latest/dg/iam-policies-eg-dist-map.html",
				Statements: []Statement{
					{Actions: []string{"states:StartExecution"}, Resources: []Value{sub(own + "stateMachine:${AWS::StackName}-fleet")}},
					{
						Actions:   []string{"states:DescribeExecution", "states:StopExecution", "states:RedriveExecution"},
						Resources: []Value{sub(own + "execution:${AWS::StackName}-fleet:*"), sub(own + "execution:${AWS::StackName}-fleet/*")},
					},
				},
			},
			{
				Name: "alarms", Why: "The gate of a wave: only with all alarms as the resource does CloudWatch tell of composite ones:\nhttps://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarms.html",
				Statements: []Statement{{Actions: []string{"cloudwatch:DescribeAlarms"}, Resources: everything()}},
			},
			{Name: "list", When: "HasOutputBucket", Statements: []Statement{
				{Actions: []string{"s3:GetObject"}, Resources: outputObjects(), Where: []Test{ownAccount()}},
			}},
			encryptOutput(),
		},
		Parameters: Group{"Fleets", []Parameter{{
			Name: "FleetWorkflows", Label: "What a fleet may run", Default: s.Workflows[0].Name, Values: s.choices(),
			Description: "The workflows that a fleet may start. Whoever may start the machine of fleets may run each of them on every cluster that the stack reaches, so apply-manifests must be named here, besides EnableApply.",
		}}},
	}
}

// requestApproval returns the function that tells a topic what there is to approve, and the name of the function by
// which people do, which is empty if there is none.
func (s Stack) requestApproval() (functions []Function, approve Value) {
	for _, w := range s.Workflows {
		for _, f := range w.Own() {
			if f.Name == "request-approval" {
				return []Function{f}, choice(f.When, sub("${AWS::StackName}-approve"), text(""))
			}
		}
	}
	return nil, text("")
}

// choices returns what FleetWorkflows may be: the first workflow, and any of the others.
func (s Stack) choices() []string {
	all := []string{s.Workflows[0].Name}
	for _, w := range s.Workflows[1:] {
		for _, chosen := range all {
			all = append(all, chosen+","+w.Name)
		}
	}
	return all
}

// mayRun is the condition under which a fleet may run the workflow; empty for always.
func (m Machine) mayRun() string {
	if m.Prefix == "" {
		return ""
	}
	return "FleetsMay" + m.Prefix
}

// mayAssume is the condition under which a fleet may run the workflow, and there are roles for it.
func (m Machine) mayAssume() string { return m.mayRun() + "Elsewhere" }

// IsChosen is whether FleetWorkflows names the workflow.
func (s Stack) IsChosen(m Machine) Value {
	var named []string
	for _, chosen := range s.choices() {
		if strings.HasSuffix(chosen, ","+m.Name) || strings.Contains(chosen, ","+m.Name+",") {
			named = append(named, "!Equals [!Ref FleetWorkflows, "+quote(chosen)+"]")
		}
	}
	if len(named) == 1 {
		return Value{yaml: named[0]}
	}
	return Value{yaml: "!Or [" + strings.Join(named, ", ") + "]"}
}
