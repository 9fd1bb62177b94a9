package test

import (
	"encoding/json"
	"maps"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	k8stypes "k8s.io/apimachinery/pkg/types"

	"github.com/kubestep/kubestep/internal/approval"
	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/internal/follow"
	"github.com/kubestep/kubestep/local/world"
)

// newGated returns an applier that may apply everything, whose stack also runs Jobs in its namespace.
func newGated(t *testing.T) *applier {
	t.Helper()
	a := newAdmin(t)
	require.NoError(t, local.CreateBucket(t.Context(), a.scenario.bucket()))
	group := "runners-" + a.stack.Name
	a.set(t, map[string]string{
		"EnableJobs": "true", "FleetWorkflows": "pod-inventory,apply-manifests,run-job", "JobsKubernetesGroup": group, "OutputBucket": a.scenario.bucket(),
	})
	editAwsAuth(t, func(mappings []mapping) []mapping {
		return append(mappings, mapping{a.stack.Role("jobs-mint-token"), "runner:" + a.stack.Name, []string{group}})
	})
	j := &jobRunner{scenario: a.scenario, group: group, namespace: a.namespace}
	j.bind(t, rbacv1.PolicyRule{APIGroups: []string{"batch"}, Resources: []string{"jobs"}, Verbs: []string{"create", "get", "list", "watch", "delete"}},
		rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"list", "watch"}},
		rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"events"}, Verbs: []string{"list"}},
		rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods/log"}, Verbs: []string{"get"}})
	return a
}

// smokeTest is a Job of a gate that ends with an exit code.
func (a *applier) smokeTest(exitCode string) map[string]any {
	job := aJob(fields{"kubestep.local/exit": exitCode})
	job["metadata"] = fields{"name": "smoke-" + exitCode}
	return map[string]any{"namespace": a.namespace, "job": job, "timeoutSeconds": 120}
}

// The paths of parts of a rollout.
var (
	roundPath = path("WhereClustersAre", "RunClusters", "Summarize", "Verdict")
	soakPath  = path("Soak", "HasAlarms", "Summarize", "Verdict")
)

// wavesOf reads the waves of the report of a rollout.
func (a *applier) wavesOf(t *testing.T, e follow.Execution) []fleet.WaveSummary {
	t.Helper()
	var report struct {
		Waves []fleet.WaveSummary `json:"waves"`
	}
	require.NoError(t, json.Unmarshal([]byte(a.object(t, folder(e)+"report.json")), &report))
	return report.Waves
}

func TestAWaveBeginsIfTheJobOfTheGateSucceeds(t *testing.T) {
	t.Parallel()
	a := newGated(t)

	e := a.fleet(t, map[string]any{
		"workflow": "apply-manifests", "clusters": a.clusters(t, 4), "output": map[string]string{"bucket": a.scenario.bucket()},
		"request": map[string]any{"mode": "apply", "namespace": a.namespace, "manifests": configMap("of-a-rollout", "1")},
		"waves": []any{
			map[string]any{"name": "canary", "percentage": 50, "gate": map[string]any{"soakSeconds": 1, "job": a.smokeTest("0")}},
			map[string]any{"name": "half", "percentage": 50, "gate": map[string]any{"job": a.smokeTest("3")}},
			map[string]any{"name": "rest", "percentage": 100},
		},
	})

	assert.Equal(t, fleet.RolloutFailed, e.Error, e.Cause)
	assert.Equal(t, path("FindClusters", roundPath, soakPath, roundPath, roundPath, roundPath, "RolloutFailed"), e.Path, "a wave, its soak, its Job, a wave, and its Job")
	assert.Contains(t, e.Cause, "Wave half stopped the rollout: the gate of wave half was not passed: its job failed in 1 cluster: ")
	assert.Contains(t, e.Cause, "JobFailed: ")
	assert.Contains(t, e.Cause, "exit code 3")
	assert.Equal(t, 3, a.started(t), "two of the canary, and one of the second wave")
	runner := *a.scenario
	runner.machine = a.stack.StateMachineARN("run-job")
	assert.Equal(t, 3, runner.started(t), "a Job in each cluster of the two waves")
	waves := a.wavesOf(t, e)
	assert.Equal(t, []fleet.GateResult{fleet.GatePassed, fleet.GateFailed, ""}, []fleet.GateResult{waves[0].Gate, waves[1].Gate, waves[2].Gate})
	assert.Equal(t, 2, waves[0].Jobs)
	assert.Contains(t, waves[1].Why, "exit code 3")

	again := a.redrive(t, e.ARN)
	assert.Equal(t, fleet.RolloutFailed, again.Error)
	assert.Equal(t, 3, runner.started(t), "a redrive runs no Job")
}

