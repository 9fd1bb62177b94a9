// Package rollouts proves that a rollout stops where it says: that no cluster of a later wave begins once a wave has failed or its gate is
// not passed, that each cluster has one outcome, and that what is rolled back is what was changed. It makes rollouts of a seed, with
// faults of all that the machine fleet calls, runs each on the machine's definition with the functions' code (World), and judges them by
// what was started and when (Judge), which knows nothing of how kubestep does it.
//
//	go test -v -count=1 ./rollouts -seeds 1000
package rollouts

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"
)

// Rollout is what is rolled out, and what happens to it.
type Rollout struct {
	Seed uint64
	// Reports and Sources are buckets, and Former and Newest the versions of the manifests.
	Reports, Sources, Former, Newest string
	// Clusters are in the order in which they are found.
	Clusters []Cluster
	// Waves are none for a fleet without waves, whose concurrency and tolerance are these.
	Waves                  []Wave
	Concurrency, Tolerated int
	Unmatched              string
	OnFailure              string
	// First is the approval before the first cluster; nil for none.
	First *Approval
	// Report has an output in S3; InS3 has the clusters there too.
	Report, InS3 bool
	// Listed finds the clusters in Regions. One more appears meanwhile.
	Listed bool
	// SamePlan leaves out the clusters whose plan changed.
	SamePlan bool
	// Set has the clusters' objects in a set, whose lock somebody may have.
	Set  bool
	Lock Lock
	// Named shares the names of the executions with other fleets.
	Named bool
	// Stop stops the execution after so many seconds, and redrives it later; 0 for never. Kept leaves what it has started running.
	// Taken has another rollout take the lock meanwhile.
	Stop, Later int
	Kept, Taken bool
	// Denied has S3 refuse everything after so many seconds; 0 for never.
	Denied int
	// Faulty is the share of invocations, and of requests of S3, that fail at first.
	Faulty float64
	// Chances are the shares of the ends of executions.
	Chances Chances
	// Longest bounds the seconds that one takes.
	Longest int
	// Plain has no execution time out, and none be stopped.
	Plain bool
}

// Cluster is a cluster, and what becomes of it.
type Cluster struct{ Name, Region, Role string }

// Wave is a wave.
type Wave struct {
	Name string
	// By is how it takes clusters: clusters, regions or percentage; empty for the wave of those that are left.
	By                     string
	Names                  []string
	Region                 string
	Percentage             int
	Concurrency, Tolerated int
	Gate                   Gate
}

// Gate is a gate, and how it fares.
type Gate struct {
	Soak   int
	Alarms []Alarm
	// Unreadable has CloudWatch refuse to say the alarms' states.
	Unreadable bool
	// Job is each or one; empty for none.
	Job      string
	Approval *Approval
}

// Alarm is an alarm; one whose state is empty does not exist.
type Alarm struct {
	Name, State string
	Composite   bool
}

// Approval is how long somebody is asked, and what they do after so many seconds.
type Approval struct {
	Seconds, After int
	Answer         Answer
	// Wrong has somebody name another digest, and another execution, before; Twice approves once more.
	Wrong, Twice bool
	// Topic is told.
	Topic bool
}

// Answer is what somebody does about an approval.
type Answer string

// What somebody may do.
const (
	Approves Answer = "approves"
	Rejects  Answer = "rejects"
	Nobody   Answer = "does nothing"
	Late     Answer = "approves too late"
	Forges   Answer = "sends a decision with the token alone"
	Replays  Answer = "sends the decision of an earlier gate with the token"
	Deaf     Answer = "cannot be told"
)

// Lock is who has the lock of the set before.
type Lock string

// Who may have it.
const (
	Free  Lock = ""
	Held  Lock = "a rollout that runs"
	Freed Lock = "a rollout that has ended"
)

// Kind is what an execution does to a cluster.
type Kind string

// What is done.
const (
	Change   Kind = "change"
	Job      Kind = "job"
	Rollback Kind = "rollback"
)

