package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

const (
	podMachine = "arn:aws:states:eu-west-1:123456789012:stateMachine:pod-inventory"
	execution  = "arn:aws:states:eu-west-1:123456789012:execution:pod-inventory:one"
)

// stepFunctions is a fake of the Step Functions API, with one execution that ends when it is started.
type stepFunctions struct {
	*httptest.Server
	// outcome is added to the description.
	outcome map[string]any
	// stops is the status of each execution once it was stopped; ABORTED if empty.
	stops string
	// refuse is the error of every call, if it is not empty.
	refuse string
	// onHistory is called at each request for the history.
	onHistory func()
	// onDescribe is called at each request for the description, which then has no answer.
	onDescribe func()
	// workflow is what describe-cluster is told.
	workflow string
	// running keeps the execution from ending.
	running bool
	// history is that of an execution, by look; nil for one of DescribeCluster.
	history func(look int) []map[string]any
	// executions are listed.
	executions func() []map[string]any
	// answers takes the place of other answers to a call, if it is not nil.
	answers func(call) (int, map[string]any)
	// onCall is called at each call.
	onCall func(action string)

	mu    sync.Mutex // guards calls
	calls []call
}

type call struct {
	action, authorization string
	body                  map[string]any
}

// newStepFunctions serves it, and makes it the only AWS of the command's environment.
func newStepFunctions(t *testing.T, outcome map[string]any) *stepFunctions {
	t.Helper()
	s := &stepFunctions{outcome: outcome, workflow: "pod-inventory"}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	environment(t)
	t.Setenv("AWS_ENDPOINT_URL", s.URL)
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	return s
}

