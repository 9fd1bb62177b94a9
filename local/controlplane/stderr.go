package main

import (
	"fmt"
	"os"
	"runtime/debug"

	"golang.org/x/sys/unix"
)

// divertStderr redirects what libraries write to standard error to a file, and keeps os.Stderr for this program's errors and
// crashes. For example, the API server's etcd client is set up to log there during initialization, and logs a lot at every stop.
func divertStderr(file string) error {
	diverted, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open a log: %w", err)
	}
	defer func() { _ = diverted.Close() }()
	own, err := unix.Dup(unix.Stderr)
	if err != nil {
		return fmt.Errorf("keep standard error: %w", err)
	}
	unix.CloseOnExec(own)
	if err := unix.Dup2(int(diverted.Fd()), unix.Stderr); err != nil {
		return fmt.Errorf("divert standard error: %w", err)
	}
	os.Stderr = os.NewFile(uintptr(own), "stderr")
	return debug.SetCrashOutput(os.Stderr, debug.CrashOptions{})
}
