package test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/contract/podinventory"
	"github.com/kubestep/kubestep/internal/manifests"
	"github.com/kubestep/kubestep/internal/pods"
	"github.com/kubestep/kubestep/local/cloudformation"
	"github.com/kubestep/kubestep/local/sam"
)

// These tests read the transformed template, which AWS would deploy.

// transformed returns template.yml transformed with these parameters.
func transformed(t *testing.T, parameters map[string]string) *cloudformation.Template {
	t.Helper()
	root, err := filepath.Abs(repository)
	require.NoError(t, err)
	source, err := os.ReadFile(filepath.Join(root, "template.yml"))
	require.NoError(t, err)
	text, err := sam.Transform(t.Context(), filepath.Join(root, ".local", "venv", "bin", "python"), source, parameters)
	require.NoError(t, err)
	template, err := cloudformation.Parse(text)
	require.NoError(t, err)
	return template
}

// evaluated returns the stack named s, in a partition and with parameters. The value of a secret is its reference.
func evaluated(t *testing.T, partition string, parameters map[string]string) *cloudformation.Evaluated {
	t.Helper()
	result, err := evaluate(partition, parameters)
	require.NoError(t, err)
	return result
}

func evaluate(partition string, parameters map[string]string) (*cloudformation.Evaluated, error) {
	return local.Stack("s").Template.Evaluate(cloudformation.Stack{
		Name: "s", Partition: partition, Region: "eu-west-1", Account: "111122223333", Parameters: parameters,
		Secret: func(reference string) (string, error) { return "secret " + reference, nil },
	})
}

// into decodes a value of a template.
func into[T any](t *testing.T, value any) T {
	t.Helper()
	var decoded T
	text, err := json.Marshal(value)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &decoded), "%s", text)
	return decoded
}

