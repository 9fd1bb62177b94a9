package test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/follow"
)

// gated are an application, and the Jobs migrate and smoke-test, whose pods fare as the
// annotations say.
func gated(migrate, smokeTest fields) string {
	manifests := []string{`
apiVersion: v1
kind: ServiceAccount
metadata: {name: migrator}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {a: "1"}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: scratch}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template: {metadata: {labels: {app: web}, annotations: {kubestep.local/ready-after: 4s}}, spec: {containers: [{name: c, image: registry.example/c}]}}
`}
	for name, annotations := range map[string]fields{"migrate": migrate, "smoke-test": smokeTest} {
		job := aJob(annotations, fields{"activeDeadlineSeconds": 300})
		job["metadata"] = fields{"name": name}
		if name == "migrate" {
			job["spec"].(fields)["template"].(fields)["spec"].(fields)["serviceAccountName"] = "migrator"
		}
		text, _ := json.Marshal(job) // maps of strings encode
		manifests = append(manifests, string(text))
	}
	return strings.Join(manifests, "\n---\n")
}

// newGatekeeper is an applier that may also see pods, as rbac/apply/jobs allows.
func newGatekeeper(t *testing.T) *applier {
	t.Helper()
	a := newApplier(t)
	a.allow(t, rbacv1.PolicyRule{APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"get", "create", "patch"}},
		rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods", "events"}, Verbs: []string{"list"}})
	return a
}

// withJobs applies with Jobs before and after.
func (a *applier) withJobs(t *testing.T, manifests string, more fields) follow.Execution {
	t.Helper()
	input := map[string]any{"manifests": manifests, "before": []string{"migrate"}, "after": []string{a.namespace + "/smoke-test"}}
	for key, value := range more {
		input[key] = value
	}
	return a.run(t, input)
}

// lookedAt is a round that looks at Jobs.
var lookedAt = path("WaitForJobs", "WithFreshToken", "MintToken", "IsApplied", "ApplyManifests", "WhatIsLeft")

// rounds counts how often a state was entered.
func rounds(e follow.Execution, state string) int {
	return strings.Count(" "+strings.Join(e.Path, " ")+" ", " "+state+" ")
}

func TestJobsCompleteBeforeTheWorkloadsAndAfterAllIsReady(t *testing.T) {
	t.Parallel()
	a := newGatekeeper(t)
	manifests := gated(fields{"kubestep.local/run-for": "3s"}, fields{"kubestep.local/run-for": "2s"})

	plan := a.withJobs(t, manifests, fields{"mode": "plan"})
	gates := map[string]applymanifests.Gate{}
	for _, o := range applied(t, plan).Plan.Objects {
		gates[o.Kind+" "+o.Name] = o.Gate
	}
	assert.Equal(t, map[string]applymanifests.Gate{
		"ServiceAccount migrator": "", "ConfigMap settings": "", "PersistentVolumeClaim scratch": "", "Deployment web": "",
		"Job migrate": "before", "Job smoke-test": "after",
	}, gates)
	assert.Equal(t, path(planned, "Output"), plan.Path)

	// The claim is never bound, as there is no storage, so it is left out of what is applied.
	manifests = strings.Replace(manifests, `---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: scratch}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
`, "", 1)
	e := a.withJobs(t, manifests, nil)
	output := applied(t, e)
	assert.True(t, output.Ready)
	assert.Equal(t, 5, output.Applied)
	require.Len(t, output.Jobs, 2)
	for i, want := range []applymanifests.CompletedJob{{Gate: "before", Name: "migrate"}, {Gate: "after", Name: "smoke-test"}} {
		got := output.Jobs[i]
		assert.NotEmpty(t, got.StartedAt)
		assert.NotEmpty(t, got.EndedAt)
		assert.Equal(t, applymanifests.CompletedJob{Gate: want.Gate, Namespace: a.namespace, Name: want.Name, Ran: true, StartedAt: got.StartedAt, EndedAt: got.EndedAt}, got)
	}
	// The Jobs of before, then all else until it is ready, then those of after: how often each is
	// looked at depends on the clock.
	before, ready, looks := 0, rounds(e, "CheckReadiness"), rounds(e, "WaitForJobs")
	for e.Path[len(planned)+len(put)+before*len(lookedAt)] == "WaitForJobs" {
		before++
	}
	assert.Positive(t, before)
	assert.Greater(t, looks, before)
	assert.Equal(t, path(planned, put, times(before, lookedAt...), times(ready, path("WaitUntilReady", checked)...), put, times(looks-before, lookedAt...), "Output"), e.Path)

	migrate, err := admin(t).BatchV1().Jobs(a.namespace).Get(t.Context(), "migrate", metav1.GetOptions{})
	require.NoError(t, err)
	smokeTest, err := admin(t).BatchV1().Jobs(a.namespace).Get(t.Context(), "smoke-test", metav1.GetOptions{})
	require.NoError(t, err)
	web, err := admin(t).AppsV1().Deployments(a.namespace).Get(t.Context(), "web", metav1.GetOptions{})
	require.NoError(t, err)
	settings, err := admin(t).CoreV1().ConfigMaps(a.namespace).Get(t.Context(), "settings", metav1.GetOptions{})
	require.NoError(t, err)
	assert.False(t, settings.CreationTimestamp.After(migrate.CreationTimestamp.Time), "what the Job needs is there first")
	assert.False(t, web.CreationTimestamp.Time.Before(migrate.Status.CompletionTime.Time), "migrate completed before web was there")
	for _, c := range web.Status.Conditions {
		if c.Type == "Available" {
			assert.False(t, smokeTest.CreationTimestamp.Time.Before(c.LastTransitionTime.Time), "web was available before smoke-test was there")
		}
	}

	// Once more: both have completed, and nothing runs again.
	again := a.withJobs(t, manifests, nil)
	output = applied(t, again)
	assert.Zero(t, output.Applied)
	require.Len(t, output.Jobs, 2)
	for _, j := range output.Jobs {
		assert.False(t, j.Ran)
		assert.Contains(t, j.Note, "so it did not run again")
	}
	assert.Equal(t, path(planned, put, times(rounds(again, "CheckReadiness"), path("WaitUntilReady", checked)...), put, "Output"), again.Path)

	// What a Job runs cannot change.
	changed := a.withJobs(t, strings.Replace(manifests, `"3s"`, `"4s"`, 1), nil)
	stopped(t, changed, contract.InvalidInput, "Job "+a.namespace+"/migrate", "field is immutable", "give it another name, such as one with a version; or delete it with kubectl delete job migrate -n "+a.namespace)
}

