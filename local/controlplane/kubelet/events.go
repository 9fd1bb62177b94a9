package kubelet

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// event is what a kubelet tells of a pod, besides its status.
type event struct{ kind, reason, message string }

// happened returns the events between two statuses of a pod.
func happened(pod *corev1.Pod, before, after *corev1.PodStatus, lacks lacks) []event {
	var events []event
	normal := func(reason, format string, args ...any) {
		events = append(events, event{corev1.EventTypeNormal, reason, fmt.Sprintf(format, args...)})
	}
	warning := func(reason, format string, args ...any) {
		events = append(events, event{corev1.EventTypeWarning, reason, fmt.Sprintf(format, args...)})
	}
	if before.StartTime == nil {
		if _, _, problems := containers(pod); len(problems) > 0 {
			for _, problem := range problems {
				warning("InvalidAnnotation", "%s", problem)
			}
		}
	}
	if lacks.volume != "" && !begun(after) {
		warning("FailedMount", "MountVolume.SetUp failed for volume %s", lacks.volume)
	}
	earlier := slices.Concat(before.InitContainerStatuses, before.ContainerStatuses)
	for _, c := range slices.Concat(after.InitContainerStatuses, after.ContainerStatuses) {
		var was corev1.ContainerStatus
		if i := slices.IndexFunc(earlier, func(b corev1.ContainerStatus) bool { return b.Name == c.Name }); i >= 0 {
			was = earlier[i]
		}
		if start := began(&c); c.State.Waiting == nil && !start.IsZero() && (was.State.Running == nil && was.State.Terminated == nil || c.RestartCount > was.RestartCount) {
			normal("Pulled", "Container image %q already present on machine and can be accessed by the pod", c.Image)
			normal("Created", "Container created")
			normal("Started", "Container started")
		}
		waits, waited := c.State.Waiting, was.State.Waiting
		if waits == nil || waited != nil && waited.Reason == waits.Reason {
			continue
		}
		switch waits.Reason {
		case errImagePull:
			normal("Pulling", "Pulling image %q", c.Image)
			warning("Failed", "Failed to pull image %q: %s", c.Image, waits.Message)
			warning("Failed", "Error: %s", errImagePull)
		case imagePullBackOff:
			normal("BackOff", "Back-off pulling image %q", c.Image)
			warning("Failed", "Error: %s", imagePullBackOff)
		case crashLoopBackOff:
			warning("BackOff", "Back-off restarting failed container %s in pod %s", c.Name, fullName(pod))
		case configError:
			warning("Failed", "Error: %s", waits.Message)
		}
	}
	if after.Reason == "DeadlineExceeded" && before.Reason == "" {
		normal(after.Reason, "%s", after.Message)
	}
	return events
}

// stopping returns the events of a pod that is deleted while it runs.
func stopping(status *corev1.PodStatus) []event {
	var events []event
	for _, c := range slices.Concat(status.InitContainerStatuses, status.ContainerStatuses) {
		if c.State.Running != nil {
			events = append(events, event{corev1.EventTypeNormal, "Killing", "Stopping container " + c.Name})
		}
	}
	return events
}
