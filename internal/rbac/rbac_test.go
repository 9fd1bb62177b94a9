package rbac_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authorizationv1 "k8s.io/api/authorization/v1"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/kube/kubetest"
	"github.com/kubestep/kubestep/internal/rbac"
)

// reviews serves access reviews, answered by namespace, and keeps the questions.
type reviews struct {
	mu        sync.Mutex
	questions []authorizationv1.ResourceAttributes
	tokens    []string
	answer    func(namespace string) authorizationv1.SubjectAccessReviewStatus
}

func (r *reviews) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if strings.HasSuffix(request.URL.Path, "/selfsubjectreviews") {
		w.WriteHeader(http.StatusCreated)
		_, _ = fmt.Fprint(w, `{"kind":"SelfSubjectReview","apiVersion":"authentication.k8s.io/v1","status":{"userInfo":{"username":"kubestep","groups":["kubestep-pod-readers","system:authenticated"]}}}`)
		return
	}
	var review authorizationv1.SelfSubjectAccessReview
	if err := json.NewDecoder(request.Body).Decode(&review); err != nil {
		http.Error(w, err.Error(), http.StatusTeapot)
		return
	}
	r.mu.Lock()
	r.questions = append(r.questions, *review.Spec.ResourceAttributes)
	r.tokens = append(r.tokens, request.Header.Get("Authorization"))
	r.mu.Unlock()
	review.Status = r.answer(review.Spec.ResourceAttributes.Namespace)
	w.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(w).Encode(review)
}

func verify(t *testing.T, answer http.HandlerFunc, namespaces ...string) (contract.VerifiedAccess, error) {
	t.Helper()
	return rbac.Verifier{Opener: kubetest.Opener{}}.Verify(t.Context(), contract.VerifyRBAC{
		Execution: "e", Cluster: kubetest.Serve(t, answer), Token: contract.Token{Sealed: "s", Principal: "arn:aws:iam::111122223333:role/reader"}, Namespaces: namespaces,
	})
}

func allow(string) authorizationv1.SubjectAccessReviewStatus {
	return authorizationv1.SubjectAccessReviewStatus{Allowed: true, Reason: "RBAC: allowed"}
}

func TestEachNamespaceIsReviewedAndAnsweredInItsOrder(t *testing.T) {
	server := &reviews{answer: allow}
	var namespaces []string
	for i := range 30 {
		namespaces = append(namespaces, fmt.Sprintf("n%d", i))
	}
	access, err := verify(t, server.ServeHTTP, namespaces...)

	require.NoError(t, err)
	assert.True(t, access.Allowed)
	require.Len(t, access.Namespaces, 30)
	for i, n := range access.Namespaces {
		assert.Equal(t, contract.NamespaceAccess{Namespace: namespaces[i], Allowed: true, Reason: "RBAC: allowed"}, n)
	}
	require.Len(t, server.questions, 30)
	for _, q := range server.questions {
		q.Namespace = ""
		assert.Equal(t, authorizationv1.ResourceAttributes{Verb: "list", Version: "v1", Resource: "pods"}, q)
	}
	assert.Equal(t, "Bearer "+kubetest.Token, server.tokens[0])
}

func TestAllNamespacesAreOneQuestion(t *testing.T) {
	server := &reviews{answer: allow}
	access, err := verify(t, server.ServeHTTP, contract.AllNamespaces)
	require.NoError(t, err)
	assert.Equal(t, []contract.NamespaceAccess{{Namespace: "*", Allowed: true, Reason: "RBAC: allowed"}}, access.Namespaces)
	assert.Equal(t, []authorizationv1.ResourceAttributes{{Verb: "list", Version: "v1", Resource: "pods"}}, server.questions)

	server.answer = func(string) authorizationv1.SubjectAccessReviewStatus {
		return authorizationv1.SubjectAccessReviewStatus{}
	}
	_, err = verify(t, server.ServeHTTP, contract.AllNamespaces)
	require.Error(t, err)
	assert.Contains(t, err.Error(), "list pods in all namespaces")
	assert.Contains(t, err.Error(), "kubectl apply -k rbac/cluster")
}

