package jobs

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/kubestep/kubestep/internal/bearer"
	"github.com/kubestep/kubestep/internal/contract/runjob"
	"github.com/kubestep/kubestep/internal/kube"
)

const (
	// maxStreams is how many logs are read at once. Those of containers that have ended come
	// first: their pods may go.
	maxStreams = 16
	// chunkBytes is how much of a log is passed on at once.
	chunkBytes = 64 << 10
	// logRetry is after how long a log is asked for again that broke off.
	logRetry = 500 * time.Millisecond
	// ahead is how many chunks are read while others are compressed and written.
	ahead = 16
	// maxChunk bounds a chunk that has one line.
	maxChunk = 1 << 20
	// maxFailures is how often the log of a container that has ended may fail to be read.
	maxFailures = 10
	// maxWhole bounds the containers whose logs are read: the state has some characters for
	// each.
	maxWhole = 3000
)

// instance is a container of a pod, between two restarts.
type instance struct {
	pod, uid, container string
	restarts            int
}

// digest is the instance in the few characters that the state has for it.
func (i instance) digest() string {
	sum := sha256.Sum256([]byte(i.uid + "/" + i.container + "/" + strconv.Itoa(i.restarts)))
	return base64.RawURLEncoding.EncodeToString(sum[:digestBytes])
}

const (
	digestBytes  = 6
	digestLength = 8
)

// chunk is a part of the log of a container, as NDJSON, and the place after it.
type chunk struct {
	of    instance
	text  []byte
	lines int
	at    runjob.LogPlace
	// done is set if nothing follows, and lost if the rest could not be read.
	done, lost bool
}

// logReader reads the logs of all containers of a Job, while they run.
type logReader struct {
	conn      *kube.Conn
	namespace string
	archive   *archive
	chunks    chan chunk
	// free are texts of chunks that are archived, to be used again.
	free chan []byte
	// stopped is closed to end the goroutines that read.
	stopped chan struct{}
	group   sync.WaitGroup

	// places are where logs are read in part, and whole are those that are read to their end,
	// by their digests.
	places map[instance]runjob.LogPlace
	whole  map[string]bool
	// reading are the logs that are being read.
	reading map[instance]bool
	// changed is set if there may be logs to open.
	changed bool
	// written is true once the round wrote a part.
	written bool

	mu sync.Mutex // guards what follows
	// terminated are the containers that have ended: what their logs have is all. All have, if
	// the Job has.
	terminated map[instance]bool
	jobEnded   bool
}

func newLogReader(conn *kube.Conn, a *archive, run runjob.Run) *logReader {
	l := &logReader{
		conn: conn, namespace: run.Job.Namespace, archive: a, chunks: make(chan chunk, ahead), free: make(chan []byte, ahead), stopped: make(chan struct{}),
		places: map[instance]runjob.LogPlace{}, whole: map[string]bool{}, reading: map[instance]bool{}, terminated: map[instance]bool{},
	}
	for _, at := range run.Cursor.Read {
		l.places[instance{at.Pod, at.UID, at.Container, at.Restarts}] = at
	}
	for digest := range slices.Chunk([]byte(run.Cursor.ReadWhole), digestLength) {
		l.whole[string(digest)] = true
	}
	return l
}

