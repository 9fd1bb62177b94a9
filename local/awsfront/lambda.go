package awsfront

import (
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

// lambdaOperation reads POST /2015-03-31/functions/NAME/invocations, the only operation of Lambda that is called here.
func lambdaOperation(method string, path []string) (operation, function string) {
	if len(path) < 3 || path[0] != lambdaVersion || path[1] != "functions" {
		return "", ""
	}
	if method == http.MethodPost && strings.Join(path[3:], "/") == "invocations" {
		operation = "Invoke"
	}
	return operation, functionName(path[2])
}

// functionName returns the function's name of each form that the API accepts: name, name:qualifier, ACCOUNT:function:name, and the ARN.
// Each function has only its latest code here, which every version refers to. An alias stays in the name, and is not found.
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

// invoke answers https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
func (f *Front) invoke(w http.ResponseWriter, r *http.Request, c call) *apiError {
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
	if kind := r.Header.Get("X-Amz-Invocation-Type"); kind != "" && kind != "RequestResponse" {
		return &apiError{http.StatusBadRequest, "InvalidParameterValueException", "the local Lambda has no invocation type " + kind}
	}
	err = lambdahost.ErrNotFound
	var result lambdahost.Result
	if qualifier := r.URL.Query().Get("Qualifier"); qualifier == "" || isVersion(qualifier) {
		result, err = f.Functions.Invoke(r.Context(), c.resource, payload)
	}
	switch {
	case errors.Is(err, lambdahost.ErrNotFound):
		return &apiError{http.StatusNotFound, "ResourceNotFoundException", "Function not found: " + c.resource}
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
	_, _ = w.Write(result.Payload) // the client is gone
	return nil
}
