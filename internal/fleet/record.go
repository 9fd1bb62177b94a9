package fleet

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kubestep/kubestep/internal/bearer"
	"github.com/kubestep/kubestep/internal/contract"
	contractfleet "github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/internal/workflow"
)

const (
	// maxError bounds the name of an error, minError where there is less room, and maxTotals
	// how many figures an outcome has.
	maxError  = 64
	minError  = 32
	maxTotals = 6
	// maxBesideTarget bounds what an outcome has beside its target, and so the causes in a
	// summary.
	maxBesideTarget = 800
)

// Recorder keeps what became of a cluster.
type Recorder struct {
	// Workflows are those whose outputs have figures.
	Workflows []workflow.Workflow
	Store     Store
}

// Record returns the outcome of a cluster, or writes it to S3 and returns that it has. It
// does the same each time: an outcome in S3 has the name of its execution. Of an
// execution that is foreign, or has not ended, it says only that.
//
// Errors: AccessDenied, Throttled, AWSUnreachable, InvalidInput for a bucket that is not there.
func (r Recorder) Record(ctx context.Context, in contractfleet.RecordOutcome) (contractfleet.RecordedOutcome, error) {
	outcome := r.outcome(in)
	if in.Described {
		switch found := standing(in); {
		case found == contractfleet.StandingForeign && outcome.Own:
			// There is no other name that a redrive would find again.
			outcome = nameTaken(in.Fleet, in.Cluster)
		case found != contractfleet.StandingEnded:
			return contractfleet.RecordedOutcome{Execution: found}, nil
		}
	}
	recorded := contractfleet.RecordedOutcome{Execution: contractfleet.StandingEnded}
	if !in.Fleet.InS3 {
		recorded.Outcome.Outcome = &outcome
		return recorded, nil
	}
	text, err := json.Marshal(outcome)
	if err != nil {
		return contractfleet.RecordedOutcome{}, fmt.Errorf("encode the outcome: %w", err)
	}
	return recorded, r.Store.put(ctx, in.Fleet, outcomeKey(in.Fleet, in.Cluster.Execution), "application/json", bytes.NewReader(text))
}

// standing is what an execution is to the fleet that has described it. A name alone says
// nothing: whoever may start executions can work it out.
func standing(in contractfleet.RecordOutcome) contractfleet.Standing {
	stopped, ended := moment(in.Result.StopDate)
	switch {
	case ended && stopped.Before(in.Fleet.StartedAt), !asks(in.Result.Input, in.Request, in.Cluster.Target):
		return contractfleet.StandingForeign
	case in.Result.Status == running:
		return contractfleet.StandingRunning
	default:
		return contractfleet.StandingEnded
	}
}

// running is the status of an execution that has not ended.
const running = "RUNNING"

// asks reports whether an execution's input asks the cluster what the fleet asks, however
// it is written, and whichever fleet started it.
func asks(text, request json.RawMessage, target contract.Target) bool {
	text, err := unquoted(text)
	if err != nil {
		return false
	}
	var asked, wanted map[string]any
	if json.Unmarshal(text, &asked) != nil || json.Unmarshal(request, &wanted) != nil || wanted == nil {
		return false
	}
	for key, value := range map[string]string{"clusterName": target.ClusterName, "region": target.Region, "roleArn": target.RoleARN} {
		if given, ok := asked[key].(string); given != value || !ok && asked[key] != nil {
			return false
		}
		delete(asked, key)
	}
	delete(asked, startedBy)
	delete(wanted, startedBy)
	return reflect.DeepEqual(asked, wanted)
}

// nameTaken is the outcome of a cluster of which somebody else started even the execution
// with this fleet's own name.
func nameTaken(fleet contractfleet.Fleet, cluster contractfleet.Cluster) contractfleet.Outcome {
	return Bound(fleet, contractfleet.Outcome{
		Target: cluster.Target, Attempt: cluster.Attempt, Status: contractfleet.StatusFailed, Error: contractfleet.NameTakenError, Own: true, Wave: cluster.Wave,
		Cause: fmt.Sprintf("Nothing was started: there is an execution %s, and its input is not what this fleet asks. See who started it, and start another fleet.", cluster.Execution),
	})
}

