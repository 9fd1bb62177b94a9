package manifests_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/input"
	"github.com/kubestep/kubestep/internal/kube"
	"github.com/kubestep/kubestep/internal/kube/kubetest"
	"github.com/kubestep/kubestep/internal/manifests"
)

// jobsOf says how Jobs fare: by name, what a look at one finds.
type jobsOf map[string]manifests.SeenJob

func (j jobsOf) Look(_ context.Context, _ *kube.Conn, of manifests.AwaitedJob) (manifests.SeenJob, error) {
	seen, known := j[of.Name]
	if !known {
		return manifests.SeenJob{}, errors.New("nobody is to look at " + of.Name)
	}
	seen.Watched = of.Watched
	seen.Watched.UID, seen.Watched.Why = "uid-of-"+of.Name, "pods: 1 active, 0 succeeded, 0 failed"
	if seen.Watched.Until.IsZero() {
		seen.Watched.Until = time.Now().Add(time.Duration(of.Limits.TimeoutSeconds) * time.Second)
	}
	return seen, nil
}

var (
	runs     = manifests.SeenJob{}
	complete = manifests.SeenJob{Ended: true, StartedAt: "2026-11-23T15:00:00Z", EndedAt: "2026-11-23T15:01:01Z"}
)

func job(name string) string {
	return fmt.Sprintf("---\napiVersion: batch/v1\nkind: Job\nmetadata: {name: %s}\nspec: {template: {spec: {volumes: [{name: v, persistentVolumeClaim: {claimName: scratch}}]}}}\n", name)
}

func deployment(name string) string {
	return fmt.Sprintf("---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: %s}\n", name)
}

func jobPath(name string) string { return "/apis/batch/v1/namespaces/shop/jobs/" + name }

const webPath = "/apis/apps/v1/namespaces/shop/deployments/web"

// withJobs begins an execution with the Job migrate before, and smoke-test after.
func withJobs(t *testing.T, jobs jobsOf) *tester {
	t.Helper()
	f := execution(t, deployment("web")+job("smoke-test")+job("migrate")+settingsOf("settings"), func(r *applymanifests.Request) {
		r.Before, r.After, r.Wait = []string{"shop/migrate"}, []string{"smoke-test"}, applymanifests.Wait{TimeoutSeconds: 60}
		r.Jobs = applymanifests.Jobs{TimeoutSeconds: 900, StartSeconds: 120, Logs: applymanifests.JobLogsNone}
	})
	f.applier.Jobs = jobs
	return f
}

func settingsOf(name string) string {
	return fmt.Sprintf("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\n", name)
}

// goOn runs apply-manifests once more.
func (f *tester) goOn(t *testing.T, plan applymanifests.Plan, before applymanifests.Applied) applymanifests.Applied {
	t.Helper()
	applied, err := f.applier.Apply(t.Context(), applymanifests.ApplyManifests{Session: f.session, Plan: plan, Apply: before})
	require.NoError(t, err)
	return applied
}

func TestJobsAreAppliedBeforeTheWorkloadsAndAfterTheyAreReady(t *testing.T) {
	jobs := jobsOf{"migrate": runs}
	f := withJobs(t, jobs)
	plan, applied, err := f.apply(t)
	require.NoError(t, err)
	for _, o := range plan.Objects {
		assert.Equal(t, map[string]applymanifests.Gate{"migrate": "before", "smoke-test": "after"}[o.Name], o.Gate, o.Name)
	}
	require.Len(t, plan.WaitFor, 2, "Jobs are waited for until they complete, and not until they are ready")

	assert.Equal(t, []string{path("settings"), jobPath("migrate")}, f.applied, "what it needs is applied first")
	assert.False(t, applied.Complete)
	assert.False(t, applied.Settled)
	assert.Equal(t, 2, applied.WaitSeconds)
	require.Len(t, applied.Watched, 1)
	assert.Equal(t, "uid-of-migrate", applied.Watched[0].UID)

	again := f.goOn(t, plan, applied)
	assert.Equal(t, applied.Done, again.Done, "a look changes nothing")
	assert.Len(t, f.applied, 2)

	jobs["migrate"] = complete
	applied = f.goOn(t, plan, again)
	assert.Equal(t, []string{path("settings"), jobPath("migrate"), webPath}, f.applied)
	assert.True(t, applied.Settled, "what comes next is to wait until it is ready")
	assert.False(t, applied.Complete)
	assert.Zero(t, applied.WaitSeconds)
	assert.Empty(t, applied.Watched)

	delete(jobs, "migrate") // nobody looks at it any more
	jobs["smoke-test"] = runs
	applied = f.goOn(t, plan, applied)
	assert.Equal(t, jobPath("smoke-test"), f.applied[len(f.applied)-1])
	assert.False(t, applied.Complete)
	assert.Positive(t, applied.WaitSeconds)

	jobs["smoke-test"] = complete
	applied = f.goOn(t, plan, applied)
	assert.True(t, applied.Complete)
	assert.Equal(t, 4, applied.Applied)
	assert.Equal(t, []applymanifests.CompletedJob{
		{Gate: "before", Namespace: "shop", Name: "migrate", Ran: true, StartedAt: complete.StartedAt, EndedAt: complete.EndedAt},
		{Gate: "after", Namespace: "shop", Name: "smoke-test", Ran: true, StartedAt: complete.StartedAt, EndedAt: complete.EndedAt},
	}, applied.Jobs)
	assert.Equal(t, applied, f.goOn(t, plan, applied), "a second attempt changes nothing")
}

