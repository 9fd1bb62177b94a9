package pods

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubestep/kubestep/internal/contract"
)

// columns says at which cell of a row a field of a pod stands; -1 where the
// server prints no such column.
type columns struct{ name, ready, status, restarts, age, ip, node int }

// locate finds the columns by the names that the API server gives them.
// https://github.com/kubernetes/kubernetes/blob/v1.37.2/pkg/printers/internalversion/printers.go
func locate(definitions []metav1.TableColumnDefinition) (columns, error) {
	at := map[string]int{}
	for i, d := range definitions {
		at[strings.ToLower(d.Name)] = i
	}
	find := func(name string) int {
		if i, ok := at[name]; ok {
			return i
		}
		return -1
	}
	c := columns{find("name"), find("ready"), find("status"), find("restarts"), find("age"), find("ip"), find("node")}
	if c.name < 0 || c.status < 0 {
		return columns{}, fmt.Errorf("the server's table has no columns Name and Status, only %d others", len(definitions))
	}
	return c, nil
}

// pod reads a row.
func (c columns) pod(cells []any) contract.Pod {
	text := func(i, most int) string {
		if i < 0 || i >= len(cells) {
			return ""
		}
		s, _ := cells[i].(string)
		if s == "<none>" {
			return ""
		}
		return clip(s, most)
	}
	return contract.Pod{
		Name:     text(c.name, 253),
		Ready:    text(c.ready, 16),
		Status:   text(c.status, 64),
		Restarts: restarts(cells, c.restarts),
		Age:      text(c.age, 16),
		IP:       text(c.ip, 64),
		Node:     text(c.node, 253),
	}
}

// restarts are printed as a number, or as "3 (5m ago)".
func restarts(cells []any, i int) int {
	if i < 0 || i >= len(cells) {
		return 0
	}
	switch v := cells[i].(type) {
	case float64:
		return int(v)
	case string:
		number, _, _ := strings.Cut(v, " ")
		n, _ := strconv.Atoi(number)
		return n
	default:
		return 0
	}
}

func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "")
}

// decodeTable hands over the rows of a metav1.Table as they arrive, and returns
// the continue token of the next page. No more than a row is held at a time.
func decodeTable(r io.Reader, add func(contract.Pod)) (next string, err error) {
	d := json.NewDecoder(r)
	if err := delimiter(d, '{'); err != nil {
		return "", err
	}
	var meta metav1.ListMeta
	var kind string
	var at *columns
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return "", err
		}
		switch key {
		case "kind":
			err = d.Decode(&kind)
		case "metadata":
			err = d.Decode(&meta)
		case "columnDefinitions":
			var definitions []metav1.TableColumnDefinition
			if err = d.Decode(&definitions); err == nil {
				var located columns
				located, err = locate(definitions)
				at = &located
			}
		case "rows":
			err = decodeRows(d, at, add)
		default:
			var ignored json.RawMessage
			err = d.Decode(&ignored)
		}
		if err != nil {
			return "", unfinished(err)
		}
	}
	if err := delimiter(d, '}'); err != nil {
		return "", unfinished(err)
	}
	if kind != "Table" {
		return "", fmt.Errorf("the server answered with a %q instead of a Table", clip(kind, 64))
	}
	return meta.Continue, nil
}

func decodeRows(d *json.Decoder, at *columns, add func(contract.Pod)) error {
	start, err := d.Token()
	if err != nil {
		return err
	}
	if start == nil { // "rows": null
		return nil
	}
	if start != json.Delim('[') {
		return fmt.Errorf("the table's rows begin with %v", start)
	}
	if at == nil && d.More() {
		return errors.New("the table has rows before its column definitions")
	}
	var row struct {
		Cells []any `json:"cells"`
	}
	for d.More() {
		row.Cells = row.Cells[:0]
		if err := d.Decode(&row); err != nil {
			return err
		}
		add(at.pod(row.Cells))
	}
	return delimiter(d, ']')
}

func delimiter(d *json.Decoder, want json.Delim) error {
	got, err := d.Token()
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("the server's table has %v where %v was expected", got, want)
	}
	return nil
}

// unfinished makes an end in the middle an error of its own.
func unfinished(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
