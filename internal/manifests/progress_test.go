package manifests_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/kube/kubetest"
)

// unless is a refusal of everything but dry runs.
func unlessDry(refuse func(http.ResponseWriter, *http.Request) bool) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		return r.URL.Query().Get("dryRun") == "" && refuse(w, r)
	}
}

func TestWhatARoundAppliedIsNotLostByItsLastError(t *testing.T) {
	for _, c := range []struct {
		name   contract.ErrorName
		refuse func(http.ResponseWriter, *http.Request) bool
	}{
		{contract.ClusterUnreachable, says(503, metav1.StatusReasonServiceUnavailable, "gone")},
		{contract.Unauthorized, says(401, metav1.StatusReasonUnauthorized, "Unauthorized")},
	} {
		t.Run(string(c.name), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := execution(t, configMaps(40))
				plan, err := f.plan(t.Context())
				require.NoError(t, err)
				f.before = takes(time.Millisecond) // so that others are under way
				f.refuse[path("c20")] = unlessDry(c.refuse)

				payload := applymanifests.ApplyManifests{Session: f.session, Plan: plan}
				payload.Apply, err = f.applier.Apply(t.Context(), payload)
				require.NoError(t, err, "the next round meets the error first")
				assert.False(t, payload.Apply.Complete)
				assert.Positive(t, payload.Apply.Applied)
				for range 10 {
					if payload.Apply.Applied == 39 {
						break
					}
					payload.Apply, err = f.applier.Apply(t.Context(), payload)
					require.NoError(t, err)
				}
				require.Equal(t, 39, payload.Apply.Applied)
				_, err = f.applier.Apply(t.Context(), payload)
				name, message := kubetest.Told(t, err)
				assert.Equal(t, string(c.name), name)
				assert.Contains(t, message, "Before that, 39 of 40 objects were applied and are left in place: ConfigMap shop/c0, ")
				assert.NotContains(t, message, "Nothing was applied")
			})
		})
	}
}

// refreshed is an execution whose cluster is described again after two of three objects were applied.
func refreshed(t *testing.T) *tester {
	f := execution(t, configMaps(3))
	plan, err := f.plan(t.Context())
	require.NoError(t, err)
	f.refuse[path("c2")] = unlessDry(says(503, metav1.StatusReasonServiceUnavailable, "gone"))
	apply, err := f.applier.Apply(t.Context(), applymanifests.ApplyManifests{Session: f.session, Plan: plan})
	require.NoError(t, err)
	require.Equal(t, 2, apply.Applied)
	f.session.Progress = f.session.Manifests.SHA256 + ":" + apply.Done
	return f
}

