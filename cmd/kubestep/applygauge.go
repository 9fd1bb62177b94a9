package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/follow"
	"github.com/kubestep/kubestep/internal/follow/terminal"
)

// applyGauge says what an execution of apply-manifests waits for.
type applyGauge struct {
	state    string
	document applymanifests.Document
	// title is what the pass does that has begun, and passes how many have begun since, with the same.
	title    string
	passes   int
	standing standing
}

func newApplyGauge() (gauge, table) { return &applyGauge{}, applyTable }

func (g *applyGauge) use(*sfn.Client) {}

// event notes the state, and reads the document as a state leaves it.
func (g *applyGauge) event(e types.HistoryEvent) {
	g.standing.event(e)
	text := ""
	if e.StateEnteredEventDetails != nil {
		g.state = aws.ToString(e.StateEnteredEventDetails.Name)
		text = aws.ToString(e.StateEnteredEventDetails.Input)
	}
	if e.StateExitedEventDetails != nil {
		text = aws.ToString(e.StateExitedEventDetails.Output)
	}
	var document applymanifests.Document
	if json.Unmarshal([]byte(text), &document) == nil && document.Request.Mode != "" {
		g.document = document
	}
	if e.StateEnteredEventDetails == nil {
		return
	}
	switch g.state {
	case passState:
		title := pass(g.document)
		if g.passes++; title != g.title {
			g.title, g.passes = title, 1
		}
	case "WaitForJobs", "WaitUntilReady", "WaitUntilGone": // before the pass that looks again
		if title := pass(g.document); title != g.title {
			g.title, g.passes = title, 0
		}
	case string(applymanifests.FunctionRequestApproval):
		g.title, g.passes = "Wait for an approval", 0
	}
}

// passState is the state that begins each pass.
const passState = "WithFreshToken"

// The passes of an execution that changes a cluster.
const (
	planning  = "Plan, with a dry run"
	applying  = "Apply what the plan changes"
	readying  = "Wait until it is ready"
	deleting  = "Delete what left the manifests"
	deleteAll = "Delete the members of the set"
)

// pass is what a pass through the same states does, as the machine decides it. It is empty if the
// execution changes nothing: then it does only one thing.
func pass(d applymanifests.Document) string {
	waits := d.Request.Mode == applymanifests.ModeApply && d.Request.Wait.TimeoutSeconds > 0
	switch {
	case !d.Request.Mode.Changes():
		return ""
	case !d.Plan.Complete && d.Approval.Complete:
		return "Plan again: is it what was approved?"
	case !d.Plan.Complete && d.Plan.Tries != "":
		return "Plan again, because another execution changed the set"
	case !d.Plan.Complete && d.Progress != "":
		return "Plan again, because the cluster was described again"
	case !d.Plan.Complete:
		return planning
	case d.Apply.Settled && waits && !d.Readiness.Complete:
		return readying
	case d.Request.Mode == applymanifests.ModeDelete:
		return deleteAll
	case d.Apply.Complete:
		return deleting
	case d.Apply.WaitSeconds > 0:
		return "Wait for the Jobs of " + string(gateOf(d))
	case d.Apply.Settled:
		return "Run the Jobs of " + string(applymanifests.GateAfter)
	default:
		return applying
	}
}

// chapter is the pass, and what it waits for. Once a loop has shown its tasks, it shows them again at its end.
func (g *applyGauge) chapter() follow.Chapter {
	c := follow.Chapter{Title: g.title, Say: g.standing.says}
	d := g.document
	switch {
	case g.title == readying:
		c.Again = g.passes > 1 && !d.Readiness.Complete
	case strings.HasPrefix(g.title, "Wait for the Jobs"):
		c.Again = d.Apply.WaitSeconds > 0
	case g.title == deleting, g.title == deleteAll:
		c.Again = g.passes > 1 && !d.Prune.Complete
	}
	if strings.HasPrefix(g.state, "Wait") {
		c.Waiting = g.waiting()
	}
	return c
}

// toDecide is who is waited for, on a live line.
const toDecide = "kubestep approvals shows what waits, kubestep approve decides"

// detail is what is being done to the objects, or what is waited for.
func (g *applyGauge) detail(_ context.Context, room int) string {
	text := g.waiting()
	if utf8.RuneCountInString(text) <= room {
		return text
	}
	if room == 0 {
		return ""
	}
	return string([]rune(text)[:room-1]) + "…"
}

// waiting is what the state does, or waits for.
func (g *applyGauge) waiting() string {
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
		text = fmt.Sprintf("%d of %s deleted%s", d.Prune.Pruned, contract.Counted(d.Plan.Pruned, "object"), first(d.Prune.Deleting))
	case string(applymanifests.FunctionCheckReadiness), "WaitUntilReady":
		text = first(d.Readiness.NotReady)
		if n := len(d.Readiness.NotReady); n > 0 {
			text = fmt.Sprintf("%d not ready%s", n, text)
		}
	case "WaitForJobs", string(applymanifests.FunctionApplyManifests):
		text = runningJobs(d)
	case "WaitForSet":
		text = "another execution changes the set"
	case string(applymanifests.FunctionRequestApproval):
		text = toDecide
	}
	return text
}

// runningJobs are the Jobs that are waited for, and what the first of them does.
func runningJobs(d applymanifests.Document) string {
	if len(d.Apply.Watched) == 0 {
		return ""
	}
	return terminal.Line(fmt.Sprintf("%s of %s: %s", contract.Counted(len(d.Apply.Watched), "Job"), gateOf(d), d.Apply.Watched[0].Why))
}

// gateOf is the gate whose Jobs are looked at.
func gateOf(d applymanifests.Document) applymanifests.Gate {
	if d.Apply.Settled {
		return applymanifests.GateAfter
	}
	return applymanifests.GateBefore
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
