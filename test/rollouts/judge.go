package rollouts

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	contractfleet "github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/test/asl"
)

// judge knows what docs/rollouts.md promises, and what happened.
type judge struct {
	*World
	problems []string
	// Clusters, by name: when its executions of a kind were asked for, and what became of it.
	asked map[Kind]map[string][]*Run
	// wave is the number of each cluster's wave.
	wave map[string]int
	// stops are when somebody stopped the fleet. denied is whether S3 refused everything.
	stops  []time.Time
	denied bool
}

func (j *judge) problem(format string, of ...any) {
	j.problems = append(j.problems, fmt.Sprintf(format, of...))
}

// Outcome is what became of a cluster.
type Outcome struct{ Status, Error string }

// failed reports whether that is a failure.
func (o Outcome) failed() bool {
	return o.Status != "SUCCEEDED" && o.Status != "NOT_STARTED" && o.Status != "LEFT_OUT"
}

// Judge returns what is wrong with what a rollout did.
func Judge(w *World) []string {
	j := &judge{World: w, asked: map[Kind]map[string][]*Run{Change: {}, Job: {}, Rollback: {}}, wave: map[string]int{}}
	for i, wave := range w.Rollout.Waves {
		for _, name := range wave.Names {
			j.wave[name] = i + 1
		}
	}
	for _, run := range w.Ran {
		of := j.asked[run.Kind]
		of[run.Cluster] = append(of[run.Cluster], run)
	}
	for _, e := range w.Log {
		if e.What == Stopped {
			j.stops = append(j.stops, e.At)
		}
	}
	j.denied = w.Faults["S3 refuses everything"] > 0
	j.starts()
	j.order()
	j.rollbacks()
	j.end()
	return j.problems
}

// starts judges each start by itself: nothing is started twice, in no other cluster, and nothing is asked but what was asked for.
func (j *judge) starts() {
	names := map[string]int{}
	for _, run := range j.Ran {
		names[fmt.Sprint(run.Kind, run.Cluster, run.Attempt, run.Own)]++
		at := slices.IndexFunc(j.Rollout.Clusters, func(c Cluster) bool { return c.Name == run.Cluster })
		if at < 0 {
			j.problem("%s of %s, which is no cluster of the rollout", run.Kind, run.Cluster)
			continue
		}
		c := j.Rollout.Clusters[at]
		if run.Theirs {
			continue
		}
		want := map[string]any{"AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID": self, "clusterName": c.Name, "region": c.Region, "roleArn": c.Role}
		input := j.Rollout.Input()
		switch run.Kind {
		case Job:
			want["source"] = map[string]any{"bucket": j.Rollout.Sources, "key": fmt.Sprintf("smoke-%d.yaml", j.wave[c.Name])}
			want["timeoutSeconds"] = 600
		default:
			for key, value := range input["request"].(map[string]any) {
				want[key] = value
			}
			version := j.Rollout.Newest
			if run.Kind == Rollback {
				version = j.Rollout.Former
				delete(want, "effect")
			}
			source := map[string]any{"bucket": j.Rollout.Sources, "key": key}
			if len(j.Rollout.Waves) > 0 {
				source["versionId"] = version
			}
			want["source"] = source
		}
		if got, asked := text(run.Input), text(want); got != asked {
			j.problem("%s of %s asks for %s: expected %s", run.Kind, c.Name, got, asked)
		}
	}
	for name, n := range names {
		if n > 1 {
			j.problem("%s was started %d times", name, n)
		}
	}
	for kind, of := range j.asked {
		for cluster, runs := range of {
			for i, run := range runs {
				switch earlier := runs[max(0, i-1)]; {
				case i == 0 && run.Attempt != 1:
					j.problem("%s of %s: the first try is none", kind, cluster)
				case i > 0 && run.Own && run.Attempt == earlier.Attempt:
					if !earlier.Theirs || earlier.Fate.Odd == RunsAlready || earlier.Fate.Odd == EndedAlready {
						j.problem("%s of %s was started under two names", kind, cluster)
					}
				case i > 0 && !IsTransient(j.outcomeOf(earlier).Error):
					j.problem("%s of %s was tried again after %s", kind, cluster, earlier.Error)
				}
			}
		}
	}
}

