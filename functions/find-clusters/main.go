// Command find-clusters is the function of the state FindClusters.
package main

import (
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"github.com/kubestep/kubestep/internal/awsapi"
	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	contractfleet "github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/internal/contract/runjob"
	"github.com/kubestep/kubestep/internal/fleet"
	"github.com/kubestep/kubestep/internal/input"
	"github.com/kubestep/kubestep/internal/jobs"
	"github.com/kubestep/kubestep/internal/manifests"
	"github.com/kubestep/kubestep/internal/task"
	"github.com/kubestep/kubestep/internal/workflows"
)

func main() {
	cfg := task.Must(awsapi.Config(os.Getenv))
	finder := fleet.Finder{
		EKS:        fleet.API(cfg, awsapi.NewRoles(cfg, os.Getenv("KUBESTEP_EXTERNAL_ID")).Credentials),
		Store:      fleet.NewStore(cfg),
		Executions: sfn.NewFromConfig(cfg), Now: time.Now,
		Locks:     contract.Destination{Bucket: os.Getenv("KUBESTEP_LOCK_BUCKET"), Prefix: os.Getenv("KUBESTEP_LOCK_PREFIX")},
		Defaults:  contract.Target{Region: cfg.Region},
		Workflows: fleet.Workflows(workflows.All(), os.Getenv),
		Approves:  os.Getenv("KUBESTEP_APPROVE_FUNCTION") != "",
		Checks: map[string]func(*input.Fields, any){
			applymanifests.Name: manifests.CheckInline(manifests.Rules{AllowedKinds: strings.Split(os.Getenv("KUBESTEP_ALLOWED_KINDS"), ",")}),
			runjob.Name:         jobs.CheckInFleet,
		},
	}
	task.Start(contractfleet.FunctionFindClusters, finder.Find)
}
