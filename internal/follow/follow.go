// Package follow starts an execution of a Step Functions state machine, or
// takes up one that runs already, and shows its states as they happen. It
// knows the Step Functions API and nothing of what stands behind it, so it
// serves on AWS as it does on one's own computer.
package follow

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/kubestep/kubestep/internal/follow/terminal"
)

// Client is what is needed of the Step Functions API; *sfn.Client has it.
type Client interface {
	StartExecution(context.Context, *sfn.StartExecutionInput, ...func(*sfn.Options)) (*sfn.StartExecutionOutput, error)
	DescribeExecution(context.Context, *sfn.DescribeExecutionInput, ...func(*sfn.Options)) (*sfn.DescribeExecutionOutput, error)
	GetExecutionHistory(context.Context, *sfn.GetExecutionHistoryInput, ...func(*sfn.Options)) (*sfn.GetExecutionHistoryOutput, error)
}

// Follower follows executions. It holds nothing of an execution itself, so one
// may follow many at once (with a writer that allows for it).
type Follower struct {
	Client Client
	// Interval is the time between two reads of the history. On AWS a fifth of
	// a second is well within the account's quota of GetExecutionHistory, which
	// refills with 20 calls a second in the larger Regions and 15 in the others:
	// https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
	Interval time.Duration
	// Out receives the states as they happen.
	Out io.Writer
	// Live redraws the running state in place; for a terminal only.
	Live bool
	// Verbose also shows the input and the whole cause of each failed attempt.
	Verbose bool
	// Style colors what is shown, or does not.
	Style terminal.Style
	// Event is called with each event of the history, once; it may be nil.
	Event func(types.HistoryEvent)
	// Chapter is what the steps that follow are part of. It is asked after each event; it may be nil.
	Chapter func() Chapter
	// Detail is what a live line adds to the state that is running, in at most that many
	// characters; it may be nil.
	Detail func(ctx context.Context, room int) string
	// Reword returns what is shown of a cause in its place; nil for the cause as it is.
	Reword func(cause string) string
	// Width is how many characters a live line has room for; nil if that is not known.
	Width func() int
}

// Chapter is what steps are part of: an execution may pass the same states again, to do something else.
type Chapter struct {
	// Title is shown before its first step.
	Title string
	// Again hides the tasks that succeed at once: a loop that waits has shown them.
	Again bool
	// Say is what the person who looks should know of the state that runs: a line of its own, once, also
	// above a live line. Nothing is said of states that have ended by the time that they are seen.
	Say string
	// Waiting is what is waited for. A live line has its own detail; elsewhere, it is a line of
	// its own whenever it changes.
	Waiting string
}

// Start is an execution to be started.
type Start struct {
	StateMachineARN string
	// Input is a JSON document.
	Input string
	// Name is the execution's; empty for a new one.
	Name string
}

// Execution is an execution and how it ended.
type Execution struct {
	ARN    string
	Name   string
	Status types.ExecutionStatus
	// Output is a JSON document if the execution succeeded.
	Output string
	// Error and Cause say why it did not, if Step Functions knows.
	Error, Cause string
	// Started and Stopped are Step Functions' own times.
	Started, Stopped time.Time
	// Path are the states in the order in which they were entered.
	Path []string
	// Steps are what was shown of them.
	Steps []Step
}

// Attempts counts how often a task state ran: when it was entered, and on each of
// its retries.
func (e Execution) Attempts(state string) int {
	n := 0
	for _, s := range e.Steps {
		if s.State == state && s.Kind != Retried {
			n++
		}
	}
	return n
}

// Entered counts how often a state was entered.
func (e Execution) Entered(state string) int {
	n := 0
	for _, entered := range e.Path {
		if entered == state {
			n++
		}
	}
	return n
}

// interruption is the end of a context as it concerns the execution: "context
// canceled" would not tell the person who interrupted it what happened.
type interruption struct {
	message string
	err     error
}

func (i *interruption) Error() string { return i.message }
func (i *interruption) Unwrap() error { return i.err }

// Start starts an execution and follows it to its end. An execution that failed is
// not an error: see its Status. If the context ends first, the execution continues,
// and the error says so with its ARN.
func (f *Follower) Start(ctx context.Context, start Start) (Execution, error) {
	name := start.Name
	if name == "" {
		// A name makes the start idempotent: when an answer is lost and the SDK
		// sends the request again, the same execution answers and no second one starts.
		name = rand.Text()
	}
	if f.Verbose {
		f.progress().line("Input %s", terminal.Line(start.Input))
	}
	started, err := f.Client.StartExecution(ctx, &sfn.StartExecutionInput{
		StateMachineArn: aws.String(start.StateMachineARN),
		Name:            aws.String(name),
		Input:           aws.String(start.Input),
	})
	if err != nil {
		if ctx.Err() != nil {
			return Execution{Name: name}, &interruption{"interrupted; an execution named " + name + " may have started", ctx.Err()}
		}
		return Execution{Name: name}, fmt.Errorf("start an execution: %w", err)
	}
	return f.follow(ctx, Execution{
		ARN:     aws.ToString(started.ExecutionArn),
		Name:    name,
		Status:  types.ExecutionStatusRunning,
		Started: aws.ToTime(started.StartDate),
	})
}

