package test

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/local/awsfront"
	"github.com/kubestep/kubestep/local/world"
)

// The parts of the path of an execution of a set.
var (
	setPlanned = path("WithFreshToken", "MintToken", "IsApplied", "VerifyApply", "IsPlanned", "PlanSet")
	pruned     = path("WithFreshToken", "MintToken", "IsApplied", "PruneObjects", "WhatIsLeft")
)

// inSet is an input for manifests of a set that is pruned, with more keys.
func inSet(set, manifests string, more map[string]any) map[string]any {
	input := map[string]any{"set": set, "manifests": manifests, "prune": true}
	for key, value := range more {
		input[key] = value
	}
	return input
}

// marked is a ConfigMap with these annotations and labels.
func marked(name string, annotations, labels map[string]string) string {
	text, err := yaml.Marshal(metav1.PartialObjectMetadata{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"}, ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: annotations, Labels: labels},
	})
	if err != nil {
		panic(err)
	}
	return "---\n" + string(text)
}

// notes are what a plan says of its objects, by name.
func notes(plan applymanifests.PlanReport, action applymanifests.Action) map[string]string {
	all := map[string]string{}
	for _, o := range plan.Objects {
		if o.Action == action {
			all[o.Name] = strings.Join(o.Notes, "; ")
		}
	}
	return all
}

// exists reports whether the ConfigMap is there.
func (a *applier) exists(t *testing.T, name string) bool {
	t.Helper()
	_, err := admin(t).CoreV1().ConfigMaps(a.namespace).Get(t.Context(), name, metav1.GetOptions{})
	if !apierrors.IsNotFound(err) {
		require.NoError(t, err)
	}
	return err == nil
}

// parent is the ConfigMap of a set.
func (a *applier) parent(t *testing.T, set string) *corev1.ConfigMap {
	t.Helper()
	parent, err := admin(t).CoreV1().ConfigMaps(a.namespace).Get(t.Context(), set, metav1.GetOptions{})
	require.NoError(t, err)
	return parent
}

