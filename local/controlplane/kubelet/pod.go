package kubelet

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	containerCreating, podInitializing = "ContainerCreating", "PodInitializing"
	errImagePull, imagePullBackOff     = "ErrImagePull", "ImagePullBackOff"
	crashLoopBackOff, configError      = "CrashLoopBackOff", "CreateContainerConfigError"

	// noRegistry ends the name of a registry that does not exist: https://www.rfc-editor.org/rfc/rfc2606#section-2
	noRegistry = ".invalid"
	// aMoment is for how long one sees that a container has ended before it waits to be started again, and what it lacks before that
	// is looked for again.
	aMoment = time.Second
	// pullTime is how long one sees that an image could not be pulled, before the next attempt is waited for.
	pullTime = 2 * time.Second

	// terminated is the exit code of what ends by SIGTERM.
	terminated = 128 + 15
)

// lacks is what the cluster does not have of what a pod needs.
type lacks struct {
	// volume says which volume cannot be mounted, and why.
	volume string
	// environment says, by the name of a container, why its environment cannot be made.
	environment map[string]string
}

func (l lacks) something() bool { return l.volume != "" || len(l.environment) > 0 }

// alarm is after how long a pod changes; 0 is never.
type alarm time.Duration

// after sets the alarm, unless it goes earlier.
func (a *alarm) after(d time.Duration) {
	if d > 0 && (*a == 0 || alarm(d) < *a) {
		*a = alarm(d)
	}
}

// ended reports whether a pod has ended, and runs nothing any more.
func ended(status *corev1.PodStatus) bool {
	return status.Phase == corev1.PodSucceeded || status.Phase == corev1.PodFailed
}

// next returns a pod's status at a moment, given the one before, and after how long it changes again; 0 is never.
func next(pod *corev1.Pod, lacks lacks, now time.Time) (corev1.PodStatus, time.Duration) {
	status := *pod.Status.DeepCopy()
	if ended(&status) {
		return status, 0
	}
	if status.StartTime == nil {
		status.StartTime = &metav1.Time{Time: now}
	}
	status.ObservedGeneration = pod.Generation
	inits, mains, _ := containers(pod)
	s := step{pod: pod, lacks: lacks, started: status.StartTime.Time, now: now}
	s.mounted = lacks.volume == "" || begun(&status)
	if !s.mounted {
		s.alarm.after(aMoment)
	}
	initialized := s.initialize(inits, &status)
	s.continueAll(mains, &status, initialized)
	status.Phase = phase(inits, mains, &status, initialized)
	if ended(&status) {
		for i := range status.InitContainerStatuses {
			terminate(&status.InitContainerStatuses[i], 0, "Completed", now) // sidecars, which end well when they are told to
		}
	}
	s.conditions(inits, &status, initialized)
	if limit := pod.Spec.ActiveDeadlineSeconds; limit != nil && !ended(&status) {
		if left := s.started.Add(time.Duration(*limit) * time.Second).Sub(now); left > 0 {
			s.alarm.after(left)
		} else {
			status.Reason, status.Message = "DeadlineExceeded", "Pod was active on the node longer than the specified deadline"
			end(pod, &status, now)
			return status, 0
		}
	}
	if ended(&status) {
		return status, 0
	}
	return status, time.Duration(s.alarm)
}

// end ends a pod before its containers have ended by themselves. All that a pod's containers leave is a pod that has failed.
func end(pod *corev1.Pod, status *corev1.PodStatus, now time.Time) {
	inits, mains, _ := containers(pod)
	initialized := slices.ContainsFunc(status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodInitialized && c.Status == corev1.ConditionTrue
	})
	for i := range status.InitContainerStatuses {
		terminate(&status.InitContainerStatuses[i], terminated, "Error", now)
	}
	for i := range status.ContainerStatuses {
		c := &status.ContainerStatuses[i]
		terminate(c, terminated, "Error", now)
		if c.State.Waiting != nil && initialized {
			c.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
				ExitCode: 137, Reason: "ContainerStatusUnknown", Message: "The container could not be located when the pod was terminated",
			}}
		}
	}
	status.Phase = corev1.PodFailed
	if len(status.ContainerStatuses) == len(mains) && len(mains) > 0 && !slices.ContainsFunc(status.ContainerStatuses, func(c corev1.ContainerStatus) bool {
		return c.State.Terminated == nil || c.State.Terminated.ExitCode != 0
	}) {
		status.Phase = corev1.PodSucceeded
	}
	step{pod: pod, now: now}.conditions(inits, status, initialized)
}

// terminate ends a container that runs.
func terminate(c *corev1.ContainerStatus, code int32, reason string, now time.Time) {
	if running := c.State.Running; running != nil {
		c.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Reason: reason, StartedAt: running.StartedAt, FinishedAt: metav1.NewTime(now)}}
		c.Ready, c.Started = false, new(false)
	}
}