// open begins to read the logs of containers that have started, as many as may be read at
// once.
func (l *logReader) open(ctx context.Context, pods map[string]*pod) {
	if !l.changed {
		return
	}
	l.changed = false
	var ended, running []instance
	l.mu.Lock()
	for _, p := range pods {
		for _, of := range p.instances() {
			if of.terminated {
				l.terminated[of.instance] = true
				ended = append(ended, of.instance)
			} else {
				running = append(running, of.instance)
			}
		}
	}
	l.mu.Unlock()
	for _, among := range [][]instance{ended, running} {
		slices.SortFunc(among, func(a, b instance) int {
			return cmp.Or(strings.Compare(a.pod, b.pod), a.restarts-b.restarts, strings.Compare(a.container, b.container))
		})
	}
	again := map[instance]bool{} // of which another one runs
	for _, of := range running {
		of.restarts--
		again[of] = true
	}
	for _, of := range append(ended, running...) {
		if len(l.reading) >= maxStreams {
			return
		}
		if l.reading[of] || l.whole[of.digest()] {
			continue
		}
		if len(l.whole) >= maxWhole {
			l.archive.truncated = true
			return
		}
		at, ok := l.places[of]
		if !ok {
			at = runjob.LogPlace{Pod: of.pod, UID: of.uid, Container: of.container, Restarts: of.restarts}
		}
		l.reading[of] = true
		previous := again[of]
		l.group.Go(func() { l.read(ctx, of, at, previous) })
	}
}

// started is a container that has started.
type started struct {
	instance
	terminated bool
}

// instances are the containers of the pod that have started.
func (p *pod) instances() []started {
	var all []started
	for _, statuses := range [][]containerStatus{p.Status.InitContainerStatuses, p.Status.ContainerStatuses} {
		for _, c := range statuses {
			of := instance{p.Metadata.Name, p.Metadata.UID, c.Name, c.RestartCount}
			switch {
			case c.State.Terminated != nil, c.State.Waiting != nil && c.LastState.Terminated != nil:
				all = append(all, started{of, true})
			case c.State.Running != nil:
				all = append(all, started{of, false})
				if of.restarts > 0 {
					of.restarts--
					all = append(all, started{of, true})
				}
			}
		}
	}
	return all
}

// take adds a chunk to the archive.
func (l *logReader) take(ctx context.Context, c chunk) error {
	before := len(l.archive.parts.Manifest().Parts)
	if err := l.archive.add(ctx, c.text, c.lines); err != nil {
		return err
	}
	if cap(c.text) <= 2*chunkBytes { // a longer one was an exception
		select {
		case l.free <- c.text[:0]:
		default:
		}
	}
	l.written = l.written || len(l.archive.parts.Manifest().Parts) > before
	l.places[c.of] = c.at
	if c.done {
		delete(l.reading, c.of)
		delete(l.places, c.of)
		l.whole[c.of.digest()] = true
		l.changed = true // there is room for another one
		l.archive.truncated = l.archive.truncated || c.lost
	}
	return nil
}

// flushBy is when what is pending has to be written.
func (l *logReader) flushBy() time.Time {
	if by, pending := l.archive.flushBy(time.Now()); pending {
		return by
	}
	return time.Now().Add(time.Hour)
}

// flush writes what is pending, if it is time.
func (l *logReader) flush(ctx context.Context) error {
	by, pending := l.archive.flushBy(time.Now())
	if !pending || time.Now().Before(by) {
		return nil
	}
	l.written = true
	return l.archive.flush(ctx)
}

// lose notes a pod that is gone before its log was read.
func (l *logReader) lose(p *pod) {
	for _, of := range p.instances() {
		if !l.reading[of.instance] && !l.whole[of.digest()] {
			l.archive.truncated = true
		}
	}
}

// pause ends the reading, and puts the places into the run.
func (l *logReader) pause(ctx context.Context, run *runjob.Run) error {
	l.stop()
	log, err := l.archive.finish(ctx, false)
	if err != nil {
		return err
	}
	run.Log = log
	run.Cursor.Read = slices.SortedFunc(maps.Values(l.places), func(a, b runjob.LogPlace) int {
		return cmp.Or(strings.Compare(a.Pod, b.Pod), strings.Compare(a.Container, b.Container), a.Restarts-b.Restarts)
	})
	run.Cursor.ReadWhole = strings.Join(slices.Sorted(maps.Keys(l.whole)), "")
	return nil
}

// stop ends the goroutines. What they read and did not pass on is read again.
func (l *logReader) stop() {
	close(l.stopped)
	l.group.Wait()
}