func TestAJobThatFailsBeforeTheWorkloadsKeepsThemOut(t *testing.T) {
	t.Parallel()
	a := newGatekeeper(t)
	manifests := gated(fields{"kubestep.local/run-for": "1s", "kubestep.local/exit": "3", "kubestep.local/logs": "column price exists already"}, nil)
	e := a.withJobs(t, manifests, fields{"jobs": fields{"logs": "tail"}})
	stopped(t, e, contract.JobFailed, "before: Job "+a.namespace+"/migrate in cluster demo failed (BackoffLimitExceeded: ", "container main of pod migrate-", "ended with exit code 3 (Error)",
		"Before that, 3 of 6 objects were applied and are left in place", "Job "+a.namespace+"/migrate", "ConfigMap "+a.namespace+"/settings", "The last lines of the container:\ncolumn price exists already")
	assert.NotContains(t, e.Cause, "Deployment")
	assert.Equal(t, path(planned, put, times(rounds(e, "WaitForJobs")-1, lookedAt...), lookedAt[:len(lookedAt)-1], "Explain", "Failed"), e.Path)
	_, err := admin(t).AppsV1().Deployments(a.namespace).Get(t.Context(), "web", metav1.GetOptions{})
	assert.True(t, apierrors.IsNotFound(err), "nothing of the workloads is there")
	_, err = admin(t).BatchV1().Jobs(a.namespace).Get(t.Context(), "smoke-test", metav1.GetOptions{})
	assert.True(t, apierrors.IsNotFound(err))

	// The next apply does not run it again, and says how.
	e = a.withJobs(t, manifests, nil)
	stopped(t, e, contract.JobFailed, "exit code 3", "Its log: kubectl logs -n "+a.namespace+" migrate-", "It did so before this execution, which does not run it again: give it another name, or delete it with kubectl delete job migrate -n "+a.namespace, "Nothing was applied")
	assert.NotContains(t, e.Cause, "column price", "without logs in the input, none is read")
}

func TestAJobThatIsWaitedForMayNeverStartOrEnd(t *testing.T) {
	t.Parallel()
	for sentence, c := range map[string]struct {
		job   fields
		more  fields
		name  contract.ErrorName
		cause []string
	}{
		"because its image cannot be pulled": {
			aJob(nil, nil, fields{"containers": []fields{{"name": "main", "image": "registry.invalid/main:1"}}}), fields{"startSeconds": 4}, contract.JobNeverStarted,
			[]string{"has no container that started within 4 seconds: pod migrate-", "registry.invalid/main:1", "It is left in place, and may start later: kubectl delete job migrate -n ", "raise jobs.startSeconds"},
		},
		"because it takes longer than the input allows": {
			aJob(fields{"kubestep.local/run-for": "5m"}), fields{"timeoutSeconds": 4}, contract.JobDeadline,
			[]string{"did not end within 4 seconds", "It is left in place, and may still run", "raise jobs.timeoutSeconds"},
		},
		"because it takes longer than it allows itself": {
			aJob(fields{"kubestep.local/run-for": "5m"}, fields{"activeDeadlineSeconds": 2}), nil, contract.JobDeadline,
			[]string{"did not end within 2 seconds (DeadlineExceeded: "},
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			a := newGatekeeper(t)
			text, err := json.Marshal([]any{c.job, fields{"apiVersion": "v1", "kind": "Service", "metadata": fields{"name": "web"}, "spec": fields{"ports": []fields{{"port": 80}}}}})
			require.NoError(t, err)
			input := map[string]any{"manifests": json.RawMessage(text), "before": []string{"migrate"}}
			if c.more != nil {
				input["jobs"] = c.more
			}
			began := time.Now()
			e := a.run(t, input)
			stopped(t, e, c.name, append(c.cause, "Before that, 1 of 2 objects were applied and are left in place: Job ")...)
			assert.Less(t, time.Since(began), time.Minute)
			_, err = admin(t).CoreV1().Services(a.namespace).Get(t.Context(), "web", metav1.GetOptions{})
			assert.True(t, apierrors.IsNotFound(err))
		})
	}
}

