package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	machine   = "arn:aws:states:eu-west-1:123456789012:stateMachine:pod-inventory"
	execution = "arn:aws:states:eu-west-1:123456789012:execution:pod-inventory:one"
)

// stepFunctions answers as the API of Step Functions does, by its JSON
// protocol, with one execution that is over as soon as it is started.
type stepFunctions struct {
	*httptest.Server
	// outcome is added to the description.
	outcome map[string]any
	// refuse is the answer to StartExecution where it is not empty.
	refuse string
	// onHistory is called at each look at the history.
	onHistory func()
	// running keeps the execution from ending.
	running bool

	calls []call
}

type call struct {
	action, authorization string
	body                  map[string]any
}

// newStepFunctions serves it, and sets the environment of the command to it and nothing else.
func newStepFunctions(t *testing.T, outcome map[string]any) *stepFunctions {
	t.Helper()
	s := &stepFunctions{outcome: outcome}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	environment(t)
	t.Setenv("AWS_ENDPOINT_URL", s.URL)
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	return s
}

// environment takes away whatever the environment of the test says of AWS.
func environment(t *testing.T) {
	t.Helper()
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		if strings.HasPrefix(name, "AWS_") || name == "STATE_MACHINE_ARN" {
			t.Setenv(name, "")
			require.NoError(t, os.Unsetenv(name))
		}
	}
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "none"))
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(t.TempDir(), "none"))
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
}

func (s *stepFunctions) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, action, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	c := call{action: action, authorization: r.Header.Get("Authorization")}
	_ = json.NewDecoder(r.Body).Decode(&c.body)
	s.calls = append(s.calls, c)

	const started, stopped = 1795449600.0, 1795449602.4
	answer := map[string]any{}
	switch action {
	case "StartExecution":
		if s.refuse != "" {
			w.WriteHeader(http.StatusBadRequest)
			answer = map[string]any{"__type": s.refuse, "message": "refused"}
			break
		}
		answer = map[string]any{"executionArn": execution, "startDate": started}
	case "DescribeExecution":
		answer = map[string]any{"executionArn": execution, "name": "one", "startDate": started, "stopDate": stopped}
		for k, v := range s.outcome {
			answer[k] = v
		}
	case "GetExecutionHistory":
		if s.onHistory != nil {
			s.onHistory()
		}
		events := []map[string]any{
			{"id": 1, "type": "ExecutionStarted", "timestamp": started},
			{"id": 2, "type": "TaskStateEntered", "timestamp": started, "stateEnteredEventDetails": map[string]any{"name": "DescribeCluster"}},
			{"id": 3, "previousEventId": 2, "type": "TaskStateExited", "timestamp": started + 0.041, "stateExitedEventDetails": map[string]any{"name": "DescribeCluster"}},
		}
		if !s.running {
			events = append(events, map[string]any{"id": 4, "previousEventId": 3, "type": "ExecutionSucceeded", "timestamp": stopped})
		}
		answer = map[string]any{"events": events}
	}
	_ = json.NewEncoder(w).Encode(answer)
}

func (s *stepFunctions) called(action string) []call {
	var calls []call
	for _, c := range s.calls {
		if c.action == action {
			calls = append(calls, c)
		}
	}
	return calls
}

// kubestep runs the command.
func kubestep(ctx context.Context, args ...string) (status int, stdout, stderr string) {
	var out, err bytes.Buffer
	status = run(ctx, args, &out, &err)
	return status, out.String(), err.String()
}

func inventory(t *testing.T) map[string]any {
	t.Helper()
	output, err := os.ReadFile(filepath.Join("testdata", "output.json"))
	require.NoError(t, err)
	return map[string]any{"status": "SUCCEEDED", "output": string(output)}
}

