// Package task is the Lambda adapter: it calls a handler with a deadline, logs the
// invocation, and gives an error the name that the machine knows. It knows no
// workflow: what is particular to one comes from its payloads and results.
package task

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambda/messages"
	"github.com/aws/aws-lambda-go/lambdacontext"

	"github.com/kubestep/kubestep/internal/bearer"
	"github.com/kubestep/kubestep/internal/contract"
)

const (
	// margin is kept of the function's time for the answer: a handler that reaches its
	// deadline still says what it was waiting for, but Lambda would stop it without a
	// word.
	margin = 500 * time.Millisecond
	// maxCauseBytes bounds an error's message as JSON: Step Functions cuts a cause at
	// 32,768 characters, and what is left would not be JSON. Lambda's answer adds the
	// type and little else.
	maxCauseBytes = 16 << 10
	// maxAnswerBytes is the most that Step Functions passes between states. What is
	// longer ends an execution with States.DataLimitExceeded, which no state can catch:
	// https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
	// https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
	maxAnswerBytes = 256 << 10
)

// Handler is the work of a state.
type Handler[In, Out any] func(context.Context, In) (Out, error)

// Start serves invocations of a function until Lambda ends the environment.
func Start[In, Out any](function contract.Function[In, Out], handle Handler[In, Out], options ...Option) {
	log := slog.New(slog.NewJSONHandler(os.Stdout, nil)).With("stackName", os.Getenv("KUBESTEP_STACK"), "state", string(function))
	if limit := MemoryLimit(os.Getenv); limit > 0 {
		debug.SetMemoryLimit(limit)
	}
	if os.Getenv("KUBESTEP_CLUSTER_METRICS") == "false" {
		options = append(options, WithoutClusterMetrics)
	}
	lambda.Start(Adapt(log, handle, options...))
}

// heapShare is how much of the function's memory Go may use before it collects garbage
// more often, in percent. The rest is for the program, its stacks, and what is live.
const heapShare = 75

