package apiproxy_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/test/apiproxy"
)

// between starts an API server that answers with what it was asked, and a proxy to it.
func between(t *testing.T) (*apiproxy.Proxy, *http.Client) {
	t.Helper()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, r.Header.Get("Authorization"), " ", r.URL)
	}))
	t.Cleanup(server.Close)
	proxy, err := apiproxy.Start(server.URL, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	require.NoError(t, err)
	t.Cleanup(proxy.Close)
	trust := x509.NewCertPool()
	require.True(t, trust.AppendCertsFromPEM(proxy.CertificateAuthority))
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trust}}
	t.Cleanup(transport.CloseIdleConnections)
	return proxy, &http.Client{Transport: transport, Timeout: 10 * time.Second}
}

func get(t *testing.T, client *http.Client, url string) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	request.Header.Set("Authorization", "Bearer me")
	response, err := client.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response, string(body)
}

func TestARequestWithoutAFaultIsForwardedUnchanged(t *testing.T) {
	proxy, client := between(t)
	proxy.Add(apiproxy.Fault{Resource: "other", Answer: apiproxy.Refuse(500, 0)})

	_, body := get(t, client, proxy.Endpoint+"/api/v1/namespaces/shop/pods?limit=5")

	assert.Equal(t, "Bearer me /api/v1/namespaces/shop/pods?limit=5", body)
	assert.Equal(t, 1, proxy.Passed("pods"))
}

func TestAFaultAppliesAsOftenAsItSays(t *testing.T) {
	proxy, client := between(t)
	proxy.Add(apiproxy.Fault{Resource: "pods", Answer: apiproxy.Refuse(429, 7*time.Second), Times: 1})

	refused, body := get(t, client, proxy.Endpoint+"/pods")
	assert.Equal(t, 429, refused.StatusCode)
	assert.Equal(t, "7", refused.Header.Get("Retry-After"))
	assert.Contains(t, body, `"kind":"Status"`)
	assert.Zero(t, proxy.Passed("pods"))

	passed, _ := get(t, client, proxy.Endpoint+"/pods")
	assert.Equal(t, 200, passed.StatusCode)
	assert.Equal(t, 1, proxy.Passed("pods"))
}

func TestAFaultMayForwardTheRequest(t *testing.T) {
	proxy, client := between(t)
	var before bool
	proxy.Add(apiproxy.Fault{Answer: func(w http.ResponseWriter, r *http.Request, pass http.HandlerFunc) {
		before = true
		pass(w, r)
	}})
	response, _ := get(t, client, proxy.Endpoint+"/pods")
	assert.Equal(t, 200, response.StatusCode)
	assert.True(t, before)
}

func TestItsCertificateIsForItsAddressAlone(t *testing.T) {
	proxy, client := between(t)
	_, err := client.Get(strings.Replace(proxy.Endpoint, "127.0.0.1", "localhost", 1))
	var host x509.HostnameError
	require.ErrorAs(t, err, &host)
}

func TestAConnectionThatIsCutHasNoAnswer(t *testing.T) {
	proxy, client := between(t)
	proxy.Add(apiproxy.Fault{Answer: apiproxy.Cut})
	_, err := client.Get(proxy.Endpoint)
	require.Error(t, err)
}
