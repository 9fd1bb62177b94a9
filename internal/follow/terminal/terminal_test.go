package terminal_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/kubestep/kubestep/internal/follow/terminal"
)

func TestLine(t *testing.T) {
	for name, test := range map[string]struct{ in, want string }{
		"visible text is unchanged":                   {"web-7d4 läuft … ✓", "web-7d4 läuft … ✓"},
		"an escape sequence is spelt out":             {"\x1b[2Jgone", `\x1b[2Jgone`},
		"the eight-bit control introducer is as well": {"\u009b2J", `\u009b2J`},
		"a line break, a tab and a return are":        {"a\nb\tc\rd", `a\nb\tc\rd`},
		"a change of writing direction is":            {"pod\u202egnp", `pod\u202egnp`},
		"an invisible tag character is":               {"a\U000e0041", `a\U000e0041`},
		"bytes that are not UTF-8 are":                {"a\xffb", `a\xffb`},
		"the replacement character itself stays":      {"a\ufffdb", "a\ufffdb"},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, test.want, terminal.Line(test.in))
		})
	}
}

func TestTextKeepsLineBreaksAndNothingElse(t *testing.T) {
	assert.Equal(t, "a\nb\\t\\r\n", terminal.Text("a\nb\t\r\n"))
}

func TestJSONMeansTheSameAsBefore(t *testing.T) {
	document := "{\n  \"name\": \"a\u007f\u009b2J\U000e0041é\"\n}"
	shown := terminal.JSON(document)
	assert.Equal(t, "{\n  \"name\": \"a\\u007f\\u009b2J\\udb40\\udc41é\"\n}", shown)
	assert.JSONEq(t, document, shown)
}

func TestYAMLMeansTheSameAsBefore(t *testing.T) {
	document := map[string]string{"name": "a\u202e\U000e0041é", "\u202e": "plain", "lines": "a\nb\n", "number": "12"}
	text, err := yaml.Marshal(document)
	require.NoError(t, err)
	shown, err := terminal.YAML(string(text))
	require.NoError(t, err)
	assert.Equal(t, "\"\\U0000202E\": plain\nlines: |\n  a\n  b\nname: \"a\\U0000202E\\U000E0041é\"\nnumber: \"12\"\n", shown)
	var back map[string]string
	require.NoError(t, yaml.Unmarshal([]byte(shown), &back))
	assert.Equal(t, document, back)
}

func TestColors(t *testing.T) {
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "")
	tty := pseudoTerminal(t)
	assert.Equal(t, "\x1b[32mnew\x1b[0m", terminal.Colors(tty).Green("new"))
	assert.Equal(t, "new", terminal.Colors(&bytes.Buffer{}).Green("new"), "a buffer is not a terminal")
	t.Setenv("NO_COLOR", "1")
	assert.Equal(t, "new", terminal.Colors(tty).Green("new"))
}

func TestIs(t *testing.T) {
	t.Setenv("TERM", "xterm")
	assert.False(t, terminal.Is(&bytes.Buffer{}), "a buffer is not a terminal")

	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, f.Close()) })
	assert.False(t, terminal.Is(f), "a file is not a terminal")

	null, err := os.Open(os.DevNull)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, null.Close()) })
	assert.False(t, terminal.Is(null), "the null device draws nothing")

	tty := pseudoTerminal(t)
	assert.True(t, terminal.Is(tty))
	t.Setenv("TERM", "dumb")
	assert.False(t, terminal.Is(tty), "a dumb one cannot redraw")
}

// pseudoTerminal opens a terminal without a screen.
func pseudoTerminal(t *testing.T) *os.File {
	t.Helper()
	tty, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("this computer gives out no pseudoterminal: %v", err)
	}
	t.Cleanup(func() { assert.NoError(t, tty.Close()) })
	return tty
}
