// Package session keeps track of the one local world of a folder: whether it
// runs, in which process, and how a shell or a program reaches it.
package session

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ErrRuns says that a world of this folder runs already.
var ErrRuns = errors.New("the local world runs already")

// Folder is where a world keeps its state, .local as a rule.
type Folder string

func (f Folder) lockFile() string { return filepath.Join(string(f), "world.lock") }

// EnvFile is what a shell sources.
func (f Folder) EnvFile() string { return filepath.Join(string(f), "env") }

// Lock is held for as long as a world runs. The system lets go of it when the
// process ends, however it does, so that a crash leaves nothing that is believed.
type Lock struct {
	file   *os.File
	folder Folder
}

// Lock takes the lock for this process, or fails with ErrRuns. Sessions left by a
// crash are cleared.
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

// Release lets go of the lock, and removes what led to the world.
func (l *Lock) Release() {
	_ = os.Remove(l.folder.EnvFile())
	_ = l.file.Close()
}

// Runs tells whether a world runs, and in which process.
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
		return 0, false, fmt.Errorf("the lock %s holds no process id: %w", f.lockFile(), err)
	}
	return pid, true, nil
}

// End ends the world that runs, by its process id, and waits until it is gone. It
// tells whether there was one.
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
			return true, fmt.Errorf("process %d does not end", pid)
		}
	}
}

// Variable is one of the environment that reaches a world.
type Variable struct{ Name, Value string }

// WriteEnv writes the file that a shell sources.
// A shell finds the programs in the folder of tools after its own.
func (f Folder) WriteEnv(variables []Variable, tools string) error {
	var b strings.Builder
	b.WriteString("# Reaches the local world of kubestep: source it. make down ends that world.\n")
	for _, v := range variables {
		fmt.Fprintf(&b, "export %s='%s'\n", v.Name, strings.ReplaceAll(v.Value, "'", `'\''`))
	}
	fmt.Fprintf(&b, "export PATH=\"$PATH:%s\"\n", tools)
	b.WriteString("# A profile or a proxy of this shell's would lead elsewhere.\n")
	b.WriteString("unset AWS_PROFILE AWS_DEFAULT_PROFILE AWS_IGNORE_CONFIGURED_ENDPOINT_URLS\n")
	b.WriteString("export NO_PROXY=\"127.0.0.1,localhost${NO_PROXY:+,$NO_PROXY}\"\n")
	if err := os.WriteFile(f.EnvFile(), []byte(b.String()), 0o600); err != nil {
		return fmt.Errorf("write %s: %w", f.EnvFile(), err)
	}
	return nil
}

// ReadEnv reads what WriteEnv wrote.
func (f Folder) ReadEnv() ([]Variable, error) {
	file, err := os.Open(f.EnvFile())
	if err != nil {
		return nil, fmt.Errorf("the local world is not ready yet: %w", err)
	}
	defer func() { _ = file.Close() }()
	var variables []Variable
	for lines := bufio.NewScanner(file); lines.Scan(); {
		export, ok := strings.CutPrefix(lines.Text(), "export ")
		name, value, _ := strings.Cut(export, "=")
		if ok && len(value) >= 2 && value[0] == '\'' {
			variables = append(variables, Variable{name, strings.ReplaceAll(value[1:len(value)-1], `'\''`, "'")})
		}
	}
	return variables, nil
}
