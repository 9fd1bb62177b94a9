// Package kube connects to the cluster's API with what passes between states, and
// turns an answer of that API into an error that the machine knows. It knows no
// workflow.
package kube

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"

	"github.com/kubestep/kubestep/internal/bearer"
	"github.com/kubestep/kubestep/internal/contract"
)

// Opener opens a sealed token.
type Opener interface {
	Open(sealed string, binding bearer.Binding) (bearer.Token, error)
}

// Conn is a REST client of one cluster, with one token. It knows no kinds, and sends
// and reads JSON: the typed clients import the scheme of all kinds, and double the size of
// a function.
type Conn struct {
	*rest.RESTClient
	Cluster contract.Cluster
	// Principal is the ARN of the IAM role that the token is for, and Group the
	// Kubernetes group that it is to be mapped to.
	Principal, Group string

	transport *http.Transport
	place     chan struct{} // for large answers
}

// Connector makes clients of clusters.
type Connector struct {
	Opener Opener
	// Dial is the network; nil is the computer's.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Connect opens the token and makes a client with connections of its own, to be
// closed: an execution environment may freeze for minutes between two invocations,
// and a connection that died meanwhile costs more than a new one. Nothing is sent
// yet.
//
// Errors: Unauthorized if the token does not open, CertificateNotTrusted,
// Unexpected.
func (c Connector) Connect(s contract.Session) (*Conn, error) {
	if !strings.HasPrefix(s.Cluster.Endpoint, "https://") {
		return nil, contract.Errorf(contract.Unexpected, "The endpoint of cluster %s is not an https URL, so no token is sent there", s.Cluster.Name)
	}
	token, err := c.Opener.Open(s.Token.Sealed, bearer.BindingFor(s.Execution, s.Cluster))
	if err != nil {
		return nil, err
	}
	authority, err := base64.StdEncoding.DecodeString(s.Cluster.CertificateAuthority)
	if err != nil {
		return nil, contract.Errorf(contract.CertificateNotTrusted, "The certificate authority of cluster %s is not base64: %w", s.Cluster.Name, err)
	}
	authorities := x509.NewCertPool()
	if !authorities.AppendCertsFromPEM(authority) {
		return nil, contract.Errorf(contract.CertificateNotTrusted, "The certificate authority of cluster %s cannot be used: it holds no certificate in PEM", s.Cluster.Name)
	}
	transport := newTransport(authorities, c.Dial)
	place := make(chan struct{}, 1)
	client := &http.Client{
		Transport: authorized{bounded{transport, place}, token, userAgent(s.Execution)},
		// The token is added to each request, a redirected one too, and the API server
		// redirects none of the requests that are sent here.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	scheme := runtime.NewScheme()
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"})
	config := &rest.Config{
		Host: s.Cluster.Endpoint,
		// The default, 5 a second, would delay the pages of pods; the callers bound what
		// runs at once.
		QPS: -1,
		// A server's warnings do not belong in a function's log.
		WarningHandler: rest.NoWarnings{},
		ContentConfig: rest.ContentConfig{
			NegotiatedSerializer: serializer.NewCodecFactory(scheme).WithoutConversion(),
		},
	}
	restClient, err := rest.UnversionedRESTClientForConfigAndClient(config, client)
	if err != nil {
		return nil, fmt.Errorf("make a client of cluster %s: %w", s.Cluster.Name, err)
	}
	return &Conn{RESTClient: restClient, Cluster: s.Cluster, Principal: s.Token.Principal, Group: s.Token.Group, transport: transport, place: place}, nil
}

// Close closes the connections.
func (c *Conn) Close() { c.transport.CloseIdleConnections() }

// notInUserAgent matches what a product version in a User-Agent header does not
// allow. The name of an execution may hold it.
// https://www.rfc-editor.org/rfc/rfc9110#name-tokens
var notInUserAgent = regexp.MustCompile("[^\\w!#$%&'*+.^`|~-]")

// userAgent shows in the cluster's audit log, and leads from there to the execution.
func userAgent(execution string) string {
	return "kubestep/" + notInUserAgent.ReplaceAllString(contract.ExecutionARN(execution).Name(), "-")
}
