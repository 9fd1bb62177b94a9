package main

import (
	"strings"

	"github.com/kubestep/kubestep/internal/follow"
	"github.com/kubestep/kubestep/internal/follow/terminal"
)

// workflow is one of a stack's state machines, as the command knows it.
type workflow struct {
	// name ends the name of the state machine; that of the stack begins it.
	name string
	// variable is the environment variable that holds the state machine's ARN.
	variable string
	// table renders the output, and gauge makes what watches over an execution, with
	// the table of what it saw. A workflow has one of them.
	table table
	gauge func() (gauge, table)
}

// table renders the output of an execution for a person to read.
type table func(follow.Execution, terminal.Style) (string, error)

// workflows lists all of them. A verb adds its own.
func workflows() []workflow {
	return []workflow{podInventory(), applyManifests(), fleetWorkflow()}
}

// workflowOf returns the workflow that an execution belongs to. The resource of
// its ARN is execution:STATE_MACHINE:NAME.
func workflowOf(resource string) (workflow, bool) {
	parts := strings.Split(resource, ":")
	for _, w := range workflows() {
		if len(parts) == 3 && strings.HasSuffix(parts[1], w.name) {
			return w, true
		}
	}
	return workflow{}, false
}
