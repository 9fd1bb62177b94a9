package manifests

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/kubestep/kubestep/internal/contract"
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

// answer is what the API server says to an apply.
type answer struct {
	sent     target
	object   []byte // as it is then, as JSON
	created  bool   // it was not there before
	warnings []string
	// conflicts are the fields that were taken from their owners or, in a dry run
	// without force, would have to be.
	conflicts []conflict
}

// maxWarnings and maxWarning bound what is passed on of the warnings about an object: how
// many, and the bytes of each.
const (
	maxWarnings = 5
	maxWarning  = 300
)

// warningTexts are the warnings, without the values of a Secret.
func (a answer) warningTexts() []string {
	var texts []string
	for _, text := range a.warnings {
		if text = contract.Clip(a.sent.toldOf(text), maxWarning); !slices.Contains(texts, text) {
			texts = append(texts, text)
		}
	}
	return few(texts, maxWarnings)
}

// apply applies an object.
func (s server) apply(ctx context.Context, t target, manager string, dryRun, force bool) (answer, error) {
	request := s.rest.Patch("application/apply-patch+yaml").AbsPath(t.url()...).MaxRetries(0).
		Param("fieldManager", manager).
		Param("fieldValidation", "Strict").
		Param("force", strconv.FormatBool(force)).
		Body(t.JSON)
	return send(ctx, request, t, dryRun)
}

// patch applies a JSON patch to an object that is there.
func (s server) patch(ctx context.Context, t target, manager string, patch []byte, dryRun bool) (answer, error) {
	request := s.rest.Patch(types.JSONPatchType).AbsPath(t.url()...).MaxRetries(0).Param("fieldManager", manager).Body(patch)
	return send(ctx, request, t, dryRun)
}

func send(ctx context.Context, request *rest.Request, t target, dryRun bool) (answer, error) {
	if dryRun {
		request = request.Param("dryRun", "All")
	}
	var code int
	result := request.Do(kube.AtMost(ctx, kube.ObjectBytes)).StatusCode(&code)
	object, err := kube.Body(result)
	a := answer{sent: t, object: object, created: code == http.StatusCreated}
	for _, warning := range result.Warnings() {
		a.warnings = append(a.warnings, warning.Text)
	}
	return a, err
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

// versions are those of a group that are served, the preferred one first.
func (s server) versions(ctx context.Context, group string) ([]string, error) {
	answer, err := kube.Body(s.rest.Get().AbsPath("/apis", group).MaxRetries(0).Do(kube.AtMost(ctx, kube.KindsBytes)))
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var of struct {
		Kind     string `json:"kind"`
		Versions []struct {
			Version string `json:"version"`
		} `json:"versions"`
	}
	if err := json.Unmarshal(answer, &of); err != nil || of.Kind != "APIGroup" {
		return nil, kube.BadAnswer("it is not an APIGroup")
	}
	var versions []string
	for _, v := range of.Versions {
		versions = append(versions, v.Version)
	}
	return versions, nil
}
