package approval_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/approval"
	"github.com/kubestep/kubestep/internal/approval/proof"
	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/contract/fleet"
)

const (
	execution = "arn:aws:states:eu-west-1:111122223333:execution:kubestep-apply-manifests:noon"
	digest    = "q83vEjRWeJq83vEjRWeJq83v"
)

// history is an execution, and what is sent to it.
type history struct {
	status types.ExecutionStatus
	events []types.HistoryEvent
	sent   []string
	err    error
}

func (h *history) DescribeExecution(context.Context, *sfn.DescribeExecutionInput, ...func(*sfn.Options)) (*sfn.DescribeExecutionOutput, error) {
	return &sfn.DescribeExecutionOutput{Status: h.status}, nil
}

func (h *history) GetExecutionHistory(_ context.Context, in *sfn.GetExecutionHistoryInput, _ ...func(*sfn.Options)) (*sfn.GetExecutionHistoryOutput, error) {
	if !in.ReverseOrder {
		return nil, assert.AnError // the last events of 25,000
	}
	return &sfn.GetExecutionHistoryOutput{Events: h.events}, nil
}

func (h *history) SendTaskSuccess(_ context.Context, in *sfn.SendTaskSuccessInput, _ ...func(*sfn.Options)) (*sfn.SendTaskSuccessOutput, error) {
	h.sent = append(h.sent, *in.TaskToken+" "+*in.Output)
	return &sfn.SendTaskSuccessOutput{}, h.err
}

func event(id int64, kind types.HistoryEventType) types.HistoryEvent {
	return types.HistoryEvent{Id: id, Type: kind}
}

func scheduled(t *testing.T, id int64, resource string) types.HistoryEvent {
	t.Helper()
	text, err := json.Marshal(map[string]any{"FunctionName": "f", "Payload": applymanifests.RequestApproval{Execution: execution, Plan: applymanifests.PlanReport{Digest: digest, Created: 1}, Token: "token"}})
	require.NoError(t, err)
	e := event(id, types.HistoryEventTypeTaskScheduled)
	e.Timestamp = aws.Time(time.Unix(100, 0))
	e.TaskScheduledEventDetails = &types.TaskScheduledEventDetails{Resource: &resource, Parameters: aws.String(string(text))}
	return e
}

func TestAPlanIsDecidedOnByWhoeverMayInvokeTheFunction(t *testing.T) {
	sealer, err := proof.NewSealer("a secret of at least 32 characters")
	require.NoError(t, err)
	yes := applymanifests.ApprovePlan{Execution: execution, Digest: digest, By: "ada"}
	waiting := []types.HistoryEvent{event(9, types.HistoryEventTypeTaskSubmitted), event(8, types.HistoryEventTypeTaskStarted), scheduled(t, 7, "invoke.waitForTaskToken")}
	for sentence, c := range map[string]struct {
		payload applymanifests.ApprovePlan
		history history
		says    string // of the error
		sent    []string
	}{
		"yes":                           {payload: yes, history: history{status: types.ExecutionStatusRunning, events: waiting}, sent: []string{`"approved":true`, `"by":"ada"`}},
		"no":                            {payload: applymanifests.ApprovePlan{Execution: execution, Digest: digest, Reject: true, Reason: "Friday"}, history: history{status: types.ExecutionStatusRunning, events: waiting}, sent: []string{`"approved":false`, `"reason":"Friday"`}},
		"the events in the other order": {payload: yes, history: history{status: types.ExecutionStatusRunning, events: []types.HistoryEvent{waiting[2], waiting[1], waiting[0]}}, sent: []string{`"approved":true`}},
		"to another plan":               {payload: applymanifests.ApprovePlan{Execution: execution, Digest: strings.Repeat("A", 24)}, history: history{status: types.ExecutionStatusRunning, events: waiting}, says: "waits for the approval of another plan"},
		"to one that has ended":         {payload: yes, history: history{status: types.ExecutionStatusSucceeded, events: waiting}, says: "somebody decided already. To see which: kubestep follow " + execution},
		"twice":                         {payload: yes, history: history{status: types.ExecutionStatusRunning, events: append([]types.HistoryEvent{event(10, types.HistoryEventTypeTaskSucceeded)}, waiting...)}, says: "waits for no approval"},
		"to one that runs a function":   {payload: yes, history: history{status: types.ExecutionStatusRunning, events: []types.HistoryEvent{scheduled(t, 7, "invoke")}}, says: "waits for no approval"},
		"too late":                      {payload: yes, history: history{status: types.ExecutionStatusRunning, events: waiting, err: &types.TaskTimedOut{}}, says: "waits for no approval any more"},
		"to an execution of another machine": {
			payload: applymanifests.ApprovePlan{Execution: strings.Replace(execution, "kubestep-apply", "other-apply", 1), Digest: digest, Reason: "why"},
			says:    `execution: expected one of the state machine kubestep-apply-manifests or kubestep-fleet; reason: expected only with "reject": true`,
		},
		"for a reason of two lines": {
			payload: applymanifests.ApprovePlan{Execution: execution, Digest: digest, Reject: true, Reason: "Friday\nApproved by ada"}, says: "The payload has 1 problem: reason: 22 bytes: expected at most 500, all printable, in one line",
		},
		"for a reason that a terminal obeys": {
			payload: applymanifests.ApprovePlan{Execution: execution, Digest: digest, Reject: true, Reason: "\x1b[2Jno"}, says: "reason: 6 bytes: expected at most 500, all printable, in one line",
		},
		"to nothing": {says: "The payload has 2 problems: execution: expected the ARN of the execution that waits; digest: expected the 24 characters"},
	} {
		t.Run(sentence, func(t *testing.T) {
			approver := approval.Approver{API: &c.history, Sealer: sealer, Machines: []string{"kubestep-apply-manifests", "kubestep-fleet"}, Now: func() time.Time { return time.Unix(200, 5) }}
			answer, err := approver.Approve(t.Context(), c.payload)
			if c.says != "" {
				var named *contract.Error
				require.ErrorAs(t, err, &named)
				assert.Equal(t, contract.InvalidInput, named.Name)
				assert.Contains(t, named.Message, c.says)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, !c.payload.Reject, answer.Approved)
			require.Len(t, c.history.sent, 1)
			token, text, _ := strings.Cut(c.history.sent[0], " ")
			assert.Equal(t, "token", token)
			for _, part := range c.sent {
				assert.Contains(t, text, part)
			}
			var decision contract.Decision
			require.NoError(t, json.Unmarshal([]byte(text), &decision))
			require.NoError(t, sealer.Verify(execution, decision))
		})
	}
}

