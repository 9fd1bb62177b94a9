package statemachine

import "github.com/kubestep/kubestep/internal/contract"

// timeout is the error of a state that took longer than its TimeoutSeconds. It comes
// without a cause.
const timeout = "States.Timeout"

// crashes are the errors of an execution environment that ended: out of memory, out of
// time, or a crash.
func crashes() []string { return []string{"Lambda.Unknown", "Sandbox.Timedout", "Runtime.ExitError"} }

// taskRetries are the retries of every task that invokes a function.
func taskRetries() []Retrier {
	return []Retrier{
		{
			Comment:         "Lambda itself could not serve: as AWS advises.",
			ErrorEquals:     lambdaErrors(AsAdvised),
			IntervalSeconds: 2, MaxAttempts: 6, BackoffRate: 2, MaxDelaySeconds: 30, JitterStrategy: FullJitter,
		},
		{
			Comment:         "More invocations or requests at once than Lambda, AWS or the API server takes.",
			ErrorEquals:     append(lambdaErrors(AsThrottled), string(contract.Throttled)),
			IntervalSeconds: 2, MaxAttempts: 6, BackoffRate: 2, MaxDelaySeconds: 30, JitterStrategy: FullJitter,
		},
		{
			Comment:     "The function is not ready: about three minutes, as long as its connection to the VPC may take.",
			ErrorEquals: lambdaErrors(AsWaking),
			// Without jitter: what counts is how long the last attempt is away.
			IntervalSeconds: 8, MaxAttempts: 6, BackoffRate: 2, MaxDelaySeconds: 40, JitterStrategy: NoJitter,
		},
		{
			Comment:         "The environment ended: out of memory, out of time, or a crash.",
			ErrorEquals:     append(crashes(), timeout),
			IntervalSeconds: 1, MaxAttempts: 2, BackoffRate: 2, MaxDelaySeconds: 5, JitterStrategy: FullJitter,
		},
		{
			Comment:         "The cluster gave no answer, or none that says anything about the question.",
			ErrorEquals:     names(contract.ClusterUnreachable),
			IntervalSeconds: 1, MaxAttempts: 2, BackoffRate: 2, MaxDelaySeconds: 5, JitterStrategy: FullJitter,
		},
		{
			Comment:         "EKS, STS or S3 gave no answer.",
			ErrorEquals:     names(contract.AWSUnreachable),
			IntervalSeconds: 2, MaxAttempts: 4, BackoffRate: 2, MaxDelaySeconds: 20, JitterStrategy: FullJitter,
		},
	}
}

// names are error names as the language takes them.
func names(of ...contract.ErrorName) []string {
	all := make([]string, len(of))
	for i, name := range of {
		all[i] = string(name)
	}
	return all
}
