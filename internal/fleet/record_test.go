package fleet_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract"
	contractfleet "github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/internal/contract/podinventory"
	"github.com/kubestep/kubestep/internal/fleet"
	"github.com/kubestep/kubestep/internal/workflows"
)

var demo = contract.Target{ClusterName: "demo", Region: "eu-west-1"}

func recorder(s3 *fakeS3) fleet.Recorder {
	return fleet.Recorder{Workflows: workflows.All(), Store: fleet.Store{S3: s3}}
}

func TestWhatAnExecutionReturnsBecomesAnOutcome(t *testing.T) {
	for sentence, c := range map[string]struct {
		result string
		want   contractfleet.Outcome
	}{
		"its totals if it succeeded": {
			`{"Status":"SUCCEEDED","Output":{"pods":{"total":12,"unhealthy":3,"byStatus":{"Running":7,"Completed":5}}},"StartDate":1790000000000,"StopDate":1790000004321}`,
			contractfleet.Outcome{Status: contractfleet.StatusSucceeded, Totals: map[string]int{"pods": 12, "unhealthy": 3}, StartedAt: time.UnixMilli(1790000000000).UTC(), Seconds: 4.3},
		},
		"no number of unhealthy pods if its version did not count them": {
			`{"Status":"SUCCEEDED","Output":{"pods":{"total":12,"byStatus":{"Running":7,"Pending":5}}},"StartDate":1790000000000,"StopDate":1790000004321}`,
			contractfleet.Outcome{Status: contractfleet.StatusSucceeded, Totals: map[string]int{"pods": 12}, StartedAt: time.UnixMilli(1790000000000).UTC(), Seconds: 4.3},
		},
		"the same if it was started earlier, and is described": {
			`{"Status":"SUCCEEDED","Output":"{\"pods\":{\"total\":12,\"unhealthy\":0,\"byStatus\":{\"Running\":12}}}","StartDate":"2026-11-24T06:00:00Z","StopDate":"2026-11-24T06:00:01.5Z"}`,
			contractfleet.Outcome{Status: contractfleet.StatusSucceeded, Totals: map[string]int{"pods": 12, "unhealthy": 0}, StartedAt: start, Seconds: 1.5},
		},
		"its own error and cause if it failed, not those of the state that ran it": {
			`{"Error":"States.TaskFailed","Cause":"{\"Status\":\"FAILED\",\"Error\":\"Unauthorized\",\"Cause\":\"Map the role.\",\"StartDate\":1790000000000,\"StopDate\":1790000002000}"}`,
			contractfleet.Outcome{Status: contractfleet.StatusFailed, Error: "Unauthorized", Cause: "Map the role.", StartedAt: time.UnixMilli(1790000000000).UTC(), Seconds: 2},
		},
		"States.Timeout if it ran out of time": {
			`{"Error":"States.TaskFailed","Cause":"{\"Status\":\"TIMED_OUT\"}"}`,
			contractfleet.Outcome{Status: contractfleet.StatusTimedOut, Error: "States.Timeout", Cause: "The execution ran out of time."},
		},
		"Aborted if it was stopped without a cause": {
			`{"Error":"States.TaskFailed","Cause":"{\"Status\":\"ABORTED\"}"}`,
			contractfleet.Outcome{Status: contractfleet.StatusAborted, Error: "Aborted", Cause: "The execution was stopped."},
		},
		"what Step Functions says if it never started": {
			`{"Error":"StepFunctions.AccessDeniedException","Cause":"not authorized to perform: states:StartExecution"}`,
			contractfleet.Outcome{Status: contractfleet.StatusFailed, Error: "StepFunctions.AccessDeniedException", Cause: "not authorized to perform: states:StartExecution"},
		},
		"a success without totals if its output has none": {
			`{"Status":"SUCCEEDED","Output":[]}`,
			contractfleet.Outcome{Status: contractfleet.StatusSucceeded, Cause: "Its output has no figures: it cannot be read: json: cannot unmarshal array into Go value of type podinventory.counted"},
		},
		"no token that a server quoted": {
			`{"Status":"FAILED","Error":"Unexpected","Cause":"403 Bearer k8s-aws-v1.aHR0cHM6"}`,
			contractfleet.Outcome{Status: contractfleet.StatusFailed, Error: "Unexpected", Cause: "403 Bearer [REDACTED]"},
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			var result contractfleet.ExecutionResult
			require.NoError(t, json.Unmarshal([]byte(c.result), &result))
			c.want.Target, c.want.Attempt = demo, 1

			recorded, err := recorder(nil).Record(t.Context(), contractfleet.RecordOutcome{
				Fleet: contractfleet.Fleet{Workflow: "pod-inventory"}, Cluster: contractfleet.Cluster{Target: demo, Attempt: 1}, Result: result,
			})

			require.NoError(t, err)
			assert.Equal(t, contractfleet.StandingEnded, recorded.Execution)
			assert.Equal(t, c.want, *recorded.Outcome.Outcome)
		})
	}
}

