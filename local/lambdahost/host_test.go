package lambdahost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestMain makes this test binary the bootstrap of every function that is tested here.
func TestMain(m *testing.M) {
	if os.Getenv("AWS_LAMBDA_RUNTIME_API") != "" {
		initialize(os.Getenv("INIT"))
		lambda.Start(handle)
	}
	os.Exit(m.Run())
}

func initialize(how string) {
	switch how {
	case "exit":
		fmt.Println("no good")
		os.Exit(7)
	case "hang":
		time.Sleep(time.Hour) // not select{}: Go ends a program in which nothing can wake up
	}
}

type request struct {
	Do string
	MS int
	MB int
}

func handle(ctx context.Context, r request) (any, error) {
	switch r.Do {
	case "who":
		deadline, _ := ctx.Deadline()
		lc, _ := lambdacontext.FromContext(ctx)
		directory, _ := os.Getwd()
		return map[string]any{
			"pid": os.Getpid(), "environment": os.Environ(), "directory": directory,
			"request": lc.AwsRequestID, "arn": lc.InvokedFunctionArn, "left": time.Until(deadline).Milliseconds(),
		}, nil
	case "say":
		fmt.Println("to stdout")
		fmt.Fprint(os.Stderr, "to stderr, unended")
		return nil, nil
	case "fail":
		return nil, errors.New("it does not work")
	case "panic":
		panic("at the disco")
	case "exit":
		os.Exit(r.MS)
	case "sleep":
		time.Sleep(time.Duration(r.MS) * time.Millisecond)
		return os.Getpid(), nil
	case "compute":
		for began := time.Now(); time.Since(began) < time.Duration(r.MS)*time.Millisecond; {
			_ = json.Valid(make([]byte, 1<<10))
		}
		return nil, nil
	case "long":
		return strings.Repeat("x", r.MB<<20), nil
	case "grow":
		memory := make([]byte, r.MB<<20)
		for i := range memory {
			memory[i] = 1
		}
		time.Sleep(time.Duration(r.MS) * time.Millisecond)
		return len(memory), nil
	}
	return os.Getpid(), nil
}

const roleARN = "arn:aws:iam::123456789012:role/f"

type world struct {
	*Host
	t    *testing.T
	logs string
	now  time.Time
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, logs: t.TempDir(), now: time.Now()}
	var issued atomic.Int32
	w.Host = New(Options{
		Logs:   w.logs,
		Region: "eu-west-1",
		Credentials: func(roleARN, session string) (aws.Credentials, error) {
			return aws.Credentials{
				AccessKeyID: fmt.Sprint("ASIA", issued.Add(1)), SecretAccessKey: "secret of " + roleARN, SessionToken: "token of " + session,
				CanExpire: true, Expires: w.now.Add(time.Hour),
			}, nil
		},
		Now: func() time.Time { return w.now },
	})
	t.Cleanup(func() { require.NoError(t, w.Close()) })
	return w
}

func (w *world) put(change func(*Function)) {
	w.t.Helper()
	bootstrap, err := os.Executable()
	require.NoError(w.t, err)
	f := Function{
		Name: "f", ARN: "arn:aws:lambda:eu-west-1:123456789012:function:f", Role: roleARN, Bootstrap: bootstrap,
		Timeout: 30 * time.Second, MemoryMB: 512,
	}
	if change != nil {
		change(&f)
	}
	require.NoError(w.t, w.Put(f))
}

func (w *world) invoke(r request) Result {
	w.t.Helper()
	payload, err := json.Marshal(r)
	require.NoError(w.t, err)
	result, err := w.Invoke(context.Background(), "f", payload)
	require.NoError(w.t, err)
	return result
}

func (w *world) pid(r request) int {
	w.t.Helper()
	result := w.invoke(r)
	var pid int
	require.NoError(w.t, json.Unmarshal(result.Payload, &pid), string(result.Payload))
	return pid
}

func (w *world) log() string {
	w.t.Helper()
	log, err := os.ReadFile(filepath.Join(w.logs, "f.log"))
	require.NoError(w.t, err)
	return string(log)
}

