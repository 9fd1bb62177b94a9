package jobs

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/runjob"
	"github.com/kubestep/kubestep/internal/kube"
)

// reasonDeadline is the reason of a Job that ran into its activeDeadlineSeconds.
// https://kubernetes.io/docs/concepts/workloads/controllers/job/#job-termination-and-cleanup
const reasonDeadline = "DeadlineExceeded"

// verdict is the condition by which the Job ended, and whether it succeeded; empty while it
// runs.
func (r *round) verdict() (c condition, succeeded bool) {
	if r.job == nil {
		return condition{}, false
	}
	if c, ok := r.job.is(conditionComplete); ok {
		return c, true
	}
	if c, ok := r.job.is(conditionFailed); ok {
		return c, false
	}
	// Its pods are still being ended. There is nothing to wait for if it is gone, or its time
	// is over.
	if !r.gone && time.Now().Before(r.run.Cursor.Until) {
		return condition{}, false
	}
	if c, ok := r.job.is(conditionCriteriaMet); ok {
		return c, true
	}
	if c, ok := r.job.is(conditionFailureTarget); ok {
		return c, false
	}
	return condition{}, false
}

// ended reports whether the Job has ended, or is not waited for any longer.
func (r *round) ended(now time.Time) bool {
	if c, _ := r.verdict(); c.Type != "" || r.gone {
		return true
	}
	return !now.Before(r.run.Cursor.Until) || r.mayBeStuck() && !now.Before(r.startBy())
}

// mayBeStuck reports whether no container of the Job has run, and none comes closer to it.
func (r *round) mayBeStuck() bool {
	return !r.run.Cursor.Begun && r.listed && r.job != nil && !r.initializing()
}

// initializing reports whether an init container of a pod runs.
func (r *round) initializing() bool {
	for _, p := range r.pods {
		if p.isInitializing() {
			return true
		}
	}
	return false
}

// tailless reports whether the end is one of which no container is the reason.
func (r *round) tailless() bool {
	c, _ := r.verdict()
	return c.Type == "" || c.Reason == reasonDeadline
}

// howItEnded says how the Job ended, and whether it has to be deleted because it has not.
func (r *round) howItEnded(ctx context.Context) (end runjob.End, giveUp bool) {
	c, succeeded := r.verdict()
	end = runjob.End{Reason: contract.OneLine(c.Reason)}
	if r.job != nil {
		end.StartedAt, end.EndedAt = r.job.Status.StartTime, r.job.Status.CompletionTime
		end.PodsSucceeded, end.PodsFailed = r.job.Status.Succeeded, r.job.Status.Failed
	}
	if end.EndedAt == "" && !c.LastTransitionTime.IsZero() {
		end.EndedAt = c.LastTransitionTime.UTC().Format(time.RFC3339)
	}
	where := fmt.Sprintf("Job %s in cluster %s", r.name(), r.conn.Cluster.Name)
	fail := func(name contract.ErrorName, format string, args ...any) {
		end.Error, end.Cause = string(name), where+" "+fmt.Sprintf(format, args...)
	}
	switch {
	case succeeded:
		of(&end, r.run.Cursor.Last)
		end.ExitCode = 0
	case c.Reason == reasonDeadline && r.run.Cursor.Begun:
		of(&end, r.run.Cursor.Failed)
		raise := "Raise timeoutSeconds, or activeDeadlineSeconds of the Job if that is shorter"
		if r.left {
			raise = "Raise activeDeadlineSeconds of the Job, and give it another name or delete it, so that it runs again"
		}
		fail(contract.JobDeadline, "did not end within %d seconds (%s: %s)%s. %s%s",
			r.deadline(), c.Reason, contract.OneLine(c.Message), r.running(), raise, r.lastBefore())
	case c.Reason == reasonDeadline:
		reason, why := r.stuck(ctx)
		end.Reason = reason
		fail(contract.JobNeverStarted, "ran into its deadline of %d seconds before a container of it started: %s", r.deadline(), why)
	case c.Type != "":
		r.findFailed(ctx)
		of(&end, r.run.Cursor.Failed)
		fail(contract.JobFailed, "failed (%s): %s%s", reasoned(c), r.whoFailed(), r.lastWords())
	case r.gone && r.left:
		end.Reason = "Deleted"
		of(&end, r.run.Cursor.Failed)
		why := "somebody deleted it. The audit log of the cluster says who"
		if r.ttl != nil {
			why = fmt.Sprintf("its ttlSecondsAfterFinished of %d was over before the next look, or somebody deleted it. Raise that; the audit log of the cluster says who deletes Jobs", *r.ttl)
		}
		fail(contract.JobFailed, "is gone, and was not seen to end: %s%s", why, r.lastWords())
	case r.gone:
		end.Reason = "Deleted"
		of(&end, r.run.Cursor.Failed)
		fail(contract.JobFailed, "was deleted before it ended, and not by this execution. The audit log of the cluster says by whom. It is not created again%s", r.lastWords())
	case r.left:
		r.notInTime(ctx, &end, fail)
	case !r.run.Cursor.Begun && time.Now().Before(r.run.Cursor.Until):
		reason, why := r.stuck(ctx)
		end.Reason, giveUp = reason, true
		fail(contract.JobNeverStarted, "has no container that started within %d seconds: %s. The execution deletes the Job, so that it does not start later. If it may take longer, raise startSeconds", r.in.StartSeconds, why)
	case !r.run.Cursor.Begun:
		reason, why := r.stuck(ctx)
		end.Reason, giveUp = reason, true
		fail(contract.JobNeverStarted, "has no container that started within %d seconds: %s. The execution deletes the Job, so that it does not start later", r.in.Timeout, why)
	default:
		giveUp = true
		of(&end, r.run.Cursor.Failed)
		fail(contract.JobDeadline, "did not end within %d seconds, and its cluster did not end it either%s. The execution deletes the Job. If it was suspended meanwhile, raise timeoutSeconds%s", r.in.Timeout, r.running(), r.lastBefore())
	}
	return end, giveUp
}

