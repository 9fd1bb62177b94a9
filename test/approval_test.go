package test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	k8stypes "k8s.io/apimachinery/pkg/types"

	"github.com/kubestep/kubestep/internal/approval"
	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/follow"
)

// waiting starts an execution whose plan is to be approved, and returns what it waits for.
func (a *applier) waiting(t *testing.T, topic, manifests string) (execution string, waits *approval.Waiting) {
	t.Helper()
	text, err := json.Marshal(map[string]any{
		"clusterName": "demo", "mode": "apply", "namespace": a.namespace, "manifests": manifests, "force": true, "approve": map[string]any{"topicArn": topic, "timeoutSeconds": 600},
	})
	require.NoError(t, err)
	started, err := a.client.StartExecution(t.Context(), &sfn.StartExecutionInput{StateMachineArn: &a.machine, Input: aws.String(string(text))})
	require.NoError(t, err)
	execution = *started.ExecutionArn
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		var err error
		waits, err = approval.Find(t.Context(), a.client, execution)
		assert.NoError(c, err)
		assert.NotNil(c, waits)
	}, time.Minute, 200*time.Millisecond)
	return execution, waits
}

// ended follows an execution to its end, and keeps it for the look at all histories.
func (a *applier) ended(t *testing.T, execution string) follow.Execution {
	t.Helper()
	e := a.follow(t, execution)
	a.executions = append(a.executions, e)
	return e
}

func TestAPlanIsAppliedOnceSomebodyApprovedExactlyThatPlan(t *testing.T) {
	t.Parallel()
	a := newApplier(t)
	a.allow(t, rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"get", "create", "patch"}})
	developer, err := local.Developer()
	require.NoError(t, err)
	created, err := sns.NewFromConfig(developer).CreateTopic(t.Context(), &sns.CreateTopicInput{Name: aws.String("changes-" + a.stack.Name)})
	require.NoError(t, err)
	topic := *created.TopicArn
	a.set(t, map[string]string{"ApprovalTopicArns": topic})
	configs := admin(t).CoreV1().ConfigMaps(a.namespace)
	approve := func(payload applymanifests.ApprovePlan) (applymanifests.ApprovedPlan, string) {
		var approved applymanifests.ApprovedPlan
		failed := a.invoke(t, "approve", payload, &approved)
		return approved, failed
	}
	refused := func(payload applymanifests.ApprovePlan, why string) {
		_, failed := approve(payload)
		assert.Equal(t, string(contract.InvalidInput), failed, why)
	}

	execution, waits := a.waiting(t, topic, configMapsOf("approved"))
	assert.Equal(t, 1, waits.Plan.Created)
	_, err = configs.Get(t.Context(), "approved", metav1.GetOptions{})
	assert.True(t, apierrors.IsNotFound(err), "nothing is applied before")
	refused(applymanifests.ApprovePlan{Execution: execution, Digest: "AAAAAAAAAAAAAAAAAAAAAAAA"}, "it waits for the approval of another plan")
	refused(applymanifests.ApprovePlan{Execution: a.stack.StateMachineARN("fleet"), Digest: waits.Plan.Digest}, "it is no execution")
	yes := applymanifests.ApprovePlan{Execution: execution, Digest: waits.Plan.Digest, By: "ada"}
	said, _, err := newShell(t, "").run(t, nil, "kubestep", "approve", execution)
	require.NoError(t, err)
	assert.Contains(t, said, "create     ConfigMap "+a.namespace+"/approved")
	assert.Contains(t, said, "--digest "+waits.Plan.Digest)
	said, _, err = newShell(t, "").run(t, nil, "kubestep", "approvals", "--state-machine-arn", a.machine)
	require.NoError(t, err)
	assert.Regexp(t, `(?m)^demo .+\+1 ~0 -0 +`+waits.Plan.Digest+" +"+contract.ExecutionARN(execution).Name()+"$", said)
	said, _, err = newShell(t, "").run(t, nil, "kubestep", "approve", execution, "--digest", waits.Plan.Digest, "--by", "ada")
	require.NoError(t, err)
	assert.Contains(t, said, "approved "+waits.Plan.Digest)
	e := a.ended(t, execution)
	output := applied(t, e)
	assert.Equal(t, 1, output.Applied)
	assert.Equal(t, "ada", output.Approval.By)
	assert.Equal(t, waits.Plan.Digest, output.Approval.Digest)
	assert.Equal(t, 2, e.Attempts("PlanManifests"), "it plans again after the approval")
	refused(yes, "it waits no more")

	// Nothing to change is nothing to approve.
	text, err := json.Marshal(map[string]any{"clusterName": "demo", "mode": "apply", "namespace": a.namespace, "manifests": configMapsOf("approved"), "approve": map[string]any{"timeoutSeconds": 600}})
	require.NoError(t, err)
	again := a.start(t, a.machine, string(text))
	assert.Zero(t, applied(t, again).Applied)
	assert.NotContains(t, again.Path, "RequestApproval")

	// Somebody changes what is to be changed between the plan and its approval.
	_, err = configs.Patch(t.Context(), "approved", k8stypes.MergePatchType, []byte(`{"data":{"a":"other"}}`), metav1.PatchOptions{FieldManager: "kubestep"})
	require.NoError(t, err)
	execution, waits = a.waiting(t, topic, configMapsOf("approved"))
	_, err = configs.Patch(t.Context(), "approved", k8stypes.MergePatchType, []byte(`{"data":{"a":"another"}}`), metav1.PatchOptions{FieldManager: "kubestep"})
	require.NoError(t, err)
	_, failed := approve(applymanifests.ApprovePlan{Execution: execution, Digest: waits.Plan.Digest})
	require.Empty(t, failed)
	e = a.ended(t, execution)
	assert.Equal(t, string(contract.PlanChanged), e.Error, e.Cause)
	assert.Contains(t, e.Cause, "ConfigMap "+a.namespace+"/approved")
	live, err := configs.Get(t.Context(), "approved", metav1.GetOptions{})
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"a": "another"}, live.Data, "it is as somebody made it")

	execution, waits = a.waiting(t, topic, configMapsOf("rejected"))
	rejected, failed := approve(applymanifests.ApprovePlan{Execution: execution, Digest: waits.Plan.Digest, Reject: true, Reason: "not on a Friday", By: "ada"})
	require.Empty(t, failed)
	assert.False(t, rejected.Approved)
	e = a.ended(t, execution)
	assert.Equal(t, string(contract.NotApproved), e.Error)
	assert.Equal(t, "The plan was rejected (by: ada): not on a Friday. Nothing was applied", e.Cause)

	// Whoever reads histories knows the task token.
	execution, waits = a.waiting(t, topic, configMapsOf("forged"))
	forged, err := json.Marshal(contract.Decision{Digest: waits.Plan.Digest, By: "eve", Approved: true, Seal: "Zm9yZ2Vk"})
	require.NoError(t, err)
	_, err = a.client.SendTaskSuccess(t.Context(), &sfn.SendTaskSuccessInput{TaskToken: &waits.Token, Output: aws.String(string(forged))})
	require.NoError(t, err)
	e = a.ended(t, execution)
	assert.Equal(t, types.ExecutionStatusFailed, e.Status)
	assert.Equal(t, string(contract.NotApproved), e.Error)
	assert.Contains(t, e.Cause, "does not come from the function approve")
	_, err = configs.Get(t.Context(), "forged", metav1.GetOptions{})
	assert.True(t, apierrors.IsNotFound(err))
}