func TestAFunctionSeesWhatLambdaShowsItAndNothingElse(t *testing.T) {
	t.Setenv("OF_THE_HOST", "and of no function")
	w := newWorld(t)
	w.put(func(f *Function) { f.Environment = map[string]string{"OWN": "value", "TZ": "own"} })

	result := w.invoke(request{Do: "who"})

	var seen struct {
		Environment             []string
		Directory, Request, ARN string
		Left                    int
	}
	require.NoError(t, json.Unmarshal(result.Payload, &seen))
	assert.Equal(t, result.RequestID, seen.Request)
	assert.Equal(t, "arn:aws:lambda:eu-west-1:123456789012:function:f", seen.ARN)
	assert.InDelta(t, 30_000, seen.Left, 1_000)
	bootstrap, err := os.Executable()
	require.NoError(t, err)
	assert.Equal(t, filepath.Dir(bootstrap), seen.Directory)

	got := map[string]string{}
	for _, variable := range seen.Environment {
		name, value, _ := strings.Cut(variable, "=")
		got[name] = value
	}
	assert.Regexp(t, `^127\.0\.0\.1:\d+$`, got["AWS_LAMBDA_RUNTIME_API"])
	assert.Regexp(t, `^\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}$`, got["AWS_LAMBDA_LOG_STREAM_NAME"])
	assert.Empty(t, got["_X_AMZN_TRACE_ID"], "nothing here takes traces")
	for _, name := range []string{"AWS_LAMBDA_RUNTIME_API", "AWS_LAMBDA_LOG_STREAM_NAME", "_X_AMZN_TRACE_ID"} {
		delete(got, name)
	}
	assert.Equal(t, map[string]string{
		"AWS_ACCESS_KEY_ID":               "ASIA1",
		"AWS_SECRET_ACCESS_KEY":           "secret of " + roleARN,
		"AWS_SESSION_TOKEN":               "token of f",
		"AWS_DEFAULT_REGION":              "eu-west-1",
		"AWS_REGION":                      "eu-west-1",
		"AWS_EXECUTION_ENV":               "AWS_Lambda_provided.al2023",
		"AWS_LAMBDA_FUNCTION_NAME":        "f",
		"AWS_LAMBDA_FUNCTION_VERSION":     "$LATEST",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
		"AWS_LAMBDA_INITIALIZATION_TYPE":  "on-demand",
		"AWS_LAMBDA_LOG_GROUP_NAME":       "/aws/lambda/f",
		"LAMBDA_TASK_ROOT":                filepath.Dir(bootstrap),
		"LANG":                            "en_US.UTF-8",
		"OWN":                             "value",
		"PATH":                            "/usr/local/bin:/usr/bin/:/bin",
		"TZ":                              "own",
		"_HANDLER":                        "bootstrap",
	}, got)
}

func TestAnIdleEnvironmentIsReused(t *testing.T) {
	w := newWorld(t)
	w.put(nil)

	first, second := w.invoke(request{}), w.invoke(request{})

	assert.Equal(t, first.Payload, second.Payload, "the process id")
	assert.True(t, first.ColdStart)
	assert.Positive(t, first.Init)
	assert.False(t, second.ColdStart)
	assert.Zero(t, second.Init)
	assert.NotEqual(t, first.RequestID, second.RequestID)
}

func TestBusyEnvironmentsMakeMoreAndTheLastUsedIsTakenFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.put(nil)
	var first, second int
	var both sync.WaitGroup
	both.Go(func() { first = w.pid(request{Do: "sleep", MS: 700}) })
	both.Go(func() { second = w.pid(request{Do: "sleep", MS: 200}) })
	both.Wait()

	assert.NotEqual(t, first, second)
	assert.Equal(t, first, w.pid(request{}), "the longer sleep ended last")
}

func TestReservedConcurrencyIsNotExceeded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.put(func(f *Function) { f.Concurrency = 1 })
	w.invoke(request{})
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	_, err := w.Invoke(ctx, "f", []byte(`{"Do":"sleep","MS":300}`))
	require.ErrorIs(t, err, context.DeadlineExceeded)

	_, err = w.Invoke(context.Background(), "f", nil)

	require.ErrorIs(t, err, ErrTooManyRequests, "the caller is gone, the function is not")
	assert.Eventually(t, func() bool {
		result, err := w.Invoke(context.Background(), "f", []byte(`{}`))
		return err == nil && !result.ColdStart
	}, 5*time.Second, 20*time.Millisecond)
}

