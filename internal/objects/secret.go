package objects

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/kubestep/kubestep/internal/contract"
)

// This file decides what may be told of a Secret. What an API server or a webhook says
// about an object may hold any of its values, in any writing, and a value that is
// replaced still shows where it was: a value such as d is told by what is missing from
// each word. So a text is passed on whole, or not at all.

// messageOf is what an API server says about the object, on one line, without the values of a
// Secret.
func (o Object) messageOf(status metav1.Status) string {
	if !o.IsSecret() {
		return said(status)
	}
	if fields := o.fields(status); len(fields) > 0 {
		return strings.Join(contract.Few(fields, maxNamed), ", ")
	}
	text := said(status)
	if !isNotTyped(status) && !isStoredOtherwise(status) && newTrace(text).none(o) {
		return text
	}
	return unsaid(text, "kubectl apply --server-side --dry-run=server shows it")
}

// toldOf is another text about the object, such as a warning.
func (o Object) toldOf(text string) string {
	if !o.IsSecret() || newTrace(text).none(o) {
		return text
	}
	return unsaid(text, "kubectl apply --server-side shows it")
}

// The sentences of the API server that say what is wrong and hold nothing of an object.
var harmless = []string{"field is immutable", "illegal base64 data", "exceeded quota", "is being terminated", "must be no more than", "is too large"}

// denier is how the API server begins what a webhook or a policy says, with its name.
var denier = regexp.MustCompile(`^(?:\S+ "[^"]*" is (?:forbidden|invalid):[ :]*)?((?:admission webhook "[a-z0-9.-]+"|ValidatingAdmissionPolicy '[a-z0-9.-]+' with binding '[a-z0-9.-]+') denied (?:the )?request)`)

func unsaid(text, where string) string {
	if m := denier.FindStringSubmatch(text); m != nil {
		return fmt.Sprintf("%s (why is left out, because it may hold a value of the Secret: %s)", m[1], where)
	}
	for _, sentence := range harmless {
		if strings.Contains(text, sentence) {
			return fmt.Sprintf("%q (the rest is left out, because it may hold a value of the Secret: %s)", sentence, where)
		}
	}
	return fmt.Sprintf("(what it says is left out, because it may hold a value of the Secret: %s)", where)
}

// redacted is an error about the object without the values of a Secret.
func (o Object) redacted(err error) error {
	if !o.IsSecret() {
		return err
	}
	if status := apierrors.APIStatus(nil); !errors.As(err, &status) {
		if newTrace(err.Error()).noneOfLong(o) {
			return err
		}
		return errors.New("(what it says is left out, because it may hold a value of the Secret)")
	}
	clean := statusOf(err)
	clean.Message = o.messageOf(clean)
	if clean.Details != nil {
		details := *clean.Details
		details.Causes = nil
		clean.Details = &details
	}
	return &apierrors.StatusError{ErrStatus: clean}
}

// reasons are the words of the API server for what is wrong with a field.
var reasons = map[metav1.CauseType]string{
	metav1.CauseTypeFieldValueNotFound: "Not found", metav1.CauseTypeFieldValueRequired: "Required value", metav1.CauseTypeFieldValueDuplicate: "Duplicate value",
	metav1.CauseTypeFieldValueInvalid: "Invalid value", metav1.CauseTypeFieldValueNotSupported: "Unsupported value", metav1.CauseTypeForbidden: "Forbidden",
	metav1.CauseTypeTooLong: "Too long", metav1.CauseTypeTooMany: "Too many", metav1.CauseTypeInternal: "Internal error", metav1.CauseTypeTypeInvalid: "Invalid type",
}

// fields say which fields of a Secret are wrong, and why, without what is in them.
func (o Object) fields(status metav1.Status) []string {
	if status.Details == nil {
		return nil
	}
	var texts []string
	for _, cause := range status.Details.Causes {
		if cause.Field == "" {
			continue
		}
		text := o.path(cause.Field) + ": "
		if reason, known := reasons[cause.Type]; known {
			text += reason
		} else {
			text += "it is not accepted"
		}
		for _, sentence := range harmless {
			if strings.Contains(cause.Message, sentence) {
				text += ": " + sentence
				break
			}
		}
		if !slices.Contains(texts, text) {
			texts = append(texts, text)
		}
	}
	return texts
}

var pathRoot = regexp.MustCompile(`^(data|stringData|metadata(?:\.[a-zA-Z]+)?|type|immutable|kind|apiVersion)\b`)

// requiredKeys are those that the types of Secrets need.
// https://kubernetes.io/docs/concepts/configuration/secret/#secret-types
var requiredKeys = []string{"tls.crt", "tls.key", ".dockerconfigjson", ".dockercfg", "username", "password", "ssh-privatekey", "token-id", "token-secret"}

// path is a path of a field, as far as the object itself has it: a webhook may name any.
func (o Object) path(field string) string {
	root := pathRoot.FindString(field)
	if root == "" {
		return "a field"
	}
	var object map[string]any
	if json.Unmarshal(o.JSON, &object) != nil {
		return root
	}
	for _, part := range strings.Split(root, ".") {
		object, _ = object[part].(map[string]any)
	}
	for _, key := range slices.Concat(slices.Collect(maps.Keys(object)), requiredKeys) {
		if len(validation.IsConfigMapKey(key)) > 0 {
			continue // it may be a part of a value
		}
		if rest := field[len(root):]; rest == "["+key+"]" || rest == "."+key {
			return contract.Clip(field, maxPath)
		}
	}
	return root
}

