// Command request-approval is the function of the state RequestApproval.
package main

import (
	"os"

	"github.com/aws/aws-sdk-go-v2/service/sns"

	"github.com/kubestep/kubestep/internal/approval"
	"github.com/kubestep/kubestep/internal/awsapi"
	"github.com/kubestep/kubestep/internal/task"
)

func main() {
	cfg := task.Must(awsapi.Config(os.Getenv))
	requester := approval.Requester{
		Function: os.Getenv("KUBESTEP_APPROVE_FUNCTION"),
		SNS: func(region, execution string) approval.SNS {
			return sns.NewFromConfig(cfg, func(o *sns.Options) {
				o.Region = region
				o.APIOptions = append(o.APIOptions, awsapi.UserAgent(execution))
			})
		},
	}
	task.Start(approval.FunctionRequestApproval, requester.Request)
}
