package statemachine_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	contractfleet "github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/internal/fleet"
	"github.com/kubestep/kubestep/statemachine"
)

// every runs a test on each state machine.
func every(t *testing.T, test func(*testing.T, statemachine.Machine)) {
	t.Helper()
	require.NotEmpty(t, statemachine.Machines())
	for name, m := range statemachine.Machines() {
		t.Run(name, func(t *testing.T) { test(t, m) })
	}
}

// scopes returns the states of a machine, and those of each branch and each item: a state leads only to states of its
// own scope.
func scopes(m statemachine.Machine) map[string]statemachine.States {
	found := map[string]statemachine.States{}
	var add func(startAt string, states statemachine.States)
	add = func(startAt string, states statemachine.States) {
		found[startAt] = states
		for _, s := range states {
			for _, branch := range s.Branches {
				add(branch.StartAt, branch.States)
			}
			if s.ItemProcessor != nil {
				add(s.ItemProcessor.StartAt, s.ItemProcessor.States)
			}
		}
	}
	add(m.StartAt, m.States)
	return found
}

// all returns the states of a machine by name, with those inside of others.
func all(m statemachine.Machine) map[string]statemachine.State {
	found := map[string]statemachine.State{}
	for _, states := range scopes(m) {
		for _, s := range states {
			found[s.Name] = s
		}
	}
	return found
}

// invocations returns the tasks of a machine that invoke a function.
func invocations(m statemachine.Machine) map[string]statemachine.State {
	found := map[string]statemachine.State{}
	for name, s := range all(m) {
		if s.Type == statemachine.Task && strings.HasSuffix(s.Resource, ":lambda:invoke") {
			found[name] = s
		}
	}
	return found
}

// awaited returns the states that invoke a function, and then wait for somebody.
func awaited(m statemachine.Machine) map[string]statemachine.State {
	found := map[string]statemachine.State{}
	for name, s := range all(m) {
		if strings.HasSuffix(s.Resource, ":lambda:invoke.waitForTaskToken") {
			found[name] = s
		}
	}
	return found
}

// targets returns the states that a state leads to.
func targets(s statemachine.State) []string {
	led := []string{s.Next, s.Default}
	for _, c := range s.Catch {
		led = append(led, c.Next)
	}
	for _, c := range s.Choices {
		led = append(led, c.Next)
	}
	return slices.DeleteFunc(led, func(name string) bool { return name == "" })
}

func retrier(s statemachine.State, name string) (statemachine.Retrier, bool) {
	for _, r := range s.Retry {
		if slices.Contains(r.ErrorEquals, name) {
			return r, true
		}
	}
	return statemachine.Retrier{}, false
}

// waits returns how many seconds a retrier waits in all, at most.
func waits(r statemachine.Retrier) int {
	total, interval := 0, float64(r.IntervalSeconds)
	for range r.MaxAttempts {
		total += min(int(interval), r.MaxDelaySeconds)
		interval *= r.BackoffRate
	}
	return total
}

func TestTheFilesAreWhatTheGoValuesSay(t *testing.T) {
	files, err := filepath.Glob("*.asl.json")
	require.NoError(t, err)
	assert.Len(t, files, len(statemachine.Machines()), "and no others")
	for name, m := range statemachine.Machines() {
		want, err := m.JSON()
		require.NoError(t, err)
		held, err := os.ReadFile(name + ".asl.json")
		require.NoError(t, err)
		assert.True(t, bytes.Equal(want, held), "%s.asl.json is not current: make definition", name)
	}
}

func TestAFileReadsFromTheStartInTheOrderOfItsStates(t *testing.T) {
	every(t, func(t *testing.T, m statemachine.Machine) {
		text, err := m.JSON()
		require.NoError(t, err)
		at := 0
		for _, s := range m.States {
			next := strings.Index(string(text), fmt.Sprintf("\n    %q: {", s.Name))
			assert.Greater(t, next, at, s.Name)
			at = next
		}
		for startAt, states := range scopes(m) {
			assert.Equal(t, startAt, states[0].Name)
		}
	})
}

