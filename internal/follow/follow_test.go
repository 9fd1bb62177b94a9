package follow_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/follow"
)

func follower(client follow.Client, out io.Writer) *follow.Follower {
	return &follow.Follower{Client: client, Interval: 200 * time.Millisecond, Out: out}
}

// started starts an execution and follows it, in a bubble in which nothing takes time but
// the pauses.
func started(t *testing.T, f *follow.Follower) (got follow.Execution, err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { got, err = f.Start(t.Context(), start) })
	return got, err
}

var start = follow.Start{StateMachineARN: machine, Input: `{"clusterName":"demo"}`, Name: "one"}

func TestStart(t *testing.T) {
	fake := &fakeStepFunctions{events: recorded(t, "retried.json"), end: ends(types.ExecutionStatusSucceeded, "", "")}
	var out bytes.Buffer
	got, err := started(t, follower(fake, &out))
	require.NoError(t, err)

	assert.Equal(t, execution, got.ARN)
	assert.Equal(t, "one", got.Name)
	assert.Equal(t, types.ExecutionStatusSucceeded, got.Status)
	assert.Equal(t, `{"pods":{}}`, got.Output)
	assert.Equal(t, 2400*time.Millisecond, got.Stopped.Sub(got.Started))
	assert.Equal(t, []string{
		"DescribeCluster",
		"WithFreshToken", "MintToken", "VerifyRBAC",
		"MintToken", "VerifyRBAC", "ListPods",
		"MorePages",
		"WithFreshToken", "MintToken", "VerifyRBAC", "ListPods",
		"MorePages", "Output",
	}, got.Path)
	assert.Equal(t, 3, got.Entered("MintToken"))
	assert.Equal(t, 3, got.Attempts("MintToken"))
	assert.Equal(t, 2, got.Entered("ListPods"))
	assert.Equal(t, 3, got.Attempts("ListPods"), "a retry of a task is an attempt, though its state is not entered again")
	golden(t, "retried", out.String())

	require.Len(t, fake.started, 1)
	assert.Equal(t, machine, aws.ToString(fake.started[0].StateMachineArn))
	assert.Equal(t, `{"clusterName":"demo"}`, aws.ToString(fake.started[0].Input))
	assert.Equal(t, "one", aws.ToString(fake.started[0].Name))
}

func TestStartGivesEachExecutionAFreshName(t *testing.T) {
	names := map[string]bool{}
	for range 3 {
		fake := &fakeStepFunctions{startError: errors.New("no")}
		_, err := follower(fake, io.Discard).Start(t.Context(), follow.Start{StateMachineARN: machine, Input: "{}"})
		require.Error(t, err)
		name := aws.ToString(fake.started[0].Name)
		assert.Regexp(t, regexp.MustCompile(`^[0-9A-Za-z_-]{20,80}$`), name)
		names[name] = true
	}
	assert.Len(t, names, 3)
}

func TestStartThatIsRefusedIsAnError(t *testing.T) {
	refusal := &types.StateMachineDoesNotExist{Message: aws.String("State Machine Does Not Exist")}
	_, err := started(t, follower(&fakeStepFunctions{startError: refusal}, io.Discard))
	assert.ErrorIs(t, err, refusal)
}

func TestAFailedExecutionIsShownWithItsWholeCause(t *testing.T) {
	cause := `{"errorType":"Forbidden","errorMessage":"kubestep may not list pods in shop. Apply this:\n\n  kubectl apply -k rbac/namespace -n shop\n"}`
	fake := &fakeStepFunctions{events: recorded(t, "refreshed.json"), end: ends(types.ExecutionStatusFailed, "Forbidden", cause)}
	var out bytes.Buffer
	got, err := started(t, follower(fake, &out))
	require.NoError(t, err)

	assert.Equal(t, types.ExecutionStatusFailed, got.Status)
	assert.Equal(t, "Forbidden", got.Error)
	assert.Equal(t, cause, got.Cause)
	assert.Equal(t, []string{
		"DescribeCluster", "WithFreshToken", "MintToken", "VerifyRBAC",
		"RefreshCluster", "WithFreshToken", "MintToken", "VerifyRBAC",
		"StoppedForbidden",
	}, got.Path)
	assert.Zero(t, got.Attempts("ListPods"))
	golden(t, "refreshed", out.String())
}

