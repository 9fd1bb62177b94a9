package test

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubestep/kubestep/internal/contract"
)

// What an API server says of an object is not about the cluster: the machine does not retry it, and does not describe the cluster
// again because of it.

// refusedPlan is the path of an execution whose plan is refused, and refusedApply of one whose apply is.
var (
	refusedPlan  = path(planned[:len(planned)-1], "Explain", "Failed")
	refusedApply = path(planned, put[:len(put)-1], "Explain", "Failed")
)

// deaf makes the API server ask a webhook about objects of the scenario's namespace with the label, at an address where nobody listens.
func (a *applier) deaf(t *testing.T, resource, label string) (name string) {
	t.Helper()
	url, fail, none := "https://127.0.0.1:1/", admissionv1.Fail, admissionv1.SideEffectClassNone
	name = a.stack.Name + "-deaf.example.com"
	_, err := admin(t).AdmissionregistrationV1().ValidatingWebhookConfigurations().Create(t.Context(), &admissionv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Webhooks: []admissionv1.ValidatingWebhook{{
			Name: name, FailurePolicy: &fail, SideEffects: &none, AdmissionReviewVersions: []string{"v1"},
			ClientConfig:      admissionv1.WebhookClientConfig{URL: &url},
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": a.namespace}},
			ObjectSelector:    &metav1.LabelSelector{MatchLabels: map[string]string{label: "yes"}},
			Rules: []admissionv1.RuleWithOperations{{
				Operations: []admissionv1.OperationType{admissionv1.OperationAll},
				Rule:       admissionv1.Rule{APIGroups: []string{"*"}, APIVersions: []string{"*"}, Resources: []string{resource}},
			}},
		}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = admin(t).AdmissionregistrationV1().ValidatingWebhookConfigurations().Delete(context.WithoutCancel(t.Context()), name, metav1.DeleteOptions{})
	})
	time.Sleep(time.Second) // the API server's informer sees it
	return name
}

func TestAWebhookThatDoesNotAnswerIsNamedAndHidesNoOtherProblem(t *testing.T) {
	t.Parallel()
	a := newAdmin(t)
	name := a.deaf(t, "configmaps", "asked")
	asked := strings.ReplaceAll(configMaps(2), "metadata: {", "metadata: {labels: {asked: \"yes\"}, ")
	e := a.apply(t, asked+configMap("fine", "1")+"---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: bad}\ndatta: {a: b}\n")
	stopped(t, e, contract.WebhookFailed,
		"3 of 4 objects cannot be applied", fmt.Sprintf("Admission webhook %q failed for ConfigMap %s/c0 (document 1), ConfigMap %s/c1 (document 2)", name, a.namespace, a.namespace),
		"connection refused", "ConfigMap "+a.namespace+"/bad (document 4)", "datta: field not declared in schema")
	assert.Equal(t, refusedPlan, e.Path)
	assert.Equal(t, 1, e.Attempts("PlanManifests"))

	e = a.run(t, map[string]any{"manifests": asked, "mode": "plan"})
	stopped(t, e, contract.WebhookFailed, name)
}

const converted = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: counts.%[1]s}
spec:
  group: %[1]s
  scope: Namespaced
  names: {plural: counts, singular: count, kind: Count}
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {num: {type: %[2]s}}}}}}}
  - {name: v2, served: true, storage: false, schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {num: {type: %[2]s}}}}}}}
  conversion: %[3]s
---
apiVersion: %[1]s/%[4]s
kind: Count
metadata: {name: c}
spec: {num: %[5]s}
`

func TestAConversionWebhookThatDoesNotAnswerIsNamed(t *testing.T) {
	t.Parallel()
	a := newAdmin(t)
	group := a.stack.Name + ".example.com"
	applied(t, a.apply(t, fmt.Sprintf(converted, group, "integer", "{strategy: None}", "v1", "1")))
	// What cannot be read cannot be deleted either, and Kubernetes deletes no namespace meanwhile.
	t.Cleanup(func() {
		readable := []byte(`{"spec":{"conversion":{"strategy":"None","webhook":null}}}`)
		crd := "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/counts." + group
		assert.NoError(t, admin(t).RESTClient().Patch(types.MergePatchType).AbsPath(crd).Body(readable).Do(context.WithoutCancel(t.Context())).Error())
	})
	hook := `{strategy: Webhook, webhook: {conversionReviewVersions: [v1], clientConfig: {url: "https://127.0.0.1:1/"}}}`
	crd, object, _ := strings.Cut(fmt.Sprintf(converted, group, "integer", hook, "v2", "2"), "---\n")
	applied(t, a.apply(t, crd))
	time.Sleep(2 * time.Second) // the API server serves what the CRD says now
	e := a.apply(t, object+configMap("bad", "1")+"datta: {a: b}\n")
	stopped(t, e, contract.WebhookFailed, "The conversion webhook for "+group+"/", "Count "+a.namespace+"/c", "connection refused", "datta: field not declared in schema")
	assert.Equal(t, refusedPlan, e.Path)
}

func TestAnObjectThatIsTooLargeForEtcdIsNamedWithWhatWasApplied(t *testing.T) {
	t.Parallel()
	a := newAdmin(t)
	group := a.stack.Name + ".example.com"
	// Aliases keep the input small: the object has 1.6 MB.
	manifests := fmt.Sprintf(`
apiVersion: v1
kind: ConfigMap
metadata: {name: goes-first}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: stacks.%[1]s}
spec:
  group: %[1]s
  scope: Namespaced
  names: {plural: stacks, singular: stack, kind: Stack}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, x-kubernetes-preserve-unknown-fields: true}}}}}]
