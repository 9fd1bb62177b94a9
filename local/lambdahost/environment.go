package lambdahost

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/kubestep/kubestep/local/child"
)

// memoryInterval is how often a running function's memory is checked.
const memoryInterval = 10 * time.Millisecond

// environment is an execution environment: one process of the function, and its Runtime API. It has one invocation at a time.
type environment struct {
	function    Function
	expires     time.Time // of its credentials; zero is never
	process     *child.Process
	api         *runtimeAPI
	output      *output
	maxMemoryMB int
}

func startEnvironment(f Function, region string, credentials aws.Credentials, now time.Time) (*environment, error) {
	api, err := listen(f.ARN)
	if err != nil {
		return nil, err
	}
	out, err := newOutput()
	if err != nil {
		api.close()
		return nil, err
	}
	cmd := exec.Command(f.Bootstrap) //nolint:noctx // an environment outlives its first invocation
	cmd.Dir = filepath.Dir(f.Bootstrap)
	cmd.Env = variables(f, region, api.address, logStream(now), credentials)
	cmd.Stdout, cmd.Stderr = out.file, out.file
	process, err := child.Start(cmd)
	if err != nil {
		api.close()
		out.close()
		return nil, err
	}
	e := &environment{function: f, process: process, api: api, output: out}
	if credentials.CanExpire {
		e.expires = credentials.Expires
	}
	return e, nil
}

// usable reports whether the environment can take another invocation.
func (e *environment) usable(now time.Time) bool {
	select {
	case <-e.process.Exited():
		return false
	default:
		return e.expires.IsZero() || e.expires.Sub(now) > freshness
	}
}

// wait returns nil if the runtime asks for its next event, and otherwise why it does not. It kills a process that takes longer than
// limit or more memory than the function has.
func (e *environment) wait(limit time.Duration) *failure {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	memory := time.NewTicker(memoryInterval)
	defer memory.Stop()
	for {
		select {
		case <-e.api.polled:
			if e.api.busy() {
				continue // the connection broke before it got its event
			}
			if !e.overMemory() {
				return nil
			}
			e.kill()
			e.api.answered() // too late: Lambda would have killed it before
			return e.exited()
		case <-e.process.Exited():
			return e.exited()
		case <-memory.C:
			if e.overMemory() {
				e.kill()
				return e.exited()
			}
		case <-timer.C:
			e.kill()
			return &failure{errorType: "Sandbox.Timedout", message: fmt.Sprintf("Task timed out after %.2f seconds", limit.Seconds())}
		}
	}
}

// overMemory compares the peak of the process's memory, so that one between two checks counts too.
func (e *environment) overMemory() bool {
	if mb, ok := peakMemoryMB(e.process.PID()); ok {
		e.maxMemoryMB = max(e.maxMemoryMB, mb)
	}
	return e.maxMemoryMB > e.function.MemoryMB
}

// exited returns how the process ended, as Lambda words it.
func (e *environment) exited() *failure {
	message := "Runtime exited without providing a reason"
	if err := e.process.Err(); err != nil {
		message = "Runtime exited with error: " + err.Error()
	}
	return &failure{errorType: "Runtime.ExitError", message: message}
}

func (e *environment) kill() {
	e.process.Kill()
	<-e.process.Exited()
}

// end ends the process, unless it has ended, and releases its resources. It may be called again.
func (e *environment) end() {
	e.process.Stop(stopGrace)
	e.api.close()
	e.output.close()
}

// reserved are the environment variables that a function's configuration cannot set:
// https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html#configuration-envvars-runtime
var reserved = map[string]bool{
	"_HANDLER": true, "_X_AMZN_TRACE_ID": true, "AWS_DEFAULT_REGION": true, "AWS_REGION": true, "AWS_EXECUTION_ENV": true,
	"AWS_LAMBDA_FUNCTION_NAME": true, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": true, "AWS_LAMBDA_FUNCTION_VERSION": true,
	"AWS_LAMBDA_INITIALIZATION_TYPE": true, "AWS_LAMBDA_LOG_GROUP_NAME": true, "AWS_LAMBDA_LOG_STREAM_NAME": true,
	"AWS_ACCESS_KEY": true, "AWS_ACCESS_KEY_ID": true, "AWS_SECRET_ACCESS_KEY": true, "AWS_SESSION_TOKEN": true,
	"AWS_LAMBDA_RUNTIME_API": true, "LAMBDA_TASK_ROOT": true, "LAMBDA_RUNTIME_DIR": true,
}

// variables are all the environment variables of a function. It inherits none of this process.
func variables(f Function, region, api, stream string, credentials aws.Credentials) []string {
	values := map[string]string{
		"LANG": "en_US.UTF-8",
		"PATH": "/usr/local/bin:/usr/bin/:/bin",
		"TZ":   ":UTC",
	}
	for name, value := range f.Environment {
		values[name] = value
	}
	for name, value := range map[string]string{
		"_HANDLER":                        "bootstrap",
		"AWS_REGION":                      region,
		"AWS_DEFAULT_REGION":              region,
		"AWS_EXECUTION_ENV":               "AWS_Lambda_provided.al2023",
		"AWS_LAMBDA_FUNCTION_NAME":        f.Name,
		"AWS_LAMBDA_FUNCTION_VERSION":     "$LATEST",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": strconv.Itoa(f.MemoryMB),
		"AWS_LAMBDA_INITIALIZATION_TYPE":  "on-demand",
		"AWS_LAMBDA_LOG_GROUP_NAME":       "/aws/lambda/" + f.Name,
		"AWS_LAMBDA_LOG_STREAM_NAME":      stream,
		"AWS_LAMBDA_RUNTIME_API":          api,
		"AWS_ACCESS_KEY_ID":               credentials.AccessKeyID,
		"AWS_SECRET_ACCESS_KEY":           credentials.SecretAccessKey,
		"AWS_SESSION_TOKEN":               credentials.SessionToken,
		"LAMBDA_TASK_ROOT":                filepath.Dir(f.Bootstrap),
	} {
		values[name] = value
	}
	list := make([]string, 0, len(values))
	for name, value := range values {
		list = append(list, name+"="+value)
	}
	slices.Sort(list)
	return list
}

func logStream(now time.Time) string {
	return now.UTC().Format("2006/01/02") + "/[$LATEST]" + strings.ReplaceAll(requestID(), "-", "")
}

// output is what a process writes. The process writes to the file itself, so whatever it wrote before its answer is there
// when the answer is. The file has no name, and disappears with this process.
type output struct {
	file *os.File
	read int64
}

func newOutput() (*output, error) {
	file, err := os.CreateTemp("", "kubestep-output-")
	if err != nil {
		return nil, fmt.Errorf("make a file for its output: %w", err)
	}
	_ = os.Remove(file.Name()) // otherwise it is still a temporary file
	return &output{file: file}, nil
}

// rest returns what was written since the last call.
func (o *output) rest() []byte {
	// An error only leaves a gap in the log.
	rest, _ := io.ReadAll(io.NewSectionReader(o.file, o.read, 1<<62))
	o.read += int64(len(rest))
	return rest
}

func (o *output) close() { _ = o.file.Close() }
