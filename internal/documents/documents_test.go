package documents_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/documents"
)

// said returns what is read of each document, such as "2: {}", and the problems.
func said(text string) []string {
	var all []string
	for document, err := range documents.All([]byte(text)) {
		if err != nil {
			all = append(all, err.Error())
			continue
		}
		all = append(all, fmt.Sprintf("%d: %s", document.Number, document.JSON))
	}
	return all
}

func TestNothingIsLostBetweenDocuments(t *testing.T) {
	for sentence, c := range map[string]struct {
		text string
		want []string
	}{
		"after ...":                             {"a: 1\n...\nb: 2\n", []string{`1: {"a":1}`, `2: {"b":2}`}},
		"after ... and ---":                     {"a: 1\n...\n---\nb: 2\n", []string{`1: {"a":1}`, `2: {"b":2}`}},
		"after ... with a comment":              {"a: 1\n... # end\nb: 2\n", []string{`1: {"a":1}`, `2: {"b":2}`}},
		"after ... with text":                   {"a: 1\n... b: 2\n---\nc: 3\n", []string{"it is not valid YAML: line 2: text follows the end of the document (...): begin the next one on a line of its own", `2: {"c":3}`}},
		"after ... of a document that is text":  {"--- |\n a\n...\nb: 2\n", []string{`1: "a\n"`, `2: {"b":2}`}},
		"on the line of ---":                    {"--- {a: 1}\n--- [b]\n--- c\n---\td\n", []string{`1: {"a":1}`, `2: ["b"]`, `3: "c"`, `4: "d"`}},
		"a line that only looks like a marker":  {"a: 1\n---b: 2\n", []string{`1: {"a":1,"---b":2}`}},
		"a marker in a text":                    {"a: |\n  ---\n  ...\nb: 2\n", []string{`1: {"a":"---\n...\n","b":2}`}},
		"comments and empty documents":          {"# a\n---\n---\n# b\n---\nc: 1\n---\n", []string{`3: {"c":1}`}},
		"a comment before the first document":   {"# a\n\n---\nb: 1\n", []string{`1: {"b":1}`}},
		"after a document in braces":            {"{a: 1}\nb: 2\n", []string{"it is not valid YAML: line 2: this is outside of the document: correct its indentation, or put a line --- before it"}},
		"after a document in brackets":          {"[a]\n[b]\n", []string{"it is not valid YAML: line 2: this is outside of the document: correct its indentation, or put a line --- before it"}},
		"after a document in quotes":            {"'a'\n'b'\n", []string{"it is not valid YAML: line 2: this is outside of the document: correct its indentation, or put a line --- before it"}},
		"half of it indented":                   {"# a\n  b: 1\nc: 2\n---\nd: 3\n", []string{"it is not valid YAML: line 3: this is outside of the document: correct its indentation, or put a line --- before it", `2: {"d":3}`}},
		"all of it indented":                    {"  a: 1\n  b: 2\n---\n  c: 3", []string{`1: {"a":1,"b":2}`, `2: {"c":3}`}},
		"JSON, and JSON":                        {`{"a":1} {"b":2}` + "\n" + `{"c":3}[4]`, []string{`1: {"a":1}`, `2: {"b":2}`, `3: {"c":3}`, `4: [4]`}},
		"JSON, and a comment":                   {`{"a":1} # b` + "\n# c\n" + `{"d":2}`, []string{`1: {"a":1}`, `2: {"d":2}`}},
		"JSON, and YAML after ---":              {`{"a":1}` + "\n---\nb: 2\n", []string{`1: {"a":1}`, `2: {"b":2}`}},
		"JSON, and YAML":                        {`{"a":1}` + "\nb: 2\n---\nc: 3\n", []string{`1: {"a":1}`, "it is not valid JSON: line 2: text follows a value: put a line --- between the two", `3: {"c":3}`}},
		"JSON, a comma, and JSON":               {`{"a":1},` + "\n" + `{"b":2}`, []string{`1: {"a":1}`, "it is not valid JSON: line 1: a comma follows a value: write the values one after the other without it, or make them the items of a List"}},
		"JSON, and JSON that is broken":         {`{"a":1}` + "\n" + `{"b":` + "\n2,,}", []string{`1: {"a":1}`, "it is not valid JSON: line 3"}},
		"JSON, and JSON that does not end":      {`{"a":1}` + "\n" + `{"b":` + "\n2", []string{`1: {"a":1}`, "it is not valid JSON: line 2: the value that begins here does not end"}},
		"YAML that looks like JSON":             {`{"a": 1, b: [c], }`, []string{`1: {"a":1,"b":["c"]}`}},
		"carriage returns":                      {"a: 1\r---\rb: 2\r", []string{`1: {"a":1}`, `2: {"b":2}`}},
		"carriage returns and line feeds":       {"a: |\r\n  x\r\n  y\r\n---\r\nb: 2\r\n...\r\nc: 3", []string{`1: {"a":"x\ny\n"}`, `2: {"b":2}`, `3: {"c":3}`}},
		"a broken document":                     {"a: [\n---\nb: 1\n---\nc: 'd\n---\ne: 2\n", []string{"it is not valid YAML: line 1: did not find expected node content", `2: {"b":1}`, "it is not valid YAML: line 5: found unexpected end of stream", `4: {"e":2}`}},
		"an alias of another document":          {"a: &x 1\n---\nb: 2\nc: *x\n", []string{`1: {"a":1}`, "it is not valid YAML: line 4: an alias (*) names an anchor (&) that is not in the document: put a value that begins with * in quotes"}},
		"directives":                            {"%TAG !k! tag:yaml.org,2002:\n# a\n---\nb: !k!str 5\n...\n%YAML 1.1\n---\nc: 1\n", []string{`1: {"b":"5"}`, `2: {"c":1}`}},
		"a tag of another document's directive": {"%TAG !k! tag:yaml.org,2002:\n---\na: !k!str 5\n---\nb: !k!str 5\n", []string{`1: {"a":"5"}`, "it is not valid YAML: line 5: found undefined tag handle"}},
		"a directive after content":             {"a: 1\n%YAML 1.1\n---\nb: 2\n", []string{"it is not valid YAML: line 2: this is outside of the document: correct its indentation, or put a line --- before it", `2: {"b":2}`}},
		"YAML 1.2 by its directive":             {"%YAML 1.2\n---\na: yes\n", []string{"it is not valid YAML: line 1: it declares a version of YAML that is not 1.1, which kubectl reads: remove the line that begins with %YAML"}},
		"a byte order mark":                     {"\ufeffa: 1\n---\nb: 2\n", []string{`1: {"a":1}`, `2: {"b":2}`}},
		"a byte order mark of another file":     {"a: 1\n---\n\ufeffb: 2\n", []string{`1: {"a":1}`, `2: {"b":2}`}},
		"a byte order mark and ---":             {"a: 1\n---\n\ufeff---\nb: 2\n", []string{`1: {"a":1}`, `3: {"b":2}`}},
		"a byte order mark and JSON":            {"{\"a\":1}\n\ufeff{\"b\":2}\n", []string{`1: {"a":1}`, `2: {"b":2}`}},
		"a byte order mark between two files":   {"a: 1\n\ufeffb: 2\n", []string{"it is not valid YAML: line 2: it has a byte order mark, as if another file began here: put --- between the two"}},
	} {
		t.Run(sentence, func(t *testing.T) {
			assert.Equal(t, c.want, said(c.text))
		})
	}
}

