package manifests

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

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
	document int    // 1 for the first
	items    string // of Lists in one another, such as 2.1 for the first item of the second; empty outside a List
	lists    int    // in one another, around it
}

// at is the place of an item.
func (p place) at(item int) place {
	if p.items != "" {
		p.items += "."
	}
	p.items += strconv.Itoa(item)
	return p
}

func (p place) String() string {
	if p.items == "" {
		return fmt.Sprintf("document %d", p.document)
	}
	return fmt.Sprintf("document %d, item %s", p.document, p.items)
}

// describe names an object of which any part may be missing, or be no name at all.
func describe(kind, namespace, name string) string {
	text := printable(kind)
	if text == "" {
		text = "object"
	}
	switch {
	case name == "":
		return text
	case namespace == "":
		return text + " " + printable(name)
	default:
		return text + " " + printable(namespace) + "/" + printable(name)
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

// isAWSAuth reports whether EKS maps IAM roles to groups by the object, such as
// system:masters. https://docs.aws.amazon.com/eks/latest/userguide/auth-configmap.html
func (o Object) isAWSAuth() bool {
	return o.Group == "" && o.Kind == "ConfigMap" && o.Namespace == "kube-system" && o.Name == "aws-auth"
}

// restrictedKinds are the kinds of the restricted groups.
var restrictedKinds = map[string][]string{
	groupRBAC: {"Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"},
	groupAdmission: {
		"ValidatingWebhookConfiguration", "MutatingWebhookConfiguration",
		"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding",
	},
}

// misspelt returns the kind that is meant by one that differs from it in capitals, or
// is its plural.
func misspelt(o Object) (string, bool) {
	for _, kind := range restrictedKinds[o.Group] {
		for _, spelling := range []string{kind, kind + "s", strings.TrimSuffix(kind, "y") + "ies"} {
			if o.Kind != kind && strings.EqualFold(o.Kind, spelling) {
				return kind, true
			}
		}
	}
	return "", false
}

// stage orders the objects: those of a stage are applied at once, after those of
// the stages before it.
type stage int

const (
	definitions stage = iota // CRDs come first: the API server serves their kinds once they are established
	namespaces
	clusterWide
	prerequisites // what the API server wants to find when it admits a pod or a binding
	bindings      // they name roles, which must be there
	others
	admission         // webhooks and policies come last: they would be asked about all other objects
	admissionBindings // they name policies
	lastStage         = admissionBindings
)

// stageOf returns the stage of an object. clusterScoped reports whether its kind
// is outside of namespaces.
func stageOf(o Object, clusterScoped bool) stage {
	switch {
	case o.IsDefinition():
		return definitions
	case o.IsNamespace():
		return namespaces
	case o.Group == groupAdmission && strings.HasSuffix(o.Kind, "Binding"):
		return admissionBindings
	case o.Group == groupAdmission:
		return admission
	case o.Group == groupRBAC && strings.HasSuffix(o.Kind, "Binding"):
		return bindings
	case clusterScoped:
		return clusterWide
	case o.Group == groupRBAC:
		return prerequisites
	case o.Group == "" && slices.Contains([]string{"ServiceAccount", "LimitRange", "ResourceQuota", "ConfigMap", "Secret"}, o.Kind):
		// https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/ says
		// which plug-ins look at the first three.
		return prerequisites
	default:
		return others
	}
}
