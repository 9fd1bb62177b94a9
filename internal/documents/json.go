package documents

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// readJSON reads the JSON values that a part consists of, and passes each on. It
// passes on nothing if the first of them is no JSON: then it may be YAML in the flow
// style.
func readJSON(body part, value func(Document) bool) (isJSON bool, problem *Problem) {
	rest := body
	for ; ; isJSON = true {
		rest = rest.skip(skipBlank(rest.text, !isJSON))
		problem := func(offset int, what, detail string) *Problem {
			return &Problem{Line: rest.at(offset), What: what, Detail: detail}
		}
		switch {
		case len(rest.text) == 0:
			return isJSON, nil
		case rest.text[0] == '{' || rest.text[0] == '[':
		case rest.text[0] == ',':
			return true, problem(0, notJSON, "a comma follows a value: write the values one after the other without it, or make them the items of a List")
		default:
			return true, problem(0, notJSON, "text follows a value: put a line --- between the two")
		}
		text, end, err := compact(rest.text)
		var refused *refusal
		switch {
		case err == nil:
			if !value(Document{Line: rest.line, JSON: text}) {
				return true, nil
			}
			rest = rest.skip(end)
		case errors.As(err, &refused):
			return true, problem(end, refused.what, refused.detail)
		case !isJSON:
			return false, nil
		case errors.Is(err, io.ErrUnexpectedEOF):
			return true, problem(0, notJSON, "the value that begins here does not end")
		default:
			return true, problem(end, notJSON, "")
		}
	}
}

// skip is what follows in the part.
func (p part) skip(length int) part {
	p.line = p.at(length)
	p.text = p.text[length:]
	return p
}

// skipBlank returns how much is white space, and comments and byte order marks at the
// beginning of a line: they are no JSON, but YAML has them. After a value, a comment
// needs white space before it.
func skipBlank(text []byte, begins bool) int {
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case isSpace(c):
		case c == '#' && (begins || i > 0):
			for i+1 < len(text) && text[i+1] != '\n' && text[i+1] != '\r' {
				i++
			}
		case bytes.HasPrefix(text[i:], []byte(bom)) && i > 0 && (text[i-1] == '\n' || text[i-1] == '\r'):
			i += len(bom) - 1
		default:
			return i
		}
	}
	return len(text)
}

// refusal is valid JSON that is refused all the same.
type refusal struct{ what, detail string }

func (r *refusal) Error() string { return r.what + ": " + r.detail }

const (
	twice    = "a key is in an object twice"
	halfPair = `a \u escape is half of a surrogate pair: the other half is missing`
)

// compact copies the first JSON value of a text, without white space. It returns
// where the value ends or, with an error, about where the error is.
func compact(text []byte) (value []byte, end int, err error) {
	decoder := jsontext.NewDecoder(bytes.NewBuffer(text))
	out := make([]byte, 0, min(len(text), 1<<10))
	type level struct {
		object bool
		count  int // of names and values
	}
	var levels []level
	for {
		kind := decoder.PeekKind()
		if kind != '}' && kind != ']' && len(levels) > 0 {
			now := &levels[len(levels)-1]
			switch {
			case now.object && now.count%2 == 1:
				out = append(out, ':')
			case now.count > 0:
				out = append(out, ',')
			}
			now.count++
		}
		switch kind {
		case '{', '[', '}', ']':
			if _, err = decoder.ReadToken(); err != nil {
				break
			}
			out = append(out, byte(kind))
			if kind == '}' || kind == ']' {
				levels = levels[:len(levels)-1]
			} else if levels = append(levels, level{object: kind == '{'}); len(levels) > MaxDepth {
				err = &refusal{what: tooDeep}
			}
		default:
			var raw jsontext.Value
			if raw, err = decoder.ReadValue(); err != nil {
				break
			}
			switch kind {
			case '"':
				out, err = appendRaw(out, raw)
			case '0':
				if !exact(string(raw)) {
					err = &refusal{what: notJSON, detail: inexact}
				}
				out = append(out, raw...)
			default:
				out = append(out, raw...)
			}
		}
		var syntax *jsontext.SyntacticError
		switch {
		case errors.As(err, &syntax):
			end = min(int(syntax.ByteOffset), len(text))
			end += skipBlank(text[end:], true)
			switch {
			case errors.Is(err, jsontext.ErrDuplicateName):
				err = &refusal{what: notJSON, detail: twice}
			case strings.Contains(err.Error(), "surrogate pair"):
				err = &refusal{what: notJSON, detail: halfPair}
			}
			return nil, end, err
		case err != nil:
			return nil, int(decoder.InputOffset()), err
		case len(levels) == 0:
			return out, int(decoder.InputOffset()), nil
		}
	}
}

// appendRaw appends a JSON string.
func appendRaw(out, raw []byte) ([]byte, error) {
	if bytes.IndexByte(raw, '\\') < 0 {
		return appendString(out, raw[1:len(raw)-1]), nil
	}
	text, err := jsontext.AppendUnquote(nil, raw)
	if err != nil {
		return out, fmt.Errorf("decode a string: %w", err)
	}
	return appendString(out, text), nil
}

const hexadecimal = "0123456789abcdef"

