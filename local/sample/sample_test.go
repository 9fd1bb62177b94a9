package sample_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/rest"

	"github.com/kubestep/kubestep/local/sample"
)

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// fakeAPIServer keeps namespaces and pods as an API server does, as far as it
// matters here: a create leaves out the status, an update of the status leaves
// out all else, and a deletion with grace of a pod that is on a node only marks it.
type fakeAPIServer struct {
	codecs serializer.CodecFactory

	mu         sync.Mutex
	namespaces []string
	pods       map[string]*corev1.Pod
	// fail is the path of a request that is answered with an error.
	fail string
}

func newFakeAPIServer(t *testing.T) *fakeAPIServer {
	t.Helper()
	scheme := runtime.NewScheme()
	require.NoError(t, corev1.AddToScheme(scheme))
	return &fakeAPIServer{
		codecs:     serializer.NewCodecFactory(scheme),
		namespaces: []string{"default"},
		pods:       map[string]*corev1.Pod{},
	}
}

func (f *fakeAPIServer) config() *rest.Config {
	return &rest.Config{Host: "https://cluster.example", Transport: f}
}

func (f *fakeAPIServer) RoundTrip(r *http.Request) (*http.Response, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var body runtime.Object
	if r.Body != nil {
		content, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		if body, _, err = f.codecs.UniversalDeserializer().Decode(content, nil, nil); err != nil {
			return nil, err
		}
	}
	path := strings.TrimPrefix(r.URL.Path, "/api/v1/")
	if path == f.fail {
		return answer(http.StatusForbidden, &metav1.Status{Status: metav1.StatusFailure, Reason: metav1.StatusReasonForbidden, Message: "no"})
	}
	if path == "namespaces" {
		name := body.(*corev1.Namespace).Name
		for _, there := range f.namespaces {
			if there == name {
				return answer(http.StatusConflict, exists())
			}
		}
		f.namespaces = append(f.namespaces, name)
		return answer(http.StatusCreated, body)
	}

	parts := strings.Split(path, "/") // namespaces/NAMESPACE/pods/NAME/status
	switch r.Method {
	case http.MethodPost:
		pod := body.(*corev1.Pod)
		key := pod.Namespace + "/" + pod.Name
		if f.pods[key] != nil {
			return answer(http.StatusConflict, exists())
		}
		pod.Status = corev1.PodStatus{Phase: corev1.PodPending}
		f.pods[key] = pod
		return answer(http.StatusCreated, pod)
	case http.MethodPut:
		pod := f.pods[parts[1]+"/"+parts[3]]
		if pod == nil || parts[4] != "status" {
			return answer(http.StatusNotFound, &metav1.Status{Status: metav1.StatusFailure, Reason: metav1.StatusReasonNotFound})
		}
		pod.Status = body.(*corev1.Pod).Status
		return answer(http.StatusOK, pod)
	case http.MethodDelete:
		key := parts[1] + "/" + parts[3]
		if grace := body.(*metav1.DeleteOptions).GracePeriodSeconds; *grace > 0 && f.pods[key].Spec.NodeName != "" {
			f.pods[key].DeletionTimestamp = &metav1.Time{Time: now}
		} else {
			delete(f.pods, key)
		}
		return answer(http.StatusOK, &metav1.Status{Status: metav1.StatusSuccess})
	}
	return nil, fmt.Errorf("%s %s is not expected", r.Method, r.URL.Path)
}

func exists() *metav1.Status {
	return &metav1.Status{Status: metav1.StatusFailure, Reason: metav1.StatusReasonAlreadyExists, Code: http.StatusConflict}
}

// answer answers in JSON, which a client takes whatever it asked for.
func answer(code int, object runtime.Object) (*http.Response, error) {
	switch o := object.(type) {
	case *metav1.Status:
		o.TypeMeta, o.Code = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, int32(code)
	case *corev1.Pod:
		o.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}
	case *corev1.Namespace:
		o.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"}
	}
	content, err := json.Marshal(object)
	return &http.Response{
		StatusCode: code,
		Header:     http.Header{"Content-Type": {"application/json"}},
		Body:       io.NopCloser(bytes.NewReader(content)),
	}, err
}

