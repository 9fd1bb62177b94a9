// Package applymanifests is the workflow apply-manifests, which plans and applies manifests
// in a cluster: how its input is read. internal/manifests reads the manifests and applies.
package applymanifests

import (
	"reflect"
	"strings"
	"unicode"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/input"
	"github.com/kubestep/kubestep/internal/workflow"
)

const (
	// maxKey is the longest key in S3, and maxVersion the longest version id.
	maxKey     = 1024
	maxVersion = 1024
	// https://github.com/kubernetes/kubernetes/blob/v1.37.2/staging/src/k8s.io/apimachinery/pkg/apis/meta/v1/validation/validation.go, FieldManagerMaxLength
	maxFieldManager = 128
)

// Workflow is the workflow.
func Workflow() workflow.Workflow {
	return workflow.Workflow{
		Name:    applymanifests.Name,
		Summary: "Apply manifests to a cluster",
		Page:    "apply.md",
		Request: reflect.TypeFor[applymanifests.Request](),
		Output:  reflect.TypeFor[applymanifests.Output](),
		Bounds: map[string]map[string]any{
			"applymanifests.Request.Manifests":   {"type": []string{"string", "array", "null"}},
			"applymanifests.Wait.TimeoutSeconds": {"minimum": 1, "maximum": applymanifests.MaxWaitSeconds},
		},
		// Its permissions depend on the manifests and on the kinds of the cluster, so there
		// are no checks yet.
		Reader: func(func(string) string) workflow.Read {
			return func(f *input.Fields) (any, []contract.Check) { return Read(f), nil }
		},
		Changes:         changes,
		Figures:         workflow.FiguresOf(figures),
		FleetParameters: "EnableApply=true FleetWorkflows=pod-inventory,apply-manifests",
	}
}

// changes reports whether a request changes the cluster.
func changes(request any) bool {
	r, ok := request.(applymanifests.Request)
	return ok && r.Mode != applymanifests.ModePlan
}

// figures are the objects by what applying does to them, and the clusters that were not as
// the manifests say.
func figures(o applymanifests.Output) map[string]int {
	drift := 0
	if o.Drift {
		drift = 1
	}
	return map[string]int{"created": o.Plan.Created, "configured": o.Plan.Configured, "unchanged": o.Plan.Unchanged, "applied": o.Applied, "drift": drift}
}

// Read reads a request.
func Read(f *input.Fields) applymanifests.Request {
	r := applymanifests.Request{Namespace: "default", Mode: applymanifests.ModePlan, FieldManager: applymanifests.DefaultFieldManager}
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
	case len(r.Manifests) > applymanifests.MaxInline:
		f.Problem("manifests", "%d bytes: expected at most %d in the execution input. Put them into S3 and name them by source (--source)", len(r.Manifests), applymanifests.MaxInline)
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
		f.Problem("fieldManager", "%s: expected 1 to %d printable bytes", input.Quote(r.FieldManager), maxFieldManager)
	}
	switch {
	case waits && wait.Raw("timeoutSeconds") == nil:
		wait.Problem("timeoutSeconds", "missing: expected 1 to %d", applymanifests.MaxWaitSeconds)
	case waits && (r.Wait.TimeoutSeconds < 1 || r.Wait.TimeoutSeconds > applymanifests.MaxWaitSeconds):
		wait.Problem("timeoutSeconds", "%d: expected 1 to %d", r.Wait.TimeoutSeconds, applymanifests.MaxWaitSeconds)
	case waits && r.Mode == applymanifests.ModePlan:
		f.Problem("wait", "nothing is applied in mode %q, so there is nothing to wait for: expected mode %q", applymanifests.ModePlan, applymanifests.ModeApply)
	}
	return r
}

// isFieldManager reports whether the API server takes the name of a field manager. It
// would take an empty one as well, and name it after the user agent.
func isFieldManager(name string) bool {
	unprintable := func(r rune) bool { return !unicode.IsPrint(r) }
	return name != "" && len(name) <= maxFieldManager && utf8.ValidString(name) && !strings.ContainsFunc(name, unprintable)
}
