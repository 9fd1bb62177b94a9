package report_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/internal/fleet/report"
)

var start = time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)

// of returns the report of these outcomes.
func of(outcomes ...fleet.Outcome) report.Report {
	summary := fleet.Summary{Fleet: "nightly", Workflow: "pod-inventory", Clusters: len(outcomes), ByStatus: map[fleet.Status]int{}, Totals: map[string]int{}}
	failures := map[string]int{}
	for _, o := range outcomes {
		summary.ByStatus[o.Status]++
		for name, n := range o.Totals {
			summary.Totals[name] += n
		}
		if o.Error == "" {
			continue
		}
		at, known := failures[o.Error]
		if !known {
			at = len(summary.Failures)
			failures[o.Error] = at
			summary.Failures = append(summary.Failures, fleet.Failure{Error: o.Error, Cause: o.Cause, Names: []string{o.ClusterName}})
		}
		summary.Failures[at].Clusters++
	}
	return report.Report{
		Fleet: fleet.Fleet{
			Name: "nightly", Workflow: "pod-inventory", StartedAt: start, Concurrency: fleet.DefaultConcurrency,
			Execution:  "arn:aws:states:eu-west-1:111122223333:execution:kubestep-fleet:nightly",
			Executions: "arn:aws:states:eu-west-1:111122223333:execution:kubestep-pod-inventory",
		},
		Summary: summary, Outcomes: outcomes, FinishedAt: start.Add(95 * time.Second),
		Execution: func(o fleet.Outcome) string { return "nightly-" + o.ClusterName },
	}
}

func well(name string) fleet.Outcome {
	return fleet.Outcome{Target: contract.Target{ClusterName: name, Region: "eu-west-1"}, Attempt: 1, Status: fleet.StatusSucceeded, Totals: map[string]int{"pods": 1200, "unhealthy": 3}, Seconds: 4.3}
}

func failed(name, cause string) fleet.Outcome {
	return fleet.Outcome{
		Target:  contract.Target{ClusterName: name, Region: "us-east-1", RoleARN: "arn:aws:iam::444455556666:role/kubestep"},
		Attempt: 2, Status: fleet.StatusFailed, Error: "ClusterUnreachable", Cause: cause, Seconds: 61,
	}
}

