package kubelet

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var start = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// summary tells of a pod that has been on its node for that long.
func summary(pod *corev1.Pod, until time.Duration) string {
	for now := start; ; {
		var again time.Duration
		pod.Status, again = next(pod, lacks{}, now)
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
	const index = batchv1.JobCompletionIndexAnnotation
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
		"a crash is seen":                               {always, map[string]string{exit: "1"}, time.Second, "Running c:Error(1) False"},
		"then it is started again":                      {always, map[string]string{exit: "1"}, 2 * time.Second, "Running c:ready*1 True"},
		"after the next one it waits":                   {onFailure, map[string]string{exit: "1"}, 4 * time.Second, "Running c:CrashLoopBackOff*1 False"},
		"for ten seconds":                               {onFailure, map[string]string{exit: "1"}, 13 * time.Second, "Running c:ready*2 True"},
		"then for longer times":                         {onFailure, map[string]string{exit: "1"}, 33 * time.Second, "Running c:CrashLoopBackOff*2 False"},
		"of five minutes at most":                       {always, map[string]string{exit: "1"}, 27 * time.Minute, "Running c:CrashLoopBackOff*10 False"},
		"one that ends well is restarted too":           {always, map[string]string{runFor: "5s"}, 12 * time.Second, "Running c:CrashLoopBackOff*1 False"},
		"a long run is a new beginning":                 {always, map[string]string{runFor: "10m"}, 30*time.Minute + 5*time.Second, "Running c:ready*3 True"},
		"what cannot be read is as if it was not there": {always, map[string]string{exit: "soon", runFor: "5", readyAfter: "-1s"}, time.Hour, "Running c:ready True"},
		"nor is what is no exit code":                   {never, map[string]string{exit: "256"}, time.Second, "Succeeded c:Completed(0) False"},
		"nor is a negative one":                         {never, map[string]string{exit: "-1"}, time.Second, "Succeeded c:Completed(0) False"},
		"exit can be about some indexes":                {never, map[string]string{exit: "3", exitIndexes: "1,4-6", index: "5"}, time.Second, "Failed c:Error(3) False"},
		"and not about the others":                      {never, map[string]string{exit: "3", exitIndexes: "1,4-6", index: "7"}, time.Second, "Succeeded c:Completed(0) False"},
		"nor about a pod that has none":                 {never, map[string]string{exit: "3", exitIndexes: "0"}, time.Second, "Succeeded c:Completed(0) False"},
		"one container fares unlike the others":         {never, map[string]string{exit + ".c": "3", exit: "4"}, time.Second, "Failed c:Error(3) False"},
		"an annotation is not about others":             {never, map[string]string{exit + ".d": "3"}, time.Second, "Succeeded c:Completed(0) False"},
	} {
		t.Run(name, func(t *testing.T) {
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Annotations: c.annotations}, Spec: corev1.PodSpec{RestartPolicy: c.policy, Containers: []corev1.Container{{Name: "c", Image: "c"}}}}
			assert.Equal(t, c.want, summary(pod, c.after))
		})
	}
}

