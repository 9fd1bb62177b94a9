package access_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/access"
	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/kube/kubetest"
)

// The reviews come from whatever is at the cluster's endpoint: the API server, its authorizers, or a proxy.
func FuzzVerify(f *testing.F) {
	cluster, answer := kubetest.ServeWhat(f)
	verifier := access.Verifier{Kube: kubetest.Connector}

	review := func(status string) string {
		return `{"kind":"SelfSubjectAccessReview","apiVersion":"authorization.k8s.io/v1","metadata":{},"spec":{"resourceAttributes":{"namespace":"shop","verb":"list","version":"*","resource":"pods"}},"status":` + status + `}`
	}
	const who = `{"kind":"SelfSubjectReview","apiVersion":"authentication.k8s.io/v1","metadata":{},"status":{"userInfo":{"username":"kubestep","groups":["kubestep-pod-readers"]}}}`
	no := review(`{"allowed":false}`)
	for _, answer := range []string{
		review(`{"allowed":true}`), no, no[:len(no)-1], no + no, review(`{"allowed":false,"denied":true,"reason":"` + strings.Repeat(`\u001b`, 9_000) + `"}`),
		review(`{"allowed":true,"reason":"` + strings.Repeat("r", 300<<10) + `"}`), review(`{"allowed":false,"evaluationError":"` + kubetest.Token + `"}`),
		review(`{"allowed":"no"}`), review(`null`), strings.Replace(no, "shop", "default", 1), strings.Replace(no, "SelfSubjectAccessReview", "SubjectAccessReview", 1),
		who, "", "{}", "null", "[]", `{"kind":"Status","apiVersion":"v1","status":"Success"}`, `{"kind":"Status","apiVersion":"v1","status":"Failure","code":403}`,
	} {
		f.Add(201, "application/json", []byte(answer), []byte(who))
		f.Add(403, "application/json", []byte(answer), []byte(who))
	}
	for _, who := range []string{
		"", "{}", "[", strings.Replace(who, "kubestep-pod-readers", strings.Repeat("g", 20<<10), 1), strings.Replace(who, `"kubestep"`, `"`+strings.Repeat(`\u001b`, 9_000)+`"`, 1),
		strings.Replace(who, `"kubestep"`, `"`+kubetest.Token+`"`, 1),
	} {
		f.Add(201, "application/json", []byte(no), []byte(who))
	}
	f.Add(201, "text/html", []byte("<html>"), []byte(who))
	f.Fuzz(func(t *testing.T, status int, contentType string, reviewed, who []byte) {
		if status < 200 || status > 999 {
			t.Skip("net/http sends no such status")
		}
		answer(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/selfsubjectreviews") {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(http.StatusCreated)
				_, _ = w.Write(who)
				return
			}
			w.Header().Set("Content-Type", contentType)
			w.WriteHeader(status)
			_, _ = w.Write(reviewed)
		})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		verified, err := verifier.Verify(ctx, contract.VerifyRBAC{Session: kubetest.Session(cluster), Checks: pods("shop")})
		require.NoError(t, ctx.Err(), "no hang")
		if err == nil {
			encoded, err := json.Marshal(verified)
			require.NoError(t, err)
			assert.LessOrEqual(t, len(encoded), 64<<10)
			assert.True(t, verified.Allowed)
			assert.True(t, says(reviewed, true), "nothing is allowed but by a review of what was asked")
			return
		}
		name, message := kubetest.Told(t, err)
		if name == string(contract.Forbidden) && strings.Contains(message, ") list pods in ") {
			assert.True(t, says(reviewed, false), "could not ask is not denied: %s", message)
			assert.Contains(t, message, "grant -n shop", "the fix is not pushed out")
		}
	})
}

// says reports whether an answer is a review of the access to shop with that result.
func says(answer []byte, allowed bool) bool {
	var review struct {
		Spec struct {
			ResourceAttributes struct{ Namespace string }
		}
		Status struct{ Allowed bool }
	}
	return json.Unmarshal(answer, &review) == nil && review.Spec.ResourceAttributes.Namespace == "shop" && review.Status.Allowed == allowed
}
