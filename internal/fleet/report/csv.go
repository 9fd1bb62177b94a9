package report

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/kubestep/kubestep/internal/contract/fleet"
)

// CSV writes a line for each cluster.
func (r Report) CSV(w io.Writer) error {
	figures := r.figures()
	if r.needsMark() {
		if _, err := io.WriteString(w, "\uFEFF"); err != nil {
			return fmt.Errorf("write the byte order mark: %w", err)
		}
	}
	out := csv.NewWriter(w)
	header := append([]string{"cluster", "region", "account", "roleArn", "status", "error", "cause", "attempt", "seconds"}, figures...)
	header = append(header, "execution", "url", "startedAt", "stoppedAt")
	if len(r.Waves) > 0 {
		header = append(header, "wave")
	}
	if len(r.Summary.Effects) > 0 {
		header = append(header, "effect")
	}
	if r.Summary.Rollback != nil {
		header = append(header, "rollback", "rollbackError")
	}
	if err := out.Write(header); err != nil {
		return fmt.Errorf("write the header: %w", err)
	}
	for row := range r.rows() {
		line := []string{
			inert(row.ClusterName), inert(row.Region), inert(row.Account), inert(row.RoleARN), string(row.Status), inert(row.Error), inert(cut(row.Cause)),
			strconv.Itoa(row.Attempt), strconv.FormatFloat(row.Seconds, 'f', -1, 64),
		}
		for _, figure := range figures {
			cell := ""
			if n, ok := row.Totals[figure]; ok {
				cell = strconv.Itoa(n)
			}
			line = append(line, cell)
		}
		line = append(line, inert(row.Execution), row.URL, moment(row.StartedAt), moment(row.StoppedAt))
		if len(r.Waves) > 0 {
			line = append(line, inert(row.WaveName))
		}
		if len(r.Summary.Effects) > 0 {
			line = append(line, inert(row.Effect))
		}
		if r.Summary.Rollback != nil {
			line = append(line, rollback(row.Rollback)...)
		}
		if err := out.Write(line); err != nil {
			return fmt.Errorf("write a line: %w", err)
		}
	}
	out.Flush()
	return out.Error()
}

// rollback is the status and the error of a rollback; both empty for none.
func rollback(of *fleet.RolledBack) []string {
	if of == nil {
		return []string{"", ""}
	}
	return []string{string(of.Status), inert(of.Error)}
}

// needsMark reports whether the file has a character that a spreadsheet reads right only
// after a byte order mark. A file without one has no mark: many programs would take it for
// a part of the first heading.
func (r Report) needsMark() bool {
	for _, o := range r.Outcomes {
		for _, text := range []string{o.ClusterName, o.Error, cut(o.Cause)} {
			if strings.ContainsFunc(text, func(r rune) bool { return r > unicode.MaxASCII }) {
				return true
			}
		}
	}
	return false
}

// cut writes the mark of a shortened cause in ASCII.
func cut(cause string) string { return strings.ReplaceAll(cause, "…", "...") }

// moment is a time, or nothing for none.
func moment(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return at.Format(time.RFC3339)
}

// inert puts an apostrophe before what a spreadsheet would take for a formula.
// https://owasp.org/www-community/attacks/CSV_Injection
func inert(cell string) string {
	if cell != "" && strings.ContainsRune("=+-@\t\r\n＝＋－＠", []rune(cell)[0]) {
		return "'" + cell
	}
	return cell
}
