// Package kubetest serves a cluster's API to a unit test: a TLS server in memory whose
// answers the test writes by hand.
package kubetest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubestep/kubestep/internal/bearer"
	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/task"
)

// Token is what Opener opens every seal to.
const Token = "k8s-aws-v1.unit-test" //nolint:gosec // it opens nothing

// Opener opens every seal.
type Opener struct{}

// Open returns Token.
func (Opener) Open(string, bearer.Binding) (bearer.Token, error) { return bearer.New(Token), nil }

// Session is a session of the role arn:aws:iam::111122223333:role/path/reader with a cluster.
func Session(cluster contract.Cluster) contract.Session {
	return contract.Session{
		Execution: "arn:aws:states:eu-west-1:111122223333:execution:kubestep-pod-inventory:nightly",
		Cluster:   cluster,
		Token:     contract.Token{Sealed: "sealed", Principal: "arn:aws:iam::111122223333:role/path/reader", Group: "kubestep-pod-readers"},
	}
}

// Serve answers as a cluster until the test ends.
func Serve(t testing.TB, answer http.HandlerFunc) contract.Cluster {
	t.Helper()
	server := httptest.NewUnstartedServer(answer)
	_ = server.Listener.Close()
	server.Listener = listen()
	return ServeOn(t, server)
}

// ServeOn is Serve, on a server that the test has made, with a socket of its own.
func ServeOn(t testing.TB, server *httptest.Server) contract.Cluster {
	t.Helper()
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes that a test makes fail
	server.TLS = &tls.Config{
		Certificates:           []tls.Certificate{certificate()},
		CurvePreferences:       []tls.CurveID{tls.X25519}, // the quickest
		SessionTicketsDisabled: true,                      // nobody uses them
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	return contract.Cluster{
		Name: "demo", Region: "eu-west-1", AuthenticationMode: "API", Endpoint: server.URL,
		CertificateAuthority: base64.StdEncoding.EncodeToString(authority),
	}
}

// certificate is that of every server. httptest's own has an RSA key, whose signatures took
// half of the time of tests that connect for each case. Like that one it is always valid:
// a bubble of testing/synctest begins in 2000.
var certificate = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Unix(0, 0), NotAfter: time.Date(2084, 1, 1, 0, 0, 0, 0, time.UTC),
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		BasicConstraintsValid: true, IsCA: true,
	}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(err)
	return tls.Certificate{Certificate: [][]byte{signed}, PrivateKey: key}
})

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// ServeWhat answers as a cluster with what it was last told to: to start a server
// for each input of a fuzz test would be most of its work.
func ServeWhat(t testing.TB) (cluster contract.Cluster, answer func(http.HandlerFunc)) {
	t.Helper()
	var current atomic.Pointer[http.HandlerFunc]
	cluster = Serve(t, func(w http.ResponseWriter, r *http.Request) { (*current.Load())(w, r) })
	return cluster, func(h http.HandlerFunc) { current.Store(&h) }
}

// Told is what the machine is told of an error, which it must know by name,
// whatever a server has answered: a bounded message, without the token.
func Told(t testing.TB, err error) (name, message string) {
	t.Helper()
	var named *contract.Error
	require.ErrorAs(t, err, &named)
	assert.Contains(t, contract.ErrorNames(), named.Name)
	told := task.Name(err)
	encoded, err := json.Marshal(told)
	require.NoError(t, err)
	assert.LessOrEqual(t, len(encoded), 17<<10, "Step Functions cuts a cause at 32 KiB")
	assert.NotContains(t, told.Message, "k8s-aws-v1.")
	return told.Type, told.Message
}

// Refuse answers with a Status, as the API server writes one.
func Refuse(w http.ResponseWriter, code int32, reason metav1.StatusReason, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(int(code))
	_ = json.NewEncoder(w).Encode(metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"},
		Status:   metav1.StatusFailure, Code: code, Reason: reason, Message: message,
	})
}