func TestAClusterWhosePlanIsAnotherOneIsLeftOutIfNothingOfItIsApplied(t *testing.T) {
	for sentence, c := range map[string]struct {
		samePlan bool
		attempt  int
		error    string
		want     contractfleet.Status
	}{
		"at its first try":                              {true, 1, "PlanChanged", contractfleet.StatusLeftOut},
		"not at its second, after one in part":          {true, 2, "PlanChanged", contractfleet.StatusFailed},
		"not if the fleet does not leave any out":       {false, 1, "PlanChanged", contractfleet.StatusFailed},
		"not if it was applied in part":                 {true, 1, "NotApproved", contractfleet.StatusFailed},
		"not if it was stopped for whatever else it is": {true, 1, "NotReady", contractfleet.StatusFailed},
	} {
		t.Run(sentence, func(t *testing.T) {
			got, err := recorder(nil).Record(t.Context(), contractfleet.RecordOutcome{
				Fleet: contractfleet.Fleet{SamePlan: c.samePlan, Clusters: 1}, Cluster: contractfleet.Cluster{Target: demo, Attempt: c.attempt},
				Result: contractfleet.ExecutionResult{Status: "FAILED", Error: c.error, Cause: "its plan has the digest d"},
			})
			require.NoError(t, err)
			assert.Equal(t, c.want, got.Outcome.Status)
			assert.Equal(t, c.error, got.Outcome.Error, "the outcome says why")
		})
	}
}

func TestAFleetReadsTheFiguresOfAWholeOutput(t *testing.T) {
	output, err := json.Marshal(podinventory.Output{Pods: podinventory.Pods{
		Total: 9, Unhealthy: 4, ByNamespace: map[string]int{"shop": 9}, ByStatus: map[string]int{"Running": 5, "Completed": 1, "Error": 3}, Items: []podinventory.Pod{{Name: "cart", Status: "Error"}},
	}})
	require.NoError(t, err)
	text, err := json.Marshal(string(output))
	require.NoError(t, err)
	for described, output := range map[bool]json.RawMessage{false: output, true: text} {
		recorded, err := recorder(nil).Record(t.Context(), contractfleet.RecordOutcome{
			Fleet: contractfleet.Fleet{Workflow: "pod-inventory"}, Result: contractfleet.ExecutionResult{Status: "SUCCEEDED", Output: output},
		})
		require.NoError(t, err)
		assert.Equal(t, map[string]int{"pods": 9, "unhealthy": 4}, recorded.Outcome.Totals, "as DescribeExecution returns it: %t", described)
		assert.Empty(t, recorded.Outcome.Cause)
	}
}

func TestAFleetOfPlansAddsUpWhatTheyWouldChange(t *testing.T) {
	recorded, err := recorder(nil).Record(t.Context(), contractfleet.RecordOutcome{Fleet: contractfleet.Fleet{Workflow: "apply-manifests"}, Result: contractfleet.ExecutionResult{
		Status: "SUCCEEDED", Output: json.RawMessage(`{"drift":true,"plan":{"created":1,"configured":2,"unchanged":3},"applied":0}`),
	}})
	require.NoError(t, err)
	assert.Equal(t, map[string]int{"created": 1, "configured": 2, "unchanged": 3, "applied": 0, "drift": 1, "pruned": 0}, recorded.Outcome.Totals)
}