// environment removes the AWS settings of the test's environment.
func environment(t *testing.T) {
	t.Helper()
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		if strings.HasPrefix(name, "AWS_") || strings.HasSuffix(name, "_ARN") {
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
	switch {
	case r.URL.Path == "/clusters":
		c.action = "ListClusters"
	case action == "":
		c.action = r.PostFormValue("Action")
	default:
		_ = json.NewDecoder(r.Body).Decode(&c.body)
	}
	s.mu.Lock()
	s.calls = append(s.calls, c)
	s.mu.Unlock()
	if s.onCall != nil {
		s.onCall(c.action)
	}

	const started, stopped = 1795449600.0, 1795449602.4
	answer := map[string]any{}
	if s.refuse != "" && c.action == "GetCallerIdentity" { // which answers in XML
		w.WriteHeader(http.StatusBadRequest)
		_, _ = fmt.Fprintf(w, `<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>refused</Message></Error></ErrorResponse>`, s.refuse)
		return
	}
	if s.refuse != "" {
		w.WriteHeader(http.StatusBadRequest)
		c.action, answer = "", map[string]any{"__type": s.refuse, "message": "refused"}
	}
	if c.action == "DescribeExecution" && len(s.called("StopExecution")) > 0 {
		_ = json.NewEncoder(w).Encode(map[string]any{"executionArn": c.body["executionArn"], "name": "one", "startDate": started, "status": cmp.Or(s.stops, "ABORTED")})
		return
	}
	if s.answers != nil {
		if status, said := s.answers(c); said != nil {
			w.WriteHeader(status)
			_ = json.NewEncoder(w).Encode(said)
			return
		}
	}
	switch c.action {
	case "GetCallerIdentity":
		_, _ = io.WriteString(w, `<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult><Arn>arn:aws:sts::123456789012:assumed-role/developer/shell</Arn><UserId>A</UserId><Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>`)
		return
	case "ListClusters":
		answer = map[string]any{"clusters": []string{"demo", "dev", "prod"}}
	case "StopExecution":
		answer = map[string]any{"stopDate": stopped}
	case "StartExecution":
		answer = map[string]any{"executionArn": execution, "startDate": started}
	case "DescribeExecution":
		if s.onDescribe != nil {
			s.onDescribe()
			<-r.Context().Done()
		}
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
			{"id": 3, "previousEventId": 2, "type": "TaskScheduled", "timestamp": started, "taskScheduledEventDetails": map[string]any{
				"resourceType": "lambda", "resource": "invoke", "region": "eu-west-1", "parameters": `{"FunctionName":"f","Payload":{"workflow":"` + s.workflow + `"}}`,
			}},
			{"id": 4, "previousEventId": 3, "type": "TaskStateExited", "timestamp": started + 0.041, "stateExitedEventDetails": map[string]any{"name": "DescribeCluster"}},
		}
		if !s.running {
			events = append(events, map[string]any{"id": 5, "previousEventId": 4, "type": "ExecutionSucceeded", "timestamp": stopped})
		}
		if s.history != nil {
			events = s.history(len(s.called(action)))
		}
		answer = map[string]any{"events": events}
	case "ListExecutions":
		answer = map[string]any{"executions": s.executions()}
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
	status = run(ctx, args, strings.NewReader(""), &out, &err)
	return status, out.String(), err.String()
}

func pods(t *testing.T) map[string]any {
	t.Helper()
	output, err := os.ReadFile(filepath.Join("testdata", "output.json"))
	require.NoError(t, err)
	return map[string]any{"status": "SUCCEEDED", "output": string(output)}
}

func TestInventoryPrintsThePods(t *testing.T) {
	s := newStepFunctions(t, pods(t))
	status, stdout, stderr := kubestep(t.Context(), "inventory", "--state-machine-arn", podMachine)
	assert.Equal(t, succeeded, status)
	assert.Equal(t, "Execution "+execution+"\n✓ DescribeCluster          41 ms\n\n", stderr)
	golden(t, "inventory", stdout)

	started := s.called("StartExecution")
	require.Len(t, started, 1)
	assert.Equal(t, podMachine, started[0].body["stateMachineArn"])
	assert.Equal(t, "{}", started[0].body["input"])
	assert.NotEmpty(t, started[0].body["name"])
	assert.Contains(t, started[0].authorization, "/eu-west-1/states/", "the Region is that of the ARN")
}

func TestInventoryPassesAnInputOnUnchanged(t *testing.T) {
	s := newStepFunctions(t, pods(t))
	t.Setenv("STATE_MACHINE_ARN", podMachine)
	t.Setenv("AWS_REGION", "us-east-1")
	file := filepath.Join(t.TempDir(), "input.json")
	require.NoError(t, os.WriteFile(file, []byte("{\n\"clusterName\": \"demo\"}\n"), 0o600))

	status, _, stderr := kubestep(t.Context(), "inventory", "--input", "@"+file, "--name", "mine")
	require.Equal(t, succeeded, status, stderr)
	started := s.called("StartExecution")
	require.Len(t, started, 1)
	assert.Equal(t, podMachine, started[0].body["stateMachineArn"])
	assert.Equal(t, "{\n\"clusterName\": \"demo\"}\n", started[0].body["input"])
	assert.Equal(t, "mine", started[0].body["name"])
	assert.Contains(t, started[0].authorization, "/eu-west-1/states/", "a state machine can be called in its own Region only")
}

func TestStandardOutputHoldsOnlyJSON(t *testing.T) {
	outcome := pods(t)
	newStepFunctions(t, outcome)
	status, stdout, stderr := kubestep(t.Context(), "inventory", "--state-machine-arn", podMachine, "--output", "json")
	assert.Equal(t, succeeded, status)
	assert.JSONEq(t, outcome["output"].(string), stdout)
	assert.True(t, strings.HasPrefix(stdout, "{\n  \"access\""), "it is indented")
	assert.NotContains(t, stdout, "\u009b")
	assert.Contains(t, stderr, "✓ DescribeCluster")
}

func TestAnExecutionThatFailsIsAFailure(t *testing.T) {
	outcome := map[string]any{"status": "FAILED", "error": "Forbidden", "cause": "The group may not list pods in shop.\nkubectl apply -k rbac/namespace -n shop"}
	newStepFunctions(t, outcome)
	status, stdout, stderr := kubestep(t.Context(), "inventory", "--state-machine-arn", podMachine)
	assert.Equal(t, failed, status)
	assert.Empty(t, stdout)
	assert.Contains(t, stderr, "FAILED after 2.4 s: Forbidden\n\nThe group may not list pods in shop.\nkubectl apply -k rbac/namespace -n shop\n")

	status, stdout, stderr = kubestep(t.Context(), "inventory", "--state-machine-arn", podMachine, "--output", "json")
	assert.Equal(t, failed, status)
	assert.JSONEq(t, `{"executionArn":"`+execution+`","status":"FAILED","error":"Forbidden","cause":"The group may not list pods in shop.\nkubectl apply -k rbac/namespace -n shop"}`, stdout)
	assert.Contains(t, stderr, "FAILED after 2.4 s: Forbidden")

	status, stdout, _ = kubestep(t.Context(), "follow", execution, "--output", "yaml")
	assert.Equal(t, failed, status)
	assert.Contains(t, stdout, "error: Forbidden\n")
}

func TestWhatTheAPIRefusesIsSaidInASentence(t *testing.T) {
	start := []string{"inventory", "--state-machine-arn", podMachine + ":live", "--name", "one"}
	for code, test := range map[string]struct {
		args []string
		want string
	}{
		"StateMachineDoesNotExist":    {start, "there is no state machine " + podMachine + ":live. Check --stack, AWS_REGION and AWS_PROFILE, or --state-machine-arn and POD_INVENTORY_ARN"},
		"ExecutionAlreadyExists":      {start, "there is an execution named one already. Use another --name, or see that one: kubestep follow " + execution},
		"ExecutionDoesNotExist":       {[]string{"follow", execution}, "there is no execution " + execution + ". Check the ARN"},
		"AccessDeniedException":       {start, "the AWS credentials do not allow states:StartExecution: refused"},
		"ExpiredTokenException":       {start, "the AWS credentials have expired. Get new ones"},
		"UnrecognizedClientException": {start, "AWS does not accept the credentials (UnrecognizedClientException: refused). Check AWS_PROFILE"},
		"InvalidExecutionInput":       {start, "AWS refuses states:StartExecution: InvalidExecutionInput: refused"},
	} {
		t.Run(code, func(t *testing.T) {
			s := newStepFunctions(t, nil)
			s.refuse = code
			status, stdout, stderr := kubestep(t.Context(), test.args...)
			assert.Equal(t, misused, status)
			assert.Equal(t, test.args[0] == "inventory", strings.Contains(stderr, "Nothing was started."))
			assert.Empty(t, stdout)
			assert.True(t, strings.HasPrefix(stderr, "kubestep "+test.args[0]+": "+test.want), stderr)
		})
	}
}

func TestAnEndpointThatDoesNotAnswerIsNamed(t *testing.T) {
	s := newStepFunctions(t, nil)
	s.Close()
	t.Setenv("AWS_MAX_ATTEMPTS", "1")
	status, _, stderr := kubestep(t.Context(), "inventory", "--state-machine-arn", podMachine)
	assert.Equal(t, misused, status)
	assert.Regexp(t, `^kubestep inventory: http://127\.0\.0\.1:\d+ does not answer \(.*connection refused\)\. If this is the local world, start it with make up and run source \.local/env again; to leave it, run deactivate_kubestep\nNothing was started\.\n$`, stderr)
}

// An answer of StartExecution that is lost may be of an execution that has started.
func TestWhatMayHaveStartedIsNotSaidToBeNothing(t *testing.T) {
	for name, lose := range map[string]func(w http.ResponseWriter){
		"the connection breaks":    func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
		"Step Functions is broken": func(w http.ResponseWriter) { w.WriteHeader(http.StatusInternalServerError) },
	} {
		t.Run(name, func(t *testing.T) {
			newStepFunctions(t, nil)
			t.Setenv("AWS_MAX_ATTEMPTS", "1")
			broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { lose(w) }))
			t.Cleanup(broken.Close)
			t.Setenv("AWS_ENDPOINT_URL", broken.URL)
			status, _, stderr := kubestep(t.Context(), "inventory", "--state-machine-arn", podMachine)
			assert.Equal(t, failed, status)
			assert.NotContains(t, stderr, "Nothing was started")
		})
	}
}

