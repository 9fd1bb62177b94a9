package manifests

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kubestep/kubestep/internal/batch"
	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/kube"
	"github.com/kubestep/kubestep/internal/objects"
)

// Jobs looks at Jobs.
type Jobs interface {
	// Look looks at a Job once. An error is one of asking.
	Look(ctx context.Context, conn *kube.Conn, of AwaitedJob) (SeenJob, error)
}

// AwaitedJob is a Job that is waited for.
type AwaitedJob struct {
	Namespace, Name string
	Limits          applymanifests.Jobs
	// TTL is the ttlSecondsAfterFinished that the manifests give it; nil for none.
	TTL *int
	// Watched is what was seen of it so far.
	Watched applymanifests.WatchedJob
}

// SeenJob is what a look at a Job found.
type SeenJob struct {
	Watched applymanifests.WatchedJob
	// Ended is true once the Job has ended, or is not waited for any longer; then Failure says
	// why, or is nil if it completed.
	Ended   bool
	Failure *contract.Error
	// Lines are the last lines of the container because of which it failed.
	Lines []string
	// StartedAt and EndedAt are the Job's own times.
	StartedAt, EndedAt string
}

const (
	groupBatch  = "batch"
	kindJob     = "Job"
	kindCronJob = "CronJob"
	// leastTTL is the shortest ttlSecondsAfterFinished, in seconds, of a Job that is waited
	// for: it must be seen to have completed.
	leastTTL = 60
	// longestLook bounds the time between two looks at Jobs, in seconds, and shortestLook is
	// the first. Each takes a token and some transitions of the machine.
	shortestLook = 2
	longestLook  = 15
)

// gateProblem is what is wrong with a name in before or after.
type gateProblem struct {
	gate applymanifests.Gate
	at   int // among the names
	text string
}

// gatesOf finds the Jobs that before and after name, by their place among the objects.
func gatesOf(given []objects.Object, r applymanifests.Request) (map[int]applymanifests.Gate, []gateProblem) {
	found, problems := map[int]applymanifests.Gate{}, []gateProblem{}
	for _, list := range []struct {
		gate  applymanifests.Gate
		names []string
	}{{applymanifests.GateBefore, r.Before}, {applymanifests.GateAfter, r.After}} {
		for at, name := range list.names {
			i, problem := findJob(given, name)
			switch other, again := found[i]; {
			case problem != "":
			case again && other == list.gate:
				problem = fmt.Sprintf("%s is there twice", name)
			case again:
				problem = fmt.Sprintf("%s is in %s, too: a Job runs once", name, other)
			default:
				problem = unfitJob(given[i])
			}
			if problem != "" {
				problems = append(problems, gateProblem{list.gate, at, problem})
				continue
			}
			found[i] = list.gate
		}
	}
	return found, problems
}

// checkGates is the error about all names in before and after that name no Job.
func checkGates(given []objects.Object, r applymanifests.Request) error {
	_, problems := gatesOf(given, r)
	if len(problems) == 0 {
		return nil
	}
	texts := make([]string, len(problems))
	for i, p := range problems {
		texts[i] = string(p.gate) + ": " + p.text
	}
	return contract.Errorf(contract.InvalidInput, "%s", strings.Join(texts, "; "))
}

// findJob finds the Job that NAME or NAMESPACE/NAME means, or says why there is none.
func findJob(given []objects.Object, text string) (int, string) {
	namespace, name, both := strings.Cut(text, "/")
	if !both {
		namespace, name = "", text
	}
	var jobs, all, others []string
	at := -1
	for i, o := range given {
		isJob := o.Group == groupBatch && o.Kind == kindJob
		if isJob {
			all = append(all, o.Namespace+"/"+o.Name)
		}
		switch {
		case o.Name != name || namespace != "" && o.Namespace != namespace:
		case isJob:
			jobs, at = append(jobs, o.Namespace+"/"+o.Name), i
		case o.Group == groupBatch && o.Kind == kindCronJob:
			others = append(others, "a CronJob, whose Jobs nobody waits for. Run its template with run-job")
		default:
			others = append(others, "a "+o.Kind)
		}
	}
	switch {
	case len(jobs) == 1:
		return at, ""
	case len(jobs) > 1:
		return -1, fmt.Sprintf("%s is the name of %d Jobs: expected one of %s", text, len(jobs), enumerate(jobs))
	case len(others) > 0:
		return -1, fmt.Sprintf("%s is no Job, but %s", text, contract.OneLine(others[0]))
	case len(all) > 0:
		return -1, fmt.Sprintf("%s is not in the manifests, whose Jobs are %s", text, enumerate(all))
	default:
		return -1, fmt.Sprintf("%s is not in the manifests, which have no Job", text)
	}
}

// unfitJob says why a Job cannot be waited for.
func unfitJob(o objects.Object) string {
	if ttl := ttlOf(o); ttl != nil && *ttl < leastTTL {
		return fmt.Sprintf("%s/%s has a ttlSecondsAfterFinished of %d, so it may be gone before it is seen to have completed: expected %d or more", o.Namespace, o.Name, *ttl, leastTTL)
	}
	return ""
}

