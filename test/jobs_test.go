package test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/internal/contract/runjob"
	"github.com/kubestep/kubestep/internal/follow"
	"github.com/kubestep/kubestep/local/awsfront"
	"github.com/kubestep/kubestep/local/world"
	"github.com/kubestep/kubestep/test/apiproxy"
)

// jobRunner is a stack with run-job, whose role is mapped, and its namespace.
type jobRunner struct {
	*scenario
	group, namespace string
}

// newJobRunner deploys a stack whose role may do in its namespace what rbac/jobs says.
func newJobRunner(t *testing.T) *jobRunner {
	t.Helper()
	s := newScenario(t)
	j := &jobRunner{scenario: s, group: "runners-" + s.stack.Name, namespace: "jobs-" + s.stack.Name}
	s.set(t, map[string]string{"EnableApply": "true", "EnableJobs": "true", "FleetWorkflows": "pod-inventory,apply-manifests,run-job", "JobsKubernetesGroup": j.group, "OutputBucket": world.ReportBucket})
	s.machine = s.stack.StateMachineARN("run-job")
	editAwsAuth(t, func(mappings []mapping) []mapping {
		return append(mappings, mapping{s.stack.Role("jobs-mint-token"), "runner:" + s.stack.Name, []string{j.group}})
	})
	namespace(t, j.namespace)
	j.bind(t, rbacv1.PolicyRule{APIGroups: []string{"batch"}, Resources: []string{"jobs"}, Verbs: []string{"create", "get", "list", "watch", "delete"}},
		rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"list", "watch"}},
		rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"events"}, Verbs: []string{"list"}},
		rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods/log"}, Verbs: []string{"get"}},
		rbacv1.PolicyRule{APIGroups: []string{"batch"}, Resources: []string{"cronjobs"}, Verbs: []string{"get"}})
	return j
}

func (j *jobRunner) bind(t *testing.T, rules ...rbacv1.PolicyRule) {
	t.Helper()
	of := metav1.ObjectMeta{Name: "runner"}
	_, err := admin(t).RbacV1().Roles(j.namespace).Create(t.Context(), &rbacv1.Role{ObjectMeta: of, Rules: rules}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = admin(t).RbacV1().RoleBindings(j.namespace).Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: of, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "runner"},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "Group", Name: j.group}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
}

// fields are those of an object in JSON.
type fields = map[string]any

// aJob is a Job of one container whose pods fare as the annotations say (docs/local.md).
func aJob(annotations fields, more ...fields) fields {
	pod := fields{"restartPolicy": "Never", "containers": []fields{{"name": "main", "image": "registry.example/main:1"}}}
	spec := fields{"backoffLimit": 0, "template": fields{"metadata": fields{"annotations": annotations}, "spec": pod}}
	for i, add := range more {
		maps.Copy([]fields{spec, pod}[i], add)
	}
	return fields{"apiVersion": "batch/v1", "kind": "Job", "metadata": fields{"name": "migrate"}, "spec": spec}
}

func (j *jobRunner) input(t *testing.T, job fields, more fields) string {
	t.Helper()
	input := fields{"clusterName": world.ClusterName, "namespace": j.namespace}
	if job != nil {
		input["job"] = job
	}
	maps.Copy(input, more)
	text, err := json.Marshal(input)
	require.NoError(t, err)
	return string(text)
}

// run runs a Job.
func (j *jobRunner) run(t *testing.T, job fields, more fields) follow.Execution {
	t.Helper()
	input := j.input(t, job, more)
	e := j.start(t, j.machine, input)
	j.executions = append(j.executions, e)
	checkSchemas(t, "run-job", input, e)
	return e
}

// begin starts an execution and does not wait for it.
func (j *jobRunner) begin(t *testing.T, job fields, more fields) string {
	t.Helper()
	input := j.input(t, job, more)
	started, err := j.client.StartExecution(t.Context(), &sfn.StartExecutionInput{StateMachineArn: &j.machine, Input: &input})
	require.NoError(t, err)
	return *started.ExecutionArn
}