func TestAVolumeThatTheJobMountsIsAppliedBeforeIt(t *testing.T) {
	const claims = "/api/v1/namespaces/shop/persistentvolumeclaims/"
	claim := "---\napiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: %s}\n"
	f := execution(t, fmt.Sprintf(claim, "scratch")+fmt.Sprintf(claim, "other")+job("migrate"), func(r *applymanifests.Request) { r.Before = []string{"migrate"} })
	f.applier.Jobs = jobsOf{"migrate": runs}
	_, _, err := f.apply(t)
	require.NoError(t, err)
	assert.ElementsMatch(t, []string{claims + "scratch", jobPath("migrate")}, f.applied)
}

func TestAJobThatHadCompletedIsNotRunAgain(t *testing.T) {
	jobs := jobsOf{"migrate": complete, "smoke-test": complete}
	f := withJobs(t, jobs)
	plan, applied, err := f.apply(t)
	require.NoError(t, err)
	f.goOn(t, plan, applied)
	f.applied = nil

	plan, applied, err = f.apply(t)
	require.NoError(t, err)
	applied = f.goOn(t, plan, applied)
	assert.True(t, applied.Complete)
	assert.Empty(t, f.applied)
	assert.Zero(t, applied.Applied)
	require.Len(t, applied.Jobs, 2)
	for _, j := range applied.Jobs {
		assert.False(t, j.Ran)
		assert.Contains(t, j.Note, "put a version into its name")
	}
}

func TestAJobThatCompletedIsNotRunAgainAfterARefreshThoughItIsGone(t *testing.T) {
	jobs := jobsOf{"migrate": complete}
	f := withJobs(t, jobs)
	_, applied, err := f.apply(t)
	require.NoError(t, err)
	require.True(t, applied.Settled)
	delete(f.objects, jobPath("migrate")) // its time to live was over
	delete(jobs, "migrate")
	f.session.Progress, f.applied = f.session.Manifests.SHA256+":"+applied.Done, nil

	jobs["smoke-test"] = complete
	plan, applied, err := f.apply(t)
	require.NoError(t, err)
	assert.Equal(t, 4, plan.Created)
	applied = f.goOn(t, plan, applied)
	assert.Equal(t, []string{jobPath("smoke-test")}, f.applied)
	assert.True(t, applied.Complete)
	assert.Equal(t, 4, applied.Applied)
	assert.True(t, applied.Jobs[0].Ran)
}

func TestAJobThatFailsEndsTheApply(t *testing.T) {
	failed := manifests.SeenJob{Ended: true, Failure: contract.Errorf(contract.JobFailed, "Job shop/migrate in cluster demo failed"), Lines: []string{"one", "two"}}
	f := withJobs(t, jobsOf{"migrate": failed})
	_, _, err := f.apply(t)
	name, message := kubetest.Told(t, err)
	assert.Equal(t, "JobFailed", name)
	assert.Equal(t, "before: Job shop/migrate in cluster demo failed. Before that, 2 of 4 objects were applied and are left in place: Job shop/migrate, ConfigMap shop/settings. The last lines of the container:\none\ntwo", message)
	assert.NotContains(t, f.applied, webPath)

	// Another execution finds it as it is.
	_, _, err = f.apply(t)
	_, message = kubetest.Told(t, err)
	assert.Contains(t, message, "It did so before this execution, which does not run it again: give it another name, or delete it with kubectl delete job migrate -n shop")
	assert.Contains(t, message, "Nothing was applied")
}

func TestAnAPIServerThatIsAwayWhileAJobRunsLosesNothing(t *testing.T) {
	f := withJobs(t, jobsOf{"migrate": runs})
	plan, applied, err := f.apply(t)
	require.NoError(t, err)
	f.applier.Jobs = jobsOf{} // it cannot be looked at
	_, err = f.applier.Apply(t.Context(), applymanifests.ApplyManifests{Session: f.session, Plan: plan, Apply: applied})
	_, message := kubetest.Told(t, err)
	assert.Contains(t, message, "Before that, 2 of 4 objects were applied")
	f.applier.Jobs = jobsOf{"migrate": complete}
	assert.True(t, f.goOn(t, plan, applied).Settled)
}

