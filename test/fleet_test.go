package test

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/internal/follow"
	"github.com/kubestep/kubestep/local/awsfront"
	"github.com/kubestep/kubestep/local/world"
	"github.com/kubestep/kubestep/test/apiproxy"
)

// newFleet deploys a stack that may write to a bucket, which has the stack's name.
func newFleet(t *testing.T) *scenario {
	t.Helper()
	s := newScenario(t)
	require.NoError(t, local.CreateBucket(t.Context(), s.bucket()))
	s.set(t, map[string]string{"OutputBucket": s.bucket(), "ExternalId": "agreed"})
	s.mapRole(t)
	return s
}

func (s *scenario) bucket() string { return "fleets-" + s.stack.Name }

// fleet runs a fleet to its end, which takes a while: moto has one thread.
func (s *scenario) fleet(t *testing.T, input map[string]any) follow.Execution {
	t.Helper()
	text, err := json.Marshal(input)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Minute)
	defer cancel()
	follower := follow.Follower{Client: s.client, Interval: 250 * time.Millisecond, Out: s.progress}
	e, err := follower.Start(ctx, follow.Start{StateMachineARN: s.stack.StateMachineARN("fleet"), Input: string(text)})
	require.NoError(t, err)
	if e.Status == types.ExecutionStatusSucceeded {
		assert.NoError(t, valid(t, "fleet.input", string(text)), "an input that was taken")
		assert.NoError(t, valid(t, "fleet.output", e.Output))
	}
	return e
}

// fleetOutput returns the output of a fleet that must have succeeded.
func fleetOutput(t *testing.T, e follow.Execution) fleet.Output {
	t.Helper()
	require.Equal(t, types.ExecutionStatusSucceeded, e.Status, "%s: %s", e.Error, e.Cause)
	var output fleet.Output
	require.NoError(t, json.Unmarshal([]byte(e.Output), &output))
	return output
}

// object reads an object of the stack's bucket.
func (s *scenario) object(t *testing.T, key string) string {
	t.Helper()
	developer, err := local.Developer()
	require.NoError(t, err)
	got, err := s3.NewFromConfig(developer, func(o *s3.Options) { o.UsePathStyle = true }).GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(s.bucket()), Key: &key})
	require.NoError(t, err, key)
	defer func() { _ = got.Body.Close() }()
	text, err := io.ReadAll(got.Body)
	require.NoError(t, err)
	return string(text)
}

// folder is where a fleet writes, below its output's prefix.
func folder(e follow.Execution) string { return contract.ExecutionARN(e.ARN).Folder() }

// started counts the executions of the workflow.
func (s *scenario) started(t *testing.T) int {
	t.Helper()
	n := 0
	for pages := sfn.NewListExecutionsPaginator(s.client, &sfn.ListExecutionsInput{StateMachineArn: &s.machine}); pages.HasMorePages(); {
		page, err := pages.NextPage(t.Context())
		require.NoError(t, err)
		n += len(page.Executions)
	}
	return n
}

// The path of a fleet whose clusters are in the state, and all succeed.
var fleetWell = []string{"FindClusters", "WhereClustersAre", "RunClusters", "Summarize", "Verdict", "Output"}

