package clusterlist

import (
	"bytes"
	"encoding/binary"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Text is a list as text in UTF-8, which it is in, or in UTF-16 with a byte order mark, as programs of
// Windows write it. It loses no character: what is wrong is a problem.
func Text(content []byte) ([]byte, *Problem) {
	if len(content) > MaxBytes {
		return nil, problem(0, "it has %d bytes: expected at most %d", len(content), MaxBytes)
	}
	switch {
	case bytes.HasPrefix(content, []byte{0xFF, 0xFE}):
		return fromUTF16(content[2:], binary.LittleEndian)
	case bytes.HasPrefix(content, []byte{0xFE, 0xFF}):
		return fromUTF16(content[2:], binary.BigEndian)
	}
	text := bytes.TrimPrefix(content, []byte("\xEF\xBB\xBF"))
	if at := invalid(text); at >= 0 {
		return nil, problem(1+bytes.Count(text[:at], []byte("\n")), "is not text in UTF-8: expected UTF-8")
	}
	return text, nil
}

func fromUTF16(content []byte, order binary.ByteOrder) (text []byte, wrong *Problem) {
	if len(content)%2 != 0 {
		return nil, problem(0, "it ends within a character of UTF-16: expected UTF-8")
	}
	units := make([]uint16, len(content)/2)
	for i := range units {
		units[i] = order.Uint16(content[2*i:])
	}
	line := 1
	for i := 0; i < len(units); i++ {
		r := rune(units[i])
		if utf16.IsSurrogate(r) {
			if i++; i == len(units) {
				return nil, problem(line, "is not text in UTF-16: expected UTF-8")
			}
			if r = utf16.DecodeRune(r, rune(units[i])); r == unicode.ReplacementChar {
				return nil, problem(line, "is not text in UTF-16: expected UTF-8")
			}
		}
		if r == '\n' {
			line++
		}
		text = utf8.AppendRune(text, r)
	}
	return text, nil
}

// invalid is where the first byte is that is not UTF-8, or -1.
func invalid(text []byte) int {
	for at := 0; at < len(text); {
		r, size := utf8.DecodeRune(text[at:])
		if r == utf8.RuneError && size == 1 {
			return at
		}
		at += size
	}
	return -1
}
