package manifests_test

import (
	"encoding/json"
	"fmt"
	"io"
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
	"github.com/kubestep/kubestep/internal/manifests"
)

func configMaps(n int) string {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "---\n"+configMap, fmt.Sprintf("c%d", i))
	}
	return text.String()
}

func path(name string) string { return "/api/v1/namespaces/shop/configmaps/" + name }

func TestAPlanReportsWhatApplyWouldDoAndChangesNothing(t *testing.T) {
	f := execution(t, configMaps(3))
	f.objects[path("c1")] = map[string]any{"metadata": map[string]any{"name": "c1"}, "data": map[string]any{"a": "0", "old": "x"}, "kind": "ConfigMap", "apiVersion": "v1"}
	_, _, err := f.apply(t)
	require.NoError(t, err)
	f.objects[path("c1")]["data"] = map[string]any{"a": "0", "old": "x"}
	delete(f.objects, path("c2"))
	f.applied = nil

	plan, err := f.plan(t.Context())
	require.NoError(t, err)
	assert.True(t, plan.Complete)
	assert.True(t, plan.Drift)
	assert.Equal(t, []int{1, 1, 1}, []int{plan.Created, plan.Configured, plan.Unchanged})
	require.Len(t, plan.Objects, 3)
	assert.Equal(t, applymanifests.PlannedObject{APIVersion: "v1", Kind: "ConfigMap", Namespace: "shop", Name: "c0", Action: applymanifests.ActionUnchanged}, plan.Objects[0])
	assert.Equal(t, []string{"~data.a", "-data.old"}, plan.Objects[1].Changes)
	assert.Equal(t, []applymanifests.ChangedValue{{Before: `"0"`, After: `"1"`}, {Before: `"x"`}}, plan.Objects[1].Values)
	assert.Equal(t, applymanifests.ActionCreated, plan.Objects[2].Action)
	assert.Nil(t, plan.Diff)
	assert.Empty(t, f.applied)
}

func TestALiveObjectIsReadAsItIsSinceTheDryRun(t *testing.T) {
	f := execution(t, fmt.Sprintf(configMap, "a"))
	_, _, err := f.apply(t)
	require.NoError(t, err)
	var versions []string
	f.refuse["GET /api/v1/namespaces/shop/configmaps/a"] = func(w http.ResponseWriter, r *http.Request) bool {
		version := r.URL.Query().Get("resourceVersion")
		versions = append(versions, version)
		if version == "" {
			return false
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusGatewayTimeout)
		_ = json.NewEncoder(w).Encode(metav1.Status{
			TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure, Code: http.StatusGatewayTimeout, Reason: metav1.StatusReasonTimeout,
			Details: &metav1.StatusDetails{Causes: []metav1.StatusCause{{Type: metav1.CauseTypeResourceVersionTooLarge}}},
		})
		return true
	}
	plan, err := f.plan(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 1, plan.Unchanged)
	assert.Equal(t, []string{"7", ""}, versions, "a server whose memory is behind is asked for the latest one")
}

func TestOnlyWhatChangesIsApplied(t *testing.T) {
	f := execution(t, configMaps(10))
	_, applied, err := f.apply(t)
	require.NoError(t, err)
	assert.True(t, applied.Complete)
	assert.Equal(t, 10, applied.Applied)
	assert.Len(t, f.applied, 10)

	f.objects[path("c4")]["data"] = map[string]any{}
	plan, applied, err := f.apply(t)
	require.NoError(t, err)
	assert.Equal(t, 9, plan.Unchanged)
	assert.Equal(t, 1, applied.Applied)
	assert.Equal(t, path("c4"), f.applied[10])
	assert.Len(t, f.applied, 11)
}

func TestAnUnchangedObjectTakesTwoRequests(t *testing.T) {
	f := execution(t, configMaps(10))
	_, _, err := f.apply(t)
	require.NoError(t, err)
	f.patches, f.gets = 0, 0
	_, err = f.plan(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []int{10, 10}, []int{f.patches, f.gets})
}

func TestAnObjectThatChangesBetweenItsDryRunAndTheLookAtItIsPlannedAgain(t *testing.T) {
	f := execution(t, configMaps(1))
	_, _, err := f.apply(t)
	require.NoError(t, err)
	f.patches = 0
	f.refuse["GET "+path("c0")] = func(w http.ResponseWriter, _ *http.Request) bool {
		if f.patches > 1 {
			return false
		}
		_, _ = io.WriteString(w, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c0","resourceVersion":"8"},"data":{"a":"meanwhile"}}`)
		return true
	}
	plan, err := f.plan(t.Context())
	require.NoError(t, err)
	assert.False(t, plan.Drift)
	assert.Equal(t, 2, f.patches)
}

func TestWhatComesUpOnlyWhileApplyingIsToldOnceAndHasABound(t *testing.T) {
	f := execution(t, configMaps(30))
	warn := false
	for i := range 30 {
		f.refuse[path(fmt.Sprintf("c%d", i))] = func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Add("Warning", `299 - "always"`)
			if warn {
				w.Header().Add("Warning", `299 - "`+strings.Repeat("new ", 300)+`"`)
			}
			f.patch(w, r)
			return true
		}
	}
	plan, err := f.plan(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []string{"always"}, plan.Objects[0].Warnings)
	warn = true
	applied, err := f.applier.Apply(t.Context(), applymanifests.ApplyManifests{Session: f.session, Plan: plan})
	require.NoError(t, err)
	require.Len(t, applied.Warnings, 21)
	assert.Contains(t, applied.Warnings[0], ": new new ")
	assert.Equal(t, "and more", applied.Warnings[20])
	assert.Less(t, len(strings.Join(applied.Warnings, "")), 8<<10)
}

