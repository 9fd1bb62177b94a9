package sample

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// ordinary is the pod of that number: an application and its proxy, with the
// settings and the status that make such a pod as large as it commonly is.
func ordinary(namespace string, number int, now time.Time) *corev1.Pod {
	node := fmt.Sprintf("ip-10-0-%d-%d.eu-west-1.compute.internal", 1+number/60/250%250, 1+number/60%250)
	ip := fmt.Sprintf("10.%d.%d.%d", 1+number/62500%250, number/250%250, 1+number%250)
	app, proxy := running("123456789012.dkr.ecr.eu-west-1.amazonaws.com/orders:2026.11.3"), running("123456789012.dkr.ecr.eu-west-1.amazonaws.com/envoy:v1.36.2")
	app.name("orders")
	proxy.name("proxy")

	pod := pod(namespace, fmt.Sprintf("orders-7c9f6d5b84-%05d", number), "orders", node, ip, now, app, proxy)
	pod.Labels["pod-template-hash"] = "7c9f6d5b84"
	pod.Annotations = map[string]string{"example.com/config": strings.Repeat("setting=value;", 100)}
	for i := range pod.Spec.Containers {
		furnish(&pod.Spec.Containers[i])
		pod.Status.ContainerStatuses[i].ImageID = pod.Spec.Containers[i].Image + "@sha256:" + strings.Repeat("5f", 32)
		pod.Status.ContainerStatuses[i].ContainerID = "containerd://" + strings.Repeat("a7", 32)
	}
	return pod
}

// name names a container, in its spec and in its status.
func (c *container) name(name string) {
	c.spec.Name, c.status.Name = name, name
}

// furnish gives a container environment variables, resources and a probe.
func furnish(c *corev1.Container) {
	for i := range 40 {
		c.Env = append(c.Env, corev1.EnvVar{
			Name:  fmt.Sprintf("ORDERS_SETTING_%02d", i),
			Value: fmt.Sprintf("https://service-%02d.internal.example.com/path", i),
		})
	}
	amounts := corev1.ResourceList{
		corev1.ResourceCPU:    resource.MustParse("250m"),
		corev1.ResourceMemory: resource.MustParse("512Mi"),
	}
	c.Resources = corev1.ResourceRequirements{Requests: amounts, Limits: amounts}
	c.ReadinessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"/bin/ready", "--verbose"}}}}
}
