//go:build linux

package memory

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/bearer"
	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/kube/kubetest"
)

// served is a cluster that answers so on a socket: the functions are programs of their own, which the network of
// kubetest, in memory, does not reach.
func served(t *testing.T, answer http.HandlerFunc) contract.Cluster {
	t.Helper()
	return kubetest.ServeOn(t, httptest.NewUnstartedServer(answer))
}

// session is one with a cluster that answers so.
func session(t *testing.T, answer http.HandlerFunc) contract.Session {
	t.Helper()
	s := kubetest.Session(served(t, answer))
	sealer, err := bearer.NewSealer(sealKey)
	require.NoError(t, err)
	s.Token.Sealed, err = sealer.Seal(bearer.New("k8s-aws-v1.memory"), bearer.BindingFor(s.Execution, s.Cluster))
	require.NoError(t, err)
	return s
}

// write writes before, item again and again until bytes are written, and after.
func write(w io.Writer, before, item string, bytes int, after string) {
	chunk := strings.Repeat(item, max(1, 64<<10/len(item)))
	_, _ = io.WriteString(w, before)
	for n := 0; n < bytes; n += len(chunk) {
		if _, err := io.WriteString(w, chunk); err != nil {
			return // the client has had enough
		}
	}
	_, _ = io.WriteString(w, after)
}

// bucket is an S3 that holds what is put.
type bucket struct {
	mu   sync.Mutex
	held map[string][]byte // by path
}

func (b *bucket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if r.Method == http.MethodPut {
		b.held[r.URL.Path], _ = io.ReadAll(r.Body)
		return
	}
	body, ok := b.held[r.URL.Path]
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		body = []byte(`<Error><Code>NoSuchKey</Code></Error>`)
	}
	_, _ = w.Write(body)
}

// text is an object that the bucket holds.
func (b *bucket) text(key string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(b.held["/bucket/"+key])
}

// s3 serves one with an object, and returns the environment variable of its endpoint.
func s3(t *testing.T, objects map[string]string) (*bucket, string) {
	t.Helper()
	b := &bucket{held: map[string][]byte{}}
	for path, text := range objects {
		b.held["/b/"+path], b.held["/bucket/"+path] = []byte(text), []byte(text)
	}
	server := httptest.NewServer(b)
	t.Cleanup(server.Close)
	return b, "AWS_ENDPOINT_URL=" + server.URL
}
