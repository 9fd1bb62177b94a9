package sets

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kubestep/kubestep/internal/contract"
)

// Owner is who else holds an object: another set, a tool, or a field manager. Its text is what adopt names.
type Owner string

// The annotations and labels by which tools mark what is theirs.
const (
	// https://helm.sh/docs/faq/changes_since_helm2/ and
	// https://github.com/helm/helm/blob/v3.19.0/pkg/action/validate.go
	annotationHelmName      = "meta.helm.sh/release-name"
	annotationHelmNamespace = "meta.helm.sh/release-namespace"
	labelManagedBy          = "app.kubernetes.io/managed-by"
	// https://argo-cd.readthedocs.io/en/stable/user-guide/resource_tracking/
	annotationArgo = "argocd.argoproj.io/tracking-id"
	labelArgo      = "argocd.argoproj.io/instance"
	// https://fluxcd.io/flux/faq/#how-do-i-resolve-webhook-does-not-support-dry-run-errors and
	// https://github.com/fluxcd/kustomize-controller: each object has the name of its Kustomization
	labelFluxName          = "kustomize.toolkit.fluxcd.io/name"
	labelFluxNamespace     = "kustomize.toolkit.fluxcd.io/namespace"
	labelFluxHelmName      = "helm.toolkit.fluxcd.io/name"
	labelFluxHelmNamespace = "helm.toolkit.fluxcd.io/namespace"
	labelInstance          = "app.kubernetes.io/instance"
	managedByHelm          = "Helm"
	unknownNamespace       = "default"
)

// annotationsOfOwners are what is kept of a member's annotations to name its owner.
func annotationsOfOwners() []string {
	return []string{annotationHelmName, annotationHelmNamespace, annotationArgo}
}

// labelsOfOwners are what is kept of its labels.
func labelsOfOwners() []string {
	return []string{LabelID, labelManagedBy, labelInstance, labelArgo, labelFluxName, labelFluxNamespace, labelFluxHelmName, labelFluxHelmNamespace}
}

// toolOf is the tool that an object belongs to, by its labels and annotations; empty for
// none. namespace is the object's.
func toolOf(labels, annotations map[string]string, namespace string) Owner {
	// Flux's helm-controller marks what Helm installs for it, too.
	for _, flux := range [][2]string{{labelFluxName, labelFluxNamespace}, {labelFluxHelmName, labelFluxHelmNamespace}} {
		if name := labels[flux[0]]; name != "" {
			return Owner("flux/" + cmp.Or(labels[flux[1]], namespace, unknownNamespace) + "/" + name)
		}
	}
	if application, _, _ := strings.Cut(annotations[annotationArgo], ":"); application != "" {
		return Owner("argocd/" + application)
	}
	if application := labels[labelArgo]; application != "" {
		return Owner("argocd/" + application)
	}
	if name := annotations[annotationHelmName]; name != "" {
		return Owner("helm/" + cmp.Or(annotations[annotationHelmNamespace], namespace, unknownNamespace) + "/" + name)
	}
	if labels[labelManagedBy] == managedByHelm {
		return Owner("helm/" + cmp.Or(namespace, unknownNamespace) + "/" + cmp.Or(labels[labelInstance], "unknown"))
	}
	return ""
}

// Owners are who else holds a live object that is to become a member of the set: another
// set, a tool or, if applying changes its content, the field managers that made it, unless
// the manager itself did. There are none if it is a member already.
func (s Set) Owners(live map[string]any, changed bool, manager string) []Owner {
	m, _ := live["metadata"].(map[string]any)
	labels, annotations, namespace := texts(m["labels"]), texts(m["annotations"]), fmt.Sprint(cmp.Or(m["namespace"], any("")))
	switch of := labels[LabelPartOf]; of {
	case s.ID():
		return nil
	case "":
		if id := labels[LabelID]; id != "" { // it stands for a set itself
			return []Owner{Owner(setPrefix + id)}
		}
	default:
		return []Owner{Owner(setPrefix + of)}
	}
	if tool := toolOf(labels, annotations, namespace); tool != "" {
		return []Owner{tool}
	}
	if !changed {
		return nil
	}
	return managers(m["managedFields"], manager)
}

const (
	setPrefix     = "set/"
	managerPrefix = "manager/"
)

// controlPlane are the managers that write into objects of others.
var controlPlane = []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler", "cloud-controller-manager"}

// managers are the field managers that own anything but metadata and status; none if the
// manager does.
func managers(managedFields any, manager string) []Owner {
	entries, _ := managedFields.([]any)
	var owners []Owner
	for _, e := range entries {
		entry, _ := e.(map[string]any)
		name, _ := entry["manager"].(string)
		fields, _ := entry["fieldsV1"].(map[string]any)
		switch owner := Owner(managerPrefix + name); {
		case name == manager:
			return nil
		case entry["subresource"] != nil, slices.Contains(controlPlane, name), slices.Contains(owners, owner):
		case slices.ContainsFunc(slices.Collect(maps.Keys(fields)), func(field string) bool { return field != "f:metadata" && field != "f:status" }):
			owners = append(owners, owner)
		}
	}
	return owners
}

func texts(value any) map[string]string {
	all := map[string]string{}
	fields, _ := value.(map[string]any)
	for key, text := range fields {
		all[key], _ = text.(string)
	}
	return all
}

// IsAdopted reports whether one of what adopt names is the owner.
func (o Owner) IsAdopted(adopt []string) bool {
	return slices.ContainsFunc(adopt, func(named string) bool {
		set, is := strings.CutPrefix(named, setPrefix)
		if namespace, name, hasName := strings.Cut(set, "/"); is && hasName {
			return o == Owner(setPrefix+Set{namespace, name}.ID())
		}
		return Owner(named) == o
	})
}

// IsSet reports whether the owner is another set, which is known by its id.
func (o Owner) IsSet() bool { return strings.HasPrefix(string(o), setPrefix) }

// String says who it is, and how adopt names it.
func (o Owner) String() string {
	if id, is := strings.CutPrefix(string(o), setPrefix); is {
		return fmt.Sprintf("another set (adopt: set/%s)", contract.OneLine(id))
	}
	kind, name, _ := strings.Cut(string(o), "/")
	if kind == "manager" {
		return fmt.Sprintf("field manager %s (adopt: %s)", contract.OneLine(name), contract.OneLine(string(o)))
	}
	return fmt.Sprintf("%s %s (adopt: %s)", toolNames[kind], contract.OneLine(name), contract.OneLine(string(o)))
}

// toolNames are what a sentence calls what tools make.
var toolNames = map[string]string{"argocd": "Argo CD application", "flux": "Flux object", "helm": "Helm release"}
