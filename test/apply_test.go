package test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/follow"
	"github.com/kubestep/kubestep/test/apiproxy"
)

// applier is a stack with apply-manifests, and its group and namespace.
type applier struct {
	*scenario
	group, namespace string
}

// newApplier deploys a stack whose role is mapped, but has no permissions yet.
func newApplier(t *testing.T) *applier {
	t.Helper()
	s := newScenario(t)
	a := &applier{scenario: s, group: "appliers-" + s.stack.Name, namespace: "apply-" + s.stack.Name}
	s.set(t, map[string]string{"EnableApply": "true", "FleetWorkflows": "pod-inventory,apply-manifests", "ApplyKubernetesGroup": a.group})
	s.machine = s.stack.StateMachineARN("apply-manifests")
	editAwsAuth(t, func(mappings []mapping) []mapping {
		return append(mappings, mapping{s.stack.Role("apply-mint-token"), "applier:" + s.stack.Name, []string{a.group}})
	})
	namespace(t, a.namespace)
	return a
}

// newAdmin returns an applier that may apply everything.
func newAdmin(t *testing.T) *applier {
	t.Helper()
	a := newApplier(t)
	a.allow(t, rbacv1.PolicyRule{APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"get", "create", "patch"}})
	return a
}

// allow binds a ClusterRole with these rules to the group.
func (a *applier) allow(t *testing.T, rules ...rbacv1.PolicyRule) {
	t.Helper()
	of := metav1.ObjectMeta{Name: a.group}
	_, err := admin(t).RbacV1().ClusterRoles().Create(t.Context(), &rbacv1.ClusterRole{ObjectMeta: of, Rules: rules}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = admin(t).RbacV1().ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: of, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: a.group},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "Group", Name: a.group}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
}

// run runs apply-manifests, in mode apply and the scenario's namespace unless more says otherwise.
func (a *applier) run(t *testing.T, more map[string]any) follow.Execution {
	t.Helper()
	input := map[string]any{"clusterName": "demo", "mode": "apply", "namespace": a.namespace}
	for key, value := range more {
		input[key] = value
	}
	text, err := json.Marshal(input)
	require.NoError(t, err)
	e := a.start(t, a.machine, string(text))
	a.executions = append(a.executions, e)
	checkSchemas(t, "apply-manifests", string(text), e)
	return e
}

// apply applies inline manifests.
func (a *applier) apply(t *testing.T, manifests string) follow.Execution {
	t.Helper()
	return a.run(t, map[string]any{"manifests": manifests})
}

// applied returns the output of an execution of apply-manifests that must have succeeded.
func applied(t *testing.T, e follow.Execution) applymanifests.Output {
	t.Helper()
	require.Equal(t, types.ExecutionStatusSucceeded, e.Status, "%s: %s", e.Error, e.Cause)
	d := json.NewDecoder(strings.NewReader(e.Output))
	d.DisallowUnknownFields()
	var output applymanifests.Output
	require.NoError(t, d.Decode(&output))
	return output
}

// bucket creates a bucket with one object, and returns it as a source.
func (a *applier) bucket(t *testing.T, manifests string) (client *s3.Client, source map[string]any) {
	t.Helper()
	name := "manifests-" + a.stack.Name
	a.set(t, map[string]string{"ManifestBucket": name, "OutputBucket": name, "OutputPrefix": "diffs"})
	require.NoError(t, local.CreateBucket(t.Context(), name))
	developer, err := local.Developer()
	require.NoError(t, err)
	client = s3.NewFromConfig(developer, func(o *s3.Options) { o.UsePathStyle = true })
	key := "all.yaml"
	_, err = client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &name, Key: &key, Body: strings.NewReader(manifests)})
	require.NoError(t, err)
	return client, map[string]any{"bucket": name, "key": key}
}

// The parts of an execution's path.
var (
	planned = path("DescribeCluster", "LoadManifests", "WithFreshToken", "MintToken", "IsApplied", "VerifyApply", "IsPlanned", "PlanManifests", "WhatIsLeft")
	put     = path("WithFreshToken", "MintToken", "IsApplied", "VerifyApply", "IsPlanned", "ApplyManifests", "WhatIsLeft")
	checked = path("WithFreshToken", "MintToken", "IsApplied", "CheckReadiness", "WhatIsLeft")
)

func configMap(name, value string) string {
	return fmt.Sprintf("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\ndata: {a: %q}\n", name, value)
}