// hostile are texts that an attacker who names clusters, or runs an API server, may try.
var hostile = []string{
	`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `</script><script>alert(1)</script>`, `</style><svg onload=alert(1)>`,
	`javascript:alert(1)`, `{{.Summary}}`, `=HYPERLINK("http://evil.example","x")`, "+1", "-1", "@SUM(A1)", "\t=1", "\u202eevil", "<!--", "]]>", "'; alert(1); '",
}

func write(t *testing.T, to func(*bytes.Buffer) error) string {
	t.Helper()
	var text bytes.Buffer
	require.NoError(t, to(&text))
	return text.String()
}

func page(t *testing.T, r report.Report) string {
	t.Helper()
	return write(t, func(b *bytes.Buffer) error { return r.HTML(b) })
}

// elements returns the elements with a name.
func elements(t *testing.T, page, name string) []*html.Node {
	t.Helper()
	root, err := html.Parse(strings.NewReader(page))
	require.NoError(t, err)
	var found []*html.Node
	for node := range root.Descendants() {
		if node.Type == html.ElementNode && node.Data == name {
			found = append(found, node)
		}
	}
	return found
}

func attribute(node *html.Node, name string) string {
	for _, a := range node.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func text(node *html.Node) string {
	var all strings.Builder
	for child := range node.Descendants() {
		if child.Type == html.TextNode {
			all.WriteString(child.Data)
		}
	}
	return all.String()
}

func TestThePageShowsTheOutcomeOfTheFleet(t *testing.T) {
	all := page(t, of(well("alpha"), failed("beta", "No answer."), well("gamma")))

	assert.Equal(t, "1 of 3 clusters failed", text(elements(t, all, "h1")[0]))
	rows := elements(t, all, "tr")
	require.Len(t, rows, 4)
	assert.Equal(t, "ClusterStatusPodsUnhealthyRegionAccountTimeError", text(rows[0]))
	assert.Equal(t, "betaFailed 2nd tryus-east-14444555566661 min 1 sClusterUnreachable No answer.kubestep follow arn:aws:states:eu-west-1:111122223333:execution:kubestep-pod-inventory:nightly-beta", text(rows[1]), "those that failed come first")
	assert.Equal(t, "alphaSucceeded1,2003eu-west-11111222233334.3 s", text(rows[2]))
	links := elements(t, all, "a")
	assert.Equal(t, "https://eu-west-1.console.aws.amazon.com/states/home?region=eu-west-1#/v2/executions/details/arn:aws:states:eu-west-1:111122223333:execution:kubestep-fleet:nightly", attribute(links[0], "href"))
	assert.Contains(t, attribute(links[1], "href"), "execution:kubestep-pod-inventory:nightly-beta")
	assert.Contains(t, all, "2,400", "the totals add up")
	assert.Equal(t, "All 1,000 clusters succeeded", text(elements(t, page(t, of(many(1000, well)...)), "h1")[0]))
}

func TestAPageSaysAllSucceededOnlyIfAllDid(t *testing.T) {
	stopped, out := fleet.Outcome{Target: contract.Target{ClusterName: "a"}, Status: fleet.StatusNotStarted}, fleet.Outcome{Target: contract.Target{ClusterName: "b"}, Status: fleet.StatusLeftOut}
	for want, outcomes := range map[string][]fleet.Outcome{
		"2 of 3 clusters succeeded, 1 not started":             {well("c"), well("d"), stopped},
		"0 of 1 cluster succeeded, 1 not started":              {stopped},
		"1 of 3 clusters succeeded, 1 left out, 1 not started": {well("c"), out, stopped},
		"1 of 2 clusters succeeded, 1 left out":                {well("c"), out},
		"The cluster succeeded":                                {well("c")},
	} {
		h1 := elements(t, page(t, of(outcomes...)), "h1")[0]
		assert.Equal(t, want, text(h1))
		assert.Equal(t, map[bool]string{true: "bad", false: "well"}[strings.Contains(want, "not started")], attribute(h1, "class"), want)
	}
}

// A gate that is not passed, and a canary that is left out, leave clusters without any failure.
func TestThePageSaysHowToGoOnIfNoClusterFailed(t *testing.T) {
	r := of(well("a"), fleet.Outcome{Target: contract.Target{ClusterName: "b"}, Status: fleet.StatusNotStarted})
	r.Summary.Report = &fleet.Report{Bucket: "my-bucket", Continue: "kubestep fleet --continue", RollBack: "kubestep fleet --back"}
	shown := page(t, r)
	assert.Contains(t, shown, "Go on with the clusters that were not started: <code>kubestep fleet --continue")
	assert.Contains(t, shown, "Roll back the clusters that are still changed: <code>kubestep fleet --back")
	assert.NotContains(t, shown, "Why they failed")

	r.Summary.Waves = []fleet.WaveSummary{{Name: "canary", Clusters: 1, Gate: fleet.GateFailed}, {Name: "rest", Clusters: 1}}
	for _, failures := range [][]fleet.Failure{nil, {{Error: "NotReady", Clusters: 1}}} {
		r.Summary.Failures = failures
		assert.Contains(t, page(t, r), "Go on with the clusters that were not started (without the gate of wave canary, which was not passed): <code>", "the gate's wave has ended, and is not in the command")
	}
}

func TestTheCommandThatRollsBackGoesBackAsTheRollbackDid(t *testing.T) {
	r := rollout()
	r.Former, r.Fleet.SamePlan, r.Fleet.OnFailure = `{"mode":"apply"}`, true, fleet.OnFailureRollback
	for i := range r.Waves {
		r.Waves[i].Gate = fleet.Gate{SoakSeconds: 600, Alarms: []string{"errors"}, Approval: fleet.Approve{TimeoutSeconds: 60}}
	}
	for i := range 6 {
		r.Outcomes[i].Rollback = &fleet.RolledBack{Status: fleet.StatusFailed}
	}
	assert.Equal(t, `kubestep fleet --workflow apply-manifests --request '{"mode":"apply"}' --waves '[{"name":"tenth","concurrency":5,"toleratedFailures":{"count":0}},{"name":"canary","concurrency":1,"toleratedFailures":{"count":0}}]'`+
		` --on-failure continue --source s3://my-bucket/changed.jsonl --report s3://my-bucket/kubestep/`, r.RollBack(&fleet.Report{Bucket: "my-bucket", Changed: "changed.jsonl"}), "the last wave first, without gates, and no failure stops it")
	_, goOn := r.Commands(&fleet.Report{Bucket: "my-bucket", NotStarted: "notstarted.jsonl"})
	assert.Contains(t, goOn, `"gate":{"soakSeconds":600,"alarms":["errors"],"approval":{"timeoutSeconds":60}}}]' --require-same-plan --source`, "whoever goes on is as careful as before")
	r.Fleet.Approve = fleet.Approve{TopicARN: "arn:aws:sns:eu-west-1:111122223333:rollouts", TimeoutSeconds: 600}
	_, goOn = r.Commands(&fleet.Report{Bucket: "my-bucket", NotStarted: "notstarted.jsonl"})
	assert.Contains(t, goOn, ` --input '{"approve":{"topicArn":"arn:aws:sns:eu-west-1:111122223333:rollouts","timeoutSeconds":600}}' --source`, "and asks somebody first, as this one did")
	assert.NotContains(t, r.RollBack(&fleet.Report{Bucket: "my-bucket", Changed: "changed.jsonl"}), "approve", "the rollback has been decided")
}

