package fleet

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/input"
	"github.com/kubestep/kubestep/internal/store"
)

// maxSource bounds the object that lists clusters.
const maxSource = 8 << 20

// columns are those of a CSV file; the first is needed.
var columns = []string{"clusterName", "region", "roleArn"}

// fromSource reads clusters from S3: CSV if the key ends in .csv, and else JSON lines.
// Every problem is in f.
func (d Finder) fromSource(ctx context.Context, f *input.Fields, source contract.Destination, execution string) ([]contract.Target, error) {
	text, _, err := store.New(d.Store.S3, execution).Get(ctx, store.Object{Field: "source", Bucket: source.Bucket, Key: source.Prefix}, maxSource)
	if err != nil {
		return nil, err
	}
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")) // the byte order mark that spreadsheets write
	var elements []json.RawMessage
	if strings.HasSuffix(strings.ToLower(source.Prefix), ".csv") {
		elements = csvElements(f, text)
	} else {
		elements = lineElements(f, text)
	}
	return d.readClusters(f, "source", elements, account(execution)), nil
}

// lineElements are the lines that are not empty.
func lineElements(f *input.Fields, text []byte) []json.RawMessage {
	var elements []json.RawMessage
	number := 0
	for line := range bytes.Lines(text) {
		number++
		line = bytes.TrimSpace(line)
		switch {
		case len(line) == 0:
		case !json.Valid(line):
			f.Problem(fmt.Sprintf("source line %d", number), "%s is not JSON: expected %s", input.Quote(string(line)), clusterExample)
		default:
			elements = append(elements, line)
		}
	}
	return elements
}

// csvElements makes objects of the records.
func csvElements(f *input.Fields, text []byte) []json.RawMessage {
	reader := csv.NewReader(bytes.NewReader(text))
	reader.TrimLeadingSpace = true
	header, err := reader.Read()
	if err == nil && !slices.Contains(header, columns[0]) {
		err = errors.New("it has no column " + columns[0])
	}
	if err != nil {
		f.Problem("source", "expected a CSV file with the header %s: %v", strings.Join(columns, ","), err)
		return nil
	}
	var elements []json.RawMessage
	for {
		record, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return elements
		}
		if err != nil {
			f.Problem("source", "%v", err)
			return elements
		}
		members := map[string]string{}
		for i, name := range header {
			if cell := strings.TrimSpace(record[i]); cell != "" && slices.Contains(columns, name) {
				members[name] = cell
			}
		}
		element, err := json.Marshal(members)
		if err != nil {
			f.Problem("source", "%v", err)
			return elements
		}
		elements = append(elements, element)
	}
}
