package pods

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/kubestep/kubestep/internal/contract"
)

// row is a pod as it is printed, in memory that the next row reuses: most pods are
// counted and not kept.
type row struct {
	text  []byte
	from  [columns]int
	to    [columns]int
	ended phase
}

// phase is the phase of a pod that is done, which the cells do not show: a pod is
// printed Completed between two runs of its container too, and after a node that shut
// down has stopped it.
type phase byte

const (
	notEnded phase = iota
	hasSucceeded
	hasFailed
)

func (r *row) reset() {
	r.text = r.text[:0]
	r.from, r.to, r.ended = [columns]int{}, [columns]int{}, notEnded
}

// ellipsis ends a text that is cut.
const ellipsis = "…"

// set takes a JSON value as a column's cell, and cuts it at its bound. "<none>" and a
// value that is neither a string nor a number leave it empty.
func (r *row) set(column int, value jsontext.Value) {
	from := len(r.text)
	switch value.Kind() {
	case '"':
		// The error is of an invalid string, which the decoder has ruled out.
		r.text, _ = jsontext.AppendUnquote(r.text, value)
	case '0':
		r.text = append(r.text, value...)
	}
	if string(r.text[from:]) == "<none>" {
		r.text = r.text[:from]
	}
	if most := bounds[column]; len(r.text)-from > most {
		end := from + most - len(ellipsis)
		for end > from && !utf8.RuneStart(r.text[end]) {
			end--
		}
		r.text = append(r.text[:end], ellipsis...)
	}
	r.from[column], r.to[column] = from, len(r.text)
}

// cell returns a column's text.
func (r *row) cell(column int) []byte {
	return r.text[r.from[column]:r.to[column]]
}

// bounds are the most bytes of each column in the output, whatever a server sends.
var bounds = [columns]int{name: 253, ready: 16, status: 64, restarts: 32, age: 16, ip: 64, node: 253, gates: 16}

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

// healthy reports whether the pod has succeeded, or runs with all its containers ready
// and all its readiness gates true.
// https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-readiness-gate
func (r *row) healthy() bool {
	switch r.ended {
	case hasSucceeded:
		return true
	case hasFailed:
		return false
	default:
		return string(r.cell(status)) == "Running" && all(r.cell(ready)) && (len(r.cell(gates)) == 0 || all(r.cell(gates)))
	}
}

// all reports whether a text such as "2/2" counts all.
func all(text []byte) bool {
	of := bytes.IndexByte(text, '/')
	return of > 0 && bytes.Equal(text[:of], text[of+1:])
}

// pod returns the row as it is kept.
func (r *row) pod(namespace string) contract.Pod {
	// One allocation for all texts of a pod.
	var texts strings.Builder
	var at [columns + 1]int
	for column := range columns {
		if column != restarts && column != gates {
			texts.Write(r.cell(column))
		}
		at[column+1] = texts.Len()
	}
	text := func(column int) string { return texts.String()[at[column]:at[column+1]] }
	return contract.Pod{
		Namespace: namespace, Name: text(name), Ready: text(ready), Status: text(status),
		Restarts: r.restarts(), Age: text(age), IP: text(ip), Node: text(node), Unhealthy: !r.healthy(),
	}
}