func TestALastLineMayHaveAnyLength(t *testing.T) {
	for _, length := range []int{4, 4095, 4096, 4097, 8192, 12288, 65536} {
		value := strings.Repeat("x", length-len("b: "))
		for name, text := range map[string]string{"alone": "b: " + value, "after others": "a: 1\n---\nb: " + value, "JSON": `{"b":"` + value + `"}`} {
			found, problems := read(text)
			require.Empty(t, problems)
			assert.JSONEq(t, `{"b":"`+value+`"}`, string(found[len(found)-1].JSON), "%s: %d", name, length)
		}
	}
}

func TestEveryEncodingOfUnicodeIsRead(t *testing.T) {
	text := "a: \"é €\U0001f426\"\n---\nb: 1\n"
	want := []string{`1: {"a":"é €` + "\U0001f426" + `"}`, `2: {"b":1}`}
	for name, order := range map[string]binary.AppendByteOrder{"little endian": binary.LittleEndian, "big endian": binary.BigEndian} {
		for _, mark := range []string{"", "\ufeff"} {
			var in16, in32 []byte
			for _, unit := range utf16.Encode([]rune(mark + text)) {
				in16 = order.AppendUint16(in16, unit)
			}
			for _, r := range mark + text {
				in32 = order.AppendUint32(in32, uint32(r))
			}
			assert.Equal(t, want, said(string(in16)), "UTF-16, %s, with %q", name, mark)
			assert.Equal(t, want, said(string(in32)), "UTF-32, %s, with %q", name, mark)
		}
	}
}