// jobs are the Jobs in the namespace.
func (j *jobRunner) jobs(t *testing.T) []batchv1.Job {
	t.Helper()
	list, err := admin(t).BatchV1().Jobs(j.namespace).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	return list.Items
}

// runs waits until a pod of the namespace runs.
func (j *jobRunner) runs(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool {
		list, err := admin(t).CoreV1().Pods(j.namespace).List(t.Context(), metav1.ListOptions{FieldSelector: "status.phase=Running"})
		return err == nil && len(list.Items) > 0
	}, time.Minute, 50*time.Millisecond)
}

// ran returns the output of an execution whose Job succeeded.
func ran(t *testing.T, e follow.Execution) runjob.Output {
	t.Helper()
	require.Equal(t, types.ExecutionStatusSucceeded, e.Status, "%s: %s", e.Error, e.Cause)
	d := json.NewDecoder(strings.NewReader(e.Output))
	d.DisallowUnknownFields()
	var output runjob.Output
	require.NoError(t, d.Decode(&output))
	return output
}

// The parts of an execution's path.
var (
	createdJob = path("DescribeCluster", "LoadJob", "IsStopped", "WithFreshToken", "MintToken", "VerifyRBAC", "CreateJob", "HasEnded")
	untilEnd   = path("WatchWithFreshToken", "MintTokenToWatch", "WatchJob", "HasEnded")
	deletedJob = path("DeleteWithFreshToken", "MintTokenToDelete", "DeleteJob")
)

func TestAJobThatSucceeds(t *testing.T) {
	t.Parallel()
	j := newJobRunner(t)
	e := j.run(t, aJob(fields{"kubestep.local/logs": "connecting\ndone"}), fields{"logs": "tail", "env": fields{"VERSION": "5.1.0"}})
	output := ran(t, e)
	assert.Equal(t, path(createdJob, untilEnd, "HowItEnded", "Output"), e.Path)
	assert.True(t, output.Succeeded)
	assert.Equal(t, "CompletionsReached", output.End.Reason)
	assert.Equal(t, "connecting\ndone", output.Tail)
	assert.Equal(t, 1, output.End.PodsSucceeded)
	jobs := j.jobs(t)
	require.Len(t, jobs, 1)
	assert.Equal(t, output.Job, runjob.JobSummary{Namespace: jobs[0].Namespace, Name: jobs[0].Name})
	assert.Equal(t, e.ARN, jobs[0].Annotations["kubestep/execution"])
	assert.Equal(t, "VERSION", jobs[0].Spec.Template.Spec.Containers[0].Env[0].Name)
	require.NotNil(t, jobs[0].Spec.ActiveDeadlineSeconds)
	require.NotNil(t, jobs[0].Spec.TTLSecondsAfterFinished)

	// An hour has 13 rounds of watching at most.
	history, err := j.client.GetExecutionHistory(t.Context(), &sfn.GetExecutionHistoryInput{ExecutionArn: &e.ARN, MaxResults: 1000})
	require.NoError(t, err)
	at := func(state string) int {
		return slices.IndexFunc(history.Events, func(e types.HistoryEvent) bool {
			return e.StateEnteredEventDetails != nil && *e.StateEnteredEventDetails.Name == state
		})
	}
	round := at("HowItEnded") - at("WatchWithFreshToken")
	assert.Equal(t, 16, round, "as test/bench counts them")
	assert.Less(t, len(history.Events)+12*round, 500)
}

func TestALogOfTenMegabytesIsWhollyKept(t *testing.T) {
	t.Parallel()
	j := newJobRunner(t)
	output := ran(t, j.run(t, aJob(fields{
		"kubestep.local/run-for": "3s", "kubestep.local/repeat-first-line": "100000",
		"kubestep.local/logs": "a line of some program that says what it does at this very moment, in about a hundred bytes for each one\nlast",
	}), fields{"logs": "all", "output": fields{"bucket": world.ReportBucket, "prefix": "logs"}}))
	log, lines := j.log(t, output.Log)
	require.Len(t, lines, 100_001)
	assert.Equal(t, "last", lines[100_000].Line)
	assert.Equal(t, 100_001, log.Lines)
	assert.False(t, log.Truncated)
	assert.True(t, strings.HasSuffix(output.Tail, "\nlast"))
	assert.LessOrEqual(t, len(output.Tail), 16<<10)
}

