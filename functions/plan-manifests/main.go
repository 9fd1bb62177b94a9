// Command plan-manifests is the function of the state PlanManifests.
package main

import (
	"github.com/kubestep/kubestep/functions/internal/applier"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/manifests"
	"github.com/kubestep/kubestep/internal/task"
)

func main() {
	task.Start(applymanifests.FunctionPlanManifests, applier.New().Plan, task.Metrics(manifests.Metrics))
}