// waitingAt waits until a rollout waits for an approval.
func (a *applier) waitingAt(t *testing.T, execution string) (waits *approval.Waiting) {
	t.Helper()
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		var err error
		waits, err = approval.Find(t.Context(), a.client, execution)
		assert.NoError(c, err)
		assert.NotNil(c, waits)
	}, 2*time.Minute, 250*time.Millisecond)
	return waits
}

// decide invokes the function approve, and returns the error that it ends with.
func (a *applier) decide(t *testing.T, payload applymanifests.ApprovePlan) string {
	t.Helper()
	var approved applymanifests.ApprovedPlan
	return a.invoke(t, "approve", payload, &approved)
}

func TestAWaveBeginsOnceSomebodyApprovedIt(t *testing.T) {
	t.Parallel()
	a := newGated(t)
	developer, err := local.Developer()
	require.NoError(t, err)
	created, err := sns.NewFromConfig(developer).CreateTopic(t.Context(), &sns.CreateTopicInput{Name: aws.String("rollouts-" + a.stack.Name)})
	require.NoError(t, err)
	a.set(t, map[string]string{"ApprovalTopicArns": *created.TopicArn})
	gate := func(more map[string]any) map[string]any {
		gate := map[string]any{"approval": map[string]any{"topicArn": *created.TopicArn, "timeoutSeconds": 600}}
		maps.Copy(gate, more)
		return gate
	}
	execution := a.begin(t, map[string]any{
		"workflow": "apply-manifests", "clusters": a.clusters(t, 3), "output": map[string]string{"bucket": a.scenario.bucket()},
		"request": map[string]any{"mode": "apply", "namespace": a.namespace, "manifests": configMap("of-a-rollout", "1")},
		"waves": []any{
			map[string]any{"name": "canary", "percentage": 1, "gate": gate(map[string]any{"job": a.smokeTest("0")})},
			map[string]any{"name": "half", "percentage": 50, "gate": gate(nil)},
			map[string]any{"name": "rest", "percentage": 100},
		},
	})

	first := a.waitingAt(t, execution)
	assert.Equal(t, "canary", first.Rollout.Wave)
	assert.Equal(t, []fleet.WaveDone{{Name: "canary", Clusters: 1, Jobs: 1}}, first.Rollout.Done)
	assert.Equal(t, fleet.WaveNext{Name: "half", Clusters: 1, Names: []string{world.ClusterName}}, first.Rollout.Next)
	assert.Equal(t, 1, a.started(t), "nothing else begins before")
	assert.Equal(t, string(contract.InvalidInput), a.decide(t, applymanifests.ApprovePlan{Execution: execution, Digest: "AAAAAAAAAAAAAAAAAAAAAAAA"}), "it waits for the approval of another gate")
	standing := a.object(t, contract.ExecutionARN(execution).Folder()+"report.html")
	assert.Contains(t, standing, "Waits for the approval of wave canary")
	assert.Contains(t, standing, "its job succeeded in 1 cluster")
	shell := newShell(t, "")
	said, _, err := shell.run(t, nil, "kubestep", "approve", execution)
	require.NoError(t, err)
	assert.Contains(t, said, "waits at the gate of wave canary.\nWave canary: 1 of 1 cluster succeeded, and its job in 1.\nNext is wave half: apply-manifests runs on 1 cluster: "+world.ClusterName+". Later waves have 1 cluster.\n")
	assert.Contains(t, said, "Where it stands: s3://"+a.scenario.bucket()+"/"+contract.ExecutionARN(execution).Folder()+"report.html. The report takes its place once the rollout has ended.\n")
	said, _, err = shell.run(t, nil, "kubestep", "approvals", "--state-machine-arn", a.machine)
	require.NoError(t, err)
	assert.Regexp(t, `(?m)^wave canary .+ 1 cluster +`+first.Digest()+" +"+contract.ExecutionARN(execution).Name()+"$", said)
	said, _, err = shell.run(t, nil, "kubestep", "approve", execution, "--digest", first.Digest(), "--by", "ada")
	require.NoError(t, err)
	assert.Contains(t, said, "approved "+first.Digest())

	require.EventuallyWithT(t, func(c *assert.CollectT) {
		waits, err := approval.Find(t.Context(), a.client, execution)
		assert.NoError(c, err)
		if assert.NotNil(c, waits) {
			assert.Equal(c, "half", waits.Rollout.Wave)
		}
	}, 2*time.Minute, 250*time.Millisecond)
	assert.Equal(t, string(contract.InvalidInput), a.decide(t, applymanifests.ApprovePlan{Execution: execution, Digest: first.Digest()}), "the decision about the first gate is none about the second")
	second := a.waitingAt(t, execution)
	assert.Empty(t, a.decide(t, applymanifests.ApprovePlan{Execution: execution, Digest: second.Digest(), Reject: true, Reason: "not on a Friday", By: "ada"}))
	e := a.ended(t, execution)

	assert.Equal(t, fleet.RolloutFailed, e.Error)
	assert.Contains(t, e.Cause, "Wave half stopped the rollout: the gate of wave half was not passed: it was rejected by ada: not on a Friday. 1 cluster is changed, or may be: ")
	assert.Equal(t, path("FindClusters", roundPath, roundPath, "RequestApproval", "Summarize", "Verdict", roundPath, "RequestApproval", "Summarize", "Verdict", "RolloutFailed"), e.Path)
	assert.Equal(t, 2, a.started(t))
	assert.Equal(t, string(contract.InvalidInput), a.decide(t, applymanifests.ApprovePlan{Execution: execution, Digest: second.Digest()}), "it waits no more")
	waves := a.wavesOf(t, e)
	assert.Equal(t, []fleet.GateResult{fleet.GatePassed, fleet.GateFailed, ""}, []fleet.GateResult{waves[0].Gate, waves[1].Gate, waves[2].Gate})
	assert.Equal(t, "ada", waves[0].Approved.By)
	assert.WithinDuration(t, time.Now(), waves[0].Approved.At, time.Hour)
	ended := a.object(t, folder(e)+"report.html")
	assert.Contains(t, ended, "approved by ada, ")
	assert.NotContains(t, ended, "This is not the end")
}