// text is a value in JSON.
func text(value any) string {
	written, err := json.Marshal(value)
	if err != nil {
		return err.Error()
	}
	return string(written)
}

// outcomeOf is what became of an execution.
func (j *judge) outcomeOf(run *Run) Outcome {
	switch {
	case run.Fate.Odd == Lost && !run.Theirs:
		return Outcome{"FAILED", "NoOutcome"}
	case run.Fate.Odd == Taken:
		return Outcome{"FAILED", "NameTaken"}
	case run.Status == "ABORTED" && run.Fate.Odd == Hangs && !j.wasStopped(run):
		return Outcome{"FAILED", "States.Timeout"}
	case run.Kind == Change && j.Rollout.SamePlan && run.Error == "PlanChanged" && run.Attempt == 1:
		return Outcome{"LEFT_OUT", "PlanChanged"}
	case run.Status == "TIMED_OUT":
		return Outcome{run.Status, "States.Timeout"}
	case run.Status == "ABORTED":
		return Outcome{run.Status, "Aborted"}
	default:
		return Outcome{run.Status, run.Error}
	}
}

// wasStopped reports whether an execution was stopped with the fleet.
func (j *judge) wasStopped(run *Run) bool {
	return run.Status == "ABORTED" && slices.ContainsFunc(j.stops, func(at time.Time) bool {
		return !run.to.Before(at) && run.to.Sub(at) < time.Millisecond
	})
}

// last is the execution that the outcome of a cluster is of; nil if there was none.
func (j *judge) last(kind Kind, cluster string) *Run {
	runs := j.asked[kind][cluster]
	if len(runs) == 0 {
		return nil
	}
	return runs[len(runs)-1]
}

// runs reports whether an execution runs once it was asked for.
func (r *Run) runs() bool { return !r.Theirs || r.Fate.Odd == RunsAlready }

// outcome is what became of a cluster.
func (j *judge) outcome(kind Kind, cluster string) Outcome {
	last := j.last(kind, cluster)
	if last == nil {
		return Outcome{"NOT_STARTED", "NotStarted"}
	}
	return j.outcomeOf(last)
}

// tolerated is how many clusters of a wave may fail, and how many run at once.
func (j *judge) tolerated(wave int) (tolerated, concurrency int) {
	if wave == 0 {
		return min(j.Rollout.Tolerated, len(j.Rollout.Clusters)), j.Rollout.Concurrency
	}
	w := j.Rollout.Waves[wave-1]
	return w.Tolerated, w.Concurrency
}

func (j *judge) members(wave int) []string {
	if wave > 0 {
		return j.Rollout.Waves[wave-1].Names
	}
	var all []string
	for _, c := range j.Rollout.Clusters {
		all = append(all, c.Name)
	}
	return all
}

// progress is where the rollout stands while the log is read.
type progress struct {
	running  map[*Run]bool
	settled  map[string]Outcome // clusters whose change has ended for good
	recorded map[*Run]time.Time // those whose outcome is kept, or lost for good
	since    map[int]time.Time  // when the last change of a wave ended
	approved map[int]bool
	alarms   map[int]bool
	over     map[int]int // how many of a wave have failed, once it is over and its job has succeeded
	latest   int         // the last wave of which a change began
	round    *Run        // the last that was asked for before the fleet was stopped
	redriven bool
	goneOn   int         // how many were asked for since
	summed   time.Time   // when the round before was added up
	exceeded map[int]int // clusters of a wave that were started after too many had ended badly
}

