package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTheTablesOfTheDocumentationAreWhatTheGoValuesSay(t *testing.T) {
	pages, err := generate("../..")
	require.NoError(t, err)
	require.NotEmpty(t, pages)
	for name, want := range pages {
		held, err := os.ReadFile(filepath.Join("../..", name))
		require.NoError(t, err)
		assert.Equal(t, want, string(held), "%s is not current: make workflows", name)
	}
}
