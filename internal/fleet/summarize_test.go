package fleet_test

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract"
	contractfleet "github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/internal/contract/podinventory"
	"github.com/kubestep/kubestep/internal/fleet"
)

var start = time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)

func summarizer(s3 *fakeS3) fleet.Summarizer {
	return fleet.Summarizer{Store: fleet.Store{S3: s3}, Now: func() time.Time { return start.Add(time.Minute) }}
}

// nightly returns a fleet of that many clusters.
func nightly(clusters int) contractfleet.Fleet {
	return contractfleet.Fleet{
		Name: "nightly", Workflow: "pod-inventory", StartedAt: start, Clusters: clusters, Concurrency: contractfleet.DefaultConcurrency,
		Execution:  "arn:aws:states:eu-west-1:111122223333:execution:kubestep-fleet:nightly",
		Executions: "arn:aws:states:eu-west-1:111122223333:execution:kubestep-pod-inventory",
	}
}

func well(name string, pods int) contractfleet.Outcome {
	return contractfleet.Outcome{Target: contract.Target{ClusterName: name, Region: "eu-west-1"}, Attempt: 1, Status: contractfleet.StatusSucceeded, Totals: map[string]int{"pods": pods}, Seconds: 2}
}

func failed(name, err string) contractfleet.Outcome {
	return contractfleet.Outcome{Target: contract.Target{ClusterName: name, Region: "eu-west-1"}, Attempt: 1, Status: contractfleet.StatusFailed, Error: err, Cause: err + " of " + name}
}

func TestTheSummaryAddsUpTheOutcomes(t *testing.T) {
	timedOut := failed("e", "States.Timeout")
	timedOut.Status = contractfleet.StatusTimedOut

	got, err := summarizer(nil).Summarize(t.Context(), contractfleet.Summarize{
		Fleet: nightly(6), Run: contractfleet.Ran{
			Attempt:  2,
			Outcomes: []contractfleet.Outcome{well("f", 5), failed("d", "Forbidden"), timedOut},
			Clusters: []contractfleet.Outcome{well("a", 7), failed("c", "Unauthorized"), failed("b", "Unauthorized")},
		},
	})

	require.NoError(t, err)
	assert.Equal(t, contractfleet.Summary{
		Fleet: "nightly", Workflow: "pod-inventory", Clusters: 6,
		ByStatus: map[contractfleet.Status]int{contractfleet.StatusSucceeded: 2, contractfleet.StatusFailed: 3, contractfleet.StatusTimedOut: 1},
		Totals:   map[string]int{"pods": 12},
		Failures: []contractfleet.Failure{
			{Error: "Unauthorized", Clusters: 2, Names: []string{"b", "c"}, Cause: "Unauthorized of b"},
			{Error: "Forbidden", Clusters: 1, Names: []string{"d"}, Cause: "Forbidden of d"},
			{Error: "States.Timeout", Clusters: 1, Names: []string{"e"}, Cause: "States.Timeout of e"},
		},
	}, got.Summary)
	var names []string
	for _, o := range got.Outcomes {
		names = append(names, o.ClusterName)
	}
	assert.Equal(t, []string{"a", "b", "c", "d", "e", "f"}, names, "in the order of their names")
	assert.Equal(t, contractfleet.VerdictIntolerable, got.Verdict)
	assert.Equal(t, "4 of 6 clusters failed; none may fail: 2 Unauthorized, 1 Forbidden, 1 States.Timeout. No report was written, because the input has no output (--report): the outcomes are in the result of the state Summarize.", got.Cause)
}

