package kubelet

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var start = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// summary tells of a pod that has been on its node for that long.
func summary(pod *corev1.Pod, until time.Duration) string {
	for now := start; ; {
		var again time.Duration
		pod.Status, again = next(pod, now)
		now = now.Add(again)
		if again == 0 || now.After(start.Add(until)) {
			break
		}
	}
	text := string(pod.Status.Phase)
	for _, c := range append(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses...) {
		text += fmt.Sprintf(" %s", c.Name)
		switch {
		case c.State.Waiting != nil:
			text += ":" + c.State.Waiting.Reason
		case c.State.Terminated != nil:
			text += fmt.Sprintf(":%s(%d)", c.State.Terminated.Reason, c.State.Terminated.ExitCode)
		case c.Ready:
			text += ":ready"
		default:
			text += ":runs"
		}
		if c.RestartCount > 0 {
			text += fmt.Sprintf("*%d", c.RestartCount)
		}
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			text += " " + string(c.Status)
		}
	}
	return text
}

func TestAPodFaresAsItsAnnotationsSay(t *testing.T) {
	const always, onFailure, never = corev1.RestartPolicyAlways, corev1.RestartPolicyOnFailure, corev1.RestartPolicyNever
	for name, c := range map[string]struct {
		policy      corev1.RestartPolicy
		annotations map[string]string
		after       time.Duration
		want        string
	}{
		"one of a Deployment is ready at once":          {always, nil, 0, "Running c:ready True"},
		"and stays so":                                  {always, nil, time.Hour, "Running c:ready True"},
		"one of a Job runs":                             {never, nil, 0, "Running c:ready True"},
		"and ends well":                                 {never, nil, time.Second, "Succeeded c:Completed(0) False"},
		"whether or not it would be restarted":          {onFailure, nil, time.Second, "Succeeded c:Completed(0) False"},
		"one that starts slowly runs":                   {always, map[string]string{readyAfter: "20s"}, 19 * time.Second, "Running c:runs False"},
		"and is ready then":                             {always, map[string]string{readyAfter: "20s"}, 20 * time.Second, "Running c:ready True"},
		"one runs as long as it is told":                {never, map[string]string{runFor: "90s"}, 89 * time.Second, "Running c:ready True"},
		"and not longer":                                {never, map[string]string{runFor: "90s"}, 90 * time.Second, "Succeeded c:Completed(0) False"},
		"one ends before it is ready":                   {never, map[string]string{runFor: "2s", readyAfter: "5s"}, time.Minute, "Succeeded c:Completed(0) False"},
		"one fails":                                     {never, map[string]string{exit: "3"}, time.Second, "Failed c:Error(3) False"},
		"one is killed":                                 {never, map[string]string{exit: oomKilled}, time.Second, "Failed c:OOMKilled(137) False"},
		"a crash is waited after":                       {always, map[string]string{exit: "1"}, time.Second, "Running c:CrashLoopBackOff False"},
		"then it is started again":                      {always, map[string]string{exit: "1"}, 11 * time.Second, "Running c:ready*1 True"},
		"and crashes":                                   {onFailure, map[string]string{exit: "1"}, 12 * time.Second, "Running c:CrashLoopBackOff*1 False"},
		"with longer times in between":                  {onFailure, map[string]string{exit: "1"}, 31 * time.Second, "Running c:CrashLoopBackOff*1 False"},
		"of five minutes at most":                       {always, map[string]string{exit: "1"}, 27 * time.Minute, "Running c:CrashLoopBackOff*9 False"},
		"one that ends well is restarted too":           {always, map[string]string{runFor: "5s"}, 5 * time.Second, "Running c:CrashLoopBackOff False"},
		"what cannot be read is as if it was not there": {always, map[string]string{exit: "soon", runFor: "5", readyAfter: "no"}, time.Hour, "Running c:ready True"},
	} {
		t.Run(name, func(t *testing.T) {
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Annotations: c.annotations}, Spec: corev1.PodSpec{RestartPolicy: c.policy, Containers: []corev1.Container{{Name: "c", Image: "c"}}}}
			assert.Equal(t, c.want, summary(pod, c.after))
		})
	}
}

