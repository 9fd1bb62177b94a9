package follow

import (
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/kubestep/kubestep/internal/follow/terminal"
)

// progress writes a line for each step and, if it is live, redraws the running state
// on a line below.
type progress struct {
	out  io.Writer
	live bool
	// verbose shows the whole cause of each failed attempt.
	verbose bool
	style   terminal.Style
	// width is how many characters the live line has room for; nil if that is not known.
	width func() int
	// reword returns what is shown of a cause; nil for the cause as it is.
	reword func(string) string

	// chapter is what the next step is part of, waited the line on what is waited for that was shown last, and
	// said what was said last.
	chapter Chapter
	waited  string
	said    string

	// doing is the running state, and since is when it began by this computer's clock,
	// which may differ from the history's.
	doing string
	since time.Time
	frame int
}

// begin notes what the next steps are part of, and shows where that begins.
func (p *progress) begin(c Chapter) {
	if c.Title != "" && c.Title != p.chapter.Title {
		p.line("%s", p.style.Bold(terminal.Line(c.Title)))
		p.waited = ""
	}
	if c.Waiting != "" && c.Waiting != p.waited && !p.live {
		p.line("  %s", terminal.Line(c.Waiting))
		p.waited = c.Waiting
	}
	if c.Title == "" {
		c.Title = p.chapter.Title
	}
	p.chapter = c
}

// say writes a line, unless that was said last.
func (p *progress) say(text string) {
	if text != "" && text != p.said {
		p.line("  %s", terminal.Line(text))
	}
	p.said = text
}

func (p *progress) step(s Step) {
	if p.chapter.Again && s.Kind == Succeeded && s.Attempt < 2 && !p.verbose {
		return
	}
	state := terminal.Line(s.State)
	switch s.Kind {
	case Succeeded:
		p.line(p.style.Green("✓")+" %-21s %8s%s", state, duration(s.Duration), attempt(s.Attempt))
	case Failed:
		text := s.Error
		cause := p.message(s.Cause)
		if why := firstSentence(cause); why != "" {
			text = p.fitting(state, text+": "+why, len([]rune(text)))
		}
		p.line(p.style.Red("✗")+" %-21s %8s  %s", state, duration(s.Duration), terminal.Line(text))
		if p.verbose && cause != "" {
			p.line("%s", indent(terminal.Text(cause)))
		}
	case Retried:
		p.line(p.style.Yellow("↻")+" %-21s again after %s, attempt %d", state, duration(s.Duration), s.Attempt)
	}
}

func attempt(n int) string {
	if n < 2 {
		return ""
	}
	return fmt.Sprintf("  on attempt %d", n)
}

// line writes a permanent line.
func (p *progress) line(format string, args ...any) {
	p.clear()
	p.write(format+"\n", args...)
}

// write ignores errors: the execution is followed to its end, even if nobody can
// read about it.
func (p *progress) write(format string, args ...any) {
	_, _ = fmt.Fprintf(p.out, format, args...)
}

// running redraws the line of the running state.
func (p *progress) running(what, detail string) {
	if !p.live {
		return
	}
	if what != p.doing {
		p.doing, p.since = what, time.Now()
	}
	p.clear()
	if what == "" {
		return
	}
	spinner := []rune("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")
	p.frame = (p.frame + 1) % len(spinner)
	if detail != "" {
		detail = "  " + detail
	}
	line := []rune(fmt.Sprintf("%c %-21s %8s%s", spinner[p.frame], terminal.Line(what), duration(time.Since(p.since)), detail))
	// What does not fit, the terminal would draw over its last column.
	p.write("%s%s%s", terminal.NoWrap, string(line[:min(len(line), p.columns())]), terminal.Wrap)
}

// columns is the width of the live line, which leaves the last column to the cursor.
func (p *progress) columns() int {
	const unknown = 120
	if p.width == nil {
		return unknown
	}
	if width := p.width(); width > 1 {
		return width - 1
	}
	return unknown
}

// fitting cuts what is said of a state that failed to a line of the terminal, after so many characters at least:
// finish says all of it, or an attempt is made again.
func (p *progress) fitting(state, text string, least int) string {
	runes := []rune(text)
	room := max(p.room(state), least)
	if !p.live || p.width == nil || len(runes) <= room {
		return text
	}
	return string(runes[:max(room-1, least)]) + "…"
}

// room is how many characters the live line has left beside a state.
func (p *progress) room(what string) int {
	const state, others = 21, 2 + 1 + 8 + 2 // the spinner, a space, the duration, two spaces
	return max(p.columns()-max(state, utf8.RuneCountInString(terminal.Line(what)))-others, 0)
}

func (p *progress) clear() {
	if p.live {
		p.write(terminal.ClearLine)
	}
}

// finish says how it ended, where it did not end well: the error and the whole
// cause, as it is, so that a command in it can be copied.
func (p *progress) finish(e Execution) {
	p.clear()
	if e.Status == types.ExecutionStatusRunning || e.Status == types.ExecutionStatusSucceeded {
		return
	}
	text := string(e.Status)
	if !e.Stopped.IsZero() {
		text += " after " + duration(e.Stopped.Sub(e.Started))
	}
	if n := len(e.Path); n > 0 && e.Status != types.ExecutionStatusFailed {
		// No event says where an execution was that ran out of time or was stopped.
		text += ", in " + terminal.Line(e.Path[n-1])
	}
	if e.Error != "" {
		text += ": " + terminal.Line(e.Error)
	}
	p.write("\n%s\n", p.style.Bold(p.style.Red(text)))
	if cause := p.message(e.Cause); cause != "" {
		p.write("\n%s\n", terminal.Text(strings.TrimRight(cause, "\n")))
	}
}

// indent sets a text apart from the states around it.
func indent(text string) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i, line := range lines {
		if line != "" {
			lines[i] = "    " + line
		}
	}
	return strings.Join(lines, "\n")
}

// message is what is shown of a cause.
func (p *progress) message(cause string) string {
	cause = message(cause)
	if p.reword == nil {
		return cause
	}
	return p.reword(cause)
}

// message is what a cause says to a person. Lambda hands on a function's error
// as a JSON document, and the machine may or may not have taken it apart:
// https://docs.aws.amazon.com/lambda/latest/dg/golang-exceptions.html
func message(cause string) string {
	var document struct {
		Message string `json:"errorMessage"`
	}
	if json.Unmarshal([]byte(cause), &document) == nil && document.Message != "" {
		return document.Message
	}
	return cause
}

var parentheses = regexp.MustCompile(` \([^()]*\)`)

// firstSentence is a message's first sentence. If it does not fit a line, what is in
// parentheses is left out, and then the middle: the end tells what went wrong, such
// as what a user may not do.
func firstSentence(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	if sentence, _, more := strings.Cut(s, ". "); more {
		s = sentence + "."
	}
	const begin, end = 80, 79
	if len([]rune(s)) > begin+1+end {
		s = parentheses.ReplaceAllString(s, "")
	}
	if r := []rune(s); len(r) > begin+1+end {
		s = string(r[:begin]) + "…" + string(r[len(r)-end:])
	}
	return s
}

// duration writes a duration as short as it can be read: 41 ms, 2.4 s, 1 min 12 s.
func duration(d time.Duration) string {
	switch d = max(d, 0); {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	default:
		d = d.Round(time.Second)
		return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
	}
}