func TestWhatIsNoTextIsRefused(t *testing.T) {
	for sentence, c := range map[string]struct {
		text string
		want []string
	}{
		"Latin-1":                       {"a: 1\n---\nb:\n  c: \"M\xfcller\"\n", []string{`1: {"a":1}`, "it is not valid UTF-8: line 4: save the file as UTF-8"}},
		"Latin-1 in a comment":          {"# M\xfcller\na: 1\n", []string{"it is not valid UTF-8: line 1: save the file as UTF-8"}},
		"Latin-1 in JSON":               {"{\"a\":\n\"M\xfcller\"}", []string{"it is not valid UTF-8: line 2: save the file as UTF-8"}},
		"half of a pair in UTF-16":      {"\xff\xfea\x00:\x00 \x00\x3d\xd8\n\x00", []string{"it is not valid UTF-16: line 1: save the file as UTF-8"}},
		"half of a character in UTF-16": {"\xff\xfea\x00:\x00 \x00b", []string{"it is not valid UTF-16: line 1: save the file as UTF-8"}},
		"no character of UTF-32":        {"\xff\xfe\x00\x00a\x00\x00\x00\x00\x00\x11\x00", []string{"it is not valid UTF-32: line 1: save the file as UTF-8"}},
		"a zero":                        {"a: 1\nb: \x00\n---\nc: 2\n", []string{"it is not valid YAML: line 2: it has a control character: write it as an escape in double quotes, such as \\x07", `2: {"c":2}`}},
		"a control character":           {"a: \"\x1b[31m\"\n", []string{"it is not valid YAML: line 1: it has a control character: write it as an escape in double quotes, such as \\x07"}},
		"half of a pair in JSON":        {`{"a":` + "\n" + `"\ud83d"}`, []string{`it is not valid JSON: line 2: a \u escape is half of a surrogate pair: the other half is missing`}},
		"a tab that indents":            {"a:\n\t- b\n", []string{"it is not valid YAML: line 2: found character that cannot start any token"}},
	} {
		t.Run(sentence, func(t *testing.T) {
			assert.Equal(t, c.want, said(c.text))
		})
	}
}