func TestBeforeAndAfterNameJobsOfTheManifests(t *testing.T) {
	all := job("one") + "---\napiVersion: batch/v1\nkind: Job\nmetadata: {name: two, namespace: a}\n---\napiVersion: batch/v1\nkind: Job\nmetadata: {name: two, namespace: b}\n" +
		"---\napiVersion: batch/v1\nkind: CronJob\nmetadata: {name: nightly}\n---\napiVersion: batch/v1\nkind: Job\nmetadata: {name: brief}\nspec: {ttlSecondsAfterFinished: 5}\n" + deployment("web")
	for sentence, c := range map[string]struct {
		before, after []string
		want          string
	}{
		"by name, or namespace and name":   {[]string{"one", "a/two"}, []string{"b/two"}, ""},
		"in the namespace of the input":    {[]string{"shop/one"}, nil, ""},
		"and not by a name of two":         {[]string{"two"}, nil, "before: two is the name of 2 Jobs: expected one of a/two, b/two"},
		"and not what is not there":        {nil, []string{"three"}, "after: three is not in the manifests, whose Jobs are shop/one, a/two, b/two, shop/brief"},
		"and not in another namespace":     {nil, []string{"a/one"}, "after: a/one is not in the manifests"},
		"and not a CronJob":                {[]string{"nightly"}, nil, "before: nightly is no Job, but a CronJob, whose Jobs nobody waits for. Run its template with run-job"},
		"and nothing else":                 {[]string{"web"}, nil, "before: web is no Job, but a Deployment"},
		"and not in both":                  {[]string{"one"}, []string{"shop/one"}, "after: shop/one is in before, too: a Job runs once"},
		"and not twice":                    {[]string{"one", "shop/one"}, nil, "before: shop/one is there twice"},
		"and none that is gone at once":    {[]string{"brief"}, nil, "before: shop/brief has a ttlSecondsAfterFinished of 5, so it may be gone before it is seen to have completed: expected 60 or more"},
		"and all that is wrong is told of": {[]string{"web"}, []string{"three"}, "before: web is no Job, but a Deployment; after: three is not in"},
	} {
		t.Run(sentence, func(t *testing.T) {
			request := applymanifests.Request{Source: applymanifests.Source{Bucket: "b", Key: "m.yaml"}, Namespace: "shop", Mode: applymanifests.ModePlan, Before: c.before, After: c.after}
			source := manifests.Source{S3: bucket{"m.yaml": all}}
			_, err := source.Load(t.Context(), applymanifests.LoadManifests{Request: request})
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			name, message := kubetest.Told(t, err)
			assert.Equal(t, "InvalidInput", name)
			assert.Contains(t, message, c.want)
		})
	}

	// The command says it before it starts anything.
	f := input.Read([]byte(`{"manifests":"","before":["web"]}`), "{}")
	manifests.CheckInline(manifests.Rules{})(f, applymanifests.Request{Manifests: []byte(`[{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web"}}]`), Namespace: "shop", Before: []string{"web", "api"}, After: []string{"end"}})
	assert.ErrorContains(t, f.Err(), "before[0]: web is no Job, but a Deployment. before[1]: api is not in the manifests, which have no Job. after[0]: end is not in")
}

func TestWhoWaitsForJobsMayListPods(t *testing.T) {
	f := withJobs(t, jobsOf{})
	f.session.Request.Jobs.Logs = applymanifests.JobLogsTail
	_, err := f.applier.Verify(t.Context(), applymanifests.VerifyApply{Session: f.session})
	require.NoError(t, err)
	assert.Contains(t, f.reviewed, "list pods shop/")
	assert.Contains(t, f.reviewed, "get pods shop/", "pods/log is a subresource")
	f.denied["list pods shop/"] = true
	_, err = f.applier.Verify(t.Context(), applymanifests.VerifyApply{Session: f.session})
	name, message := kubetest.Told(t, err)
	assert.Equal(t, "Forbidden", name)
	assert.Contains(t, message, "list pods in namespace shop")

	none := execution(t, deployment("web"))
	_, err = none.applier.Verify(t.Context(), applymanifests.VerifyApply{Session: none.session})
	require.NoError(t, err)
	assert.NotContains(t, none.reviewed, "list pods shop/")
}

func TestATemplateThatChangedSaysWhatToDo(t *testing.T) {
	f := withJobs(t, jobsOf{})
	f.refuse[jobPath("migrate")] = says(http.StatusUnprocessableEntity, metav1.StatusReasonInvalid, `Job.batch "migrate" is invalid: spec.template: Invalid value: field is immutable`)
	_, err := f.plan(t.Context())
	name, message := kubetest.Told(t, err)
	assert.Equal(t, "InvalidInput", name)
	assert.Contains(t, message, "give it another name, such as one with a version; or delete it with kubectl delete job migrate -n shop; or set its ttlSecondsAfterFinished")
}
