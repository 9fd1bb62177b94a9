package fleet_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract"
	contractfleet "github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/internal/fleet"
)

// executions are the statuses of executions, by ARN.
type executions struct {
	mu       sync.Mutex
	statuses map[string]types.ExecutionStatus
	fail     error
}

func (e *executions) DescribeExecution(_ context.Context, in *sfn.DescribeExecutionInput, _ ...func(*sfn.Options)) (*sfn.DescribeExecutionOutput, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.fail != nil {
		return nil, e.fail
	}
	status, known := e.statuses[*in.ExecutionArn]
	if !known {
		return nil, &types.ExecutionDoesNotExist{}
	}
	return &sfn.DescribeExecutionOutput{Status: status}, nil
}

const (
	machine = "arn:aws:states:eu-west-1:111122223333:execution:kubestep-fleet:"
	locked  = `{"workflow":"apply-manifests","request":{"mode":"apply","manifests":"a","set":"base","namespace":"shop"},"clusters":["a","b"],"waves":[{"name":"canary","clusters":["a"]},{"name":"rest","percentage":100}]}`
)

// locking is a finder of a stack that has a bucket.
func locking(s3 *fakeS3, running *executions) fleet.Finder {
	d := rollout(nil, s3)
	d.Executions, d.Locks = running, contract.Destination{Bucket: "reports", Prefix: "kubestep"}
	d.Now = func() time.Time { return start }
	return d
}

// begins finds the clusters of a rollout of the set in the execution of that name.
func begins(t *testing.T, d fleet.Finder, name string) (contractfleet.Fleet, error) {
	t.Helper()
	found, err := d.Find(t.Context(), contractfleet.FindClusters{Execution: machine + name, StartedAt: start, Input: json.RawMessage(locked)})
	return found.Fleet, err
}

func TestASetHasOneRolloutAtATime(t *testing.T) {
	s3, running := &fakeS3{written: start}, &executions{statuses: map[string]types.ExecutionStatus{machine + "first": types.ExecutionStatusRunning}}
	first, err := begins(t, locking(s3, running), "first")
	require.NoError(t, err)
	assert.Equal(t, "shop/base", first.Lock.Set)
	assert.True(t, strings.HasPrefix(first.Lock.Key, "kubestep/rollouts/"), first.Lock.Key)
	_, err = begins(t, locking(s3, running), "first")
	require.NoError(t, err, "a second attempt of the function")

	for status, refused := range map[types.ExecutionStatus]bool{
		types.ExecutionStatusRunning: true, types.ExecutionStatusPendingRedrive: true,
		types.ExecutionStatusSucceeded: false, types.ExecutionStatusFailed: false, types.ExecutionStatusTimedOut: false, types.ExecutionStatusAborted: false,
	} {
		t.Run(string(status), func(t *testing.T) {
			s3.objects["reports/"+first.Lock.Key] = `{"execution":"` + machine + `first"}`
			running.statuses[machine+"first"] = status
			_, err := begins(t, locking(s3, running), "second")
			if refused {
				named(t, err, contract.SetInUse, "Another rollout of set shop/base runs, so nothing was started: "+machine+"first")
				assert.Contains(t, s3.objects["reports/"+first.Lock.Key], "first")
				return
			}
			require.NoError(t, err, "whoever has ended has it no more")
			assert.Contains(t, s3.objects["reports/"+first.Lock.Key], "second")
		})
	}
}

func TestTwoStacksThatShareABucketHaveLocksOfTheirOwn(t *testing.T) {
	s3, running := &fakeS3{written: start}, &executions{fail: errors.New("not authorized")} // to ask about the other's
	first, err := begins(t, locking(s3, running), "first")
	require.NoError(t, err)
	found, err := locking(s3, running).Find(t.Context(), contractfleet.FindClusters{Execution: strings.Replace(machine, "kubestep-fleet", "other-fleet", 1) + "first", StartedAt: start, Input: json.RawMessage(locked)})
	require.NoError(t, err)
	assert.NotEqual(t, first.Lock.Key, found.Fleet.Lock.Key)
	assert.Equal(t, first.Lock.Set, found.Fleet.Lock.Set)
}