func TestValuesAreThoseThatKubectlReads(t *testing.T) {
	for sentence, c := range map[string]struct{ text, want string }{
		"booleans of YAML 1.1":             {"[yes, No, on, OFF, y, N, true, 'yes', \"no\"]", `[true,false,true,false,true,false,true,"yes","no"]`},
		"nothing":                          {"[~, null, NULL, '', 'null', , ]", ``},
		"integers of all bases":            {"[0777, 0o17, 0x1F, 0b11, 1_000, -5, +5, 08]", `[511,15,31,3,1000,-5,5,8]`},
		"integers of 64 bits":              {"[9007199254740993, 9223372036854775807, -9223372036854775808, 18446744073709551615]", `[9007199254740993,9223372036854775807,-9223372036854775808,18446744073709551615]`},
		"integers that are exact":          {"[100000000000000000000, 1e30]", `[100000000000000000000,1e30]`},
		"fractions":                        {"[1.10, 1e3, .5, 1.5e-10, 0.1]", `[1.1,1000,0.5,1.5e-10,0.1]`},
		"what only looks like a number":    {"[1.2.3, 100m, 1e999, 12:30, 0x, _1, 2001-01-01, 1-2]", `["1.2.3","100m","1e999","12:30","0x","_1","2001-01-01","1-2"]`},
		"tags":                             {"[!!str 5, !!int '5', !!float 5, !!bool 'yes', !!null '', !!binary aGk=, !custom 5, ! 5, ! , &a ! yes, !!timestamp 2001-01-01]", `["5",5,5,true,null,"hi","5","5","","yes","2001-01-01"]`},
		"keys that are no texts":           {"{1: a, true: b, 1.5: c, 2001-01-01: d, 18446744073709551615: e}", `{"1":"a","true":"b","1.5":"c","2001-01-01":"d","18446744073709551615":"e"}`},
		"anchors":                          {"{a: &x {b: 1}, c: *x, d: &x 2, e: *x}", `{"a":{"b":1},"c":{"b":1},"d":2,"e":2}`},
		"a key that is an alias":           {"a: &x b\n*x : c\n", `{"a":"b","b":"c"}`},
		"a question mark":                  {"? a\n: b\n? c\n", `{"a":"b","c":null}`},
		"escapes that YAML has alone":      {`"\x85\N\L\P\_\e\0\uFEFF\x7f\U0001F426"`, `"\u0085\u0085\u2028\u2029` + "\u00a0" + `\u001b\u0000\ufeff\u007f` + "\U0001f426" + `"`},
		"escapes that JSON has alone":      {`{"a":"\/\ud83d\udc26\b\f"}`, `{"a":"/` + "\U0001f426" + `\u0008\u000c"}`},
		"JSON with what ends lines in 1.1": {"{\"a\":\"\u0085\u2028\u2029\x7f\ufeff\uffff\"}", `{"a":"\u0085\u2028\u2029\u007f\ufeff\uffff"}`},
		"JSON over several lines":          {"{\"a\"\n\t:\r\n1,\t\"b\" : [ ] }", `{"a":1,"b":[]}`},
		"numbers of JSON":                  {`[1.50,-0,1E5,18446744073709551615,100000000000000000000]`, `[1.50,-0,1E5,18446744073709551615,100000000000000000000]`},
		"a line separator in quotes":       {"a: \"x\u2028y\"", `{"a":"x\u2028y"}`},
		"HTML":                             {"a: <b>&amp;</b>", `{"a":"<b>&amp;</b>"}`},
	} {
		t.Run(sentence, func(t *testing.T) {
			found, problems := read(c.text)
			if c.want == "" {
				require.NotEmpty(t, problems)
				return
			}
			require.Empty(t, problems)
			require.Len(t, found, 1)
			assert.Equal(t, c.want, string(found[0].JSON))
			requireSameInYAML(t, found[0].JSON)
		})
	}
}

