package kubelet

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
)

// The annotations of a pod that say how its containers fare. All are optional; docs/local.md documents them. Followed by a dot and a
// container's name, one is about that container only.
const (
	// readyAfter is how long a container runs before it is ready.
	readyAfter = "kubestep.local/ready-after"
	// runFor is how long a container runs before it ends.
	runFor = "kubestep.local/run-for"
	// exit is how it ends: with this code, or oomKilled.
	exit = "kubestep.local/exit"
	// exitIndexes are the completion indexes of a Job that exit is about.
	exitIndexes = "kubestep.local/exit-indexes"
	// logLines are the lines that it prints.
	logLines = "kubestep.local/logs"
	// repeatFirstLine is how often it prints the first of them. An annotation has 256 KiB at most, and logs have more.
	repeatFirstLine = "kubestep.local/repeat-first-line"

	oomKilled = "OOMKilled"

	// shortRun is how long a container runs that ends and does not say when.
	shortRun = time.Second
	// What has ended is started again at once, and then after a time that doubles. A run of longRun counts as a new beginning:
	// https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#restart-policy
	firstBackOff, lastBackOff = 10 * time.Second, 5 * time.Minute
	longRun                   = 10 * time.Minute
)

// course is how a container fares.
type course struct {
	readyAfter time.Duration
	// ends is false for containers that run until they are deleted.
	ends   bool
	runFor time.Duration
	code   int32
	reason string
	lines  lines
}

// container is one of a pod's.
type container struct {
	*corev1.Container
	// init is true for init containers, sidecars included.
	init   bool
	policy corev1.RestartPolicy
	course course
}

// sidecar reports whether the container starts as an init container and runs beside the others:
// https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/
func (c container) sidecar() bool { return c.init && c.policy == corev1.RestartPolicyAlways }

// restarted reports whether it is started again after it has ended with that code.
func (c container) restarted(code int32) bool {
	return c.policy == corev1.RestartPolicyAlways || c.policy == corev1.RestartPolicyOnFailure && code != 0
}

// backOff is how long it waits after it has been restarted so often.
func (c container) backOff(restarts int32) time.Duration {
	if restarts == 0 || c.course.runFor >= longRun {
		return 0
	}
	return min(firstBackOff<<min(restarts-1, 10), lastBackOff)
}

// containers returns the init containers and the others, and what of the annotations cannot be read. That is as if it was not there.
func containers(pod *corev1.Pod) (inits, mains []container, problems []string) {
	for i := range pod.Spec.InitContainers {
		c := container{Container: &pod.Spec.InitContainers[i], init: true, policy: pod.Spec.RestartPolicy}
		if c.policy == corev1.RestartPolicyAlways {
			c.policy = corev1.RestartPolicyOnFailure // one that has ended well is done
		}
		inits = append(inits, c)
	}
	for i := range pod.Spec.Containers {
		mains = append(mains, container{Container: &pod.Spec.Containers[i], policy: pod.Spec.RestartPolicy})
	}
	for _, all := range [][]container{inits, mains} {
		for i := range all {
			if own := all[i].RestartPolicy; own != nil {
				all[i].policy = corev1.RestartPolicy(*own)
			}
			problems = append(problems, all[i].read(pod)...)
		}
	}
	slices.Sort(problems)
	return inits, mains, slices.Compact(problems)
}

// annotation returns an annotation's name and value for a container. Init containers fare only as an annotation of their own says.
func annotation(pod *corev1.Pod, name, container string, init bool) (string, string) {
	own := name + "." + container
	if value, found := pod.Annotations[own]; found || init {
		return own, value
	}
	return name, pod.Annotations[name]
}

func (c *container) read(pod *corev1.Pod) []string {
	var problems []string
	duration := func(name string) (time.Duration, bool) {
		key, text := annotation(pod, name, c.Name, c.init)
		value, err := time.ParseDuration(text)
		if text != "" && (err != nil || value < 0) {
			problems = append(problems, fmt.Sprintf("%s: %q is not a time such as 20s, 5m or 1h", key, text))
		}
		return max(value, 0), text != "" && err == nil && value >= 0
	}
	c.course = course{ends: c.policy != corev1.RestartPolicyAlways, runFor: shortRun, reason: "Completed"}
	if c.init && !c.sidecar() {
		c.course.runFor = 0
	}
	c.course.readyAfter, _ = duration(readyAfter)
	if value, found := duration(runFor); found {
		c.course.ends, c.course.runFor = true, value
	}
	key, text := annotation(pod, exit, c.Name, c.init)
	if !meant(pod, &problems) {
		text = ""
	}
	switch code, err := strconv.ParseUint(text, 10, 8); {
	case text == "":
	case text == oomKilled:
		c.course.ends, c.course.code, c.course.reason = true, 137, oomKilled
	case err != nil:
		problems = append(problems, fmt.Sprintf("%s: %q is neither %s nor an exit code from 0 to 255", key, text, oomKilled))
	default:
		c.course.ends, c.course.code = true, int32(code)
		if code != 0 {
			c.course.reason = "Error"
		}
	}
	_, printed := annotation(pod, logLines, c.Name, c.init)
	c.course.lines = lines{first: 1, all: strings.SplitAfter(printed, "\n")}
	if all := c.course.lines.all; all[len(all)-1] == "" {
		c.course.lines.all = all[:len(all)-1]
	} else {
		all[len(all)-1] += "\n"
	}
	if key, text := annotation(pod, repeatFirstLine, c.Name, c.init); text != "" {
		times, err := strconv.ParseInt(text, 10, 32)
		if err != nil || times < 1 {
			problems, times = append(problems, fmt.Sprintf("%s: %q is not a number from 1 on", key, text)), 1
		}
		c.course.lines.first = int(times)
	}
	return problems
}

// meant reports whether exit is about this pod of its Job.
func meant(pod *corev1.Pod, problems *[]string) bool {
	text := pod.Annotations[exitIndexes]
	if text == "" {
		return true
	}
	index, err := strconv.Atoi(pod.Annotations[batchv1.JobCompletionIndexAnnotation])
	indexed, is := err == nil, false
	for part := range strings.SplitSeq(text, ",") {
		from, to, isRange := strings.Cut(strings.TrimSpace(part), "-")
		first, err := strconv.Atoi(from)
		last := first
		if err == nil && isRange {
			last, err = strconv.Atoi(to)
		}
		if err != nil {
			*problems = append(*problems, fmt.Sprintf("%s: %q is not a list of completion indexes such as 3,7-9", exitIndexes, text))
			return false
		}
		is = is || indexed && first <= index && index <= last
	}
	return is
}
