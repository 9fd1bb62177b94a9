package bearer

import (
	"bytes"
	"regexp"
)

// inTheClear is a token as any text may hold it. What follows the prefix is
// base64url: https://github.com/kubernetes-sigs/aws-iam-authenticator, pkg/token/token.go.
var inTheClear = regexp.MustCompile(`k8s-aws-v1\.[A-Za-z0-9_=-]*`)

// Redact redacts the tokens in a text that somebody else has written: a proxy
// that quotes the request it refuses quotes its headers too.
func Redact(text string) string { return inTheClear.ReplaceAllLiteralString(text, Redacted) }

// RedactBytes is Redact of a text in bytes. Where it holds no token, as nearly
// always, that is the same text, and takes one search for the prefix.
func RedactBytes(text []byte) []byte {
	if !bytes.Contains(text, []byte("k8s-aws-v1.")) {
		return text
	}
	return inTheClear.ReplaceAllLiteral(text, []byte(Redacted))
}
