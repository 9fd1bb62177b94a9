// Package report writes what became of a fleet, for people (HTML), spreadsheets (CSV)
// and programs (JSON). What a cluster is called, and what it said, is data in each.
package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/internal/shell"
)

// Report is a fleet that is done, or one that waits for an approval.
type Report struct {
	Fleet fleet.Fleet
	// Request is what each cluster was asked, as JSON; empty for nothing.
	Request string
	// Former is what rolls a cluster back, in the same form.
	Former  string
	Summary fleet.Summary
	// Waves are the fleet's; none if it has none.
	Waves []fleet.Wave
	// Jobs are what the gates of the waves asked of run-job, as JSON, by GateJob.Request from 1.
	Jobs     []string
	Outcomes []fleet.Outcome
	// Pending are the clusters that were not started, in the order in which they would have begun.
	Pending []fleet.Cluster
	// Execution is the name of a cluster's execution.
	Execution  func(fleet.Outcome) string
	FinishedAt time.Time
	// Waiting is what there is to approve; nil if the fleet is done. Then FinishedAt is since when it waits.
	Waiting *fleet.Rollout
}

// Row is a cluster with its outcome.
type Row struct {
	fleet.Outcome
	// Account is the 12 digits of the cluster's AWS account.
	Account string `json:"account"`
	// Execution is the ARN of the execution, and URL its page in the console, if the partition has one.
	Execution string `json:"execution"`
	URL       string `json:"url"`
	// StoppedAt is when the execution ended; zero if there was none.
	StoppedAt time.Time `json:"stoppedAt,omitzero"`
	// Earlier reports whether the execution started before the fleet did.
	Earlier bool `json:"-"`
	// Role is the name of the role, if the account has several: two may reach the same cluster.
	Role string `json:"-"`
	// WaveName is the name of its wave; empty if the fleet has none.
	WaveName string `json:"waveName,omitempty"`
}

// rows are the clusters: those that failed, then those that were not started or left out.
func (r Report) rows() iter.Seq[Row] {
	order := make([]int, len(r.Outcomes))
	for i := range order {
		order[i] = i
	}
	rank := func(i int) int {
		switch o := r.Outcomes[i]; {
		case o.Failed():
			return 0
		case o.Status == fleet.StatusNotStarted:
			return 1
		case o.Status == fleet.StatusLeftOut:
			return 2
		default:
			return 3
		}
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(rank(i), rank(j)) })
	own := contract.ARN(r.Fleet.Execution).Account()
	roles, several := map[string]string{}, map[string]bool{} // by account
	for _, o := range r.Outcomes {
		in := contract.ARN(o.RoleARN).Account()
		if known, ok := roles[in]; ok && known != o.RoleARN {
			several[in] = true
		}
		roles[in] = o.RoleARN
	}
	return func(yield func(Row) bool) {
		for _, i := range order {
			o := r.Outcomes[i]
			row := Row{Outcome: o, Account: own, WaveName: r.wave(o.Wave)}
			if o.RoleARN != "" {
				row.Account = contract.ARN(o.RoleARN).Account()
				if several[row.Account] {
					row.Role = o.RoleARN[strings.LastIndex(o.RoleARN, "/")+1:]
				}
			}
			if !o.StartedAt.IsZero() {
				row.StoppedAt = o.StartedAt.Add(time.Duration(o.Seconds * float64(time.Second))).Truncate(time.Second)
				// The outcome has whole seconds.
				row.Earlier = o.StartedAt.Before(r.Fleet.StartedAt.Truncate(time.Second))
			}
			if o.ClusterName != "" && o.Status != fleet.StatusNotStarted {
				row.Execution = r.Fleet.Executions + ":" + r.Execution(o)
				row.URL = ConsoleURL(row.Execution)
			}
			if !yield(row) {
				return
			}
		}
	}
}

// wave is the name of the wave of that number; empty for 0.
func (r Report) wave(number int) string {
	if number < 1 || number > len(r.Waves) {
		return ""
	}
	return r.Waves[number-1].Name
}

// figures are the names of the totals that any cluster has.
func (r Report) figures() []string { return slices.Sorted(maps.Keys(r.Summary.Totals)) }

// consoles are the hosts of the console by partition. The isolated partitions publish none.
// https://docs.aws.amazon.com/general/latest/gr/rande.html
var consoles = map[string]string{
	"aws":        "console.aws.amazon.com",
	"aws-cn":     "console.amazonaws.cn",
	"aws-us-gov": "console.amazonaws-us-gov.com",
	"aws-eusc":   "console.amazonaws-eusc.eu",
}