func TestThePageSaysWhatWasAskedAndHowToRunWhatFailedAgain(t *testing.T) {
	r := of(well("alpha"), failed("beta", "No answer."))
	r.Fleet.Tolerated, r.Fleet.Output = 3, contract.Destination{Bucket: "reports", Prefix: "kubestep/"}
	r.Request = `{"labelSelector":"app in ('a', b)","namespaces":["*"]}`
	again, goOn := r.Commands(&fleet.Report{Bucket: "reports", Failed: "kubestep/nightly/failed.jsonl"})
	assert.Empty(t, goOn, "everything was started")
	assert.Equal(t, `kubestep fleet --workflow pod-inventory --request '{"labelSelector":"app in ('\''a'\'', b)","namespaces":["*"]}' --source s3://reports/kubestep/nightly/failed.jsonl --report s3://reports/kubestep/`, again)
	r.Summary.Report = &fleet.Report{Again: again}

	shown := text(elements(t, page(t, r), "main")[0])
	assert.Contains(t, shown, "May failat most 3")
	assert.Contains(t, shown, "Request"+r.Request)
	assert.Contains(t, shown, again)

	r.Request = `{"manifests":"` + strings.Repeat("a", 10_000) + `"}`
	assert.Less(t, len(page(t, r)), 30_000, "a request may hold manifests")
	again, _ = r.Commands(&fleet.Report{Bucket: "reports", Failed: "failed.jsonl"})
	assert.Contains(t, again, "--request @FILE --source")
	r.Request = ""
	r.Fleet.Concurrency = 2
	again, _ = r.Commands(&fleet.Report{Bucket: "reports", Failed: "failed.jsonl"})
	assert.Contains(t, again, "--workflow pod-inventory --concurrency 2 --source", "no more at once than this one ran")
	r.Fleet.Concurrency = fleet.DefaultConcurrency
	again, _ = r.Commands(&fleet.Report{Bucket: "reports", Failed: "failed.jsonl"})
	assert.Contains(t, again, "--workflow pod-inventory --source", "neither a request nor what is the default")

	r = of(well("alpha"))
	r.Summary.Report = &fleet.Report{Bucket: "reports"}
	again, _ = r.Commands(&fleet.Report{Bucket: "reports", Failed: "failed.jsonl"})
	assert.Empty(t, again, "nothing is to be run again")
	shown = text(elements(t, page(t, r), "main")[0])
	assert.Contains(t, shown, "May failnone")
	assert.NotContains(t, shown, "kubestep fleet --workflow")
}

// stopped returns the report of a fleet that stopped after its second cluster.
func stopped() report.Report {
	pending := []fleet.Cluster{{Target: contract.Target{ClusterName: "zeta", Region: "eu-west-1"}}, {Target: contract.Target{ClusterName: "gamma", Region: "eu-west-1"}}}
	outcomes := []fleet.Outcome{well("alpha"), failed("beta", "Not ready.")}
	for _, target := range pending {
		outcomes = append(outcomes, fleet.Outcome{Target: target.Target, Status: fleet.StatusNotStarted, Error: fleet.NotStartedError, Cause: "The fleet had stopped."})
	}
	r := of(outcomes...)
	r.Pending, r.Request, r.Summary.Workflow = pending, `{"mode":"apply"}`, "apply-manifests"
	r.Fleet.Changes, r.Fleet.Concurrency, r.Fleet.Output = true, 2, contract.Destination{Bucket: "reports", Prefix: "a"}
	return r
}

