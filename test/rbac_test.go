package test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// rights returns what `kubectl auth can-i --list` shows for a member of the groups.
func rights(t *testing.T, namespace string, groups ...string) []string {
	t.Helper()
	config, err := local.ControlPlane.Admin()
	require.NoError(t, err)
	config.Impersonate = rest.ImpersonationConfig{UserName: "kubestep", Groups: append(groups, "system:authenticated")}
	client, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	review, err := client.AuthorizationV1().SelfSubjectRulesReviews().Create(t.Context(),
		&authorizationv1.SelfSubjectRulesReview{Spec: authorizationv1.SelfSubjectRulesReviewSpec{Namespace: namespace}}, metav1.CreateOptions{})
	require.NoError(t, err)
	var all []string
	for _, r := range review.Status.ResourceRules {
		all = append(all, fmt.Sprint(r.Verbs, r.APIGroups, r.Resources, r.ResourceNames))
	}
	for _, r := range review.Status.NonResourceRules {
		all = append(all, fmt.Sprint(r.Verbs, r.NonResourceURLs))
	}
	return all
}

func TestTheAPIServerAcceptsTheFilesOfRBAC(t *testing.T) {
	t.Parallel()
	s := newShell(t, local.ControlPlane.Kubeconfig)
	for _, folder := range []string{"rbac/namespace", "rbac/cluster", "rbac/aws-auth", "local/rbac/apply", "local/rbac/default", "local/rbac/shop"} {
		_, _, err := s.run(t, nil, "kubectl", "apply", "--dry-run=server", "--validate=strict", "-k", folder)
		require.NoError(t, err, folder)
	}
}

func TestTheGroupMayListPodsAndNothingElse(t *testing.T) {
	t.Parallel()
	more := slices.DeleteFunc(rights(t, "default", "kubestep-pod-readers"), func(right string) bool {
		return slices.Contains(rights(t, "default"), right)
	})
	assert.Equal(t, []string{fmt.Sprint([]string{"list"}, []string{""}, []string{"pods"}, []string{})}, more, "beyond what everybody may who is authenticated")

	namespace(t, "unbound")
	assert.ElementsMatch(t, rights(t, "unbound"), rights(t, "unbound", "kubestep-pod-readers"), "and nothing where it is not bound")
}

func TestTheCommandsOfRBACREADMEGrantAndRevoke(t *testing.T) {
	t.Parallel()
	cluster, err := local.StartControlPlane(t.Context(), "granted")
	require.NoError(t, err)
	t.Cleanup(cluster.Stop)
	script := "kubectl create namespace shop\n" + strings.Join(commands(t, "rbac/README.md"), "")
	said, _, err := newShell(t, cluster.Kubeconfig).run(t, nil, "bash", "-euo", "pipefail", "-c", script)
	require.NoError(t, err)
	assert.Regexp(t, `(?m)^pods +\[\] +\[\] +\[list\]$`, said, "what the group may do")
	assert.Regexp(t, `(?s)\[list\].+rolebinding.+ deleted.+clusterrolebinding.+ deleted`, said)
}