// appendString appends a text as a JSON string which YAML parsers read alike. They
// refuse control characters and byte order marks, take U+0085, U+2028 and U+2029 for
// ends of lines, and do not join surrogates.
func appendString[T string | []byte](out []byte, text T) []byte {
	out = append(out, '"')
	from := 0
	escape := func(at, size int, r rune) {
		out = append(out, text[from:at]...)
		from = at + size
		switch r {
		case '"', '\\':
			out = append(out, '\\', byte(r))
		case '\n':
			out = append(out, '\\', 'n')
		case '\t':
			out = append(out, '\\', 't')
		case '\r':
			out = append(out, '\\', 'r')
		default:
			out = append(out, '\\', 'u', hexadecimal[r>>12&15], hexadecimal[r>>8&15], hexadecimal[r>>4&15], hexadecimal[r&15])
		}
	}
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c < ' ', c == '"', c == '\\', c == 0x7f:
			escape(i, 1, rune(c))
		case c == 0xc2 && text[i+1] < 0xa0:
			escape(i, 2, rune(text[i+1]))
		case c == 0xe2 && text[i+1] == 0x80 && (text[i+2] == 0xa8 || text[i+2] == 0xa9):
			escape(i, 3, 0x2000|rune(text[i+2]&0x3f))
		case c == 0xef && (text[i+1] == 0xbb && text[i+2] == 0xbf || text[i+1] == 0xbf && text[i+2] >= 0xbe):
			escape(i, 3, 0xf000|rune(text[i+1]&0x3f)<<6|rune(text[i+2]&0x3f))
		}
	}
	out = append(out, text[from:]...)
	return append(out, '"')
}

const inexact = "a number has more digits than the API server keeps: put it in quotes"

// exact reports whether the API server can hold a number of JSON. It has 64 bits:
// the digits of a larger integer would be lost. The last digits of a fraction may be.
func exact(number string) bool {
	if _, err := strconv.ParseInt(number, 10, 64); err == nil {
		return true
	}
	if _, err := strconv.ParseUint(number, 10, 64); err == nil {
		return true
	}
	value, err := strconv.ParseFloat(number, 64)
	if err != nil || math.IsInf(value, 0) {
		return false
	}
	digits := strings.TrimLeft(number, "+-0")
	if strings.Trim(digits, "0123456789") != "" {
		return true
	}
	return strings.TrimLeft(strconv.FormatFloat(value, 'f', 0, 64), "-") == digits
}

// Fields returns the names and values of an object that All has returned, or that is
// a part of it; nothing if it is no object.
func Fields(value []byte) iter.Seq2[string, json.RawMessage] {
	return func(yield func(string, json.RawMessage) bool) {
		if len(value) == 0 || value[0] != '{' {
			return
		}
		for at := 1; value[at] != '}'; {
			end := at + length(value[at:])
			name := string(value[at+1 : end-1])
			if strings.IndexByte(name, '\\') >= 0 {
				if decoded, err := jsontext.AppendUnquote(nil, value[at:end]); err == nil {
					name = string(decoded)
				}
			}
			at = end + len(":")
			end = at + length(value[at:])
			if !yield(name, json.RawMessage(value[at:end:end])) {
				return
			}
			if at = end; value[at] == ',' {
				at++
			}
		}
	}
}

// Items returns the items of an array that All has returned, or that is a part of
// it; nothing if it is no array.
func Items(value []byte) iter.Seq[json.RawMessage] {
	return func(yield func(json.RawMessage) bool) {
		if len(value) == 0 || value[0] != '[' {
			return
		}
		for at := 1; value[at] != ']'; {
			end := at + length(value[at:])
			if !yield(json.RawMessage(value[at:end:end])) {
				return
			}
			if at = end; value[at] == ',' {
				at++
			}
		}
	}
}

// length is how long the first value is of JSON that is valid and has no white space.
func length(text []byte) int {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			for i++; text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
		case '{', '[':
			depth++
			continue
		case '}', ']':
			if depth == 0 {
				return i // the end of what a number is in
			}
			depth--
		case ',', ':':
			if depth == 0 {
				return i
			}
			continue
		default:
			continue
		}
		if depth == 0 {
			return i + 1
		}
	}
	return len(text)
}

// AppendText appends a text as a JSON string in the form that Document.JSON has.
func AppendText(out []byte, text string) []byte {
	return appendString(out, strings.ToValidUTF8(text, string(utf8.RuneError)))
}

// Unquote decodes a JSON string that holds a text of documents. What is not valid in
// it, such as half of a surrogate pair, stays so: All says in which line.
func Unquote(value []byte) (text []byte, ok bool) {
	if len(value) < 2 || value[0] != '"' || value[len(value)-1] != '"' || !json.Valid(value) {
		return nil, false
	}
	value = value[1 : len(value)-1]
	text = make([]byte, 0, len(value))
	for len(value) > 0 {
		if value[0] != '\\' {
			text, value = append(text, value[0]), value[1:]
			continue
		}
		c := value[1]
		value = value[2:]
		if at := strings.IndexByte(`bfnrt`, c); at >= 0 {
			c = "\b\f\n\r\t"[at]
		}
		if c != 'u' {
			text = append(text, c)
			continue
		}
		r := codeUnit(value)
		value = value[4:]
		if utf16.IsSurrogate(r) {
			pair := rune(utf8.RuneError)
			if len(value) >= 6 && value[0] == '\\' && value[1] == 'u' {
				pair = utf16.DecodeRune(r, codeUnit(value[2:]))
			}
			if pair == utf8.RuneError {
				text = append(text, invalid)
				continue
			}
			r, value = pair, value[6:]
		}
		text = utf8.AppendRune(text, r)
	}
	return text, true
}

// codeUnit is the number that four hexadecimal digits are.
func codeUnit(digits []byte) rune {
	unit, _ := strconv.ParseUint(string(digits[:4]), 16, 16) // they are: the string is valid
	return rune(unit)
}
