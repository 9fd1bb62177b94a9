// Package functions_test limits the size of the functions' packages, which Lambda downloads before an environment starts.
package functions_test

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// most is the limit of a package, in bytes. summarize has the templates of the
// report, which bring reflection over every method with them.
const most, mostOfSummarize = 5_150_000, 5_500_000

func TestEveryPackageIsSmall(t *testing.T) {
	functions, err := filepath.Glob("*/main.go")
	require.NoError(t, err)
	require.NotEmpty(t, functions)
	for _, function := range functions {
		name := filepath.Dir(function)
		t.Run(name, func(t *testing.T) {
			binary := filepath.Join(t.TempDir(), "bootstrap")
			cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-tags", "lambda.norpc", "-ldflags", "-s -w", "-o", binary, "./"+name)
			cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0")
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, string(out))
			content, err := os.ReadFile(binary)
			require.NoError(t, err)
			var packed bytes.Buffer
			z := zip.NewWriter(&packed)
			z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.BestCompression) })
			entry, err := z.Create("bootstrap")
			require.NoError(t, err)
			_, err = entry.Write(content)
			require.NoError(t, err)
			require.NoError(t, z.Close())
			t.Logf("%d bytes, %d zipped", len(content), packed.Len())
			bound := most
			if name == "summarize" {
				bound = mostOfSummarize
			}
			assert.Less(t, packed.Len(), bound)
		})
	}
}
