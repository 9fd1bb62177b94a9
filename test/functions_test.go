package test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/task"
	"github.com/kubestep/kubestep/local/awsfront"
	"github.com/kubestep/kubestep/local/lambdahost"
)

// A function that fails is this test program as the bootstrap. BROKEN says how it fails. With a MARK, only the first
// execution environment, which creates that file, fails; the others run the program at BOOTSTRAP.
const (
	broken    = "BROKEN"
	mark      = "MARK"
	bootstrap = "BOOTSTRAP"
)

var breakages = map[string]func(){
	"exits":  func() { os.Exit(1) },
	"panics": func() { panic("by a test") },
	"eats": func() {
		for eaten := [][]byte{}; ; eaten = append(eaten, make([]byte, 16<<20)) {
			for i := range eaten {
				for at := 0; at < len(eaten[i]); at += 4096 {
					eaten[i][at] = 1 // only memory that is written to is resident
				}
			}
		}
	},
	"sleeps": func() { time.Sleep(time.Hour) },
}

// breakDown runs this program as a bootstrap.
func breakDown(how string) int {
	if file := os.Getenv(mark); file != "" {
		if f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600); err == nil {
			_ = f.Close()
		} else {
			real := os.Getenv(bootstrap)
			fmt.Fprintln(os.Stderr, syscall.Exec(real, []string{real}, os.Environ()))
			return 1
		}
	}
	task.Start("Broken", func(context.Context, json.RawMessage) (struct{}, error) {
		breakages[how]()
		return struct{}{}, nil
	})
	return 0
}

// breaks replaces a function of the stack by one that fails.
func (s *scenario) breaks(t *testing.T, function, how string, once bool) {
	t.Helper()
	program, err := os.Executable()
	require.NoError(t, err)
	s.redeploy(t, function, func(f *lambdahost.Function) {
		environment := map[string]string{broken: how, bootstrap: f.Bootstrap}
		if once {
			environment[mark] = filepath.Join(t.TempDir(), "mark")
		}
		for key, value := range f.Environment {
			environment[key] = value
		}
		f.Bootstrap, f.Environment, f.Timeout = program, environment, 3*time.Second
	})
}

func TestAFunctionThatEndsWithoutAnAnswerIsInvokedAgain(t *testing.T) {
	t.Parallel()
	for sentence, c := range map[string]struct{ function, how, failed string }{
		"having exited":         {"list-pods", "exits", "ListPods: Runtime.ExitError"},
		"having had no memory":  {"verify-rbac", "eats", "VerifyRBAC: Runtime.ExitError"},
		"having had no time":    {"mint-token", "sleeps", "MintToken: Sandbox.Timedout"},
		"before there was more": {"describe-cluster", "exits", "DescribeCluster: Runtime.ExitError"},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			s := newScenario(t)
			s.mapRole(t)
			s.breaks(t, c.function, c.how, true)

			e := s.run(t, `{"clusterName":"demo"}`)

			succeeded(t, e)
			assert.Equal(t, well, e.Path)
			assert.Equal(t, []string{c.failed}, failures(e))
		})
	}
}

func TestAFunctionThatAlwaysEndsStopsTheMachineWithASentenceAndLambdasOwnWords(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	s.breaks(t, "verify-rbac", "exits", false)

	e := s.run(t, `{"clusterName":"demo"}`)

	assert.Equal(t, "Runtime.ExitError", e.Error)
	assert.Regexp(t, `^A function ended without an answer, at each of 3 attempts: .* Lambda says: .*exit status 1`, e.Cause)
	assert.Equal(t, path("DescribeCluster", "WithFreshToken", "MintToken", "VerifyRBAC", "ExplainCrash", "Failed"), e.Path)
	assert.Equal(t, 3, e.Attempts("VerifyRBAC"))
}

func TestAFunctionThatOutlastsItsStateStopsTheMachineWithASentence(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	// describe-cluster is not in the Parallel: moto does not pass States.Timeout on from a branch.
	s.breaks(t, "describe-cluster", "sleeps", false)
	s.redeploy(t, "describe-cluster", func(f *lambdahost.Function) { f.Timeout = 5 * time.Minute })

	e := s.run(t, `{"clusterName":"demo"}`)

	assert.Equal(t, "FunctionTimedOut", e.Error)
	assert.Regexp(t, `^A function gave no answer within the time of its state, at each of 3 attempts\.`, e.Cause)
	assert.Equal(t, path("DescribeCluster", "ExplainTimeout", "Failed"), e.Path)
	assert.Equal(t, 3, e.Attempts("DescribeCluster"))
}