// ttlOf is the ttlSecondsAfterFinished of a Job; nil if it has none.
func ttlOf(o objects.Object) *int {
	var job struct {
		Spec struct {
			TTL *int `json:"ttlSecondsAfterFinished"`
		} `json:"spec"`
	}
	if json.Unmarshal(o.JSON, &job) != nil {
		return nil // what is no Job at all, the API server says
	}
	return job.Spec.TTL
}

// jobChecks are the permissions that it takes to look at the Jobs of before and after: why one
// failed, or does not start, is in its pods.
func (s *session) jobChecks() []contract.Check {
	var checks []contract.Check
	add := func(c contract.Check) {
		if !slices.Contains(checks, c) {
			checks = append(checks, c)
		}
	}
	for _, t := range s.targets {
		if s.gates[t.Index] == "" {
			continue
		}
		add(contract.Check{Verb: verbList, Resource: "pods", Namespace: t.Namespace})
		if s.request.Jobs.Logs == applymanifests.JobLogsTail {
			add(contract.Check{Verb: verbGet, Resource: "pods/log", Namespace: t.Namespace})
		}
	}
	return checks
}

// phases applies what comes before the workloads and the Jobs of before; once these have
// completed, everything but the Jobs of after; and once the machine has waited until that is
// ready, these.
func (a *applier) phases(ctx context.Context, r *batch.Round) error {
	if a.has(applymanifests.GateBefore) {
		claims := a.claims()
		first := func(t objects.Target) bool {
			gate := a.gates[t.Index]
			return gate == applymanifests.GateBefore || gate == "" && (!t.IsWorkload() || claims[t.Namespace+"/"+t.Name] && isClaim(t))
		}
		if ok, err := a.stages(ctx, r, first); !ok || err != nil {
			return err
		}
		if ok, err := a.passed(ctx, applymanifests.GateBefore); !ok || err != nil {
			return err
		}
	}
	if ok, err := a.stages(ctx, r, func(t objects.Target) bool { return a.gates[t.Index] != applymanifests.GateAfter }); !ok || err != nil {
		return err
	}
	was := a.settled
	a.settled = true
	if !was && a.has(applymanifests.GateAfter) {
		return nil
	}
	if ok, err := a.stages(ctx, r, func(objects.Target) bool { return true }); !ok || err != nil {
		return err
	}
	_, err := a.passed(ctx, applymanifests.GateAfter)
	return err
}

func (a *applier) has(gate applymanifests.Gate) bool {
	return slices.ContainsFunc(a.targets, func(t objects.Target) bool { return a.gates[t.Index] == gate })
}

func isClaim(t objects.Target) bool { return t.Group == "" && t.Kind == "PersistentVolumeClaim" }

// claims are the claims that the Jobs of before use: their pods start no sooner.
func (s *session) claims() map[string]bool {
	claims := map[string]bool{}
	for _, t := range s.targets {
		if s.gates[t.Index] != applymanifests.GateBefore {
			continue
		}
		var job struct {
			Spec struct {
				Template struct {
					Spec struct {
						Volumes []struct {
							Claim struct {
								Name string `json:"claimName"`
							} `json:"persistentVolumeClaim"`
						} `json:"volumes"`
					} `json:"spec"`
				} `json:"template"`
			} `json:"spec"`
		}
		if json.Unmarshal(t.JSON, &job) != nil {
			continue // the API server has said what is wrong with it
		}
		for _, v := range job.Spec.Template.Spec.Volumes {
			claims[t.Namespace+"/"+v.Claim.Name] = true
		}
	}
	return claims
}

// awaited are the Jobs of some gates that have not been seen to complete.
func (a *applier) awaited(gates ...applymanifests.Gate) []objects.Target {
	return slices.DeleteFunc(slices.Clone(a.targets), func(t objects.Target) bool {
		return !slices.Contains(gates, a.gates[t.Index]) || batch.Is(finished)(a.ledger[t.Index])
	})
}

// still looks at the Jobs that the round before waited for, and reports whether they have
// completed.
func (a *applier) still(ctx context.Context) (bool, error) {
	if len(a.watched) == 0 {
		return true, nil
	}
	return a.passed(ctx, a.gates[a.watched[0].Object])
}

// passed looks at the Jobs of a gate, and reports whether all have completed. The error is
// about those that will not.
func (a *applier) passed(ctx context.Context, gate applymanifests.Gate) (bool, error) {
	waiting, before := a.awaited(gate), a.watched
	a.watched, a.waitSeconds = []applymanifests.WatchedJob{}, 0
	var failures []SeenJob
	for _, t := range waiting {
		of := AwaitedJob{Namespace: t.Namespace, Name: t.Name, Limits: a.request.Jobs, TTL: ttlOf(t.Object), Watched: applymanifests.WatchedJob{Object: t.Index}}
		at := slices.IndexFunc(before, func(w applymanifests.WatchedJob) bool { return w.Object == t.Index })
		if at >= 0 {
			of.Watched = before[at]
		}
		seen, err := a.look(ctx, of)
		if err != nil {
			a.watched = before
			return false, a.Conn.Explain(err, "look at "+t.String())
		}
		switch {
		case !seen.Ended:
			a.watched = append(a.watched, seen.Watched)
		case seen.Failure != nil:
			seen.Failure = a.withAdvice(t, seen.Failure, at >= 0)
			failures = append(failures, seen)
		default:
			a.complete(t, seen, at >= 0)
		}
	}
	if len(failures) > 0 {
		return false, a.unsuccessful(gate, failures)
	}
	a.waitSeconds = a.pause()
	return len(a.watched) == 0, nil
}

