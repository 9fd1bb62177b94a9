package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/internal/follow"
)

// fleetBegan is when the fleet of these tests started.
const fleetBegan = 1795449600

// fleetHistory is that of a fleet of four clusters, which is at RunClusters for some looks.
func fleetHistory(t *testing.T, looks int) func(look int) []map[string]any {
	t.Helper()
	document := func(run fleet.Run) map[string]any {
		text, err := json.Marshal(map[string]any{
			"fleet": fleet.Fleet{Name: "nightly", StateMachineARN: podMachine, Clusters: 4, StartedAt: time.Unix(fleetBegan, 0)}, "run": run,
		})
		require.NoError(t, err)
		return map[string]any{"output": string(text)}
	}
	kinds := []map[string]any{
		{"type": "ExecutionStarted"},
		{"type": "TaskStateEntered", "stateEnteredEventDetails": map[string]any{"name": "FindClusters"}},
		{"type": "TaskStateExited", "stateExitedEventDetails": merge(document(fleet.Run{Clusters: theClusters()}), "name", "FindClusters")},
		{"type": "MapStateEntered", "stateEnteredEventDetails": map[string]any{"name": "RunClusters"}},
		{"type": "MapStateStarted"},
		{"type": "MapRunStarted"},
		{"type": "MapRunSucceeded"},
		{"type": "MapStateExited", "stateExitedEventDetails": map[string]any{"name": "RunClusters", "output": "{}"}},
		{"type": "TaskStateEntered", "stateEnteredEventDetails": map[string]any{"name": "Summarize"}},
		{"type": "TaskStateExited", "stateExitedEventDetails": merge(document(fleet.Run{Summary: fleetSummary()}), "name", "Summarize")},
		{"type": "ExecutionFailed"},
	}
	for i, event := range kinds {
		event["id"], event["previousEventId"], event["timestamp"] = i+1, i, fleetBegan+float64(i)/100
	}
	const running = 6 // events until the clusters run
	return func(look int) []map[string]any {
		if look <= looks {
			return kinds[:running]
		}
		return kinds
	}
}

// theClusters are the clusters in fleetHistory: a, b, c and d.
func theClusters() []fleet.Cluster {
	var all []fleet.Cluster
	for _, name := range []string{"a", "b", "c", "d"} {
		all = append(all, fleet.Cluster{Target: contract.Target{ClusterName: name}, Execution: "nightly-" + name + "-" + strings.Repeat(name, 12), Attempt: 1})
	}
	return all
}

func merge(m map[string]any, key string, value any) map[string]any {
	m[key] = value
	return m
}

// listed is an execution of a cluster, which started that many seconds after the fleet.
func listed(name, status string, after int) map[string]any {
	return map[string]any{"name": name, "status": status, "startDate": fleetBegan + after, "executionArn": "arn", "stateMachineArn": podMachine}
}