func TestFill(t *testing.T) {
	server := newFakeAPIServer(t)
	require.NoError(t, sample.Fill(t.Context(), server.config(), now))
	assert.Equal(t, []string{"default", "shop"}, server.namespaces)
	require.GreaterOrEqual(t, len(server.pods), 10)

	conditions := map[string]bool{}
	ips := map[string]string{}
	for key, pod := range server.pods {
		assert.Empty(t, validation.IsDNS1123Subdomain(pod.Name), key)
		assert.NotEmpty(t, pod.Labels["app"], key)
		conditions[string(pod.Status.Phase)] = true
		for _, container := range append(pod.Status.ContainerStatuses, pod.Status.InitContainerStatuses...) {
			if waiting := container.State.Waiting; waiting != nil {
				conditions[waiting.Reason] = true
			}
			if container.RestartCount > 0 {
				conditions["restarted"] = true
			}
		}
		if len(pod.Status.ContainerStatuses) > 1 {
			conditions["two containers"] = true
		}
		if pod.DeletionTimestamp != nil {
			conditions["Terminating"] = true
		}
		if ip := pod.Status.PodIP; ip != "" {
			assert.NotEmpty(t, pod.Spec.NodeName, key)
			assert.Empty(t, ips[ip], "%s has the address of another", key)
			ips[ip] = key
		}
	}
	for _, condition := range []string{
		"Running", "Pending", "Succeeded", "CrashLoopBackOff", "ImagePullBackOff", "PodInitializing", "Terminating", "restarted", "two containers",
	} {
		assert.True(t, conditions[condition], "no pod is %s", condition)
	}
}

func TestFillAgainRestoresTheSampleAndLeavesOtherPods(t *testing.T) {
	server := newFakeAPIServer(t)
	require.NoError(t, sample.Fill(t.Context(), server.config(), now))
	before, err := json.Marshal(server.pods)
	require.NoError(t, err)

	for key, pod := range server.pods {
		if pod.DeletionTimestamp == nil {
			pod.Status.Phase = corev1.PodFailed
			pod.Labels = nil
		} else {
			delete(server.pods, key)
		}
	}
	other := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "other"}}
	server.pods["shop/other"] = other

	require.NoError(t, sample.Fill(t.Context(), server.config(), now))
	assert.Same(t, other, server.pods["shop/other"])
	delete(server.pods, "shop/other")
	after, err := json.Marshal(server.pods)
	require.NoError(t, err)
	assert.JSONEq(t, string(before), string(after))
}

func TestFillNamesWhatFailed(t *testing.T) {
	for path, want := range map[string]string{
		"namespaces":           "create the namespace",
		"namespaces/shop/pods": "create the pod shop/",
		"namespaces/shop/pods/catalog-db-0/status": "write the status of the pod shop/catalog-db-0",
	} {
		server := newFakeAPIServer(t)
		server.fail = path
		assert.ErrorContains(t, sample.Fill(t.Context(), server.config(), now), want)
	}
}

func TestMany(t *testing.T) {
	server := newFakeAPIServer(t)
	require.NoError(t, sample.Many(t.Context(), server.config(), "bench", 300, now))
	assert.Contains(t, server.namespaces, "bench")
	require.Len(t, server.pods, 300)
	ips := map[string]bool{}
	for _, pod := range server.pods {
		ips[pod.Status.PodIP] = true
		require.Len(t, pod.Status.ContainerStatuses, 2)
	}
	assert.Len(t, ips, 300)

	require.NoError(t, sample.Many(t.Context(), server.config(), "bench", 300, now))
	assert.Len(t, server.pods, 300)
}
