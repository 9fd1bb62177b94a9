package jobs_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/runjob"
	"github.com/kubestep/kubestep/internal/input"
	"github.com/kubestep/kubestep/internal/jobs"
	"github.com/kubestep/kubestep/internal/kube/kubetest"
	workflow "github.com/kubestep/kubestep/internal/workflow/runjob"
)

const manifest = `
apiVersion: batch/v1
kind: Job
metadata: {name: migrate, labels: {app: shop}}
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      containers:
        - {name: migrate, image: "shop:5", args: [old], env: [{name: A, value: "1"}, {name: PASSWORD, valueFrom: {secretKeyRef: {name: db, key: password}}}]}
`

// request is what the workflow reads of an input.
func request(t *testing.T, given map[string]any) runjob.Request {
	t.Helper()
	text, err := json.Marshal(given)
	require.NoError(t, err)
	f := input.Read(text, "{}")
	r := workflow.Read(f)
	require.NoError(t, f.Err())
	return r
}

// load loads the Job of a request.
func load(t *testing.T, on contract.Cluster, r runjob.Request) runjob.CreateJob {
	t.Helper()
	session := kubetest.Session(on)
	session.Execution = execution
	loaded, err := (jobs.Source{}).Load(t.Context(), runjob.LoadJob{Execution: execution, Cluster: on, Request: r})
	require.NoError(t, err)
	return runjob.CreateJob{Session: session, Request: r, Job: loaded}
}

var creator = jobs.Creator{Kube: kubetest.Connector}

func TestAJobIsCreatedOnceForAnExecution(t *testing.T) {
	c := newCluster(t)
	in := load(t, c.Cluster, request(t, map[string]any{"job": manifest, "namespace": "shop"}))
	assert.Regexp(t, `^migrate-[0-9a-f]{10}$`, in.Job.Name)
	first, err := creator.Create(t.Context(), in)
	require.NoError(t, err)
	second, err := creator.Create(t.Context(), in)
	require.NoError(t, err)

	assert.Equal(t, first.Job, second.Job, "a second attempt finds what the first created")
	assert.Equal(t, runjob.CreatedJob{Namespace: "shop", Name: in.Job.Name, UID: uid}, first.Job)
	require.Len(t, c.jobs, 1)
	posts := c.asked("POST "+path, false)
	require.Len(t, posts, 3)
	assert.Equal(t, "POST "+path+"?dryRun=All&fieldManager=kubestep&fieldValidation=Strict", posts[0], "a dry run first")
	assert.Equal(t, "POST "+path+"?fieldManager=kubestep&fieldValidation=Strict", posts[1])

	created := c.jobs[in.Job.Name]
	assert.Equal(t, execution, metadataOf(created)["annotations"].(object)["kubestep/execution"])
	assert.Equal(t, object{"app": "shop", "app.kubernetes.io/managed-by": "kubestep"}, metadataOf(created)["labels"])
	assert.InDelta(t, 3600, created["spec"].(object)["activeDeadlineSeconds"], 0)
	assert.InDelta(t, 86400, created["spec"].(object)["ttlSecondsAfterFinished"], 0)
}

func TestAnotherExecutionCreatesAnotherJob(t *testing.T) {
	r := request(t, map[string]any{"job": manifest})
	names := map[string]bool{}
	for _, of := range []string{execution, execution + "2", strings.Replace(execution, "kubestep-run-job", "other-run-job", 1)} {
		loaded, err := (jobs.Source{}).Load(t.Context(), runjob.LoadJob{Execution: of, Request: r})
		require.NoError(t, err)
		names[loaded.Name] = true
	}
	assert.Len(t, names, 3)
}

func TestALongNameIsCut(t *testing.T) {
	r := request(t, map[string]any{"job": strings.Replace(manifest, "name: migrate,", "name: "+strings.Repeat("a.", 60)+"a,", 1)})
	loaded, err := (jobs.Source{}).Load(t.Context(), runjob.LoadJob{Execution: execution, Request: r})
	require.NoError(t, err)
	assert.LessOrEqual(t, len(loaded.Name), 52)
	assert.Regexp(t, `^(a-)+[0-9a-f]{10}$`, loaded.Name)
}