const (
	// window is how many characters in a row, or letters and digits, a text may not share
	// with a value.
	window = 8
	// maxTrace bounds, in bytes, the text that is looked at; what is told is shorter.
	maxTrace = 16 << 10
)

// trace finds values in a text, in any writing: quoted, escaped, encoded, folded, cut.
type trace struct {
	windows map[[window]byte]bool
	long    bool // the text is too long to be looked at
}

func newTrace(text string) trace {
	t := trace{windows: map[[window]byte]bool{}, long: len(text) > maxTrace}
	if t.long {
		return t
	}
	t.add(text)
	t.add(html.UnescapeString(text))
	if unescaped, err := url.PathUnescape(text); err == nil {
		t.add(unescaped)
	}
	for range 3 { // JSON in JSON in a quoted text
		text = unescape(text)
		t.add(text)
	}
	return t
}

func (t trace) add(text string) {
	for _, of := range [][]byte{[]byte(text), squeeze(text)} {
		for i := 0; i+window <= len(of); i++ {
			t.windows[[window]byte(of[i:])] = true
		}
	}
}

// none reports whether nothing of the object's values is in the text. Of a value that
// has fewer letters and digits than a window that cannot be said.
func (t trace) none(o Object) bool {
	for value := range o.values() {
		if value != "" && len(squeeze(value)) < window {
			return false
		}
	}
	return t.noneOfLong(o)
}

// noneOfLong is none, without the short values: for a text that the client made.
func (t trace) noneOfLong(o Object) bool {
	if t.long {
		return false
	}
	for value := range o.values() {
		for _, form := range []func(string) string{
			func(v string) string { return v },
			unescape,
			strconv.QuoteToASCII, // as it is if the backslashes are lost, as in a warning
			func(v string) string { return base64.StdEncoding.EncodeToString([]byte(v)) },
			// As a part of something larger that is encoded.
			func(v string) string { return base64.StdEncoding.EncodeToString([]byte("x" + v))[2:] },
			func(v string) string { return base64.StdEncoding.EncodeToString([]byte("xx" + v))[3:] },
			func(v string) string { return hex.EncodeToString([]byte(v)) },
		} {
			if t.has(form(value)) {
				return false
			}
		}
	}
	return true
}

func (t trace) has(value string) bool {
	for _, of := range [][]byte{[]byte(value), squeeze(value)} {
		for i := 0; i+window <= len(of); i++ {
			if t.windows[[window]byte(of[i:])] {
				return true
			}
		}
	}
	return false
}

// values are the values of a Secret, also those that kubectl and others keep in
// annotations.
func (o Object) values() func(func(string) bool) {
	var secret struct {
		Data       map[string]string `json:"data"`
		StringData map[string]string `json:"stringData"`
		Metadata   struct {
			Annotations map[string]string `json:"annotations"`
		} `json:"metadata"`
	}
	_ = json.Unmarshal(o.JSON, &secret) // whoever read it has seen that they are strings
	return func(yield func(string) bool) {
		for _, value := range secret.StringData {
			if !yield(value) {
				return
			}
		}
		for _, value := range secret.Data {
			plain, err := base64.StdEncoding.DecodeString(value)
			if err != nil {
				plain = []byte(value) // which the API server refuses
			}
			if !yield(string(plain)) {
				return
			}
		}
		for _, value := range secret.Metadata.Annotations {
			// Others are words such as true.
			if strings.HasPrefix(strings.TrimSpace(value), "{") && !yield(value) {
				return
			}
		}
	}
}

// squeeze leaves the letters and digits of a text, in lower case: what is between them
// depends on how it is written.
func squeeze(text string) []byte {
	squeezed := make([]byte, 0, len(text))
	for i := range len(text) {
		switch c := text[i]; {
		case c >= 'A' && c <= 'Z':
			squeezed = append(squeezed, c+'a'-'A')
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c >= utf8.RuneSelf:
			squeezed = append(squeezed, c)
		}
	}
	return squeezed
}

// unescape takes back the escapes of Go, JSON and YAML, wherever they are in a text.
func unescape(text string) string {
	if !strings.Contains(text, `\`) {
		return text
	}
	var b strings.Builder
	for len(text) > 0 {
		at := strings.IndexByte(text, '\\')
		if at < 0 {
			break
		}
		b.WriteString(text[:at])
		text = text[at:]
		r, multibyte, tail, err := strconv.UnquoteChar(text, 0)
		switch {
		case err == nil && !multibyte && r >= utf8.RuneSelf:
			b.WriteByte(byte(r)) //nolint:gosec // it is one byte
			text = tail
		case err == nil:
			b.WriteRune(r)
			text = tail
		default: // \" \' \/ and what is no escape
			text = text[1:]
			if len(text) > 0 {
				b.WriteByte(text[0])
				text = text[1:]
			}
		}
	}
	b.WriteString(text)
	return b.String()
}
