// Command find-clusters is the function of the state FindClusters.
package main

import (
	"os"
	"strings"

	"github.com/kubestep/kubestep/internal/awsapi"
	"github.com/kubestep/kubestep/internal/contract"
	contractfleet "github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/internal/fleet"
	"github.com/kubestep/kubestep/internal/manifests"
	"github.com/kubestep/kubestep/internal/pods"
	"github.com/kubestep/kubestep/internal/task"
)

func main() {
	cfg := task.Must(awsapi.Config(os.Getenv))
	finder := fleet.Finder{
		EKS:      fleet.API(cfg, awsapi.NewRoles(cfg, os.Getenv("KUBESTEP_EXTERNAL_ID")).Credentials),
		Store:    fleet.NewStore(cfg),
		Defaults: contract.Target{Region: cfg.Region},
		Workflows: map[string]fleet.Workflow{
			"pod-inventory": {Read: pods.Workflow(os.Getenv("KUBESTEP_KUBERNETES_GROUP")), StateMachineARN: os.Getenv("KUBESTEP_POD_INVENTORY_ARN")},
			"apply-manifests": {
				Read: manifests.WholeWorkflow(strings.Split(os.Getenv("KUBESTEP_ALLOWED_KINDS"), ",")), Changes: manifests.Changes,
				StateMachineARN: os.Getenv("KUBESTEP_APPLY_MANIFESTS_ARN"), Parameters: "EnableApply=true FleetWorkflows=pod-inventory,apply-manifests",
			},
		},
	}
	task.Start(contractfleet.FunctionFindClusters, finder.Find)
}