func TestSomebodyElsesJobOfThatNameIsAnError(t *testing.T) {
	c := newCluster(t)
	in := load(t, c.Cluster, request(t, map[string]any{"job": manifest, "namespace": "shop"}))
	c.jobs[in.Job.Name] = object{"kind": "Job", "metadata": object{"name": in.Job.Name, "uid": "another", "annotations": object{"kubestep/execution": "arn:other"}}}
	_, err := creator.Create(t.Context(), in)
	name, message := kubetest.Told(t, err)
	assert.Equal(t, string(contract.InvalidInput), name)
	assert.Contains(t, message, `is not this execution's: its annotation kubestep/execution is "arn:other"`)
}

func TestTheDeadlineAndTheTimeToLiveAreTheShorterAndTheLongerOne(t *testing.T) {
	for given, want := range map[string][2]float64{
		"backoffLimit: 0": {600, 86400},
		"backoffLimit: 0\n  activeDeadlineSeconds: 60\n  ttlSecondsAfterFinished: 5":      {60, 900},
		"backoffLimit: 0\n  activeDeadlineSeconds: 6000\n  ttlSecondsAfterFinished: 5000": {600, 5000},
	} {
		c := newCluster(t)
		in := load(t, c.Cluster, request(t, map[string]any{"job": strings.Replace(manifest, "backoffLimit: 0", given, 1), "namespace": "shop", "timeoutSeconds": 600}))
		_, err := creator.Create(t.Context(), in)
		require.NoError(t, err)
		spec := c.jobs[in.Job.Name]["spec"].(object)
		assert.InDelta(t, want[0], spec["activeDeadlineSeconds"], 0)
		assert.InDelta(t, want[1], spec["ttlSecondsAfterFinished"], 0)
	}
}

func TestAWordOfARequestTakesThePlaceOfTheContainersOwn(t *testing.T) {
	c := newCluster(t)
	in := load(t, c.Cluster, request(t, map[string]any{"job": manifest, "namespace": "shop", "env": map[string]string{"A": "2", "B": "3"}, "args": []string{"new"}}))
	_, err := creator.Create(t.Context(), in)
	require.NoError(t, err)
	container := c.jobs[in.Job.Name]["spec"].(object)["template"].(object)["spec"].(object)["containers"].([]any)[0].(object)
	assert.Equal(t, []any{"new"}, container["args"])
	assert.Equal(t, []any{
		object{"name": "PASSWORD", "valueFrom": object{"secretKeyRef": object{"name": "db", "key": "password"}}},
		object{"name": "A", "value": "2"}, object{"name": "B", "value": "3"},
	}, container["env"])
}

