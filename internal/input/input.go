// Package input reads the execution input before anything is called. It names
// every problem at once, each with its field. A workflow reads its own request with
// it, member by member.
package input

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/kubestep/kubestep/internal/contract"
)

const (
	// maxProblems bounds the problems that are named; the others are counted.
	maxProblems = 20
	// systemKeys begins the keys that Step Functions itself adds to an input, such as
	// AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID.
	systemKeys = "AWS_STEP_FUNCTIONS_"
)

// Problem is one thing that is wrong with the input.
type Problem struct {
	// Field is where, such as "namespaces[1]" or "output.bucket".
	Field string
	// Text says what is there and what is expected.
	Text string
}

func (p Problem) Error() string { return p.Field + ": " + p.Text }

// Fields are the members of a JSON object. A method that reads one leaves its
// target as it is if the member is missing or null, so that the target holds the
// default. A member that no method reads is a problem: it is most likely mistyped.
type Fields struct {
	prefix  string // of nested objects, such as "output."
	members map[string]json.RawMessage
	known   []string
	nested  []*Fields
	found   *problems // shared with the nested objects
	// notObject means that there are no members because the value is of another type,
	// which is a problem already: no member is missing beside it.
	notObject bool
}

// problems are the first of all that were found.
type problems struct {
	list []Problem
	more int
	// withheld means that no problem may quote what was read.
	withheld bool
}

// Read begins to read a JSON object. Empty text counts as an empty object. example
// is an object that a person may take as a pattern.
func Read(raw json.RawMessage, example string) *Fields {
	f := &Fields{found: &problems{}}
	if len(bytes.TrimSpace(raw)) == 0 {
		return f
	}
	if err := json.Unmarshal(raw, &f.members); err != nil || f.members == nil {
		f.Problem("input", "expected a JSON object such as %s, not %s", example, kind(raw))
		f.members, f.notObject = nil, true
	}
	for _, path := range Repeated(raw) {
		f.Problem(path, "is there twice: expected each key once")
	}
	return f
}

// Withhold keeps what is read out of the problems, which say only where it is and what
// is expected: whoever reads the problems may not be allowed to read the values.
func (f *Fields) Withhold() { f.found.withheld = true }

// Quote is [Quote], or words in its place if values are withheld.
func (f *Fields) Quote(s string) string {
	if f.found.withheld {
		return "the value"
	}
	return Quote(s)
}

// String reads a string.
func (f *Fields) String(key string, into *string) { f.decode(key, into, "a string") }

// Int reads a whole number, however it is written: 100, 100.0 or 1e2.
func (f *Fields) Int(key string, into *int) {
	raw := f.Raw(key)
	if raw == nil || json.Unmarshal(raw, into) == nil {
		return
	}
	const most = 1 << 53 // from here on, not every whole number is a float64
	var number float64
	switch err := json.Unmarshal(raw, &number); {
	case err != nil:
		f.Problem(key, "expected a whole number, not %s", f.number(raw))
	case number != math.Trunc(number) || math.Abs(number) > most:
		f.Problem(key, "expected a whole number, not %s", f.number(raw))
	default:
		*into = int(number)
	}
}

// number is a value that is no whole number, in the words of a problem.
func (f *Fields) number(raw json.RawMessage) string {
	const most = 24 // bytes
	if raw = bytes.TrimSpace(raw); kind(raw) != aNumber || len(raw) > most || f.found.withheld {
		return kind(raw)
	}
	return string(raw)
}

// Bool reads true or false.
func (f *Fields) Bool(key string, into *bool) { f.decode(key, into, "true or false") }

// Strings reads an array of strings.
func (f *Fields) Strings(key string, into *[]string) {
	const want = "an array of strings"
	raw := f.Raw(key)
	if raw == nil {
		return
	}
	var elements []json.RawMessage
	if err := json.Unmarshal(raw, &elements); err != nil {
		f.Problem(key, "expected %s, not %s", want, kind(raw))
		return
	}
	read := make([]string, len(elements))
	for i, element := range elements {
		// encoding/json reads null as the empty string.
		if k := kind(element); k != "a string" {
			f.Problem(key, "expected %s, not an array with %s at [%d]", want, k, i)
			return
		}
		if err := json.Unmarshal(element, &read[i]); err != nil {
			f.Problem(fmt.Sprintf("%s[%d]", key, i), "is not a valid string: %v", err)
			return
		}
	}
	*into = read
}

// Object reads a nested object, whose members are read from what it returns. It
// reports whether the member is there. example is as in [Read].
func (f *Fields) Object(key, example string) (nested *Fields, given bool) {
	nested = &Fields{prefix: f.prefix + key + ".", found: f.found}
	raw := f.Raw(key)
	if raw == nil {
		return nested, false
	}
	if err := json.Unmarshal(raw, &nested.members); err != nil {
		nested.members, nested.notObject = nil, true
		f.Problem(key, "expected an object such as %s, not %s", example, kind(raw))
		return nested, true
	}
	f.nested = append(f.nested, nested)
	return nested, true
}

