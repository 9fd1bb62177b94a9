// Command verify-rbac is the function of the state VerifyRBAC.
package main

import (
	"os"

	"github.com/kubestep/kubestep/internal/access"
	"github.com/kubestep/kubestep/internal/bearer"
	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/kube"
	"github.com/kubestep/kubestep/internal/task"
)

func main() {
	verifier := access.Verifier{
		Kube: kube.Connector{Opener: task.Must(bearer.NewSealer(os.Getenv("KUBESTEP_SEAL_KEY")))},
	}
	task.Start(contract.FunctionVerifyRBAC, verifier.Verify)
}