func TestTheSummarySaysHowManyClustersGetTheSameChange(t *testing.T) {
	planned := func(name, effect string, created int) contractfleet.Outcome {
		o := well(name, 0)
		o.Effect, o.Totals = effect, map[string]int{"created": created}
		return o
	}
	in := contractfleet.Summarize{Fleet: nightly(20), Run: contractfleet.Ran{Attempt: 1, Clusters: []contractfleet.Outcome{planned("z", "other", 2), failed("y", "Forbidden")}}}
	for i := range 9 {
		in.Run.Clusters = append(in.Run.Clusters, planned(fmt.Sprintf("a%d", i), "same", 1), planned(fmt.Sprintf("b%d", i), fmt.Sprintf("own%d", i), 3))
	}

	got, err := summarizer(nil).Summarize(t.Context(), in)

	require.NoError(t, err)
	require.Len(t, got.Summary.Effects, contractfleet.MaxEffects)
	assert.Equal(t, contractfleet.Effect{Digest: "same", Clusters: 9, Names: []string{"a0", "a1", "a2", "a3", "a4"}, Totals: map[string]int{"created": 1}}, got.Summary.Effects[0])
	assert.Equal(t, contractfleet.Effect{Digest: "other", Clusters: 1, Names: []string{"z"}, Totals: map[string]int{"created": 2}}, got.Summary.Effects[1])

	s3 := &fakeS3{}
	in.Fleet.Output.Bucket = "reports"
	listed, err := summarizer(s3).Summarize(t.Context(), in)
	require.NoError(t, err)
	assert.Equal(t, folder+"same.jsonl", listed.Summary.Report.Same)
	assert.Equal(t, 9, strings.Count(s3.objects["reports/"+folder+"same.jsonl"], "\n"))
	found, err := find(t, rollout(nil, s3), `{"workflow":"apply-manifests","source":{"bucket":"reports","key":"`+folder+`same.jsonl"}}`)
	require.NoError(t, err, "those that differ can be left out")
	assert.Equal(t, 9, found.Fleet.Clusters)
	in.Fleet.Changes = true
	listed, err = summarizer(s3).Summarize(t.Context(), in)
	require.NoError(t, err)
	assert.Empty(t, listed.Summary.Report.Same, "what has been applied needs no list")

	none, err := summarizer(nil).Summarize(t.Context(), contractfleet.Summarize{Fleet: nightly(1), Run: contractfleet.Ran{Attempt: 1, Clusters: []contractfleet.Outcome{well("a", 1)}}})
	require.NoError(t, err)
	assert.Nil(t, none.Summary.Effects, "an inventory has none")
}

func TestAFleetFailsIfMoreClustersFailThanAreTolerated(t *testing.T) {
	for failures, verdict := range map[int]contractfleet.Verdict{0: contractfleet.VerdictTolerable, 2: contractfleet.VerdictTolerable, 3: contractfleet.VerdictIntolerable} {
		t.Run(fmt.Sprintf("%d of 4, where 2 may", failures), func(t *testing.T) {
			in := contractfleet.Summarize{Fleet: nightly(4), Run: contractfleet.Ran{Attempt: 1}}
			in.Fleet.Tolerated = 2
			for i := range 4 {
				if i < failures {
					in.Run.Clusters = append(in.Run.Clusters, failed(fmt.Sprint(i), "Forbidden"))
				} else {
					in.Run.Clusters = append(in.Run.Clusters, well(fmt.Sprint(i), 1))
				}
			}
			got, err := summarizer(nil).Summarize(t.Context(), in)
			require.NoError(t, err)
			assert.Equal(t, verdict, got.Verdict)
			if verdict == contractfleet.VerdictIntolerable {
				assert.Contains(t, got.Cause, "3 of 4 clusters failed; at most 2 may fail: 3 Forbidden.")
			}
		})
	}
}

func TestWhatMayHavePassedIsTriedOnceMoreAfterTheRest(t *testing.T) {
	first, err := summarizer(nil).Summarize(t.Context(), contractfleet.Summarize{
		Fleet: nightly(4), Run: contractfleet.Ran{Attempt: 1, Clusters: []contractfleet.Outcome{failed("a", "Throttled"), well("b", 1), failed("c", "ClusterUnreachable"), failed("d", "Unauthorized")}},
	})

	require.NoError(t, err)
	assert.Equal(t, contractfleet.VerdictTryAgain, first.Verdict)
	assert.Equal(t, 2, first.Attempt)
	assert.Equal(t, []contractfleet.Cluster{
		{Target: contract.Target{ClusterName: "a", Region: "eu-west-1"}, Attempt: 2, Execution: fleet.ExecutionName(nightly(0), contract.Target{ClusterName: "a", Region: "eu-west-1"}, 2)},
		{Target: contract.Target{ClusterName: "c", Region: "eu-west-1"}, Attempt: 2, Execution: fleet.ExecutionName(nightly(0), contract.Target{ClusterName: "c", Region: "eu-west-1"}, 2)},
	}, first.Clusters)
	assert.Equal(t, []contractfleet.Outcome{well("b", 1), failed("d", "Unauthorized")}, first.Outcomes)

	again := failed("c", "Throttled")
	again.Attempt = 2
	second, err := summarizer(nil).Summarize(t.Context(), contractfleet.Summarize{
		Fleet: nightly(4), Run: contractfleet.Ran{Attempt: first.Attempt, Outcomes: first.Outcomes, Clusters: []contractfleet.Outcome{well("a", 1), again}},
	})
	require.NoError(t, err)
	assert.Equal(t, contractfleet.VerdictIntolerable, second.Verdict, "and not a third time")
	assert.Equal(t, 4, second.Summary.Clusters)
	assert.Equal(t, map[contractfleet.Status]int{contractfleet.StatusSucceeded: 2, contractfleet.StatusFailed: 2}, second.Summary.ByStatus)
}

