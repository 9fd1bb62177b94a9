package statemachine

import "github.com/kubestep/kubestep/internal/contract"

const (
	// failed is the state that every failure ends in.
	failed = "Failed"
	// timedOut is the error of an execution whose function timed out. The language keeps
	// names that begin with "States." for itself, so a Fail state may not pass on
	// "States.Timeout": https://states-language.net/spec.html#errors
	timedOut = "FunctionTimedOut"
)

// failureCatchers lead every error that a state can end in to the state that makes a
// sentence of it.
func failureCatchers() []Catcher {
	return []Catcher{
		{Comment: "The functions' own errors.", ErrorEquals: names(contract.ErrorNames()...), Next: "Explain"},
		{Comment: "It comes without a cause.", ErrorEquals: []string{timeout}, Next: "ExplainTimeout"},
		{Comment: "The environment ended.", ErrorEquals: crashes(), Next: "ExplainCrash"},
		{Comment: "Lambda could not serve.", ErrorEquals: lambdaErrors(AsAdvised, AsThrottled, AsWaking), Next: "ExplainLambda"},
		{Comment: "Any other error.", ErrorEquals: []string{"States.ALL"}, Next: "ExplainUnnamed"},
	}
}

// failures are the states that failureCatchers lead to. A person reads the cause of an
// execution, so each makes a sentence of what it is given.
func failures() States {
	return States{
		{
			Name:    "Explain",
			Type:    Pass,
			Comment: "Reads the sentence for a person out of the function's error, which is JSON in a string.",
			Parameters: Object{
				"Error.$": "$.Error",
				"Cause.$": "States.StringToJson($.Cause)",
			},
			Next: failed,
		},
		{
			Name:    "ExplainTimeout",
			Type:    Pass,
			Comment: "Says what a timeout means, which comes without a cause.",
			Parameters: Object{"Error": timedOut, "Cause": Object{
				"errorMessage": "A function gave no answer within the time of its state, at each of 3 attempts. The last event TaskTimedOut in the history of the execution names the state. The log of the function says what it was waiting for.",
			}},
			Next: failed,
		},
		explain("ExplainCrash", "Says where to look for the reason that an environment ended.",
			"States.Format('A function ended without an answer, at each of 3 attempts: it ran out of memory or time, or it crashed. The last event TaskFailed in the history of the execution names the state. The log of the function says why: see the last line before END, and the memory and the time in REPORT. Lambda says: {}', $.Cause)"),
		explain("ExplainLambda", "Says what to do if Lambda does not serve.",
			"States.Format('Lambda did not run a function, at each of 7 attempts. If it says 429, start fewer executions at once, or raise the concurrency of the function or the account. If it says VPC, subnet or network interface, see whether the subnets of the function have free addresses and the account has free network interfaces. Otherwise see the AWS Health Dashboard, and try later. Lambda says: {}', $.Cause)"),
		explain("ExplainUnnamed", "Says what to do about an error that kubestep has no name for.",
			"States.Format('kubestep has no name for the error {}. If it says that something may not be invoked or was not found, deploy the stack again. It came with: {}', $.Error, $.Cause)"),
		{
			Name:      failed,
			Type:      Fail,
			Comment:   "Ends the execution with the name and the sentence of the error.",
			ErrorPath: "$.Error",
			CausePath: "$.Cause.errorMessage",
		},
	}
}

// explain puts a sentence before a cause.
func explain(name, comment, sentence string) State {
	return State{
		Name:       name,
		Type:       Pass,
		Comment:    comment,
		Parameters: Object{"Error.$": "$.Error", "Cause": Object{"errorMessage.$": sentence}},
		Next:       failed,
	}
}