// finish reads the rest of all logs of a Job that has ended, until the time is over. It
// reports whether that was all; if it has to be, what cannot be read by then is given up.
func (l *logReader) finish(ctx context.Context, by time.Time, mustEnd bool, pods map[string]*pod, run *runjob.Run) (complete bool, err error) {
	l.mu.Lock()
	l.jobEnded = true
	l.mu.Unlock()
	l.changed = true
	over := time.NewTimer(time.Until(by))
	defer over.Stop()
	for {
		l.open(ctx, pods)
		if len(l.reading) == 0 {
			break
		}
		select {
		case c := <-l.chunks:
			if err := l.take(ctx, c); err != nil {
				return false, err
			}
			continue
		case <-over.C:
		}
		if !mustEnd {
			return false, l.pause(ctx, run)
		}
		l.archive.truncated = true
		break
	}
	l.stop()
	run.Log, err = l.archive.finish(ctx, true)
	return err == nil, err
}

// read reads the log of a container to its end.
func (l *logReader) read(ctx context.Context, of instance, at runjob.LogPlace, previous bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-l.stopped:
			cancel()
		case <-ctx.Done():
		}
	}()
	failures := 0
	for {
		ended := previous || l.hasEnded(of)
		err := l.once(ctx, of, &at, request{previous: previous, follow: !ended})
		if err == nil && !ended {
			// An answer that is followed ends with the container, but also if the kubelet's
			// connection broke: the API server does not tell these apart. So the last line is
			// compared, once the container has ended.
			if ended = l.waitForEnd(ctx, of); ended {
				ended = l.isWhole(ctx, of, at)
			}
		}
		if ctx.Err() != nil {
			return
		}
		switch {
		case err == nil && ended:
			l.send(ctx, chunk{of: of, at: at, done: true})
			return
		case err == nil:
			failures = 0
		default:
			failures++
		}
		if statusCode(err) == http.StatusNotFound || failures >= maxFailures && l.hasEnded(of) {
			l.send(ctx, chunk{of: of, at: at, done: true, lost: true})
			return
		}
		if !sleep(ctx, logRetry) {
			return
		}
	}
}

func (l *logReader) hasEnded(of instance) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.jobEnded || l.terminated[of]
}

// waitForEnd waits for the status that says that the container ended.
func (l *logReader) waitForEnd(ctx context.Context, of instance) bool {
	const look, most = 20 * time.Millisecond, 100
	for range most {
		if l.hasEnded(of) {
			return true
		}
		if !sleep(ctx, look) {
			return false
		}
	}
	return false
}

// isWhole reports whether a place is at the end of the log of a container that ended.
func (l *logReader) isWhole(ctx context.Context, of instance, at runjob.LogPlace) bool {
	stream, err := l.stream(ctx, of, request{}, "tailLines", "1")
	if err != nil {
		return false
	}
	defer func() { _ = stream.Close() }()
	line, err := newLogLines(stream).next()
	stamp, _, _ := bytes.Cut(line, []byte(" "))
	return errors.Is(err, io.EOF) || err == nil && string(stamp) == at.Time
}

func (l *logReader) send(ctx context.Context, c chunk) bool {
	select {
	case l.chunks <- c:
		return true
	case <-ctx.Done():
		return false
	}
}

// request is how a log is asked for.
type request struct{ previous, follow bool }

func (l *logReader) stream(ctx context.Context, of instance, r request, more ...string) (io.ReadCloser, error) {
	q := l.conn.Get().AbsPath(logPath(l.namespace, of.pod)...).MaxRetries(0).Param("container", of.container).Param("timestamps", "true")
	if r.previous {
		q = q.Param("previous", "true")
	}
	if r.follow {
		q = q.Param("follow", "true")
	}
	for i := 0; i+1 < len(more); i += 2 {
		q = q.Param(more[i], more[i+1])
	}
	return q.Stream(kube.Streamed(ctx, streamBytes))
}

