package main

import (
	"context"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/follow"
	"github.com/kubestep/kubestep/internal/follow/terminal"
)

// applyGauge says what an execution of apply-manifests waits for.
type applyGauge struct {
	state    string
	document applymanifests.Document
}

func newApplyGauge() (gauge, table) { return &applyGauge{}, applyTable }

func (g *applyGauge) use(*sfn.Client) {}

// event notes the state, and reads the document as a state leaves it.
func (g *applyGauge) event(e types.HistoryEvent) {
	if e.StateEnteredEventDetails != nil {
		g.state = aws.ToString(e.StateEnteredEventDetails.Name)
	}
	if e.StateExitedEventDetails == nil {
		return
	}
	var document applymanifests.Document
	if json.Unmarshal([]byte(aws.ToString(e.StateExitedEventDetails.Output)), &document) == nil && document.Request.Mode != "" {
		g.document = document
	}
}

// detail is what is being done to the objects, or what is waited for.
func (g *applyGauge) detail(_ context.Context, room int) string {
	d := g.document
	text := ""
	switch g.state {
	case string(applymanifests.FunctionPlanSet):
		text = "which members left the manifests"
		if !d.Request.Mode.HasManifests() {
			text = "which members the set has"
		}
		if d.Request.Mode == applymanifests.ModeSets {
			text = ""
		}
	case string(applymanifests.FunctionPruneObjects), "WaitUntilGone":
		text = fmt.Sprintf("%d of %s deleted%s", d.Prune.Pruned, counted(d.Plan.Pruned, "object"), first(d.Prune.Deleting))
	case string(applymanifests.FunctionCheckReadiness), "WaitUntilReady":
		text = first(d.Readiness.NotReady)
		if n := len(d.Readiness.NotReady); n > 0 {
			text = fmt.Sprintf("%d not ready%s", n, text)
		}
	case "WaitForJobs", string(applymanifests.FunctionApplyManifests):
		text = runningJobs(d)
	case "WaitForSet":
		text = "another execution changes the set"
	}
	if utf8.RuneCountInString(text) <= room {
		return text
	}
	if room == 0 {
		return ""
	}
	return string([]rune(text)[:room-1]) + "…"
}

// runningJobs are the Jobs that are waited for, and what the first of them does.
func runningJobs(d applymanifests.Document) string {
	if len(d.Apply.Watched) == 0 {
		return ""
	}
	gate := applymanifests.GateBefore
	if d.Apply.Settled {
		gate = applymanifests.GateAfter
	}
	return terminal.Line(fmt.Sprintf("%s of %s: %s", counted(len(d.Apply.Watched), "Job"), gate, d.Apply.Watched[0].Why))
}

// first is the first of several objects, and why it is not ready or not gone.
func first(all []applymanifests.NotReadyObject) string {
	if len(all) == 0 {
		return ""
	}
	o := all[0]
	name := applymanifests.ObjectName{Kind: o.Kind, Namespace: o.Namespace, Name: o.Name}
	return terminal.Line(fmt.Sprintf(", %s %s: %s", o.Kind, name, o.Message))
}

func (g *applyGauge) failed(context.Context, follow.Execution, paper) string { return "" }

func (g *applyGauge) known() any { return nil }
