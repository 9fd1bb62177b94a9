package main

import (
	"cmp"
	"encoding/json"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/spf13/cobra"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/internal/contract/podinventory"
	"github.com/kubestep/kubestep/internal/contract/runjob"
	"github.com/kubestep/kubestep/internal/follow"
	"github.com/kubestep/kubestep/internal/workflow"
	"github.com/kubestep/kubestep/internal/workflows"
)

// machine is a workflow's state machine, and how the command starts and shows its
// executions.
type machine struct {
	workflow.Workflow
	// verbs are the commands that start executions.
	verbs []func(machine) *cobra.Command
	// table renders the output. gauge makes what watches over an execution, with the table of
	// what it saw. A workflow has one of them.
	table table
	gauge func() (gauge, table)
	// names are what --output name prints of an output; nil for none.
	names func(output string) ([]string, error)
	// check returns why the functions would refuse an input, for a workflow that does not work
	// on one cluster; request are the keys that lead to what it asks of each cluster.
	check   func(contract.ExecutionARN, json.RawMessage) error
	request []string
	// older is an environment variable that holds the ARN too, by its name of before.
	older string
}

// table renders the output of an execution for a person to read.
type table func(follow.Execution, paper) (string, error)

// machines has all workflows. One that has nothing of its own here is started
// with an input in JSON, and its output is shown as YAML.
func machines() []machine {
	special := map[string]machine{
		podinventory.Name:   {verbs: one(inventory), table: podTable, names: podNames, older: "STATE_MACHINE_ARN"},
		runjob.Name:         {verbs: one(jobVerb), gauge: newJobGauge, names: jobNames},
		applymanifests.Name: {verbs: []func(machine) *cobra.Command{apply, deleteVerb, setsVerb, approvalsVerb}, gauge: newApplyGauge, names: objectNames},
		fleet.Name:          {verbs: one(fleetVerb), gauge: newFleetGauge, names: clusterNames, check: checkFleet, request: []string{"request"}},
	}
	var all []machine
	for _, w := range workflows.All() {
		m, ok := special[w.Name]
		if !ok {
			m = machine{verbs: one(startVerb), table: outputAsYAML}
		}
		m.Workflow = w
		all = append(all, m)
	}
	return all
}

func one(verb func(machine) *cobra.Command) []func(machine) *cobra.Command {
	return []func(machine) *cobra.Command{verb}
}

// enables is the parameter without which a stack does not have the machine; empty for none.
func (m machine) enables() string {
	parameter, _, _ := strings.Cut(m.FleetParameters, " ")
	return parameter
}

// arn is the ARN of the state machine that the environment holds.
func (m machine) arn() string {
	if m.older == "" {
		return os.Getenv(m.Variable())
	}
	return cmp.Or(os.Getenv(m.Variable()), os.Getenv(m.older))
}

// machineOf is the machine of an execution, by an event of its history: an execution that
// works on one cluster tells describe-cluster whose input it is. A stack may have any name,
// so the state machine's does not say.
func machineOf(event types.HistoryEvent) (machine, bool) {
	name := ""
	switch {
	case event.StateEnteredEventDetails != nil && aws.ToString(event.StateEnteredEventDetails.Name) == string(fleet.FunctionFindClusters):
		name = fleet.Name
	case event.TaskScheduledEventDetails != nil:
		var parameters struct {
			Payload struct {
				Workflow string `json:"workflow"`
			}
		}
		if json.Unmarshal([]byte(aws.ToString(event.TaskScheduledEventDetails.Parameters)), &parameters) == nil {
			name = parameters.Payload.Workflow
		}
	}
	for _, m := range machines() {
		if m.Name == name {
			return m, true
		}
	}
	return machine{}, false
}