func TestWhatIsWrongWithAJobIsSaidBeforeTheClusterIsAsked(t *testing.T) {
	two := strings.Replace(manifest, "        - {name: migrate", "        - {name: proxy, image: proxy}\n        - {name: migrate", 1)
	for sentence, c := range map[string]struct {
		given map[string]any
		want  string
	}{
		"another kind":             {map[string]any{"job": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}"}, "Expected one Job of batch/v1 and nothing else, not ConfigMap default/a of v1 (document 1)"},
		"two objects":              {map[string]any{"job": manifest + "---" + strings.Replace(manifest, "name: migrate", "name: other", 1)}, "Expected one Job of batch/v1 and nothing else, not Job default/migrate of batch/v1 (document 1), Job default/other"},
		"no name":                  {map[string]any{"job": map[string]any{"apiVersion": "batch/v1", "kind": "Job", "metadata": map[string]any{}}}, "metadata.name is missing"},
		"a Secret beside it":       {map[string]any{"job": manifest + "---\n{apiVersion: v1, kind: Secret, metadata: {name: a}, stringData: {a: b}}"}, "a Secret in the execution input stays readable"},
		"a Secret within it":       {map[string]any{"job": strings.Replace(manifest, "labels:", `annotations: {a: '{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a"},"data":{"a":"Yg=="}}'}, labels:`, 1)}, "a Secret in the execution input stays readable"},
		"no such container":        {map[string]any{"job": manifest, "container": "web"}, "container: Job migrate has no container web: expected one of migrate"},
		"one of several is meant":  {map[string]any{"job": two, "args": []string{"a"}}, "container: missing: expected the name of the container that env and args are for, because Job migrate has several: proxy, migrate"},
		"no spec":                  {map[string]any{"job": "apiVersion: batch/v1\nkind: Job\nmetadata: {name: a}\nspec:"}, "Job a has no spec"},
		"a name for each creation": {map[string]any{"job": strings.Replace(manifest, "name: migrate,", "generateName: migrate-,", 1)}, "it has generateName"},
	} {
		t.Run(sentence, func(t *testing.T) {
			r := request(t, c.given)
			_, err := (jobs.Source{}).Load(t.Context(), runjob.LoadJob{Execution: execution, Request: r})
			name, message := kubetest.Told(t, err)
			assert.Equal(t, string(contract.InvalidInput), name)
			assert.Contains(t, message, c.want)

			f := input.Read(json.RawMessage("{}"), "{}")
			jobs.CheckInline(f, r)
			assert.True(t, f.HasProblem("job"), "and whoever starts executions can know it before")
		})
	}
}

func TestAFleetHasNoTimeForALongJob(t *testing.T) {
	f := input.Read(json.RawMessage("{}"), "{}")
	jobs.CheckInFleet(f, request(t, map[string]any{"job": manifest, "timeoutSeconds": 7200}))
	assert.True(t, f.HasProblem("timeoutSeconds"))
}

func TestTheTemplateOfACronJobIsRunAsKubectlDoes(t *testing.T) {
	c := newCluster(t)
	c.cronJobs["backup"] = object{
		"kind": "CronJob", "metadata": object{"name": "backup", "namespace": "shop", "uid": "of-the-cronjob"},
		"spec": object{"schedule": "0 3 * * *", "jobTemplate": object{
			"metadata": object{"labels": object{"app": "backup"}, "annotations": object{"team": "data"}},
			"spec":     object{"template": object{"spec": object{"containers": []any{object{"name": "backup", "image": "backup:1"}}}}},
		}},
	}
	in := load(t, c.Cluster, request(t, map[string]any{"cronJob": map[string]string{"namespace": "shop", "name": "backup"}, "args": []string{"--now"}}))
	assert.Contains(t, in.Job.Checks, contract.Check{Verb: "get", Group: "batch", Resource: "cronjobs", Namespace: "shop", Name: "backup", Fix: "kubectl apply -k rbac/jobs -n shop"})
	_, err := creator.Create(t.Context(), in)
	require.NoError(t, err)
	created := c.jobs[in.Job.Name]
	assert.Regexp(t, `^backup-[0-9a-f]{10}$`, in.Job.Name)
	assert.Equal(t, object{"cronjob.kubernetes.io/instantiate": "manual", "team": "data", "kubestep/execution": execution}, metadataOf(created)["annotations"])
	assert.Equal(t, []any{object{"apiVersion": "batch/v1", "kind": "CronJob", "name": "backup", "uid": "of-the-cronjob", "controller": true}}, metadataOf(created)["ownerReferences"])
	assert.Equal(t, "backup", metadataOf(created)["labels"].(object)["app"])
	container := created["spec"].(object)["template"].(object)["spec"].(object)["containers"].([]any)[0].(object)
	assert.Equal(t, []any{"--now"}, container["args"])

	in.Request.CronJob.Name = "nowhere"
	_, err = creator.Create(t.Context(), in)
	name, message := kubetest.Told(t, err)
	assert.Equal(t, string(contract.InvalidInput), name)
	assert.Contains(t, message, "cronJob: cluster demo has no CronJob shop/nowhere")
}

func TestAJobThatWasCreatedIsNotCreatedAgainOnceTheClusterWasDescribedAgain(t *testing.T) {
	c := newCluster(t)
	in := load(t, c.Cluster, request(t, map[string]any{"job": manifest, "namespace": "shop"}))
	run, err := creator.Create(t.Context(), in)
	require.NoError(t, err)
	run.Cursor.Begun, run.Cursor.Jobs, run.Cursor.Pods = true, "7", "8"
	text, err := json.Marshal(run)
	require.NoError(t, err)
	clear(c.jobs) // somebody deleted it
	in.Progress = string(text)

	again, err := creator.Create(t.Context(), in)

	require.NoError(t, err)
	assert.Empty(t, c.jobs)
	assert.Equal(t, run.Job, again.Job)
	assert.True(t, again.Cursor.Begun)
	assert.Empty(t, again.Cursor.Jobs, "versions are those of one cluster, which may be another one now")
}

func TestWhatTheClusterRefusesIsNamed(t *testing.T) {
	for sentence, c := range map[string]struct {
		code    int32
		reason  metav1.StatusReason
		message string
		want    contract.ErrorName
	}{
		"a field is wrong":     {http.StatusUnprocessableEntity, metav1.StatusReasonInvalid, `Job.batch "a" is invalid: spec.template.spec.restartPolicy: Required value`, contract.InvalidInput},
		"a quota forbids it":   {http.StatusForbidden, metav1.StatusReasonForbidden, `jobs.batch "a" is forbidden: exceeded quota: small`, contract.Forbidden},
		"a webhook is down":    {http.StatusInternalServerError, metav1.StatusReasonInternalError, `Internal error occurred: failed calling webhook "a.example.com": no endpoints`, contract.WebhookFailed},
		"nobody is recognized": {http.StatusUnauthorized, metav1.StatusReasonUnauthorized, "Unauthorized", contract.Unauthorized},
	} {
		t.Run(sentence, func(t *testing.T) {
			on := newCluster(t)
			on.refuse = func(w http.ResponseWriter, _ *http.Request) bool {
				kubetest.Refuse(w, c.code, c.reason, c.message)
				return true
			}
			_, err := creator.Create(t.Context(), load(t, on.Cluster, request(t, map[string]any{"job": manifest, "namespace": "shop"})))
			name, message := kubetest.Told(t, err)
			assert.Equal(t, string(c.want), name)
			if c.want != contract.Unauthorized {
				assert.Contains(t, message, "shop/migrate-")
			}
		})
	}
}

// object of S3 that changes between two reads.
type changing struct{ texts []string }

func (c *changing) GetObject(context.Context, *s3.GetObjectInput, ...func(*s3.Options)) (*s3.GetObjectOutput, error) {
	text := c.texts[0]
	c.texts = c.texts[1:]
	return &s3.GetObjectOutput{Body: readCloser{strings.NewReader(text)}}, nil
}

func (c *changing) PutObject(context.Context, *s3.PutObjectInput, ...func(*s3.Options)) (*s3.PutObjectOutput, error) {
	panic("nothing is written")
}

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }

