package main

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/internal/follow"
)

// asText is JSON.
func asText(t *testing.T, value any) *string {
	t.Helper()
	text, err := json.Marshal(value)
	require.NoError(t, err)
	return aws.String(string(text))
}

// entered is the event of a state that is entered, and asked the one of a task that waits for a token.
func entered(t *testing.T, state string, document any) types.HistoryEvent {
	t.Helper()
	return types.HistoryEvent{Type: types.HistoryEventTypeTaskStateEntered, Timestamp: aws.Time(time.Unix(fleetBegan, 0)), StateEnteredEventDetails: &types.StateEnteredEventDetails{Name: &state, Input: asText(t, document)}}
}

func asked(t *testing.T, payload map[string]any) types.HistoryEvent {
	t.Helper()
	payload["token"] = "secret"
	return types.HistoryEvent{Type: types.HistoryEventTypeTaskScheduled, Timestamp: aws.Time(time.Unix(fleetBegan, 0)), TaskScheduledEventDetails: &types.TaskScheduledEventDetails{
		Resource: aws.String("invoke.waitForTaskToken"), Parameters: asText(t, map[string]any{"Payload": payload}),
	}}
}

func TestWhoFollowsIsToldForWhatTheExecutionWaits(t *testing.T) {
	at := func(seconds int) string {
		return time.Unix(fleetBegan, 0).Add(time.Duration(seconds) * time.Second).Local().Format("15:04 MST")
	}
	rollout := func(wave string) map[string]any {
		return map[string]any{"execution": "arn:aws:states:eu-west-1:123456789012:execution:kubestep-fleet:r1", "rollout": fleet.Rollout{Digest: "d", Wave: wave, Approve: fleet.Approve{TimeoutSeconds: 28800}}}
	}
	atGate := map[string]any{"run": fleet.Run{Waves: []fleet.Wave{{Name: "canary"}, {Name: "half"}}, Gate: fleet.Passage{Wave: 2, SoakSeconds: 600}}}
	for sentence, c := range map[string]struct {
		events []types.HistoryEvent
		want   string
	}{
		"the gate of a wave":          {[]types.HistoryEvent{entered(t, "RequestApproval", nil), asked(t, rollout("canary"))}, "waits for an approval of wave canary until " + at(28800) + ": kubestep approve r1"},
		"before the first wave":       {[]types.HistoryEvent{entered(t, "RequestApproval", nil), asked(t, rollout(""))}, "waits for an approval to begin until " + at(28800) + ": kubestep approve r1"},
		"a plan, of another stack":    {[]types.HistoryEvent{entered(t, "RequestApproval", nil), asked(t, map[string]any{"execution": "arn:aws:states:eu-west-1:123456789012:execution:test-apply-manifests:noon", "approve": applymanifests.Approve{TimeoutSeconds: 600}})}, "waits for an approval of the plan until " + at(600) + ": kubestep approve noon --stack test"},
		"of a machine of other names": {[]types.HistoryEvent{entered(t, "RequestApproval", nil), asked(t, map[string]any{"execution": "arn:aws:states:eu-west-1:123456789012:execution:mine:noon", "approve": applymanifests.Approve{TimeoutSeconds: 600}})}, "waits for an approval of the plan until " + at(600) + ": kubestep approve arn:aws:states:eu-west-1:123456789012:execution:mine:noon"},
		"a soak":                      {[]types.HistoryEvent{entered(t, "Soak", atGate)}, "waits 600 s at the gate of wave half, until " + at(600)},
		"alarms without a soak":       {[]types.HistoryEvent{entered(t, "Soak", map[string]any{"run": fleet.Run{Waves: []fleet.Wave{{Name: "canary"}}, Gate: fleet.Passage{Wave: 1}}})}, ""},
		"a soak of unknown waves":     {[]types.HistoryEvent{entered(t, "Soak", map[string]any{"run": fleet.Run{Gate: fleet.Passage{Wave: 2, SoakSeconds: 600}}})}, ""},
		"what waits for another task": {[]types.HistoryEvent{entered(t, "Summarize", nil), asked(t, rollout("canary"))}, ""},
		"no longer":                   {[]types.HistoryEvent{entered(t, "Soak", atGate), {StateExitedEventDetails: &types.StateExitedEventDetails{Name: aws.String("Soak"), Output: aws.String("{}")}}}, ""},
	} {
		t.Run(sentence, func(t *testing.T) {
			ofFleet, ofApply := &fleetGauge{}, &applyGauge{}
			for _, e := range c.events {
				ofFleet.event(e)
				ofApply.event(e)
			}
			assert.Equal(t, follow.Chapter{Say: c.want}, ofFleet.chapter())
			assert.Equal(t, c.want, ofApply.chapter().Say)
		})
	}
}
