package test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/kubestep/kubestep/internal/contract"
)

// bind does what kubectl apply -k rbac/namespace -n NAMESPACE does.
func bind(t *testing.T, namespace string) {
	t.Helper()
	applyIn(t, "rbac/namespace", namespace)
}

func applyIn(t *testing.T, folder, namespace string) {
	t.Helper()
	dir := t.TempDir()
	root, err := filepath.Abs(repository)
	require.NoError(t, err)
	from, err := filepath.Rel(dir, filepath.Join(root, folder))
	require.NoError(t, err)
	kustomization, err := yaml.Marshal(map[string]any{
		"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "namespace": namespace, "resources": []string{from},
	})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "kustomization.yaml"), kustomization, 0o600))
	require.NoError(t, local.ControlPlane.Apply(t.Context(), dir))
}

// awaitAccess waits until the API server knows of a binding that was made or
// deleted: its authorizer watches them.
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

var entry = regexp.MustCompile(`add to mapRoles: (\{.*\})\)`)

func TestTheCauseOfUnauthorizedMendsIt(t *testing.T) {
	t.Parallel()
	s := newScenario(t)

	e := s.run(t, `{"clusterName":"demo"}`)

	stopped(t, e, contract.Unauthorized, s.stack.Role("mint-token"), "Cluster demo in eu-west-1", "authentication mode is CONFIG_MAP", "kubectl edit configmap aws-auth -n kube-system")
	printed := entry.FindStringSubmatch(e.Cause)
	require.Len(t, printed, 2, e.Cause)
	var added mapping
	require.NoError(t, yaml.Unmarshal([]byte(printed[1]), &added))
	editAwsAuth(t, func(all []mapping) []mapping { return append(all, added) })

	mended := s.run(t, `{"clusterName":"demo"}`)
	assert.Positive(t, succeeded(t, mended).Pods.Total)
}

var manifest = regexp.MustCompile(`kubectl apply -k (\S+) -n ([a-z0-9-]+)`)

func TestTheCauseOfForbiddenMendsIt(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	s.mapRole(t)
	namespace(t, "mended")
	namespace(t, "mended-too")

	e := s.run(t, `{"clusterName":"demo","namespaces":["mended","default","mended-too"]}`)

	stopped(t, e, contract.Forbidden, `user "kubestep:`+s.stack.Name+`"`, "kubestep-pod-readers system:authenticated", "list pods in 2 namespaces (mended, mended-too)")
	printed := manifest.FindAllStringSubmatch(e.Cause, -1)
	require.Len(t, printed, 2, e.Cause)
	for _, command := range printed {
		applyIn(t, command[1], command[2])
		awaitAccess(t, command[2], true)
	}

	mended := s.run(t, `{"clusterName":"demo","namespaces":["mended","default","mended-too"]}`)
	assert.True(t, succeeded(t, mended).Access.Allowed)
}
