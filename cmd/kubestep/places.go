package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/kubestep/kubestep/internal/documents"
	"github.com/kubestep/kubestep/internal/manifests"
	"github.com/kubestep/kubestep/internal/objects"
)

// The functions say where an object is by its document, since they see one text. Whoever gave
// files looks for a file and a line.

// places are the files and lines of documents, such as app.yaml:12, by the number of the document.
type places map[int]string

var (
	// unreadable is what is said of a document that cannot be read, with the line of the text.
	unreadable = regexp.MustCompile(`\bdocument (\d+)((?:, item [\d.]+)?(?: \([^()]*\))?): ([^:;]+): line (\d+)\b`)
	inDocument = regexp.MustCompile(`\bdocument (\d+)\b`)
	// numberOfDocument is that of an object's place.
	numberOfDocument = regexp.MustCompile(`^document (\d+)`)
)

// of names files and lines in place of documents.
func (p places) of(text string) string {
	if len(p) == 0 {
		return text
	}
	return inDocument.ReplaceAllStringFunc(text, func(found string) string {
		number, _ := strconv.Atoi(inDocument.FindStringSubmatch(found)[1]) // at most too large
		if place, ok := p[number]; ok {
			return place
		}
		return found
	})
}

// placesIn are those of the documents of one file.
func placesIn(file, text string) places {
	p := places{}
	for document, err := range documents.All([]byte(text)) {
		if problem, ok := errors.AsType[*documents.Problem](err); ok {
			p[problem.Number] = at(file, max(problem.Line, 1))
			continue
		}
		p[document.Number] = at(file, begins(text, document.Line))
	}
	return p
}

func at(file string, line int) string {
	if file == "-" {
		file = "standard input"
	}
	return fmt.Sprintf("%s:%d", file, line)
}

// begins is the first line, from one on, that has more than a comment.
func begins(text string, line int) int {
	number := 0
	for content := range strings.Lines(text) {
		if number++; number < line {
			continue
		}
		content = strings.TrimSpace(content)
		if content != "" && !strings.HasPrefix(content, "#") && !strings.HasPrefix(content, "---") && !strings.HasPrefix(content, "%") {
			return number
		}
	}
	return line
}

// inFile is what is wrong with a file, with its lines. What cannot be read tells its line already.
func inFile(file, text string, err error) string {
	said := unreadable.ReplaceAllStringFunc(err.Error(), func(found string) string {
		part := unreadable.FindStringSubmatch(found)
		line, _ := strconv.Atoi(part[4]) // at most too large
		return at(file, line) + part[2] + ": " + part[3]
	})
	return placesIn(file, text).of(said)
}

// numbered is the number of the document that an object is in.
func numbered(o objects.Object) int {
	if found := numberOfDocument.FindStringSubmatch(o.From); found != nil {
		number, _ := strconv.Atoi(found[1]) // at most too large
		return number
	}
	return 0
}

// origins are where the objects of the files are, in the order in which they are sent.
func origins(files []file) []string {
	var all []string
	for _, f := range files {
		in := placesIn(f.name, f.text)
		for _, o := range f.objects {
			all = append(all, in[numbered(o)])
		}
	}
	return all
}

// sentPlaces are the places of the documents of an input, which a path of keys leads to, where
// the objects are from.
func sentPlaces(document json.RawMessage, from []string, path ...string) places {
	for _, key := range path {
		var members map[string]json.RawMessage
		if json.Unmarshal(document, &members) != nil {
			return nil
		}
		document = members[key]
	}
	text, ok := documents.Unquote(document)
	if !ok {
		return nil
	}
	sent, err := manifests.Read(bytes.Clone(text), rules("default"))
	if err != nil || len(sent) != len(from) {
		return nil
	}
	p := places{}
	for i, o := range sent {
		if _, known := p[numbered(o)]; !known {
			p[numbered(o)] = from[i]
		}
	}
	return p
}
