// Package child starts processes that do not outlive this one, however this one ends.
//
// It stays because os/exec leaves children running if their parent is killed, and what the kernel offers against that is Linux's alone,
// and does not reach a child's children.
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

// Process is a child process that runs, or has run.
type Process struct {
	pid    int
	exited chan struct{}
	err    error
	over   atomic.Bool
}

// Start starts cmd in a process group of its own, so that a Ctrl-C in the terminal reaches this process alone, which then ends its
// children in order. What cmd starts in turn belongs to that group, and is ended with it.
//
// Give cmd files for its output, not other writers: those are copied by this process, and a grandchild could hold them open.
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
		p.over.Store(true)
		g.forget(p.pid)
		close(p.exited)
	}()
	return p, nil
}

// PID is the process id.
func (p *Process) PID() int { return p.pid }

// Exited is closed once the process has ended and was waited for.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Err says how the process ended, as exec.Cmd's Wait does. Ask only after Exited.
func (p *Process) Err() error { return p.err }

// Kill ends the process and what it started, at once. It does not wait.
func (p *Process) Kill() { p.signal(syscall.SIGKILL) }

// Stop asks the process to end, kills it after grace, and returns when it is gone.
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

// signal sends a signal to the process's group. The group's id stays taken while a member lives, but not after: hence the check.
func (p *Process) signal(signal syscall.Signal) {
	if p.over.Load() {
		return
	}
	if err := syscall.Kill(-p.pid, signal); errors.Is(err, syscall.EPERM) {
		// macOS refuses to signal a group with a zombie in it.
		if process, err := os.FindProcess(p.pid); err == nil {
			_ = process.Signal(signal)
		}
	}
}