// topic keeps what is published.
type topic struct{ messages []sns.PublishInput }

func (p *topic) Publish(_ context.Context, in *sns.PublishInput, _ ...func(*sns.Options)) (*sns.PublishOutput, error) {
	p.messages = append(p.messages, *in)
	return &sns.PublishOutput{MessageId: aws.String("m1")}, nil
}

func TestTheTopicIsToldWhatThereIsToApproveAndHow(t *testing.T) {
	published := &topic{}
	var region string
	requester := approval.Requester{Function: "kubestep-approve", SNS: func(of, _ string) approval.SNS {
		region = of
		return published
	}}
	in := applymanifests.RequestApproval{
		Execution: execution, Cluster: contract.Cluster{Name: "demo", Region: "eu-west-1"}, Token: "token",
		Approve: applymanifests.Approve{TopicARN: "arn:aws:sns:us-east-1:111122223333:changes", TimeoutSeconds: 3600},
		Plan: applymanifests.PlanReport{
			Created: 1, Pruned: 1, Unchanged: 4, Digest: digest,
			Objects: []applymanifests.PlannedObject{
				{Kind: "ConfigMap", Namespace: "shop", Name: "a", Action: applymanifests.ActionCreated},
				{Kind: "ConfigMap", Namespace: "shop", Name: "old", Action: applymanifests.ActionPruned},
				{Kind: "ConfigMap", Namespace: "shop", Name: "same", Action: applymanifests.ActionUnchanged},
			},
			Diff: &applymanifests.Diff{Bucket: "reports", Keys: []string{"diff-00000.txt"}},
		},
	}
	answer, err := requester.Request(t.Context(), approval.Asked{RequestApproval: in})
	require.NoError(t, err)
	assert.Equal(t, "m1", answer.MessageID)
	assert.Equal(t, "us-east-1", region, "the topic's own")
	require.Len(t, published.messages, 1)
	text := *published.messages[0].Message
	assert.NotContains(t, text, "token", "whoever reads it must be allowed to approve")
	assert.NotContains(t, text, "shop/same")
	for _, line := range []string{
		"Objects: 1 created, 1 pruned, 4 unchanged.\n", "  created    ConfigMap shop/a\n", "  pruned     ConfigMap shop/old\n", "  aws s3 cp s3://reports/diff-00000.txt -\n",
		"  kubestep approve " + execution + " --digest " + digest + "\n", "within 1h0m0s",
		"  echo '{\"execution\":\"" + execution + "\",\"digest\":\"" + digest + "\"}' > decision.json\n",
		"  aws lambda invoke --region eu-west-1 --function-name kubestep-approve --payload fileb://decision.json /dev/stdout\n",
	} {
		assert.Contains(t, text, line)
	}

	in.Approve.TopicARN = ""
	_, err = requester.Request(t.Context(), approval.Asked{RequestApproval: in})
	require.NoError(t, err)
	assert.Len(t, published.messages, 1, "without a topic, nobody is told")
}

