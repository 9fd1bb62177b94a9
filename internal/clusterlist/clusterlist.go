// Package clusterlist reads lists of clusters: CSV, or a cluster in each line. Who reads one in S3,
// and who reads one in a file, reads the same clusters, and is told of the same faults by their
// lines.
//
// It reads where a cluster is said to be, and not whether that can be: names, Regions, ARNs and roles
// are the reader's to check. Its problems quote nothing, because whoever names a list may not be
// allowed to read it.
package clusterlist

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"strings"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/internal/input"
)

const (
	// MaxBytes bounds a list.
	MaxBytes = 8 << 20
	// maxColumns and maxCommas bound CSV, of which a field takes a hundred times its bytes if
	// it is empty.
	maxColumns = 100
	maxCommas  = maxColumns * fleet.MaxClusters
)

// The columns of CSV, and the keys of an object.
const (
	Name   = "clusterName"
	Region = "region"
	Role   = "roleArn"
	// Wave is the wave of a fleet that has waves.
	Wave = "wave"
)

// columns are all of them; the first is needed.
var columns = []string{Name, Region, Role, Wave}

// Cluster is a cluster of a list.
type Cluster struct {
	// Line is where it begins, 1 for the first.
	Line int
	// JSON is a name or an ARN, as a string, or an object, as the input of a fleet has them; of a line
	// it may be any other value, and an object may have any keys. It is nil past as many clusters as
	// a fleet may have: these are only counted, whatever they are.
	JSON json.RawMessage
	// Wave is what a record says; an object says it in its key.
	Wave string
}

// Problem is why a line of a list, or all of it, cannot be read.
type Problem struct {
	Line int // 0 if it is about all of the list
	Text string
}

func (p *Problem) Error() string {
	if p.Line == 0 {
		return p.Text
	}
	return fmt.Sprintf("line %d: %s", p.Line, p.Text)
}

func problem(line int, format string, args ...any) *Problem {
	return &Problem{line, fmt.Sprintf(format, args...)}
}

// Format is how a list is written.
type Format struct {
	// CSV has a header, and a record for each cluster. Otherwise there is a cluster in each line.
	CSV bool
	// Bare allows lines that are a name or an ARN without quotes, or a comment.
	Bare bool
}

// IsCSV reports whether a file of that name is CSV.
func IsCSV(name string) bool { return strings.HasSuffix(strings.ToLower(name), ".csv") }

// Clusters reads a text one cluster or problem after the other. It holds none, so whoever reads more
// than there may be can stop to keep them.
func (f Format) Clusters(text []byte) iter.Seq2[Cluster, *Problem] {
	if f.CSV {
		return records(text)
	}
	return func(yield func(Cluster, *Problem) bool) {
		line, n := 0, 0
		for element := range bytes.Lines(text) {
			line++
			element = bytes.TrimSpace(element)
			if len(element) == 0 || f.Bare && element[0] == '#' {
				continue
			}
			cluster, wrong := Cluster{Line: line}, (*Problem)(nil)
			if n++; n <= fleet.MaxClusters {
				cluster, wrong = f.line(line, element)
			}
			if !yield(cluster, wrong) {
				return
			}
		}
	}
}

const (
	objectExample = `an object such as {"clusterName": "demo", "region": "eu-west-1"}`
	lineExample   = "expected a name or an ARN in quotes, or " + objectExample
	bareExample   = "expected a name, an ARN, or " + objectExample
)

// line reads a line that is not empty.
func (f Format) line(line int, element []byte) (Cluster, *Problem) {
	if f.Bare && !bytes.ContainsAny(element[:1], `{["`) {
		if bytes.ContainsAny(element, "{}[]\",; \t|") {
			return Cluster{}, problem(line, "is not one cluster: %s", bareExample)
		}
		return Cluster{Line: line, JSON: text(string(element))}, nil
	}
	switch {
	case !json.Valid(element) && f.Bare:
		return Cluster{}, problem(line, "is not JSON: %s", bareExample)
	case !json.Valid(element):
		return Cluster{}, problem(line, "is not JSON: %s", lineExample)
	case len(input.Repeated(element)) > 0:
		return Cluster{}, problem(line, "has a key twice: expected each of %s once", strings.Join(columns, ", "))
	}
	return Cluster{Line: line, JSON: bytes.Clone(element)}, nil
}

// text is a string as JSON.
func text(s string) json.RawMessage {
	encoded, _ := contract.Encode(s) // strings encode
	return encoded
}