func TestALostConnectionLeavesTheExecutionRunning(t *testing.T) {
	s := newStepFunctions(t, map[string]any{"status": "RUNNING"})
	s.running = true
	t.Setenv("AWS_MAX_ATTEMPTS", "1")
	s.history = func(int) []map[string]any { panic(http.ErrAbortHandler) }
	_, _, stderr := kubestep(t.Context(), "inventory", "--state-machine-arn", podMachine)
	assert.Contains(t, stderr, " does not answer (EOF).")
	assert.Contains(t, stderr, "\nThe execution continues. To see it: kubestep follow "+execution+"\n")
}

func TestAFailureNamesTheFlagThatFixesIt(t *testing.T) {
	for name, test := range map[string]struct {
		outcome map[string]any
		want    string
	}{
		"fields that another manager owns": {map[string]any{"error": "FieldConflict", "cause": "x"}, "\nWith this command: --force-conflicts\n"},
	} {
		t.Run(name, func(t *testing.T) {
			test.outcome["status"] = "FAILED"
			newStepFunctions(t, test.outcome)
			_, _, stderr := kubestep(t.Context(), "apply", "--state-machine-arn", podMachine, "--source", "s3://abc/k")
			assert.True(t, strings.HasSuffix(stderr, test.want), stderr)
		})
	}
}

