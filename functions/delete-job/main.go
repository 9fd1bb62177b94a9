// Command delete-job is the function of the state DeleteJob.
package main

import (
	"os"

	"github.com/kubestep/kubestep/internal/bearer"
	"github.com/kubestep/kubestep/internal/contract/runjob"
	"github.com/kubestep/kubestep/internal/jobs"
	"github.com/kubestep/kubestep/internal/kube"
	"github.com/kubestep/kubestep/internal/task"
)

func main() {
	deleter := jobs.Deleter{Kube: kube.Connector{Opener: task.Must(bearer.NewSealer(os.Getenv("KUBESTEP_SEAL_KEY")))}}
	task.Start(runjob.FunctionDeleteJob, deleter.Delete)
}
