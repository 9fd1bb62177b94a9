// Package python finds the Python that runs what the local world has in that language: moto, and the transform of
// template.yml. Where the one that is installed has both, it serves. Otherwise a virtual environment of pinned
// requirements is made in a folder of the project.
package python

import (
	"bytes"
	"context"
	_ "embed" // of requirements.txt
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Requirements are what is installed. A change of them is installed anew.
//
//go:embed requirements.txt
var Requirements []byte

//go:embed probe.py
var probe string

const (
	// installTimeout is generous: pip loads 50 MB.
	installTimeout = 10 * time.Minute
	// The least Python that the requirements run on.
	leastMajor, leastMinor = 3, 10
)

var errNone = errors.New("there is no Python 3.10 or newer here, which moto, the local Step Functions, runs on: install Python 3 (with its venv module) and try again")

// Options say where things are.
type Options struct {
	// Dir is the folder that the virtual environment venv is in.
	Dir string
	// Logs is the folder of pip.log.
	Logs string
	// Say is told what takes long.
	Say func(format string, args ...any)
}

// Find returns a Python that has the requirements, and installs them if none has.
func Find(ctx context.Context, options Options) (string, error) {
	venv := filepath.Join(options.Dir, "venv")
	if installed(venv) {
		return interpreter(venv), nil
	}
	base, serves, err := base(ctx)
	if err != nil || serves {
		return base, err
	}
	unlock, err := lock(venv + ".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if installed(venv) {
		return interpreter(venv), nil
	}
	options.Say("installing moto, the local Step Functions, and the transform of template.yml into %s, once", venv)
	if err := install(ctx, base, venv, filepath.Join(options.Logs, "pip.log")); err != nil {
		return "", err
	}
	return interpreter(venv), nil
}

// lock waits until no other process installs: go test runs the packages of a module
// at the same time.
func lock(name string) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of the lock: %w", err)
	}
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	return func() { _ = file.Close() }, nil
}

// base is a Python to make the environment by, and whether it serves as it is.
func base(ctx context.Context) (path string, serves bool, err error) {
	for _, name := range []string{"python3", "python"} {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		output, err := exec.CommandContext(ctx, path, "-c", probe).Output()
		var found struct {
			Version [2]int
			Serves  bool
		}
		if err != nil || json.Unmarshal(output, &found) != nil {
			continue
		}
		if v := found.Version; v[0] > leastMajor || v[0] == leastMajor && v[1] >= leastMinor {
			return path, found.Serves, nil
		}
	}
	return "", false, errNone
}

// marker is the copy of the requirements in the folder that they were installed into. It is written last.
func marker(venv string) string { return filepath.Join(venv, "requirements.txt") }

// interpreter is the Python of a virtual environment: a link to the one that it was made by.
func interpreter(venv string) string { return filepath.Join(venv, "bin", "python") }

func installed(venv string) bool {
	made, err := os.ReadFile(marker(venv))
	if err != nil || !bytes.Equal(made, Requirements) {
		return false
	}
	_, err = os.Stat(interpreter(venv))
	return err == nil
}

// install makes a virtual environment with the requirements in it.
func install(ctx context.Context, base, venv, logName string) error {
	ctx, cancel := context.WithTimeout(ctx, installTimeout)
	defer cancel()
	if err := os.RemoveAll(venv); err != nil {
		return fmt.Errorf("clear %s: %w", venv, err)
	}
	for _, folder := range []string{venv, filepath.Dir(logName)} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return fmt.Errorf("make %s: %w", folder, err)
		}
	}
	log, err := os.OpenFile(logName, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("open the log: %w", err)
	}
	defer func() { _ = log.Close() }()
	wanted := filepath.Join(venv, "wanted.txt")
	if err := os.WriteFile(wanted, Requirements, 0o600); err != nil {
		return fmt.Errorf("write what is wanted: %w", err)
	}
	run := func(name string, arguments ...string) error {
		cmd := exec.CommandContext(ctx, name, arguments...)
		cmd.Stdout, cmd.Stderr = log, log
		return cmd.Run() //nolint:wrapcheck // each caller says what it was for
	}
	if err := run(base, "-m", "venv", venv); err != nil {
		return fmt.Errorf("%s cannot make a virtual environment for moto (%w): install Python's venv module, python3-venv on Debian and Ubuntu; see %s", base, err, logName)
	}
	if err := run(interpreter(venv), "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--require-hashes", "-r", wanted); err != nil {
		return fmt.Errorf("pip cannot install moto (%w): %s; see %s", err, lastLine(logName), logName)
	}
	if err := os.Rename(wanted, marker(venv)); err != nil {
		return fmt.Errorf("mark the installation as complete: %w", err)
	}
	return nil
}

// lastLine is where pip says what it could not do.
func lastLine(name string) string {
	content, _ := os.ReadFile(name)
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	return lines[len(lines)-1]
}
