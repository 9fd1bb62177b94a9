package kubetest

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// bufferSize is how many bytes a direction holds before who writes has to wait.
const bufferSize = 64 << 10

// pipe is a connection in memory, whose ends hold what is written until it is read, as sockets
// do. Those of net.Pipe do not: two ends of TLS that say goodbye at the same time wait for each
// other, with a mutex held, and the clock of a bubble stands still.
func pipe(address net.Addr) (client, server net.Conn) {
	up, down := newStream(), newStream()
	return &end{in: down, out: up, address: address}, &end{in: up, out: down, address: address}
}

// stream is one direction of a connection.
type stream struct {
	mu      sync.Mutex
	changed *sync.Cond
	held    bytes.Buffer
	// ended is true once nothing more is written, and left once nothing more is read.
	ended, left bool
	read, write deadline
}

// deadline is when a wait ends.
type deadline struct {
	timer  *time.Timer
	passed bool
}

func newStream() *stream {
	s := &stream{}
	s.changed = sync.NewCond(&s.mu)
	return s
}

// until sets a deadline of the stream.
func (s *stream) until(d *deadline, t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
	}
	d.timer, d.passed = nil, !t.IsZero() && !time.Now().Before(t)
	if !t.IsZero() && !d.passed {
		var timer *time.Timer
		timer = time.AfterFunc(time.Until(t), func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			d.passed = d.passed || d.timer == timer
			s.changed.Broadcast()
		})
		d.timer = timer
	}
	s.changed.Broadcast()
}

// end is one end of a connection.
type end struct {
	in, out *stream
	address net.Addr
}

func (e *end) Read(p []byte) (int, error) {
	s := e.in
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.left:
			return 0, net.ErrClosed
		case s.read.passed:
			return 0, os.ErrDeadlineExceeded
		case s.held.Len() > 0:
			n, err := s.held.Read(p)
			s.changed.Broadcast()
			return n, err
		case s.ended:
			return 0, io.EOF
		}
		s.changed.Wait()
	}
}

func (e *end) Write(p []byte) (int, error) {
	s := e.out
	s.mu.Lock()
	defer s.mu.Unlock()
	written := 0
	for {
		switch {
		case s.ended:
			return written, net.ErrClosed
		case s.left:
			return written, io.ErrClosedPipe
		case s.write.passed:
			return written, os.ErrDeadlineExceeded
		}
		n, err := s.held.Write(p[written:min(len(p), written+max(0, bufferSize-s.held.Len()))])
		written += n
		s.changed.Broadcast()
		if err != nil || written == len(p) {
			return written, err
		}
		s.changed.Wait()
	}
}

// Close ends both directions: what was written can still be read.
func (e *end) Close() error {
	e.in.close(&e.in.left, &e.in.read)
	e.out.close(&e.out.ended, &e.out.write)
	return nil
}

func (s *stream) close(over *bool, d *deadline) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*over = true
	if d.timer != nil {
		d.timer.Stop()
	}
	s.changed.Broadcast()
}

func (e *end) LocalAddr() net.Addr  { return e.address }
func (e *end) RemoteAddr() net.Addr { return e.address }

func (e *end) SetDeadline(t time.Time) error {
	return errors.Join(e.SetReadDeadline(t), e.SetWriteDeadline(t))
}

func (e *end) SetReadDeadline(t time.Time) error {
	e.in.until(&e.in.read, t)
	return nil
}

func (e *end) SetWriteDeadline(t time.Time) error {
	e.out.until(&e.out.write, t)
	return nil
}
