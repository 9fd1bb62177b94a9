package statemachine

import (
	"slices"

	"github.com/kubestep/kubestep/internal/contract"
)

// try is a try block around the states that need a token. The language has none, but a
// Parallel of one branch is one: its Retry starts the branch again from the state that
// mints. A Retry of a single task would replay its input, and with it the dead token.
type try struct {
	document document
	name     string
	// mintToken is the name of the state that mints. A machine with two blocks gives
	// them different ones: a name is there once in a machine.
	mintToken string
	// work are the states that need the token, in their order; the last one ends the branch.
	work States
	// catch leads to states of the machine itself, before any other catcher.
	catch []Catcher
	// next is where the machine goes on.
	next string
}

func (t try) state() State {
	mint := invoke(t.document, contract.FunctionMintToken, State{
		Name:           t.mintToken,
		Comment:        "Signs a bearer token for the cluster and seals it: it opens only in this execution, for this endpoint.",
		TimeoutSeconds: 20,
		ResultPath:     "$.token",
		Next:           t.work[0].Name,
	})
	return State{
		Name:     t.name,
		Type:     Parallel,
		Comment:  "A try block: one branch, and each retry starts it again from " + t.mintToken + ", with a fresh token.",
		Branches: []Branch{{StartAt: t.mintToken, States: slices.Concat(States{mint}, t.work)}},
		// Whole: a ResultSelector that picks "$[0].access" is right on AWS, but the
		// local engine makes a list of it.
		OutputPath: "$[0]",
		Retry: []Retrier{{
			Comment:         "A new mapping or access entry takes seconds to work everywhere: five attempts within half a minute.",
			ErrorEquals:     names(contract.Unauthorized),
			IntervalSeconds: 2, MaxAttempts: 4, BackoffRate: 2, MaxDelaySeconds: 20, JitterStrategy: FullJitter,
		}},
		Catch: slices.Concat(t.catch, []Catcher{staleCatcher()}, failureCatchers()),
		Next:  t.next,
	}
}

// verifyRBAC is the state that asks the cluster whether the machine may do what it is
// about to do.
func verifyRBAC(of document, next string) State {
	return invoke(of, contract.FunctionVerifyRBAC, State{
		Name:           "VerifyRBAC",
		Comment:        "Asks the cluster whether this identity has the permissions that the request needs.",
		TimeoutSeconds: 35,
		ResultPath:     "$.access",
		Next:           next,
	})
}
