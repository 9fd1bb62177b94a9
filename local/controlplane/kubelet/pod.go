package kubelet

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The annotations of a pod that say how its containers fare. All are optional; docs/local.md documents them.
const (
	// readyAfter is how long a container runs before it is ready.
	readyAfter = "kubestep.local/ready-after"
	// runFor is how long a container runs before it ends.
	runFor = "kubestep.local/run-for"
	// exit is how it ends: with this code, or oomKilled.
	exit = "kubestep.local/exit"
	// logLines are the lines that it prints.
	logLines = "kubestep.local/logs"

	oomKilled = "OOMKilled"
	// noRegistry ends the name of a registry that does not exist: https://www.rfc-editor.org/rfc/rfc2606#section-2
	noRegistry = ".invalid"

	// shortRun is how long a container runs that ends and does not say when.
	shortRun = time.Second
	// A container that has ended is started again after a time that doubles, as a kubelet does:
	// https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#restart-policy
	firstBackOff, lastBackOff = 10 * time.Second, 5 * time.Minute
)

// course is how the containers of a pod fare.
type course struct {
	readyAfter time.Duration
	// ends is false for containers that run until they are deleted.
	ends   bool
	runFor time.Duration
	code   int32
	reason string
}

// read reads the annotations. One that cannot be read is as if it was not there: there is nobody to tell.
func read(pod *corev1.Pod) course {
	c := course{ends: pod.Spec.RestartPolicy != corev1.RestartPolicyAlways, runFor: shortRun, reason: "Completed"}
	c.readyAfter, _ = time.ParseDuration(pod.Annotations[readyAfter])
	if value, err := time.ParseDuration(pod.Annotations[runFor]); err == nil {
		c.ends, c.runFor = true, value
	}
	if value := pod.Annotations[exit]; value == oomKilled {
		c.ends, c.code, c.reason = true, 137, oomKilled
	} else if code, err := strconv.ParseInt(value, 10, 32); err == nil {
		c.ends, c.code = true, int32(code)
		if code != 0 {
			c.reason = "Error"
		}
	}
	return c
}

// next returns a pod's status at a moment, given the one before, and after how long it changes again; 0 is never.
func next(pod *corev1.Pod, now time.Time) (corev1.PodStatus, time.Duration) {
	status := *pod.Status.DeepCopy()
	if status.Phase == corev1.PodSucceeded || status.Phase == corev1.PodFailed {
		return status, 0
	}
	if status.StartTime == nil {
		status.StartTime = &metav1.Time{Time: now}
	}
	status.InitContainerStatuses = initContainers(pod, now)
	pulled := !slices.ContainsFunc(status.InitContainerStatuses, func(c corev1.ContainerStatus) bool { return c.State.Waiting != nil })
	course := read(pod)
	var again time.Duration
	containers := make([]corev1.ContainerStatus, len(pod.Spec.Containers))
	for i, container := range pod.Spec.Containers {
		before := corev1.ContainerStatus{Name: container.Name, Image: container.Image, State: waits("PodInitializing", "")}
		for _, c := range status.ContainerStatuses {
			if c.Name == container.Name {
				before = c
				before.Image = container.Image
			}
		}
		containers[i] = before
		if pulled {
			var after time.Duration
			containers[i], after = course.continued(before, pod.Spec.RestartPolicy, now)
			if after > 0 && (again == 0 || after < again) {
				again = after
			}
		}
	}
	status.ContainerStatuses = containers
	status.Phase = phase(containers)
	conditions(pod, &status, pulled, now)
	status.ObservedGeneration = pod.Generation
	return status, again
}

// initContainers end well at once, and sidecars run.
func initContainers(pod *corev1.Pod, now time.Time) []corev1.ContainerStatus {
	if len(pod.Status.InitContainerStatuses) > 0 {
		return slices.Clone(pod.Status.InitContainerStatuses)
	}
	var all []corev1.ContainerStatus
	for _, container := range pod.Spec.InitContainers {
		status := corev1.ContainerStatus{Name: container.Name, Image: container.Image, Ready: true}
		switch {
		case unpullable(container.Image):
			status.Ready, status.State = false, cannotPull(container.Image)
		case container.RestartPolicy != nil && *container.RestartPolicy == corev1.ContainerRestartPolicyAlways:
			status.Started, status.State.Running = new(true), &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(now)}
		default:
			status.State.Terminated = &corev1.ContainerStateTerminated{Reason: "Completed", StartedAt: metav1.NewTime(now), FinishedAt: metav1.NewTime(now)}
		}
		all = append(all, status)
	}
	return all
}