func TestAFleetOfFortyClustersOfWhichSomeFail(t *testing.T) {
	t.Parallel()
	s := newFleet(t)
	unmapped, err := local.StartControlPlane(t.Context(), "unmapped")
	require.NoError(t, err)
	t.Cleanup(unmapped.Stop)
	gone, err := local.StartControlPlane(t.Context(), "gone")
	require.NoError(t, err)
	gone.Stop()
	require.NoError(t, local.Describe(unmapped, nil))
	require.NoError(t, local.Describe(gone, nil))
	clusters := []any{world.ClusterName, "unmapped", "gone", "retired"}
	for len(clusters) < 40 {
		where := region()
		describe(t, where, nil)
		clusters = append(clusters, map[string]string{"clusterName": world.ClusterName, "region": where})
	}

	e := s.fleet(t, map[string]any{
		"workflow": "pod-inventory", "clusters": clusters, "request": map[string]any{"namespaces": []string{"default", "shop"}},
		"concurrency": 8, "output": map[string]string{"bucket": s.bucket(), "prefix": "nightly"},
	})

	assert.Equal(t, fleet.ClustersFailed, e.Error, e.Cause)
	page := "nightly/" + folder(e) + "report.html"
	assert.Equal(t, "3 of 40 clusters failed; none may fail: 1 ClusterNotFound, 1 ClusterUnreachable, 1 Unauthorized. The report: aws s3 cp s3://"+s.bucket()+"/"+page+" .", e.Cause)
	assert.Equal(t, path("FindClusters", "WhereClustersAre", "RunClusters", "Summarize", "Verdict", "WhereClustersAre", "RunClusters", "Summarize", "Verdict", "ClustersFailed"), e.Path, "what is gone is tried again, after the rest")
	assert.Equal(t, 41, s.started(t), "one execution for each cluster, and another for the one that is gone")

	html := s.object(t, page)
	assert.Contains(t, html, "3 of 40 clusters failed")
	assert.Contains(t, html, "2nd try")
	lines, err := csv.NewReader(strings.NewReader(s.object(t, "nightly/"+folder(e)+"report.csv"))).ReadAll()
	require.NoError(t, err)
	require.Len(t, lines, 41)
	for i, want := range []struct{ name, err, cause string }{
		{"gone", "ClusterUnreachable", "gone"}, {"retired", "ClusterNotFound", "EKS has no cluster retired in eu-west-1"}, {"unmapped", "Unauthorized", s.stack.Role("mint-token")},
	} {
		line := lines[i+1]
		assert.Equal(t, want.name, line[0])
		assert.Equal(t, []string{"FAILED", want.err}, line[4:6])
		assert.Contains(t, line[6], want.cause)
	}
	for _, line := range lines[4:] {
		assert.Equal(t, []string{world.ClusterName, "SUCCEEDED", "12"}, []string{line[0], line[4], line[9]}, line)
	}
	var report struct {
		Totals map[string]int `json:"totals"`
	}
	require.NoError(t, json.Unmarshal([]byte(s.object(t, "nightly/"+folder(e)+"report.json")), &report))
	assert.Equal(t, 37*12, report.Totals["pods"])

	again := fleetOutput(t, s.fleet(t, map[string]any{
		"workflow": "pod-inventory", "source": map[string]string{"bucket": s.bucket(), "key": "nightly/" + folder(e) + "failed.jsonl"}, "toleratedFailures": map[string]int{"percentage": 100},
	}))
	assert.Equal(t, 3, again.Summary.Clusters, "those that failed are the source of another fleet")
}

func TestFleetsOfOneNameAtOnceShareTheirExecutions(t *testing.T) {
	t.Parallel()
	s := newFleet(t)
	where, asked, let := held(t)
	slow := contract.Target{ClusterName: world.ClusterName, Region: where}
	input := map[string]any{"workflow": "pod-inventory", "name": "weekly", "clusters": []any{slow, "retired"}, "toleratedFailures": map[string]int{"count": 1}}

	first := s.begin(t, input)
	<-asked
	second := s.begin(t, input)
	s.reachesState(t, second, "RunClusters")
	let()
	one, two := fleetOutput(t, s.follow(t, first)), fleetOutput(t, s.follow(t, second))

	outcome := func(output fleet.Output) fleet.Outcome {
		return output.Outcomes[slices.IndexFunc(output.Outcomes, func(o fleet.Outcome) bool { return o.ClusterName == world.ClusterName })]
	}
	assert.Equal(t, outcome(one), outcome(two), "the second waits for what the first had started")
	assert.Positive(t, one.Summary.Totals["pods"])
	described, err := s.client.DescribeExecution(t.Context(), &sfn.DescribeExecutionInput{
		ExecutionArn: aws.String(strings.Replace(s.machine, ":stateMachine:", ":execution:", 1) + ":" + executionName(t, "weekly", slow)),
	})
	require.NoError(t, err, "a cluster's execution is found by its name")
	assert.Contains(t, aws.ToString(described.Input), first, "and tells by which fleet it was started")
}

