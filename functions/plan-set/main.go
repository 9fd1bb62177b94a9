// Command plan-set is the function of the state PlanSet.
package main

import (
	"github.com/kubestep/kubestep/functions/internal/applier"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/manifests"
	"github.com/kubestep/kubestep/internal/task"
)

func main() {
	task.Start(applymanifests.FunctionPlanSet, applier.New().PlanSet, task.Metrics(manifests.SetMetrics))
}