func TestTheReportOfAFleetWithWavesTellsThemApart(t *testing.T) {
	r := stopped()
	r.Waves = []fleet.Wave{{Name: "canary", Clusters: 1, Concurrency: 1}, {Name: "half", Clusters: 2, Concurrency: 5, Tolerated: 0}, {Name: "rest", Clusters: 1, Concurrency: 20, Tolerated: 1, Gate: fleet.Gate{Alarms: []string{"errors"}}}}
	for i, wave := range []int{1, 2, 2, 3} {
		r.Outcomes[i].Wave = wave
	}
	r.Pending[0].Wave, r.Pending[1].Wave = 2, 3
	r.Summary.Waves = []fleet.WaveSummary{
		{Name: "canary", Clusters: 1, ByStatus: map[fleet.Status]int{fleet.StatusSucceeded: 1}, Gate: fleet.GatePassed}, {Name: "half", Clusters: 2, ByStatus: map[fleet.Status]int{fleet.StatusFailed: 1, fleet.StatusNotStarted: 1}},
		{Name: "rest", Clusters: 1, Tolerated: 1, ByStatus: map[fleet.Status]int{fleet.StatusNotStarted: 1}},
	}

	again, goOn := r.Commands(&fleet.Report{Bucket: "reports", Failed: "a/failed.jsonl", NotStarted: "a/notstarted.jsonl"})
	const command = `kubestep fleet --workflow apply-manifests --request '{"mode":"apply"}' --waves '[{"name":"half","concurrency":5,"toleratedFailures":{"count":0}}`
	assert.Equal(t, command+`]' --concurrency 2 --source s3://reports/a/failed.jsonl --report s3://reports/a`, again, "in the waves in which clusters failed, each as careful as it was")
	assert.Equal(t, command+`,{"name":"rest","concurrency":20,"toleratedFailures":{"count":1},"gate":{"alarms":["errors"]}}]' --concurrency 2 --source s3://reports/a/notstarted.jsonl --report s3://reports/a`, goOn)

	assert.Equal(t, `{"clusterName":"zeta","region":"eu-west-1","roleArn":"","wave":"half"}`+"\n"+`{"clusterName":"gamma","region":"eu-west-1","roleArn":"","wave":"rest"}`+"\n",
		write(t, func(b *bytes.Buffer) error { return r.NotStarted(b) }), "the list says which wave each is in")
	assert.Contains(t, write(t, func(b *bytes.Buffer) error { return r.Failed(b) }), `"wave":"half"`)
	csv := write(t, func(b *bytes.Buffer) error { return r.CSV(b) })
	assert.Contains(t, csv, ",stoppedAt,wave\n")
	assert.Contains(t, csv, "NotStarted,The fleet had stopped.,0,0,,,,,,,rest\n")
	assert.Contains(t, write(t, func(b *bytes.Buffer) error { return r.JSON(b) }), `"waveName":"rest"`)

	all := page(t, r)
	list := text(elements(t, all, "ol")[0])
	assert.Contains(t, list, "canary 1 cluster, none may fail  1 succeeded gate passed")
	assert.Contains(t, list, "half 2 clusters, none may fail  1 failed 1 not started")
	assert.Contains(t, list, "rest 1 cluster, at most 1 may fail  1 not started")
	assert.Contains(t, text(elements(t, all, "tr")[1]), "betaFailed 2nd try half")
	assert.Empty(t, elements(t, page(t, stopped()), "ol"), "a fleet without waves shows none")
}

func TestTheReportSaysWhichClustersAppearedMeanwhile(t *testing.T) {
	for want, appeared := range map[string]*fleet.Appeared{
		"": {Names: []string{}},
		"1 cluster has appeared since the fleet began, and was not changed: new":                         {Clusters: 1, Names: []string{"new"}},
		"1,007 clusters have appeared since the fleet began, and were not changed: a, b, and 1,005 more": {Clusters: 1007, Names: []string{"a", "b"}},
		"Whether clusters have appeared since the fleet began is not known: it says no":                  {Failure: "it says no"},
	} {
		assert.Equal(t, want, report.Appeared(fleet.Summary{Appeared: appeared}))
	}
	assert.Empty(t, report.Appeared(fleet.Summary{}), "nobody has looked")
}

