// Package session keeps the state of the one local world of a folder: whether it is running, in which process, and the environment
// variables with which shells and programs reach it.
//
// It stays because make up, run and down are separate processes, and only a lock that the kernel releases survives a crash of one.
package session

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ErrRuns is returned if a world of this folder is running.
var ErrRuns = errors.New("the local world is already running")

// Folder is the folder of a world's state, usually .local.
type Folder string

func (f Folder) lockFile() string { return filepath.Join(string(f), "world.lock") }

// EnvFile is the file for shells to source.
func (f Folder) EnvFile() string { return filepath.Join(string(f), "env") }

// Lock is held while a world runs. The kernel releases it when the process ends, also in a crash.
type Lock struct {
	file   *os.File
	folder Folder
}

// Lock takes the lock for this process, or fails with ErrRuns. It removes the environment file that a crash may have left.
func (f Folder) Lock() (*Lock, error) {
	if err := os.MkdirAll(string(f), 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of the local world: %w", err)
	}
	file, err := os.OpenFile(f.lockFile(), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = file.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, ErrRuns
		}
		return nil, fmt.Errorf("lock %s: %w", f.lockFile(), err)
	}
	_ = os.Remove(f.EnvFile())
	if err := file.Truncate(0); err != nil {
		return nil, fmt.Errorf("write the lock: %w", err)
	}
	if _, err := fmt.Fprintln(file, os.Getpid()); err != nil {
		return nil, fmt.Errorf("write the lock: %w", err)
	}
	return &Lock{file, f}, nil
}

// Release releases the lock, and removes the environment file.
func (l *Lock) Release() {
	_ = os.Remove(l.folder.EnvFile())
	_ = l.file.Close()
}

// Runs reports whether a world is running, and in which process.
func (f Folder) Runs() (pid int, runs bool, err error) {
	file, err := os.Open(f.lockFile())
	if errors.Is(err, os.ErrNotExist) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("open the lock: %w", err)
	}
	defer func() { _ = file.Close() }()
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); err == nil {
		return 0, false, nil
	}
	text, err := io.ReadAll(file)
	if err != nil {
		return 0, false, fmt.Errorf("read the lock: %w", err)
	}
	pid, err = strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, false, fmt.Errorf("the lock %s does not hold a process ID: %w", f.lockFile(), err)
	}
	return pid, true, nil
}

// End ends the running world, by its process ID, and waits until it has ended. It reports whether there was one.
func (f Folder) End(grace time.Duration) (bool, error) {
	pid, runs, err := f.Runs()
	if err != nil || !runs {
		return false, err
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		return true, fmt.Errorf("end process %d: %w", pid, err)
	}
	killed := false
	for deadline := time.Now().Add(grace); ; time.Sleep(50 * time.Millisecond) {
		if _, runs, err := f.Runs(); err != nil || !runs {
			return true, err
		}
		switch {
		case time.Now().Before(deadline):
		case !killed:
			// Its children end with it: see local/child.
			killed, deadline = true, time.Now().Add(grace)
			_ = syscall.Kill(pid, syscall.SIGKILL)
		default:
			return true, fmt.Errorf("process %d does not exit", pid)
		}
	}
}

// left are the variables that WriteEnv changes besides those that it is given.
var left = []string{"PATH", "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "NO_PROXY"}

// WriteEnv writes the file for shells to source, in the language of POSIX sh. It adds the folder of tools to the end of the PATH. The
// function deactivate_kubestep, and deactivate unless something else has that name, as a virtual environment of Python has, put back
// what was there before.
func (f Folder) WriteEnv(variables map[string]string, tools string) error {
	names := slices.Sorted(maps.Keys(variables))
	var b strings.Builder
	b.WriteString("# Source this to reach the local world of kubestep, and run deactivate_kubestep to leave it. make down ends it.\n")
	b.WriteString("if command -v deactivate_kubestep >/dev/null; then deactivate_kubestep; fi\n")
	b.WriteString("deactivate_kubestep() {\n")
	all := slices.Concat(names, left)
	for _, name := range all {
		fmt.Fprintf(&b, "\tif [ -n \"${_kubestep_%[1]s+x}\" ]; then export %[1]s=\"$_kubestep_%[1]s\"; else unset %[1]s; fi\n\tunset _kubestep_%[1]s\n", name)
	}
	b.WriteString("\tif [ -n \"${_kubestep_deactivate+x}\" ]; then unset -f deactivate; fi\n")
	b.WriteString("\tunset _kubestep_deactivate\n\tunset -f deactivate_kubestep\n}\n")
	b.WriteString("if ! command -v deactivate >/dev/null; then\n\tdeactivate() { deactivate_kubestep; }\n\t_kubestep_deactivate=x\nfi\n")
	for _, name := range all {
		fmt.Fprintf(&b, "if [ -n \"${%[1]s+x}\" ]; then _kubestep_%[1]s=\"$%[1]s\"; fi\n", name)
	}
	for _, name := range names {
		fmt.Fprintf(&b, "export %s='%s'\n", name, strings.ReplaceAll(variables[name], "'", `'\''`))
	}
	fmt.Fprintf(&b, "export PATH=\"$PATH:%s\"\n", tools)
	b.WriteString("# With a profile or a proxy, commands would not reach the local world.\n")
	b.WriteString("unset AWS_PROFILE AWS_DEFAULT_PROFILE AWS_IGNORE_CONFIGURED_ENDPOINT_URLS\n")
	b.WriteString("export NO_PROXY=\"127.0.0.1,localhost${NO_PROXY:+,$NO_PROXY}\"\n")
	if err := os.WriteFile(f.EnvFile(), []byte(b.String()), 0o600); err != nil {
		return fmt.Errorf("write %s: %w", f.EnvFile(), err)
	}
	return nil
}

// ReadEnv reads what WriteEnv wrote.
func (f Folder) ReadEnv() (map[string]string, error) {
	text, err := os.ReadFile(f.EnvFile())
	if err != nil {
		return nil, fmt.Errorf("the local world is not ready yet: %w", err)
	}
	variables := map[string]string{}
	for line := range strings.SplitSeq(string(text), "\n") {
		export, ok := strings.CutPrefix(line, "export ")
		name, value, _ := strings.Cut(export, "=")
		if ok && len(value) >= 2 && value[0] == '\'' {
			variables[name] = strings.ReplaceAll(value[1:len(value)-1], `'\''`, "'")
		}
	}
	return variables, nil
}
