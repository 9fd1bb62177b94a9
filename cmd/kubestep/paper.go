package main

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/kubestep/kubestep/internal/follow/terminal"
)

// paper is what a table is printed on.
type paper struct {
	terminal.Style
	// width is how many columns there are; 0 if nobody knows, as of a file.
	width int
	// wide asks for all columns, whether they fit or not.
	wide bool
}

func paperOf(w io.Writer) paper {
	return paper{Style: terminal.Colors(w), width: terminal.Width(w)}
}

// fits reports whether a line is printed on one line.
func (p paper) fits(line string) bool {
	return p.width == 0 || utf8.RuneCountInString(line) <= p.width
}

const (
	// columnGap is between two columns of a table that has room for it.
	columnGap = 3
	// minGap is between those of one that has none.
	minGap = 2
	// minColumn is how short a cell is cut at most.
	minColumn = 12
)

// table writes rows, the first of which is the head, in columns. If they do not fit, they come closer, and the
// cells of the widest columns are cut in the middle, unless the table is to be wide. Those of the
// columns with the heads in copied, which people copy, are cut last.
func (p paper) table(b *bytes.Buffer, rows [][]string, copied ...string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, text := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(text))
		}
	}
	gap := columnGap
	for !p.wide && p.width > 0 && gap > minGap && total(widths, gap) > p.width {
		gap--
	}
	for _, last := range []bool{false, true} {
		for !p.wide && p.width > 0 && total(widths, gap) > p.width {
			widest := -1
			for i, width := range widths {
				if width > minColumn && slices.Contains(copied, rows[0][i]) == last && (widest < 0 || width > widths[widest]) {
					widest = i
				}
			}
			if widest < 0 {
				break
			}
			widths[widest]--
		}
	}
	for _, row := range rows {
		for i, text := range row {
			text = cut(text, widths[i])
			b.WriteString(text)
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(text)+gap))
			}
		}
		b.WriteByte('\n')
	}
}

// total is the width of a table.
func total(widths []int, gap int) int {
	sum := gap * (len(widths) - 1)
	for _, width := range widths {
		sum += width
	}
	return sum
}

// cut shortens a text in the middle: names differ at their ends.
func cut(text string, width int) string {
	runes := []rune(text)
	if len(runes) <= width {
		return text
	}
	end := (width - 1) / 2
	return string(runes[:width-1-end]) + "…" + string(runes[len(runes)-end:])
}
