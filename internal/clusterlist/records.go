package clusterlist

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"unicode"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/fleet"
)

// records reads the records of CSV below its header.
func records(text []byte) iter.Seq2[Cluster, *Problem] {
	return func(yield func(Cluster, *Problem) bool) {
		if commas := bytes.Count(text, []byte(",")); commas > maxCommas {
			yield(Cluster{}, problem(0, "it has %d commas: expected at most %d, a hundred for each of %d clusters", commas, maxCommas, maxCommas/maxColumns))
			return
		}
		reader := csv.NewReader(bytes.NewReader(text))
		reader.TrimLeadingSpace = true
		reader.FieldsPerRecord = -1 // each is compared with the header, so that no cell is lost
		var header []string
		for n := 0; ; {
			record, err := reader.Read()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(Cluster{}, malformed(err))
				return
			}
			line, _ := reader.FieldPos(0)
			if header == nil {
				if wrong := checkHeader(line, record); wrong != nil {
					yield(Cluster{}, wrong)
					return
				}
				header = record
				continue
			}
			cells, wrong := cellsOf(line, header, record)
			if cells == nil && wrong == nil {
				continue
			}
			cluster := Cluster{Line: line}
			if n++; wrong == nil && n <= fleet.MaxClusters {
				cluster, wrong = ofCells(line, cells)
			}
			if !yield(cluster, wrong) {
				return
			}
		}
	}
}

// malformed says in which line a record begins that cannot be read. The error has no text of it.
func malformed(err error) *Problem {
	if parse, ok := errors.AsType[*csv.ParseError](err); ok {
		return problem(parse.StartLine, "%v", parse.Err)
	}
	return problem(0, "%v", err)
}

// checkHeader trims the header, and says why it is none.
func checkHeader(line int, header []string) *Problem {
	if len(header) > maxColumns {
		return problem(line, "has %d columns: expected at most %d", len(header), maxColumns)
	}
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
	if !slices.Contains(header, Name) {
		problems = append(problems, "it has no column "+Name)
	}
	if len(header) == 1 && strings.ContainsAny(header[0], ";\t|") {
		problems = []string{"the columns are not separated by commas"}
	}
	if len(problems) == 0 {
		return nil
	}
	const most = 5
	if more := len(problems) - most; more > 0 {
		problems = append(problems[:most], fmt.Sprintf("and %d more", more))
	}
	return problem(line, "%s: expected the header %s, of which %s is needed", strings.Join(problems, ", "), strings.Join(columns, ","), Name)
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

// cellsOf are the cells that are not empty by their columns; nil if there are none: spreadsheets end
// in lines of commas.
func cellsOf(line int, header, record []string) (map[string]string, *Problem) {
	for i := range record {
		record[i] = strings.TrimSpace(record[i])
	}
	if !slices.ContainsFunc(record, func(cell string) bool { return cell != "" }) {
		return nil, nil
	}
	for len(record) > len(header) && record[len(record)-1] == "" {
		record = record[:len(record)-1]
	}
	if len(record) != len(header) {
		return nil, problem(line, "has another number of fields than the header: expected %d, not %d", len(header), len(record))
	}
	cells := map[string]string{}
	for i, name := range header {
		switch {
		case record[i] == "":
		case name == "":
			return nil, problem(line, "field %d has no column: expected one of %s in the header", i+1, strings.Join(columns, ", "))
		default:
			cells[name] = record[i]
		}
	}
	return cells, nil
}

// ofCells makes a cluster of the cells of a record. In the place of the name there may be an ARN: it stays one
// unless there is a role, whose account the cluster is in then.
func ofCells(line int, cells map[string]string) (Cluster, *Problem) {
	cluster := Cluster{Line: line, Wave: cells[Wave]}
	delete(cells, Wave)
	if arn, role := contract.ARN(cells[Name]), contract.ARN(cells[Role]); strings.HasPrefix(string(arn), "arn:") {
		name, isCluster := strings.CutPrefix(arn.Resource(), "cluster/")
		switch region := cells[Region]; {
		case region != "" && region != arn.Region():
			return Cluster{}, problem(line, "has another Region in the ARN than in the column %s", Region)
		case role == "":
			cluster.JSON = text(string(arn))
			return cluster, nil
		case !isCluster || arn.Service() != "eks":
			return Cluster{}, problem(line, "has an ARN of no EKS cluster in the column %s: expected one such as arn:aws:eks:eu-west-1:111122223333:cluster/demo", Name)
		case role.Partition() != "" && role.Partition() != arn.Partition():
			return Cluster{}, problem(line, "has an ARN of another partition in the column %s than in %s", Role, Name)
		case role.Account() != "" && role.Account() != arn.Account():
			return Cluster{}, problem(line, "has an ARN of another account in the column %s than in %s", Role, Name)
		}
		cells[Name], cells[Region] = name, arn.Region()
	}
	encoded, err := contract.Encode(cells)
	if err != nil {
		return Cluster{}, problem(line, "cannot be read") // strings encode
	}
	cluster.JSON = encoded
	return cluster, nil
}