// order judges when things were started.
func (j *judge) order() {
	p := progress{map[*Run]bool{}, map[string]Outcome{}, map[*Run]time.Time{}, map[int]time.Time{}, map[int]bool{}, map[int]bool{}, map[int]int{}, 0, nil, false, 0, time.Time{}, map[int]int{}}
	last := map[*Run]map[What]int{} // where the last event of a kind is
	for i, e := range j.Log {
		if e.Of != nil {
			if last[e.Of] == nil {
				last[e.Of] = map[What]int{}
			}
			last[e.Of][e.What] = i
		}
	}
	for i, e := range j.Log {
		// Of a start that is throttled again and again, and an outcome that is lost, the last attempt counts.
		if (e.What == Ended || e.What == Unkept) && (last[e.Of][e.What] != i || e.What == Ended && e.Of.Fate.Odd == Lost && !e.Of.Theirs) {
			continue
		}
		switch {
		case e.What == Asked:
			j.start(&p, e)
			if !p.redriven {
				p.round = e.Of
			}
			if e.Of.runs() {
				p.running[e.Of] = true
			}
		case e.What == Ended:
			delete(p.running, e.Of)
			if outcome := j.outcomeOf(e.Of); e.Of.Kind == Change && (!IsTransient(outcome.Error) || e.Of.Attempt == 2) {
				p.settled[e.Of.Cluster] = outcome
			}
			if e.Of.Kind == Change {
				p.since[j.wave[e.Of.Cluster]] = e.At
			}
		case e.What == Recorded, e.What == Unkept:
			delete(p.running, e.Of)
			p.recorded[e.Of] = e.At
			if e.Of.Kind == Change && e.Of == j.last(Change, e.Of.Cluster) {
				p.settled[e.Of.Cluster] = j.outcomeOf(e.Of)
			}
			if e.Of.Kind == Change {
				p.since[j.wave[e.Of.Cluster]] = e.At
			}
		case e.What == Summed:
			p.summed = e.At
		case e.What == Redriven:
			p.redriven = len(j.stops) > 0
		case e.What == Requests:
			if e.Wave > 0 {
				j.soaks(&p, "an approval was asked for", e.Wave, e.At)
				j.isOver(&p, "an approval was asked for", e.Wave)
			}
		case e.What == Approved:
			p.approved[e.Wave] = true
		case e.What == Alarmed:
			j.soaks(&p, "the alarms were read", e.Wave, e.At)
			p.alarms[e.Wave] = e.Good
		}
	}
	for wave, n := range p.exceeded {
		if _, concurrency := j.tolerated(wave); n > concurrency-1 {
			j.problem("%d clusters of wave %d began after too many had failed: at most %d may", n, wave, concurrency-1)
		}
	}
}

// failures counts the clusters of a wave that have failed for good. Those that were stopped with the fleet do not count: whoever
// redrives it has the round go on in which it was stopped.
func (j *judge) failures(p *progress, wave int, before time.Time) int {
	n := 0
	for _, cluster := range j.members(wave) {
		outcome, settled := p.settled[cluster]
		last := j.last(Change, cluster)
		if !settled || !outcome.failed() || j.wasStopped(last) {
			continue
		}
		if at, recorded := p.recorded[last]; before.IsZero() || recorded && at.Before(before) {
			n++
		}
	}
	return n
}