func TestWhatCannotBeKeptIsRefused(t *testing.T) {
	for sentence, c := range map[string]struct{ text, want string }{
		"a key twice":                    {"a: 1\nb: 2\na: 3\n", "it is not valid YAML: line 3: the key of line 1 is there again"},
		"a key twice, spelt differently": {"1: a\n\"1\": b\n", "it is not valid YAML: line 2: the key of line 1 is there again"},
		"a key twice in braces":          {"a: {b: 1, b: 2}\n", "it is not valid YAML: line 1: a key is in a mapping twice"},
		"a key twice in JSON":            {"{\"a\":{\"b\":1,\n\"b\":2}}", "it is not valid JSON: line 2: a key is in an object twice"},
		"a key of many twice":            {manyKeys(40) + "k7: again\n", "it is not valid YAML: line 41: the key of line 8 is there again"},
		"infinity":                       {"a: 1\nb: .inf\n", "it is not valid YAML: line 2: JSON has neither infinity nor not-a-number (.inf, .nan): put it in quotes if it is text"},
		"no number":                      {"- .NaN\n", "it is not valid YAML: line 1: JSON has neither infinity nor not-a-number (.inf, .nan): put it in quotes if it is text"},
		"an integer of too many digits":  {"a: 12345678901234567890123\n", "it is not valid YAML: line 1: a number has more digits than the API server keeps: put it in quotes"},
		"the same in JSON":               {`{"a":12345678901234567890123}`, "it is not valid JSON: line 1: a number has more digits than the API server keeps: put it in quotes"},
		"a number of JSON without end":   {`{"a":1e999}`, "it is not valid JSON: line 1: a number has more digits than the API server keeps: put it in quotes"},
		"bytes that are no text":         {"a: !!binary /w==\n", "it is not valid YAML: line 1: a value with the tag !!binary is not the base64 of a text"},
		"a tag that is not so":           {"a: !!int hunter2\n", "it is not valid YAML: line 1: a value is not what its tag (!!) says"},
		"a key without text":             {"a: 1\n~: b\n", "it is not valid YAML: line 2: a key is not text, such as y, which means true, or 1.10, which means 1.1: put it in quotes"},
		"a key that means true":          {"x: 1\ny: 2\n", "it is not valid YAML: line 2: a key is not text, such as y, which means true, or 1.10, which means 1.1: put it in quotes"},
		"a key that loses a digit":       {"1.9: a\n1.10: b\n", "it is not valid YAML: line 2: a key is not text, such as y, which means true, or 1.10, which means 1.1: put it in quotes"},
		"a mapping as a key":             {"{a: b}: c\n", "it is not valid YAML: line 1: a key is a mapping or a sequence: a text is expected"},
		"an alias within itself":         {"a: &x\n  b: *x\n", "it is not valid YAML: line 2: an alias (*) is within what it stands for"},
		"a comment of other languages":   {"{\"a\":1, // b\n\"c\":2}", "it is not valid YAML: line 1: JSON has no comments, and neither NaN nor Infinity"},
		"a comment at the end of JSON":   {"{\"a\":\n1 /* b */}", "it is not valid YAML: line 2: JSON has no comments, and neither NaN nor Infinity"},
		"NaN, as Python writes it":       {`{"a": NaN}`, "it is not valid YAML: line 1: JSON has no comments, and neither NaN nor Infinity"},
		"a line that ends in 1.1 alone":  {"a: b\u0085c: d\n", `it is not valid YAML: line 1: U+0085, U+2028 or U+2029 ends a line in YAML 1.1, and is text in YAML 1.2: write it as \N, \L or \P in double quotes`},
		"a comment that ends in 1.1":     {"#\u00850\n", `it is not valid YAML: line 1: U+0085, U+2028 or U+2029 ends a line in YAML 1.1, and is text in YAML 1.2: write it as \N, \L or \P in double quotes`},
		"the same in a comment":          {"a: b # \u2028c: d\n", `it is not valid YAML: line 1: U+0085, U+2028 or U+2029 ends a line in YAML 1.1, and is text in YAML 1.2: write it as \N, \L or \P in double quotes`},
		"aliases that grow":              {"a: &a [x,x,x,x,x,x,x,x]\n" + "c: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nd: &c [*b,*b,*b,*b,*b,*b,*b,*b]\ne: &d [*c,*c,*c,*c,*c,*c,*c,*c]\nf: &e [*d,*d,*d,*d,*d,*d,*d,*d]\ng: &f [*e,*e,*e,*e,*e,*e,*e,*e]\nh: [*f,*f]\n", "its aliases expand to more than 3145728 bytes"},
		"merges that grow":               {growingMerges(), "its aliases expand to more than 3145728 bytes"},
		"what is nested too deep":        {strings.Repeat("[", 300) + strings.Repeat("]", 300), "it is nested deeper than 256 levels: line 1"},
		"YAML that is nested too deep":   {"a: " + strings.Repeat("[", 300) + strings.Repeat("]", 300), "it is nested deeper than 256 levels: line 1"},
		"a document of too many values":  {"a: [" + strings.Repeat("b,", 1<<20) + "]", "it has too many values for a YAML document of 2097157 bytes. Put each object into a document of its own, or write JSON"},
	} {
		t.Run(sentence, func(t *testing.T) {
			found, problems := read(c.text)
			assert.Empty(t, found)
			require.Len(t, problems, 1)
			assert.Equal(t, c.want, problems[0].Error())
		})
	}
}

func manyKeys(n int) string {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "k%d: v\n", i)
	}
	return text.String()
}

// growingMerges doubles in each line what a merge looks at, and adds nothing.
func growingMerges() string {
	text := "a0: &a0 {k: v}\n"
	for i := range 40 {
		text += fmt.Sprintf("a%d: &a%d {<<: [*a%d, *a%d]}\n", i+1, i+1, i, i)
	}
	return text
}

