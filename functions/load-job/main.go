// Command load-job is the function of the state LoadJob.
package main

import (
	"os"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/kubestep/kubestep/internal/awsapi"
	"github.com/kubestep/kubestep/internal/contract/runjob"
	"github.com/kubestep/kubestep/internal/jobs"
	"github.com/kubestep/kubestep/internal/task"
)

func main() {
	source := jobs.Source{
		S3:    s3.NewFromConfig(task.Must(awsapi.Config(os.Getenv))),
		Group: os.Getenv("KUBESTEP_KUBERNETES_GROUP"),
	}
	task.Start(runjob.FunctionLoadJob, source.Load)
}
