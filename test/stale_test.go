package test

import (
	"net/url"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"github.com/kubestep/kubestep/local/awsfront"
	"github.com/kubestep/kubestep/local/world"
)

// another starts one more control plane of a cluster demo.
func another(t *testing.T, name string, flags ...string) *world.ControlPlane {
	t.Helper()
	c, err := local.StartControlPlane(t.Context(), name, append(flags, "--cluster", world.ClusterName)...)
	require.NoError(t, err)
	t.Cleanup(c.Stop)
	return c
}

// furnish maps and binds the stack's role, and puts in a pod by which the cluster is known.
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

func TestAStaleClusterIsDescribedAfreshOnceAndAllEndsWell(t *testing.T) {
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
		healed := path("DescribeCluster", "WithFreshToken", "MintToken", "VerifyRBAC", "StaleCluster", "DescribeClusterAfresh", well[1:])
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

	// The cluster is deleted, and another made under its name: another endpoint, another authority.
	first.Stop()
	second := another(t, "second-"+s.stack.Name)
	s.furnish(t, second, "of-the-second")
	eks(second)
	finds("of-the-second", "VerifyRBAC: ClusterUnreachable", "VerifyRBAC: ClusterUnreachable", "VerifyRBAC: ClusterUnreachable")

	// Its authority is rotated: the endpoint stays, and EKS describes the old one beside the new.
	endpoint, err := url.Parse(second.Endpoint)
	require.NoError(t, err)
	second.Stop()
	rotated := another(t, "second-"+s.stack.Name, "--port", endpoint.Port(), "--new-ca")
	require.Equal(t, second.Endpoint, rotated.Endpoint)
	require.NotEqual(t, second.CertificateAuthority, rotated.CertificateAuthority)
	eks(rotated, second.CertificateAuthority)
	finds("of-the-second", "VerifyRBAC: CertificateNotTrusted")

	// Of the bundle only the new one stays: whoever holds the bundle notices nothing.
	eks(rotated)
	finds("of-the-second")
}
