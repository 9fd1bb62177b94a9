package kubelet

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
	"k8s.io/component-base/version"
)

// node is a node that a cluster starts with.
type node struct{ name, zone string }

var nodes = []node{
	{"ip-10-0-1-27.eu-west-1.compute.internal", "eu-west-1a"},
	{"ip-10-0-2-114.eu-west-1.compute.internal", "eu-west-1b"},
}

// room is what a node has.
var room = corev1.ResourceList{
	corev1.ResourceCPU: resource.MustParse("16"), corev1.ResourceMemory: resource.MustParse("32Gi"), corev1.ResourcePods: resource.MustParse("1000"),
}

// join makes a node, or takes up the one that is there, and says that it is ready, at the address of the server of logs.
func (k *kubelet) join(ctx context.Context, n node, logs *net.TCPAddr) error {
	_, err := k.client.CoreV1().Nodes().Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n.name, Labels: map[string]string{
		corev1.LabelHostname: n.name, corev1.LabelOSStable: "linux", corev1.LabelArchStable: runtime.GOARCH,
		corev1.LabelTopologyRegion: n.zone[:len(n.zone)-1], corev1.LabelTopologyZone: n.zone,
	}}}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("make the node %s: %w", n.name, err)
	}
	err = retry.RetryOnConflict(retry.DefaultRetry, func() error {
		live, err := k.client.CoreV1().Nodes().Get(ctx, n.name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		// The admission plug-in TaintNodesByCondition gives each new node this taint, which the controller node-lifecycle takes away.
		// That one is not here: it would call pods unready after this computer has slept.
		live.Spec.Taints = slices.DeleteFunc(live.Spec.Taints, func(t corev1.Taint) bool { return t.Key == corev1.TaintNodeNotReady })
		live, err = k.client.CoreV1().Nodes().Update(ctx, live, metav1.UpdateOptions{})
		if err != nil {
			return err
		}
		now := metav1.NewTime(k.now())
		live.Status = corev1.NodeStatus{
			Capacity: room, Allocatable: room,
			Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: logs.IP.String()}},
			Conditions: []corev1.NodeCondition{{
				Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady", Message: "it runs no containers", LastHeartbeatTime: now, LastTransitionTime: now,
			}},
			DaemonEndpoints: corev1.NodeDaemonEndpoints{KubeletEndpoint: corev1.DaemonEndpoint{Port: int32(logs.Port)}}, //nolint:gosec // ports fit
			NodeInfo:        corev1.NodeSystemInfo{KubeletVersion: version.Get().GitVersion, OperatingSystem: "linux", Architecture: runtime.GOARCH, OSImage: "none", ContainerRuntimeVersion: "none://"},
		}
		_, err = k.client.CoreV1().Nodes().UpdateStatus(ctx, live, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		return fmt.Errorf("make the node %s ready: %w", n.name, err)
	}
	return nil
}