func TestALaterFleetOfTheSameNameStartsExecutionsOfItsOwn(t *testing.T) {
	t.Parallel()
	s := newFleet(t)
	input := map[string]any{
		"workflow": "pod-inventory", "name": "weekly", "clusters": []string{world.ClusterName, "retired"}, "toleratedFailures": map[string]int{"count": 1}, "output": map[string]string{"bucket": s.bucket()},
	}
	first := s.fleet(t, input)
	second := s.fleet(t, input)
	input["request"] = map[string]any{"namespaces": []string{"default", "shop"}}
	other := s.fleet(t, input)

	one, two, three := fleetOutput(t, first), fleetOutput(t, second), fleetOutput(t, other)
	assert.Equal(t, fleetWell, second.Path)
	assert.Equal(t, 6, s.started(t), "each fleet starts one for each cluster")
	for i := range one.Outcomes {
		assert.False(t, one.Outcomes[i].Own)
		assert.True(t, two.Outcomes[i].Own, "its name is taken")
		assert.False(t, two.Outcomes[i].StartedAt.Before(one.Outcomes[i].StartedAt.Add(time.Duration(one.Outcomes[i].Seconds)*time.Second)), "the outcomes are of now")
		assert.False(t, three.Outcomes[i].Own, "another request has names of its own")
	}
	assert.Greater(t, three.Summary.Totals["pods"], two.Summary.Totals["pods"])
	for _, e := range []follow.Execution{first, second, other} {
		assert.Contains(t, s.object(t, folder(e)+"report.json"), e.ARN, "each has its own report")
	}
}

func TestAFleetCopesWithThrottledAndSlowClusters(t *testing.T) {
	t.Parallel()
	s := newFleet(t)
	throttled, slow := region(), ""
	describe(t, throttled, nil)
	local.Faults.Add(awsfront.Fault{Service: "eks", Region: throttled, Status: http.StatusTooManyRequests, Code: "ThrottlingException", Message: "Rate exceeded", Times: 4})
	_, slow = proxied(t, apiproxy.Fault{Resource: "pods", Times: 1, Answer: func(w http.ResponseWriter, r *http.Request, pass http.HandlerFunc) {
		time.Sleep(5 * time.Second)
		pass(w, r)
	}})

	output := fleetOutput(t, s.fleet(t, map[string]any{"workflow": "pod-inventory", "clusters": []any{
		world.ClusterName, map[string]string{"clusterName": world.ClusterName, "region": throttled}, map[string]string{"clusterName": world.ClusterName, "region": slow},
	}}))

	assert.Equal(t, map[fleet.Status]int{fleet.StatusSucceeded: 3}, output.Summary.ByStatus)
	for _, o := range output.Outcomes {
		if o.Region == slow {
			assert.Greater(t, o.Seconds, 5.0)
		}
	}
}

func TestAFleetFindsTheClustersOfOtherAccountsByTheirTags(t *testing.T) {
	t.Parallel()
	s := newFleet(t)
	// The path is so long that the state has no room for it: the list and the outcomes are in S3.
	// aws-auth maps the role without its path, which a session's ARN does not have.
	s.otherRole(t, "member", "agreed")
	role := fmt.Sprintf("arn:aws:iam::%s:role/%smember-%s", otherAccount, strings.Repeat("path/", 50), s.stack.Name)
	s.set(t, map[string]string{"RoleArns": role})
	local.Roles.Put(awsfront.Role{ARN: role, Trusts: []string{s.stack.Role("find-clusters"), s.stack.Role("describe-cluster"), s.stack.Role("mint-token")}, ExternalID: "agreed"})
	where := region()
	describe(t, where, func(c *awsfront.Cluster) {
		c.ARN, c.Tags = clusterARN(where, otherAccount), map[string]string{"environment": "production"}
	})
	require.NoError(t, local.Describe(&world.ControlPlane{Name: "untagged"}, func(c *awsfront.Cluster) {
		c.ARN = fmt.Sprintf("arn:aws:eks:%s:%s:cluster/untagged", where, otherAccount)
	}))

	e := s.fleet(t, map[string]any{
		"workflow": "pod-inventory", "regions": []string{where}, "roleArns": []string{role}, "tags": map[string]string{"environment": "production"},
		"output": map[string]string{"bucket": s.bucket()},
	})

	output := fleetOutput(t, e)
	assert.Equal(t, path("FindClusters", "WhereClustersAre", "RunListedClusters", "Summarize", "Verdict", "Output"), e.Path)
	assert.Equal(t, 1, output.Summary.Clusters)
	assert.Equal(t, map[fleet.Status]int{fleet.StatusSucceeded: 1}, output.Summary.ByStatus)
	assert.Empty(t, output.Outcomes)
	assert.Contains(t, s.object(t, folder(e)+"report.csv"), role)
}

