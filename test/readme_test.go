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

// Every command of README runs, in order, in its own world, and those of docs/apply.md before it is left. The one that is
// left out runs this test.
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
	build, err := filepath.Abs(filepath.Join(repository, "build", "local"))
	require.NoError(t, err)
	state := t.TempDir()
	run := func(script string) (string, error) {
		ctx, cancel := context.WithTimeout(context.Background(), 8*time.Minute)
		defer cancel()
		shell := exec.CommandContext(ctx, "bash", "-eux", "-c", script)
		shell.Dir = repository
		shell.Env = append(os.Environ(), "STATE="+state, "PATH="+build+string(os.PathListSeparator)+os.Getenv("PATH"))
		shell.WaitDelay = 10 * time.Second
		out, err := shell.CombinedOutput()
		return string(out), err
	}
	t.Cleanup(func() {
		out, err := run("make down")
		assert.NoError(t, err, out)
	})
	text := strings.Replace(script.String(), "make down\n", strings.Join(commands(t, "docs/apply.md"), "")+"make down\n", 1)
	text = strings.ReplaceAll(text, ".local/env", state+"/env")
	// The command after this one shows a refusal.
	revoked := strings.Index(text, "kubectl delete -k local/rbac/shop\n")
	require.Positive(t, revoked)
	revoke, rest, _ := strings.Cut(text[revoked:], "\n")
	refused, fixed, _ := strings.Cut(rest, "\n")

	out, err := run(text[:revoked] + revoke)
	require.NoError(t, err, out)
	for _, seen := range []string{"CrashLoopBackOff", "✓ ListPods", `"byNamespace": {`, "executionArn", "ACTIVE", "search-", "3 to create", "hello     created   yes", "hello   unchanged   yes", "nightly   pruned", "Deleted set shop/greeter"} {
		assert.Contains(t, out, seen)
	}
	out, err = run("source " + state + "/env\n" + refused)
	require.Error(t, err, "exit status 1: the execution failed")
	assert.Contains(t, out, `Forbidden: No permission in cluster demo (eu-west-1) to list pods in namespace shop.`)
	assert.Contains(t, out, "kubectl apply -k rbac/namespace -n shop")
	out, err = run("source " + state + "/env\n" + fixed)
	require.NoError(t, err, out)
	assert.Contains(t, out, "✓ ListPods")
}
