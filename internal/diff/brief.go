package diff

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/kubestep/kubestep/internal/contract"
)

// MaxBrief bounds a value in Values, in bytes, without the mark of where it is cut.
const MaxBrief = 64

var (
	// credentials are in names of what people keep secret in objects that are no Secrets, such as
	// an environment variable DB_PASS, and in such values: a key in PEM, and that in base64; what
	// a JWT, and the credentials of a registry in base64, begin with; hashes of passwords; and
	// what services begin their own with.
	credentials = []string{
		"pass", "pwd", "secret", "token", "credential", "bearer ", "signature", "sig=", "@tcp(", "@unix(", "-----begin", "ls0tls1crudjti",
		"jwt", "eyjhbgci", "eyj0exai", "eyjrawqi", "eyjhdxrocyi", "$apr1$", "$2a$", "$2b$", "$2y$", "{sha}",
		"ghp_", "gho_", "ghs_", "github_pat_", "glpat-", "xoxb-", "xoxp-", "sk_live_", "hooks.slack.com/",
	}
	// patterns match what takes more than a word, such as a password in a URL. None is looked for
	// without its words, since a pattern takes a hundred times as long.
	patterns = []struct {
		words   []string
		pattern *regexp.Regexp
	}{
		{[]string{"key"}, regexp.MustCompile(`(access|account|api|app|application|client|cookie|deploy|encryption|fernet|hmac|licen[cs]e|master|priv|private|server|session|signing|ssh|storage|tls)[-_. ]?key`)},
		{[]string{"auth"}, regexp.MustCompile(`(^|[^a-z]|basic|proxy|smtp)auth([^a-z]|$)|authorization: `)},
		{[]string{"pw"}, regexp.MustCompile(`(^|[^a-z])pw([^a-z]|$)`)},
		{[]string{"://", "@"}, regexp.MustCompile(`://[^/\s@]+@|://[^\s@]*:[^\s@]*@`)},
	}
)

// NamesCredential reports whether a text has the name of a credential in it, or what looks like
// one. Nobody can tell for sure.
func NamesCredential(text string) bool {
	text = strings.ToLower(text)
	has := func(word string) bool { return strings.Contains(text, word) }
	if slices.ContainsFunc(credentials, has) {
		return true
	}
	for _, p := range patterns {
		if !slices.ContainsFunc(p.words, func(word string) bool { return !has(word) }) && p.pattern.MatchString(text) {
			return true
		}
	}
	return false
}

// holdsCredential looks at all of a value, however little of it is shown: its name may be
// where the value is cut.
func holdsCredential(value any) bool {
	switch v := value.(type) {
	case string:
		return NamesCredential(v)
	case map[string]any:
		for key, member := range v {
			if NamesCredential(key) || holdsCredential(member) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(v, holdsCredential)
	}
	return false
}

// Values are the value before and the value after, as JSON on one line of at most MaxBrief
// bytes each; empty where there is none, and both empty if they must not be shown, as where
// the path, what is beside it, or anything in the value names a credential. Of two
// long texts, what is alike at the beginning is left out, so that the difference is seen.
func (c Change) Values() (before, after string) {
	if c.old == hidden || c.new == hidden || NamesCredential(c.path) || slices.ContainsFunc(c.beside[:], holdsCredential) || holdsCredential(c.old) || holdsCredential(c.new) {
		return "", ""
	}
	old, isText := c.old.(string)
	next, areTexts := c.new.(string)
	if isText && areTexts && (max(len(old), len(next)) > MaxBrief || max(len(quote(old)), len(quote(next))) > MaxBrief) {
		skip := alike(old, next)
		return briefText(old, skip), briefText(next, skip)
	}
	return brief(c.old), brief(c.new)
}

// contextBytes is how many bytes of what is alike are left before a difference.
const contextBytes = 16

// alike is where two texts begin to differ, less the context; 0 if that is near the beginning.
func alike(a, b string) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	if n -= contextBytes; n <= contextBytes {
		return 0
	}
	for n > 0 && !utf8.RuneStart(a[n]) {
		n--
	}
	return n
}

// briefText quotes a text from an offset on.
func briefText(text string, from int) string {
	begin := ""
	if from > 0 {
		begin = "…"
	}
	return contract.Clip(quote(begin+text[from:min(len(text), from+MaxBrief+utf8.UTFMax)]), MaxBrief)
}

// quote is a text as JSON has it. What nobody sees is escaped, too, as the direction of writing.
func quote(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r > 0xFFFF:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// brief is a value as JSON, no more of which is written than is shown.
func brief(value any) string {
	if value == nil {
		return ""
	}
	var b strings.Builder
	writeBrief(&b, value)
	return contract.Clip(b.String(), MaxBrief)
}

func writeBrief(b *strings.Builder, value any) {
	if b.Len() > MaxBrief {
		return
	}
	switch v := value.(type) {
	case nil:
		b.WriteString("null")
	case string:
		b.WriteString(quote(v[:min(len(v), MaxBrief+utf8.UTFMax)]))
	case map[string]any:
		b.WriteByte('{')
		for i, key := range slices.Sorted(maps.Keys(v)) {
			if b.Len() > MaxBrief {
				return
			}
			if i > 0 {
				b.WriteByte(',')
			}
			writeBrief(b, key)
			b.WriteByte(':')
			writeBrief(b, v[key])
		}
		b.WriteByte('}')
	case []any:
		b.WriteByte('[')
		for i, item := range v {
			if b.Len() > MaxBrief {
				return
			}
			if i > 0 {
				b.WriteByte(',')
			}
			writeBrief(b, item)
		}
		b.WriteByte(']')
	default:
		fmt.Fprint(b, v)
	}
}