// Chances are the shares of ends of executions.
type Chances struct {
	Fail, Pass, Odd, Lost, Same, Left float64
	// Jobs is how often those are of the Jobs of gates.
	Jobs float64
}

// Fate is how an execution ends, and what is odd about it.
type Fate struct {
	Seconds int
	// Error is empty if it succeeds. Status is FAILED then, but for an execution that timed out or was stopped.
	Status, Error string
	// Applied is how many objects it applied.
	Applied int
	Odd     Oddity
}

// Oddity is what happens besides.
type Oddity string

// What may happen.
const (
	None         Oddity = ""
	Throttled    Oddity = "its start is throttled at first"
	NeverStarts  Oddity = "its start is throttled until the machine gives up"
	Hangs        Oddity = "it takes longer than the machine waits"
	Lost         Oddity = "its outcome cannot be recorded"
	RunsAlready  Oddity = "another fleet of the name has started it, and it runs"
	EndedAlready Oddity = "another fleet of the name has started it, and it has ended meanwhile"
	EndedBefore  Oddity = "an execution of its name had ended before the fleet began"
	Foreign      Oddity = "an execution of its name asks something else"
	Taken        Oddity = "both of its names are taken"
	Undescribed  Oddity = "how it failed cannot be read at first"
)

const (
	key    = "base.yaml"
	effect = "q83vEjRWeJq8"
)

// Transient are errors that are worth a second try; the others are not.
var transient, final = []string{"Throttled", "ClusterUnreachable", "AWSUnreachable"}, []string{"NotReady", "Forbidden", "FieldConflict", "ClusterNotFound", "WebhookFailed"}

// IsTransient reports whether a cluster that failed so is tried again.
func IsTransient(name string) bool {
	return slices.Contains(transient, name) || strings.HasPrefix(name, "Lambda.") && name != "Lambda.Unknown"
}

// source is a source of chance of its own for what has a name.
func source(seed uint64, of ...any) *rand.Rand {
	h := fnv.New64a()
	_, _ = fmt.Fprint(h, of...)
	return rand.New(rand.NewPCG(seed, h.Sum64())) //nolint:gosec // the same each time
}

// New makes the rollout of a seed.
func New(seed uint64) Rollout {
	random := source(seed, "rollout")
	chance := func(share float64) bool { return random.Float64() < share }
	between := func(least, most int) int { return least + random.IntN(most-least+1) }
	r := Rollout{
		Seed: seed, Reports: "reports", Sources: "manifests", Former: "v1-former", Newest: "v2-newest", Concurrency: between(1, 7), Tolerated: []int{0, 0, 1, 2, 4}[random.IntN(5)], Unmatched: "last", Longest: 300, Named: chance(0.3),
		OnFailure: []string{"", "stop", "continue", "rollback", "rollback"}[random.IntN(5)], Report: chance(0.5), Listed: chance(0.15),
	}
	r.Chances = []Chances{
		{Pass: 0.05, Odd: 0.02, Same: 0.2},
		{Fail: 0.01, Pass: 0.1, Odd: 0.05, Lost: 0.005, Same: 0.2},
		{Fail: 0.05, Pass: 0.15, Odd: 0.08, Lost: 0.01, Same: 0.2},
		{Fail: 0.25, Pass: 0.3, Odd: 0.2, Lost: 0.05, Same: 0.1},
	}[random.IntN(4)]
	r.Chances.Jobs = 0.3
	for n := range between(1, 40) {
		c := Cluster{Name: fmt.Sprintf("c%02d", n), Region: []string{"eu-west-1", "us-east-1"}[random.IntN(2)]}
		if !r.Listed && chance(0.2) {
			c.Role = "arn:aws:iam::444455556666:role/kubestep"
		}
		r.Clusters = append(r.Clusters, c)
	}
	if !r.Listed && chance(0.25) { // does not fit into the state
		r.Report, r.InS3 = true, true
		r.Clusters[0].Role = "arn:aws:iam::444455556666:role/" + strings.Repeat("path/", 60) + "name"
	}
	if r.Listed {
		r.Report = true
	}
	if chance(0.12) {
		r.OnFailure = ""
	} else {
		r.waves(random)
	}
	if r.OnFailure == "rollback" {
		r.Report, r.InS3 = true, true
	}
	if chance(0.15) {
		r.First = decision(random)
	}
	r.SamePlan = chance(0.15)
	if r.SamePlan {
		r.Chances.Left = 0.15
	}
	if len(r.Waves) > 0 && chance(0.3) {
		r.Set, r.Lock = true, []Lock{Free, Free, Free, Freed, Held}[random.IntN(5)]
	}
	if chance(0.5) {
		r.Faulty = 0.05
	}
	switch {
	case chance(0.12):
		r.Stop, r.Later, r.Kept = between(1, 1500), between(1, 1200), chance(0.5)
		r.Taken = r.Set && chance(0.5)
	case chance(0.03):
		r.Denied = between(1, 900)
	case chance(0.04):
		r.Longest, r.Concurrency, r.Chances = 85*60, 1, Chances{Pass: 0.05, Same: 0.2}
		for i := range r.Waves {
			r.Waves[i].Concurrency = 1
		}
	}
	return r
}