func TestWhatAPodConsistsOfDecidesToo(t *testing.T) {
	const always, onFailure, never = corev1.RestartPolicyAlways, corev1.RestartPolicyOnFailure, corev1.RestartPolicyNever
	one := []corev1.Container{{Name: "c", Image: "c"}}
	init := []corev1.Container{{Name: "i"}}
	sidecar := []corev1.Container{{Name: "s", RestartPolicy: new(corev1.ContainerRestartPolicyAlways)}}
	missing := []corev1.Container{{Name: "c", Image: "registry.invalid/c:1"}}
	for name, c := range map[string]struct {
		policy      corev1.RestartPolicy
		spec        corev1.PodSpec
		annotations map[string]string
		after       time.Duration
		want        string
	}{
		"init containers end well first":           {always, corev1.PodSpec{InitContainers: init, Containers: one}, nil, time.Hour, "Running i:Completed(0) c:ready True"},
		"whatever is said of the others":           {always, corev1.PodSpec{InitContainers: init, Containers: one}, map[string]string{runFor: "1h"}, 0, "Running i:Completed(0) c:ready True"},
		"they take their own time":                 {always, corev1.PodSpec{InitContainers: init, Containers: one}, map[string]string{runFor + ".i": "5s"}, 4 * time.Second, "Pending i:runs c:PodInitializing False"},
		"one after the other":                      {always, corev1.PodSpec{InitContainers: append(init, corev1.Container{Name: "j"}), Containers: one}, map[string]string{runFor + ".i": "5s"}, 4 * time.Second, "Pending i:runs j:PodInitializing c:PodInitializing False"},
		"then the others start":                    {always, corev1.PodSpec{InitContainers: init, Containers: one}, map[string]string{runFor + ".i": "5s"}, 5 * time.Second, "Running i:Completed(0) c:ready True"},
		"one that fails is restarted":              {always, corev1.PodSpec{InitContainers: init, Containers: one}, map[string]string{exit + ".i": "1"}, 3 * time.Second, "Pending i:CrashLoopBackOff*1 c:PodInitializing False"},
		"or fails the pod":                         {never, corev1.PodSpec{InitContainers: init, Containers: one}, map[string]string{exit + ".i": "1"}, time.Hour, "Failed i:Error(1) c:PodInitializing False"},
		"sidecars run on":                          {always, corev1.PodSpec{InitContainers: sidecar, Containers: one}, nil, time.Hour, "Running s:ready c:ready True"},
		"and end with the others":                  {never, corev1.PodSpec{InitContainers: sidecar, Containers: one}, nil, time.Hour, "Succeeded s:Completed(0) c:Completed(0) False"},
		"however these end":                        {never, corev1.PodSpec{InitContainers: sidecar, Containers: one}, map[string]string{exit: "3"}, time.Hour, "Failed s:Completed(0) c:Error(3) False"},
		"one that is restarted does not matter":    {never, corev1.PodSpec{InitContainers: sidecar, Containers: one}, map[string]string{exit + ".s": "3", runFor: "1h"}, 5 * time.Second, "Running s:CrashLoopBackOff*1 c:ready False"},
		"an image of no registry is not there":     {always, corev1.PodSpec{Containers: missing}, nil, time.Second, "Pending c:ErrImagePull False"},
		"it is waited for":                         {always, corev1.PodSpec{Containers: missing}, nil, 9 * time.Second, "Pending c:ImagePullBackOff False"},
		"and tried again":                          {always, corev1.PodSpec{Containers: missing}, nil, 10 * time.Second, "Pending c:ErrImagePull False"},
		"less and less often":                      {always, corev1.PodSpec{Containers: missing}, nil, 21 * time.Second, "Pending c:ImagePullBackOff False"},
		"but for ever":                             {never, corev1.PodSpec{Containers: missing}, nil, 10*time.Minute + 11*time.Second, "Pending c:ErrImagePull False"},
		"whatever the registry's port":             {always, corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "registry.invalid:5000/c"}}}, nil, 3 * time.Second, "Pending c:ImagePullBackOff False"},
		"nor is one of an init container":          {always, corev1.PodSpec{InitContainers: []corev1.Container{{Name: "i", Image: "a.invalid/i"}}, Containers: one}, nil, 3 * time.Second, "Pending i:ImagePullBackOff c:PodInitializing False"},
		"a pod is pending while one has not begun": {always, corev1.PodSpec{Containers: append(missing, corev1.Container{Name: "b"})}, nil, 3 * time.Second, "Pending c:ImagePullBackOff b:ready False"},
		"a readiness gate is somebody else's":      {always, corev1.PodSpec{Containers: one, ReadinessGates: []corev1.PodReadinessGate{{ConditionType: "example.com/gate"}}}, nil, time.Hour, "Running c:ready False"},
		"a part of an image's name is no host":     {always, corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "shop.invalid"}}}, nil, time.Hour, "Running c:ready True"},
		"a container has a restart policy":         {always, corev1.PodSpec{Containers: []corev1.Container{{Name: "c", RestartPolicy: new(corev1.ContainerRestartPolicyNever)}, {Name: "d"}}}, nil, time.Hour, "Running c:Completed(0) d:ready False"},
		"a pod has a deadline":                     {onFailure, corev1.PodSpec{ActiveDeadlineSeconds: new(int64(5)), InitContainers: sidecar, Containers: one}, map[string]string{runFor: "1h"}, 5 * time.Second, "Failed s:Error(143) c:Error(143) False"},
		"and not before":                           {onFailure, corev1.PodSpec{ActiveDeadlineSeconds: new(int64(5)), Containers: one}, map[string]string{runFor: "1h"}, 4 * time.Second, "Running c:ready True"},
		"also if it has not begun":                 {always, corev1.PodSpec{ActiveDeadlineSeconds: new(int64(5)), Containers: missing}, nil, 5 * time.Second, "Failed c:ContainerStatusUnknown(137) False"},
		"what has ended by then has ended":         {never, corev1.PodSpec{ActiveDeadlineSeconds: new(int64(1)), Containers: one}, nil, time.Hour, "Succeeded c:Completed(0) False"},
	} {
		t.Run(name, func(t *testing.T) {
			c.spec.RestartPolicy = c.policy
			assert.Equal(t, c.want, summary(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Annotations: c.annotations}, Spec: c.spec}, c.after))
		})
	}
}

