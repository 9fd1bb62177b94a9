package manifests

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Object is one Kubernetes object of the manifests.
type Object struct {
	schema.GroupVersionKind
	// Namespace is the object's own or, if it names none, the default one. For a
	// cluster-wide kind it means nothing.
	Namespace string
	Name      string
	// JSON is the object as it is sent to the API server.
	JSON []byte

	place place
}

// place is where an object is in the manifests.
type place struct {
	document int // 1 for the first
	item     int // of a List, 1 for the first; 0 outside a List
}

func (p place) String() string {
	if p.item == 0 {
		return fmt.Sprintf("document %d", p.document)
	}
	return fmt.Sprintf("document %d, item %d", p.document, p.item)
}

// describe names an object of which any part may be missing.
func describe(kind, namespace, name string) string {
	text := kind
	if text == "" {
		text = "object"
	}
	switch {
	case name == "":
		return text
	case namespace == "":
		return text + " " + name
	default:
		return text + " " + namespace + "/" + name
	}
}

// FieldManager owns what is applied, unless the request names another one.
// https://kubernetes.io/docs/reference/using-api/server-side-apply/#managers
const FieldManager = "kubestep"

// The kinds that decide when other objects can be applied.
const (
	groupDefinitions = "apiextensions.k8s.io"
	groupAdmission   = "admissionregistration.k8s.io"
	groupRBAC        = "rbac.authorization.k8s.io"
)

// IsDefinition reports whether the object defines a kind.
func (o Object) IsDefinition() bool {
	return o.Group == groupDefinitions && o.Kind == "CustomResourceDefinition"
}

// IsNamespace reports whether the object is a namespace.
func (o Object) IsNamespace() bool { return o.Group == "" && o.Kind == "Namespace" }

// IsSecret reports whether the object's values must not be shown.
func (o Object) IsSecret() bool { return o.Group == "" && o.Kind == "Secret" }

// restricted reports whether a kind gives or takes permissions, so that whoever
// may apply it may do anything: roles and their bindings, and what admits requests.
func (o Object) restricted() bool { return o.Group == groupRBAC || o.Group == groupAdmission }

// stage orders the objects: those of a stage are applied at once, after those of
// the stages before it.
type stage int

const (
	definitions stage = iota // CRDs come first: the API server serves their kinds once they are established
	namespaces
	clusterWide
	prerequisites // what the API server wants to find when it admits a pod
	others
	admission // webhooks and policies come last: they would be asked about all other objects
)

// stageOf returns the stage of an object. clusterScoped reports whether its kind
// is outside of namespaces.
func stageOf(o Object, clusterScoped bool) stage {
	switch {
	case o.IsDefinition():
		return definitions
	case o.IsNamespace():
		return namespaces
	case o.Group == groupAdmission:
		return admission
	case clusterScoped:
		return clusterWide
	case o.Group == "" && slices.Contains([]string{"ServiceAccount", "LimitRange", "ResourceQuota", "ConfigMap", "Secret"}, o.Kind):
		// https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/ says
		// which plug-ins look at the first three.
		return prerequisites
	default:
		return others
	}
}