func (r Recorder) outcome(in contractfleet.RecordOutcome) contractfleet.Outcome {
	result := unwrap(in.Result)
	outcome := contractfleet.Outcome{
		Target: in.Cluster.Target, Attempt: in.Cluster.Attempt, Status: status(result),
		Error: result.Error, Cause: result.Cause, StartedAt: startedAt(result), Seconds: seconds(result), Own: strings.HasSuffix(in.Cluster.Execution, "-"+in.Fleet.Own),
		Wave: in.Cluster.Wave,
	}
	if outcome.Status == contractfleet.StatusSucceeded {
		outcome.Error, outcome.Cause = "", ""
		outcome.Effect = r.effect(in.Fleet.Workflow, result.Output)
		totals, err := r.totals(in.Fleet.Workflow, result.Output)
		if err != nil {
			// It did what it was asked, so it has not failed; the sentence says why the figures are missing.
			outcome.Cause = fmt.Sprintf("Its output has no figures: %v", err)
		}
		outcome.Totals = totals
	}
	if outcome.Status != contractfleet.StatusSucceeded && outcome.Error == "" {
		outcome.Error, outcome.Cause = unnamed(outcome.Status)
	}
	// A second try may have found what the first one had applied in part.
	if in.Fleet.SamePlan && outcome.Error == string(contract.PlanChanged) && outcome.Attempt == 1 {
		outcome.Status = contractfleet.StatusLeftOut
	}
	return Bound(in.Fleet, outcome)
}

