package objects

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

// Client reads and changes the objects of one cluster.
type Client struct {
	Conn *kube.Conn
	// Manager is the name that owns the fields that are applied.
	// https://kubernetes.io/docs/reference/using-api/server-side-apply/#managers
	Manager string
	// Force takes the fields that other managers own.
	Force bool
}

// Target is an object, and where it is in the API. Its Namespace is empty for a kind that
// is cluster-wide.
type Target struct {
	Object
	Resource
	// Index is the object's place among those that were looked for.
	Index int
}

// Path is the path of the object in the API.
func (t Target) Path() []string { return append(t.PathIn(t.Namespace), t.Name) }

// PathIn is the path of all objects of its kind in a namespace or, if that is empty or the
// kind is cluster-wide, of all there are.
func (t Target) PathIn(namespace string) []string {
	path := groupPath(t.GroupVersion())
	if t.Namespaced && namespace != "" && namespace != contract.AllNamespaces {
		path = append(path, "namespaces", namespace)
	}
	return append(path, t.Plural)
}

// Check is the permission for a verb on the object or, without the name, on all like it.
func (t Target) Check(verb, name string) contract.Check {
	return contract.Check{Verb: verb, Group: t.Group, Resource: t.Plural, Namespace: t.Namespace, Name: name}
}

func groupPath(v schema.GroupVersion) []string {
	if v.Group == "" {
		return []string{"/api", v.Version}
	}
	return []string{"/apis", v.Group, v.Version}
}

// String names the object as a person would.
func (t Target) String() string { return Describe(t.Kind, t.Namespace, t.Name) }

// Get reads an object.
func (c Client) Get(ctx context.Context, t Target) (map[string]any, error) {
	return kube.Get(ctx, c.Conn, t.Kind, t.Path()...)
}

// Exists asks for an object, however large, and returns the error of Get if it is not there.
func (c Client) Exists(ctx context.Context, t Target) error {
	return kube.Exists(ctx, c.Conn, t.Path()...)
}

// Before reads an object as it is at the resource version that a dry run was made of, or
// later, as JSON. The API server has that in memory, and does not ask etcd as it does for
// the latest one.
// https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions
func (c Client) Before(ctx context.Context, dryRun Answer) ([]byte, error) {
	ctx = kube.AtMost(ctx, kube.ObjectBytes)
	path, version := dryRun.Sent.Path(), resourceVersion(dryRun.Object)
	answer, err := kube.Body(c.Conn.Get().AbsPath(path...).MaxRetries(0).Param("resourceVersion", version).Do(ctx))
	if apierrors.HasStatusCause(err, metav1.CauseTypeResourceVersionTooLarge) { // its memory is behind
		answer, err = kube.Body(c.Conn.Get().AbsPath(path...).MaxRetries(0).Do(ctx))
	}
	if err == nil {
		err = kube.IsObject(answer, dryRun.Sent.Kind, dryRun.Sent.Name)
	}
	return answer, err
}

// Answer is what the API server says to an apply.
type Answer struct {
	Sent Target
	// Object is the object as it is then, as JSON.
	Object []byte
	// Created is set if it was not there before.
	Created bool
	// Conflicts are the fields that were taken from their owners or, in a dry run
	// without force, would have to be.
	Conflicts []Conflict

	warnings []string
}

// resourceVersion reads metadata.resourceVersion of an object in JSON: in the answer of a dry run, the one
// that would be changed.
func resourceVersion(object []byte) string {
	var of struct {
		Metadata struct {
			ResourceVersion string `json:"resourceVersion"`
		} `json:"metadata"`
	}
	_ = json.Unmarshal(object, &of) // without it, the latest is read
	return of.Metadata.ResourceVersion
}

// maxWarnings and maxWarning bound what is passed on of the warnings about an object: how
// many, and the bytes of each.
const (
	maxWarnings = 5
	maxWarning  = 300
)

// Warnings are what the API server warns of, without the values of a Secret.
func (a Answer) Warnings() []string {
	var texts []string
	for _, text := range a.warnings {
		if text = contract.Clip(a.Sent.toldOf(text), maxWarning); !slices.Contains(texts, text) {
			texts = append(texts, text)
		}
	}
	return contract.Few(texts, maxWarnings)
}

// apply applies an object.
func (c Client) apply(ctx context.Context, t Target, dryRun, force bool) (Answer, error) {
	request := c.Conn.Patch("application/apply-patch+yaml").AbsPath(t.Path()...).MaxRetries(0).
		Param("fieldManager", c.Manager).
		Param("fieldValidation", "Strict").
		Param("force", strconv.FormatBool(force)).
		Body(t.JSON)
	return send(ctx, request, t, dryRun)
}

// patch applies a JSON patch to an object that is there.
func (c Client) patch(ctx context.Context, t Target, patch []byte, dryRun bool) (Answer, error) {
	request := c.Conn.Patch(types.JSONPatchType).AbsPath(t.Path()...).MaxRetries(0).Param("fieldManager", c.Manager).Body(patch)
	return send(ctx, request, t, dryRun)
}

func send(ctx context.Context, request *rest.Request, t Target, dryRun bool) (Answer, error) {
	if dryRun {
		request = request.Param("dryRun", "All")
	}
	var code int
	result := request.Do(kube.AtMost(ctx, kube.ObjectBytes)).StatusCode(&code)
	object, err := kube.Body(result)
	if err == nil {
		err = kube.IsObject(object, t.Kind, t.Name)
	}
	a := Answer{Sent: t, Object: object, Created: code == http.StatusCreated}
	for _, warning := range result.Warnings() {
		a.warnings = append(a.warnings, warning.Text)
	}
	return a, err
}