// Small makes a rollout of a seed that an engine runs in which time passes: to a few clusters, and nothing is odd.
func Small(seed uint64) Rollout {
	random := source(seed, "small")
	r := New(seed)
	r = Rollout{
		Seed: seed, Reports: r.Reports, Sources: r.Sources, Former: r.Former, Newest: r.Newest, Concurrency: 1 + random.IntN(3), Tolerated: random.IntN(2), Unmatched: "last",
		OnFailure: []string{"stop", "continue", "rollback"}[seed%3], Report: true, Longest: 1, Plain: true, SamePlan: random.IntN(3) == 0,
		Chances: Chances{Fail: 0.12, Pass: 0.12, Same: 0.3, Jobs: 0.3},
	}
	if r.SamePlan {
		r.Chances.Left = 0.2
	}
	for n := range 2 + random.IntN(6) {
		r.Clusters = append(r.Clusters, Cluster{Name: fmt.Sprintf("c%02d", n), Region: []string{"eu-west-1", "us-east-1"}[random.IntN(2)]})
	}
	r.InS3 = r.OnFailure == "rollback"
	r.waves(random)
	soon := func(a *Approval) {
		if a == nil {
			return
		}
		*a = Approval{Seconds: 600, After: 1, Answer: a.Answer}
		switch a.Answer {
		case Rejects, Forges:
		case Replays: // there may be no other gate
			a.Answer = Forges
		default:
			a.Answer = Approves
		}
	}
	for i := range r.Waves {
		gate := &r.Waves[i].Gate
		gate.Soak, gate.Unreadable = gate.Soak%2, false
		soon(gate.Approval)
		if len(gate.Alarms) > 0 {
			gate.Alarms = gate.Alarms[:1]
			gate.Alarms[0].Composite = false
		}
	}
	if random.IntN(4) == 0 {
		r.First = decision(random)
		soon(r.First)
	}
	return r
}

