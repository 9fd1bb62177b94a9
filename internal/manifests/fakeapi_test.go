package manifests_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	smithy "github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/kube/kubetest"
	"github.com/kubestep/kubestep/internal/manifests"
)

// fakeAPI is the part of an API server that these tests need: discovery, get, access reviews, and a server-side apply that
// replaces the object. The scenarios in test/ run the real API server.
type fakeAPI struct {
	cluster contract.Cluster

	mu      sync.Mutex // guards the fields below
	objects map[string]map[string]any
	// applied are the paths of the patches that were not dry runs, in order.
	applied []string
	// patches and gets count requests.
	patches, gets int
	// denied are the checks that a review denies, such as "patch configmaps shop/".
	denied map[string]bool
	// refuse may answer a patch of that path, or with "GET " before it a get, instead of
	// the server; then it returns true.
	refuse map[string]func(w http.ResponseWriter, r *http.Request) bool
	// reviewed are the checks that were reviewed, in order.
	reviewed []string
	// before may do something before a request is served, or answer it; then it returns true.
	before func(w http.ResponseWriter, r *http.Request) bool
}

var discovery = map[string]string{
	"/api/v1":                            `{"kind":"APIResourceList","resources":[{"name":"configmaps","kind":"ConfigMap","namespaced":true},{"name":"secrets","kind":"Secret","namespaced":true},{"name":"pods","kind":"Pod","namespaced":true},{"name":"persistentvolumeclaims","kind":"PersistentVolumeClaim","namespaced":true},{"name":"serviceaccounts","kind":"ServiceAccount","namespaced":true},{"name":"resourcequotas","kind":"ResourceQuota","namespaced":true},{"name":"componentstatuses","kind":"ComponentStatus","verbs":["get","list"]},{"name":"bindings","kind":"Binding","namespaced":true,"verbs":["create"]},{"name":"limitranges","kind":"LimitRange","namespaced":true},{"name":"namespaces","kind":"Namespace"},{"name":"namespaces/status","kind":"Namespace"}]}`,
	"/apis/apps/v1":                      `{"kind":"APIResourceList","resources":[{"name":"deployments","kind":"Deployment","namespaced":true}]}`,
	"/apis/batch/v1":                     `{"kind":"APIResourceList","resources":[{"name":"jobs","kind":"Job","namespaced":true},{"name":"cronjobs","kind":"CronJob","namespaced":true}]}`,
	"/apis/scheduling.k8s.io/v1":         `{"kind":"APIResourceList","resources":[{"name":"priorityclasses","kind":"PriorityClass"}]}`,
	"/apis/node.k8s.io/v1":               `{"kind":"APIResourceList","resources":[{"name":"runtimeclasses","kind":"RuntimeClass"}]}`,
	"/apis/rbac.authorization.k8s.io/v1": `{"kind":"APIResourceList","resources":[{"name":"roles","kind":"Role","namespaced":true},{"name":"rolebindings","kind":"RoleBinding","namespaced":true},{"name":"clusterroles","kind":"ClusterRole"},{"name":"clusterrolebindings","kind":"ClusterRoleBinding"}]}`,
	"/apis/apiextensions.k8s.io/v1":      `{"kind":"APIResourceList","resources":[{"name":"customresourcedefinitions","kind":"CustomResourceDefinition"}]}`,
}

func newFakeAPI(t *testing.T) *fakeAPI {
	f := &fakeAPI{objects: map[string]map[string]any{}, denied: map[string]bool{}, refuse: map[string]func(http.ResponseWriter, *http.Request) bool{}}
	f.cluster = kubetest.Serve(t, f.serve)
	return f
}

func (f *fakeAPI) serve(w http.ResponseWriter, r *http.Request) {
	if f.before != nil && f.before(w, r) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if list, ok := discovery[r.URL.Path]; ok {
		_, _ = io.WriteString(w, list)
		return
	}
	switch {
	case strings.HasSuffix(r.URL.Path, "/selfsubjectaccessreviews"):
		f.review(w, r)
	case strings.HasSuffix(r.URL.Path, "/selfsubjectreviews"):
		_, _ = io.WriteString(w, `{"status":{"userInfo":{"username":"kubestep","groups":["system:authenticated"]}}}`)
	case r.Method == http.MethodPatch:
		f.patches++
		if refuse := f.refuse[r.URL.Path]; refuse == nil || !refuse(w, r) {
			f.patch(w, r)
		}
	default:
		f.gets++
		// /api/v1/namespaces/NAMESPACE/RESOURCE/NAME
		if at := strings.Split(r.URL.Path, "/"); len(at) == 7 && f.denied[fmt.Sprintf("get %s %s/%s", at[5], at[4], at[6])] {
			kubetest.Refuse(w, http.StatusForbidden, metav1.StatusReasonForbidden, "forbidden")
			return
		}
		if refuse := f.refuse["GET "+r.URL.Path]; refuse != nil && refuse(w, r) {
			return
		}
		if object, ok := f.objects[r.URL.Path]; ok {
			if strings.Contains(r.Header.Get("Accept"), "as=PartialObjectMetadata") {
				object = map[string]any{"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": object["metadata"]}
			}
			_ = json.NewEncoder(w).Encode(object)
			return
		}
		kubetest.Refuse(w, http.StatusNotFound, metav1.StatusReasonNotFound, "not found")
	}
}

