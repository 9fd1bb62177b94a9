package test

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
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
	"github.com/kubestep/kubestep/internal/fleet"
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
	follower := follow.Follower{Client: s.client, Clock: follow.WallClock{}, Interval: 250 * time.Millisecond, Out: s.progress}
	e, err := follower.Start(ctx, follow.Start{StateMachineARN: s.stack.StateMachineARN("fleet"), Input: string(text)})
	require.NoError(t, err)
	if e.Status == types.ExecutionStatusSucceeded {
		assert.NoError(t, valid(t, "fleet.input", string(text)), "an input that was taken")
		assert.NoError(t, valid(t, "fleet.output", e.Output))
	}
	return e
}

// fleetOutput returns the output of a fleet that must have succeeded.
func fleetOutput(t *testing.T, e follow.Execution) contract.FleetOutput {
	t.Helper()
	require.Equal(t, types.ExecutionStatusSucceeded, e.Status, "%s: %s", e.Error, e.Cause)
	var output contract.FleetOutput
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

	assert.Equal(t, contract.ClustersFailed, e.Error, e.Cause)
	page := fmt.Sprintf("nightly/%s/report.html", e.Name)
	assert.Equal(t, "3 of 40 clusters failed; none may fail: 1 ClusterNotFound, 1 ClusterUnreachable, 1 Unauthorized. The report: aws s3 cp s3://"+s.bucket()+"/"+page+" .", e.Cause)
	assert.Equal(t, path("FindClusters", "WhereClustersAre", "RunClusters", "Summarize", "Verdict", "WhereClustersAre", "RunClusters", "Summarize", "Verdict", "ClustersFailed"), e.Path, "what is gone is tried again, after the rest")
	assert.Equal(t, 41, s.started(t), "one execution for each cluster, and another for the one that is gone")

	html := s.object(t, page)
	assert.Contains(t, html, "3 of 40 clusters failed")
	assert.Contains(t, html, "2nd try")
	lines, err := csv.NewReader(strings.NewReader(s.object(t, "nightly/"+e.Name+"/report.csv"))).ReadAll()
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
	require.NoError(t, json.Unmarshal([]byte(s.object(t, "nightly/"+e.Name+"/report.json")), &report))
	assert.Equal(t, 37*12, report.Totals["pods"])

	again := fleetOutput(t, s.fleet(t, map[string]any{
		"workflow": "pod-inventory", "source": map[string]string{"bucket": s.bucket(), "key": "nightly/" + e.Name + "/failed.jsonl"}, "toleratedFailures": map[string]int{"percentage": 100},
	}))
	assert.Equal(t, 3, again.Summary.Clusters, "those that failed are the source of another fleet")
}

func TestAFleetOfTheSameNameStartsNothingTwice(t *testing.T) {
	t.Parallel()
	s := newFleet(t)
	input := map[string]any{"workflow": "pod-inventory", "name": "weekly", "clusters": []string{world.ClusterName, "retired"}, "toleratedFailures": map[string]int{"count": 1}}

	first := s.fleet(t, input)
	second := s.fleet(t, input)

	assert.Equal(t, fleetWell, first.Path)
	assert.Equal(t, fleetWell, second.Path)
	assert.Equal(t, 2, s.started(t))
	one, two := fleetOutput(t, first), fleetOutput(t, second)
	assert.Equal(t, "ClusterNotFound", one.Outcomes[1].Error)
	assert.Positive(t, one.Summary.Totals["pods"])
	assert.Equal(t, one.Outcomes, two.Outcomes, "the second reads how the first ended")

	described, err := s.client.DescribeExecution(t.Context(), &sfn.DescribeExecutionInput{
		ExecutionArn: aws.String(strings.Replace(s.machine, ":stateMachine:", ":execution:", 1) + ":" + fleet.ExecutionName("weekly", one.Outcomes[0].Target, 1)),
	})
	require.NoError(t, err, "a cluster's execution is found by its name")
	assert.Contains(t, aws.ToString(described.Input), first.ARN, "and tells by which fleet it was started")
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

	assert.Equal(t, map[contract.OutcomeStatus]int{contract.Succeeded: 3}, output.Summary.ByStatus)
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
	assert.Equal(t, map[contract.OutcomeStatus]int{contract.Succeeded: 1}, output.Summary.ByStatus)
	assert.Empty(t, output.Outcomes)
	assert.Contains(t, s.object(t, e.Name+"/report.csv"), role)
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

	assert.Equal(t, map[contract.OutcomeStatus]int{contract.Succeeded: 1, contract.Failed: 1}, output.Summary.ByStatus)
	assert.Equal(t, map[string]int{"created": 1, "configured": 0, "unchanged": 0, "applied": 0, "drift": 1}, output.Summary.Totals)
	_, err = admin(t).CoreV1().ConfigMaps("shop").Get(t.Context(), "of-a-fleet", metav1.GetOptions{})
	assert.True(t, apierrors.IsNotFound(err), "a plan changes nothing")
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
	assert.Equal(t, map[contract.OutcomeStatus]int{contract.Succeeded: 2}, output.Summary.ByStatus)
	assert.Equal(t, map[string]int{"created": 1, "configured": 0, "unchanged": 1, "applied": 1, "drift": 1}, output.Summary.Totals)
	created, err := admin(t).CoreV1().ConfigMaps(a.namespace).Get(t.Context(), "of-a-fleet", metav1.GetOptions{})
	require.NoError(t, err)
	assert.Equal(t, "hello", created.Data["greeting"])
}

func TestAnInvalidFleetStartsNothing(t *testing.T) {
	t.Parallel()
	s := newFleet(t)

	e := s.fleet(t, map[string]any{"workflow": "pod-inventory", "clusters": []string{world.ClusterName, "a b"}, "request": map[string]any{"namespace": "shop"}, "concurrency": 0})

	stopped(t, e, contract.InvalidInput, "3 problems", `clusters[1]: "a b"`, `request."namespace": unknown key: expected "namespaces"?`, "concurrency: 0")
	assert.Equal(t, path("FindClusters", "Explain", "Failed"), e.Path)
	assert.Zero(t, s.started(t))
}