func configMaps(n int) string {
	var text strings.Builder
	for i := range n {
		text.WriteString(configMap(fmt.Sprintf("c%d", i), "1"))
	}
	return text.String()
}

const webDeployment = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: registry.example.com/web:1}]}
`

// slowDeployment gets ready after some seconds: docs/local.md has the annotation.
var slowDeployment = strings.Replace(webDeployment, "metadata: {labels: {app: web}}", "metadata: {labels: {app: web}, annotations: {kubestep.local/ready-after: 5s}}", 1)

func TestObjectsAreCreatedThenUnchangedThenConfigured(t *testing.T) {
	t.Parallel()
	a := newAdmin(t)
	e := a.run(t, map[string]any{"manifests": configMap("one", "1") + "---" + webDeployment, "mode": "plan"})
	assert.Equal(t, path(planned, "Output"), e.Path)
	output := applied(t, e)
	assert.True(t, output.Drift)
	assert.Equal(t, 2, output.Plan.Created)
	assert.Zero(t, output.Applied, "a plan changes nothing")
	_, err := admin(t).CoreV1().ConfigMaps(a.namespace).Get(t.Context(), "one", metav1.GetOptions{})
	require.Error(t, err)

	e = a.apply(t, configMap("one", "1")+"---"+webDeployment)
	assert.Equal(t, path(planned, put, "Output"), e.Path)
	assert.Equal(t, 2, applied(t, e).Applied)

	output = applied(t, a.apply(t, configMap("one", "1")+"---"+webDeployment))
	assert.False(t, output.Drift)
	assert.Equal(t, 2, output.Plan.Unchanged)
	assert.Zero(t, output.Applied)

	output = applied(t, a.apply(t, configMap("one", "2")+"---"+strings.ReplaceAll(webDeployment, "web:1", "web:2")))
	assert.Equal(t, 2, output.Plan.Configured)
	assert.Equal(t, []string{"~data.a"}, output.Plan.Objects[0].Changes)
	assert.Equal(t, []string{"~spec.template.spec.containers[name=web].image"}, output.Plan.Objects[1].Changes)
	assert.Equal(t, []applymanifests.ChangedValue{{Before: `"1"`, After: `"2"`}}, output.Plan.Objects[0].Values)
	assert.Equal(t, []applymanifests.ChangedValue{{Before: `"registry.example.com/web:1"`, After: `"registry.example.com/web:2"`}}, output.Plan.Objects[1].Values)
	live, err := admin(t).CoreV1().ConfigMaps(a.namespace).Get(t.Context(), "one", metav1.GetOptions{})
	require.NoError(t, err)
	assert.Equal(t, "2", live.Data["a"])
	require.Len(t, live.ManagedFields, 1)
	assert.Equal(t, "kubestep", live.ManagedFields[0].Manager)
}

func TestDriftIsSeenByAPlan(t *testing.T) {
	t.Parallel()
	a := newAdmin(t)
	applied(t, a.apply(t, configMaps(3)))
	assert.False(t, applied(t, a.run(t, map[string]any{"manifests": configMaps(3), "mode": "plan"})).Drift)

	maps := admin(t).CoreV1().ConfigMaps(a.namespace)
	live, err := maps.Get(t.Context(), "c1", metav1.GetOptions{})
	require.NoError(t, err)
	live.Data["a"] = "theirs"
	_, err = maps.Update(t.Context(), live, metav1.UpdateOptions{FieldManager: "kubectl-edit"})
	require.NoError(t, err)

	output := applied(t, a.run(t, map[string]any{"manifests": configMaps(3), "mode": "plan"}))
	assert.True(t, output.Drift)
	assert.Equal(t, 1, output.Plan.Configured)
	assert.Equal(t, []string{"~data.a"}, output.Plan.Objects[1].Changes)
	require.Len(t, output.Plan.Objects[1].Conflicts, 1)
	assert.Contains(t, output.Plan.Objects[1].Conflicts[0], `data.a is owned by "kubectl-edit"`)

	e := a.apply(t, configMaps(3))
	stopped(t, e, contract.FieldConflict, "Nothing was applied", "ConfigMap "+a.namespace+`/c1: data.a is owned by "kubectl-edit"`, `"force": true`)
	output = applied(t, a.run(t, map[string]any{"manifests": configMaps(3), "force": true}))
	assert.Equal(t, 1, output.Applied)
	live, err = maps.Get(t.Context(), "c1", metav1.GetOptions{})
	require.NoError(t, err)
	assert.Equal(t, "1", live.Data["a"])
}

func TestAKindIsDefinedAndUsedInOneFileInANamespaceOfTheSameFile(t *testing.T) {
	t.Parallel()
	a := newAdmin(t)
	group := a.stack.Name + ".example.com"
	manifests := fmt.Sprintf(`