func TestAFleetOfPlansAddsUpWhatTheyWouldChange(t *testing.T) {
	t.Parallel()
	client, err := stepFunctions()
	require.NoError(t, err)
	s := &scenario{stack: local.Stack(world.StackName), client: client, progress: io.Discard} // which has apply-manifests
	input := map[string]any{
		"workflow": "apply-manifests", "clusters": []string{world.ClusterName, "retired"}, "toleratedFailures": map[string]int{"percentage": 50},
		"request": map[string]any{"namespace": "shop", "manifests": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: of-a-fleet}\ndata: {greeting: hello}\n"},
	}

	output := fleetOutput(t, s.fleet(t, input))

	assert.Equal(t, map[fleet.Status]int{fleet.StatusSucceeded: 1, fleet.StatusFailed: 1}, output.Summary.ByStatus)
	assert.Equal(t, map[string]int{"created": 1, "configured": 0, "unchanged": 0, "applied": 0, "pruned": 0, "drift": 1}, output.Summary.Totals)
	_, err = admin(t).CoreV1().ConfigMaps("shop").Get(t.Context(), "of-a-fleet", metav1.GetOptions{})
	assert.True(t, apierrors.IsNotFound(err), "a plan changes nothing")
	require.Len(t, output.Summary.Effects, 1)
	assert.Equal(t, []string{world.ClusterName}, output.Summary.Effects[0].Names, "the other one tells nothing")
	assert.Len(t, output.Summary.Effects[0].Digest, fleet.EffectLength)
}

func TestAFleetAppliesInAnotherAccountByARoleThatMayOnlyApply(t *testing.T) {
	t.Parallel()
	a := newApplier(t)
	a.allow(t, rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"get", "create", "patch"}})
	role := fmt.Sprintf("arn:aws:iam::%s:role/applier-%s", otherAccount, a.stack.Name)
	a.set(t, map[string]string{"ApplyRoleArns": role, "ExternalId": "agreed"})
	local.Roles.Put(awsfront.Role{ARN: role, Trusts: []string{a.stack.Role("find-clusters"), a.stack.Role("describe-cluster"), a.stack.Role("apply-mint-token")}, ExternalID: "agreed"})
	editAwsAuth(t, func(mappings []mapping) []mapping {
		return append(mappings, mapping{role, "applier-of-theirs:" + a.stack.Name, []string{a.group}})
	})
	where := region()
	describe(t, where, func(c *awsfront.Cluster) { c.ARN = clusterARN(where, otherAccount) })

	output := fleetOutput(t, a.fleet(t, map[string]any{
		"workflow": "apply-manifests", "regions": []string{where}, "roleArns": []string{role},
		"request": map[string]any{
			"mode": "apply", "namespace": a.namespace, "manifests": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: of-theirs}\ndata: {greeting: hello}\n",
		},
	}))

	assert.Equal(t, map[fleet.Status]int{fleet.StatusSucceeded: 1}, output.Summary.ByStatus)
	_, err := admin(t).CoreV1().ConfigMaps(a.namespace).Get(t.Context(), "of-theirs", metav1.GetOptions{})
	require.NoError(t, err)
}