func TestMerges(t *testing.T) {
	for sentence, c := range map[string]struct{ text, want string }{
		"a merge":                               {"a: &x {b: 1}\nc:\n  <<: *x\n  d: 2\n", `{"a":{"b":1},"c":{"d":2,"b":1}}`},
		"a key that overrides, after":           {"<<: {a: 1, b: 2}\na: 3\n", `{"a":3,"b":2}`},
		"a key that overrides, before":          {"a: 3\n<<: {a: 1, b: 2}\n", `{"a":3,"b":2}`},
		"a sequence, of which earlier ones win": {"<<: [{a: 1}, {a: 2, b: 3}]\n", `{"a":1,"b":3}`},
		"a merge in a merge":                    {"<<: {<<: {a: 1, b: 2}, a: 3}\n", `{"a":3,"b":2}`},
		"two merges":                            {"<<: {a: 1}\n<<: {b: 2}\n", `{"a":1,"b":2}`},
		"two merges with a key that overrides":  {"<<: {a: 1}\n<<: {a: 2}\na: 3\n", `{"a":3}`},
		"in quotes it is a key":                 {"'<<': {a: 1}\n", `{"<<":{"a":1}}`},
		"in JSON it is a key":                   {`{"<<":{"a":1}}`, `{"<<":{"a":1}}`},
		"as a value it is text":                 {"a: <<\n", `{"a":"<<"}`},
	} {
		t.Run(sentence, func(t *testing.T) {
			found, problems := read(c.text)
			require.Empty(t, problems)
			require.Len(t, found, 1)
			assert.Equal(t, c.want, string(found[0].JSON))
		})
	}
	for sentence, c := range map[string]struct{ text, want string }{
		"a text":                        {"<<: a\n", "the value of a merge key (<<) is neither a mapping nor a sequence of mappings"},
		"a sequence in a sequence":      {"<<: [[{a: b}]]\n", "the value of a merge key (<<) is neither a mapping nor a sequence of mappings"},
		"itself":                        {"a: &a {<<: *a}\n", "an alias (*) is within what it stands for"},
		"two merges with the same key":  {"<<: {a: 1}\n<<: {a: 2}\n", "two merges (<<) in a mapping have the same key: write one <<, with a sequence"},
		"a mapping with a key twice":    {"<<: {a: 1, a: 2}\n", "a key is in a mapping twice"},
		"a key that is there twice too": {"<<: {a: 1}\na: 2\na: 3\n", "the key of line 2 is there again"},
	} {
		t.Run(sentence, func(t *testing.T) {
			_, problems := read(c.text)
			require.Len(t, problems, 1)
			assert.Equal(t, c.want, problems[0].Detail)
		})
	}
}

// A Secret may be in a document that is broken, and whoever reads the error may not
// read the Secret.
func TestNoValueIsInAProblem(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	values := []string{"hunter2", "4711", "*x4711", "{{ x4711 }}", "[x4711", "'x4711", "\"x4711", "x4711: y", "&x4711", "!x4711", "!!int x4711", "!!binary x4711", "%x4711", "@x4711", "`x4711`", "|x4711", ">x4711", "- x4711", "? x4711", "# x4711", "x4711 #", "\\x4711", "\"\\x4711\"", "\"\\q4711\"", ".x4711", "<<x4711", "x4711\u2028", "x\x074711", "x\xff4711", "0x4711", "4711e999", "47114711471147114711471147114711"}
	shapes := []string{
		"apiVersion: v1\nkind: Secret\nstringData:\n  pw: %s\n", "stringData: {pw: %s}\n", "stringData: {%s}\n", "stringData: {%[1]s, %[1]s}\n", "stringData:\n  pw:\n  %s\n", "stringData:\n pw: %s\n  x: y\n", "pw: %s: z\n",
		`{"stringData":{"pw":%s}}`, `{"stringData":{"pw":"%s"}}`, `{"stringData":{"pw":"%s"},"stringData":1}`, `{"a":1} %s`, "a: 1\n... %s\n", "<<: %s\n", "%[1]s: &a %[1]s\n%[1]s: *a\n", "? %s\n: [\n", "a: \"%s\n", "a: '%s\n", "%%TAG %s x\n---\n", "%%YAML %s\n---\na\n", "--- %s\na: b\n", "a: &%s b\nc: *d\n", "[%[1]s]: %[1]s\n",
	}
	check := func(shape, value string) {
		_, problems := read(fmt.Sprintf(shape, value))
		for _, problem := range problems {
			assert.NotContains(t, problem.Error(), "4711", "%q", fmt.Sprintf(shape, value))
			assert.NotContains(t, problem.Error(), "hunter2", "%q", fmt.Sprintf(shape, value))
		}
	}
	for _, shape := range shapes {
		for _, value := range values {
			check(shape, value)
			// and broken at random
			text := []byte(fmt.Sprintf(shape, value))
			for range 3 {
				text[random.IntN(len(text))] = "\"'{}[]:,&*!|>%@`#-?\n\t \\"[random.IntN(23)]
			}
			check("%s", string(text))
		}
	}
}