func TestRailsOfASet(t *testing.T) {
	t.Parallel()
	a := newPruner(t)

	t.Run("more than ten objects go only if the input says how many", func(t *testing.T) {
		t.Parallel()
		applied(t, a.run(t, inSet("many", configMapsOf("m0", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "m9", "m10", "m11"), nil)))
		one := strings.Replace(configMapsOf("m0"), "{a: b}", "{a: changed}", 1)

		e := a.run(t, inSet("many", one, nil))

		stopped(t, e, contract.PruneRefused, "Nothing was applied", "and nothing deleted: of set "+a.namespace+"/many, 11 objects are not in the manifests", "--prune-max 11", "ConfigMap "+a.namespace+"/m11")
		assert.NotContains(t, e.Path, "ApplyManifests")
		live, err := admin(t).CoreV1().ConfigMaps(a.namespace).Get(t.Context(), "m0", metav1.GetOptions{})
		require.NoError(t, err)
		assert.Equal(t, "b", live.Data["a"], "nothing was applied")

		plan := applied(t, a.run(t, inSet("many", one, map[string]any{"mode": "plan"})))
		assert.Contains(t, plan.Plan.Refused, "--prune-max 11", "a plan says so, and is no error")
		stopped(t, a.run(t, inSet("many", one, map[string]any{"prune": map[string]any{"max": 5}})), contract.PruneRefused, `"prune": {"max": 5} allows fewer`)

		e = a.run(t, inSet("many", one, map[string]any{"prune": map[string]any{"max": 11}}))
		assert.Equal(t, path(planned, setPlanned, "WhatIsLeft", put, pruned, "Output"), e.Path)
		out := applied(t, e)
		assert.Equal(t, []int{1, 11}, []int{out.Applied, out.Pruned})
		assert.Equal(t, "1", a.parent(t, "many").Annotations["kubestep.github.io/members"])
	})

	t.Run("what is marked, owned or protected stays", func(t *testing.T) {
		t.Parallel()
		manifests := configMapsOf("owned-by-object") +
			marked("detached", map[string]string{"client.lifecycle.config.k8s.io/deletion": "detach"}, nil) +
			marked("kept-on-remove", map[string]string{"cli-utils.sigs.k8s.io/on-remove": "keep"}, nil) +
			marked("kept-by-policy", map[string]string{"helm.sh/resource-policy": "keep"}, nil) +
			marked("prune-disabled", map[string]string{"kustomize.toolkit.fluxcd.io/prune": "disabled"}, nil) +
			marked("prune-false", map[string]string{"argocd.argoproj.io/sync-options": "Prune=false"}, nil) +
			marked("of-helm", map[string]string{"meta.helm.sh/release-name": "cache"}, nil) +
			marked("of-argo", map[string]string{"argocd.argoproj.io/tracking-id": "shop:/ConfigMap:a/b"}, nil) +
			marked("of-flux", nil, map[string]string{"kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"}) +
			"---\napiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}\nspec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}\n"
		applied(t, a.run(t, inSet("spared", manifests+configMapsOf("stays"), nil)))
		owner := a.parent(t, "spared")
		patch := fmt.Sprintf(`{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":%q,"uid":%q}]}}`, owner.Name, owner.UID)
		a.kubectl(t, "", "patch", "configmap", "owned-by-object", "-p", patch)

		out := applied(t, a.run(t, inSet("spared", configMapsOf("stays"), nil)))

		assert.Equal(t, map[string]string{
			"owned-by-object": "ConfigMap spared owns it",
			"detached":        "its annotation client.lifecycle.config.k8s.io/deletion: detach keeps it",
			"kept-on-remove":  "its annotation cli-utils.sigs.k8s.io/on-remove: keep keeps it",
			"kept-by-policy":  "its annotation helm.sh/resource-policy: keep keeps it",
			"prune-disabled":  "its annotation kustomize.toolkit.fluxcd.io/prune: disabled keeps it",
			"prune-false":     "its annotation argocd.argoproj.io/sync-options: Prune=false keeps it",
			"of-helm":         "Helm release " + a.namespace + "/cache owns it",
			"of-argo":         "Argo CD application shop owns it",
			"of-flux":         "Flux object flux-system/apps owns it",
			"data":            `objects of kind PersistentVolumeClaim take others along, or data: to prune them, name PersistentVolumeClaim in "prune": {"kinds": […]} (--prune-kinds)`,
		}, notes(out.Plan, applymanifests.ActionSpared))
		assert.Zero(t, out.Pruned)
		assert.Empty(t, out.Kept, "the plan says it")
		for _, name := range []string{"owned-by-object", "detached", "kept-on-remove", "kept-by-policy", "prune-disabled", "prune-false", "of-helm", "of-argo", "of-flux"} {
			assert.True(t, a.exists(t, name), name)
		}

		out = applied(t, a.run(t, map[string]any{"mode": "delete", "set": "spared", "prune": map[string]any{"kinds": []string{"PersistentVolumeClaim"}}, "wait": map[string]any{"timeoutSeconds": 60}}))
		assert.Equal(t, []int{2, 9}, []int{out.Pruned, out.Plan.Spared}, "the claim, and the one that stayed in the manifests")
		assert.True(t, a.exists(t, "spared"), "a set that has members is still a set")
	})

	t.Run("objects of others are taken only from whom the input names", func(t *testing.T) {
		t.Parallel()
		applied(t, a.run(t, inSet("donor", configMapsOf("from-set"), nil)))
		a.kubectl(t, marked("from-helm", map[string]string{"meta.helm.sh/release-name": "cache", "meta.helm.sh/release-namespace": "shop"}, nil)+
			marked("from-argo", map[string]string{"argocd.argoproj.io/tracking-id": "shop:/ConfigMap:a/b"}, nil)+
			marked("from-flux", nil, map[string]string{"kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"})+
			strings.ReplaceAll(configMapsOf("from-manager"), "{a: b}", "{other: content}"), "apply", "--server-side", "--field-manager", "terraform", "-f", "-")
		a.kubectl(t, configMapsOf("of-nobody"), "create", "-f", "-")
		manifests := configMapsOf("from-set", "from-helm", "from-argo", "from-flux", "from-manager", "of-nobody")

		e := a.run(t, inSet("taker", manifests, nil))

		stopped(t, e, contract.OwnerConflict, "5 of 6 objects cannot be taken into set "+a.namespace+"/taker", "(adopt: helm/shop/cache)", "(adopt: argocd/shop)", "(adopt: flux/flux-system/apps)", "(adopt: manager/terraform)", "(adopt: set/applyset-", "These sets are in: kubectl get configmaps -A -l applyset.kubernetes.io/id -L applyset.kubernetes.io/id")
		assert.False(t, a.exists(t, "taker"), "nothing was changed, and no set made")
		plan := applied(t, a.run(t, inSet("taker", manifests, map[string]any{"mode": "plan"})))
		owners := map[string]string{}
		var adopt []string
		for _, o := range plan.Plan.Objects {
			if len(o.Owners) > 0 {
				owners[o.Name] = o.Owners[0]
				adopt = append(adopt, o.Owners...)
			}
		}
		donor := a.parent(t, "donor").Labels["applyset.kubernetes.io/id"]
		assert.Equal(t, map[string]string{"from-set": "set/" + donor, "from-helm": "helm/shop/cache", "from-argo": "argocd/shop", "from-flux": "flux/flux-system/apps", "from-manager": "manager/terraform"}, owners)
		stopped(t, a.run(t, inSet("taker", manifests, map[string]any{"adopt": adopt[:4]})), contract.OwnerConflict, "1 of 6 objects cannot be taken into set")

		adopt = append(adopt, "set/"+a.namespace+"/donor")
		out := applied(t, a.run(t, inSet("taker", manifests, map[string]any{"adopt": adopt})))
		assert.Equal(t, 6, out.Applied)
		for _, name := range []string{"from-set", "from-helm", "from-argo", "from-flux", "from-manager", "of-nobody"} {
			live, err := admin(t).CoreV1().ConfigMaps(a.namespace).Get(t.Context(), name, metav1.GetOptions{})
			require.NoError(t, err)
			assert.Equal(t, a.parent(t, "taker").Labels["applyset.kubernetes.io/id"], live.Labels["applyset.kubernetes.io/part-of"], name)
		}
		out = applied(t, a.run(t, map[string]any{"mode": "delete", "set": "donor"}))
		assert.Zero(t, out.Pruned, "its object is another set's now")
		assert.True(t, a.exists(t, "from-set"))
	})

	t.Run("what a finalizer holds stays a member, and is named", func(t *testing.T) {
		t.Parallel()
		held := "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: held, finalizers: [example.com/hold]}\n"
		applied(t, a.run(t, inSet("finalized", configMapsOf("f")+held, nil)))

		e := a.run(t, inSet("finalized", configMapsOf("f"), map[string]any{"wait": map[string]any{"timeoutSeconds": 3}}))
		stopped(t, e, contract.NotDeleted, "1 object is still there, of set "+a.namespace+"/finalized", "ConfigMap "+a.namespace+"/held: it is being deleted, since ", "waits for its finalizers [example.com/hold]")
		assert.Contains(t, e.Path, "WaitUntilGone")

		out := applied(t, a.run(t, inSet("finalized", configMapsOf("f"), nil)))
		require.Len(t, out.Deleting, 1)
		assert.Equal(t, "held", out.Deleting[0].Name)
		assert.Contains(t, out.Deleting[0].Message, "example.com/hold")
		assert.Equal(t, "2", a.parent(t, "finalized").Annotations["kubestep.github.io/members"])

		out = applied(t, a.run(t, map[string]any{"mode": "delete", "set": "finalized"}))
		assert.Equal(t, 1, out.Pruned)
		assert.True(t, a.exists(t, "finalized"), "the set stays as long as it has members")

		a.kubectl(t, "", "patch", "configmap", "held", "--type=merge", "-p", `{"metadata":{"finalizers":null}}`)
		out = applied(t, a.run(t, map[string]any{"mode": "delete", "set": "finalized"}))
		assert.Empty(t, out.Deleting)
		assert.False(t, a.exists(t, "finalized"))
	})

	t.Run("a set that is not there is deleted already, and one without a namespace cannot be made", func(t *testing.T) {
		t.Parallel()
		for _, mode := range []string{"plan-delete", "delete"} {
			out := applied(t, a.run(t, map[string]any{"mode": mode, "set": "nothing"}))
			assert.False(t, out.Drift, mode)
			assert.Zero(t, out.Pruned)
		}
		missing := a.namespace + "-missing"
		manifests := strings.ReplaceAll(configMapsOf("a"), "{name: a}", "{name: a, namespace: "+a.namespace+"}")
		for _, mode := range []string{"plan", "apply"} {
			e := a.run(t, inSet("homeless", manifests, map[string]any{"mode": mode, "namespace": missing}))
			stopped(t, e, contract.InvalidInput, "has no namespace "+missing+", in which the ConfigMap of set homeless is to be")
		}
	})

	t.Run("a member whose definition is gone does not stop the set", func(t *testing.T) {
		t.Parallel()
		kind := "R" + strings.ToLower(strings.ReplaceAll(a.stack.Name, "-", ""))
		plural := strings.ToLower(kind) + "s"
		definition := fmt.Sprintf(`---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: %s.rails.example.com}
spec:
  group: rails.example.com
  scope: Namespaced
  names: {plural: %s, singular: %s, kind: %s}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]
`, plural, plural, strings.ToLower(kind), kind)
		a.kubectl(t, definition, "apply", "-f", "-")
		a.kubectl(t, "", "wait", "--for=condition=Established", "crd/"+plural+".rails.example.com")
		object := "---\napiVersion: rails.example.com/v1\nkind: " + kind + "\nmetadata: {name: one}\n"
		applied(t, a.run(t, inSet("undefined", configMapsOf("u")+object, nil)))
		a.kubectl(t, definition, "delete", "-f", "-")

		out := applied(t, a.run(t, inSet("undefined", configMapsOf("u"), nil)))

		assert.Equal(t, []int{0, 1}, []int{out.Pruned, out.Plan.Members}, "it went with its definition")
		assert.Contains(t, a.parent(t, "undefined").Annotations["applyset.kubernetes.io/contains-group-kinds"], kind+".rails.example.com", "which may come back")
		applied(t, a.run(t, map[string]any{"mode": "delete", "set": "undefined"}))
		assert.False(t, a.exists(t, "undefined"))
	})

	t.Run("a ConfigMap that is no set, and a set of kubectl, are left alone", func(t *testing.T) {
		t.Parallel()
		a.kubectl(t, configMapsOf("settings"), "create", "-f", "-")
		a.kubectl(t, marked("theirs", map[string]string{"applyset.kubernetes.io/tooling": "kubectl/v1.37", "applyset.kubernetes.io/contains-group-kinds": "ConfigMap"}, map[string]string{"applyset.kubernetes.io/id": "applyset-x"}), "create", "-f", "-")
		for _, mode := range []string{"apply", "delete"} {
			input := map[string]any{"mode": mode, "set": "settings"}
			if mode == "apply" {
				input["manifests"] = configMapsOf("s")
			}
			stopped(t, a.run(t, input), contract.OwnerConflict, "ConfigMap "+a.namespace+"/settings in cluster demo cannot be set settings: it exists and is no set")
			input["set"] = "theirs"
			stopped(t, a.run(t, input), contract.OwnerConflict, `it is a set of "kubectl/v1.37", and only that may change it`)
		}
	})
}

