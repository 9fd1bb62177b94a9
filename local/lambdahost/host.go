// Package lambdahost runs Lambda functions on this computer: the binaries that are deployed, through the Runtime API, with the
// environment, the limits, the errors and the logs that Lambda gives them.
//
// It stays because moto's Lambda needs Docker, and AWS's Runtime Interface Emulator runs one function in one
// environment, on Linux only, without limits of memory and concurrency.
package lambdahost

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// The reasons why Invoke does not run a function.
var (
	ErrNotFound        = errors.New("function not found")
	ErrTooManyRequests = errors.New("reserved concurrency exceeded")
	ErrClosed          = errors.New("the Lambda host is closed")
)

const (
	// Lambda's own defaults: https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html
	defaultTimeout  = 3 * time.Second
	defaultMemoryMB = 128

	// initTimeout limits the time from a function's start to its first request for an event:
	// https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html#runtimes-lifecycle-ib
	initTimeout = 10 * time.Second

	// freshness is how long the credentials of an environment must still be valid. Lambda renews them well before they expire, and
	// what a function signs with them (a presigned request, a token) expires with them.
	freshness = 5 * time.Minute

	// stopGrace is the time between SIGTERM and SIGKILL.
	stopGrace = 500 * time.Millisecond
)

// Function is a function as it is deployed.
type Function struct {
	Name        string
	ARN         string
	Bootstrap   string // path of the executable
	Role        string // ARN of the role that it runs as
	Timeout     time.Duration
	MemoryMB    int
	Environment map[string]string
	Concurrency int // reserved; 0 is unreserved
}

// Result is the outcome of an invocation.
type Result struct {
	RequestID     string
	Payload       []byte
	FunctionError string // "Unhandled" if Payload is an error
	ColdStart     bool
	Init          time.Duration // of a cold start, before Duration begins
	Duration      time.Duration
	MaxMemoryMB   int // of the environment so far; 0 if it is not known
}

// Options configures a Host.
type Options struct {
	// Logs is a folder; the log of function NAME is NAME.log in it.
	Logs string
	// Region is the AWS_REGION of the functions.
	Region string
	// Credentials issues temporary credentials of a role, for one execution environment.
	Credentials func(roleARN, session string) (aws.Credentials, error)
	// Now returns the time, by which credentials expire; nil is time.Now.
	Now func() time.Time
}

// Host runs functions. Use New.
type Host struct {
	options     Options
	initTimeout time.Duration

	mu           sync.Mutex
	closed       bool
	deployments  map[string]*deployment
	environments map[*environment]struct{}
	ended        map[string]time.Duration // CPU time of the environments that have ended, by function
	work         sync.WaitGroup           // running invocations
}

// deployment is a function and its execution environments. The host's mutex guards it.
type deployment struct {
	Function
	idle     []*environment // the most recently used last
	busy     int
	replaced bool
}

// New makes a host without functions.
func New(options Options) *Host {
	if options.Now == nil {
		options.Now = time.Now
	}
	return &Host{options: options, initTimeout: initTimeout, deployments: map[string]*deployment{}, environments: map[*environment]struct{}{}, ended: map[string]time.Duration{}}
}

// Put creates a function, or replaces the one of that name: its idle environments end before Put returns, the others when their
// invocation has ended, as in a deployment.
func (h *Host) Put(f Function) error {
	if err := complete(&f); err != nil {
		return fmt.Errorf("function %q: %w", f.Name, err)
	}
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return ErrClosed
	}
	idle := h.retire(f.Name)
	h.deployments[f.Name] = &deployment{Function: f}
	h.mu.Unlock()
	for _, e := range idle {
		h.end(e)
	}
	return nil
}

// Delete deletes a function, if it exists. Its environments end as in Put.
func (h *Host) Delete(name string) {
	h.mu.Lock()
	idle := h.retire(name)
	delete(h.deployments, name)
	h.mu.Unlock()
	for _, e := range idle {
		h.end(e)
	}
}

// retire takes the idle environments of a function, whose others are not to become idle again. The caller holds the mutex.
func (h *Host) retire(name string) []*environment {
	d := h.deployments[name]
	if d == nil {
		return nil
	}
	idle := d.idle
	d.idle, d.replaced = nil, true
	return idle
}

// functionName is the pattern of a function's name, which its log file has too: https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html
var functionName = regexp.MustCompile(`^[a-zA-Z0-9-_]{1,64}$`)

// complete sets Lambda's defaults, and refuses what Lambda refuses.
func complete(f *Function) error {
	if f.Name == "" || f.ARN == "" || f.Role == "" {
		return errors.New("a function needs a name, an ARN and a role")
	}
	if !functionName.MatchString(f.Name) {
		return fmt.Errorf("the name must match %s", functionName)
	}
	path, err := filepath.Abs(f.Bootstrap)
	if err != nil {
		return fmt.Errorf("find its bootstrap: %w", err)
	}
	if info, err := os.Stat(path); err != nil {
		return fmt.Errorf("find its bootstrap: %w", err)
	} else if info.IsDir() || info.Mode()&0o111 == 0 {
		return fmt.Errorf("%s is not executable", path)
	}
	f.Bootstrap = path
	for name := range f.Environment {
		if reserved[name] {
			return fmt.Errorf("the environment variable %s is reserved by Lambda", name)
		}
	}
	if f.Timeout == 0 {
		f.Timeout = defaultTimeout
	}
	if f.MemoryMB == 0 {
		f.MemoryMB = defaultMemoryMB
	}
	return nil
}

