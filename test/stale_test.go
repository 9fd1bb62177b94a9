package test

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/podinventory"
	"github.com/kubestep/kubestep/local/awsfront"
	"github.com/kubestep/kubestep/local/world"
)

// another starts another control plane of a cluster demo.
func another(t *testing.T, name string, flags ...string) *world.ControlPlane {
	t.Helper()
	c, err := local.StartControlPlane(t.Context(), name, append(flags, "--cluster", world.ClusterName)...)
	require.NoError(t, err)
	t.Cleanup(c.Stop)
	return c
}

// furnish maps and binds the stack's role, and creates a pod that identifies the cluster.
func (s *scenario) furnish(t *testing.T, c *world.ControlPlane, pod string) {
	t.Helper()
	config, err := c.Admin()
	require.NoError(t, err)
	client, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	mapped, err := yaml.Marshal([]mapping{{s.stack.Role("mint-token"), "kubestep", []string{"kubestep-pod-readers"}}})
	require.NoError(t, err)
	_, err = client.CoreV1().ConfigMaps("kube-system").Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "aws-auth"}, Data: map[string]string{"mapRoles": string(mapped)},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = client.CoreV1().Pods("default").Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: pod}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	require.NoError(t, c.Apply(t.Context(), filepath.Join(repository, "local", "rbac", "default")))
}

func TestAStaleClusterIsDescribedAgainOnceAndAllEndsWell(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	where := region()
	eks := func(c *world.ControlPlane, authorities ...[]byte) {
		require.NoError(t, local.Describe(c, func(d *awsfront.Cluster) {
			d.ARN = clusterARN(where, world.Account)
			for _, more := range authorities {
				d.CertificateAuthority = append(append([]byte{}, more...), d.CertificateAuthority...)
			}
		}))
	}
	// finds runs the machine twice: the second time in the environment that the first one healed.
	finds := func(pod string, failed ...string) {
		t.Helper()
		healed := path("DescribeCluster", "WithFreshToken", "MintToken", "VerifyRBAC", "StaleCluster", "RefreshCluster", well[1:])
		if len(failed) == 0 {
			healed = well
		}
		e := s.run(t, in(t, where, nil))
		require.Equal(t, 1, succeeded(t, e).Pods.Total)
		assert.Equal(t, pod, succeeded(t, e).Pods.Items[0].Name)
		assert.Equal(t, healed, e.Path)
		assert.Equal(t, failed, failures(e))

		again := s.run(t, in(t, where, nil))
		assert.Equal(t, pod, succeeded(t, again).Pods.Items[0].Name)
		assert.Equal(t, well, again.Path, "what was found out is kept")
	}

	first := another(t, "first-"+s.stack.Name)
	s.furnish(t, first, "of-the-first")
	eks(first)
	finds("of-the-first")

	// The cluster is deleted, and another one is created with its name: its endpoint and its CA differ.
	first.Stop()
	second := another(t, "second-"+s.stack.Name)
	s.furnish(t, second, "of-the-second")
	eks(second)
	finds("of-the-second", "VerifyRBAC: ClusterUnreachable", "VerifyRBAC: ClusterUnreachable", "VerifyRBAC: ClusterUnreachable")

	// Its CA is rotated: the endpoint stays, and EKS describes both the old and the new CA.
	endpoint, err := url.Parse(second.Endpoint)
	require.NoError(t, err)
	second.Stop()
	rotated := another(t, "second-"+s.stack.Name, "--port", endpoint.Port(), "--new-ca")
	require.Equal(t, second.Endpoint, rotated.Endpoint)
	require.NotEqual(t, second.CertificateAuthority, rotated.CertificateAuthority)
	eks(rotated, second.CertificateAuthority)
	finds("of-the-second", "VerifyRBAC: CertificateNotTrusted")

	// Then only the new CA of the bundle stays, which makes no difference to a client with the bundle.
	eks(rotated)
	finds("of-the-second")
}

// The unit test of package pods uses the answer that this API server gives.
func TestAContinueTokenThatTheAPIServerNoLongerTakesGoesOnWithItsNewOne(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	forgetful := another(t, "forgetful-"+s.stack.Name, "--compact-every", "500ms")
	s.furnish(t, forgetful, "a")
	config, err := forgetful.Admin()
	require.NoError(t, err)
	client, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	add := func(pod string) {
		_, err := client.CoreV1().Pods("default").Create(t.Context(), &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: pod}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}},
		}, metav1.CreateOptions{})
		require.NoError(t, err)
	}
	add("b")
	first, err := client.CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{Limit: 1})
	require.NoError(t, err)
	require.NotEmpty(t, first.Continue)

	// Each write is another revision, and earlier ones are compacted.
	added := 0
	require.Eventually(t, func() bool {
		added++
		add(fmt.Sprintf("c%03d", added))
		_, err := client.CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{Limit: 1, Continue: first.Continue})
		return apierrors.IsResourceExpired(err)
	}, time.Minute, 200*time.Millisecond)

	const execution = "arn:aws:states:eu-west-1:111122223333:execution:kubestep-pod-inventory:in-rounds"
	cluster := contract.Cluster{
		Name: "demo", Region: "eu-west-1", AuthenticationMode: "CONFIG_MAP",
		Endpoint: forgetful.Endpoint, CertificateAuthority: base64.StdEncoding.EncodeToString(forgetful.CertificateAuthority),
	}
	cluster = s.attest(t, execution, cluster)
	var minted contract.Token
	require.Empty(t, s.invoke(t, "mint-token", contract.MintToken{Execution: execution, Cluster: cluster}, &minted))
	var listing podinventory.Listing
	require.Empty(t, s.invoke(t, "list-pods", podinventory.ListPods{
		Session: contract.Session{Execution: execution, Cluster: cluster, Token: minted}, Namespaces: []string{"default"}, MaxItems: 1000,
		Pods: podinventory.Listing{
			Pods:   podinventory.Pods{Total: 1, ByNamespace: map[string]int{"default": 1}, ByStatus: map[string]int{"Pending": 1}, Items: []podinventory.Pod{{Namespace: "default", Name: "a", Status: "Pending"}}, Consistent: true},
			Cursor: &contract.Cursor{Open: []contract.Place{{Namespace: "default", Continue: first.Continue}}, Begun: []string{"default"}},
		},
	}, &listing))

	assert.Nil(t, listing.Cursor)
	assert.False(t, listing.Consistent)
	assert.Equal(t, 2+added, listing.Total, "those of the first round, and each pod behind them once")
	var listed []string
	for _, pod := range listing.Items {
		listed = append(listed, pod.Name)
	}
	assert.Contains(t, listed, "a")
	assert.Contains(t, listed, "b")
	assert.Len(t, slices.Compact(slices.Sorted(slices.Values(listed))), 2+added)
}