func TestARefreshForgetsNothingThatWasApplied(t *testing.T) {
	const before = ". Before that, 2 of 3 objects were applied and are left in place: ConfigMap shop/c0, ConfigMap shop/c1"

	t.Run("in the report", func(t *testing.T) {
		f := refreshed(t)
		delete(f.refuse, path("c2"))
		f.applied = nil
		plan, applied, err := f.apply(t)
		require.NoError(t, err)
		assert.Equal(t, 3, plan.Created)
		assert.Zero(t, plan.Unchanged)
		assert.True(t, plan.Drift)
		for _, o := range plan.Objects {
			assert.Equal(t, applymanifests.ActionCreated, o.Action, o.Name)
		}
		assert.True(t, applied.Complete)
		assert.Equal(t, 3, applied.Applied)
		assert.Equal(t, []string{path("c2")}, f.applied, "what is as it should be is not applied again")
	})
	t.Run("if another cluster answers", func(t *testing.T) {
		f := refreshed(t)
		delete(f.refuse, path("c2"))
		clear(f.objects)
		f.applied = nil
		plan, applied, err := f.apply(t)
		require.NoError(t, err)
		assert.Equal(t, 3, plan.Created)
		assert.Equal(t, 3, applied.Applied)
		assert.Len(t, f.applied, 3)
	})
	t.Run("in an error of the next apply", func(t *testing.T) {
		f := refreshed(t)
		plan, err := f.plan(t.Context())
		require.NoError(t, err)
		_, err = f.applier.Apply(t.Context(), applymanifests.ApplyManifests{Session: f.session, Plan: plan})
		_, message := kubetest.Told(t, err)
		assert.True(t, strings.HasSuffix(message, before), message)
	})
	t.Run("in an error of the next plan", func(t *testing.T) {
		f := refreshed(t)
		f.refuse[path("c1")] = says(422, metav1.StatusReasonInvalid, "no")
		_, err := f.plan(t.Context())
		_, message := kubetest.Told(t, err)
		assert.True(t, strings.HasSuffix(message, before), message)
		f.refuse[path("c1")] = says(503, metav1.StatusReasonServiceUnavailable, "gone")
		_, err = f.plan(t.Context())
		_, message = kubetest.Told(t, err)
		assert.True(t, strings.HasSuffix(message, before), message)
	})
	t.Run("in a conflict of the next plan", func(t *testing.T) {
		f := refreshed(t)
		f.refuse[path("c2")] = conflict
		_, err := f.plan(t.Context())
		name, message := kubetest.Told(t, err)
		assert.Equal(t, "FieldConflict", name)
		assert.NotContains(t, message, "Nothing was applied")
		assert.True(t, strings.HasSuffix(message, before), message)
	})
	t.Run("in a denial of the next review", func(t *testing.T) {
		f := refreshed(t)
		f.denied["patch configmaps shop/"], f.denied["patch configmaps shop/c2"] = true, true
		_, err := f.verify(t.Context(), applymanifests.VerifiedApply{})
		_, message := kubetest.Told(t, err)
		assert.Contains(t, message, before+". These roles allow exactly what is missing (if the namespace exists); apply them with kubectl apply -f -\n---\n")
	})
	t.Run("in an error before the cluster is asked about an object", func(t *testing.T) {
		f := refreshed(t)
		f.before = func(w http.ResponseWriter, _ *http.Request) bool {
			kubetest.Refuse(w, 503, metav1.StatusReasonServiceUnavailable, "gone")
			return true
		}
		_, err := f.plan(t.Context())
		_, message := kubetest.Told(t, err)
		assert.True(t, strings.HasSuffix(message, ". Before that, 2 of 3 objects were applied and are left in place: ConfigMap c0, ConfigMap c1"), message)
	})
	t.Run("if the manifests cannot be read again", func(t *testing.T) {
		f := refreshed(t)
		delete(f.files, "m.yaml")
		_, err := f.plan(t.Context())
		_, message := kubetest.Told(t, err)
		assert.Contains(t, message, ". Before that, 2 of 3 objects were applied and are left in place")
	})
	t.Run("if the manifests are others", func(t *testing.T) {
		f := refreshed(t)
		f.files["m.yaml"] = configMaps(4)
		_, err := f.applier.Source.Load(t.Context(), applymanifests.LoadManifests{Request: f.session.Request, Progress: f.session.Progress})
		name, message := kubetest.Told(t, err)
		assert.Equal(t, "InvalidInput", name)
		assert.Contains(t, message, "source: s3://b/m.yaml changed while the execution ran")
		assert.Contains(t, message, ". Before that, 2 of 3 objects were applied and are left in place")
	})
	t.Run("and others are read if nothing was applied", func(t *testing.T) {
		f := execution(t, configMaps(3))
		f.session.Progress = f.session.Manifests.SHA256 + ":..."
		f.files["m.yaml"] = configMaps(4)
		loaded, err := f.applier.Source.Load(t.Context(), applymanifests.LoadManifests{Request: f.session.Request, Progress: f.session.Progress})
		require.NoError(t, err)
		assert.Equal(t, 4, loaded.Objects)
	})
}

func TestWhatWasAppliedIsNamedAsItIsInTheCluster(t *testing.T) {
	f := execution(t, "apiVersion: v1\nkind: Namespace\nmetadata: {name: new}\n---\n"+configMaps(1))
	plan, err := f.plan(t.Context())
	require.NoError(t, err)
	f.refuse[path("c0")] = says(422, metav1.StatusReasonInvalid, "no")
	_, err = f.applier.Apply(t.Context(), applymanifests.ApplyManifests{Session: f.session, Plan: plan})
	_, message := kubetest.Told(t, err)
	assert.True(t, strings.HasSuffix(message, "left in place: Namespace new"), message)
}

func TestAnAttemptDoesNotClaimWhatItCannotKnow(t *testing.T) {
	f := execution(t, configMaps(2))
	plan, err := f.plan(t.Context())
	require.NoError(t, err)
	for _, name := range []string{"c0", "c1"} {
		f.refuse[path(name)] = says(503, metav1.StatusReasonServiceUnavailable, "gone")
	}
	for attempt, want := range []string{". Nothing was applied", ". Nothing is known to have been applied"} {
		_, err = f.applier.Apply(t.Context(), applymanifests.ApplyManifests{Session: f.session, Plan: plan, Attempt: attempt})
		_, message := kubetest.Told(t, err)
		assert.True(t, strings.HasSuffix(message, want), message)
	}
}

// missingRole answers as the API server does if the role of a binding is not there: with the binding's kind, and the role's name.
func (f *tester) missingRole(role string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		if f.objects[role] != nil {
			return false
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`{"kind":"Status","apiVersion":"v1","status":"Failure","message":"rolebindings.rbac.authorization.k8s.io \"reader\" not found","reason":"NotFound","details":{"name":"reader","group":"rbac.authorization.k8s.io","kind":"rolebindings"},"code":404}`))
		return true
	}
}

