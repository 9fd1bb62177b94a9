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

// differs is what an output has that differs from run to run, and what takes its place: times and ages, names of executions, digests.
var differs = []struct {
	what *regexp.Regexp
	as   string
}{
	{regexp.MustCompile(`\b\d+(?:\.\d+)? ?m?s\b`), "TIME"},
	{regexp.MustCompile(`\b[A-Z2-7]{26}\b`), "EXECUTION"},
	{regexp.MustCompile(`(?m)^ *[\w-]{12}  (\d+ clusters?:)`), "DIGEST $1"},
	{regexp.MustCompile(` +`), " "},
}

// missing returns the first line of the text blocks of a page that an output does not have after the lines above it, and how many blocks
// there are. In a block, … is for lines that are left out.
func missing(page, output string) (line string, blocks int) {
	same := func(text string) string {
		for _, d := range differs {
			text = d.what.ReplaceAllString(text, d.as)
		}
		return text
	}
	output = same(output)
	for _, block := range regexp.MustCompile("(?s)```text\n(.*?)```").FindAllStringSubmatch(page, -1) {
		if regexp.MustCompile(`^\w+ → `).MatchString(block[1]) {
			continue // the path of states
		}
		blocks++
		rest := output
		for line := range strings.Lines(same(block[1])) {
			if line = strings.TrimSpace(line); line == "" || line == "…" {
				continue
			}
			_, after, found := strings.Cut(rest, line)
			if !found {
				return line, blocks
			}
			rest = after
		}
	}
	return "", blocks
}

// shows asserts that an output has what a document shows of it, before a heading.
func shows(t *testing.T, document, until, output string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, document))
	require.NoError(t, err)
	page, _, found := strings.Cut(string(text), "\n## "+until)
	require.True(t, found, "%s has no heading %s", document, until)
	line, blocks := missing(page, output)
	assert.Empty(t, line, "%s: there is no such line after those above it, in\n%s", document, output)
	assert.Positive(t, blocks, document)
}

func TestWhatAPageShowsIsHeldAgainstTheOutput(t *testing.T) {
	t.Parallel()
	page := "```text\nFindClusters → Output\n```\n\n```text\n✓ Plan     84 ms\n…\nCronJob    nightly\n  q83vEjRWeJq8  2 clusters: 1 created\n\nin all: 3, in 0.3 s\n```\n"
	for sentence, c := range map[string]struct{ output, missing string }{
		"the same, at another time":  {"✓ Plan   7 ms\n\n+ kubestep\nCronJob  nightly\n  ABCDEFGHIJKL  2 clusters: 1 created\nin all: 3, in 12.5 s", ""},
		"another number":             {"✓ Plan   7 ms\nCronJob  nightly\n  ABCDEFGHIJKL  2 clusters: 1 created\nin all: 4, in 12.5 s", "in all: 3, in TIME"},
		"another order":              {"CronJob  nightly\n✓ Plan   7 ms\n  ABCDEFGHIJKL  2 clusters: 1 created\nin all: 3, in 12.5 s", "CronJob nightly"},
		"a line less":                {"✓ Plan   7 ms\nCronJob  nightly\nin all: 3, in 12.5 s", "DIGEST 2 clusters: 1 created"},
		"another outcome of a state": {"✗ Plan   7 ms\nCronJob  nightly\n  ABCDEFGHIJKL  2 clusters: 1 created\nin all: 3, in 12.5 s", "✓ Plan TIME"},
	} {
		line, blocks := missing(page, c.output)
		assert.Equal(t, c.missing, line, sentence)
		assert.Equal(t, 1, blocks, sentence)
	}
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
	shows(t, "README.md", "Many clusters", out)

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
			shows(t, "docs/tutorials/"+page+".md", "In your account", out)
		})
	}
}

// The page of rollouts begins with one in a world of its own: the second wave fails, and the first is rolled back.
func TestTheRolloutOfItsPageRuns(t *testing.T) {
	out, err := ownWorld(t)(strings.Join(commands(t, "docs/rollouts.md"), ""))
	require.NoError(t, err, out)
	assert.Contains(t, out, "Hello from a state machine", "the former version is back")
	shows(t, "docs/rollouts.md", "See what it would do", out)
}
