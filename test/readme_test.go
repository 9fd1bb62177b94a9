package test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// commands returns the indented blocks of a document that are commands, without those that run the tests.
func commands(t *testing.T, document string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, document))
	require.NoError(t, err)
	fenced := regexp.MustCompile("(?s)```.*?```")
	var blocks []string
	for _, block := range regexp.MustCompile(`(?m)(?:^    .+\n)+`).FindAllString(fenced.ReplaceAllString(string(text), "\n"), -1) {
		if !strings.HasPrefix(strings.TrimSpace(block), "{") {
			blocks = append(blocks, regexp.MustCompile(`(?m)^    `).ReplaceAllString(block, ""))
		}
	}
	return blocks
}

// Every command of README runs, in order, in its own world. The two that are left out run this test.
func TestEveryCommandOfREADMERuns(t *testing.T) {
	var script strings.Builder
	ran := 0
	for _, block := range commands(t, "README.md") {
		for line := range strings.Lines(block) {
			if line != "make test\n" {
				script.WriteString(line)
				ran++
			}
		}
	}
	require.Greater(t, ran, 10, "README has commands")
	state := t.TempDir()
	run := func(script string) (string, error) {
		ctx, cancel := context.WithTimeout(context.Background(), 8*time.Minute)
		defer cancel()
		shell := exec.CommandContext(ctx, "bash", "-eux", "-c", script)
		shell.Dir = repository
		shell.Env = append(os.Environ(), "STATE="+state)
		shell.WaitDelay = 10 * time.Second
		out, err := shell.CombinedOutput()
		return string(out), err
	}
	t.Cleanup(func() {
		out, err := run("make down")
		assert.NoError(t, err, out)
	})
	// The last command shows a refusal.
	text := strings.ReplaceAll(script.String(), ".local/env", state+"/env")
	refused := strings.LastIndex(text, "make run")
	out, err := run(text[:refused])
	require.NoError(t, err, out)
	for _, seen := range []string{"CrashLoopBackOff", "✓ ListPods", `"byNamespace": {`, "executionArn", "ACTIVE", "search-"} {
		assert.Contains(t, out, seen)
	}
	out, err = run("source " + state + "/env\n" + text[refused:])
	require.Error(t, err, "exit status 1: the execution failed")
	assert.Contains(t, out, `Forbidden: No permission in cluster demo (eu-west-1) to list pods in namespace shop. IAM principal `)
	assert.Contains(t, out, "kubectl apply -k rbac/namespace -n shop")
}
