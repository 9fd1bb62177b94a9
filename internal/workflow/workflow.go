// Package workflow says what a workflow is to all that works with any of them: the
// functions that read inputs and outputs, fleets, the schemas, the command, the local
// world and the tables of the documentation. Each workflow is a package below this one,
// whose function Workflow returns its value; internal/workflows lists them.
package workflow

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/input"
)

// Workflow is a workflow, which is a state machine of the same name.
type Workflow struct {
	// Name is in the names of the state machine and of its files, such as pod-inventory.
	Name string
	// Summary says what it does, such as "List the pods of a cluster".
	Summary string
	// Page is its page in docs/.
	Page string
	// Request is the type of what the input holds beside the target, and Output the type
	// of the output.
	Request, Output reflect.Type
	// Bounds are keywords of JSON Schema that say what a type does not say, by the name of
	// the field, such as podinventory.Request.Namespaces.
	Bounds map[string]map[string]any

	// Reader makes a Read, for the environment of the function that reads. It is nil for a
	// workflow that does not work on one cluster, which reads its input in a function of
	// its own. describe-cluster reads for all others: its KUBESTEP_KUBERNETES_GROUP is the
	// group of the first one.
	Reader func(getenv func(string) string) Read
	// Changes reports whether a request that Read read changes the cluster; nil if none does.
	Changes func(request any) bool
	// Figures are what a fleet adds up of an output; nil for none.
	Figures Figures
	// Effect reads what tells apart the changes of two executions out of an output: the same
	// for the same change, in whichever cluster. It is nil for a workflow of which nobody knows.
	Effect Effect
	// FleetParameters are the parameters of the stack that let fleets start it, for a
	// stack whose fleets may not.
	FleetParameters string
}

// Read reads what a workflow wants out of an input beside the target: its request,
// completed, and the permissions that the request needs in the cluster.
type Read func(*input.Fields) (request any, checks []contract.Check)

// Figures reads the figures of one execution out of its output.
type Figures func(output json.RawMessage) (map[string]int, error)

// Effect reads the digest of a change out of the output of one execution.
type Effect func(output json.RawMessage) (string, error)

// EffectOf makes Effect of a function of a type of output.
func EffectOf[Output any](effect func(Output) string) Effect {
	return func(output json.RawMessage) (string, error) {
		var read Output
		if err := json.Unmarshal(output, &read); err != nil {
			return "", fmt.Errorf("it cannot be read: %w", err)
		}
		return effect(read), nil
	}
}

// OnOneCluster reports whether an execution works on one cluster, which its input names.
func (w Workflow) OnOneCluster() bool { return w.Reader != nil }

// Variable is the environment variable of a shell that holds the ARN of the state machine,
// such as POD_INVENTORY_ARN.
func (w Workflow) Variable() string {
	return strings.ToUpper(strings.ReplaceAll(w.Name, "-", "_")) + "_ARN"
}

// Readers are the readers of the workflows that work on one cluster, by name.
func Readers(all []Workflow, getenv func(string) string) map[string]Read {
	readers := map[string]Read{}
	for _, w := range all {
		if w.OnOneCluster() {
			readers[w.Name] = w.Reader(getenv)
		}
	}
	return readers
}

// FiguresOf makes Figures of a function of a type of output.
func FiguresOf[Output any](figures func(Output) map[string]int) Figures {
	return func(output json.RawMessage) (map[string]int, error) {
		var read Output
		if err := json.Unmarshal(output, &read); err != nil {
			return nil, fmt.Errorf("it cannot be read: %w", err)
		}
		return figures(read), nil
	}
}