func TestAJobThatFailsSaysWhy(t *testing.T) {
	t.Parallel()
	for sentence, c := range map[string]struct {
		job   fields
		more  fields
		name  contract.ErrorName
		cause []string
		path  []string
	}{
		"with an exit code": {
			aJob(fields{"kubestep.local/exit": "3", "kubestep.local/logs": "column \"price\" exists already"}), fields{"logs": "tail"}, contract.JobFailed,
			[]string{"(BackoffLimitExceeded: Job has reached the specified backoff limit): container main of pod migrate-", "ended with exit code 3 (Error)", `column "price" exists already`}, nil,
		},
		"of too little memory": {
			aJob(fields{"kubestep.local/exit": "OOMKilled"}), nil, contract.JobFailed, []string{"exit code 137 (OOMKilled)", "resources.limits.memory"}, nil,
		},
		"at its deadline": {
			aJob(fields{"kubestep.local/run-for": "5m"}), fields{"timeoutSeconds": 5}, contract.JobDeadline, []string{"did not end within 5 seconds (DeadlineExceeded", "Pods that had not ended shortly before: migrate-"}, nil,
		},
		"because its image cannot be pulled": {
			aJob(nil, nil, fields{"containers": []fields{{"name": "main", "image": "registry.invalid/main:1"}}}), fields{"startSeconds": 5}, contract.JobNeverStarted,
			[]string{"within 5 seconds: pod migrate-", `ImagePullBackOff: container main: Back-off pulling image "registry.invalid/main:1"`}, deletedJob,
		},
		"because no node has room for it": {
			aJob(nil, nil, fields{"nodeSelector": fields{"no": "node"}}), fields{"startSeconds": 5}, contract.JobNeverStarted, []string{"Unschedulable: 0/2 nodes are available"}, deletedJob,
		},
		"because it is suspended": {
			aJob(nil, fields{"suspend": true}), fields{"startSeconds": 3}, contract.JobNeverStarted, []string{"the Job is suspended (spec.suspend), and nobody resumed it"}, deletedJob,
		},
		"by its policy for failures": {
			aJob(fields{"kubestep.local/exit": "42"}, fields{"backoffLimit": 5, "podFailurePolicy": fields{"rules": []fields{{"action": "FailJob", "onExitCodes": fields{"operator": "In", "values": []int{42}}}}}}),
			nil, contract.JobFailed, []string{"PodFailurePolicy", "matching FailJob rule at index 0"}, nil,
		},
		"of its indexes": {
			aJob(fields{"kubestep.local/exit": "2"}, fields{"backoffLimit": nil, "backoffLimitPerIndex": 0, "completionMode": "Indexed", "completions": 3, "parallelism": 3}),
			nil, contract.JobFailed, []string{"FailedIndexes", "failed indexes: 0-2"}, nil,
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			j := newJobRunner(t)
			e := j.run(t, c.job, c.more)
			stopped(t, e, c.name, c.cause...)
			assert.Equal(t, path(createdJob, untilEnd, c.path, "HowItEnded", "ExplainJob", "Failed"), e.Path)
			if c.path != nil {
				assert.Empty(t, j.jobs(t), "nobody waits for it any longer")
			}
		})
	}
}