func TestWhatIsWrongWithBeforeAndAfterIsSaidBeforeTheClusterIsAsked(t *testing.T) {
	t.Parallel()
	a := newApplier(t)
	manifests := gated(nil, nil) + "\n---\napiVersion: batch/v1\nkind: CronJob\nmetadata: {name: nightly}\nspec: {schedule: 0 0 * * *, jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: c}]}}}}}\n"
	e := a.run(t, map[string]any{"manifests": manifests, "before": []string{"web", "nightly", "elsewhere/migrate", "migrate"}, "after": []string{a.namespace + "/migrate"}})
	stopped(t, e, contract.InvalidInput, "before: web is no Job, but a Deployment", "before: nightly is no Job, but a CronJob, whose Jobs nobody waits for. Run its template with run-job",
		fmt.Sprintf("before: elsewhere/migrate is not in the manifests, whose Jobs are %s/", a.namespace), fmt.Sprintf("after: %s/migrate is in before, too: a Job runs once", a.namespace))
	assert.Equal(t, path("DescribeCluster", "LoadManifests", "Explain", "Failed"), e.Path)

	e = a.run(t, map[string]any{"manifests": manifests, "before": []string{"a b"}, "wait": fields{"timeoutSeconds": 3000}, "jobs": fields{"timeoutSeconds": 700, "startSeconds": 0, "logs": "all"}})
	stopped(t, e, contract.InvalidInput, `before: "a b": expected a Job of the manifests, as NAME or NAMESPACE/NAME`, "jobs.startSeconds: 0: expected 1 to 3600", `jobs.logs: "all": expected "none" or "tail"`, "jobs.timeoutSeconds: 700")
	assert.Equal(t, types.ExecutionStatusFailed, e.Status)
}

func TestToWaitForJobsTakesThePermissionToSeePods(t *testing.T) {
	t.Parallel()
	a := newApplier(t)
	a.allow(t, rbacv1.PolicyRule{APIGroups: []string{"*"}, Resources: []string{"configmaps", "serviceaccounts", "persistentvolumeclaims", "deployments", "jobs"}, Verbs: []string{"get", "create", "patch"}})
	e := a.withJobs(t, gated(nil, nil), fields{"jobs": fields{"logs": "tail"}})
	stopped(t, e, contract.Forbidden, "list pods in namespace "+a.namespace, "get pods/log in namespace "+a.namespace, "kind: Role")
	without := a.run(t, map[string]any{"manifests": gated(nil, nil), "mode": "plan"})
	assert.Equal(t, types.ExecutionStatusSucceeded, without.Status, without.Cause)
}

func TestASetIsPrunedOnceTheJobsOfAfterHaveCompleted(t *testing.T) {
	t.Parallel()
	a := newPruner(t)
	release := func(version, exit string, names ...string) follow.Execution {
		job := aJob(fields{"kubestep.local/exit": exit})
		job["metadata"] = fields{"name": "check-" + version}
		text, err := json.Marshal(job)
		require.NoError(t, err)
		return a.run(t, map[string]any{"manifests": configMapsOf(names...) + "---\n" + string(text), "set": "addons", "prune": true, "after": []string{"check-" + version}})
	}
	output := applied(t, release("1", "0", "one", "two"))
	require.Len(t, output.Jobs, 1)

	stopped(t, release("2", "1", "one"), contract.JobFailed, "after: Job "+a.namespace+"/check-2 in cluster demo failed", "ended with exit code 1")
	_, err := admin(t).CoreV1().ConfigMaps(a.namespace).Get(t.Context(), "two", metav1.GetOptions{})
	require.NoError(t, err, "nothing is deleted before the check is passed")
	_, err = admin(t).BatchV1().Jobs(a.namespace).Get(t.Context(), "check-1", metav1.GetOptions{})
	require.NoError(t, err)

	e := release("3", "0", "one")
	output = applied(t, e)
	assert.Equal(t, 3, output.Pruned, "ConfigMap two, and the Jobs of the former versions")
	assert.Greater(t, slices.Index(e.Path, "PruneObjects"), slices.Index(e.Path, "CheckReadiness"))
	_, err = admin(t).CoreV1().ConfigMaps(a.namespace).Get(t.Context(), "two", metav1.GetOptions{})
	assert.True(t, apierrors.IsNotFound(err))
}
