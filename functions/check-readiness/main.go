// Command check-readiness is the function of the state CheckReadiness.
package main

import (
	"os"

	"github.com/kubestep/kubestep/internal/bearer"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/kube"
	"github.com/kubestep/kubestep/internal/readiness"
	"github.com/kubestep/kubestep/internal/task"
)

func main() {
	checker := readiness.Checker{Kube: kube.Connector{Opener: task.Must(bearer.NewSealer(os.Getenv("KUBESTEP_SEAL_KEY")))}}
	task.Start(applymanifests.FunctionCheckReadiness, checker.Check)
}
