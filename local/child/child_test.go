package child

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// parentOf is set to run this test binary as a parent that starts a child, prints its process ID and waits.
const parentOf = "KUBESTEP_TEST_PARENT_OF"

func TestMain(m *testing.M) {
	if script := os.Getenv(parentOf); script != "" {
		p, err := Start(exec.Command("/bin/sh", "-c", script))
		if err != nil {
			panic(err)
		}
		fmt.Println(p.PID())
		time.Sleep(time.Hour)
	}
	os.Exit(m.Run())
}

func TestAChildEndsWithItsParentEvenWhenThatIsKilled(t *testing.T) {
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), parentOf+"=exec sleep 1000")
	output, err := parent.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, parent.Start())
	pid := readPID(t, output)
	require.True(t, alive(pid))

	require.NoError(t, parent.Process.Kill())
	_ = parent.Wait()

	assert.Eventually(t, func() bool { return !alive(pid) }, 5*time.Second, 5*time.Millisecond)
}

func TestStop(t *testing.T) {
	for name, test := range map[string]struct {
		script string
		grace  time.Duration
		signal syscall.Signal
	}{
		"ends a process that heeds SIGTERM by it":              {"echo $$; exec sleep 1000", time.Minute, syscall.SIGTERM},
		"kills a process that does not heed it, after a grace": {"trap '' TERM; echo $$; while :; do sleep 0.01; done", 50 * time.Millisecond, syscall.SIGKILL},
	} {
		t.Run(name, func(t *testing.T) {
			p := startScript(t, test.script)

			p.Stop(test.grace)

			var exit *exec.ExitError
			require.ErrorAs(t, p.Err(), &exit)
			assert.Equal(t, test.signal, exit.Sys().(syscall.WaitStatus).Signal())
			assert.False(t, alive(p.PID()))
		})
	}
}

func TestKillReachesWhatTheChildStarted(t *testing.T) {
	read, write, err := os.Pipe()
	require.NoError(t, err)
	defer func() { _ = read.Close() }()
	cmd := exec.Command("/bin/sh", "-c", "sleep 1000 & echo $!; wait")
	cmd.Stdout = write
	p, err := Start(cmd)
	require.NoError(t, err)
	require.NoError(t, write.Close())
	grandchild := readPID(t, read)

	p.Kill()

	<-p.Exited()
	assert.Eventually(t, func() bool { return !alive(grandchild) }, 5*time.Second, 5*time.Millisecond)
}

func TestAnExitStatusIsReported(t *testing.T) {
	p, err := Start(exec.Command("/bin/sh", "-c", "exit 3"))
	require.NoError(t, err)
	<-p.Exited()
	assert.EqualError(t, p.Err(), "exit status 3")
	p.Kill() // another process may have the ID by now: nothing is sent
}

func TestAGuardKillsWhatItWatchesWhenItsInputEnds(t *testing.T) {
	g, err := startGuard()
	require.NoError(t, err)
	watched, forgotten := startScript(t, "echo $$; exec sleep 1000"), startScript(t, "echo $$; exec sleep 1000")
	g.watch(watched.PID())
	g.watch(forgotten.PID())
	g.forget(forgotten.PID())

	require.NoError(t, g.input.Close())

	select {
	case <-watched.Exited():
	case <-time.After(5 * time.Second):
		t.Fatal("the watched process lives")
	}
	assert.True(t, alive(forgotten.PID()))
	forgotten.Stop(time.Second)
}

// startScript starts a shell script and waits for its first line, so that its traps are set.
func startScript(t *testing.T, script string) *Process {
	t.Helper()
	read, write, err := os.Pipe()
	require.NoError(t, err)
	defer func() { _ = read.Close() }()
	cmd := exec.Command("/bin/sh", "-c", script)
	cmd.Stdout = write
	p, err := Start(cmd)
	require.NoError(t, err)
	require.NoError(t, write.Close())
	readPID(t, read)
	return p
}

func readPID(t *testing.T, r io.Reader) int {
	t.Helper()
	line, err := bufio.NewReader(r).ReadString('\n')
	require.NoError(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	require.NoError(t, err)
	return pid
}

// alive reports whether a process with that ID is running. A zombie, which a grandchild may be for a while, is not.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	state, err := exec.Command("ps", "-o", "state=", "-p", strconv.Itoa(pid)).Output()
	return err == nil && !strings.HasPrefix(strings.TrimSpace(string(state)), "Z")
}