// begun reports whether a container of a pod has been started, for which its volumes are mounted.
func begun(status *corev1.PodStatus) bool {
	return slices.ContainsFunc(slices.Concat(status.InitContainerStatuses, status.ContainerStatuses), func(c corev1.ContainerStatus) bool { return !began(&c).IsZero() })
}

// step is a look at a pod at a moment.
type step struct {
	pod     *corev1.Pod
	lacks   lacks
	started time.Time
	now     time.Time
	mounted bool
	alarm   alarm
}

// initialize runs the init containers, one after the other, and reports whether the others may start.
func (s *step) initialize(inits []container, status *corev1.PodStatus) bool {
	// A sidecar that is restarted stops nothing.
	initialized := slices.ContainsFunc(status.ContainerStatuses, func(c corev1.ContainerStatus) bool { return !began(&c).IsZero() })
	open := s.mounted
	var statuses []corev1.ContainerStatus
	for _, c := range inits {
		after := before(c, status.InitContainerStatuses, podInitializing)
		if open || initialized {
			after = s.continued(c, after)
		}
		if c.sidecar() {
			open = open && after.State.Running != nil
		} else {
			after.Ready = after.State.Terminated != nil && after.State.Terminated.ExitCode == 0
			open = open && after.Ready
		}
		statuses = append(statuses, after)
	}
	status.InitContainerStatuses = statuses
	return open || initialized
}

func (s *step) continueAll(mains []container, status *corev1.PodStatus, initialized bool) {
	waiting := podInitializing
	if len(s.pod.Spec.InitContainers) == 0 {
		waiting = containerCreating
	}
	var statuses []corev1.ContainerStatus
	for _, c := range mains {
		after := before(c, status.ContainerStatuses, waiting)
		if initialized {
			after = s.continued(c, after)
		}
		statuses = append(statuses, after)
	}
	status.ContainerStatuses = statuses
}

// before returns a container's status of before.
func before(c container, all []corev1.ContainerStatus, waiting string) corev1.ContainerStatus {
	for _, status := range all {
		if status.Name == c.Name {
			status.Image = c.Image
			return status
		}
	}
	return corev1.ContainerStatus{Name: c.Name, Image: c.Image, State: waits(waiting, ""), Started: new(false)}
}

// continued returns what a container is now.
func (s *step) continued(c container, status corev1.ContainerStatus) corev1.ContainerStatus {
	if t := status.State.Terminated; t != nil {
		if !c.restarted(t.ExitCode) {
			return status
		}
		if left := t.FinishedAt.Add(aMoment).Sub(s.now); left > 0 {
			s.alarm.after(left)
			return status
		}
		status.LastTerminationState.Terminated, status.State = t, corev1.ContainerState{}
	}
	if status.State.Running == nil {
		if status.State = s.waiting(c, status); status.State.Waiting != nil {
			return status
		}
		if status.LastTerminationState.Terminated != nil {
			status.RestartCount++
		}
		status.State.Running, status.Started = &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(s.now)}, new(true)
	}
	started := status.State.Running.StartedAt
	if end := started.Add(c.course.runFor); c.course.ends && !end.After(s.now) {
		terminate(&status, c.course.code, c.course.reason, s.now)
		if c.restarted(c.course.code) {
			s.alarm.after(aMoment)
		}
		return status
	}
	if c.course.ends {
		s.alarm.after(started.Add(c.course.runFor).Sub(s.now))
	}
	ready := started.Add(c.course.readyAfter)
	status.Ready = !ready.After(s.now)
	s.alarm.after(ready.Sub(s.now))
	return status
}

// waiting is what a container waits for that is to be started, if it does.
func (s *step) waiting(c container, status corev1.ContainerStatus) corev1.ContainerState {
	if last := status.LastTerminationState.Terminated; last != nil {
		wait := c.backOff(status.RestartCount)
		if left := last.FinishedAt.Add(wait).Sub(s.now); left > 0 {
			s.alarm.after(left)
			return waits(crashLoopBackOff, fmt.Sprintf("back-off %s restarting failed container=%s pod=%s", wait, c.Name, fullName(s.pod)))
		}
	}
	if host, missing := noHost(c.Image); missing {
		return s.pulled(c.Image, host)
	}
	if why := s.lacks.environment[c.Name]; why != "" {
		s.alarm.after(aMoment)
		return waits(configError, why)
	}
	return corev1.ContainerState{}
}

// fullName names a pod as a kubelet does.
func fullName(pod *corev1.Pod) string {
	return fmt.Sprintf("%s_%s(%s)", pod.Name, pod.Namespace, pod.UID)
}

