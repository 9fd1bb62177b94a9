package test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/local/awsfront"
	"github.com/kubestep/kubestep/local/lambdahost"
	"github.com/kubestep/kubestep/test/apiproxy"
)

// undecided answers a review as an API server does if its authorization webhook failed.
func undecided(w http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
	var review authorizationv1.SelfSubjectAccessReview
	if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	review.Status = authorizationv1.SubjectAccessReviewStatus{EvaluationError: "the webhook timed out"}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(w).Encode(review)
}

const reviews = "selfsubjectaccessreviews"

func TestAnAPIServerThatCannotServeIsAskedAgain(t *testing.T) {
	t.Parallel()
	again := path("DescribeCluster", "WithFreshToken", times(2, "MintToken", "VerifyRBAC"), "ListPods", "MorePods", "Output")
	for sentence, c := range map[string]struct {
		fault  apiproxy.Fault
		failed string
		path   []string
	}{
		// client-go would wait two minutes, longer than the function may run.
		"for two minutes, at a review":   {apiproxy.Fault{Resource: reviews, Answer: apiproxy.Refuse(429, 2*time.Minute)}, "VerifyRBAC: Throttled", well},
		"for two minutes, at a list":     {apiproxy.Fault{Resource: "pods", Answer: apiproxy.Refuse(429, 2*time.Minute)}, "ListPods: Throttled", well},
		"because it is broken":           {apiproxy.Fault{Resource: reviews, Answer: apiproxy.Refuse(500, 0)}, "VerifyRBAC: ClusterUnreachable", well},
		"because it is not up":           {apiproxy.Fault{Resource: "pods", Answer: apiproxy.Refuse(503, 2*time.Minute)}, "ListPods: ClusterUnreachable", well},
		"because the connection ends":    {apiproxy.Fault{Resource: reviews, Answer: apiproxy.Cut}, "VerifyRBAC: ClusterUnreachable", well},
		"because it hangs at a review":   {apiproxy.Fault{Resource: reviews, Answer: apiproxy.Hang}, "VerifyRBAC: ClusterUnreachable", well},
		"because it hangs at a list":     {apiproxy.Fault{Resource: "pods", Answer: apiproxy.Hang}, "ListPods: ClusterUnreachable", well},
		"because an authorizer failed":   {apiproxy.Fault{Resource: reviews, Answer: undecided}, "VerifyRBAC: ClusterUnreachable", well},
		"with a fresh token after a 401": {apiproxy.Fault{Resource: reviews, Answer: apiproxy.Refuse(401, 0)}, "VerifyRBAC: Unauthorized", again},
		"with one after a 401 at a list": {apiproxy.Fault{Resource: "pods", Answer: apiproxy.Refuse(401, 0)}, "ListPods: Unauthorized", path("DescribeCluster", "WithFreshToken", times(2, "MintToken", "VerifyRBAC", "ListPods"), "MorePods", "Output")},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			s := newScenario(t)
			s.mapRole(t)
			for _, function := range []string{"verify-rbac", "list-pods"} {
				s.redeploy(t, function, func(f *lambdahost.Function) { f.Timeout = 4 * time.Second })
			}
			c.fault.Times = 1
			proxy, where := proxied(t, c.fault)

			e := s.run(t, in(t, where, nil))

			succeeded(t, e)
			assert.Equal(t, []string{c.failed}, failures(e))
			assert.Equal(t, c.path, e.Path)
			assert.Equal(t, 1, proxy.Passed("pods"), "nothing is listed twice")
		})
	}
}

// refreshed is the path of an execution that fails in the same way with fresh data.
var refreshed = path(
	"DescribeCluster", "WithFreshToken", "MintToken", "VerifyRBAC", "StaleCluster",
	"RefreshCluster", "WithFreshToken", "MintToken", "VerifyRBAC", "StaleCluster", "NotStale", "Explain", "Failed",
)

func TestAClusterThatCannotBeReachedIsDescribedAgainOnceAndThenUnreachable(t *testing.T) {
	t.Parallel()
	for sentence, c := range map[string]struct{ endpoint, cause string }{
		"nothing listens there":     {"https://127.0.0.1:1", "connection refused"},
		"its name does not resolve": {"https://0123456789abcdef.gr7.eu-west-1.eks.amazonaws.invalid", "0123456789abcdef.gr7.eu-west-1.eks.amazonaws.invalid"},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			s := newScenario(t)
			where := region()
			describe(t, where, func(k *awsfront.Cluster) { k.Endpoint = c.endpoint })

			e := s.run(t, in(t, where, nil))

			stopped(t, e, contract.ClusterUnreachable, "demo", c.endpoint, c.cause, "subnets of the cluster's VPC", "port 443")
			assert.Equal(t, refreshed, e.Path)
			assert.Equal(t, 6, e.Attempts("VerifyRBAC"), "three attempts with each description")
		})
	}
}

func TestACertificateThatDoesNotFitIsNotTrustedAndNothingIsSent(t *testing.T) {
	t.Parallel()
	for sentence, change := range map[string]func(*awsfront.Cluster){
		"of another authority": func(c *awsfront.Cluster) { c.CertificateAuthority = local.ControlPlane.CertificateAuthority },
		"for another host":     func(c *awsfront.Cluster) { c.Endpoint = strings.Replace(c.Endpoint, "127.0.0.1", "localhost", 1) },
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			s := newScenario(t)
			s.mapRole(t)
			proxy, where := proxied(t)
			describe(t, where, func(c *awsfront.Cluster) {
				c.Endpoint, c.CertificateAuthority = proxy.Endpoint, proxy.CertificateAuthority
				change(c)
			})

			e := s.run(t, in(t, where, nil))

			stopped(t, e, contract.CertificateNotTrusted, "demo", "x509: ", "no token was sent")
			assert.Equal(t, refreshed, e.Path)
			assert.Equal(t, 2, e.Attempts("VerifyRBAC"), "asking again would meet the same certificate")
			assert.Zero(t, proxy.Passed(reviews))
		})
	}
}

func TestABindingThatGoesBetweenTheReviewAndTheListIsForbidden(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	s.mapRole(t)
	namespace(t, "fleeting")
	bind(t, "fleeting")
	_, where := proxied(t, apiproxy.Fault{Resource: "pods", Answer: func(w http.ResponseWriter, r *http.Request, pass http.HandlerFunc) {
		assert.NoError(t, admin(t).RbacV1().RoleBindings("fleeting").Delete(t.Context(), "kubestep-pod-readers", metav1.DeleteOptions{}))
		awaitAccess(t, "fleeting", false)
		pass(w, r)
	}})

	e := s.run(t, in(t, where, map[string]any{"namespaces": []string{"fleeting"}}))

	stopped(t, e, contract.Forbidden, "kubestep:"+s.stack.Name, "kubestep-pod-readers", "list pods in namespace fleeting", "kubectl apply -k rbac/namespace -n fleeting")
	assert.Equal(t, path("DescribeCluster", "WithFreshToken", "MintToken", "VerifyRBAC", "ListPods", "Explain", "Failed"), e.Path)
	assert.Equal(t, []string{"ListPods: Forbidden"}, failures(e))
}
