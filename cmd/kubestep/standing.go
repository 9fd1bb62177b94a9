package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/kubestep/kubestep/internal/approval"
	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/internal/shell"
)

// standing says for what an execution waits that nobody sees in the names of its states: an approval, or a soak.
type standing struct {
	state string
	// says is the sentence; empty if it waits for neither.
	says string
}

// event takes an event of the history.
func (w *standing) event(e types.HistoryEvent) {
	switch {
	case e.StateEnteredEventDetails != nil:
		w.state, w.says = aws.ToString(e.StateEnteredEventDetails.Name), ""
		if w.state == soakState {
			w.says = soaking(aws.ToString(e.StateEnteredEventDetails.Input), aws.ToTime(e.Timestamp))
		}
	case e.StateExitedEventDetails != nil:
		w.state, w.says = "", ""
	case e.TaskScheduledEventDetails != nil && w.state == string(approval.FunctionRequestApproval):
		w.says = asking(e)
	}
}

// soakState is the state of fleet in which a gate soaks.
const soakState = "Soak"

// soaking says how long a rollout soaks whose document that is.
func soaking(text string, since time.Time) string {
	var document struct {
		Run fleet.Run `json:"run"`
	}
	if json.Unmarshal([]byte(text), &document) != nil {
		return ""
	}
	gate, waves := document.Run.Gate, document.Run.Waves
	if gate.SoakSeconds == 0 || gate.Wave < 1 || gate.Wave > len(waves) {
		return ""
	}
	return fmt.Sprintf("waits %d s at the gate of wave %s, until %s", gate.SoakSeconds, waves[gate.Wave-1].Name, clock(since, gate.SoakSeconds))
}

// asking says which approval is waited for since that event, and how to decide.
func asking(e types.HistoryEvent) string {
	waiting, err := approval.WaitingSince(e)
	if err != nil || waiting == nil {
		return ""
	}
	var of string
	switch {
	case waiting.Rollout.Digest == "":
		of = " of the plan"
	case waiting.Rollout.Wave == "":
		of = " to begin"
	default:
		of = " of wave " + waiting.Rollout.Wave
	}
	return fmt.Sprintf("waits for an approval%s until %s: kubestep approve %s", of, clock(waiting.Since, waiting.TimeoutSeconds()), argument(contract.ExecutionARN(waiting.Execution)))
}

// clock is the time of the day, here, so many seconds later. Nothing waits for a day.
func clock(since time.Time, seconds int) string {
	return since.Add(time.Duration(seconds) * time.Second).Local().Format("15:04 MST")
}

// argument names an execution to a verb: by its name, and by its stack unless that is the one of the environment.
func argument(execution contract.ExecutionARN) string {
	for _, suffix := range machineSuffixes {
		if of, ok := strings.CutSuffix(execution.Machine(), suffix); ok {
			name := shell.Quote(execution.Name())
			if of == new(stack).called() {
				return name
			}
			return name + " --stack " + shell.Quote(of)
		}
	}
	return shell.Quote(string(execution))
}