func TestALargeFleetsOutcomeIsAnObjectWithTheNameOfItsExecution(t *testing.T) {
	s3 := &fakeS3{}
	in := contractfleet.RecordOutcome{
		Fleet:   contractfleet.Fleet{Name: "nightly", Execution: execution, Workflow: "pod-inventory", InS3: true, Output: contract.Destination{Bucket: "reports", Prefix: "fleets"}},
		Cluster: contractfleet.Cluster{Target: demo, Attempt: 1, Execution: "nightly-demo-abc"},
		Result:  contractfleet.ExecutionResult{Status: "SUCCEEDED", Output: json.RawMessage(`{"pods":{"total":1,"unhealthy":0,"byStatus":{"Running":1}}}`)},
	}
	for range 2 { // a retry writes the same object
		recorded, err := recorder(s3).Record(t.Context(), in)
		require.NoError(t, err)
		text, err := json.Marshal(recorded)
		require.NoError(t, err)
		assert.JSONEq(t, `{"execution":"Ended","outcome":{}}`, string(text), "the state carries nothing of it")
	}
	assert.Len(t, s3.objects, 1)
	assert.JSONEq(t, `{"clusterName":"demo","region":"eu-west-1","roleArn":"","attempt":1,"status":"SUCCEEDED","totals":{"pods":1,"unhealthy":0},"seconds":0}`, s3.objects["reports/fleets/111122223333/eu-west-1/kubestep-fleet/nightly/outcomes/nightly-demo-abc.json"])

	s3.refuse = map[string]error{"PutObject": apiError("AccessDenied")}
	_, err := recorder(s3).Record(t.Context(), in)
	named(t, err, contract.AccessDenied, "s3:PutObject of s3://reports/fleets/111122223333/eu-west-1/kubestep-fleet/nightly/outcomes/nightly-demo-abc.json")
}

func TestAnOutcomeSaysIfItsExecutionHasANameOfItsOwn(t *testing.T) {
	s3 := &fakeS3{}
	f := contractfleet.Fleet{Name: "nightly", Own: "abcdefghijkl", Execution: execution, Workflow: "pod-inventory", Output: contract.Destination{Bucket: "reports"}}
	name := fleet.ExecutionName(f, demo, 1)
	result := contractfleet.ExecutionResult{Status: "FAILED", Error: "Forbidden", StartDate: json.RawMessage(`"2026-11-24T06:00:00.999Z"`)}
	shared, err := recorder(s3).Record(t.Context(), contractfleet.RecordOutcome{Fleet: f, Cluster: contractfleet.Cluster{Target: demo, Attempt: 1, Execution: name}, Result: result})
	require.NoError(t, err)
	assert.False(t, shared.Outcome.Own)
	assert.Equal(t, start, shared.Outcome.StartedAt, "the second")

	own := contractfleet.Cluster{Target: demo, Attempt: 1, Execution: name + "-" + f.Own}
	recorded, err := recorder(s3).Record(t.Context(), contractfleet.RecordOutcome{Fleet: f, Cluster: own, Result: result})
	require.NoError(t, err)
	assert.True(t, recorded.Outcome.Own)

	f.InS3 = true
	_, err = recorder(s3).Record(t.Context(), contractfleet.RecordOutcome{Fleet: f, Cluster: own, Result: result})
	require.NoError(t, err)
	assert.Equal(t, []string{"reports/111122223333/eu-west-1/kubestep-fleet/nightly/outcomes/" + name + ".json"}, sorted(s3.objects), "where summarize looks for it")
}

