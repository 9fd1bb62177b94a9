package test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/podinventory"
)

func TestTheCommandsOfIntegrateMDStartExecutionsAndWait(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	s.mapRole(t)
	path, err := filepath.Abs(filepath.Join(repository, "build", "local"))
	require.NoError(t, err)
	given := []string{"POD_INVENTORY_ARN=" + s.machine + ":live", "PATH=" + path + string(os.PathListSeparator) + os.Getenv("PATH")}
	var found string
	for _, block := range commands(t, "docs/integrate.md") {
		found, _, err = newShell(t, local.ControlPlane.Kubeconfig).run(t, given, "bash", "-euc", block)
		require.NoError(t, err)
	}
	// Only the aws command has the last one.
	require.NoError(t, valid(t, "pod-inventory.output", found))
	var output podinventory.Output
	require.NoError(t, json.Unmarshal([]byte(found), &output))
	assert.Len(t, output.Access.Namespaces, 2)
}

func TestWhatIntegrateMDShowsServesEveryPartition(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(repository, "docs", "integrate", "*"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range append(files, filepath.Join(repository, "template.yml")) {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		assert.NotContains(t, regexp.MustCompile(`such as\s+arn:aws:`).ReplaceAllString(string(text), ""), "arn:aws:", file)
	}
}

func TestTheParentOfIntegrateMDGoesOnWithThePodsAndFailsAsTheExecutionDid(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	s.mapRole(t)
	text, err := os.ReadFile(filepath.Join(repository, "docs", "integrate", "parent.asl.json"))
	require.NoError(t, err)
	parent := s.parent(t, "integrated", strings.NewReplacer("${AWSPartition}", "aws", "${StateMachineArn}", s.machine+":live").Replace(string(text)))

	well := s.start(t, parent, `{"clusterName":"demo"}`)
	require.Equal(t, types.ExecutionStatusSucceeded, well.Status, well.Cause)
	var found struct {
		Total    int
		ByStatus map[string]int
	}
	require.NoError(t, json.Unmarshal([]byte(well.Output), &found))
	assert.Positive(t, found.Total)
	assert.Positive(t, found.ByStatus["Running"])

	failed := s.start(t, parent, `{"clusterName":"nowhere"}`)
	assert.Equal(t, []any{types.ExecutionStatusFailed, string(contract.ClusterNotFound)}, []any{failed.Status, failed.Error})
	assert.Contains(t, failed.Cause, "nowhere")
	assert.NotContains(t, failed.Cause, "errorMessage", "a sentence, not JSON")
}