func TestVersion(t *testing.T) {
	status, flag, _ := kubestep(t.Context(), "--version")
	assert.Equal(t, succeeded, status)
	_, verb, _ := kubestep(t.Context(), "version")
	assert.Equal(t, flag, verb)
	assert.Regexp(t, `^kubestep .+\n$`, verb)
}

func TestAnOutputOfAnotherMachineIsAFailure(t *testing.T) {
	newStepFunctions(t, map[string]any{"status": "SUCCEEDED", "output": `[1]`})
	status, _, stderr := kubestep(t.Context(), "inventory", "--state-machine-arn", podMachine)
	assert.Equal(t, failed, status)
	assert.Contains(t, stderr, "pod-inventory does not write such an output")
}

func TestAnInterruptLeavesTheExecutionRunning(t *testing.T) {
	s := newStepFunctions(t, map[string]any{"status": "RUNNING"})
	s.running = true
	ctx, interrupt := context.WithCancel(t.Context())
	s.onHistory = func() { time.AfterFunc(10*time.Millisecond, interrupt) }
	status, _, stderr := kubestep(ctx, "inventory", "--state-machine-arn", podMachine)
	assert.Equal(t, interrupted, status, "as a shell has it")
	assert.Contains(t, stderr, "the execution continues: "+execution+"\nTo see it: kubestep follow "+execution+"\nTo stop it: kubestep stop "+execution+"\n")
}

// A terminal, or a pipe that nobody writes to, has no end.
func TestAnInterruptEndsTheCommandBeforeItStartsAnything(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	require.NoError(t, syscall.Mkfifo(fifo, 0o600))
	for sentence, args := range map[string][]string{
		"while it reads an input":                  {"inventory", "--input", "-"},
		"while it reads manifests":                 {"apply", "-f", "-"},
		"while it reads what a fleet asks":         {"fleet", "demo", "--request", "-"},
		"while it opens a file that nobody writes": {"apply", "-f", fifo},
		"while it opens a file of an input":        {"inventory", "--input", "@" + fifo},
	} {
		t.Run(sentence, func(t *testing.T) {
			s := newStepFunctions(t, nil)
			ctx, interrupt := context.WithCancel(t.Context())
			time.AfterFunc(10*time.Millisecond, interrupt)
			endless, w := io.Pipe()
			t.Cleanup(func() { _ = w.Close() })
			var stdout, stderr bytes.Buffer
			status := run(ctx, append(args, "--state-machine-arn", podMachine), endless, &stdout, &stderr)
			assert.Equal(t, interrupted, status)
			assert.Equal(t, "kubestep "+args[0]+": interrupted; nothing was started\n", stderr.String(), "and nothing of what follows from it")
			assert.Empty(t, stdout.String())
			assert.Empty(t, s.calls)
		})
	}
	t.Run("while it looks for credentials", func(t *testing.T) {
		environment(t)
		ctx, interrupt := context.WithCancel(t.Context())
		over := make(chan struct{}) // the SDK does not take back what it asked
		silent := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			interrupt()
			<-over
		}))
		t.Cleanup(func() {
			close(over)
			silent.Close()
		})
		t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", silent.URL)
		status, _, stderr := kubestep(ctx, "inventory", "--state-machine-arn", podMachine)
		assert.Equal(t, interrupted, status)
		assert.Equal(t, "kubestep inventory: interrupted; nothing was started\n", stderr)
	})
	t.Run("while it asks for an execution to follow", func(t *testing.T) {
		s := newStepFunctions(t, nil)
		ctx, interrupt := context.WithCancel(t.Context())
		s.onDescribe = interrupt
		status, _, stderr := kubestep(ctx, "follow", execution)
		assert.Equal(t, interrupted, status)
		assert.Equal(t, "kubestep follow: interrupted\n", stderr)
	})
}

func TestFollowPrintsThePods(t *testing.T) {
	s := newStepFunctions(t, pods(t))
	status, stdout, stderr := kubestep(t.Context(), "follow", execution)
	assert.Equal(t, succeeded, status, stderr)
	golden(t, "inventory", stdout)
	assert.Empty(t, s.called("StartExecution"))
}

