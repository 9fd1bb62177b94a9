package test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
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

	"github.com/kubestep/kubestep/deploy"
	"github.com/kubestep/kubestep/local/stack"
	"github.com/kubestep/kubestep/local/trail"
	"github.com/kubestep/kubestep/local/world"
	"github.com/kubestep/kubestep/test/iam"
)

// byServices are the actions that a service calls with a role.
func byServices() []iam.ByService {
	all := []iam.ByService{{
		Roles:   []string{"FleetRole"},
		Policy:  "workflows",
		Actions: []string{"states:StopExecution", "events:PutTargets", "events:PutRule", "events:DescribeRule"},
		Why:     "Step Functions waits for nested executions, and stops them: https://docs.aws.amazon.com/step-functions/latest/dg/connect-stepfunctions.html",
	}}
	for _, role := range deploy.Kubestep().Roles() {
		for _, policy := range role.Policies {
			for _, s := range policy.Statements {
				if why := cmp.Or(s.CalledBy, policy.CalledBy); why != "" {
					all = append(all, iam.ByService{Roles: []string{role.ID}, Policy: policy.Name, Actions: s.Actions, Why: why})
				}
			}
		}
	}
	return all
}

// holding are the roles that have the policy.
func holding(policy string) []string {
	var all []string
	for _, role := range deploy.Kubestep().Roles() {
		if slices.ContainsFunc(role.Policies, func(p deploy.Policy) bool { return p.Name == policy }) {
			all = append(all, role.ID)
		}
	}
	slices.Sort(all)
	return all
}

// notRun are permissions whose calls no scenario makes yet, by role and policy.
var notRun = []iam.NotRun{
	{Role: "LoadManifestsRole", Policy: "source", Why: noVersions},
	{Role: "VerifyApplyRole", Policy: "source", Why: noVersions},
	{Role: "PlanManifestsRole", Policy: "source", Why: noVersions},
	{Role: "PlanSetRole", Policy: "source", Why: noVersions},
	{Role: "ApplyManifestsRole", Policy: "source", Why: noVersions},
	{Role: "PruneObjectsRole", Policy: "source", Why: noVersions},
	{Role: "LoadJobRole", Policy: "source", Why: noVersions},
	{Role: "CreateJobRole", Policy: "source", Why: noVersions},
}

const noVersions = "the buckets of the scenarios keep no versions"

// checkPolicies evaluates the policies of the roles against all calls of the scenarios. Only after a run of all scenarios it can
// report permissions that no call needs.
func checkPolicies(ctx context.Context) int {
	failed := func(err error) int {
		fmt.Fprintf(os.Stderr, "FAIL: the IAM policies are not evaluated: %v\n", err)
		return 1
	}
	all := flag.Lookup("test.run").Value.String() == "" && flag.Lookup("test.skip").Value.String() == ""
	simulator, found := iam.Find(repository)
	if !found {
		if _, err := exec.LookPath("npm"); err == nil && all {
			return failed(errors.New("make test installs the simulator"))
		}
		return 0
	}
	file, err := os.Open(local.Trail())
	if err != nil {
		return failed(err)
	}
	defer file.Close()
	recording, err := trail.Read(file)
	if err != nil {
		return failed(err)
	}
	roles, err := everything().Roles()
	if err != nil {
		return failed(err)
	}
	for _, role := range roles {
		recording = append(recording, trail.Entry{Role: &role})
	}
	verdict, err := iam.Judge(ctx, simulator, recording, byServices(), notRun)
	if err != nil {
		return failed(err)
	}
	wrong := verdict.Denied
	if all {
		wrong = append(wrong, verdict.Needless...)
	}
	for _, sentence := range wrong {
		fmt.Fprintln(os.Stderr, "FAIL: "+sentence)
	}
	if len(wrong) > 0 {
		return 1
	}
	fmt.Fprintf(os.Stderr, "IAM allows the %d different calls that were made\n", verdict.Calls)
	return 0
}