func TestASetWhoseManifestsAreInS3(t *testing.T) {
	t.Parallel()
	a := newPruner(t)
	client, source := a.bucket(t, configMapsOf("one", "two"))
	input := func(more map[string]any) map[string]any {
		all := map[string]any{"source": source, "set": "addons", "prune": true}
		maps.Copy(all, more)
		return all
	}
	applied(t, a.run(t, input(nil)))
	_, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(source["bucket"].(string)), Key: aws.String(source["key"].(string)), Body: strings.NewReader(configMapsOf("one"))})
	require.NoError(t, err)

	plan := applied(t, a.run(t, input(map[string]any{"mode": "plan", "output": map[string]any{"bucket": source["bucket"], "prefix": "diffs"}})))

	require.NotNil(t, plan.Plan.Diff)
	require.Len(t, plan.Plan.Diff.Keys, 2, "of the manifests, and of the members that left them")
	read, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &plan.Plan.Diff.Bucket, Key: &plan.Plan.Diff.Keys[1]})
	require.NoError(t, err)
	text, err := io.ReadAll(read.Body)
	require.NoError(t, err)
	assert.Contains(t, string(text), "ConfigMap "+a.namespace+"/two: pruned")
	assert.Equal(t, 1, applied(t, a.run(t, input(nil))).Pruned)
}

