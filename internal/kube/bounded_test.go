package kube_test

import (
	"compress/gzip"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/kube"
	"github.com/kubestep/kubestep/internal/kube/kubetest"
)

// endless writes until the client closes the connection, and counts the bytes.
func endless(w io.Writer, written *atomic.Int64) {
	chunk := []byte(strings.Repeat("x", 64<<10))
	for {
		n, err := w.Write(chunk)
		written.Add(int64(n))
		if err != nil {
			return
		}
	}
}

func TestAnEndlessAnswerIsCutAndNamed(t *testing.T) {
	var written atomic.Int64
	cluster := kubetest.Serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		endless(w, &written)
	})
	connect := func(t *testing.T, kinds ...func(*runtime.Scheme) error) *kube.Conn {
		written.Store(0)
		conn, err := kube.Connect(kubetest.Opener{}, kubetest.Session(cluster), kinds...)
		require.NoError(t, err)
		t.Cleanup(conn.Close)
		return conn
	}
	t.Run("if it is read whole", func(t *testing.T) {
		conn := connect(t, authorizationv1.AddToScheme)
		err := conn.Get().AbsPath("/x").MaxRetries(0).Do(t.Context()).Error()
		assertNamed(t, contract.ClusterUnreachable, conn.Explain(err, "look"))
		assert.ErrorContains(t, conn.Explain(err, "look"), "larger than 1048576 bytes")
	})
	t.Run("if it is read as it arrives", func(t *testing.T) {
		conn := connect(t)
		stream, err := conn.Get().AbsPath("/x").MaxRetries(0).Stream(t.Context())
		require.NoError(t, err)
		defer stream.Close()
		n, err := io.Copy(io.Discard, stream)
		assert.EqualValues(t, 16<<20, n)
		assertNamed(t, contract.ClusterUnreachable, conn.Explain(err, "look"))
	})
}

func TestASmallAnswerThatUnpacksEndlesslyIsCutToo(t *testing.T) {
	var unpacked atomic.Int64
	cluster := kubetest.Serve(t, func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			endless(w, &unpacked)
			return
		}
		w.Header().Set("Content-Encoding", "gzip")
		endless(gzip.NewWriter(w), &unpacked)
	})
	err := get(t.Context(), cluster)
	assertNamed(t, contract.ClusterUnreachable, err)
}

func TestARefusalKeepsItsNameHoweverLongItsText(t *testing.T) {
	for code, name := range map[int32]contract.ErrorName{401: contract.Unauthorized, 403: contract.Forbidden, 429: contract.Throttled, 500: contract.ClusterUnreachable} {
		cluster := kubetest.Serve(t, func(w http.ResponseWriter, _ *http.Request) {
			kubetest.Refuse(w, code, "", strings.Repeat("no ", 10<<20))
		})
		err := get(t.Context(), cluster)
		assertNamed(t, name, err)
		assert.Less(t, len(err.Error()), 64<<10)
	}
}

func TestTheTokenFollowsNoRedirect(t *testing.T) {
	var asked atomic.Bool
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Store(true) }))
	t.Cleanup(elsewhere.Close)
	for _, code := range []int{301, 302, 303, 307, 308} {
		cluster := kubetest.Serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, code) })
		assertNamed(t, contract.ClusterUnreachable, get(t.Context(), cluster))
	}
	assert.False(t, asked.Load())
}

func TestAClosedClientLeavesNoConnection(t *testing.T) {
	var open atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			open.Add(1)
		}
		if state == http.StateClosed {
			open.Add(-1)
		}
	}
	cluster := kubetest.ServeOn(t, server)
	require.NoError(t, get(t.Context(), cluster))
	assert.Eventually(t, func() bool { return open.Load() == 0 }, 10*time.Second, 5*time.Millisecond)
}