func TestStartPrintsThePods(t *testing.T) {
	s := newStepFunctions(t, inventory(t))
	status, stdout, stderr := kubestep(t.Context(), "start", "--state-machine-arn", machine)
	assert.Equal(t, succeeded, status)
	assert.Empty(t, stderr)
	golden(t, "start", stdout)

	started := s.called("StartExecution")
	require.Len(t, started, 1)
	assert.Equal(t, machine, started[0].body["stateMachineArn"])
	assert.Equal(t, "{}", started[0].body["input"])
	assert.NotEmpty(t, started[0].body["name"])
	assert.Contains(t, started[0].authorization, "/eu-west-1/states/", "the Region is that of the ARN")
}

func TestStartTakesWhatItIsGiven(t *testing.T) {
	s := newStepFunctions(t, inventory(t))
	t.Setenv("STATE_MACHINE_ARN", machine)
	t.Setenv("AWS_REGION", "us-east-1")
	file := filepath.Join(t.TempDir(), "input.json")
	require.NoError(t, os.WriteFile(file, []byte("{\n\"clusterName\": \"demo\"}\n"), 0o600))

	status, _, stderr := kubestep(t.Context(), "start", "--input", "@"+file, "--name", "mine")
	require.Equal(t, succeeded, status, stderr)
	started := s.called("StartExecution")
	require.Len(t, started, 1)
	assert.Equal(t, machine, started[0].body["stateMachineArn"])
	assert.Equal(t, "{\n\"clusterName\": \"demo\"}\n", started[0].body["input"])
	assert.Equal(t, "mine", started[0].body["name"])
	assert.Contains(t, started[0].authorization, "/eu-west-1/states/", "a state machine can be called in its own Region only")
}

func TestJSONIsAllThatStandardOutputHolds(t *testing.T) {
	outcome := inventory(t)
	newStepFunctions(t, outcome)
	status, stdout, stderr := kubestep(t.Context(), "start", "--state-machine-arn", machine, "--output", "json")
	assert.Equal(t, succeeded, status)
	assert.JSONEq(t, outcome["output"].(string), stdout)
	assert.True(t, strings.HasPrefix(stdout, "{\n  \"access\""), "it is indented")
	assert.NotContains(t, stdout, "\u009b")
	assert.Contains(t, stderr, "✓ DescribeCluster")
}

func TestAnExecutionThatFailsIsAFailure(t *testing.T) {
	outcome := map[string]any{"status": "FAILED", "error": "Forbidden", "cause": "The group may not list pods in shop.\nkubectl apply -k rbac/namespace -n shop"}
	newStepFunctions(t, outcome)
	status, stdout, _ := kubestep(t.Context(), "start", "--state-machine-arn", machine)
	assert.Equal(t, failed, status)
	assert.Contains(t, stdout, "FAILED after 2.4 s: Forbidden\n\nThe group may not list pods in shop.\nkubectl apply -k rbac/namespace -n shop\n")

	status, stdout, stderr := kubestep(t.Context(), "start", "--state-machine-arn", machine, "--output", "json")
	assert.Equal(t, failed, status)
	assert.Empty(t, stdout)
	assert.Contains(t, stderr, "FAILED after 2.4 s: Forbidden")
}

func TestAStartThatIsRefusedIsAFailure(t *testing.T) {
	s := newStepFunctions(t, nil)
	s.refuse = "StateMachineDoesNotExist"
	status, stdout, stderr := kubestep(t.Context(), "start", "--state-machine-arn", machine)
	assert.Equal(t, failed, status)
	assert.Empty(t, stdout)
	assert.Contains(t, stderr, "StateMachineDoesNotExist")
}

func TestAnOutputOfAnotherMachineIsAFailure(t *testing.T) {
	newStepFunctions(t, map[string]any{"status": "SUCCEEDED", "output": `[1]`})
	status, _, stderr := kubestep(t.Context(), "start", "--state-machine-arn", machine)
	assert.Equal(t, failed, status)
	assert.Contains(t, stderr, "the output is not that of kubestep's state machine")
}

