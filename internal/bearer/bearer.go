// Package bearer holds everything about the form of a bearer token: its type, which
// redacts itself however it is printed, logged or marshalled, its prefix and size
// limit, the seal that it passes through state in, and redaction of tokens in text
// that others wrote.
//
// EKS runs aws-iam-authenticator, which defines the form:
// https://github.com/kubernetes-sigs/aws-iam-authenticator, pkg/token/token.go.
package bearer

import (
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
)

const (
	v1Prefix = "k8s-aws-v1."
	// maxTokenLenBytes is the largest token that the authenticator accepts.
	maxTokenLenBytes = 4096
	// Redacted is written in place of a token.
	Redacted = "[REDACTED]"
)

// Token is a bearer token. The zero Token is empty.
//
// The secret stands behind a function: fmt prints unexported fields of an
// enclosing struct by reflection, without calling their methods, and would show
// a string there.
type Token struct{ reveal func() string }

// New makes a Token of a secret.
func New(secret string) Token { return Token{func() string { return secret }} }

// TooLargeError says that the authenticator would refuse a token for its size.
type TooLargeError struct{ Bytes, Max int }

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("the token has %d bytes, and EKS accepts %d", e.Bytes, e.Max)
}

// FromPresignedURL makes a token of a presigned GetCallerIdentity request of STS.
// The error is a *TooLargeError.
func FromPresignedURL(url string) (Token, error) {
	text := v1Prefix + base64.RawURLEncoding.EncodeToString([]byte(url))
	if len(text) > maxTokenLenBytes {
		return Token{}, &TooLargeError{len(text), maxTokenLenBytes}
	}
	return New(text), nil
}

// Reveal returns the token itself, for the Authorization header or the seal.
func (t Token) Reveal() string {
	if t.reveal == nil {
		return ""
	}
	return t.reveal()
}

// Format redacts the token under every verb of fmt.
func (Token) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, Redacted) }

// MarshalText redacts the token in JSON, and wherever else text is asked for.
func (Token) MarshalText() ([]byte, error) { return []byte(Redacted), nil }

// LogValue redacts the token in slog.
func (Token) LogValue() slog.Value { return slog.StringValue(Redacted) }
