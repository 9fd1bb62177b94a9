// Package documents reads a text of YAML documents and JSON values, and makes
// JSON of each.
//
// It reads the values that kubectl reads: YAML 1.1, as go.yaml.in/yaml/v2
// has them. But it sees the end of its input: what kubectl drops, such as what
// follows a line "..." or a document in braces, is read or refused. What two
// readers of YAML read differently is refused, too. A refusal names the document
// and the line, and quotes nothing, because what is broken may be a Secret.
package documents

import (
	"fmt"
	"iter"
)

const (
	// MaxDocument bounds a YAML document in bytes. It bounds the memory that the
	// parser takes, many times the document's size, and it is the API server's own
	// bound of an object (MaxRequestBodyBytes in
	// https://github.com/kubernetes/kubernetes/blob/v1.37.2/staging/src/k8s.io/apiserver/pkg/server/config.go).
	MaxDocument = 3 << 20
	// MaxDepth bounds nesting: schemas of CRDs reach some 60.
	MaxDepth = 256
	// maxNodes bounds the nodes of a YAML document, each of some 200 bytes in memory.
	maxNodes = 2_000_000
	// maxExpanded bounds, in bytes, what aliases add to all documents of a text.
	maxExpanded = 10 << 20
)

// Document is a YAML document, or one of several JSON values that follow each other.
type Document struct {
	Number int // 1 for the first
	Line   int // on which it begins, 1 for the first of the text
	// JSON is the document without white space. A YAML parser, such as the API
	// server's own, reads the same as a JSON parser: what YAML has no place for, or
	// takes for the end of a line, is escaped.
	JSON []byte
}

// Problem is why a document cannot be read.
type Problem struct {
	Number int
	Line   int    // 0 if the problem is about all of the document
	What   string // such as "it is not valid YAML"
	Detail string // may be empty
}

func (p *Problem) Error() string {
	text := p.What
	if p.Line > 0 {
		text += fmt.Sprintf(": line %d", p.Line)
	}
	if p.Detail != "" {
		text += ": " + p.Detail
	}
	return text
}

const (
	notYAML = "it is not valid YAML"
	notJSON = "it is not valid JSON"
)

// All returns the documents of a text, and a *Problem in place of each that cannot
// be read. Empty documents count, and are left out.
func All(text []byte) iter.Seq2[Document, error] {
	return func(yield func(Document, error) bool) {
		text, encoding := toUTF8(text)
		r := reader{encoding: encoding}
		before, going := 0, true
		for some := range batches(split(text)) {
			ahead := r.ahead(some)
			for i, part := range some {
				number := before + 1
				pass := func(document Document) bool {
					document.Number = number
					number++
					going = yield(document, nil)
					return going
				}
				var problem *Problem
				if ahead == nil {
					problem = r.read(part, pass)
				} else {
					problem = ahead[i].pass(pass)
				}
				if problem != nil {
					problem.Number = number
					number++
					going = yield(Document{}, problem)
				}
				if !going {
					return
				}
				before = max(number-1, before+1) // an empty document counts
			}
		}
	}
}

// reader reads the parts of a text.
type reader struct {
	encoding string
	// expanded is how many bytes aliases have added to all documents so far.
	expanded int
}

// read passes on the documents of a part, one or several of JSON. It returns why the
// last of them cannot be read.
func (r *reader) read(p part, pass func(Document) bool) *Problem {
	if problem := p.check(r.encoding); problem != nil {
		return problem
	}
	body := p.body()
	if len(body.text) == 0 {
		return nil
	}
	if body.text[0] == '{' || body.text[0] == '[' {
		if isJSON, problem := readJSON(body, pass); isJSON || problem != nil {
			return problem
		}
	}
	value, expanded, problem := readYAML(p)
	if r.expanded += expanded; problem == nil && r.expanded > maxExpanded {
		problem = &Problem{What: fmt.Sprintf("the aliases of the documents until here expand to more than %d bytes", maxExpanded)}
	}
	if problem == nil && string(value) != "null" {
		pass(Document{Line: body.line, JSON: value})
	}
	return problem
}
