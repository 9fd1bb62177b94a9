package fleet_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract"
	contractfleet "github.com/kubestep/kubestep/internal/contract/fleet"
)

const (
	pageAt = "reports/" + folder + "report.html"
	notEnd = "This is not the end"
)

// withOutput is a rollout that writes a report. In a large one, lists and outcomes are in S3.
func withOutput(input string, large bool) string {
	if large {
		input = strings.Replace(input, `"c"]`, `{"clusterName":"c","roleArn":"arn:aws:iam::444455556666:role/`+strings.Repeat("path/", 60)+`name"}]`, 1)
	}
	return strings.Replace(input, "{", `{"output":{"bucket":"reports"},`, 1)
}

func TestThePageOfARolloutThatWaitsSaysWhereItStands(t *testing.T) {
	for sentence, large := range map[string]bool{"in the state": false, "in S3": true} {
		t.Run(sentence, func(t *testing.T) {
			s3 := &fakeS3{}
			found, err := find(t, decider(s3), withOutput(gateOf(approved), large))
			require.NoError(t, err)
			require.Equal(t, large, found.Fleet.InS3)
			require.NotContains(t, s3.objects, pageAt, "nothing waits")
			if large {
				for _, c := range clusters(t, s3, found.Run.List) {
					o := well(c.Target.ClusterName, 1)
					o.Wave = 1
					put(t, s3, "reports/"+folder+"outcomes/"+c.Execution+".json", o)
				}
			}
			s3.reads = nil

			gate := summarize(t, s3, found.Fleet, ran(found.Run), time.Minute)

			require.Equal(t, contractfleet.VerdictApproval, gate.Verdict)
			assert.Equal(t, "s3://"+pageAt, gate.Gate.Rollout.Report)
			page := s3.objects[pageAt]
			for _, text := range []string{
				"<h1 class=\"waits\">Waits for the approval of wave canary</h1>", notEnd, "It has waited since <time datetime=\"2026-11-24T06:01:00Z\">24 November 2026, 06:01 UTC</time>", "until <time datetime=\"2026-11-24T07:01:00Z\">",
				"Next is wave rest with 1 cluster: c.", "kubestep approve " + execution + " --digest " + gate.Gate.Rollout.Digest, ">gate waiting</span>", `2 succeeded</span>`, `1 not started</span>`,
			} {
				assert.Contains(t, page, text)
			}
			assert.NotContains(t, page, "The fleet had stopped")
			assert.NotContains(t, page, "<code>NotStarted</code>", "no cluster has failed to start")
			assert.NotContains(t, s3.objects, "reports/"+folder+"report.json", "programs read the report, once there is one")
			outcomes := 0
			for _, key := range s3.reads {
				if strings.Contains(key, "/outcomes/") {
					outcomes++
				}
			}
			assert.Equal(t, map[bool]int{true: 2}[large], outcomes, "those of the round, once: no other cluster has begun")

			no, err := approver(t).Seal(execution, contract.Decision{Digest: gate.Gate.Rollout.Digest})
			require.NoError(t, err)
			decide(t, s3, found, gate, no, contractfleet.Refusal{})
			assert.NotContains(t, s3.objects[pageAt], notEnd, "the report takes its place")
			assert.Contains(t, s3.objects[pageAt], "2 of 3 clusters succeeded, 1 not started")
		})
	}
}

func TestThePageOfARolloutThatWaitsToBeginSaysSo(t *testing.T) {
	for sentence, large := range map[string]bool{"in the state": false, "in S3": true} {
		t.Run(sentence, func(t *testing.T) {
			s3 := &fakeS3{}
			found, err := find(t, decider(s3), withOutput(strings.Replace(gateOf(`{"soakSeconds":1}`), "{", `{"approve":{"timeoutSeconds":60},`, 1), large))
			require.NoError(t, err)

			require.Equal(t, contractfleet.VerdictApproval, found.Run.Verdict)
			s3.reads = nil

			waits := summarize(t, s3, found.Fleet, ran(found.Run), time.Minute)

			assert.Equal(t, contractfleet.VerdictApproval, waits.Verdict)
			assert.Equal(t, contractfleet.StageApproval, waits.Gate.Stage)
			assert.Equal(t, found.Run.Gate.Rollout, waits.Gate.Rollout)
			assert.LessOrEqual(t, len(s3.reads), 1, "the list, and no outcome")
			page := s3.objects[pageAt]
			for _, text := range []string{"Waits for approval: nothing has begun", notEnd, "Next is wave canary with 2 clusters: a, b. Later waves have 1 cluster.", found.Run.Gate.Rollout.Digest, `2 not started</span>`} {
				assert.Contains(t, page, text)
			}
			assert.NotContains(t, page, "gate waiting", "no wave has ended")

			yes, err := approver(t).Seal(execution, contract.Decision{Digest: waits.Gate.Rollout.Digest, Approved: true})
			require.NoError(t, err)
			assert.Equal(t, contractfleet.VerdictGoOn, decide(t, s3, found, waits, yes, contractfleet.Refusal{}).Verdict)
			assert.Equal(t, contractfleet.VerdictRolloutFailed, decide(t, s3, found, waits, contract.Decision{}, contractfleet.Refusal{}).Verdict, "nobody approves by being silent")
		})
	}
}

func TestARolloutWithoutOutputWaitsWithoutAPage(t *testing.T) {
	s3 := &fakeS3{}
	found, err := find(t, decider(s3), gateOf(approved))
	require.NoError(t, err)
	gate := summarize(t, s3, found.Fleet, ran(found.Run), time.Minute)
	assert.Equal(t, contractfleet.VerdictApproval, gate.Verdict)
	assert.Empty(t, s3.objects)
}

func TestAPageThatCannotBeWrittenIsAnError(t *testing.T) {
	s3 := &fakeS3{}
	found, err := find(t, decider(s3), withOutput(gateOf(approved), false))
	require.NoError(t, err)
	s3.refuse = map[string]error{"PutObject": apiError("AccessDenied")}
	s := summarizer(s3)
	_, err = s.Summarize(t.Context(), contractfleet.Summarize{Fleet: found.Fleet, Request: found.Request, Run: ran(found.Run)})
	named(t, err, contract.AccessDenied, "report.html")
}