// start judges the moment of a start.
func (j *judge) start(p *progress, e Event) {
	run, wave := e.Of, j.wave[e.Of.Cluster]
	says := fmt.Sprintf("%s of %s (wave %d) began at %v", run.Kind, run.Cluster, wave, e.At.Sub(j.began))
	if j.Rollout.First != nil && !p.approved[0] {
		j.problem("%s, before anybody approved the rollout", says)
	}
	beside := 0
	for other := range p.running {
		if other.Kind == run.Kind && j.wave[other.Cluster] == wave && other != run {
			beside++
		}
	}
	tolerated, concurrency := j.tolerated(wave)
	if beside >= concurrency {
		j.problem("%s, beside %d: at most %d run at once", says, beside, concurrency)
	}
	if p.redriven && j.Lost {
		j.goesOn(p, says, run)
	}
	if run.Kind == Rollback {
		return
	}
	if wave < p.latest {
		j.problem("%s, after one of wave %d", says, p.latest)
	}
	p.latest = wave
	goesOn := j.Rollout.OnFailure == "continue"
	for earlier := 1; earlier < wave; earlier++ {
		gate := j.Rollout.Waves[earlier-1].Gate
		if _, is := p.over[earlier]; !is {
			j.isOver(p, says, earlier)
			if gate.Job != "" {
				j.jobs(says, earlier)
			}
			p.over[earlier] = j.failures(p, earlier, time.Time{})
		}
		may, _ := j.tolerated(earlier)
		if n := p.over[earlier]; !goesOn && n > may {
			j.problem("%s, though %d clusters of wave %d had failed", says, n, earlier)
		}
		if !goesOn && !j.succeeds(earlier) {
			j.problem("%s, and no cluster of wave %d had succeeded", says, earlier)
		}
		j.soaks(p, says, earlier, e.At)
		if len(gate.Alarms) > 0 && !p.alarms[earlier] {
			j.problem("%s, and the alarms of wave %d were not OK", says, earlier)
		}
		if gate.Approval != nil && !p.approved[earlier] {
			j.problem("%s, and nobody approved wave %d", says, earlier)
		}
	}
	if run.Kind == Job {
		j.isOver(p, says, wave)
		j.soaks(p, says, wave, e.At)
		gate := j.Rollout.Waves[wave-1].Gate
		if n := j.failures(p, wave, time.Time{}); !goesOn && n > tolerated {
			j.problem("%s, though %d clusters of its wave had failed", says, n)
		}
		if len(gate.Alarms) > 0 && !p.alarms[wave] {
			j.problem("%s, and the alarms of the wave were not OK", says)
		}
		if p.settled[run.Cluster].Status != "SUCCEEDED" {
			j.problem("%s, where the change is %v", says, p.settled[run.Cluster])
		}
		return
	}
	if goesOn && wave > 0 {
		return
	}
	// What was recorded meanwhile, only the next round can know: of this one, no more begin than run at once.
	if n := j.failures(p, wave, p.summed); !p.summed.IsZero() && n > tolerated {
		j.problem("%s, after %d had failed: at most %d may", says, n, tolerated)
	}
	if n := j.failures(p, wave, time.Time{}); n > tolerated {
		p.exceeded[wave]++
	}
}

// goesOn judges a start of a rollout that was redriven after another one had taken its lock: it ends the round in which it was stopped.
func (j *judge) goesOn(p *progress, says string, run *Run) {
	p.goneOn++
	wave := j.wave[run.Cluster]
	tolerated, concurrency := j.tolerated(wave)
	most := len(j.members(wave)) // of a job, or a rollback
	if run.Kind == Change && j.Rollout.OnFailure != "continue" {
		most = tolerated + concurrency
	}
	if p.round == nil || run.Kind != p.round.Kind || wave != j.wave[p.round.Cluster] || run.Attempt > p.round.Attempt || p.goneOn > most {
		j.problem("%s, and another rollout has the lock", says)
	}
}

// soaks judges that a wave has soaked.
func (j *judge) soaks(p *progress, says string, wave int, at time.Time) {
	if soak := time.Duration(j.Rollout.Waves[wave-1].Gate.Soak) * time.Second; at.Sub(p.since[wave]) < soak {
		j.problem("%s, %v after wave %d had ended: it soaks for %v", says, at.Sub(p.since[wave]), wave, soak)
	}
}

// isOver judges that each cluster of a wave has an outcome.
func (j *judge) isOver(p *progress, says string, wave int) {
	for _, cluster := range j.members(wave) {
		if _, settled := p.settled[cluster]; !settled {
			j.problem("%s, and %s of wave %d has no outcome yet", says, cluster, wave)
		}
	}
	for run := range p.running {
		if run.Kind == Change && j.wave[run.Cluster] == wave {
			j.problem("%s, and %s of wave %d runs", says, run.Cluster, wave)
		}
	}
}

// succeeds reports whether a cluster of a wave succeeded.
func (j *judge) succeeds(wave int) bool {
	return slices.ContainsFunc(j.members(wave), func(cluster string) bool { return j.outcome(Change, cluster).Status == "SUCCEEDED" })
}

