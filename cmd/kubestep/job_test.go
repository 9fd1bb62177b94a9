package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/runjob"
)

const jobMachine = "arn:aws:states:eu-west-1:111122223333:stateMachine:kubestep-run-job"

const jobManifest = "apiVersion: batch/v1\nkind: Job\nmetadata: {name: migrate}\nspec: {template: {spec: {containers: [{name: migrate, image: shop}]}}}\n"

// jobFile is a file with a Job.
func jobFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "job.yaml")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}

func ranJob(t *testing.T) map[string]any {
	t.Helper()
	output, err := json.Marshal(runjob.Output{
		Cluster: contract.ClusterSummary{Name: "demo", Version: "1.37", Region: "eu-west-1"}, Job: runjob.JobSummary{Namespace: "shop", Name: "migrate-1"}, Succeeded: true,
		End: runjob.EndSummary{PodsSucceeded: 1, PodsFailed: 2}, Tail: "one\n\x1b[31mtwo", Log: runjob.LogSummary{Bucket: "reports", Manifest: "a/manifest.json", Lines: 2},
	})
	require.NoError(t, err)
	return map[string]any{"status": "SUCCEEDED", "output": string(output)}
}

func TestFlagsSetWhatAJobIsRunWith(t *testing.T) {
	file := jobFile(t, jobManifest)
	for sentence, c := range map[string]struct {
		args []string
		want string
	}{
		"a file": {
			[]string{"-f", file, "-n", "shop", "--env", "A=b=c", "--timeout", "90s", "--start-timeout", "10m", "--keep", "never", "--container", "migrate", "--", "migrate", "--all"},
			`{"clusterName":"demo","namespace":"shop","env":{"A":"b=c"},"args":["migrate","--all"],"timeoutSeconds":90,"startSeconds":600,"keep":"never","container":"migrate"}`,
		},
		"a CronJob":              {[]string{"--from", "cronjob/backup", "-n", "shop", "--logs", "tail"}, `{"clusterName":"demo","namespace":"shop","cronJob":{"namespace":"shop","name":"backup"},"logs":"tail"}`},
		"a CronJob of default":   {[]string{"--from", "cronjob/backup"}, `{"clusterName":"demo","cronJob":{"namespace":"default","name":"backup"}}`},
		"an object of S3":        {[]string{"--source", "s3://manifests/migrate.yaml"}, `{"clusterName":"demo","source":{"bucket":"manifests","key":"migrate.yaml"}}`},
		"a place for the log":    {[]string{"--from", "cronjob/backup", "--log-to", "s3://reports/logs/"}, `{"clusterName":"demo","cronJob":{"namespace":"default","name":"backup"},"logs":"all","output":{"bucket":"reports","prefix":"logs/"}}`},
		"an input of a schedule": {[]string{"--input", `{"cronJob":{"namespace":"shop","name":"backup"}}`}, `{"clusterName":"demo","cronJob":{"namespace":"shop","name":"backup"}}`},
	} {
		t.Run(sentence, func(t *testing.T) {
			s := newStepFunctions(t, ranJob(t))
			status, stdout, stderr := kubestep(t.Context(), append([]string{"job", "run", "demo", "--state-machine-arn", jobMachine}, c.args...)...)
			require.Equal(t, succeeded, status, stderr)
			var given map[string]any
			require.NoError(t, json.Unmarshal([]byte(s.called("StartExecution")[0].body["input"].(string)), &given))
			if sentence == "a file" {
				assert.Contains(t, given["job"], "kind: Job")
				delete(given, "job")
			}
			text, err := json.Marshal(given)
			require.NoError(t, err)
			assert.JSONEq(t, c.want, string(text))
			assert.Equal(t, "one\n\\x1b[31mtwo\n\nlog: 2 lines in s3://reports/a/manifest.json\nJob shop/migrate-1 succeeded in cluster demo (Kubernetes 1.37, eu-west-1): 1 pod, 2 failed before, in 2.4 s\n", stdout)
		})
	}
}

