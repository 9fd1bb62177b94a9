package fleet_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract"
	contractfleet "github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/internal/fleet"
	"github.com/kubestep/kubestep/internal/input"
	"github.com/kubestep/kubestep/internal/workflow/applymanifests"
)

// rollout is a finder of which apply-manifests changes what it is asked about. Requests that have
// manifests are read as they are.
func rollout(eksAPI *fakeEKS, s3 *fakeS3) fleet.Finder {
	d := finder(eksAPI, s3)
	apply := d.Workflows["pod-inventory"]
	apply.Changes = func(any) bool { return true }
	apply.Read = func(f *input.Fields) (any, []contract.Check) {
		if f.Raw("source") != nil || f.Raw("manifests") != nil {
			return applymanifests.Read(f), nil
		}
		return ask(f)
	}
	d.Workflows["apply-manifests"] = apply
	return d
}

// waved returns "WAVE: CLUSTERS" for each wave.
func waved(t *testing.T, found contractfleet.FoundClusters) []string {
	t.Helper()
	var order []string
	for _, c := range found.Run.Clusters {
		order = append(order, c.Target.ClusterName)
		require.Equal(t, 1, c.Wave, "the first round is of the first wave")
	}
	for _, target := range found.Run.Pending {
		order = append(order, target.ClusterName)
	}
	var lines []string
	for _, w := range found.Run.Waves {
		lines = append(lines, w.Name+": "+strings.Join(order[:w.Clusters], " "))
		order = order[w.Clusters:]
	}
	require.Empty(t, order, "each cluster is in a wave")
	return lines
}

func TestEachClusterIsInOneWaveBeforeAnythingStarts(t *testing.T) {
	eksAPI := &fakeEKS{clusters: map[string]map[string]map[string]string{
		"eu-west-1 ": {"a": {"stage": "canary"}, "b": nil, "c": {"stage": "test"}, "d": {"stage": "test", "team": "x"}, "e": nil, "f": nil},
		"us-east-1 ": {"a-east": nil, "z": nil},
	}}
	all := `"regions":["eu-west-1","us-east-1"],"concurrency":8`
	for sentence, c := range map[string]struct {
		input string
		want  []string
	}{
		"by name, then by what is left": {
			all + `,"waves":[{"name":"canary","clusters":["z","b"]},{"name":"rest","percentage":100}]`, []string{"canary: b z", "rest: a a-east c d e f"},
		},
		"the first that takes it": {
			all + `,"waves":[{"name":"one","clusters":["a"]},{"name":"two","clusters":["a","b"]},{"name":"rest","percentage":100}]`, []string{"one: a", "two: b", "rest: a-east c d e f z"},
		},
		"by tags, all of them": {
			all + `,"waves":[{"name":"canary","tags":{"stage":"canary"}},{"name":"x","tags":{"stage":"test","team":"x"}},{"name":"test","tags":{"stage":"test"}},{"name":"rest","percentage":100}]`,
			[]string{"canary: a", "x: d", "test: c", "rest: a-east b e f z"},
		},
		"by Region": {
			all + `,"waves":[{"name":"east","regions":["us-east-1"]},{"name":"west","regions":["eu-west-1"]}]`, []string{"east: a-east z", "west: a b c d e f"},
		},
		"by shares of what is left, rounded up": {
			all + `,"waves":[{"name":"one","percentage":10},{"name":"half","percentage":50},{"name":"rest","percentage":100}]`, []string{"one: a", "half: a-east b c d", "rest: e f z"},
		},
		"by ARN and as an object": {
			all + `,"waves":[{"name":"one","clusters":["arn:aws:eks:us-east-1:111122223333:cluster/z",{"clusterName":"f"}]},{"name":"rest","percentage":100}]`, []string{"one: f z", "rest: a a-east b c d e"},
		},
		"those of none in a last one": {
			all + `,"unmatched":"last","waves":[{"name":"canary","clusters":["f"]}]`, []string{"canary: f", "unmatched: a a-east b c d e z"},
		},
		"or in no fleet at all": {
			all + `,"unmatched":"skip","waves":[{"name":"canary","clusters":["f"]},{"name":"x","tags":{"team":"x"}}]`, []string{"canary: f", "x: d"},
		},
		"in the order of the input's list": {
			`"concurrency":8,"clusters":["f","a","c"],"waves":[{"name":"canary","clusters":["c"]},{"name":"rest","percentage":100}]`, []string{"canary: c", "rest: f a"},
		},
		"of a list, by tags": {
			`"concurrency":8,"clusters":["f","a","c"],"waves":[{"name":"test","tags":{"stage":"test"}},{"name":"rest","percentage":100}]`, []string{"test: c", "rest: f a"},
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			found, err := find(t, rollout(eksAPI, &fakeS3{}), `{"workflow":"apply-manifests",`+c.input+`}`)
			require.NoError(t, err)
			assert.Equal(t, c.want, waved(t, found))
		})
	}
}

