package approval

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/kubestep/kubestep/internal/approval/proof"
	"github.com/kubestep/kubestep/internal/awsapi"
	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
)

// StepFunctions is what is called of the Step Functions API.
type StepFunctions interface {
	History
	SendTaskSuccess(context.Context, *sfn.SendTaskSuccessInput, ...func(*sfn.Options)) (*sfn.SendTaskSuccessOutput, error)
}

// History reads the history of executions.
type History interface {
	DescribeExecution(context.Context, *sfn.DescribeExecutionInput, ...func(*sfn.Options)) (*sfn.DescribeExecutionOutput, error)
	GetExecutionHistory(context.Context, *sfn.GetExecutionHistoryInput, ...func(*sfn.Options)) (*sfn.GetExecutionHistoryOutput, error)
}

// Approver hands decisions to executions.
type Approver struct {
	API    StepFunctions
	Sealer proof.Sealer
	// Machines are the names of the state machines whose plans and rollouts are approved.
	Machines []string
	Now      func() time.Time
}

const (
	maxReason = 500
	maxBy     = 2048
	// lastEvents is how many events of a history are looked at: those of the state that waits are the last.
	lastEvents = 10
)

var (
	executions = regexp.MustCompile(`^arn:[a-z-]+:states:[a-z0-9-]+:[0-9]{12}:execution:[A-Za-z0-9_-]{1,80}:[A-Za-z0-9_.:-]{1,80}$`)
	digests    = regexp.MustCompile(`^[A-Za-z0-9_-]{24}$`)
)

// Approve approves or rejects what an execution waits with.
//
// Errors: InvalidInput for an execution that waits for no approval, or for that of something
// else; AccessDenied, Throttled, AWSUnreachable.
func (a Approver) Approve(ctx context.Context, in applymanifests.ApprovePlan) (applymanifests.ApprovedPlan, error) {
	if err := a.check(in); err != nil {
		return applymanifests.ApprovedPlan{}, err
	}
	waiting, err := Find(ctx, a.API, in.Execution)
	if err != nil {
		return applymanifests.ApprovedPlan{}, err
	}
	if waiting == nil {
		return applymanifests.ApprovedPlan{}, contract.Errorf(contract.InvalidInput, "Execution %s waits for no approval: it ended, it is not that far yet, or somebody decided already. To see which: kubestep follow %s", in.Execution, in.Execution)
	}
	switch {
	case waiting.Digest() == in.Digest:
	case waiting.Rollout.Digest != "":
		return applymanifests.ApprovedPlan{}, contract.Errorf(contract.InvalidInput, "Execution %s waits for the approval of another gate than %s: see kubestep approvals, and look at what that one goes on to change first", in.Execution, in.Digest)
	default:
		return applymanifests.ApprovedPlan{}, contract.Errorf(contract.InvalidInput, "Execution %s waits for the approval of another plan than %s: see kubestep approvals, and look at that plan first", in.Execution, in.Digest)
	}
	answer := applymanifests.ApprovedPlan{Execution: in.Execution, Digest: in.Digest, Approved: !in.Reject, At: a.Now().UTC().Truncate(time.Second)}
	decision, err := a.Sealer.Seal(in.Execution, contract.Decision{Digest: in.Digest, At: answer.At, By: in.By, Approved: answer.Approved, Reason: in.Reason})
	if err != nil {
		return applymanifests.ApprovedPlan{}, err
	}
	text, err := contract.Encode(decision)
	if err != nil {
		return applymanifests.ApprovedPlan{}, fmt.Errorf("encode the decision: %w", err)
	}
	output := string(text)
	_, err = a.API.SendTaskSuccess(ctx, &sfn.SendTaskSuccessInput{TaskToken: &waiting.Token, Output: &output})
	return answer, late(err, in.Execution)
}

// late names the error of a token that resumes nothing any more.
func late(err error, execution string) error {
	var timedOut *types.TaskTimedOut
	var gone *types.TaskDoesNotExist
	switch {
	case err == nil:
		return nil
	case errors.As(err, &timedOut), errors.As(err, &gone):
		return contract.Errorf(contract.InvalidInput, "Execution %s waits for no approval any more: its time was over, or somebody decided at the same moment", execution).From(err)
	default:
		return awsapi.Explain(err, "states:SendTaskSuccess")
	}
}

