//go:build linux

// Package memory invokes the functions with what a hostile or broken server, bucket or caller could send them. Each is the
// program that make local builds, in a process whose memory has the limit of template.yml: Lambda ends a function that takes
// more, its environment with it, and counts a crash. https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
package memory

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	yaml "go.yaml.in/yaml/v3"

	"github.com/kubestep/kubestep/internal/contract"
)

const (
	// repository is this module's parent.
	repository = "../.."
	sealKey    = "the-seal-key-of-the-tests-of-memory"
	// share is what a function may take of its memory, in percent: Lambda counts what runs beside it too.
	share = 90
)

// oneCoreMB is the memory that comes with one core.
// https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
const oneCoreMB = 1769

// patience is how much longer than the function has the test waits: this computer may do other things.
const patience = time.Minute

// function is a function as it is deployed.
type function struct {
	bootstrap string
	memoryMB  int
	timeout   time.Duration
	// memoryLimit is the GOMEMLIMIT of its environment, if it has one.
	memoryLimit string
}

// deployed are the functions of template.yml by name, such as list-pods.
var deployed = sync.OnceValues(func() (map[string]function, error) {
	text, err := os.ReadFile(filepath.Join(repository, "template.yml"))
	if err != nil {
		return nil, err
	}
	type properties struct {
		CodeURI     string `yaml:"CodeUri"`
		MemorySize  int    `yaml:"MemorySize"`
		Timeout     int    `yaml:"Timeout"`
		Environment struct {
			Variables map[string]yaml.Node `yaml:"Variables"`
		} `yaml:"Environment"`
	}
	var template struct {
		Globals struct {
			Function properties `yaml:"Function"`
		} `yaml:"Globals"`
		Resources map[string]struct {
			Type       string    `yaml:"Type"`
			Properties yaml.Node `yaml:"Properties"`
		} `yaml:"Resources"`
	}
	if err := yaml.Unmarshal(text, &template); err != nil {
		return nil, err
	}
	found := map[string]function{}
	for _, r := range template.Resources {
		if r.Type != "AWS::Serverless::Function" {
			continue
		}
		p := properties{MemorySize: template.Globals.Function.MemorySize, Timeout: template.Globals.Function.Timeout}
		if err := r.Properties.Decode(&p); err != nil {
			return nil, err
		}
		name := filepath.Base(p.CodeURI)
		bootstrap, err := filepath.Abs(filepath.Join(repository, "build", "local", name, "bootstrap"))
		if err != nil {
			return nil, err
		}
		limit := p.Environment.Variables["GOMEMLIMIT"]
		found[name] = function{bootstrap, p.MemorySize, time.Duration(p.Timeout) * time.Second, limit.Value}
	}
	return found, nil
})

// outcome is how an invocation ended.
type outcome struct {
	answer  []byte
	failure struct{ ErrorType, ErrorMessage string }
	peakMB  int
	took    time.Duration
	cpu     time.Duration
}

// invoke starts an environment of a function, invokes it once, and requires that it survives within its memory and time.
func invoke(t *testing.T, name string, payload any, environment ...string) outcome {
	t.Helper()
	functions, err := deployed()
	require.NoError(t, err)
	f, known := functions[name]
	require.True(t, known, name)
	text, err := json.Marshal(payload)
	require.NoError(t, err)
	r, err := f.start(f.limits(t), environment...)
	require.NoError(t, err)
	defer r.end()
	o, err := r.invoke(text, f.timeout)
	o.cpu = r.cpu()
	o.peakMB = max(int(r.peakMB.Load()), r.statusKB("VmHWM")>>10)
	require.NoError(t, err, "%s: at most %d MB of %d, after %s\n%s", name, o.peakMB, f.memoryMB, o.took, r.log())
	t.Logf("%s: %d of %d MB, %.1f s, of which %.1f of a core: %s %.200s", name, o.peakMB, f.memoryMB, o.took.Seconds(), o.cpu.Seconds(), o.failure.ErrorType, o.failure.ErrorMessage+string(o.answer))
	assert.LessOrEqual(t, o.peakMB, f.memoryMB*share/100, "peak memory in MB")
	assert.Less(t, o.cpu, f.timeout*time.Duration(f.memoryMB)/oneCoreMB, "the share of a core that comes with its memory")
	assert.LessOrEqual(t, len(o.answer), 256<<10, "the most that passes between states")
	if o.failure.ErrorType != "" {
		assert.Contains(t, contract.ErrorNames(), contract.ErrorName(o.failure.ErrorType))
		assert.NotEqual(t, string(contract.Unexpected), o.failure.ErrorType, o.failure.ErrorMessage)
	}
	return o
}

// ends asserts that an invocation ended with an error of that name, or with none.
func ends(t *testing.T, o outcome, name contract.ErrorName, text string) {
	t.Helper()
	assert.Equal(t, string(name), o.failure.ErrorType, "%s", o.answer)
	assert.Contains(t, o.failure.ErrorMessage, text)
}

// limits are those of a process, in KiB: of its private memory that can be written to, and of its address space.
type limits struct{ dataKB, addressesKB int }

// arenaKB is by how much Go's heap grows its address space.
const arenaKB = 64 << 10

var idle sync.Map // limits by program