func TestAWarningShowsNoValueOfASecret(t *testing.T) {
	f := execution(t, secret)
	f.refuse["/api/v1/namespaces/shop/secrets/db"] = func(w http.ResponseWriter, r *http.Request) bool {
		w.Header().Add("Warning", `299 - "hunter2 is weak"`)
		f.patch(w, r)
		return true
	}
	plan, err := f.plan(t.Context())
	require.NoError(t, err)
	require.Len(t, plan.Objects[0].Warnings, 1)
	assert.NotContains(t, plan.Objects[0].Warnings[0], "hunter2")
}

func TestAnObjectOfKubectlIsTakenOverEvenIfItChangesMeanwhile(t *testing.T) {
	f := execution(t, configMaps(1))
	plan, err := f.plan(t.Context())
	require.NoError(t, err)
	var requests []string
	f.refuse[path("c0")] = func(w http.ResponseWriter, r *http.Request) bool {
		kind := r.Header.Get("Content-Type")
		requests = append(requests, kind)
		switch {
		case kind == "application/json-patch+json" && len(requests) == 2:
			kubetest.Refuse(w, http.StatusConflict, metav1.StatusReasonConflict, "the object has been modified")
		case kind == "application/json-patch+json":
			body, _ := io.ReadAll(r.Body)
			assert.Contains(t, string(body), `"path":"/metadata/resourceVersion","value":"9"`)
			_, _ = io.WriteString(w, `{"kind":"ConfigMap","metadata":{"name":"c0"}}`)
		case len(requests) == 5:
			_, _ = io.WriteString(w, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c0","resourceVersion":"10"}}`)
		default:
			_, _ = io.WriteString(w, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c0","resourceVersion":"9","managedFields":[
				{"manager":"kubestep","operation":"Apply","apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":{"f:data":{"f:a":{}}}},
				{"manager":"kubectl-client-side-apply","operation":"Update","apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":{"f:data":{"f:b":{}}}}]}}`)
		}
		return true
	}
	applied, err := f.applier.Apply(t.Context(), applymanifests.ApplyManifests{Session: f.session, Plan: plan})
	require.NoError(t, err)
	assert.Equal(t, 1, applied.Applied)
	const apply, move = "application/apply-patch+yaml", "application/json-patch+json"
	assert.Equal(t, []string{apply, move, apply, move, apply}, requests)
}

func TestAnObjectThatIsRightButNotOwnedIsAppliedAndIsNotDrift(t *testing.T) {
	f := execution(t, configMaps(1))
	_, _, err := f.apply(t)
	require.NoError(t, err)
	delete(f.objects[path("c0")]["metadata"].(map[string]any), "managedFields")
	plan, applied, err := f.apply(t)
	require.NoError(t, err)
	assert.False(t, plan.Drift)
	assert.Equal(t, 1, plan.Unchanged)
	assert.Equal(t, 1, applied.Applied)
}

func TestPlanAndApplyGoOnWhereTheRoundBeforeStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := execution(t, configMaps(30))
		var plan applymanifests.Plan
		rounds := 0
		for ; !plan.Complete; rounds++ {
			before := strings.Count(plan.Actions, ".")
			next, err := f.applier.Plan(within(t, time.Second), applymanifests.PlanManifests{Session: f.session, Plan: plan})
			require.NoError(t, err)
			if rounds > 0 {
				assert.Less(t, strings.Count(next.Actions, "."), before)
			}
			plan = next
		}
		assert.Greater(t, rounds, 1)
		assert.Equal(t, 30, plan.Created)
		assert.Len(t, plan.Objects, 30)
		assert.Equal(t, 30, f.patches, "each object once")

		var applied applymanifests.Applied
		for !applied.Complete {
			next, err := f.applier.Apply(within(t, time.Second), applymanifests.ApplyManifests{Session: f.session, Plan: plan, Apply: applied})
			require.NoError(t, err)
			assert.Greater(t, next.Applied, applied.Applied)
			applied = next
		}
		assert.Equal(t, 30, applied.Applied)
		assert.Len(t, f.applied, 30)
	})
}

func TestTheReportHasABoundAndKeepsWhatChanges(t *testing.T) {
	f := execution(t, strings.ReplaceAll(configMaps(1000), "name: c", "name: "+strings.Repeat("long-", 20)+"c"))
	_, _, err := f.apply(t)
	require.NoError(t, err)
	for i := range 3 {
		delete(f.objects, path(fmt.Sprintf("%sc%d", strings.Repeat("long-", 20), i)))
	}
	plan, err := f.plan(t.Context())
	require.NoError(t, err)
	text, err := json.Marshal(plan)
	require.NoError(t, err)
	assert.Less(t, len(text), 56<<10)
	assert.True(t, plan.Truncated)
	assert.Equal(t, 997, plan.Unchanged)
	var created int
	for _, o := range plan.Objects {
		if o.Action == applymanifests.ActionCreated {
			created++
		}
	}
	assert.Equal(t, 3, created)
}

func TestAConflictIsPartOfAPlanAndStopsAnApply(t *testing.T) {
	f := execution(t, configMaps(3), func(r *applymanifests.Request) { r.Mode = applymanifests.ModePlan })
	f.objects[path("c1")] = map[string]any{"metadata": map[string]any{"name": "c1"}, "data": map[string]any{"a": "theirs"}, "kind": "ConfigMap", "apiVersion": "v1"}
	f.refuse[path("c1")] = conflict
	plan, err := f.plan(t.Context())
	require.NoError(t, err)
	assert.True(t, plan.Drift)
	assert.Equal(t, []string{`data.a is owned by "kubectl-edit" using v1`}, plan.Objects[1].Conflicts)
	assert.Equal(t, []string{"~data.a"}, plan.Objects[1].Changes)

	f.session.Request.Mode = applymanifests.ModeApply
	_, err = f.plan(t.Context())
	name, message := kubetest.Told(t, err)
	assert.Equal(t, "FieldConflict", name)
	assert.Equal(t, `Nothing was applied to cluster demo: 1 of 3 objects sets fields that another manager owns: ConfigMap shop/c1: data.a is owned by "kubectl-edit" using v1. Remove these fields from the manifests, or take them with "force": true (--force)`, message)

	f.session.Request.Force = true
	_, applied, err := f.apply(t)
	require.NoError(t, err)
	assert.Equal(t, 3, applied.Applied)
}

func TestWhatTheClusterDoesNotAcceptIsReportedForAllObjectsAtOnce(t *testing.T) {
	f := execution(t, configMaps(4))
	f.refuse[path("c1")] = says(422, metav1.StatusReasonInvalid, "data: Invalid value")
	f.refuse[path("c3")] = says(403, metav1.StatusReasonForbidden, `configmaps "c3" is forbidden: exceeded quota: q`)
	_, err := f.plan(t.Context())
	name, message := kubetest.Told(t, err)
	assert.Equal(t, "InvalidInput", name)
	assert.Equal(t, `2 of 4 objects cannot be applied. Cluster demo does not accept ConfigMap shop/c1 (document 2): data: Invalid value. `+
		`Cluster demo does not admit ConfigMap shop/c3 (document 4): configmaps "c3" is forbidden: exceeded quota: q. This is not about permissions: a quota, a policy or another admission plug-in refuses the object`, message)
	assert.Empty(t, f.applied)
}

func TestEachRefusalHasItsName(t *testing.T) {
	for sentence, c := range map[string]struct {
		code    int32
		reason  metav1.StatusReason
		message string
		name    contract.ErrorName
		want    string
	}{
		"a field that is not known":      {500, "", "failed to create typed patch object (shop/c0; /v1, Kind=ConfigMap): .datta: field not declared in schema", contract.InvalidInput, ".datta: field not declared in schema"},
		"a token that is not accepted":   {401, metav1.StatusReasonUnauthorized, "Unauthorized", contract.Unauthorized, "create an access entry"},
		"a permission that was revoked":  {403, metav1.StatusReasonForbidden, `configmaps "c0" is forbidden: User "kubestep" cannot patch resource "configmaps"`, contract.Forbidden, "the permission was revoked since"},
		"a kind that is not served":      {404, metav1.StatusReasonNotFound, "the server could not find the requested resource", contract.UnknownKind, "no longer serves the kind of ConfigMap shop/c0"},
		"a server that does not work":    {503, metav1.StatusReasonServiceUnavailable, "etcd", contract.ClusterUnreachable, "(503): etcd"},
		"a server that has too much":     {429, metav1.StatusReasonTooManyRequests, "later", contract.Throttled, "overloaded"},
		"an object too large for a body": {413, metav1.StatusReasonRequestEntityTooLarge, "limit is 3145728", contract.InvalidInput, "limit is 3145728"},

		"an object too large for etcd":        {500, "", "etcdserver: request is too large", contract.InvalidInput, "because it is too large: etcd takes requests of 1.5 MiB, unless it is set up otherwise (etcdserver: request is too large)"},
		"an object too large for its client":  {500, "", "rpc error: code = ResourceExhausted desc = trying to send message larger than max (2900547 vs. 2097152)", contract.InvalidInput, "because it is too large"},
		"one stored under another schema":     {500, "", "failed to create typed live object (shop/c0; /v1, Kind=ConfigMap): .spec.num: expected numeric (int or float), got string", contract.InvalidInput, "what it has stored of it does not fit the schema of its kind, which has changed since: failed to create typed live object"},
		"one stored that cannot be converted": {500, "", "failed to convert live object (shop/c0; /v1, Kind=ConfigMap) to proper version: no", contract.InvalidInput, "Correct what is stored"},
		"one that cannot be merged":           {500, "", "failed to prune fields: failed to convert pruned object at version v1: .a: no", contract.InvalidInput, "does not accept ConfigMap shop/c0"},
		"a kind that nobody can change":       {405, metav1.StatusReasonMethodNotAllowed, "the server does not allow this method on the requested resource", contract.InvalidInput, "nobody can change an object of kind ConfigMap"},
		"a kind without server-side apply":    {415, metav1.StatusReasonUnsupportedMediaType, "the body of the request was in an unknown format", contract.InvalidInput, "has no server-side apply"},
		"a value that is not allowed":         {422, "", "spec: Invalid value", contract.InvalidInput, "does not accept ConfigMap shop/c0 (document 1): spec: Invalid value"},
		"one that is being deleted":           {409, metav1.StatusReasonAlreadyExists, `object is being deleted: configmaps "c0" already exists`, contract.InvalidInput, "as it is now: object is being deleted"},
		"one that changes all the time":       {409, metav1.StatusReasonConflict, `Operation cannot be fulfilled on configmaps "c0": the object has been modified; please apply your changes to the latest version`, contract.Throttled, "is changed by others faster than it can be applied"},
		"one that needs what is not there":    {404, metav1.StatusReasonNotFound, `things "x" not found`, contract.InvalidInput, `because something that it needs is not there: things "x" not found`},

		"a webhook without a backend":     {500, metav1.StatusReasonInternalError, `Internal error occurred: failed calling webhook "w.example.com": failed to call webhook: Post "https://w.shop.svc:443/": no endpoints available for service "w"`, contract.WebhookFailed, `Admission webhook "w.example.com" failed, so cluster demo could not patch ConfigMap shop/c0 (document 1) (500): Internal error occurred: failed calling`},
		"a webhook that does not convert": {500, "", `conversion webhook for example.com/v1, Kind=Widget failed: Post "https://127.0.0.1:1/": connection refused`, contract.WebhookFailed, "The conversion webhook for example.com/v1, Kind=Widget failed, so cluster demo could not patch ConfigMap shop/c0 (document 1)"},
		"a webhook that denies":           {400, "", `admission webhook "w" denied the request: no`, contract.InvalidInput, `does not accept ConfigMap shop/c0 (document 1): admission webhook "w" denied the request: no`},
		"a webhook that denies with 401":  {401, metav1.StatusReasonUnauthorized, `admission webhook "w" denied the request: no`, contract.Forbidden, "an admission webhook or policy refuses the object"},
		"a webhook that denies with 404":  {404, metav1.StatusReasonNotFound, `admission webhook "w" denied the request: no`, contract.Forbidden, "an admission webhook or policy refuses the object"},
		"a webhook that denies with 409":  {409, metav1.StatusReasonConflict, `admission webhook "w" denied the request: no`, contract.Forbidden, "an admission webhook or policy refuses the object"},
		"a webhook that denies with 500":  {500, metav1.StatusReasonInternalError, `admission webhook "w" denied the request: no`, contract.Forbidden, "an admission webhook or policy refuses the object"},
		"a policy that denies with 401":   {401, metav1.StatusReasonUnauthorized, `configmaps "c0" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no`, contract.Forbidden, "an admission webhook or policy refuses the object"},
		"a quota":                         {403, metav1.StatusReasonForbidden, `configmaps "c0" is forbidden: exceeded quota: few`, contract.Forbidden, "This is not about permissions"},
		"a server that starts":            {403, metav1.StatusReasonForbidden, `configmaps "c0" is forbidden: not yet ready to handle request`, contract.ClusterUnreachable, "is starting"},
		"a signer that is not permitted":  {403, metav1.StatusReasonForbidden, `configmaps "c0" is forbidden: user not permitted to attest for signerName "a.example/x"`, contract.Forbidden, "Grant group kubestep-appliers the permission to attest signers.certificates.k8s.io a.example/x"},
		"parameters that may not be read": {422, metav1.StatusReasonInvalid, `ValidatingAdmissionPolicyBinding "c0" is invalid: spec.paramRef: Forbidden: user kubestep does not have "get" permission on the object referenced by paramRef`, contract.Forbidden, "Grant group kubestep-appliers that permission"},
		"an owner that is another's":      {403, metav1.StatusReasonForbidden, `configmaps "c0" is forbidden: cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on: , <nil>`, contract.Forbidden, "This is about permissions on the object that metadata.ownerReferences names"},
	} {
		t.Run(sentence, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := execution(t, configMaps(1))
				f.refuse[path("c0")] = says(c.code, c.reason, c.message)
				_, err := f.plan(within(t, time.Minute)) // a webhook is asked again
				name, message := kubetest.Told(t, err)
				assert.Equal(t, string(c.name), name)
				assert.Contains(t, message, c.want)
				if c.name != contract.Forbidden || strings.Contains(c.want, "not about") {
					assert.NotContains(t, message, "\n---\n")
				}
			})
		})
	}
}

func TestALongRefusalKeepsItsFieldAndItsReason(t *testing.T) {
	dump := strings.Repeat(`core.PodTemplateSpec{ObjectMeta:v1.ObjectMeta{Name:""}}`, 200)
	f := execution(t, configMaps(1))
	f.refuse[path("c0")] = func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnprocessableEntity)
		_ = json.NewEncoder(w).Encode(metav1.Status{
			TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure, Code: http.StatusUnprocessableEntity, Reason: metav1.StatusReasonInvalid,
			Message: `Job.batch "c0" is invalid: [spec.template: Invalid value: ` + dump + `: field is immutable, spec.selector: Required value]`,
			Details: &metav1.StatusDetails{Causes: []metav1.StatusCause{
				{Type: metav1.CauseTypeFieldValueInvalid, Message: "Invalid value: " + dump + ": field is immutable", Field: "spec.template"},
				{Type: metav1.CauseTypeFieldValueRequired, Message: "Required value", Field: "spec.selector"},
			}},
		})
		return true
	}
	_, err := f.plan(t.Context())
	_, message := kubetest.Told(t, err)
	assert.Less(t, len(message), 1024)
	assert.Regexp(t, `does not accept ConfigMap shop/c0 \(document 1\): spec.template: Invalid value: core\.Pod.* … .*: field is immutable, spec.selector: Required value$`, message)

	f.refuse[path("c0")] = says(422, metav1.StatusReasonInvalid, "spec.template: Invalid value: "+dump+": field is immutable")
	_, err = f.plan(t.Context())
	_, message = kubetest.Told(t, err)
	assert.Less(t, len(message), 1200)
	assert.Regexp(t, `spec.template: Invalid value: core.* … .*: field is immutable$`, message, "without causes too")
}

func TestAWebhookThatFailsHidesNoOtherProblem(t *testing.T) {
	f := execution(t, configMaps(40))
	down := says(500, metav1.StatusReasonInternalError, `Internal error occurred: failed calling webhook "w": failed to call webhook: Post "https://w": connection refused`)
	for i := range 40 {
		f.refuse[path(fmt.Sprintf("c%d", i))] = down
	}
	f.refuse[path("c3")] = says(422, metav1.StatusReasonInvalid, "data: Invalid value")
	delete(f.refuse, path("c4"))
	_, err := f.plan(t.Context())
	name, message := kubetest.Told(t, err)
	assert.Equal(t, "WebhookFailed", name)
	assert.Contains(t, message, `39 of 40 objects cannot be applied. Admission webhook "w" failed for ConfigMap shop/c0 (document 1), ConfigMap shop/c1 (document 2), `)
	assert.Contains(t, message, "and 18 more (500): Internal error occurred")
	assert.Contains(t, message, "Cluster demo does not accept ConfigMap shop/c3 (document 4): data: Invalid value")
	assert.Equal(t, 1, strings.Count(message, "connection refused"), "it is said once")
}

func TestAServerBehindAnAPIServiceThatDoesNotAnswerIsNamed(t *testing.T) {
	text := func(code int, body string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool {
			http.Error(w, body, code)
			return true
		}
	}
	f := execution(t, "apiVersion: dead.example.com/v1\nkind: Widget\nmetadata: {name: a}\n")
	down := text(503, "service unavailable")
	f.before = func(w http.ResponseWriter, r *http.Request) bool {
		return r.URL.Path == "/apis/dead.example.com/v1" && down(w, r)
	}
	_, err := f.plan(t.Context())
	name, message := kubetest.Told(t, err)
	assert.Equal(t, "WebhookFailed", name)
	assert.Contains(t, message, "The server behind APIService v1.dead.example.com failed, so cluster demo could not read which kinds of dead.example.com/v1 it serves (503). ")
	assert.Contains(t, message, "kubectl get apiservice v1.dead.example.com")

	down = text(503, "<html>maintenance")
	_, err = f.plan(t.Context())
	name, _ = kubetest.Told(t, err)
	assert.Equal(t, "ClusterUnreachable", name, "it is of something else")

	f = execution(t, configMaps(1)+"---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n")
	f.refuse["/apis/apps/v1/namespaces/shop/deployments/web"] = text(503, "error trying to reach service: dial tcp 10.0.0.1:443: connect: connection refused")
	f.refuse[path("c0")] = says(422, metav1.StatusReasonInvalid, "no")
	_, err = f.plan(t.Context())
	_, message = kubetest.Told(t, err)
	assert.Contains(t, message, "The server behind APIService v1.apps failed, so cluster demo could not patch Deployment shop/web (document 2) (503): ")
	assert.Contains(t, message, "does not accept ConfigMap shop/c0")
}

const roleAndBinding = `
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: read}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: c}
`

const (
	roles    = "/apis/rbac.authorization.k8s.io/v1/namespaces/shop/roles/"
	bindings = "/apis/rbac.authorization.k8s.io/v1/namespaces/shop/rolebindings/"
)

func TestPermissionsThatMayNotBeGrantedAreNamedWithTheRolesThatLet(t *testing.T) {
	f := execution(t, roleAndBinding)
	escalation := func(what string) func(http.ResponseWriter, *http.Request) bool {
		return says(403, metav1.StatusReasonForbidden, what+` is forbidden: user "kubestep" (groups=["system:authenticated"]) is attempting to grant RBAC permissions not currently held:`+"\n"+`{APIGroups:[""], Resources:["services"], Verbs:["watch"]}`+"\n---\n{kind: ClusterRoleBinding}")
	}
	f.refuse[roles+"reader"] = escalation(`roles "reader"`)
	f.refuse[bindings+"read"] = escalation(`rolebindings "read"`)
	f.refuse[path("c")] = says(403, metav1.StatusReasonForbidden, "exceeded quota: q")
	_, err := f.plan(t.Context())
	name, message := kubetest.Told(t, err)
	assert.Equal(t, "Forbidden", name)
	assert.Contains(t, message, `3 of 3 objects cannot be applied. `)
	assert.Contains(t, message, `{APIGroups:[""], Resources:["services"], Verbs:["watch"]}`)
	assert.Contains(t, message, "or the verb bind roles.rbac.authorization.k8s.io reader in namespace shop. ")
	assert.Contains(t, message, "or the verb escalate roles.rbac.authorization.k8s.io reader in namespace shop. ")
	_, yaml, found := strings.Cut(message, "\n---\n")
	require.True(t, found)
	objects, err := manifests.Read([]byte(yaml), manifests.Rules{AllowedKinds: []string{"Role", "RoleBinding"}})
	require.NoError(t, err)
	require.Len(t, objects, 2, "one role with both verbs, its binding, and nothing of the message")
	assert.Contains(t, string(objects[0].JSON), `"resourceNames":["reader"],"resources":["roles"],"verbs":["bind","escalate"]`)
}

func TestAnApplyThatStopsHalfwaySaysWhatWasApplied(t *testing.T) {
	f := execution(t, configMaps(2)+"---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {}\n")
	plan, err := f.plan(t.Context())
	require.NoError(t, err)
	f.refuse["/apis/apps/v1/namespaces/shop/deployments/web"] = says(403, metav1.StatusReasonForbidden, "exceeded quota: q")
	_, err = f.applier.Apply(t.Context(), applymanifests.ApplyManifests{Session: f.session, Plan: plan})
	name, message := kubetest.Told(t, err)
	assert.Equal(t, "Forbidden", name)
	assert.Contains(t, message, "does not admit Deployment shop/web (document 3): exceeded quota: q")
	assert.Contains(t, message, ". Before that, 2 of 3 objects were applied and are left in place: ConfigMap shop/c0, ConfigMap shop/c1")

	f.refuse["/api/v1/namespaces/shop/configmaps/c0"] = says(503, metav1.StatusReasonServiceUnavailable, "gone")
	f.refuse["/api/v1/namespaces/shop/configmaps/c1"] = f.refuse["/api/v1/namespaces/shop/configmaps/c0"]
	_, err = f.applier.Apply(t.Context(), applymanifests.ApplyManifests{Session: f.session, Plan: plan})
	_, message = kubetest.Told(t, err)
	assert.True(t, strings.HasSuffix(message, ". Nothing was applied"), message)
}

const secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: db}\nstringData: {pin: hunter2, url: \"two\\nlines\"}\n"

func TestTheValuesOfASecretAreInNoErrorAndInNoDifference(t *testing.T) {
	f := execution(t, secret, func(r *applymanifests.Request) { r.Output = contract.Destination{Bucket: "b", Prefix: "diffs"} })
	const at = "/api/v1/namespaces/shop/secrets/db"
	f.refuse[at] = says(422, metav1.StatusReasonInvalid, `stringData.pin: Invalid value: "hunter2"; url: Invalid value: "two\nlines"`)
	_, err := f.plan(t.Context())
	_, message := kubetest.Told(t, err)
	assert.Contains(t, message, `does not accept Secret shop/db (document 1): (what it says is left out, because it may hold a value of the Secret: kubectl apply --server-side --dry-run=server shows it)`)

	f.refuse[at] = says(503, metav1.StatusReasonServiceUnavailable, "webhook says hunter2")
	_, err = f.plan(t.Context())
	_, message = kubetest.Told(t, err)
	assert.NotContains(t, message, "hunter2")

	delete(f.refuse, at)
	plan, err := f.plan(t.Context())
	require.NoError(t, err)
	text, err := json.Marshal(plan)
	require.NoError(t, err)
	assert.NotContains(t, string(text), "hunter2")
	require.Equal(t, &applymanifests.Diff{Bucket: "b", Keys: []string{"diffs/111122223333/eu-west-1/kubestep-pod-inventory/nightly/diff-00000.txt"}}, plan.Diff)
	assert.Contains(t, f.files["diffs/111122223333/eu-west-1/kubestep-pod-inventory/nightly/diff-00000.txt"], "Secret shop/db: created\n")
	assert.NotContains(t, f.files["diffs/111122223333/eu-west-1/kubestep-pod-inventory/nightly/diff-00000.txt"], "hunter2")
}

const crd = `
apiVersion: example.com/v1
kind: Widget
metadata: {name: one}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: widgets, kind: Widget}
  versions: [{name: v1, served: true}]