func ofType(resources map[string]cloudformation.Resource, kind string) []string {
	var ids []string
	for id, r := range resources {
		if r.Type == kind {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

func TestANewReleasePublishesAVersionOfEveryFunction(t *testing.T) {
	t.Parallel()
	versions := func(parameters map[string]string) []string {
		return ofType(transformed(t, parameters).Resources, "AWS::Lambda::Version")
	}
	first := versions(map[string]string{"ClusterName": "demo", "ReleaseId": "0123456789"})
	assert.Equal(t, first, versions(map[string]string{"ClusterName": "demo", "ReleaseId": "0123456789"}), "the same release has the same versions")
	second := transformed(t, map[string]string{"ClusterName": "other", "ReleaseId": "abcdef0123"}).Resources
	for _, id := range ofType(second, "AWS::Lambda::Version") {
		assert.NotContains(t, first, id)
	}
	assert.Len(t, first, len(ofType(second, "AWS::Lambda::Function")))
	for _, id := range ofType(second, "AWS::Lambda::Function") {
		assert.Contains(t, second[id].Properties["Description"], "abcdef0123", "%s changes too: Lambda publishes no version of a function that has not changed", id)
	}
}

// metric is a CloudWatch metric: namespace, name and dimensions.
func metric(namespace, name string, dimensions ...string) string {
	slices.Sort(dimensions)
	return fmt.Sprint(namespace, " ", name, " ", dimensions)
}

type alarmMetric struct {
	Namespace, MetricName string
	Dimensions            []struct{ Name, Value string }
}

func (m alarmMetric) String() string {
	var dimensions []string
	for _, d := range m.Dimensions {
		dimensions = append(dimensions, d.Name+"="+d.Value)
	}
	return metric(m.Namespace, m.MetricName, dimensions...)
}

// watched returns the metrics of an alarm.
func watched(t *testing.T, alarm cloudformation.Resource) []string {
	t.Helper()
	properties := into[struct {
		alarmMetric
		Metrics []struct {
			ID         string
			Expression string
			MetricStat *struct{ Metric alarmMetric }
		}
	}](t, alarm.Properties)
	if len(properties.Metrics) == 0 {
		return []string{properties.String()}
	}
	var all []string
	for _, m := range properties.Metrics {
		if m.MetricStat == nil {
			assert.Equal(t, "MAX([FILL(machine, 0), FILL(alias, 0)])", m.Expression, "one ARN may have no data")
			continue
		}
		assert.Contains(t, []string{"machine", "alias"}, m.ID)
		all = append(all, m.MetricStat.Metric.String())
	}
	assert.Len(t, all, 2)
	return all
}

// matches reports whether a filter pattern for words separated by spaces matches a line:
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
func matches(t *testing.T, pattern, line string) bool {
	t.Helper()
	words := strings.Fields(line)
	fields := strings.Split(strings.Trim(pattern, "[]"), ", ")
	require.Equal(t, "...", fields[len(fields)-1])
	for i, field := range fields[:len(fields)-1] {
		_, want, bound := strings.Cut(field, "=")
		if i >= len(words) {
			return false
		}
		want = strings.Trim(want, `"`)
		if prefix, open := strings.CutSuffix(want, "*"); bound && words[i] != want && (!open || !strings.HasPrefix(words[i], prefix)) {
			return false
		}
	}
	return true
}

func TestAnUpdateIsRolledBackByKubestepsFaultsAndNotByACallers(t *testing.T) {
	t.Parallel()
	stack := evaluated(t, "aws", map[string]string{"EnableApply": "true"})
	// machine is a placeholder for the dimension of the state machine whose alias the alarm watches.
	const machine = "StateMachineArn=MACHINE"
	failed := func(name contract.ErrorName) []string {
		return []string{
			metric("AWS/States", "ExecutionsFailed", machine), metric("AWS/States", "ExecutionsFailed", machine, "Alias=live"),
			metric("kubestep", "errors", "stackName=s", "error="+string(name)), metric("AWS/Lambda", "Errors", "FunctionName=s-describe-cluster"),
		}
	}
	logged := func(line string) []string {
		var counted []string
		for _, id := range ofType(stack.Resources, "AWS::Logs::MetricFilter") {
			properties := into[struct {
				LogGroupName, FilterPattern string
				MetricTransformations       []struct{ MetricNamespace, MetricName string }
			}](t, stack.Resources[id].Properties)
			assert.Equal(t, "/aws/lambda/s", properties.LogGroupName)
			if matches(t, properties.FilterPattern, line) {
				counted = append(counted, metric(properties.MetricTransformations[0].MetricNamespace, properties.MetricTransformations[0].MetricName))
			}
		}
		return counted
	}
	for sentence, c := range map[string]struct {
		raised []string
		back   bool
	}{
		"an input that is not valid":                        {failed(contract.InvalidInput), false},
		"an identity that is denied":                        {failed(contract.Forbidden), false},
		"a fault of kubestep's":                             {failed(contract.Unexpected), true},
		"a time-out that counts for the state machine":      {[]string{metric("AWS/States", "ExecutionsTimedOut", machine)}, true},
		"a time-out that counts for the alias":              {[]string{metric("AWS/States", "ExecutionsTimedOut", machine, "Alias=live")}, true},
		"a function that timed out":                         {logged("2026-01-31T12:00:00.123Z 5c5bd5a4-0000-4000-8000-000000000000 Task timed out after 15.02 seconds"), true},
		"a function that ran out of memory":                 {logged("RequestId: 5c5bd5a4-0000-4000-8000-000000000000 Error: Runtime exited with error: signal: killed"), true},
		"a function that crashed":                           {logged("RequestId: 5c5bd5a4-0000-4000-8000-000000000000 Error: Runtime exited with error: exit status 2"), true},
		"a line that quotes a caller who writes about such": {logged(`{"level":"ERROR","cluster":"a b Task timed out after","error":"RequestId: x Error: Runtime exited"}`), false},
		"an invocation that went well":                      {logged("REPORT RequestId: 5c5bd5a4-0000-4000-8000-000000000000 Duration: 11.53 ms Billed Duration: 12 ms"), false},
	} {
		t.Run(sentence, func(t *testing.T) {
			for _, alias := range ofType(stack.Resources, "AWS::StepFunctions::StateMachineAlias") {
				preference := into[struct {
					StateMachineVersionArn string
					Alarms                 []string
				}](t, stack.Resources[alias].Properties["DeploymentPreference"])
				arn := preference.StateMachineVersionArn[:strings.LastIndex(preference.StateMachineVersionArn, ":")]
				raised := strings.Split(strings.ReplaceAll(strings.Join(c.raised, "\n"), "MACHINE", arn), "\n")
				back := false
				for _, id := range ofType(stack.Resources, "AWS::CloudWatch::Alarm") {
					if slices.Contains(preference.Alarms, stack.PhysicalIDs[id]) {
						back = back || slices.ContainsFunc(watched(t, stack.Resources[id]), func(m string) bool { return slices.Contains(raised, m) })
					}
				}
				assert.Equal(t, c.back, back, alias)
			}
		})
	}
}

type policyDocument struct{ Statement []statement }

type statement struct {
	Sid       string
	Effect    string
	Principal struct{ AWS oneOrMore }
	Action    oneOrMore
	Resource  oneOrMore
	Condition map[string]map[string]oneOrMore
}

type oneOrMore []string

// UnmarshalJSON reads a text, or a list of texts.
func (o *oneOrMore) UnmarshalJSON(text []byte) error {
	var one string
	if json.Unmarshal(text, &one) == nil {
		*o = oneOrMore{one}
		return nil
	}
	return json.Unmarshal(text, (*[]string)(o))
}

func like(patterns []string, value string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		prefix, open := strings.CutSuffix(pattern, "*")
		return pattern == value || open && strings.HasPrefix(value, prefix)
	})
}

func TestOnlyTheFunctionsDecryptTheirVariables(t *testing.T) {
	t.Parallel()
	stack := evaluated(t, "aws", map[string]string{"EnableApply": "true"})
	require.Equal(t, []string{"Key"}, ofType(stack.Resources, "AWS::KMS::Key"))
	policy := into[policyDocument](t, stack.Resources["Key"].Properties["KeyPolicy"])
	const account, key = "arn:aws:iam::111122223333:root", "arn:aws:kms:eu-west-1:111122223333:key/s-Key"
	// A statement for the account leaves the decision to IAM policies, for all principals but the functions.
	allowed := func(principal string, byIAM []string, action, via string) bool {
		return slices.ContainsFunc(policy.Statement, func(s statement) bool {
			require.Equal(t, "Allow", s.Effect)
			principals := slices.Contains(s.Principal.AWS, principal) || slices.Contains(s.Principal.AWS, account) && like(byIAM, action)
			for operator, keys := range s.Condition {
				require.Equal(t, "StringLike", operator)
				for name, values := range keys {
					require.Equal(t, "kms:ViaService", name)
					principals = principals && like(values, via)
				}
			}
			return principals && like(s.Action, action)
		})
	}
	readOnly := []string{"kms:Describe*", "kms:Get*", "kms:List*"}
	everything := []string{"kms:*"}
	const lambda, secrets = "lambda.eu-west-1.amazonaws.com", "secretsmanager.eu-west-1.amazonaws.com"
	for sentence, c := range map[string]struct {
		iam         []string
		action, via string
		want        bool
	}{
		"a reader of the account does not decrypt":                        {readOnly, "kms:Decrypt", "", false},
		"nor by looking at a function":                                    {readOnly, "kms:Decrypt", lambda, false},
		"nor by asking for a secret":                                      {readOnly, "kms:Decrypt", secrets, false},
		"an administrator does not decrypt":                               {everything, "kms:Decrypt", "", false},
		"nor by looking at a function ":                                   {everything, "kms:Decrypt", lambda, false},
		"nor grants decryption":                                           {everything, "kms:CreateGrant", "", false},
		"but changes the policy":                                          {everything, "kms:PutKeyPolicy", "", true},
		"and deletes the key":                                             {everything, "kms:ScheduleKeyDeletion", "", true},
		"and deploys functions, for which Lambda grants their roles":      {everything, "kms:CreateGrant", lambda, true},
		"and has their variables encrypted":                               {everything, "kms:Encrypt", lambda, true},
		"and has the secrets read, by Secrets Manager for CloudFormation": {everything, "kms:Decrypt", secrets, true},
	} {
		assert.Equal(t, c.want, allowed("arn:aws:iam::111122223333:user/somebody", c.iam, c.action, c.via), sentence)
	}
	for _, id := range ofType(stack.Resources, "AWS::Lambda::Function") {
		f := stack.Resources[id].Properties
		assert.Equal(t, key, f["KmsKeyArn"], id)
		assert.True(t, allowed(f["Role"].(string), nil, "kms:Decrypt", ""), "%s decrypts its variables", id)
	}
	for _, id := range ofType(stack.Resources, "AWS::SecretsManager::Secret") {
		assert.Equal(t, key, stack.Resources[id].Properties["KmsKeyId"], id)
	}

	const own = "arn:aws:kms:eu-west-1:111122223333:key/own"
	stack = evaluated(t, "aws", map[string]string{"EncryptionKeyArn": own, "EnableApply": "true"})
	assert.Empty(t, ofType(stack.Resources, "AWS::KMS::Key"))
	for _, id := range ofType(stack.Resources, "AWS::Lambda::Function") {
		f := stack.Resources[id].Properties
		assert.Equal(t, own, f["KmsKeyArn"], id)
		assert.Contains(t, statementsOf(t, stack, f["Role"].(string)), statement{Effect: "Allow", Action: oneOrMore{"kms:Decrypt"}, Resource: oneOrMore{own}})
	}
}

// statementsOf returns the statements of all policies of a role.
func statementsOf(t *testing.T, stack *cloudformation.Evaluated, role string) []statement {
	t.Helper()
	var all []statement
	for _, id := range ofType(stack.Resources, "AWS::IAM::Role") {
		if role != id && role != roleARN(stack, id) {
			continue
		}
		for _, p := range into[[]struct{ PolicyDocument policyDocument }](t, stack.Resources[id].Properties["Policies"]) {
			all = append(all, p.PolicyDocument.Statement...)
		}
	}
	require.NotEmpty(t, all, role)
	return all
}

func roleARN(stack *cloudformation.Evaluated, id string) string {
	return "arn:aws:iam::111122223333:role/" + stack.PhysicalIDs[id]
}

func TestARotationOfTheSecretsReachesAllFunctionsAtOnce(t *testing.T) {
	t.Parallel()
	variables := func(stage string) map[string]string {
		all := map[string]string{}
		stack := evaluated(t, "aws", map[string]string{"EnableApply": "true", "SecretStage": stage})
		for _, id := range ofType(stack.Resources, "AWS::Lambda::Function") {
			for name, value := range into[struct{ Variables map[string]string }](t, stack.Resources[id].Properties["Environment"]).Variables {
				all[id+" "+name] = value
			}
		}
		return all
	}
	before, after := variables("AWSCURRENT"), variables("second")
	holders := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if !strings.HasPrefix(before[name], "secret ") {
			assert.Equal(t, before[name], after[name], name)
			continue
		}
		holders[strings.Fields(name)[0]] = true
		assert.Regexp(t, `:SecretString::AWSCURRENT:$`, before[name], name)
		assert.Equal(t, strings.Replace(before[name], "AWSCURRENT", "second", 1), after[name], name)
	}
	for _, function := range []string{"MintTokenFunction", "VerifyRBACFunction", "ListPodsFunction"} {
		assert.True(t, holders[function], "%s holds the seal key", function)
	}
}