// jobs judges that the Job of a wave's gate has succeeded where it is to.
func (j *judge) jobs(says string, wave int) {
	succeeded := 0
	for _, cluster := range j.members(wave) {
		if j.outcome(Change, cluster).Status != "SUCCEEDED" {
			continue
		}
		outcome := j.outcome(Job, cluster)
		if outcome.Status == "SUCCEEDED" {
			succeeded++
		} else if j.Rollout.Waves[wave-1].Gate.Job == "each" {
			j.problem("%s, and the job of wave %d in %s is %v", says, wave, cluster, outcome)
		}
	}
	if succeeded == 0 {
		j.problem("%s, and the job of wave %d succeeded nowhere", says, wave)
	}
}

// isChanged reports whether a cluster is changed, or may be, and whether that is sure.
func (j *judge) isChanged(cluster string) (changed, sure bool) {
	last := j.last(Change, cluster)
	if last == nil {
		return false, true
	}
	switch outcome := j.outcomeOf(last); {
	case last.Fate.Odd == NeverStarts: // nobody knows what Step Functions did
		return true, false
	case outcome.Status == "LEFT_OUT", outcome.Error == "ClusterNotFound":
		return false, true
	case last.Attempt > 1:
		return true, true
	case outcome.Error == "NameTaken":
		return false, true
	case outcome.Status == "SUCCEEDED":
		return last.Fate.Applied > 0, true
	default:
		return true, true
	}
}

// rollbacks judges which clusters are rolled back, and in which order.
func (j *judge) rollbacks() {
	running, least := map[*Run]bool{}, 1<<30
	for _, e := range j.Log {
		if e.Of == nil || e.Of.Kind != Rollback {
			continue
		}
		switch wave := j.wave[e.Of.Cluster]; {
		case e.What == Asked:
			if wave > least {
				j.problem("%s of wave %d is rolled back after one of wave %d", e.Of.Cluster, wave, least)
			}
			least = wave
			if e.Of.runs() {
				running[e.Of] = true
			}
			for other := range running {
				if other != e.Of && j.wave[other.Cluster] != wave {
					j.problem("%s of wave %d is rolled back beside %s of wave %d", e.Of.Cluster, wave, other.Cluster, j.wave[other.Cluster])
				}
			}
			if changed, sure := j.isChanged(e.Of.Cluster); sure && !changed {
				j.problem("%s is rolled back, and was not changed: %v", e.Of.Cluster, j.outcome(Change, e.Of.Cluster))
			}
		case e.What == Ended, e.What == Recorded, e.What == Unkept:
			delete(running, e.Of)
		}
	}
}

// end judges how the rollout ended, and what it said.
func (j *judge) end() {
	if j.Err != nil && !errors.As(j.Err, &asl.Error{}) {
		j.problem("the execution ended with %v", j.Err)
		return
	}
	var failed asl.Error
	errors.As(j.Err, &failed)
	switch {
	case j.Rollout.Lock == Held:
		if failed.Name != "SetInUse" || len(j.Ran) > 0 {
			j.problem("another rollout of the set runs, and this one ended with %q after %d starts", failed.Name, len(j.Ran))
		}
		return
	case j.Lost && failed.Name == "SetInUse" && len(j.Ran) == 0: // it was stopped before it had found its clusters
		return
	case j.denied:
		if failed.Name != "AccessDenied" {
			j.problem("S3 refused everything, and the rollout ended with %q: %s", failed.Name, failed.Cause)
		}
		return
	}
	j.summary()
	if j.Lost {
		return // which has begun nothing else, as order has seen
	}
	if strings.Contains(j.Summary.Cause, "ends after 24 hours") {
		if j.Rollout.Longest < 3600 {
			j.problem("it had time: %s", j.Summary.Cause)
		}
		if failed.Name != "RolloutFailed" && failed.Name != "ClustersFailed" && failed.Name != "RollbackFailed" {
			j.problem("it ended with %q for lack of time", failed.Name)
		}
		return
	}
	want, says := j.wanted()
	if failed.Name != want {
		j.problem("it ended with %q: expected %q: %s", failed.Name, want, failed.Cause)
		return
	}
	for _, part := range says {
		if !strings.Contains(failed.Cause, part) {
			j.problem("its cause is %q: expected %q", failed.Cause, part)
		}
	}
}

