package fleet

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/kubestep/kubestep/internal/contract"
	contractfleet "github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/internal/input"
)

// A fleet that changes its clusters may do so in waves. Which wave a cluster is in is settled
// before anything starts, and is then only an order: the clusters of the first wave, those of
// the second, and so on.

const (
	waveExample = `{"name": "canary", "clusters": ["demo"]}`

	// What becomes of clusters that no wave takes.
	unmatchedRefuse, unmatchedLast, unmatchedSkip = "refuse", "last", "skip"
	// unmatchedWave is the name of the wave of what no other takes.
	unmatchedWave = "unmatched"
	// maxAlarms bounds the alarms of a gate, and maxAlarmName the name of one.
	// https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html, AlarmName
	maxAlarms, maxAlarmName = 10, 255
	// maxUnmatched bounds the clusters that a problem names.
	maxUnmatched = 5
)

// waveName is short enough to be in a line beside its counts.
var waveName = regexp.MustCompile(`^[0-9A-Za-z_-]{1,32}$`)

// wave is a wave as the input has it.
type wave struct {
	name string
	// Which clusters it takes: one of these or, if the source says it, none.
	mentions   []mention
	tags       map[string]string
	regions    []string
	percentage int

	concurrency int
	tolerated   tolerated
	gate        contractfleet.Gate
}

// mention is a cluster that a wave names: in any Region and account if only by its name.
type mention struct {
	field string
	identity
	anywhere bool
}

// mentioned are clusters that can be looked up: by what they are, and by their names alone.
type mentioned struct {
	those map[identity]bool
	names map[string]bool
}

func (d Finder) readWaves(f *input.Fields, r *request, own home) {
	r.unmatched = unmatchedRefuse
	f.String("unmatched", &r.unmatched)
	if all := []string{unmatchedRefuse, unmatchedLast, unmatchedSkip}; !slices.Contains(all, r.unmatched) {
		f.Problem("unmatched", "%s: expected one of %s", input.Quote(r.unmatched), strings.Join(all, ", "))
	}
	elements := f.Elements("waves", "an array of waves such as "+waveExample)
	switch {
	case f.Raw("waves") == nil:
		if f.Raw("unmatched") != nil {
			f.Problem("unmatched", "is there without waves")
		}
		return
	case len(elements) == 0:
		f.Problem("waves", "empty: expected at least one wave such as %s", waveExample)
	case len(elements) > contractfleet.MaxWaves, len(elements) == contractfleet.MaxWaves && r.unmatched == unmatchedLast:
		f.Problem("waves", "%d waves: expected at most %d, with the one of unmatched", len(elements), contractfleet.MaxWaves)
		return
	}
	names := map[string]int{}
	for i, element := range elements {
		nested := f.Element(fmt.Sprintf("waves[%d]", i), element, "an object such as "+waveExample)
		w := d.readWave(nested, i, r, own)
		switch earlier, again := names[w.name]; {
		case again && w.name != "":
			nested.Problem("name", "%s is the name of waves[%d]", input.Quote(w.name), earlier)
		case w.name == unmatchedWave && r.unmatched == unmatchedLast:
			nested.Problem("name", "%s is the name of the wave of clusters that no other takes", input.Quote(w.name))
		}
		names[w.name] = i
		r.waves = append(r.waves, w)
	}
	soak := time.Duration(0)
	for _, w := range r.waves {
		soak += time.Duration(w.gate.SoakSeconds) * time.Second
	}
	if soak > contractfleet.MaxSoak {
		f.Problem("waves", "they soak for %d seconds in all: expected at most %d, because an execution of a fleet ends after a day", int(soak.Seconds()), int(contractfleet.MaxSoak.Seconds()))
	}
}