func TestTheReportSaysHowManyClustersGetTheSameChange(t *testing.T) {
	outcomes := make([]fleet.Outcome, 420)
	for i := range outcomes {
		outcomes[i] = well(fmt.Sprintf("c%03d", i))
		if outcomes[i].Effect = "q83vEjRWeJq8"; i < 8 {
			outcomes[i].Effect = "different123"
		}
	}
	r := of(outcomes...)
	r.Summary.Effects = []fleet.Effect{
		{Digest: "q83vEjRWeJq8", Clusters: 412, Names: []string{"c008", "c009"}, Totals: map[string]int{"created": 1, "configured": 2, "unchanged": 0}},
		{Digest: "different123", Clusters: 8, Names: []string{"c000"}, Totals: map[string]int{"unchanged": 0}},
	}
	all := page(t, r)
	shown := text(elements(t, all, "main")[0])
	assert.Contains(t, shown, "412 of 420 clusters get the same change; 8 differ.")
	assert.Contains(t, shown, "412q83vEjRWeJq8 2 configured, 1 createdc008, c009, …")
	assert.Contains(t, shown, "8different123 nothingc000, …")
	assert.Contains(t, text(elements(t, all, "tr")[1]), "c000Succeeded different123", "so that the filter finds it")
	assert.Contains(t, write(t, func(b *bytes.Buffer) error { return r.CSV(b) }), ",stoppedAt,effect\n")

	for want, differ := range map[string]int{"All 3 clusters get the same change.": 0, "2 of 3 clusters get the same change; 1 differs.": 1} {
		assert.Equal(t, want, report.Same(fleet.Summary{ByStatus: map[fleet.Status]int{fleet.StatusSucceeded: 3}, Effects: []fleet.Effect{{Clusters: 3 - differ}}}))
	}
	assert.Empty(t, report.Same(fleet.Summary{}))
	assert.NotContains(t, page(t, stopped()), "What changes")
}

func TestTheReportSaysWhatWasNotStartedAndHowToGoOn(t *testing.T) {
	r := stopped()
	again, goOn := r.Commands(&fleet.Report{Bucket: "reports", Failed: "a/failed.jsonl", NotStarted: "a/notstarted.jsonl"})
	const command = `kubestep fleet --workflow apply-manifests --request '{"mode":"apply"}' --concurrency 2 --tolerate 0 --source s3://reports/a/`
	assert.Equal(t, command+"failed.jsonl --report s3://reports/a", again, "as careful as before")
	assert.Equal(t, command+"notstarted.jsonl --report s3://reports/a", goOn)
	r.Summary.Report = &fleet.Report{Again: again, Continue: goOn}

	all := page(t, r)
	assert.Equal(t, "1 of 4 clusters failed, 2 were not started", text(elements(t, all, "h1")[0]))
	assert.Contains(t, text(elements(t, all, "main")[0]), "Go on with the clusters that were not started: "+goOn)
	rows := elements(t, all, "tr")
	assert.True(t, strings.HasPrefix(text(rows[1]), "betaFailed"), text(rows[1]))
	assert.Equal(t, "zetaNot startedeu-west-1111122223333NotStarted The fleet had stopped.", text(rows[2]), "after those that failed, without a time and an execution")

	assert.Equal(t, `{"clusterName":"zeta","region":"eu-west-1","roleArn":""}`+"\n"+`{"clusterName":"gamma","region":"eu-west-1","roleArn":""}`+"\n",
		write(t, func(b *bytes.Buffer) error { return r.NotStarted(b) }), "in the order in which they would have begun")
	assert.NotContains(t, write(t, func(b *bytes.Buffer) error { return r.Failed(b) }), "zeta")
	assert.Contains(t, write(t, func(b *bytes.Buffer) error { return r.CSV(b) }), "zeta,eu-west-1,111122223333,,NOT_STARTED,NotStarted,The fleet had stopped.,0,0,,,,,,\n")

	one := of(failed("a", "")).Summary
	r.Summary = one
	assert.Equal(t, "1 of 1 cluster failed", text(elements(t, page(t, r), "h1")[0]))
}

