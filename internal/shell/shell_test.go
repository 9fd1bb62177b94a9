package shell_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/kubestep/kubestep/internal/shell"
)

func TestAWordIsQuotedIfTheShellWouldReadAnother(t *testing.T) {
	for word, want := range map[string]string{
		"arn:aws:iam::111122223333:role/path/a+b=c,d.@e-f_g": "arn:aws:iam::111122223333:role/path/a+b=c,d.@e-f_g",
		"":            "''",
		"a b":         "'a b'",
		"$(id)":       "'$(id)'",
		"a;b":         "'a;b'",
		"`id`":        "'`id`'",
		"it's":        `'it'\''s'`,
		"a$b":         "'a$b'",
		"a\nb":        "'a\nb'",
		"läuft":       "'läuft'",
		"~root":       "'~root'",
		"a\\b":        `'a\b'`,
		"plain-0.1_2": "plain-0.1_2",
	} {
		assert.Equal(t, want, shell.Quote(word))
	}
}