// counts is how many clusters of a wave ended how.
func (j *judge) counts(wave int) map[contractfleet.Status]int {
	counts := map[contractfleet.Status]int{}
	for _, cluster := range j.members(wave) {
		counts[contractfleet.Status(j.outcome(Change, cluster).Status)]++
	}
	return counts
}

// summary judges that each cluster has the outcome that its execution had.
func (j *judge) summary() {
	outcomes := j.Summary.Outcomes
	if j.Rollout.Report {
		var report struct{ Outcomes []contractfleet.Outcome }
		if err := json.Unmarshal(j.storage.get(j.Rollout.Reports, reportKey), &report); err != nil {
			j.problem("its report cannot be read: %v", err)
			return
		}
		outcomes = report.Outcomes
	}
	found := map[string][]Outcome{}
	for _, o := range outcomes {
		found[o.ClusterName] = append(found[o.ClusterName], Outcome{string(o.Status), o.Error})
		if o.ClusterName != "" && o.Wave != j.wave[o.ClusterName] {
			j.problem("%s is in wave %d: expected %d", o.ClusterName, o.Wave, j.wave[o.ClusterName])
		}
	}
	lost := 0
	for _, c := range j.Rollout.Clusters {
		want := j.outcome(Change, c.Name)
		switch last := j.last(Change, c.Name); {
		case want.Error == "NoOutcome" && !j.Rollout.InS3: // the state has no name of it
			lost++
			if len(found[c.Name]) > 0 {
				j.problem("the lost outcome of %s is %v", c.Name, found[c.Name])
			}
		case want.Error == "NoOutcome" && last.Attempt == 2 && len(found[c.Name]) == 1 && IsTransient(found[c.Name][0].Error):
			// Of the second try nothing is kept, and of the first one it is.
		case len(found[c.Name]) != 1 || found[c.Name][0] != want:
			j.problem("the outcomes of %s are %v: expected %v", c.Name, found[c.Name], want)
		}
	}
	if len(found[""]) != lost {
		j.problem("%d outcomes have no name: expected %d", len(found[""]), lost)
	}
	if j.Rollout.Report && lost == 0 {
		j.lists()
	}
	if len(outcomes) != len(j.Rollout.Clusters) {
		j.problem("%d outcomes of %d clusters", len(outcomes), len(j.Rollout.Clusters))
	}
	summary := j.Summary.Summary
	if len(summary.Waves) != len(j.Rollout.Waves) {
		j.problem("%d waves in the summary: expected %d", len(summary.Waves), len(j.Rollout.Waves))
		return
	}
	for i, w := range summary.Waves {
		if want := j.counts(i + 1); !maps.Equal(w.ByStatus, want) || w.Name != j.Rollout.Waves[i].Name || w.Clusters != len(j.Rollout.Waves[i].Names) {
			j.problem("wave %s of %d clusters has %v: expected %v", w.Name, w.Clusters, w.ByStatus, want)
		}
	}
	if want := j.counts(0); !maps.Equal(summary.ByStatus, want) {
		j.problem("the summary has %v: expected %v", summary.ByStatus, want)
	}
	if j.Rollout.Listed && len(j.Rollout.Waves) > 0 {
		switch appeared := summary.Appeared; {
		case appeared != nil && slices.Equal(appeared.Names, []string{"new"}):
		case appeared != nil && appeared.Failure != "" && j.Rollout.Faulty > 0: // that is what the report says then
		default:
			j.problem("a cluster appeared, and the summary has %+v", appeared)
		}
	}
}