func TestAWaveIsAsCarefulAsTheFleetUnlessItSaysOtherwise(t *testing.T) {
	found, err := find(t, rollout(nil, &fakeS3{}), `{"workflow":"apply-manifests","clusters":[`+strings.TrimSuffix(list(40), ",")+`],"concurrency":5,"toleratedFailures":{"percentage":10},
		"waves":[{"name":"canary","clusters":["cluster-7"],"concurrency":1,"toleratedFailures":{"count":0}},{"name":"half","percentage":50},{"name":"rest","percentage":100,"concurrency":9,"toleratedFailures":{"percentage":50}}]}`)
	require.NoError(t, err)
	open := contractfleet.Gate{Alarms: []string{}}
	assert.Equal(t, []contractfleet.Wave{
		{Name: "canary", Clusters: 1, Concurrency: 1, Gate: open}, {Name: "half", Clusters: 20, Concurrency: 5, Tolerated: 2, Gate: open}, {Name: "rest", Clusters: 19, Concurrency: 9, Tolerated: 9, Gate: open},
	}, found.Run.Waves)
	assert.Equal(t, 1, found.Run.Size, "the canary alone")
	assert.Equal(t, 1, found.Run.Concurrency)
	assert.Equal(t, 11, found.Fleet.Tolerated)
}

func TestATolerationBeyondAllClustersIsOfAllClusters(t *testing.T) {
	s := simulate(t, `{"workflow":"apply-manifests","clusters":["a","b","c"],"toleratedFailures":{"count":9223372036854775807},"waves":[{"name":"canary","percentage":50},{"name":"rest","percentage":100}]}`, after(map[string]string{}))
	assert.Equal(t, contractfleet.VerdictTolerable, s.run.Verdict, "the sum of the waves does not overflow")
}

func TestAConcurrencyOfNoneIsAProblem(t *testing.T) {
	for _, tolerated := range []string{"", `"toleratedFailures":{"count":1},`} {
		_, err := find(t, rollout(nil, nil), `{"workflow":"apply-manifests",`+tolerated+`"clusters":["a","b","c"],"concurrency":0}`)
		named(t, err, contract.InvalidInput, "1 problem. concurrency: 0: expected 1 to 1000")
	}
}

func TestAFleetThatChangesNothingRunsItsWavesAtOnce(t *testing.T) {
	s := simulate(t, `{"workflow":"pod-inventory","clusters":["a","b","c"],"waves":[{"name":"canary","clusters":["b"]},{"name":"rest","percentage":100}]}`, after(map[string]string{"b": "Forbidden"}))
	assert.Equal(t, 1, s.rounds)
	assert.Equal(t, []string{"b", "a", "c"}, s.began)
	assert.Equal(t, []contractfleet.WaveSummary{
		{Name: "canary", Clusters: 1, ByStatus: map[contractfleet.Status]int{"FAILED": 1}}, {Name: "rest", Clusters: 2, ByStatus: map[contractfleet.Status]int{"SUCCEEDED": 2}},
	}, s.run.Summary.Waves)
	assert.Equal(t, contractfleet.VerdictIntolerable, s.run.Verdict, "it is no rollout")
}

