package documents_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	yamlv2 "go.yaml.in/yaml/v2"

	"github.com/kubestep/kubestep/internal/documents"
)

// read returns what All reads, and its problems.
func read(text string) (found []documents.Document, problems []*documents.Problem) {
	for document, err := range documents.All([]byte(text)) {
		var problem *documents.Problem
		if errors.As(err, &problem) {
			problems = append(problems, problem)
			continue
		}
		found = append(found, document)
	}
	return found, problems
}

// FuzzDocuments compares with the parser that kubectl has, which is given the whole
// text at once: whatever is read is what it reads, or else there is a problem.
func FuzzDocuments(f *testing.F) {
	files, err := filepath.Glob("testdata/cases/*")
	require.NoError(f, err)
	require.NotEmpty(f, files)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(f, err)
		f.Add(text)
	}
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		found, problems := read(string(text))
		for _, document := range found {
			requireSameInYAML(t, document.JSON)
		}
		if len(problems) > 0 {
			return
		}
		want, err := inJSON(text)
		if err != nil {
			// The other parser makes a part of a key of the byte order mark of a second file.
			for _, end := range []string{"\n", "\r", "---\n\ufeff"} {
				text = bytes.ReplaceAll(text, []byte(end+"\ufeff"), []byte(end))
			}
			want, err = inYAML(text)
		}
		if err != nil {
			t.Skip("refused by the other parser: " + err.Error())
		}
		require.Len(t, found, len(want), "as many documents as the other parser reads")
		if bytes.Contains(text, []byte("<<")) {
			return // there, the last of a key and a merge overrides the other: see TestMerges
		}
		for i, document := range found {
			assert.Equal(t, want[i], decoded(t, document.JSON))
		}
	})
}

// requireSameInYAML requires that JSON means the same as YAML: this is how it is sent.
func requireSameInYAML(t *testing.T, text []byte) {
	t.Helper()
	require.True(t, json.Valid(text))
	require.True(t, utf8.Valid(text))
	if longKey(text) {
		return
	}
	var tree any
	require.NoError(t, yamlv2.Unmarshal(text, &tree), "%s", text)
	same, err := jsonable(tree)
	require.NoError(t, err)
	require.Equal(t, decoded(t, text), same)
}

// decoded is JSON as the API server holds it.
func decoded(t *testing.T, text []byte) any {
	t.Helper()
	var value any
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	require.NoError(t, decoder.Decode(&value))
	value, err := jsonable(value)
	require.NoError(t, err)
	return value
}

