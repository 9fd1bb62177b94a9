package kubelet

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
)

func TestNoTwoPodsHaveOneAddress(t *testing.T) {
	store := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})
	before := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "before"}, Status: corev1.PodStatus{PodIP: "10.0.1.5"}}
	require.NoError(t, store.Add(before))
	k := &kubelet{pods: corev1listers.NewPodLister(store)}
	given := map[string]bool{before.Status.PodIP: true}
	for i := range 2000 {
		var status corev1.PodStatus
		require.NoError(t, k.address(&corev1.Pod{Spec: corev1.PodSpec{NodeName: nodes[i%2].name}}, &status))
		assert.False(t, given[status.PodIP], status.PodIP)
		given[status.PodIP] = true
		assert.Equal(t, []corev1.PodIP{{IP: status.PodIP}}, status.PodIPs)
		if i < 100 {
			assert.Contains(t, status.PodIP, fmt.Sprintf("10.0.%d.", i%2+1))
		}
	}
}