apiVersion: %[1]s/v1
kind: Widget
metadata: {name: one, namespace: fresh-%[2]s}
spec: {size: 3}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: one, namespace: fresh-%[2]s}
---
apiVersion: v1
kind: Namespace
metadata: {name: fresh-%[2]s}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.%[1]s}
spec:
  group: %[1]s
  scope: Namespaced
  names: {plural: widgets, singular: widget, kind: Widget}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {size: {type: integer}}}}}}
`, group, a.stack.Name)
	output := applied(t, a.apply(t, manifests))
	assert.Equal(t, 4, output.Applied)
	assert.Equal(t, "its CRD is among the manifests", output.Plan.Objects[0].Unchecked)
	assert.Equal(t, "its namespace is among the manifests", output.Plan.Objects[1].Unchecked)

	output = applied(t, a.apply(t, manifests))
	assert.Equal(t, 4, output.Plan.Unchanged)

	e := a.apply(t, strings.ReplaceAll(manifests, "kind: Widget\nmetadata", "kind: Gadget\nmetadata"))
	stopped(t, e, contract.UnknownKind, "has no kind Gadget in "+group+"/v1 (document 1, name one)", "no CRD among the manifests defines it")
}

func TestWhatTheClusterDoesNotAcceptStopsAnApplyBeforeItBegins(t *testing.T) {
	t.Parallel()
	a := newAdmin(t)
	applied(t, a.apply(t, webDeployment))
	immutable := strings.ReplaceAll(webDeployment, "app: web}", "app: other}")
	e := a.apply(t, configMap("good", "1")+"---"+immutable+"---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: bad}\ndatta: {a: b}\n")
	stopped(t, e, contract.InvalidInput, "2 of 3 objects cannot be applied", "Deployment "+a.namespace+"/web (document 2)", "field is immutable", "ConfigMap "+a.namespace+"/bad (document 3)", "datta: field not declared in schema")
	assert.Equal(t, path("DescribeCluster", "LoadManifests", "WithFreshToken", "MintToken", "IsApplied", "VerifyApply", "IsPlanned", "PlanManifests", "Explain", "Failed"), e.Path)
	_, err := admin(t).CoreV1().ConfigMaps(a.namespace).Get(t.Context(), "good", metav1.GetOptions{})
	assert.Error(t, err, "nothing was applied")

	e = a.apply(t, "kind: ConfigMap\n---\na: [\n")
	stopped(t, e, contract.InvalidInput, "The manifests have 3 problems", "document 1 (ConfigMap): apiVersion is missing", "document 2: it is not valid YAML")
	assert.Equal(t, path("DescribeCluster", "LoadManifests", "Explain", "Failed"), e.Path)
}

func TestAQuotaThatIsUsedUpHalfwaySaysWhatWasApplied(t *testing.T) {
	t.Parallel()
	a := newAdmin(t)
	quotas := admin(t).CoreV1().ResourceQuotas(a.namespace)
	hard := corev1.ResourceList{"count/configmaps": resource.MustParse("5")}
	quota, err := quotas.Create(t.Context(), &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "few"}, Spec: corev1.ResourceQuotaSpec{Hard: hard}}, metav1.CreateOptions{})
	require.NoError(t, err)
	// No controller of quotas runs here to write the status that the admission plug-in reads.
	quota.Status = corev1.ResourceQuotaStatus{Hard: hard, Used: corev1.ResourceList{"count/configmaps": resource.MustParse("0")}}
	_, err = quotas.UpdateStatus(t.Context(), quota, metav1.UpdateOptions{})
	require.NoError(t, err)
	time.Sleep(time.Second) // the plug-in's informer sees it

	e := a.apply(t, configMaps(10))
	stopped(t, e, contract.Forbidden, "exceeded quota: few", "This is not about permissions", "Before that, 5 of 10 objects were applied and are left in place: ConfigMap "+a.namespace+"/c")
	require.NoError(t, quotas.Delete(t.Context(), "few", metav1.DeleteOptions{}))
	output := applied(t, a.apply(t, configMaps(10)))
	assert.Equal(t, 5, output.Plan.Unchanged)
	assert.Equal(t, 5, output.Applied, "the next execution continues")
}

func TestADenialOfOneOfTenIsFixedByTheRolesOfItsCause(t *testing.T) {
	t.Parallel()
	a := newApplier(t)
	rule := rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"get", "create", "patch"}}
	for i := range 9 {
		rule.ResourceNames = append(rule.ResourceNames, fmt.Sprintf("c%d", i))
	}
	a.allow(t, rule)

	e := a.apply(t, configMaps(10))

	stopped(t, e, contract.Forbidden, "applier:"+a.stack.Name, a.group, "get/patch/create configmaps c9 in namespace "+a.namespace)
	assert.NotRegexp(t, `\bc8\b`, e.Cause)
	_, roles, found := strings.Cut(e.Cause, "\n---\n")
	require.True(t, found, e.Cause)
	kubectl := exec.CommandContext(t.Context(), "kubectl", "--kubeconfig", local.ControlPlane.Kubeconfig, "apply", "-f", "-")
	kubectl.Stdin = strings.NewReader(roles)
	out, err := kubectl.CombinedOutput()
	require.NoError(t, err, string(out))
	assert.Equal(t, 10, applied(t, a.apply(t, configMaps(10))).Applied)
}

func TestAThousandObjectsOfS3(t *testing.T) {
	t.Parallel()
	a := newAdmin(t)
	client, source := a.bucket(t, configMaps(1000))
	output := applied(t, a.run(t, map[string]any{"source": source, "output": map[string]any{"bucket": source["bucket"], "prefix": "diffs/"}}))
	assert.Equal(t, 1000, output.Applied)
	require.NotNil(t, output.Plan.Diff)
	var text bytes.Buffer
	for _, key := range output.Plan.Diff.Keys {
		part, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &output.Plan.Diff.Bucket, Key: &key})
		require.NoError(t, err)
		_, err = text.ReadFrom(part.Body)
		require.NoError(t, err)
	}
	assert.Equal(t, 1000, strings.Count(text.String(), ": created\n"))

	output = applied(t, a.run(t, map[string]any{"source": source, "mode": "plan"}))
	assert.Equal(t, 1000, output.Plan.Unchanged)
	assert.True(t, output.Plan.Truncated)
	e := a.run(t, map[string]any{"source": map[string]any{"bucket": source["bucket"], "key": "nowhere.yaml"}})
	stopped(t, e, contract.InvalidInput, "there is no object s3://manifests-"+a.stack.Name+"/nowhere.yaml")
}

func TestTheValuesOfASecretAreFoundNowhere(t *testing.T) {
	t.Parallel()
	a := newAdmin(t)
	value := "hunter2-" + a.stack.Name + "-hunter2"
	encoded := base64.StdEncoding.EncodeToString([]byte(value))
	secret := fmt.Sprintf("apiVersion: v1\nkind: Secret\nmetadata: {name: db}\nstringData: {pin: %s}\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: other}\ndata: {pin: %s}\n", value, encoded)
	client, source := a.bucket(t, secret)
	destination := map[string]any{"bucket": source["bucket"], "prefix": "diffs"}
	assert.Equal(t, 2, applied(t, a.run(t, map[string]any{"source": source, "output": destination})).Applied)

	secrets := admin(t).CoreV1().Secrets(a.namespace)
	live, err := secrets.Get(t.Context(), "db", metav1.GetOptions{})
	require.NoError(t, err)
	assert.Equal(t, value, string(live.Data["pin"]))
	live.Data["pin"] = []byte(value + "-theirs")
	_, err = secrets.Update(t.Context(), live, metav1.UpdateOptions{FieldManager: "kubectl-edit"})
	require.NoError(t, err)
	output := applied(t, a.run(t, map[string]any{"source": source, "output": destination, "mode": "plan"}))
	assert.True(t, output.Drift)
	// Somebody else owns the value now.
	stopped(t, a.run(t, map[string]any{"source": source}), contract.FieldConflict, "data.pin is owned by \"kubectl-edit\"")

	from := func(key, manifests string) map[string]any {
		_, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: ptr(source["bucket"]), Key: &key, Body: strings.NewReader(manifests)})
		require.NoError(t, err)
		return map[string]any{"source": map[string]any{"bucket": source["bucket"], "key": key}}
	}
	// The value has the wrong type, so the API server quotes it.
	bad := fmt.Sprintf("apiVersion: v1\nkind: Secret\nmetadata: {name: bad}\ntype: kubernetes.io/tls\nstringData: {tls.crt: %s}\n", value)
	stopped(t, a.run(t, from("bad.yaml", bad)), contract.InvalidInput, "Secret "+a.namespace+"/bad (document 1): data[tls.key]: Required value")
	stopped(t, a.run(t, from("broken.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: db}\nstringData: {pin: *"+value+", other: ["+value+"\n")), contract.InvalidInput, "it is not valid YAML: line 4")
	stopped(t, a.run(t, from("number.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: db}\nstringData: {pin: ["+value+"]}\n")), contract.InvalidInput, "stringData.pin is not a string")

	a.quoteSecrets(t)
	const quoted = "denied request: the value of pin"
	long := "apiVersion: v1\nkind: Secret\nmetadata: {name: new}\nstringData: {pin: " + value + "}\n"
	denied := a.run(t, from("denied.yaml", long))
	stopped(t, denied, contract.InvalidInput, "ValidatingAdmissionPolicy 'quotes."+a.namespace+".example.com' with binding 'quotes."+a.namespace+".example.com' denied request (why is left out, because it may hold a value of the Secret")
	short := "apiVersion: v1\nkind: Secret\nmetadata: {name: new}\nstringData: {pin: d, other: d}\n"
	denied = a.run(t, from("short.yaml", short))
	stopped(t, denied, contract.InvalidInput, "ValidatingAdmissionPolicy 'quotes."+a.namespace+".example.com' with binding 'quotes."+a.namespace+".example.com' denied request (why is left out, because it may hold a value of the Secret")
	found, err := find(t.Context(), a.client, quoted, logs, []string{a.machine})
	require.NoError(t, err)
	assert.Empty(t, found.places, "the sentence in which the policy quotes the value")

	for _, text := range []string{value, encoded} {
		found, err := find(t.Context(), a.client, text, logs, []string{a.machine})
		require.NoError(t, err)
		assert.Empty(t, found.places)
		assert.Positive(t, found.executions)
	}
	objects, err := client.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: ptr(source["bucket"]), Prefix: ptr("diffs/")})
	require.NoError(t, err)
	assert.Len(t, objects.Contents, 2)
	for _, o := range objects.Contents {
		assert.NotContains(t, readObject(t, client, source["bucket"], o), "hunter2")
	}

	stopped(t, a.apply(t, "apiVersion: v1\nkind: Secret\nmetadata: {name: db}\nstringData: {pin: inline}\n"), contract.InvalidInput, "a Secret in the execution input stays readable in the execution history")
}

// quoteSecrets makes a policy that denies Secrets named new, and says their values.
func (a *applier) quoteSecrets(t *testing.T) {
	t.Helper()
	name := "quotes." + a.namespace + ".example.com"
	of := metav1.ObjectMeta{Name: name}
	policies := admin(t).AdmissionregistrationV1()
	t.Cleanup(func() { // the test's context has ended
		_ = policies.ValidatingAdmissionPolicyBindings().Delete(context.Background(), name, metav1.DeleteOptions{})
		_ = policies.ValidatingAdmissionPolicies().Delete(context.Background(), name, metav1.DeleteOptions{})
	})
	_, err := policies.ValidatingAdmissionPolicies().Create(t.Context(), &admissionv1.ValidatingAdmissionPolicy{ObjectMeta: of, Spec: admissionv1.ValidatingAdmissionPolicySpec{
		MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{ResourceNames: []string{"new"}, RuleWithOperations: admissionv1.RuleWithOperations{
			Operations: []admissionv1.OperationType{admissionv1.Create}, Rule: admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"secrets"}},
		}}}},
		Validations: []admissionv1.Validation{{Expression: "false", MessageExpression: `'the value of pin, ' + string(object.data.pin) + ', is weak'`}},
	}}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = policies.ValidatingAdmissionPolicyBindings().Create(t.Context(), &admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: of, Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
		PolicyName: name, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny},
		MatchResources: &admissionv1.MatchResources{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": a.namespace}}},
	}}, metav1.CreateOptions{})
	require.NoError(t, err)
	secrets := admin(t).CoreV1().Secrets(a.namespace)
	require.Eventually(t, func() bool { // policies are in force a moment later
		_, err := secrets.Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "new"}, StringData: map[string]string{"pin": "dummy"}}, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return apierrors.IsInvalid(err) || apierrors.IsForbidden(err)
	}, 30*time.Second, 100*time.Millisecond)
}

func ptr(value any) *string { text := value.(string); return &text }

func readObject(t *testing.T, client *s3.Client, bucket any, o s3types.Object) string {
	t.Helper()
	out, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: ptr(bucket), Key: o.Key})
	require.NoError(t, err)
	var text bytes.Buffer
	_, err = text.ReadFrom(out.Body)
	require.NoError(t, err)
	return text.String()
}

func TestAnAPIServerThatGoesAwayHalfwayIsContinuedWith(t *testing.T) {
	t.Parallel()
	a := newAdmin(t)
	var cut atomic.Bool
	_, where := proxied(t, apiproxy.Fault{Resource: "c37", Answer: func(w http.ResponseWriter, r *http.Request, pass http.HandlerFunc) {
		if r.Method == http.MethodPatch && r.URL.Query().Get("dryRun") == "" && !cut.Swap(true) {
			apiproxy.Cut(w, r, pass)
		}
		pass(w, r)
	}})
	e := a.run(t, map[string]any{"manifests": configMaps(60), "region": where})
	output := applied(t, e)
	assert.Empty(t, failures(e), "what the round had applied is its result")
	assert.Equal(t, path(planned, put, put, "Output"), e.Path, "and the next one goes on")
	assert.Equal(t, 60, output.Plan.Created, "the plan is that of before")
	assert.Equal(t, 60, output.Applied)
	maps, err := admin(t).CoreV1().ConfigMaps(a.namespace).List(t.Context(), metav1.ListOptions{FieldSelector: "metadata.name!=kube-root-ca.crt"})
	require.NoError(t, err)
	assert.Len(t, maps.Items, 60)
}

func TestAnAPIServerThatStaysAwayHalfwayIsPlannedAgain(t *testing.T) {
	t.Parallel()
	a := newAdmin(t)
	var away, back atomic.Bool
	_, where := proxied(t, apiproxy.Fault{Resource: "c37", Answer: func(w http.ResponseWriter, r *http.Request, pass http.HandlerFunc) {
		switch dryRun := r.URL.Query().Get("dryRun") != ""; {
		case r.Method == http.MethodPatch && dryRun && away.Load():
			back.Store(true) // it is planned again, after RefreshCluster
		case r.Method == http.MethodPatch && !dryRun && !back.Load():
			away.Store(true)
			apiproxy.Cut(w, r, pass)
		}
		pass(w, r)
	}})
	e := a.run(t, map[string]any{"manifests": configMaps(60), "region": where})
	output := applied(t, e)
	assert.GreaterOrEqual(t, len(failures(e)), 3, "the attempts of a round that could apply nothing")
	assert.Equal(t, []string{"ApplyManifests: ClusterUnreachable"}, slices.Compact(failures(e)))
	halfway := put[:len(put)-1]
	assert.Equal(t, path(halfway, "StaleCluster", "RefreshCluster", planned[1:], put, "Output"), e.Path[slices.Index(e.Path, "StaleCluster")-len(halfway):])
	assert.Equal(t, 60, output.Plan.Created, "what was applied before counts as created by this execution")
	assert.Zero(t, output.Plan.Unchanged)
	assert.Equal(t, 60, output.Applied)
	maps, err := admin(t).CoreV1().ConfigMaps(a.namespace).List(t.Context(), metav1.ListOptions{FieldSelector: "metadata.name!=kube-root-ca.crt"})
	require.NoError(t, err)
	assert.Len(t, maps.Items, 60)
}

func TestWhatWasAppliedIsToldAfterARefresh(t *testing.T) {
	t.Parallel()
	a := newAdmin(t)
	_, where := proxied(t, apiproxy.Fault{Resource: "c37", Answer: func(w http.ResponseWriter, r *http.Request, pass http.HandlerFunc) {
		if r.Method == http.MethodPatch && r.URL.Query().Get("dryRun") == "" {
			apiproxy.Cut(w, r, pass)
		}
		pass(w, r)
	}})
	e := a.run(t, map[string]any{"manifests": configMaps(60), "region": where})
	stopped(t, e, contract.ClusterUnreachable, " of 60 objects were applied and are left in place: ConfigMap "+a.namespace+"/c0, ")
	assert.NotContains(t, e.Cause, "Nothing was applied")
	assert.Contains(t, e.Path, "RefreshCluster")
}

func TestAWebhookIsAppliedAfterWhatItWouldRefuse(t *testing.T) {
	t.Parallel()
	a := newAdmin(t)
	a.set(t, map[string]string{"ApplyAllowedKinds": "ValidatingWebhookConfiguration"})
	name := a.stack.Name + ".example.com"
	t.Cleanup(func() {
		_ = admin(t).AdmissionregistrationV1().ValidatingWebhookConfigurations().Delete(context.WithoutCancel(t.Context()), name, metav1.DeleteOptions{})
	})
	webhook := fmt.Sprintf(`
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: %[1]s}
webhooks:
- name: %[1]s
  clientConfig: {url: "https://127.0.0.1:1/nobody-listens"}
  rules: [{apiGroups: [""], apiVersions: [v1], resources: [configmaps], operations: [CREATE, UPDATE]}]
  namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: %[2]s}}
  sideEffects: None
  admissionReviewVersions: [v1]