func TestTheClustersOfAFleetAreCountedByOutcomeAsTheyCome(t *testing.T) {
	s := newStepFunctions(t, nil)
	s.history = fleetHistory(t, 4)
	s.outcome = map[string]any{"status": "FAILED", "error": fleet.ClustersFailed, "cause": "3 of 40 clusters failed."}
	looks := [][]map[string]any{
		{listed("nightly-b-bbbbbbbbbbbb", "RUNNING", 1), listed("nightly-a-aaaaaaaaaaaa", "RUNNING", 0), listed("nightly-z-zzzzzzzzzzzz", "SUCCEEDED", -60)},
		{listed("nightly-c-cccccccccccc", "SUCCEEDED", 2), listed("other-x-xxxxxxxxxxxx", "FAILED", 1), listed("nightly-b-bbbbbbbbbbbb", "SUCCEEDED", 1), listed("nightly-a-aaaaaaaaaaaa", "FAILED", 0)},
		{listed("nightly-a-aaaaaaaaaaaa-2", "RUNNING", 9), listed("nightly-d-dddddddddddd", "TIMED_OUT", 3), listed("nightly-c-cccccccccccc", "SUCCEEDED", 2), listed("nightly-b-bbbbbbbbbbbb", "SUCCEEDED", 1), listed("nightly-a-aaaaaaaaaaaa", "FAILED", 0)},
		{listed("nightly-a-aaaaaaaaaaaa-2", "SUCCEEDED", 9), listed("nightly-d-dddddddddddd", "TIMED_OUT", 3), listed("nightly-c-cccccccccccc", "SUCCEEDED", 2), listed("nightly-b-bbbbbbbbbbbb", "SUCCEEDED", 1), listed("nightly-a-aaaaaaaaaaaa", "FAILED", 0)},
	}
	s.executions = func() []map[string]any { return looks[min(len(s.called("ListExecutions")), len(looks))-1] }
	gauge := &fleetGauge{}
	gauge.use(sfn.New(sfn.Options{Region: "eu-west-1", BaseEndpoint: aws.String(s.URL), Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")}))
	var out bytes.Buffer
	follower := follow.Follower{
		Client: gauge.client, Interval: time.Millisecond, Out: &out, Live: true, Event: gauge.event,
		Detail: func(ctx context.Context, room int) string {
			gauge.next = time.Time{} // each look counts
			return gauge.detail(ctx, room)
		},
	}

	_, err := follower.Start(t.Context(), follow.Start{StateMachineARN: fleetMachine, Input: "{}"})

	require.NoError(t, err)
	var lines []string
	for _, drawn := range regexp.MustCompile(`RunClusters .*? (?:ms|s)  (.*?)\x1b`).FindAllStringSubmatch(out.String(), -1) {
		lines = append(lines, drawn[1])
	}
	assert.Equal(t, []string{
		strings.Repeat("░", 24) + " 0 of 4 clusters",
		strings.Repeat("█", 18) + strings.Repeat("░", 6) + " 3 of 4 clusters  2 succeeded, 1 failed",
		strings.Repeat("█", 18) + strings.Repeat("░", 6) + " 3 of 4 clusters  2 succeeded, 1 timed out",
		strings.Repeat("█", 24) + " 4 of 4 clusters  3 succeeded, 1 timed out",
	}, lines, "an older fleet does not count, nor another one, and of a second try only the second")
}

func TestWithoutATerminalAFleetThatFailedPrintsItsFailuresAndNoBar(t *testing.T) {
	s := newStepFunctions(t, map[string]any{"status": "FAILED", "error": fleet.ClustersFailed, "cause": "3 of 40 clusters failed."})
	s.history = fleetHistory(t, 1)

	status, stdout, stderr := kubestep(t.Context(), "fleet", "a", "--state-machine-arn", fleetMachine)

	assert.Equal(t, failed, status, stderr)
	golden(t, "fleet-failed", regexp.MustCompile(`(?m)^Execution .*\n`).ReplaceAllString(stderr, "")+stdout)
	assert.True(t, strings.HasPrefix(stdout, "ERROR "), "the results are what was asked for")
	assert.Empty(t, s.called("ListExecutions"), "nobody sees a bar")

	status, stdout, _ = kubestep(t.Context(), "follow", fleetExecution, "-o", "json")
	assert.Equal(t, failed, status)
	var known struct {
		Error, Cause string
		Summary      fleet.Summary
	}
	require.NoError(t, json.Unmarshal([]byte(stdout), &known))
	assert.Equal(t, fleet.ClustersFailed, known.Error)
	assert.Equal(t, "3 of 40 clusters failed.", known.Cause)
	assert.Equal(t, 40, known.Summary.Clusters)
}

func TestAFleetWhoseExecutionsCannotBeListedIsFollowedAllTheSame(t *testing.T) {
	s := newStepFunctions(t, nil)
	s.executions = func() []map[string]any { return nil }
	gauge := &fleetGauge{fleet: fleet.Fleet{Name: "nightly", StateMachineARN: podMachine, Clusters: 2}, counts: map[fleet.Status]int{fleet.StatusSucceeded: 1}}
	gauge.use(sfn.New(sfn.Options{Region: "eu-west-1", BaseEndpoint: aws.String(s.URL), Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")}))
	s.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	assert.Equal(t, fmt.Sprintf("%s%s 1 of 2 clusters  1 succeeded", strings.Repeat("█", 12), strings.Repeat("░", 12)), gauge.detail(ctx, 80), "what was counted last stays")
}

func TestTheBarLeavesRoomForTheFailures(t *testing.T) {
	gauge := &fleetGauge{
		fleet: fleet.Fleet{Clusters: 21}, next: time.Now().Add(time.Hour),
		counts: map[fleet.Status]int{fleet.StatusSucceeded: 10, fleet.StatusFailed: 3},
	}
	const whole = "13 of 21 clusters  10 succeeded, 3 failed"
	for room, want := range map[int]string{
		120:            strings.Repeat("█", 14) + strings.Repeat("░", 10) + " " + whole,
		len(whole) + 9: "████░░░░ " + whole,
		len(whole) + 4: whole,
		len(whole):     whole,
		len(whole) - 1: "13 of 21  10 succeeded, 3 failed",
		20:             "13 of 21  3 failed",
	} {
		assert.Equal(t, want, gauge.detail(t.Context(), room), "room for %d characters", room)
	}
}

func TestALiveLineKeepsWithinTheTerminal(t *testing.T) {
	s := newStepFunctions(t, map[string]any{"status": "SUCCEEDED", "output": "{}"})
	s.history = fleetHistory(t, 3)
	gauge := &fleetGauge{}
	gauge.use(sfn.New(sfn.Options{Region: "eu-west-1", BaseEndpoint: aws.String(s.URL), Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")}))
	s.executions = func() []map[string]any {
		return []map[string]any{listed("nightly-c-cccccccccccc", "TIMED_OUT", 2), listed("nightly-b-bbbbbbbbbbbb", "SUCCEEDED", 1), listed("nightly-a-aaaaaaaaaaaa", "FAILED", 0), listed("nightly-d-dddddddddddd", "ABORTED", 0)}
	}
	var out bytes.Buffer
	follower := follow.Follower{
		Client: gauge.client, Interval: time.Millisecond, Out: &out, Live: true, Event: gauge.event, Detail: gauge.detail,
		Width: func() int { return 80 },
	}

	_, err := follower.Start(t.Context(), follow.Start{StateMachineARN: fleetMachine, Input: "{}"})

	require.NoError(t, err)
	drawn := regexp.MustCompile(`\x1b\[\?7l(.*?)\x1b\[\?7h`).FindAllStringSubmatch(out.String(), -1)
	require.NotEmpty(t, drawn)
	for _, line := range drawn {
		assert.Less(t, utf8.RuneCountInString(line[1]), 80, line[1])
	}
	assert.Contains(t, out.String(), "4 of 4  1 failed, 1 timed out, 1 aborted\x1b")
}

func TestAFleetThatIsStoppedSaysWhatHasEndedAndHowToGoOn(t *testing.T) {
	s := newStepFunctions(t, map[string]any{"status": "ABORTED"})
	s.history = func(look int) []map[string]any {
		events := fleetHistory(t, 0)(look)[:6]
		return append(events, map[string]any{"id": 7, "previousEventId": 6, "timestamp": fleetBegan, "type": "ExecutionAborted"})
	}
	s.executions = func() []map[string]any {
		return []map[string]any{listed("nightly-b-bbbbbbbbbbbb", "SUCCEEDED", 1), listed("nightly-a-aaaaaaaaaaaa", "FAILED", 0)}
	}

	status, stdout, _ := kubestep(t.Context(), "follow", fleetExecution)

	assert.Equal(t, failed, status)
	assert.Equal(t, "4 clusters: 1 succeeded, 1 failed\nTo run the clusters that are left, within 14 days: aws stepfunctions redrive-execution --execution-arn "+fleetExecution+"\n", stdout)
}

// What else runs on the same machine at the same time, and since, are not the fleet's clusters.
func TestAFleetCountsItsOwnClustersOnly(t *testing.T) {
	const hash = "-aaaaaaaaaaaa"
	own := func(name string) string { return name + "-ownownownown" }
	for sentence, c := range map[string]struct {
		name  string
		inS3  bool
		other string
		after int
	}{
		"another name begins with its name":                      {"nightly", false, "nightly2-a" + hash, 1},
		"another name begins with its name and a hyphen":         {"nightly", false, "nightly-eu-a" + hash, 1},
		"another asks for something else":                        {"nightly", false, "nightly-a-bbbbbbbbbbbb", 1},
		"another of its name has executions of its own":          {"nightly", false, "nightly-a" + hash + "-theirstheirs", 1},
		"somebody starts one by hand":                            {"nightly", false, "nightly-by-hand", 1},
		"another begins after it has ended":                      {"nightly", false, "nightly-b-bbbbbbbbbbbb", 61},
		"in S3, another name begins with its name":               {"nightly", true, "nightly2-a" + hash, 1},
		"in S3, somebody starts one by hand":                     {"nightly", true, "nightly-by-hand", 1},
		"in S3, another begins after it has ended":               {"nightly", true, "nightly-b-bbbbbbbbbbbb", 61},
		"in S3, its name has characters that no name of one has": {"nächt.ly", true, "n-cht-by-hand", 1},
		"in S3, its name is long":                                {strings.Repeat("n", 40), true, strings.Repeat("n", 23) + "-a" + hash, 1},
	} {
		t.Run(sentence, func(t *testing.T) {
			s := newStepFunctions(t, nil)
			ours := map[string]string{"nightly": "nightly-a", "nächt.ly": "n-cht-ly-a", strings.Repeat("n", 40): strings.Repeat("n", 24) + "-a"}[c.name] + hash
			s.executions = func() []map[string]any {
				return []map[string]any{listed(c.other, "FAILED", c.after), listed(own(ours), "SUCCEEDED", 3), listed(ours, "FAILED", 2), listed(strings.Replace(ours, "-a-", "-c-", 1)+"-2", "RUNNING", 0)}
			}
			gauge := &fleetGauge{}
			gauge.use(sfn.New(sfn.Options{Region: "eu-west-1", BaseEndpoint: aws.String(s.URL), Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")}))
			text, err := json.Marshal(map[string]any{
				"fleet": fleet.Fleet{Name: c.name, StateMachineARN: podMachine, Clusters: 4, StartedAt: time.Unix(fleetBegan, 0), InS3: c.inS3, Own: "ownownownown"}, "run": fleet.Run{Clusters: theClusters()},
			})
			require.NoError(t, err)
			gauge.event(types.HistoryEvent{StateExitedEventDetails: &types.StateExitedEventDetails{Name: aws.String("FindClusters"), Output: aws.String(string(text))}})

			printed := gauge.failed(t.Context(), follow.Execution{ARN: fleetExecution, Stopped: time.Unix(fleetBegan+60, 0)}, paper{})

			assert.Contains(t, printed, "4 clusters: 1 succeeded\n")
		})
	}
}

func TestAClusterThatIsTriedAgainIsCountedOnce(t *testing.T) {
	gauge := &fleetGauge{}
	for _, run := range []fleet.Run{{Clusters: theClusters()[:2]}, {Clusters: []fleet.Cluster{{Execution: theClusters()[0].Execution + "-2", Attempt: 2}}}, {Clusters: theClusters()[2:]}} {
		text, err := json.Marshal(map[string]any{"fleet": fleet.Fleet{Name: "nightly", Clusters: 4}, "run": run})
		require.NoError(t, err)
		gauge.event(types.HistoryEvent{StateExitedEventDetails: &types.StateExitedEventDetails{Name: aws.String("Summarize"), Output: aws.String(string(text))}})
	}
	assert.Len(t, gauge.executions, 4, "in the rounds of a fleet that changes its clusters")
}

func TestClustersOfOneNameAreToldApart(t *testing.T) {
	outcome := func(region, role, problem string) fleet.Outcome {
		return fleet.Outcome{Target: contract.Target{ClusterName: "demo", Region: region, RoleARN: role}, Status: fleet.StatusFailed, Error: problem}
	}
	gauge := &fleetGauge{outcomes: []fleet.Outcome{
		outcome("eu-west-1", "", "Forbidden"), outcome("us-east-1", "", "Unauthorized"), outcome("us-east-1", "arn:aws:iam::444455556666:role/member", "Forbidden"),
		{Target: contract.Target{ClusterName: "alone", Region: "eu-west-1"}, Status: fleet.StatusFailed, Error: "Forbidden"},
	}}
	assert.Equal(t, []string{"demo (eu-west-1)", "demo (us-east-1, account 444455556666)", "alone"}, gauge.names(fleet.Failure{Error: "Forbidden", Names: []string{"demo", "demo", "alone"}}))
	assert.Equal(t, []string{"demo"}, (&fleetGauge{}).names(fleet.Failure{Error: "Forbidden", Names: []string{"demo"}}), "a large fleet has its outcomes in S3")
}

func TestCausesThatAreNotShownAreCounted(t *testing.T) {
	gauge := &fleetGauge{}
	for i := range causes + 1 {
		gauge.summary.Failures = append(gauge.summary.Failures, fleet.Failure{Error: fmt.Sprintf("E%d", i), Clusters: 1, Names: []string{"a"}, Cause: "because"})
	}
	text := gauge.result(paper{})
	assert.NotContains(t, text, "a: E5\n")
	assert.Contains(t, text, "a: E4\nbecause\n\n… and the causes of 1 more\n")
}
