package test

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/podinventory"
)

func TestEveryPodIsReadBackFromS3ByTheAWSCommand(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	s.mapRole(t)
	shell := newShell(t, local.ControlPlane.Kubeconfig)
	bucket := "inventories-" + s.stack.Name
	s.set(t, map[string]string{"OutputBucket": bucket, "OutputPrefix": "kubestep/"})
	_, _, err := shell.run(t, nil, "aws", "s3", "mb", "s3://"+bucket)
	require.NoError(t, err)

	output := succeeded(t, s.run(t, fmt.Sprintf(`{"clusterName":"demo","namespaces":["default","shop"],"output":{"bucket":%q,"prefix":"kubestep/"}}`, bucket)))

	archive := output.Pods.Archive
	require.NotNil(t, archive)
	assert.Equal(t, output.Pods.Total, archive.Pods)
	listed, _, err := shell.run(t, nil, "aws", "s3", "cp", "s3://"+bucket+"/"+archive.Manifest, "-")
	require.NoError(t, err)
	var manifest podinventory.Archive
	require.NoError(t, json.Unmarshal([]byte(listed), &manifest))
	assert.Equal(t, *archive, manifest)
	read := map[string]podinventory.Pod{}
	for _, part := range manifest.Parts {
		packed, _, err := shell.run(t, nil, "aws", "s3", "cp", "s3://"+bucket+"/"+manifest.Prefix+part.Name, "-")
		require.NoError(t, err)
		assert.Len(t, packed, part.Bytes)
		unpacked, err := gzip.NewReader(strings.NewReader(packed))
		require.NoError(t, err)
		lines := json.NewDecoder(unpacked)
		for lines.More() {
			var pod podinventory.Pod
			require.NoError(t, lines.Decode(&pod))
			read[pod.Namespace+"/"+pod.Name] = pod
		}
	}
	require.Len(t, read, output.Pods.Total)
	for _, pod := range output.Pods.Items {
		assert.Equal(t, pod, read[pod.Namespace+"/"+pod.Name])
	}
}

func TestABucketThatIsNotThereIsAnInvalidInput(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	s.mapRole(t)
	e := s.run(t, `{"clusterName":"demo","output":{"bucket":"no-such-bucket"}}`)
	stopped(t, e, contract.InvalidInput, "output.bucket", "no-such-bucket")
}

// Apart from the items, the size of a state does not depend on the cluster.
func TestTheStateWithoutItemsIsSmall(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	s.mapRole(t)
	e := s.run(t, `{"clusterName":"demo","namespaces":["default","shop"],"maxItems":0}`)
	succeeded(t, e)
	assert.Less(t, largestState(t, s, e.ARN), 16<<10)
}

func largestState(t *testing.T, s *scenario, execution string) int {
	t.Helper()
	history, err := s.client.GetExecutionHistory(t.Context(), &sfn.GetExecutionHistoryInput{ExecutionArn: &execution})
	require.NoError(t, err)
	largest := 0
	for _, event := range history.Events {
		if entered := event.StateEnteredEventDetails; entered != nil && entered.Input != nil {
			largest = max(largest, len(*entered.Input))
		}
		if exited := event.StateExitedEventDetails; exited != nil && exited.Output != nil {
			largest = max(largest, len(*exited.Output))
		}
	}
	require.Positive(t, largest)
	return largest
}
