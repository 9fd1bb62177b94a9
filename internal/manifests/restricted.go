package manifests

import (
	"strings"

	"github.com/kubestep/kubestep/internal/objects"
)

// isRestricted reports whether a kind gives or takes permissions, so that whoever
// may apply it may do anything: roles and their bindings, and what admits requests.
func isRestricted(o objects.Object) bool {
	return o.Group == objects.GroupRBAC || o.Group == objects.GroupAdmission
}

// isAWSAuth reports whether EKS maps IAM roles to groups by the object, such as
// system:masters. https://docs.aws.amazon.com/eks/latest/userguide/auth-configmap.html
func isAWSAuth(o objects.Object) bool {
	return o.Group == "" && o.Kind == "ConfigMap" && o.Namespace == "kube-system" && o.Name == "aws-auth"
}

// restrictedKinds are the kinds of the restricted groups.
var restrictedKinds = map[string][]string{
	objects.GroupRBAC: {"Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"},
	objects.GroupAdmission: {
		"ValidatingWebhookConfiguration", "MutatingWebhookConfiguration",
		"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding",
	},
}

// misspelt returns the kind that is meant by one that differs from it in capitals, or
// is its plural.
func misspelt(o objects.Object) (string, bool) {
	for _, kind := range restrictedKinds[o.Group] {
		for _, spelling := range []string{kind, kind + "s", strings.TrimSuffix(kind, "y") + "ies"} {
			if o.Kind != kind && strings.EqualFold(o.Kind, spelling) {
				return kind, true
			}
		}
	}
	return "", false
}
