package documents

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	yamlv2 "go.yaml.in/yaml/v2"
	"go.yaml.in/yaml/v3"
)

var (
	tooDeep        = fmt.Sprintf("it is nested deeper than %d levels", MaxDepth)
	expandsTooMuch = fmt.Sprintf("its aliases expand to more than %d bytes", MaxDocument)
)

// readYAML returns the YAML document of a part as JSON, and how many bytes aliases have
// added to it.
func readYAML(p part) (value []byte, expanded int, problem *Problem) {
	if problem := p.checkYAML(); problem != nil {
		return nil, 0, problem
	}
	value, expanded, problem = convert(p)
	if problem != nil {
		return nil, expanded, problem
	}
	if at := lineSeparator(p.text); at >= 0 {
		// Whether these characters end a line depends on YAML's version: what follows is
		// read either way.
		other, _, problem := convert(part{text: hide(p.text), line: p.line})
		if problem != nil || !bytes.Equal(value, show(other, p.text)) {
			return nil, expanded, &Problem{Line: p.at(at), What: notYAML, Detail: `U+0085, U+2028 or U+2029 ends a line in YAML 1.1, and is text in YAML 1.2: write it as \N, \L or \P in double quotes`}
		}
	}
	return value, expanded, nil
}

var separators = []string{"\u0085", "\u2028", "\u2029"}

// lineSeparator is where the first line separator of YAML 1.1 is that is none of
// YAML 1.2, or -1.
func lineSeparator(text []byte) int {
	first := -1
	for _, separator := range separators {
		if at := bytes.Index(text, []byte(separator)); at >= 0 && (first < 0 || at < first) {
			first = at
		}
	}
	return first
}

// standIns are characters for private use that a text does not have.
func standIns(text []byte) []string {
	var free []string
	for r := rune(0xe000); len(free) < len(separators); r++ {
		if !bytes.Contains(text, utf8.AppendRune(nil, r)) {
			free = append(free, string(r))
		}
	}
	return free
}

// hide puts ordinary characters in the place of the line separators, and show puts
// them back.
func hide(text []byte) []byte {
	for i, standIn := range standIns(text) {
		text = bytes.ReplaceAll(text, []byte(separators[i]), []byte(standIn))
	}
	return text
}

func show(value, text []byte) []byte {
	for i, standIn := range standIns(text) {
		separator := appendString(nil, separators[i])
		value = bytes.ReplaceAll(value, []byte(standIn), separator[1:len(separator)-1])
	}
	return value
}

// convert parses a YAML document, and makes JSON of it.
func convert(p part) (value []byte, expanded int, problem *Problem) {
	defer func() {
		// The parser of comments has panicked before: https://github.com/go-yaml/yaml/issues/887
		if recover() != nil {
			value, problem = nil, &Problem{What: notYAML}
		}
	}()
	var root, next yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(p.text))
	switch err := decoder.Decode(&root); {
	case errors.Is(err, io.EOF):
		return []byte("null"), 0, nil
	case err != nil:
		return nil, 0, p.syntax(err)
	}
	if err := decoder.Decode(&next); !errors.Is(err, io.EOF) {
		line := 0
		if err == nil {
			line = p.line + next.Line - 1
		} else {
			line = p.syntax(err).Line
		}
		return nil, 0, &Problem{Line: line, What: notYAML, Detail: "this is outside of the document: correct its indentation, or put a line --- before it"}
	}
	w := writer{part: p, out: make([]byte, 0, len(p.text))}
	if body := p.body().text; len(body) > 0 {
		w.braces = body[0] == '{' || body[0] == '['
	}
	if len(root.Content) == 0 {
		return []byte("null"), 0, nil
	}
	if bareTag(p.text) {
		w.bare = map[*yaml.Node]bool{}
		w.findBareTags(&root)
	}
	if problem := w.value(root.Content[0]); problem != nil {
		return nil, w.expanded, problem
	}
	return w.out, w.expanded, nil
}

// writer writes a YAML node as JSON.
type writer struct {
	part     part
	out      []byte
	bare     map[*yaml.Node]bool // those that have the tag "!", or another one
	braces   bool                // the document is in braces
	depth    int
	aliases  []*yaml.Node // those whose values are being written
	outside  int          // how long out was when the first of them began
	expanded int          // bytes that aliases have added
	merged   int          // entries that merges have looked at
	cursor   cursor       // of findBareTags
}