// limits are what the function uses when it is idle, and is not resident, and its memory. Go reserves a gigabyte of
// addresses that it does not use, so that its memory alone would be no limit that it could start with.
func (f function) limits(t *testing.T) limits {
	t.Helper()
	if l, ok := idle.Load(f.bootstrap); ok {
		return l.(limits)
	}
	r, err := f.start(limits{})
	require.NoError(t, err, "make local builds the functions")
	defer r.end()
	_, err = r.invoke([]byte(`{}`), f.timeout)
	require.NoError(t, err, r.log())
	resident := r.statusKB("VmRSS")
	l := limits{r.statusKB("VmData") - resident + f.memoryMB<<10, r.statusKB("VmSize") - resident + f.memoryMB<<10 + arenaKB}
	idle.Store(f.bootstrap, l)
	return l
}

// running is an execution environment.
type running struct {
	process *exec.Cmd
	output  *os.File
	exited  chan struct{}
	err     error // once exited
	events  chan []byte
	answers chan outcome
	api     *httptest.Server
	peakMB  atomic.Int64
	timeout time.Duration
}

// start starts the program, as Lambda does, but for the limits.
func (f function) start(l limits, environment ...string) (*running, error) {
	r := &running{timeout: f.timeout, exited: make(chan struct{}), events: make(chan []byte, 1), answers: make(chan outcome, 1)}
	var err error
	if r.output, err = os.CreateTemp("", "memory-"); err != nil {
		return nil, err
	}
	_ = os.Remove(r.output.Name())
	mux := http.NewServeMux() // https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
	mux.HandleFunc("GET /2018-06-01/runtime/invocation/next", r.next)
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/1/{how}", r.answer)
	r.api = httptest.NewServer(mux)
	limit := ""
	if l != (limits{}) {
		limit = fmt.Sprintf("ulimit -d %d && ulimit -v %d && ", l.dataKB, l.addressesKB)
	}
	r.process = exec.Command("sh", "-c", limit+`exec "$0"`, f.bootstrap)
	r.process.Env = append([]string{
		"AWS_LAMBDA_RUNTIME_API=" + strings.TrimPrefix(r.api.URL, "http://"), "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=" + strconv.Itoa(f.memoryMB), "GOMEMLIMIT=" + f.memoryLimit,
		"AWS_REGION=eu-west-1", "AWS_ACCESS_KEY_ID=none", "AWS_SECRET_ACCESS_KEY=none",
		"KUBESTEP_STACK=kubestep", "KUBESTEP_SEAL_KEY=" + sealKey, "KUBESTEP_ATTESTATION_KEY=" + sealKey, "KUBESTEP_KUBERNETES_GROUP=kubestep-pod-readers", "KUBESTEP_CACHE_TTL=1m",
	}, environment...)
	r.process.Stdout, r.process.Stderr = r.output, r.output
	r.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := r.process.Start(); err != nil {
		r.api.Close()
		return nil, err
	}
	go r.watch()
	go func() {
		r.err = r.process.Wait()
		close(r.exited)
	}()
	return r, nil
}

func (r *running) next(w http.ResponseWriter, q *http.Request) {
	select {
	case <-q.Context().Done():
	case event := <-r.events:
		w.Header().Set("Lambda-Runtime-Aws-Request-Id", "1")
		w.Header().Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(time.Now().Add(r.timeout).UnixMilli(), 10))
		w.Header().Set("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:eu-west-1:111122223333:function:memory")
		_, _ = w.Write(event)
	}
}

func (r *running) answer(w http.ResponseWriter, q *http.Request) {
	var o outcome
	text, _ := io.ReadAll(q.Body)
	if q.PathValue("how") == "error" {
		_ = json.Unmarshal(text, &o.failure)
	} else {
		o.answer = text
	}
	w.WriteHeader(http.StatusAccepted)
	r.answers <- o
}

// invoke returns the answer, or an error if there is none.
func (r *running) invoke(payload []byte, timeout time.Duration) (outcome, error) {
	began := time.Now()
	r.events <- payload
	var o outcome
	var err error
	select {
	case o = <-r.answers:
	case <-r.exited:
		err = fmt.Errorf("it exited: %w", r.err)
	case <-time.After(timeout + patience):
		err = fmt.Errorf("it did not answer within %s", timeout+patience)
	}
	o.took = time.Since(began)
	return o, err
}

func (r *running) end() {
	_ = r.process.Process.Kill()
	<-r.exited
	r.api.CloseClientConnections()
	r.api.Close()
	_ = r.output.Close()
}

// log is what the process wrote.
func (r *running) log() string {
	text, _ := io.ReadAll(io.NewSectionReader(r.output, 0, 1<<10))
	return string(text)
}

// statusKB reads a field of proc(5).
func (r *running) statusKB(field string) int {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.process.Process.Pid))
	_, after, _ := strings.Cut(string(text), "\n"+field+":")
	kb, _ := strconv.Atoi(strings.Fields(after + " 0")[0])
	return kb
}

// watch keeps the most memory that has been resident: once the process has ended, that of
// its parent counts too.
func (r *running) watch() {
	for {
		if mb := int64(r.statusKB("VmHWM") >> 10); mb > 0 {
			r.peakMB.Store(mb)
		}
		select {
		case <-r.exited:
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// cpu is the time of cores that the process has used: fields 14 and 15 of proc(5).
func (r *running) cpu() time.Duration {
	const user, tick = 14 - 3, 10 * time.Millisecond
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", r.process.Process.Pid))
	_, after, _ := strings.Cut(string(text), ") ") // the name is bootstrap
	fields := strings.Fields(after)
	if len(fields) <= user+1 {
		return 0
	}
	ticks := 0
	for _, field := range fields[user : user+2] {
		n, _ := strconv.Atoi(field)
		ticks += n
	}
	return time.Duration(ticks) * tick
}
