package main

import (
	"encoding/json"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/follow"
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

func TestAPassSaysWhatItDoes(t *testing.T) {
	doc := func(mode applymanifests.Mode, set func(*applymanifests.Document)) applymanifests.Document {
		d := applymanifests.Document{Request: applymanifests.Request{Mode: mode}}
		if set != nil {
			set(&d)
		}
		return d
	}
	planned := func(more func(*applymanifests.Document)) applymanifests.Document {
		return doc(applymanifests.ModeApply, func(d *applymanifests.Document) {
			d.Plan.Complete = true
			more(d)
		})
	}
	for sentence, c := range map[string]struct {
		document applymanifests.Document
		want     string
	}{
		"a plan alone, which does one thing":     {doc(applymanifests.ModePlan, nil), ""},
		"a list of sets":                         {doc(applymanifests.ModeSets, nil), ""},
		"an apply begins with a plan":            {doc(applymanifests.ModeApply, nil), "Plan, with a dry run"},
		"so does a deletion":                     {doc(applymanifests.ModeDelete, nil), "Plan, with a dry run"},
		"another execution changed the set":      {doc(applymanifests.ModeApply, func(d *applymanifests.Document) { d.Plan.Tries = "." }), "Plan again, because another execution changed the set"},
		"the plan was approved":                  {doc(applymanifests.ModeApply, func(d *applymanifests.Document) { d.Plan.Tries, d.Approval.Complete = ".", true }), "Plan again: is it what was approved?"},
		"the cluster was described again":        {doc(applymanifests.ModeApply, func(d *applymanifests.Document) { d.Progress = "aa:+" }), "Plan again, because the cluster was described again"},
		"what was planned":                       {planned(func(*applymanifests.Document) {}), "Apply what the plan changes"},
		"Jobs of before":                         {planned(func(d *applymanifests.Document) { d.Apply.WaitSeconds = 2 }), "Wait for the Jobs of before"},
		"Jobs of after":                          {planned(func(d *applymanifests.Document) { d.Apply.WaitSeconds, d.Apply.Settled = 2, true }), "Wait for the Jobs of after"},
		"Jobs of after, which are to be applied": {planned(func(d *applymanifests.Document) { d.Apply.Settled = true }), "Run the Jobs of after"},
		"all is applied, and is to be ready":     {planned(func(d *applymanifests.Document) { d.Apply.Settled, d.Request.Wait.TimeoutSeconds = true, 60 }), "Wait until it is ready"},
		"all is ready, and something left": {planned(func(d *applymanifests.Document) {
			d.Apply.Settled, d.Apply.Complete, d.Readiness.Complete = true, true, true
		}), "Delete what left the manifests"},
		"a set is deleted": {doc(applymanifests.ModeDelete, func(d *applymanifests.Document) { d.Plan.Complete, d.Apply.Complete = true, true }), "Delete the members of the set"},
	} {
		t.Run(sentence, func(t *testing.T) {
			g := &applyGauge{}
			enter(t, g, "WithFreshToken", c.document)
			assert.Equal(t, c.want, g.chapter().Title)
		})
	}
}

// enter lets a gauge see that a state is entered with a document.
func enter(t *testing.T, g *applyGauge, state string, document applymanifests.Document) {
	t.Helper()
	text, err := json.Marshal(document)
	require.NoError(t, err)
	g.event(types.HistoryEvent{StateEnteredEventDetails: &types.StateEnteredEventDetails{Name: &state, Input: aws.String(string(text))}})
}

func TestALoopThatWaitsShowsItsStatesOnceAndWhatItWaitsFor(t *testing.T) {
	g := &applyGauge{}
	d := applymanifests.Document{Request: applymanifests.Request{Mode: applymanifests.ModeApply, Wait: applymanifests.Wait{TimeoutSeconds: 60}}}
	d.Plan.Complete, d.Apply.Settled = true, true
	enter(t, g, "WithFreshToken", d)
	assert.Equal(t, follow.Chapter{Title: readying}, g.chapter(), "the first round")
	d.Readiness.NotReady = []applymanifests.NotReadyObject{{Kind: "Deployment", Namespace: "shop", Name: "web", Message: "1 of 2 replicas"}}
	enter(t, g, "WaitUntilReady", d)
	assert.Equal(t, "1 not ready, Deployment shop/web: 1 of 2 replicas", g.chapter().Waiting)
	enter(t, g, "WithFreshToken", d)
	assert.Equal(t, follow.Chapter{Title: readying, Again: true}, g.chapter(), "the second one")
	d.Readiness.Complete = true
	text, err := json.Marshal(d)
	require.NoError(t, err)
	g.event(types.HistoryEvent{StateExitedEventDetails: &types.StateExitedEventDetails{Name: aws.String("CheckReadiness"), Output: aws.String(string(text))}})
	assert.False(t, g.chapter().Again, "the last one ends well")

	g = &applyGauge{}
	enter(t, g, "RequestApproval", d)
	assert.Equal(t, follow.Chapter{Title: "Wait for an approval"}, g.chapter())
	assert.Equal(t, toDecide, g.detail(t.Context(), 100))
}