func TestInvalidWavesAreRefusedWithEveryProblem(t *testing.T) {
	for sentence, c := range map[string]struct {
		input string
		want  []string
	}{
		"all at once": {
			`"unmatched":"later","waves":[{"name":"a b","clusters":["x"],"concurrency":0},{"name":"two","percentage":101,"toleratedFailures":{"percentage":101}},{"name":"two","tags":{"a":1}},{"name":"three","regions":["here"],"gates":1},{"name":"four","clusters":["a"],"percentage":5},{"name":"five"},{"name":"six","clusters":[]}]`,
			[]string{
				"12 problems", `unmatched: "later": expected one of refuse, last, skip`, `waves[0].name: "a b" is not a valid name: expected 1 to 32 letters, digits, - and _`, "waves[0].concurrency: 0: expected 1 to 1000",
				"waves[1].percentage: 101: expected 1 to 100", "waves[1].toleratedFailures.percentage: 101: expected 0 to 100", `waves[2].name: "two" is the name of waves[1]`, "waves[2].tags: expected an object of strings", "waves[3].regions[0]: ", `waves[3]."gates": unknown key`,
				"waves[4].percentage: give only one of these: clusters, percentage", "waves[5].clusters: missing: expected one of clusters, tags, regions and percentage", "waves[6].clusters: empty: expected at least one",
			},
		},
		"that are no waves":           {`"waves":{"name":"a"}`, []string{"1 problem. waves: expected an array of waves such as"}},
		"of which there are none":     {`"waves":[]`, []string{"1 problem. waves: empty"}},
		"of which there are too many": {`"waves":[` + strings.Repeat(`{"name":"a"},`, 20) + `{"name":"b"}]`, []string{"1 problem. waves: 21 waves: expected at most 20, with the one of unmatched"}},
		"with another name that is taken": {
			`"unmatched":"last","waves":[{"name":"unmatched","clusters":["a"]}]`, []string{`1 problem. waves[0].name: "unmatched" is the name of the wave of clusters that no other takes`},
		},
		"that leave clusters":   {`"waves":[{"name":"one","clusters":["b"]}]`, []string{"1 problem. waves: no wave takes 7 clusters of the fleet (a, c, d, e, f, and 2 more): give another wave with percentage 100, or unmatched as last or skip"}},
		"that take none":        {`"waves":[{"name":"all","percentage":100},{"name":"none","percentage":10}]`, []string{"1 problem. waves[1]: takes no cluster of the fleet that no wave before takes"}},
		"that misspell one":     {`"waves":[{"name":"canary","clusters":["b","bb",{"clusterName":"b","region":"us-east-1"}]},{"name":"rest","percentage":100}]`, []string{`2 problems. waves[0].clusters[1]: "bb" is no cluster of the fleet. waves[0].clusters[2]: "b" is no cluster of the fleet`}},
		"unmatched without any": {`"unmatched":"last"`, []string{"1 problem. unmatched: is there without waves"}},
	} {
		t.Run(sentence, func(t *testing.T) {
			_, err := find(t, rollout(nil, &fakeS3{}), `{"workflow":"apply-manifests","clusters":["a","b","c","d","e","f","g","h"],`+c.input+`}`)
			named(t, err, contract.InvalidInput, c.want...)
		})
	}
}