func TestAStackWithoutEnablePruneDeletesNothing(t *testing.T) {
	t.Parallel()
	a := newApplier(t)
	a.allow(t, rbacv1.PolicyRule{APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"*"}})
	applied(t, a.run(t, map[string]any{"set": "addons", "manifests": configMapsOf("one", "two")}))
	e := a.run(t, inSet("addons", configMapsOf("one"), nil))
	stopped(t, e, contract.InvalidInput, "EnablePrune", "rbac/apply/prune")
	assert.Equal(t, path("DescribeCluster", "LoadManifests"), e.Path[:2])
	assert.NotContains(t, e.Path, "MintToken")
	stopped(t, a.run(t, map[string]any{"mode": "delete", "set": "addons"}), contract.InvalidInput, "EnablePrune")
	for _, input := range []map[string]any{inSet("addons", configMapsOf("one"), map[string]any{"mode": "plan"}), {"mode": "plan-delete", "set": "addons"}} {
		assert.Positive(t, applied(t, a.run(t, input)).Plan.Pruned, "a plan changes nothing")
	}
	assert.True(t, a.exists(t, "two"))
}

func TestWhatASetMissesInRBACIsToldAtOnce(t *testing.T) {
	t.Parallel()
	a := newApplier(t)
	a.set(t, map[string]string{"EnablePrune": "true"})
	account := "---\napiVersion: v1\nkind: ServiceAccount\nmetadata: {name: web}\n"

	e := a.run(t, inSet("addons", configMapsOf("one")+account, nil))

	stopped(t, e, contract.Forbidden, "create/list/delete configmaps in namespace "+a.namespace, "list/delete serviceaccounts in namespace "+a.namespace)
	a.grant(t, e.Cause)
	applied(t, a.run(t, inSet("addons", configMapsOf("one")+account, nil)))
	out := applied(t, a.run(t, inSet("addons", configMapsOf("one"), nil)))
	assert.Equal(t, 1, out.Pruned, "the rights for what left the manifests are those for what was in them")

	e = a.run(t, map[string]any{"mode": "sets", "namespace": "*"})
	stopped(t, e, contract.Forbidden, "list configmaps in all namespaces", "kind: ClusterRole\n")
	assert.Len(t, applied(t, a.run(t, map[string]any{"mode": "sets"})).Sets, 1)
	a.grant(t, e.Cause)
	assert.NotEmpty(t, applied(t, a.run(t, map[string]any{"mode": "sets", "namespace": "*"})).Sets)
}

