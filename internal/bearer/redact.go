package bearer

import (
	"bytes"
	"regexp"
	"strings"
)

// readable matches a token in any text. What follows the prefix is base64url.
var readable = regexp.MustCompile(regexp.QuoteMeta(v1Prefix) + `[A-Za-z0-9_=-]*`)

// Redact redacts the tokens in a text that somebody else wrote: a proxy that quotes
// the request it refuses quotes its headers too.
func Redact(text string) string {
	if !strings.Contains(text, v1Prefix) {
		return text
	}
	return readable.ReplaceAllLiteralString(text, Redacted)
}

// RedactBytes is Redact for bytes. Text without a token, which is nearly all, is
// returned as it is, after one search for the prefix.
func RedactBytes(text []byte) []byte {
	if !bytes.Contains(text, []byte(v1Prefix)) {
		return text
	}
	return readable.ReplaceAllLiteral(text, []byte(Redacted))
}
