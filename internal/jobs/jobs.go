// Package jobs runs Kubernetes Jobs: it reads the manifest of one, creates it once for an
// execution, watches it to its end, says how it ended, and keeps what it logged.
//
// The conditions of a Job decide how it ended, not counts of its pods: a Job may have a
// success policy, a policy for failures, or indexes with back-off limits of their own.
// https://kubernetes.io/docs/concepts/workloads/controllers/job/
package jobs

import (
	"context"
	"maps"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubestep/kubestep/internal/batch"
	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/runjob"
	"github.com/kubestep/kubestep/internal/kube"
	"github.com/kubestep/kubestep/internal/store"
)

const (
	// endGrace is how much later than its deadline a Job may end: its controller must see it,
	// and its pods have the time of their terminationGracePeriodSeconds.
	endGrace = 90 * time.Second
	// reserve is kept of the function's time to write what was read and to answer.
	reserve = 8 * time.Second
	// settling is how long the statuses of pods may arrive after the end of their Job.
	settling = 500 * time.Millisecond
)

// Watcher watches Jobs.
type Watcher struct {
	Kube kube.Connector
	S3   store.S3
}

// Watch watches a Job until it ends, it is not waited for any longer, or the function's time
// is up: then the next round goes on. How the Job ended is in the result, and no error: the
// machine may have to delete it first.
//
// Errors: Unauthorized, Forbidden, Throttled, CertificateNotTrusted, ClusterUnreachable, and
// those of writing the log.
func (w Watcher) Watch(ctx context.Context, in runjob.WatchJob) (runjob.Run, error) {
	if in.Run.Complete {
		return in.Run, nil
	}
	conn, err := w.Kube.Connect(in.Session)
	if err != nil {
		return runjob.Run{}, err
	}
	defer conn.Close()
	r := &round{
		conn: conn, in: in, run: in.Run, pods: map[string]*pod{}, tails: make(chan tail, 1),
		end: batch.Deadline(ctx).Add(-reserve),
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if in.Logs == runjob.LogsAll {
		r.logs = newLogReader(conn, newArchive(store.New(w.S3, in.Execution), in), in.Run)
	}
	return r.watch(ctx)
}

// round is one invocation's share of the watching.
type round struct {
	conn *kube.Conn
	in   runjob.WatchJob
	run  runjob.Run
	end  time.Time

	job *job
	// gone is true once the Job is no longer there.
	gone bool
	// listed is true once the pods were.
	listed bool
	pods   map[string]*pod // by uid, but for those that have ended and are of no interest
	// settled is until when the statuses of pods are waited for, once the Job has ended.
	settled time.Time

	logs *logReader // nil unless all logs are kept

	// left is true for a Job of others, which is left in place however it ends. ttl is its
	// ttlSecondsAfterFinished, if it has one.
	left bool
	ttl  *int

	// looked is true once it was looked what ran shortly before the Job's deadline: after it, the
	// pods are gone.
	looked bool
	ran    []string

	tails   chan tail
	tail    tail
	tailing *runjob.EndedContainer // whose tail is being read
	tailDue *runjob.EndedContainer // whose tail is read next
	before  tail                   // of a container that ran shortly before the deadline
}

// watch is the loop of the round.
func (r *round) watch(ctx context.Context) (runjob.Run, error) {
	jobs, pods := make(chan event[job]), make(chan event[pod])
	at := r.run.Cursor
	// A later round goes on from the versions of the one before, unless it must know all: which
	// logs to read, or what runs shortly before the deadline.
	if !at.Begun || r.logs != nil || at.Until.Add(-endGrace).Before(r.end) {
		at.Jobs, at.Pods = "", ""
	}
	go r.jobObjects().follow(ctx, at.Jobs, jobs)
	go r.podObjects(nil).follow(ctx, at.Pods, pods)
	for {
		now := time.Now()
		wake := r.end
		switch ended := r.ended(now); {
		case ended && !r.settles(now):
			return r.finish(ctx)
		case ended:
			wake = earlier(wake, r.settled)
		default:
			wake = earlier(wake, r.run.Cursor.Until)
			if by, ok := r.lookBy(); ok {
				wake = earlier(wake, by)
			}
			if r.mayBeStuck() {
				wake = earlier(wake, r.startBy())
			}
		}
		if !now.Before(r.end) {
			return r.pause(ctx)
		}
		var chunks <-chan chunk
		if r.logs != nil {
			r.logs.open(ctx, r.pods)
			chunks = r.logs.chunks
			wake = earlier(wake, r.logs.flushBy())
		}
		timer := time.NewTimer(wake.Sub(now))
		select {
		case e := <-jobs:
			if e.err != nil {
				return r.fail(ctx, e.err, "watch Job "+r.name())
			}
			r.seeJob(e)
		case e := <-pods:
			if e.err != nil {
				return r.fail(ctx, e.err, "watch the pods of Job "+r.name())
			}
			r.seePods(ctx, e)
		case c := <-chunks:
			if err := r.logs.take(ctx, c); err != nil {
				return runjob.Run{}, err
			}
		case t := <-r.tails:
			r.seeTail(ctx, t)
		case <-timer.C:
			r.look(ctx)
			if r.logs != nil {
				if err := r.logs.flush(ctx); err != nil {
					return runjob.Run{}, err
				}
			}
		case <-ctx.Done():
			return r.fail(ctx, context.Cause(ctx), "watch Job "+r.name())
		}
		timer.Stop()
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func (r *round) name() string { return r.run.Job.Namespace + "/" + r.run.Job.Name }

func (r *round) jobObjects() objectsOf[job] {
	return objectsOf[job]{
		conn: r.conn, path: jobsPath(r.run.Job.Namespace), kind: "JobList", metadata: func(j *job) metadata { return j.Metadata },
		selector: map[string]string{"fieldSelector": "metadata.name=" + r.run.Job.Name},
	}
}

// podObjects are the pods of the Job, by the label that its controller gives them.
func (r *round) podObjects(more map[string]string) objectsOf[pod] {
	selector := map[string]string{"labelSelector": "batch.kubernetes.io/controller-uid=" + r.run.Job.UID}
	if r.job != nil && len(r.job.Spec.Selector.MatchLabels)+len(r.job.Spec.Selector.MatchExpressions) > 0 {
		selector["labelSelector"] = metav1.FormatLabelSelector(&r.job.Spec.Selector) // of a Job with a selector by hand
	}
	for name, value := range more {
		selector[name] = value
	}
	return objectsOf[pod]{
		conn: r.conn, path: []string{"/api/v1/namespaces", r.run.Job.Namespace, "pods"}, kind: "PodList",
		metadata: func(p *pod) metadata { return p.Metadata }, selector: selector,
	}
}

// seeJob takes what is new of the Job.
func (r *round) seeJob(e event[job]) {
	r.run.Cursor.Jobs = e.version
	found := e.object
	for _, j := range e.listed {
		if j.Metadata.UID == r.run.Job.UID {
			found = j
		}
	}
	switch {
	case e.isList && found == nil:
		r.gone = true
	case found == nil || found.Metadata.UID != r.run.Job.UID: // a bookmark, or one that came after it
	default:
		if r.job != nil && r.job.Spec.Suspend && !found.Spec.Suspend {
			r.run.Cursor.Since = time.Now().UTC() // only now it may start
		}
		r.job, r.gone = found, e.deleted
		if found.Status.Succeeded+found.Status.Failed > 0 {
			r.run.Cursor.Begun = true
		}
	}
}

// seePods takes what is new of the pods.
func (r *round) seePods(ctx context.Context, e event[pod]) {
	r.run.Cursor.Pods = e.version
	if e.isList {
		r.listed = true
		listed := map[string]bool{}
		for _, p := range e.listed {
			listed[p.Metadata.UID] = true
			r.seePod(ctx, p, false)
		}
		for uid := range r.pods {
			if !listed[uid] {
				delete(r.pods, uid)
			}
		}
	}
	if e.object != nil {
		r.seePod(ctx, e.object, e.deleted)
	}
}

func (r *round) seePod(ctx context.Context, p *pod, deleted bool) {
	if before := r.pods[p.Metadata.UID]; p.isInitializing() || before != nil && before.isInitializing() {
		r.run.Cursor.Since = time.Now().UTC()
	}
	if p.hasBegun() {
		r.run.Cursor.Begun = true
	}
	r.remember(ctx, p)
	if deleted || r.logs == nil && (p.Status.Phase == "Succeeded" || p.Status.Phase == "Failed") {
		delete(r.pods, p.Metadata.UID)
		if r.logs != nil {
			r.logs.lose(p)
		}
		return
	}
	r.pods[p.Metadata.UID] = p
	if r.logs != nil {
		r.logs.changed = true
	}
}

// remember keeps which of the pod's containers ended last, and which failed last.
func (r *round) remember(ctx context.Context, p *pod) {
	at := &r.run.Cursor
	for _, c := range p.ended(r.in.Container) {
		if r.in.Logs == runjob.LogsNone {
			c.Message = ""
		}
		if c.ExitCode == 0 && c.Reason != reasonEvicted {
			if at.Last == nil || c.FinishedAt.After(at.Last.FinishedAt) {
				at.Last = &c
			}
			continue
		}
		// What is ended because its pod is deleted, or because the Job has failed already, is no
		// reason for that.
		if at.Failed != nil && (p.Metadata.DeletionTimestamp != "" || r.decidedBefore(c.FinishedAt)) {
			continue
		}
		if at.Failed == nil || c.FinishedAt.After(at.Failed.FinishedAt) {
			at.Failed = &c
			r.readTail(ctx, &c)
		}
	}
}

// decidedBefore reports whether it was known by a time how the Job would end.
func (r *round) decidedBefore(at time.Time) bool {
	if r.job == nil {
		return false
	}
	return slices.ContainsFunc(r.job.Status.Conditions, func(c condition) bool {
		return c.Status == "True" && slices.Contains([]string{conditionCriteriaMet, conditionFailureTarget, conditionFailed}, c.Type) && at.After(c.LastTransitionTime)
	})
}

// startBy is when a Job of which no container has run is given up.
func (r *round) startBy() time.Time {
	return r.run.Cursor.Since.Add(time.Duration(r.in.StartSeconds) * time.Second)
}

// settles reports whether the statuses of the Job's pods may still arrive that say how it
// ended.
func (r *round) settles(now time.Time) bool {
	known := r.run.Cursor.Failed != nil || r.gone || r.tailless()
	if _, succeeded := r.verdict(); succeeded {
		known = r.run.Cursor.Last != nil
	}
	if known && r.tailing == nil && r.tailDue == nil {
		return false
	}
	if r.settled.IsZero() {
		r.settled = now.Add(settling)
		if known { // only the last lines are missing
			r.settled = now.Add(tailTime)
		}
	}
	return now.Before(earlier(r.settled, r.end))
}

// shortly is how long before the deadline of the Job it is looked what runs.
const shortly = 3 * time.Second

// lookBy is when to look what runs, shortly before the Job's deadline.
func (r *round) lookBy() (time.Time, bool) {
	if r.looked || r.job == nil || r.job.Spec.ActiveDeadlineSeconds == 0 {
		return time.Time{}, false
	}
	started, err := time.Parse(time.RFC3339, r.job.Status.StartTime)
	if err != nil {
		return time.Time{}, false
	}
	allowed := time.Duration(r.job.Spec.ActiveDeadlineSeconds) * time.Second
	return started.Add(max(allowed-shortly, allowed/2)), true
}

// look notes what runs, if it is time, and reads the last lines of one of the containers.
func (r *round) look(ctx context.Context) {
	if by, ok := r.lookBy(); !ok || time.Now().Before(by) {
		return
	}
	r.looked = true
	for _, uid := range slices.Sorted(maps.Keys(r.pods)) {
		p := r.pods[uid]
		if p.Status.Phase != "Running" && p.Status.Phase != "Pending" {
			continue
		}
		if len(r.ran) == 0 && p.hasBegun() {
			r.readTail(ctx, &runjob.EndedContainer{Pod: p.Metadata.Name, Container: p.wanted(r.in.Container)})
		}
		r.ran = append(r.ran, p.Metadata.Name)
	}
}

// pause ends the round: the next one goes on.
func (r *round) pause(ctx context.Context) (runjob.Run, error) {
	if r.logs == nil {
		return r.run, nil
	}
	return r.run, r.logs.pause(ctx, &r.run)
}

// fail names an error of the watch. If the round has written something of the log, it ends
// well: an attempt with the input of before would not know of it. The next round meets the
// error first.
func (r *round) fail(ctx context.Context, err error, doing string) (runjob.Run, error) {
	if r.logs != nil && r.logs.written {
		return r.pause(ctx)
	}
	return runjob.Run{}, r.conn.Explain(err, doing)
}

// finish completes the run: how the Job ended, the last lines, and the rest of the log.
func (r *round) finish(ctx context.Context) (runjob.Run, error) {
	r.run.End, r.run.Delete = r.howItEnded(ctx)
	r.run.Succeeded = r.run.End.Error == ""
	lines := make(chan string, 1)
	if r.in.Logs == runjob.LogsNone {
		lines <- ""
	} else {
		go func() { lines <- r.lastLines(ctx) }() // while the rest of the log is read
	}
	if r.logs != nil {
		// The last statuses may not have arrived yet.
		listed, _, err := r.podObjects(nil).list(ctx)
		if err != nil {
			return r.fail(ctx, err, "list the pods of Job "+r.name())
		}
		for _, p := range listed {
			r.pods[p.Metadata.UID] = p
		}
		by := r.end
		if r.run.Delete || r.gone { // what has not ended is not waited for
			by = earlier(by, time.Now().Add(tailTime))
		}
		complete, err := r.logs.finish(ctx, by, r.run.Delete || r.gone, r.pods, &r.run)
		if err != nil || !complete {
			<-lines
			r.run.End, r.run.Succeeded, r.run.Delete = runjob.End{}, false, false
			return r.run, err
		}
	}
	r.run.Tail = <-lines
	if r.run.Succeeded {
		r.run.Delete = r.in.Keep != runjob.KeepAlways
	} else {
		r.run.Delete = r.run.Delete || r.in.Keep == runjob.KeepNever
	}
	r.run.Complete = true
	r.run.Cursor.Read = []runjob.LogPlace{}
	r.run.End.Cause = contract.Clip(r.run.End.Cause, maxCause)
	return r.run, nil
}

// maxCause bounds the cause in the state, in bytes: what Step Functions takes, and room for
// escapes.
const maxCause = 24 << 10