// What DescribeExecution returns of an execution with the cluster's name, which anybody may have started.
func TestAnExecutionIsTheClustersIfItAsksTheSame(t *testing.T) {
	const (
		asks   = `{"AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID":"fleet","namespaces":["shop","cart"],"maxItems":100,"output":{"bucket":"b","prefix":"p"}}`
		target = `"clusterName":"demo","region":"eu-west-1","roleArn":""`
		same   = `{"AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID":"fleet","namespaces":["shop","cart"],"maxItems":100,"output":{"bucket":"b","prefix":"p"},` + target + `}`
		before = `"2026-11-24T05:59:59.999Z"`
		now    = `"2026-11-24T06:00:00.000Z"`
	)
	for sentence, c := range map[string]struct {
		status, input, stopped string
		want                   contractfleet.Standing
	}{
		"and has ended since the fleet began":             {"SUCCEEDED", same, now, contractfleet.StandingEnded},
		"however it ended":                                {"ABORTED", same, now, contractfleet.StandingEnded},
		"and runs still":                                  {"RUNNING", same, `null`, contractfleet.StandingRunning},
		"in another order and with other white space":     {"SUCCEEDED", `{ "output": {"prefix":"p", "bucket":"b"},` + target + `, "maxItems":1e2, "namespaces":["sh\u006fp","cart"] }`, now, contractfleet.StandingEnded},
		"by another fleet":                                {"SUCCEEDED", strings.Replace(same, `"fleet"`, `"another"`, 1), now, contractfleet.StandingEnded},
		"but not if it had ended before":                  {"SUCCEEDED", same, before, contractfleet.StandingForeign},
		"and not another request":                         {"SUCCEEDED", strings.Replace(same, "100", "101", 1), now, contractfleet.StandingForeign},
		"nor part of it":                                  {"SUCCEEDED", strings.Replace(same, `"maxItems":100,`, "", 1), now, contractfleet.StandingForeign},
		"nor more, such as another mode":                  {"SUCCEEDED", strings.Replace(same, `"maxItems"`, `"mode":"plan","maxItems"`, 1), now, contractfleet.StandingForeign},
		"nor a list in another order":                     {"SUCCEEDED", strings.Replace(same, `"shop","cart"`, `"cart","shop"`, 1), now, contractfleet.StandingForeign},
		"nor a key in capitals":                           {"SUCCEEDED", strings.Replace(same, "clusterName", "ClusterName", 1), now, contractfleet.StandingForeign},
		"nor of another cluster":                          {"SUCCEEDED", strings.Replace(same, "demo", "other", 1), now, contractfleet.StandingForeign},
		"nor of another Region":                           {"SUCCEEDED", strings.Replace(same, "eu-west-1", "us-east-1", 1), now, contractfleet.StandingForeign},
		"nor as another role":                             {"SUCCEEDED", strings.Replace(same, `"roleArn":""`, `"roleArn":"arn:aws:iam::111122223333:role/a"`, 1), now, contractfleet.StandingForeign},
		"nor while it runs: nobody waits for it":          {"RUNNING", `{}`, `null`, contractfleet.StandingForeign},
		"nor what is no object":                           {"SUCCEEDED", `[]`, now, contractfleet.StandingForeign},
		"nor null":                                        {"SUCCEEDED", `null`, now, contractfleet.StandingForeign},
		"nor what Step Functions does not show the input": {"SUCCEEDED", "", now, contractfleet.StandingForeign},
	} {
		t.Run(sentence, func(t *testing.T) {
			for _, inS3 := range []bool{false, true} {
				s3 := &fakeS3{}
				in := contractfleet.RecordOutcome{
					Fleet:     contractfleet.Fleet{Workflow: "pod-inventory", Own: "abcdefghijkl", StartedAt: start, InS3: inS3, Execution: execution, Output: contract.Destination{Bucket: "reports"}},
					Request:   json.RawMessage(asks),
					Cluster:   contractfleet.Cluster{Target: demo, Attempt: 1, Execution: "nightly-demo-abc"},
					Result:    contractfleet.ExecutionResult{Status: c.status, StopDate: json.RawMessage(c.stopped), Output: json.RawMessage(`"{\"pods\":{}}"`)},
					Described: true,
				}
				if c.input != "" {
					text, err := json.Marshal(c.input) // as DescribeExecution returns it
					require.NoError(t, err)
					in.Result.Input = text
				}

				recorded, err := recorder(s3).Record(t.Context(), in)

				require.NoError(t, err)
				assert.Equal(t, c.want, recorded.Execution)
				assert.Equal(t, c.want == contractfleet.StandingEnded && !inS3, recorded.Outcome.Outcome != nil, "it has an outcome")
				assert.Equal(t, c.want == contractfleet.StandingEnded && inS3, len(s3.objects) == 1, "it has one in S3")

				in.Cluster.Execution += "-" + in.Fleet.Own
				own, err := recorder(s3).Record(t.Context(), in)
				require.NoError(t, err)
				if c.want != contractfleet.StandingForeign {
					assert.Equal(t, recorded.Execution, own.Execution)
					continue
				}
				assert.Equal(t, contractfleet.StandingEnded, own.Execution, "there is no third name")
				if !inS3 {
					assert.Equal(t, contractfleet.StatusFailed, own.Outcome.Status)
					assert.Equal(t, contractfleet.NameTakenError, own.Outcome.Error)
					assert.True(t, own.Outcome.Own, "the report names the execution that is there")
					assert.Contains(t, own.Outcome.Cause, "there is an execution "+in.Cluster.Execution)
				}
			}
		})
	}
}

