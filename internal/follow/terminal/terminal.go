// Package terminal knows what may be written to a terminal. The names and
// messages that kubestep shows come from clusters and machines that others
// write to, and a terminal obeys what it is sent: so nothing that is not a
// visible character reaches it as it is.
package terminal

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
	"golang.org/x/term"
)

// Control sequences of ECMA-48 and DEC that a live line needs; every terminal
// that calls itself more than dumb has them.
const (
	// ClearLine takes the cursor to the line's start and empties the line.
	ClearLine = "\r\x1b[K"
	// NoWrap and Wrap enclose a line that may be wider than the terminal: it is cut
	// at the margin, so that ClearLine clears all of it.
	NoWrap = "\x1b[?7l"
	Wrap   = "\x1b[?7h"
)

// Is reports whether w is a terminal that can redraw a line.
func Is(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(f.Fd()))
}

// Width is how many columns a terminal has; 0 if w is none, or does not tell.
func Width(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return width
}

// Style colors text, or leaves it as it is.
type Style bool

// Colors returns the style for w: colors on a terminal, unless NO_COLOR is set
// (https://no-color.org).
func Colors(w io.Writer) Style { return Style(Is(w) && os.Getenv("NO_COLOR") == "") }

// Red is for what failed or goes away.
func (s Style) Red(text string) string { return s.sgr("31", text) }

// Green is for what succeeded or is new.
func (s Style) Green(text string) string { return s.sgr("32", text) }

// Yellow is for what is tried again or changes.
func (s Style) Yellow(text string) string { return s.sgr("33", text) }

// Bold is for what to read first.
func (s Style) Bold(text string) string { return s.sgr("1", text) }

// sgr is ECMA-48's Select Graphic Rendition around a text.
func (s Style) sgr(code, text string) string {
	if !s || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// Line makes s a single line of visible characters: everything else, a line
// break and a tab too, is written as its Go escape.
func Line(s string) string { return escape(s, "", goEscape) }

// Text is Line for a text of several lines: line breaks stay.
func Text(s string) string { return escape(s, "\n", goEscape) }

// JSON is Text for a JSON document: the escapes are JSON's, so it means the
// same as before.
func JSON(document string) string { return escape(document, "\n", jsonEscape) }

// YAML is Text for a YAML document: it means the same as before, since a string
// that needs an escape is put in double quotes.
func YAML(document string) (string, error) {
	var node yaml.Node
	if err := yaml.Unmarshal([]byte(document), &node); err != nil {
		return "", fmt.Errorf("read YAML: %w", err)
	}
	quote(&node)
	var b strings.Builder
	encoder := yaml.NewEncoder(&b)
	encoder.SetIndent(2)
	if err := encoder.Encode(&node); err != nil {
		return "", fmt.Errorf("write YAML: %w", err)
	}
	return escape(b.String(), "\n", yamlEscape), nil
}

func quote(node *yaml.Node) {
	if node.Kind == yaml.ScalarNode && escape(node.Value, "\n", yamlEscape) != node.Value {
		node.Style = yaml.DoubleQuotedStyle
	}
	for _, child := range node.Content {
		quote(child)
	}
}

func yamlEscape(r rune, _ string) string { return fmt.Sprintf(`\U%08X`, r) }

func escape(s, keep string, as func(r rune, bytes string) string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		broken := r == utf8.RuneError && size == 1
		if !broken && (unicode.IsPrint(r) || strings.ContainsRune(keep, r)) {
			b.WriteRune(r)
		} else {
			b.WriteString(as(r, s[i:i+size]))
		}
		i += size
	}
	return b.String()
}

func goEscape(_ rune, bytes string) string {
	quoted := strconv.Quote(bytes)
	return quoted[1 : len(quoted)-1]
}

func jsonEscape(r rune, _ string) string {
	if high, low := utf16.EncodeRune(r); high != unicode.ReplacementChar {
		return fmt.Sprintf(`\u%04x\u%04x`, high, low)
	}
	return fmt.Sprintf(`\u%04x`, r)
}