func TestEveryTransitionLeadsToAStateAndEveryStateIsReached(t *testing.T) {
	every(t, func(t *testing.T, m statemachine.Machine) {
		assert.Positive(t, m.TimeoutSeconds)
		count := 0
		for startAt, states := range scopes(m) {
			names, reached := []string{}, map[string]bool{startAt: true}
			for _, s := range states {
				names = append(names, s.Name)
			}
			for _, s := range states {
				assert.NotEmpty(t, s.Comment, s.Name)
				for _, target := range targets(s) {
					assert.Contains(t, names, target, s.Name)
					reached[target] = true
				}
				ends := s.End || s.Type == statemachine.Fail || s.Type == statemachine.Succeed
				assert.Equal(t, ends, len(targets(s)) == 0 || s.End, "%s goes on or ends", s.Name)
			}
			assert.Len(t, reached, len(names), "every state is reached")
			count += len(names)
		}
		assert.Len(t, all(m), count, "a name is there once in a machine")
	})
}

func TestEveryInvocationHasATimeoutAndTheRetriesOfEveryFunction(t *testing.T) {
	every(t, func(t *testing.T, m statemachine.Machine) {
		for name, s := range invocations(m) {
			assert.Positive(t, s.TimeoutSeconds, name)
			for _, e := range []string{"Lambda.Unknown", "Sandbox.Timedout", "Runtime.ExitError", "States.Timeout", string(contract.Throttled), string(contract.ClusterUnreachable), string(contract.AWSUnreachable)} {
				_, retried := retrier(s, e)
				assert.True(t, retried, "%s retries %s", name, e)
			}
			for _, e := range []contract.ErrorName{contract.Unauthorized, contract.Forbidden, contract.InvalidInput, contract.CertificateNotTrusted, contract.Unexpected} {
				_, retried := retrier(s, string(e))
				assert.False(t, retried, "%s does not repeat %s with the same input", name, e)
			}
		}
	})
}

func TestRetriesArePacedAndEndWithinTheTimeOfTheMachine(t *testing.T) {
	every(t, func(t *testing.T, m statemachine.Machine) {
		for name, s := range all(m) {
			seen := map[string]bool{}
			for _, r := range s.Retry {
				assert.Positive(t, r.MaxAttempts, name)
				assert.Positive(t, r.IntervalSeconds, name)
				assert.Positive(t, r.MaxDelaySeconds, name)
				assert.GreaterOrEqual(t, r.BackoffRate, 1.0, name)
				_, waking := retrier(statemachine.State{Retry: []statemachine.Retrier{r}}, "Lambda.ResourceNotReadyException")
				assert.Equal(t, waking, r.JitterStrategy != statemachine.FullJitter, "%s: %v", name, r.ErrorEquals)
				assert.Less(t, waits(r)+(r.MaxAttempts+1)*s.TimeoutSeconds, m.TimeoutSeconds, "%s: %v ends by its own name", name, r.ErrorEquals)
				for _, e := range r.ErrorEquals {
					assert.False(t, seen[e], "%s: only the first retrier of %s counts", name, e)
					seen[e] = true
				}
			}
		}
	})
}

func TestEveryErrorNameIsHandledAndEveryHandledNameExists(t *testing.T) {
	known := map[string]bool{
		"States.ALL": true, "States.Timeout": true, "Sandbox.Timedout": true, "Runtime.ExitError": true, "Lambda.Unknown": true,
		// Those of the client that Step Functions invokes by.
		"Lambda.ClientExecutionTimeoutException": true, "Lambda.AWSLambdaException": true, "Lambda.SdkClientException": true,
		// Those of starting and describing an execution, by the names that AWS documents and by those that it gives.
		"StepFunctions.ExecutionAlreadyExists": true, "StepFunctions.ExecutionAlreadyExistsException": true,
		"StepFunctions.ExecutionLimitExceeded": true, "StepFunctions.ExecutionLimitExceededException": true,
		"StepFunctions.ThrottlingException": true, "StepFunctions.SdkClientException": true, "StepFunctions.AWSStepFunctionsException": true,
		"Sfn.ThrottlingException": true, "Sfn.SdkClientException": true, "Sfn.SfnException": true,
		// Those of reading alarms.
		"CloudWatch.CloudWatchException": true, "CloudWatch.SdkClientException": true,
	}
	for _, name := range contract.ErrorNames() {
		known[string(name)] = true
	}
	for _, e := range statemachine.InvokeErrors() {
		known["Lambda."+e.Name] = true
	}
	every(t, func(t *testing.T, m statemachine.Machine) {
		for name, s := range all(m) {
			for _, r := range s.Retry {
				for _, e := range r.ErrorEquals {
					assert.True(t, known[e], "%s retries %s, which nothing raises", name, e)
				}
			}
			for _, c := range s.Catch {
				for _, e := range c.ErrorEquals {
					assert.True(t, known[e], "%s catches %s, which nothing raises", name, e)
				}
			}
		}
		// Inside of a branch, what is not caught is the Parallel's to catch.
		for _, s := range m.States {
			if s.Type != statemachine.Task && s.Type != statemachine.Parallel && s.Type != statemachine.Map {
				continue
			}
			require.NotEmpty(t, s.Catch, s.Name)
			assert.Equal(t, []string{"States.ALL"}, s.Catch[len(s.Catch)-1].ErrorEquals, s.Name)
			for _, e := range contract.ErrorNames() {
				assert.NotEqual(t, "ExplainUnnamed", caught(s, string(e)), "%s: %s has a name", s.Name, e)
			}
		}
	})
}

func TestEveryErrorOfLambdaIsRetriedAsItIsDecided(t *testing.T) {
	every(t, func(t *testing.T, m statemachine.Machine) {
		for name, s := range invocations(m) {
			for _, e := range statemachine.InvokeErrors() {
				assert.NotEmpty(t, e.Why, e.Name)
				r, retried := retrier(s, "Lambda."+e.Name)
				assert.Equal(t, e.Retried != statemachine.Not, retried, "%s: %s", name, e.Name)
				if e.Retried == statemachine.AsWaking {
					assert.InDelta(t, 180, waits(r), 30, "%s: about three minutes", e.Name)
				}
			}
		}
		for _, s := range m.States {
			for _, e := range statemachine.InvokeErrors() {
				want := "ExplainLambda"
				if e.Retried == statemachine.Not {
					want = "ExplainUnnamed"
				}
				if len(s.Catch) > 0 && !callsAWS(s) && !judged(s) {
					assert.Equal(t, want, caught(s, "Lambda."+e.Name), s.Name)
				}
			}
		}
	})
}

func TestOnlyUnauthorizedMintsAgainBoundedAndWithinAMinute(t *testing.T) {
	every(t, func(t *testing.T, m statemachine.Machine) {
		for name, s := range all(m) {
			if s.Type != statemachine.Parallel {
				continue
			}
			require.Len(t, s.Branches, 1, name)
			require.Len(t, s.Retry, 1, name)
			assert.Equal(t, []string{string(contract.Unauthorized)}, s.Retry[0].ErrorEquals, name)
			assert.Equal(t, 4, s.Retry[0].MaxAttempts, "%s: five attempts with the first", name)
			assert.LessOrEqual(t, waits(s.Retry[0]), 60, name)
			first := s.Branches[0].States[0]
			assert.Equal(t, "${MintTokenFunctionArn}", first.Parameters["FunctionName"], name)
		}
	})
}

func TestOnlyWhatMayBeStaleIsDescribedAgain(t *testing.T) {
	stale := []string{string(contract.CertificateNotTrusted), string(contract.ClusterUnreachable)}
	every(t, func(t *testing.T, m statemachine.Machine) {
		for name, s := range all(m) {
			for _, c := range s.Catch {
				if c.Next == "StaleCluster" {
					assert.Equal(t, stale, c.ErrorEquals, name)
					assert.Equal(t, statemachine.Parallel, s.Type, "%s reaches the cluster", name)
				}
			}
		}
	})
}

// The cause is text, not JSON, and has the number of attempts that the retries make.
func TestEveryFailureEndsInASentence(t *testing.T) {
	every(t, func(t *testing.T, m statemachine.Machine) {
		states := all(m)
		fail := states["Failed"]
		assert.Equal(t, statemachine.Fail, fail.Type)
		assert.Equal(t, "$.Error", fail.ErrorPath)
		assert.Equal(t, "$.Cause.errorMessage", fail.CausePath)
		for explain, errors := range map[string][]string{
			"ExplainTimeout": {"States.Timeout"},
			"ExplainCrash":   {"Runtime.ExitError", "Sandbox.Timedout", "Lambda.Unknown"},
			"ExplainLambda":  {"Lambda.ServiceException", "Lambda.TooManyRequestsException", "Lambda.ResourceNotReadyException"},
			"ExplainUnnamed": {"Lambda.ResourceNotFoundException"},
		} {
			assert.Equal(t, "Failed", states[explain].Next)
			if explain == "ExplainTimeout" {
				assert.Equal(t, "FunctionTimedOut", states[explain].Parameters["Error"], "a name that begins with States. is the language's own")
			} else {
				assert.Equal(t, "$.Error", states[explain].Parameters["Error.$"], "the error keeps its name")
			}
			for _, e := range errors {
				for _, s := range m.States {
					if _, waits := awaited(m)[s.Name]; len(s.Catch) > 0 && !callsAWS(s) && !judged(s) && !(waits && explain == "ExplainTimeout") {
						assert.Equal(t, explain, caught(s, e), s.Name)
					}
				}
				for name, s := range invocations(m) {
					if r, retried := retrier(s, e); retried {
						assert.Contains(t, sentence(states[explain]), fmt.Sprintf("at each of %d attempts", r.MaxAttempts+1), name)
					}
				}
			}
		}
	})
}

// sentence returns the text of an Explain state, as the argument of States.Format.
func sentence(s statemachine.State) string {
	cause, _ := s.Parameters["Cause"].(statemachine.Object)
	for _, text := range cause {
		text, _ := text.(string)
		text, _, _ = strings.Cut(strings.TrimPrefix(text, "States.Format('"), "', $.")
		return text
	}
	return ""
}

// caught returns the state that the first catcher of the error leads to.
func caught(s statemachine.State, name string) string {
	for _, c := range s.Catch {
		if slices.Contains(c.ErrorEquals, name) || slices.Contains(c.ErrorEquals, "States.ALL") {
			return c.Next
		}
	}
	return ""
}

func TestAFleetHasTimeForAClusterThatItChanges(t *testing.T) {
	changing, fleet := statemachine.Machines()["apply-manifests"], all(statemachine.Machines()["fleet"])
	assert.LessOrEqual(t, time.Duration(changing.TimeoutSeconds-applymanifests.MaxApprovalSeconds)*time.Second, contractfleet.MaxRun)
	for _, name := range []string{"RunWorkflow", "RunWorkflowOfList"} {
		assert.Equal(t, contractfleet.MaxRun, time.Duration(fleet[name].TimeoutSeconds)*time.Second, "a fleet waits for no approval")
	}
	assert.Equal(t, contractfleet.MaxDuration, time.Duration(statemachine.Machines()["fleet"].TimeoutSeconds)*time.Second)
}

func TestAFleetTriesAgainWhatItsMachinesRetry(t *testing.T) {
	again := 0
	for _, retry := range statemachine.Machines()["pod-inventory"].States {
		for _, r := range retry.Retry {
			for _, name := range r.ErrorEquals {
				if strings.HasPrefix(r.Comment, "Lambda itself") || strings.HasPrefix(r.Comment, "More invocations") {
					assert.True(t, fleet.MayPass(name), name)
					again++
				}
			}
		}
	}
	assert.Positive(t, again)
}

// judged reports whether the state after it tells what went wrong, whatever that was.
func judged(s statemachine.State) bool {
	return len(s.Catch) == 1 && slices.Equal(s.Catch[0].ErrorEquals, []string{"States.ALL"}) && s.Catch[0].Next == "Summarize"
}
