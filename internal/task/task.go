// Package task is the Lambda adapter: it hands an invocation to a handler with a
// deadline, logs how it went, and gives an error the name that the machine knows.
package task

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
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
	// margin is left of the function's time for the answer: a handler that is
	// stopped by its deadline still says what it was waiting for, where one that
	// Lambda stops says nothing.
	margin = 500 * time.Millisecond
	// maxMessage bounds an error's message, in bytes: Step Functions cuts a
	// cause at 32,768 characters, and a cut one is no JSON any more.
	maxMessage = 8 << 10
)

// Handler is a state's work.
type Handler[In, Out any] func(context.Context, In) (Out, error)

// Start serves invocations until Lambda ends the environment. state is the name
// of the state that the function stands for.
func Start[In, Out any](state string, handle Handler[In, Out]) {
	log := slog.New(slog.NewJSONHandler(os.Stdout, nil)).With("stackName", os.Getenv("KUBESTEP_STACK"), "state", state)
	lambda.Start(Adapt(log, handle))
}

// Must returns the value, or ends the start of the function with the error: a
// function that is set up wrongly must not be invoked at all.
func Must[T any](value T, err error) T {
	if err != nil {
		slog.New(slog.NewJSONHandler(os.Stdout, nil)).Error("the function is set up wrongly", "error", err.Error())
		os.Exit(1)
	}
	return value
}

// about is a payload or a result that tells which execution and cluster it is for.
type about interface {
	About() (execution, cluster string)
}

// counted is a result that counts something by status.
type counted interface{ Counts() map[string]int }

// Adapt makes of a handler what aws-lambda-go invokes. Of each invocation it logs
// one line, which tells what it was for and how it went, and holds its metrics.
// The answer is the result in JSON, without any token that a server has quoted:
// what a function answers, everybody reads who may read the execution.
func Adapt[In, Out any](log *slog.Logger, handle Handler[In, Out]) Handler[In, json.RawMessage] {
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
		out, err := survive(ctx, in, handle)
		var answer []byte
		if err == nil {
			answer, err = json.Marshal(out)
		}
		i.took, i.failed = time.Since(i.at), err != nil
		log = log.With(subject(in, out)...)
		if err != nil {
			named := Name(err)
			if fault := (*panicked)(nil); errors.As(err, &fault) {
				log = log.With("stack", string(fault.stack))
				named.ShouldExit = true // what it left behind is not to be trusted
			}
			log.With(i.attributes()...).Error(named.Message, "error", named.Type)
			return nil, named
		}
		if result, ok := any(out).(counted); ok {
			i.podStatuses = result.Counts()
		}
		log.With(i.attributes()...).Info("done")
		return bearer.RedactBytes(answer), nil
	}
}

// subject is the execution and the cluster of an invocation, by the payload or,
// where that leaves the cluster open, by the result.
func subject(in, out any) []any {
	payload, ok := in.(about)
	if !ok {
		return nil
	}
	execution, cluster := payload.About()
	if result, ok := out.(about); ok && cluster == "" {
		_, cluster = result.About()
	}
	// An input that nobody has checked may hold anything.
	return []any{"execution", execution, "cluster", bearer.Redact(cluster)}
}

// panicked is a fault of kubestep's that ended a handler.
type panicked struct {
	value any
	stack []byte
}

func (p *panicked) Error() string { return fmt.Sprintf("panic: %v", p.value) }

// survive makes an error of a panic. aws-lambda-go does so too, but names it by the Go type of what was panicked with.
func survive[In, Out any](ctx context.Context, in In, handle Handler[In, Out]) (out Out, err error) {
	defer func() {
		if value := recover(); value != nil {
			err = &panicked{value, debug.Stack()}
		}
	}()
	return handle(ctx, in)
}

// Name gives an error the name that the machine knows it by. aws-lambda-go hands
// on the type only of this struct by value; of any other error it tells the
// name of its Go type.
func Name(err error) messages.InvokeResponse_Error {
	name, message := contract.Unexpected, fmt.Sprintf("kubestep did not expect this, and it may be a fault of its own: %v", err)
	if known := (*contract.Error)(nil); errors.As(err, &known) {
		name, message = known.Name, known.Message
	}
	// What a server answered stands in some messages, and a server may quote what it was asked.
	message = bearer.Redact(message)
	if len(message) > maxMessage {
		message = strings.ToValidUTF8(message[:maxMessage], "") + "…"
	}
	return messages.InvokeResponse_Error{Type: string(name), Message: message}
}
