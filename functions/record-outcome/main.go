// Command record-outcome is the function of the state RecordOutcome.
package main

import (
	"os"

	"github.com/kubestep/kubestep/internal/awsapi"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	contractfleet "github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/internal/contract/podinventory"
	"github.com/kubestep/kubestep/internal/fleet"
	"github.com/kubestep/kubestep/internal/task"
)

func main() {
	recorder := fleet.Recorder{
		Totals: map[string]fleet.Totals{
			"pod-inventory":   fleet.TotalsOf[podinventory.Figures],
			"apply-manifests": fleet.TotalsOf[applymanifests.Output],
		},
		Store: fleet.NewStore(task.Must(awsapi.Config(os.Getenv))),
	}
	task.Start(contractfleet.FunctionRecordOutcome, recorder.Record)
}
