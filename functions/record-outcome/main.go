// Command record-outcome is the function of the state RecordOutcome.
package main

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/config"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/fleet"
	"github.com/kubestep/kubestep/internal/task"
)

func main() {
	recorder := fleet.Recorder{
		Totals: map[string]fleet.Totals{
			"pod-inventory":   fleet.TotalsOf[contract.PodInventory],
			"apply-manifests": fleet.TotalsOf[contract.ApplyResult],
		},
		Store: fleet.NewStore(task.Must(config.LoadDefaultConfig(context.Background()))),
	}
	task.Start("RecordOutcome", recorder.Record)
}