func TestWhatIsNoRolloutOfTheSetNeedsNoLock(t *testing.T) {
	for sentence, input := range map[string]string{
		"a plan":        strings.Replace(locked, `"mode":"apply"`, `"mode":"plan"`, 1),
		"another set":   strings.Replace(locked, `"set":"base"`, `"set":"other"`, 1),
		"no set":        strings.Replace(locked, `"set":"base",`, ``, 1),
		"another place": strings.Replace(locked, `"namespace":"shop"`, `"namespace":"stage"`, 1),
	} {
		t.Run(sentence, func(t *testing.T) {
			s3, running := &fakeS3{written: start}, &executions{statuses: map[string]types.ExecutionStatus{machine + "first": types.ExecutionStatusRunning}}
			_, err := begins(t, locking(s3, running), "first")
			require.NoError(t, err)
			d := locking(s3, running)
			if sentence == "a plan" {
				apply := d.Workflows["apply-manifests"]
				apply.Changes = func(any) bool { return false }
				d.Workflows["apply-manifests"] = apply
			}
			_, err = d.Find(t.Context(), contractfleet.FindClusters{Execution: machine + "second", StartedAt: start, Input: json.RawMessage(input)})
			require.NoError(t, err)
		})
	}
	without := locking(&fakeS3{}, nil)
	without.Locks = contract.Destination{}
	f, err := begins(t, without, "first")
	require.NoError(t, err)
	assert.Zero(t, f.Lock, "a stack without a bucket has no place for it")
}

// Each request of S3 fails in turn, before or after it is done. Whatever comes of it, no two have the lock.
func TestALockIsHeldByOneWhateverRequestFails(t *testing.T) {
	for _, stale := range []bool{false, true} {
		for n := range 8 {
			for _, done := range []bool{false, true} {
				s3 := &fakeS3{objects: map[string]string{}, kinds: map[string]string{}, written: start}
				running := &executions{statuses: map[string]types.ExecutionStatus{machine + "old": types.ExecutionStatusAborted, machine + "first": types.ExecutionStatusRunning, machine + "second": types.ExecutionStatusRunning}}
				if stale {
					_, err := begins(t, locking(s3, running), "old")
					require.NoError(t, err)
				}
				s3.n = 0
				s3.lose = func(at int, _ string) (after, instead error) {
					switch {
					case at != n+1:
						return nil, nil
					case done:
						return errors.New("connection reset"), nil
					default:
						return nil, errors.New("connection reset")
					}
				}
				var have []string
				for _, name := range []string{"first", "second", "first", "second"} { // the machine tries again
					if _, err := begins(t, locking(s3, running), name); err == nil {
						have = append(have, name)
					}
				}
				require.NotEmpty(t, have, "request %d", n)
				for _, name := range have {
					require.Equal(t, have[0], name, "request %d, done: %v, stale: %v: %v", n, done, stale, have)
				}
			}
		}
	}
}

func TestOfManyThatBeginAtOnceOneHasTheLock(t *testing.T) {
	for _, stale := range []bool{false, true} {
		for range 50 {
			s3, running := &fakeS3{written: start}, &executions{statuses: map[string]types.ExecutionStatus{machine + "old": types.ExecutionStatusFailed}}
			if stale {
				_, err := begins(t, locking(s3, running), "old")
				require.NoError(t, err)
			}
			names := []string{"a", "b", "c", "d"}
			for _, name := range names {
				running.statuses[machine+name] = types.ExecutionStatusRunning
			}
			var wait sync.WaitGroup
			errs := make([]error, len(names))
			for i, name := range names {
				wait.Go(func() { _, errs[i] = begins(t, locking(s3, running), name) })
			}
			wait.Wait()
			won := 0
			for _, err := range errs {
				if err == nil {
					won++
					continue
				}
				named(t, err, contract.SetInUse, "shop/base")
			}
			require.Equal(t, 1, won)
		}
	}
}

func TestALockThatCannotBeJudgedIsHeld(t *testing.T) {
	s3, running := &fakeS3{written: start}, &executions{statuses: map[string]types.ExecutionStatus{}}
	first, err := begins(t, locking(s3, running), "first")
	require.NoError(t, err)
	_, err = begins(t, locking(s3, running), "second")
	named(t, err, contract.SetInUse, "Step Functions does not know of it yet, or not any more", "delete s3://reports/"+first.Lock.Key)
	s3.written = start.Add(-26 * time.Hour)
	_, err = begins(t, locking(s3, running), "second")
	require.NoError(t, err, "no execution of a fleet is as old")

	s3.objects["reports/"+first.Lock.Key] = "{}"
	_, err = begins(t, locking(s3, running), "third")
	named(t, err, contract.InvalidInput, "is not the lock that a rollout wrote")
	s3.objects["reports/"+first.Lock.Key] = `{"execution":"` + machine + `second"}`
	running.fail = errors.New("no route")
	_, err = begins(t, locking(s3, running), "third")
	named(t, err, contract.AWSUnreachable, "states:DescribeExecution")
}

