package task_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambda/messages"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/podinventory"
	"github.com/kubestep/kubestep/internal/task"
)

func TestAnErrorIsHandedOverByItsName(t *testing.T) {
	for sentence, c := range map[string]struct {
		err  error
		want messages.InvokeResponse_Error
	}{
		"its own":                    {contract.Errorf(contract.Forbidden, "no"), messages.InvokeResponse_Error{Type: "Forbidden", Message: "no"}},
		"its own, however wrapped":   {fmt.Errorf("while listing: %w", contract.Errorf(contract.Throttled, "later")), messages.InvokeResponse_Error{Type: "Throttled", Message: "later"}},
		"Unexpected, having none":    {errors.New("boom"), messages.InvokeResponse_Error{Type: "Unexpected", Message: "Unexpected error, possibly a bug in kubestep: boom"}},
		"with no token in it":        {contract.Errorf(contract.Forbidden, "no: Bearer k8s-aws-v1.aHR0cHM"), messages.InvokeResponse_Error{Type: "Forbidden", Message: "no: Bearer [REDACTED]"}},
		"with a message that is cut": {contract.Errorf(contract.Forbidden, "%s", strings.Repeat("x", 20_000)), messages.InvokeResponse_Error{Type: "Forbidden", Message: strings.Repeat("x", 16<<10) + "…"}},
		"with valid text":            {contract.Errorf(contract.Forbidden, "\xff"), messages.InvokeResponse_Error{Type: "Forbidden", Message: "\uFFFD"}},
	} {
		t.Run(sentence, func(t *testing.T) { assert.Equal(t, c.want, task.Name(c.err)) })
	}
}

// Step Functions cuts a cause at 32,768 characters, and the machine reads it as JSON.
func TestAnErrorIsShortEnoughAsJSONWhateverItHolds(t *testing.T) {
	for sentence, text := range map[string]string{"less-than signs": "<", "control characters": "\x01", "quotes": `"`, "emoji": "😀", "letters": "x"} {
		t.Run(sentence, func(t *testing.T) {
			encoded, err := json.Marshal(task.Name(contract.Errorf(contract.InvalidInput, "fieldSelector: %s", strings.Repeat(text, 40_000))))
			require.NoError(t, err)
			assert.Less(t, len(encoded), 17<<10)
			assert.Greater(t, len(encoded), 15<<10, "and no shorter than it must be")
		})
	}
}

func TestAnAnswerHoldsNoTokenThatAServerHasQuoted(t *testing.T) {
	var logged bytes.Buffer
	handle := task.Adapt(slog.New(slog.NewJSONHandler(&logged, nil)), func(context.Context, podinventory.ListPods) (podinventory.Listing, error) {
		const quoted = "Bearer k8s-aws-v1.aHR0cHM_-"
		return podinventory.Listing{Pods: podinventory.Pods{Total: 1, ByStatus: map[string]int{"k8s-aws-v1.aHR0cHM": 1}, Items: []podinventory.Pod{{Name: quoted}}}}, nil
	})
	answer, err := handle(t.Context(), podinventory.ListPods{})
	require.NoError(t, err)

	var listing podinventory.Listing
	require.NoError(t, json.Unmarshal(answer, &listing))
	assert.Equal(t, []podinventory.Pod{{Name: "Bearer [REDACTED]"}}, listing.Items)
	assert.Equal(t, map[string]int{"[REDACTED]": 1}, listing.ByStatus)
	assert.NotContains(t, logged.String(), "k8s-aws-v1.", "nor does the log")
}

// json.Marshal writes six bytes for each of <, > and &, and Step Functions passes on 256 KiB.
func TestAnAnswerIsAsLongAsWhatItPassesOn(t *testing.T) {
	manifests := json.RawMessage(`{"page.html":"` + strings.Repeat("<p>a & b</p>", 10_000) + `"}`)
	handle := task.Adapt(slog.New(slog.DiscardHandler), func(context.Context, int) (contract.DescribedCluster, error) {
		return contract.DescribedCluster{Request: manifests, Target: contract.Target{ClusterName: "<&>"}}, nil
	})
	answer, err := lambda.NewHandler(handle).Invoke(t.Context(), []byte("1"))
	require.NoError(t, err)
	assert.Less(t, len(answer), len(manifests)+2_000)
	assert.True(t, bytes.Contains(answer, []byte(`"<&>"`)), "in a text too")
	var described contract.DescribedCluster
	require.NoError(t, json.Unmarshal(answer, &described))
	assert.True(t, bytes.Equal(manifests, described.Request), "it is passed on as it is")
}

