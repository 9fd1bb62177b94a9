// Package loopback keeps the control plane on this computer. Objects make a kube-apiserver connect to wherever they say: webhooks,
// APIServices, CRDs with a conversion, the proxy of nodes, pods and services. So the API server connects through Serve, and the
// dialer behind it connects to nothing but 127.0.0.0/8 and ::1, whatever an object, DNS or /etc/hosts says.
//
// It stays because kube-apiserver has no flag for that, and its dialers are its own: only an egress proxy is in the way of all of
// them (https://kubernetes.io/docs/tasks/extend-kubernetes/setup-konnectivity/).
package loopback

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Socket is the socket of the egress proxy, in the working directory: see the one of etcd.
const Socket = "egress.sock"

// Configuration makes an API server connect through the proxy at Socket: as a cluster's own network, and as that of the
// control plane, which it uses for webhooks by URL.
const Configuration = `apiVersion: apiserver.k8s.io/v1beta1
kind: EgressSelectorConfiguration
egressSelections:
- name: cluster
  connection: {proxyProtocol: HTTPConnect, transport: {uds: {udsName: ` + Socket + `}}}
- name: controlplane
  connection: {proxyProtocol: HTTPConnect, transport: {uds: {udsName: ` + Socket + `}}}
`

// errElsewhere is the answer to everything that is not on this computer.
var errElsewhere = errors.New("the local control plane reaches only this computer")

// Dialer returns a dialer that connects to this computer only.
func Dialer() *net.Dialer {
	return &net.Dialer{
		Timeout:  30 * time.Second,
		Resolver: Resolver(),
		// The kernel connects after this, to the address that a name has led to.
		Control: func(network, address string, _ syscall.RawConn) error {
			if !strings.HasPrefix(network, "unix") && !local(address) {
				return errElsewhere
			}
			return nil
		},
	}
}

// Resolver returns a resolver that has /etc/hosts and asks no server: a question to DNS leaves this computer too.
func Resolver() *net.Resolver {
	return &net.Resolver{
		PreferGo: true, // other resolvers do not dial as they are told
		Dial:     func(context.Context, string, string) (net.Conn, error) { return nil, errElsewhere },
	}
}

// local reports whether an address of the form IP:port is of a loopback interface.
func local(address string) bool {
	parsed, err := netip.ParseAddrPort(address)
	return err == nil && parsed.Addr().Unmap().IsLoopback()
}

// Proxy connects for the API server, as an HTTP proxy does that only has CONNECT.
type Proxy struct {
	// Log gets a line for each connection that is refused or fails.
	Log *slog.Logger
}

// Serve serves the proxy at Socket until the context ends.
func (p Proxy) Serve(ctx context.Context) error {
	if err := os.Remove(Socket); err != nil && !errors.Is(err, os.ErrNotExist) { // a process that was killed leaves it
		return fmt.Errorf("remove an old socket: %w", err)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "unix", Socket)
	if err != nil {
		return fmt.Errorf("listen for the API server's connections: %w", err)
	}
	// It closes in its own time after the context has ended: by then, what has this name may be the socket of the next proxy.
	listener.(*net.UnixListener).SetUnlinkOnClose(false)
	server := &http.Server{Handler: p, ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	go func() { _ = server.Serve(listener) }()
	return nil
}

// ServeHTTP implements http.Handler.
func (p Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	upstream, dialErr := Dialer().DialContext(r.Context(), "tcp", r.URL.Host)
	client, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		p.Log.Error("hijack the connection", "error", err)
		return
	}
	defer func() { _ = client.Close() }()
	if dialErr != nil {
		p.Log.Info("not connected", "to", r.URL.Host, "error", dialErr)
		status := http.StatusBadGateway
		if errors.Is(dialErr, errElsewhere) || strings.Contains(dialErr.Error(), errElsewhere.Error()) { // the resolver keeps only the text
			status, dialErr = http.StatusForbidden, errElsewhere
		}
		// The API server tells its client this line, and no more.
		_, _ = fmt.Fprintf(client, "HTTP/1.1 %d %s\r\nContent-Length: 0\r\n\r\n", status, strings.Join(strings.Fields(dialErr.Error()), " "))
		return
	}
	defer func() { _ = upstream.Close() }()
	if _, err := io.WriteString(client, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		return
	}
	var directions sync.WaitGroup
	directions.Go(func() { pass(upstream, client) })
	directions.Go(func() { pass(client, upstream) })
	directions.Wait()
}

// pass copies what is read to the other side, and the end of it too.
func pass(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}
