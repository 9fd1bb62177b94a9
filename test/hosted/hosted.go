// Package hosted runs functions in this process as Lambda does: a payload in JSON, an answer in JSON, and errors as a machine sees them.
package hosted

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"

	"github.com/aws/aws-lambda-go/lambda/messages"

	"github.com/kubestep/kubestep/internal/task"
	"github.com/kubestep/kubestep/test/asl"
)

// Function is a function as Lambda runs it. Its error is an asl.Error, if the function ended with one.
type Function func(context.Context, json.RawMessage) (json.RawMessage, error)

// New hosts what a function's main.go starts.
func New[In, Out any](handle task.Handler[In, Out]) Function {
	adapted := task.Adapt(slog.New(slog.DiscardHandler), handle)
	return func(ctx context.Context, payload json.RawMessage) (json.RawMessage, error) {
		var in In
		if err := json.Unmarshal(payload, &in); err != nil {
			return nil, err
		}
		answer, err := adapted(ctx, in)
		var named messages.InvokeResponse_Error
		if !errors.As(err, &named) {
			return answer, err
		}
		cause, err := json.Marshal(map[string]string{"errorMessage": named.Message, "errorType": named.Type})
		if err != nil {
			return nil, err
		}
		return nil, asl.Error{Name: named.Type, Cause: string(cause)}
	}
}
