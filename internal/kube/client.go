// Package kube turns what passes between states into a client of the cluster's
// API, and an answer of that API into an error that the machine knows.
package kube

import (
	"encoding/base64"
	"fmt"
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/rest"

	"github.com/kubestep/kubestep/internal/bearer"
	"github.com/kubestep/kubestep/internal/contract"
)

// userAgent shows in the cluster's audit log.
const userAgent = "kubestep"

// Client is a REST client of one cluster, with one token. It knows the kinds
// that it was given and no others: the typed clients import the scheme of all,
// and double the size of a function.
type Client struct {
	*rest.RESTClient
	http *http.Client
}

// NewClient makes a client of its own, with connections of its own, to be closed:
// an execution environment may freeze for minutes between two invocations, and a
// connection that died meanwhile costs more than a new one.
func NewClient(cluster contract.Cluster, token bearer.Token, kinds ...func(*runtime.Scheme) error) (*Client, error) {
	authority, err := base64.StdEncoding.DecodeString(cluster.CertificateAuthority)
	if err != nil {
		return nil, contract.Errorf(contract.CertificateNotTrusted, "The certificate authority of cluster %s is not base64: %w", cluster.Name, err)
	}
	scheme := runtime.NewScheme()
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"})
	for _, add := range kinds {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("register kinds: %w", err)
		}
	}
	most := int64(maxPage)
	if len(kinds) > 0 {
		most = maxObject
	}
	config := &rest.Config{
		Host:        cluster.Endpoint,
		BearerToken: token.Reveal(),
		TLSClientConfig: rest.TLSClientConfig{
			CAData: authority,
		},
		UserAgent: userAgent,
		// A page of rows is sent within a region, and compressing it takes longer than
		// sending it does.
		DisableCompression: true,
		// The default, 5 a second, would make a page of pods wait for the one before; what
		// runs at once is bounded by the callers.
		QPS:           -1,
		WrapTransport: func(next http.RoundTripper) http.RoundTripper { return bounded{next, most} },
		// A server's warnings are nothing that a function's log is for.
		WarningHandler: rest.NoWarnings{},
		// A Proxy keeps client-go from its cache of transports, which holds connections for good.
		Proxy: http.ProxyFromEnvironment,
		ContentConfig: rest.ContentConfig{
			NegotiatedSerializer: serializer.NewCodecFactory(scheme).WithoutConversion(),
		},
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, contract.Errorf(contract.CertificateNotTrusted, "The certificate authority of cluster %s cannot be used: %w", cluster.Name, err)
	}
	// client-go adds the token to each request, a redirected one too, and the API
	// server redirects nothing that is asked of it here.
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	restClient, err := rest.UnversionedRESTClientForConfigAndClient(config, client)
	if err != nil {
		return nil, fmt.Errorf("make a client of cluster %s: %w", cluster.Name, err)
	}
	return &Client{restClient, client}, nil
}

// Close ends the client's connections. http.Client's own CloseIdleConnections
// does not find them behind client-go's wrappers.
func (c *Client) Close() { utilnet.CloseIdleConnectionsFor(c.http.Transport) }
