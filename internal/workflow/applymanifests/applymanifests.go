// Package applymanifests is the workflow apply-manifests, which plans and applies manifests
// in a cluster: how its input is read. internal/manifests reads the manifests and applies.
package applymanifests

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
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
	// maxAdopted bounds the owners that objects may be taken from.
	maxAdopted = 20
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
			"applymanifests.Request.Manifests":      {"type": []string{"string", "array", "null"}},
			"applymanifests.Wait.TimeoutSeconds":    {"minimum": 1, "maximum": applymanifests.MaxWaitSeconds},
			"applymanifests.Request.Prune":          {"type": []string{"boolean", "object"}, "required": []string{}},
			"applymanifests.Request.Approve":        {"required": []string{}},
			"applymanifests.Approve.TimeoutSeconds": {"minimum": 60, "maximum": applymanifests.MaxApprovalSeconds},
			"applymanifests.Request.Effect":         {"pattern": effects.String()},
			"applymanifests.Prune.Max":              {"minimum": 1, "maximum": applymanifests.MaxPruned},
			"applymanifests.Request.Before":         {"maxItems": applymanifests.MaxGateJobs},
			"applymanifests.Request.After":          {"maxItems": applymanifests.MaxGateJobs},
			"applymanifests.Request.Jobs":           {"required": []string{}},
			"applymanifests.Jobs.TimeoutSeconds":    {"minimum": 1, "maximum": applymanifests.MaxWaitSeconds},
			"applymanifests.Jobs.StartSeconds":      {"minimum": 1, "maximum": applymanifests.MaxWaitSeconds},
		},
		// Its permissions depend on the manifests and on the kinds of the cluster, so there
		// are no checks yet.
		Reader: func(func(string) string) workflow.Read {
			return func(f *input.Fields) (any, []contract.Check) { return Read(f), nil }
		},
		Changes:         changes,
		Figures:         workflow.FiguresOf(figures),
		Effect:          workflow.EffectOf(func(o applymanifests.Output) string { return o.Plan.Digest }),
		FleetParameters: "EnableApply=true FleetWorkflows=pod-inventory,apply-manifests",
	}
}

// changes reports whether a request changes the cluster.
func changes(request any) bool {
	r, ok := request.(applymanifests.Request)
	return ok && r.Mode.Changes()
}

// figures are the objects by what applying does to them, and the clusters that were not as
// the manifests say.
func figures(o applymanifests.Output) map[string]int {
	drift := 0
	if o.Drift {
		drift = 1
	}
	pruned := o.Pruned
	if !o.Mode.Changes() {
		pruned = o.Plan.Pruned
	}
	return map[string]int{"created": o.Plan.Created, "configured": o.Plan.Configured, "unchanged": o.Plan.Unchanged, "applied": o.Applied, "pruned": pruned, "drift": drift}
}

