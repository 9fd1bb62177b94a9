// Command verify-rbac is the function of the state VerifyRBAC.
package main

import (
	"os"

	"github.com/kubestep/kubestep/internal/rbac"
	"github.com/kubestep/kubestep/internal/task"
	"github.com/kubestep/kubestep/internal/token"
)

func main() {
	verifier := rbac.Verifier{Opener: task.Must(token.NewSealer(os.Getenv("KUBESTEP_SEAL_KEY")))}
	task.Start("VerifyRBAC", verifier.Verify)
}
