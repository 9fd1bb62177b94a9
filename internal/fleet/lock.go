package fleet

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/kubestep/kubestep/internal/awsapi"
	"github.com/kubestep/kubestep/internal/contract"
	contractfleet "github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/internal/store"
)

// A set has one rollout at a time. Its lock is an object in S3 that names the execution which has
// it, and that is written only on a condition. It is held for as long as that execution runs, as
// Step Functions says: nothing releases it, so nothing can be forgotten, however an execution ends.
// Whoever finds that the holder has ended writes itself in its place, at the version that it read.
// A redrive lets an execution run again that may have lost its lock meanwhile: so Summarize looks
// before anything else begins.

const (
	// maxLock bounds the object.
	maxLock = 4 << 10
	// maxSwaps is how often the lock is read again because somebody else wrote it.
	maxSwaps = 5
	// maxUnknown is how long an execution may be unknown that has the lock: Step Functions does not
	// say at once what it has, and keeps an execution for 90 days.
	// https://docs.aws.amazon.com/step-functions/latest/apireference/API_DescribeExecution.html
	maxUnknown = 25 * time.Hour
)

// Executions is what is called of the Step Functions API.
type Executions interface {
	DescribeExecution(context.Context, *sfn.DescribeExecutionInput, ...func(*sfn.Options)) (*sfn.DescribeExecutionOutput, error)
}

// holder is the content of a lock.
type holder struct {
	Execution string `json:"execution"`
}

// lockOf is where the lock of a rollout is: nowhere if it changes no set, or the stack has no bucket. Each
// state machine has its own: a stack may not ask about the executions of another one that shares its bucket.
func (d Finder) lockOf(r request, waves []contractfleet.Wave, execution string) contractfleet.Lock {
	if r.set == "" || !r.changes || len(waves) == 0 || d.Locks.Bucket == "" {
		return contractfleet.Lock{}
	}
	return contractfleet.Lock{Bucket: d.Locks.Bucket, Key: store.Prefix(d.Locks) + "rollouts/" + hash("%q %q %q %q", strings.TrimSuffix(execution, contract.ExecutionARN(execution).Name()), r.workflow, r.namespace, r.set) + ".json", Set: r.namespace + "/" + r.set}
}

// hold takes the lock for the execution, or returns an error if another one has it that runs.
//
// Errors: SetInUse, AccessDenied, Throttled, AWSUnreachable, InvalidInput.
func (d Finder) hold(ctx context.Context, lock contractfleet.Lock, execution string) error {
	if lock.Bucket == "" {
		return nil
	}
	text, err := json.Marshal(holder{execution})
	if err != nil {
		return fmt.Errorf("encode the lock: %w", err)
	}
	objects, at := store.New(d.Store.S3, execution), store.Object{Bucket: lock.Bucket, Key: lock.Key}
	etag := ""
	for range maxSwaps {
		written, err := objects.Swap(ctx, at, "application/json", bytes.NewReader(text), etag)
		if err != nil || written {
			return err
		}
		found, version, err := readLock(ctx, objects, at)
		switch {
		case errors.Is(err, store.ErrNoObject): // somebody deleted it
			etag = ""
			continue
		case err != nil:
			return err
		case found == execution: // by a request whose answer was lost, or before a redrive
			return nil
		}
		if err := d.hasEnded(ctx, lock, found, version); err != nil {
			return err
		}
		etag = version.ETag
	}
	return contract.Errorf(contract.SetInUse, "Other rollouts of set %s began at the same time, so nothing was started. See which one runs", lock.Set)
}

// readLock returns the execution that has the lock, or had it last.
func readLock(ctx context.Context, objects store.Store, at store.Object) (string, store.Version, error) {
	text, version, err := objects.Look(ctx, at, maxLock)
	if err != nil {
		return "", version, err
	}
	var found holder
	if err := json.Unmarshal(text, &found); err != nil || contract.ExecutionARN(found.Execution).Name() == "" {
		return "", version, contract.Errorf(contract.InvalidInput, "%s is not the lock that a rollout wrote: see who else may write there, and delete it", at)
	}
	return found.Execution, version, nil
}

// hasEnded returns an error unless the execution that has the lock has ended.
func (d Finder) hasEnded(ctx context.Context, lock contractfleet.Lock, execution string, version store.Version) error {
	out, err := d.Executions.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: &execution})
	if _, unknown := errors.AsType[*types.ExecutionDoesNotExist](err); unknown {
		if d.Now().Sub(version.Written) > maxUnknown {
			return nil
		}
		return contract.Errorf(contract.SetInUse, "A rollout of set %s has its lock, and Step Functions does not know of it yet, or not any more: %s. Nothing was started. If you know that it has ended, delete s3://%s/%s", lock.Set, execution, lock.Bucket, lock.Key)
	}
	if err != nil {
		return awsapi.Explain(err, "states:DescribeExecution of "+execution)
	}
	switch out.Status {
	case types.ExecutionStatusRunning, types.ExecutionStatusPendingRedrive:
		return contract.Errorf(contract.SetInUse, "Another rollout of set %s runs, so nothing was started: %s. Wait until it has ended, or stop it (kubestep stop %s)", lock.Set, execution, execution)
	default:
		return nil
	}
}

// taken says who has the lock instead of the fleet; it is empty if the fleet has it, or needs none.
func (s Summarizer) taken(ctx context.Context, fleet contractfleet.Fleet) (string, error) {
	if fleet.Lock.Bucket == "" {
		return "", nil
	}
	found, _, err := readLock(ctx, store.New(s.Store.S3, fleet.Execution), store.Object{Bucket: fleet.Lock.Bucket, Key: fleet.Lock.Key})
	switch {
	case errors.Is(err, store.ErrNoObject):
		return fmt.Sprintf("the lock of set %s is gone, so another rollout of it may run", fleet.Lock.Set), nil
	case err != nil:
		return "", err
	case found == fleet.Execution:
		return "", nil
	}
	return fmt.Sprintf("another rollout of set %s began before this one went on: %s", fleet.Lock.Set, found), nil
}

// lose ends the fleet after a round with those outcomes, or at a gate, because another one has its
// lock. A gate that is left is not passed, so that the last wave has not succeeded either.
func (s Summarizer) lose(ctx context.Context, in contractfleet.Summarize, outcomes []contractfleet.Outcome, taken string) (contractfleet.Run, error) {
	if wave := waveOf(in.Fleet, in.Run.Waves, in.Run.Wave); in.Run.Gate.Wave > 0 || in.Run.Begun == in.Fleet.Clusters && !wave.Gate.Open() {
		in.Run.Gate.Wave, in.Run.Gate.Why = in.Run.Wave, taken
	}
	return s.finish(ctx, in, outcomes, taken)
}
