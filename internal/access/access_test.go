package access_test

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

	"github.com/kubestep/kubestep/internal/access"
	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/kube/kubetest"
)

// reviews serves access reviews, with an answer for each namespace, and keeps the requests.
type reviews struct {
	mu        sync.Mutex
	questions []authorizationv1.ResourceAttributes
	tokens    []string
	answer    func(namespace string) authorizationv1.SubjectAccessReviewStatus
	byName    map[string]authorizationv1.SubjectAccessReviewStatus // of a resource, which overrides the namespace's
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
	if status, ok := r.byName[review.Spec.ResourceAttributes.Resource]; ok {
		review.Status = status
	}
	w.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(w).Encode(review)
}

func verify(t *testing.T, answer http.HandlerFunc, checks ...contract.Check) (contract.VerifiedAccess, error) {
	t.Helper()
	return access.Verifier{Kube: kubetest.Connector}.Verify(t.Context(), contract.VerifyRBAC{Session: kubetest.Session(kubetest.Serve(t, answer)), Checks: checks})
}

// pods are checks of listing pods in namespaces.
func pods(namespaces ...string) []contract.Check {
	var checks []contract.Check
	for _, namespace := range namespaces {
		checks = append(checks, contract.Check{Verb: "list", Resource: "pods", Namespace: namespace, Fix: "grant -n " + namespace})
	}
	return checks
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
	verified, err := verify(t, server.ServeHTTP, pods(namespaces...)...)

	require.NoError(t, err)
	assert.True(t, verified.Allowed)
	require.Len(t, verified.Namespaces, 30)
	for i, n := range verified.Namespaces {
		assert.Equal(t, contract.NamespaceAccess{Namespace: namespaces[i], Allowed: true, Reason: "RBAC: allowed"}, n)
	}
	require.Len(t, server.questions, 30)
	for _, q := range server.questions {
		q.Namespace = ""
		assert.Equal(t, authorizationv1.ResourceAttributes{Verb: "list", Version: "*", Resource: "pods"}, q)
	}
	assert.Equal(t, "Bearer "+kubetest.Token, server.tokens[0])
}

func TestEveryAttributeOfACheckIsAsked(t *testing.T) {
	server := &reviews{answer: allow}
	_, err := verify(t, server.ServeHTTP, contract.Check{Verb: "patch", Group: "apps", Resource: "deployments", Namespace: "shop", Name: "web", Fix: "not asked"})
	require.NoError(t, err)
	assert.Equal(t, []authorizationv1.ResourceAttributes{{Verb: "patch", Group: "apps", Version: "*", Resource: "deployments", Namespace: "shop", Name: "web"}}, server.questions)

	server = &reviews{answer: allow}
	_, err = verify(t, server.ServeHTTP, contract.Check{Verb: "get", Resource: "pods/log", Namespace: "shop"})
	require.NoError(t, err)
	assert.Equal(t, []authorizationv1.ResourceAttributes{{Verb: "get", Version: "*", Resource: "pods", Subresource: "log", Namespace: "shop"}}, server.questions)
}

func TestWhatIsReviewedAcrossTheClusterIsAnsweredAsOne(t *testing.T) {
	everywhere := []contract.Check{{Verb: "list", Resource: "namespaces", Fix: "grant all"}, {Verb: "list", Resource: "pods", Namespace: "*", Fix: "grant all"}}
	server := &reviews{answer: allow}
	verified, err := verify(t, server.ServeHTTP, everywhere...)
	require.NoError(t, err)
	assert.Equal(t, []contract.NamespaceAccess{{Namespace: "*", Allowed: true, Reason: "RBAC: allowed"}}, verified.Namespaces)
	assert.Equal(t, []string{"*"}, verified.Granted)
	assert.ElementsMatch(t, []authorizationv1.ResourceAttributes{{Verb: "list", Version: "*", Resource: "namespaces"}, {Verb: "list", Version: "*", Resource: "pods"}}, server.questions)

	server.answer = func(string) authorizationv1.SubjectAccessReviewStatus {
		return authorizationv1.SubjectAccessReviewStatus{}
	}
	_, err = verify(t, server.ServeHTTP, everywhere...)
	require.Error(t, err)
	assert.Contains(t, err.Error(), "list namespaces, or list pods in all namespaces")
	assert.Contains(t, err.Error(), "do so: grant all", "the fix of both, once")
}

func TestANamespaceIsGrantedOnlyIfAllItsChecksAre(t *testing.T) {
	server := &reviews{answer: allow}
	server.byName = map[string]authorizationv1.SubjectAccessReviewStatus{"secrets": {Reason: "no secrets"}}
	verified, err := access.Verifier{Kube: kubetest.Connector}.Verify(t.Context(), contract.VerifyRBAC{
		Session: kubetest.Session(kubetest.Serve(t, server.ServeHTTP)), OnDenied: contract.OnDeniedSkip,
		Checks: append(pods("shop", "bank"), contract.Check{Verb: "list", Resource: "secrets", Namespace: "shop"}),
	})
	require.NoError(t, err)
	assert.Equal(t, []contract.NamespaceAccess{{Namespace: "shop", Reason: "no secrets"}, {Namespace: "bank", Allowed: true, Reason: "RBAC: allowed"}}, verified.Namespaces)
	assert.Equal(t, []string{"bank"}, verified.Granted)
	assert.False(t, verified.Allowed)
}

