package kube

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
)

// The most that is read of an answer, in bytes. The server is not ours: without a
// bound it, or whatever answers in its place, decides how much memory a function takes.
const (
	// PageBytes bounds a page of a table, which is decoded as it arrives: 10,000 rows
	// of pods take 2 MB, and 10 MB if their names are as long as possible.
	PageBytes = 16 << 20
	// ObjectBytes bounds an object. etcd takes requests of 1.5 MiB, unless it is set up
	// otherwise, and a character such as < or a control character is stored as one byte
	// and takes six in JSON.
	// https://etcd.io/docs/latest/dev-guide/limit/
	ObjectBytes = 10 << 20
	// KindsBytes bounds the list of the kinds of a group and version, at some 300 bytes
	// each: 3,000 kinds.
	KindsBytes = 1 << 20
	// defaultBytes bounds an answer for which nothing else was said: an access review
	// takes 1 KB.
	defaultBytes = 1 << 20
	// maxErrorBytes truncates the body of a response that is not 2xx; its status code
	// still says what it is.
	maxErrorBytes = 256 << 10
	// maxHeaderBytes bounds the headers: an API server's warnings take 4 KiB.
	maxHeaderBytes = 64 << 10
	// freeBytes of an answer are read at once with others. What is longer waits for its
	// turn.
	freeBytes = 128 << 10
)

// TooLargeError is an answer that is longer than what is read of it.
type TooLargeError struct{ Bytes int64 }

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("it is larger than %d bytes, the most that is read of such an answer", e.Bytes)
}

// bound bounds the answer to a request.
type bound struct {
	bytes    int64
	streamed bool
}

type (
	boundKey struct{}
	turnKey  struct{}
)

// AtMost bounds the answer to a request that is made with the context. Requests with
// other contexts are bounded by 1 MiB.
func AtMost(ctx context.Context, bytes int64) context.Context {
	return context.WithValue(ctx, boundKey{}, bound{bytes: bytes})
}

// Streamed bounds an answer that is decoded as it arrives, and so waits for no turn.
func Streamed(ctx context.Context, bytes int64) context.Context {
	return context.WithValue(ctx, boundKey{}, bound{bytes, true})
}

// turn is a piece of work that may have the only place for large answers.
type turn struct {
	place chan struct{} // holds a value while it is taken

	mu   sync.Mutex // guards held
	held bool
}

// Turn begins a piece of work with the cluster's answers, such as what is done with
// one object. Of the pieces of work that are under way, one at a time has answers of
// more than 128 KiB, from when it reads them until it calls end: decoded, an object
// of some megabytes takes a hundred.
func (c *Conn) Turn(ctx context.Context) (work context.Context, end func()) {
	t := &turn{place: c.place}
	return context.WithValue(ctx, turnKey{}, t), t.end
}

// take waits for the place.
func (t *turn) take(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.held {
		return nil
	}
	select {
	case t.place <- struct{}{}:
		t.held = true
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t *turn) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.held {
		<-t.place
		t.held = false
	}
}

// bounded bounds what is read of a response, after net/http has decompressed it.
type bounded struct {
	next  http.RoundTripper
	place chan struct{}
}

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := b.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	limit, said := r.Context().Value(boundKey{}).(bound)
	if !said {
		limit.bytes = defaultBytes
	}
	l := &limited{ctx: r.Context(), body: response.Body, max: limit.bytes, streamed: limit.streamed, release: func() {}}
	if response.StatusCode >= http.StatusMultipleChoices {
		l.max, l.truncate, l.streamed = maxErrorBytes, true, false
	}
	l.turn, said = r.Context().Value(turnKey{}).(*turn)
	if !said {
		l.turn = &turn{place: b.place}
		l.release = l.turn.end
	}
	response.Body = l
	return response, nil
}

// limited is io.LimitReader, except that it fails at the limit, unless it is to
// truncate: an answer that was cut must not look like one that ended.
type limited struct {
	ctx                context.Context //nolint:containedctx // of the request, whose body it is
	body               io.ReadCloser
	read, max          int64
	streamed, truncate bool
	turn               *turn
	release            func() // once it is closed
}

func (l *limited) Read(p []byte) (int, error) {
	if !l.streamed && l.read >= freeBytes {
		if err := l.turn.take(l.ctx); err != nil {
			return 0, err
		}
	}
	left := l.max - l.read
	if left <= 0 {
		return l.end()
	}
	n, err := l.body.Read(p[:min(int64(len(p)), left)])
	l.read += int64(n)
	return n, err
}

// end tells an answer that ends at the limit from a longer one.
func (l *limited) end() (int, error) {
	if l.truncate {
		return 0, io.EOF
	}
	switch n, err := l.body.Read(make([]byte, 1)); {
	case n > 0:
		return 0, &TooLargeError{l.max}
	case err != nil:
		return 0, err
	default:
		return 0, nil
	}
}

func (l *limited) Close() error {
	defer l.release()
	return l.body.Close()
}