// notInTime says of a Job that is left in place why it is not waited for any longer.
func (r *round) notInTime(ctx context.Context, end *runjob.End, fail func(name contract.ErrorName, format string, args ...any)) {
	left := fmt.Sprintf("It is left in place, and may %%s: kubectl delete job %s -n %s ends it", r.run.Job.Name, r.run.Job.Namespace)
	if r.run.Cursor.Begun {
		of(end, r.run.Cursor.Failed)
		fail(contract.JobDeadline, "did not end within %d seconds%s. %s. If it may take longer, raise jobs.timeoutSeconds", r.in.Timeout, r.running(), fmt.Sprintf(left, "still run"))
		return
	}
	reason, why := r.stuck(ctx)
	end.Reason = reason
	within, raise := r.in.StartSeconds, "jobs.startSeconds"
	if !time.Now().Before(r.run.Cursor.Until) {
		within, raise = r.in.Timeout, "jobs.timeoutSeconds"
	}
	fail(contract.JobNeverStarted, "has no container that started within %d seconds: %s. %s. If it may take longer, raise %s", within, why, fmt.Sprintf(left, "start later"), raise)
}

// of takes over which container it is about.
func of(end *runjob.End, c *runjob.EndedContainer) {
	if c != nil {
		end.ExitCode, end.Pod, end.Container = c.ExitCode, c.Pod, c.Container
	}
}

// reasoned is the reason of a condition, with its message.
func reasoned(c condition) string {
	text := contract.OneLine(c.Reason)
	if c.Message != "" {
		text += ": " + contract.Clip(contract.OneLine(c.Message), maxMessage)
	}
	return text
}

// deadline is the Job's own, which may be shorter than the request's.
func (r *round) deadline() int { return cmp.Or(r.job.Spec.ActiveDeadlineSeconds, r.in.Timeout) }

// whoFailed is the container because of which the Job failed.
func (r *round) whoFailed() string {
	failed := r.run.Cursor.Failed
	counts := ""
	if r.job != nil {
		counts = fmt.Sprintf(" (pods failed: %d, succeeded: %d", r.job.Status.Failed, r.job.Status.Succeeded)
		if r.job.Status.FailedIndexes != "" {
			counts += ", failed indexes: " + contract.Clip(contract.OneLine(r.job.Status.FailedIndexes), maxQuoted)
		}
		counts += ")"
	}
	switch {
	case failed == nil:
		return "none of its pods that could still be read says why" + counts
	case failed.Container == "":
		return fmt.Sprintf("pod %s failed (%s)%s%s", failed.Pod, failed.Reason, withMessage(failed.Message), counts)
	}
	hint := ""
	if failed.Reason == "OOMKilled" {
		hint = ". It took more memory than its limit, resources.limits.memory"
	}
	return fmt.Sprintf("container %s of pod %s ended with exit code %d (%s)%s%s%s", failed.Container, failed.Pod, failed.ExitCode, orElse(failed.Reason, "no reason"), withMessage(failed.Message), counts, hint)
}

func withMessage(message string) string {
	if message == "" {
		return ""
	}
	return ": " + contract.OneLine(message)
}

// lastWords are the last lines of the container that failed.
func (r *round) lastWords() string {
	failed := r.run.Cursor.Failed
	switch {
	case r.left && failed != nil && failed.Container != "":
		return fmt.Sprintf(". Its log: kubectl logs -n %s %s -c %s", r.run.Job.Namespace, failed.Pod, failed.Container)
	case r.left:
		return ""
	case r.in.Logs == runjob.LogsNone && failed != nil:
		return `. With logs "tail" in the input, its last lines are told here`
	case failed == nil || len(failed.Lines) == 0:
		return ""
	default:
		return fmt.Sprintf(". The last lines of container %s:\n%s", failed.Container, strings.Join(failed.Lines, "\n"))
	}
}