`

func TestObjectsOfANewKindWaitUntilItIsServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const definition = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.com"
		const widget = "/apis/example.com/v1/namespaces/shop/widgets/one"
		f := execution(t, crd)
		plan, err := f.plan(t.Context())
		require.NoError(t, err)
		assert.Equal(t, "its CRD is among the manifests", plan.Objects[0].Unchecked)
		assert.Equal(t, 2, plan.Created)

		f.establishes(definition)
		asked := 0
		f.refuse[widget] = func(w http.ResponseWriter, _ *http.Request) bool {
			asked++
			if asked == 1 {
				kubetest.Refuse(w, http.StatusNotFound, metav1.StatusReasonNotFound, "the server could not find the requested resource")
			}
			return asked == 1
		}
		applied, err := f.applier.Apply(t.Context(), applymanifests.ApplyManifests{Session: f.session, Plan: plan})
		require.NoError(t, err)
		assert.True(t, applied.Complete)
		assert.Equal(t, []string{definition, widget}, f.applied)
		assert.Equal(t, 2, asked)
	})
}

func TestADefinitionThatIsRefusedStopsItsObjects(t *testing.T) {
	const definition = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.com"
	f := execution(t, crd)
	f.refuse[definition] = func(w http.ResponseWriter, r *http.Request) bool {
		f.patch(w, r)
		if object := f.objects[r.URL.Path]; object != nil {
			object["status"] = map[string]any{"conditions": []any{map[string]any{"type": "NamesAccepted", "status": "False", "message": `"widgets" is already in use`}}}
		}
		return true
	}
	_, _, err := f.apply(t)
	name, message := kubetest.Told(t, err)
	assert.Equal(t, "NotReady", name)
	assert.Contains(t, message, `does not serve the kind that CustomResourceDefinition widgets.example.com defines, so its objects cannot be applied: "widgets" is already in use`)
	assert.Equal(t, []string{definition}, f.applied)
}

func TestAKindThatNobodyDefinesIsUnknown(t *testing.T) {
	f := execution(t, "apiVersion: v2\nkind: ConfigMap\nmetadata: {name: a}\n---\napiVersion: apps/v1\nkind: Deploymint\nmetadata: {name: b}\n")
	_, err := f.plan(t.Context())
	name, message := kubetest.Told(t, err)
	assert.Equal(t, "UnknownKind", name)
	assert.Contains(t, message, "has no kind ConfigMap in v2 (document 1, name a), kind Deploymint in apps/v1 (document 2, name b), and no CRD among the manifests defines it. "+
		"Did you mean kind ConfigMap in v1, or kind Deployment in apps/v1? Compare with")

	for given, want := range map[string]string{
		"apiVersion: v1\nkind: Deployment":           "Did you mean kind Deployment in apps/v1?",
		"apiVersion: v1\nkind: secret":               "did you mean Secret?), and no CRD",
		"apiVersion: v1\nkind: Secrets":              "did you mean Secret?), and no CRD",
		"apiVersion: apps/v1beta1\nkind: Deployment": "Did you mean kind Deployment in apps/v1?",
		"apiVersion: example.com/v1\nkind: Lake":     "defines it. Compare with",
	} {
		_, err := execution(t, given+"\nmetadata: {name: a}\n").plan(t.Context())
		_, message := kubetest.Told(t, err)
		assert.Contains(t, message, want, given)
	}
}

func TestAKindThatNobodyCanChangeIsRefusedBeforeAnythingIsPlanned(t *testing.T) {
	f := execution(t, configMaps(1)+"---\napiVersion: v1\nkind: ComponentStatus\nmetadata: {name: scheduler}\n---\napiVersion: v1\nkind: Binding\nmetadata: {name: a}\n")
	_, err := f.plan(t.Context())
	name, message := kubetest.Told(t, err)
	assert.Equal(t, "InvalidInput", name)
	assert.Equal(t, "The API of cluster demo does not let anybody apply objects of these kinds: ComponentStatus (document 2, name scheduler), which can only be asked to get, list, "+
		"Binding (document 3, name a), which can only be asked to create. Leave them out of the manifests", message)
	assert.Zero(t, f.patches)
}

func TestAKindThatIsMisspeltIsRecognized(t *testing.T) {
	f := execution(t, "apiVersion: v1\nkind: configmap\nmetadata: {name: a}\n---\napiVersion: v1\nkind: ConfigMaps\nmetadata: {name: b}\n")
	_, err := f.plan(t.Context())
	name, message := kubetest.Told(t, err)
	assert.Equal(t, "UnknownKind", name)
	assert.Contains(t, message, "has no kind configmap in v1 (document 1, name a: did you mean ConfigMap?), kind ConfigMaps in v1 (document 2, name b: did you mean ConfigMap?), and no CRD")
}

func TestAccessIsAskedByNameOnlyIfItIsNotGivenInGeneral(t *testing.T) {
	f := execution(t, configMaps(3))
	verified, err := f.applier.Verify(t.Context(), applymanifests.VerifyApply{Session: f.session})
	require.NoError(t, err)
	assert.Equal(t, 3, verified.Checks, "get, patch, create")

	f.denied["patch configmaps shop/"] = true
	f.denied["create configmaps shop/"] = true
	f.objects[path("c1")] = map[string]any{"kind": "ConfigMap", "metadata": map[string]any{"name": "c1"}}
	verified, err = f.applier.Verify(t.Context(), applymanifests.VerifyApply{Session: f.session})
	require.NoError(t, err)
	assert.Equal(t, 3+3+2, verified.Checks, "patch of three, and create of the two that do not exist")

	f.denied["patch configmaps shop/c1"] = true
	f.denied["create configmaps shop/c1"] = true
	f.denied["create configmaps shop/c2"] = true
	_, err = f.applier.Verify(t.Context(), applymanifests.VerifyApply{Session: f.session})
	name, message := kubetest.Told(t, err)
	assert.Equal(t, "Forbidden", name)
	assert.Contains(t, message, `is Kubernetes user "kubestep" of groups [system:authenticated] there`)
	assert.Contains(t, message, "patch configmaps c1 in namespace shop, create configmaps c2 in namespace shop. IAM principal ")
	_, yaml, found := strings.Cut(message, "\n---\n")
	require.True(t, found)
	objects, err := manifests.Read([]byte(yaml), manifests.Rules{AllowedKinds: []string{"Role", "RoleBinding"}})
	require.NoError(t, err)
	assert.Len(t, objects, 2)
}

func TestManifestsThatChangeWhileTheExecutionRunsAreNotApplied(t *testing.T) {
	f := execution(t, configMaps(1))
	f.files["m.yaml"] = configMaps(2)
	_, err := f.plan(t.Context())
	name, message := kubetest.Told(t, err)
	assert.Equal(t, "InvalidInput", name)
	assert.Contains(t, message, "source: s3://b/m.yaml changed while the execution ran")
	delete(f.files, "m.yaml")
	_, err = f.plan(t.Context())
	_, message = kubetest.Told(t, err)
	assert.Equal(t, "source: there is no object s3://b/m.yaml", message)
}

func TestAnExecutionReadsOneVersionOfItsManifests(t *testing.T) {
	f := execution(t, configMaps(1))
	f.files["m.yaml@1"] = configMaps(1)
	loaded, err := f.applier.Source.Load(t.Context(), applymanifests.LoadManifests{Request: f.session.Request})
	require.NoError(t, err)
	assert.Equal(t, "1", loaded.VersionID)
	f.session.Manifests = loaded
	f.files["m.yaml"] = configMaps(2)
	plan, err := f.plan(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 1, plan.Created, "those of the version that was loaded")
}

func TestWhatIsWaitedForIsPartOfThePlan(t *testing.T) {
	f := execution(t, configMaps(2)+"---\napiVersion: v1\nkind: Namespace\nmetadata: {name: new}\n", func(r *applymanifests.Request) { r.Wait.TimeoutSeconds = 60 })
	plan, err := f.plan(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []applymanifests.Reference{
		{Kind: "Namespace", Path: "/api/v1/namespaces", Names: []string{"new"}},
		{Kind: "ConfigMap", Namespace: "shop", Path: "/api/v1/namespaces/shop/configmaps", Names: []string{"c0", "c1"}},
	}, plan.WaitFor)

	f = execution(t, strings.ReplaceAll(configMaps(900), "name: c", "name: "+strings.Repeat("long-", 20)+"c"), func(r *applymanifests.Request) { r.Wait.TimeoutSeconds = 60 })
	_, err = f.plan(t.Context())
	name, message := kubetest.Told(t, err)
	assert.Equal(t, "InvalidInput", name)
	assert.Contains(t, message, "wait: the names of the 900 objects to wait for take")
}

// A proxy, or an API server that stands for another, may answer 200 with something else.
// Nothing was applied then, and nothing is known of the cluster.
func TestAnAnswerThatIsNotTheObjectIsNoSuccess(t *testing.T) {
	for sentence, answer := range map[string]string{
		"a Status":         `{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"no","reason":"InternalError","code":500}`,
		"another object":   `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"other","namespace":"shop","resourceVersion":"7"}}`,
		"another kind":     `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a","namespace":"shop","resourceVersion":"7"}}`,
		"an empty object":  `{}`,
		"nothing":          ``,
		"a list":           `{"apiVersion":"v1","kind":"ConfigMapList","metadata":{},"items":[]}`,
		"what is not JSON": `<html>welcome</html>`,
	} {
		const at = "/api/v1/namespaces/shop/configmaps/a"
		says := func(when func(r *http.Request) bool) func(http.ResponseWriter, *http.Request) bool {
			return func(w http.ResponseWriter, r *http.Request) bool {
				if when(r) {
					_, _ = io.WriteString(w, answer)
				}
				return when(r)
			}
		}
		isDryRun := func(r *http.Request) bool { return r.URL.Query().Get("dryRun") == "All" }
		wants := func(t *testing.T, err error) {
			t.Helper()
			require.Error(t, err)
			name, message := kubetest.Told(t, err)
			assert.Equal(t, string(contract.ClusterUnreachable), name)
			assert.Contains(t, message, "does not answer as an API server does: it is not ")
			assert.NotContains(t, message, "other")
		}
		t.Run(sentence+" to a dry run", func(t *testing.T) {
			f := execution(t, fmt.Sprintf(configMap, "a"))
			f.refuse[at] = says(isDryRun)
			_, err := f.plan(t.Context())
			wants(t, err)
		})
		t.Run(sentence+" to an apply", func(t *testing.T) {
			f := execution(t, fmt.Sprintf(configMap, "a"))
			f.refuse[at] = says(func(r *http.Request) bool { return !isDryRun(r) })
			_, _, err := f.apply(t)
			wants(t, err)
		})
		t.Run(sentence+" to a read", func(t *testing.T) {
			f := execution(t, fmt.Sprintf(configMap, "a"))
			f.objects[at] = map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "a", "resourceVersion": "6"}, "data": map[string]any{"a": "0"}}
			f.refuse["GET "+at] = says(func(*http.Request) bool { return true })
			_, err := f.plan(t.Context())
			wants(t, err)
		})
	}
}
