package sam_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/local/sam"
)

// interpreter returns a program that runs a shell script in place of Python.
func interpreter(t *testing.T, script string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "python")
	require.NoError(t, os.WriteFile(program, []byte("#!/bin/sh\n"+script+"\n"), 0o700))
	return program
}

func TestTheTransformGetsTheTemplateAndItsParameters(t *testing.T) {
	transformed, err := sam.Transform(t.Context(), interpreter(t, `cat; printf ' %s' "$3"`), []byte("template"), map[string]string{"ReleaseId": "1"})
	require.NoError(t, err)
	assert.Equal(t, `template {"ReleaseId":"1"}`, string(transformed))
}

func TestTheErrorOfATransformIsItsLastLine(t *testing.T) {
	_, err := sam.Transform(t.Context(), interpreter(t, `echo Traceback >&2; echo "InvalidDocumentException: no Runtime" >&2; exit 1`), nil, nil)
	require.ErrorContains(t, err, "transform the template (exit status 1): InvalidDocumentException: no Runtime")
}
