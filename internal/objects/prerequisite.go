package objects

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
)

// Prerequisite is what an object needs that the API server refuses it for want of.
type Prerequisite struct {
	group, kind, namespace string
	// name is empty for any of the kind in the namespace.
	name string
	// IsThere is set if it may be there already, and then another one would be needed:
	// a quota of more, or a namespace of other labels.
	IsThere bool
}

// Is reports whether a target is what is needed.
func (p Prerequisite) Is(t Target) bool {
	return t.Group == p.group && t.Kind == p.kind && t.Namespace == p.namespace && (p.name == "" || t.Name == p.name)
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

// Prerequisites are what could make an API server accept an object that it refuses.
func (t Target) Prerequisites(err error) []Prerequisite {
	status := statusOf(err)
	message, namespace := status.Message, t.Namespace
	find := func(pattern *regexp.Regexp) (string, bool) {
		m := pattern.FindStringSubmatch(message)
		if m == nil {
			return "", false
		}
		return m[len(m)-1], true
	}
	var all []Prerequisite
	switch status.Code {
	case http.StatusNotFound:
		if missingNamespace(err) {
			return []Prerequisite{{kind: "Namespace", name: t.Namespace}}
		}
		if role, is := t.roleRef(); is {
			return []Prerequisite{{group: GroupRBAC, kind: role.Kind, namespace: role.Namespace, name: role.Name}}
		}
	case http.StatusForbidden, http.StatusUnprocessableEntity:
		if name, is := find(noServiceAccount); is {
			all = append(all, Prerequisite{kind: "ServiceAccount", namespace: namespace, name: name})
		}
		if name, is := find(noPriorityClass); is {
			all = append(all, Prerequisite{group: "scheduling.k8s.io", kind: "PriorityClass", name: name})
		}
		if name, is := find(noRuntimeClass); is {
			all = append(all, Prerequisite{group: "node.k8s.io", kind: "RuntimeClass", name: name})
		}
		if name, is := find(noPolicy); is {
			all = append(all, Prerequisite{group: GroupAdmission, kind: strings.TrimSuffix(t.Kind, "Binding"), name: name})
		}
		if name, is := find(ofQuota); is {
			all = append(all, Prerequisite{kind: "ResourceQuota", namespace: namespace, name: name, IsThere: true})
		}
		if ofAnyQuota.MatchString(message) {
			all = append(all, Prerequisite{kind: "ResourceQuota", namespace: namespace, IsThere: true})
		}
		if ofLimits.MatchString(message) {
			all = append(all, Prerequisite{kind: "LimitRange", namespace: namespace, IsThere: true})
		}
		if ofNamespace.MatchString(message) {
			all = append(all, Prerequisite{kind: "Namespace", name: namespace, IsThere: true})
		}
		if ofStorageClass.MatchString(message) {
			all = append(all, Prerequisite{group: "storage.k8s.io", kind: "StorageClass", name: t.storageClass(), IsThere: true})
		}
		if role, is := t.roleRef(); is && escalates(message) {
			all = append(all, Prerequisite{group: GroupRBAC, kind: role.Kind, namespace: role.Namespace, name: role.Name, IsThere: true})
		}
	}
	return all
}

// storageClass is the one that a claim names.
func (t Target) storageClass() string {
	var claim struct {
		Spec struct {
			StorageClassName string `json:"storageClassName"`
		} `json:"spec"`
	}
	_ = json.Unmarshal(t.JSON, &claim) // else there is none
	return claim.Spec.StorageClassName
}