// readWave reads the wave of that index.
func (d Finder) readWave(f *input.Fields, at int, r *request, own home) wave {
	w := wave{concurrency: r.concurrency}
	f.String("name", &w.name)
	if !waveName.MatchString(w.name) {
		f.Problem("name", "%s is not a valid name: expected 1 to 32 letters, digits, - and _", input.Quote(w.name))
	}
	readConcurrency(f, &w.concurrency)
	w.tolerated = readTolerated(f, r.tolerated)
	w.gate = d.readGate(f, r, w.name)

	for i, element := range f.Elements("clusters", "an array of clusters: each "+clusterExample) {
		m := d.readMention(f, fmt.Sprintf("clusters[%d]", i), element, own)
		m.field = fmt.Sprintf("waves[%d].clusters[%d]", at, i)
		w.mentions = append(w.mentions, m)
	}
	w.tags = readTags(f)
	f.Strings("regions", &w.regions)
	for i, region := range w.regions {
		input.CheckRegion(f, fmt.Sprintf("regions[%d]", i), region)
	}
	f.Int("percentage", &w.percentage)
	if f.Raw("percentage") != nil && (w.percentage < 1 || w.percentage > 100) {
		f.Problem("percentage", "%d: expected 1 to 100", w.percentage)
	}
	var ways []string
	for _, way := range []string{"clusters", "tags", "regions", "percentage"} {
		if f.Raw(way) != nil {
			ways = append(ways, way)
		}
	}
	switch {
	case len(ways) > 1:
		f.Problem(ways[1], "give only one of these: %s", strings.Join(ways, ", "))
	case len(ways) == 0 && r.source.Bucket == "":
		f.Problem("clusters", "missing: expected one of clusters, tags, regions and percentage")
	case len(ways) == 1 && ways[0] != "percentage" && len(w.mentions)+len(w.tags)+len(w.regions) == 0:
		f.Problem(ways[0], "empty: expected at least one")
	}
	return w
}

// readGate reads the gate of the wave of that name. Without one, it is open.
func (d Finder) readGate(f *input.Fields, r *request, wave string) contractfleet.Gate {
	gate := contractfleet.Gate{Alarms: []string{}}
	nested, _ := f.Object("gate", `{"soakSeconds": 600, "alarms": ["checkout-errors"]}`)
	gate.Job = d.readGateJob(nested, r, wave)
	gate.Approval = d.readApproval(nested, "approval")
	nested.Int("soakSeconds", &gate.SoakSeconds)
	if most := int(contractfleet.MaxSoak.Seconds()); gate.SoakSeconds < 0 || gate.SoakSeconds > most {
		nested.Problem("soakSeconds", "%d: expected 0 to %d", gate.SoakSeconds, most)
		gate.SoakSeconds = 0
	}
	nested.Strings("alarms", &gate.Alarms)
	if given := nested.Raw("alarms") != nil; given && len(gate.Alarms) == 0 || len(gate.Alarms) > maxAlarms {
		nested.Problem("alarms", "%d alarms: expected 1 to %d", len(gate.Alarms), maxAlarms)
	}
	for i, name := range gate.Alarms {
		if name == "" || len(name) > maxAlarmName || strings.ContainsFunc(name, unicode.IsControl) {
			nested.Problem(fmt.Sprintf("alarms[%d]", i), "%s is not a valid name: expected 1 to %d characters", input.Quote(name), maxAlarmName)
		}
		if slices.Contains(gate.Alarms[:i], name) {
			nested.Problem(fmt.Sprintf("alarms[%d]", i), "repeats %s", input.Quote(name))
		}
	}
	return gate
}

// readMention reads a cluster as the fleet's list has it, but for a name, which is of any Region and role.
func (d Finder) readMention(f *input.Fields, field string, element json.RawMessage, own home) mention {
	var text string
	isText := json.Unmarshal(element, &text) == nil && string(element) != "null"
	if isText && strings.HasPrefix(text, arnPrefix) {
		own.account = contract.ARN(text).Account() // the fleet has the role with which it is called
	}
	target, _ := d.readText(f, field, element, own)
	if !isText {
		target = input.Target(f.Element(field, element, clusterExample), contract.Target{Region: d.Defaults.Region})
	}
	return mention{field: field, identity: own.identity(target), anywhere: isText && !strings.HasPrefix(text, arnPrefix)}
}

