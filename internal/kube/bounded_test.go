package kube_test

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

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
	for sentence, c := range map[string]struct {
		bound func(context.Context) context.Context
		bytes int64
	}{
		"at 1 MiB if nothing is said": {func(ctx context.Context) context.Context { return ctx }, 1 << 20},
		"where the caller says":       {func(ctx context.Context) context.Context { return kube.AtMost(ctx, 3<<20) }, 3 << 20},
		"if it is read as it arrives": {func(ctx context.Context) context.Context { return kube.Streamed(ctx, 5<<20) }, 5 << 20},
	} {
		t.Run(sentence, func(t *testing.T) {
			conn := connect(t, cluster)
			err := conn.Get().AbsPath("/x").MaxRetries(0).Do(c.bound(t.Context())).Error()
			explained := conn.Explain(err, "look")
			assertNamed(t, contract.ClusterUnreachable, explained)
			assert.ErrorContains(t, explained, fmt.Sprintf("it is larger than %d bytes", c.bytes))
			var tooLarge *kube.TooLargeError
			require.ErrorAs(t, explained, &tooLarge, "a caller may know better")

			stream, err := conn.Get().AbsPath("/x").MaxRetries(0).Stream(c.bound(t.Context()))
			require.NoError(t, err)
			defer stream.Close()
			n, err := io.Copy(io.Discard, stream)
			assert.Equal(t, c.bytes, n)
			assert.ErrorAs(t, err, &tooLarge)
		})
	}
}

func connect(t *testing.T, cluster contract.Cluster) *kube.Conn {
	conn, err := kubetest.Connector.Connect(kubetest.Session(cluster))
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	return conn
}

func TestAnAnswerThatEndsAtTheBoundIsWhole(t *testing.T) {
	cluster := kubetest.Serve(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat("x", 1<<20))
	})
	answer, err := connect(t, cluster).Get().AbsPath("/x").MaxRetries(0).DoRaw(t.Context())
	require.NoError(t, err)
	assert.Len(t, answer, 1<<20)
}

func TestEndlessHeadersAreAnError(t *testing.T) {
	for sentence, http2 := range map[string]bool{"of HTTP/1": false, "of HTTP/2": true} {
		t.Run(sentence, func(t *testing.T) {
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				for i := range 100 {
					w.Header().Add("Warning", fmt.Sprintf("299 - %q", strings.Repeat(strconv.Itoa(i), 1<<10)))
				}
			}))
			server.EnableHTTP2 = http2
			assertNamed(t, contract.ClusterUnreachable, get(t.Context(), kubetest.ServeOn(t, server)))
		})
	}
}

func TestLargeAnswersAreHeldOneAtATime(t *testing.T) {
	const large = 1 << 20
	var served atomic.Int64
	cluster := kubetest.Serve(t, func(w http.ResponseWriter, _ *http.Request) {
		served.Add(1)
		_, _ = io.WriteString(w, strings.Repeat("x", large))
	})
	conn := connect(t, cluster)
	read := func(ctx context.Context) error {
		answer, err := conn.Get().AbsPath("/x").MaxRetries(0).DoRaw(ctx)
		if err == nil {
			assert.Len(t, answer, large)
		}
		return err
	}
	first, end := conn.Turn(t.Context())
	require.NoError(t, read(first))
	require.NoError(t, read(first), "who has the place reads more")

	t.Run("so that another piece of work waits", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		second, endSecond := conn.Turn(ctx)
		defer endSecond()
		before, done := served.Load(), make(chan error, 1)
		go func() { done <- read(second) }()
		assert.Eventually(t, func() bool { return served.Load() > before }, 10*time.Second, time.Millisecond)
		cancel()
		require.ErrorIs(t, <-done, context.Canceled)
	})
	t.Run("but a stream does not", func(t *testing.T) {
		require.NoError(t, read(kube.Streamed(t.Context(), 2*large)))
	})
	end()
	t.Run("and without a turn it is held while it is read", func(t *testing.T) {
		require.NoError(t, read(t.Context()))
		require.NoError(t, read(t.Context()))
	})
}

func TestAnObjectIsDecodedIfThereIsMemoryForIt(t *testing.T) {
	text := func(item string, bytes int) []byte {
		return []byte(`{"a":[` + strings.Repeat(item+",", bytes/(len(item)+1)) + item + `]}`)
	}
	for _, item := range []string{`{"":0}`, `{}`, `[]`, `0`, `""`, `"a"`, `{"a":{"":0}}`, `[0,0,0]`, `{"name":"a"}`, `{"a":"","b":"","c":0}`} {
		small := text(item, 1500<<10)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		object, err := kube.Object(small)
		require.NoError(t, err, "etcd takes it: %s", item)
		runtime.GC()
		runtime.ReadMemStats(&after)
		runtime.KeepAlive(object)
		assert.Less(t, (int64(after.HeapAlloc)-int64(before.HeapAlloc))>>20, int64(100), "MiB of %s", item)

		_, err = kube.Object(text(item, 9<<20))
		require.ErrorContains(t, err, "the object has so many fields that", item)
	}
	_, err := kube.Object(text(`"`+strings.Repeat(`{[,\"\\`, 1<<10)+`"`, 9<<20))
	require.NoError(t, err, "in a string it is text")
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