// beginApproved begins a rollout to two clusters, whose canary needs an approval, and returns what it waits for.
func (a *applier) beginApproved(t *testing.T) (execution string, waits *approval.Waiting) {
	t.Helper()
	execution = a.begin(t, map[string]any{
		"workflow": "apply-manifests", "clusters": a.clusters(t, 2),
		"request": map[string]any{"mode": "apply", "namespace": a.namespace, "manifests": configMap("of-a-rollout", "1")},
		"waves": []any{
			map[string]any{"name": "canary", "percentage": 1, "gate": map[string]any{"approval": map[string]any{}}}, map[string]any{"name": "rest", "percentage": 100},
		},
	})
	return execution, a.waitingAt(t, execution)
}

func TestAnApprovalThatDoesNotComeFromTheFunctionApproveBeginsNothing(t *testing.T) {
	t.Parallel()
	a := newGated(t)
	execution, waits := a.beginApproved(t)
	forged, err := json.Marshal(contract.Decision{Digest: waits.Digest(), By: "eve", Approved: true, Seal: "Zm9yZ2Vk"})
	require.NoError(t, err)
	_, err = a.client.SendTaskSuccess(t.Context(), &sfn.SendTaskSuccessInput{TaskToken: &waits.Token, Output: aws.String(string(forged))})
	require.NoError(t, err)
	e := a.ended(t, execution)
	assert.Equal(t, fleet.RolloutFailed, e.Error)
	assert.Contains(t, e.Cause, "its approval does not come from the function approve")
	assert.Equal(t, 1, a.started(t))
}

func TestARolloutThatWaitsForAnApprovalCanBeStopped(t *testing.T) {
	t.Parallel()
	a := newGated(t)
	execution, waits := a.beginApproved(t)
	shell := newShell(t, "")

	said, _, err := shell.run(t, nil, "kubestep", "stop", execution, "--stack", a.stack.Name)

	require.NoError(t, err)
	assert.Contains(t, said, "stopped "+execution+"\n")
	described, err := a.client.DescribeExecution(t.Context(), &sfn.DescribeExecutionInput{ExecutionArn: &execution})
	require.NoError(t, err)
	assert.Equal(t, types.ExecutionStatusAborted, described.Status, "at once")
	said, _, err = shell.run(t, nil, "kubestep", "approvals", "--state-machine-arn", a.machine)
	require.NoError(t, err)
	assert.Equal(t, "No execution of apply-manifests or fleet waits for an approval\n", said)
	_, refused, err := shell.run(t, nil, "kubestep", "approve", execution, "--digest", waits.Digest())
	require.Error(t, err)
	assert.Contains(t, refused, "waits for no approval")
	_, refused, err = shell.run(t, nil, "kubestep", "stop", execution, "--stack", a.stack.Name)
	require.Error(t, err)
	assert.Contains(t, refused, "does not run any more: it ended as ABORTED")
	e := a.ended(t, execution)
	assert.Equal(t, path("FindClusters", roundPath, "RequestApproval"), e.Path, "nothing comes after the wait")
	assert.Equal(t, 1, a.started(t), "the canary's, and no other")
}