---
apiVersion: %[1]s/v1
kind: Stack
metadata: {name: tall}
spec:
  a: &a "%[2]s"
`, group, strings.Repeat("f", 40_000))
	for i := range 40 {
		manifests += fmt.Sprintf("  a%d: *a\n", i)
	}
	e := a.apply(t, manifests)
	stopped(t, e, contract.InvalidInput, "does not accept Stack "+a.namespace+"/tall (document 3), because it is too large", "etcdserver: request is too large",
		"Before that, 2 of 3 objects were applied and are left in place: ", "CustomResourceDefinition stacks."+group, "ConfigMap "+a.namespace+"/goes-first")
	assert.Equal(t, refusedApply, e.Path)
	assert.Equal(t, 1, e.Attempts("ApplyManifests"))
}

func TestAnObjectThatIsStoredUnderAnotherSchemaIsInvalidOnce(t *testing.T) {
	t.Parallel()
	a := newAdmin(t)
	group := a.stack.Name + ".example.com"
	applied(t, a.apply(t, fmt.Sprintf(converted, group, "string", "{strategy: None}", "v1", `"1"`)))
	e := a.apply(t, fmt.Sprintf(converted, group, "integer", "{strategy: None}", "v1", "1"))
	stopped(t, e, contract.InvalidInput, "cannot apply Count "+a.namespace+"/c (document 2), because what it has stored of it does not fit the schema of its kind", ".spec.num: expected",
		"Before that, 1 of 2 objects were applied and are left in place: CustomResourceDefinition counts."+group)
	assert.Equal(t, refusedApply, e.Path)
	assert.Equal(t, 1, e.Attempts("ApplyManifests"))
}

const roleAndBinding = `
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: read}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects: [{kind: ServiceAccount, name: reader, namespace: shop}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader}
rules: [{apiGroups: [""], resources: [services], verbs: [%s]}]
`

func TestARoleAndItsBindingAreAppliedInOneGo(t *testing.T) {
	t.Parallel()
	a := newAdmin(t)
	a.set(t, map[string]string{"ApplyAllowedKinds": "Role,RoleBinding"})
	output := applied(t, a.apply(t, fmt.Sprintf(roleAndBinding, "get")))
	assert.Equal(t, 2, output.Applied)
	assert.Equal(t, "its role is among the manifests", output.Plan.Objects[0].Unchecked)
	assert.Equal(t, 2, applied(t, a.apply(t, fmt.Sprintf(roleAndBinding, "get"))).Plan.Unchanged)

	e := a.apply(t, strings.ReplaceAll(fmt.Sprintf(roleAndBinding, "get"), "name: reader}\nsubjects", "name: nobodys}\nsubjects"))
	stopped(t, e, contract.InvalidInput, "Cluster demo has no Role "+a.namespace+"/nobodys, which RoleBinding "+a.namespace+"/read (document 1) binds")
}

func TestPermissionsThatMayNotBeGrantedAreGrantedByTheRolesOfTheCause(t *testing.T) {
	t.Parallel()
	a := newApplier(t)
	a.set(t, map[string]string{"ApplyAllowedKinds": "Role,RoleBinding"})
	a.allow(t, rbacv1.PolicyRule{APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"get", "create", "patch"}})
	manifests := fmt.Sprintf(roleAndBinding, "watch")
	e := a.apply(t, manifests)
	stopped(t, e, contract.Forbidden, "nobody may grant permissions without having them", `{APIGroups:[""], Resources:["services"], Verbs:["watch"]}`, "or the verb escalate roles.rbac.authorization.k8s.io reader in namespace "+a.namespace)
	assert.NotContains(t, e.Cause, "This is not about permissions")
	assert.Equal(t, refusedPlan, e.Path)
	a.grant(t, e.Cause)

	// The binding could not be planned without the role.
	e = a.apply(t, manifests)
	stopped(t, e, contract.Forbidden, "or the verb bind roles.rbac.authorization.k8s.io reader in namespace "+a.namespace, "Before that, 1 of 2 objects were applied and are left in place: Role "+a.namespace+"/reader")
	a.grant(t, e.Cause)
	output := applied(t, a.apply(t, manifests))
	assert.Equal(t, []int{1, 1}, []int{output.Plan.Unchanged, output.Applied})
}

// grant applies the roles of a cause as docs/errors.md says.
func (a *applier) grant(t *testing.T, cause string) {
	t.Helper()
	sed := exec.CommandContext(t.Context(), "sed", "-n", `/^---$/,$p`)
	sed.Stdin = strings.NewReader(cause)
	roles, err := sed.Output()
	require.NoError(t, err)
	require.NotEmpty(t, roles, cause)
	kubectl := exec.CommandContext(t.Context(), "kubectl", "--kubeconfig", local.ControlPlane.Kubeconfig, "apply", "-f", "-")
	kubectl.Stdin = strings.NewReader(string(roles))
	out, err := kubectl.CombinedOutput()
	require.NoError(t, err, string(out))
	time.Sleep(time.Second) // the API server's informer sees them
}

func TestAKindThatNobodyCanChangeIsInvalid(t *testing.T) {
	t.Parallel()
	a := newAdmin(t)
	e := a.apply(t, "apiVersion: v1\nkind: ComponentStatus\nmetadata: {name: scheduler}\n---\napiVersion: authentication.k8s.io/v1\nkind: TokenReview\nmetadata: {name: a}\n---\napiVersion: v1\nkind: Binding\nmetadata: {name: a}\n")
	stopped(t, e, contract.InvalidInput, "ComponentStatus (document 1, name scheduler)", "TokenReview (document 2, name a)", "Binding (document 3, name a)")
	assert.NotContains(t, e.Path, "RefreshCluster")
}
