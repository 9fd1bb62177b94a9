package fleet

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/kubestep/kubestep/internal/contract"
	contractfleet "github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/internal/input"
	"github.com/kubestep/kubestep/internal/store"
)

const (
	// maxSource bounds the object that lists clusters, in bytes.
	maxSource = 8 << 20
	// maxColumns and maxCommas bound a CSV file, of which a field takes a hundred times its
	// bytes if it is empty.
	maxColumns = 100
	maxCommas  = maxColumns * contractfleet.MaxClusters
)

const (
	columnName, columnRegion, columnRole = "clusterName", "region", "roleArn"
	// columnWave is the wave of a fleet that has waves.
	columnWave = "wave"

	lineExample = `expected a name or an ARN in quotes, or an object such as {"clusterName": "demo", "region": "eu-west-1"}`
)

// columns are a CSV file's columns, and an object's keys; the first is needed.
var columns = []string{columnName, columnRegion, columnRole, columnWave}

// fromSource reads clusters from S3: CSV if the key ends in .csv, and else JSON lines.
// Every problem is in f, with its line and without its text: whoever may start a fleet
// may not be allowed to read every object that find-clusters may read.
func (d Finder) fromSource(ctx context.Context, f *input.Fields, source contract.Destination, execution string) ([]member, error) {
	own := homeOf(execution)
	content, _, err := store.New(d.Store.S3, execution).Get(ctx, store.Object{Field: "source", Bucket: source.Bucket, Key: source.Prefix}, maxSource)
	if err != nil {
		return nil, err
	}
	f.Withhold()
	text, problem := inUTF8(content)
	if problem != "" {
		f.Problem("source", "%s", problem)
		return nil, nil
	}
	if strings.HasSuffix(strings.ToLower(source.Prefix), ".csv") {
		return d.fromRecords(f, text, own), nil
	}
	return d.fromLines(f, text, own), nil
}

// inUTF8 is text in UTF-8 or, as Windows' programs write it, in UTF-16 with a byte order
// mark. It loses no character: what is wrong is a problem.
func inUTF8(content []byte) (text []byte, problem string) {
	var order binary.ByteOrder
	switch {
	case bytes.HasPrefix(content, []byte{0xFF, 0xFE}):
		order = binary.LittleEndian
	case bytes.HasPrefix(content, []byte{0xFE, 0xFF}):
		order = binary.BigEndian
	default:
		text = bytes.TrimPrefix(content, []byte("\xEF\xBB\xBF"))
		if at := invalid(text); at >= 0 {
			return nil, fmt.Sprintf("line %d is not text in UTF-8: expected UTF-8", 1+bytes.Count(text[:at], []byte("\n")))
		}
		return text, ""
	}
	content = content[2:]
	if len(content)%2 != 0 {
		return nil, "it ends within a character of UTF-16: expected UTF-8"
	}
	units := make([]uint16, len(content)/2)
	for i := range units {
		units[i] = order.Uint16(content[2*i:])
	}
	line := 1
	for i := 0; i < len(units); i++ {
		r := rune(units[i])
		if utf16.IsSurrogate(r) {
			if i++; i == len(units) {
				return nil, fmt.Sprintf("line %d is not text in UTF-16: expected UTF-8", line)
			}
			if r = utf16.DecodeRune(r, rune(units[i])); r == unicode.ReplacementChar {
				return nil, fmt.Sprintf("line %d is not text in UTF-16: expected UTF-8", line)
			}
		}
		if r == '\n' {
			line++
		}
		text = utf8.AppendRune(text, r)
	}
	return text, ""
}

// invalid is where the first byte is that is not UTF-8, or -1.
func invalid(text []byte) int {
	for at := 0; at < len(text); {
		r, size := utf8.DecodeRune(text[at:])
		if r == utf8.RuneError && size == 1 {
			return at
		}
		at += size
	}
	return -1
}