// Functions lists the functions, by name.
func (h *Host) Functions() []Function {
	h.mu.Lock()
	defer h.mu.Unlock()
	functions := make([]Function, 0, len(h.deployments))
	for _, d := range h.deployments {
		functions = append(functions, d.Function)
	}
	slices.SortFunc(functions, func(a, b Function) int { return strings.Compare(a.Name, b.Name) })
	return functions
}

// ResidentKB lists the resident memory, in KiB, of each execution environment of a function. It is empty on systems other than Linux.
func (h *Host) ResidentKB(name string) []int {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []int
	for e := range h.environments {
		if e.function.Name != name {
			continue
		}
		if kb, ok := residentKB(e.process.PID()); ok {
			all = append(all, kb)
		}
	}
	return all
}

// CPU returns the CPU time of all processes of a function so far, cold starts included. That of running processes is known on
// Linux only, to 10 ms.
func (h *Host) CPU(name string) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	spent := h.ended[name]
	for e := range h.environments {
		if e.function.Name == name {
			spent += cpuTime(e.process.PID())
		}
	}
	return spent
}

// Invoke runs a function and returns its answer. An error of the function is a Result with FunctionError; the errors here are
// those of Lambda: ErrNotFound, ErrTooManyRequests. If ctx ends, Invoke returns, and the function continues, as on Lambda.
func (h *Host) Invoke(ctx context.Context, name string, payload []byte) (Result, error) {
	d, e, err := h.take(name)
	if err != nil {
		return Result{}, err
	}
	type outcome struct {
		result Result
		err    error
	}
	done := make(chan outcome, 1)
	go func() {
		defer h.work.Done()
		result, err := h.run(d, e, payload)
		done <- outcome{result, err}
	}()
	select {
	case o := <-done:
		return o.result, o.err
	case <-ctx.Done():
		return Result{}, fmt.Errorf("wait for function %q: %w", name, ctx.Err())
	}
}

// take reserves an environment: the idle one that was used last, or none if a new one must be started.
func (h *Host) take(name string) (*deployment, *environment, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, nil, ErrClosed
	}
	d, ok := h.deployments[name]
	if !ok {
		return nil, nil, ErrNotFound
	}
	if d.Concurrency > 0 && d.busy >= d.Concurrency {
		return nil, nil, ErrTooManyRequests
	}
	d.busy++
	h.work.Add(1)
	for len(d.idle) > 0 {
		last := len(d.idle) - 1
		e := d.idle[last]
		d.idle = d.idle[:last]
		if e.usable(h.options.Now()) {
			return d, e, nil
		}
		h.work.Go(func() { h.end(e) })
	}
	return d, nil, nil
}

// run invokes the function in e, or in a new environment if e is nil, and gives the environment back.
func (h *Host) run(d *deployment, e *environment, payload []byte) (Result, error) {
	i := invocation{Result: Result{RequestID: requestID(), ColdStart: e == nil}}
	if i.ColdStart {
		var err error
		if e, err = h.open(d.Function); err != nil {
			h.giveBack(d, nil, false)
			return Result{}, fmt.Errorf("function %q: %w", d.Name, err)
		}
	}
	i.run(e, payload, h.initTimeout)
	err := appendFile(filepath.Join(h.options.Logs, d.Name+".log"), i.log(d.Function, h.options.Now()))
	h.giveBack(d, e, i.failure == nil)
	if err != nil {
		return Result{}, fmt.Errorf("function %q: write its log: %w", d.Name, err)
	}
	return i.Result, nil
}

// open starts a new environment.
func (h *Host) open(f Function) (*environment, error) {
	credentials, err := h.options.Credentials(f.Role, f.Name)
	if err != nil {
		return nil, fmt.Errorf("credentials of its role: %w", err)
	}
	e, err := startEnvironment(f, h.options.Region, credentials, h.options.Now())
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	closed := h.closed
	if !closed {
		h.environments[e] = struct{}{}
	}
	h.mu.Unlock()
	if closed {
		e.end()
		return nil, ErrClosed
	}
	return e, nil
}

// giveBack keeps a reusable environment for the next invocation, and ends any other.
func (h *Host) giveBack(d *deployment, e *environment, reusable bool) {
	h.mu.Lock()
	d.busy--
	reusable = reusable && !d.replaced && !h.closed
	if reusable {
		d.idle = append(d.idle, e)
	}
	h.mu.Unlock()
	if e != nil && !reusable {
		h.end(e)
	}
}

func (h *Host) end(e *environment) {
	e.end()
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, there := h.environments[e]; there {
		delete(h.environments, e)
		h.ended[e.function.Name] += e.process.CPU()
	}
}

// Close ends every environment, even during an invocation, and returns when all are gone. A closed host accepts no invocations.
func (h *Host) Close() error {
	h.mu.Lock()
	h.closed = true
	environments := slices.Collect(maps.Keys(h.environments))
	h.mu.Unlock()

	var endings sync.WaitGroup
	for _, e := range environments {
		endings.Go(func() { e.process.Stop(stopGrace) })
	}
	endings.Wait()
	h.work.Wait() // each still writes its log
	for _, e := range environments {
		h.end(e)
	}
	return nil
}