// once reads the log of a container from a place, to the end of the answer, and moves the
// place along.
func (l *logReader) once(ctx context.Context, of instance, at *runjob.LogPlace, r request) error {
	skip, more := skipper{}, []string(nil)
	if since, err := time.Parse(time.RFC3339Nano, at.Time); err == nil {
		// In whole seconds, as the API server passes it on.
		more = []string{"sinceTime", since.UTC().Truncate(time.Second).Format(time.RFC3339)}
		skip = skipper{until: since, lines: at.Lines}
	}
	stream, err := l.stream(ctx, of, r, more...)
	if err != nil {
		return err
	}
	defer func() { _ = stream.Close() }()
	return l.pass(ctx, of, at, stream, &skip)
}

// skipper skips the lines that are read already: those before a time, and so many of that
// time.
type skipper struct {
	until time.Time
	lines int
}

func (s *skipper) skips(stamp []byte) bool {
	if s.until.IsZero() {
		return false
	}
	at, err := time.Parse(time.RFC3339Nano, string(stamp))
	switch {
	case err != nil:
		return false
	case at.Before(s.until):
		return true
	case at.Equal(s.until) && s.lines > 0:
		s.lines--
		return true
	}
	s.until = time.Time{} // what follows is new
	return false
}

// pass passes the lines of a stream on, in chunks.
func (l *logReader) pass(ctx context.Context, of instance, at *runjob.LogPlace, stream io.Reader, skip *skipper) error {
	read, encode := newLogLines(stream), newEncoder(of)
	stamp, skipped := []byte(nil), false
	last := []byte(at.Time)
	for {
		continued := read.more
		line, err := read.next()
		if err != nil {
			at.Time = string(last)
			if !l.give(ctx, of, at, encode) {
				return ctx.Err()
			}
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if !continued {
			word, text, _ := bytes.Cut(line, []byte(" "))
			stamp, line = append(stamp[:0], word...), text
			skipped = skip.skips(stamp)
			switch {
			case skipped:
			case bytes.Equal(stamp, last):
				at.Lines++
			default:
				last, at.Lines = append(last[:0], stamp...), 1
			}
		}
		if skipped {
			continue
		}
		encode.add(stamp, line)
		// What has arrived is passed on before more is waited for. Of a line that is too long
		// for one piece, the place is after all of it.
		if size := encode.size(); !read.more && (size >= chunkBytes || read.r.Buffered() == 0) || size >= maxChunk {
			at.Time = string(last)
			if !l.give(ctx, of, at, encode) {
				return ctx.Err()
			}
		}
	}
}

func (l *logReader) give(ctx context.Context, of instance, at *runjob.LogPlace, e *encoder) bool {
	if e.lines == 0 {
		return true
	}
	var next []byte
	select {
	case next = <-l.free:
	default:
		next = make([]byte, 0, chunkBytes+chunkBytes/4)
	}
	text, lines := e.take(next)
	return l.send(ctx, chunk{of: of, text: text, lines: lines, at: *at})
}

// encoder writes lines as NDJSON.
type encoder struct {
	middle string
	text   []byte
	lines  int
}

func newEncoder(of instance) *encoder {
	return &encoder{middle: `","pod":` + strconv.Quote(of.pod) + `,"container":` + strconv.Quote(of.container) + `,"line":`}
}

func (e *encoder) size() int { return len(e.text) }

// take returns what was written, without tokens, and goes on with an empty text. No token goes
// on in another line, as there are quotes between them.
func (e *encoder) take(next []byte) ([]byte, int) {
	text, lines := bearer.RedactBytes(e.text), e.lines
	e.text, e.lines = next, 0
	return text, lines
}

func (e *encoder) add(stamp, line []byte) {
	e.text = append(e.text, `{"time":"`...)
	e.text = append(e.text, stamp...)
	e.text = append(e.text, e.middle...)
	e.text = appendJSON(e.text, line)
	e.text = append(e.text, '}', '\n')
	e.lines++
}
