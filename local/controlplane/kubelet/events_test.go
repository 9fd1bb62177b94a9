package kubelet

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// told are the reasons of the events of a pod that has been on its node for that long, of Warnings in capitals.
func told(pod *corev1.Pod, lacks lacks, until time.Duration) string {
	var all []string
	for now := start; ; {
		status, again := next(pod, lacks, now)
		for _, e := range happened(pod, &pod.Status, &status, lacks) {
			if e.kind == corev1.EventTypeWarning {
				e.reason = strings.ToUpper(e.reason)
			}
			all = append(all, e.reason)
		}
		pod.Status = status
		now = now.Add(again)
		if again == 0 || now.After(start.Add(until)) {
			return strings.Join(all, " ")
		}
	}
}

func TestEventsTellWhatHappens(t *testing.T) {
	const always, never = corev1.RestartPolicyAlways, corev1.RestartPolicyNever
	const started = "Pulled Created Started"
	for name, c := range map[string]struct {
		policy      corev1.RestartPolicy
		image       string
		annotations map[string]string
		lacks       lacks
		after       time.Duration
		want        string
	}{
		"a container starts":          {always, "c", nil, lacks{}, time.Hour, started},
		"whether or not it ends":      {never, "c", map[string]string{runFor: "0s"}, lacks{}, time.Hour, started},
		"it starts again":             {always, "c", map[string]string{exit: "1"}, lacks{}, 2 * time.Second, started + " " + started},
		"or waits":                    {always, "c", map[string]string{exit: "1"}, lacks{}, 4 * time.Second, started + " " + started + " BACKOFF"},
		"its image cannot be pulled":  {always, "registry.invalid/c", nil, lacks{}, 9 * time.Second, "Pulling FAILED FAILED BackOff FAILED"},
		"a Secret is missing":         {always, "c", nil, lacks{environment: map[string]string{"c": "no"}}, 5 * time.Second, "FAILED"},
		"a volume is missing":         {always, "c", nil, lacks{volume: "v"}, 0, "FAILEDMOUNT"},
		"its time is over":            {always, "c", map[string]string{}, lacks{}, 2 * time.Hour, started + " DeadlineExceeded"},
		"an annotation is misspelled": {always, "c", map[string]string{exit: "soon", runFor: "5", repeatFirstLine: "0"}, lacks{}, 0, "INVALIDANNOTATION INVALIDANNOTATION INVALIDANNOTATION " + started},
		"or the list of indexes":      {never, "c", map[string]string{exit: "1", exitIndexes: "1-x"}, lacks{}, 0, "INVALIDANNOTATION " + started},
	} {
		t.Run(name, func(t *testing.T) {
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Annotations: c.annotations}, Spec: corev1.PodSpec{
				RestartPolicy: c.policy, ActiveDeadlineSeconds: new(int64(7200)), Containers: []corev1.Container{{Name: "c", Image: c.image}},
			}}
			assert.Equal(t, c.want, told(pod, c.lacks, c.after))
		})
	}
}