// ConsoleURL is the page of an execution in the AWS console, or empty if its partition
// has no console that is known.
func ConsoleURL(execution string) string {
	region := contract.ARN(execution).Region()
	host, ok := consoles[contract.ARN(execution).Partition()]
	if !ok {
		return ""
	}
	return fmt.Sprintf("https://%s.%s/states/home?region=%s#/v2/executions/details/%s", region, host, url.QueryEscape(region), url.PathEscape(execution))
}

// maxRequest bounds the request that a command shows, and maxWaves the waves with their Jobs, as they
// are in the state once they are quoted for a shell and for JSON; longer ones are to be in a file.
const (
	maxRequest = 500
	maxWaves   = 4 << 10
)

// Commands are those that run the clusters again that failed, and that go on with those
// that were not started, from the lists of them in S3. Each is empty if there are none.
func (r Report) Commands(at *fleet.Report) (again, goOn string) {
	notStarted := r.Summary.ByStatus[fleet.StatusNotStarted]
	if r.Summary.Failed() > 0 {
		again = r.command(r.Request, at.Bucket, at.Failed, fleet.Outcome.Failed, false)
	}
	if notStarted > 0 {
		goOn = r.command(r.Request, at.Bucket, at.NotStarted, func(o fleet.Outcome) bool { return o.Status == fleet.StatusNotStarted }, false)
	}
	return again, goOn
}

// RollBack is the command that applies the former version to the clusters that could not be
// rolled back; empty if there are none.
func (r Report) RollBack(at *fleet.Report) string {
	if at.Changed == "" {
		return ""
	}
	// As the rollback was: the last wave first, without gates, and no failure stops it.
	r.Waves = slices.Clone(r.Waves)
	for i := range r.Waves {
		r.Waves[i].Gate = fleet.Gate{}
	}
	r.Fleet.SamePlan, r.Fleet.OnFailure = false, fleet.OnFailureContinue
	return r.command(r.Former, at.Bucket, at.Changed, isChanged, true)
}

// isChanged reports whether the cluster could not be rolled back.
func isChanged(o fleet.Outcome) bool {
	return o.Rollback != nil && o.Rollback.Status != fleet.StatusSucceeded
}

// Differs writes the clusters that were left out, as Failed does.
func (r Report) Differs(w io.Writer) error {
	var differ []fleet.Cluster
	for _, o := range r.Outcomes {
		if o.Status == fleet.StatusLeftOut {
			differ = append(differ, fleet.Cluster{Target: o.Target, Wave: o.Wave})
		}
	}
	return r.list(w, differ)
}

// Changed writes the clusters that could not be rolled back, as Failed does.
func (r Report) Changed(w io.Writer) error {
	var changed []fleet.Cluster
	for _, o := range r.Outcomes {
		if isChanged(o) {
			changed = append(changed, fleet.Cluster{Target: o.Target, Wave: o.Wave})
		}
	}
	return r.list(w, changed)
}

// command is a fleet of the clusters in a list, which is asked the same, and runs no more of them
// at once. One that changes its clusters stops as this one does. The list says which wave each
// cluster is in; waves of which it has none are left out. The last wave is the first if they are reversed.
func (r Report) command(asked, bucket, list string, has func(fleet.Outcome) bool, reversed bool) string {
	request := ""
	switch {
	case len(asked) > maxRequest:
		request = " --request @FILE"
	case asked != "":
		request = " --request " + shell.Quote(asked)
	}
	waves := r.wavesOf(has, reversed)
	quoted := shell.Quote(waves)
	switch inJSON, err := json.Marshal(quoted); {
	case err != nil || len(inJSON) > maxWaves:
		request += " --waves @FILE"
	case waves != "":
		request += " --waves " + quoted
	}
	if r.Fleet.OnFailure == fleet.OnFailureContinue && waves != "" {
		request += " --on-failure continue"
	}
	if r.Fleet.SamePlan {
		request += " --require-same-plan"
	}
	if r.Fleet.Changes && waves == "" || r.Fleet.Concurrency != fleet.DefaultConcurrency {
		request += fmt.Sprintf(" --concurrency %d", r.Fleet.Concurrency)
	}
	if a := r.Fleet.Approve; a.TimeoutSeconds > 0 && !reversed { // somebody was asked before this one began
		text, err := contract.Encode(map[string]fleet.ApproveInput{"approve": {TopicARN: a.TopicARN, TimeoutSeconds: a.TimeoutSeconds}})
		if err != nil {
			return "" // texts and numbers encode
		}
		request += " --input " + shell.Quote(string(text))
	}
	if r.Fleet.Changes && waves == "" {
		request += fmt.Sprintf(" --tolerate %d", r.Fleet.Tolerated)
	}
	return fmt.Sprintf("kubestep fleet --workflow %s%s --source %s --report %s", shell.Quote(r.Summary.Workflow), request,
		shell.Quote("s3://"+bucket+"/"+list), shell.Quote("s3://"+bucket+"/"+r.Fleet.Output.Prefix))
}

