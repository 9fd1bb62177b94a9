package main

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTheInputOfApplyManifestsHoldsTheExampleOfTheDocumentation(t *testing.T) {
	example, err := os.ReadFile("../docs/examples/hello.yaml")
	require.NoError(t, err)
	text, err := os.ReadFile("inputs/apply-manifests.json")
	require.NoError(t, err)
	var input struct{ Manifests string }
	require.NoError(t, json.Unmarshal(text, &input))
	assert.Equal(t, string(example), input.Manifests)
}

func TestAnInputThatIsNoJSONIsRefusedBeforeAWorldStarts(t *testing.T) {
	require.EqualError(t, readable("{bad"), "the input is not valid JSON: {bad")
	for _, input := range []string{`{"clusterName":"demo"}`, "@inputs/fleet.json", "-"} {
		require.NoError(t, readable(input), input)
	}
}
