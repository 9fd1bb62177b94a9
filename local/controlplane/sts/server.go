package sts

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"
)

// Server serves a Handler on a loopback port, as each host of STS that it is asked for.
type Server struct {
	listener net.Listener
	http     *http.Server
}

// Listen starts serving. Certify issues the certificate for the host that a client names.
func Listen(ctx context.Context, handler http.Handler, log *slog.Logger, certify func(host string) (*tls.Certificate, error)) (*Server, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the STS stand-in: %w", err)
	}
	s := &Server{listener: listener, http: &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		TLSConfig: &tls.Config{
			MinVersion: tls.VersionTLS12,
			GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
				return certify(hello.ServerName)
			},
		},
	}}
	go func() {
		if err := s.http.ServeTLS(listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
			log.Error("the STS stand-in has stopped", "error", err)
		}
	}()
	return s, nil
}

// Redirect makes a transport take this server for STS, and reach nothing else: the local world calls nobody outside.
// Host names, and with them the tokens that hold one, stay those of AWS.
func (s *Server) Redirect(transport *http.Transport, trust *x509.CertPool) {
	transport.Proxy = nil
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: trust}
	transport.DialContext = func(ctx context.Context, _, address string) (net.Conn, error) {
		if !strings.HasPrefix(address, "sts.") && !strings.HasPrefix(address, "sts-fips.") {
			return nil, fmt.Errorf("the local control plane reaches no host but those of STS, not %s", address)
		}
		var dialer net.Dialer
		return dialer.DialContext(ctx, "tcp", s.listener.Addr().String())
	}
}

// Close ends the server and its connections.
func (s *Server) Close() error {
	return s.http.Close()
}