// Raw reads a member as it is; nil if it is missing or null.
func (f *Fields) Raw(key string) json.RawMessage {
	f.known = append(f.known, key)
	raw := f.members[key]
	if string(raw) == "null" {
		return nil
	}
	return raw
}

func (f *Fields) decode(key string, into any, want string) {
	raw := f.Raw(key)
	if raw == nil {
		return
	}
	if err := json.Unmarshal(raw, into); err != nil {
		f.Problem(key, "expected %s, not %s", want, kind(raw))
	}
}

// Ignore takes all members as read: there is a problem already that makes them irrelevant.
func (f *Fields) Ignore() {
	for key := range f.members {
		f.known = append(f.known, key)
	}
}

// Problem adds a problem with a field of this object. The first problem of a field
// is kept: a value of the wrong type is not also a value that is missing, nor one
// whose members are.
func (f *Fields) Problem(field, format string, args ...any) {
	if f.notObject {
		return
	}
	field = f.prefix + field
	if f.HasProblem(strings.TrimPrefix(field, f.prefix)) {
		return
	}
	if len(f.found.list) >= maxProblems {
		f.found.more++
		return
	}
	f.found.list = append(f.found.list, Problem{field, fmt.Sprintf(format, args...)})
}

// HasProblem reports whether a problem of a field of this object was found.
func (f *Fields) HasProblem(field string) bool {
	return slices.ContainsFunc(f.found.list, func(p Problem) bool { return p.Field == f.prefix+field })
}

// HasProblems reports whether any problem was found so far.
func (f *Fields) HasProblems() bool { return len(f.found.list) > 0 }

// Err returns nil if the input has no problems, and else a contract.InvalidInput
// that names them. Each is a Problem to errors.As. It is called once, after all
// members are read.
func (f *Fields) Err() error {
	f.unknown()
	if len(f.found.list) == 0 {
		return nil
	}
	all, texts := make([]error, len(f.found.list)), make([]string, len(f.found.list))
	for i, problem := range f.found.list {
		all[i], texts[i] = problem, problem.Error()
	}
	more := ""
	if f.found.more > 0 {
		more = fmt.Sprintf(". And %d more", f.found.more)
	}
	return &contract.Error{
		Name:    contract.InvalidInput,
		Message: fmt.Sprintf("The execution input has %s. %s%s", contract.Counted(len(all)+f.found.more, "problem"), strings.Join(texts, ". "), more),
		Err:     errors.Join(all...),
	}
}

// unknown adds a problem for each member that was not read.
func (f *Fields) unknown() {
	for _, key := range slices.Sorted(maps.Keys(f.members)) {
		if slices.Contains(f.known, key) || f.prefix == "" && strings.HasPrefix(key, systemKeys) {
			continue
		}
		if len(f.found.list) >= maxProblems {
			f.found.more++ // without looking for what was meant
			continue
		}
		if f.found.withheld {
			f.Problem("a key", "is unknown%s", suggest(key, f.known))
			continue
		}
		f.Problem(Quote(key), "unknown key%s", suggest(key, f.known))
	}
	for _, nested := range f.nested {
		nested.unknown()
	}
}

// Quote quotes what a person typed, with control characters escaped and its length
// bounded.
func Quote(s string) string {
	const most = 80 // bytes
	if len(s) > most {
		return fmt.Sprintf("%q… (%d bytes)", strings.ToValidUTF8(s[:most], ""), len(s))
	}
	return fmt.Sprintf("%q", s)
}

// kind names the JSON type of a value. It looks at the first character, however
// deep the value is nested.
func kind(raw json.RawMessage) string {
	raw = bytes.TrimSpace(raw)
	if !json.Valid(raw) {
		return "text that is not JSON"
	}
	switch raw[0] {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	default:
		return aNumber
	}
}

// aNumber is the kind of a number.
const aNumber = "a number"

// suggest names the known key that a person most likely meant.
func suggest(key string, known []string) string {
	for _, k := range known {
		if Alike(k, key) {
			return fmt.Sprintf(": expected %q?", k)
		}
	}
	// A member may be read more than once.
	var each []string
	for _, k := range known {
		if !slices.Contains(each, k) {
			each = append(each, k)
		}
	}
	return ": expected one of " + strings.Join(each, ", ")
}

// Alike reports whether two words differ only in capitals or in two letters, so that one
// may be a misspelling of the other.
func Alike(a, b string) bool {
	return strings.EqualFold(a, b) || distance(strings.ToLower(a), strings.ToLower(b)) <= 2
}

// distance is the Levenshtein distance of two keys; of long ones it is large.
func distance(a, b string) int {
	const far = 64
	if len(a) > far || len(b) > far {
		return far
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			substituted := diagonal
			if a[i] != b[j] {
				substituted++
			}
			diagonal = row[j+1]
			row[j+1] = min(substituted, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
