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

// commands returns the indented blocks of a document that are commands.
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

// ownWorld returns what runs a script of bash with make's own world in a folder, and ends that world with the test. The folder is
// .local in the script.
func ownWorld(t *testing.T) func(script string) (string, error) {
	t.Helper()
	build, err := filepath.Abs(filepath.Join(repository, "build", "local"))
	require.NoError(t, err)
	state := t.TempDir()
	run := func(script string) (string, error) {
		ctx, cancel := context.WithTimeout(context.Background(), 8*time.Minute)
		defer cancel()
		shell := exec.CommandContext(ctx, "bash", "-eux", "-c", strings.ReplaceAll(script, ".local/env", state+"/env"))
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
	return run
}

// Every command of README runs, in order, in its own world, and those of docs/apply.md, docs/fleet.md and docs/command.md before it is left. Then
// those of docs/local.md, which end with a refusal and what fixes it.
func TestEveryCommandOfREADMERuns(t *testing.T) {
	run := ownWorld(t)
	script := strings.Join(commands(t, "README.md"), "")
	require.Contains(t, script, "make down\n")
	also := strings.Join(commands(t, "docs/apply.md"), "") + strings.Join(commands(t, "docs/fleet.md"), "") + strings.Join(commands(t, "docs/command.md"), "")
	out, err := run(strings.Replace(script, "make down\n", also+"make down\n", 1))
	require.NoError(t, err, out)
	for _, seen := range []string{
		"CrashLoopBackOff", "✓ ListPods", `data.greeting is owned by "kubectl-patch"`, "nightly   prune", "3 to create", "hello   unchanged   yes",
		"nightly   pruned", "Deleted set shop/greeter", "2 clusters: 1 succeeded, 1 failed (at most 1 may fail)",
	} {
		assert.Contains(t, out, seen)
	}

	local := strings.Join(commands(t, "docs/local.md"), "")
	before, after, found := strings.Cut(local, "kubectl delete -k local/rbac/shop\n")
	require.True(t, found)
	refused, fixed, found := strings.Cut(after, "\n")
	require.True(t, found)
	out, err = run(before + "kubectl delete -k local/rbac/shop")
	require.NoError(t, err, out)
	for _, seen := range []string{`"byNamespace": {`, "executionArn", "ACTIVE", "search-"} {
		assert.Contains(t, out, seen)
	}
	out, err = run("source .local/env\n" + refused)
	require.Error(t, err, "exit status 1: the execution failed")
	assert.Contains(t, out, `Forbidden: No permission in cluster demo (eu-west-1) to list pods in namespace shop.`)
	assert.Regexp(t, `kubectl --context \S+ apply -k rbac/namespace -n shop`, out)
	out, err = run("source .local/env\n" + fixed)
	require.NoError(t, err, out)
	assert.Contains(t, out, "✓ ListPods")
}

// What the tutorials do on one's own computer, each in a world of its own, and a line of each output that a page shows.
func TestTheTutorialsRun(t *testing.T) {
	for page, seen := range map[string][][]string{
		"drift": {commands(t, "docs/tutorials/drift.md"), {
			"No drift in cluster demo", `conflict: data.greeting is owned by "kubectl-patch" using v1`, "0 to create, 1 to change, 2 unchanged", "\nexit status 3\n",
		}},
		"pipelines": {commands(t, "docs/tutorials/pipelines.md"), {
			"3 to create, 0 to change, 0 unchanged", "\nexit status 3\n", "3 created, 0 configured, 0 unchanged", "false+ kubestep fleet demo retired", "One cluster, one change.",
			"1 cluster: 1 created, 1 drift", "1 of 2 clusters failed; none may fail: 1 ClusterNotFound.", "\nexit status 1\n",
		}},
		"report": {commands(t, "docs/tutorials/report.md"), {
			"2 clusters: 1 succeeded, 1 failed (at most 1 may fail)", "in all: pods 12, unhealthy 5", "report.html to build/reports/",
		}},
	} {
		t.Run(page, func(t *testing.T) {
			require.NotEmpty(t, seen[0])
			out, err := ownWorld(t)(strings.Join(seen[0], ""))
			require.NoError(t, err, out)
			for _, line := range seen[1] {
				assert.Contains(t, out, line)
			}
		})
	}
}