func (w *writer) problem(n *yaml.Node, detail string) *Problem {
	return &Problem{Line: w.part.line + n.Line - 1, What: notYAML, Detail: detail}
}

func (w *writer) value(n *yaml.Node) *Problem {
	if w.depth++; w.depth > MaxDepth {
		return &Problem{What: tooDeep, Line: w.part.line + n.Line - 1}
	}
	if len(w.aliases) > 0 && w.expanded+len(w.out)-w.outside > MaxDocument {
		return &Problem{What: expandsTooMuch}
	}
	defer func() { w.depth-- }()
	switch n.Kind {
	case yaml.AliasNode:
		return w.alias(n)
	case yaml.MappingNode:
		return w.mapping(n)
	case yaml.SequenceNode:
		w.out = append(w.out, '[')
		for i, item := range n.Content {
			if i > 0 {
				w.out = append(w.out, ',')
			}
			if problem := w.value(item); problem != nil {
				return problem
			}
		}
		w.out = append(w.out, ']')
		return nil
	default:
		value, problem := w.resolve(n)
		if problem != nil {
			return problem
		}
		return w.appendScalar(n, value)
	}
}

func (w *writer) alias(n *yaml.Node) *Problem {
	if problem := w.enter(n, n.Alias); problem != nil {
		return problem
	}
	problem := w.value(n.Alias)
	w.leave()
	return problem
}

// enter begins to write what an alias or a merge stands for, once more.
func (w *writer) enter(at, target *yaml.Node) *Problem {
	if slices.Contains(w.aliases, target) {
		return w.problem(at, "an alias (*) is within what it stands for")
	}
	if len(w.aliases) == 0 {
		w.outside = len(w.out)
	}
	w.aliases = append(w.aliases, target)
	return nil
}

func (w *writer) leave() {
	if w.aliases = w.aliases[:len(w.aliases)-1]; len(w.aliases) == 0 {
		w.expanded += len(w.out) - w.outside
	}
}

func (w *writer) mapping(n *yaml.Node) *Problem {
	w.out = append(w.out, '{')
	var names nameSet
	var merges []*yaml.Node
	write := func(e entry) *Problem {
		if len(names.entries) > 0 {
			w.out = append(w.out, ',')
		}
		names.add(e)
		w.out = append(appendString(w.out, e.name), ':')
		return w.value(e.value)
	}
	for i := 0; i < len(n.Content); i += 2 {
		if isMerge(n.Content[i]) {
			merges = append(merges, n.Content[i+1])
			continue
		}
		e, problem := w.entry(n.Content[i], n.Content[i+1])
		if problem != nil {
			return problem
		}
		if earlier, again := names.find(e.name); again {
			return w.repeated(n.Content[i], earlier)
		}
		if problem := write(e); problem != nil {
			return problem
		}
	}
	explicit := len(names.entries)
	for _, merge := range merges {
		entries, problem := w.merge(merge)
		if problem != nil {
			return problem
		}
		if problem := w.enter(merge, merge); problem != nil {
			return problem
		}
		already := len(names.entries)
		for _, e := range entries {
			switch at, again := names.index(e.name); {
			case again && at < explicit:
				continue // https://yaml.org/type/merge.html: keys that are there override
			case again && at < already:
				return w.problem(merge, "two merges (<<) in a mapping have the same key: write one <<, with a sequence")
			}
			if problem := write(e); problem != nil {
				return problem
			}
		}
		w.leave()
	}
	w.out = append(w.out, '}')
	return nil
}

func (w *writer) repeated(n *yaml.Node, earlier entry) *Problem {
	if earlier.line == n.Line {
		return w.problem(n, "a key is in a mapping twice")
	}
	return w.problem(n, fmt.Sprintf("the key of line %d is there again", w.part.line+earlier.line-1))
}

// entry is a key with its value.
type entry struct {
	name  string
	line  int
	value *yaml.Node
}

func (w *writer) entry(key, value *yaml.Node) (entry, *Problem) {
	name, problem := w.key(key)
	return entry{name: name, line: key.Line, value: value}, problem
}

// nameSet has the entries of a mapping by name.
type nameSet struct {
	entries []entry
	byName  map[string]int
}

const manyNames = 16 // a map is faster

func (s *nameSet) add(e entry) {
	s.entries = append(s.entries, e)
	switch {
	case s.byName != nil:
		s.byName[e.name] = len(s.entries) - 1
	case len(s.entries) == manyNames:
		s.byName = make(map[string]int, 2*manyNames)
		for i, e := range s.entries {
			s.byName[e.name] = i
		}
	}
}