// inJSON reads nothing but JSON values.
func inJSON(text []byte) ([]any, error) {
	if first := bytes.TrimSpace(text); len(first) == 0 || first[0] != '{' && first[0] != '[' {
		return nil, errors.New("in JSON, an object begins with {")
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	return readAll(decoder)
}

// inYAML reads the YAML documents that are not empty.
func inYAML(text []byte) ([]any, error) { return readAll(yamlv2.NewDecoder(bytes.NewReader(text))) }

// readAll reads the values that are not empty.
func readAll(decoder interface{ Decode(value any) error }) (all []any, err error) {
	for {
		var value any
		err := decoder.Decode(&value)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		if value, err = jsonable(value); err != nil {
			return nil, err
		}
		if value != nil {
			all = append(all, value)
		}
	}
}

// jsonable does what sigs.k8s.io/yaml does: it makes texts of keys, and numbers of
// numbers.
func jsonable(value any) (any, error) {
	switch value := value.(type) {
	case map[any]any:
		object := map[string]any{}
		for key, of := range value {
			name, err := keyOf(key)
			if err != nil {
				return nil, err
			}
			if _, again := object[name]; again {
				return nil, errors.New("a key twice")
			}
			if object[name], err = jsonable(of); err != nil {
				return nil, err
			}
		}
		return object, nil
	case map[string]any:
		for name := range value {
			var err error
			if value[name], err = jsonable(value[name]); err != nil {
				return nil, err
			}
		}
		return value, nil
	case []any:
		for i := range value {
			var err error
			if value[i], err = jsonable(value[i]); err != nil {
				return nil, err
			}
		}
		return value, nil
	case int:
		return json.Number(strconv.Itoa(value)), nil
	case json.Number:
		if whole, ok := wholeNumber(string(value)); ok {
			return whole, nil
		}
		f, err := value.Float64()
		if err != nil {
			return nil, err
		}
		return jsonable(f)
	case uint64:
		return json.Number(strconv.FormatUint(value, 10)), nil
	case float64:
		if math.IsInf(value, 0) || math.IsNaN(value) {
			return nil, errors.New("no number of JSON")
		}
		text, err := json.Marshal(value)
		if err != nil {
			return nil, err
		}
		if whole, ok := wholeNumber(string(text)); ok {
			return whole, nil
		}
		return json.Number(text), nil
	case string:
		if !utf8.ValidString(value) {
			return nil, errors.New("no text")
		}
		return value, nil
	default:
		return value, nil
	}
}

// wholeNumber is a number of 64 bits without a fraction, in its shortest form.
func wholeNumber(text string) (json.Number, bool) {
	if i, err := strconv.ParseInt(text, 10, 64); err == nil {
		return json.Number(strconv.FormatInt(i, 10)), true
	}
	u, err := strconv.ParseUint(text, 10, 64)
	return json.Number(strconv.FormatUint(u, 10)), err == nil
}

func keyOf(key any) (string, error) {
	switch key := key.(type) {
	case string:
		return key, nil
	case int:
		return strconv.Itoa(key), nil
	case bool:
		return strconv.FormatBool(key), nil
	case float64:
		text := strconv.FormatFloat(key, 'g', -1, 32)
		for from, to := range map[string]string{"+Inf": ".inf", "-Inf": "-.inf", "NaN": ".nan"} {
			if text == from {
				return to, nil
			}
		}
		return text, nil
	default:
		return "", errors.New("no key of JSON")
	}
}

// longKey reports whether a key has more than the 1,024 characters that YAML allows.
func longKey(text []byte) bool {
	decoder := json.NewDecoder(bytes.NewReader(text))
	for {
		token, err := decoder.Token()
		if err != nil {
			return false
		}
		if text, ok := token.(string); ok && len(text) > 100 {
			return true
		}
	}
}

const one = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"

var two = strings.ReplaceAll(one, "name: a", "name: b")

var seeds = []string{
	"", "---", "--- \n...\n", "# nothing", "null", "~", "[]", "{}", "7", "\x00", "\xff\xfe", "\ufeff" + one, "%YAML 1.1\n---\n" + one, "%YAML 1.2\n---\n" + one,
	"%TAG !k! tag:yaml.org,2002:\n---\na: !k!str 5\n---\nb: !k!str 5\n", one + "...\n%YAML 1.1\n---\n" + two,
	one + "---\n" + two, one + "...\n" + two, one + "...\n---\n" + two, one + "... # end\n" + two, one + "... end\n" + two, one + two, "---" + one,
	strings.ReplaceAll(one+"---\n"+two, "\n", "\r\n"), strings.ReplaceAll(one+"---\n"+two, "\n", "\r"), one + "---\n\ufeff" + two, one + "\ufeff---\n" + two, one + "\ufeff" + two, "\ufeff# c\n\ufeff" + one,
	"--- {a: b}\n--- [c]\n--- d\n--- |\n e\n--- # f\ng: h\n---\ti\n", "  a: b\n  c: d\ne: f\n", "  a: b\nc: d\n", "- a\nb: c\n", "a: b\n c: d\n", "{a: b}\nc: d\n", "{a: b} c\n", "[a]\n[b]\n", "{a: b}\n{c: d}\n", "'a'\n'b'\n",
	`{"a":"b"} {"c":"d"}` + "\n" + `{"e":1}`, `{"a":"b"}` + "\n# c\n" + `{"d":1} # e`, `{"a":"b"},{"c":"d"}`, `{"a":"b"}` + "\nc: d\n", `[{"a":"b"}]`, `{"a":"b",}`, `{"a":1,"a":2}`, `{"a":1, // b` + "\n" + `"c":2}`, `{"a":NaN}`, `{"a":1 /* b */}`,
	`{"a":"\/\ud83d\udc26\u0085\u2028\ufeff\ufffe\u007f\u0000"}`, `{"a":"\ud83d"}`, `{"a":"\udc26\ud83d"}`, "{\"a\":\"\u0085\u2028\ufeff\x7f\U0001f426\"}", `{"a"` + "\n\t: 1,\t\"b\":\r2}", `{"a":12345678901234567890123,"b":1e999,"c":18446744073709551615,"d":1.50,"e":-0,"f":1E5}`,
	"a: \"x\\x85y\\Nz\\_\\L\\P\\e\\0\\uFEFF\\U0001F426\"\n", "a: \"x\u0085y\"\n", "a: \"x\u2028y\"\n", "a: |\n x\u2028 y\n", "a: \u2028b\n", "#\u00850", "# \u0085b: c\na: d\n", "a: b\u0085---\u0085c: d\n", "a: b\ufeffc\n",
	"a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n", "a: *b", "a: &a [*a]", "a: &b x\n---\nc: *b\n", "&a a: *a\n", "*a : b", "a: &a b\n*a : c\n", "&a !!str b: &c !!int '5'\n",
	"<<: {a: b}", "a: c\n<<: {a: b}\n", "<<: {a: b}\na: c\n", "<<: [{a: b}, {a: c, d: e}]\n", "<<: {a: b}\n<<: {c: d}\n", "<<: {a: b}\n<<: {a: d}\n", "<<: b", "<<: [[{a: b}]]", "'<<': {a: b}\n", "a: <<\n", "a: &a {b: c}\nd: {<<: *a, b: e}\n", "a: &a {<<: *a}", "!!merge <<: {a: b}\n", "! <<: {a: b}\n",
	"a: 1\n\"a\": 2\n", "1: a\n'1': b\n", "true: a\nyes: b\n", "1.5: a\n1.50: b\n", "? a\n: b\n", "? [a]\n: b\n", "? {a: b}\n", "~: a\n", ": a\n", "? \n", "{? }", "[?,:,a:,:b]", "{[a]: b}", "0x10: a\n1.10: b\n.inf: c\n2001-01-01: d\n18446744073709551615: e\n1.23456789: f\n",
	"[yes, No, ON, off, y, N, true, False, null, ~, Null, '', \"\", 'yes']\n", "[0777, 0o17, 0b11, 0b-1, -0b1, 0x_f, 1_000, 08, 09.5, +1, -1, - 1, 1e3, 1.e3, .5, ._5, 1_0.5, 12:30, 190:20:30, 1e400, -0, -0.0, 0.1e1, +.inf, .NaN, 1__2, 0x, 0b, 0o, _1, +_1, 1., 1.2.3, 9223372036854775808, -9223372036854775809, 18446744073709551616, 100000000000000000000000]\n",
	"[2001-01-01, 2001-1-1, 2001-12-14t21:59:43.10-05:00, 2001-12-15 2:59:43.10, !!timestamp 2001-01-01, !!timestamp x]\n",
	"[!!str 5, !!int '5', !!float 5, !!bool 'yes', !!null '', !!null x, !!int x, !!binary aGVsbG8=, !!binary /w==, !!binary x, !x 5, !x yes, ! 5, ! , !!foo 5, !<tag:yaml.org,2002:str> 5, !!map x, &a ! 5, !!seq {a: b}]\n", "! 5", "- ! yes\n- !\n- &a ! 5\n- ! &b 5\n- b\n", "a: ! |\n 5\n", "!!set {a, b}", "!!omap [a: b]",
	"a: |\n  b\n   c\n\n  d\n\ne: >\n  f\n  g\n\n  h\ni: |-\n  j\nk: |+\n  l\n\nm: >2\n   n\n", "a: 'b\n  c\n\n  d''e'\nf: \"g\\\n  h\\n\n  i\"\n", "a: b\n  c\n  d\n", "a:\tb\n", "a: b\t# c\n", "\ta: b\n", "a:\n\t- b\n", "a: b #c\nd: e#f\n", "a: |\n---\nb: c\n", "a: '\n---\n'\n", "# a\n\n# b\nc: d # e\n# f\n\n  # g\nh:\n# i\n- j # k\n  # l\n- # m\n  n: o\n# p\n",
	"a: 'b" + "\n...\n" + "c'\n", "a: b\n%YAML 1.1\n", "%a\nb: c\n", "%a b\n---\nc: d\n", "%YAML 1.1\n%YAML 1.1\n---\na\n", "%YAML 1.1\n", "%YAML 1.1\n...\n", "...\n...\na: b\n", "a: {b: c\n---\nd: e\n", "a: [\n---\nb: c\n---\n}\n",
	"\xff\xfea\x00:\x00 \x00b\x00\n\x00", "\xfe\xff\x00a\x00:\x00 \x00b", "a\x00:\x00 \x00b\x00", "\x00a\x00:\x00 \x00b", "\xff\xfe\x00\x00a\x00\x00\x00:\x00\x00\x00 \x00\x00\x00b\x00\x00\x00", "\x00\x00\x00a\x00\x00\x00:\x00\x00\x00 \x00\x00\x00b", "\xff\xfe\x3d\xd8\x26\xdc", "\xff\xfe\x3d\xd8", "\xff\xfea",
	"a: \"\xe9\"\n", "a: b\x00c\n", "a: b\x07\n", "a: b\x7f\n", "a: \u0080\n", "a: \uffff\n", "a: \U0001ffff\n", strings.Repeat("[", 5000), strings.Repeat(`{"a":`, 5000), strings.Repeat("- ", 5000),
}