// wavesOf is the waves of those clusters as an input has them, each as careful as it was.
func (r Report) wavesOf(has func(fleet.Outcome) bool, reversed bool) string {
	var those []fleet.WaveInput
	for i, w := range r.Waves {
		if slices.ContainsFunc(r.Outcomes, func(o fleet.Outcome) bool { return o.Wave == i+1 && has(o) }) {
			wave := fleet.WaveInput{Name: w.Name, Concurrency: w.Concurrency, ToleratedFailures: &fleet.ToleratedFailures{Count: &w.Tolerated}}
			if !w.Gate.Open() {
				wave.Gate = r.gate(w.Gate)
			}
			those = append(those, wave)
		}
	}
	if len(those) == 0 {
		return ""
	}
	if reversed {
		slices.Reverse(those)
	}
	text, err := contract.Encode(those)
	if err != nil {
		return "" // names and numbers encode
	}
	return string(text)
}

// gate is the gate of a wave as an input has it.
func (r Report) gate(g fleet.Gate) *fleet.GateInput {
	gate := &fleet.GateInput{SoakSeconds: g.SoakSeconds, Alarms: g.Alarms}
	if at := g.Job.Request; at > 0 && at <= len(r.Jobs) {
		job := strings.TrimPrefix(r.Jobs[at-1], "{")
		if g.Job.One {
			job = `"clusters":"one",` + job
		}
		gate.Job = json.RawMessage("{" + job)
	}
	if a := g.Approval; a.TimeoutSeconds > 0 {
		gate.Approval = &fleet.ApproveInput{TopicARN: a.TopicARN, TimeoutSeconds: a.TimeoutSeconds}
	}
	return gate
}

// JSON writes the summary and every cluster.
func (r Report) JSON(w io.Writer) error {
	head, err := contract.Encode(struct {
		fleet.Summary
		Execution  string    `json:"execution"`
		URL        string    `json:"url"`
		StartedAt  time.Time `json:"startedAt"`
		FinishedAt time.Time `json:"finishedAt"`
	}{r.Summary, r.Fleet.Execution, ConsoleURL(r.Fleet.Execution), r.Fleet.StartedAt.UTC(), r.FinishedAt.UTC()})
	if err != nil {
		return fmt.Errorf("encode the summary: %w", err)
	}
	// The clusters follow one by one: all of them at once would be in memory twice.
	p := &printer{w: w}
	p.print(strings.TrimSuffix(string(head), "}"), `,"outcomes":[`)
	separator := "\n"
	for row := range r.rows() {
		line, err := contract.Encode(row)
		if err != nil {
			return fmt.Errorf("encode an outcome: %w", err)
		}
		p.print(separator, string(line))
		separator = ",\n"
	}
	p.print("\n]}\n")
	return p.err
}

// Failed writes the clusters that failed, a line of JSON each, as a fleet's source takes them.
func (r Report) Failed(w io.Writer) error {
	var failed []fleet.Cluster
	for _, o := range r.Outcomes {
		if o.Failed() && o.ClusterName != "" {
			failed = append(failed, fleet.Cluster{Target: o.Target, Wave: o.Wave})
		}
	}
	return r.list(w, failed)
}

// NotStarted writes the clusters that were not started, in the same way.
func (r Report) NotStarted(w io.Writer) error { return r.list(w, r.Pending) }

// Same writes the clusters that get the change that most get, in the same way.
func (r Report) Same(w io.Writer) error {
	var same []fleet.Cluster
	for _, o := range r.Outcomes {
		if o.Effect == r.Summary.Effects[0].Digest {
			same = append(same, fleet.Cluster{Target: o.Target, Wave: o.Wave})
		}
	}
	return r.list(w, same)
}

func (r Report) list(w io.Writer, clusters []fleet.Cluster) error {
	p := &printer{w: w}
	for _, c := range clusters {
		line, err := contract.Encode(struct {
			contract.Target
			Wave string `json:"wave,omitempty"`
		}{c.Target, r.wave(c.Wave)})
		if err != nil {
			return fmt.Errorf("encode a cluster: %w", err)
		}
		p.print(string(line), "\n")
	}
	return p.err
}

// printer writes until the first error.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) print(texts ...string) {
	for _, text := range texts {
		if p.err == nil {
			_, p.err = io.WriteString(p.w, text)
		}
	}
}
