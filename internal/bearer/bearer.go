// Package bearer holds a Kubernetes bearer token where it may be used, and
// nowhere else: however a Token is printed, logged or marshalled, it is redacted.
package bearer

import (
	"fmt"
	"io"
	"log/slog"
)

// Redacted is what stands where a token would.
const Redacted = "[REDACTED]"

// Token is a bearer token. The zero Token is empty.
//
// The secret stands behind a function: fmt prints unexported fields of an
// enclosing struct by reflection, without calling their methods, and would show
// a string there.
type Token struct{ reveal func() string }

// New makes a Token of a secret.
func New(secret string) Token { return Token{func() string { return secret }} }

// Reveal is the token itself, for the Authorization header or the seal.
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
