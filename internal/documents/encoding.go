package documents

import (
	"bytes"
	"encoding/binary"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	bom = "\ufeff"
	// invalid stands for what cannot be decoded: no UTF-8 has this byte.
	invalid = '\xff'
)

// toUTF8 decodes a text by its byte order mark or, without one, by the zeros of its
// first character: https://yaml.org/spec/1.2.2/#52-character-encodings
func toUTF8(text []byte) ([]byte, string) {
	begins := func(with string) bool { return bytes.HasPrefix(text, []byte(with)) }
	zeros := func(pattern string) bool {
		for i := range pattern {
			if len(text) < len(pattern) || (text[i] == 0) != (pattern[i] == '0') {
				return false
			}
		}
		return true
	}
	switch {
	case begins("\x00\x00\xfe\xff"), zeros("000x"):
		return fromUTF32(text, binary.BigEndian), "UTF-32"
	case begins("\xff\xfe\x00\x00"), zeros("x000"):
		return fromUTF32(text, binary.LittleEndian), "UTF-32"
	case begins("\xfe\xff"), zeros("0x"):
		return fromUTF16(text, binary.BigEndian), "UTF-16"
	case begins("\xff\xfe"), zeros("x0"):
		return fromUTF16(text, binary.LittleEndian), "UTF-16"
	default:
		return text, "UTF-8"
	}
}

func fromUTF16(text []byte, order binary.ByteOrder) []byte {
	decoded := make([]byte, 0, len(text))
	for ; len(text) >= 2; text = text[2:] {
		r := rune(order.Uint16(text))
		if utf16.IsSurrogate(r) {
			pair := rune(utf8.RuneError)
			if len(text) >= 4 {
				pair = utf16.DecodeRune(r, rune(order.Uint16(text[2:])))
			}
			if pair == utf8.RuneError {
				decoded = append(decoded, invalid)
				continue
			}
			r, text = pair, text[2:]
		}
		decoded = utf8.AppendRune(decoded, r)
	}
	if len(text) > 0 {
		decoded = append(decoded, invalid)
	}
	return decoded
}

func fromUTF32(text []byte, order binary.ByteOrder) []byte {
	decoded := make([]byte, 0, len(text)/2)
	for ; len(text) >= 4; text = text[4:] {
		r := order.Uint32(text)
		if r > utf8.MaxRune || !utf8.ValidRune(rune(r)) {
			decoded = append(decoded, invalid)
			continue
		}
		decoded = utf8.AppendRune(decoded, rune(r))
	}
	if len(text) > 0 {
		decoded = append(decoded, invalid)
	}
	return decoded
}
