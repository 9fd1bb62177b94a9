// Package fleet is the workflow fleet, which runs another workflow on many clusters.
// internal/fleet reads its input and does its work.
package fleet

import (
	"reflect"

	"github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/internal/workflow"
)

// Workflow is the workflow.
func Workflow() workflow.Workflow {
	optional := []string{"string", "null"}
	clusters := map[string]any{"minItems": 1, "maxItems": fleet.MaxClusters, "items": map[string]any{"anyOf": []any{
		map[string]any{"type": "string"},
		map[string]any{"type": "object", "required": []string{"clusterName"}, "additionalProperties": false, "properties": map[string]any{
			"clusterName": map[string]any{"type": "string"}, "region": map[string]any{"type": optional}, "roleArn": map[string]any{"type": optional},
		}},
	}}}
	return workflow.Workflow{
		Name:    fleet.Name,
		Summary: "Run a workflow on many clusters",
		Page:    "fleet.md",
		Request: reflect.TypeFor[fleet.Input](),
		Output:  reflect.TypeFor[fleet.Output](),
		Bounds: map[string]map[string]any{
			"fleet.Input.Name":                   {"pattern": "^[0-9A-Za-z_-]{1,80}$"},
			"fleet.Input.Concurrency":            {"minimum": 1, "maximum": fleet.MaxConcurrency},
			"fleet.Input.Clusters":               clusters,
			"fleet.Input.Waves":                  {"minItems": 1, "maxItems": fleet.MaxWaves},
			"fleet.Input.Unmatched":              {"enum": []any{"last", "refuse", "skip"}},
			"fleet.Input.OnFailure":              {"enum": []any{"stop", "continue", "rollback"}},
			"fleet.WaveInput.Name":               {"pattern": "^[0-9A-Za-z_-]{1,32}$"},
			"fleet.WaveInput.Clusters":           clusters,
			"fleet.WaveInput.Percentage":         {"minimum": 1, "maximum": 100},
			"fleet.WaveInput.Concurrency":        {"minimum": 1, "maximum": fleet.MaxConcurrency},
			"fleet.GateInput.SoakSeconds":        {"minimum": 0, "maximum": int(fleet.MaxSoak.Seconds())},
			"fleet.GateInput.Alarms":             {"minItems": 1, "maxItems": 10},
			"fleet.GateInput.Job":                {"type": "object"},
			"fleet.ApproveInput.TimeoutSeconds":  {"minimum": 60, "maximum": int(fleet.MaxSoak.Seconds())},
			"fleet.ToleratedFailures.Percentage": {"maximum": 100},
		},
	}
}
