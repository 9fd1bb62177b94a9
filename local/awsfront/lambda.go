package awsfront

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/kubestep/kubestep/local/lambdahost"
)

const (
	lambdaVersion = "2015-03-31"
	latest        = "$LATEST"

	// maxRequest is 6 MiB: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
	maxRequest = 6 << 20
)

// lambdaOperation reads METHOD /2015-03-31/functions/NAME/…
func lambdaOperation(method string, path []string) (operation, function string) {
	if len(path) < 2 || path[0] != lambdaVersion || path[1] != "functions" {
		return "", ""
	}
	if len(path) > 2 {
		function = functionName(path[2])
	}
	switch rest := strings.Join(path[min(3, len(path)):], "/"); {
	case method == http.MethodPost && rest == "invocations":
		return "Invoke", function
	case method == http.MethodGet && function == "":
		return "ListFunctions", ""
	case method == http.MethodGet && rest == "":
		return "GetFunction", function
	case method == http.MethodGet && rest == "configuration":
		return "GetFunctionConfiguration", function
	}
	return "", function
}

// functionName reads a function's name from all that an API takes for one: name, name:qualifier, ACCOUNT:function:name, and the ARN.
// There is only the latest code of each function here, and every version stands for it. An alias stays on, and is not found.
func functionName(reference string) string {
	if _, after, ok := strings.Cut(reference, ":function:"); ok {
		reference = after
	}
	if name, qualifier, ok := strings.Cut(reference, ":"); ok && isVersion(qualifier) {
		return name
	}
	return reference
}

// isVersion reports whether a qualifier is a function's version, such as 3 or $LATEST.
func isVersion(qualifier string) bool {
	_, err := strconv.ParseUint(qualifier, 10, 64)
	return qualifier == latest || err == nil
}

// invoke answers https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html. The engine, which calls for
// the state machine, has credentials of its own.
func (f *Front) invoke(w http.ResponseWriter, r *http.Request, c call) *apiError {
	if _, err := f.function(r, c); err != nil {
		return err
	}
	payload, err := io.ReadAll(io.LimitReader(r.Body, maxRequest+1))
	switch {
	case err != nil:
		return &apiError{http.StatusBadRequest, "InvalidRequestContentException", err.Error()}
	case len(payload) > maxRequest:
		return &apiError{http.StatusRequestEntityTooLarge, "RequestTooLargeException", fmt.Sprintf("Request must be smaller than %d bytes for the InvokeFunction operation", maxRequest)}
	case len(payload) == 0:
		payload = []byte("{}")
	case !json.Valid(payload):
		return &apiError{http.StatusBadRequest, "InvalidRequestContentException", "Could not parse request body into json"}
	}
	switch kind := r.Header.Get("X-Amz-Invocation-Type"); kind {
	case "", "RequestResponse":
		return f.invokeAndWait(w, r, c.resource, payload)
	case "Event":
		go func() { _, _ = f.Functions.Invoke(context.WithoutCancel(r.Context()), c.resource, payload) }()
		w.WriteHeader(http.StatusAccepted)
	case "DryRun":
		w.WriteHeader(http.StatusNoContent)
	default:
		return &apiError{http.StatusBadRequest, "InvalidParameterValueException", "there is no invocation type " + kind}
	}
	return nil
}

func (f *Front) invokeAndWait(w http.ResponseWriter, r *http.Request, function string, payload []byte) *apiError {
	result, err := f.Functions.Invoke(r.Context(), function, payload)
	switch {
	case errors.Is(err, lambdahost.ErrTooManyRequests):
		return &apiError{http.StatusTooManyRequests, "TooManyRequestsException", "Rate Exceeded."}
	case err != nil:
		return &apiError{http.StatusInternalServerError, "ServiceException", err.Error()}
	}
	header := w.Header()
	header.Set("X-Amzn-Requestid", result.RequestID)
	header.Set("X-Amz-Executed-Version", latest)
	header.Set("Content-Type", "application/json")
	if result.FunctionError != "" {
		header.Set("X-Amz-Function-Error", result.FunctionError)
	}
	if r.Header.Get("X-Amz-Log-Type") == "Tail" {
		header.Set("X-Amz-Log-Result", base64.StdEncoding.EncodeToString(result.LogTail))
	}
	_, _ = w.Write(result.Payload) // the client is gone
	return nil
}

// function finds the function that is asked for.
func (f *Front) function(r *http.Request, c call) (lambdahost.Function, *apiError) {
	if qualifier := r.URL.Query().Get("Qualifier"); qualifier == "" || isVersion(qualifier) {
		for _, function := range f.Functions.Functions() {
			if function.Name == c.resource {
				return function, nil
			}
		}
	}
	return lambdahost.Function{}, &apiError{http.StatusNotFound, "ResourceNotFoundException", "Function not found: " + c.resource}
}

func (f *Front) listFunctions(w http.ResponseWriter, _ *http.Request, _ call) *apiError {
	list := []functionConfiguration{}
	for _, function := range f.Functions.Functions() {
		list = append(list, configuration(function))
	}
	writeJSON(w, http.StatusOK, map[string]any{"Functions": list})
	return nil
}

func (f *Front) getFunction(w http.ResponseWriter, r *http.Request, c call) *apiError {
	function, err := f.function(r, c)
	if err != nil {
		return err
	}
	answer := map[string]any{"Configuration": configuration(function)}
	if function.Concurrency > 0 {
		answer["Concurrency"] = map[string]int{"ReservedConcurrentExecutions": function.Concurrency}
	}
	writeJSON(w, http.StatusOK, answer)
	return nil
}

func (f *Front) getFunctionConfiguration(w http.ResponseWriter, r *http.Request, c call) *apiError {
	function, err := f.function(r, c)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, configuration(function))
	return nil
}

// functionConfiguration is https://docs.aws.amazon.com/lambda/latest/api/API_FunctionConfiguration.html, without the environment variables:
// one of them is the key that seals tokens.
type functionConfiguration struct {
	FunctionName     string
	FunctionArn      string
	Runtime          string
	Role             string
	Handler          string
	Timeout          int
	MemorySize       int
	Version          string
	PackageType      string
	State            string
	LastUpdateStatus string
}

func configuration(f lambdahost.Function) functionConfiguration {
	return functionConfiguration{
		FunctionName:     f.Name,
		FunctionArn:      f.ARN,
		Runtime:          "provided.al2023",
		Role:             f.Role,
		Handler:          "bootstrap",
		Timeout:          int(f.Timeout.Seconds()),
		MemorySize:       f.MemoryMB,
		Version:          latest,
		PackageType:      "Zip",
		State:            "Active",
		LastUpdateStatus: "Successful",
	}
}