func TestFlagsSetKeysOfTheInput(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"nothing":                     {nil, `{}`},
		"a cluster":                   {[]string{"demo"}, `{"clusterName":"demo"}`},
		"a target in another account": {[]string{"demo", "--region", "us-east-1", "--role-arn", "arn:aws:iam::111122223333:role/r"}, `{"clusterName":"demo","region":"us-east-1","roleArn":"arn:aws:iam::111122223333:role/r"}`},
		"namespaces":                  {[]string{"-n", "default", "--namespace", "shop,search"}, `{"namespaces":["default","shop","search"]}`},
		"all namespaces":              {[]string{"-A"}, `{"namespaces":["*"]}`},
		"selectors":                   {[]string{"-l", "app=web,tier!=db", "--field-selector", "status.phase!=Running"}, `{"labelSelector":"app=web,tier!=db","fieldSelector":"status.phase!=Running"}`},
		"no items":                    {[]string{"--max-items", "0"}, `{"maxItems":0}`},
		"skipped namespaces":          {[]string{"--on-denied", "skip"}, `{"onDenied":"skip"}`},
		"an archive":                  {[]string{"--archive", "s3://inventories/kubestep/"}, `{"output":{"bucket":"inventories","prefix":"kubestep/"}}`},
		"an archive without a prefix": {[]string{"--archive", "s3://inventories"}, `{"output":{"bucket":"inventories"}}`},
		"a key beside those of --input, and one in place of its": {
			[]string{"demo", "--input", `{"clusterName":"other","maxItems":1e2}`}, `{"clusterName":"demo","maxItems":1e2}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStepFunctions(t, pods(t))
			status, _, stderr := kubestep(t.Context(), append([]string{"inventory", "--state-machine-arn", podMachine}, test.args...)...)
			require.Equal(t, succeeded, status, stderr)
			started := s.called("StartExecution")
			require.Len(t, started, 1)
			assert.JSONEq(t, test.want, started[0].body["input"].(string))
		})
	}
}

func TestCharactersOfAnInputStayReadable(t *testing.T) {
	s := newStepFunctions(t, pods(t))
	status, _, stderr := kubestep(t.Context(), "inventory", "--state-machine-arn", podMachine, "--field-selector", "metadata.name=a<b&c")
	require.Equal(t, succeeded, status, stderr)
	assert.Equal(t, `{"fieldSelector":"metadata.name=a<b&c"}`, s.called("StartExecution")[0].body["input"])
}

func TestAnInputCanComeFromStandardInput(t *testing.T) {
	s := newStepFunctions(t, pods(t))
	var out, err bytes.Buffer
	status := run(t.Context(), []string{"inventory", "--state-machine-arn", podMachine, "--input", "-"}, strings.NewReader(`{"clusterName":"demo"}`), &out, &err)
	require.Equal(t, succeeded, status, err.String())
	assert.Equal(t, `{"clusterName":"demo"}`, s.called("StartExecution")[0].body["input"])
}

// make run and make start use the name of the workflow.
func TestAVerbAnswersToTheNameOfItsWorkflow(t *testing.T) {
	for _, m := range machines() {
		verb, _, err := root().Find([]string{m.Name})
		require.NoError(t, err)
		assert.True(t, verb.Name() == m.Name || verb.HasAlias(m.Name), m.Name)
	}
}

func TestYAMLMeansTheSameAsJSON(t *testing.T) {
	outcome := pods(t)
	newStepFunctions(t, outcome)
	status, stdout, stderr := kubestep(t.Context(), "inventory", "--state-machine-arn", podMachine, "-o", "yaml")
	require.Equal(t, succeeded, status, stderr)
	golden(t, "inventory-yaml", stdout)
	back, err := yaml.YAMLToJSON([]byte(stdout))
	require.NoError(t, err)
	assert.JSONEq(t, outcome["output"].(string), string(back))
	assert.Contains(t, stderr, "✓ DescribeCluster")
}

func TestVerboseShowsTheInput(t *testing.T) {
	newStepFunctions(t, pods(t))
	_, _, stderr := kubestep(t.Context(), "inventory", "demo", "--state-machine-arn", podMachine, "-v")
	assert.True(t, strings.HasPrefix(stderr, `Input {"clusterName":"demo"}`+"\n"), stderr)
}

func TestFollowShowsAnotherStateMachineAsJSONOnly(t *testing.T) {
	newStepFunctions(t, pods(t)).workflow = "other"
	other := "arn:aws:states:eu-west-1:123456789012:execution:other:one"
	status, _, stderr := kubestep(t.Context(), "follow", other)
	assert.Equal(t, failed, status)
	assert.Contains(t, stderr, other+" is not one of kubestep's state machines: use --output json")
	status, _, stderr = kubestep(t.Context(), "follow", other, "-o", "json")
	assert.Equal(t, succeeded, status, stderr)
}

func TestWrongUsageIsReportedAllAtOnceBeforeAnythingStarts(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		want []string
	}{
		"no command":              {nil, []string{"kubestep inventory demo -n shop", "Show an execution that was started already"}},
		"an unknown command":      {[]string{"create"}, []string{`unknown command "create" for "kubestep"`}},
		"a command of other days": {[]string{"start"}, []string{`unknown command "start"`, "Did you mean this?\n  inventory"}},
		"no state machine":        {[]string{"inventory"}, []string{"there is no AWS Region in which to look for the stack kubestep: set AWS_REGION", "--state-machine-arn", "POD_INVENTORY_ARN"}},
		"an unknown flag":         {[]string{"inventory", "--cluster", "demo"}, []string{"unknown flag: --cluster"}},
		"a number that is none":   {[]string{"inventory", "--max-items", "all"}, []string{`invalid argument "all" for "--max-items"`}},
		"all that can be wrong with inventory": {
			[]string{
				"inventory", "demo", "more", "--state-machine-arn", execution, "--input", "{\n  x}", "--name", "a b", "--output", "xml",
				"-A", "-n", "shop", "--archive", "bucket",
			},
			[]string{
				`--state-machine-arn "` + execution + `" is not of the form arn:aws:states:REGION:ACCOUNT:stateMachine:NAME`,
				"--input is not valid JSON: line 2, character 3",
				`--name "a b" is not`, `--output "xml" is not table, wide, name, json, yaml or jsonpath='{…}'`, `"more": expected one cluster`,
				"--namespace and --all-namespaces cannot be used together", `--archive "bucket" is not of the form s3://BUCKET/PREFIX`,
			},
		},
		"an input file that is missing": {[]string{"inventory", "--state-machine-arn", podMachine, "--input", "@none.json"}, []string{"--input cannot be read", "none.json"}},
		"an empty input":                {[]string{"inventory", "--state-machine-arn", podMachine, "--input", ""}, []string{"--input is not valid JSON"}},
		"an input that takes no keys":   {[]string{"inventory", "demo", "--state-machine-arn", podMachine, "--input", "[]"}, []string{"--input is not a JSON object, so clusterName cannot be set in it"}},
		"an input that is too large":    {[]string{"inventory", "--state-machine-arn", podMachine, "--input", `"` + strings.Repeat("x", 262144) + `"`}, []string{"--input has 262146 bytes"}},
		"help of an unknown command":    {[]string{"help", "nonsense"}, []string{`kubestep: unknown command "nonsense"`, "Run kubestep --help"}},
		"completion without a shell":    {[]string{"completion"}, []string{"there is no shell: name bash, zsh, fish or powershell"}},
		"completion of another shell":   {[]string{"completion", "ksh"}, []string{`unknown command "ksh" for "kubestep completion"`}},
		"no execution":                  {[]string{"follow"}, []string{"give its name or its ARN"}},
		"what is not an execution":      {[]string{"follow", podMachine, "more"}, []string{"arn:aws:states:REGION:ACCOUNT:execution:MACHINE:NAME", `"more": expected one execution`}},
		"what would harm the terminal":  {[]string{"follow", "\x1b[31m"}, []string{`\x1b[31m`}},
		"an output that follow has not": {[]string{"follow", execution, "-o", "short"}, []string{`--output "short" is not table, wide, name, json, yaml or jsonpath='{…}'`}},
		"a template that is none":       {[]string{"follow", execution, "-o", "jsonpath={.pods"}, []string{`--output "jsonpath={.pods" is not a JSONPath template: unclosed action`}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStepFunctions(t, nil)
			status, stdout, stderr := kubestep(t.Context(), test.args...)
			assert.Equal(t, misused, status)
			assert.Empty(t, stdout)
			for _, want := range test.want {
				assert.Contains(t, stderr, want)
			}
			assert.NotContains(t, stderr, "\x1b")
			assert.Equal(t, len(test.args) > 0 && test.args[0] == "inventory", strings.Contains(stderr, "Nothing was started. Run"), "follow and help start nothing")
			assert.Empty(t, s.calls)
		})
	}
}

