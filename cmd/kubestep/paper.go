package main

import (
	"io"
	"unicode/utf8"

	"github.com/kubestep/kubestep/internal/follow/terminal"
)

// paper is what a table is printed on.
type paper struct {
	terminal.Style
	// width is how many columns there are; 0 if nobody knows, as of a file.
	width int
}

func paperOf(w io.Writer) paper {
	return paper{Style: terminal.Colors(w), width: terminal.Width(w)}
}

// fits reports whether a line is printed on one line.
func (p paper) fits(line string) bool {
	return p.width == 0 || utf8.RuneCountInString(line) <= p.width
}
