package sample

import (
	"iter"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The nodes of the sample, named as EKS names them.
const (
	nodeA = "ip-10-0-1-27.eu-west-1.compute.internal"
	nodeB = "ip-10-0-2-114.eu-west-1.compute.internal"
)

// workload is the sample: a pod in each of the conditions that one meets.
func workload(now time.Time) iter.Seq[*corev1.Pod] {
	return func(yield func(*corev1.Pod) bool) {
		for _, pod := range []*corev1.Pod{
			pod("default", "web-7d4b9c6f5d-2xk8m", "web", nodeA, "10.0.1.41", now, running("nginx:1.29")),
			pod("default", "web-7d4b9c6f5d-9pqzl", "web", nodeB, "10.0.2.17", now, running("nginx:1.29")),
			pod("default", "api-5f8c7b9d64-hj4tw", "api", nodeA, "10.0.1.58", now, running("api:2.4.1"), running("envoy:v1.36")),
			pod("default", "worker-6c9d8f7b5-tn2vx", "worker", nodeB, "10.0.2.63", now, crashing("worker:2.4.1", 17)),
			pod("default", "migrate-4x7qd", "migrate", nodeA, "10.0.1.77", now, completed("api:2.4.1")),
			pod("default", "report-58d9c7f6b4-zk5wr", "report", "", "", now, running("report:0.9")),

			pod("shop", "checkout-6f7d9b8c54-mv8kq", "checkout", nodeA, "10.0.1.93", now, restarted("checkout:5.1.0", 3)),
			pod("shop", "checkout-6f7d9b8c54-x2nfb", "checkout", nodeB, "10.0.2.88", now, running("checkout:5.1.0")),
			deleted(pod("shop", "checkout-54bd8f6c97-qw7ld", "checkout", nodeB, "10.0.2.35", now, running("checkout:5.0.3"))),
			pod("shop", "catalog-db-0", "catalog-db", nodeA, "10.0.1.102", now, running("postgres:18"), running("postgres-exporter:v0.18")),
			// The tag is misspelt, as they are.
			pod("shop", "search-7b6f5d8c9-4rgnt", "search", nodeB, "10.0.2.121", now, unpulled("search:lastest")),
			initializing(pod("shop", "payment-8c5f7d6b9-lz6hp", "payment", nodeA, "10.0.1.130", now, waiting("payment:3.2.0", "PodInitializing"))),
		} {
			if !yield(pod) {
				return
			}
		}
	}
}

// container is a container of a pod, with what is reported of it.
type container struct {
	spec   corev1.Container
	status corev1.ContainerStatus
	// pod is the phase of a pod that has such a container.
	pod corev1.PodPhase
}

// pod makes a pod of an app of these containers; without a node it is one that
// cannot be scheduled.
func pod(namespace, name, app, node, ip string, now time.Time, containers ...container) *corev1.Pod {
	started := metav1.NewTime(now.Add(-26 * time.Hour))
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace,
			Name:      name,
			Labels:    map[string]string{"app": app},
		},
		Spec: corev1.PodSpec{NodeName: node},
	}
	for _, c := range containers {
		pod.Spec.Containers = append(pod.Spec.Containers, c.spec)
	}
	if node == "" {
		pod.Status = corev1.PodStatus{
			Phase: corev1.PodPending,
			Conditions: []corev1.PodCondition{{
				Type: corev1.PodScheduled, Status: corev1.ConditionFalse, LastTransitionTime: started,
				Reason: corev1.PodReasonUnschedulable, Message: "0/2 nodes are available: 2 Insufficient memory.",
			}},
		}
		return pod
	}

	ready := corev1.ConditionTrue
	pod.Status = corev1.PodStatus{
		Phase:     containers[0].pod,
		PodIP:     ip,
		PodIPs:    []corev1.PodIP{{IP: ip}},
		StartTime: &started,
	}
	for _, c := range containers {
		status := c.status
		if !status.Ready {
			ready = corev1.ConditionFalse
		}
		at(&status.State, started, now)
		at(&status.LastTerminationState, started, now)
		pod.Status.ContainerStatuses = append(pod.Status.ContainerStatuses, status)
		if status.State.Terminated != nil {
			// A pod whose containers have ended is that of a job.
			pod.Spec.RestartPolicy = corev1.RestartPolicyNever
		}
	}
	for _, condition := range []corev1.PodCondition{
		{Type: corev1.PodScheduled, Status: corev1.ConditionTrue},
		{Type: corev1.PodInitialized, Status: corev1.ConditionTrue},
		{Type: corev1.ContainersReady, Status: ready},
		{Type: corev1.PodReady, Status: ready},
	} {
		condition.LastTransitionTime = started
		pod.Status.Conditions = append(pod.Status.Conditions, condition)
	}
	return pod
}

// at puts the times into a state: what runs does since the pod's start, what
// ended did five minutes ago.
func at(state *corev1.ContainerState, started metav1.Time, now time.Time) {
	if state.Running != nil {
		state.Running.StartedAt = started
	}
	if state.Terminated != nil {
		state.Terminated.StartedAt = started
		state.Terminated.FinishedAt = metav1.NewTime(now.Add(-5 * time.Minute))
	}
}

func running(image string) container {
	c := waiting(image, "")
	c.pod = corev1.PodRunning
	c.status.Ready = true
	c.status.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
	return c
}

func restarted(image string, times int32) container {
	c := running(image)
	c.status.RestartCount = times
	c.status.LastTerminationState = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "OOMKilled", ExitCode: 137}}
	return c
}

func crashing(image string, times int32) container {
	c := restarted(image, times)
	c.status.Ready = false
	c.status.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{
		Reason: "CrashLoopBackOff", Message: "back-off 5m0s restarting failed container",
	}}
	c.status.LastTerminationState.Terminated.Reason, c.status.LastTerminationState.Terminated.ExitCode = "Error", 1
	return c
}

func completed(image string) container {
	c := waiting(image, "")
	c.pod = corev1.PodSucceeded
	c.status.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "Completed"}}
	return c
}

func unpulled(image string) container {
	c := waiting(image, "ImagePullBackOff")
	c.status.State.Waiting.Message = "Back-off pulling image"
	return c
}

func waiting(image, reason string) container {
	name, _, _ := strings.Cut(image, ":")
	return container{
		spec:   corev1.Container{Name: name, Image: image},
		status: corev1.ContainerStatus{Name: name, Image: image, State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason}}},
		pod:    corev1.PodPending,
	}
}

// deleted makes it a pod that is being deleted.
func deleted(pod *corev1.Pod) *corev1.Pod {
	pod.DeletionTimestamp = pod.Status.StartTime
	return pod
}

// initializing gives a pod an init container that still runs.
func initializing(pod *corev1.Pod) *corev1.Pod {
	init := running("wait-for-db:1.0")
	init.status.Ready = false
	at(&init.status.State, *pod.Status.StartTime, time.Time{})
	pod.Spec.InitContainers = []corev1.Container{init.spec}
	pod.Status.InitContainerStatuses = []corev1.ContainerStatus{init.status}
	for i := range pod.Status.Conditions {
		if pod.Status.Conditions[i].Type == corev1.PodInitialized {
			pod.Status.Conditions[i].Status = corev1.ConditionFalse
		}
	}
	return pod
}