const (
	organization  = "o-a1b2c3d4e5"
	outputKey     = "arn:aws:kms:eu-west-1:111122223333:key/output"
	manifestKey   = "arn:aws:kms:eu-west-1:111122223333:key/manifests"
	encryptionKey = "arn:aws:kms:eu-west-1:111122223333:key/encryption"
)

// everything is a stack with all workflows, and with all parameters that add to a policy.
func everything() stack.Stack {
	s := local.Stack("all")
	s.Parameters = map[string]string{
		"ClusterName": "demo", "ClusterArns": "arn:aws:eks:eu-central-1:111122223333:cluster/further",
		"RoleArns": "arn:aws:iam::444455556666:role/reader", "ExternalId": "agreed", "OrganizationId": organization,
		"SubnetIds": "subnet-0a1b2c3d4e5f60718", "SecurityGroupIds": "sg-0a1b2c3d4e5f60718",
		"OutputBucket": "inventories", "OutputPrefix": "kubestep/",
		"OutputKeyArn": outputKey, "EncryptionKeyArn": encryptionKey,
		"ApplyRoleArns": "arn:aws:iam::444455556666:role/applier", "JobsRoleArns": "arn:aws:iam::444455556666:role/runner", "ApprovalTopicArns": "arn:aws:sns:eu-west-1:111122223333:changes",
		"ManifestBucket": "manifests", "ManifestPrefix": "live/", "ManifestKeyArn": manifestKey,
	}
	maps.Copy(s.Parameters, everyWorkflow())
	return s
}

// everyWorkflow are the parameters with which all workflows are there, each with its schedule and in fleets.
func everyWorkflow() map[string]string {
	all := map[string]string{}
	var names []string
	for _, w := range deploy.Kubestep().Workflows {
		names = append(names, w.Name)
		if w.OnDemand {
			all["Enable"+w.Prefix] = "true"
		}
		if w.Schedule != "" {
			all[w.Schedule+"Expression"] = "rate(1 hour)"
		}
	}
	all["FleetWorkflows"] = strings.Join(names, ",")
	return all
}