func TestTheCommandAppliesListsAndDeletesSets(t *testing.T) {
	t.Parallel()
	a := newPruner(t)
	shell := newShell(t, local.ControlPlane.Kubeconfig)
	run := func(status int, args ...string) string {
		t.Helper()
		stdout, stderr, err := shell.run(t, []string{"APPLY_MANIFESTS_ARN=" + a.machine}, "build/local/kubestep", args...)
		got, exit := 0, (*exec.ExitError)(nil)
		if errors.As(err, &exit) {
			got = exit.ExitCode()
		}
		require.Equal(t, status, got, stderr)
		return stdout
	}
	two, one := filepath.Join(t.TempDir(), "two.yaml"), filepath.Join(t.TempDir(), "one.yaml")
	require.NoError(t, os.WriteFile(two, []byte(configMapsOf("one", "two")), 0o600))
	require.NoError(t, os.WriteFile(one, []byte(configMapsOf("one")), 0o600))
	apply := []string{"apply", "demo", "-n", a.namespace, "--set", "addons", "-f"}

	assert.Contains(t, run(0, slices.Concat(apply, []string{two})...), "set "+a.namespace+"/addons: 2 members")
	assert.Contains(t, run(3, slices.Concat(apply, []string{one, "--plan", "--detailed-exitcode"})...), "1 object left the manifests and stays: --prune deletes it")
	assert.Regexp(t, `two +prune\n`, run(3, slices.Concat(apply, []string{one, "--plan", "--detailed-exitcode", "--prune"})...))
	assert.Regexp(t, `(?s)two +pruned\n.* 1 pruned, in .*: 1 member\n`, run(0, slices.Concat(apply, []string{one, "--prune"})...))
	assert.Contains(t, run(0, slices.Concat(apply, []string{one, "--plan", "--detailed-exitcode", "--prune"})...), "No drift")
	assert.Regexp(t, `addons +1 +20.*Z +kubestep/v1\n\n1 set in namespace `, run(0, "sets", "demo", "-n", a.namespace))
	assert.Regexp(t, `one +delete\n`, run(3, "delete", "demo", "-n", a.namespace, "--set", "addons", "--plan", "--detailed-exitcode"))
	assert.Contains(t, run(0, "delete", "demo", "-n", a.namespace, "--set", "addons", "--wait", "30s"), "Deleted set "+a.namespace+"/addons in cluster demo (Kubernetes 1.37, eu-west-1): 1 object, in ")
	assert.Contains(t, run(0, "delete", "demo", "-n", a.namespace, "--set", "addons", "--plan", "--detailed-exitcode"), "There is no set")
	assert.False(t, a.exists(t, "one"))
}

