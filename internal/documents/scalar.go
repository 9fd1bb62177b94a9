package documents

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	yamlv2 "go.yaml.in/yaml/v2"
	"go.yaml.in/yaml/v3"
)

// scalar is what a YAML scalar stands for: nil, a bool, an int64, a uint64, a float64
// or a string.
type scalar any

// words are the plain scalars that stand for something else, in YAML 1.1 and in
// kubectl. https://yaml.org/type/bool.html
var words = wordsOf([]meaning{
	{true, "y Y yes Yes YES true True TRUE on On ON"},
	{false, "n N no No NO false False FALSE off Off OFF"},
	{nil, "~ null Null NULL"},
	{math.Inf(1), ".inf .Inf .INF +.inf +.Inf +.INF"},
	{math.Inf(-1), "-.inf -.Inf -.INF"},
	{math.NaN(), ".nan .NaN .NAN"},
})

type meaning struct {
	value     scalar
	spellings string
}

func wordsOf(meanings []meaning) map[string]scalar {
	all := map[string]scalar{}
	for _, m := range meanings {
		for _, word := range strings.Fields(m.spellings) {
			all[word] = m.value
		}
	}
	return all
}

const longestWord = len("false")

// plain resolves a scalar without quotes and tag.
func plain(text string) scalar {
	if text == "" {
		return nil
	}
	switch c := text[0]; {
	case c == '.' || c == '~' || c == '+' || c == '-' || isAlphanumeric(c):
	default:
		return text
	}
	if len(text) <= longestWord {
		if value, ok := words[text]; ok {
			return value
		}
	}
	switch c := text[0]; {
	case c == '.':
		if value, err := strconv.ParseFloat(text, 64); err == nil {
			return value
		}
	case c == '+', c == '-', c >= '0' && c <= '9':
		return number(text)
	}
	return text
}

var decimal = regexp.MustCompile(`^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`)

// number resolves a scalar that begins like a number. YAML 1.1 has underscores and
// octal numbers (0777) in it: https://yaml.org/type/int.html
func number(text string) scalar {
	for i := range len(text) {
		switch c := text[i]; {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'f', c >= 'A' && c <= 'F':
		case c == '+', c == '-', c == '.', c == '_', c == 'x', c == 'X', c == 'o', c == 'O':
		default:
			return text // as almost all that are none, such as 100m
		}
	}
	digits := strings.ReplaceAll(text, "_", "")
	if value, err := strconv.ParseInt(digits, 0, 64); err == nil {
		return value
	}
	if value, err := strconv.ParseUint(digits, 0, 64); err == nil {
		return value
	}
	if decimal.MatchString(digits) {
		if value, err := strconv.ParseFloat(digits, 64); err == nil {
			return value
		}
	}
	if strings.HasPrefix(digits, "0b") {
		// As the parser has it, 0b-1 is a number too.
		if value, err := strconv.ParseInt(digits[2:], 2, 64); err == nil {
			return value
		}
	}
	return text
}

// resolve returns what a scalar stands for.
func (w *writer) resolve(n *yaml.Node) (scalar, *Problem) {
	const quoted = yaml.DoubleQuotedStyle | yaml.SingleQuotedStyle | yaml.LiteralStyle | yaml.FoldedStyle
	switch {
	case n.Style&yaml.TaggedStyle != 0:
		return w.tagged(n)
	case n.Style&quoted != 0 || w.bare[n]:
		return n.Value, nil
	}
	if w.braces && likeJSON(n.Value) {
		return nil, w.problem(n, "JSON has no comments, and neither NaN nor Infinity")
	}
	value := plain(n.Value)
	if f, ok := value.(float64); ok && !math.IsInf(f, 0) && !math.IsNaN(f) && !exact(strings.ReplaceAll(n.Value, "_", "")) {
		return nil, w.problem(n, inexact)
	}
	return value, nil
}

// likeJSON reports whether a plain scalar in braces is what some programs take for
// JSON. In YAML it is text, and so is what follows it.
func likeJSON(text string) bool {
	switch text {
	case "NaN", "Infinity", "-Infinity":
		return true
	}
	for _, comment := range []string{"//", "/*"} {
		if strings.HasPrefix(text, comment) || strings.Contains(text, " "+comment) {
			return true
		}
	}
	return false
}

// tagged resolves a scalar with a tag.
func (w *writer) tagged(n *yaml.Node) (scalar, *Problem) {
	switch n.Tag {
	case "!!binary":
		data, err := base64.StdEncoding.DecodeString(n.Value)
		if err != nil || !utf8.Valid(data) {
			return nil, w.problem(n, "a value with the tag !!binary is not the base64 of a text")
		}
		return string(data), nil
	case "!!int", "!!float", "!!bool", "!!null", "!!timestamp":
		// Rare, and with rules of its own: kubectl's parser is asked.
		var value any
		if err := yamlv2.Unmarshal(appendString([]byte(n.Tag+" "), n.Value), &value); err != nil {
			return nil, w.problem(n, "a value is not what its tag (!!) says")
		}
		if i, ok := value.(int); ok {
			return int64(i), nil
		}
		return value, nil
	default:
		return n.Value, nil // tags of others have no meaning here
	}
}

// appendScalar appends a scalar as JSON.
func (w *writer) appendScalar(n *yaml.Node, value scalar) *Problem {
	switch value := value.(type) {
	case string:
		w.out = appendString(w.out, value)
	case int64:
		w.out = strconv.AppendInt(w.out, value, 10)
	case float64:
		text, err := json.Marshal(value)
		if err != nil {
			return w.problem(n, "JSON has neither infinity nor not-a-number (.inf, .nan): put it in quotes if it is text")
		}
		w.out = append(w.out, text...)
	case nil:
		w.out = append(w.out, "null"...)
	default:
		w.out = fmt.Append(w.out, value)
	}
	return nil
}

// key returns the name that a key has in JSON: that which kubectl gives it, if it is
// as it is written. kubectl makes "true" of the keys y and on, and "1.1" of 1.10.
// https://github.com/kubernetes-sigs/yaml/blob/v1.6.0/yaml.go, convertToJSONableObject
func (w *writer) key(n *yaml.Node) (string, *Problem) {
	at := n
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind != yaml.ScalarNode {
		return "", w.problem(at, "a key is a mapping or a sequence: a text is expected")
	}
	value, problem := w.resolve(n)
	if problem != nil {
		return "", problem
	}
	name := n.Value
	switch value := value.(type) {
	case string:
		return value, nil
	case bool:
		name = strconv.FormatBool(value)
	case int64:
		name = strconv.FormatInt(value, 10)
	case float64:
		name = strconv.FormatFloat(value, 'g', -1, 32)
	}
	if name != n.Value || value == nil {
		return "", w.problem(at, "a key is not text, such as y, which means true, or 1.10, which means 1.1: put it in quotes")
	}
	return name, nil
}