func TestASourceNamesTheWaves(t *testing.T) {
	const waves = `"waves":[{"name":"canary"},{"name":"half","percentage":50},{"name":"rest","percentage":100}],"concurrency":8`
	for sentence, c := range map[string]struct{ key, text, rest, want string }{
		"in lines":             {"a.jsonl", `{"clusterName":"a"}` + "\n" + `{"clusterName":"b","wave":"canary"}` + "\n" + `"c"` + "\n" + `{"clusterName":"d","wave":"rest"}`, waves, "canary: b half: a rest: d c"},
		"in a column":          {"a.csv", "clusterName,wave\na,\nb,canary\nc,\nd,rest\n", waves, "canary: b half: a rest: d c"},
		"that are not there":   {"a.csv", "clusterName,wave\na,canry\nb,canary\n", waves, "source line 2: is in a wave that is not in the input: expected one of its waves"},
		"to a fleet with none": {"a.csv", "clusterName,wave\na,canary\n", `"concurrency":8`, `source line 2: is in a wave, and the input has no waves: give them, such as [{"name": "canary"}, {"name": "rest"}]`},
		"and leaves some":      {"a.csv", "clusterName,wave\na,canary\nb,\n", `"waves":[{"name":"canary"}]`, "waves: no wave takes 1 cluster of the fleet: give another wave"},
	} {
		t.Run(sentence, func(t *testing.T) {
			s3 := &fakeS3{objects: map[string]string{"lists/" + c.key: c.text}}
			found, err := find(t, rollout(nil, s3), `{"workflow":"apply-manifests","source":{"bucket":"lists","key":"`+c.key+`"},`+c.rest+`}`)
			if !strings.HasPrefix(c.want, "canary") {
				named(t, err, contract.InvalidInput, c.want)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, c.want, strings.Join(waved(t, found), " "))
		})
	}
	_, err := find(t, finder(nil, &fakeS3{objects: map[string]string{"lists/a.csv": "clusterName,wave\na,canary\n"}}), `{"workflow":"pod-inventory","source":{"bucket":"lists","key":"a.csv"}}`)
	require.NoError(t, err, "what changes nothing needs no waves")
}

func TestARolloutThatStoppedSaysWhichClustersAreChanged(t *testing.T) {
	input := func(concurrency string) string {
		return `{"workflow":"apply-manifests","output":{"bucket":"reports"},"clusters":["a","b","c","d","e","f"],` + concurrency + `"waves":[{"name":"canary","clusters":["b"]},{"name":"half","percentage":50,"toleratedFailures":{"count":1}},{"name":"rest","percentage":100}]}`
	}
	s := simulate(t, input(`"concurrency":1,`), after(map[string]string{"a": "NotReady", "c": "NotReady"}))

	assert.Equal(t, []string{"b", "a", "c"}, s.began)
	assert.Equal(t, contractfleet.VerdictRolloutFailed, s.run.Verdict)
	assert.Equal(t, "Wave half stopped the rollout: 2 of its 3 clusters failed, and at most 1 may fail: 2 NotReady. 3 clusters are changed, or may be: a, b, c. 3 clusters were not started: see s3://reports/"+folder+"notstarted.jsonl. The report: aws s3 cp s3://reports/"+folder+"report.html .", s.run.Cause)
	assert.Equal(t, "The fleet had stopped, because too many clusters of wave half had failed: at most 1 may fail.", s.run.Outcomes[3].Cause)
	assert.Equal(t, []int{2, 1, 2, 2, 3, 3}, numbers(s.run.Outcomes))
	assert.Equal(t, `{"clusterName":"d","region":"eu-west-1","roleArn":"","wave":"half"}`+"\n"+`{"clusterName":"e","region":"eu-west-1","roleArn":"","wave":"rest"}`+"\n"+`{"clusterName":"f","region":"eu-west-1","roleArn":"","wave":"rest"}`+"\n",
		s.s3.objects["reports/"+folder+"notstarted.jsonl"])

	found, err := find(t, rollout(nil, s.s3), `{"workflow":"apply-manifests","source":{"bucket":"reports","key":"`+folder+`notstarted.jsonl"},`+
		`"waves":[{"name":"half","concurrency":1,"toleratedFailures":{"count":1}},{"name":"rest","concurrency":1,"toleratedFailures":{"count":0}}]}`)
	require.NoError(t, err, "as the report's command says")
	assert.Contains(t, s.run.Summary.Report.Continue, `--waves '[{"name":"half","concurrency":1,"toleratedFailures":{"count":1}},{"name":"rest","concurrency":1,"toleratedFailures":{"count":0}}]'`)
	assert.Equal(t, []string{"half: d", "rest: e f"}, waved(t, found))
}

func numbers(outcomes []contractfleet.Outcome) []int {
	var all []int
	for _, o := range outcomes {
		all = append(all, o.Wave)
	}
	return all
}

