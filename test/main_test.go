// Package test runs the whole machine: the real definition and function binaries, a real kube-apiserver with RBAC and
// aws-iam-authenticator, and moto as Step Functions. Each scenario asserts the path of states and the output.
package test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/kubestep/kubestep/local/world"
)

// repository is this module's parent.
const repository = ".."

// local is the world that all scenarios share. Each has its own stack in it, and so its own roles and execution environments.
var local *world.World

// logs is the folder of all logs of that world.
var logs string

func TestMain(m *testing.M) {
	if how := os.Getenv(broken); how != "" {
		os.Exit(breakDown(how))
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	root, err := filepath.Abs(repository)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	dir, err := os.MkdirTemp("", "kubestep-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	logs = filepath.Join(dir, "logs")
	say := func(format string, args ...any) { fmt.Fprintf(os.Stderr, "· "+format+"\n", args...) }
	local, err = world.Start(context.Background(), world.Options{Root: root, Dir: dir, Tools: filepath.Join(root, ".local"), Say: say})
	if err != nil {
		fmt.Fprintf(os.Stderr, "the local world does not start (make test builds what it needs): %v\nIts logs are in %s\n", err, logs)
		return 1
	}
	defer local.Stop()
	if err := local.Furnish(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	// Also after a scenario that failed: what it did not call may then seem to be needless.
	status := max(m.Run(), checkForTokens(), checkPolicies(context.Background()))
	if status == 0 {
		_ = os.RemoveAll(dir)
	} else {
		fmt.Fprintf(os.Stderr, "The logs are in %s\n", logs)
	}
	return status
}

// findAll searches everything that the scenarios have left behind.
func findAll(ctx context.Context, text string) (leaks, error) {
	client, err := stepFunctions()
	if err != nil {
		return leaks{}, err
	}
	machines, err := allMachines(ctx, client)
	if err != nil {
		return leaks{}, err
	}
	return find(ctx, client, text, logs, machines)
}

func checkForTokens() int {
	found, err := findAll(context.Background(), inTheClear)
	if err != nil {
		fmt.Fprintf(os.Stderr, "FAIL: the check for tokens could not read everything: %v\n", err)
		return 1
	}
	for _, where := range found.places {
		fmt.Fprintf(os.Stderr, "FAIL: %s holds a bearer token in the clear\n", where)
	}
	if len(found.places) > 0 {
		return 1
	}
	fmt.Fprintf(os.Stderr, "no bearer token in the clear in %d executions and %d logs\n", found.executions, found.logs)
	return 0
}