func TestARolloutThatWasRedrivenBeginsNothingOnceAnotherOneHasTheLock(t *testing.T) {
	for _, rolling := range []bool{false, true} {
		s3, running := versioned(), &executions{statuses: map[string]types.ExecutionStatus{machine + "first": types.ExecutionStatusFailed}}
		input := locked
		if rolling {
			input = `{"workflow":"apply-manifests",` + strings.Replace(former, `"mode":"apply"`, `"mode":"apply","set":"base"`, 1) + `"clusters":["a","b"],"waves":[{"name":"canary","clusters":["a"]},{"name":"rest","percentage":100}]}`
		}
		found, err := locking(s3, running).Find(t.Context(), contractfleet.FindClusters{Execution: execution, StartedAt: start, Input: json.RawMessage(input)})
		require.NoError(t, err)
		ended := ran(found.Run)
		if rolling {
			first := failed("a", "NotReady")
			first.Wave = 1
			put(t, s3, "reports/"+folder+"outcomes/"+clusters(t, s3, found.Run.List)[0].Execution+".json", first)
			next := summarize(t, s3, found.Fleet, ended, time.Minute)
			require.Equal(t, contractfleet.VerdictRollBack, next.Verdict)
			put(t, s3, "reports/"+folder+"outcomes/"+clusters(t, s3, next.List)[0].Execution+".json", first)
			ended = ran(next)
		}
		s3.objects["reports/"+found.Fleet.Lock.Key] = `{"execution":"` + machine + `second"}`

		last := summarize(t, s3, found.Fleet, ended, time.Minute)

		if rolling {
			assert.Equal(t, contractfleet.VerdictRollbackFailed, last.Verdict)
			continue
		}
		assert.Equal(t, contractfleet.VerdictRolloutFailed, last.Verdict)
		assert.Contains(t, last.Cause, "Wave canary stopped the rollout: another rollout of set shop/base began before this one went on: "+machine+"second. 1 cluster is changed, or may be: a. 1 cluster was not started")
	}
}

func TestARolloutThatLostItsLockPassesNoGate(t *testing.T) {
	const last = `"waves":[{"name":"all","percentage":100,"gate":{"alarms":["errors"]}}]`
	taken := func(t *testing.T, input string, gated bool) contractfleet.Run {
		t.Helper()
		s3 := &fakeS3{written: start}
		d := locking(s3, &executions{})
		d.Approves = true
		found, err := d.Find(t.Context(), contractfleet.FindClusters{Execution: execution, StartedAt: start, Input: json.RawMessage(input)})
		require.NoError(t, err)
		require.NotEmpty(t, found.Fleet.Lock.Bucket)
		run := found.Run
		if gated {
			run = summarize(t, s3, found.Fleet, ran(run), time.Minute)
			require.Equal(t, contractfleet.VerdictGate, run.Verdict)
		}
		s3.objects["reports/"+found.Fleet.Lock.Key] = `{"execution":"` + machine + `second"}`
		ended := ran(run)
		if rollout := run.Gate.Rollout; rollout.Digest != "" {
			ended.Gate.Decision, err = approver(t).Seal(execution, contract.Decision{Digest: rollout.Digest, Approved: true})
			require.NoError(t, err)
		}
		ended.Gate.Seen = contractfleet.AlarmStates{Names: []string{"errors"}, States: []string{"OK"}}
		s := summarizer(s3)
		s.Sealer = approver(t)
		next, err := s.Summarize(t.Context(), contractfleet.Summarize{Fleet: found.Fleet, Request: found.Request, Run: ended})
		require.NoError(t, err)
		assert.Equal(t, contractfleet.VerdictRolloutFailed, next.Verdict)
		assert.Contains(t, next.Cause, "another rollout of set shop/base began before this one went on: "+machine+"second")
		return next
	}
	withGate := strings.Replace(locked, `"waves":[{"name":"canary","clusters":["a"]},{"name":"rest","percentage":100}]`, last, 1)
	require.Contains(t, withGate, last)

	for _, gated := range []bool{false, true} {
		assert.Equal(t, contractfleet.GateFailed, taken(t, withGate, gated).Summary.Waves[0].Gate)
	}
	begun := taken(t, strings.Replace(withGate, "{", `{"approve":{},`, 1), false)
	assert.Empty(t, begun.Clusters, "nothing begins, although somebody approves it")
	assert.Contains(t, begun.Cause, "No cluster is changed.")
}
