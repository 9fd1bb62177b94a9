package manifests

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/kubestep/kubestep/internal/kube"
)

// prerequisite is what an object needs that the API server refuses it for want of.
type prerequisite struct {
	group, kind, namespace string
	// name is empty for any of the kind in the namespace.
	name string
	// isThere is set if it may be there already, and then another one would be needed:
	// a quota of more, or a namespace of other labels.
	isThere bool
}

// is reports whether a target is what is needed.
func (p prerequisite) is(t target) bool {
	return t.Group == p.group && t.Kind == p.kind && t.namespace() == p.namespace && (p.name == "" || t.Name == p.name)
}

// The texts of admission plug-ins that look at other objects.
// https://github.com/kubernetes/kubernetes/tree/v1.37.2/plugin/pkg/admission
// https://github.com/kubernetes/kubernetes/tree/v1.37.2/staging/src/k8s.io/apiserver/pkg/admission/plugin/resourcequota
// https://github.com/kubernetes/kubernetes/tree/v1.37.2/pkg/registry/admissionregistration
var (
	noServiceAccount = regexp.MustCompile(`error looking up service account [^/ ]*/([^: ]+): `)
	noPriorityClass  = regexp.MustCompile(`no PriorityClass with name (\S+) was found`)
	noRuntimeClass   = regexp.MustCompile(`RuntimeClass "([^"]+)" not found`)
	noPolicy         = regexp.MustCompile(`unable to get policy (\S+) to determine`)
	ofQuota          = regexp.MustCompile(`(?:exceeded quota|failed quota|status unknown for quota): ([^,: ]+)[,:]`)
	ofAnyQuota       = regexp.MustCompile(`insufficient quota to (?:consume|match)`)
	ofLimits         = regexp.MustCompile(`(?:minimum|maximum) \S+ usage per \S+ is|max limit to request ratio per \S+ is|failed quota: [^:]*: must specify`)
	ofNamespace      = regexp.MustCompile(`violates PodSecurity|its namespace node label selector|its namespace whitelist|admin access to devices requires the`)
	ofStorageClass   = regexp.MustCompile(`the storageclass that provisions the pvc must support resize`)
)

// prerequisites are what could make an API server accept an object that it refuses.
func (t target) prerequisites(err error) []prerequisite {
	status := statusOf(err)
	message, namespace := status.Message, t.namespace()
	find := func(pattern *regexp.Regexp) (string, bool) {
		m := pattern.FindStringSubmatch(message)
		if m == nil {
			return "", false
		}
		return m[len(m)-1], true
	}
	var all []prerequisite
	switch status.Code {
	case http.StatusNotFound:
		if missingNamespace(err) {
			return []prerequisite{{kind: "Namespace", name: t.Namespace}}
		}
		if role, is := t.roleRef(); is {
			return []prerequisite{{group: groupRBAC, kind: role.Kind, namespace: role.Namespace, name: role.Name}}
		}
	case http.StatusForbidden, http.StatusUnprocessableEntity:
		if name, is := find(noServiceAccount); is {
			all = append(all, prerequisite{kind: "ServiceAccount", namespace: namespace, name: name})
		}
		if name, is := find(noPriorityClass); is {
			all = append(all, prerequisite{group: "scheduling.k8s.io", kind: "PriorityClass", name: name})
		}
		if name, is := find(noRuntimeClass); is {
			all = append(all, prerequisite{group: "node.k8s.io", kind: "RuntimeClass", name: name})
		}
		if name, is := find(noPolicy); is {
			all = append(all, prerequisite{group: groupAdmission, kind: strings.TrimSuffix(t.Kind, "Binding"), name: name})
		}
		if name, is := find(ofQuota); is {
			all = append(all, prerequisite{kind: "ResourceQuota", namespace: namespace, name: name, isThere: true})
		}
		if ofAnyQuota.MatchString(message) {
			all = append(all, prerequisite{kind: "ResourceQuota", namespace: namespace, isThere: true})
		}
		if ofLimits.MatchString(message) {
			all = append(all, prerequisite{kind: "LimitRange", namespace: namespace, isThere: true})
		}
		if ofNamespace.MatchString(message) {
			all = append(all, prerequisite{kind: "Namespace", name: namespace, isThere: true})
		}
		if ofStorageClass.MatchString(message) {
			all = append(all, prerequisite{group: "storage.k8s.io", kind: "StorageClass", name: t.storageClass(), isThere: true})
		}
		if role, is := t.roleRef(); is && escalates(message) {
			all = append(all, prerequisite{group: groupRBAC, kind: role.Kind, namespace: role.Namespace, name: role.Name, isThere: true})
		}
	}
	return all
}

// storageClass is the one that a claim names.
func (t target) storageClass() string {
	var claim struct {
		Spec struct {
			StorageClassName string `json:"storageClassName"`
		} `json:"spec"`
	}
	_ = json.Unmarshal(t.JSON, &claim) // else there is none
	return claim.Spec.StorageClassName
}

// unmet says why a dry run that was refused does not count: what the object needs is
// among the manifests, and is applied before it. It is empty if the refusal stands.
func (s *session) unmet(ctx context.Context, t target, err error) string {
	for _, need := range t.prerequisites(err) {
		for _, other := range s.targets {
			switch {
			case !need.is(other) || other.stage() >= t.stage():
			case !need.isThere:
				return "its " + noun(other) + " is among the manifests"
			case s.differs(ctx, other):
				return "its " + noun(other) + " changes with the manifests, and before that the cluster refuses it"
			}
		}
	}
	return ""
}

// noun is what a sentence calls an object's kind.
func noun(t target) string {
	switch t.Kind {
	case "Namespace", "Role":
		return strings.ToLower(t.Kind)
	default:
		return t.Kind
	}
}

// differs reports whether applying the target would change it. If that is not known, it
// would not.
func (s *session) differs(ctx context.Context, t target) bool {
	a, err := s.apply(ctx, t, s.manager(), true, true)
	if err != nil || a.created {
		return err == nil
	}
	before, err := s.getSince(ctx, t, resourceVersion(a.object))
	if err != nil || bytes.Equal(before, a.object) {
		return apierrors.IsNotFound(err)
	}
	live, err := kube.Object(before)
	if err != nil {
		return false
	}
	next, err := kube.Object(a.object)
	return err == nil && len(compare(live, next, t.kind.hasStatus, true)) > 0
}

// settles reports whether a refusal of what is being applied may pass by itself: an API
// server, and controllers, see what was applied a moment before only after a while.
func (a *applier) settles(t target, err error) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, need := range t.prerequisites(err) {
		for _, other := range a.targets {
			if need.is(other) && isApplied(a.marks[other.index]) {
				return true
			}
		}
	}
	status := statusOf(err)
	if !t.kind.defined || !isNotTyped(status) && status.Code != http.StatusBadRequest && status.Code != http.StatusUnprocessableEntity {
		return false
	}
	// The schema of a CRD that changed is in use a moment later.
	for _, other := range a.targets {
		if _, defines := defined(other.Object)[t.GroupVersionKind]; defines && isApplied(a.marks[other.index]) {
			return true
		}
	}
	return false
}