// running names the pods that ran shortly before the time was over, and the last lines of one.
func (r *round) running() string {
	text := ""
	if len(r.ran) > 0 {
		text = ". Pods that had not ended shortly before: " + strings.Join(contract.Few(r.ran, maxNamed), ", ")
	}
	return text
}

// lastBefore are the last lines of a container that ran shortly before the time was over.
func (r *round) lastBefore() string {
	if len(r.before.lines) == 0 || r.run.Cursor.Failed != nil {
		return r.lastWords()
	}
	return fmt.Sprintf(". The last lines of container %s of pod %s until then:\n%s", r.before.of.Container, r.before.of.Pod, strings.Join(lastOf(r.before.lines), "\n"))
}

// findFailed looks for a pod that failed, if none was seen: the watch may be behind.
func (r *round) findFailed(ctx context.Context) {
	if r.run.Cursor.Failed != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, tailTime)
	defer cancel()
	listed, _, err := r.podObjects(map[string]string{"fieldSelector": "status.phase=Failed"}).list(ctx)
	if err != nil {
		return // it says what is known
	}
	for _, p := range listed {
		r.remember(ctx, p)
	}
	if r.tailing != nil {
		select {
		case t := <-r.tails:
			r.seeTail(ctx, t)
		case <-ctx.Done():
		}
	}
}

// stuck says why no container of the Job has started: a reason in one word, and a sentence.
func (r *round) stuck(ctx context.Context) (reason, sentence string) {
	if r.job != nil && r.job.Spec.Suspend {
		return "Suspended", "the Job is suspended (spec.suspend), and nobody resumed it"
	}
	if reason, sentence := r.stuckPods(); reason != "" {
		return reason, sentence
	}
	if failed := r.run.Cursor.Failed; failed != nil { // an init container, again and again
		return failed.Reason, r.whoFailed()
	}
	if reason, message := r.refusedPods(ctx); reason != "" {
		return reason, "its controller can create no pod: " + contract.Clip(contract.OneLine(message), maxMessage)
	}
	if len(r.pods) > 0 {
		return "Pending", fmt.Sprintf("%d of its pods are there, and their nodes have not started a container yet. See kubectl describe pods -n %s -l job-name=%s", len(r.pods), r.run.Job.Namespace, r.run.Job.Name)
	}
	return "NoPods", "it has no pods, and no event says why. Its controller may not run: spec.managedBy may name another one"
}

// stuckPods say why most of the pods do not start; the reason is empty if none of them does.
func (r *round) stuckPods() (reason, sentence string) {
	byReason := map[string][]string{}
	for _, uid := range slices.Sorted(maps.Keys(r.pods)) {
		reason, why := r.pods[uid].waiting()
		if reason != "" {
			byReason[reason] = append(byReason[reason], fmt.Sprintf("pod %s: %s: %s", r.pods[uid].Metadata.Name, reason, contract.Clip(why, maxMessage)))
		}
	}
	if len(byReason) > 0 { // that of most pods
		reason := slices.SortedFunc(maps.Keys(byReason), func(a, b string) int {
			return cmp.Or(len(byReason[b])-len(byReason[a]), strings.Compare(a, b))
		})[0]
		text := byReason[reason][0]
		if more := len(byReason[reason]) - 1; more > 0 {
			text += fmt.Sprintf(" (and so %d more pods)", more)
		}
		return reason, text
	}
	return "", ""
}

// refusedPods are the last event by which the controller says why it cannot create pods, such
// as a quota.
func (r *round) refusedPods(ctx context.Context) (reason, message string) {
	ctx, cancel := context.WithTimeout(ctx, tailTime)
	defer cancel()
	text, err := kube.Body(r.conn.Get().AbsPath("/api/v1/namespaces", r.run.Job.Namespace, "events").MaxRetries(0).
		Param("fieldSelector", "involvedObject.uid="+r.run.Job.UID+",type=Warning").Param("limit", fmt.Sprint(pageLimit)).Do(ctx))
	if err != nil {
		return "", ""
	}
	var list struct {
		Items []struct {
			Reason        string    `json:"reason"`
			Message       string    `json:"message"`
			LastTimestamp time.Time `json:"lastTimestamp"`
		} `json:"items"`
	}
	if json.Unmarshal(text, &list) != nil {
		return "", ""
	}
	var last time.Time
	for _, e := range list.Items {
		if e.Reason == "FailedCreate" && !e.LastTimestamp.Before(last) {
			reason, message, last = e.Reason, e.Message, e.LastTimestamp
		}
	}
	return reason, message
}
