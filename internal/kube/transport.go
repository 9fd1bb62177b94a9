package kube

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"time"

	"github.com/kubestep/kubestep/internal/bearer"
)

// newTransport returns connections to a server whose certificate one of the authorities
// signed. It is client-go's transport for that without client certificates, credential
// plug-ins, the files that they are read from, and a cache that keeps connections for
// good: all that takes a tenth of a function's size.
// https://github.com/kubernetes/client-go/blob/v0.37.2/transport/cache.go
func newTransport(authorities *x509.CertPool, dial func(ctx context.Context, network, address string) (net.Conn, error)) *http.Transport {
	if dial == nil {
		dial = (&net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}).DialContext
	}
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         dial,
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: authorities},
		TLSHandshakeTimeout: 10 * time.Second,
		ForceAttemptHTTP2:   true, // which a dialer and a TLS configuration turn off
		// A connection that died is noticed in the time of a function.
		HTTP2:               &http.HTTP2Config{SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second},
		MaxIdleConnsPerHost: 25,
		IdleConnTimeout:     90 * time.Second,
		// Within a Region, compressing a page of rows takes longer than sending it.
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxHeaderBytes,
	}
}

// authorized sends each request with the token and the user agent.
type authorized struct {
	next      http.RoundTripper
	token     bearer.Token
	userAgent string
}

func (a authorized) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context()) // as http.RoundTripper asks for
	r.Header.Set("Authorization", "Bearer "+a.token.Reveal())
	r.Header.Set("User-Agent", a.userAgent)
	return a.next.RoundTrip(r)
}
