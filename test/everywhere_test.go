package test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/local/lambdahost"
)

// grant lets a group list resources in the whole cluster.
func grant(t *testing.T, group string, resources ...string) {
	t.Helper()
	roles := admin(t).RbacV1()
	_, err := roles.ClusterRoles().Create(t.Context(), &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: group}, Rules: []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: resources, Verbs: []string{"list"}}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = roles.ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: group}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: group},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "Group", Name: group}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
}

func TestAllNamespacesAreListed(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	grant(t, "everywhere", "pods", "namespaces")
	s.mapRole(t, "everywhere")
	e := s.run(t, `{"clusterName":"demo","namespaces":["*"],"maxItems":1000}`)
	output := succeeded(t, e)
	assert.Equal(t, well, e.Path)
	require.Len(t, output.Access.Namespaces, 1)
	assert.Equal(t, "*", output.Access.Namespaces[0].Namespace)
	assert.Contains(t, output.Pods.ByNamespace, "kube-system", "which has no pods")
	assert.Positive(t, output.Pods.ByNamespace["default"])
	assert.Positive(t, output.Pods.ByNamespace["shop"])
}

func TestAllNamespacesNeedThePermissionToListThem(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	grant(t, "across", "pods")
	s.mapRole(t, "across")
	e := s.run(t, `{"clusterName":"demo","namespaces":["*"]}`)
	stopped(t, e, contract.Forbidden, " to list namespaces. ", "To let group kubestep-pod-readers do so: kubectl apply -k rbac/cluster")
}

func TestAllNamespacesNeedThePermissionToListPodsInAll(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	s.mapRole(t)
	e := s.run(t, `{"clusterName":"demo","namespaces":["*"]}`)
	stopped(t, e, contract.Forbidden, "list pods in all namespaces", "kubectl apply -k rbac/cluster")
	assert.False(t, strings.Contains(e.Cause, "-n *"))
}

func TestWhatDoesNotFitIntoAFunctionsTimeIsListedInRounds(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	s.mapRole(t)
	// This is less than the time that is reserved for the answer: each round has time for one page.
	s.redeploy(t, "list-pods", func(f *lambdahost.Function) { f.Timeout = 1500 * time.Millisecond })

	e := s.run(t, `{"clusterName":"demo","namespaces":["shop","default"]}`)

	output := succeeded(t, e)
	assert.Equal(t, path("DescribeCluster", times(2, "WithFreshToken", "MintToken", "VerifyRBAC", "ListPods", "MorePods"), "Output"), e.Path)
	assert.Equal(t, output.Pods.Total, output.Pods.ByNamespace["shop"]+output.Pods.ByNamespace["default"])
	assert.Len(t, output.Pods.Items, output.Pods.Total)
	assert.True(t, output.Pods.Consistent)
	assert.Equal(t, 2, e.Attempts("MintToken"), "each round has a fresh token")
}
