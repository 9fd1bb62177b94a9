package test

import (
	"context"
	"os"
	"os/exec"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/local/awsfront"
)

// bind lets the group list the pods of a namespace.
func bind(t *testing.T, namespace string) {
	t.Helper()
	runs(t, "kubectl apply -k rbac/namespace -n "+namespace, "KUBECONFIG="+local.ControlPlane.Kubeconfig)
}

// awaitAccess waits until the API server's authorizer has seen that a binding was created or deleted.
func awaitAccess(t *testing.T, namespace string, allowed bool) {
	t.Helper()
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: "kubestep", Groups: []string{"kubestep-pod-readers"},
		ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: namespace, Verb: "list", Version: "v1", Resource: "pods"},
	}}
	client := admin(t)
	assert.Eventually(t, func() bool {
		answer, err := client.AuthorizationV1().SubjectAccessReviews().Create(t.Context(), review, metav1.CreateOptions{})
		return err == nil && answer.Status.Allowed == allowed
	}, 20*time.Second, 20*time.Millisecond)
}

var entry = regexp.MustCompile(`add to the list in mapRoles: - (\{.*\})\)`)

// runs runs a printed command in the repository.
func runs(t *testing.T, command string, environment ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	program := exec.CommandContext(ctx, "bash", "-c", command)
	program.Dir, program.Env = repository, append(os.Environ(), environment...)
	out, err := program.CombinedOutput()
	require.NoError(t, err, "%s: %s", command, out)
}

var createEntry = regexp.MustCompile(`aws eks create-access-entry .* kubestep-pod-readers`)

func TestTheAccessEntryInTheCauseOfUnauthorizedWorks(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"API", "API_AND_CONFIG_MAP"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			s := newScenario(t)
			where := region()
			describe(t, where, func(c *awsfront.Cluster) {
				c.AuthenticationMode = mode
				c.Enter = func(entry awsfront.AccessEntry) error {
					// The local authenticator reads aws-auth only.
					editAwsAuth(t, func(all []mapping) []mapping {
						return append(all, mapping{entry.PrincipalARN, "kubestep:" + s.stack.Name, entry.KubernetesGroups})
					})
					return nil
				}
			})

			e := s.run(t, in(t, where, nil))

			stopped(t, e, contract.Unauthorized, s.stack.Role("mint-token"), "Cluster demo in "+where, "authentication mode is "+mode)
			printed := createEntry.FindString(e.Cause)
			require.NotEmpty(t, printed, e.Cause)
			developer, err := local.Developer()
			require.NoError(t, err)
			credentials, err := developer.Credentials.Retrieve(t.Context())
			require.NoError(t, err)
			runs(t, printed, "AWS_ENDPOINT_URL="+local.Endpoint, "AWS_ACCESS_KEY_ID="+credentials.AccessKeyID,
				"AWS_SECRET_ACCESS_KEY="+credentials.SecretAccessKey, "AWS_SESSION_TOKEN="+credentials.SessionToken)

			assert.Positive(t, succeeded(t, s.run(t, in(t, where, nil))).Pods.Total)
		})
	}
}

func TestTheFixInTheCauseOfUnauthorizedWorks(t *testing.T) {
	t.Parallel()
	s := newScenario(t)

	e := s.run(t, `{"clusterName":"demo"}`)

	stopped(t, e, contract.Unauthorized, s.stack.Role("mint-token"), "Cluster demo in eu-west-1", "authentication mode is CONFIG_MAP", "kubectl edit configmap aws-auth -n kube-system")
	printed := entry.FindStringSubmatch(e.Cause)
	require.Len(t, printed, 2, e.Cause)
	var added mapping
	require.NoError(t, yaml.Unmarshal([]byte(printed[1]), &added))
	editAwsAuth(t, func(all []mapping) []mapping { return append(all, added) })

	fixed := s.run(t, `{"clusterName":"demo"}`)
	assert.Positive(t, succeeded(t, fixed).Pods.Total)
}

var manifest = regexp.MustCompile(`kubectl apply -k rbac/namespace -n ([a-z0-9-]+)`)

func TestTheFixInTheCauseOfForbiddenWorks(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	s.mapRole(t)
	namespace(t, "fixed")
	namespace(t, "fixed-too")

	e := s.run(t, `{"clusterName":"demo","namespaces":["fixed","default","fixed-too"]}`)

	stopped(t, e, contract.Forbidden, `user "kubestep:`+s.stack.Name+`"`, "kubestep-pod-readers system:authenticated", "list pods in 2 namespaces (fixed, fixed-too)")
	printed := manifest.FindAllStringSubmatch(e.Cause, -1)
	require.Len(t, printed, 2, e.Cause)
	for _, command := range printed {
		runs(t, command[0], "KUBECONFIG="+local.ControlPlane.Kubeconfig)
		awaitAccess(t, command[1], true)
	}

	fixed := s.run(t, `{"clusterName":"demo","namespaces":["fixed","default","fixed-too"]}`)
	assert.True(t, succeeded(t, fixed).Access.Allowed)
}
