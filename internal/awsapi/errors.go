package awsapi

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	smithy "github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/kubestep/kubestep/internal/contract"
)

// refusal is a reason why AWS refuses a caller, and how to fix it.
type refusal string

const (
	// byPolicy is a decision of IAM about credentials that AWS accepts.
	byPolicy refusal = "Allow the action in the policy of the role named above. If a role is assumed, also allow it in that role's trust policy, and check that the trust policy expects this stack's external ID"
	// byOrganization, byBoundary, bySession, byEndpoint and byResource are decisions of other
	// policies than the role's own.
	byOrganization refusal = "A policy of the organization decides this (AWS Organizations), and no policy of the account changes it. Ask who manages the organization"
	byBoundary     refusal = "The permissions boundary of the role decides this, so allow the action there too. The boundary of kubestep's own roles is in the stack's parameter PermissionsBoundaryArn"
	bySession      refusal = "A session policy decides this, which limits the credentials since they were issued. Ask who issues them"
	byEndpoint     refusal = "The policy of the VPC endpoint decides this, through which the function reaches AWS. Allow the action there"
	byResource     refusal = "The policy of the resource itself decides this, such as a bucket's, a KMS key's or the trust policy of the role to be assumed. Allow the action to the role named above there"
	// notSubscribed is about the account.
	notSubscribed refusal = "The account may not use the service in this Region, whatever its policies say. Enable the Region for the account (aws account enable-region --region-name REGION), and check that the account is active and has signed up for the service"
	// notEnabled is about the account in one Region, where STS issues no credentials.
	notEnabled refusal = "STS is not active in this Region for the account. Enable the Region (aws account enable-region --region-name REGION), or activate its STS endpoint in the account settings of IAM"
	// notAccepted is about credentials that are not valid there. In a Region that is not enabled, no credentials of the account are.
	notAccepted refusal = "AWS does not accept the credentials. Check that the Region is enabled for the account (aws account get-region-opt-status --region-name REGION), and that the role was not deleted meanwhile: a role that was created again under its name is another one"
	// expired credentials are renewed before they expire, unless the clock is off.
	expired refusal = "The credentials have expired. Start a new execution, which gets new ones; if they have expired again, the clock of the function is off"
	// clockOff is about the date in the signature, which may differ by some minutes.
	clockOff refusal = "The time in the request's signature differs from the time at AWS by more than AWS allows. Nothing in a policy helps: the clock of the function is off, or the request was delayed on its way, such as by a proxy. Start a new execution"
	// badSignature is about bytes that changed, or another key.
	badSignature refusal = "The signature of the request is not right, so IAM did not look at any policy. Check whether a proxy between the function and AWS changes requests; if the message speaks of a time, the clock of the function is off"
	// unsigned is about a request that came without credentials or with some of them.
	unsigned refusal = "The request came without all of its credentials. Check whether a proxy between the function and AWS takes headers away"
)

// refusals are the codes with which AWS refuses a caller.
// https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html
// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
// https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
var refusals = map[string]refusal{
	"AccessDenied": byPolicy, "AccessDeniedException": byPolicy, "NotAuthorized": byPolicy, "UnauthorizedOperation": byPolicy, "UnauthorizedException": byPolicy,
	"OptInRequired": notSubscribed, "SubscriptionRequiredException": notSubscribed, "NotSignedUp": notSubscribed, "AccountProblem": notSubscribed, "AllAccessDisabled": notSubscribed, "PendingVerification": notSubscribed,
	"RegionDisabledException": notEnabled, "RegionDisabled": notEnabled,
	"UnrecognizedClientException": notAccepted, "UnrecognizedClient": notAccepted, "InvalidClientTokenId": notAccepted, "InvalidAccessKeyId": notAccepted, "InvalidToken": notAccepted, "AuthFailure": notAccepted,
	"ExpiredToken": expired, "ExpiredTokenException": expired, "TokenRefreshRequired": expired,
	"RequestTimeTooSkewed": clockOff, "RequestExpired": clockOff, "RequestInTheFuture": clockOff,
	"SignatureDoesNotMatch": badSignature, "InvalidSignatureException": badSignature, "InvalidSignature": badSignature, "IncompleteSignature": badSignature, "IncompleteSignatureException": badSignature,
	"MissingAuthenticationToken": unsigned, "MissingAuthenticationTokenException": unsigned, "MissingSecurityHeader": unsigned,
}

