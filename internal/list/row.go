package list

import (
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Row is a row of a Table, in memory that the next row reuses: most rows are counted and
// not kept.
type Row struct {
	text []byte
	// A cell is text[from:to]. After the cells of the columns there is one for the reason of
	// the condition Completed.
	from, to []int
	max      []int // bytes
}

// maxReasonBytes bounds the reason of a condition.
const maxReasonBytes = 64

func newRow(columns []Column) Row {
	r := Row{from: make([]int, len(columns)+1), to: make([]int, len(columns)+1)}
	for _, c := range columns {
		r.max = append(r.max, c.MaxBytes)
	}
	r.max = append(r.max, maxReasonBytes)
	return r
}

// Cell returns a column's text, by the column's place in the request.
func (r *Row) Cell(column int) []byte { return r.text[r.from[column]:r.to[column]] }

// Completed returns the reason of the condition Completed, such as the phase of a pod that
// is done; empty if the row has no such condition. It is the only condition of rows.
// https://kubernetes.io/docs/reference/generated/kubernetes-api/v1.37/#tablerowcondition-v1-meta
func (r *Row) Completed() []byte { return r.Cell(len(r.from) - 1) }

func (r *Row) reset() {
	r.text = r.text[:0]
	clear(r.from)
	clear(r.to)
}

// ellipsis ends a text that is cut.
const ellipsis = "…"

// set takes a JSON value as a column's cell, and cuts it at its bound. "<none>" and a
// value that is neither a string nor a number leave it empty.
func (r *Row) set(column int, value jsontext.Value) {
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
	if most := r.max[column]; len(r.text)-from > most {
		end := from + most - len(ellipsis)
		for end > from && !utf8.RuneStart(r.text[end]) {
			end--
		}
		r.text = append(r.text[:end], ellipsis...)
	}
	r.from[column], r.to[column] = from, len(r.text)
}
