package main

import (
	"context"
	"io"
	"net"
	"net/url"
	"sync/atomic"
)

// proxy counts what clients receive from the API server, TLS included.
type proxy struct {
	listener net.Listener
	endpoint string
	received atomic.Int64
}

func newProxy(ctx context.Context, endpoint string) (*proxy, error) {
	target, err := url.Parse(endpoint)
	if err != nil {
		return nil, err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: listener, endpoint: "https://" + listener.Addr().String()}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go p.pass(ctx, conn, target.Host)
		}
	}()
	return p, nil
}

func (p *proxy) pass(ctx context.Context, conn net.Conn, target string) {
	defer func() { _ = conn.Close() }()
	server, err := new(net.Dialer).DialContext(ctx, "tcp", target)
	if err != nil {
		return
	}
	go func() {
		_, _ = io.Copy(server, conn)
		_ = server.Close()
	}()
	_, _ = io.Copy(conn, io.TeeReader(server, counter{&p.received}))
}

type counter struct{ n *atomic.Int64 }

func (c counter) Write(b []byte) (int, error) {
	c.n.Add(int64(len(b)))
	return len(b), nil
}

func (p *proxy) close() { _ = p.listener.Close() }