func (r Recorder) totals(name string, output json.RawMessage) (map[string]int, error) {
	i := slices.IndexFunc(r.Workflows, func(w workflow.Workflow) bool { return w.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("kubestep has no workflow %q", name)
	}
	read := r.Workflows[i].Figures
	if read == nil {
		return nil, nil
	}
	output, err := unquoted(output)
	if err != nil {
		return nil, err
	}
	totals, err := read(output)
	if err != nil {
		return nil, err
	}
	for len(totals) > maxTotals {
		delete(totals, slices.Max(slices.Collect(maps.Keys(totals))))
	}
	return totals, nil
}

// effect is the digest of what an execution changed, as long as an outcome has it. Where there
// are no figures either, the outcome says why.
func (r Recorder) effect(name string, output json.RawMessage) string {
	i := slices.IndexFunc(r.Workflows, func(w workflow.Workflow) bool { return w.Name == name })
	if i < 0 || r.Workflows[i].Effect == nil {
		return ""
	}
	output, err := unquoted(output)
	if err != nil {
		return ""
	}
	digest, err := r.Workflows[i].Effect(output)
	if err != nil {
		return ""
	}
	return digest[:min(len(digest), contractfleet.EffectLength)]
}

// unquoted is the JSON of an input or an output, which DescribeExecution returns as a string,
// and startExecution.sync:2 as it is.
func unquoted(value json.RawMessage) (json.RawMessage, error) {
	if !bytes.HasPrefix(value, []byte(`"`)) {
		return value, nil
	}
	var text string
	if err := json.Unmarshal(value, &text); err != nil {
		return nil, fmt.Errorf("it is not a string: %w", err)
	}
	return json.RawMessage(text), nil
}

// unwrap finds the execution's own result in the Cause of the state that ran it:
// States.TaskFailed says only that the execution did not succeed.
func unwrap(result contractfleet.ExecutionResult) contractfleet.ExecutionResult {
	var inner contractfleet.ExecutionResult
	if result.Status == "" && json.Unmarshal([]byte(result.Cause), &inner) == nil && inner.Status != "" {
		return inner
	}
	return result
}

// status is FAILED for what never became an execution.
func status(result contractfleet.ExecutionResult) contractfleet.Status {
	switch known := contractfleet.Status(result.Status); known {
	case contractfleet.StatusSucceeded, contractfleet.StatusTimedOut, contractfleet.StatusAborted:
		return known
	default:
		return contractfleet.StatusFailed
	}
}

// unnamed is the error, and the cause, of an execution that ended without one.
func unnamed(status contractfleet.Status) (name, cause string) {
	switch status {
	case contractfleet.StatusTimedOut:
		return "States.Timeout", "The execution ran out of time."
	case contractfleet.StatusAborted:
		return "Aborted", "The execution was stopped."
	default:
		return string(contract.Unexpected), "The execution failed without saying why."
	}
}

// startedAt is the second in which it started, or zero for what never became an execution.
func startedAt(result contractfleet.ExecutionResult) time.Time {
	at, ok := moment(result.StartDate)
	if !ok {
		return time.Time{}
	}
	return at.UTC().Truncate(time.Second)
}

func seconds(result contractfleet.ExecutionResult) float64 {
	from, ok := moment(result.StartDate)
	to, both := moment(result.StopDate)
	if !ok || !both || to.Before(from) {
		return 0
	}
	return float64(to.Sub(from).Round(100*time.Millisecond).Milliseconds()) / 1000
}

func moment(raw json.RawMessage) (time.Time, bool) {
	if milliseconds, err := strconv.ParseFloat(string(raw), 64); err == nil {
		return time.UnixMilli(int64(milliseconds)), true
	}
	var at time.Time
	err := json.Unmarshal(raw, &at)
	return at, err == nil && !at.IsZero()
}

// Bound shortens the error and the cause, and takes tokens out of them, so that the
// outcome is as long as there is room for once it is encoded. A cause begins with what is
// wrong and ends with the fix, so what is cut is its middle.
func Bound(fleet contractfleet.Fleet, o contractfleet.Outcome) contractfleet.Outcome {
	// The roles that end a Forbidden of apply-manifests are YAML for kubectl.
	sentence, _, _ := strings.Cut(o.Cause, "\n---\n")
	cause := strings.TrimSpace(bearer.Redact(sentence))
	o.Error, o.Cause = abbreviate(bearer.Redact(o.Error), maxError), ""
	limit := room(fleet, o.Target)
	// A target of the greatest length leaves no room for all else.
	if encoded(o) > limit {
		o.Error = abbreviate(o.Error, minError)
	}
	if encoded(o) > limit {
		o.StartedAt = time.Time{}
	}
	o.Cause = abbreviate(cause, limit-encoded(o)-len(`"cause":"",`))
	return o
}

// room is how many bytes an outcome may have: an object in S3 what a report needs beside
// its target, and in the state the same or, in a large fleet, its share.
func room(fleet contractfleet.Fleet, target contract.Target) int {
	most := encoded(target) + maxBesideTarget
	if fleet.InS3 {
		return most
	}
	return share(fleet, most)
}

// share is an outcome's share of the room in the state: at most that many bytes.
func share(fleet contractfleet.Fleet, most int) int {
	return min(most, maxInState(fleet.Waves)*contractfleet.MaxOutcomeBytes/max(1, fleet.Clusters))
}

// abbreviate cuts the middle out of a text, between runes, so that it takes at most
// that many bytes in a string of JSON.
func abbreviate(text string, length int) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if inJSON(text) <= length {
		return text
	}
	const ellipsis = "…"
	runes := []rune(text)
	left := length - len(ellipsis)
	begin, end := 0, len(runes)
	for begin < end {
		// From both sides in turn, the beginning first.
		next := runes[begin]
		if begin > len(runes)-end {
			next = runes[end-1]
		}
		if left -= inJSON(string(next)); left < 0 {
			break
		}
		if begin > len(runes)-end {
			end--
		} else {
			begin++
		}
	}
	if begin == 0 {
		return ""
	}
	return string(runes[:begin]) + ellipsis + string(runes[end:])
}

// inJSON is how many bytes a text takes in a string of JSON.
func inJSON(text string) int { return encoded(text) - len(`""`) }

// encoded is how many bytes a value takes in JSON, where < takes six.
func encoded(value any) int {
	text, err := json.Marshal(value)
	if err != nil {
		return 0 // strings and numbers encode
	}
	return len(text)
}