func (s *nameSet) index(name string) (int, bool) {
	if s.byName != nil {
		i, ok := s.byName[name]
		return i, ok
	}
	for i := range s.entries {
		if s.entries[i].name == name {
			return i, true
		}
	}
	return 0, false
}

func (s *nameSet) find(name string) (entry, bool) {
	if i, ok := s.index(name); ok {
		return s.entries[i], true
	}
	return entry{}, false
}

func isMerge(key *yaml.Node) bool {
	return key.Kind == yaml.ScalarNode && key.Tag == "!!merge" && key.Value == "<<"
}

// merge returns the entries that the value of a merge key stands for: a mapping, or
// a sequence of mappings of which earlier ones override later ones.
func (w *writer) merge(n *yaml.Node) ([]entry, *Problem) {
	if w.merged++; w.depth+len(w.aliases) > MaxDepth {
		return nil, &Problem{What: tooDeep, Line: w.part.line + n.Line - 1}
	}
	w.depth++
	defer func() { w.depth-- }()
	switch n.Kind {
	case yaml.AliasNode:
		if n.Alias.Kind != yaml.MappingNode {
			break
		}
		if problem := w.enter(n, n.Alias); problem != nil {
			return nil, problem
		}
		entries, problem := w.merge(n.Alias)
		w.leave()
		return entries, problem
	case yaml.SequenceNode:
		var names nameSet
		for _, item := range n.Content {
			if item.Kind == yaml.SequenceNode {
				return nil, w.problem(item, wrongMerge)
			}
			if problem := w.mergeInto(&names, item); problem != nil {
				return nil, problem
			}
		}
		return names.entries, nil
	case yaml.MappingNode:
		var names nameSet
		var merges []*yaml.Node
		for i := 0; i < len(n.Content); i += 2 {
			if isMerge(n.Content[i]) {
				merges = append(merges, n.Content[i+1])
				continue
			}
			e, problem := w.entry(n.Content[i], n.Content[i+1])
			if problem != nil {
				return nil, problem
			}
			if earlier, again := names.find(e.name); again {
				return nil, w.repeated(n.Content[i], earlier)
			}
			if problem := w.union(&names, []entry{e}); problem != nil {
				return nil, problem
			}
		}
		for _, merge := range merges {
			if problem := w.mergeInto(&names, merge); problem != nil {
				return nil, problem
			}
		}
		return names.entries, nil
	default:
	}
	return nil, w.problem(n, wrongMerge)
}

const wrongMerge = "the value of a merge key (<<) is neither a mapping nor a sequence of mappings"

// mergeInto adds the entries of a merge that are not there yet.
func (w *writer) mergeInto(names *nameSet, merge *yaml.Node) *Problem {
	entries, problem := w.merge(merge)
	if problem != nil {
		return problem
	}
	return w.union(names, entries)
}

// union adds the entries that are not there yet.
func (w *writer) union(names *nameSet, entries []entry) *Problem {
	if w.merged += len(entries); w.merged > maxNodes {
		return &Problem{What: expandsTooMuch}
	}
	for _, e := range entries {
		if _, again := names.index(e.name); !again {
			names.add(e)
		}
	}
	return nil
}

// bareTag reports whether a text may have the tag "!", which makes a text of any
// scalar.
func bareTag(text []byte) bool {
	for from := 0; ; {
		at := bytes.IndexByte(text[from:], '!')
		if at < 0 {
			return false
		}
		if from += at + 1; from == len(text) || isSpace(text[from]) || text[from] >= 0x80 || bytes.IndexByte([]byte(",[]{}"), text[from]) >= 0 {
			return true
		}
	}
}

// findBareTags finds the plain scalars that have the tag "!", of which the parser
// tells nothing but where the node begins.
func (w *writer) findBareTags(n *yaml.Node) {
	for _, child := range n.Content {
		w.findBareTags(child)
	}
	if n.Kind != yaml.ScalarNode {
		return
	}
	text := w.seek(n.Line, n.Column)
	for len(text) > 0 && text[0] == '&' { // the anchor may come first
		end := bytes.IndexAny(text, " \t\r\n")
		if end < 0 {
			return
		}
		text = bytes.TrimLeft(text[end:], " \t")
	}
	if len(text) > 0 && text[0] == '!' {
		w.bare[n] = true
	}
}

// cursor is a place in the text of a part, as the parser counts.
type cursor struct {
	line, column int
	text         []byte // from there on
}

