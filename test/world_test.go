package test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// localWorld is a world in a folder of its own, as make up starts it.
type localWorld struct {
	t     *testing.T
	state string
}

func (w localWorld) local(verb string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	program, err := filepath.Abs(filepath.Join(repository, "build", "local", "local"))
	require.NoError(w.t, err)
	command := exec.CommandContext(ctx, program, verb, "--state", w.state)
	command.Dir = repository
	out, err := command.CombinedOutput()
	return string(out), err
}

func (w localWorld) up() string {
	w.t.Helper()
	out, err := w.local("up")
	require.NoError(w.t, err, out)
	return out
}

// pid returns the process that runs the world, as its lock says.
func (w localWorld) pid() int {
	w.t.Helper()
	text, err := os.ReadFile(filepath.Join(w.state, "world.lock"))
	require.NoError(w.t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	require.NoError(w.t, err)
	return pid
}

// child returns the process that the world has started with such a command line.
func (w localWorld) child(commandLine string) int {
	w.t.Helper()
	out, err := exec.Command("ps", "-A", "-o", "pid=,ppid=,args=").Output()
	require.NoError(w.t, err)
	found := regexp.MustCompile(fmt.Sprintf(`(?m)^ *(\d+) +%d +.*%s`, w.pid(), commandLine)).FindStringSubmatch(string(out))
	require.NotNil(w.t, found, commandLine)
	pid, err := strconv.Atoi(found[1])
	require.NoError(w.t, err)
	return pid
}

// works runs an execution, which needs every part of the world.
func (w localWorld) works() {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	shell := exec.CommandContext(ctx, "bash", "-euc", "source "+w.state+"/env; kubestep inventory demo -n shop; kubectl get --raw /readyz")
	shell.Dir = repository
	out, err := shell.CombinedOutput()
	require.NoError(w.t, err, string(out))
}

func TestMakeUpStartsAWorldAgainThatDoesNotWork(t *testing.T) {
	t.Parallel()
	w := localWorld{t, t.TempDir()}
	t.Cleanup(func() {
		out, err := w.local("down")
		assert.NoError(t, err, out)
	})
	w.up()
	assert.Contains(t, w.up(), "the local world is already running, as process "+strconv.Itoa(w.pid()))

	const controlPlane, engine = "controlplane --dir", "-H 127.0.0.1 -p"
	for name, commandLine := range map[string]string{"the control plane": controlPlane, "the Step Functions engine": engine} {
		t.Run(name+" is killed", func(t *testing.T) {
			w := localWorld{t, w.state}
			before := w.pid()
			require.NoError(t, syscall.Kill(w.child(commandLine), syscall.SIGKILL))
			require.Eventually(t, func() bool {
				out, err := exec.Command("ps", "-o", "stat=", "-p", strconv.Itoa(before)).Output()
				return err != nil || strings.HasPrefix(string(out), "Z")
			}, 30*time.Second, 100*time.Millisecond, "the world ends when it is not whole any more")

			assert.Contains(t, w.up(), "the local world is ready")
			assert.NotEqual(t, before, w.pid())
			w.works()
		})
	}
	t.Run("the control plane hangs", func(t *testing.T) {
		w := localWorld{t, w.state}
		before := w.pid()
		require.NoError(t, syscall.Kill(w.child(controlPlane), syscall.SIGSTOP))
		out, err := w.local("run")
		require.Error(t, err)
		assert.Contains(t, out, "make up starts it again")

		assert.Contains(t, w.up(), fmt.Sprintf("the local world is running, as process %d, but it does not work", before))
		assert.NotEqual(t, before, w.pid())
	})
}