func TestAFleetAppliesToTheClustersThatItFinds(t *testing.T) {
	t.Parallel()
	a := newApplier(t)
	a.allow(t, rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"get", "create", "patch"}})
	regions := []string{region(), region()}
	for _, where := range regions {
		describe(t, where, func(c *awsfront.Cluster) { c.Tags = map[string]string{"environment": "staging"} })
	}
	input := map[string]any{
		"workflow": "apply-manifests", "regions": regions, "tags": map[string]string{"environment": "staging"}, "concurrency": 1,
		"request": map[string]any{
			"mode": "apply", "namespace": a.namespace, "manifests": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: of-a-fleet}\ndata: {greeting: hello}\n",
		},
	}

	output := fleetOutput(t, a.fleet(t, input))

	// Both clusters have the same control plane.
	assert.Equal(t, map[fleet.Status]int{fleet.StatusSucceeded: 2}, output.Summary.ByStatus)
	assert.Equal(t, map[string]int{"created": 1, "configured": 0, "unchanged": 1, "applied": 1, "pruned": 0, "drift": 1}, output.Summary.Totals)
	created, err := admin(t).CoreV1().ConfigMaps(a.namespace).Get(t.Context(), "of-a-fleet", metav1.GetOptions{})
	require.NoError(t, err)
	assert.Equal(t, "hello", created.Data["greeting"])
}