func TestAnOutcomeIsBoundedWhateverAServerSays(t *testing.T) {
	long := contract.Target{ClusterName: strings.Repeat("c", 100), Region: "ap-southeast-2", RoleARN: "arn:aws-us-gov:iam::444455556666:role/" + strings.Repeat("r", 64)}
	for sentence, c := range map[string]struct {
		cause string
		cut   bool
	}{
		"a long cause":                        {strings.Repeat("word ", 100), true},
		"one that grows once it is encoded":   {strings.Repeat("<&>", 200), true},
		"one of runes that are not one byte":  {strings.Repeat("é世", 200), true},
		"one that is not text":                {strings.Repeat("\x00\xff", 200), true},
		"one that fits is whole, to its end.": {"Map the role.", false},
	} {
		t.Run(sentence, func(t *testing.T) {
			for _, target := range []contract.Target{demo, long} {
				outcome := fleet.Bound(nightly(contractfleet.MaxInState), contractfleet.Outcome{Target: target, Attempt: 2, Status: contractfleet.StatusTimedOut, Error: strings.Repeat("E", 1000), Cause: c.cause, StartedAt: start, Seconds: 12345.6, Own: true})
				text, err := json.Marshal(outcome)
				require.NoError(t, err)
				assert.LessOrEqual(t, len(text), contractfleet.MaxOutcomeBytes)
				if target == demo {
					if !c.cut {
						assert.Equal(t, c.cause, outcome.Cause)
						continue
					}
					begin, end, cut := strings.Cut(outcome.Cause, "…")
					require.True(t, cut, outcome.Cause)
					assert.InDelta(t, len(begin), len(end), 8, "as much of the beginning as of the end")
					assert.Greater(t, len(text), contractfleet.MaxOutcomeBytes-20, "as much of it as there is room for")
				}
			}
		})
	}
}

func TestAnOutcomeOfManyFiguresIsBoundedToo(t *testing.T) {
	long := contract.Target{ClusterName: strings.Repeat("c", 100), Region: "ap-southeast-2", RoleARN: "arn:aws:iam::444455556666:role/" + strings.Repeat("r", 64)}
	outcome := fleet.Bound(nightly(contractfleet.MaxInState), contractfleet.Outcome{
		Target: long, Attempt: 2, Status: contractfleet.StatusSucceeded, StartedAt: start, Seconds: 12345.6, Own: true,
		Totals: map[string]int{"created": 1000, "configured": 1000, "unchanged": 1000, "applied": 1000, "drift": 1},
	})
	text, err := json.Marshal(outcome)
	require.NoError(t, err)
	assert.LessOrEqual(t, len(text), contractfleet.MaxOutcomeBytes)
	assert.Equal(t, 1000, outcome.Totals["applied"])
}

func TestTheFixIsLeftOfALongCause(t *testing.T) {
	who := "IAM principal arn:aws:iam::111122223333:role/kubestep-mint-token is Kubernetes user \"kubestep\" of groups [kubestep-pod-readers system:authenticated] there. If group kubestep-pod-readers is not among these groups, name it in the role's access entry or aws-auth mapping. "
	for sentence, c := range map[string]struct{ cause, begin, end string }{
		"of pod-inventory, as a command": {
			"No permission in cluster demo (eu-west-1) to list pods in namespace shop. " + who + "To let group kubestep-pod-readers do so (if the namespace exists): kubectl apply -k rbac/namespace -n shop",
			"No permission in cluster demo (eu-west-1) to list pods in namespace shop. ", " (if the namespace exists): kubectl apply -k rbac/namespace -n shop",
		},
		"of apply-manifests, without the roles themselves": {
			"No permission in cluster demo (eu-west-1) to patch configmaps a in namespace shop. " + who + "These roles allow exactly what is missing; apply them with kubectl apply -f -\n---\napiVersion: v1\n",
			"No permission in cluster demo (eu-west-1) to patch configmaps a in namespace shop. ", "These roles allow exactly what is missing; apply them with kubectl apply -f -",
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			cause := fleet.Bound(nightly(contractfleet.MaxInState), contractfleet.Outcome{Target: demo, Attempt: 1, Status: contractfleet.StatusFailed, Error: "Forbidden", Cause: c.cause, Seconds: 1.2}).Cause
			assert.True(t, strings.HasPrefix(cause, c.begin), cause)
			assert.True(t, strings.HasSuffix(cause, c.end), cause)
		})
	}
}

