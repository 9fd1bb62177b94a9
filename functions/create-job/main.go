// Command create-job is the function of the state CreateJob.
package main

import (
	"os"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/kubestep/kubestep/internal/awsapi"
	"github.com/kubestep/kubestep/internal/bearer"
	"github.com/kubestep/kubestep/internal/contract/runjob"
	"github.com/kubestep/kubestep/internal/jobs"
	"github.com/kubestep/kubestep/internal/kube"
	"github.com/kubestep/kubestep/internal/task"
)

func main() {
	creator := jobs.Creator{
		Source: jobs.Source{S3: s3.NewFromConfig(task.Must(awsapi.Config(os.Getenv)))},
		Kube:   kube.Connector{Opener: task.Must(bearer.NewSealer(os.Getenv("KUBESTEP_SEAL_KEY")))},
	}
	task.Start(runjob.FunctionCreateJob, creator.Create)
}