// waves makes the waves, and which clusters each takes.
func (r *Rollout) waves(random *rand.Rand) {
	left := slices.Clone(r.Clusters)
	add := func(w Wave, takes func(int, Cluster) bool) {
		var rest []Cluster
		for i, c := range left {
			if takes(i, c) {
				w.Names = append(w.Names, c.Name)
			} else {
				rest = append(rest, c)
			}
		}
		if len(w.Names) > 0 {
			left = rest
			r.Waves = append(r.Waves, w)
		}
	}
	for n := range 1 + random.IntN(4) {
		w := Wave{Name: fmt.Sprintf("w%d", n), Concurrency: 1 + random.IntN(6), Tolerated: []int{0, 0, 1, 3}[random.IntN(4)], Gate: gate(random)}
		if len(left) == 0 {
			break
		}
		switch random.IntN(4) {
		case 0:
			w.By = "clusters"
			add(w, func(int, Cluster) bool { return random.IntN(4) == 0 })
		case 1:
			w.By, w.Region = "regions", "us-east-1"
			add(w, func(_ int, c Cluster) bool { return c.Region == w.Region })
		default:
			w.By, w.Percentage = "percentage", 10+random.IntN(91)
			share := (len(left)*w.Percentage + 99) / 100
			add(w, func(i int, _ Cluster) bool { return i < share })
		}
	}
	if len(left) > 0 {
		add(Wave{Name: "unmatched", Concurrency: r.Concurrency, Tolerated: r.Tolerated}, func(int, Cluster) bool { return true })
	}
	if r.Waves[0].By == "" { // an input has a wave at least
		r.Waves[0].Name, r.Waves[0].By, r.Waves[0].Percentage = "all", "percentage", 100
	}
}

func gate(random *rand.Rand) Gate {
	chance := func(share float64) bool { return random.Float64() < share }
	var g Gate
	if chance(0.3) {
		return g
	}
	if chance(0.5) {
		g.Soak = 1 + random.IntN(1200)
	}
	if chance(0.4) {
		for n := range 1 + random.IntN(3) {
			a := Alarm{Name: fmt.Sprintf("alarm-%d", n), State: "OK", Composite: chance(0.3)}
			if chance(0.08) {
				a.State = []string{"ALARM", "INSUFFICIENT_DATA", ""}[random.IntN(3)]
			}
			g.Alarms = append(g.Alarms, a)
		}
		g.Unreadable = chance(0.1)
	}
	if chance(0.35) {
		g.Job = []string{"each", "one"}[random.IntN(2)]
	}
	if chance(0.35) {
		g.Approval = decision(random)
	}
	return g
}

func decision(random *rand.Rand) *Approval {
	a := &Approval{Seconds: 60 + random.IntN(3600), Answer: Approves, Wrong: random.IntN(3) == 0, Twice: random.IntN(3) == 0, Topic: random.IntN(2) == 0}
	if random.IntN(6) == 0 {
		a.Answer = []Answer{Rejects, Nobody, Late, Forges, Deaf}[random.IntN(5)]
		if a.Answer == Forges && a.Seconds%3 > 0 {
			a.Answer = Replays
		}
		a.Topic = a.Topic || a.Answer == Deaf
	}
	a.After = 1 + random.IntN(a.Seconds-1)
	return a
}

// Fate is how the nth execution of a kind ends for a cluster.
func (r Rollout) Fate(kind Kind, cluster string, attempt int) Fate {
	random := source(r.Seed, kind, cluster, attempt)
	chance := func(share float64) bool { return random.Float64() < share }
	f := Fate{Seconds: random.IntN(r.Longest), Status: "SUCCEEDED", Applied: 1 + random.IntN(9)}
	if chance(r.Chances.Same) {
		f.Applied = 0
	}
	fail, pass, odd := r.Chances.Fail, r.Chances.Pass, r.Chances.Odd
	if kind == Job {
		fail, pass, odd = fail*r.Chances.Jobs, pass*r.Chances.Jobs, odd*r.Chances.Jobs
	}
	switch {
	case kind == Change && chance(r.Chances.Left):
		f.Status, f.Error = "FAILED", "PlanChanged"
	case chance(fail):
		f.Status, f.Error = "FAILED", final[random.IntN(len(final))]
		switch odd := random.IntN(8); {
		case r.Plain:
		case odd == 0:
			f.Status, f.Error = "TIMED_OUT", ""
		case odd == 1:
			f.Status, f.Error = "ABORTED", ""
		}
	case chance(pass):
		f.Status, f.Error = "FAILED", transient[random.IntN(len(transient))]
	}
	if chance(r.Chances.Lost) && kind != Job {
		f.Odd = Lost
	}
	if chance(odd) {
		f.Odd = []Oddity{Throttled, Throttled, Undescribed, NeverStarts, Hangs, RunsAlready, EndedAlready, EndedBefore, Foreign, Taken}[random.IntN(10)]
	}
	if f.Odd == Undescribed && f.Status == "SUCCEEDED" {
		f.Odd = None
	}
	if (kind != Change || r.OnFailure == "rollback") && slices.Contains([]Oddity{RunsAlready, EndedAlready, EndedBefore}, f.Odd) { // no other fleet has these names
		f.Odd = Foreign
	}
	if f.Error == "ClusterNotFound" || f.Error == "PlanChanged" {
		f.Applied = 0
	}
	return f
}