func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := &fakeStepFunctions{events: recorded(t, "retried.json"), end: ends(types.ExecutionStatusSucceeded, "", "")}
		got, err := follower(fake, io.Discard).Follow(t.Context(), execution)
		require.NoError(t, err)
		assert.Equal(t, "one", got.Name)
		assert.Len(t, got.Path, 14)
		assert.Empty(t, fake.started, "it starts nothing")

		_, err = follower(fake, io.Discard).Follow(t.Context(), "arn:aws:states:eu-west-1:123456789012:execution:pod-inventory:other")
		var unknown *types.ExecutionDoesNotExist
		assert.ErrorAs(t, err, &unknown)
	})
}

func TestFollowOfAnExecutionThatIsOverLooksOnce(t *testing.T) {
	fake := &fakeStepFunctions{events: recorded(t, "retried.json"), end: ends(types.ExecutionStatusSucceeded, "", "")}
	fake.shown = len(fake.events)
	got, err := follower(fake, io.Discard).Follow(t.Context(), execution)
	require.NoError(t, err)
	assert.Len(t, got.Path, 14)
	assert.Equal(t, 1, fake.looks)
}

func TestTheSameIsShownHoweverTheHistoryArrives(t *testing.T) {
	want, err := started(t, follower(&fakeStepFunctions{
		events: recorded(t, "retried.json"), end: ends(types.ExecutionStatusSucceeded, "", ""),
	}, io.Discard))
	require.NoError(t, err)

	for name, fake := range map[string]*fakeStepFunctions{
		"an event at a time":                              {perLook: 1},
		"a few events at a time":                          {perLook: 7},
		"in pages":                                        {pageSize: 10},
		"in pages that fill slowly":                       {pageSize: 10, perLook: 3},
		"in pages that are full exactly":                  {pageSize: 8, perLook: 8},
		"not at first":                                    {unknownFor: 3},
		"before the description says that it is over":     {descriptionLag: 3},
		"in pages, not at first, and with a slow outcome": {pageSize: 5, perLook: 2, unknownFor: 2, descriptionLag: 2},
	} {
		t.Run(name, func(t *testing.T) {
			fake.events, fake.end = recorded(t, "retried.json"), ends(types.ExecutionStatusSucceeded, "", "")
			var out bytes.Buffer
			got, err := started(t, follower(fake, &out))
			require.NoError(t, err)
			assert.Equal(t, want, got)
			golden(t, "retried", out.String())
		})
	}
}

func TestPagesThatAreFullAreNotReadAgain(t *testing.T) {
	fake := &fakeStepFunctions{
		events: recorded(t, "retried.json"), end: ends(types.ExecutionStatusSucceeded, "", ""),
		pageSize: 10, perLook: 4,
	}
	_, err := started(t, follower(fake, io.Discard))
	require.NoError(t, err)
	seen := ""
	for _, token := range fake.tokens {
		assert.False(t, len(token) < len(seen), "went back from page %q to %q", seen, token)
		seen = token
	}
	assert.NotEmpty(t, seen)
}

func TestAnExecutionThatStaysUnknownIsAnError(t *testing.T) {
	fake := &fakeStepFunctions{events: recorded(t, "retried.json"), unknownFor: 1000}
	_, err := started(t, follower(fake, io.Discard))
	var unknown *types.ExecutionDoesNotExist
	require.ErrorAs(t, err, &unknown)
	assert.Less(t, fake.looks, 30)
}

