package jobs

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/kubestep/kubestep/internal/bearer"
)

// This file takes out of a log what does not belong into an output, a file or a terminal:
// control characters, and bearer tokens.

// escapes match the sequences by which programs color a terminal or move its cursor.
// https://ecma-international.org/publications-and-standards/standards/ecma-48/
var escapes = regexp.MustCompile(`\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])`)

// sanitize returns a text without control characters and tokens.
func sanitize(text string) string {
	if isClean(text) {
		return bearer.Redact(text)
	}
	// Before it is looked for, nothing may be in the midst of a token that is taken out later.
	text = escapes.ReplaceAllLiteralString(strings.ToValidUTF8(text, string(unicode.ReplacementChar)), "")
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return r
		case unicode.IsControl(r):
			return -1
		case unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp): // such as those that turn the direction of writing
			return unicode.ReplacementChar
		}
		return r
	}, text)
	return bearer.Redact(text)
}

// isClean reports whether a text has only printable characters of ASCII, as most lines.
func isClean(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' && text[i] != '\t' || text[i] >= utf8.RuneSelf-1 {
			return false
		}
	}
	return true
}

// clip cuts a text at so many bytes, between characters.
func clip(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most] + "…"
}

// encodedSize is how many bytes a line takes as JSON, at most about.
func encodedSize(line string) int {
	return len(line) + len(`\n`) + strings.Count(line, `"`) + strings.Count(line, `\`) + strings.Count(line, "\t")
}

// appendJSON appends a line of a log as a string of JSON, sanitized, but for the tokens of a
// plain line: these go once many lines are together.
func appendJSON(to, line []byte) []byte {
	to = append(to, '"')
	if isPlain(line) {
		return append(append(to, line...), '"')
	}
	for _, c := range []byte(sanitize(string(line))) {
		switch c {
		case '"', '\\':
			to = append(to, '\\', c)
		case '\t':
			to = append(to, '\\', 't')
		default:
			to = append(to, c)
		}
	}
	return append(to, '"')
}

// isPlain reports whether a text has only printable characters of ASCII that JSON does not
// escape. Eight bytes are looked at together: of each byte, the highest bit of a word is set
// if it is not plain. It may also be set by the byte before it, so then each is looked at.
// https://graphics.stanford.edu/~seander/bithacks.html#HasLessInWord
func isPlain(text []byte) bool {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	for len(text) >= 8 {
		w := binary.LittleEndian.Uint64(text)
		quote, backslash, del := w^ones*'"', w^ones*'\\', w^ones*(utf8.RuneSelf-1)
		if (w|(w-ones*' ')|(quote-ones)|(backslash-ones)|(del-ones))&high != 0 && !eachPlain(text[:8]) {
			return false
		}
		text = text[8:]
	}
	return eachPlain(text)
}

func eachPlain(text []byte) bool {
	for _, c := range text {
		if c < ' ' || c >= utf8.RuneSelf-1 || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

const (
	// maxLine is the longest line that is kept as one, in bytes. A kubelet has none longer than
	// 16 KiB, unless it puts several parts together.
	maxLine = 128 << 10
	// maxToken is the longest token that a cluster takes, with some room.
	maxToken = 5 << 10
)

// logLines reads the lines of a log. A line that is too long becomes several, none of which
// begins or ends within a token.
type logLines struct {
	r    *bufio.Reader
	buf  []byte
	rest []byte // of a line that is too long
	more bool   // the line that was begun goes on
}

func newLogLines(r io.Reader) *logLines { return &logLines{r: bufio.NewReaderSize(r, 64<<10)} }

// next returns the next line, or piece of one, without what ends it, until it is called again.
func (l *logLines) next() ([]byte, error) {
	line, err := l.r.ReadSlice('\n')
	if err == nil && len(l.rest) == 0 {
		l.more = false
		return line[:len(line)-1], nil
	}
	l.buf = append(append(l.buf[:0], l.rest...), line...)
	l.rest = l.rest[:0]
	for errors.Is(err, bufio.ErrBufferFull) && len(l.buf) < maxLine {
		line, err = l.r.ReadSlice('\n')
		l.buf = append(l.buf, line...)
	}
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		at := cut(l.buf)
		l.rest = append(l.rest, l.buf[at:]...)
		l.more = true
		return l.buf[:at], nil
	case errors.Is(err, io.EOF) && len(l.buf) > 0:
		l.more = false
		return bytes.TrimSuffix(l.buf, []byte("\n")), nil
	case err != nil:
		return nil, err
	}
	l.more = false
	return bytes.TrimSuffix(l.buf, []byte("\n")), nil
}

// cut is where a text can be cut that is as long as no token is: between characters, and
// before a token that may go on.
func cut(text []byte) int {
	at := len(text) - len("k8s-aws-v1.")
	if begins := bytes.LastIndex(text, []byte("k8s-aws-v1.")); begins > len(text)-maxToken && begins > 0 {
		at = min(at, begins)
	}
	for at > 0 && !utf8.RuneStart(text[at]) {
		at--
	}
	return at
}