// never is a Deployment that does not get ready.
const never = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: registry.invalid/broken}]}
`

// clusters describes that many clusters. They have one control plane, so the executions tell which were changed.
func (a *applier) clusters(t *testing.T, n int) []any {
	t.Helper()
	var all []any
	for range n {
		where := region()
		describe(t, where, nil)
		all = append(all, map[string]string{"clusterName": world.ClusterName, "region": where})
	}
	return all
}

func TestAFleetThatAppliesStopsAtTheFirstFailure(t *testing.T) {
	t.Parallel()
	for sentence, c := range map[string]struct {
		clusters, concurrency int
		tolerated             map[string]int
		inS3                  bool
		started               int
		want                  map[fleet.Status]int
	}{
		"one by one":                      {4, 1, map[string]int{"count": 0}, false, 1, map[fleet.Status]int{fleet.StatusFailed: 1, fleet.StatusNotStarted: 3}},
		"two at once":                     {5, 2, map[string]int{"percentage": 0}, false, 2, map[fleet.Status]int{fleet.StatusFailed: 2, fleet.StatusNotStarted: 3}},
		"once more failed than may":       {4, 1, map[string]int{"percentage": 25}, false, 2, map[fleet.Status]int{fleet.StatusFailed: 2, fleet.StatusNotStarted: 2}},
		"with the list of clusters in S3": {4, 1, map[string]int{"count": 0}, true, 1, map[fleet.Status]int{fleet.StatusFailed: 1, fleet.StatusNotStarted: 3}},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			a := newAdmin(t)
			require.NoError(t, local.CreateBucket(t.Context(), a.scenario.bucket()))
			a.set(t, map[string]string{"OutputBucket": a.scenario.bucket()})
			clusters := a.clusters(t, c.clusters)
			if c.inS3 { // a long role is why, and it is the last
				clusters = append(clusters[:c.clusters-1], map[string]string{"clusterName": world.ClusterName, "roleArn": "arn:aws:iam::444455556666:role/" + strings.Repeat("path/", 60) + "never"})
			}

			e := a.fleet(t, map[string]any{
				"workflow": "apply-manifests", "clusters": clusters, "concurrency": c.concurrency, "toleratedFailures": c.tolerated, "output": map[string]string{"bucket": a.scenario.bucket()},
				"request": map[string]any{"mode": "apply", "namespace": a.namespace, "manifests": never, "wait": map[string]int{"timeoutSeconds": 2}},
			})

			assert.Equal(t, fleet.ClustersFailed, e.Error, e.Cause)
			assert.Contains(t, e.Cause, fmt.Sprintf("%d of %d clusters failed", c.want[fleet.StatusFailed], c.clusters))
			assert.Contains(t, e.Cause, fmt.Sprintf("%d clusters were not started: see s3://%s/%snotstarted.jsonl", c.want[fleet.StatusNotStarted], a.scenario.bucket(), folder(e)))
			assert.Equal(t, c.started, a.started(t), "executions of apply-manifests")
			var report struct {
				ByStatus map[fleet.Status]int `json:"byStatus"`
				Report   fleet.Report         `json:"report"`
			}
			require.NoError(t, json.Unmarshal([]byte(a.object(t, folder(e)+"report.json")), &report))
			assert.Equal(t, c.want, report.ByStatus)
			assert.Contains(t, report.Report.Continue, fmt.Sprintf("--concurrency %d --tolerate ", c.concurrency))
			assert.Contains(t, a.object(t, folder(e)+"report.html"), "were not started")
			assert.Contains(t, a.object(t, folder(e)+"report.csv"), "NOT_STARTED,NotStarted")
			var pending []any
			for line := range strings.Lines(a.object(t, folder(e)+"notstarted.jsonl")) {
				pending = append(pending, line)
			}
			assert.Len(t, pending, c.want[fleet.StatusNotStarted])

			again := a.redrive(t, e.ARN)
			assert.Equal(t, fleet.ClustersFailed, again.Error)
			assert.Equal(t, c.started, a.started(t), "a redrive starts nothing")
		})
	}
}

func TestAWaveBeginsIfTheAlarmsAreOKAfterTheSoak(t *testing.T) {
	t.Parallel()
	a := newAdmin(t)
	shell := newShell(t, local.ControlPlane.Kubeconfig)
	for alarm, state := range map[string]string{"quiet": "OK", "loud": "ALARM"} {
		name := alarm + "-" + a.stack.Name
		_, _, err := shell.run(t, nil, "aws", "cloudwatch", "put-metric-alarm", "--alarm-name", name, "--namespace", "shop", "--metric-name", "Errors",
			"--statistic", "Sum", "--period", "60", "--evaluation-periods", "1", "--threshold", "1", "--comparison-operator", "GreaterThanThreshold")
		require.NoError(t, err)
		_, _, err = shell.run(t, nil, "aws", "cloudwatch", "set-alarm-state", "--alarm-name", name, "--state-value", state, "--state-reason", "a test")
		require.NoError(t, err)
	}
	gate := func(alarm string) map[string]any {
		return map[string]any{"soakSeconds": 1, "alarms": []string{alarm + "-" + a.stack.Name}}
	}

	e := a.fleet(t, map[string]any{
		"workflow": "apply-manifests", "clusters": a.clusters(t, 3), "request": map[string]any{"mode": "apply", "namespace": a.namespace, "manifests": configMap("of-a-rollout", "1")},
		"waves": []any{
			map[string]any{"name": "canary", "percentage": 1, "gate": gate("quiet")}, map[string]any{"name": "half", "percentage": 50, "gate": gate("loud")}, map[string]any{"name": "rest", "percentage": 100},
		},
	})

	assert.Equal(t, fleet.RolloutFailed, e.Error, e.Cause)
	assert.Contains(t, e.Cause, "Wave half stopped the rollout: the gate of wave half was not passed: loud-"+a.stack.Name+" is ALARM. 1 cluster is changed, or may be: ", "the second one found nothing to change")
	round, passage := path("WhereClustersAre", "RunClusters", "Summarize", "Verdict"), path("Soak", "HasAlarms", "DescribeAlarms", "Summarize", "Verdict")
	assert.Equal(t, path("FindClusters", round, passage, round, passage, "RolloutFailed"), e.Path)
	assert.Equal(t, 2, a.started(t))
}

func TestAFleetThatAppliesGoesOnOnceASecondTrySucceeds(t *testing.T) {
	t.Parallel()
	a := newAdmin(t)
	clusters := a.clusters(t, 3)
	throttled := clusters[1].(map[string]string)["region"]
	remove := local.Faults.Add(awsfront.Fault{Service: "eks", Region: throttled, Status: http.StatusTooManyRequests, Code: "ThrottlingException", Message: "Rate exceeded"})

	started := a.begin(t, map[string]any{
		"workflow": "apply-manifests", "clusters": clusters, "concurrency": 1,
		"request": map[string]any{"mode": "apply", "namespace": a.namespace, "manifests": configMap("of-a-fleet", "1")},
	})
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		failed, err := a.client.ListExecutions(t.Context(), &sfn.ListExecutionsInput{StateMachineArn: &a.machine, StatusFilter: types.ExecutionStatusFailed})
		if assert.NoError(c, err) {
			assert.NotEmpty(c, failed.Executions)
		}
	}, 4*time.Minute, 250*time.Millisecond)
	remove()
	e := a.follow(t, started)

	output := fleetOutput(t, e)
	assert.Equal(t, map[fleet.Status]int{fleet.StatusSucceeded: 3}, output.Summary.ByStatus)
	round := path("WhereClustersAre", "RunClusters", "Summarize", "Verdict")
	assert.Equal(t, path("FindClusters", round, round, round, round, "Output"), e.Path, "three, and a second try")
	assert.Equal(t, 4, a.started(t))
}

func TestAFleetMayApplyOnlyIfTheStackSaysSo(t *testing.T) {
	t.Parallel()
	a := newAdmin(t)
	a.set(t, map[string]string{"FleetWorkflows": "pod-inventory"})
	for _, mode := range []string{"plan", "apply"} {
		e := a.fleet(t, map[string]any{"workflow": "apply-manifests", "clusters": []string{world.ClusterName}, "request": map[string]any{"mode": mode, "manifests": configMap("a", "1")}})
		stopped(t, e, contract.InvalidInput, "workflow: the fleets of this stack may not start apply-manifests: deploy the stack with EnableApply=true FleetWorkflows=pod-inventory,apply-manifests")
	}
	assert.Zero(t, a.started(t))
}

func TestAFleetRefusesASecretInItsRequestAndManifestsThatCannotBeRead(t *testing.T) {
	t.Parallel()
	a := newApplier(t)
	for manifests, want := range map[string]string{
		"apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {password: hunter2}\n": "request.manifests: ",
		"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a\npassword: hunter2":               "request.manifests: ",
	} {
		e := a.fleet(t, map[string]any{"workflow": "apply-manifests", "clusters": []string{world.ClusterName, "gone"}, "request": map[string]any{"manifests": manifests}})
		stopped(t, e, contract.InvalidInput, want)
		assert.NotContains(t, e.Cause, "hunter2")
	}
	assert.Zero(t, a.started(t), "nothing is started, so no other history has it")
}

func TestALongRequestHidesNoError(t *testing.T) {
	t.Parallel()
	a := newAdmin(t)
	where := region()
	describe(t, where, nil)
	output := a.fleet(t, map[string]any{
		"workflow": "apply-manifests", "clusters": []any{map[string]string{"clusterName": "retired", "region": where}},
		"request": map[string]any{"manifests": configMap("a", strings.Repeat("word ", 6450))},
	})
	assert.Contains(t, output.Cause, "1 of 1 cluster failed; none may fail: 1 ClusterNotFound.")
}

func TestAnInvalidFleetStartsNothing(t *testing.T) {
	t.Parallel()
	s := newFleet(t)

	e := s.fleet(t, map[string]any{"workflow": "pod-inventory", "clusters": []string{world.ClusterName, "a b"}, "request": map[string]any{"namespace": "shop"}, "concurrency": 0})

	stopped(t, e, contract.InvalidInput, "3 problems", `clusters[1]: "a b"`, `request."namespace": unknown key: expected "namespaces"?`, "concurrency: 0")
	assert.Equal(t, path("FindClusters", "Explain", "Failed"), e.Path)
	assert.Zero(t, s.started(t))
}

func TestARolloutGoesFromWaveToWaveAndStops(t *testing.T) {
	t.Parallel()
	a := newAdmin(t)
	require.NoError(t, local.CreateBucket(t.Context(), a.scenario.bucket()))
	a.set(t, map[string]string{"OutputBucket": a.scenario.bucket()})
	clusters := a.clusters(t, 4)
	canary := clusters[3].(map[string]string)
	request := map[string]any{"mode": "apply", "namespace": a.namespace, "manifests": configMap("of-a-rollout", "1")}
	output := map[string]string{"bucket": a.scenario.bucket()}

	e := a.fleet(t, map[string]any{
		"workflow": "apply-manifests", "clusters": append([]any{"retired"}, clusters...), "request": request, "output": output, "concurrency": 2,
		"waves": []any{map[string]any{"name": "canary", "clusters": []any{canary}}, map[string]any{"name": "half", "percentage": 50}, map[string]any{"name": "rest", "percentage": 100}},
	})

	assert.Equal(t, fleet.RolloutFailed, e.Error, e.Cause)
	assert.Contains(t, e.Cause, "Wave half stopped the rollout: 1 of its 2 clusters failed, and none may fail: 1 ClusterNotFound. ")
	round := path("WhereClustersAre", "RunClusters", "Summarize", "Verdict")
	assert.Equal(t, path("FindClusters", round, round, "RolloutFailed"), e.Path, "a round for each wave that began")
	assert.Equal(t, 3, a.started(t), "the canary and the two of the second wave")
	var report struct {
		Waves    []fleet.WaveSummary `json:"waves"`
		Outcomes []fleet.Outcome     `json:"outcomes"`
	}
	require.NoError(t, json.Unmarshal([]byte(a.object(t, folder(e)+"report.json")), &report))
	assert.Equal(t, []fleet.WaveSummary{
		{Name: "canary", Clusters: 1, ByStatus: map[fleet.Status]int{fleet.StatusSucceeded: 1}},
		{Name: "half", Clusters: 2, ByStatus: map[fleet.Status]int{fleet.StatusSucceeded: 1, fleet.StatusFailed: 1}},
		{Name: "rest", Clusters: 2, ByStatus: map[fleet.Status]int{fleet.StatusNotStarted: 2}},
	}, report.Waves)
	for _, o := range report.Outcomes {
		if o.Region == canary["region"] {
			assert.Equal(t, 1, o.Wave)
		}
	}

	redriven := a.redrive(t, e.ARN)
	assert.Equal(t, fleet.RolloutFailed, redriven.Error)
	assert.Equal(t, 3, a.started(t), "a redrive repeats nothing, and begins nothing")

	again := a.fleet(t, map[string]any{
		"workflow": "apply-manifests", "source": map[string]string{"bucket": a.scenario.bucket(), "key": folder(e) + "notstarted.jsonl"}, "request": request, "output": output,
		"waves": []any{map[string]any{"name": "rest", "concurrency": 1}},
	})
	assert.Equal(t, path("FindClusters", round, round, "Output"), again.Path, "one by one")
	assert.Equal(t, []fleet.WaveSummary{{Name: "rest", Clusters: 2, ByStatus: map[fleet.Status]int{fleet.StatusSucceeded: 2}}}, fleetOutput(t, again).Summary.Waves)
	assert.Equal(t, 5, a.started(t))
}

func TestARolloutNamesTheClustersThatAppearedMeanwhile(t *testing.T) {
	t.Parallel()
	a := newAdmin(t)
	require.NoError(t, local.CreateBucket(t.Context(), a.scenario.bucket()))
	a.set(t, map[string]string{"OutputBucket": a.scenario.bucket()})
	where, other := region(), region()
	describe(t, where, nil)
	started := a.begin(t, map[string]any{
		"workflow": "apply-manifests", "regions": []string{where, other}, "output": map[string]string{"bucket": a.scenario.bucket()},
		"request": map[string]any{"mode": "apply", "namespace": a.namespace, "manifests": configMap("of-a-rollout", "1")},
		"waves":   []any{map[string]any{"name": "all", "percentage": 100, "gate": map[string]int{"soakSeconds": 3}}},
	})
	a.reachesState(t, started, "Soak")
	describe(t, other, nil)

	e := a.follow(t, started)

	output := fleetOutput(t, e)
	assert.Equal(t, path("FindClusters", "WhereClustersAre", "RunClusters", "Summarize", "Verdict", "Soak", "HasAlarms", "Summarize", "Verdict", "FindNewClusters", "Summarize", "Verdict", "Output"), e.Path)
	assert.Equal(t, &fleet.Appeared{Clusters: 1, Names: []string{world.ClusterName}}, output.Summary.Appeared)
	assert.Equal(t, 1, output.Summary.Clusters)
	assert.Contains(t, a.object(t, folder(e)+"report.html"), "1 cluster has appeared since the fleet began, and was not changed: "+world.ClusterName)
}
