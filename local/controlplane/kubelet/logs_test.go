package kubelet

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
)

func TestALogIsWhatTheAnnotationsSay(t *testing.T) {
	ago := func(d time.Duration) metav1.Time { return metav1.NewTime(time.Now().Add(-d)) }
	running := corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: ago(time.Minute)}}
	last := corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{StartedAt: ago(time.Hour)}}
	waiting := func(reason string) corev1.ContainerState {
		return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason}}
	}
	const abc = "a\nb\nc"
	for sentence, c := range map[string]struct {
		annotations map[string]string
		status      corev1.ContainerStatus
		query       string
		want        string
	}{
		"each line":                      {map[string]string{logLines: abc}, corev1.ContainerStatus{State: running}, "", "200 a\nb\nc\n"},
		"none, if there are none":        {nil, corev1.ContainerStatus{State: running}, "", "200 "},
		"the lines of this container":    {map[string]string{logLines: abc, logLines + ".c": "own"}, corev1.ContainerStatus{State: running}, "", "200 own\n"},
		"the last ones":                  {map[string]string{logLines: abc}, corev1.ContainerStatus{State: running}, "tailLines=2", "200 b\nc\n"},
		"as many as there are":           {map[string]string{logLines: abc}, corev1.ContainerStatus{State: running}, "tailLines=9", "200 a\nb\nc\n"},
		"the first one often":            {map[string]string{logLines: abc, repeatFirstLine: "3"}, corev1.ContainerStatus{State: running}, "", "200 a\na\na\nb\nc\n"},
		"of that, the last ones":         {map[string]string{logLines: abc, repeatFirstLine: "3"}, corev1.ContainerStatus{State: running}, "tailLines=3", "200 a\nb\nc\n"},
		"so many bytes":                  {map[string]string{logLines: abc}, corev1.ContainerStatus{State: running}, "limitBytes=3", "200 a\nb"},
		"what is recent":                 {map[string]string{logLines: abc}, corev1.ContainerStatus{State: running}, "sinceSeconds=50", "200 "},
		"recent enough":                  {map[string]string{logLines: abc}, corev1.ContainerStatus{State: running}, "sinceSeconds=90", "200 a\nb\nc\n"},
		"what was after":                 {map[string]string{logLines: abc}, corev1.ContainerStatus{State: running}, "sinceTime=2999-01-01T00:00:00Z", "200 "},
		"of what ran before":             {map[string]string{logLines: abc}, corev1.ContainerStatus{State: running, LastTerminationState: last}, "previous=true&sinceSeconds=90", "200 "},
		"which was long ago":             {map[string]string{logLines: abc}, corev1.ContainerStatus{State: running, LastTerminationState: last}, "previous=true", "200 a\nb\nc\n"},
		"and not there":                  {map[string]string{logLines: abc}, corev1.ContainerStatus{State: running}, "previous=true", `400 previous terminated container "c" in pod "p" not found` + "\n"},
		"between two runs":               {map[string]string{logLines: abc}, corev1.ContainerStatus{State: waiting(crashLoopBackOff), LastTerminationState: last}, "", "200 a\nb\nc\n"},
		"none without an image":          {nil, corev1.ContainerStatus{State: waiting(imagePullBackOff)}, "", `400 container "c" in pod "p" is waiting to start: trying and failing to pull image` + "\n"},
		"at first":                       {nil, corev1.ContainerStatus{State: waiting(errImagePull)}, "", `400 container "c" in pod "p" is waiting to start: image can't be pulled` + "\n"},
		"none without a Secret":          {nil, corev1.ContainerStatus{State: waiting(configError)}, "", `400 container "c" in pod "p" is waiting to start: CreateContainerConfigError` + "\n"},
		"none of a misspelled container": {nil, corev1.ContainerStatus{Name: "d"}, "", `400 container "c" in pod "p" is not available` + "\n"},
		"none of a misspelled number":    {nil, corev1.ContainerStatus{State: running}, "tailLines=x", `422 tailLines: "x" is not a number of 0 or more` + "\n"},
	} {
		t.Run(sentence, func(t *testing.T) {
			if c.status.Name == "" {
				c.status.Name = "c"
			}
			store := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})
			require.NoError(t, store.Add(&corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "p", Annotations: c.annotations},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c"}}}, Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{c.status}},
			}))
			status, body := get(t, store, c.query)
			assert.Equal(t, c.want, status+" "+body)
		})
	}
}

func get(t *testing.T, pods cache.Indexer, query string) (status, body string) {
	t.Helper()
	request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/?"+query, nil)
	for name, value := range map[string]string{"namespace": "shop", "pod": "p", "container": "c"} {
		request.SetPathValue(name, value)
	}
	answer := httptest.NewRecorder()
	logs{corev1listers.NewPodLister(pods)}.ServeHTTP(answer, request)
	return answer.Result().Status[:3], answer.Body.String()
}

func TestALogOfTenMegabytesIsOneAnnotation(t *testing.T) {
	store := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})
	require.NoError(t, store.Add(&corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "p", Annotations: map[string]string{logLines: strings.Repeat("x", 99) + "\nthe end", repeatFirstLine: "110000"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c"}}},
		Status:     corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "c", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}}}}},
	}))
	_, body := get(t, store, "")
	assert.Len(t, body, 110000*100+len("the end\n"))
	assert.True(t, strings.HasSuffix(body, "x\nthe end\n"))
	_, body = get(t, store, "tailLines=1")
	assert.Equal(t, "the end\n", body)
}

func TestALogIsFollowedUntilItsContainerEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})
		run := func(restarts int32) {
			require.NoError(t, store.Update(&corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "p", Annotations: map[string]string{logLines: "a"}},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c"}}},
				Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{
					Name: "c", RestartCount: restarts, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}},
				}}},
			}))
		}
		run(0)
		started := time.Now()
		time.AfterFunc(10*time.Second, func() { run(1) }) // the end of the first run is not seen
		_, body := get(t, store, "follow=true")
		assert.Equal(t, "a\n", body)
		assert.InDelta(t, 10, time.Since(started).Seconds(), 1)
	})
}

func TestWhatConnectsToAContainerIsToldThatThereIsNone(t *testing.T) {
	for _, path := range []string{"/exec/shop/p/c", "/attach/shop/p/c", "/portForward/shop/p"} {
		answer := httptest.NewRecorder()
		logs{}.handler().ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, nil))
		assert.Equal(t, http.StatusNotImplemented, answer.Code)
		assert.Contains(t, answer.Body.String(), "the local cluster runs no containers")
	}
}