func TestAFailureThatAWaveToleratesIsNoneOfTheNext(t *testing.T) {
	s := simulate(t, `{"workflow":"apply-manifests","clusters":["a","b","c","d"],"concurrency":1,"toleratedFailures":{"count":1},"waves":[{"name":"half","percentage":50},{"name":"rest","percentage":100}]}`,
		after(map[string]string{"a": "NotReady", "c": "NotReady"}))
	assert.Equal(t, []string{"a", "b", "c", "d"}, s.began)
	assert.Equal(t, contractfleet.VerdictTolerable, s.run.Verdict, "one in each may fail")
}

func TestTheStateOfTwentyWavesStaysBelowWhatStepFunctionsAllows(t *testing.T) {
	const limit, request, jobs = 256 << 10, 32 << 10, 16 << 10
	f := nightly(contractfleet.MaxInStateOfWaves)
	f.Output = contract.Destination{Bucket: strings.Repeat("b", 63), Prefix: strings.Repeat("p", 512)}
	f.Changes, f.Concurrency, f.Waves = true, 1, contractfleet.MaxWaves
	waves := make([]contractfleet.Wave, contractfleet.MaxWaves)
	for i := range waves {
		waves[i] = contractfleet.Wave{Name: fmt.Sprintf("%s-%02d", strings.Repeat("n", 29), i), Clusters: f.Clusters / len(waves), Concurrency: 1000, Tolerated: f.Clusters, Gate: contractfleet.Gate{
			SoakSeconds: 72000, Alarms: []string{strings.Repeat(`"`, 20)}, Job: contractfleet.GateJob{Request: i + 1, Digest: "mfrggzdfmztw"},
			Approval: contractfleet.Approve{TopicARN: "arn:aws:sns:eu-west-1:111122223333:" + strings.Repeat("t", 45), TimeoutSeconds: 72000},
		}}
	}
	size, err := json.Marshal(waves)
	require.NoError(t, err)
	require.InDelta(t, contractfleet.MaxWavesBytes, len(size), 1024)
	for i := range waves { // what is added while the rollout runs
		waves[i].Failed, waves[i].Jobs, waves[i].Approved = 100, 400, contractfleet.Approved{By: strings.Repeat("a", 120), At: start}
	}
	asked, quotes := []json.RawMessage{json.RawMessage("{}")}, []json.RawMessage{json.RawMessage("{}")}
	for range waves {
		asked = append(asked, json.RawMessage(`{"args":["`+strings.Repeat("x", jobs/len(waves)-14)+`"]}`))
		quotes = append(quotes, json.RawMessage(`{"args":["`+strings.Repeat("'", 300)+`"]}`)) // short enough for a command, until they are quoted
	}
	failedJobs := make([]contractfleet.Outcome, 51)
	outcomes := worst(f)
	for i := range outcomes {
		outcomes[i].Wave = 1 + i*len(waves)/len(outcomes)
		outcomes[i] = fleet.Bound(f, outcomes[i])
	}
	pending := make([]contract.Target, 0, len(outcomes))
	for _, o := range outcomes {
		pending = append(pending, o.Target)
	}
	well := slices.Clone(outcomes)
	for i := range well { // as long as those that failed
		well[i].Status = contractfleet.StatusSucceeded
	}
	for i := range failedJobs {
		failedJobs[i] = outcomes[i]
		failedJobs[i].Error, failedJobs[i].Wave = "JobFailed", 20
	}
	for sentence, run := range map[string]contractfleet.Ran{
		"a rollout that goes on":  {Round: 190, Attempt: 1, Size: 10, Wave: 10, Begun: 195, Clusters: outcomes[185:195], Pending: pending[195:], Outcomes: outcomes[:185]},
		"a rollout at a gate":     {Round: 190, Attempt: 1, Size: 10, Wave: 10, Begun: 200, Clusters: outcomes[190:200], Pending: pending[200:], Outcomes: outcomes[:190]},
		"a rollout that stopped":  {Round: 190, Attempt: 1, Size: 10, Wave: 10, Failed: f.Clusters, Begun: 200, Clusters: outcomes[190:200], Pending: pending[200:], Outcomes: outcomes[:190]},
		"a rollout that is ready": {Round: 400, Attempt: 1, Size: 10, Wave: 20, Begun: 400, Clusters: outcomes[390:], Outcomes: outcomes[:390], Gate: contractfleet.Passage{Wave: 20}},
		"a Job of the last gate":  {Round: 400, Attempt: 1, Wave: 20, Begun: 400, Outcomes: all20(well), Gate: contractfleet.Passage{Wave: 20, Stage: contractfleet.StageAlarms}},
		"a Job tried again":       {Round: 400, Attempt: 1, Size: 51, Wave: 20, Begun: 400, Clusters: ending(failedJobs, "Throttled"), Outcomes: all20(well), Gate: contractfleet.Passage{Wave: 20, Stage: contractfleet.StageJob, Begun: 51}},
		"a Job that failed":       {Round: 400, Attempt: 1, Size: 51, Wave: 20, Begun: 400, Clusters: failedJobs, Outcomes: all20(well), Gate: contractfleet.Passage{Wave: 20, Stage: contractfleet.StageJob, Begun: 51}},
		"an approval":             {Round: 400, Attempt: 1, Size: 51, Wave: 20, Begun: 400, Clusters: ending(failedJobs, ""), Outcomes: all20(well), Gate: contractfleet.Passage{Wave: 20, Stage: contractfleet.StageJob, Begun: 400}},
		"an approval half-way":    {Round: 400, Attempt: 1, Size: 20, Wave: 10, Begun: 200, Clusters: ending(failedJobs[:20], ""), Pending: pending[200:], Outcomes: well[:200], Gate: contractfleet.Passage{Wave: 10, Stage: contractfleet.StageJob, Begun: 400}},
	} {
		run.Waves = waves
		laid, err := json.Marshal(run) // after its Map
		require.NoError(t, err)
		assert.Less(t, len(laid)+request+jobs, limit-4096, sentence)
		for _, asked := range [][]json.RawMessage{asked, quotes} {
			next, err := summarizer(&fakeS3{}).Summarize(t.Context(), contractfleet.Summarize{Fleet: f, Jobs: asked, Run: run})
			require.NoError(t, err)
			text, err := json.Marshal(next)
			require.NoError(t, err)
			assert.Less(t, len(text)+request+jobs, limit-4096, sentence)
			assert.Less(t, len(next.Cause), 4096, sentence)
			t.Logf("%s: %s, %d bytes, after %d", sentence, next.Verdict, len(text), len(laid))
		}
	}
}