// What takes more than linear time would reach the time limit of the tests.
func TestNoDocumentTakesLong(t *testing.T) {
	for sentence, text := range map[string]string{
		"many tags":          "a: [! x, " + strings.Repeat("! ,", 1<<18) + "]",
		"many ends of lines": strings.Repeat("\r", 3<<20),
		"many comments":      strings.Repeat("# a\n", 1<<19),
		"many markers":       strings.Repeat("---\n", 1<<18),
		"many values":        strings.Repeat(`{}`, 1<<18),
		"many keys":          manyKeys(1 << 17),
		"one line":           "a: " + strings.Repeat("b ", 1<<20),
		"many quotes":        strings.Repeat("'a'\n\n", 1<<18),
		"many indents":       strings.Repeat("- ", 9000) + strings.Repeat("\n#", 1<<18),
		"many blanks":        strings.Repeat(" ", 3<<20-10) + "a",
		"many anchors":       "a: [" + strings.Repeat("&a b, *a, ", 1<<17) + "]",
	} {
		_, problems := read(text)
		t.Logf("%s: %d problems", sentence, len(problems))
	}
}

func TestFieldsAndItemsAreSlicesOfADocument(t *testing.T) {
	found, problems := read(`{"a":[1,-2.5,"x\"]}",{"b":{}},[],true,null],"c\u0085\"":"d","e":{},"f":1}`)
	require.Empty(t, problems)
	var fields, items []string
	for name, value := range documents.Fields(found[0].JSON) {
		fields = append(fields, name+" "+string(value))
		for item := range documents.Items(value) {
			items = append(items, string(item))
		}
	}
	assert.Equal(t, []string{`a [1,-2.5,"x\"]}",{"b":{}},[],true,null]`, "c\u0085\" \"d\"", "e {}", "f 1"}, fields)
	assert.Equal(t, []string{"1", "-2.5", `"x\"]}"`, `{"b":{}}`, "[]", "true", "null"}, items)
	for range documents.Fields([]byte(`"a"`)) {
		assert.Fail(t, "a text has no fields")
	}
	for range documents.Items([]byte(`{}`)) {
		assert.Fail(t, "an object has no items")
	}
}

func TestAStringOfDocumentsIsDecoded(t *testing.T) {
	text, ok := documents.Unquote([]byte(`"a: \"\ud83d\udc26\u0085\/\\\"\n\tb\b\f\r"`))
	require.True(t, ok)
	assert.Equal(t, "a: \"\U0001f426\u0085/\\\"\n\tb\b\f\r", string(text))
	for _, broken := range []string{`"a\ud83d"`, `"a\ud83d\u0041"`, `"a\udc26\ud83d"`, "\"a\xff\""} {
		text, ok := documents.Unquote([]byte(broken))
		require.True(t, ok, broken)
		_, problems := read(string(text))
		require.Len(t, problems, 1, broken)
		assert.Equal(t, "it is not valid UTF-8: line 1: save the file as UTF-8", problems[0].Error())
	}
	for _, other := range []string{``, `"`, `[]`, `"a`, `"\x"`, `"a" "b"`} {
		_, ok := documents.Unquote([]byte(other))
		assert.False(t, ok, other)
	}
}
