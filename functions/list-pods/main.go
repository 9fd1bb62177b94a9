// Command list-pods is the function of the state ListPods.
package main

import (
	"os"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/kubestep/kubestep/internal/awsapi"
	"github.com/kubestep/kubestep/internal/bearer"
	"github.com/kubestep/kubestep/internal/contract/podinventory"
	"github.com/kubestep/kubestep/internal/kube"
	"github.com/kubestep/kubestep/internal/pods"
	"github.com/kubestep/kubestep/internal/store"
	"github.com/kubestep/kubestep/internal/task"
)

func main() {
	bucket := s3.NewFromConfig(task.Must(awsapi.Config(os.Getenv)))
	lister := pods.Lister{
		Kube: kube.Connector{Opener: task.Must(bearer.NewSealer(os.Getenv("KUBESTEP_SEAL_KEY")))},
		Archive: func(in podinventory.ListPods) pods.Writer {
			return pods.NewArchive(store.New(bucket, in.Execution), in)
		},
	}
	task.Start(podinventory.FunctionListPods, lister.List, task.Metrics(pods.Metrics))
}
