package kubetest

import (
	"context"
	"net"
	"sync"
	"sync/atomic"

	"github.com/kubestep/kubestep/internal/kube"
)

// Connector opens every seal, and connects to the servers of Serve. Their network is in
// memory: in a bubble of testing/synctest, time passes only while everybody waits for it,
// and who waits for a socket does not count.
var Connector = kube.Connector{Opener: Opener{}, Dial: dial}

// listeners are the servers by their address.
var listeners sync.Map

// lastPort makes each address another one.
var lastPort atomic.Int32

type listener struct {
	address net.Addr
	dialed  chan net.Conn
	closed  chan struct{}
	close   func()
}

func listen() *listener {
	l := &listener{
		address: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(lastPort.Add(1))},
		dialed:  make(chan net.Conn), closed: make(chan struct{}),
	}
	l.close = sync.OnceFunc(func() { close(l.closed) })
	listeners.Store(l.address.String(), l)
	return l
}

// Addr returns the address.
func (l *listener) Addr() net.Addr { return l.address }

// Accept returns the server's end of the next connection.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.dialed:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close refuses further connections.
func (l *listener) Close() error {
	listeners.Delete(l.address.String())
	l.close()
	return nil
}

func dial(ctx context.Context, network, address string) (net.Conn, error) {
	known, ok := listeners.Load(address)
	if !ok {
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
	l := known.(*listener)
	client, server := pipe(l.address)
	select {
	case l.dialed <- server:
		return client, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
