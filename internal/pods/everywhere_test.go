package pods_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/kube/kubetest"
	"github.com/kubestep/kubestep/internal/pods"
)

func everywhere(in *contract.ListPods) { in.Namespaces = []string{contract.AllNamespaces} }

// namespaces is a table of them, as kube-apiserver 1.37 prints one.
func namespaces(names ...string) string {
	rows := ""
	for i, name := range names {
		if i > 0 {
			rows += ","
		}
		rows += fmt.Sprintf(`{"cells":[%q,"Active","2d"],"object":null}`, name)
	}
	return `{"kind":"Table","apiVersion":"meta.k8s.io/v1","metadata":{},"columnDefinitions":[{"name":"Name"},{"name":"Status"},{"name":"Age"}],"rows":[` + rows + `]}`
}

func TestAllNamespacesAreListedOneByOneWhereTheyMayBeListed(t *testing.T) {
	server := &api{pages: map[string]string{
		"/api/v1/namespaces?": namespaces("a", "b"),
		"a/pods?":             table("", row("a1", "1/1", "Running")),
		"b/pods?":             table("", row("b1", "1/1", "Running")),
	}}
	got, err := list(t.Context(), t, pods.Lister{}, server.ServeHTTP, everywhere)
	require.NoError(t, err)
	assert.Equal(t, map[string]int{"a": 1, "b": 1}, got.ByNamespace)

	t.Run("and a later round goes on after those that were begun", func(t *testing.T) {
		server.requests = nil
		again, err := list(t.Context(), t, pods.Lister{}, server.ServeHTTP, func(in *contract.ListPods) {
			everywhere(in)
			in.Pods = contract.Listing{Pods: contract.Pods{Total: 1, ByNamespace: map[string]int{"a": 1}}, Cursor: &contract.Cursor{Next: "b"}}
		})
		require.NoError(t, err)
		assert.Equal(t, map[string]int{"a": 1, "b": 1}, again.ByNamespace)
		assert.Len(t, server.requests, 2, "the namespaces, and b's pods")
	})
}

func TestVeryManyNamespacesAreListedByWhatIsInThem(t *testing.T) {
	var names []string
	for i := range 1001 {
		names = append(names, fmt.Sprintf("n%04d", i))
	}
	for sentence, c := range map[string]struct {
		count    string
		selector string
		across   bool
	}{
		"one by one where they have pods enough":         {count: `,"remainingItemCount":4003`},
		"across where most are nearly empty":             {count: `,"remainingItemCount":4002`, across: true},
		"across with a selector, which nobody counts by": {selector: "app=shop", across: true},
	} {
		t.Run(sentence, func(t *testing.T) {
			var asked atomic.Int32
			_, err := list(t.Context(), t, pods.Lister{}, func(w http.ResponseWriter, r *http.Request) {
				q := r.URL.Query()
				if r.URL.Path != "/api/v1/namespaces" {
					assert.Equal(t, c.selector, q.Get("labelSelector"))
				}
				switch {
				case r.URL.Path == "/api/v1/namespaces":
					_, _ = fmt.Fprint(w, namespaces(names...))
				case r.URL.Path == "/api/v1/pods" && q.Get("includeObject") == "None":
					assert.Equal(t, "1", q.Get("limit"))
					_, _ = fmt.Fprint(w, strings.Replace(table("more", row("a", "1/1", "Running")), `"continue":"more"`, `"continue":"more"`+c.count, 1))
				case r.URL.Path == "/api/v1/pods":
					asked.Add(1000)
					w.Header().Set("Content-Type", "application/vnd.kubernetes.protobuf")
					_, _ = w.Write(encode(t, ""))
				default:
					asked.Add(1)
					_, _ = fmt.Fprint(w, table(""))
				}
			}, func(in *contract.ListPods) {
				everywhere(in)
				in.LabelSelector = c.selector
			})
			require.NoError(t, err)
			if c.across {
				assert.EqualValues(t, 1000, asked.Load(), "one page across")
			} else {
				assert.EqualValues(t, 1001, asked.Load(), "a page of each")
			}
		})
	}
}