// These are allowed for the roles that are named, and for no other role of the template.
func TestARoleMayDoWhatItIsForAndNothingElse(t *testing.T) {
	t.Parallel()
	simulator, found := iam.Find(repository)
	if !found {
		t.Skip("make test installs the IAM simulator, if there is Node.js")
	}
	type call struct{ action, resource string }
	type context = map[string]string
	const (
		eks    = "arn:aws:eks:"
		lambda = "arn:aws:lambda:eu-west-1:111122223333:function:"
		states = "arn:aws:states:eu-west-1:111122223333:"
	)
	nobody := []string{}
	cases := map[string]struct {
		call
		context
		may []string
	}{
		"describe the cluster":                   {call{"eks:DescribeCluster", eks + "eu-west-1:111122223333:cluster/demo"}, nil, []string{"DescribeClusterRole", "FindClustersRole"}},
		"describe a further cluster":             {call{"eks:DescribeCluster", eks + "eu-central-1:111122223333:cluster/further"}, nil, []string{"DescribeClusterRole", "FindClustersRole"}},
		"describe another cluster":               {call{"eks:DescribeCluster", eks + "eu-west-1:111122223333:cluster/demo2"}, nil, []string{"FindClustersRole"}},
		"describe the cluster of another Region": {call{"eks:DescribeCluster", eks + "eu-west-2:111122223333:cluster/demo"}, nil, []string{"FindClustersRole"}},
		"describe one of another account":        {call{"eks:DescribeCluster", eks + "eu-west-1:444455556666:cluster/demo"}, nil, nobody},
		"list clusters":                          {call{"eks:ListClusters", "*"}, nil, []string{"FindClustersRole"}},
		"let a role into the cluster":            {call{"eks:CreateAccessEntry", eks + "eu-west-1:111122223333:cluster/demo"}, nil, nobody},

		"assume a role of RoleArns":            {call{"sts:AssumeRole", "arn:aws:iam::444455556666:role/reader"}, context{"sts:ExternalId": "agreed", "aws:ResourceOrgID": organization}, []string{"DescribeClusterRole", "FindClustersRole", "MintTokenRole"}},
		"assume it, of another organization":   {call{"sts:AssumeRole", "arn:aws:iam::444455556666:role/reader"}, context{"sts:ExternalId": "agreed", "aws:ResourceOrgID": "o-0000000000"}, nobody},
		"assume it, of no organization":        {call{"sts:AssumeRole", "arn:aws:iam::444455556666:role/reader"}, context{"sts:ExternalId": "agreed"}, nobody},
		"assume another role of that account":  {call{"sts:AssumeRole", "arn:aws:iam::444455556666:role/reader2"}, context{"aws:ResourceOrgID": organization}, nobody},
		"assume a role of that name elsewhere": {call{"sts:AssumeRole", "arn:aws:iam::777788889999:role/reader"}, context{"aws:ResourceOrgID": organization}, nobody},
		"assume the role that EKS maps":        {call{"sts:AssumeRole", "arn:aws:iam::111122223333:role/all-mint-token"}, context{"aws:ResourceOrgID": organization}, nobody},

		"assume a role of ApplyRoleArns":                    {call{"sts:AssumeRole", "arn:aws:iam::444455556666:role/applier"}, context{"sts:ExternalId": "agreed", "aws:ResourceOrgID": organization}, []string{"ApplyMintTokenRole", "DescribeClusterRole", "FindClustersRole"}},
		"assume a role of JobsRoleArns":                     {call{"sts:AssumeRole", "arn:aws:iam::444455556666:role/runner"}, context{"sts:ExternalId": "agreed", "aws:ResourceOrgID": organization}, []string{"DescribeClusterRole", "FindClustersRole", "JobsMintTokenRole"}},
		"read manifests":                                    {call{"s3:GetObject", "arn:aws:s3:::manifests/live/app.yaml"}, context{"aws:ResourceAccount": "111122223333"}, []string{"ApplyManifestsRole", "CreateJobRole", "FindClustersRole", "LoadJobRole", "LoadManifestsRole", "PlanManifestsRole", "PlanSetRole", "PruneObjectsRole", "VerifyApplyRole"}},
		"read manifests under another prefix":               {call{"s3:GetObject", "arn:aws:s3:::manifests/other/app.yaml"}, context{"aws:ResourceAccount": "111122223333"}, nobody},
		"read manifests of another account":                 {call{"s3:GetObject", "arn:aws:s3:::manifests/live/app.yaml"}, context{"aws:ResourceAccount": "444455556666"}, nobody},
		"tell that there is no such manifest":               {call{"s3:ListBucket", "arn:aws:s3:::manifests"}, context{"aws:ResourceAccount": "111122223333"}, []string{"ApplyManifestsRole", "CreateJobRole", "FindClustersRole", "LoadJobRole", "LoadManifestsRole", "PlanManifestsRole", "PlanSetRole", "PruneObjectsRole", "VerifyApplyRole"}},
		"change manifests":                                  {call{"s3:PutObject", "arn:aws:s3:::manifests/live/app.yaml"}, context{"aws:ResourceAccount": "111122223333"}, nobody},
		"decrypt manifests through S3":                      {call{"kms:Decrypt", manifestKey}, context{"kms:ViaService": "s3.eu-west-1.amazonaws.com"}, []string{"ApplyManifestsRole", "CreateJobRole", "FindClustersRole", "LoadJobRole", "LoadManifestsRole", "PlanManifestsRole", "PlanSetRole", "PruneObjectsRole", "VerifyApplyRole"}},
		"start an execution that applies":                   {call{"states:StartExecution", states + "stateMachine:all-apply-manifests"}, context{"states:StateMachineQualifier": "live"}, []string{"DriftScheduleRole", "FleetRole"}},
		"start an execution that runs a Job":                {call{"states:StartExecution", states + "stateMachine:all-run-job"}, context{"states:StateMachineQualifier": "live"}, []string{"FleetRole", "JobsStoppedRole"}},
		"write a listing":                                   {call{"s3:PutObject", "arn:aws:s3:::inventories/kubestep/part-1"}, context{"aws:ResourceAccount": "111122223333"}, []string{"FindClustersRole", "ListPodsRole", "PlanManifestsRole", "PlanSetRole", "RecordOutcomeRole", "SummarizeRole", "WatchJobRole"}},
		"write to a bucket of that name in another account": {call{"s3:PutObject", "arn:aws:s3:::inventories/kubestep/part-1"}, context{"aws:ResourceAccount": "444455556666"}, nobody},
		"write under another prefix":                        {call{"s3:PutObject", "arn:aws:s3:::inventories/other/part-1"}, context{"aws:ResourceAccount": "111122223333"}, nobody},
		"write to another bucket":                           {call{"s3:PutObject", "arn:aws:s3:::inventories2/kubestep/part-1"}, context{"aws:ResourceAccount": "111122223333"}, nobody},
		"read a listing":                                    {call{"s3:GetObject", "arn:aws:s3:::inventories/kubestep/part-1"}, context{"aws:ResourceAccount": "111122223333"}, []string{"FindClustersRole", "FleetRole", "SummarizeRole"}},
		"delete a listing":                                  {call{"s3:DeleteObject", "arn:aws:s3:::inventories/kubestep/part-1"}, context{"aws:ResourceAccount": "111122223333"}, nobody},
		"list the bucket":                                   {call{"s3:ListBucket", "arn:aws:s3:::inventories"}, context{"aws:ResourceAccount": "111122223333"}, []string{"FindClustersRole", "SummarizeRole"}},

		"invoke another function":            {call{"lambda:InvokeFunction", lambda + "all-other:1"}, nil, nobody},
		"invoke a function of another stack": {call{"lambda:InvokeFunction", lambda + "all2-mint-token:1"}, nil, nobody},
		"change a function":                  {call{"lambda:UpdateFunctionCode", lambda + "all-mint-token"}, nil, nobody},
		"read a function's variables":        {call{"lambda:GetFunctionConfiguration", lambda + "all-mint-token"}, nil, nobody},

		"start an execution by the alias":       {call{"states:StartExecution", states + "stateMachine:all-pod-inventory"}, context{"states:StateMachineQualifier": "live"}, []string{"FleetRole", "ScheduleRole"}},
		"start an execution of another version": {call{"states:StartExecution", states + "stateMachine:all-pod-inventory"}, context{"states:StateMachineQualifier": "7"}, nobody},
		"start an execution without the alias":  {call{"states:StartExecution", states + "stateMachine:all-pod-inventory"}, nil, nobody},
		"start another machine":                 {call{"states:StartExecution", states + "stateMachine:other"}, context{"states:StateMachineQualifier": "live"}, nobody},
		"read the states of alarms":             {call{"cloudwatch:DescribeAlarms", "arn:aws:cloudwatch:eu-west-1:111122223333:alarm:shop"}, nil, []string{"FleetRole"}},
		"silence an alarm":                      {call{"cloudwatch:DisableAlarmActions", "arn:aws:cloudwatch:eu-west-1:111122223333:alarm:shop"}, nil, nobody},
		"start an item of a fleet":              {call{"states:StartExecution", states + "stateMachine:all-fleet"}, nil, []string{"FleetRole"}},
		"read the outcome of an execution":      {call{"states:DescribeExecution", states + "execution:all-pod-inventory:one"}, nil, []string{"FleetRole"}},
		"read whether a rollout has ended":      {call{"states:DescribeExecution", states + "execution:all-fleet:one"}, nil, []string{"ApproveRole", "FindClustersRole", "FleetRole"}},
		"read the outcome of another machine's": {call{"states:DescribeExecution", states + "execution:other:one"}, nil, nobody},
		"read the history of an execution":      {call{"states:GetExecutionHistory", states + "execution:all-pod-inventory:one"}, nil, nobody},

		"approve a plan": {call{"states:SendTaskSuccess", "*"}, nil, []string{"ApproveRole"}},
		"read the history of an execution that may wait": {call{"states:GetExecutionHistory", states + "execution:all-apply-manifests:one"}, nil, []string{"ApproveRole"}},
		"read the history of a rollout that may wait":    {call{"states:GetExecutionHistory", states + "execution:all-fleet:one"}, nil, []string{"ApproveRole"}},
		"tell a topic that a plan waits":                 {call{"sns:Publish", "arn:aws:sns:eu-west-1:111122223333:changes"}, nil, []string{"RequestApprovalRole"}},
		"tell another topic":                             {call{"sns:Publish", "arn:aws:sns:eu-west-1:111122223333:other"}, nil, nobody},
		"tell of a schedule that failed":                 {call{"sqs:SendMessage", "arn:aws:sqs:eu-west-1:111122223333:all-ScheduleDeadLetters"}, nil, holding("schedule")},
		"read what the schedule could not start":         {call{"sqs:ReceiveMessage", "arn:aws:sqs:eu-west-1:111122223333:all-ScheduleDeadLetters"}, nil, nobody},

		"read the key that seals tokens": {call{"secretsmanager:GetSecretValue", "arn:aws:secretsmanager:eu-west-1:111122223333:secret:all-SealKey"}, nil, nobody},
		"read logs":                      {call{"logs:GetLogEvents", "arn:aws:logs:eu-west-1:111122223333:log-group:/aws/lambda/all-mint-token:log-stream:x"}, nil, nobody},
		"pass a role on":                 {call{"iam:PassRole", "arn:aws:iam::111122223333:role/all-mint-token"}, nil, nobody},

		"join the VPC":                      {call{"ec2:CreateNetworkInterface", "arn:aws:ec2:eu-west-1:111122223333:network-interface/eni-1"}, nil, holding("vpc")},
		"join the VPC in a function's code": {call{"ec2:CreateNetworkInterface", "arn:aws:ec2:eu-west-1:111122223333:network-interface/eni-1"}, context{"lambda:SourceFunctionArn": lambda + "all-verify-rbac"}, nobody},

		"decrypt variables":           {call{"kms:Decrypt", encryptionKey}, nil, holding("variables")},
		"decrypt listings":            {call{"kms:Decrypt", outputKey}, nil, nobody},
		"decrypt listings through S3": {call{"kms:Decrypt", outputKey}, context{"kms:ViaService": "s3.eu-west-1.amazonaws.com"}, []string{"FindClustersRole", "FleetRole", "ListPodsRole", "PlanManifestsRole", "PlanSetRole", "RecordOutcomeRole", "SummarizeRole", "WatchJobRole"}},
		"let others decrypt":          {call{"kms:CreateGrant", encryptionKey}, nil, nobody},
	}
	// A machine invokes its own functions, and each by a version.
	invokers := map[string][]string{}
	for _, m := range deploy.Kubestep().Machines() {
		for _, f := range m.Invoked() {
			invokers[f.Name] = append(invokers[f.Name], m.Role().ID)
		}
	}
	for function, machines := range invokers {
		invoke := call{"lambda:InvokeFunction", lambda + "all-" + function}
		unqualified := cases["invoke another function"]
		unqualified.call = invoke
		cases["invoke "+function+" without a version"] = unqualified
		unqualified.resource += ":2"
		unqualified.may = slices.Sorted(slices.Values(machines))
		cases["invoke a version of "+function] = unqualified
	}
	roles, err := everything().Roles()
	require.NoError(t, err)
	var requests []iam.Request
	sentences := slices.Sorted(maps.Keys(cases))
	for _, sentence := range sentences {
		for _, role := range roles {
			statements, err := iam.Statements(role)
			require.NoError(t, err)
			c := cases[sentence]
			requests = append(requests, iam.Request{
				Principal: role.ARN, Action: c.action, Resource: c.resource, Account: world.Account, Context: c.context, Statements: statements,
			})
		}
	}
	decisions, err := simulator.Decide(t.Context(), requests)
	require.NoError(t, err)
	for i, sentence := range sentences {
		may := []string{}
		for j, role := range roles {
			decision := decisions[i*len(roles)+j]
			require.Empty(t, decision.Error, sentence)
			if decision.Allowed() {
				may = append(may, role.ID)
			}
		}
		assert.Equal(t, cases[sentence].may, may, "who may %s", sentence)
	}
}