func TestWhatIsWrongWithAJobIsSaidBeforeItIsCreated(t *testing.T) {
	t.Parallel()
	j := newJobRunner(t)
	e := j.run(t, aJob(nil), fields{"container": "web"})
	stopped(t, e, contract.InvalidInput, "container: Job migrate has no container web: expected one of main")
	assert.Equal(t, path("DescribeCluster", "LoadJob", "Explain", "Failed"), e.Path)

	e = j.run(t, aJob(nil, nil, fields{"restartPolicy": "Always"}), nil)
	stopped(t, e, contract.InvalidInput, "does not accept Job "+j.namespace+"/migrate-", "spec.template.spec.restartPolicy")
	e = j.run(t, aJob(nil), fields{"namespace": "elsewhere", "logs": "tail"})
	stopped(t, e, contract.Forbidden, "create jobs.batch in namespace elsewhere", "get pods/log in namespace elsewhere", "kubectl kustomize rbac/jobs | sed s/kubestep-job-runners/"+j.group+"/ | kubectl apply -f - -n elsewhere")
	assert.Empty(t, j.jobs(t))
}

func TestAJobOfFiftyIndexes(t *testing.T) {
	t.Parallel()
	j := newJobRunner(t)
	output := ran(t, j.run(t, aJob(fields{"kubestep.local/logs": "an index"}, fields{"completionMode": "Indexed", "completions": 50, "parallelism": 25}),
		fields{"logs": "all", "output": fields{"bucket": world.ReportBucket}}))
	assert.Equal(t, 50, output.End.PodsSucceeded)
	_, lines := j.log(t, output.Log)
	assert.Len(t, lines, 50)
}

// log reads the log that the manifest names.
func (j *jobRunner) log(t *testing.T, of runjob.LogSummary) (runjob.Log, []runjob.LogLine) {
	t.Helper()
	developer, err := local.Developer()
	require.NoError(t, err)
	client := s3.NewFromConfig(developer, func(o *s3.Options) { o.UsePathStyle = true })
	get := func(key string) []byte {
		object, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &of.Bucket, Key: &key})
		require.NoError(t, err)
		text, err := io.ReadAll(object.Body)
		require.NoError(t, err)
		return text
	}
	var log runjob.Log
	require.NoError(t, json.Unmarshal(get(of.Manifest), &log))
	var all []runjob.LogLine
	for _, part := range log.Parts {
		reader, err := gzip.NewReader(bytes.NewReader(get(log.Prefix + part.Name)))
		require.NoError(t, err)
		for lines := bufio.NewScanner(reader); lines.Scan(); {
			var l runjob.LogLine
			require.NoError(t, json.Unmarshal(lines.Bytes(), &l))
			all = append(all, l)
		}
	}
	return log, all
}

func TestACronJobIsRunNow(t *testing.T) {
	t.Parallel()
	j := newJobRunner(t)
	template := batchv1.JobTemplateSpec{}
	text, err := json.Marshal(aJob(fields{"kubestep.local/logs": "backed up"})["spec"])
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &template.Spec))
	_, err = admin(t).BatchV1().CronJobs(j.namespace).Create(t.Context(), &batchv1.CronJob{
		ObjectMeta: metav1.ObjectMeta{Name: "backup"}, Spec: batchv1.CronJobSpec{Schedule: "0 0 31 2 *", JobTemplate: template},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	output := ran(t, j.run(t, nil, fields{"cronJob": fields{"name": "backup"}, "logs": "tail", "keep": "onFailure"}))
	assert.Equal(t, "backed up", output.Tail)
	assert.True(t, strings.HasPrefix(output.Job.Name, "backup-"))
	assert.True(t, output.Deleted.Deleted)
	assert.Empty(t, j.jobs(t), "it succeeded, and keep is onFailure")
}

// The API server goes away while the Job runs: each request fails for some seconds.
func TestAnAPIServerThatIsAwayWhileAJobRuns(t *testing.T) {
	t.Parallel()
	j := newJobRunner(t)
	var away atomic.Bool
	refuse := func(w http.ResponseWriter, r *http.Request, pass http.HandlerFunc) {
		if away.Load() {
			panic(http.ErrAbortHandler)
		}
		if r.URL.Query().Get("watch") == "" {
			pass(w, r)
			return
		}
		// A watch ends when the API server goes away.
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			defer func() { _ = recover() }()
			pass(w, r)
		}()
		for {
			select {
			case <-ended:
				return
			case <-time.After(50 * time.Millisecond):
				if away.Load() {
					panic(http.ErrAbortHandler)
				}
			}
		}
	}
	_, where := proxied(t, apiproxy.Fault{Answer: refuse})
	execution := j.begin(t, aJob(fields{"kubestep.local/run-for": "12s"}), fields{"region": where})
	j.runs(t)
	away.Store(true)
	time.AfterFunc(8*time.Second, func() { away.Store(false) })
	e := j.follow(t, execution)
	ran(t, e)
	assert.Equal(t, path(createdJob, untilEnd, "HowItEnded", "Output"), e.Path)
	assert.Len(t, j.jobs(t), 1)
}