func TestARoleAndItsBindingAreAppliedInOneGo(t *testing.T) {
	f := execution(t, roleAndBinding)
	f.refuse[bindings+"read"] = f.missingRole(roles + "reader")
	plan, applied, err := f.apply(t)
	require.NoError(t, err)
	assert.Equal(t, "its role is among the manifests", plan.Objects[0].Unchecked)
	assert.Equal(t, applymanifests.ActionCreated, plan.Objects[0].Action)
	assert.Equal(t, 3, plan.Created)
	assert.Equal(t, 3, applied.Applied)
	assert.Equal(t, bindings+"read", f.applied[2], "after the role")

	f = execution(t, strings.ReplaceAll(roleAndBinding, "metadata: {name: reader}", "metadata: {name: writer}"))
	f.refuse[bindings+"read"] = f.missingRole(roles + "reader")
	_, err = f.plan(t.Context())
	name, message := kubetest.Told(t, err)
	assert.Equal(t, "InvalidInput", name)
	assert.Equal(t, "Cluster demo has no Role shop/reader, which RoleBinding shop/read (document 1) binds: create it, or add it to the manifests", message)
}

func TestARoleIsSeenByTheAPIServerAMomentAfterItIsApplied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, began := execution(t, roleAndBinding), time.Now()
		missing, asked := f.missingRole(roles+"reader"), 0
		f.refuse[bindings+"read"] = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Query().Get("dryRun") == "" {
				if asked++; asked <= 3 {
					delete(f.objects, roles+"reader")
				} else {
					f.objects[roles+"reader"] = map[string]any{}
				}
			}
			return missing(w, r)
		}
		_, applied, err := f.apply(t)
		require.NoError(t, err)
		assert.Equal(t, 3, applied.Applied)
		assert.Equal(t, 3*200*time.Millisecond, time.Since(began))

		asked = -1000
		f = execution(t, roleAndBinding)
		f.refuse[bindings+"read"] = f.missingRole("/never")
		_, _, err = f.apply(t)
		_, message := kubetest.Told(t, err)
		assert.Contains(t, message, "Before that, 2 of 3 objects were applied and are left in place: Role shop/reader, ConfigMap shop/c")
	})
}

func TestAnObjectThatNeedsAnotherOfTheManifestsIsUnchecked(t *testing.T) {
	const pod = "---\napiVersion: v1\nkind: Pod\nmetadata: {name: web}\n"
	for sentence, c := range map[string]struct {
		other, refusal string
		status         int32
		want           string // empty if the refusal stands
	}{
		"a service account":              {"apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: web}\n", `pods "web" is forbidden: error looking up service account shop/web: serviceaccount "web" not found`, 403, "its ServiceAccount is among the manifests"},
		"another service account":        {"apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: db}\n", `pods "web" is forbidden: error looking up service account shop/web: serviceaccount "web" not found`, 403, ""},
		"a service account elsewhere":    {"apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: web, namespace: bank}\n", `pods "web" is forbidden: error looking up service account shop/web: serviceaccount "web" not found`, 403, ""},
		"a priority class":               {"apiVersion: scheduling.k8s.io/v1\nkind: PriorityClass\nmetadata: {name: high}\n", `pods "web" is forbidden: no PriorityClass with name high was found`, 403, "its PriorityClass is among the manifests"},
		"a runtime class":                {"apiVersion: node.k8s.io/v1\nkind: RuntimeClass\nmetadata: {name: gvisor}\n", `pods "web" is forbidden: pod rejected: RuntimeClass "gvisor" not found`, 403, "its RuntimeClass is among the manifests"},
		"a quota of more":                {"apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: few}\nspec: {a: 2}\n", `pods "web" is forbidden: exceeded quota: few, requested: pods=1, used: pods=1, limited: pods=1`, 403, "its ResourceQuota changes with the manifests, and before that the cluster refuses it"},
		"a quota that stays as it is":    {"apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: few}\nspec: {a: 1}\n", `pods "web" is forbidden: exceeded quota: few, requested: pods=1, used: pods=1, limited: pods=1`, 403, ""},
		"defaults of a limit range":      {"apiVersion: v1\nkind: LimitRange\nmetadata: {name: defaults}\nspec: {a: 2}\n", `pods "web" is forbidden: failed quota: few: must specify limits.cpu for: a`, 403, "its LimitRange changes with the manifests, and before that the cluster refuses it"},
		"a limit range of more":          {"apiVersion: v1\nkind: LimitRange\nmetadata: {name: defaults}\nspec: {a: 2}\n", `pods "web" is forbidden: maximum cpu usage per Container is 1, but limit is 2`, 403, "its LimitRange changes with the manifests, and before that the cluster refuses it"},
		"another level of pod security":  {"apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {a: b}}\n", `pods "web" is forbidden: violates PodSecurity "restricted:latest": privileged`, 403, "its namespace changes with the manifests, and before that the cluster refuses it"},
		"a policy that has nobody named": {"apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: web}\n", `admission webhook "w" denied the request: no`, 403, ""},
	} {
		t.Run(sentence, func(t *testing.T) {
			f := execution(t, c.other+pod)
			f.refuse["/api/v1/namespaces/shop/pods/web"] = func(w http.ResponseWriter, _ *http.Request) bool {
				if len(f.applied) == 0 || c.want == "" {
					kubetest.Refuse(w, c.status, metav1.StatusReasonForbidden, c.refusal)
					return true
				}
				return false
			}
			for kind, name := range map[string]string{"resourcequotas": "few", "limitranges": "defaults"} {
				f.objects["/api/v1/namespaces/shop/"+kind+"/"+name] = map[string]any{"apiVersion": "v1", "kind": map[string]string{"resourcequotas": "ResourceQuota", "limitranges": "LimitRange"}[kind], "metadata": map[string]any{"name": name}, "spec": map[string]any{"a": 1}}
			}
			f.objects["/api/v1/namespaces/shop"] = map[string]any{"kind": "Namespace", "metadata": map[string]any{"name": "shop"}}
			plan, err := f.plan(t.Context())
			if c.want == "" {
				name, _ := kubetest.Told(t, err)
				assert.Equal(t, "Forbidden", name)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, c.want, plan.Objects[1].Unchecked)
			_, applied, err := f.apply(t)
			require.NoError(t, err)
			assert.Equal(t, 2, applied.Applied)
		})
	}
}