func TestMissingCredentialsAreReportedWithTheRest(t *testing.T) {
	environment(t)
	status, _, stderr := kubestep(t.Context(), "inventory", "--input", "x")
	assert.Equal(t, misused, status)
	assert.Contains(t, stderr, "kubestep inventory: there is no AWS Region")
	assert.Contains(t, stderr, "kubestep inventory: --input is not valid JSON")
	assert.Contains(t, stderr, "kubestep inventory: there are no AWS credentials: set AWS_PROFILE")
	assert.Contains(t, stderr, "Nothing was started. Run kubestep inventory --help")
}

func TestEveryVerbHasHelpWithExamples(t *testing.T) {
	for _, verb := range root().Commands() {
		if verb.Hidden {
			continue
		}
		for _, args := range [][]string{{verb.Name(), "--help"}, {"help", verb.Name()}} {
			status, stdout, stderr := kubestep(t.Context(), args...)
			assert.Equal(t, succeeded, status)
			assert.Empty(t, stderr)
			assert.Contains(t, stdout, "Usage:\n  kubestep "+verb.Name())
			assert.Contains(t, stdout, "Examples:\n  # ")
			for line := range strings.Lines(stdout) {
				if !strings.HasPrefix(line, "  ") { // examples are to be copied
					assert.LessOrEqual(t, len([]rune(strings.TrimSpace(line))), columns, line)
				}
			}
		}
	}
	t.Setenv("POD_INVENTORY_ARN", podMachine)
	_, stdout, _ := kubestep(t.Context(), "inventory", "--help")
	golden(t, "help-inventory", stdout)
	_, stdout, _ = kubestep(t.Context(), "--help")
	for _, m := range machines() {
		assert.Contains(t, stdout, "  "+m.Summary+"\n")
		stdout = regexp.MustCompile(`(?m)^  `+m.Name+` .*\n`).ReplaceAllString(stdout, "") // one without a name of its own
	}
	golden(t, "help", stdout)
	_, stdout, _ = kubestep(t.Context(), "fleet", "--help")
	assert.NotContains(t, stdout, "(default [])")
	_, stdout, _ = kubestep(t.Context(), "completion", "--help")
	assert.Contains(t, stdout, "source <(kubestep completion bash)")
}