// IsDigest reports whether a text has the form of the digests that are approved.
func IsDigest(text string) bool { return digests.MatchString(text) }

// check names every problem of a payload.
func (a Approver) check(in applymanifests.ApprovePlan) error {
	var problems []string
	switch {
	case !executions.MatchString(in.Execution):
		problems = append(problems, "execution: expected the ARN of the execution that waits")
	case !slices.Contains(a.Machines, contract.ExecutionARN(in.Execution).Machine()):
		problems = append(problems, fmt.Sprintf("execution: expected one of the state machine %s", strings.Join(a.Machines, " or ")))
	}
	if !IsDigest(in.Digest) {
		problems = append(problems, "digest: expected the 24 characters of the digest that the execution waits with")
	}
	if len(in.Reason) > maxReason || !isPrintable(in.Reason) {
		problems = append(problems, fmt.Sprintf("reason: %d bytes: expected at most %d, all printable, in one line", len(in.Reason), maxReason))
	}
	if in.Reason != "" && !in.Reject {
		problems = append(problems, `reason: expected only with "reject": true`)
	}
	if len(in.By) > maxBy || !isPrintable(in.By) {
		problems = append(problems, fmt.Sprintf("by: expected at most %d printable bytes", maxBy))
	}
	if len(problems) > 0 {
		return contract.Errorf(contract.InvalidInput, "The payload has %s: %s", contract.Counted(len(problems), "problem"), strings.Join(problems, "; "))
	}
	return nil
}

// isPrintable reports whether a text can be shown as it is: in causes, reports and terminals.
func isPrintable(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })
}

// Waiting is what an execution waits for.
type Waiting struct {
	Asked
	// Since is when it began to wait.
	Since time.Time
}

// waitsFor is the resource of the state that waits, as the history has it.
const waitsFor = "invoke.waitForTaskToken"

// Find finds out what an execution waits for; nil if that is no approval.
func Find(ctx context.Context, api History, execution string) (*Waiting, error) {
	described, err := api.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: &execution})
	if err != nil {
		return nil, awsapi.Explain(err, "states:DescribeExecution of "+execution)
	}
	if described.Status != types.ExecutionStatusRunning {
		return nil, nil //nolint:nilnil // it waits for nothing
	}
	history, err := api.GetExecutionHistory(ctx, &sfn.GetExecutionHistoryInput{ExecutionArn: &execution, ReverseOrder: true, MaxResults: lastEvents, IncludeExecutionData: new(true)})
	if err != nil {
		return nil, awsapi.Explain(err, "states:GetExecutionHistory of "+execution)
	}
	// The local engine does not know ReverseOrder, and returns all.
	slices.SortFunc(history.Events, func(a, b types.HistoryEvent) int { return cmp.Compare(b.Id, a.Id) })
	for _, event := range history.Events {
		switch event.Type {
		case types.HistoryEventTypeTaskStarted, types.HistoryEventTypeTaskSubmitted:
			continue
		case types.HistoryEventTypeTaskScheduled:
			return WaitingSince(event)
		default:
			return nil, nil //nolint:nilnil // the execution goes on
		}
	}
	return nil, nil //nolint:nilnil // there are no such events
}

// WaitingSince reads what an execution waits for since that event; nil if it is not the one that a wait for an approval begins with.
func WaitingSince(event types.HistoryEvent) (*Waiting, error) {
	scheduled := event.TaskScheduledEventDetails
	if scheduled == nil || scheduled.Resource == nil || *scheduled.Resource != waitsFor || scheduled.Parameters == nil {
		return nil, nil //nolint:nilnil // another task
	}
	var parameters struct {
		Payload Asked `json:"Payload"`
	}
	if err := json.Unmarshal([]byte(*scheduled.Parameters), &parameters); err != nil || parameters.Payload.Token == "" {
		return nil, contract.Errorf(contract.InvalidInput, "The execution waits for something else than an approval of this version of kubestep")
	}
	waiting := &Waiting{Asked: parameters.Payload}
	if event.Timestamp != nil {
		waiting.Since = *event.Timestamp
	}
	return waiting, nil
}
