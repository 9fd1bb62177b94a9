package sets

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/kubestep/kubestep/test/asl"
)

func readDefinition(root string) (asl.Machine, error) {
	text, err := os.ReadFile(filepath.Join(root, "statemachine", "apply-manifests.asl.json"))
	if err != nil {
		return asl.Machine{}, err
	}
	return asl.Read(text)
}

// execution is an execution of the machine, all of whose tasks invoke functions.
type execution struct {
	asl.Execution
	// invoke invokes the function of a task.
	invoke func(ctx context.Context, function string, payload json.RawMessage) (json.RawMessage, error)
	// path are the functions that were invoked.
	path []string
	// waits is called before a Wait; nil for nothing.
	waits func()
}

// do invokes the function of a task.
func (e *execution) do(ctx context.Context, task asl.Task) (any, error) {
	payload, err := json.Marshal(task.Parameters["Payload"])
	if err != nil {
		return nil, err
	}
	e.path = append(e.path, task.Function())
	answer, err := e.invoke(ctx, task.Function(), payload)
	if err != nil {
		return nil, err
	}
	var result any
	err = json.Unmarshal(answer, &result)
	return map[string]any{"Payload": result}, err
}

func (e *execution) enters(state string) {
	if e.waits != nil && machine.Waits(state) {
		e.waits()
	}
}