// Read reads a request.
func Read(f *input.Fields) applymanifests.Request {
	r := applymanifests.Request{Namespace: "default", Mode: applymanifests.ModePlan, FieldManager: applymanifests.DefaultFieldManager}
	r.Manifests = f.Raw("manifests")
	source, fromS3 := f.Object("source", `{"bucket":"manifests","key":"shop.yaml"}`)
	source.String("bucket", &r.Source.Bucket)
	source.String("key", &r.Source.Key)
	source.String("versionId", &r.Source.VersionID)
	f.String("mode", (*string)(&r.Mode))
	if r.Mode == applymanifests.ModeSets {
		r.Namespace = contract.AllNamespaces
	}
	f.String("namespace", &r.Namespace)
	f.Bool("force", &r.Force)
	f.String("fieldManager", &r.FieldManager)
	wait, waits := f.Object("wait", `{"timeoutSeconds":300}`)
	wait.Int("timeoutSeconds", &r.Wait.TimeoutSeconds)
	r.Output = input.Destination(f, "output")
	f.String("set", &r.Set)
	prunes := readPrune(f, &r)
	f.Strings("adopt", &r.Adopt)
	readApprove(f, &r)
	f.String("effect", &r.Effect)

	known := slices.Contains(applymanifests.Modes(), r.Mode)
	switch {
	case known && !r.Mode.HasManifests() && (r.Manifests != nil || fromS3):
		f.Problem("mode", "%q works on what is in the cluster: expected neither manifests nor source", r.Mode)
	case known && !r.Mode.HasManifests():
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
	if all := r.Mode == applymanifests.ModeSets && r.Namespace == contract.AllNamespaces; !all && len(validation.IsDNS1123Label(r.Namespace)) > 0 {
		f.Problem("namespace", "%s is not a valid namespace", input.Quote(r.Namespace))
	}
	if !known {
		f.Problem("mode", "%s: expected %s", input.Quote(string(r.Mode)), oneOf(applymanifests.Modes()))
	}
	checkSet(f, r, prunes)
	switch {
	case f.Raw("effect") != nil && !effects.MatchString(r.Effect):
		f.Problem("effect", "%s is not the digest of a plan: expected plan.digest of the output, or its first %d characters", input.Quote(r.Effect), applymanifests.MinEffect)
	case r.Effect != "" && known && !r.Mode.Changes():
		f.Problem("effect", "nothing is applied in mode %q: expected mode %q", r.Mode, applymanifests.ModeApply)
	}
	if r.Mode == applymanifests.ModeDelete || r.Mode == applymanifests.ModePlanDelete {
		r.Prune.Enabled = true
	}
	if !isFieldManager(r.FieldManager) {
		f.Problem("fieldManager", "%s: expected 1 to %d printable bytes", input.Quote(r.FieldManager), maxFieldManager)
	}
	switch {
	case waits && wait.Raw("timeoutSeconds") == nil:
		wait.Problem("timeoutSeconds", "missing: expected 1 to %d", applymanifests.MaxWaitSeconds)
	case waits && (r.Wait.TimeoutSeconds < 1 || r.Wait.TimeoutSeconds > applymanifests.MaxWaitSeconds):
		wait.Problem("timeoutSeconds", "%d: expected 1 to %d", r.Wait.TimeoutSeconds, applymanifests.MaxWaitSeconds)
	case waits && !r.Mode.Changes():
		f.Problem("wait", "nothing is applied in mode %q, so there is nothing to wait for: expected mode %q", r.Mode, applymanifests.ModeApply)
	}
	readGates(f, &r, waits)
	return r
}

// readPrune reads prune, which is true, false or an object. It reports whether it is given.
func readPrune(f *input.Fields, r *applymanifests.Request) bool {
	r.Prune.Kinds, r.Adopt = []string{}, []string{}
	switch raw := f.Raw("prune"); {
	case raw == nil:
		return false
	case raw[0] != '{':
		f.Bool("prune", &r.Prune.Enabled)
	default:
		prune, _ := f.Object("prune", `{"max":20}`)
		r.Prune.Enabled = true
		prune.Bool("enabled", &r.Prune.Enabled)
		prune.Int("max", &r.Prune.Max)
		prune.Strings("kinds", &r.Prune.Kinds)
		if prune.Raw("max") != nil && (r.Prune.Max < 1 || r.Prune.Max > applymanifests.MaxPruned) {
			prune.Problem("max", "%d: expected 1 to %d", r.Prune.Max, applymanifests.MaxPruned)
		}
		for _, kind := range r.Prune.Kinds {
			if !slices.Contains(applymanifests.ProtectedKinds(), kind) {
				prune.Problem("kinds", "%s: expected %s. Objects of other kinds are pruned without it", input.Quote(kind), oneOf(applymanifests.ProtectedKinds()))
			}
		}
	}
	return true
}

const (
	// approvalSeconds is how long to wait for an approval if the input does not say, and
	// minApprovalSeconds how long at least.
	approvalSeconds    = 24 * 3600
	minApprovalSeconds = 60
)

func readApprove(f *input.Fields, r *applymanifests.Request) {
	approve, asks := f.Object("approve", `{"topicArn":"arn:aws:sns:eu-west-1:111122223333:changes","timeoutSeconds":86400}`)
	if !asks {
		return
	}
	r.Approve.TimeoutSeconds = approvalSeconds
	approve.String("topicArn", &r.Approve.TopicARN)
	approve.Int("timeoutSeconds", &r.Approve.TimeoutSeconds)
	input.CheckTopic(approve, "topicArn", r.Approve.TopicARN)
	if r.Approve.TimeoutSeconds < minApprovalSeconds || r.Approve.TimeoutSeconds > applymanifests.MaxApprovalSeconds {
		approve.Problem("timeoutSeconds", "%d: expected %d to %d", r.Approve.TimeoutSeconds, minApprovalSeconds, applymanifests.MaxApprovalSeconds)
	}
	if slices.Contains(applymanifests.Modes(), r.Mode) && !r.Mode.Changes() {
		f.Problem("approve", "nothing is applied in mode %q, so there is nothing to approve", r.Mode)
	}
}

// effects match the digest of a plan, and the beginning of one.
var effects = regexp.MustCompile(fmt.Sprintf("^[A-Za-z0-9_-]{%d,%d}$", applymanifests.MinEffect, applymanifests.MaxEffect))

// checkSet finds the problems of what is asked about a set.
func checkSet(f *input.Fields, r applymanifests.Request, prunes bool) {
	if len(r.Adopt) > maxAdopted {
		f.Problem("adopt", "%d owners: expected at most %d", len(r.Adopt), maxAdopted)
	}
	for _, owner := range r.Adopt {
		if !isOwner(owner) {
			f.Problem("adopt", `%s: expected an owner such as "set/NAMESPACE/NAME", "helm/NAMESPACE/RELEASE", "argocd/APPLICATION", "flux/NAMESPACE/NAME" or "manager/FIELD_MANAGER"`, input.Quote(owner))
		}
	}
	deletes := r.Mode == applymanifests.ModeDelete || r.Mode == applymanifests.ModePlanDelete
	switch {
	case r.Mode == applymanifests.ModeSets && (r.Set != "" || prunes || len(r.Adopt) > 0):
		f.Problem("mode", "%q lists all sets: expected neither set, prune nor adopt", r.Mode)
	case r.Set == "" && deletes:
		f.Problem("set", "missing: expected the name of the set to delete (--set)")
	case r.Set == "" && r.Prune.Enabled:
		f.Problem("set", "missing: only members of a set are pruned (--set)")
	case r.Set == "" && len(r.Adopt) > 0:
		f.Problem("set", "missing: objects are adopted into a set (--set)")
	case deletes && prunes && !r.Prune.Enabled:
		f.Problem("prune", "expected true in mode %q, or nothing: it deletes all members of the set", r.Mode)
	case deletes && len(r.Adopt) > 0:
		f.Problem("adopt", "nothing is applied in mode %q, so nothing is adopted", r.Mode)
	}
	if r.Set != "" && len(validation.IsDNS1123Subdomain(r.Set)) > 0 {
		f.Problem("set", "%s is not a valid name of a ConfigMap, which stands for the set", input.Quote(r.Set))
	}
}

// owners match what adopt may name.
var owners = regexp.MustCompile(`^(set/[^/\s]+(/[^/\s]+)?|helm/[^/\s]+/[^/\s]+|flux/[^/\s]+/[^/\s]+|argocd/\S+|manager/.+)$`)

func isOwner(text string) bool {
	return len(text) <= maxOwner && !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) && owners.MatchString(text)
}

// maxOwner is the longest owner, in bytes.
const maxOwner = 600

// oneOf says which words are expected.
func oneOf[T ~string](words []T) string {
	texts := make([]string, len(words))
	for i, word := range words {
		texts[i] = strconv.Quote(string(word))
	}
	return strings.Join(texts[:len(texts)-1], ", ") + " or " + texts[len(texts)-1]
}

// isFieldManager reports whether the API server takes the name of a field manager. It
// would take an empty one as well, and name it after the user agent.
func isFieldManager(name string) bool {
	unprintable := func(r rune) bool { return !unicode.IsPrint(r) }
	return name != "" && len(name) <= maxFieldManager && utf8.ValidString(name) && !strings.ContainsFunc(name, unprintable)
}