// Follow follows an execution that was started already, from its first state
// to its end.
func (f *Follower) Follow(ctx context.Context, arn string) (Execution, error) {
	execution, err := f.describe(ctx, Execution{ARN: arn})
	if err != nil {
		if ctx.Err() != nil {
			return execution, &interruption{"interrupted", ctx.Err()}
		}
		return execution, err
	}
	return f.follow(ctx, execution)
}

func (f *Follower) follow(ctx context.Context, execution Execution) (Execution, error) {
	show := f.progress()
	show.line("Execution %s", terminal.Line(execution.ARN))
	execution, err := f.watch(ctx, execution, show)
	show.finish(execution)
	if err != nil && ctx.Err() != nil {
		message := "interrupted"
		if execution.Status == types.ExecutionStatusRunning {
			message += "; the execution continues: " + execution.ARN
		}
		return execution, &interruption{message, ctx.Err()}
	}
	return execution, err
}

func (f *Follower) progress() *progress {
	return &progress{out: f.Out, live: f.Live, verbose: f.Verbose, style: f.Style, width: f.Width, reword: f.Reword}
}

// watch looks at the history until the execution has ended, and all of its
// history is seen.
func (f *Follower) watch(ctx context.Context, execution Execution, show *progress) (Execution, error) {
	past := newHistory()
	begun := time.Now()
	var page *string
	for look := 1; ; look++ {
		over := execution.Status != types.ExecutionStatusRunning
		var err error
		page, err = f.read(ctx, execution.ARN, page, func(event types.HistoryEvent) {
			if f.Event != nil && event.Id > past.last {
				f.Event(event)
			}
			if f.Chapter != nil && event.Id > past.last {
				show.begin(f.Chapter())
			}
			if step, ok := past.add(event); ok {
				show.step(step)
			}
		})
		execution.Path, execution.Steps = past.path, past.steps
		settled := time.Since(begun) >= settling
		if err != nil && (settled || !notThereYet(err)) {
			return execution, err
		}
		if over {
			return execution, nil
		}
		// The history's last event says that it is over, and the description how it
		// came out. An execution that runs out of time may be over without an event
		// (in moto, until its running task ends), so the description is asked now and then too.
		if past.ended || look%looksPerDescription == 0 {
			if execution, err = f.describe(ctx, execution); err != nil {
				return execution, err
			}
			switch {
			// Either may lag behind the other: both are eventually consistent.
			case execution.Status == types.ExecutionStatusRunning:
			case past.ended:
				return execution, nil
			default:
				continue
			}
		}
		if f.Chapter != nil {
			show.say(f.Chapter().Say)
		}
		what := past.running()
		show.running(what, f.detail(ctx, show.room(what)))
		select {
		case <-ctx.Done():
			return execution, context.Cause(ctx)
		case <-time.After(f.Interval):
		}
	}
}

func (f *Follower) detail(ctx context.Context, room int) string {
	if f.Detail == nil || !f.Live {
		return ""
	}
	return f.Detail(ctx, room)
}

// looksPerDescription is how often the history is read for each DescribeExecution,
// while the execution runs.
const looksPerDescription = 10

// settling is how long an execution that was just started may be unknown to
// GetExecutionHistory, which is eventually consistent.
const settling = 5 * time.Second

func notThereYet(err error) bool {
	var unknown *types.ExecutionDoesNotExist
	return errors.As(err, &unknown)
}

// read passes on the events from a page on, and returns the page to continue with.
// The last page may grow, so it is read again each time; history.add skips the
// events that it has seen.
func (f *Follower) read(ctx context.Context, arn string, page *string, event func(types.HistoryEvent)) (*string, error) {
	for {
		answer, err := f.Client.GetExecutionHistory(ctx, &sfn.GetExecutionHistoryInput{
			ExecutionArn: aws.String(arn),
			// Events carry whole documents, and the last page is read many times.
			MaxResults: 100,
			NextToken:  page,
		})
		if err != nil {
			return page, fmt.Errorf("read the history of %s: %w", arn, err)
		}
		for _, e := range answer.Events {
			event(e)
		}
		if aws.ToString(answer.NextToken) == "" {
			return page, nil
		}
		page = answer.NextToken
	}
}

func (f *Follower) describe(ctx context.Context, execution Execution) (Execution, error) {
	d, err := f.Client.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: aws.String(execution.ARN)})
	if err != nil {
		return execution, fmt.Errorf("describe %s: %w", execution.ARN, err)
	}
	execution.Name = aws.ToString(d.Name)
	execution.Status = d.Status
	execution.Output = aws.ToString(d.Output)
	execution.Error, execution.Cause = aws.ToString(d.Error), aws.ToString(d.Cause)
	execution.Started, execution.Stopped = aws.ToTime(d.StartDate), aws.ToTime(d.StopDate)
	return execution, nil
}
