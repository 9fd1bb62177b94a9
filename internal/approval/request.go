// Package approval lets a person approve exactly one plan: it asks for the approval, and
// hands the decision to the execution that waits. internal/approval/proof proves that the
// plan which is applied is that one.
package approval

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sns"

	"github.com/kubestep/kubestep/internal/awsapi"
	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/objects"
	"github.com/kubestep/kubestep/internal/shell"
)

// SNS is what is called of the SNS API.
type SNS interface {
	Publish(context.Context, *sns.PublishInput, ...func(*sns.Options)) (*sns.PublishOutput, error)
}

// Requester asks for approvals.
type Requester struct {
	// SNS returns the API of a Region, called for an execution.
	SNS func(region, execution string) SNS
	// Function is the name of the function approve.
	Function string
}

const (
	// maxListed is how many objects a message names.
	maxListed = 60
	// maxSubject is how long a subject may be, in ASCII.
	// https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
	maxSubject = 99
)

// Request tells the topic what there is to approve, and how. The execution waits on, and
// the message does not hold what resumes it.
//
// Errors: AccessDenied, Throttled, AWSUnreachable, InvalidInput for a topic that is not there.
func (r Requester) Request(ctx context.Context, in applymanifests.RequestApproval) (applymanifests.RequestedApproval, error) {
	topic := in.Approve.TopicARN
	if topic == "" {
		return applymanifests.RequestedApproval{}, nil
	}
	text, subject := r.message(in), contract.Clip("kubestep: approve a plan for cluster "+in.Cluster.Name, maxSubject)
	out, err := r.SNS(contract.ARN(topic).Region(), in.Execution).Publish(ctx, &sns.PublishInput{TopicArn: &topic, Subject: &subject, Message: &text})
	if err != nil {
		return applymanifests.RequestedApproval{}, awsapi.Explain(err, "sns:Publish to "+topic)
	}
	if out.MessageId == nil {
		return applymanifests.RequestedApproval{}, nil
	}
	return applymanifests.RequestedApproval{MessageID: *out.MessageId}, nil
}

func (r Requester) message(in applymanifests.RequestApproval) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("Execution %s waits for somebody to approve what it would change in cluster %s (%s).", in.Execution, in.Cluster.Name, in.Cluster.Region)
	line("")
	line("%s", Summary(in.Plan))
	listed := 0
	for _, o := range in.Plan.Objects {
		if o.Action == applymanifests.ActionUnchanged || o.Action == applymanifests.ActionSpared {
			continue
		}
		if listed++; listed <= maxListed {
			line("  %-10s %s", o.Action, contract.OneLine(objects.Describe(o.Kind, o.Namespace, o.Name)))
		}
	}
	if listed > maxListed || in.Plan.Truncated {
		line("  and more: see the output of the state PlanManifests or PlanSet")
	}
	if in.Plan.Diff != nil {
		line("")
		line("The difference:")
		for _, key := range in.Plan.Diff.Keys {
			line("  aws s3 cp %s -", shell.Quote("s3://"+in.Plan.Diff.Bucket+"/"+key))
		}
	}
	line("")
	line("Nothing is changed before somebody approves it, within %s. If something else would be changed by then, nothing is.", time.Duration(in.Approve.TimeoutSeconds)*time.Second)
	line("")
	line("To approve it:")
	line("  kubestep approve %s --digest %s", shell.Quote(in.Execution), in.Plan.Digest)
	line("or")
	line("  echo %s > decision.json", shell.Quote(fmt.Sprintf(`{"execution":%q,"digest":%q}`, in.Execution, in.Plan.Digest)))
	line("  aws lambda invoke --region %s --function-name %s --payload fileb://decision.json /dev/stdout",
		shell.Quote(contract.ARN(in.Execution).Region()), shell.Quote(r.Function))
	line("To reject it:")
	line("  kubestep approve %s --digest %s --reject --reason ...", shell.Quote(in.Execution), in.Plan.Digest)
	return b.String()
}

// Summary counts what a plan would change.
func Summary(plan applymanifests.PlanReport) string {
	var parts []string
	for _, part := range []struct {
		count int
		what  string
	}{{plan.Created, "created"}, {plan.Configured, "configured"}, {plan.Pruned, "pruned"}, {plan.Deleting, "being deleted"}, {plan.Adopted, "taken over"}} {
		if part.count > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", part.count, part.what))
		}
	}
	if len(parts) == 0 {
		return "Nothing would be changed."
	}
	return "Objects: " + strings.Join(parts, ", ") + fmt.Sprintf(", %d unchanged.", plan.Unchanged)
}