// needsTags reports whether a wave is told by its clusters' tags.
func (r *request) needsTags() bool {
	return slices.ContainsFunc(r.waves, func(w wave) bool { return len(w.tags) > 0 })
}

// member is a cluster of the fleet, and what waves look at.
type member struct {
	contract.Target
	tags map[string]string
	// wave is the one that the source names for it, and line is where; empty for none.
	wave string
	line int
}

// assign returns the clusters in the order of the waves, and the waves: each cluster is in
// the first that takes it. Every problem is in f.
func (r *request) assign(f *input.Fields, members []member, own home) ([]contract.Target, []contractfleet.Wave) {
	if len(r.waves) == 0 {
		r.refuseWaves(f, members)
		return plainTargets(members), []contractfleet.Wave{}
	}
	r.findMentioned(f, members, own)
	in := make([][]contract.Target, len(r.waves))
	left := r.takeNamed(f, members, in)
	for i, w := range r.waves {
		taken, rest := w.take(left, own)
		left = rest
		in[i] = append(in[i], taken...)
		if len(in[i]) == 0 && !f.HasProblems() {
			f.Problem(fmt.Sprintf("waves[%d]", i), "takes no cluster of the fleet that no wave before takes: leave it out, or see which clusters there are")
		}
	}
	waves := r.waves
	switch {
	case len(left) == 0:
	case r.unmatched == unmatchedLast:
		waves = append(slices.Clone(waves), wave{name: unmatchedWave, concurrency: r.concurrency, tolerated: r.tolerated, gate: contractfleet.Gate{Alarms: []string{}}})
		in = append(in, plainTargets(left))
	case r.unmatched == unmatchedSkip:
	default:
		f.Problem("waves", "no wave takes %s of the fleet%s: give another wave with percentage 100, or unmatched as last or skip", count(len(left)), r.named(left))
	}
	var targets []contract.Target
	laid := make([]contractfleet.Wave, len(waves))
	for i, w := range waves {
		targets = append(targets, in[i]...)
		laid[i] = contractfleet.Wave{Name: w.name, Clusters: len(in[i]), Concurrency: w.concurrency, Tolerated: w.tolerated.of(len(in[i])), Gate: w.gate}
	}
	if size := encoded(laid); size > contractfleet.MaxWavesBytes {
		f.Problem("waves", "%d bytes: expected at most %d, with shorter names or fewer alarms", size, contractfleet.MaxWavesBytes)
	}
	return targets, laid
}

func plainTargets(members []member) []contract.Target {
	targets := make([]contract.Target, len(members))
	for i, m := range members {
		targets[i] = m.Target
	}
	return targets
}

// named names some clusters; none of a source, which whoever reads a problem may not be
// allowed to read.
func (r *request) named(members []member) string {
	if r.source.Bucket != "" {
		return ""
	}
	var names []string
	for _, m := range members[:min(len(members), maxUnmatched)] {
		names = append(names, m.ClusterName)
	}
	if more := len(members) - maxUnmatched; more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	return " (" + strings.Join(names, ", ") + ")"
}

// refuseWaves adds a problem if the source names waves and the input has none: then a fleet that
// changes its clusters would do so at once, where somebody wants it one after another.
func (r *request) refuseWaves(f *input.Fields, members []member) {
	for _, m := range members {
		if m.wave != "" && r.changes {
			f.Problem(at(m.line), "is in a wave, and the input has no waves: give them, such as %s", `[{"name": "canary"}, {"name": "rest"}]`)
			return
		}
	}
}

// takeNamed puts the clusters in the waves that the source names, and returns the others.
func (r *request) takeNamed(f *input.Fields, members []member, in [][]contract.Target) (left []member) {
	for _, m := range members {
		if m.wave == "" {
			left = append(left, m)
			continue
		}
		i := slices.IndexFunc(r.waves, func(w wave) bool { return w.name == m.wave })
		if i < 0 {
			f.Problem(at(m.line), "is in a wave that is not in the input: expected one of its waves")
			continue
		}
		in[i] = append(in[i], m.Target)
	}
	return left
}

