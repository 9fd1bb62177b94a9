package jobs

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/contract/runjob"
	"github.com/kubestep/kubestep/internal/kube"
	"github.com/kubestep/kubestep/internal/manifests"
)

// Looker looks at Jobs of others, which it leaves as they are.
type Looker struct{}

// Look looks at a Job once, and says whether it has ended, by what a watch would go by. The
// first look settles which Job of that name is meant. A failure is in the answer: an error is
// one of asking.
func (Looker) Look(ctx context.Context, conn *kube.Conn, of manifests.AwaitedJob) (manifests.SeenJob, error) {
	now := time.Now().UTC()
	seen := manifests.SeenJob{Watched: of.Watched}
	w := &seen.Watched
	if w.Until.IsZero() {
		w.Until, w.Since = now.Add(time.Duration(of.Limits.TimeoutSeconds)*time.Second), now
	}
	there, err := get(ctx, conn, of.Namespace, of.Name)
	if err != nil && !apierrors.IsNotFound(err) {
		return manifests.SeenJob{}, err
	}
	if err == nil && w.UID == "" {
		w.UID = there.Metadata.UID
	}
	if err == nil && w.Why == suspended && !there.Spec.Suspend {
		w.Since = now // only now it may start
	}
	r := &round{
		conn: conn, left: true, ttl: of.TTL, pods: map[string]*pod{}, end: now, gone: err != nil,
		in:  runjob.WatchJob{StartSeconds: of.Limits.StartSeconds, Timeout: of.Limits.TimeoutSeconds, Logs: runjob.LogsNone},
		run: runjob.Run{Job: runjob.CreatedJob{Namespace: of.Namespace, Name: of.Name, UID: w.UID}, Cursor: runjob.Cursor{Until: w.Until, Since: w.Since, Begun: w.Begun, Failed: failedContainer(w.Failed)}},
	}
	if err == nil {
		r.seeJob(event[job]{isList: true, listed: []*job{there}})
	}
	if _, succeeded := r.verdict(); !succeeded && !r.gone {
		listed, _, err := r.podObjects(nil).list(ctx)
		if err != nil {
			return manifests.SeenJob{}, err
		}
		r.seePods(ctx, event[pod]{isList: true, listed: listed})
	}
	seen.Ended = r.ended(now)
	if seen.Ended {
		r.conclude(ctx, of.Limits.Logs, &seen)
	}
	at := r.run.Cursor
	w.Since, w.Begun, w.Failed, w.Why = at.Since, at.Begun, ofFailed(at.Failed), r.present()
	if r.job != nil {
		seen.StartedAt, seen.EndedAt = r.job.Status.StartTime, r.job.Status.CompletionTime
	}
	return seen, nil
}

// conclude says how the Job ended.
func (r *round) conclude(ctx context.Context, logs applymanifests.JobLogs, seen *manifests.SeenJob) {
	end, _ := r.howItEnded(ctx)
	if end.Error == "" {
		return
	}
	seen.Failure = contract.Errorf(contract.ErrorName(end.Error), "%s", contract.Clip(end.Cause, maxCause))
	failed := r.run.Cursor.Failed
	if logs != applymanifests.JobLogsTail || failed == nil || failed.Container == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, tailTime)
	defer cancel()
	if lines, err := r.tailOf(ctx, *failed); err == nil {
		seen.Lines = lastOf(lines)
	}
}

// suspended is what a Job is doing that is suspended.
const suspended = "it is suspended"

// present says what the Job is doing.
func (r *round) present() string {
	switch {
	case r.job == nil:
		return "it is not there"
	case r.run.Cursor.Begun:
		return fmt.Sprintf("pods: %d active, %d succeeded, %d failed", r.job.Status.Active, r.job.Status.Succeeded, r.job.Status.Failed)
	case r.job.Spec.Suspend:
		return suspended
	}
	if reason, why := r.stuckPods(); reason != "" {
		return contract.Clip(why, maxQuoted)
	}
	return "no container has started"
}

func failedContainer(c *applymanifests.FailedContainer) *runjob.EndedContainer {
	if c == nil {
		return nil
	}
	return &runjob.EndedContainer{Pod: c.Pod, Container: c.Container, ExitCode: c.ExitCode, Reason: c.Reason, FinishedAt: c.EndedAt, Lines: []string{}}
}

func ofFailed(c *runjob.EndedContainer) *applymanifests.FailedContainer {
	if c == nil {
		return nil
	}
	return &applymanifests.FailedContainer{Pod: c.Pod, Container: c.Container, ExitCode: c.ExitCode, Reason: c.Reason, EndedAt: c.FinishedAt}
}
