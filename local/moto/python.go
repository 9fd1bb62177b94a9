package moto

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
	"strconv"
	"strings"
	"time"
)

// requirements are what is installed where no usable moto is. A change of them is installed anew.
//
//go:embed requirements.txt
var requirements []byte

const installTimeout = 10 * time.Minute

// The releases that do: 5.2.3 is the first that starts a second execution (https://github.com/getmoto/moto/issues/10077), and 6 may change
// anything. They need this Python.
var (
	minMoto   = []int{5, 2, 3}
	belowMoto = []int{6}
	minPython = []int{3, 10}
)

var errNoPython = errors.New("there is no Python 3.10 or newer here, which moto, the local Step Functions, runs on: install Python 3 (with its venv module) and try again")

// findPython finds a Python that has moto, and makes one where there is none.
func findPython(ctx context.Context, options Options) (string, error) {
	venv := filepath.Join(options.Dir, "venv")
	if installed(venv) {
		return python(venv), nil
	}
	var found string
	for _, name := range []string{"python3", "python"} {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		p, err := probe(ctx, path)
		if err != nil || !atLeast(p.Python, minPython) {
			continue
		}
		if supported(p.Moto) && complete(ctx, path) {
			return path, nil
		}
		found = path
		break
	}
	if found == "" {
		return "", errNoPython
	}
	options.Say("installing moto, the local Step Functions, into %s, once", venv)
	if err := install(ctx, found, venv, filepath.Join(options.Logs, "pip.log")); err != nil {
		return "", err
	}
	return python(venv), nil
}

// versions are what a Python tells about itself.
type versions struct {
	Python string
	Moto   string // "" where it is not installed
}

const probeScript = `
import importlib.metadata, json, platform
try:
    moto = importlib.metadata.version("moto")
except importlib.metadata.PackageNotFoundError:
    moto = ""
print(json.dumps({"Python": platform.python_version(), "Moto": moto}))
`

func probe(ctx context.Context, path string) (versions, error) {
	output, err := exec.CommandContext(ctx, path, "-c", probeScript).Output()
	if err != nil {
		return versions{}, fmt.Errorf("run %s: %w", path, err)
	}
	var v versions
	if err := json.Unmarshal(output, &v); err != nil {
		return versions{}, fmt.Errorf("read what %s tells: %w", path, err)
	}
	return v, nil
}

// complete tells whether moto has all that its Step Functions server imports: its packages are optional.
func complete(ctx context.Context, path string) bool {
	return exec.CommandContext(ctx, path, "-c", "import moto.server, moto.stepfunctions.parser.models").Run() == nil
}

func supported(moto string) bool { return atLeast(moto, minMoto) && !atLeast(moto, belowMoto) }

// atLeast compares the numbers that a version begins with: what follows them, as in 5.2.4.dev1, says too little to tell.
func atLeast(version string, least []int) bool {
	parts := strings.Split(version, ".")
	for i, want := range least {
		if i >= len(parts) {
			return false
		}
		got, err := strconv.Atoi(parts[i])
		if err != nil || got < want {
			return false
		}
		if got > want {
			return true
		}
	}
	return true
}

// marker is the copy of the requirements in the folder that they were installed into. It is written last.
func marker(venv string) string { return filepath.Join(venv, "requirements.txt") }

// python is the Python of a virtual environment: a link to the one that it was made by.
func python(venv string) string { return filepath.Join(venv, "bin", "python") }

func installed(venv string) bool {
	made, err := os.ReadFile(marker(venv))
	if err != nil || !bytes.Equal(made, requirements) {
		return false
	}
	_, err = os.Stat(python(venv))
	return err == nil
}

// install makes a virtual environment with moto in it.
func install(ctx context.Context, base, venv, logName string) error {
	ctx, cancel := context.WithTimeout(ctx, installTimeout)
	defer cancel()
	if err := os.RemoveAll(venv); err != nil {
		return fmt.Errorf("clear %s: %w", venv, err)
	}
	if err := os.MkdirAll(venv, 0o700); err != nil {
		return fmt.Errorf("make %s: %w", venv, err)
	}
	log, err := openLog(logName, os.O_TRUNC)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	wanted := filepath.Join(venv, "wanted.txt")
	if err := os.WriteFile(wanted, requirements, 0o600); err != nil {
		return fmt.Errorf("write what is wanted: %w", err)
	}
	run := func(name string, arguments ...string) error {
		cmd := exec.CommandContext(ctx, name, arguments...)
		cmd.Stdout, cmd.Stderr = log, log
		return cmd.Run()
	}
	if err := run(base, "-m", "venv", venv); err != nil {
		return fmt.Errorf("%s cannot make a virtual environment for moto (%w): install Python's venv module, python3-venv on Debian and Ubuntu; see %s", base, err, logName)
	}
	if err := run(python(venv), "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "-r", wanted); err != nil {
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