func TestAFunctionThatStaysBusyStopsTheMachineWithASentence(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	s.hurry(t)
	s.breaks(t, "verify-rbac", "sleeps", false)
	s.redeploy(t, "verify-rbac", func(f *lambdahost.Function) { f.Concurrency, f.Timeout = 1, time.Minute })
	busy, release := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() { _, _ = local.Lambda.Invoke(busy, s.stack.Name+"-verify-rbac", []byte(`{}`)) })
	defer done.Wait()
	defer release()

	e := s.run(t, `{"clusterName":"demo"}`)

	assert.Equal(t, "Lambda.TooManyRequestsException", e.Error)
	assert.Regexp(t, `^Lambda did not run a function, at each of 7 attempts\. .* Lambda says: .*429`, e.Cause)
	assert.Equal(t, path("DescribeCluster", "WithFreshToken", "MintToken", "VerifyRBAC", "ExplainLambda", "Failed"), e.Path)
	assert.Equal(t, 7, e.Attempts("VerifyRBAC"))
}

func TestAFunctionThatIsNotReadyIsInvokedAgain(t *testing.T) {
	t.Parallel()
	for sentence, fault := range map[string]awsfront.Fault{
		"while it gets its connection to the VPC back": {Code: "ResourceNotReadyException", Status: http.StatusBadGateway, Message: "The function is inactive and its VPC connection is no longer available."},
		"while it is being updated":                    {Code: "ResourceConflictException", Status: http.StatusConflict, Message: "The operation cannot be performed at this time."},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			s := newScenario(t)
			s.mapRole(t)
			s.hurry(t)
			fault.Service, fault.Operation, fault.Resource, fault.Times = "lambda", "Invoke", s.stack.Name+"-verify-rbac", 2
			local.Faults.Add(fault)

			e := s.run(t, `{"clusterName":"demo"}`)

			succeeded(t, e)
			assert.Equal(t, well, e.Path)
			assert.Equal(t, times(2, "VerifyRBAC: Lambda."+fault.Code), failures(e))
		})
	}
}

func TestAFunctionWhoseEnvironmentCannotBeDecryptedIsNotInvokedAgain(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	local.Faults.Add(awsfront.Fault{
		Service: "lambda", Operation: "Invoke", Resource: s.stack.Name + "-mint-token", Times: 1,
		Status: http.StatusBadGateway, Code: "KMSAccessDeniedException", Message: "Lambda was unable to decrypt the environment variables because KMS access was denied.",
	})

	e := s.run(t, `{"clusterName":"demo"}`)

	assert.Equal(t, "Lambda.KMSAccessDeniedException", e.Error)
	assert.Regexp(t, `^kubestep has no name for the error Lambda\.KMSAccessDeniedException\. .*unable to decrypt`, e.Cause)
	assert.Equal(t, path("DescribeCluster", "WithFreshToken", "MintToken", "ExplainUnnamed", "Failed"), e.Path)
}

func TestAFunctionThatIsNotThereStopsTheMachineWithASentence(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	local.Lambda.Delete(s.stack.Name + "-mint-token")

	e := s.run(t, `{"clusterName":"demo"}`)

	assert.Equal(t, "Lambda.ResourceNotFoundException", e.Error)
	assert.Regexp(t, `^kubestep has no name for the error Lambda\.ResourceNotFoundException\. .* deploy the stack again\. It came with: .*`+s.stack.Name+`-mint-token`, e.Cause)
	assert.Equal(t, path("DescribeCluster", "WithFreshToken", "MintToken", "ExplainUnnamed", "Failed"), e.Path)
}

func TestAFunctionThatPanicsStopsTheMachineByNameAndIsNotInvokedAgain(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	s.mapRole(t)
	s.breaks(t, "list-pods", "panics", true)

	e := s.run(t, `{"clusterName":"demo"}`)

	assert.Equal(t, string(contract.Unexpected), e.Error)
	assert.Equal(t, "Unexpected error, possibly a bug in kubestep: panic: by a test", e.Cause)
	assert.Equal(t, path("DescribeCluster", "WithFreshToken", "MintToken", "VerifyRBAC", "ListPods", "Explain", "Failed"), e.Path)
	assert.Equal(t, 1, e.Attempts("ListPods"))

	// The environment that panicked is not used again.
	succeeded(t, s.run(t, `{"clusterName":"demo"}`))
}