// The policies of docs/security.md for whoever starts rollouts, and whoever approves them.
func TestWhoeverStartsARolloutCannotApproveItWithThePoliciesOfTheDocs(t *testing.T) {
	t.Parallel()
	simulator, found := iam.Find(repository)
	if !found {
		t.Skip("make test installs the IAM simulator, if there is Node.js")
	}
	text, err := os.ReadFile(filepath.Join(repository, "docs", "security.md"))
	require.NoError(t, err)
	_, section, _ := strings.Cut(string(text), "## Who starts, and who approves")
	var policies []map[string]json.RawMessage
	for _, block := range regexp.MustCompile("(?s)```json\n(.+?)```").FindAllStringSubmatch(section, 2) {
		statements, err := iam.Statements(trail.Role{Policies: []trail.Policy{{Name: "docs", Document: json.RawMessage(block[1])}}})
		require.NoError(t, err)
		policies = append(policies, statements)
	}
	require.Len(t, policies, 2)
	// What somebody else may have attached to both.
	power := json.RawMessage(`{"Effect": "Allow", "Action": ["lambda:*", "states:*"], "Resource": "*"}`)
	const states, lambda, starter, approver = "arn:aws:states:eu-west-1:111122223333:", "arn:aws:lambda:eu-west-1:111122223333:function:", 1, 2
	for sentence, c := range map[string]struct {
		action, resource string
		// may are who may, and powerful who may with that policy besides.
		may, powerful int
	}{
		"start a rollout":            {"states:StartExecution", states + "stateMachine:kubestep-fleet", starter, starter},
		"see it run":                 {"states:DescribeExecution", states + "execution:kubestep-fleet:base", starter | approver, starter | approver},
		"see what waits":             {"states:GetExecutionHistory", states + "execution:kubestep-fleet:base", starter | approver, starter | approver},
		"list what waits":            {"states:ListExecutions", states + "stateMachine:kubestep-fleet", approver, starter | approver},
		"read the report":            {"s3:GetObject", "arn:aws:s3:::my-bucket/kubestep/111122223333/eu-west-1/kubestep-fleet/base/report.html", approver, approver},
		"approve it":                 {"lambda:InvokeFunction", lambda + "kubestep-approve", approver, approver},
		"resume it with the token":   {"states:SendTaskSuccess", "*", 0, 0},
		"end it with the token":      {"states:SendTaskFailure", "*", 0, 0},
		"apply without any approval": {"lambda:InvokeFunction", lambda + "kubestep-apply-manifests:live", 0, approver},
		"redrive it":                 {"states:RedriveExecution", states + "execution:kubestep-fleet:base", 0, starter},
		"apply to one cluster":       {"states:StartExecution", states + "stateMachine:kubestep-apply-manifests", 0, starter},
		"invoke another stack's":     {"lambda:InvokeFunction", lambda + "other-approve", 0, starter | approver},
	} {
		t.Run(sentence, func(t *testing.T) {
			var requests []iam.Request
			for _, statements := range policies {
				with := maps.Clone(statements)
				with["power"] = power
				for _, all := range []map[string]json.RawMessage{statements, with} {
					requests = append(requests, iam.Request{Principal: "arn:aws:iam::111122223333:role/somebody", Action: c.action, Resource: c.resource, Account: world.Account, Statements: all})
				}
			}
			decisions, err := simulator.Decide(t.Context(), requests)
			require.NoError(t, err)
			may, powerful := 0, 0
			for i, who := range []int{starter, approver} {
				require.Empty(t, decisions[2*i].Error)
				if decisions[2*i].Allowed() {
					may |= who
				}
				if decisions[2*i+1].Allowed() {
					powerful |= who
				}
			}
			assert.Equal(t, []int{c.may, c.powerful}, []int{may, powerful})
		})
	}
}

