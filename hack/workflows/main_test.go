package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTheListsHoldEveryWorkflowAndEveryMachine(t *testing.T) {
	lists, err := generate("../..")
	require.NoError(t, err)
	require.Len(t, lists, 3)
	for name, want := range lists {
		held, err := os.ReadFile(filepath.Join("../..", name))
		require.NoError(t, err)
		assert.Equal(t, string(want), string(held), "%s is not current: make workflows", name)
	}
}