func TestADeploymentEndsTheOldEnvironments(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.put(nil)
	idle := w.pid(request{})
	var busy int
	var invocation sync.WaitGroup
	invocation.Go(func() { busy = w.pid(request{Do: "sleep", MS: 200}) })
	time.Sleep(50 * time.Millisecond)

	w.put(func(f *Function) { f.Environment = map[string]string{"VERSION": "2"} })

	result := w.invoke(request{Do: "who"})
	assert.True(t, result.ColdStart)
	assert.Contains(t, string(result.Payload), "VERSION=2")
	invocation.Wait()
	assert.Equal(t, idle, busy, "an invocation under way ends well")
	assert.False(t, alive(busy))
}

func TestAnEnvironmentWhoseCredentialsEndIsReplaced(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.put(nil)
	old := w.pid(request{})

	w.now = w.now.Add(54 * time.Minute)
	assert.Equal(t, old, w.pid(request{}))

	w.now = w.now.Add(time.Minute)
	result := w.invoke(request{Do: "who"})
	assert.True(t, result.ColdStart)
	assert.Contains(t, string(result.Payload), "AWS_ACCESS_KEY_ID=ASIA2")
	assert.Eventually(t, func() bool { return !alive(old) }, 5*time.Second, time.Millisecond)
}

func TestErrors(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		function func(*Function)
		request  request
		payload  string // %s is the request's id
		log      []string
		survives bool
	}{
		"an error comes as the runtime words it": {
			request:  request{Do: "fail"},
			payload:  `{"errorMessage":"it does not work","errorType":"errorString"}`,
			log:      []string{`{"errorMessage":"it does not work","errorType":"errorString"}`},
			survives: true,
		},
		"an exit is a Runtime.ExitError": {
			request: request{Do: "exit", MS: 1},
			payload: `{"errorType":"Runtime.ExitError","errorMessage":"RequestId: %s Error: Runtime exited with error: exit status 1"}`,
			log:     []string{"Error: Runtime exited with error: exit status 1\nRuntime.ExitError\n", "\tStatus: error\tError Type: Runtime.ExitError\n"},
		},
		"an exit without an error is one as well": {
			request: request{Do: "exit", MS: 0},
			payload: `{"errorType":"Runtime.ExitError","errorMessage":"RequestId: %s Error: Runtime exited without providing a reason"}`,
		},
		"a function that takes too long is killed": {
			function: func(f *Function) { f.Timeout = 200 * time.Millisecond },
			request:  request{Do: "sleep", MS: 60_000},
			payload:  `{"errorType":"Sandbox.Timedout","errorMessage":"RequestId: %s Error: Task timed out after 0.20 seconds"}`,
			log:      []string{" Task timed out after 0.20 seconds\n", "\tStatus: timeout\n"},
		},
		"a response above 6 MB is refused": {
			request: request{Do: "long", MB: 7},
			payload: `{"errorType":"Function.ResponseSizeTooLarge","errorMessage":"Response payload size exceeded maximum allowed payload size (6291556 bytes)."}`,
		},
		"a function that exits before it is ready fails": {
			function: func(f *Function) { f.Environment = map[string]string{"INIT": "exit"} },
			payload:  `{"errorType":"Runtime.ExitError","errorMessage":"RequestId: %s Error: Runtime exited with error: exit status 7"}`,
			log:      []string{"no good\nINIT_REPORT Init Duration: ", "Phase: init\tStatus: error\tError Type: Runtime.ExitError\nSTART RequestId"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.put(test.function)

			result := w.invoke(test.request)

			assert.Equal(t, "Unhandled", result.FunctionError)
			assert.Equal(t, strings.ReplaceAll(test.payload, "%s", result.RequestID), string(result.Payload))
			for _, line := range test.log {
				assert.Contains(t, w.log(), line)
			}
			assert.Equal(t, !test.survives, w.invoke(request{}).ColdStart)
		})
	}
}

func TestAPanicIsAnErrorAndEndsTheEnvironment(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.put(nil)

	result := w.invoke(request{Do: "panic"})

	assert.Equal(t, "Unhandled", result.FunctionError)
	assert.Contains(t, string(result.Payload), `"errorMessage":"at the disco"`)
	assert.Contains(t, w.log(), "Runtime exited with error: exit status 1\nRuntime.ExitError\n")
	assert.True(t, w.invoke(request{}).ColdStart)
}

func TestAFunctionThatIsNotReadyInTimeIsKilled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.initTimeout = 100 * time.Millisecond
	w.put(func(f *Function) { f.Environment = map[string]string{"INIT": "hang"} })

	result := w.invoke(request{})

	assert.Equal(t, "Unhandled", result.FunctionError)
	assert.Contains(t, string(result.Payload), `"errorType":"Sandbox.Timedout"`)
	assert.Contains(t, w.log(), "Phase: init\tStatus: timeout")
}

