package objects

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestWhatOthersNeedIsInAnEarlierStage(t *testing.T) {
	for sentence, c := range map[string]struct {
		apiVersion, kind string
		clusterScoped    bool
		want             Stage
	}{
		"the definition of a kind": {"apiextensions.k8s.io/v1", "CustomResourceDefinition", true, Definitions},
		"a namespace":              {"v1", "Namespace", true, namespaces},
		"a cluster-wide object":    {"storage.k8s.io/v1", "StorageClass", true, clusterWide},
		"a service account":        {"v1", "ServiceAccount", false, prerequisites},
		"a role":                   {"rbac.authorization.k8s.io/v1", "Role", false, prerequisites},
		"a cluster-wide role":      {"rbac.authorization.k8s.io/v1", "ClusterRole", true, clusterWide},
		"a binding of a role":      {"rbac.authorization.k8s.io/v1", "RoleBinding", false, bindings},
		"a cluster-wide binding":   {"rbac.authorization.k8s.io/v1", "ClusterRoleBinding", true, bindings},
		"a policy":                 {"admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy", true, admission},
		"a binding of a policy":    {"admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicyBinding", true, admissionBindings},
		"a workload":               {"apps/v1", "Deployment", false, others},
		"a custom object":          {"example.com/v1", "Widget", false, others},
		"a namesake of another":    {"example.com/v1", "Namespace", false, others},
		"a webhook":                {"admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", true, admission},
	} {
		t.Run(sentence, func(t *testing.T) {
			o := Object{GroupVersionKind: schema.FromAPIVersionAndKind(c.apiVersion, c.kind)}
			assert.Equal(t, c.want, Target{Object: o, Resource: Resource{Namespaced: !c.clusterScoped}}.Stage())
		})
	}
}