func TestAFleetPrunesASetInEachCluster(t *testing.T) {
	t.Parallel()
	a := newPruner(t)
	require.NoError(t, local.CreateBucket(t.Context(), a.scenario.bucket()))
	a.set(t, map[string]string{"OutputBucket": a.scenario.bucket()})
	theirs, where := another(t, "of-a-fleet"), region()
	require.NoError(t, local.Describe(theirs, func(d *awsfront.Cluster) { d.ARN = clusterARN(where, world.Account) }))
	mapped, err := yaml.Marshal([]mapping{{a.stack.Role("apply-mint-token"), "applier", []string{"system:masters"}}})
	require.NoError(t, err)
	config, err := theirs.Admin()
	require.NoError(t, err)
	client, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	_, err = client.CoreV1().ConfigMaps("kube-system").Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "aws-auth"}, Data: map[string]string{"mapRoles": string(mapped)},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	kubectl(t, theirs, "create", "namespace", a.namespace)
	applied(t, a.run(t, inSet("addons", configMapsOf("one"), nil)))
	applied(t, a.run(t, inSet("addons", configMapsOf("one", "two"), map[string]any{"region": where})))

	e := a.fleet(t, map[string]any{
		"workflow": "apply-manifests", "clusters": []any{world.ClusterName, map[string]string{"clusterName": world.ClusterName, "region": where}},
		"request": map[string]any{"mode": "apply", "namespace": a.namespace, "manifests": configMapsOf("one"), "set": "addons", "prune": true},
		"output":  map[string]string{"bucket": a.scenario.bucket()},
	})

	output := fleetOutput(t, e)
	assert.Equal(t, map[fleet.Status]int{fleet.StatusSucceeded: 2}, output.Summary.ByStatus)
	assert.Equal(t, 1, output.Summary.Totals["pruned"])
	pruned := map[string]int{}
	for _, o := range output.Outcomes {
		pruned[o.Region] = o.Totals["pruned"]
	}
	assert.Equal(t, map[string]int{"eu-west-1": 0, where: 1}, pruned)
	assert.Regexp(t, `(?i)pruned`, a.object(t, folder(e)+"report.html"))
	header, _, _ := strings.Cut(a.object(t, folder(e)+"report.csv"), "\n")
	assert.Contains(t, header, "pruned")
	_, err = client.CoreV1().ConfigMaps(a.namespace).Get(t.Context(), "two", metav1.GetOptions{})
	assert.True(t, apierrors.IsNotFound(err))
}