// MemoryLimit is the memory limit for Go's runtime, in bytes, or 0 for the default:
// Lambda says how much memory the function has, and does not set GOMEMLIMIT.
// https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
func MemoryLimit(getenv func(string) string) int64 {
	if getenv("GOMEMLIMIT") != "" {
		return 0 // which the runtime has read
	}
	megabytes, err := strconv.ParseInt(getenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE"), 10, 32)
	if err != nil || megabytes <= 0 {
		return 0
	}
	return megabytes << 20 * heapShare / 100
}

// Option changes what an invocation's line is.
type Option func(*invocation)

// WithoutClusterMetrics makes no metrics of what a result counts of its cluster. The
// counts are still in the line.
func WithoutClusterMetrics(i *invocation) { i.quiet = true }

// Metrics makes metrics of a result: counts by name.
func Metrics[Out any](of func(Out) map[string]int) Option {
	return func(i *invocation) {
		i.measure = func(out any) map[string]int {
			if result, ok := out.(Out); ok {
				return of(result)
			}
			return nil
		}
	}
}

// Must returns the value, or ends the program with the error: a function that is
// set up wrongly must not be invoked.
func Must[T any](value T, err error) T {
	if err != nil {
		slog.New(slog.NewJSONHandler(os.Stdout, nil)).Error("the function is set up wrongly", "error", err.Error())
		os.Exit(1)
	}
	return value
}

// attributed is a payload or a result that says which execution and cluster it is
// for, or more. Of the same attribute the payload's value wins, and empty ones are
// left out.
type attributed interface{ LogAttrs() []slog.Attr }

// Adapt makes a handler for aws-lambda-go. It logs each invocation in one line,
// which says what it was for and how it ended, and holds its metrics. The answer is
// the result in JSON, with any token redacted that a server quoted: whoever may read
// the execution can read it.
func Adapt[In, Out any](log *slog.Logger, handle Handler[In, Out], options ...Option) Handler[In, json.RawMessage] {
	var warm atomic.Bool
	return func(ctx context.Context, in In) (json.RawMessage, error) {
		if deadline, bounded := ctx.Deadline(); bounded {
			var cancel context.CancelFunc
			ctx, cancel = context.WithDeadline(ctx, deadline.Add(-margin))
			defer cancel()
		}
		log := log
		if invocation, ok := lambdacontext.FromContext(ctx); ok {
			log = log.With("requestId", invocation.AwsRequestID)
		}
		i := invocation{at: time.Now(), cold: !warm.Swap(true)}
		for _, option := range options {
			option(&i)
		}
		out, err := survive(ctx, in, handle)
		var answer []byte
		if err == nil {
			answer, err = encode(out)
		}
		i.took, i.failed = time.Since(i.at), err != nil
		log = log.With(subject(in, out)...)
		if err != nil {
			named := Name(err)
			if fault := (*panicked)(nil); errors.As(err, &fault) {
				log = log.With("stack", string(fault.stack))
				named.ShouldExit = true // the state that it left behind cannot be trusted
			}
			log.With(i.attributes()...).Error(named.Message, "error", named.Type)
			return nil, named
		}
		if i.measure != nil {
			i.counts = i.measure(out)
		}
		log.With(i.attributes()...).Info("done")
		return answer, nil
	}
}

// encode returns an answer as it is sent: aws-lambda-go passes JSON on without
// escaping it, unless it is told to.
func encode(out any) ([]byte, error) {
	answer, err := contract.Encode(out)
	if err != nil {
		return nil, err
	}
	answer = bearer.RedactBytes(answer)
	if len(answer) > maxAnswerBytes {
		return nil, fmt.Errorf("the answer has %d bytes, and at most %d pass between states", len(answer), maxAnswerBytes)
	}
	return answer, nil
}

// subject are the attributes of an invocation: the payload's and the result's.
func subject(in, out any) []any {
	said := map[string]bool{}
	var attrs []any
	for _, of := range []any{in, out} {
		a, ok := of.(attributed)
		if !ok {
			continue
		}
		for _, attr := range a.LogAttrs() {
			text := attr.Value.String()
			if text == "" || said[attr.Key] {
				continue
			}
			said[attr.Key] = true
			// An input that nobody has checked may hold anything.
			attrs = append(attrs, slog.String(attr.Key, bearer.Redact(text)))
		}
	}
	return attrs
}

// panicked is a panic of a handler.
type panicked struct {
	value any
	stack []byte
}

func (p *panicked) Error() string { return fmt.Sprintf("panic: %v", p.value) }

// survive returns a panic as an error. aws-lambda-go does so too, but names it by
// the Go type of the value.
func survive[In, Out any](ctx context.Context, in In, handle Handler[In, Out]) (out Out, err error) {
	defer func() {
		if value := recover(); value != nil {
			err = &panicked{value, debug.Stack()}
		}
	}()
	return handle(ctx, in)
}

// Name gives an error the name that the machine knows it by. aws-lambda-go passes on
// the type of this struct only, by value; of any other error it passes on the name
// of its Go type.
func Name(err error) messages.InvokeResponse_Error {
	name, message := contract.Unexpected, fmt.Sprintf("Unexpected error, possibly a bug in kubestep: %v", err)
	if known := (*contract.Error)(nil); errors.As(err, &known) {
		name, message = known.Name, known.Message
	}
	// Some messages hold what a server answered, and a server may quote the request.
	return messages.InvokeResponse_Error{Type: string(name), Message: bound(bearer.Redact(message))}
}

// bound truncates a message so that it is short enough as JSON, in which a < takes
// six bytes.
func bound(message string) string {
	message = strings.ToValidUTF8(message, "\uFFFD")
	size := 0
	for i, r := range message {
		encoded, _ := json.Marshal(string(r)) // text cannot fail
		if size += len(encoded) - len(`""`); size > maxCauseBytes {
			return message[:i] + "…"
		}
	}
	return message
}
