package rollouts

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	contractfleet "github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/internal/contract/runjob"
	"github.com/kubestep/kubestep/test/asl"
)

// reportKey is where the report of a rollout of a World is.
const reportKey = "rollouts/111122223333/eu-west-1/kubestep-fleet/nightly/report.json"

// StandIn is a definition in the place of a workflow's, for an engine that runs one: its executions end as is their fate.
func (r Rollout) StandIn(kinds ...Kind) (string, error) {
	states := map[string]any{
		"Name":    map[string]any{"Type": "Pass", "Parameters": map[string]any{"name.$": "$$.Execution.Name", "input.$": "$"}, "Next": "Fate"},
		"Unknown": map[string]any{"Type": "Fail", "Error": "Unknown", "Cause": "It has no fate."},
	}
	var choices []any
	equals := func(path, value string) map[string]any {
		return map[string]any{"Variable": path, "StringEquals": value}
	}
	for _, kind := range kinds {
		for _, c := range r.Clusters {
			for attempt := contractfleet.MaxAttempts; attempt >= 1; attempt-- {
				fate := r.Fate(kind, c.Name, attempt)
				all := []any{equals("$.input.clusterName", c.Name)}
				if kind != Job {
					all = append(all, equals("$.input.source.versionId", map[Kind]string{Change: r.Newest, Rollback: r.Former}[kind]))
				}
				if attempt > 1 {
					all = append(all, map[string]any{"Variable": "$.name", "StringMatches": fmt.Sprintf("*-%d", attempt)})
				}
				end, state := fate.state(kind)
				states[end] = state
				choices = append(choices, map[string]any{"And": all, "Next": end})
			}
		}
	}
	states["Fate"] = map[string]any{"Type": "Choice", "Choices": choices, "Default": "Unknown"}
	text, err := json.Marshal(map[string]any{"StartAt": "Name", "States": states})
	return string(text), err
}

// state is the state that ends an execution of a kind so, and its name.
func (f Fate) state(kind Kind) (name string, state map[string]any) {
	if f.Status != "SUCCEEDED" {
		return f.Error, map[string]any{"Type": "Fail", "Error": f.Error, "Cause": "It said " + f.Error + "."}
	}
	var output any = runjob.Output{Succeeded: true}
	if kind != Job {
		output = applied(f)
	}
	return fmt.Sprintf("Well%s%d", kind, f.Applied), map[string]any{"Type": "Pass", "Result": output, "End": true}
}

// applied is the output of apply-manifests.
func applied(f Fate) applymanifests.Output {
	return applymanifests.Output{Mode: applymanifests.ModeApply, Applied: f.Applied, Plan: applymanifests.PlanReport{Digest: effect + effect}}
}

// Told is what a rollout has told, and started, whichever engine has run it.
type Told struct {
	Error, Rollback string
	ByStatus        map[contractfleet.Status]int
	Waves           []string
	Clusters        []string
	// Started has a line for each execution, without the kind of those of apply-manifests.
	Started []string
}

// Tell reads what a rollout has told, of the error that it ended with, its report in JSON, and the names of what it has started.
func Tell(failed string, report []byte, names map[string][]string) (Told, error) {
	var read struct {
		contractfleet.Summary
		Outcomes []contractfleet.Outcome `json:"outcomes"`
	}
	if err := json.Unmarshal(report, &read); err != nil {
		return Told{}, err
	}
	told := Told{Error: failed, ByStatus: read.ByStatus}
	if read.Rollback != nil {
		told.Rollback = fmt.Sprintf("%d of %d, not %v", read.Rollback.RolledBack, read.Rollback.Clusters, read.Rollback.Changed)
	}
	for _, w := range read.Waves {
		told.Waves = append(told.Waves, fmt.Sprintf("%s: %v, gate %q, jobs %d, approved by %q", w.Name, w.ByStatus, w.Gate, w.Jobs, w.Approved.By))
	}
	for _, o := range read.Outcomes {
		line := fmt.Sprintf("%s of wave %d: try %d %s %s %v", o.ClusterName, o.Wave, o.Attempt, o.Status, o.Error, o.Totals)
		if o.Rollback != nil {
			line += fmt.Sprintf("; rolled back: %s %s", o.Rollback.Status, o.Rollback.Error)
		}
		told.Clusters = append(told.Clusters, line)
	}
	for workflow, all := range names {
		for _, name := range all {
			told.Started = append(told.Started, workflow+" "+cluster(name))
		}
	}
	slices.Sort(told.Clusters)
	slices.Sort(told.Started)
	return told, nil
}

// cluster is of which cluster, and which try, the execution of that name is.
func cluster(name string) string {
	parts := strings.Split(name, "-")
	try := "1"
	if last := parts[len(parts)-1]; len(last) == 1 {
		try, parts = last, parts[:len(parts)-1]
	}
	return parts[len(parts)-2] + ", try " + try
}

// Tell is what the rollout of this world has told.
func (w *World) Tell() (Told, error) {
	names := map[string][]string{}
	for _, run := range w.Ran {
		workflow := applymanifests.Name
		if run.Kind == Job {
			workflow = runjob.Name
		}
		names[workflow] = append(names[workflow], run.Name)
	}
	var failed asl.Error
	errors.As(w.Err, &failed)
	return Tell(failed.Name, w.storage.get(w.Rollout.Reports, reportKey), names)
}