// take returns the clusters that the wave takes of those that are left, and the others.
func (w wave) take(left []member, own home) (taken []contract.Target, rest []member) {
	if w.percentage > 0 {
		n := (len(left)*w.percentage + 99) / 100
		return plainTargets(left[:n]), left[n:]
	}
	named := mentioned{map[identity]bool{}, map[string]bool{}}
	for _, m := range w.mentions {
		if m.anywhere {
			named.names[m.name] = true
		} else {
			named.those[m.identity] = true
		}
	}
	for _, m := range left {
		if named.names[m.ClusterName] || named.those[own.identity(m.Target)] || slices.Contains(w.regions, m.Region) || len(w.tags) > 0 && hasAll(m.tags, w.tags) {
			taken = append(taken, m.Target)
		} else {
			rest = append(rest, m)
		}
	}
	return taken, rest
}

// findMentioned adds a problem for each cluster that a wave names and the fleet does not have:
// it may be a canary that is misspelled.
func (r *request) findMentioned(f *input.Fields, members []member, own home) {
	all := mentioned{map[identity]bool{}, map[string]bool{}}
	for _, m := range members {
		all.those[own.identity(m.Target)], all.names[m.ClusterName] = true, true
	}
	for _, w := range r.waves {
		for _, m := range w.mentions {
			if m.anywhere && !all.names[m.name] || !m.anywhere && !all.those[m.identity] {
				f.Problem(m.field, "%s is no cluster of the fleet", input.Quote(m.name))
			}
		}
	}
}

// testsNothing reports whether no later wave begins because of what became of the one that has ended: none
// of its clusters succeeded, although it tolerates that. Whoever continues after failures wants no test.
func testsNothing(fleet contractfleet.Fleet, run contractfleet.Run) bool {
	return fleet.OnFailure != contractfleet.OnFailureContinue && run.Wave < len(run.Waves) && run.Failed+run.LeftOut >= run.Waves[run.Wave-1].Clusters
}

// untested says why no other wave begins after the one of that name, of which so many clusters failed, and so
// many were left out.
func untested(name string, failed, leftOut int) string {
	var parts []string
	if leftOut > 0 {
		parts = append(parts, were(leftOut)+" left out, where the plan is another one than the effect of the request")
	}
	if failed > 0 {
		parts = append(parts, fmt.Sprintf("%s failed, as it tolerates", count(failed)))
	}
	return fmt.Sprintf("no cluster of wave %s succeeded, so it tested nothing: %s", name, strings.Join(parts, ", and "))
}

// isUntested reports whether that is why the fleet stopped after a wave.
func isUntested(w contractfleet.WaveSummary, why string) bool {
	return why != "" && why == untested(w.Name, w.Failed(), w.ByStatus[contractfleet.StatusLeftOut])
}

// howToTest says what to do about a wave that tested nothing.
func howToTest(w contractfleet.WaveSummary, report *contractfleet.Report) string {
	if w.ByStatus[contractfleet.StatusLeftOut] == 0 {
		return fmt.Sprintf(" Put a cluster into wave %s in which it can succeed.", w.Name)
	}
	which := "these clusters"
	if report != nil {
		which = fmt.Sprintf("these clusters (s3://%s/%s)", report.Bucket, report.Differs)
	}
	return fmt.Sprintf(" Look at what would change in %s: plan again, and take the digest of now as the effect. Or put a cluster into wave %s that still has the plan.", which, w.Name)
}