// establishes makes a CRD established once it is applied.
func (f *tester) establishes(definition string) {
	f.refuse[definition] = func(w http.ResponseWriter, r *http.Request) bool {
		f.patch(w, r)
		if object := f.objects[r.URL.Path]; object != nil {
			object["status"] = map[string]any{"conditions": []any{map[string]any{"type": "Established", "status": "True"}}}
		}
		return true
	}
}

func TestTheSchemaOfACRDThatChangedIsInUseAMomentLater(t *testing.T) {
	const widget = "/apis/example.com/v1/namespaces/shop/widgets/one"
	const definition = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.com"
	t.Run("and waited for", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f, began := execution(t, crd), time.Now()
			f.establishes(definition)
			asked := 0
			f.refuse[widget] = func(w http.ResponseWriter, _ *http.Request) bool {
				if asked++; asked <= 4 {
					kubetest.Refuse(w, 500, "", "failed to create typed patch object (shop/one; example.com/v1, Kind=Widget): .spec.num: expected string, got &value.valueUnstructured{Value:1}")
					return true
				}
				return false
			}
			_, applied, err := f.apply(t)
			require.NoError(t, err)
			assert.Equal(t, 2, applied.Applied)
			assert.Equal(t, 4*200*time.Millisecond, time.Since(began))
		})
	})
	for sentence, message := range map[string]string{
		"an object that is too large":             "etcdserver: request is too large",
		"one that is stored under another schema": "failed to create typed live object (shop/one; example.com/v1, Kind=Widget): .spec.num: expected numeric (int or float), got string",
	} {
		t.Run("and not waited for by "+sentence, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, began := execution(t, crd), time.Now()
				f.establishes(definition)
				f.refuse[widget] = says(500, "", message)
				_, _, err := f.apply(t)
				name, _ := kubetest.Told(t, err)
				assert.Equal(t, "InvalidInput", name)
				assert.Zero(t, time.Since(began))
			})
		})
	}
}

func TestAWebhookMayBeReplacedWhileObjectsAreApplied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := execution(t, configMaps(1))
		plan, err := f.plan(t.Context())
		require.NoError(t, err)
		down := says(500, metav1.StatusReasonInternalError, `Internal error occurred: failed calling webhook "w": failed to call webhook: Post "https://w": connection refused`)
		asked := 0
		f.refuse[path("c0")] = func(w http.ResponseWriter, r *http.Request) bool {
			asked++
			return asked <= 3 && down(w, r)
		}
		applied, err := f.applier.Apply(t.Context(), applymanifests.ApplyManifests{Session: f.session, Plan: plan})
		require.NoError(t, err)
		assert.Equal(t, 1, applied.Applied)

		f.refuse[path("c0")] = down
		began := time.Now()
		_, err = f.applier.Apply(t.Context(), applymanifests.ApplyManifests{Session: f.session, Plan: plan})
		name, message := kubetest.Told(t, err)
		assert.Equal(t, "WebhookFailed", name)
		assert.True(t, strings.HasSuffix(message, ". Nothing was applied"), message)
		assert.LessOrEqual(t, time.Since(began), 2*time.Second)
	})
}
