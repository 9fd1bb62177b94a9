package iam

import (
	"errors"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	smithy "github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/kubestep/kubestep/internal/contract"
)

// denied are the codes by which AWS refuses a caller: by policy, or because it
// does not take the credentials.
// https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html
var denied = map[string]bool{
	"AccessDenied": true, "AccessDeniedException": true, "NotAuthorized": true, "OptInRequired": true,
	"UnrecognizedClientException": true, "InvalidClientTokenId": true, "InvalidSignatureException": true, "SignatureDoesNotMatch": true,
	"ExpiredToken": true, "ExpiredTokenException": true, "MissingAuthenticationToken": true, "MissingAuthenticationTokenException": true,
}

// Explain names an error of a call to AWS that means the same for every API.
// doing says what was being done, as in "describing cluster demo in eu-west-1".
// The error stays wrapped.
func Explain(err error, doing string) *contract.Error {
	var known *contract.Error
	if errors.As(err, &known) {
		return known
	}
	var api smithy.APIError
	if !errors.As(err, &api) {
		return contract.Errorf(contract.ClusterUnreachable, "AWS could not be reached while %s: %w. Check that the Region exists and is enabled, and that the function has a way to AWS's endpoint", doing, err)
	}
	if denied[api.ErrorCode()] {
		return contract.Errorf(contract.AccessDenied, "IAM refused %s: %s. Allow the action in the policy of the role named, and, for a role to be assumed, in that role's trust policy, where the external ID that it asks for must be the stack's", doing, strings.TrimSuffix(api.ErrorMessage(), ".")).From(err)
	}
	if _, throttled := retry.DefaultThrottleErrorCodes[api.ErrorCode()]; throttled {
		return contract.Errorf(contract.Throttled, "AWS throttled %s (%s). Try later, or start fewer executions at once", doing, api.ErrorCode()).From(err)
	}
	var response *smithyhttp.ResponseError
	if errors.As(err, &response) && (response.HTTPStatusCode() >= 500 || response.HTTPStatusCode() == http.StatusTooManyRequests) {
		return contract.Errorf(contract.Throttled, "AWS could not serve %s (%s: %s). Try later", doing, api.ErrorCode(), api.ErrorMessage()).From(err)
	}
	return contract.Errorf(contract.Unexpected, "AWS answered %s with an error that kubestep does not know: %w", doing, err)
}