// continued returns what a container is at a moment, and after how long it changes.
func (c course) continued(container corev1.ContainerStatus, policy corev1.RestartPolicy, now time.Time) (corev1.ContainerStatus, time.Duration) {
	if unpullable(container.Image) {
		container.Ready, container.State = false, cannotPull(container.Image)
		return container, 0
	}
	if w := container.State.Waiting; w != nil && w.Reason == "CrashLoopBackOff" {
		ended := container.LastTerminationState.Terminated
		if left := ended.FinishedAt.Add(backOff(container.RestartCount)).Sub(now); left > 0 {
			return container, left
		}
		container.RestartCount++
	}
	if t := container.State.Terminated; t != nil {
		return container, 0
	}
	if container.State.Running == nil {
		container.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(now)}}
		container.Started = new(true)
	}
	started := container.State.Running.StartedAt
	if end := started.Add(c.runFor); c.ends && !end.After(now) {
		ended := &corev1.ContainerStateTerminated{ExitCode: c.code, Reason: c.reason, StartedAt: started, FinishedAt: metav1.NewTime(now)}
		container.Ready, container.Started = false, new(false)
		if policy == corev1.RestartPolicyNever || policy == corev1.RestartPolicyOnFailure && c.code == 0 {
			container.State = corev1.ContainerState{Terminated: ended}
			return container, 0
		}
		container.LastTerminationState.Terminated = ended
		wait := backOff(container.RestartCount)
		container.State = waits("CrashLoopBackOff", fmt.Sprintf("back-off %s restarting failed container", wait))
		return container, wait
	}
	var again []time.Duration
	if c.ends {
		again = append(again, started.Add(c.runFor).Sub(now))
	}
	ready := started.Add(c.readyAfter)
	container.Ready = !ready.After(now)
	if !container.Ready {
		again = append(again, ready.Sub(now))
	}
	if len(again) == 0 {
		return container, 0
	}
	return container, slices.Min(again)
}

// backOff is how long a container waits that has been restarted so often.
func backOff(restarts int32) time.Duration {
	return min(firstBackOff<<min(restarts, 10), lastBackOff)
}

func waits(reason, message string) corev1.ContainerState {
	return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}
}

func unpullable(image string) bool {
	registry, _, found := strings.Cut(image, "/")
	return found && strings.HasSuffix(registry, noRegistry)
}

func cannotPull(image string) corev1.ContainerState {
	return waits("ImagePullBackOff", fmt.Sprintf("Back-off pulling image %q", image))
}

func phase(containers []corev1.ContainerStatus) corev1.PodPhase {
	begun, failed, left := false, false, false
	for _, c := range containers {
		ended := c.State.Terminated
		left = left || ended == nil
		failed = failed || ended != nil && ended.ExitCode != 0
		begun = begun || c.State.Running != nil || ended != nil || c.LastTerminationState.Terminated != nil
	}
	switch {
	case left && begun:
		return corev1.PodRunning
	case left:
		return corev1.PodPending
	case failed:
		return corev1.PodFailed
	default:
		return corev1.PodSucceeded
	}
}

// conditions sets those that a kubelet owns.
func conditions(pod *corev1.Pod, status *corev1.PodStatus, initialized bool, now time.Time) {
	ready := true
	for _, c := range status.ContainerStatuses {
		ready = ready && c.Ready
	}
	set := func(kind corev1.PodConditionType, is bool, reason string) {
		condition := corev1.PodCondition{Type: kind, Status: corev1.ConditionFalse, Reason: reason, ObservedGeneration: pod.Generation, LastTransitionTime: metav1.NewTime(now)}
		if is {
			condition.Status, condition.Reason = corev1.ConditionTrue, ""
		}
		i := slices.IndexFunc(status.Conditions, func(c corev1.PodCondition) bool { return c.Type == kind })
		if i < 0 {
			status.Conditions = append(status.Conditions, condition)
			return
		}
		if status.Conditions[i].Status == condition.Status {
			condition.LastTransitionTime = status.Conditions[i].LastTransitionTime
		}
		status.Conditions[i] = condition
	}
	// A pod that was made with a node has met no scheduler.
	set(corev1.PodScheduled, true, "")
	set(corev1.PodInitialized, initialized, "ContainersNotInitialized")
	why := "ContainersNotReady"
	if status.Phase == corev1.PodSucceeded {
		why = "PodCompleted"
	}
	set(corev1.ContainersReady, ready, why)
	for _, gate := range pod.Spec.ReadinessGates {
		if !slices.ContainsFunc(status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == gate.ConditionType && c.Status == corev1.ConditionTrue
		}) {
			if ready {
				why = "ReadinessGatesNotReady"
			}
			ready = false
		}
	}
	set(corev1.PodReady, ready, why)
}
