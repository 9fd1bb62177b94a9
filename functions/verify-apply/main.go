// Command verify-apply is the function of the state VerifyApply.
package main

import (
	"github.com/kubestep/kubestep/functions/internal/applier"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/task"
)

func main() {
	task.Start(applymanifests.FunctionVerifyApply, applier.New().Verify)
}