func TestAPodWaitsForWhatIsMissing(t *testing.T) {
	pod := &corev1.Pod{Spec: corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "c"}}}}
	look := func(lacks lacks, after time.Duration) string {
		pod.Status, _ = next(pod, lacks, start.Add(after))
		waiting := pod.Status.ContainerStatuses[0].State.Waiting
		if waiting == nil {
			return string(pod.Status.Phase)
		}
		return fmt.Sprintf("%s %s %s", pod.Status.Phase, waiting.Reason, waiting.Message)
	}
	_, again := next(pod, lacks{volume: "v"}, start)
	assert.Equal(t, aMoment, again, "it is looked for")
	assert.Equal(t, "Pending ContainerCreating ", look(lacks{volume: "v"}, 0))
	assert.Equal(t, corev1.ConditionFalse, condition(pod, corev1.PodReadyToStartContainers).Status)

	token := lacks{environment: map[string]string{"c": `secret "token" not found`}}
	_, again = next(pod, token, start)
	assert.Equal(t, aMoment, again)
	assert.Equal(t, `Pending CreateContainerConfigError secret "token" not found`, look(token, time.Hour))
	assert.Equal(t, corev1.ConditionTrue, condition(pod, corev1.PodReadyToStartContainers).Status)
	assert.Equal(t, "Running", look(lacks{}, 2*time.Hour))
	assert.Equal(t, "Running", look(token, 2*time.Hour), "what has started has it")
	looked, _ := next(pod, lacks{volume: "v"}, start.Add(2*time.Hour))
	assert.Equal(t, pod.Status, looked, "and its volumes are mounted")
	assert.Equal(t, "Succeeded", look(lacks{volume: "v"}, 3*time.Hour))
}

func condition(pod *corev1.Pod, kind corev1.PodConditionType) corev1.PodCondition {
	for _, c := range pod.Status.Conditions {
		if c.Type == kind {
			return c
		}
	}
	return corev1.PodCondition{}
}

func TestConditionsSayWhy(t *testing.T) {
	pod := func(annotations map[string]string, after time.Duration) *corev1.Pod {
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Annotations: annotations},
			Spec: corev1.PodSpec{
				RestartPolicy: corev1.RestartPolicyNever, InitContainers: []corev1.Container{{Name: "i"}}, Containers: []corev1.Container{{Name: "c"}, {Name: "d"}},
				ReadinessGates: []corev1.PodReadinessGate{{ConditionType: "example.com/gate"}},
			},
		}
		summary(pod, after)
		return pod
	}
	for name, c := range map[string]struct {
		annotations map[string]string
		after       time.Duration
		of          corev1.PodConditionType
		want        string
	}{
		"of one that initializes": {map[string]string{runFor + ".i": "1h"}, 0, corev1.PodInitialized, "False ContainersNotInitialized: containers with incomplete status: [i]"},
		"of one that starts":      {map[string]string{readyAfter + ".d": "1h", runFor: "2h"}, 0, corev1.PodReady, "False ContainersNotReady: containers with unready status: [d]"},
		"of one with a gate":      {map[string]string{runFor: "2h"}, 0, corev1.PodReady, `False ReadinessGatesNotReady: corresponding condition of pod readiness gate "example.com/gate" does not exist.`},
		"of its containers":       {map[string]string{runFor: "2h"}, 0, corev1.ContainersReady, "True : "},
		"of one that succeeded":   {nil, time.Hour, corev1.PodReady, "False PodCompleted: "},
		"that it was initialized": {nil, time.Hour, corev1.PodInitialized, "True PodCompleted: "},
		"of one that failed":      {map[string]string{exit: "1"}, time.Hour, corev1.ContainersReady, "False PodFailed: "},
		"which has no network":    {map[string]string{exit: "1"}, time.Hour, corev1.PodReadyToStartContainers, "False : "},
	} {
		t.Run(name, func(t *testing.T) {
			found := condition(pod(c.annotations, c.after), c.of)
			assert.Equal(t, c.want, fmt.Sprintf("%s %s: %s", found.Status, found.Reason, found.Message))
		})
	}
}

func TestAStatusThatIsWrittenStaysUntilSomethingChanges(t *testing.T) {
	pod := &corev1.Pod{Spec: corev1.PodSpec{RestartPolicy: corev1.RestartPolicyAlways, Containers: []corev1.Container{{Name: "c", Image: "c:1"}}}}
	pod.Generation = 1
	pod.Status.Conditions = []corev1.PodCondition{{Type: "example.com/gate", Status: corev1.ConditionTrue}}
	pod.Status, _ = next(pod, lacks{}, start)
	assert.Equal(t, corev1.PodConditionType("example.com/gate"), pod.Status.Conditions[0].Type, "what others wrote is kept")

	later, _ := next(pod, lacks{}, start.Add(time.Hour))
	assert.Equal(t, pod.Status, later)

	pod.Generation, pod.Spec.Containers[0].Image = 2, "c:2"
	changed, _ := next(pod, lacks{}, start.Add(time.Hour))
	assert.EqualValues(t, 2, changed.ObservedGeneration)
	assert.Equal(t, "c:2", changed.ContainerStatuses[0].Image)
}

func TestAPodThatIsLookedAtTooEarlyIsLookedAtAgain(t *testing.T) {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{exit: "1"}},
		Spec:       corev1.PodSpec{RestartPolicy: corev1.RestartPolicyAlways, Containers: []corev1.Container{{Name: "c"}}},
	}
	for _, at := range []time.Duration{0, time.Second, 2 * time.Second, 3 * time.Second, 4 * time.Second} {
		var first time.Duration
		pod.Status, first = next(pod, lacks{}, start.Add(at))
		status, again := next(pod, lacks{}, start.Add(at))
		assert.Equal(t, pod.Status, status, at)
		assert.Equal(t, first, again, at)
		assert.NotZero(t, again, at)
	}
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
