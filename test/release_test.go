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
	made := exec.CommandContext(t.Context(), "go", "run", "./hack/release", "-version", "v1.2.3", "-stack-only", "-out", filepath.Join(folder, "v1.2.3"))
	made.Dir = repository
	text, err := made.CombinedOutput()
	require.NoError(t, err, string(text))
	assertSmallPackages(t, filepath.Join(folder, "v1.2.3"))
	s := &scenario{stack: local.Stack("released")}
	s.mapRole(t)

	shell := newShell(t, local.ControlPlane.Kubeconfig)
	_, _, err = shell.run(t, nil, "aws", "s3", "mb", "s3://releases")
	require.NoError(t, err)
	// Other scenarios share the world, and its stack kubestep.
	script := strings.ReplaceAll(strings.Join(commands(t, "docs/integrate/release.md"), ""), "--stack-name kubestep", "--stack-name released")
	path, err := filepath.Abs(filepath.Join(repository, "build", "local"))
	require.NoError(t, err)
	found, _, err := shell.run(t, []string{"BUCKET=releases", "PATH=" + path + string(os.PathListSeparator) + os.Getenv("PATH")}, "bash", "-euc", "cd '"+folder+"'\n"+script)
	require.NoError(t, err)
	assert.Contains(t, found, "execution:released-pod-inventory:")
	assert.Contains(t, found, "pods in cluster demo")
	assert.FileExists(t, filepath.Join(folder, "rbac", "namespace", "role.yaml"))
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