func TestARolloutThatNobodyApprovesInTimeEnds(t *testing.T) {
	t.Parallel()
	a := newGated(t)
	e := a.fleet(t, map[string]any{
		"workflow": "apply-manifests", "clusters": a.clusters(t, 2),
		"request": map[string]any{"mode": "apply", "namespace": a.namespace, "manifests": configMap("of-a-rollout", "1")},
		"waves": []any{
			map[string]any{"name": "canary", "percentage": 1, "gate": map[string]any{"approval": map[string]any{"timeoutSeconds": 60}}}, map[string]any{"name": "rest", "percentage": 100},
		},
	})
	assert.Equal(t, fleet.RolloutFailed, e.Error)
	assert.Contains(t, e.Cause, "the gate of wave canary was not passed: nobody approved it within 1m0s")
	assert.Equal(t, path("FindClusters", roundPath, "RequestApproval", "Summarize", "Verdict", "RolloutFailed"), e.Path)
	assert.Equal(t, 1, a.started(t))
}

func TestAFleetBeginsOnceSomebodyApprovedThatPlan(t *testing.T) {
	t.Parallel()
	a := newGated(t)
	configs := admin(t).CoreV1().ConfigMaps(a.namespace)
	clusters, request := a.clusters(t, 1), map[string]any{"mode": "plan", "namespace": a.namespace, "manifests": configMap("of-a-rollout", "1"), "force": true}
	input := map[string]any{"workflow": "apply-manifests", "clusters": clusters, "request": request, "output": map[string]string{"bucket": a.scenario.bucket()}}
	planned := fleetOutput(t, a.fleet(t, input))
	require.Len(t, planned.Summary.Effects, 1)
	request["mode"], request["effect"], input["approve"] = "apply", planned.Summary.Effects[0].Digest, map[string]int{"timeoutSeconds": 600}

	execution := a.begin(t, input)
	waits := a.waitingAt(t, execution)
	assert.Empty(t, waits.Rollout.Wave)
	assert.Contains(t, a.object(t, contract.ExecutionARN(execution).Folder()+"report.html"), "Waits for approval: nothing has begun")
	assert.Contains(t, waits.Rollout.Request, planned.Summary.Effects[0].Digest)
	assert.Equal(t, 1, a.started(t), "the plan, and nothing else")
	said, _, err := newShell(t, "").run(t, nil, "kubestep", "approve", execution)
	require.NoError(t, err)
	assert.Contains(t, said, "waits to begin.\nNext: apply-manifests runs on 1 cluster: "+world.ClusterName+".\n")
	require.Empty(t, a.decide(t, applymanifests.ApprovePlan{Execution: execution, Digest: waits.Digest(), By: "ada"}))
	e := a.ended(t, execution)
	output := fleetOutput(t, e)
	assert.Equal(t, path("FindClusters", "WhereClustersAre", "Summarize", "Verdict", "RequestApproval", "Summarize", "Verdict", roundPath, "Output"), e.Path)
	assert.Equal(t, "ada", output.Summary.Approved.By)
	assert.Equal(t, 1, output.Summary.Totals["applied"])

	// Somebody changes the cluster between the plan and its approval.
	_, err = configs.Patch(t.Context(), "of-a-rollout", k8stypes.MergePatchType, []byte(`{"data":{"a":"other"}}`), metav1.PatchOptions{FieldManager: "kubestep"})
	require.NoError(t, err)
	request["mode"] = "plan"
	delete(request, "effect")
	delete(input, "approve")
	planned = fleetOutput(t, a.fleet(t, input))
	request["mode"], request["effect"], input["approve"] = "apply", planned.Summary.Effects[0].Digest, map[string]int{"timeoutSeconds": 600}
	execution = a.begin(t, input)
	waits = a.waitingAt(t, execution)
	_, err = configs.Patch(t.Context(), "of-a-rollout", k8stypes.MergePatchType, []byte(`{"data":{"a":"another"}}`), metav1.PatchOptions{FieldManager: "kubestep"})
	require.NoError(t, err)
	require.Empty(t, a.decide(t, applymanifests.ApprovePlan{Execution: execution, Digest: waits.Digest()}))
	e = a.ended(t, execution)
	assert.Equal(t, fleet.ClustersFailed, e.Error)
	assert.Contains(t, e.Cause, "1 "+string(contract.PlanChanged))
	live, err := configs.Get(t.Context(), "of-a-rollout", metav1.GetOptions{})
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"a": "another"}, live.Data, "it is as somebody made it")

	before := a.started(t)
	execution = a.begin(t, input)
	waits = a.waitingAt(t, execution)
	require.Empty(t, a.decide(t, applymanifests.ApprovePlan{Execution: execution, Digest: waits.Digest(), Reject: true, Reason: "not on a Friday"}))
	e = a.ended(t, execution)
	assert.Equal(t, fleet.RolloutFailed, e.Error)
	assert.Contains(t, e.Cause, "The rollout was not approved: it was rejected: not on a Friday. No cluster is changed: 1 cluster was not started.")
	assert.Equal(t, before, a.started(t))
}