func TestAnEndWithoutAnEventIsNoticed(t *testing.T) {
	s := newScript()
	s.enter(types.HistoryEventTypeTaskStateEntered, "ListPods")
	s.event(types.HistoryEventTypeLambdaFunctionScheduled)
	end := ends(types.ExecutionStatusTimedOut, "", "")
	end.StopDate = nil
	var out bytes.Buffer
	got, err := started(t, follower(&fakeStepFunctions{events: s.events, end: end}, &out))
	require.NoError(t, err)
	assert.Equal(t, types.ExecutionStatusTimedOut, got.Status)
	assert.Equal(t, "Execution "+execution+"\n\nTIMED_OUT, in ListPods\n", out.String())
}

func TestAnExecutionThatIsInterruptedRunsOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, interrupt := context.WithCancel(t.Context())
		fake := &fakeStepFunctions{events: recorded(t, "retried.json"), end: ends(types.ExecutionStatusSucceeded, "", ""), perLook: 1}
		var out bytes.Buffer
		f := follower(fake, &out)
		time.AfterFunc(1900*time.Millisecond, interrupt)
		got, err := f.Start(ctx, start)
		require.ErrorIs(t, err, context.Canceled)
		assert.Equal(t, "interrupted; the execution continues: "+execution, err.Error())
		assert.Equal(t, types.ExecutionStatusRunning, got.Status)
		assert.Equal(t, []string{"DescribeCluster", "WithFreshToken", "MintToken"}, got.Path)
		assert.NotContains(t, out.String(), "RUNNING")
	})
}

func TestAStartThatIsInterruptedSaysThatItMayRun(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	_, err := follower(&fakeStepFunctions{}, io.Discard).Start(ctx, start)
	require.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, "interrupted; an execution named one may have started", err.Error())
}

func TestTheRunningStateIsRedrawnOnATerminal(t *testing.T) {
	fake := &fakeStepFunctions{events: recorded(t, "retried.json"), end: ends(types.ExecutionStatusSucceeded, "", ""), perLook: 2}
	var out bytes.Buffer
	f := follower(fake, &out)
	f.Live = true
	_, err := started(t, f)
	require.NoError(t, err)
	golden(t, "live", strings.NewReplacer("\r\x1b[K", "\n<clear>", "\x1b[?7l", "<nowrap>", "\x1b[?7h", "<wrap>").Replace(out.String()))
}

func TestAStateThatWaitsIsDrawnWhileItDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		history := newScript()
		history.enter(types.HistoryEventTypeWaitStateEntered, "WaitUntilGone")
		history.exit(types.HistoryEventTypeWaitStateExited, "WaitUntilGone")
		history.event(types.HistoryEventTypeExecutionSucceeded)
		var out bytes.Buffer
		f := follower(&fakeStepFunctions{events: history.events, end: ends(types.ExecutionStatusSucceeded, "", ""), perLook: 1}, &out)
		f.Live, f.Detail = true, func(context.Context, int) string { return "2 of 3" }

		_, err := f.Follow(t.Context(), execution)

		require.NoError(t, err)
		assert.Regexp(t, `WaitUntilGone +0 ms  2 of 3`, out.String())
		assert.NotContains(t, out.String(), "✓ WaitUntilGone", "it is no step")
	})
}

func TestAnExecutionThatWasRedrivenRunsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		history := newScript()
		history.enter(types.HistoryEventTypeTaskStateEntered, "A")
		history.event(types.HistoryEventTypeExecutionAborted)
		history.event(types.HistoryEventTypeExecutionRedriven)
		history.enter(types.HistoryEventTypeTaskStateEntered, "B")
		history.exit(types.HistoryEventTypeTaskStateExited, "B")
		history.event(types.HistoryEventTypeExecutionSucceeded)
		var out bytes.Buffer
		f := follower(&fakeStepFunctions{events: history.events, end: ends(types.ExecutionStatusSucceeded, "", ""), perLook: 1}, &out)
		f.Live = true

		got, err := f.Follow(t.Context(), execution)

		require.NoError(t, err)
		assert.Equal(t, []string{"A", "B"}, got.Path)
		assert.Regexp(t, `(?s)B +0 ms.*✓ B`, out.String(), "what runs is drawn")
	})
}

