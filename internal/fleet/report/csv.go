package report

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// CSV writes a line for each cluster.
func (r Report) CSV(w io.Writer) error {
	figures := r.figures()
	out := csv.NewWriter(w)
	header := append([]string{"cluster", "region", "account", "roleArn", "status", "error", "cause", "attempt", "seconds"}, figures...)
	if err := out.Write(append(header, "execution", "url")); err != nil {
		return fmt.Errorf("write the header: %w", err)
	}
	for row := range r.rows() {
		line := []string{
			inert(row.ClusterName), inert(row.Region), inert(row.Account), inert(row.RoleARN), string(row.Status), inert(row.Error), inert(row.Cause),
			strconv.Itoa(row.Attempt), strconv.FormatFloat(row.Seconds, 'f', -1, 64),
		}
		for _, figure := range figures {
			cell := ""
			if n, ok := row.Totals[figure]; ok {
				cell = strconv.Itoa(n)
			}
			line = append(line, cell)
		}
		if err := out.Write(append(line, inert(row.Execution), row.URL)); err != nil {
			return fmt.Errorf("write a line: %w", err)
		}
	}
	out.Flush()
	return out.Error()
}

// inert puts an apostrophe before what a spreadsheet would take for a formula.
// https://owasp.org/www-community/attacks/CSV_Injection
func inert(cell string) string {
	if cell != "" && strings.ContainsRune("=+-@\t\r\n＝＋－＠", []rune(cell)[0]) {
		return "'" + cell
	}
	return cell
}
