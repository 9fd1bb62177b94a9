package main

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTheSchemasAreWhatTheGoTypesSay(t *testing.T) {
	schemas, err := generate("../..")
	require.NoError(t, err)
	for name, want := range schemas {
		held, err := os.ReadFile(name)
		require.NoError(t, err)
		assert.Equal(t, string(want), string(held), "%s is not current: make schema", name)
	}
}