func TestVerboseShowsTheInputAndWholeCauses(t *testing.T) {
	cause := `{"errorType":"Forbidden","errorMessage":"RBAC denies it. Apply this:\n\n  kubectl apply -k rbac/namespace -n shop\n"}`
	s := newScript()
	s.enter(types.HistoryEventTypeTaskStateEntered, "VerifyRBAC")
	s.lambdaFails("Forbidden", cause)
	s.add(types.HistoryEvent{Type: types.HistoryEventTypeExecutionFailed})
	fake := &fakeStepFunctions{events: s.events, end: ends(types.ExecutionStatusFailed, "Forbidden", cause)}
	var out bytes.Buffer
	f := follower(fake, &out)
	f.Verbose = true
	_, err := started(t, f)
	require.NoError(t, err)
	golden(t, "verbose", out.String())
}

func TestColorsMarkWhatFailed(t *testing.T) {
	fake := &fakeStepFunctions{events: recorded(t, "retried.json"), end: ends(types.ExecutionStatusFailed, "Forbidden", "No.")}
	var out bytes.Buffer
	f := follower(fake, &out)
	f.Style = true
	_, err := started(t, f)
	require.NoError(t, err)
	for _, want := range []string{"\x1b[32m✓\x1b[0m DescribeCluster", "\x1b[31m✗\x1b[0m VerifyRBAC", "\x1b[1m\x1b[31mFAILED after 2.4 s: Forbidden\x1b[0m"} {
		assert.Contains(t, out.String(), want)
	}
}

func TestNoControlCharacterReachesTheOutput(t *testing.T) {
	s := newScript()
	s.enter(types.HistoryEventTypeTaskStateEntered, "List\x1b[2JPods")
	s.lambdaFails("Bad\x1b]0;title\x07", "\x1b[31mred\u009b2J\r. More")
	s.add(types.HistoryEvent{Type: types.HistoryEventTypeExecutionFailed})
	fake := &fakeStepFunctions{events: s.events, end: ends(types.ExecutionStatusFailed, "Bad\x1b]0;title\x07", "first\n\x1b[31msecond\u202e")}
	var out bytes.Buffer
	_, err := started(t, follower(fake, &out))
	require.NoError(t, err)
	golden(t, "hostile", out.String())
	assert.NotRegexp(t, regexp.MustCompile("[\x00-\x09\x0b-\x1f\x7f\u0080-\u009f\u202e]"), out.String())
}

func TestTheStatesOfAPassAreUnderItsTitle(t *testing.T) {
	script := func() *fakeStepFunctions {
		s := newScript()
		for _, state := range []string{"Describe", "Mint", "Plan", "Mint", "Look", "Mint", "Look", "Mint", "Look"} {
			s.enter(types.HistoryEventTypeTaskStateEntered, state)
			s.exit(types.HistoryEventTypeTaskStateExited, state)
		}
		s.event(types.HistoryEventTypeExecutionSucceeded)
		return &fakeStepFunctions{events: s.events, end: ends(types.ExecutionStatusSucceeded, "", ""), perLook: 1}
	}
	passes := func(f *follow.Follower) {
		mints, looks := 0, 0
		var now follow.Chapter
		f.Event = func(e types.HistoryEvent) {
			if e.StateEnteredEventDetails != nil && aws.ToString(e.StateEnteredEventDetails.Name) == "Mint" {
				mints++
			}
			if e.StateExitedEventDetails != nil && aws.ToString(e.StateExitedEventDetails.Name) == "Look" {
				looks++
			}
			switch {
			case mints == 1:
				now.Title = "Plan"
			case mints > 1:
				now = follow.Chapter{Title: "Wait", Again: mints > 2 && looks < 3}
			}
			if looks > 0 {
				now.Waiting = "1 not ready\n"
			}
		}
		f.Chapter = func() follow.Chapter { return now }
	}
	for sentence, c := range map[string]struct {
		live, verbose bool
		want          []string
	}{
		"in a pipe":     {want: []string{"✓ Describe", "Plan", "✓ Mint", "✓ Plan", "Wait", "✓ Mint", `  1 not ready\n`, "✓ Look", "✓ Look"}},
		"on a terminal": {live: true, want: []string{"✓ Describe", "Plan", "✓ Mint", "✓ Plan", "Wait", "✓ Mint", "✓ Look", "✓ Look"}},
		"in full":       {verbose: true, want: []string{"✓ Describe", "Plan", "✓ Mint", "✓ Plan", "Wait", "✓ Mint", `  1 not ready\n`, "✓ Look", "✓ Mint", "✓ Look", "✓ Mint", "✓ Look"}},
	} {
		t.Run(sentence, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out bytes.Buffer
				f := follower(script(), &out)
				f.Live, f.Verbose = c.live, c.verbose
				passes(f)
				_, err := f.Follow(t.Context(), execution)
				require.NoError(t, err)
				var lines []string
				for line := range strings.Lines(out.String()) {
					line = strings.TrimSuffix(line[strings.LastIndex(line, "\x1b[K")+1:], "\n")
					line = strings.TrimPrefix(line, "[K")
					if line != "" && !strings.HasPrefix(line, "Execution ") {
						lines = append(lines, regexp.MustCompile(` +\d+ ms$`).ReplaceAllString(line, ""))
					}
				}
				assert.Equal(t, c.want, lines)
			})
		})
	}
}

