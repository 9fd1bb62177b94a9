package statemachine

import "slices"

// LambdaError is an error that an invocation can fail with before the function runs,
// and what the machines do about it. Step Functions puts "Lambda." before the name:
// https://docs.aws.amazon.com/step-functions/latest/dg/bp-lambda-serviceexception.html
type LambdaError struct {
	Name string
	// Retried is how it is retried. An error that is not retried ends the execution at
	// once, in ExplainUnnamed.
	Retried Retried
	// Why is the reason for the one or the other.
	Why string
}

// Retried is how an error of Lambda is retried.
type Retried int

const (
	// Not means that the next attempt would meet the same.
	Not Retried = iota
	// AsAdvised is the retry that AWS advises for Lambda itself.
	AsAdvised
	// AsThrottled is the retry of whatever asks for fewer requests.
	AsThrottled
	// AsWaking waits for about three minutes in all, as long as Lambda may take to give
	// an idle function its network interfaces back or to finish an update.
	AsWaking
)

// InvokeErrors are the errors of Lambda's Invoke. A test compares them with AWS's own
// model of that API, so that each new one is decided upon.
func InvokeErrors() []LambdaError {
	return []LambdaError{
		{"ServiceException", AsAdvised, "Lambda itself failed."},
		{"TooManyRequestsException", AsThrottled, "More invocations at once than the function or the account may have."},

		{"ResourceNotReadyException", AsWaking, "The function was idle and is getting its connection to the VPC back."},
		{"ENINotReadyException", AsWaking, "The function's network interface is still being made."},
		{"EC2ThrottledException", AsWaking, "EC2 throttled the connection to the VPC."},
		{"EC2UnexpectedException", AsWaking, "EC2 failed to make the connection to the VPC."},
		{"ENILimitReachedException", AsWaking, "The VPC has no network interface left; another may be released."},
		{"SubnetIPAddressLimitReachedException", AsWaking, "The subnets have no address left; another may be released."},
		{"ResourceConflictException", AsWaking, "The function is being updated."},
		{"CodeArtifactUserPendingException", AsWaking, "Lambda is preparing the function's code again."},
		{"CodeArtifactUserDeletedException", AsWaking, "Lambda prepares the function's code again by itself."},

		{"EC2AccessDeniedException", Not, "The function's role may not connect to the VPC: a person must allow it."},
		{"InvalidSecurityGroupIDException", Not, "The stack names a security group that there is not."},
		{"InvalidSubnetIDException", Not, "The stack names a subnet that there is not."},
		{"KMSAccessDeniedException", Not, "The function's role may not decrypt its environment: a person must allow it."},
		{"KMSDisabledException", Not, "The key of the environment is disabled: a person must enable it."},
		{"KMSInvalidStateException", Not, "The key of the environment is not usable, such as one about to be deleted."},
		{"KMSNotFoundException", Not, "The key of the environment is deleted."},

		{"ResourceNotFoundException", Not, "The function is deleted: the stack must be deployed again."},
		{"NoPublishedVersionException", Not, "The version is deleted: the stack must be deployed again."},
		{"CodeArtifactUserFailedException", Not, "Lambda could not prepare the code: the stack must be deployed again."},
		{"ServiceQuotaExceededException", Not, "A quota of the account, which only a person can raise."},
		{"InvalidRuntimeException", Not, "Lambda no longer has the runtime: the stack must be changed."},
		{"InvalidZipFileException", Not, "The code is broken: the stack must be deployed again."},
		{"RecursiveInvocationException", Not, "Lambda stopped a loop of invocations: another turn would be stopped too."},

		{"InvalidParameterValueException", Not, "The request is the machine's own and stays the same."},
		{"InvalidRequestContentException", Not, "The request is the machine's own and stays the same."},
		{"ModeNotSupportedException", Not, "The request is the machine's own and stays the same."},
		{"UnsupportedMediaTypeException", Not, "The request is the machine's own and stays the same."},
		{"RequestTooLargeException", Not, "The payload stays as large."},
		{"SerializedRequestEntityTooLargeException", Not, "The payload stays as large."},

		{"SnapStartException", Not, "The functions do not use SnapStart."},
		{"SnapStartNotReadyException", Not, "The functions do not use SnapStart."},
		{"SnapStartRegenerationFailureException", Not, "The functions do not use SnapStart."},
		{"SnapStartTimeoutException", Not, "The functions do not use SnapStart."},
		{"EFSIOException", Not, "The functions mount no file system."},
		{"EFSMountConnectivityException", Not, "The functions mount no file system."},
		{"EFSMountFailureException", Not, "The functions mount no file system."},
		{"EFSMountTimeoutException", Not, "The functions mount no file system."},
		{"S3FilesMountConnectivityException", Not, "The functions mount no file system."},
		{"S3FilesMountFailureException", Not, "The functions mount no file system."},
		{"S3FilesMountTimeoutException", Not, "The functions mount no file system."},
		{"DurableExecutionAlreadyStartedException", Not, "The functions are not durable."},
	}
}

// clientErrors are the errors of the client that Step Functions invokes by, which no
// model of Invoke has; AWS advises to retry them.
func clientErrors() []LambdaError {
	return []LambdaError{
		{"ClientExecutionTimeoutException", AsAdvised, "Lambda gave no answer in time."},
		{"AWSLambdaException", AsAdvised, "Lambda gave an answer that has no name."},
		{"SdkClientException", AsAdvised, "Lambda could not be reached."},
	}
}

// lambdaErrors are the full names of the errors that are retried in one of the ways.
func lambdaErrors(ways ...Retried) []string {
	var names []string
	for _, e := range slices.Concat(clientErrors(), InvokeErrors()) {
		if slices.Contains(ways, e.Retried) {
			names = append(names, "Lambda."+e.Name)
		}
	}
	return names
}
