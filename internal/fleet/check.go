package fleet

import (
	"encoding/json"

	"github.com/kubestep/kubestep/internal/contract"
	contractfleet "github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/internal/input"
	"github.com/kubestep/kubestep/internal/workflow"
)

// Check reads an execution input as Find will, for a caller that is about to start the
// execution and knows nothing of its stack: what depends on the stack's parameters passes.
//
// Errors: InvalidInput.
func Check(execution contract.ExecutionARN, raw json.RawMessage, all []workflow.Workflow, checks map[string]func(*input.Fields, any)) error {
	d := Finder{
		Defaults:  contract.Target{Region: contract.ARN(execution).Region()},
		Workflows: Workflows(all, func(string) string { return "unknown" }), // so each may be run
		Checks:    checks,
		Approves:  true,
	}
	fields := input.Read(raw, example)
	d.read(fields, contractfleet.FindClusters{Execution: string(execution)})
	return fields.Err()
}