func TestOnATerminalAFailureTakesOneLine(t *testing.T) {
	for width, want := range map[int]string{200: "✗ ListPods                 20 ms  Forbidden: The cluster denies it, and says so at length.", 60: "✗ ListPods                 20 ms  Forbidden: The cluster d…", 20: "✗ ListPods                 20 ms  Forbidden…"} {
		s := newScript()
		s.enter(types.HistoryEventTypeTaskStateEntered, "ListPods")
		s.lambdaFails("Forbidden", "The cluster denies it, and says so at length. More")
		s.add(types.HistoryEvent{Type: types.HistoryEventTypeExecutionFailed})
		var out bytes.Buffer
		f := follower(&fakeStepFunctions{events: s.events, end: ends(types.ExecutionStatusFailed, "Forbidden", "The cluster denies it, and says so at length. More")}, &out)
		f.Live, f.Width = true, func() int { return width }
		_, err := started(t, f)
		require.NoError(t, err)
		assert.Contains(t, out.String(), want+"\n")
		assert.Contains(t, out.String(), "at length. More\n", "all of it is said in the end")
	}
}

func TestWhatIsSaidOfAStateIsALineOnceWhileItRuns(t *testing.T) {
	for sentence, c := range map[string]struct {
		live    bool
		perLook int
		want    int
	}{
		"in a pipe":                     {false, 1, 1},
		"on a terminal":                 {true, 1, 1},
		"of a state that ended already": {true, 0, 0},
	} {
		t.Run(sentence, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScript()
				s.enter(types.HistoryEventTypeTaskStateEntered, "Ask")
				s.event(types.HistoryEventTypeTaskScheduled)
				s.event(types.HistoryEventTypeTaskStarted)
				s.exit(types.HistoryEventTypeTaskStateExited, "Ask")
				s.event(types.HistoryEventTypeExecutionSucceeded)
				var out bytes.Buffer
				f := follower(&fakeStepFunctions{events: s.events, end: ends(types.ExecutionStatusSucceeded, "", ""), perLook: c.perLook}, &out)
				f.Live = c.live
				var now follow.Chapter
				f.Event = func(e types.HistoryEvent) {
					now.Say = ""
					if e.Type == types.HistoryEventTypeTaskScheduled || e.Type == types.HistoryEventTypeTaskStarted {
						now.Say = "waits for ada\x1b[2J"
					}
				}
				f.Chapter = func() follow.Chapter { return now }
				_, err := f.Follow(t.Context(), execution)
				require.NoError(t, err)
				assert.Equal(t, c.want, strings.Count(out.String(), `  waits for ada\x1b[2J`+"\n"), out.String())
			})
		})
	}
}
