// Command record-outcome is the function of the state RecordOutcome.
package main

import (
	"os"

	"github.com/kubestep/kubestep/internal/awsapi"
	contractfleet "github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/internal/fleet"
	"github.com/kubestep/kubestep/internal/task"
	"github.com/kubestep/kubestep/internal/workflows"
)

func main() {
	recorder := fleet.Recorder{
		Workflows: workflows.All(),
		Store:     fleet.NewStore(task.Must(awsapi.Config(os.Getenv))),
	}
	task.Start(contractfleet.FunctionRecordOutcome, recorder.Record)
}