func TestTheStackSaysWhomARoleOfAnotherAccountMustTrust(t *testing.T) {
	t.Parallel()
	for sentence, c := range map[string]struct {
		parameters map[string]string
		condition  map[string]map[string]oneOrMore
	}{
		"without an external id": {nil, nil},
		"with an external id":    {map[string]string{"ExternalId": "a/b"}, map[string]map[string]oneOrMore{"StringEquals": {"sts:ExternalId": {"a/b"}}}},
	} {
		t.Run(sentence, func(t *testing.T) {
			var trust policyDocument
			require.NoError(t, json.Unmarshal([]byte(evaluated(t, "aws-cn", c.parameters).Outputs["TrustPolicy"]), &trust))
			require.Len(t, trust.Statement, 1)
			assert.Equal(t, oneOrMore{"arn:aws-cn:iam::111122223333:role/s-DescribeClusterRole", "arn:aws-cn:iam::111122223333:role/s-mint-token"}, trust.Statement[0].Principal.AWS)
			assert.Equal(t, oneOrMore{"sts:AssumeRole"}, trust.Statement[0].Action)
			assert.Equal(t, c.condition, trust.Statement[0].Condition)
		})
	}
}

func TestRolesAreOfTheOrganizationIfThereIsOne(t *testing.T) {
	t.Parallel()
	for organization, condition := range map[string]map[string]map[string]oneOrMore{
		"":             nil,
		"o-a1b2c3d4e5": {"StringEquals": {"aws:ResourceOrgID": {"o-a1b2c3d4e5"}}},
	} {
		stack := evaluated(t, "aws", map[string]string{
			"RoleArns": "arn:aws:iam::*:role/reader", "ApplyRoleArns": "arn:aws:iam::*:role/applier", "EnableApply": "true", "OrganizationId": organization,
		})
		assumed := 0
		for _, id := range ofType(stack.Resources, "AWS::IAM::Role") {
			for _, s := range statementsOf(t, stack, id) {
				if slices.Contains(s.Action, "sts:AssumeRole") {
					assumed++
					assert.Equal(t, condition, s.Condition, "%s, organization %q", id, organization)
				}
			}
		}
		assert.Equal(t, 5, assumed, "describe-cluster may assume both")
	}
}

