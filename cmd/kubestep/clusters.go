package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/kubestep/kubestep/internal/clusterlist"
	"github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/internal/documents"
	"github.com/kubestep/kubestep/internal/follow/terminal"
	"github.com/kubestep/kubestep/internal/input"
)

// A file of kubestep fleet is the fleet's input, or a list of clusters as --source has it in S3, in which
// a name or an ARN needs no quotes.

// fileClusters are the clusters of a file, as the input has them, and the line of each.
type fileClusters struct {
	name     string
	clusters []json.RawMessage
	lines    []int
}

// readFleetFile reads a file: its list of clusters, or the input that it is.
func readFleetFile(cmd *cobra.Command, name string, wrong *problems) (list fileClusters, document string) {
	from := name
	if name != "-" {
		from = "@" + name
	}
	content, err := read(cmd.Context(), from, cmd.InOrStdin())
	if err != nil {
		wrong.add("--filename %s %v", name, err)
		return list, ""
	}
	list.name = name
	text, problem := clusterlist.Text([]byte(content))
	if problem != nil {
		wrong.add("--filename %s", list.said(problem))
		return list, ""
	}
	if document, ok := inputOf(string(text)); ok {
		if repeated := input.Repeated(json.RawMessage(document)); len(repeated) > 0 {
			wrong.add("--filename %s has keys twice: %s", name, strings.Join(repeated, ", "))
		}
		if hasAnother(text) {
			wrong.add("--filename %s has something after its first document, which would be lost: expected one input", name)
		}
		return list, document
	}
	list.read(text, wrong)
	if len(list.clusters) == 0 && len(*wrong) == 0 {
		wrong.add("--filename %s has no clusters", name)
	}
	return list, ""
}

// inputOf is a text of YAML or JSON as the input of a fleet, unless it is something else: a
// line of a list is a cluster, which an input has in clusters.
func inputOf(text string) (string, bool) {
	var keys map[string]any
	if yaml.Unmarshal([]byte(text), &keys) != nil || len(keys) == 0 || keys[clusterlist.Name] != nil {
		return "", false
	}
	if json.Valid([]byte(text)) {
		return text, true // with keys that are there twice
	}
	document, err := yaml.YAMLToJSONStrict([]byte(text))
	return string(document), err == nil
}

// hasAnother reports whether anything follows the first document of a text, which a reader of one ends with.
func hasAnother(text []byte) bool {
	if json.Valid(text) {
		return false
	}
	for document, err := range documents.All(text) {
		problem, broken := errors.AsType[*documents.Problem](err)
		if broken && problem.Number > 1 || err == nil && document.Number > 1 {
			return true
		}
	}
	return false
}

// read reads a list, which is CSV if its name or its header says so.
func (l *fileClusters) read(text []byte, wrong *problems) {
	first, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
	isHeader := slices.ContainsFunc(strings.Split(first, ","), func(column string) bool {
		return strings.Trim(column, " \t\r\"") == clusterlist.Name
	})
	format := clusterlist.Format{CSV: isHeader || clusterlist.IsCSV(l.name), Bare: true}
	more := 0
	for cluster, problem := range format.Clusters(text) {
		switch {
		case problem != nil:
			wrong.add("--filename %s", l.said(problem))
		case cluster.JSON == nil:
			more++
		case hasWave(cluster):
			wrong.add("--filename %s: has a wave: a list with waves is read from S3, so use --source", at(l.name, cluster.Line))
		default:
			l.clusters, l.lines = append(l.clusters, cluster.JSON), append(l.lines, cluster.Line)
		}
	}
	if more > 0 {
		wrong.add("--filename %s has %d clusters: expected at most %d", l.name, len(l.clusters)+more, fleet.MaxClusters)
	}
}

// hasWave reports whether a cluster says which wave it is in, which the input of a fleet has no place for.
func hasWave(c clusterlist.Cluster) bool {
	var object map[string]json.RawMessage
	_ = json.Unmarshal(c.JSON, &object) // another value has none
	return c.Wave != "" || object[clusterlist.Wave] != nil
}

// said is a problem of the file.
func (l *fileClusters) said(p *clusterlist.Problem) string {
	if p.Line == 0 {
		return l.name + ": " + p.Text
	}
	return at(l.name, p.Line) + ": " + p.Text
}

// arguments are clusters that the command line names.
type arguments []string

// of names the arguments in place of elements of the input.
func (a arguments) of(text string) string {
	return elements(text, len(a), func(i int) string { return fmt.Sprintf("argument %d (%s)", i+1, terminal.Line(a[i])) })
}

// element is a cluster as the input's reader names it, unless it is one of a wave.
var element = regexp.MustCompile(`(^|[^.\w])clusters\[(\d+)\]`)

// elements names the first elements of the input, so many, in its own way.
func elements(text string, n int, name func(int) string) string {
	return element.ReplaceAllStringFunc(text, func(found string) string {
		parts := element.FindStringSubmatch(found)
		i, _ := strconv.Atoi(parts[2]) // at most too large
		if i >= n {
			return found
		}
		return parts[1] + name(i)
	})
}

// of names the lines of the file in place of elements of the input.
func (l *fileClusters) of(text string) string {
	return elements(text, len(l.lines), func(i int) string { return at(l.name, l.lines[i]) })
}
