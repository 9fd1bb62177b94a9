package kube_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/kube/kubetest"
)

// The answers come from whatever is at the cluster's endpoint: the API server, or a proxy.
func FuzzExplain(f *testing.F) {
	cluster, answer := kubetest.ServeWhat(f)

	const refused = `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"pods is forbidden","reason":"Forbidden","code":403}`
	for _, status := range []int{200, 201, 204, 301, 307, 400, 401, 403, 404, 409, 410, 418, 429, 500, 502, 503, 504, 599} {
		f.Add(status, "application/json", "", []byte(refused))
	}
	f.Add(403, "application/json", "1", []byte(refused[:60]))
	f.Add(403, "application/json", "", []byte(`{"kind":"PodList","apiVersion":"v1"}`))
	f.Add(403, "application/vnd.kubernetes.protobuf", "", []byte("k8s\x00"+refused))
	f.Add(403, "text/html; charset=\x80", "", []byte("<html>Authorization: Bearer "+kubetest.Token+"</html>"))
	f.Add(429, "", "99999999999999999999", []byte("\x00\x1b[2J\u202e"))
	f.Add(500, "application/json", "-1", []byte(`{"kind":"Status","apiVersion":"v1","code":401,"message":"`+strings.Repeat(`\u001b`, 20_000)+`"}`))
	f.Add(500, "application/json", "", []byte(`{"kind":"Status","apiVersion":"v1","code":-2147483648,"details":{"retryAfterSeconds":2147483647,"causes":[{}]}}`))
	f.Fuzz(func(t *testing.T, status int, contentType, retryAfter string, body []byte) {
		if status < 200 || status > 999 {
			t.Skip("net/http sends no such status")
		}
		answer(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			w.Header().Set("Retry-After", retryAfter)
			w.Header().Set("Location", "http://127.0.0.1:1/")
			w.WriteHeader(status)
			_, _ = w.Write(body)
		})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		err := get(ctx, cluster)
		if err == nil {
			return
		}
		require.NoError(t, ctx.Err(), "no hang")
		kubetest.Told(t, err)
	})
}
