package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// build returns the binary of a program. It does not depend on the environment: flags, processor level, folder, and state
// of the repository.
func (r release) build(ctx context.Context, program, system, architecture string, flags ...string) ([]byte, error) {
	return r.buildIn(ctx, r.root, program, system, architecture, flags...)
}

// buildIn is build, of a program of another module.
func (r release) buildIn(ctx context.Context, module, program, system, architecture string, flags ...string) ([]byte, error) {
	folder, err := os.MkdirTemp("", "release-")
	if err != nil {
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	defer func() { _ = os.RemoveAll(folder) }()
	binary := filepath.Join(folder, "program")
	args := append([]string{"build", "-trimpath", "-buildvcs=false", "-o", binary}, flags...)
	cmd := exec.CommandContext(ctx, "go", append(args, program)...) //nolint:gosec // the programs of this repository
	cmd.Dir = module
	cmd.Env = append(os.Environ(),
		"GOOS="+system, "GOARCH="+architecture, "CGO_ENABLED=0",
		"GOFLAGS=", "GOEXPERIMENT=", "GOWORK=off", "GOAMD64=v1", "GOARM64=v8.0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go build %s: %w\n%s", program, err, out)
	}
	content, err := os.ReadFile(binary) //nolint:gosec // just built
	if err != nil {
		return nil, fmt.Errorf("read the binary: %w", err)
	}
	return content, nil
}

// output returns what a program prints, run in the repository.
func (r release) output(ctx context.Context, name string, args ...string) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // git, and what the command line names
	cmd.Dir, cmd.Stdout, cmd.Stderr = r.root, &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", filepath.Base(name), strings.Join(args, " "), err, stderr.String())
	}
	return stdout.String(), nil
}