func TestARoleIsAssumedByItsServiceForItsStackAndByNobodyElse(t *testing.T) {
	t.Parallel()
	simulator, found := iam.Find(repository)
	if !found {
		t.Skip("make test installs the IAM simulator, if there is Node.js")
	}
	roles, err := everything().Roles()
	require.NoError(t, err)
	const foreign = "444455556666"
	// asks are the requests for a role, and whether each is granted.
	type ask struct {
		who               string
		principal, source string
		sourceAccount     string
		granted           bool
	}
	for _, role := range roles {
		asks := []ask{
			{"its service, for its stack", role.Service, role.SourceARN, world.Account, true},
			{"a developer of the account", "arn:aws:iam::" + world.Account + ":role/developer", role.SourceARN, world.Account, false},
			{"another account", "arn:aws:iam::" + foreign + ":role/developer", role.SourceARN, world.Account, false},
		}
		for _, service := range []string{"lambda", "states", "scheduler", "events", "ec2", "codebuild", "cloudformation"} {
			if service += ".amazonaws.com"; service != role.Service {
				asks = append(asks, ask{"the service " + service, service, role.SourceARN, world.Account, false})
			}
		}
		// Lambda gives no source when it assumes a role: https://docs.aws.amazon.com/lambda/latest/dg/lambda-intro-execution-role.html
		if role.Service != "lambda.amazonaws.com" {
			asks = append(asks,
				ask{"its service, for another account", role.Service, role.SourceARN, foreign, false},
				ask{"its service, for something else", role.Service, "arn:aws:states:eu-west-1:" + world.Account + ":stateMachine:other", world.Account, false},
			)
		}
		if role.ID == "FleetRole" {
			asks = append(asks,
				ask{"its service, for a Map Run of its machine", role.Service, "arn:aws:states:eu-west-1:" + world.Account + ":mapRun:all-fleet/Clusters:5c5bd5a4-0000-4000-8000-000000000000", world.Account, true},
				ask{"its service, for a Map Run of another machine", role.Service, "arn:aws:states:eu-west-1:" + world.Account + ":mapRun:all-fleet2/Clusters:5c5bd5a4-0000-4000-8000-000000000000", world.Account, false},
			)
		}
		var requests []iam.Request
		for _, a := range asks {
			context := map[string]string{"aws:SourceAccount": a.sourceAccount}
			if a.source != "" {
				context["aws:SourceArn"] = a.source
			}
			requests = append(requests, iam.Request{Principal: a.principal, Action: "sts:AssumeRole", Resource: role.ARN, Account: world.Account, Context: context, Trust: role.Trust})
		}
		decisions, err := simulator.Decide(t.Context(), requests)
		require.NoError(t, err)
		for i, a := range asks {
			require.Empty(t, decisions[i].Error)
			assert.Equal(t, a.granted, decisions[i].Allowed(), "%s is assumed by %s", role.ID, a.who)
		}
	}
}