// A token that expires half-way is refused when the watch breaks.
func TestATokenThatExpiresWhileAJobRuns(t *testing.T) {
	t.Parallel()
	j := newJobRunner(t)
	var watches, refused atomic.Int32
	_, where := proxied(t, apiproxy.Fault{Resource: "jobs", Answer: func(w http.ResponseWriter, r *http.Request, pass http.HandlerFunc) {
		if r.URL.Query().Get("watch") == "" {
			if watches.Load() == 1 && refused.Add(1) == 1 {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(http.StatusUnauthorized)
				_, _ = io.WriteString(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Unauthorized","message":"Unauthorized","code":401}`)
				return
			}
			pass(w, r)
			return
		}
		if watches.Add(1) == 1 {
			_, _ = fmt.Fprintln(w, `{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired","message":"too old"}}`)
			return
		}
		pass(w, r)
	}})
	e := j.run(t, aJob(fields{"kubestep.local/run-for": "5s"}), fields{"region": where})
	ran(t, e)
	assert.Equal(t, path(createdJob, "WatchWithFreshToken", "MintTokenToWatch", "WatchJob", "MintTokenToWatch", "WatchJob", "HasEnded", "HowItEnded", "Output"), e.Path)
	assert.Len(t, j.jobs(t), 1, "and nothing is created twice")
}

func TestTheJobOfAnExecutionThatIsStoppedIsDeleted(t *testing.T) {
	t.Parallel()
	j := newJobRunner(t)
	execution := j.begin(t, aJob(fields{"kubestep.local/run-for": "10m"}), nil)
	j.runs(t)
	_, err := j.client.StopExecution(t.Context(), &sfn.StopExecutionInput{ExecutionArn: &execution})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return len(j.jobs(t)) == 0 }, time.Minute, 100*time.Millisecond, "a rule starts an execution that deletes it")
	executions, err := j.client.ListExecutions(t.Context(), &sfn.ListExecutionsInput{StateMachineArn: &j.machine})
	require.NoError(t, err)
	require.Len(t, executions.Executions, 2)
	for _, other := range executions.Executions {
		if *other.ExecutionArn == execution {
			continue
		}
		e := j.follow(t, *other.ExecutionArn)
		output := ran(t, e)
		assert.Equal(t, path("DescribeCluster", "LoadJob", "IsStopped", deletedJob, "HowItEnded", "Output"), e.Path)
		assert.True(t, output.Deleted.Deleted)
		assert.False(t, output.Succeeded)
	}
}

func TestAJobThatSomebodyDeletesIsNotCreatedAgain(t *testing.T) {
	t.Parallel()
	j := newJobRunner(t)
	execution := j.begin(t, aJob(fields{"kubestep.local/run-for": "10m"}), nil)
	j.runs(t)
	require.NoError(t, admin(t).BatchV1().Jobs(j.namespace).Delete(t.Context(), j.jobs(t)[0].Name, metav1.DeleteOptions{PropagationPolicy: new(metav1.DeletePropagationBackground)}))
	e := j.follow(t, execution)
	stopped(t, e, contract.JobFailed, "was deleted before it ended, and not by this execution")
	assert.Empty(t, j.jobs(t))
}

