package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTheCommandsOfReleaseMDDeployAReleaseThatWorks(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	// The files as they would be downloaded, without the command and the SBOM.
	release(t, repository, filepath.Join(folder, "v1.2.3"))
	assertSmallPackages(t, filepath.Join(folder, "v1.2.3"))
	s := &scenario{stack: local.Stack("released")}
	s.mapRole(t)

	shell := newShell(t, local.ControlPlane.Kubeconfig)
	_, _, err := shell.run(t, nil, "aws", "s3", "mb", "s3://releases")
	require.NoError(t, err)
	// Other scenarios share the world, and its stack kubestep.
	script := strings.ReplaceAll(strings.Join(commands(t, "docs/integrate/release.md"), ""), "--stack-name kubestep", "--stack-name released")
	path, err := filepath.Abs(filepath.Join(repository, "build", "local"))
	require.NoError(t, err)
	found, said, err := shell.run(t, []string{"BUCKET=releases", "PATH=" + path + string(os.PathListSeparator) + os.Getenv("PATH")}, "bash", "-euc", "cd '"+folder+"'\n"+script)
	require.NoError(t, err)
	assert.Contains(t, said, "execution:released-pod-inventory:")
	assert.Contains(t, found, "pods in cluster demo")
	assert.FileExists(t, filepath.Join(folder, "rbac", "namespace", "role.yaml"))
}

// release makes what a stack is deployed from.
func release(t *testing.T, root, out string, environment ...string) {
	t.Helper()
	made := exec.CommandContext(t.Context(), "go", "run", "./hack/release", "-version", "v1.2.3", "-stack-only", "-out", out)
	made.Dir, made.Env = root, append(os.Environ(), environment...)
	text, err := made.CombinedOutput()
	require.NoError(t, err, string(text))
}

// make release VERSION=… twice, as the workflow does on a tag, compares the command too.
func TestAReleaseIsTheSameBytesFromTwoFoldersAndEnvironments(t *testing.T) {
	t.Parallel()
	one, other := t.TempDir(), t.TempDir()
	release(t, repository, one)
	root := filepath.Join(t.TempDir(), "another folder that has a longer name")
	for _, folder := range []string{"deploy", "functions", "internal", "statemachine", "rbac", "hack"} {
		require.NoError(t, os.CopyFS(filepath.Join(root, folder), os.DirFS(filepath.Join(repository, folder))))
	}
	for _, file := range []string{"go.mod", "go.sum", "member.yml"} {
		content, err := os.ReadFile(filepath.Join(repository, file))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(root, file), content, 0o600))
	}
	release(t, root, other, "GOFLAGS=-ldflags=-X=main.version=other", "GOARM64=v9.0")

	sums, err := os.ReadFile(filepath.Join(one, "SHA256SUMS"))
	require.NoError(t, err)
	functions, err := filepath.Glob(filepath.Join(repository, "functions", "*", "main.go"))
	require.NoError(t, err)
	require.Equal(t, len(functions), strings.Count(string(sums), ".zip\n"), "a package of each function")
	others, err := os.ReadFile(filepath.Join(other, "SHA256SUMS"))
	require.NoError(t, err)
	assert.Equal(t, string(sums), string(others))
}

// maxPackage is the most that a function's zip may have, in bytes: an environment
// downloads it before it starts.
const maxPackage = 5_000_000

func assertSmallPackages(t *testing.T, release string) {
	t.Helper()
	functions, err := filepath.Glob(filepath.Join(repository, "functions", "*", "main.go"))
	require.NoError(t, err)
	require.NotEmpty(t, functions)
	for _, function := range functions {
		name := filepath.Base(filepath.Dir(function)) + "-v1.2.3.zip"
		info, err := os.Stat(filepath.Join(release, name))
		require.NoError(t, err)
		t.Logf("%s: %d bytes", name, info.Size())
		assert.LessOrEqual(t, info.Size(), int64(maxPackage), name)
	}
}