// seek returns the text from a line and column on, both 1 for the first. It goes on
// from where it was, because nodes are looked at in their order.
func (w *writer) seek(line, column int) []byte {
	c := &w.cursor
	if c.line == 0 || line < c.line || line == c.line && column < c.column {
		*c = cursor{line: 1, column: 1, text: w.part.text}
	}
	for len(c.text) > 0 && (c.line < line || c.line == line && c.column < column) {
		r, size := utf8.DecodeRune(c.text)
		c.text = c.text[size:]
		c.column++
		switch r {
		case '\r':
			if len(c.text) > 0 && c.text[0] == '\n' {
				c.text = c.text[1:]
			}
			fallthrough
		case '\n', '\u0085', '\u2028', '\u2029': // YAML 1.1 has them all
			c.line, c.column = c.line+1, 1
		}
	}
	return c.text
}

// parserErrors are the sentences of the parser that come with a line that counts
// from 0; its scanner counts from 1.
var parserErrors = []string{
	"did not find expected <stream-start>",
	"did not find expected <document start>",
	"did not find expected '-' indicator",
	"did not find expected key",
	"did not find expected ',' or ']'",
	"did not find expected ',' or '}'",
	"did not find expected node content",
	"found undefined tag handle",
	"found duplicate %YAML directive",
	"found incompatible YAML document",
	"found duplicate %TAG directive",
}

// scannerErrors are what else is passed on. None of them quotes the text.
var scannerErrors = []string{
	"block sequence entries are not allowed in this context",
	"could not find expected ':'",
	"could not find expected directive name",
	"did not find URI escaped octet",
	"did not find expected '!'",
	"did not find expected alphabetic or numeric character",
	"did not find expected comment or line break",
	"did not find expected digit or '.' character",
	"did not find expected hexdecimal number",
	"did not find expected tag URI",
	"did not find expected version number",
	"did not find expected whitespace",
	"did not find expected whitespace or line break",
	"did not find the expected '>'",
	"exceeded max depth of 10000",
	"found a tab character that violates indentation",
	"found a tab character where an indentation space is expected",
	"found an indentation indicator equal to 0",
	"found character that cannot start any token",
	"found invalid Unicode character escape code",
	"found unexpected document indicator",
	"found unexpected end of stream",
	"found unexpected non-alphabetical character",
	"found unknown escape character",
	"mapping keys are not allowed in this context",
	"mapping values are not allowed in this context",
}

// maxExact is the largest document that is parsed again to say where its problem is.
const maxExact = 512 << 10

// syntax says where the parser stopped and, if it quotes nothing, why.
func (p part) syntax(err error) *Problem {
	line, text := position(err)
	if len(p.text) <= maxExact {
		// The parser of kubectl says where the problem is, the other one where the mapping
		// began that has it.
		var nothing struct{}
		decoder := yamlv2.NewDecoder(bytes.NewReader(p.text))
		again := decoder.Decode(&nothing)
		if again == nil {
			again = decoder.Decode(&nothing)
		}
		if again != nil {
			if exact, same := position(again); same == text {
				line = exact
			}
		}
	}
	problem := &Problem{Line: min(p.line+line-1, p.at(max(len(p.text)-1, 0))), What: notYAML} // it may be the end that was not expected
	if name, ok := strings.CutPrefix(text, "unknown anchor '"); ok {
		// An unquoted value that begins with * is read as an alias, and may be a secret.
		name, _ = strings.CutSuffix(name, "' referenced")
		if at := bytes.Index(p.text, []byte("*"+name)); at >= 0 {
			problem.Line = p.at(at)
		}
		problem.Detail = "an alias (*) names an anchor (&) that is not in the document: put a value that begins with * in quotes"
		return problem
	}
	if text == "found incompatible YAML document" {
		problem.Detail = "it declares a version of YAML that is not 1.1, which kubectl reads: remove the line that begins with %YAML"
		return problem
	}
	if slices.Contains(parserErrors, text) || slices.Contains(scannerErrors, text) {
		problem.Detail = text
	}
	return problem
}

// position takes an error of the parser apart: the line, 1 for the first, and the
// sentence.
func position(err error) (int, string) {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 1
	if number, rest, ok := strings.Cut(strings.TrimPrefix(text, "line "), ": "); ok && strings.HasPrefix(text, "line ") {
		if n, err := strconv.Atoi(number); err == nil {
			line, text = n, rest
			if slices.Contains(parserErrors, text) {
				line++
			}
		}
	}
	return line, text
}
