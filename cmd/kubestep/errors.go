package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/follow"
	"github.com/kubestep/kubestep/internal/shell"
)

// awsRequest is what a verb asked Step Functions for.
type awsRequest struct {
	// stateMachineARN and name are set for an execution to start; empty for one that
	// is only followed. variable is the environment variable of the ARN.
	stateMachineARN, variable, name string
	// enables is the parameter that the machine may need.
	enables string
	// executionARN is the execution to follow.
	executionARN string
}

// noExecution is in the place of an execution where there is none.
var noExecution follow.Execution

// enabling names the parameter without which the stack has no such state machine.
func (a awsRequest) enabling() string {
	if a.enables == "" {
		return ""
	}
	return ", and whether the stack has " + a.enables
}

// explain says in a sentence why Step Functions did not do what it was asked, and
// what to do about it, in place of what the SDK says.
func explain(err error, execution follow.Execution, a awsRequest) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	sentence := unanswered(err)
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		sentence = refused(err, api, a)
	}
	if sentence == "" {
		return err
	}
	if execution.ARN != "" && execution.Status == types.ExecutionStatusRunning {
		sentence += "\nThe execution continues. To see it: kubestep follow " + shell.Quote(execution.ARN)
	}
	return errors.New(sentence)
}

// line is the connection to AWS. It remembers whether a request may have arrived: if
// there was no connection for any, none has started an execution.
type line struct {
	aws.HTTPClient
	used atomic.Bool
}

// Do sends a request.
func (l *line) Do(r *http.Request) (*http.Response, error) {
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { l.used.Store(true) }}
	return l.HTTPClient.Do(r.WithContext(httptrace.WithClientTrace(r.Context(), trace))) //nolint:wrapcheck // of the client, for the SDK
}

// startedNothing reports whether an error of StartExecution says that no execution has
// started: because nothing has arrived, or because it was refused.
func (l *line) startedNothing(err error) bool {
	return !l.used.Load() || startedNothing(err)
}

// startedNothing reports whether an error says that AWS refused to do what it was asked.
func startedNothing(err error) bool {
	answer, ok := errors.AsType[*smithyhttp.ResponseError](err)
	return ok && answer.HTTPStatusCode() >= http.StatusBadRequest && answer.HTTPStatusCode() < http.StatusInternalServerError
}

// unanswered is about an endpoint that cannot be reached; empty for other errors.
func unanswered(err error) string {
	if _, ok := errors.AsType[*smithyhttp.RequestSendError](err); !ok {
		return ""
	}
	call, ok := errors.AsType[*url.Error](err)
	if !ok {
		return ""
	}
	endpoint, parseErr := url.Parse(call.URL)
	if parseErr != nil {
		return ""
	}
	if endpoint.Host == "" || endpoint.Scheme != "http" && endpoint.Scheme != "https" {
		return "the endpoint of AWS is not a URL such as http://localhost:4566. Check AWS_ENDPOINT_URL"
	}
	sentence := fmt.Sprintf("%s://%s does not answer (%v).", endpoint.Scheme, endpoint.Host, call.Err)
	if host := endpoint.Hostname(); host == "localhost" || net.ParseIP(host).IsLoopback() {
		return sentence + " If this is the local world, start it with make up and run source .local/env again; to leave it, run deactivate_kubestep"
	}
	return sentence + " Check the network, the Region of the ARN and AWS_ENDPOINT_URL"
}

// refused is about an error that the API answered with.
func refused(err error, api smithy.APIError, a awsRequest) string {
	action := "the call"
	if operation, ok := errors.AsType[*smithy.OperationError](err); ok {
		action = operation.OperationName
		switch operation.ServiceID {
		case sfn.ServiceID:
			action = "states:" + action
		case sts.ServiceID:
			action = "sts:" + action
		case lambda.ServiceID:
			action = "lambda:InvokeFunction" // which no API is named like
		}
	}
	switch code := api.ErrorCode(); code {
	case "ExecutionAlreadyExists":
		// StartExecution answers with the execution itself if name and input match
		// one that is running:
		// https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
		return fmt.Sprintf("there is an execution named %s already. Use another --name, or see that one: kubestep follow %s", a.name, shell.Quote(string(contract.MachineARN(a.stateMachineARN).Execution(a.name))))
	case "ExecutionDoesNotExist":
		return fmt.Sprintf("there is no execution %s. Check the ARN; Step Functions deletes an execution 90 days after its end", a.executionARN)
	case "StateMachineDoesNotExist":
		return fmt.Sprintf("there is no state machine %s. Check --stack, AWS_REGION and AWS_PROFILE, or --state-machine-arn and %s%s", a.stateMachineARN, a.variable, a.enabling())
	case "AccessDeniedException":
		return fmt.Sprintf("the AWS credentials do not allow %s: %s", action, api.ErrorMessage())
	case "ExpiredToken", "ExpiredTokenException":
		return "the AWS credentials have expired. Get new ones, such as with aws sso login"
	case "UnrecognizedClientException", "InvalidClientTokenId", "InvalidSignatureException", "IncompleteSignatureException", "MissingAuthenticationTokenException":
		return fmt.Sprintf("AWS does not accept the credentials (%s: %s). Check AWS_PROFILE, or AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN", code, api.ErrorMessage())
	default:
		return fmt.Sprintf("AWS refuses %s: %s: %s", action, code, api.ErrorMessage())
	}
}
