// Command apply-manifests is the function of the state ApplyManifests.
package main

import (
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/kubestep/kubestep/internal/approval/proof"
	"github.com/kubestep/kubestep/internal/awsapi"
	"github.com/kubestep/kubestep/internal/bearer"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/jobs"
	"github.com/kubestep/kubestep/internal/kube"
	"github.com/kubestep/kubestep/internal/manifests"
	"github.com/kubestep/kubestep/internal/task"
)

func main() {
	applier := manifests.Applier{
		Source: manifests.Source{
			S3:           s3.NewFromConfig(task.Must(awsapi.Config(os.Getenv))),
			AllowedKinds: strings.Split(os.Getenv("KUBESTEP_ALLOWED_KINDS"), ","),
		},
		Kube:      kube.Connector{Opener: task.Must(bearer.NewSealer(os.Getenv("KUBESTEP_SEAL_KEY")))},
		Approvals: task.Must(proof.NewSealer(os.Getenv("KUBESTEP_ATTESTATION_KEY"))),
		Jobs:      jobs.Looker{},
	}
	task.Start(applymanifests.FunctionApplyManifests, applier.Apply)
}
