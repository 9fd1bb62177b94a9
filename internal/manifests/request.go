package manifests

import (
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/input"
)

const (
	// MaxInline bounds manifests in the execution input, in bytes of JSON: they are in
	// the document that passes between states, which is bounded at 256 KiB as a whole.
	MaxInline = 128 << 10
	// maxKey is the longest key in S3, and maxVersion the longest version id.
	maxKey     = 1024
	maxVersion = 1024
)

// Workflow reads a request. Its permissions depend on the manifests and on the
// kinds of the cluster, so there are no checks yet.
func Workflow(f *input.Fields) (request any, checks []contract.Check) {
	r := applymanifests.Request{Namespace: metav1.NamespaceDefault, Mode: applymanifests.ModePlan, FieldManager: FieldManager}
	r.Manifests = f.Raw("manifests")
	source, fromS3 := f.Object("source", `{"bucket":"manifests","key":"shop.yaml"}`)
	source.String("bucket", &r.Source.Bucket)
	source.String("key", &r.Source.Key)
	source.String("versionId", &r.Source.VersionID)
	f.String("namespace", &r.Namespace)
	f.String("mode", (*string)(&r.Mode))
	f.Bool("force", &r.Force)
	f.String("fieldManager", &r.FieldManager)
	wait, waits := f.Object("wait", `{"timeoutSeconds":300}`)
	wait.Int("timeoutSeconds", &r.Wait.TimeoutSeconds)
	r.Output = input.Destination(f, "output")

	switch {
	case r.Manifests == nil && !fromS3:
		f.Problem("manifests", "missing: expected YAML documents in manifests, or an object of S3 in source")
	case r.Manifests != nil && fromS3:
		f.Problem("source", "expected either manifests or source, not both")
	case len(r.Manifests) > MaxInline:
		f.Problem("manifests", "%d bytes: expected at most %d in the execution input. Put them into S3 and name them by source", len(r.Manifests), MaxInline)
	case r.Manifests != nil && r.Manifests[0] != '"' && r.Manifests[0] != '[':
		f.Problem("manifests", "expected a string of YAML documents or an array of objects")
	}
	if fromS3 {
		if r.Source.Bucket == "" {
			source.Problem("bucket", "missing: expected the name of an S3 bucket")
		} else {
			input.CheckBucket(source, "bucket", r.Source.Bucket)
		}
		if r.Source.Key == "" || len(r.Source.Key) > maxKey {
			source.Problem("key", "expected 1 to %d bytes, not %d", maxKey, len(r.Source.Key))
		}
		if len(r.Source.VersionID) > maxVersion {
			source.Problem("versionId", "expected at most %d bytes, not %d", maxVersion, len(r.Source.VersionID))
		}
	}
	if len(validation.IsDNS1123Label(r.Namespace)) > 0 {
		f.Problem("namespace", "%s is not a valid namespace", input.Quote(r.Namespace))
	}
	if r.Mode != applymanifests.ModePlan && r.Mode != applymanifests.ModeApply {
		f.Problem("mode", "%s: expected %q or %q", input.Quote(string(r.Mode)), applymanifests.ModePlan, applymanifests.ModeApply)
	}
	if !isFieldManager(r.FieldManager) {
		f.Problem("fieldManager", "%s: expected 1 to %d printable bytes", input.Quote(r.FieldManager), metav1validation.FieldManagerMaxLength)
	}
	switch {
	case waits && wait.Raw("timeoutSeconds") == nil:
		wait.Problem("timeoutSeconds", "missing: expected 1 to %d", applymanifests.MaxWaitSeconds)
	case waits && (r.Wait.TimeoutSeconds < 1 || r.Wait.TimeoutSeconds > applymanifests.MaxWaitSeconds):
		wait.Problem("timeoutSeconds", "%d: expected 1 to %d", r.Wait.TimeoutSeconds, applymanifests.MaxWaitSeconds)
	case waits && r.Mode == applymanifests.ModePlan:
		f.Problem("wait", "nothing is applied in mode %q, so there is nothing to wait for: expected mode %q", applymanifests.ModePlan, applymanifests.ModeApply)
	}
	return r, nil
}

// isFieldManager reports whether the API server takes the name of a field manager. It
// would take an empty one as well, and name it after the user agent.
func isFieldManager(name string) bool {
	return name != "" && utf8.ValidString(name) && len(metav1validation.ValidateFieldManager(name, nil)) == 0
}

// WholeWorkflow reads a request as Workflow does, and the manifests that are part of it as
// load-manifests will: for a caller that starts many executions with one request.
func WholeWorkflow(allowedKinds []string) func(*input.Fields) (request any, checks []contract.Check) {
	return func(f *input.Fields) (any, []contract.Check) {
		request, checks := Workflow(f)
		r, ok := request.(applymanifests.Request)
		if !ok || r.Manifests == nil || f.HasProblem("manifests") {
			return request, checks
		}
		if _, err := ReadInline(r.Manifests, Rules{Namespace: r.Namespace, AllowedKinds: allowedKinds}); err != nil {
			f.Problem("manifests", "%v", err)
		}
		return request, checks
	}
}

// Changes reports whether a request that Workflow read changes the cluster.
func Changes(request any) bool {
	r, ok := request.(applymanifests.Request)
	return ok && r.Mode != applymanifests.ModePlan
}
