package pods

import (
	"bytes"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/kubestep/kubestep/internal/contract"
)

// row is a pod as it is printed, in memory that the next row reuses: most pods are
// counted and not kept.
type row struct {
	text []byte
	from [columns]int
	to   [columns]int
}

func (r *row) reset() {
	r.text = r.text[:0]
	r.from, r.to = [columns]int{}, [columns]int{}
}

// set takes a JSON value as a column's cell. A value that is neither a string nor a
// number leaves it empty.
func (r *row) set(column int, value jsontext.Value) {
	from := len(r.text)
	switch value.Kind() {
	case '"':
		// The error is of an invalid string, which the decoder has ruled out.
		r.text, _ = jsontext.AppendUnquote(r.text, value)
	case '0':
		r.text = append(r.text, value...)
	}
	r.from[column], r.to[column] = from, len(r.text)
}

// cell returns a column's text, truncated to its bound.
func (r *row) cell(column int) []byte {
	text := r.text[r.from[column]:r.to[column]]
	if string(text) == "<none>" {
		return nil
	}
	if most := bounds[column]; len(text) > most {
		return bytes.ToValidUTF8(text[:most], nil)
	}
	return text
}

// bounds are the most bytes of each column in the output, whatever a server sends.
var bounds = [columns]int{name: 253, ready: 16, status: 64, restarts: 32, age: 16, ip: 64, node: 253}

// restarts are printed as a number, or as "3 (5m ago)".
func (r *row) restarts() int {
	n := 0
	for _, digit := range r.cell(restarts) {
		if digit < '0' || digit > '9' || n > 1<<30 {
			break
		}
		n = n*10 + int(digit-'0')
	}
	return n
}

// healthy reports whether the pod is done, or runs with all its containers ready.
func (r *row) healthy() bool { return healthy(r.cell(status), r.cell(ready)) }

func healthy[T string | []byte](status, ready T) bool {
	switch string(status) {
	case "Completed", "Succeeded":
		return true
	case "Running":
		of := bytes.IndexByte([]byte(ready), '/')
		return of > 0 && string(ready[:of]) == string(ready[of+1:])
	default:
		return false
	}
}

// pod returns the row as it is kept.
func (r *row) pod(namespace string) contract.Pod {
	// One allocation for all texts of a pod.
	var all strings.Builder
	var at [columns + 1]int
	for column := range columns {
		if column != restarts {
			all.Write(r.cell(column))
		}
		at[column+1] = all.Len()
	}
	text := func(column int) string { return all.String()[at[column]:at[column+1]] }
	return contract.Pod{
		Namespace: namespace, Name: text(name), Ready: text(ready), Status: text(status),
		Restarts: r.restarts(), Age: text(age), IP: text(ip), Node: text(node),
	}
}