// People copy the examples, so each flag in them must exist.
func TestExamplesParse(t *testing.T) {
	flags := regexp.MustCompile(`(^| )--?([a-zA-Z-]+)`)
	for _, verb := range root().Commands() {
		verb.InitDefaultHelpFlag()
		for line := range strings.Lines(verb.Example) {
			command, _, _ := strings.Cut(strings.TrimSpace(line), " | ")
			if !strings.HasPrefix(command, "kubestep") || strings.Contains(command, "$(") {
				continue
			}
			for _, flag := range flags.FindAllStringSubmatch(command, -1) {
				found := verb.Flags().Lookup(flag[2])
				if len(flag[2]) == 1 {
					found = verb.Flags().ShorthandLookup(flag[2])
				}
				assert.NotNil(t, found, "%s: %s", command, flag[2])
			}
		}
	}
}

func TestAShellCompletesVerbsFlagsAndTheirValues(t *testing.T) {
	for _, test := range []struct {
		typed []string
		want  string
	}{
		{[]string{"inv"}, "inventory"},
		{[]string{"inventory", "--output", ""}, "table\nwide\nname\njson\nyaml\njsonpath=\n"},
		{[]string{"inventory", "--on-denied", ""}, "fail\nskip\n"},
		{[]string{"inventory", "--name"}, "--namespace"},
	} {
		status, stdout, _ := kubestep(t.Context(), append([]string{cobra.ShellCompRequestCmd}, test.typed...)...)
		assert.Equal(t, succeeded, status)
		assert.Contains(t, stdout, test.want)
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		status, stdout, stderr := kubestep(t.Context(), "completion", shell)
		assert.Equal(t, succeeded, status, stderr)
		assert.Contains(t, stdout, "kubestep")
	}
}

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares a text with a golden file.
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
