package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract"
)

func TestTheManualPageSaysWhatHelpDoes(t *testing.T) {
	status, page, stderr := kubestep(t.Context(), "man")
	require.Equal(t, succeeded, status, stderr)
	assert.True(t, strings.HasPrefix(page, ".TH KUBESTEP 1 "), page[:80])
	for _, verb := range root().Commands() {
		if !verb.Hidden && verb.Runnable() {
			assert.Contains(t, page, `.SS "kubestep `+roff(verb.Use)+`"`)
		}
	}
	for _, want := range []string{`.SS "kubestep job run [CLUSTER]`, `\-\-detailed\-exitcode`, "  130  kubestep was interrupted", "KUBESTEP_STACK", "What was asked for is printed to the standard output", ".SH \"ERRORS\"\n"} {
		assert.Contains(t, page, want)
	}
	for _, name := range contract.ErrorNames() {
		assert.Contains(t, page, "\n"+string(name)+"\n")
	}
	assert.Equal(t, 1, strings.Count(page, "lost track of it"), "the exit statuses are there once")
	macros := map[string]bool{".TH": true, ".SH": true, ".SS": true, ".B": true, ".nf": true, ".fi": true}
	for line := range strings.Lines(page) {
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			assert.True(t, macros[strings.Fields(line)[0]], line)
		}
	}
}

func TestTheFormatterObeysNothingOfATextInTheManual(t *testing.T) {
	assert.Equal(t, "\\&.so /etc/passwd\n\\&'br\na\\-b \\e(co \\(dq", roff(".so /etc/passwd\n'br\na-b \\(co \""))
}