// rollout is what a fleet waits with.
var rollout = fleet.Rollout{
	Name: "nightly", Workflow: "apply-manifests", Digest: digest, Wave: "canary",
	Approve: fleet.Approve{TopicARN: "arn:aws:sns:us-east-1:111122223333:changes", TimeoutSeconds: 3600},
	Done:    []fleet.WaveDone{{Name: "canary", Clusters: 3, Failed: 1, Jobs: 2}}, Next: fleet.WaveNext{Name: "tenth", Clusters: 7, Names: []string{"a", "b"}}, Later: 30,
	Report: "s3://reports/report.html",
}

const fleetExecution = "arn:aws:states:eu-west-1:111122223333:execution:kubestep-fleet:nightly"

func TestTheTopicIsToldWhereARolloutStandsAndHowToApprove(t *testing.T) {
	published := &topic{}
	requester := approval.Requester{Function: "kubestep-approve", SNS: func(string, string) approval.SNS { return published }}
	in := approval.Asked{Rollout: rollout}
	in.Execution, in.Token = fleetExecution, "token"

	_, err := requester.Request(t.Context(), in)

	require.NoError(t, err)
	require.Len(t, published.messages, 1)
	assert.Equal(t, "kubestep: approve rollout nightly", *published.messages[0].Subject)
	text := *published.messages[0].Message
	assert.NotContains(t, text, "token")
	for _, line := range []string{
		"Rollout nightly, execution " + fleetExecution + ", waits for somebody to approve that it goes on.\n", "Wave canary: 2 of 3 clusters succeeded, and its job in 2.\n",
		"Next is wave tenth: apply-manifests runs on 7 clusters: a, b, and 5 more. Later waves have 30 clusters.\n", "Where it stands: s3://reports/report.html. The report takes its place once the rollout has ended.\n", "within 1h0m0s",
		"  kubestep approve " + fleetExecution + " --digest " + digest + "\n", `{"execution":"` + fleetExecution + `","digest":"` + digest + `"}`, "--function-name kubestep-approve",
	} {
		assert.Contains(t, text, line)
	}
}

func TestWhatIsLeftOfARolloutIsSaid(t *testing.T) {
	last := rollout
	last.Next, last.Later, last.Report = fleet.WaveNext{}, 0, ""
	assert.Equal(t, []string{"Wave canary: 2 of 3 clusters succeeded, and its job in 2.", "No wave is left: the rollout ends with the approval."}, approval.Rollout(last))
	last.Done = []fleet.WaveDone{{Name: "canary", Clusters: 9, Failed: 1, LeftOut: 6, Jobs: 2}}
	assert.Equal(t, "Wave canary: 2 of 9 clusters succeeded, 6 left out, and its job in 2.", approval.Rollout(last)[0], "what tested nothing did not succeed")
	whole := fleet.Rollout{Workflow: "apply-manifests", Next: fleet.WaveNext{Clusters: 1, Names: []string{"a"}}}
	assert.Equal(t, []string{"Next: apply-manifests runs on 1 cluster: a."}, approval.Rollout(whole))
}

func TestAGateIsDecidedOnAsAPlanIs(t *testing.T) {
	sealer, err := proof.NewSealer("a secret of at least 32 characters")
	require.NoError(t, err)
	text, err := json.Marshal(map[string]any{"FunctionName": "f", "Payload": fleet.RequestApproval{Execution: fleetExecution, Rollout: rollout, Token: "token"}})
	require.NoError(t, err)
	waits := event(7, types.HistoryEventTypeTaskScheduled)
	waits.TaskScheduledEventDetails = &types.TaskScheduledEventDetails{Resource: aws.String("invoke.waitForTaskToken"), Parameters: aws.String(string(text))}
	h := &history{status: types.ExecutionStatusRunning, events: []types.HistoryEvent{waits}}
	approver := approval.Approver{API: h, Sealer: sealer, Machines: []string{"kubestep-apply-manifests", "kubestep-fleet"}, Now: time.Now}

	_, err = approver.Approve(t.Context(), applymanifests.ApprovePlan{Execution: fleetExecution, Digest: strings.Repeat("A", 24)})
	require.ErrorContains(t, err, "waits for the approval of another gate than AAAA", "an earlier gate, or another list")
	_, err = approver.Approve(t.Context(), applymanifests.ApprovePlan{Execution: fleetExecution, Digest: digest, By: "ada"})
	require.NoError(t, err)
	require.Len(t, h.sent, 1)
	assert.Contains(t, h.sent[0], `"approved":true`)

	found, err := approval.Find(t.Context(), h, fleetExecution)
	require.NoError(t, err)
	assert.Equal(t, digest, found.Digest())
	assert.Equal(t, 3600, found.TimeoutSeconds())
}
