// Package approval lets a person approve exactly one plan, or one gate of a rollout: it asks for
// the approval, and hands the decision to the execution that waits. internal/approval/proof proves
// that the plan which is applied is that one.
package approval

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sns"

	"github.com/kubestep/kubestep/internal/awsapi"
	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/contract/fleet"
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

// Asked is what an execution waits with: a plan of apply-manifests, or a rollout. It is the payload
// of request-approval from either machine.
type Asked struct {
	applymanifests.RequestApproval
	// Rollout is what a fleet waits with; its digest is empty if it is a plan.
	Rollout fleet.Rollout `json:"rollout"`
}

// FunctionRequestApproval is the function of the state of that name of either machine.
const FunctionRequestApproval contract.Function[Asked, contract.RequestedApproval] = "RequestApproval"

// Digest is what a decision must name.
func (a Asked) Digest() string { return cmp.Or(a.Rollout.Digest, a.Plan.Digest) }

// TimeoutSeconds is how long the execution waits.
func (a Asked) TimeoutSeconds() int {
	return cmp.Or(a.Rollout.TimeoutSeconds, a.Approve.TimeoutSeconds)
}

// topic is the topic to tell, and subject and text are the message.
func (r Requester) message(in Asked) (topic, subject, text string) {
	if in.Rollout.Digest != "" {
		return in.Rollout.TopicARN, "kubestep: approve rollout " + in.Rollout.Name, r.rollout(in)
	}
	return in.Approve.TopicARN, "kubestep: approve a plan for cluster " + in.Cluster.Name, r.plan(in)
}

// Request tells the topic what there is to approve, and how. The execution waits on, and
// the message does not hold what resumes it.
//
// Errors: AccessDenied, Throttled, AWSUnreachable, InvalidInput for a topic that is not there.
func (r Requester) Request(ctx context.Context, in Asked) (contract.RequestedApproval, error) {
	topic, subject, text := r.message(in)
	if topic == "" {
		return contract.RequestedApproval{}, nil
	}
	subject = contract.Clip(subject, maxSubject)
	out, err := r.SNS(contract.ARN(topic).Region(), in.Execution).Publish(ctx, &sns.PublishInput{TopicArn: &topic, Subject: &subject, Message: &text})
	if err != nil {
		return contract.RequestedApproval{}, awsapi.Explain(err, "sns:Publish to "+topic)
	}
	if out.MessageId == nil {
		return contract.RequestedApproval{}, nil
	}
	return contract.RequestedApproval{MessageID: *out.MessageId}, nil
}

// plan is the message about a plan.
func (r Requester) plan(in Asked) string {
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
	r.how(line, in)
	return b.String()
}

// rollout is the message about a rollout.
func (r Requester) rollout(in Asked) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	does := "goes on"
	if in.Rollout.Wave == "" {
		does = "begins"
	}
	line("Rollout %s, execution %s, waits for somebody to approve that it %s.", in.Rollout.Name, in.Execution, does)
	line("")
	for _, text := range Rollout(in.Rollout) {
		line("%s", text)
	}
	line("")
	line("Nothing more is changed before somebody approves it, within %s.", time.Duration(in.Rollout.TimeoutSeconds)*time.Second)
	r.how(line, in)
	return b.String()
}

// Rollout says in lines what is done of a rollout, and what is next.
func Rollout(r fleet.Rollout) []string {
	var lines []string
	for _, w := range r.Done {
		text := fmt.Sprintf("Wave %s: %d of %s succeeded", w.Name, w.Clusters-w.Failed-w.LeftOut, clusters(w.Clusters))
		if w.LeftOut > 0 {
			text += fmt.Sprintf(", %d left out", w.LeftOut)
		}
		if w.Jobs > 0 {
			text += fmt.Sprintf(", and its job in %d", w.Jobs)
		}
		lines = append(lines, text+".")
	}
	switch more := r.Next.Clusters - len(r.Next.Names); {
	case r.Next.Clusters == 0:
		lines = append(lines, "No wave is left: the rollout ends with the approval.")
	default:
		names := strings.Join(r.Next.Names, ", ")
		if more > 0 {
			names += fmt.Sprintf(", and %d more", more)
		}
		next := "Next"
		if r.Next.Name != "" {
			next = "Next is wave " + r.Next.Name
		}
		text := fmt.Sprintf("%s: %s runs on %s: %s.", next, r.Workflow, clusters(r.Next.Clusters), names)
		if r.Later > 0 {
			text += fmt.Sprintf(" Later waves have %s.", clusters(r.Later))
		}
		lines = append(lines, text)
	}
	if r.Request != "" {
		lines = append(lines, "Each is asked: "+r.Request)
	}
	if r.Report != "" {
		lines = append(lines, "Where it stands: "+r.Report+". The report takes its place once the rollout has ended.")
	}
	return lines
}

func clusters(n int) string { return contract.Counted(n, "cluster") }

// how says how to decide.
func (r Requester) how(line func(string, ...any), in Asked) {
	line("")
	line("To approve it:")
	line("  kubestep approve %s --digest %s", shell.Quote(in.Execution), in.Digest())
	line("or")
	line("  echo %s > decision.json", shell.Quote(fmt.Sprintf(`{"execution":%q,"digest":%q}`, in.Execution, in.Digest())))
	line("  aws lambda invoke --region %s --function-name %s --payload fileb://decision.json /dev/stdout",
		shell.Quote(contract.ARN(in.Execution).Region()), shell.Quote(r.Function))
	line("To reject it:")
	line("  kubestep approve %s --digest %s --reject --reason ...", shell.Quote(in.Execution), in.Digest())
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