// A group of Kubernetes' own may do anything. EKS refuses it in an access entry, aws-auth does not.
func TestAGroupOfKubernetesOrEKSIsRefused(t *testing.T) {
	t.Parallel()
	for _, parameter := range []string{"KubernetesGroup", "ApplyKubernetesGroup"} {
		for group, accepted := range map[string]bool{
			"system:masters": false, "system:": false, "eks:admins": false,
			"kubestep-pod-readers": true, "team:readers": true, "systems": true, "ekstra": true,
		} {
			_, err := evaluate("aws", map[string]string{"EnableApply": "true", parameter: group})
			assert.Equal(t, accepted, err == nil, "%s=%s: %v", parameter, group, err)
		}
	}
}

func TestAPolicyCanNameTheMachineOfEachAlias(t *testing.T) {
	t.Parallel()
	outputs := evaluated(t, "aws-cn", map[string]string{"EnableApply": "true"}).Outputs
	for alias, machine := range map[string]string{
		"StateMachineArn": "StateMachineArnWithoutAlias", "FleetArn": "FleetArnWithoutAlias", "ApplyStateMachineArn": "ApplyStateMachineArnWithoutAlias",
	} {
		assert.Equal(t, outputs[alias], outputs[machine]+":live")
	}
}

func TestAFleetMayStartOnlyWhatTheStackSays(t *testing.T) {
	t.Parallel()
	for workflows, may := range map[string]bool{"": false, "pod-inventory": false, "pod-inventory,apply-manifests": true} {
		parameters := map[string]string{"EnableApply": "true"}
		if workflows != "" {
			parameters["FleetWorkflows"] = workflows
		}
		stack := evaluated(t, "aws", parameters)
		var started []string
		for _, s := range statementsOf(t, stack, "FleetRole") {
			if slices.Contains(s.Action, "states:StartExecution") {
				started = append(started, s.Resource...)
			}
		}
		assert.Equal(t, may, strings.Contains(fmt.Sprint(started), "apply-manifests"), "FleetWorkflows=%s: %s", workflows, started)
		assert.Contains(t, fmt.Sprint(started), "pod-inventory")
		for _, f := range stack.OfType("AWS::Lambda::Function") {
			if strings.HasSuffix(fmt.Sprint(f.Properties["FunctionName"]), "-find-clusters") {
				variables := f.Properties["Environment"].(map[string]any)["Variables"].(map[string]any)
				assert.Equal(t, may, variables["KUBESTEP_APPLY_MANIFESTS_ARN"] != "", "what it may not start it does not name")
			}
		}
	}
}

