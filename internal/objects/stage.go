package objects

import (
	"slices"
	"strings"
)

// Stage orders objects: all objects in a stage are applied at once, after the stages
// before it.
type Stage int

// The first stage and the last.
const (
	Definitions Stage = iota // CRDs come first: the API server serves their kinds once they are established
	namespaces
	clusterWide
	prerequisites // what the API server wants to find when it admits a pod or a binding
	bindings      // they name roles, which must be there
	others
	admission         // webhooks and policies come last: they would be asked about all other objects
	admissionBindings // they name policies
	LastStage         = admissionBindings
)

// IsWorkload reports whether the object comes after what the API server wants to find when it
// admits a pod: it is in the stage of the pods, or later.
func (t Target) IsWorkload() bool { return t.Stage() >= others }

// Stage returns the stage of an object.
func (t Target) Stage() Stage {
	switch {
	case t.IsDefinition():
		return Definitions
	case t.IsNamespace():
		return namespaces
	case t.Group == GroupAdmission && strings.HasSuffix(t.Kind, "Binding"):
		return admissionBindings
	case t.Group == GroupAdmission:
		return admission
	case t.Group == GroupRBAC && strings.HasSuffix(t.Kind, "Binding"):
		return bindings
	case !t.Namespaced:
		return clusterWide
	case t.Group == GroupRBAC:
		return prerequisites
	case t.Group == "" && slices.Contains([]string{"ServiceAccount", "LimitRange", "ResourceQuota", "ConfigMap", "Secret"}, t.Kind):
		// https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/ says
		// which plug-ins look at the first three.
		return prerequisites
	default:
		return others
	}
}
