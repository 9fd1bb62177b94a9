package jobs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/kubestep/kubestep/internal/contract/runjob"
	"github.com/kubestep/kubestep/internal/kube"
)

const (
	// tailTime bounds how long the last lines of a container are waited for.
	tailTime = 5 * time.Second
	// tailLines is how many lines are asked for. What is kept of them is bounded by bytes.
	tailLines = 2000
	// causeLines are the lines that a cause has, and maxCauseLine the bytes of each.
	causeLines, maxCauseLine = 20, 500
)

// tail are the last lines of a container.
type tail struct {
	of    runjob.EndedContainer
	lines []string
	err   error
}

// is reports whether it is about a container, as it ended then.
func (t tail) is(c *runjob.EndedContainer) bool {
	return c != nil && t.of.Pod == c.Pod && t.of.Container == c.Container && t.of.FinishedAt.Equal(c.FinishedAt)
}

// readTail begins to read the last lines of a container that failed: its pod may be gone at
// the end of the Job. One is read at a time, and then the one that failed last.
func (r *round) readTail(ctx context.Context, c *runjob.EndedContainer) {
	if r.in.Logs == runjob.LogsNone || c.Container == "" {
		return
	}
	if r.tailing != nil {
		r.tailDue = c
		return
	}
	r.tailing = c
	go func() {
		ctx, cancel := context.WithTimeout(ctx, tailTime)
		defer cancel()
		lines, err := r.tailOf(ctx, *c)
		r.tails <- tail{*c, lines, err} // there is room for it
	}()
}

// seeTail takes the last lines of a container that failed.
func (r *round) seeTail(ctx context.Context, t tail) {
	r.tailing = nil
	if t.err == nil && t.of.FinishedAt.IsZero() {
		r.before = t
	}
	if failed := r.run.Cursor.Failed; t.err == nil && t.is(failed) {
		r.tail, failed.Lines = t, lastOf(t.lines)
	}
	if due := r.tailDue; due != nil {
		r.tailDue = nil
		r.readTail(ctx, due)
	}
}

func lastOf(lines []string) []string {
	lines = lines[max(0, len(lines)-causeLines):]
	short := make([]string, len(lines))
	for i, line := range lines {
		short[i] = clip(line, maxCauseLine)
	}
	return short
}

// lastLines are the last lines of the container that matters: of the one that failed or, if
// the Job succeeded, of the one that ended last.
func (r *round) lastLines(ctx context.Context) string {
	c := r.run.Cursor.Last
	if !r.run.Succeeded && r.run.Cursor.Failed != nil {
		c = r.run.Cursor.Failed
	}
	switch {
	case c == nil && r.run.Succeeded:
		return ""
	case c == nil: // of what ran when its time was over
		return strings.Join(r.before.lines, "\n")
	case c.Container == "":
		return ""
	}
	if r.tail.is(c) {
		return strings.Join(r.tail.lines, "\n")
	}
	ctx, cancel := context.WithTimeout(ctx, tailTime)
	defer cancel()
	lines, err := r.tailOf(ctx, *c)
	if err != nil {
		return fmt.Sprintf("(the log of container %s of pod %s cannot be read any more)", c.Container, c.Pod)
	}
	return strings.Join(lines, "\n")
}

// tailOf reads the last lines of a container, 16 KiB at most in JSON.
func (r *round) tailOf(ctx context.Context, c runjob.EndedContainer) ([]string, error) {
	stream, err := r.conn.Get().AbsPath(logPath(r.run.Job.Namespace, c.Pod)...).MaxRetries(0).
		Param("container", c.Container).Param("tailLines", strconv.Itoa(tailLines)).Stream(kube.Streamed(ctx, streamBytes))
	if err != nil {
		return nil, err
	}
	defer func() { _ = stream.Close() }()
	kept, size := []string{}, 0
	read := newLogLines(stream)
	for {
		line, err := read.next()
		if errors.Is(err, io.EOF) {
			return kept, nil
		}
		if err != nil {
			return nil, err
		}
		text := clip(sanitize(string(line)), runjob.MaxTail/2)
		kept, size = append(kept, text), size+encodedSize(text)
		for size > runjob.MaxTail && len(kept) > 1 {
			size -= encodedSize(kept[0])
			kept = kept[1:]
		}
	}
}

func logPath(namespace, pod string) []string {
	return []string{"/api/v1/namespaces", namespace, "pods", pod, "log"}
}