// A cluster's certificate changes half-way: the machine describes the cluster again, and goes on with the same Job.
func TestAJobIsCreatedOnceIfTheClusterIsDescribedAgain(t *testing.T) {
	t.Parallel()
	j := newJobRunner(t)
	var broken atomic.Bool
	proxy, where := proxied(t)
	proxy.Add(apiproxy.Fault{Resource: "jobs", Answer: func(w http.ResponseWriter, r *http.Request, pass http.HandlerFunc) {
		if r.URL.Query().Get("fieldSelector") != "" && !broken.Load() {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		pass(w, r)
	}})
	execution := j.begin(t, aJob(fields{"kubestep.local/run-for": "1s"}), fields{"region": where})
	require.Eventually(t, func() bool { // after three attempts of some seconds
		history, err := j.client.GetExecutionHistory(t.Context(), &sfn.GetExecutionHistoryInput{ExecutionArn: &execution, MaxResults: 1000})
		return err == nil && slices.ContainsFunc(history.Events, func(e types.HistoryEvent) bool {
			return e.StateEnteredEventDetails != nil && *e.StateEnteredEventDetails.Name == "RefreshCluster"
		})
	}, 3*time.Minute, time.Second)
	broken.Store(true)
	e := j.follow(t, execution)
	ran(t, e)
	assert.Contains(t, e.Path, "StaleCluster")
	assert.Len(t, j.jobs(t), 1)
}

func TestAJobInAFleet(t *testing.T) {
	t.Parallel()
	j := newJobRunner(t)
	j.machine = j.stack.StateMachineARN("fleet")
	e := j.start(t, j.machine, fmt.Sprintf(`{"workflow":"run-job","clusters":["demo"],"toleratedFailures":{"count":1},"request":%s}`, strings.Replace(j.input(t, aJob(fields{"kubestep.local/exit": "3"}), nil), `"clusterName":"demo",`, "", 1)))
	output := fleetOutput(t, e)
	require.Len(t, output.Outcomes, 1)
	assert.Equal(t, string(contract.JobFailed), output.Outcomes[0].Error)
	assert.Contains(t, output.Outcomes[0].Cause, "exit code 3")
}

func TestAFleetRunsAJobInAnotherAccountByARoleThatMayOnlyRunJobs(t *testing.T) {
	t.Parallel()
	j := newJobRunner(t)
	role := fmt.Sprintf("arn:aws:iam::%s:role/runner-%s", otherAccount, j.stack.Name)
	j.set(t, map[string]string{"JobsRoleArns": role, "ExternalId": "agreed"})
	local.Roles.Put(awsfront.Role{ARN: role, Trusts: []string{j.stack.Role("find-clusters"), j.stack.Role("describe-cluster"), j.stack.Role("jobs-mint-token")}, ExternalID: "agreed"})
	editAwsAuth(t, func(mappings []mapping) []mapping {
		return append(mappings, mapping{role, "runner-of-theirs:" + j.stack.Name, []string{j.group}})
	})
	where := region()
	describe(t, where, func(c *awsfront.Cluster) { c.ARN = clusterARN(where, otherAccount) })

	input, err := json.Marshal(fields{
		"workflow": "run-job", "regions": []string{where}, "roleArns": []string{role},
		"request": fields{"namespace": j.namespace, "job": aJob(nil)},
	})
	require.NoError(t, err)
	output := fleetOutput(t, j.start(t, j.stack.StateMachineARN("fleet"), string(input)))

	assert.Equal(t, map[fleet.Status]int{fleet.StatusSucceeded: 1}, output.Summary.ByStatus)
	require.Len(t, output.Outcomes, 1)
	exitCode, has := output.Outcomes[0].Totals["exitCode"]
	assert.True(t, has, "a Job that succeeded has its exit code in the totals, and one that failed in the cause")
	assert.Zero(t, exitCode)
	assert.Len(t, j.jobs(t), 1)
}
