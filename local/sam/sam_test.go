package sam_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/local/sam"
)

// interpreter is a program that answers as the transform does, and counts its runs.
func interpreter(t *testing.T, script string) (program string, runs func() int) {
	t.Helper()
	dir := t.TempDir()
	program = filepath.Join(dir, "python")
	require.NoError(t, os.WriteFile(program, []byte("#!/bin/sh\necho >> "+dir+"/runs\n"+script+"\n"), 0o700))
	return program, func() int {
		text, _ := os.ReadFile(filepath.Join(dir, "runs"))
		return len(text)
	}
}

func TestATemplateIsTransformedOncePerContent(t *testing.T) {
	program, runs := interpreter(t, `echo '{"Resources":{}}'`)
	cache := t.TempDir()
	for round, content := range []string{"a", "a", "b", "a"} {
		transformed, err := sam.Transform(t.Context(), program, []byte(content), cache, nil)
		require.NoError(t, err)
		assert.JSONEq(t, `{"Resources":{}}`, string(transformed), round)
	}
	assert.Equal(t, 2, runs(), "a and b")

	_, err := sam.Transform(t.Context(), program, []byte("a"), cache, map[string]string{"ReleaseId": "1"})
	require.NoError(t, err)
	assert.Equal(t, 3, runs(), "a with other parameters")
}

func TestAnInvalidTemplateIsNotCached(t *testing.T) {
	program, runs := interpreter(t, `echo Traceback >&2; echo "InvalidDocumentException: no Runtime" >&2; exit 1`)
	cache := t.TempDir()
	for range 2 {
		_, err := sam.Transform(t.Context(), program, []byte("a"), cache, nil)
		require.ErrorContains(t, err, "InvalidDocumentException: no Runtime")
	}
	assert.Equal(t, 2, runs())
}
