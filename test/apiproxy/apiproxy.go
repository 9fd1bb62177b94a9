// Package apiproxy is a proxy between the functions and a cluster's API server that makes requests fail on the way. EKS describes it as
// the cluster's endpoint, with a CA of its own. Behind it is the real API server, which answers the requests that get through.
package apiproxy

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path"
	"slices"
	"strconv"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Proxy forwards requests to an API server. Use Start.
type Proxy struct {
	// Endpoint is its URL, with the address that its certificate is for: 127.0.0.1, and not localhost.
	Endpoint string
	// CertificateAuthority is the CA of its certificate, in PEM.
	CertificateAuthority []byte

	server  *httptest.Server
	forward http.Handler

	mu     sync.Mutex
	faults []*Fault
	passed map[string]int // by resource
}

// Fault is a way in which requests fail.
type Fault struct {
	// Resource is the last part of the request's path, such as pods; empty matches every request.
	Resource string
	// Answer answers instead of the API server. It may call pass, which forwards the request.
	Answer func(w http.ResponseWriter, r *http.Request, pass http.HandlerFunc)
	// Times is how many requests the fault applies to; 0 is all.
	Times int
}

// Start starts a proxy to the API server at endpoint, whose certificate the CA issued.
func Start(endpoint string, ca []byte) (*Proxy, error) {
	server, err := url.Parse(endpoint)
	if err != nil {
		return nil, fmt.Errorf("read the API server's endpoint: %w", err)
	}
	trust := x509.NewCertPool()
	if !trust.AppendCertsFromPEM(ca) {
		return nil, errors.New("the API server's CA is not a certificate")
	}
	silent := log.New(io.Discard, "", 0) // handshakes and requests are meant to fail here
	p := &Proxy{
		forward: &httputil.ReverseProxy{
			Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(server) },
			Transport: &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: trust}},
			ErrorLog:  silent,
		},
		passed: map[string]int{},
	}
	p.server = httptest.NewUnstartedServer(p)
	p.server.EnableHTTP2, p.server.Config.ErrorLog = true, silent
	p.server.StartTLS()
	p.Endpoint = p.server.URL
	p.CertificateAuthority = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.server.Certificate().Raw})
	return p, nil
}

// Add adds a fault. If several match a request, the first one that was added applies.
func (p *Proxy) Add(fault Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = append(p.faults, &fault)
}

// Passed returns how many requests for a resource were forwarded to the API server.
func (p *Proxy) Passed(resource string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.passed[resource]
}

// Close stops the proxy: nothing listens at its endpoint any more.
func (p *Proxy) Close() {
	p.server.CloseClientConnections() // or Close would wait for them
	p.server.Close()
}

func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	resource := path.Base(r.URL.Path)
	pass := func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.passed[resource]++
		p.mu.Unlock()
		p.forward.ServeHTTP(w, r)
	}
	if fault, found := p.take(resource); found {
		fault.Answer(w, r, pass)
		return
	}
	pass(w, r)
}

// take returns the fault that applies to a request, and counts it.
func (p *Proxy) take(resource string) (Fault, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, fault := range p.faults {
		if fault.Resource != "" && fault.Resource != resource {
			continue
		}
		taken := *fault
		if fault.Times > 0 {
			if fault.Times--; fault.Times == 0 {
				p.faults = slices.Delete(p.faults, i, i+1)
			}
		}
		return taken, true
	}
	return Fault{}, false
}

// Refuse answers with a status, as the API server does. With a retryAfter of 0 the answer has no Retry-After.
func Refuse(code int32, retryAfter time.Duration) func(http.ResponseWriter, *http.Request, http.HandlerFunc) {
	return func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
		if retryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(retryAfter.Seconds())))
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(int(code))
		_ = json.NewEncoder(w).Encode(metav1.Status{ // the client is gone
			TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"},
			Status:   metav1.StatusFailure, Code: code, Message: "by the proxy: " + http.StatusText(int(code)),
			// The API server takes the header from this.
			Details: &metav1.StatusDetails{RetryAfterSeconds: int32(retryAfter.Seconds())},
		})
	}
}

// Hang answers nothing until the client gives up.
func Hang(_ http.ResponseWriter, r *http.Request, _ http.HandlerFunc) { <-r.Context().Done() }

// Cut ends the connection without an answer.
func Cut(http.ResponseWriter, *http.Request, http.HandlerFunc) { panic(http.ErrAbortHandler) }
