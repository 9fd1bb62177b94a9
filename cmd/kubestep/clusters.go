package main

import (
	"cmp"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/input"
)

// A file of kubestep fleet is the fleet's input, or a list of clusters as --source has it in S3:
// CSV, or a cluster in each line.

// fileClusters are the clusters of a file, as the input has them, and the line of each.
type fileClusters struct {
	name     string
	clusters []json.RawMessage
	lines    []int
}

// csvColumns are the columns of a CSV file. Each cluster has clusterKey.
var csvColumns = []string{clusterKey, "region", "roleArn"}

const clusterKey = "clusterName"

// readFleetFile reads a file: its list of clusters, or the input that it is.
func readFleetFile(cmd *cobra.Command, name string, wrong *problems) (list fileClusters, document string) {
	from := name
	if name != "-" {
		from = "@" + name
	}
	text, err := read(cmd.Context(), from, cmd.InOrStdin())
	if err != nil {
		wrong.add("--filename %s %v", name, err)
		return list, ""
	}
	text = strings.TrimPrefix(text, "\ufeff")
	if document, ok := inputOf(text); ok {
		if repeated := input.Repeated(json.RawMessage(document)); len(repeated) > 0 {
			wrong.add("--filename %s has keys twice: %s", name, strings.Join(repeated, ", "))
		}
		return list, document
	}
	list.name = name
	first, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	if strings.HasSuffix(strings.ToLower(name), ".csv") || slices.Contains(strings.Split(strings.TrimSpace(first), ","), clusterKey) {
		list.readCSV(text, wrong)
	} else {
		list.readLines(text, wrong)
	}
	if len(list.clusters) == 0 && len(*wrong) == 0 {
		wrong.add("--filename %s has no clusters", name)
	}
	return list, ""
}

// inputOf is a text of YAML or JSON as the input of a fleet, unless it is something else: a
// line of a list is a cluster, which an input has in clusters.
func inputOf(text string) (string, bool) {
	var keys map[string]any
	if yaml.Unmarshal([]byte(text), &keys) != nil || len(keys) == 0 || keys[clusterKey] != nil {
		return "", false
	}
	if json.Valid([]byte(text)) {
		return text, true // with keys that are there twice
	}
	document, err := yaml.YAMLToJSONStrict([]byte(text))
	return string(document), err == nil
}

func (l *fileClusters) add(line int, cluster any) {
	encoded, _ := encode(cluster) // strings encode
	l.clusters, l.lines = append(l.clusters, encoded), append(l.lines, line)
}

// readLines reads a name, an ARN, or a value of JSON in each line.
func (l *fileClusters) readLines(text string, wrong *problems) {
	line := 0
	for element := range strings.Lines(text) {
		line++
		element = strings.TrimSpace(element)
		switch {
		case element == "" || strings.HasPrefix(element, "#"):
		case json.Valid([]byte(element)) && strings.ContainsAny(element[:1], `{"`):
			l.clusters, l.lines = append(l.clusters, json.RawMessage(element)), append(l.lines, line)
		case strings.ContainsAny(element, "{}\"[], \t"):
			wrong.add("--filename %s: expected a name, an ARN, or an object such as {\"clusterName\":\"demo\",\"region\":\"eu-west-1\"}", at(l.name, line))
		default:
			l.add(line, element)
		}
	}
}

// readCSV reads records below a header.
func (l *fileClusters) readCSV(text string, wrong *problems) {
	reader := csv.NewReader(strings.NewReader(text))
	reader.TrimLeadingSpace = true
	var header []string
	for {
		record, err := reader.Read()
		switch {
		case errors.Is(err, io.EOF):
			return
		case err != nil:
			wrong.add("--filename %s: %v", l.name, err)
			return
		case header == nil:
			if header = l.readHeader(record, wrong); header == nil {
				return
			}
			continue
		}
		line, _ := reader.FieldPos(0)
		cells := map[string]string{}
		for i, cell := range record {
			if cell = strings.TrimSpace(cell); cell != "" {
				cells[header[i]] = cell
			}
		}
		if len(cells) > 0 {
			l.addRecord(line, cells, wrong)
		}
	}
}

// readHeader returns the names of the columns, or nil if they are not those of clusters.
func (l *fileClusters) readHeader(record []string, wrong *problems) []string {
	for i := range record {
		record[i] = strings.TrimSpace(record[i])
		switch {
		case record[i] == "wave":
			wrong.add("--filename %s: a list with waves is read from S3: use --source", l.name)
			return nil
		case !slices.Contains(csvColumns, record[i]) || slices.Contains(record[:i], record[i]):
			wrong.add("--filename %s: column %d is not one of %s, once", l.name, i+1, strings.Join(csvColumns, ", "))
			return nil
		}
	}
	return record
}

// addRecord adds a record. In the place of a name it may have an ARN, which stays one unless there
// is a role: then the cluster is one of the role's account.
func (l *fileClusters) addRecord(line int, cells map[string]string, wrong *problems) {
	arn := contract.ARN(cells[clusterKey])
	name, isCluster := strings.CutPrefix(arn.Resource(), "cluster/")
	if !isCluster {
		l.add(line, cells)
		return
	}
	if region := cells["region"]; region != "" && region != arn.Region() {
		wrong.add("--filename %s: the ARN is of %s, and region is %s", at(l.name, line), arn.Region(), region)
	}
	role, assumed := cells["roleArn"]
	if !assumed {
		l.add(line, string(arn))
		return
	}
	if account := contract.ARN(role).Account(); account != arn.Account() {
		wrong.add("--filename %s: the ARN is of account %s, and roleArn of %s", at(l.name, line), arn.Account(), cmp.Or(account, "none"))
	}
	cells[clusterKey], cells["region"] = name, arn.Region()
	l.add(line, cells)
}

// element is a cluster as the input's reader names it.
var element = regexp.MustCompile(`\bclusters\[(\d+)\]`)

// of names the lines of the file in place of elements of the input.
func (l *fileClusters) of(text string) string {
	return element.ReplaceAllStringFunc(text, func(found string) string {
		i, _ := strconv.Atoi(element.FindStringSubmatch(found)[1]) // at most too large
		if i >= len(l.lines) {
			return found
		}
		return at(l.name, l.lines[i])
	})
}