func TestNamespacesThatMayNoLongerBeListedAreForbiddenAndNotLeftOut(t *testing.T) {
	_, err := list(t.Context(), t, pods.Lister{}, func(w http.ResponseWriter, _ *http.Request) {
		kubetest.Refuse(w, 403, metav1.StatusReasonForbidden, "namespaces is forbidden")
	}, func(in *contract.ListPods) {
		everywhere(in)
		in.Pods.Cursor = &contract.Cursor{Next: "b"}
	})
	var named *contract.Error
	require.ErrorAs(t, err, &named)
	assert.Equal(t, contract.Forbidden, named.Name)
}

func TestAllNamespacesAreListedAcrossTheClusterWhereTheyMayNotBe(t *testing.T) {
	pages := map[string][]byte{"": encode(t, "two", pod("a", "a1"), pod("b", "b1")), "two": encode(t, "", pod("b", "b2"))}
	server := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/v1/pods" {
			kubetest.Refuse(w, 403, metav1.StatusReasonForbidden, "namespaces is forbidden")
			return
		}
		assert.Equal(t, "application/vnd.kubernetes.protobuf", r.Header.Get("Accept"))
		assert.Empty(t, r.URL.Query().Get("includeObject"))
		w.Header().Set("Content-Type", "application/vnd.kubernetes.protobuf")
		_, _ = w.Write(pages[r.URL.Query().Get("continue")])
	}
	got, err := list(t.Context(), t, pods.Lister{}, server, everywhere)
	require.NoError(t, err)
	assert.Equal(t, map[string]int{"a": 1, "b": 2}, got.ByNamespace)
	assert.Len(t, got.Items, 3)

	t.Run("and an answer that is cut is an error", func(t *testing.T) {
		whole := pages[""]
		for _, end := range []int{0, 3, 10, 40, len(whole) / 2, len(whole) - 30} {
			pages[""] = whole[:end]
			_, err := list(t.Context(), t, pods.Lister{}, server, everywhere)
			var named *contract.Error
			require.ErrorAs(t, err, &named, end)
			assert.Equal(t, contract.ClusterUnreachable, named.Name)
		}
	})
}

// encode writes a PodList as the API server does.
func encode(t testing.TB, next string, items ...corev1.Pod) []byte {
	t.Helper()
	scheme := runtime.NewScheme()
	require.NoError(t, corev1.AddToScheme(scheme))
	list := &corev1.PodList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PodList"}, ListMeta: metav1.ListMeta{ResourceVersion: "1", Continue: next}, Items: items}
	encoded, err := runtime.Encode(protobuf.NewSerializer(scheme, scheme), list)
	require.NoError(t, err)
	return encoded
}

func pod(namespace, name string) corev1.Pod {
	return corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, CreationTimestamp: metav1.NewTime(time.Now().Add(-50 * time.Hour))},
		Spec:       corev1.PodSpec{NodeName: "node-1", Containers: []corev1.Container{{Name: "app"}}},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning, PodIPs: []corev1.PodIP{{IP: "10.0.0.1"}, {IP: "fd00::1"}},
			Conditions:        []corev1.PodCondition{{Type: corev1.PodInitialized, Status: corev1.ConditionTrue}, {Type: corev1.PodReady, Status: corev1.ConditionTrue}},
			ContainerStatuses: []corev1.ContainerStatus{{Name: "app", Ready: true, RestartCount: 3, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}},
		},
	}
}