// all20 are outcomes of the last wave of twenty.
func all20(outcomes []contractfleet.Outcome) []contractfleet.Outcome {
	outcomes = slices.Clone(outcomes)
	for i := range outcomes {
		outcomes[i].Wave = 20
	}
	return outcomes
}

// ending are outcomes of another error, or that succeeded.
func ending(outcomes []contractfleet.Outcome, name string) []contractfleet.Outcome {
	outcomes = slices.Clone(outcomes)
	for i := range outcomes {
		if outcomes[i].Error = name; name == "" {
			outcomes[i].Status = contractfleet.StatusSucceeded
		}
	}
	return outcomes
}

func TestWavesOfTooManyRoundsAreRefused(t *testing.T) {
	input := func(concurrency int) string {
		return fmt.Sprintf(`{"workflow":"apply-manifests","output":{"bucket":"reports"},"waves":[{"name":"canary","percentage":1},{"name":"rest","percentage":100,"concurrency":%d}],"clusters":[%s]}`, concurrency, strings.TrimSuffix(list(1500), ","))
	}
	_, err := find(t, rollout(nil, &fakeS3{}), input(2))
	named(t, err, contract.InvalidInput, "1 problem. waves[1].concurrency: 2: the waves, of which each begins few clusters at a time so that failures stop it, are 744 rounds, more than the 600 that an execution can have")
	_, err = find(t, rollout(nil, &fakeS3{}), input(3))
	require.NoError(t, err)
}