func TestWhatIsWrongWithAJobIsSaidBeforeAnythingStarts(t *testing.T) {
	s := newStepFunctions(t, ranJob(t))
	for want, args := range map[string][]string{
		"there is no Job: use --filename, --from, --source or --input": {},
		"--filename and --from cannot be used together":                {"-f", jobFile(t, jobManifest), "--from", "cronjob/a"},
		`--from "backup" is not of the form cronjob/NAME`:              {"--from", "backup"},
		`--env "A" is not of the form NAME=VALUE`:                      {"--from", "cronjob/a", "--env", "A"},
		"--follow reads the log where it is written to: use --log-to":  {"--from", "cronjob/a", "--follow"},
		"a Secret in the execution input stays readable":               {"-f", jobFile(t, jobManifest+"---\n{apiVersion: v1, kind: Secret, metadata: {name: a}, data: {a: Yg==}}\n")},
		"Expected one Job of batch/v1":                                 {"-f", jobFile(t, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n")},
		"timeoutSeconds: 90000: expected 1 to 86400":                   {"--from", "cronjob/a", "--timeout", "25h"},
	} {
		status, _, stderr := kubestep(t.Context(), append([]string{"job", "run", "demo", "--state-machine-arn", jobMachine}, args...)...)
		assert.Equal(t, misused, status, want)
		assert.Contains(t, stderr, want)
	}
	assert.Empty(t, s.called("StartExecution"))
}

// A part that is there holds lines of two pods.
func TestTheLinesOfAJobThatFailsArePrintedAndItsExitCodeIsTheStatus(t *testing.T) {
	run := runjob.Run{Complete: true, End: runjob.End{Error: "JobFailed", ExitCode: 3}}
	s := newStepFunctions(t, map[string]any{"status": "FAILED", "error": "JobFailed", "cause": "exit code 3"})
	document, err := json.Marshal(map[string]any{"run": run})
	require.NoError(t, err)
	s.history = func(int) []map[string]any {
		return []map[string]any{
			{"id": 1, "type": "ExecutionStarted", "timestamp": 1795449600.0},
			{"id": 2, "type": "TaskStateEntered", "timestamp": 1795449600.0, "stateEnteredEventDetails": map[string]any{"name": "WatchJob"}},
			{"id": 3, "previousEventId": 2, "type": "TaskScheduled", "timestamp": 1795449600.0, "taskScheduledEventDetails": map[string]any{
				"resourceType": "lambda", "resource": "invoke", "region": "eu-west-1",
				"parameters": `{"Payload":{"execution":"` + execution + `","output":{"bucket":"127.0.0.1","prefix":"logs/"},"run":{}}}`,
			}},
			{"id": 4, "previousEventId": 3, "type": "ParallelStateExited", "timestamp": 1795449601.0, "stateExitedEventDetails": map[string]any{"name": "WatchWithFreshToken", "output": string(document)}},
			{"id": 5, "previousEventId": 4, "type": "ExecutionFailed", "timestamp": 1795449602.0, "executionFailedEventDetails": map[string]any{"error": "JobFailed", "cause": "exit code 3"}},
		}
	}
	folder := "logs/" + contract.ExecutionARN(execution).Folder()
	var part bytes.Buffer
	w := gzip.NewWriter(&part)
	_, err = w.Write([]byte(`{"pod":"a","container":"c","line":"one"}` + "\n" + `{"pod":"a","container":"c","line":"tw\u001b[31mo"}` + "\n" + `{"pod":"b","container":"c","line":"three"}` + "\n"))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	live, err := json.Marshal(runjob.Log{Bucket: "127.0.0.1", Prefix: folder, Parts: []runjob.Part{{Name: "part-1", Lines: 3}}})
	require.NoError(t, err)
	both := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, folder+"live.json"):
			_, _ = w.Write(live)
		case r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, folder+"part-1"):
			_, _ = w.Write(part.Bytes())
		default:
			s.ServeHTTP(w, r)
		}
	}))
	defer both.Close()
	t.Setenv("AWS_ENDPOINT_URL", both.URL)

	status, stdout, stderr := kubestep(t.Context(), "job", "run", "demo", "--state-machine-arn", jobMachine, "--from", "cronjob/backup", "--follow", "--log-to", "s3://reports/logs/")

	assert.Equal(t, 3, status, stderr)
	assert.Equal(t, "one\ntw\\x1b[31mo\nb/c: three\n", stdout)
	assert.Contains(t, stderr, "exit code 3")
}