// callers are the codes with which EKS and STS refuse a request for what it asks.
// https://docs.aws.amazon.com/eks/latest/APIReference/API_DescribeCluster.html#API_DescribeCluster_Errors
// https://docs.aws.amazon.com/eks/latest/APIReference/API_ListClusters.html#API_ListClusters_Errors
var callers = []string{"ClientException", "InvalidParameterException", "InvalidRequestException", "ValidationError", "ValidationException"}

// refused returns why AWS refuses the caller, if it does.
func refused(api smithy.APIError) (refusal, bool) {
	why, is := refusals[api.ErrorCode()]
	// A date that is wrong has the same codes as a signature that is wrong: "Signature expired: 20261124T… is
	// now earlier than …", "Signature not yet current: …".
	// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html
	if why == badSignature && (strings.Contains(api.ErrorMessage(), "expired") || strings.Contains(api.ErrorMessage(), "not yet current")) {
		why = clockOff
	}
	if why == byPolicy {
		why = decidedBy(api.ErrorMessage())
	}
	return why, is
}

// decidedBy reads which policy decided, if the message says so: "… with an explicit deny in a
// service control policy", "… because no permissions boundary allows the sts:AssumeRole action".
// https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
func decidedBy(message string) refusal {
	_, reason, denied := strings.Cut(message, " with an explicit deny in a")
	if !denied {
		_, reason, _ = strings.Cut(message, " because no ")
	}
	for _, policy := range []struct {
		kind    string
		refusal refusal
	}{
		{"service control policy", byOrganization},
		{"resource control policy", byOrganization},
		{"permissions boundary", byBoundary},
		{"session policy", bySession},
		{"VPC endpoint policy", byEndpoint},
		{"resource-based policy", byResource},
	} {
		if strings.Contains(reason, policy.kind) {
			return policy.refusal
		}
	}
	return byPolicy
}

// parameters names the parameters of template.yml that allow an action to kubestep's own roles: in
// a policy that is changed by hand, the next deployment takes it back.
func parameters(doing, message string) string {
	switch {
	case strings.Contains(message, "sts:AssumeRole"):
		return ". What kubestep's own roles may assume is in the stack's parameters RoleArns and, for apply-manifests, ApplyRoleArns; OrganizationId limits both"
	case strings.HasPrefix(doing, "eks:DescribeCluster") && !strings.Contains(doing, " as arn:"):
		return ". Which clusters the stack may describe is in its parameter ClusterArns, beside ClusterName"
	case strings.HasPrefix(doing, "s3:GetObject"):
		return ". What the stack may read is in its parameters ManifestBucket, ManifestPrefix and ManifestKeyArn and, for fleets, OutputBucket, OutputPrefix and OutputKeyArn"
	case strings.HasPrefix(doing, "s3:"):
		return ". Where the stack may write is in its parameters OutputBucket, OutputPrefix and OutputKeyArn"
	}
	return ""
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
	message := contract.OneLine(strings.TrimSuffix(api.ErrorMessage(), "."))
	switch why, is := refused(api); {
	case why == byPolicy, why == byResource:
		return contract.Errorf(contract.AccessDenied, "IAM refused %s: %s. %s%s", doing, message, why, parameters(doing, message)).From(err)
	case is:
		return contract.Errorf(contract.AccessDenied, "AWS refused %s (%s): %s. %s", doing, api.ErrorCode(), message, why).From(err)
	}
	if _, throttled := retry.DefaultThrottleErrorCodes[api.ErrorCode()]; throttled {
		return contract.Errorf(contract.Throttled, "AWS throttled %s (%s). Try again later, or start fewer executions at once", doing, api.ErrorCode()).From(err)
	}
	var response *smithyhttp.ResponseError
	if errors.As(err, &response) && (response.HTTPStatusCode() >= http.StatusInternalServerError || response.HTTPStatusCode() == http.StatusTooManyRequests) {
		return contract.Errorf(contract.Throttled, "AWS could not serve %s (%s: %s). Try again later", doing, api.ErrorCode(), message).From(err)
	}
	if slices.Contains(callers, api.ErrorCode()) {
		return contract.Errorf(contract.InvalidInput, "AWS does not accept %s (%s): %s. Check the cluster, the Region and the role that the input names", doing, api.ErrorCode(), message).From(err)
	}
	return contract.Errorf(contract.Unexpected, "AWS returned an error that kubestep does not recognize for %s: %w", doing, err)
}

// AsRole names the role whose permissions were used, unless it is the function's own.
func AsRole(roleARN string) string {
	if roleARN == "" {
		return ""
	}
	return " as " + roleARN
}