// addWaves adds up the outcomes of each wave, given how many gates were passed, and the number
// of the wave whose gate was not, and why.
func addWaves(waves []contractfleet.Wave, outcomes []contractfleet.Outcome, passed, refused int, why string) []contractfleet.WaveSummary {
	var all []contractfleet.WaveSummary
	for i, w := range waves {
		summary := contractfleet.WaveSummary{Name: w.Name, Clusters: w.Clusters, Tolerated: w.Tolerated, ByStatus: map[contractfleet.Status]int{}, Jobs: w.Jobs, Approved: w.Approved}
		switch {
		case w.Gate.Open():
		case i+1 == refused:
			summary.Gate, summary.Why = contractfleet.GateFailed, why
		case i < passed:
			summary.Gate = contractfleet.GatePassed
		}
		all = append(all, summary)
	}
	for _, o := range outcomes {
		if o.Wave <= 0 || o.Wave > len(all) {
			continue
		}
		all[o.Wave-1].ByStatus[o.Status]++
		if o.Status == contractfleet.StatusSucceeded && o.Rollback != nil && o.Rollback.Status == contractfleet.StatusSucceeded {
			all[o.Wave-1].RolledBack++
		}
	}
	return all
}

// rolloutCause says which wave stopped the fleet and why, which clusters are changed, how many
// were not started, and where to read on.
func rolloutCause(in contractfleet.Summarize, summary contractfleet.Summary, stopped contractfleet.Wave, why string, outcomes []contractfleet.Outcome) string {
	because := fmt.Sprintf("Wave %s stopped the rollout: %s", stopped.Name, why)
	var over []string
	for _, w := range summary.Waves {
		if w.Failed() <= w.Tolerated {
			continue
		}
		if w.Name == stopped.Name {
			because = fmt.Sprintf("Wave %s stopped the rollout: %d of its %s failed, and %s", stopped.Name, w.Failed(), count(w.Clusters), tolerance(w.Tolerated))
		}
		over = append(over, fmt.Sprintf("%d of the %s of wave %s, of which %s", w.Failed(), count(w.Clusters), w.Name, tolerance(w.Tolerated)))
	}
	if in.Fleet.OnFailure == contractfleet.OnFailureContinue && len(over) > 0 {
		because = "The rollout went on although these failed: " + strings.Join(over, "; ")
		if why != "" {
			because += fmt.Sprintf(". Wave %s stopped it: %s", stopped.Name, why)
		}
	}
	changed := changedClusters(outcomes)
	if summary.Rollback != nil {
		changed = afterRollback(in, summary, outcomes)
	}
	var errors []string
	for _, failure := range summary.Failures {
		errors = append(errors, fmt.Sprintf("%d %s", failure.Clusters, failure.Error))
	}
	failures := ""
	if len(errors) > 0 {
		failures = ": " + strings.Join(errors, ", ")
	}
	notStarted := ""
	switch n := summary.ByStatus[contractfleet.StatusNotStarted]; {
	case n > 0 && summary.Report != nil:
		notStarted = fmt.Sprintf(" %s not started: see s3://%s/%s.", were(n), summary.Report.Bucket, summary.Report.NotStarted)
	case n > 0:
		notStarted = fmt.Sprintf(" %s not started.", were(n))
	}
	fix := ""
	if at := slices.IndexFunc(summary.Waves, func(w contractfleet.WaveSummary) bool { return w.Name == stopped.Name }); at >= 0 && isUntested(summary.Waves[at], why) {
		fix = howToTest(summary.Waves[at], summary.Report)
	}
	return fmt.Sprintf("%s%s. %s%s%s %s", because, failures, changed, notStarted, fix, whereToRead(summary))
}

// changedClusters says which clusters are changed: those that began, but for those that found
// nothing to change.
func changedClusters(outcomes []contractfleet.Outcome) string {
	var names []string
	n := 0
	for _, o := range outcomes {
		if !isChanged(o) {
			continue
		}
		if n++; len(names) < maxNames {
			names = append(names, o.ClusterName)
		}
	}
	if n == 0 {
		return "No cluster is changed."
	}
	if more := n - len(names); more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	if n == 1 {
		return "1 cluster is changed, or may be: " + names[0] + "."
	}
	return fmt.Sprintf("%s are changed, or may be: %s.", count(n), strings.Join(names, ", "))
}