// lists judges the lists beside the report, of which other fleets go on.
func (j *judge) lists() {
	want := map[string][]string{"notstarted.jsonl": nil, "failed.jsonl": nil, "differs.jsonl": nil}
	for _, c := range j.Rollout.Clusters {
		switch outcome := j.outcome(Change, c.Name); {
		case outcome.Status == "NOT_STARTED":
			want["notstarted.jsonl"] = append(want["notstarted.jsonl"], c.Name)
		case outcome.Status == "LEFT_OUT":
			want["differs.jsonl"] = append(want["differs.jsonl"], c.Name)
		case outcome.failed():
			want["failed.jsonl"] = append(want["failed.jsonl"], c.Name)
		}
	}
	if rolled := j.Summary.Summary.Rollback; rolled != nil {
		for _, c := range j.Rollout.Clusters {
			if is, sure := j.isChanged(c.Name); is && j.outcome(Rollback, c.Name).Status != "SUCCEEDED" && (sure || j.last(Rollback, c.Name) != nil) {
				want["changed.jsonl"] = append(want["changed.jsonl"], c.Name)
			}
		}
	}
	for name, clusters := range want {
		var listed []string
		for line := range strings.Lines(string(j.storage.get(j.Rollout.Reports, strings.TrimSuffix(reportKey, "report.json")+name))) {
			var read struct{ ClusterName string }
			if err := json.Unmarshal([]byte(line), &read); err != nil {
				j.problem("%s: %v", name, err)
			}
			listed = append(listed, read.ClusterName)
		}
		slices.Sort(listed)
		slices.Sort(clusters)
		if !slices.Equal(listed, clusters) {
			j.problem("%s lists %v: expected %v", name, listed, clusters)
		}
	}
}

// wanted is the error that the rollout ends with, and what its cause says. It is empty if it ends well.
func (j *judge) wanted() (name string, says []string) {
	if j.Rollout.First != nil && j.Rollout.First.Answer != Approves {
		for i, w := range j.Summary.Summary.Waves {
			if w.Gate != "" {
				j.problem("the gate of wave %d is %q, and nothing began", i+1, w.Gate)
			}
		}
		return "RolloutFailed", []string{"The rollout was not approved: " + j.whyNot(*j.Rollout.First), "No cluster is changed"}
	}
	if len(j.Rollout.Waves) == 0 {
		counts, tolerated := j.counts(0), min(j.Rollout.Tolerated, len(j.Rollout.Clusters))
		n := 0
		for status, clusters := range counts {
			if (Outcome{Status: string(status)}).failed() {
				n += clusters
			}
		}
		switch {
		case n > tolerated:
			return "ClustersFailed", []string{fmt.Sprintf("%d of %s failed", n, clusters(len(j.Rollout.Clusters)))}
		case counts[contractfleet.StatusNotStarted] > 0:
			j.problem("%d clusters were not started", counts[contractfleet.StatusNotStarted])
		}
		return "", nil
	}
	over := 0
	for n, w := range j.Rollout.Waves {
		wave, failed, notStarted := n+1, 0, 0
		for _, cluster := range w.Names {
			switch outcome := j.outcome(Change, cluster); {
			case outcome.Status == "NOT_STARTED":
				notStarted++
			case outcome.failed():
				failed++
			}
		}
		said := j.Summary.Summary.Waves[n].Gate
		if failed > w.Tolerated {
			over++
			if j.Rollout.OnFailure != "continue" {
				j.gateIs(wave, said, "")
				return j.ends(wave, fmt.Sprintf("Wave %s stopped the rollout: %d of its %s failed", w.Name, failed, clusters(len(w.Names))))
			}
		}
		if j.Rollout.OnFailure != "continue" && wave < len(j.Rollout.Waves) && notStarted == 0 && !j.succeeds(wave) {
			j.gateIs(wave, said, "")
			return j.ends(wave, "Wave "+w.Name+" stopped the rollout: no cluster of wave "+w.Name+" succeeded, so it tested nothing: ")
		}
		if notStarted > 0 {
			j.problem("%d clusters of wave %d were not started, and %d failed", notStarted, wave, failed)
			return "RolloutFailed", nil
		}
		if why := j.closed(wave); why != "" {
			j.gateIs(wave, said, contractfleet.GateFailed)
			if over > 0 {
				return j.ends(wave, "The rollout went on although these failed: ", "Wave "+w.Name+" stopped it: ", why)
			}
			return j.ends(wave, "Wave "+w.Name+" stopped the rollout: the gate of wave "+w.Name+" was not passed: ", why)
		}
		if g := w.Gate; g.Soak == 0 && len(g.Alarms) == 0 && g.Job == "" && g.Approval == nil {
			j.gateIs(wave, said, "")
		} else {
			j.gateIs(wave, said, contractfleet.GatePassed)
		}
	}
	if over > 0 {
		return j.ends(len(j.Rollout.Waves), "The rollout went on although these failed: ")
	}
	return "", nil
}

