package workflows_test

import (
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/workflow"
	"github.com/kubestep/kubestep/internal/workflows"
)

func TestEveryWorkflowIsWhole(t *testing.T) {
	for _, w := range workflows.All() {
		assert.Regexp(t, `^[a-z]+(-[a-z]+)*$`, w.Name)
		assert.NotEmpty(t, w.Summary, w.Name)
		assert.NotEmpty(t, w.Page, w.Name)
		assert.NotNil(t, w.Request, w.Name)
		assert.NotNil(t, w.Output, w.Name)
	}
	assert.True(t, slices.IsSortedFunc(workflows.All(), func(a, b workflow.Workflow) int { return strings.Compare(a.Name, b.Name) }))
}

// describe-cluster reads the input of every workflow, and does not do what it asks for.
func TestDescribeClusterLinksNothingThatConnectsOrReadsManifests(t *testing.T) {
	listed, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "../../functions/describe-cluster").CombinedOutput()
	require.NoError(t, err, string(listed))
	packages := strings.Fields(string(listed))
	require.Contains(t, packages, "github.com/kubestep/kubestep/internal/workflows")
	unwanted := regexp.MustCompile(`^k8s\.io/client-go|yaml|aws-sdk-go-v2/service/s3|kubestep/internal/(kube|store|manifests|pods|fleet)$`)
	for _, pkg := range packages {
		assert.NotRegexp(t, unwanted, pkg)
	}
}