func TestTheReportSaysWhenEachExecutionRan(t *testing.T) {
	ours, theirs := well("ours"), well("theirs")
	ours.StartedAt, theirs.StartedAt = start, start.Add(-90*time.Minute)
	r := of(ours, theirs)
	r.Fleet.StartedAt = start.Add(300 * time.Millisecond)

	rows := elements(t, page(t, r), "tr")
	assert.NotContains(t, text(rows[1]), "November", "in the second in which the fleet began")
	assert.Contains(t, text(rows[2]), "Succeeded of 24 November, 04:30:00 UTC", "another fleet had started it")

	lines, err := csv.NewReader(strings.NewReader(write(t, func(b *bytes.Buffer) error { return r.CSV(b) }))).ReadAll()
	require.NoError(t, err)
	assert.Equal(t, []string{"startedAt", "stoppedAt"}, lines[0][13:])
	assert.Equal(t, []string{"2026-11-24T04:30:00Z", "2026-11-24T04:30:04Z"}, lines[2][13:])
	assert.Contains(t, write(t, func(b *bytes.Buffer) error { return r.JSON(b) }), `"startedAt":"2026-11-24T04:30:00Z","seconds":4.3,"account":"111122223333"`)
	assert.Contains(t, write(t, func(b *bytes.Buffer) error { return r.JSON(b) }), `"stoppedAt":"2026-11-24T04:30:04Z"`)
}

func TestTheRolesOfAnAccountThatHasSeveralAreToldApart(t *testing.T) {
	one, other, elsewhere := well("a"), well("a"), well("b")
	one.RoleARN, other.RoleARN, elsewhere.RoleARN = "arn:aws:iam::444455556666:role/path/one", "arn:aws:iam::444455556666:role/other", "arn:aws:iam::777788889999:role/third"
	rows := elements(t, page(t, of(one, other, elsewhere)), "tr")
	assert.Contains(t, text(rows[1]), "444455556666 one")
	assert.Contains(t, text(rows[2]), "444455556666 other")
	assert.NotContains(t, text(rows[3]), "third")
}

func TestASpreadsheetReadsTheCausesRight(t *testing.T) {
	cut := write(t, func(b *bytes.Buffer) error { return of(failed("a", "No permission … to list pods")).CSV(b) })
	assert.True(t, strings.HasPrefix(cut, "cluster,"), "no mark is needed for what is shortened")
	assert.Contains(t, cut, "No permission ... to list pods")
	other := write(t, func(b *bytes.Buffer) error { return of(failed("a", "世界")).CSV(b) })
	assert.True(t, strings.HasPrefix(other, "\ufeffcluster,"), "Excel takes a file without a mark for Windows-1252")
}

func TestThePageLoadsAndRunsNothingButItsOwn(t *testing.T) {
	all := page(t, of(well("alpha"), failed("beta", "")))

	var policy string
	for _, meta := range elements(t, all, "meta") {
		if attribute(meta, "http-equiv") == "Content-Security-Policy" {
			policy = attribute(meta, "content")
		}
	}
	assert.Regexp(t, `^default-src 'none'; style-src 'sha256-[A-Za-z0-9+/]{43}='; script-src 'sha256-[A-Za-z0-9+/]{43}='; base-uri 'none'; form-action 'none'$`, policy)
	for _, name := range []string{"link", "img", "iframe", "object", "embed", "base", "form"} {
		assert.Empty(t, elements(t, all, name), name)
	}
	assert.Len(t, elements(t, all, "script"), 1)
	assert.Empty(t, attribute(elements(t, all, "script")[0], "src"))
	assert.NotRegexp(t, regexp.MustCompile(`\s(on[a-z]+|style)=`), all, "no handlers or styles in attributes, which the policy would refuse")
}