// list collects the clusters of a source, each once.
type list struct {
	f       *input.Fields
	own     home
	members []member
	first   map[identity]int // line
	rest    int              // those that are only counted
}

// full counts a cluster if it is one too many: it is not read then.
func (l *list) full() bool {
	if len(l.members) < contractfleet.MaxClusters {
		return false
	}
	l.rest++
	return true
}

// all is the clusters, if they are not too many.
func (l *list) all() []member {
	if l.rest > 0 {
		l.f.Problem("clusters", "%d clusters: expected at most %d", len(l.members)+l.rest, contractfleet.MaxClusters)
	}
	return l.members
}

func (l *list) add(line int, target contract.Target, wave string) {
	is := l.own.identity(target)
	if earlier, again := l.first[is]; again && target.ClusterName != "" {
		l.f.Problem(at(line), "repeats the cluster of line %d", earlier)
		return
	}
	l.first[is] = line
	l.members = append(l.members, member{Target: target, wave: wave, line: line})
}

// at is where a problem is.
func at(line int) string { return fmt.Sprintf("source line %d", line) }

// fromLines reads the lines that are not empty.
func (d Finder) fromLines(f *input.Fields, text []byte, own home) []member {
	clusters := &list{f: f, own: own, first: map[identity]int{}}
	line := 0
	for element := range bytes.Lines(text) {
		line++
		element = bytes.TrimSpace(element)
		switch {
		case len(element) == 0 || clusters.full():
			continue
		case !json.Valid(element):
			f.Problem(at(line), "is not JSON: %s", lineExample)
			continue
		case len(input.Repeated(element)) > 0:
			f.Problem(at(line), "has a key twice: expected each of %s once", strings.Join(columns, ", "))
			continue
		}
		target, ok := d.readText(f, at(line), element, own)
		wave := ""
		if !ok {
			nested := f.Line(at(line), element, clusterExample)
			target = input.Target(nested, contract.Target{Region: d.Defaults.Region})
			nested.String(columnWave, &wave)
			checkPartition(f, at(line), target.RoleARN, own)
		}
		clusters.add(line, target, wave)
	}
	return clusters.all()
}

// fromRecords reads the records of a CSV file.
func (d Finder) fromRecords(f *input.Fields, text []byte, own home) []member {
	if commas := bytes.Count(text, []byte(",")); commas > maxCommas {
		f.Problem("source", "it has %d commas: expected at most %d, a hundred for each of %d clusters", commas, maxCommas, contractfleet.MaxClusters)
		return nil
	}
	reader := csv.NewReader(bytes.NewReader(text))
	reader.TrimLeadingSpace = true
	reader.FieldsPerRecord = -1 // each is compared with the header, so that no cell is lost
	header, err := reader.Read()
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		malformed(f, err)
		return nil
	}
	line, _ := reader.FieldPos(0)
	if len(header) > maxColumns {
		f.Problem(at(line), "has %d columns: expected at most %d", len(header), maxColumns)
		return nil
	}
	if !readHeader(f, line, header) {
		return nil
	}
	clusters := &list{f: f, own: own, first: map[identity]int{}}
	for {
		record, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return clusters.all()
		}
		if err != nil {
			malformed(f, err)
			return clusters.members
		}
		line, _ := reader.FieldPos(0)
		if cells, ok := readRecord(f, line, header, record); ok && !clusters.full() {
			wave := cells[columnWave]
			delete(cells, columnWave)
			clusters.add(line, d.readCells(f, line, cells, own), wave)
		}
	}
}

// malformed says in which line a record begins that cannot be read. The error has no text of it.
func malformed(f *input.Fields, err error) {
	if parse, ok := errors.AsType[*csv.ParseError](err); ok {
		f.Problem(at(parse.StartLine), "%v", parse.Err)
		return
	}
	f.Problem("source", "%v", err)
}