func (f *fakeAPI) review(w http.ResponseWriter, r *http.Request) {
	var review map[string]any
	_ = json.NewDecoder(r.Body).Decode(&review)
	a := review["spec"].(map[string]any)["resourceAttributes"].(map[string]any)
	text := func(key string) string { s, _ := a[key].(string); return s }
	check := fmt.Sprintf("%s %s %s/%s", text("verb"), text("resource"), text("namespace"), text("name"))
	f.reviewed = append(f.reviewed, check)
	review["status"] = map[string]any{"allowed": !f.denied[check]}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(w).Encode(review)
}

func (f *fakeAPI) patch(w http.ResponseWriter, r *http.Request) {
	var object map[string]any
	body, _ := io.ReadAll(r.Body)
	_ = json.Unmarshal(body, &object)
	fields := slices.Sorted(maps.Keys(object))
	metadata := object["metadata"].(map[string]any)
	metadata["resourceVersion"] = "7"
	metadata["managedFields"] = []any{map[string]any{"manager": r.URL.Query().Get("fieldManager"), "operation": "Apply", "fieldsV1": map[string]any{"fields": fmt.Sprint(fields)}}}
	_, exists := f.objects[r.URL.Path]
	if r.URL.Query().Get("dryRun") == "" {
		f.objects[r.URL.Path] = object
		f.applied = append(f.applied, r.URL.Path)
	}
	if !exists {
		w.WriteHeader(http.StatusCreated)
	}
	_ = json.NewEncoder(w).Encode(object)
}

// conflict answers as the API server does if another manager owns a field.
func conflict(w http.ResponseWriter, r *http.Request) bool {
	if r.URL.Query().Get("force") == "true" {
		return false
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusConflict)
	_ = json.NewEncoder(w).Encode(metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure, Code: http.StatusConflict, Reason: metav1.StatusReasonConflict,
		Message: "Apply failed with 1 conflict",
		Details: &metav1.StatusDetails{Causes: []metav1.StatusCause{{Type: metav1.CauseTypeFieldManagerConflict, Message: `conflict with "kubectl-edit" using v1`, Field: ".data.a"}}},
	})
	return true
}

// says answers with a status and a text.
func says(code int32, reason metav1.StatusReason, message string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		kubetest.Refuse(w, code, reason, message)
		return true
	}
}

// bucket is an S3 with one bucket: its objects by key, and versions by key@version.
type bucket map[string]string

func (b bucket) GetObject(_ context.Context, in *s3.GetObjectInput, _ ...func(*s3.Options)) (*s3.GetObjectOutput, error) {
	key := *in.Key
	if in.VersionId != nil {
		key += "@" + *in.VersionId
	}
	text, ok := b[key]
	if !ok {
		return nil, &smithy.GenericAPIError{Code: "NoSuchKey"}
	}
	out := &s3.GetObjectOutput{Body: io.NopCloser(strings.NewReader(text)), VersionId: in.VersionId}
	if _, versioned := b[key+"@1"]; versioned {
		out.VersionId = aws.String("1") // the current one
	}
	return out, nil
}

func (b bucket) PutObject(_ context.Context, in *s3.PutObjectInput, _ ...func(*s3.Options)) (*s3.PutObjectOutput, error) {
	text, err := io.ReadAll(in.Body)
	b[*in.Key] = string(text)
	return &s3.PutObjectOutput{}, err
}

// tester is one execution against the fakes.
type tester struct {
	*fakeAPI
	files   bucket
	applier manifests.Applier
	session applymanifests.Session
}

// execution begins an execution with manifests in S3.
func execution(t *testing.T, text string, changes ...func(*applymanifests.Request)) *tester {
	t.Helper()
	f := &tester{fakeAPI: newFakeAPI(t), files: bucket{"m.yaml": text}}
	f.applier = manifests.Applier{Source: manifests.Source{S3: f.files, AllowedKinds: []string{"Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"}}, Kube: kubetest.Connector}
	f.session.Session = kubetest.Session(f.cluster)
	f.session.Token.Group = "kubestep-appliers"
	f.session.Request = applymanifests.Request{Source: applymanifests.Source{Bucket: "b", Key: "m.yaml"}, Namespace: "shop", Mode: applymanifests.ModeApply}
	for _, change := range changes {
		change(&f.session.Request)
	}
	loaded, err := f.applier.Source.Load(t.Context(), applymanifests.LoadManifests{Request: f.session.Request})
	require.NoError(t, err)
	f.session.Manifests = loaded
	return f
}

func (f *tester) plan(ctx context.Context) (applymanifests.Plan, error) {
	return f.applier.Plan(ctx, applymanifests.PlanManifests{Session: f.session})
}

func (f *tester) apply(t *testing.T) (applymanifests.Plan, applymanifests.Applied, error) {
	t.Helper()
	plan, err := f.plan(t.Context())
	require.NoError(t, err)
	applied, err := f.applier.Apply(t.Context(), applymanifests.ApplyManifests{Session: f.session, Plan: plan})
	return plan, applied, err
}

// within is the context of a function with that time.
func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
