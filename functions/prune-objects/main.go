// Command prune-objects is the function of the state PruneObjects.
package main

import (
	"github.com/kubestep/kubestep/functions/internal/applier"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/task"
)

func main() {
	task.Start(applymanifests.FunctionPruneObjects, applier.New().Prune)
}