func TestAClusterThatLeftNoOutcomeFailed(t *testing.T) {
	got, err := summarizer(nil).Summarize(t.Context(), contractfleet.Summarize{Fleet: nightly(3), Run: contractfleet.Ran{Attempt: 1, Size: 3, Clusters: []contractfleet.Outcome{well("a", 1)}}})
	require.NoError(t, err)
	assert.Equal(t, contractfleet.VerdictIntolerable, got.Verdict)
	assert.Contains(t, got.Cause, "2 of 3 clusters failed; none may fail: 2 NoOutcome.")
}

func TestTheReportIsWrittenBeforeTheFleetFails(t *testing.T) {
	s3 := &fakeS3{}
	in := contractfleet.Summarize{Fleet: nightly(2), Run: contractfleet.Ran{Attempt: 1, Clusters: []contractfleet.Outcome{well("a", 1), failed("b", "Forbidden")}}}
	in.Fleet.Output = contract.Destination{Bucket: "reports", Prefix: "fleets/"}
	in.Request = []byte(`{"namespaces":["shop"],"AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID":"arn:aws:states:eu-west-1:111122223333:execution:fleet:nightly"}`)

	got, err := summarizer(s3).Summarize(t.Context(), in)

	require.NoError(t, err)
	assert.Equal(t, &contractfleet.Report{Bucket: "reports", HTML: "fleets/" + folder + "report.html", CSV: "fleets/" + folder + "report.csv", JSON: "fleets/" + folder + "report.json", Failed: "fleets/" + folder + "failed.jsonl",
		Again: `kubestep fleet --workflow pod-inventory --request '{"namespaces":["shop"]}' --source s3://reports/fleets/` + folder + `failed.jsonl --report s3://reports/fleets/`}, got.Summary.Report)
	assert.Contains(t, got.Cause, "The report: aws s3 cp s3://reports/fleets/"+folder+"report.html .")
	assert.Equal(t, map[string]string{
		"reports/fleets/" + folder + "report.html": "text/html; charset=utf-8", "reports/fleets/" + folder + "report.csv": "text/csv; charset=utf-8",
		"reports/fleets/" + folder + "report.json": "application/json", "reports/fleets/" + folder + "failed.jsonl": "application/x-ndjson",
	}, s3.kinds)
	assert.Contains(t, s3.objects["reports/fleets/"+folder+"report.html"], "1 of 2 clusters failed")
	assert.Contains(t, s3.objects["reports/fleets/"+folder+"report.html"], "--request &#39;{&#34;namespaces&#34;:[&#34;shop&#34;]}&#39; --source s3://reports/fleets/"+folder+"failed.jsonl", "as the fleet's input had it")
	assert.Contains(t, s3.objects["reports/fleets/"+folder+"report.html"], fleet.ExecutionName(nightly(0), in.Run.Clusters[1].Target, 1))

	before := s3.objects["reports/fleets/"+folder+"report.json"]
	_, err = summarizer(s3).Summarize(t.Context(), in)
	require.NoError(t, err)
	assert.Equal(t, before, s3.objects["reports/fleets/"+folder+"report.json"], "a retry writes the same")

	s3.refuse = map[string]error{"PutObject": apiError("NoSuchBucket")}
	_, err = summarizer(s3).Summarize(t.Context(), in)
	named(t, err, contract.InvalidInput, "output.bucket: there is no S3 bucket reports")
}

