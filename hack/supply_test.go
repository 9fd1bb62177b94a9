package hack_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", name))
	require.NoError(t, err)
	return string(text)
}

func TestEverythingThatRunsInPythonIsPinnedWithHashes(t *testing.T) {
	pinned := regexp.MustCompile(`(?m)^[A-Za-z0-9._-]+(\[[a-z,]+\])?==\S+`)
	for _, folder := range []string{"hack", "local", "test", "test/bench"} {
		wanted, all := read(t, folder+"/requirements.in"), read(t, folder+"/requirements.txt")
		for _, requirement := range pinned.FindAllString(wanted, -1) {
			requirement = regexp.MustCompile(`\[.*\]`).ReplaceAllString(requirement, "")
			assert.Regexp(t, `(?m)^`+strings.Replace(regexp.QuoteMeta(requirement), "==", `(\[[a-z,]+\])?==`, 1)+`\b`, all, "%s: make requirements", folder)
		}
		// A requirement is a line, and its hashes are the lines below it.
		for _, requirement := range regexp.MustCompile(`(?m)^[^ #\n].*(\n    .*)*`).FindAllString(all, -1) {
			assert.Regexp(t, `^[A-Za-z0-9._-]+(\[[a-z,]+\])?==\S+.*\\\n    --hash=sha256:[0-9a-f]{64}`, requirement, folder)
		}
	}
	for line := range strings.Lines(read(t, "Makefile")) {
		if strings.Contains(line, "pip install") {
			assert.Contains(t, line, "--require-hashes")
		}
		if strings.Contains(line, "npm ci") {
			assert.Contains(t, line, "--ignore-scripts")
		}
	}
}

func TestEveryModuleNamesItsToolchain(t *testing.T) {
	output, err := exec.CommandContext(t.Context(), "git", "ls-files", "..").Output()
	require.NoError(t, err)
	modules := regexp.MustCompile(`(?m)^\S*go\.mod$`).FindAllString(string(output), -1)
	assert.NotEmpty(t, modules)
	for _, module := range modules {
		text, err := os.ReadFile(module)
		require.NoError(t, err)
		assert.Regexp(t, `(?m)^toolchain go1\.\d+\.\d+$`, string(text), module)
	}
}

// A tag can move, and has been moved by attackers.
// https://docs.github.com/en/actions/reference/security/secure-use#using-third-party-actions
func TestEveryActionIsPinnedByCommit(t *testing.T) {
	workflows, err := filepath.Glob(filepath.Join("..", ".github", "workflows", "*.yml"))
	require.NoError(t, err)
	require.NotEmpty(t, workflows)
	for _, workflow := range workflows {
		text, err := os.ReadFile(workflow)
		require.NoError(t, err)
		for _, uses := range regexp.MustCompile(`(?m)uses:.*$`).FindAllString(string(text), -1) {
			assert.Regexp(t, `^uses: [\w-]+/[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$`, uses, workflow)
		}
	}
}

// A binary stays in the history for ever: one of 21 MB is most of this repository.
func TestNoLargeFileIsCommitted(t *testing.T) {
	const most = 512 << 10
	command := exec.CommandContext(t.Context(), "git", "ls-files", "-z")
	command.Dir = ".."
	output, err := command.Output()
	require.NoError(t, err)
	for name := range strings.SplitSeq(strings.TrimRight(string(output), "\x00"), "\x00") {
		if info, err := os.Stat(filepath.Join("..", name)); err == nil {
			assert.LessOrEqual(t, info.Size(), int64(most), name)
		}
	}
}

func TestAVulnerabilityFailsAndAnUnreachableDatabaseIsReported(t *testing.T) {
	for sentence, c := range map[string]struct {
		govulncheck string
		succeeds    bool
		says        string
	}{
		"there is none":     {"echo No vulnerabilities found.", true, "no known vulnerability"},
		"there is one":      {"echo GO-2026-0001; exit 3", false, "GO-2026-0001"},
		"it does not build": {"echo 'govulncheck: loading packages: there are errors' >&2; exit 1", false, "there are errors"},
		"there is no network": {
			`echo 'govulncheck: fetching vulnerabilities: Get "https://vuln.go.dev/index/modules.json.gz": dial tcp: lookup vuln.go.dev: no such host' >&2; exit 1`,
			true, "NOT CHECKED for known vulnerabilities",
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			program := filepath.Join(t.TempDir(), "govulncheck")
			require.NoError(t, os.WriteFile(program, []byte("#!/bin/sh\n"+c.govulncheck+"\n"), 0o700))
			output, err := exec.CommandContext(t.Context(), "./vulnerabilities.sh", program).CombinedOutput()
			assert.Equal(t, c.succeeds, err == nil, err)
			assert.Contains(t, string(output), c.says)
		})
	}
}