func TestWhatAPodConsistsOfDecidesToo(t *testing.T) {
	one := []corev1.Container{{Name: "c", Image: "c"}}
	for name, c := range map[string]struct {
		spec corev1.PodSpec
		want string
	}{
		"init containers end well first":         {corev1.PodSpec{InitContainers: []corev1.Container{{Name: "i"}}, Containers: one}, "Running i:Completed(0) c:ready True"},
		"sidecars run on":                        {corev1.PodSpec{InitContainers: []corev1.Container{{Name: "i", RestartPolicy: new(corev1.ContainerRestartPolicyAlways)}}, Containers: one}, "Running i:ready c:ready True"},
		"an image of no registry is not there":   {corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "registry.invalid/c:1"}}}, "Pending c:ImagePullBackOff False"},
		"nor is one of an init container":        {corev1.PodSpec{InitContainers: []corev1.Container{{Name: "i", Image: "a.invalid/i"}}, Containers: one}, "Pending i:ImagePullBackOff c:PodInitializing False"},
		"one image does not wait for the others": {corev1.PodSpec{Containers: []corev1.Container{{Name: "a", Image: "registry.invalid/c:1"}, {Name: "b"}}}, "Running a:ImagePullBackOff b:ready False"},
		"a readiness gate is somebody else's":    {corev1.PodSpec{Containers: one, ReadinessGates: []corev1.PodReadinessGate{{ConditionType: "example.com/gate"}}}, "Running c:ready False"},
		"a part of an image's name is no host":   {corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "shop.invalid"}}}, "Running c:ready True"},
	} {
		t.Run(name, func(t *testing.T) {
			c.spec.RestartPolicy = corev1.RestartPolicyAlways
			assert.Equal(t, c.want, summary(&corev1.Pod{Spec: c.spec}, time.Hour))
		})
	}
}

func TestAStatusThatIsWrittenStaysUntilSomethingChanges(t *testing.T) {
	pod := &corev1.Pod{Spec: corev1.PodSpec{RestartPolicy: corev1.RestartPolicyAlways, Containers: []corev1.Container{{Name: "c", Image: "c:1"}}}}
	pod.Generation = 1
	pod.Status.Conditions = []corev1.PodCondition{{Type: "example.com/gate", Status: corev1.ConditionTrue}}
	pod.Status, _ = next(pod, start)
	assert.Equal(t, corev1.PodConditionType("example.com/gate"), pod.Status.Conditions[0].Type, "what others wrote is kept")

	later, _ := next(pod, start.Add(time.Hour))
	assert.Equal(t, pod.Status, later)

	pod.Generation, pod.Spec.Containers[0].Image = 2, "c:2"
	changed, _ := next(pod, start.Add(time.Hour))
	assert.EqualValues(t, 2, changed.ObservedGeneration)
	assert.Equal(t, "c:2", changed.ContainerStatuses[0].Image)
}

func TestAPodIsLeftAloneThatIsSomebodyElses(t *testing.T) {
	for name, c := range map[string]struct {
		spec corev1.PodSpec
		want bool
	}{
		"one on a node of this cluster": {corev1.PodSpec{NodeName: nodes[1].name, SchedulerName: corev1.DefaultSchedulerName}, true},
		"one on another node":           {corev1.PodSpec{NodeName: "other", SchedulerName: corev1.DefaultSchedulerName}, false},
		"one on none yet":               {corev1.PodSpec{SchedulerName: corev1.DefaultSchedulerName}, false},
		"one of another scheduler":      {corev1.PodSpec{NodeName: nodes[0].name, SchedulerName: "by-hand"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, c.want, ours(&corev1.Pod{Spec: c.spec}))
		})
	}
}