func TestHostileNamesAndCausesAreText(t *testing.T) {
	plain := elements(t, page(t, of(well("alpha"), failed("beta", "why"))), "body")[0]
	count := map[string]int{}
	for node := range plain.Descendants() {
		if node.Type == html.ElementNode {
			count[node.Data]++
		}
	}
	for _, evil := range hostile {
		t.Run(evil, func(t *testing.T) {
			bad := failed(evil, evil)
			bad.Error, bad.Region = evil, evil
			good := well(evil)
			good.Totals = map[string]int{"pods": 1, "unhealthy": 2}
			r := of(good, bad)
			r.Summary.Fleet, r.Fleet.Name = evil, evil

			all := page(t, r)
			got := map[string]int{}
			for node := range elements(t, all, "body")[0].Descendants() {
				if node.Type == html.ElementNode {
					got[node.Data]++
				}
			}
			assert.Equal(t, count, got, "the page has the same elements, whatever a cluster is called")
			for _, link := range elements(t, all, "a") {
				assert.Regexp(t, `^https://eu-west-1\.console\.aws\.amazon\.com/`, attribute(link, "href"))
			}

			lines, err := csv.NewReader(strings.NewReader(write(t, func(b *bytes.Buffer) error { return r.CSV(b) }))).ReadAll()
			require.NoError(t, err)
			for _, cell := range []string{lines[1][0], lines[1][6]} {
				assert.NotRegexp(t, `^[=+\-@\t\r]`, cell, "a spreadsheet would run it")
				assert.Contains(t, cell, strings.TrimSpace(evil))
			}

			var read struct {
				Outcomes []fleet.Outcome `json:"outcomes"`
			}
			require.NoError(t, json.Unmarshal([]byte(write(t, func(b *bytes.Buffer) error { return r.JSON(b) })), &read))
			assert.Equal(t, evil, read.Outcomes[0].Cause)
		})
	}
}

func TestTheSpreadsheetHasALineForEachCluster(t *testing.T) {
	got := write(t, func(b *bytes.Buffer) error { return of(well("alpha"), failed("beta", "No, \"none\".")).CSV(b) })
	assert.Equal(t, `cluster,region,account,roleArn,status,error,cause,attempt,seconds,pods,unhealthy,execution,url,startedAt,stoppedAt
beta,us-east-1,444455556666,arn:aws:iam::444455556666:role/kubestep,FAILED,ClusterUnreachable,"No, ""none"".",2,61,,,arn:aws:states:eu-west-1:111122223333:execution:kubestep-pod-inventory:nightly-beta,https://eu-west-1.console.aws.amazon.com/states/home?region=eu-west-1#/v2/executions/details/arn:aws:states:eu-west-1:111122223333:execution:kubestep-pod-inventory:nightly-beta,,
alpha,eu-west-1,111122223333,,SUCCEEDED,,,1,4.3,1200,3,arn:aws:states:eu-west-1:111122223333:execution:kubestep-pod-inventory:nightly-alpha,https://eu-west-1.console.aws.amazon.com/states/home?region=eu-west-1#/v2/executions/details/arn:aws:states:eu-west-1:111122223333:execution:kubestep-pod-inventory:nightly-alpha,,
`, got)
}

func TestTheClustersThatFailedAreASourceOfTheirOwn(t *testing.T) {
	got := write(t, func(b *bytes.Buffer) error { return of(well("alpha"), failed("beta", "")).Failed(b) })
	assert.Equal(t, `{"clusterName":"beta","region":"us-east-1","roleArn":"arn:aws:iam::444455556666:role/kubestep"}`+"\n", got)
}

func TestTheConsoleIsThatOfThePartition(t *testing.T) {
	for execution, host := range map[string]string{
		"arn:aws:states:eu-west-1:111122223333:execution:m:n":            "https://eu-west-1.console.aws.amazon.com/states/home?region=eu-west-1#/v2/executions/details/",
		"arn:aws-us-gov:states:us-gov-west-1:111122223333:execution:m:n": "https://us-gov-west-1.console.amazonaws-us-gov.com/",
		"arn:aws-cn:states:cn-north-1:111122223333:execution:m:n":        "https://cn-north-1.console.amazonaws.cn/",
		"arn:aws-iso:states:us-iso-east-1:111122223333:execution:m:n":    "",
		"nothing": "",
	} {
		got := report.ConsoleURL(execution)
		assert.Equal(t, host == "", got == "", execution)
		assert.True(t, strings.HasPrefix(got, host), got)
	}
}

// many returns outcomes with the longest possible names and causes.
func many(n int, of func(string) fleet.Outcome) []fleet.Outcome {
	all := make([]fleet.Outcome, n)
	for i := range all {
		all[i] = of(fmt.Sprintf("cluster-of-a-team-with-a-long-name-%05d", i))
	}
	return all
}

func TestAThousandClustersFitInAMegabyte(t *testing.T) {
	worst := func(name string) fleet.Outcome {
		o := failed(name, strings.Repeat("word ", 50))
		o.StartedAt = start
		return o
	}
	assert.Less(t, len(page(t, of(many(1000, worst)...))), 1_000_000)
}