func (a *applier) look(ctx context.Context, of AwaitedJob) (SeenJob, error) {
	ctx, end := a.Conn.Turn(ctx)
	defer end()
	return a.jobs.Look(ctx, a.Conn, of)
}

// pause is how many seconds to wait: the longer it took so far, the longer.
func (a *applier) pause() int {
	seconds := 0
	for _, w := range a.watched {
		left := time.Until(w.Until)
		waited := time.Duration(a.request.Jobs.TimeoutSeconds)*time.Second - left
		of := min(max(int(waited.Seconds())/4, shortestLook), longestLook, max(1, int(left.Seconds())+1))
		if seconds == 0 || of < seconds {
			seconds = of
		}
	}
	return seconds
}

// isOurs reports whether the execution created the Job.
func (a *applier) isOurs(t objects.Target) bool {
	return batch.Is(created, finished)(a.actions[t.Index])
}

// complete notes that a Job has completed.
func (a *applier) complete(t objects.Target, seen SeenJob, ran bool) {
	job := applymanifests.CompletedJob{Gate: a.gates[t.Index], Namespace: t.Namespace, Name: t.Name, Ran: ran || a.isOurs(t), StartedAt: seen.StartedAt, EndedAt: seen.EndedAt}
	if !job.Ran {
		job.Note = "it had completed before, so it did not run again. For a run with each change, put a version into its name; for a run with each apply, set its ttlSecondsAfterFinished, after which it is created again"
	}
	a.completed = append(a.completed, job)
	letter := byte(finished)
	if batch.IsDone(a.ledger[t.Index]) {
		letter = batch.Capital(finished)
	}
	a.mark(t, letter)
}

// reported are the Jobs that completed, also those before the cluster was described again.
func (a *applier) reported() []applymanifests.CompletedJob {
	for _, t := range a.targets {
		known := slices.ContainsFunc(a.completed, func(j applymanifests.CompletedJob) bool { return j.Namespace == t.Namespace && j.Name == t.Name })
		if a.ledger[t.Index] == batch.Capital(finished) && !known {
			a.completed = append(a.completed, applymanifests.CompletedJob{Gate: a.gates[t.Index], Namespace: t.Namespace, Name: t.Name, Ran: true})
		}
	}
	return a.completed
}

// withAdvice says of a Job that had failed before the execution how it runs again.
func (a *applier) withAdvice(t objects.Target, failure *contract.Error, ran bool) *contract.Error {
	if ran || a.isOurs(t) {
		return failure
	}
	return contract.Errorf(failure.Name, "%s. It did so before this execution, which does not run it again: give it another name, or delete it with kubectl delete job %s -n %s", failure.Message, t.Name, t.Namespace)
}

// unsuccessfulJobs are Jobs that did not complete. The last lines of one are told at the end.
type unsuccessfulJobs struct {
	error
	lines []string
}

func (e unsuccessfulJobs) Unwrap() error { return e.error }

// unsuccessful is the error about the Jobs of a gate that will not complete.
func (a *applier) unsuccessful(gate applymanifests.Gate, failures []SeenJob) error {
	var texts, running []string
	var lines []string
	for _, f := range failures {
		texts = append(texts, f.Failure.Message)
		if len(lines) == 0 {
			lines = f.Lines
		}
	}
	for _, w := range a.watched {
		i := slices.IndexFunc(a.targets, func(t objects.Target) bool { return t.Index == w.Object })
		running = append(running, a.targets[i].String())
	}
	text := string(gate) + ": " + strings.Join(texts, "; ")
	if len(running) > 0 {
		text += ". Not ended yet: " + enumerate(running)
	}
	return unsuccessfulJobs{contract.Errorf(failures[0].Failure.Name, "%s", contract.Clip(text, maxJobs)), lines}
}

// maxJobs bounds what is told of Jobs in an error, in bytes.
const maxJobs = 12 << 10

// stopped is the error of a round in which nothing more can be applied, with the last lines of
// a Job that failed.
func (a *applier) stopped(err error, attempt int) error {
	told := a.halfway(err, attempt)
	var failed unsuccessfulJobs
	var named *contract.Error
	if !errors.As(err, &failed) || len(failed.lines) == 0 || !errors.As(told, &named) {
		return told
	}
	return contract.Errorf(named.Name, "%s. The last lines of the container:\n%s", named.Message, strings.Join(failed.lines, "\n")).From(named)
}