func (j *judge) gateIs(wave int, is, want contractfleet.GateResult) {
	if is != want {
		j.problem("the gate of wave %d is %q: expected %q", wave, is, want)
	}
}

func clusters(n int) string {
	if n == 1 {
		return "1 cluster"
	}
	return fmt.Sprintf("%d clusters", n)
}

// closed says why the gate of a wave is not passed; it is empty if it is.
func (j *judge) closed(wave int) string {
	gate := j.Rollout.Waves[wave-1].Gate
	if len(gate.Alarms) > 0 {
		if gate.Unreadable {
			return "its alarms could not be read: CloudWatch.CloudWatchException"
		}
		for _, a := range gate.Alarms {
			switch a.State {
			case "OK":
			case "":
				return a.Name + " is no alarm of CloudWatch"
			default:
				return a.Name + " is " + a.State
			}
		}
	}
	if gate.Job != "" {
		for _, cluster := range j.members(wave) {
			if last := j.last(Job, cluster); last != nil && j.outcomeOf(last).Status != "SUCCEEDED" {
				return "its job failed in "
			}
		}
		if !j.succeeds(wave) {
			return "no cluster of the wave succeeded, so its job ran in none"
		}
	}
	if gate.Approval != nil && gate.Approval.Answer != Approves {
		return j.whyNot(*gate.Approval)
	}
	return ""
}

func (j *judge) whyNot(a Approval) string {
	if slices.ContainsFunc(j.Log, func(e Event) bool { return e.What == Replayed }) {
		return "what was approved is another gate"
	}
	switch a.Answer {
	case Rejects:
		return "it was rejected by ada: not on a Friday"
	case Forges, Replays:
		return "its approval does not come from the function approve"
	case Deaf:
		return "its approval could not be requested"
	default:
		return "nobody approved it within "
	}
}

// ends is the end of a rollout that a wave stopped.
func (j *judge) ends(wave int, says ...string) (string, []string) {
	for _, cluster := range j.members(0) {
		if at := j.wave[cluster]; at > wave && len(j.asked[Change][cluster]) > 0 {
			j.problem("%s of wave %d began, and wave %d stopped the rollout", cluster, at, wave)
		}
	}
	changed, doubtful, back, left := 0, 0, 0, 0
	for _, cluster := range j.members(0) {
		is, sure := j.isChanged(cluster)
		switch outcome := j.outcome(Rollback, cluster); {
		case !is:
			continue
		case !sure:
			doubtful++
			fallthrough
		case outcome.Status != "NOT_STARTED":
			if outcome.Status == "SUCCEEDED" {
				back++
			} else if outcome.Status != "NOT_STARTED" {
				left++
			}
		case j.Rollout.OnFailure == "rollback" && j.Rollout.Longest > 3600 && j.Log[len(j.Log)-1].At.Sub(j.began) > 20*time.Hour: // no time was left
			left++
		case j.Rollout.OnFailure == "rollback":
			j.problem("%s is changed and was not rolled back: %v", cluster, j.outcome(Change, cluster))
		}
		changed++
	}
	switch rolls := j.Rollout.OnFailure == "rollback"; {
	case rolls && left > 0:
		return "RollbackFailed", append(says, "These clusters are changed, or may be: ", fmt.Sprintf("%d of %d were rolled back", back, back+left))
	case rolls && back > 0:
		return "RolloutFailed", append(says, "Nothing is changed any more")
	case doubtful > 0:
		return "RolloutFailed", says
	case changed == 0:
		return "RolloutFailed", append(says, "No cluster is changed.")
	case changed == 1:
		return "RolloutFailed", append(says, "1 cluster is changed, or may be: ")
	default:
		return "RolloutFailed", append(says, fmt.Sprintf("%d clusters are changed, or may be: ", changed))
	}
}
