package awsapi

import (
	"errors"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	smithy "github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/kubestep/kubestep/internal/contract"
)

// denied are the codes with which AWS refuses a caller: by policy, or because it
// does not accept the credentials.
// https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html
var denied = map[string]bool{
	"AccessDenied": true, "AccessDeniedException": true, "NotAuthorized": true, "OptInRequired": true,
	"UnrecognizedClientException": true, "InvalidClientTokenId": true, "InvalidSignatureException": true, "SignatureDoesNotMatch": true,
	"ExpiredToken": true, "ExpiredTokenException": true, "MissingAuthenticationToken": true, "MissingAuthenticationTokenException": true,
}

// Explain names an error of a call to AWS that means the same for every API.
// doing is the action and its resource, as in "eks:DescribeCluster of cluster demo
// in eu-west-1". The error stays wrapped.
func Explain(err error, doing string) *contract.Error {
	var known *contract.Error
	if errors.As(err, &known) {
		return known
	}
	var api smithy.APIError
	if !errors.As(err, &api) {
		return contract.Errorf(contract.AWSUnreachable, "AWS did not answer %s: %w. Check that the Region exists and is enabled, and that the function has a route to the AWS endpoint: in the subnets of a VPC it needs a NAT gateway or a VPC endpoint", doing, err)
	}
	if denied[api.ErrorCode()] {
		return contract.Errorf(contract.AccessDenied, "IAM refused %s: %s. Allow the action in the policy of the role that is named; if a role is to be assumed, allow it in that role's trust policy too, and check that the external ID that it expects is the stack's", doing, strings.TrimSuffix(api.ErrorMessage(), ".")).From(err)
	}
	if _, throttled := retry.DefaultThrottleErrorCodes[api.ErrorCode()]; throttled {
		return contract.Errorf(contract.Throttled, "AWS throttled %s (%s). Try again later, or start fewer executions at once", doing, api.ErrorCode()).From(err)
	}
	var response *smithyhttp.ResponseError
	if errors.As(err, &response) && (response.HTTPStatusCode() >= 500 || response.HTTPStatusCode() == http.StatusTooManyRequests) {
		return contract.Errorf(contract.Throttled, "AWS could not serve %s (%s: %s). Try again later", doing, api.ErrorCode(), api.ErrorMessage()).From(err)
	}
	return contract.Errorf(contract.Unexpected, "AWS answered %s with an error that kubestep does not know: %w", doing, err)
}