// large returns a fleet whose outcomes are in S3.
func large(t testing.TB, s3 *fakeS3, outcomes ...contractfleet.Outcome) contractfleet.Fleet {
	t.Helper()
	f := nightly(len(outcomes))
	f.InS3, f.Output.Bucket = true, "reports"
	clusters := make([]contractfleet.Cluster, len(outcomes))
	s3.objects, s3.kinds = map[string]string{}, map[string]string{}
	for i, o := range outcomes {
		clusters[i] = contractfleet.Cluster{Target: o.Target, Attempt: 1, Execution: fleet.ExecutionName(nightly(0), o.Target, 1)}
		if o.Status != "" {
			put(t, s3, "reports/"+folder+"outcomes/"+clusters[i].Execution+".json", o)
		}
	}
	put(t, s3, "reports/"+folder+"clusters.json", clusters)
	return f
}

func put(t testing.TB, s3 *fakeS3, key string, value any) {
	t.Helper()
	text, err := json.Marshal(value)
	require.NoError(t, err)
	s3.objects[key] = string(text)
}

func TestTheOutcomesOfALargeFleetAreReadFromS3(t *testing.T) {
	s3 := &fakeS3{}
	silent := contractfleet.Outcome{Target: contract.Target{ClusterName: "silent"}}
	f := large(t, s3, well("a", 3), failed("b", "Throttled"), silent)

	first, err := summarizer(s3).Summarize(t.Context(), contractfleet.Summarize{Fleet: f, Run: contractfleet.Ran{Round: 1, Attempt: 1, List: folder + "clusters.json"}})
	require.NoError(t, err)
	assert.Equal(t, contractfleet.VerdictTryAgain, first.Verdict)
	assert.Equal(t, folder+"clusters-2.json", first.List)
	assert.Empty(t, first.Clusters, "the state carries none")
	assert.Empty(t, first.Outcomes, "the state carries none")
	var again []contractfleet.Cluster
	require.NoError(t, json.Unmarshal([]byte(s3.objects["reports/"+folder+"clusters-2.json"]), &again))
	require.Len(t, again, 1)
	assert.Equal(t, "b", again[0].Target.ClusterName)

	second := well("b", 4)
	second.Attempt = 2
	put(t, s3, "reports/"+folder+"outcomes/"+again[0].Execution+".json", second)
	got, err := summarizer(s3).Summarize(t.Context(), contractfleet.Summarize{Fleet: f, Run: contractfleet.Ran{Round: 2, Attempt: 2, List: folder + "clusters-2.json", Begun: f.Clusters}})
	require.NoError(t, err)
	assert.Equal(t, map[string]int{"pods": 7}, got.Summary.Totals)
	assert.Equal(t, []contractfleet.Failure{{Error: "NoOutcome", Clusters: 1, Names: []string{"silent"}, Cause: "No outcome was recorded. See the failed items of the Map Run in the fleet's execution."}}, got.Summary.Failures)
	assert.Empty(t, got.Outcomes)

	s3.refuse = map[string]error{"GetObject": apiError("AccessDenied")}
	_, err = summarizer(s3).Summarize(t.Context(), contractfleet.Summarize{Fleet: f, Run: contractfleet.Ran{Round: 1, Attempt: 1, List: folder + "clusters.json"}})
	named(t, err, contract.AccessDenied, "s3:GetObject")
}

// worst returns outcomes of the greatest length.
func worst(f contractfleet.Fleet) []contractfleet.Outcome {
	named := func(i int) contractfleet.Outcome {
		return failed(fmt.Sprintf("%05d-%s", i, strings.Repeat("c", 94)), fmt.Sprintf("Error%02d", i%40))
	}
	first := named(0)
	first.RoleARN = "arn:aws:iam::444455556666:role/" + strings.Repeat("r", 64)
	first.Cause = strings.Repeat("word ", 400)
	first = fleet.Bound(f, first)
	outcomes := make([]contractfleet.Outcome, f.Clusters)
	for i := range outcomes {
		outcomes[i] = first
		outcomes[i].ClusterName, outcomes[i].Error = named(i).ClusterName, named(i).Error // as long as the first's
	}
	return outcomes
}