// readHeader trims the header, and reports whether it is one.
func readHeader(f *input.Fields, line int, header []string) bool {
	expected := fmt.Sprintf("expected the header %s, of which %s is needed", strings.Join(columns, ","), columnName)
	var problems []string
	for i, name := range header {
		name = strings.TrimSpace(name)
		header[i] = name
		switch known := spelled(name); {
		case name == "": // below it, nothing may be
		case slices.Contains(header[:i], name) && known == name:
			problems = append(problems, "has the column "+name+" twice")
		case known == name:
		case known != "":
			problems = append(problems, fmt.Sprintf("column %d: did you mean %s?", i+1, known))
		default:
			problems = append(problems, fmt.Sprintf("column %d is unknown", i+1))
		}
	}
	if !slices.Contains(header, columnName) {
		problems = append(problems, "it has no column "+columnName)
	}
	if len(header) == 1 && strings.ContainsAny(header[0], ";\t|") {
		problems = []string{"the columns are not separated by commas"}
	}
	if len(problems) == 0 {
		return true
	}
	const most = 5
	if more := len(problems) - most; more > 0 {
		problems = append(problems[:most], fmt.Sprintf("and %d more", more))
	}
	f.Problem(at(line), "%s: %s", strings.Join(problems, ", "), expected)
	return false
}

// spelled is the column that a name means, however it is spelled; empty for none.
func spelled(name string) string {
	fold := func(text string) string {
		return strings.ToLower(strings.Map(func(r rune) rune {
			if unicode.IsLetter(r) || unicode.IsDigit(r) {
				return r
			}
			return -1
		}, text))
	}
	for _, column := range columns {
		if fold(name) == fold(column) {
			return column
		}
	}
	return ""
}

// readRecord returns the cells that are not empty by their columns. It reports whether
// there are any: spreadsheets end in lines of commas.
func readRecord(f *input.Fields, line int, header, record []string) (map[string]string, bool) {
	for i := range record {
		record[i] = strings.TrimSpace(record[i])
	}
	empty := func(cell string) bool { return cell == "" }
	if !slices.ContainsFunc(record, func(cell string) bool { return cell != "" }) {
		return nil, false
	}
	for len(record) > len(header) && empty(record[len(record)-1]) {
		record = record[:len(record)-1]
	}
	if len(record) != len(header) {
		f.Problem(at(line), "has another number of fields than the header: expected %d, not %d", len(header), len(record))
		return nil, false
	}
	cells := map[string]string{}
	for i, name := range header {
		switch {
		case empty(record[i]):
		case name == "":
			f.Problem(at(line), "field %d has no column: expected one of %s in the header", i+1, strings.Join(columns, ", "))
			return nil, false
		default:
			cells[name] = record[i]
		}
	}
	return cells, true
}

// readCells makes a cluster of the cells. In the place of the name there may be an ARN,
// as in lists, also one of the account of the role.
func (d Finder) readCells(f *input.Fields, line int, cells map[string]string, own home) contract.Target {
	if !strings.HasPrefix(cells[columnName], arnPrefix) {
		object, err := json.Marshal(cells)
		if err != nil {
			f.Problem(at(line), "cannot be read") // strings encode
			return contract.Target{}
		}
		target := input.Target(f.Line(at(line), object, clusterExample), contract.Target{Region: d.Defaults.Region})
		checkPartition(f, at(line), target.RoleARN, own)
		return target
	}
	if role := homeOf(cells[columnRole]); role.partition != "" {
		own.account = role.account
	}
	target := d.readARN(f, at(line), cells[columnName], own)
	target.RoleARN = cells[columnRole]
	input.CheckRole(f, at(line), target.RoleARN)
	checkPartition(f, at(line), target.RoleARN, own)
	if region := cells[columnRegion]; region != "" && region != target.Region {
		f.Problem(at(line), "has another Region in the ARN than in the column %s", columnRegion)
	}
	return target
}