func TestADenialSaysWhoIsDeniedWhatWhereAndTheFix(t *testing.T) {
	server := &reviews{answer: func(namespace string) authorizationv1.SubjectAccessReviewStatus {
		if namespace == "shop" || namespace == "bank" {
			return authorizationv1.SubjectAccessReviewStatus{Reason: "no binding"}
		}
		return allow("")
	}}
	_, err := verify(t, server.ServeHTTP, pods("default", "shop", "bank")...)

	var named *contract.Error
	require.ErrorAs(t, err, &named)
	assert.Equal(t, contract.Forbidden, named.Name)
	for _, text := range []string{`user "kubestep"`, "[kubestep-pod-readers system:authenticated]", "arn:aws:iam::111122223333:role/path/reader", "list pods in 2 namespaces (shop, bank)", "(no binding)", "To let group kubestep-pod-readers do so (if the namespaces exist): grant -n shop && grant -n bank"} {
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
			_, err := verify(t, server.ServeHTTP, pods("default")...)
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
	_, err := verify(t, func(w http.ResponseWriter, _ *http.Request) { kubetest.Refuse(w, 401, "Unauthorized", "Unauthorized") }, pods("a", "b", "c")...)
	var named *contract.Error
	require.ErrorAs(t, err, &named)
	assert.Equal(t, contract.Unauthorized, named.Name)
}

func TestAReasonIsCut(t *testing.T) {
	server := &reviews{answer: func(string) authorizationv1.SubjectAccessReviewStatus {
		return authorizationv1.SubjectAccessReviewStatus{Allowed: true, Reason: strings.Repeat("é", 10_000)}
	}}
	verified, err := verify(t, server.ServeHTTP, pods("default")...)
	require.NoError(t, err)
	assert.LessOrEqual(t, len(verified.Namespaces[0].Reason), 260)
}

func TestWhatIsDeniedIsSkippedIfTheInputAsksForIt(t *testing.T) {
	server := &reviews{answer: func(namespace string) authorizationv1.SubjectAccessReviewStatus {
		switch namespace {
		case "shop":
			return authorizationv1.SubjectAccessReviewStatus{}
		case "bank":
			return authorizationv1.SubjectAccessReviewStatus{Denied: true, Reason: "by the webhook"}
		}
		return allow("")
	}}
	verified, err := access.Verifier{Kube: kubetest.Connector}.Verify(t.Context(), contract.VerifyRBAC{
		Session: kubetest.Session(kubetest.Serve(t, server.ServeHTTP)), Checks: pods("shop", "default", "bank"), OnDenied: contract.OnDeniedSkip,
	})

	require.NoError(t, err)
	assert.Equal(t, contract.VerifiedAccess{
		Access: contract.Access{Namespaces: []contract.NamespaceAccess{
			{Namespace: "shop", Reason: "To allow it: grant -n shop"},
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
	_, err := access.Verifier{Kube: kubetest.Connector}.Verify(t.Context(), contract.VerifyRBAC{
		Session: kubetest.Session(kubetest.Serve(t, server.ServeHTTP)), Checks: pods("shop"), OnDenied: contract.OnDeniedSkip,
	})
	var named *contract.Error
	require.ErrorAs(t, err, &named)
	assert.Equal(t, contract.ClusterUnreachable, named.Name)
}

func TestAnIdentityThatMayNotAskIsToldWhoLetsEverybodyAsk(t *testing.T) {
	_, err := verify(t, func(w http.ResponseWriter, _ *http.Request) {
		kubetest.Refuse(w, 403, "Forbidden", "selfsubjectaccessreviews is forbidden")
	}, pods("shop")...)
	var named *contract.Error
	require.ErrorAs(t, err, &named)
	assert.Equal(t, contract.Forbidden, named.Name)
	assert.Contains(t, named.Message, "selfsubjectaccessreviews is forbidden. The ClusterRoleBinding system:basic-user")
}

func TestManyDenialsDoNotPushTheFixOut(t *testing.T) {
	var namespaces []string
	for i := range 200 {
		namespaces = append(namespaces, fmt.Sprintf("%s-%03d", strings.Repeat("n", 59), i))
	}
	server := &reviews{answer: func(string) authorizationv1.SubjectAccessReviewStatus {
		return authorizationv1.SubjectAccessReviewStatus{}
	}}
	_, err := verify(t, server.ServeHTTP, pods(namespaces...)...)
	require.Error(t, err)
	assert.Less(t, len(err.Error()), 8<<10)
	assert.Contains(t, err.Error(), "list pods in 200 namespaces (")
	assert.Contains(t, err.Error(), "grant -n "+namespaces[0])
}
