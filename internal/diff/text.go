package diff

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/aymanbagabas/go-udiff"
	yaml "go.yaml.in/yaml/v2"
)

// maxText bounds the difference of one object, in bytes: etcd takes objects of 1.5 MiB.
const maxText = 4 << 20

// maxNodes bounds a value that is shown as YAML, whose encoder takes 600 bytes for each
// value in it, and the lines of texts that are compared. Other values are shown as JSON, and other
// texts whole.
const maxNodes = 50_000

// nodes counts the values in a value, up to a bound.
func nodes(value any, most int) int {
	n := 1
	switch v := value.(type) {
	case map[string]any:
		for _, field := range v {
			if n += nodes(field, most-n); n >= most {
				break
			}
		}
	case []any:
		for _, item := range v {
			if n += nodes(item, most-n); n >= most {
				break
			}
		}
	}
	return n
}

// errFull ends a text that has reached its bound.
var errFull = errors.New("the text has reached its bound")

// page is a text with a bound, to which values are written line by line.
type page struct {
	b     strings.Builder
	sign  string // begins the lines of a value
	begun bool   // in a line of a value
}

func (p *page) full() bool { return p.b.Len() >= maxText }

// Write writes a part of a value.
func (p *page) Write(value []byte) (int, error) {
	for line := range bytes.Lines(value) {
		if p.full() {
			return 0, errFull
		}
		if !p.begun {
			p.b.WriteString("  " + p.sign + " ")
		}
		p.begun = !bytes.HasSuffix(line, []byte{'\n'})
		line = visible(line)
		p.b.Write(line[:min(len(line), maxText)])
	}
	return len(value), nil
}

// visible writes what a terminal would act on as its Go escape: people print a
// difference from S3, and a value may hold what moves the cursor or turns the writing.
func visible(line []byte) []byte {
	acts := func(r rune) bool { return !unicode.IsPrint(r) && r != '\n' && r != '\t' }
	if bytes.IndexFunc(line, acts) < 0 {
		return line
	}
	var shown []byte
	for _, r := range string(line) {
		if acts(r) {
			escape := strconv.QuoteRune(r)
			shown = append(shown, escape[1:len(escape)-1]...)
			continue
		}
		shown = utf8.AppendRune(shown, r)
	}
	return shown
}

// oneLine is visible text that begins no line of its own: a key may be any text.
func oneLine(text string) []byte {
	return visible([]byte(strings.ReplaceAll(text, "\n", `\n`)))
}

// Text is the whole difference of an object for a person, in the manner of a unified diff:
// what goes begins with "-", what comes with "+", and the notes with "#".
func Text(title string, notes []string, changes []Change) string {
	var p page
	fmt.Fprintf(&p.b, "%s\n", oneLine(title))
	for _, note := range notes {
		fmt.Fprintf(&p.b, "  # %s\n", visible([]byte(strings.ReplaceAll(note, "\n", " "))))
	}
	for i, c := range changes {
		if p.full() {
			fmt.Fprintf(&p.b, "  … and %d more changes: this difference is cut after %d bytes\n", len(changes)-i, maxText)
			break
		}
		fmt.Fprintf(&p.b, "  @ %s\n", oneLine(c.path))
		if old, ok := c.old.(string); ok {
			if next, ok := c.new.(string); ok {
				lines(&p, old, next)
				continue
			}
		}
		values(&p, "-", c.old)
		values(&p, "+", c.new)
	}
	return p.b.String()
}

func values(p *page, sign string, value any) {
	p.sign = sign
	var err error
	switch v := value.(type) {
	case nil:
		return
	case string:
		_, err = io.WriteString(p, v)
	default:
		var encoded []byte
		if nodes(value, maxNodes) < maxNodes {
			encoded, err = yaml.Marshal(value)
		} else {
			encoded, err = json.MarshalIndent(value, "", " ")
		}
		if err != nil { // it was JSON before
			encoded = fmt.Append(nil, value)
		}
		_, err = p.Write(encoded)
	}
	if p.begun {
		p.b.WriteByte('\n')
		p.begun = false
	}
	if err != nil {
		fmt.Fprintf(&p.b, "  %s … cut after %d bytes\n", sign, maxText)
	}
}

// lines shows the lines in which two texts differ. What is hidden is alike, and shown.
func lines(p *page, old, next string) {
	if old == next || max(strings.Count(old, "\n"), strings.Count(next, "\n")) > maxNodes {
		values(p, "-", old)
		values(p, "+", next)
		return
	}
	for i, edit := range udiff.Lines(old, next) {
		if i > 0 {
			p.b.WriteString("  …\n")
		}
		values(p, "-", old[edit.Start:edit.End])
		values(p, "+", edit.New)
	}
}
