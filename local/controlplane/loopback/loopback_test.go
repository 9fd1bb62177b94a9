package loopback_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/local/controlplane/loopback"
)

// 192.0.2.0/24, 2001:db8::/32 and .example are for documentation, so nothing would answer even if one was let through.
func TestTheDialerConnectsToThisComputerOnly(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	port := listener.Addr().(*net.TCPAddr).Port
	for name, host := range map[string]string{
		"the loopback address":             "127.0.0.1",
		"the same, as a part of IPv6":      "[::ffff:127.0.0.1]",
		"the name of this computer itself": "localhost",
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := loopback.Dialer().DialContext(t.Context(), "tcp", fmt.Sprintf("%s:%d", host, port))
			require.NoError(t, err)
			assert.NoError(t, conn.Close())
		})
	}
	for name, host := range map[string]string{
		"an address elsewhere":              "192.0.2.1",
		"one of IPv6":                       "[2001:db8::1]",
		"one as a part of IPv6":             "[::ffff:192.0.2.1]",
		"the address of a service":          "10.100.77.161",
		"the metadata service of EC2":       "169.254.169.254",
		"one that looks like loopback":      "128.0.0.1",
		"all interfaces":                    "0.0.0.0",
		"all interfaces of IPv6":            "[::]",
		"a link-local address":              "[fe80::1%lo]",
		"a name":                            "webhook.example",
		"a name that begins like a local":   "localhost.example",
		"an address in another spelling":    "0x7f.1",
		"a name of this computer's network": "kubernetes.default.svc",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := loopback.Dialer().DialContext(t.Context(), "tcp", host+":443")
			assert.ErrorContains(t, err, "the local control plane reaches only this computer")
		})
	}
}

func TestTheResolverAsksNoServer(t *testing.T) {
	_, err := loopback.Resolver().LookupHost(t.Context(), "webhook.example")
	assert.ErrorContains(t, err, "the local control plane reaches only this computer")
}

// proxied returns a connection to a proxy, and its log.
func proxied(t *testing.T) (net.Conn, *bytes.Buffer) {
	t.Helper()
	t.Chdir(t.TempDir())
	require.NoError(t, os.WriteFile(loopback.Socket, nil, 0o600), "as a process that was killed leaves it")
	log := &bytes.Buffer{}
	require.NoError(t, loopback.Proxy{Log: slog.New(slog.NewTextHandler(log, nil))}.Serve(t.Context()))
	conn, err := net.Dial("unix", loopback.Socket)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn, log
}

func TestTheProxyConnectsToThisComputer(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		conn, err := listener.Accept()
		if err == nil {
			said, _ := io.ReadAll(conn) // until the client says no more
			_, _ = fmt.Fprintf(conn, "heard %s", said)
			_ = conn.Close()
		}
	}()
	conn, _ := proxied(t)

	_, err = fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", listener.Addr())
	require.NoError(t, err)
	reader := bufio.NewReader(conn)
	response, err := http.ReadResponse(reader, nil)
	require.NoError(t, err)
	assert.Equal(t, http.StatusOK, response.StatusCode)
	_, err = io.WriteString(conn, "hello")
	require.NoError(t, err)
	require.NoError(t, conn.(*net.UnixConn).CloseWrite())
	heard, err := io.ReadAll(reader)
	require.NoError(t, err)
	assert.Equal(t, "heard hello", string(heard))
}

func TestTheProxySaysWhyItDoesNotConnect(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, free.Close())
	for address, want := range map[string]string{
		"192.0.2.1:443":         "403 the local control plane reaches only this computer",
		"webhook.example:443":   "403 the local control plane reaches only this computer",
		free.Addr().String():    "502 dial tcp " + free.Addr().String() + ": connect: connection refused",
		"[2001:db8::1]:443":     "403 the local control plane reaches only this computer",
		"no address whatsoever": "400 Bad Request",
	} {
		t.Run(address, func(t *testing.T) {
			conn, log := proxied(t)
			_, err := fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", address)
			require.NoError(t, err)
			response, err := http.ReadResponse(bufio.NewReader(conn), nil)
			require.NoError(t, err)
			assert.Equal(t, want, response.Status)
			if response.StatusCode != http.StatusBadRequest {
				assert.Contains(t, log.String(), address)
			}
		})
	}
}
