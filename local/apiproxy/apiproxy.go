// Package apiproxy stands between the functions and a cluster's API server, and makes requests go wrong on their way. EKS describes it as
// the cluster's endpoint, with an authority of its own; behind it is the real API server, with its real answers to whatever gets through.
package apiproxy

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"path"
	"slices"
	"strconv"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Proxy is a way to an API server. Use Start.
type Proxy struct {
	// Endpoint is its URL, with the address that its certificate is for: 127.0.0.1, and not localhost.
	Endpoint string
	// CertificateAuthority is what vouches for its certificate, in PEM.
	CertificateAuthority []byte

	server *http.Server
	way    http.Handler

	mu     sync.Mutex
	faults []*Fault
	passed map[string]int // by resource
}

// Fault is a way for requests to go wrong.
type Fault struct {
	// Resource is what is asked for, the last part of the path, such as pods; empty is anything.
	Resource string
	// Answer is what is answered instead; whatever it calls pass for goes on to the API server.
	Answer func(w http.ResponseWriter, r *http.Request, pass http.HandlerFunc)
	// Times is how many requests it meets; 0 is all.
	Times int
}

// Start starts a proxy to the API server at endpoint, whose certificate the authority vouches for.
func Start(endpoint string, authority []byte) (*Proxy, error) {
	server, err := url.Parse(endpoint)
	if err != nil {
		return nil, fmt.Errorf("read the API server's endpoint: %w", err)
	}
	trust := x509.NewCertPool()
	if !trust.AppendCertsFromPEM(authority) {
		return nil, errors.New("the API server's authority is no certificate")
	}
	certificate, err := selfSigned(net.IPv4(127, 0, 0, 1))
	if err != nil {
		return nil, err
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{certificate}, NextProtos: []string{"h2", "http/1.1"}})
	if err != nil {
		return nil, fmt.Errorf("listen as the API server: %w", err)
	}
	silent := log.New(io.Discard, "", 0) // handshakes and requests are meant to fail here
	p := &Proxy{
		Endpoint:             "https://" + listener.Addr().String(),
		CertificateAuthority: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate[0]}),
		way: &httputil.ReverseProxy{
			Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(server) },
			Transport: &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: trust}},
			ErrorLog:  silent,
		},
		passed: map[string]int{},
	}
	p.server = &http.Server{Handler: p, ErrorLog: silent, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = p.server.Serve(listener) }()
	return p, nil
}

// Add switches a fault on. Where several match, the one that was added first is met first.
func (p *Proxy) Add(fault Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = append(p.faults, &fault)
}

// Passed counts the requests for a resource that went on to the API server.
func (p *Proxy) Passed(resource string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.passed[resource]
}

// Close ends the proxy: from now on nothing listens there.
func (p *Proxy) Close() { _ = p.server.Close() }

func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	resource := path.Base(r.URL.Path)
	pass := func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.passed[resource]++
		p.mu.Unlock()
		p.way.ServeHTTP(w, r)
	}
	if fault, met := p.take(resource); met {
		fault.Answer(w, r, pass)
		return
	}
	pass(w, r)
}

// take finds the fault that a request meets, and counts it.
func (p *Proxy) take(resource string) (Fault, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, fault := range p.faults {
		if fault.Resource != "" && fault.Resource != resource {
			continue
		}
		met := *fault
		if fault.Times > 0 {
			if fault.Times--; fault.Times == 0 {
				p.faults = slices.Delete(p.faults, i, i+1)
			}
		}
		return met, true
	}
	return Fault{}, false
}

// Refuse answers with a status, as the API server words it. A retryAfter of 0 says nothing of when to come back.
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

// selfSigned is a certificate that is its own authority.
func selfSigned(address net.IP) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("generate a key: %w", err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "apiproxy"},
		NotBefore: now.Add(-time.Minute), NotAfter: now.AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, IPAddresses: []net.IP{address},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("create a certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