func waits(reason, message string) corev1.ContainerState {
	return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}
}

// noHost returns the name of an image's registry, and whether it does not exist.
func noHost(image string) (string, bool) {
	registry, _, found := strings.Cut(image, "/")
	host, _, _ := strings.Cut(registry, ":")
	return host, found && strings.HasSuffix(host, noRegistry)
}

// pulled is the state of a container whose image cannot be pulled. It is tried again as often as a container is restarted that fails.
func (s *step) pulled(image, host string) corev1.ContainerState {
	attempt, wait := s.started, firstBackOff
	for !attempt.Add(wait).After(s.now) {
		attempt, wait = attempt.Add(wait), min(2*wait, lastBackOff)
	}
	why := fmt.Sprintf("failed to pull and unpack image %q: failed to resolve reference %q: dial tcp: lookup %s: no such host", image, image, host)
	if left := attempt.Add(pullTime).Sub(s.now); left > 0 {
		s.alarm.after(left)
		return waits(errImagePull, why)
	}
	s.alarm.after(attempt.Add(wait).Sub(s.now))
	return waits(imagePullBackOff, fmt.Sprintf("Back-off pulling image %q: %s: %s", image, errImagePull, why))
}

// phase is as https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-phase says: a pod is pending while one container
// has never been started, whatever the others do.
func phase(inits, mains []container, status *corev1.PodStatus, initialized bool) corev1.PodPhase {
	for i, c := range status.InitContainerStatuses {
		if t := c.State.Terminated; t != nil && t.ExitCode != 0 && !inits[i].restarted(t.ExitCode) {
			return corev1.PodFailed
		}
	}
	failed, left := false, false
	for i, c := range status.ContainerStatuses {
		switch t := c.State.Terminated; {
		case !initialized || c.State.Waiting != nil && c.LastTerminationState.Terminated == nil:
			return corev1.PodPending
		case t == nil || mains[i].restarted(t.ExitCode):
			left = true
		default:
			failed = failed || t.ExitCode != 0
		}
	}
	switch {
	case left:
		return corev1.PodRunning
	case failed:
		return corev1.PodFailed
	default:
		return corev1.PodSucceeded
	}
}

// conditions sets those that a kubelet owns:
// https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-conditions
func (s step) conditions(inits []container, status *corev1.PodStatus, initialized bool) {
	set := func(kind corev1.PodConditionType, is bool, reason, message string) {
		condition := corev1.PodCondition{Type: kind, Status: corev1.ConditionTrue, ObservedGeneration: s.pod.Generation, LastTransitionTime: metav1.NewTime(s.now)}
		if !is {
			condition.Status, condition.Message = corev1.ConditionFalse, message
		}
		if !is || reason == "PodCompleted" {
			condition.Reason = reason
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
	var unready, incomplete []string
	for i, c := range status.InitContainerStatuses {
		if !c.Ready {
			incomplete = append(incomplete, c.Name)
			if inits[i].sidecar() {
				unready = append(unready, c.Name)
			}
		}
	}
	for _, c := range status.ContainerStatuses {
		if !c.Ready {
			unready = append(unready, c.Name)
		}
	}
	// A pod that was made with a node has met no scheduler.
	set(corev1.PodScheduled, true, "", "")
	set(corev1.PodReadyToStartContainers, s.mounted && !ended(status), "", "")
	why, message := "ContainersNotReady", fmt.Sprintf("containers with unready status: %s", unready)
	switch {
	case status.Phase == corev1.PodSucceeded:
		why, message = "PodCompleted", ""
		set(corev1.PodInitialized, true, why, "")
	case status.Phase == corev1.PodFailed:
		why, message = "PodFailed", ""
		fallthrough
	default:
		set(corev1.PodInitialized, initialized, "ContainersNotInitialized", fmt.Sprintf("containers with incomplete status: %s", incomplete))
	}
	ready := len(unready) == 0 && !ended(status)
	set(corev1.ContainersReady, ready, why, message)
	var closed []string
	for _, gate := range s.pod.Spec.ReadinessGates {
		i := slices.IndexFunc(status.Conditions, func(c corev1.PodCondition) bool { return c.Type == gate.ConditionType })
		switch {
		case i < 0:
			closed = append(closed, fmt.Sprintf("corresponding condition of pod readiness gate %q does not exist.", gate.ConditionType))
		case status.Conditions[i].Status != corev1.ConditionTrue:
			closed = append(closed, fmt.Sprintf("the status of pod readiness gate %q is not \"True\", but %v", gate.ConditionType, status.Conditions[i].Status))
		}
	}
	if ready && len(closed) > 0 {
		ready, why, message = false, "ReadinessGatesNotReady", strings.Join(closed, ", ")
	}
	set(corev1.PodReady, ready, why, message)
}