func TestAJobInS3IsTheOneThatWasChecked(t *testing.T) {
	for sentence, second := range map[string]string{"the same": manifest, "another": strings.Replace(manifest, "shop:5", "shop:6", 1)} {
		t.Run(sentence, func(t *testing.T) {
			c := newCluster(t)
			source := jobs.Source{S3: &changing{[]string{manifest, second}}}
			r := request(t, map[string]any{"source": map[string]string{"bucket": "manifests", "key": "migrate.yaml"}, "namespace": "shop"})
			loaded, err := source.Load(t.Context(), runjob.LoadJob{Execution: execution, Cluster: c.Cluster, Request: r})
			require.NoError(t, err)
			session := kubetest.Session(c.Cluster)
			session.Execution = execution
			_, err = jobs.Creator{Source: source, Kube: kubetest.Connector}.Create(t.Context(), runjob.CreateJob{Session: session, Request: r, Job: loaded})
			if second == manifest {
				require.NoError(t, err)
				return
			}
			_, message := kubetest.Told(t, err)
			assert.Contains(t, message, "source: s3://manifests/migrate.yaml changed while the execution ran")
			assert.Empty(t, c.jobs)
		})
	}
}

func TestOnlyTheJobOfTheExecutionIsDeleted(t *testing.T) {
	for sentence, c := range map[string]struct {
		there   object
		created string
		stopped string
		deleted bool
		why     string
	}{
		"it is there":                        {object{"uid": uid, "annotations": object{"kubestep/execution": execution}}, uid, "", true, ""},
		"it is a stopped execution's":        {object{"uid": uid, "annotations": object{"kubestep/execution": execution + "2"}}, "", execution + "2", true, ""},
		"it is gone":                         {nil, uid, "", false, "is not there any more"},
		"it is another execution's":          {object{"uid": uid, "annotations": object{"kubestep/execution": "other"}}, uid, "", false, "is another one by now"},
		"it is another one of the execution": {object{"uid": "other", "annotations": object{"kubestep/execution": execution}}, uid, "", false, "is another one by now"},
		"it is nobody's":                     {object{"uid": uid}, uid, "", false, "is another one by now"},
	} {
		t.Run(sentence, func(t *testing.T) {
			on := newCluster(t)
			if c.there != nil {
				c.there["name"] = "migrate"
				on.jobs["migrate"] = object{"kind": "Job", "metadata": c.there}
			}
			session := kubetest.Session(on.Cluster)
			session.Execution = execution
			deleted, err := jobs.Deleter{Kube: kubetest.Connector}.Delete(t.Context(), runjob.DeleteJob{
				Session: session, Stopped: c.stopped, Job: runjob.LoadedJob{Namespace: "shop", Name: "migrate"}, Created: runjob.CreatedJob{UID: c.created},
			})
			require.NoError(t, err)
			assert.Equal(t, c.deleted, deleted.Deleted)
			assert.Contains(t, deleted.Why, c.why)
			_, left := on.jobs["migrate"]
			assert.Equal(t, !c.deleted && c.there != nil, left)
		})
	}
}