// Input is the input of the execution.
func (r Rollout) Input() map[string]any {
	request := map[string]any{"mode": "apply", "namespace": "shop", "source": map[string]any{"bucket": r.Sources, "key": key}}
	if r.SamePlan {
		request["effect"] = effect
	}
	if r.Set {
		request["set"] = "base"
	}
	in := map[string]any{"workflow": "apply-manifests", "request": request, "concurrency": r.Concurrency, "toleratedFailures": map[string]any{"count": r.Tolerated}}
	if r.SamePlan {
		in["requireSamePlan"] = true
	}
	if r.Named {
		in["name"] = "weekly"
	}
	if r.Listed {
		in["regions"] = []any{"eu-west-1", "us-east-1"}
	} else {
		var clusters []any
		for _, c := range r.Clusters {
			object := map[string]any{"clusterName": c.Name, "region": c.Region}
			if c.Role != "" {
				object["roleArn"] = c.Role
			}
			clusters = append(clusters, object)
		}
		in["clusters"] = clusters
	}
	if r.Report {
		in["output"] = map[string]any{"bucket": r.Reports, "prefix": "rollouts"}
	}
	if r.First != nil {
		in["approve"] = r.First.input()
	}
	if len(r.Waves) == 0 {
		return in
	}
	in["unmatched"] = r.Unmatched
	if r.OnFailure != "" {
		in["onFailure"] = r.OnFailure
	}
	if r.OnFailure == "rollback" {
		in["rollback"] = map[string]any{"versionId": r.Former}
	}
	var waves []any
	for n, w := range r.Waves {
		if w.By == "" {
			continue
		}
		wave := map[string]any{"name": w.Name, "concurrency": w.Concurrency, "toleratedFailures": map[string]any{"count": w.Tolerated}}
		switch w.By {
		case "clusters":
			wave["clusters"] = w.Names
		case "regions":
			wave["regions"] = []any{w.Region}
		default:
			wave["percentage"] = w.Percentage
		}
		if gate := w.Gate.input(r.Sources, n); len(gate) > 0 {
			wave["gate"] = gate
		}
		waves = append(waves, wave)
	}
	in["waves"] = waves
	return in
}

func (g Gate) input(sources string, n int) map[string]any {
	in := map[string]any{}
	if g.Soak > 0 {
		in["soakSeconds"] = g.Soak
	}
	if len(g.Alarms) > 0 {
		var names []string
		for _, a := range g.Alarms {
			names = append(names, a.Name)
		}
		in["alarms"] = names
	}
	if g.Job != "" {
		in["job"] = map[string]any{"clusters": g.Job, "source": map[string]any{"bucket": sources, "key": fmt.Sprintf("smoke-%d.yaml", n+1)}, "timeoutSeconds": 600}
	}
	if g.Approval != nil {
		in["approval"] = g.Approval.input()
	}
	return in
}

func (a Approval) input() map[string]any {
	in := map[string]any{"timeoutSeconds": a.Seconds}
	if a.Topic {
		in["topicArn"] = "arn:aws:sns:eu-west-1:111122223333:changes"
	}
	return in
}