func TestAnAnswerThatStepFunctionsWouldNotPassOnIsAnErrorWithAName(t *testing.T) {
	answer := func(bytes int) (json.RawMessage, error) {
		return task.Adapt(slog.New(slog.DiscardHandler), func(context.Context, int) (string, error) { return strings.Repeat("<", bytes-len(`""`)), nil })(t.Context(), 1)
	}
	longest, err := answer(256 << 10)
	require.NoError(t, err)
	assert.Equal(t, 256<<10, len(longest)) //nolint:testifylint // Len prints all of it

	_, err = answer(256<<10 + 1)
	var named messages.InvokeResponse_Error
	require.ErrorAs(t, err, &named, "States.DataLimitExceeded, which no state catches, would not say whose answer it was")
	assert.Equal(t, "Unexpected", named.Type)
	assert.Contains(t, named.Message, "262145 bytes")
}

func TestAnErrorIsLoggedOnceWithItsName(t *testing.T) {
	var logged bytes.Buffer
	handle := task.Adapt(slog.New(slog.NewJSONHandler(&logged, nil)), func(context.Context, int) (int, error) {
		return 7, contract.Errorf(contract.Forbidden, "no")
	})
	out, err := handle(t.Context(), 1)
	assert.Nil(t, out)
	assert.IsType(t, messages.InvokeResponse_Error{}, err, "by value: of a pointer, Lambda would tell the Go type")

	var line map[string]any
	require.NoError(t, json.Unmarshal(logged.Bytes(), &line), "one line, of JSON")
	assert.Equal(t, "Forbidden", line["error"])
	assert.Equal(t, "no", line["msg"])
}

func TestAHandlerEndsBeforeTheFunctionDoes(t *testing.T) {
	end := time.Now().Add(10 * time.Second)
	ctx, cancel := context.WithDeadline(t.Context(), end)
	defer cancel()
	_, err := task.Adapt(slog.New(slog.DiscardHandler), func(ctx context.Context, _ int) (int, error) {
		deadline, bounded := ctx.Deadline()
		assert.True(t, bounded)
		assert.Equal(t, 500*time.Millisecond, end.Sub(deadline))
		return 0, nil
	})(ctx, 1)
	assert.NoError(t, err)
}

func TestAPanicIsUnexpectedAndEndsTheFunction(t *testing.T) {
	var logged bytes.Buffer
	handle := task.Adapt(slog.New(slog.NewJSONHandler(&logged, nil)), func(context.Context, int) (int, error) {
		panic("boom")
	})
	_, err := handle(t.Context(), 1)
	assert.Equal(t, messages.InvokeResponse_Error{Type: "Unexpected", Message: "Unexpected error, possibly a bug in kubestep: panic: boom", ShouldExit: true}, err)
	assert.Contains(t, logged.String(), "task_test.go", "the log says where")
}

func TestGoIsToldHowMuchMemoryTheFunctionHas(t *testing.T) {
	for sentence, c := range map[string]struct {
		environment map[string]string
		bytes       int64
	}{
		"three quarters of it":                      {map[string]string{"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512"}, 384 << 20},
		"unless its configuration says it":          {map[string]string{"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512", "GOMEMLIMIT": "40MiB"}, 0},
		"or nothing does, as outside of Lambda":     {nil, 0},
		"or what there is is not an amount":         {map[string]string{"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "much"}, 0},
		"even if it is all that a function can get": {map[string]string{"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "10240"}, 7680 << 20},
	} {
		t.Run(sentence, func(t *testing.T) {
			assert.Equal(t, c.bytes, task.MemoryLimit(func(name string) string { return c.environment[name] }))
		})
	}
}
