package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTheSchemasAreWhatTheGoTypesSay(t *testing.T) {
	schemas, err := generate("../..")
	require.NoError(t, err)
	files, err := filepath.Glob("*.schema.json")
	require.NoError(t, err)
	assert.Len(t, files, len(schemas), "and no others")
	for name, want := range schemas {
		held, err := os.ReadFile(name)
		require.NoError(t, err)
		assert.Equal(t, string(want), string(held), "%s is not current: make schema", name)
	}
}
