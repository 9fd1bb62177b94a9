package documents

import (
	"bytes"
	"fmt"
	"iter"
	"unicode/utf8"
)

// part is a piece of the text.
type part struct {
	text []byte
	line int // of its first byte, 1 for the first of the text
	// stray is the line of a text after "..." that is no comment, or 0.
	stray int
}

// split splits a text into YAML documents. A line that begins with "---" or "..."
// is a marker, wherever it is: the content of a scalar cannot begin so
// (https://yaml.org/spec/1.2.2/#rule-c-forbidden). What precedes a "---" and is not
// content, such as a directive, is a part of the document that begins there.
func split(text []byte) iter.Seq[part] {
	return func(yield func(part) bool) {
		begin, beginLine := 0, 1
		open, content, directive := false, false, false // what the part has until here
		line := 0
		for at, next := 0, 0; at < len(text); at = next {
			line++
			next = at + lineLength(text[at:])
			// Files may have been put together, each with a byte order mark. What is left
			// out with the mark are empty lines, comments and markers.
			from := at
			if !content && !directive && bytes.HasPrefix(text[at:next], []byte(bom)) {
				from += len(bom)
			}
			switch begins := text[from:next]; {
			case isMarker(begins, "---"):
				if (open || content) && !yield(part{text: text[begin:at], line: beginLine}) {
					return
				}
				if open || content || from > at {
					begin, beginLine = from, line
				}
				open, content, directive = true, !isBlank(begins[len("---"):]), false
			case isMarker(begins, "..."):
				ended := part{text: text[begin:at], line: beginLine}
				if !isBlank(begins[len("..."):]) {
					ended.stray = line
				}
				if (open || content || directive || ended.stray > 0) && !yield(ended) {
					return
				}
				begin, beginLine = next, line+1
				open, content, directive = false, false, false
			default:
				if from > at {
					begin, beginLine = from, line
				}
				directive = directive || !open && !content && len(begins) > 0 && begins[0] == '%'
				content = content || !directive && !isBlank(begins)
			}
		}
		if open || content || directive {
			yield(part{text: text[begin:], line: beginLine})
		}
	}
}

// lineLength is how long the first line is, with its end.
func lineLength(text []byte) int {
	for i, c := range text {
		switch {
		case c == '\n', c == '\r' && (i+1 == len(text) || text[i+1] != '\n'):
			return i + 1
		}
	}
	return len(text)
}

func isMarker(line []byte, marker string) bool {
	return bytes.HasPrefix(line, []byte(marker)) && (len(line) == len(marker) || isSpace(line[len(marker)]))
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// isBlank reports whether a line has nothing but white space and a comment, which in
// no version of YAML ends before the line does.
func isBlank(line []byte) bool {
	for _, c := range line {
		if !isSpace(c) {
			return c == '#' && lineSeparator(line) < 0
		}
	}
	return true
}

// body is the part from its content on. A part that has directives is all body.
func (p part) body() part {
	for len(p.text) > 0 {
		length := lineLength(p.text)
		line := p.text[:length]
		if isMarker(line, "---") {
			line = line[len("---"):]
		}
		if !isBlank(line) {
			p.text = p.text[length-len(line):]
			if p.text = bytes.TrimLeft(p.text, " \t"); len(p.text) > 0 {
				return p
			}
		}
		p.text = p.text[length:]
		p.line++
	}
	return p
}

// at is the line of a place in the part.
func (p part) at(offset int) int {
	line := p.line
	for text := p.text[:offset]; len(text) > 0; {
		length := lineLength(text)
		if last := text[length-1]; last == '\n' || last == '\r' {
			line++
		}
		text = text[length:]
	}
	return line
}

// check refuses what no document may hold.
func (p part) check(encoding string) *Problem {
	if p.stray > 0 {
		return &Problem{Line: p.stray, What: notYAML, Detail: "text follows the end of the document (...): begin the next one on a line of its own"}
	}
	if utf8.Valid(p.text) {
		return nil
	}
	offset := 0
	for offset < len(p.text) {
		r, size := utf8.DecodeRune(p.text[offset:])
		if r == utf8.RuneError && size == 1 {
			break
		}
		offset += size
	}
	return &Problem{Line: p.at(offset), What: "it is not valid " + encoding, Detail: "save the file as UTF-8"}
}

// checkYAML refuses what no YAML document may hold, and what would take too much
// memory to parse.
func (p part) checkYAML() *Problem {
	if len(p.text) > MaxDocument {
		return &Problem{What: fmt.Sprintf("it has %d bytes: expected at most %d in a YAML document. Put each object into a document of its own, or write JSON", len(p.text), MaxDocument)}
	}
	if len(p.text) > maxNodes/2 && nodes(p.text) > maxNodes {
		return &Problem{What: fmt.Sprintf("it has too many values for a YAML document of %d bytes. Put each object into a document of its own, or write JSON", len(p.text))}
	}
	for i, c := range p.text {
		switch {
		case c >= ' ' && c < 0x7f, c == '\n', c == '\t', c == '\r':
		case c == 0xc2 && p.text[i+1] < 0xa0 && p.text[i+1] != 0x85,
			c == 0xef && p.text[i+1] == 0xbf && p.text[i+2] >= 0xbe,
			c < ' ', c == 0x7f:
			// https://yaml.org/spec/1.2.2/#51-character-set
			return &Problem{Line: p.at(i), What: notYAML, Detail: "it has a control character: write it as an escape in double quotes, such as \\x07"}
		case c == 0xef && bytes.HasPrefix(p.text[i:], []byte(bom)) && (i == 0 || p.text[i-1] == '\n' || p.text[i-1] == '\r'):
			return &Problem{Line: p.at(i), What: notYAML, Detail: "it has a byte order mark, as if another file began here: put --- between the two"}
		}
	}
	return nil
}

// nodes is how many nodes a YAML document has at most, and some more: the characters
// that separate nodes count in text, too.
func nodes(text []byte) int {
	total := 0
	separates := func(i int) bool {
		return i >= len(text) || isSpace(text[i]) || bytes.IndexByte([]byte(",[]{}"), text[i]) >= 0
	}
	for i, c := range text {
		switch c {
		case ',', '[', '{':
			total += 2
		case '?':
			if separates(i + 1) {
				total += 3
			}
		case '-':
			if separates(i + 1) {
				total++
			}
		case ':':
			// Within a word, as in a URL, a colon separates nothing.
			if i == 0 || !isAlphanumeric(text[i-1]) || separates(i+1) {
				total += 2
			}
		}
	}
	return total
}

func isAlphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