func TestTheStateStaysBelowWhatStepFunctionsAllows(t *testing.T) {
	const limit, request = 256 << 10, 32 << 10
	for _, clusters := range []int{contractfleet.MaxInState, 300, 170, 60} { // the fewer, the longer their causes
		t.Run(fmt.Sprint(clusters), func(t *testing.T) {
			f := nightly(clusters)
			f.Output = contract.Destination{Bucket: strings.Repeat("b", 63), Prefix: strings.Repeat("p", 512)}
			outcomes := worst(f)

			got, err := summarizer(&fakeS3{}).Summarize(t.Context(), contractfleet.Summarize{Fleet: f, Run: contractfleet.Ran{Attempt: 2, Clusters: outcomes}})
			require.NoError(t, err)
			text, err := json.Marshal(got)
			require.NoError(t, err)
			assert.Less(t, len(text)+request, limit-4096, "with room for the fleet itself")

			for i := range outcomes {
				outcomes[i].Error = "Throttled"
			}
			again, err := summarizer(nil).Summarize(t.Context(), contractfleet.Summarize{Fleet: f, Run: contractfleet.Ran{Attempt: 1, Clusters: outcomes}})
			require.NoError(t, err)
			text, err = json.Marshal(again)
			require.NoError(t, err)
			assert.Less(t, len(text)+request, limit-4096)
			f.Changes, f.Concurrency = true, 1
			pending := make([]contract.Target, 0, len(outcomes))
			for _, o := range outcomes {
				pending = append(pending, o.Target)
			}
			for sentence, run := range map[string]contractfleet.Ran{
				"a fleet that begins":   {Round: 1, Attempt: 1, Size: 1, Begun: 1, Clusters: []contractfleet.Outcome{well("a", 1)}, Pending: pending[1:]},
				"a fleet that goes on":  {Round: clusters / 2, Attempt: 1, Size: 1, Begun: clusters / 2, Clusters: outcomes[clusters/2-1 : clusters/2], Pending: pending[clusters/2:], Outcomes: outcomes[:clusters/2-1]},
				"a fleet that stopped":  {Round: 1, Attempt: 1, Size: 1, Begun: 1, Clusters: outcomes[:1], Pending: pending[1:]},
				"a fleet that is ready": {Round: clusters, Attempt: 1, Size: 1, Begun: clusters, Clusters: outcomes[clusters-1:], Outcomes: outcomes[:clusters-1]},
			} {
				f.Tolerated = run.Begun
				if sentence == "a fleet that stopped" {
					f.Tolerated = 0
				}
				next, err := summarizer(&fakeS3{}).Summarize(t.Context(), contractfleet.Summarize{Fleet: f, Run: run})
				require.NoError(t, err)
				text, err = json.Marshal(next)
				require.NoError(t, err)
				assert.Less(t, len(text)+request, limit-4096, sentence)
			}
			assert.Less(t, len(got.Cause), 1024)
			assert.Len(t, got.Summary.Failures, 12)
			assert.Equal(t, podinventory.Other, got.Summary.Failures[11].Error)
		})
	}
}

func TestTenThousandOutcomesTakeBoundedMemory(t *testing.T) {
	s3 := &fakeS3{}
	of := nightly(contractfleet.MaxClusters)
	of.InS3 = true
	outcomes := worst(of)
	f := large(t, s3, outcomes...)
	put(t, s3, "reports/"+folder+"clusters-9.json", []contractfleet.Cluster{{Target: outcomes[0].Target, Attempt: 1, Execution: fleet.ExecutionName(f, outcomes[0].Target, 1)}})
	s3.discard = true
	for sentence, run := range map[string]contractfleet.Ran{
		"in one round":                  {Round: 1, Attempt: 1, List: folder + "clusters.json", Begun: f.Clusters},
		"after a round of a single one": {Round: 9, Attempt: 2, List: folder + "clusters-9.json", Begun: f.Clusters},
	} {
		t.Run(sentence, func(t *testing.T) {
			runtime.GC()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			peak := make(chan uint64)
			done := make(chan struct{})
			go func() {
				most := uint64(0)
				for {
					select {
					case <-done:
						peak <- most
						return
					case <-time.After(5 * time.Millisecond):
						runtime.ReadMemStats(&after)
						most = max(most, after.HeapInuse)
					}
				}
			}()
			got, err := summarizer(s3).Summarize(t.Context(), contractfleet.Summarize{Fleet: f, Run: run})
			close(done)
			require.NoError(t, err)
			assert.Equal(t, f.Clusters, got.Summary.Clusters)
			assert.Less(t, (<-peak-before.HeapInuse)>>20, uint64(64), "megabytes")
		})
	}
}