func TestADenialSaysWhoIsDeniedWhatWhereAndTheMend(t *testing.T) {
	server := &reviews{answer: func(namespace string) authorizationv1.SubjectAccessReviewStatus {
		if namespace == "shop" || namespace == "bank" {
			return authorizationv1.SubjectAccessReviewStatus{Reason: "no binding"}
		}
		return allow("")
	}}
	_, err := verify(t, server.ServeHTTP, "default", "shop", "bank")

	var named *contract.Error
	require.ErrorAs(t, err, &named)
	assert.Equal(t, contract.Forbidden, named.Name)
	for _, text := range []string{`user "kubestep"`, "[kubestep-pod-readers system:authenticated]", "arn:aws:iam::111122223333:role/reader", "list pods in 2 namespaces (shop, bank)", "(no binding)", "kubectl apply -k rbac/namespace -n shop && kubectl apply -k rbac/namespace -n bank"} {
		assert.Contains(t, named.Message, text)
	}
	assert.NotContains(t, named.Message, "default")
}

func TestAnAuthorizerThatFailedHasNotDenied(t *testing.T) {
	for sentence, c := range map[string]struct {
		status authorizationv1.SubjectAccessReviewStatus
		name   contract.ErrorName
	}{
		"an evaluation error without an answer is none":   {authorizationv1.SubjectAccessReviewStatus{EvaluationError: "webhook timed out"}, contract.ClusterUnreachable},
		"an evaluation error beside a denial is a denial": {authorizationv1.SubjectAccessReviewStatus{Denied: true, EvaluationError: "webhook timed out"}, contract.Forbidden},
		"an evaluation error beside a yes is a yes":       {authorizationv1.SubjectAccessReviewStatus{Allowed: true, EvaluationError: "webhook timed out"}, ""},
	} {
		t.Run(sentence, func(t *testing.T) {
			server := &reviews{answer: func(string) authorizationv1.SubjectAccessReviewStatus { return c.status }}
			_, err := verify(t, server.ServeHTTP, "default")
			if c.name == "" {
				require.NoError(t, err)
				return
			}
			var named *contract.Error
			require.ErrorAs(t, err, &named)
			assert.Equal(t, c.name, named.Name)
		})
	}
}

func TestAClusterThatRefusesTheQuestionIsNotADenial(t *testing.T) {
	_, err := verify(t, func(w http.ResponseWriter, _ *http.Request) { kubetest.Refuse(w, 401, "Unauthorized", "Unauthorized") }, "a", "b", "c")
	var named *contract.Error
	require.ErrorAs(t, err, &named)
	assert.Equal(t, contract.Unauthorized, named.Name)
}

func TestAReasonIsCut(t *testing.T) {
	server := &reviews{answer: func(string) authorizationv1.SubjectAccessReviewStatus {
		return authorizationv1.SubjectAccessReviewStatus{Allowed: true, Reason: strings.Repeat("é", 10_000)}
	}}
	access, err := verify(t, server.ServeHTTP, "default")
	require.NoError(t, err)
	assert.LessOrEqual(t, len(access.Namespaces[0].Reason), 260)
}

func TestWhatIsDeniedIsSkippedWhereThatIsAskedFor(t *testing.T) {
	server := &reviews{answer: func(namespace string) authorizationv1.SubjectAccessReviewStatus {
		switch namespace {
		case "shop":
			return authorizationv1.SubjectAccessReviewStatus{}
		case "bank":
			return authorizationv1.SubjectAccessReviewStatus{Denied: true, Reason: "by the webhook"}
		}
		return allow("")
	}}
	verified, err := rbac.Verifier{Opener: kubetest.Opener{}}.Verify(t.Context(), contract.VerifyRBAC{
		Cluster: kubetest.Serve(t, server.ServeHTTP), Namespaces: []string{"shop", "default", "bank"}, OnDenied: contract.Skip,
	})

	require.NoError(t, err)
	assert.Equal(t, contract.VerifiedAccess{
		Access: contract.Access{Namespaces: []contract.NamespaceAccess{
			{Namespace: "shop", Reason: "To allow it: kubectl apply -k rbac/namespace -n shop"},
			{Namespace: "default", Allowed: true, Reason: "RBAC: allowed"},
			{Namespace: "bank", Reason: "by the webhook"},
		}},
		Granted: []string{"default"},
	}, verified)
}

func TestADoubtIsNotSkipped(t *testing.T) {
	server := &reviews{answer: func(string) authorizationv1.SubjectAccessReviewStatus {
		return authorizationv1.SubjectAccessReviewStatus{EvaluationError: "webhook timed out"}
	}}
	_, err := rbac.Verifier{Opener: kubetest.Opener{}}.Verify(t.Context(), contract.VerifyRBAC{
		Cluster: kubetest.Serve(t, server.ServeHTTP), Namespaces: []string{"shop"}, OnDenied: contract.Skip,
	})
	var named *contract.Error
	require.ErrorAs(t, err, &named)
	assert.Equal(t, contract.ClusterUnreachable, named.Name)
}
