// Package lambdahost runs Lambda functions on this computer: the same bootstrap binaries that are deployed, through the same Runtime API,
// with the environment, the limits, the errors and the logs that Lambda gives them.
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

// Why Lambda takes no invocation.
var (
	ErrNotFound        = errors.New("function not found")
	ErrTooManyRequests = errors.New("reserved concurrency exceeded")
	ErrClosed          = errors.New("the Lambda host is closed")
)

const (
	// Lambda's own defaults: https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html
	defaultTimeout  = 3 * time.Second
	defaultMemoryMB = 128

	// initTimeout is what a function may take from its start to its first request for an event:
	// https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html#runtimes-lifecycle-ib
	initTimeout = 10 * time.Second

	// freshness is what the credentials of an environment must still be good for. Lambda refreshes them well before they end, and
	// what a function makes of them (a presigned request, a token) ends with them.
	freshness = 5 * time.Minute

	// stopGrace is what a process has between SIGTERM and SIGKILL.
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

// Result is what became of an invocation.
type Result struct {
	RequestID     string
	Payload       []byte
	FunctionError string // "Unhandled" when Payload is an error
	LogTail       []byte // the last 4 KiB of its log
	ColdStart     bool
	Init          time.Duration // of a cold start, before Duration begins
	Duration      time.Duration
	MaxMemoryMB   int // of the environment so far; 0 where it is not known
}

// Options are what all functions of a host share.
type Options struct {
	// Logs is a folder; the log of function NAME is NAME.log in it.
	Logs string
	// Region is where the functions think they are.
	Region string
	// Credentials makes temporary credentials of a role, for one execution environment.
	Credentials func(roleARN, session string) (aws.Credentials, error)
	// Now tells the time by which credentials end; time.Now when nil.
	Now func() time.Time
	// InitTimeout is Lambda's 10 seconds when 0.
	InitTimeout time.Duration
}

// Host is a Lambda of its own. Use New.
type Host struct {
	options Options

	mu           sync.Mutex
	closed       bool
	deployments  map[string]*deployment
	environments map[*environment]struct{}
	work         sync.WaitGroup // invocations under way
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
	if options.InitTimeout == 0 {
		options.InitTimeout = initTimeout
	}
	return &Host{options: options, deployments: map[string]*deployment{}, environments: map[*environment]struct{}{}}
}

// Put creates a function, or replaces the one of that name: its idle environments end before Put returns, the others with the invocation
// that they are at, as in a deployment.
func (h *Host) Put(f Function) error {
	if err := complete(&f); err != nil {
		return fmt.Errorf("function %q: %w", f.Name, err)
	}
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return ErrClosed
	}
	var idle []*environment
	if old := h.deployments[f.Name]; old != nil {
		old.replaced = true
		idle, old.idle = old.idle, nil
	}
	h.deployments[f.Name] = &deployment{Function: f}
	h.mu.Unlock()

	for _, e := range idle {
		h.end(e)
	}
	return nil
}

// Delete deletes a function, if it is there: its idle environments end before Delete returns, the others with the invocation that they are at.
func (h *Host) Delete(name string) {
	h.mu.Lock()
	var idle []*environment
	if d := h.deployments[name]; d != nil {
		d.replaced = true
		idle, d.idle = d.idle, nil
		delete(h.deployments, name)
	}
	h.mu.Unlock()
	for _, e := range idle {
		h.end(e)
	}
}

// functionName is what Lambda accepts as one, and a log file is named by it: https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html
var functionName = regexp.MustCompile(`^[a-zA-Z0-9-_]{1,64}$`)

// complete sets Lambda's defaults and refuses what Lambda refuses.
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

// ResidentKB lists the memory, in KiB, that each execution environment of a function has resident now. It is empty where
// that is not known: anywhere but on Linux.
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

// Invoke runs a function and returns what it answered. An error of the function is a Result with FunctionError; the errors here are
// those of Lambda: ErrNotFound, ErrTooManyRequests. When ctx ends Invoke returns, and the function runs on, as on Lambda.
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

// take reserves an environment: the idle one that was used last, or none when a new one must be started.
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

// run invokes the function in e, or in a new environment when e is nil, and gives the environment back.
func (h *Host) run(d *deployment, e *environment, payload []byte) (Result, error) {
	i := invocation{id: requestID(), cold: e == nil}
	if i.cold {
		var err error
		if e, err = h.open(d.Function); err != nil {
			h.giveBack(d, nil, false)
			return Result{}, fmt.Errorf("function %q: %w", d.Name, err)
		}
	}
	i.run(e, payload, h.options.InitTimeout)
	block := i.log(d.Function, h.options.Now())
	err := appendFile(filepath.Join(h.options.Logs, d.Name+".log"), block)
	h.giveBack(d, e, i.failure == nil)
	if err != nil {
		return Result{}, fmt.Errorf("function %q: write its log: %w", d.Name, err)
	}
	return Result{
		RequestID:     i.id,
		Payload:       i.answer.payload,
		FunctionError: i.answer.functionError,
		LogTail:       block[max(0, len(block)-logTailSize):],
		ColdStart:     i.cold,
		Init:          i.init,
		Duration:      i.duration,
		MaxMemoryMB:   i.maxMemoryMB,
	}, nil
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
	delete(h.environments, e)
}

// Close ends every environment, whatever it is at, and returns when all are gone. A closed host takes no more invocations.
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
	h.work.Wait() // each still writes what its process said
	for _, e := range environments {
		h.end(e)
	}
	return nil
}