func TestAnExecutionWhoseJobCannotBeDeletedStillSaysHowItEnded(t *testing.T) {
	for sentence, c := range map[string]struct {
		code    int32
		stopped string
		want    contract.ErrorName
	}{
		"the token has expired":                  {http.StatusUnauthorized, "", contract.Unauthorized},
		"the permission was revoked":             {http.StatusForbidden, "", ""},
		"the API server cannot":                  {http.StatusInternalServerError, "", ""},
		"that is all that a stopped one is for":  {http.StatusForbidden, execution, contract.Forbidden},
		"and the API server cannot for that one": {http.StatusInternalServerError, execution, contract.ClusterUnreachable},
	} {
		t.Run(sentence, func(t *testing.T) {
			on := newCluster(t)
			on.refuse = func(w http.ResponseWriter, _ *http.Request) bool {
				kubetest.Refuse(w, c.code, "", "no")
				return true
			}
			session := kubetest.Session(on.Cluster)
			deleted, err := jobs.Deleter{Kube: kubetest.Connector}.Delete(t.Context(), runjob.DeleteJob{Session: session, Stopped: c.stopped, Job: runjob.LoadedJob{Namespace: "shop", Name: "migrate"}})
			if c.want == "" {
				require.NoError(t, err)
				assert.False(t, deleted.Deleted)
				assert.NotEmpty(t, deleted.Why)
				return
			}
			name, _ := kubetest.Told(t, err)
			assert.Equal(t, string(c.want), name)
		})
	}
}