// The API server prints such pods so; test/everywhere_test.go compares with a real one.
func TestAPodIsPrintedAsTheServerWouldPrintIt(t *testing.T) {
	waiting := func(reason string) corev1.ContainerState {
		return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason}}
	}
	ended := func(code, signal int32, reason string) corev1.ContainerState {
		return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Signal: signal, Reason: reason}}
	}
	always := corev1.ContainerRestartPolicyAlways
	started := true
	now := metav1.Now()
	initStatus := func(p *corev1.Pod, state corev1.ContainerState) {
		p.Spec.InitContainers = []corev1.Container{{Name: "init"}, {Name: "more"}}
		p.Status.Conditions = nil
		p.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: "init", State: state, RestartCount: 2}}
		p.Status.ContainerStatuses[0].State = waiting("PodInitializing")
		p.Status.Phase = corev1.PodPending
	}
	for sentence, c := range map[string]struct {
		change        func(*corev1.Pod)
		ready, status string
		restarts      int
	}{
		"one that runs":              {func(*corev1.Pod) {}, "1/1", "Running", 3},
		"one that crashes":           {func(p *corev1.Pod) { p.Status.ContainerStatuses[0].State = waiting("CrashLoopBackOff") }, "0/1", "CrashLoopBackOff", 3},
		"one that is done":           {func(p *corev1.Pod) { p.Status.ContainerStatuses[0].State = ended(0, 0, "Completed") }, "0/1", "Completed", 3},
		"one that ended by a signal": {func(p *corev1.Pod) { p.Status.ContainerStatuses[0].State = ended(1, 9, "") }, "0/1", "Signal:9", 3},
		"one that ended by itself":   {func(p *corev1.Pod) { p.Status.ContainerStatuses[0].State = ended(7, 0, "") }, "0/1", "ExitCode:7", 3},
		"one that is evicted":        {func(p *corev1.Pod) { p.Status = corev1.PodStatus{Phase: corev1.PodFailed, Reason: "Evicted"} }, "0/1", "Evicted", 0},
		"one that is gated": {func(p *corev1.Pod) {
			p.Status = corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Reason: corev1.PodReasonSchedulingGated}}}
		}, "0/1", "SchedulingGated", 0},
		"one that is being deleted":        {func(p *corev1.Pod) { p.DeletionTimestamp = &now }, "1/1", "Terminating", 3},
		"one whose node is lost":           {func(p *corev1.Pod) { p.DeletionTimestamp = &now; p.Status.Reason = "NodeLost" }, "1/1", "Unknown", 3},
		"one that initialises":             {func(p *corev1.Pod) { initStatus(p, corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}) }, "0/1", "Init:0/2", 2},
		"one that cannot initialise":       {func(p *corev1.Pod) { initStatus(p, waiting("ImagePullBackOff")) }, "0/1", "Init:ImagePullBackOff", 2},
		"one that failed to initialise":    {func(p *corev1.Pod) { initStatus(p, ended(1, 0, "Error")) }, "0/1", "Init:Error", 2},
		"one that failed without a reason": {func(p *corev1.Pod) { initStatus(p, ended(5, 0, "")) }, "0/1", "Init:ExitCode:5", 2},
		"one that failed by a signal":      {func(p *corev1.Pod) { initStatus(p, ended(1, 15, "")) }, "0/1", "Init:Signal:15", 2},
		"one that has initialised":         {func(p *corev1.Pod) { initStatus(p, ended(0, 0, "Completed")) }, "0/1", "PodInitializing", 3},
		"one with a sidecar": {func(p *corev1.Pod) {
			p.Spec.InitContainers = []corev1.Container{{Name: "mesh", RestartPolicy: &always}}
			p.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: "mesh", Ready: true, Started: &started, RestartCount: 4, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}
		}, "2/2", "Running", 7},
		"one of two containers, one done": {func(p *corev1.Pod) { second(p, ended(0, 0, "Completed"), true) }, "1/2", "Running", 3},
		"one of two, not ready":           {func(p *corev1.Pod) { second(p, ended(0, 0, "Completed"), false) }, "1/2", "NotReady", 3},
		"one of two that both ended": {func(p *corev1.Pod) {
			second(p, ended(0, 0, "Completed"), true)
			p.Status.ContainerStatuses[1].State = ended(1, 0, "OOMKilled")
		}, "0/2", "OOMKilled", 3},
	} {
		t.Run(sentence, func(t *testing.T) {
			p := pod("shop", "p")
			c.change(&p)
			encoded := encode(t, "", p)
			got, err := list(t.Context(), t, pods.Lister{}, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/api/v1/pods" {
					kubetest.Refuse(w, 403, metav1.StatusReasonForbidden, "no")
					return
				}
				_, _ = w.Write(encoded)
			}, everywhere)
			require.NoError(t, err)
			want := contract.Pod{Namespace: "shop", Name: "p", Ready: c.ready, Status: c.status, Restarts: c.restarts, Age: "2d2h", Node: "node-1"}
			if len(p.Status.PodIPs) > 0 {
				want.IP = "10.0.0.1"
			}
			assert.Equal(t, []contract.Pod{want}, got.Items)
		})
	}
}

// second puts a container before the one that there is.
func second(p *corev1.Pod, state corev1.ContainerState, ready bool) {
	p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "job"})
	p.Status.ContainerStatuses = append([]corev1.ContainerStatus{{Name: "job", State: state}}, p.Status.ContainerStatuses...)
	if !ready {
		p.Status.Conditions = nil
	}
}