func TestListingsGoToABucketOfThisAccountWithItsKey(t *testing.T) {
	t.Parallel()
	const key = "arn:aws:kms:eu-west-1:111122223333:key/bucket"
	stack := evaluated(t, "aws", map[string]string{"OutputBucket": "inventories", "OutputPrefix": "pods/", "OutputKeyArn": key})
	all := statementsOf(t, stack, "ListPodsRole")
	assert.Contains(t, all, statement{
		Effect: "Allow", Action: oneOrMore{"s3:PutObject"}, Resource: oneOrMore{"arn:aws:s3:::inventories/pods/*"},
		Condition: map[string]map[string]oneOrMore{"StringEquals": {"aws:ResourceAccount": {"111122223333"}}},
	})
	assert.Contains(t, all, statement{
		Effect: "Allow", Action: oneOrMore{"kms:GenerateDataKey", "kms:Decrypt"}, Resource: oneOrMore{key},
		Condition: map[string]map[string]oneOrMore{"StringLike": {"kms:ViaService": {"s3.eu-west-1.amazonaws.com*"}}},
	})
	for _, s := range statementsOf(t, evaluated(t, "aws", map[string]string{"OutputBucket": "inventories"}), "ListPodsRole") {
		assert.NotContains(t, s.Action, "kms:GenerateDataKey", "without a key")
	}
}

