// Command summarize is the function of the state Summarize.
package main

import (
	"os"
	"time"

	"github.com/kubestep/kubestep/internal/approval/proof"
	"github.com/kubestep/kubestep/internal/awsapi"
	contractfleet "github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/internal/fleet"
	"github.com/kubestep/kubestep/internal/task"
)

func main() {
	summarizer := fleet.Summarizer{
		Store:  fleet.NewStore(task.Must(awsapi.Config(os.Getenv))),
		Sealer: task.Must(proof.NewSealer(os.Getenv("KUBESTEP_ATTESTATION_KEY"))),
		Now:    time.Now,
	}
	task.Start(contractfleet.FunctionSummarize, summarizer.Summarize)
}
