package main

import (
	"encoding/json"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract/applymanifests"
)

func TestTheLiveLineSaysWhatIsWaitedFor(t *testing.T) {
	of := func(mode applymanifests.Mode) applymanifests.Document {
		return applymanifests.Document{Request: applymanifests.Request{Mode: mode}}
	}
	pruning, waiting := of(applymanifests.ModeApply), of(applymanifests.ModeApply)
	pruning.Plan.Pruned, pruning.Prune.Pruned = 3, 2
	pruning.Prune.Deleting = []applymanifests.NotReadyObject{{Kind: "ConfigMap", Namespace: "shop", Name: "held", Message: "it waits for its finalizers\x1b[2J"}}
	waiting.Readiness.NotReady = []applymanifests.NotReadyObject{{Kind: "Deployment", Namespace: "shop", Name: "web", Message: "1 of 2 replicas"}}
	for want, c := range map[string]struct {
		state    string
		document applymanifests.Document
	}{
		"":                                 {"MintToken", of(applymanifests.ModeApply)},
		"which members left the manifests": {"PlanSet", of(applymanifests.ModePlan)},
		"which members the set has":        {"PlanSet", of(applymanifests.ModeDelete)},
		"0 of 0 objects deleted":           {"PruneObjects", of(applymanifests.ModeDelete)},
		`2 of 3 objects deleted, ConfigMap shop/held: it waits for its finalizers\x1b[2J`: {"WaitUntilGone", pruning},
		"1 not ready, Deployment shop/web: 1 of 2 replicas":                               {"WaitUntilReady", waiting},
		"another execution changes the set":                                               {"WaitForSet", of(applymanifests.ModeApply)},
	} {
		t.Run(want, func(t *testing.T) {
			text, err := json.Marshal(c.document)
			require.NoError(t, err)
			g, _ := newApplyGauge()
			g.event(types.HistoryEvent{StateExitedEventDetails: &types.StateExitedEventDetails{Name: aws.String("Before"), Output: aws.String(string(text))}})
			g.event(types.HistoryEvent{StateEnteredEventDetails: &types.StateEnteredEventDetails{Name: &c.state}})
			g.event(types.HistoryEvent{StateExitedEventDetails: &types.StateExitedEventDetails{Name: aws.String("Other"), Output: aws.String(`{"mode":"apply"}`)}})
			assert.Equal(t, want, g.detail(t.Context(), 200))
			if want != "" {
				assert.Equal(t, want[:9]+"…", g.detail(t.Context(), 10))
			}
			assert.Empty(t, g.detail(t.Context(), 0))
		})
	}
}
