// Command load-manifests is the function of the state LoadManifests.
package main

import (
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/kubestep/kubestep/internal/awsapi"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/manifests"
	"github.com/kubestep/kubestep/internal/task"
)

func main() {
	source := manifests.Source{
		S3:           s3.NewFromConfig(task.Must(awsapi.Config(os.Getenv))),
		AllowedKinds: strings.Split(os.Getenv("KUBESTEP_ALLOWED_KINDS"), ","),
		Prunes:       os.Getenv("KUBESTEP_PRUNE") == "true",
	}
	task.Start(applymanifests.FunctionLoadManifests, source.Load)
}
