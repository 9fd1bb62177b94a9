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
	device, err := os.Open(os.DevNull)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, device.Close()) })
	assert.Equal(t, "\x1b[32mnew\x1b[0m", terminal.Colors(device).Green("new"))
	assert.Equal(t, "new", terminal.Colors(&bytes.Buffer{}).Green("new"), "a buffer is not a terminal")
	t.Setenv("NO_COLOR", "1")
	assert.Equal(t, "new", terminal.Colors(device).Green("new"))
}

func TestIs(t *testing.T) {
	t.Setenv("TERM", "xterm")
	assert.False(t, terminal.Is(&bytes.Buffer{}), "a buffer is not a terminal")

	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, f.Close()) })
	assert.False(t, terminal.Is(f), "a file is not a terminal")

	device, err := os.Open(os.DevNull)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, device.Close()) })
	assert.True(t, terminal.Is(device), "a character device is taken for one")
	t.Setenv("TERM", "dumb")
	assert.False(t, terminal.Is(device), "a dumb one cannot redraw")
}
