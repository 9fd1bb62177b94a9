// Command approve is the function that people invoke to approve a plan.
package main

import (
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"github.com/kubestep/kubestep/internal/approval"
	"github.com/kubestep/kubestep/internal/approval/proof"
	"github.com/kubestep/kubestep/internal/awsapi"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/task"
)

func main() {
	approver := approval.Approver{
		API:      sfn.NewFromConfig(task.Must(awsapi.Config(os.Getenv))),
		Sealer:   task.Must(proof.NewSealer(os.Getenv("KUBESTEP_ATTESTATION_KEY"))),
		Machines: []string{os.Getenv("KUBESTEP_STATE_MACHINE"), os.Getenv("KUBESTEP_FLEET_STATE_MACHINE")},
		Now:      time.Now,
	}
	task.Start(applymanifests.FunctionApprove, approver.Approve)
}