func TestAFunctionThatDiesWhileIdleIsStartedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.put(nil)
	pid := w.pid(request{})
	require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
	for e := range w.environments {
		<-e.process.Exited()
	}

	result := w.invoke(request{})

	assert.Empty(t, result.FunctionError)
	assert.True(t, result.ColdStart)
}

func TestLambdaRefusesAnInvocation(t *testing.T) {
	w := newWorld(t)
	w.put(nil)

	_, err := w.Invoke(context.Background(), "g", nil)
	require.ErrorIs(t, err, ErrNotFound)

	require.NoError(t, w.Close())
	_, err = w.Invoke(context.Background(), "f", nil)
	require.ErrorIs(t, err, ErrClosed)
	require.ErrorIs(t, w.Put(Function{Name: "f", ARN: "a", Role: "r", Bootstrap: os.Args[0]}), ErrClosed)
}

func TestCloseEndsEveryProcess(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.put(nil)
	idle := w.pid(request{})
	var result Result
	var invocation sync.WaitGroup
	invocation.Go(func() { result = w.invoke(request{Do: "sleep", MS: 60_000}) })
	time.Sleep(50 * time.Millisecond)

	require.NoError(t, w.Close())

	invocation.Wait()
	assert.Contains(t, string(result.Payload), "Runtime exited with error: signal: terminated")
	assert.False(t, alive(idle))
	require.NoError(t, w.Close(), "twice is fine")
}

func TestPutRefuses(t *testing.T) {
	w := newWorld(t)
	plain := filepath.Join(t.TempDir(), "plain")
	require.NoError(t, os.WriteFile(plain, nil, 0o600))
	for name, test := range map[string]struct {
		function Function
		err      string
	}{
		"a function without a role":    {Function{Name: "f", ARN: "a", Bootstrap: os.Args[0]}, "needs a name, an ARN and a role"},
		"a name that is a path":        {Function{Name: "../f", ARN: "a", Role: "r", Bootstrap: os.Args[0]}, "the name must match"},
		"a file that is not there":     {Function{Name: "f", ARN: "a", Role: "r", Bootstrap: plain + "er"}, "no such file"},
		"a file that is not a program": {Function{Name: "f", ARN: "a", Role: "r", Bootstrap: plain}, "is not executable"},
		"a variable of Lambda's": {
			Function{Name: "f", ARN: "a", Role: "r", Bootstrap: os.Args[0], Environment: map[string]string{"AWS_REGION": "x"}},
			"the environment variable AWS_REGION is reserved by Lambda",
		},
	} {
		t.Run(name, func(t *testing.T) { require.ErrorContains(t, w.Put(test.function), test.err) })
	}
	assert.Empty(t, w.Functions())
}

func TestTheLogReadsLikeCloudWatchs(t *testing.T) {
	w := newWorld(t)
	w.put(nil)

	result := w.invoke(request{Do: "say"})
	w.invoke(request{Do: "say"})

	id := result.RequestID
	assert.Regexp(t, `^START RequestId: `+id+` Version: \$LATEST
to stdout
to stderr, unended
END RequestId: `+id+`
REPORT RequestId: `+id+`	Duration: \d+\.\d\d ms	Billed Duration: \d+ ms	Memory Size: 512 MB	Max Memory Used: \d+ MB	Init Duration: \d+\.\d\d ms
START RequestId: [^\n]+
to stdout
to stderr, unended
END RequestId: [^\n]+
REPORT RequestId: [^\t]+	Duration: \d+\.\d\d ms	Billed Duration: \d+ ms	Memory Size: 512 MB	Max Memory Used: \d+ MB
$`, w.log())
	assert.NotContains(t, w.log(), "secret of")
}

func BenchmarkAWarmInvocation(b *testing.B) {
	host := New(Options{
		Logs: b.TempDir(), Region: "eu-west-1",
		Credentials: func(string, string) (aws.Credentials, error) { return aws.Credentials{}, nil },
	})
	defer func() { _ = host.Close() }()
	bootstrap, err := os.Executable()
	require.NoError(b, err)
	require.NoError(b, host.Put(Function{Name: "f", ARN: "arn", Role: roleARN, Bootstrap: bootstrap}))
	for b.Loop() {
		_, err := host.Invoke(context.Background(), "f", []byte(`{}`))
		require.NoError(b, err)
	}
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }
