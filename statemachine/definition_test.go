package statemachine_test

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract"
)

type state struct {
	Type, Comment, Resource, Next, Default, Error, Cause, CausePath string
	TimeoutSeconds                                                  int
	Parameters                                                      struct {
		FunctionName string
		Cause        struct {
			ErrorMessage string `json:"errorMessage.$"`
		}
	}
	Retry []struct {
		ErrorEquals                                   []string
		IntervalSeconds, MaxAttempts, MaxDelaySeconds int
		JitterStrategy                                string
	}
	Catch []struct {
		ErrorEquals []string
		Next        string
	}
	Choices  []map[string]any
	Branches []machine
}

type machine struct {
	TimeoutSeconds int
	States         map[string]state
}

func definition(t *testing.T) (machine, string) {
	t.Helper()
	text, err := os.ReadFile("pod-inventory.asl.json")
	require.NoError(t, err)
	var m machine
	require.NoError(t, json.Unmarshal(text, &m))
	return m, string(text)
}

// tasks are the Task states, those of branches too.
func tasks(m machine) map[string]state {
	found := map[string]state{}
	for name, s := range m.States {
		if s.Type == "Task" {
			found[name] = s
		}
		for _, branch := range s.Branches {
			for name, s := range tasks(branch) {
				found[name] = s
			}
		}
	}
	return found
}

func TestEveryTaskHasATimeoutRetriesWithJitterAndAComment(t *testing.T) {
	m, _ := definition(t)
	assert.Positive(t, m.TimeoutSeconds)
	all := tasks(m)
	require.Len(t, all, 5)
	for name, s := range all {
		assert.Positive(t, s.TimeoutSeconds, name)
		assert.NotEmpty(t, s.Comment, name)
		retried := map[string]bool{}
		for _, r := range s.Retry {
			assert.Equal(t, "FULL", r.JitterStrategy, name)
			assert.Positive(t, r.MaxDelaySeconds, name)
			for _, e := range r.ErrorEquals {
				retried[e] = true
			}
		}
		for _, e := range []string{
			"Lambda.ClientExecutionTimeoutException", "Lambda.ServiceException", "Lambda.AWSLambdaException", "Lambda.SdkClientException", "Lambda.TooManyRequestsException", "Lambda.Unknown", "Sandbox.Timedout",
			string(contract.Throttled), string(contract.ClusterUnreachable),
		} {
			assert.True(t, retried[e], "%s retries %s", name, e)
		}
		for _, e := range []contract.ErrorName{contract.Unauthorized, contract.Forbidden, contract.InvalidInput, contract.CertificateNotTrusted} {
			assert.False(t, retried[string(e)], "%s does not repeat %s with the same input", name, e)
		}
	}
}

func TestEveryErrorNameIsHandledAndEveryHandledNameExists(t *testing.T) {
	m, _ := definition(t)
	known := map[string]bool{}
	for _, name := range contract.ErrorNames() {
		known[string(name)] = true
	}
	foreign := regexp.MustCompile(`^(Lambda|Sandbox|Runtime|States)\.`)
	for name, s := range m.States {
		if len(s.Catch) == 0 {
			continue
		}
		caught := map[string]bool{}
		for _, c := range s.Catch {
			assert.Contains(t, m.States, c.Next, name)
			for _, e := range c.ErrorEquals {
				caught[e] = true
				assert.True(t, known[e] || foreign.MatchString(e), "%s catches %s, which nothing raises", name, e)
			}
		}
		for _, e := range contract.ErrorNames() {
			assert.True(t, caught[string(e)], "%s catches %s", name, e)
		}
		assert.Equal(t, []string{"States.ALL"}, s.Catch[len(s.Catch)-1].ErrorEquals, name)
	}
	for name, s := range tasks(m) {
		for _, r := range s.Retry {
			for _, e := range r.ErrorEquals {
				assert.True(t, known[e] || foreign.MatchString(e), "%s retries %s, which nothing raises", name, e)
			}
		}
	}
}

func TestEachWayToStopHasAFailStateOfItsOwn(t *testing.T) {
	m, _ := definition(t)
	stop := m.States["Stop"]
	require.Equal(t, "Choice", stop.Type)
	led := map[string]string{}
	for _, c := range stop.Choices {
		led[c["StringEquals"].(string)] = c["Next"].(string)
	}
	for _, name := range contract.ErrorNames() {
		s, ok := m.States[string(name)]
		require.True(t, ok, name)
		assert.Equal(t, "Fail", s.Type)
		assert.Equal(t, "$.Cause.errorMessage", s.CausePath)
		if name == contract.Unexpected {
			assert.Equal(t, string(name), stop.Default, "what keeps the name it came with")
			continue
		}
		assert.Equal(t, string(name), s.Error)
		assert.Equal(t, string(name), led[string(name)])
	}
	assert.Len(t, led, len(contract.ErrorNames())-1)
}

// A person reads the cause, not JSON, and the number of attempts that it tells is that of the retries.
func TestWhatLambdaSaysIsToldInASentence(t *testing.T) {
	m, _ := definition(t)
	for explain, name := range map[string]string{"ExplainCrash": "Runtime.ExitError", "ExplainLambda": "Lambda.ServiceException", "ExplainUnnamed": "Lambda.ResourceNotFoundException"} {
		sentence := m.States[explain].Parameters.Cause.ErrorMessage
		for _, s := range m.States {
			if len(s.Catch) > 0 {
				assert.Equal(t, explain, caught(s, name))
			}
		}
		for state, s := range tasks(m) {
			if n := retries(s, name); n > 0 {
				assert.Contains(t, sentence, "at each of "+strconv.Itoa(n+1)+" attempts", state)
			}
		}
		assert.Equal(t, 1, strings.Count(sentence, "$.Cause"))
		assert.Equal(t, "Unexpected", m.States[explain].Next)
	}
}

func TestOnlyUnauthorizedMintsAgainBoundedAndWithinAMinute(t *testing.T) {
	m, _ := definition(t)
	try := m.States["WithFreshToken"]
	require.Equal(t, "Parallel", try.Type)
	require.Len(t, try.Branches, 1)
	require.Len(t, try.Retry, 1)
	r := try.Retry[0]
	assert.Equal(t, []string{string(contract.Unauthorized)}, r.ErrorEquals)
	assert.Equal(t, 4, r.MaxAttempts, "five attempts with the first")
	assert.Equal(t, "FULL", r.JitterStrategy)
	wait, longest := 0, r.IntervalSeconds
	for range r.MaxAttempts {
		wait += min(longest, r.MaxDelaySeconds)
		longest *= 2
	}
	assert.LessOrEqual(t, wait, 60)
}

// A reader finds everything of a state by its name: list-pods, ListPods,
// ListPodsFunction, pods.List, $.pods.
func TestAStateIsCalledTheSameEverywhere(t *testing.T) {
	m, text := definition(t)
	all := tasks(m)
	for name, where := range map[string]struct{ folder, source, method, path string }{
		"DescribeCluster": {"describe-cluster", "cluster/cluster.go", "Describe", `"cluster.$": "$.Payload.cluster"`},
		"MintToken":       {"mint-token", "token/mint.go", "Mint", `"ResultPath": "$.token"`},
		"VerifyRBAC":      {"verify-rbac", "rbac/rbac.go", "Verify", `"ResultPath": "$.access"`},
		"ListPods":        {"list-pods", "pods/pods.go", "List", `"ResultPath": "$.pods"`},
	} {
		s, ok := all[name]
		require.True(t, ok, name)
		assert.Equal(t, "${"+name+"FunctionArn}", s.Parameters.FunctionName)
		assert.Contains(t, text, where.path)
		source, err := os.ReadFile("../internal/" + where.source)
		require.NoError(t, err)
		assert.Regexp(t, `func \(\w+ \*?\w+\) `+where.method+`\(ctx context\.Context, in contract\.`+name+`\)`, string(source))
		main, err := os.ReadFile("../functions/" + where.folder + "/main.go")
		require.NoError(t, err)
		assert.Contains(t, string(main), `task.Start("`+name+`"`)
		assert.LessOrEqual(t, strings.Count(string(main), "\n"), 30, "%s only wires", where.folder)
		assert.NotRegexp(t, `\b(if|for|switch|select)\b`, string(main), "%s has no branches", where.folder)
	}
}

func TestEveryTransitionLeadsToAStateAndEveryStateIsReached(t *testing.T) {
	m, _ := definition(t)
	reached := []string{"DescribeCluster"}
	for name, s := range m.States {
		targets := []string{s.Next, s.Default}
		for _, c := range s.Catch {
			targets = append(targets, c.Next)
		}
		for _, c := range s.Choices {
			targets = append(targets, c["Next"].(string))
		}
		for _, target := range targets {
			if target != "" {
				assert.Contains(t, m.States, target, name)
				reached = append(reached, target)
			}
		}
	}
	for name := range m.States {
		assert.True(t, slices.Contains(reached, name), "%s is reached", name)
	}
}