// widget is a part of a dashboard.
type widget struct {
	Type                string
	X, Y, Width, Height int
	Properties          struct {
		Title   string
		Alarms  []string
		Metrics [][]any
	}
}

// expressions are the searches of a widget.
func (w widget) expressions() []string {
	var all []string
	for _, m := range w.Properties.Metrics {
		for _, part := range m {
			if options, ok := part.(map[string]any); ok && options["expression"] != nil {
				all = append(all, options["expression"].(string))
			}
		}
	}
	return all
}

func TestTheDashboardShowsWhatTheFunctionsCountAndNoPanelTwoOfThem(t *testing.T) {
	t.Parallel()
	counted := map[string]map[string]int{
		"pods":    pods.Metrics(podinventory.Listing{Pods: podinventory.Pods{ByStatus: map[string]int{"Running": 1, "Strange": 1}}}),
		"objects": manifests.Metrics(applymanifests.Plan{Compared: true}),
	}
	for enabled, prefixes := range map[string][]string{"false": {"pods"}, "true": {"pods", "objects"}} {
		stack := evaluated(t, "aws", map[string]string{"EnableApply": enabled})
		var dashboard struct{ Widgets []widget }
		body := stack.Resources["Dashboard"].Properties["DashboardBody"].(string)
		require.NoError(t, json.Unmarshal([]byte(body), &dashboard), body)
		panels := map[string]int{}
		for i, w := range dashboard.Widgets {
			for _, other := range dashboard.Widgets[:i] {
				apart := w.X >= other.X+other.Width || other.X >= w.X+w.Width || w.Y >= other.Y+other.Height || other.Y >= w.Y+w.Height
				assert.True(t, apart, "%q covers %q", w.Properties.Title, other.Properties.Title)
			}
			for _, expression := range w.expressions() {
				if _, after, ok := strings.Cut(expression, "{kubestep,cluster,stackName} MetricName="); ok {
					prefix, _, _ := strings.Cut(after, " ")
					require.NotEmpty(t, counted[prefix], prefix)
					panels[prefix]++
				}
			}
			if w.Type == "alarm" {
				for _, id := range ofType(stack.Resources, "AWS::CloudWatch::Alarm") {
					name := stack.PhysicalIDs[id]
					if id != "ScheduleDeadLettersAlarm" && !strings.HasPrefix(id, "Fleet") {
						assert.True(t, slices.ContainsFunc(w.Properties.Alarms, func(arn string) bool { return strings.HasSuffix(arn, ":"+name) }), "%s is not shown", id)
					}
				}
			}
		}
		assert.Len(t, panels, len(prefixes), "EnableApply=%s", enabled)
		for _, prefix := range prefixes {
			assert.Equal(t, 1, panels[prefix], "%s", prefix)
			for name := range counted[prefix] {
				assert.True(t, strings.HasPrefix(name, prefix+"."), name)
			}
		}
		assert.Equal(t, enabled == "true", strings.Contains(body, "s-apply-manifests"), "there is such a state machine")
	}
}