`, name, a.namespace)
	assert.Equal(t, 4, applied(t, a.apply(t, webhook+configMaps(3))).Applied)
	_, err := admin(t).AdmissionregistrationV1().ValidatingWebhookConfigurations().Get(t.Context(), name, metav1.GetOptions{})
	require.NoError(t, err)
}

func TestADeploymentIsWaitedForUntilItIsReady(t *testing.T) {
	t.Parallel()
	a := newAdmin(t)
	e := a.run(t, map[string]any{"manifests": configMap("one", "1") + "---" + slowDeployment, "wait": map[string]any{"timeoutSeconds": 60}})
	assert.True(t, applied(t, e).Ready)
	rounds := e.Attempts("CheckReadiness")
	assert.Greater(t, rounds, 1)
	assert.Equal(t, path(planned, put, times(rounds, path("WaitUntilReady", checked)...), "Output"), e.Path)
}

func TestADeploymentThatNeverGetsReadyIsNamed(t *testing.T) {
	t.Parallel()
	a := newAdmin(t)
	broken := strings.ReplaceAll(webDeployment, "registry.example.com", "registry.invalid")
	e := a.run(t, map[string]any{"manifests": configMap("one", "1") + "---" + broken, "wait": map[string]any{"timeoutSeconds": 4}})
	stopped(t, e, contract.NotReady, "1 of 2 objects in cluster demo are not ready: Deployment "+a.namespace+"/web (InProgress: ", "All objects were applied and are left in place")
}

func TestAStackAppliesOnlyIfItIsAsked(t *testing.T) {
	t.Parallel()
	reader := newScenario(t)
	assert.Empty(t, reader.stack.Role("apply-manifests"))

	a := newApplier(t)
	keys := map[string]string{}
	for _, f := range local.Lambda.Functions() {
		if name, own := strings.CutPrefix(f.Name, a.stack.Name+"-"); own && f.Environment["KUBESTEP_SEAL_KEY"] != "" {
			keys[name] = f.Environment["KUBESTEP_SEAL_KEY"]
		}
	}
	for _, writer := range []string{"apply-mint-token", "verify-apply", "plan-manifests", "apply-manifests", "check-readiness"} {
		assert.Equal(t, keys["apply-mint-token"], keys[writer], writer)
		for _, reader := range []string{"mint-token", "verify-rbac", "list-pods"} {
			assert.NotEqual(t, keys[reader], keys[writer], "%s cannot open what %s opens", reader, writer)
		}
	}
	inventory := "arn:aws:states:eu-west-1:111122223333:execution:" + a.stack.Name + "-pod-inventory:one"
	var token contract.Token
	assert.Equal(t, string(contract.AccessDenied), a.invoke(t, "apply-mint-token", contract.MintToken{Execution: inventory, Cluster: a.attest(t, inventory, contract.Cluster{Name: "demo", Region: "eu-west-1"})}, &token),
		"what was attested for an inventory has no token that applies")
	e := a.apply(t, "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: all}\nrules: []\n")
	stopped(t, e, contract.InvalidInput, "whoever applies Role objects can give themselves any permission")
}