func TestWhereACauseMayGoWrongIsReadable(t *testing.T) {
	const cause = "IAM refused eks:DescribeCluster of cluster payments-of-the-north-prod-1 in eu-central-1: the role may not be assumed. Let it trust " +
		"arn:aws:iam::111122223333:role/kubestep-describe-cluster with the external ID, and check that RoleArns of the stack matches it. OrganizationId limits both."
	named := func(role string) contract.Target {
		return contract.Target{ClusterName: "payments-of-the-north-prod-1", Region: "eu-central-1", RoleARN: "arn:aws:iam::444455556666:role/" + role}
	}
	member, far := named("platform/kubernetes/automation/kubestep-member"), named(strings.Repeat("path/", 100)+"name")
	for sentence, c := range map[string]struct {
		clusters int
		inS3     bool
		target   contract.Target
		least    int
	}{
		"in a fleet of one":                                {1, false, member, len(cause)},
		"in a fleet of a hundred":                          {100, false, member, len(cause)},
		"in part, where five hundred share the state":      {500, false, member, 64},
		"in S3, whatever role it names":                    {1, true, far, len(cause)},
		"in S3, of ten thousand, which share no state":     {10_000, true, member, len(cause)},
		"in S3, of ten thousand with roles that are long ": {10_000, true, far, len(cause)},
	} {
		t.Run(sentence, func(t *testing.T) {
			f := nightly(c.clusters)
			f.InS3, f.Own, f.Output.Bucket = c.inS3, "abcdefghijkl", "reports"
			s3 := &fakeS3{}
			recorded, err := recorder(s3).Record(t.Context(), contractfleet.RecordOutcome{
				Fleet: f, Cluster: contractfleet.Cluster{Target: c.target, Attempt: 1, Execution: "nightly-demo-abc"}, Result: contractfleet.ExecutionResult{Status: "FAILED", Error: "AccessDenied", Cause: cause},
			})
			require.NoError(t, err)
			outcome := recorded.Outcome.Outcome
			if c.inS3 {
				require.NoError(t, json.Unmarshal([]byte(s3.objects["reports/"+folder+"outcomes/nightly-demo-abc.json"]), &outcome))
			}
			assert.GreaterOrEqual(t, len(outcome.Cause), c.least, outcome.Cause)
			if c.least == len(cause) {
				assert.Equal(t, cause, outcome.Cause)
			}
		})
	}
}

func FuzzBound(f *testing.F) {
	f.Add("demo", "Unauthorized", "Map the role.")
	f.Add("c", "<script>", "k8s-aws-v1.abc\xff\u2028")
	f.Fuzz(func(t *testing.T, cluster, name, cause string) {
		if len(cluster) > 16 {
			return // find-clusters checks names
		}
		text, err := json.Marshal(fleet.Bound(nightly(contractfleet.MaxInState), contractfleet.Outcome{Target: contract.Target{ClusterName: cluster}, Error: name, Cause: cause}))
		require.NoError(t, err)
		assert.LessOrEqual(t, len(text), contractfleet.MaxOutcomeBytes)
		_, said, _ := bytes.Cut(text, []byte(`"attempt"`))
		assert.NotContains(t, string(said), "k8s-aws-v1.")
	})
}

func TestAnOutcomeHasTheDigestOfItsPlan(t *testing.T) {
	for sentence, c := range map[string]struct{ workflow, output, want string }{
		"shortened":                       {"apply-manifests", `{"mode":"plan","plan":{"created":2,"digest":"q83vEjRWeJq83vEjRWeJq83v"}}`, "q83vEjRWeJq8"},
		"of what was applied, too":        {"apply-manifests", `{"mode":"apply","applied":2,"plan":{"created":2,"digest":"q83vEjRWeJq83vEjRWeJq83v"}}`, "q83vEjRWeJq8"},
		"none, of a version without":      {"apply-manifests", `{"mode":"plan","plan":{"created":2}}`, ""},
		"none, of what plans nothing":     {"pod-inventory", `{"pods":{"total":1}}`, ""},
		"none, of what has no such shape": {"apply-manifests", `[]`, ""},
	} {
		t.Run(sentence, func(t *testing.T) {
			got, err := recorder(nil).Record(t.Context(), contractfleet.RecordOutcome{
				Fleet: contractfleet.Fleet{Workflow: c.workflow, Clusters: 1}, Cluster: contractfleet.Cluster{Target: demo, Attempt: 1},
				Result: contractfleet.ExecutionResult{Status: "SUCCEEDED", Output: json.RawMessage(c.output)},
			})
			require.NoError(t, err)
			assert.Equal(t, c.want, got.Outcome.Effect)
		})
	}
}
