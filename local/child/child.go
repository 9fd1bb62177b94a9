// Package child starts processes that end when this one ends, even if it is killed.
//
// It stays because os/exec leaves children running if their parent is killed. Pdeathsig prevents that on Linux only, and not for
// a child's children.
package child

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync/atomic"
	"syscall"
	"time"
)

// Process is a child process.
type Process struct {
	pid    int
	exited chan struct{}
	state  *os.ProcessState
	err    error
	over   atomic.Bool
}

// Start starts cmd in a process group of its own, so that Ctrl-C in the terminal reaches only this process, which then ends its
// children in order. Processes that cmd starts are in that group, and end with it.
//
// The output of cmd must be files, not other writers: this process would copy to those, and a grandchild could keep them open.
func Start(cmd *exec.Cmd) (*Process, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	g, err := sharedGuard()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	g.watch(cmd.Process.Pid)
	p := &Process{pid: cmd.Process.Pid, exited: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		p.state = cmd.ProcessState
		p.over.Store(true)
		g.forget(p.pid)
		close(p.exited)
	}()
	return p, nil
}

// PID is the process id.
func (p *Process) PID() int { return p.pid }

// Exited is closed when the process has ended.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Err returns how the process ended, as exec.Cmd's Wait does. It is valid after Exited.
func (p *Process) Err() error { return p.err }

// CPU returns the CPU time of the process, user and system. It is valid after Exited.
func (p *Process) CPU() time.Duration {
	if p.state == nil {
		return 0
	}
	return p.state.UserTime() + p.state.SystemTime()
}

// Kill kills the process and those that it started. It does not wait.
func (p *Process) Kill() { p.signal(syscall.SIGKILL) }

// Stop sends SIGTERM to the process, kills it after grace, and returns when it has ended.
func (p *Process) Stop(grace time.Duration) {
	p.signal(syscall.SIGTERM)
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.exited:
	case <-timer.C:
		p.Kill()
		<-p.exited
	}
}

// signal sends a signal to the process's group. When all members have ended, another group may get its ID: hence the check.
func (p *Process) signal(signal syscall.Signal) {
	if p.over.Load() {
		return
	}
	if err := syscall.Kill(-p.pid, signal); errors.Is(err, syscall.EPERM) {
		// macOS does not signal a group with a zombie in it.
		if process, err := os.FindProcess(p.pid); err == nil {
			_ = process.Signal(signal)
		}
	}
}
