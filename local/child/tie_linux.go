package child

import (
	"os/exec"
	"runtime"
	"sync"
	"syscall"
)

// startTied starts cmd so that the kernel kills it when this process ends.
//
// The kernel sends that signal when the THREAD that started the child ends (prctl(2), PR_SET_PDEATHSIG), and Go ends threads as it sees
// fit. So one goroutine starts all children, locked to a thread that lives as long as this process.
func startTied(cmd *exec.Cmd) (untie func(), err error) {
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	done := make(chan error)
	starter() <- start{cmd, done}
	return func() {}, <-done
}

type start struct {
	cmd  *exec.Cmd
	done chan<- error
}

var starter = sync.OnceValue(func() chan<- start {
	starts := make(chan start)
	go func() {
		runtime.LockOSThread()
		for s := range starts {
			s.done <- s.cmd.Start()
		}
	}()
	return starts
})