func TestAnInterruptLeavesTheExecutionRunning(t *testing.T) {
	s := newStepFunctions(t, map[string]any{"status": "RUNNING"})
	s.running = true
	ctx, interrupt := context.WithCancel(t.Context())
	s.onHistory = func() { time.AfterFunc(10*time.Millisecond, interrupt) }
	status, _, stderr := kubestep(ctx, "start", "--state-machine-arn", machine)
	assert.Equal(t, failed, status)
	assert.Contains(t, stderr, "the execution runs on: "+execution+"\n")
}

func TestFollowPrintsThePods(t *testing.T) {
	s := newStepFunctions(t, inventory(t))
	status, stdout, stderr := kubestep(t.Context(), "follow", execution)
	assert.Equal(t, succeeded, status, stderr)
	golden(t, "start", stdout)
	assert.Empty(t, s.called("StartExecution"))
}

func TestWrongUsageIsToldAllAtOnceBeforeAnythingStarts(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		want []string
	}{
		"no command":         {nil, []string{"kubestep start", "kubestep follow"}},
		"an unknown command": {[]string{"list"}, []string{`there is no command "list"`}},
		"no state machine":   {[]string{"start"}, []string{"--state-machine-arn", "STATE_MACHINE_ARN"}},
		"an unknown flag":    {[]string{"start", "--cluster", "demo"}, []string{"-cluster"}},
		"all that can be wrong with start": {
			[]string{"start", "--state-machine-arn", execution, "--input", "{\n  x}", "--name", "a b", "--output", "yaml", "more"},
			[]string{
				`--state-machine-arn "` + execution + `" is not of the form arn:aws:states:REGION:ACCOUNT:stateMachine:NAME`,
				"--input is not valid JSON: line 2, character 3",
				`--name "a b" is not`, `--output "yaml" is neither table nor json`, `"more"`,
			},
		},
		"an input file that is not there": {[]string{"start", "--state-machine-arn", machine, "--input", "@none.json"}, []string{"--input cannot be read", "none.json"}},
		"an empty input":                  {[]string{"start", "--state-machine-arn", machine, "--input", ""}, []string{"--input is not valid JSON"}},
		"an input that is too large":      {[]string{"start", "--state-machine-arn", machine, "--input", `"` + strings.Repeat("x", 262144) + `"`}, []string{"--input has 262146 bytes"}},
		"no execution":                    {[]string{"follow"}, []string{"give its ARN"}},
		"what is no execution":            {[]string{"follow", machine, "more"}, []string{"arn:aws:states:REGION:ACCOUNT:execution:NAME", `"more"`}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStepFunctions(t, nil)
			status, stdout, stderr := kubestep(t.Context(), test.args...)
			assert.Equal(t, misused, status)
			assert.Empty(t, stdout)
			for _, want := range test.want {
				assert.Contains(t, stderr, want)
			}
			assert.Empty(t, s.calls)
		})
	}
}

func TestMissingCredentialsAreToldWithTheRest(t *testing.T) {
	environment(t)
	status, _, stderr := kubestep(t.Context(), "start", "--input", "x")
	assert.Equal(t, misused, status)
	assert.Contains(t, stderr, "kubestep start: there is no state machine")
	assert.Contains(t, stderr, "kubestep start: --input is not valid JSON")
	assert.Contains(t, stderr, "kubestep start: there are no AWS credentials: set AWS_PROFILE")
}

func TestHelpIsNoMisuse(t *testing.T) {
	for _, args := range [][]string{{"help"}, {"--help"}, {"start", "-h"}, {"follow", "--help"}} {
		status, stdout, stderr := kubestep(t.Context(), args...)
		assert.Equal(t, succeeded, status)
		assert.Equal(t, usage, stdout)
		assert.Empty(t, stderr)
	}
}

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares with a file of what it should look like.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", strings.ReplaceAll(name, " ", "-")+".golden")
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, string(want), got)
}
