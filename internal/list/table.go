package list

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/kube"
)

// table reads a metav1.Table as it arrives, cell by cell. encoding/json would take
// three times as long and allocate for each cell; this is the decoder that replaces
// it in Go 1.27.
type table struct {
	d *jsontext.Decoder
	// left bounds what the decoder reads before it is given more.
	left    *allowance
	columns []Column
	// column is the column of each cell in a row, or -1 if it is not to be read. It is nil
	// until the definitions are read.
	column []int
	row    Row
	reason []byte // of a condition, as JSON
}

// Decode passes the rows of a Table to add, with the given columns. A row is valid until
// add returns.
func Decode(r io.Reader, columns []Column, add func(*Row)) error {
	_, err := decodeTable(r, columns, func(metav1.ListMeta) {}, add)
	return err
}

// decodeTable is Decode, and returns the metadata of the list, which begin has as soon as
// it is read: an API server sends it before the rows.
func decodeTable(r io.Reader, columns []Column, begin func(metav1.ListMeta), add func(*Row)) (meta metav1.ListMeta, err error) {
	left := &allowance{Reader: bufio.NewReaderSize(r, 32<<10)}
	t := table{d: jsontext.NewDecoder(left, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)), left: left, columns: columns, row: newRow(columns)}
	left.grant("the table beside its rows", maxHeadBytes)
	if err := t.begin('{'); err != nil {
		return metav1.ListMeta{}, err
	}
	var kind string
	for t.d.PeekKind() == '"' {
		key, err := t.d.ReadToken()
		if err != nil {
			return metav1.ListMeta{}, unfinished(err)
		}
		switch key.String() {
		case "kind":
			err = t.value(&kind)
		case "metadata":
			if err = t.value(&meta); err == nil {
				begin(meta)
			}
		case "columnDefinitions":
			var definitions []metav1.TableColumnDefinition
			if err = t.value(&definitions); err == nil {
				err = t.locate(definitions)
			}
		case "rows":
			err = t.rows(add)
		default:
			err = t.d.SkipValue()
		}
		if err != nil {
			return metav1.ListMeta{}, unfinished(err)
		}
	}
	if err := t.begin('}'); err != nil {
		return metav1.ListMeta{}, err
	}
	if kind != "Table" {
		return metav1.ListMeta{}, kube.BadAnswer("it is a %q instead of a Table", contract.Clip(kind, 64))
	}
	return meta, nil
}

// locate finds the columns by name.
func (t *table) locate(definitions []metav1.TableColumnDefinition) error {
	t.column = make([]int, len(definitions))
	found := make([]bool, len(t.columns))
	for i, d := range definitions {
		t.column[i] = -1
		for c, column := range t.columns {
			if strings.EqualFold(d.Name, column.Name) {
				t.column[i], found[c] = c, true
			}
		}
	}
	var required []string
	missing := false
	for c, column := range t.columns {
		if column.Required {
			required = append(required, column.Name)
			missing = missing || !found[c]
		}
	}
	if missing {
		return kube.BadAnswer("the table has no columns %s, only %d others", strings.Join(required, " and "), len(definitions))
	}
	return nil
}

func (t *table) rows(add func(*Row)) error {
	if t.d.PeekKind() == 'n' { // "rows": null
		return t.d.SkipValue()
	}
	if err := t.begin('['); err != nil {
		return err
	}
	for t.d.PeekKind() == '{' {
		if t.column == nil {
			return kube.BadAnswer("the table has rows before its column definitions")
		}
		t.left.grant("a row of the table", maxRowBytes)
		if err := t.readRow(); err != nil {
			return err
		}
		add(&t.row)
	}
	t.left.grant("the table beside its rows", maxHeadBytes)
	return t.begin(']')
}

func (t *table) readRow() error {
	t.row.reset()
	if err := t.begin('{'); err != nil {
		return err
	}
	for t.d.PeekKind() == '"' {
		key, err := t.d.ReadValue()
		if err != nil {
			return err
		}
		switch string(key) {
		case `"cells"`:
			err = t.readCells()
		case `"conditions"`:
			err = t.readConditions()
		default:
			err = t.d.SkipValue()
		}
		if err != nil {
			return err
		}
	}
	return t.begin('}')
}

// readConditions reads the reason of the condition Completed.
func (t *table) readConditions() error {
	if t.d.PeekKind() != '[' {
		return t.d.SkipValue()
	}
	if err := t.begin('['); err != nil {
		return err
	}
	for t.d.PeekKind() != ']' {
		if t.d.PeekKind() != '{' {
			if err := t.d.SkipValue(); err != nil {
				return err
			}
			continue
		}
		if err := t.readCondition(); err != nil {
			return err
		}
	}
	return t.begin(']')
}

func (t *table) readCondition() error {
	if err := t.begin('{'); err != nil {
		return err
	}
	var completed, isTrue bool
	t.reason = t.reason[:0]
	for t.d.PeekKind() == '"' {
		key, err := t.d.ReadValue()
		if err != nil {
			return err
		}
		is := string(key)
		value, err := t.d.ReadValue()
		if err != nil {
			return err
		}
		switch is {
		case `"type"`:
			completed = string(value) == `"Completed"`
		case `"status"`:
			isTrue = string(value) == `"True"`
		case `"reason"`:
			t.reason = append(t.reason[:0], value...)
		}
	}
	if completed && isTrue {
		t.row.set(len(t.columns), t.reason)
	}
	return t.begin('}')
}

func (t *table) readCells() error {
	if err := t.begin('['); err != nil {
		return err
	}
	for i := 0; ; i++ {
		kind := t.d.PeekKind()
		if kind == ']' || kind == 0 {
			return t.begin(']') // which reports what is there instead of the end
		}
		value, err := t.d.ReadValue()
		if err != nil {
			return err
		}
		if i < len(t.column) && t.column[i] >= 0 {
			t.row.set(t.column[i], value)
		}
	}
}

// value decodes a small value whole.
func (t *table) value(into any) error {
	raw, err := t.d.ReadValue()
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return kube.BadAnswer("%w", err)
	}
	return nil
}

// begin reads a delimiter.
func (t *table) begin(want jsontext.Kind) error {
	got, err := t.d.ReadToken()
	if err != nil {
		return unfinished(err)
	}
	if got.Kind() != want {
		return kube.BadAnswer("the table has %s where %s was expected", got.Kind(), want)
	}
	return nil
}

// unfinished reports an end in the middle of the table as unexpected, and what is not
// JSON as the server's fault.
func unfinished(err error) error {
	var syntax *jsontext.SyntacticError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return io.ErrUnexpectedEOF
	case errors.As(err, &syntax):
		return kube.BadAnswer("%w", err)
	default:
		return err
	}
}

// What the decoder holds at a time, in bytes: it keeps a value whole, and its columns
// take twenty times their bytes. An API server describes the columns of pods in 3 KB.
const (
	maxHeadBytes = 64 << 10
	// maxRowBytes is more than etcd keeps of an object.
	maxRowBytes = 2 << 20
)

// allowance fails once more is read than was granted.
type allowance struct {
	io.Reader
	what      string
	max, left int
}

func (a *allowance) grant(what string, bytes int) {
	a.what, a.max, a.left = what, bytes, bytes
}

func (a *allowance) Read(p []byte) (int, error) {
	if a.left <= 0 {
		return 0, kube.BadAnswer("%s has more than %d bytes", a.what, a.max)
	}
	n, err := a.Reader.Read(p[:min(len(p), a.left)])
	a.left -= n
	return n, err
}
