package manifests

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubestep/kubestep/internal/kube"
)

// server is the API of one cluster, as far as it is needed here.
type server struct {
	rest *kube.Conn
}

// target is where an object is in the API.
type target struct {
	Object
	index int // in the manifests
	kind  kind
}

// url is the path of the object.
func (t target) url() []string {
	path := groupPath(t.GroupVersion())
	if t.kind.namespaced {
		path = append(path, "namespaces", t.Namespace)
	}
	return append(path, t.kind.resource, t.Name)
}

func groupPath(v schema.GroupVersion) []string {
	if v.Group == "" {
		return []string{"/api", v.Version}
	}
	return []string{"/apis", v.Group, v.Version}
}

// String names the object as a person would.
func (t target) String() string { return describe(t.Kind, t.namespace(), t.Name) }

// namespace is empty for a kind that is cluster-wide.
func (t target) namespace() string {
	if !t.kind.namespaced {
		return ""
	}
	return t.Namespace
}

// get reads an object.
func (s server) get(ctx context.Context, t target) (map[string]any, error) {
	return kube.Get(ctx, s.rest, t.url()...)
}

// getSince reads an object as it is at a resource version or later, as JSON. The API
// server has that in memory, and does not ask etcd as it does for the latest one.
// https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions
func (s server) getSince(ctx context.Context, t target, version string) ([]byte, error) {
	ctx = kube.AtMost(ctx, kube.ObjectBytes)
	answer, err := kube.Body(s.rest.Get().AbsPath(t.url()...).MaxRetries(0).Param("resourceVersion", version).Do(ctx))
	if apierrors.HasStatusCause(err, metav1.CauseTypeResourceVersionTooLarge) { // its memory is behind
		return kube.Body(s.rest.Get().AbsPath(t.url()...).MaxRetries(0).Do(ctx))
	}
	return answer, err
}

// apply applies an object, and returns it as it is then. created reports whether
// it was not there before.
func (s server) apply(ctx context.Context, t target, dryRun, force bool) (answer []byte, created bool, err error) {
	request := s.rest.Patch("application/apply-patch+yaml").AbsPath(t.url()...).MaxRetries(0).
		Param("fieldManager", FieldManager).
		Param("fieldValidation", "Strict").
		Param("force", strconv.FormatBool(force)).
		Body(t.JSON)
	if dryRun {
		request = request.Param("dryRun", "All")
	}
	var code int
	answer, err = kube.Body(request.Do(kube.AtMost(ctx, kube.ObjectBytes)).StatusCode(&code))
	return answer, code == http.StatusCreated, err
}

// resources are the kinds of a group and version.
func (s server) resources(ctx context.Context, v schema.GroupVersion) ([]apiResource, error) {
	answer, err := kube.Body(s.rest.Get().AbsPath(groupPath(v)...).MaxRetries(0).Do(kube.AtMost(ctx, kube.KindsBytes)))
	if err != nil {
		return nil, err
	}
	var list struct {
		Kind      string        `json:"kind"`
		Resources []apiResource `json:"resources"`
	}
	if err := json.Unmarshal(answer, &list); err != nil || list.Kind != "APIResourceList" {
		return nil, kube.BadAnswer("it is not an APIResourceList")
	}
	return list.Resources, nil
}
