package runjob_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract"
	contractjob "github.com/kubestep/kubestep/internal/contract/runjob"
	"github.com/kubestep/kubestep/internal/input"
	"github.com/kubestep/kubestep/internal/workflow/runjob"
)

func TestARequestIsReadWithItsDefaults(t *testing.T) {
	f := input.Read(json.RawMessage(`{"job":"a"}`), "{}")
	request := runjob.Read(f)
	require.NoError(t, f.Err())
	assert.Equal(t, contractjob.Request{
		Job: json.RawMessage(`"a"`), Namespace: "default", Env: map[string]string{}, Args: []string{},
		TimeoutSeconds: 3600, StartSeconds: 120, Logs: contractjob.LogsNone, Keep: contractjob.KeepAlways,
	}, request)

	f = input.Read(json.RawMessage(`{"source":{"bucket":"abc","key":"k","versionId":"v"},"namespace":"shop","container":"c","env":{"A":"1"},"args":["x"],
		"timeoutSeconds":60,"startSeconds":30,"logs":"all","keep":"never","output":{"bucket":"abc"},"stopped":"arn:aws:states:eu-west-1:111122223333:execution:m:n"}`), "{}")
	request = runjob.Read(f)
	require.NoError(t, f.Err())
	assert.Equal(t, contractjob.Request{
		Source: contractjob.Source{Bucket: "abc", Key: "k", VersionID: "v"}, Namespace: "shop", Container: "c", Env: map[string]string{"A": "1"}, Args: []string{"x"},
		TimeoutSeconds: 60, StartSeconds: 30, Logs: contractjob.LogsAll, Keep: contractjob.KeepNever, Output: contract.Destination{Bucket: "abc"},
		Stopped: "arn:aws:states:eu-west-1:111122223333:execution:m:n",
	}, request)
}

func TestACronJobIsInItsOwnNamespaceOrInThatOfTheRequest(t *testing.T) {
	for given, want := range map[string]string{
		`{"cronJob":{"namespace":"shop","name":"backup"},"namespace":"bank"}`: "shop",
		`{"cronJob":{"name":"backup"},"namespace":"bank"}`:                    "bank",
	} {
		f := input.Read(json.RawMessage(given), "{}")
		request := runjob.Read(f)
		require.NoError(t, f.Err())
		assert.Equal(t, contractjob.CronJob{Namespace: want, Name: "backup"}, request.CronJob)
	}
}

func TestEachProblemOfARequestHasASentence(t *testing.T) {
	for given, want := range map[string]string{
		`{}`: "job: missing: expected the manifest of a Job in job, an object of S3 in source, or the name of a CronJob in cronJob",
		`{"job":"a","cronJob":{"namespace":"a","name":"b"}}`: "job: expected one of job, source and cronJob, not 2 of them",
		`{"job":["a"]}`: "job: expected the manifest of a Job, as an object or a string of YAML",
		`{"job":"` + strings.Repeat("x", 64<<10) + `"}`:               "job: 65538 bytes: expected at most 65536 in the execution input. Put the Job into S3",
		`{"source":{"key":"k"}}`:                                      "source.bucket: missing",
		`{"source":{"bucket":"B","key":"k"}}`:                         `source.bucket: "B" is not a valid S3 bucket name`,
		`{"source":{"bucket":"abc"}}`:                                 "source.key: expected 1 to 1024 bytes, not 0",
		`{"cronJob":{"name":"b"}}`:                                    "cronJob.namespace: missing",
		`{"cronJob":{"namespace":"a"}}`:                               "cronJob.name: missing",
		`{"cronJob":{"namespace":"A","name":"B"}}`:                    `cronJob.namespace: "A" is not a valid namespace. cronJob.name: "B" is not a valid name of a CronJob`,
		`{"job":"a","namespace":"Shop"}`:                              `namespace: "Shop" is not a valid namespace`,
		`{"job":"a","container":"C"}`:                                 `container: "C" is not a valid name of a container`,
		`{"job":"a","env":["A"]}`:                                     `env: expected an object of strings such as {"VERSION":"5.1.0"}`,
		`{"job":"a","env":{"A":1}}`:                                   "env.A: expected a string: put it in quotes",
		`{"job":"a","env":{"A":null}}`:                                "env.A: expected a string: put it in quotes",
		`{"job":"a","env":{"A B":"c"}}`:                               `env: "A B" is not a valid name of an environment variable`,
		`{"job":"a","args":"b"}`:                                      "args: expected an array of strings, not a string",
		`{"job":"a","args":["` + strings.Repeat("x", 33<<10) + `"]}`:  "env: env has 0 variables and args 1 arguments, of 33792 bytes in all",
		`{"job":"a","timeoutSeconds":0}`:                              "timeoutSeconds: 0: expected 1 to 86400",
		`{"job":"a","startSeconds":86401}`:                            "startSeconds: 86401: expected 1 to 86400",
		`{"job":"a","logs":"some"}`:                                   `logs: "some": expected "none", "tail" or "all"`,
		`{"job":"a","keep":"yes"}`:                                    `keep: "yes": expected "always", "onFailure" or "never"`,
		`{"job":"a","logs":"all"}`:                                    `output: missing: expected where to write the log to, because logs is "all"`,
		`{"job":"a","output":{"bucket":"abc"}}`:                       `output: nothing is written there: expected logs "all" with it`,
		`{"job":"a","stopped":"x"}`:                                   `stopped: "x" is not the ARN of an execution`,
		`{"job":"a","timeout":1}`:                                     "unknown key",
		`{"job":"a","timeoutSeconds":0,"startSeconds":0,"keep":"no"}`: "3 problems",
	} {
		t.Run(want, func(t *testing.T) {
			f := input.Read(json.RawMessage(given), "{}")
			runjob.Read(f)
			require.Error(t, f.Err())
			assert.Contains(t, f.Err().Error(), want)
		})
	}
}

func TestAFleetAddsUpJobsAndPods(t *testing.T) {
	figures, err := runjob.Workflow().Figures(json.RawMessage(`{"succeeded":true,"end":{"exitCode":0,"podsSucceeded":50,"podsFailed":2}}`))
	require.NoError(t, err)
	assert.Equal(t, map[string]int{"jobs": 1, "exitCode": 0, "podsSucceeded": 50, "podsFailed": 2}, figures)
	assert.True(t, runjob.Workflow().Changes(contractjob.Request{}))
}
