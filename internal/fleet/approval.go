package fleet

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kubestep/kubestep/internal/contract"
	contractfleet "github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/internal/input"
)

// A rollout may wait for an approval before it begins, and at the gate of a wave. A decision is about a digest of all that
// the rollout goes on to change, and only the function approve can make one.

const (
	approvalExample = `{"topicArn": "arn:aws:sns:eu-west-1:111122223333:changes", "timeoutSeconds": 28800}`
	// approvalSeconds is how long to wait if the input does not say, and minApprovalSeconds how long
	// at least.
	approvalSeconds, minApprovalSeconds = 8 * 3600, 60
	// gateDigestBytes are the bytes of a digest, which has 24 characters as a plan's.
	gateDigestBytes = 18
	// maxApprover and maxReason bound what a report says of a decision.
	maxApprover, maxReason = 120, 300
	// maxAsked bounds what a message says of the request.
	maxAsked = 500
	// statesTimeout is the error of a state whose time is over.
	statesTimeout = "States.Timeout"
)

// Verifier verifies that the function approve made a decision.
type Verifier interface {
	Verify(execution string, d contract.Decision) error
}

// readApproval reads how to ask for an approval; it is zero without one.
func (d Finder) readApproval(f *input.Fields, key string) contractfleet.Approve {
	nested, given := f.Object(key, approvalExample)
	if !given {
		return contractfleet.Approve{}
	}
	approve := contractfleet.Approve{TimeoutSeconds: approvalSeconds}
	nested.String("topicArn", &approve.TopicARN)
	input.CheckTopic(nested, "topicArn", approve.TopicARN)
	nested.Int("timeoutSeconds", &approve.TimeoutSeconds)
	if most := int(contractfleet.MaxSoak.Seconds()); approve.TimeoutSeconds < minApprovalSeconds || approve.TimeoutSeconds > most {
		nested.Problem("timeoutSeconds", "%d: expected %d to %d, because an execution of a fleet ends after a day", approve.TimeoutSeconds, minApprovalSeconds, most)
	}
	if !d.Approves {
		f.Problem(key, "nobody can approve in this stack: deploy it with EnableApply=true, which has the function approve")
	}
	return approve
}

// ask waits for the approval of the gate of next, if it needs one, after a round of its wave with
// those outcomes.
func (s Summarizer) ask(ctx context.Context, in contractfleet.Summarize, next contractfleet.Run, outcomes []contractfleet.Outcome) (contractfleet.Run, error) {
	approve := next.Waves[next.Wave-1].Gate.Approval
	if approve.TimeoutSeconds == 0 {
		return s.open(ctx, in, next, outcomes)
	}
	wait := left(s.age(in)) - spare
	if next.Wave < len(next.Waves) {
		wait -= contractfleet.MaxRun // so that a cluster of the next wave can begin
	}
	if wait < minApprovalSeconds*time.Second {
		return s.stopBefore(ctx, in, next, noTime)
	}
	approve.TimeoutSeconds = min(approve.TimeoutSeconds, int(wait.Seconds()))
	targets, err := s.waiting(ctx, in.Fleet, next, maxNames)
	if err != nil {
		return contractfleet.Run{}, err
	}
	rollout, err := rolloutOf(in.Fleet, next, next.Wave, targets, in.Request, approve)
	if err != nil {
		return contractfleet.Run{}, err
	}
	next.Gate.Stage, next.Gate.Rollout, next.Verdict = contractfleet.StageApproval, rollout, contractfleet.VerdictApproval
	next.Gate.Failure, next.Gate.Decision = contractfleet.Refusal{}, contract.Decision{}
	if err := s.waitAtGate(ctx, in, next, outcomes); err != nil {
		return contractfleet.Run{}, err
	}
	return lay(ctx, s.Store, in.Fleet, next, nil)
}

// beginLater is the run of a fleet that waits for an approval, in the place of its first round.
func beginLater(ctx context.Context, objects Store, fleet contractfleet.Fleet, run contractfleet.Run, targets []contract.Target, asked json.RawMessage, approve contractfleet.Approve) (contractfleet.Run, error) {
	rollout, err := rolloutOf(fleet, run, 0, targets, asked, approve)
	if err != nil {
		return contractfleet.Run{}, err
	}
	run.Begun, run.Pending, run.Verdict = 0, targets, contractfleet.VerdictApproval
	run.Gate = contractfleet.Passage{Stage: contractfleet.StageAsk, Rollout: rollout}
	return lay(ctx, objects, fleet, run, nil)
}

// rolloutOf is what there is to approve after that many waves, given the first clusters that have
// not begun, and what each is asked.
func rolloutOf(fleet contractfleet.Fleet, run contractfleet.Run, waves int, targets []contract.Target, asked json.RawMessage, approve contractfleet.Approve) (contractfleet.Rollout, error) {
	rollout := contractfleet.Rollout{
		Name: fleet.Name, Workflow: fleet.Workflow, Request: abbreviate(requestJSON(asked), maxAsked), Approve: approve,
		Done: []contractfleet.WaveDone{}, Next: contractfleet.WaveNext{Names: []string{}},
	}
	for _, w := range run.Waves[:waves] {
		rollout.Wave = w.Name
		rollout.Done = append(rollout.Done, contractfleet.WaveDone{Name: w.Name, Clusters: w.Clusters, Failed: w.Failed, LeftOut: w.LeftOut, Jobs: w.Jobs})
	}
	if fleet.Output.Bucket != "" {
		rollout.Report = "s3://" + fleet.Output.Bucket + "/" + pageKey(fleet)
	}
	switch {
	case len(run.Waves) == 0:
		rollout.Next.Clusters = fleet.Clusters
	case waves < len(run.Waves):
		rollout.Next.Name, rollout.Next.Clusters = run.Waves[waves].Name, run.Waves[waves].Clusters
		rollout.Later = fleet.Clusters - end(fleet, run.Waves, waves+1)
	}
	for _, target := range targets[:min(len(targets), maxNames, rollout.Next.Clusters)] {
		rollout.Next.Names = append(rollout.Next.Names, target.ClusterName)
	}
	var err error
	rollout.Digest, err = gateDigest(fleet, waves)
	return rollout, err
}

// waiting are the first clusters that have not begun.
func (s Summarizer) waiting(ctx context.Context, fleet contractfleet.Fleet, run contractfleet.Run, most int) ([]contract.Target, error) {
	if !fleet.InS3 {
		return run.Pending[:min(most, len(run.Pending))], nil
	}
	all, err := frozen(ctx, s.Store, fleet, run.Waves)
	if err != nil {
		return nil, err
	}
	from := min(run.Begun, len(all))
	return targetsOf(all[from:min(from+most, len(all))]), nil
}

// frozen reads the list of all clusters, which nobody may have changed: of what it says, only the clusters count.
func frozen(ctx context.Context, objects Store, fleet contractfleet.Fleet, waves []contractfleet.Wave) ([]contractfleet.Cluster, error) {
	all, err := objects.list(ctx, fleet, allKey(fleet))
	if err != nil {
		return nil, err
	}
	targets := targetsOf(all)
	digest, err := frozenDigest(targets)
	if err != nil {
		return nil, err
	}
	switch {
	case fleet.Frozen == "": // of an execution that began before there was a digest
		return all, nil
	case digest != fleet.Frozen:
		return nil, changed(fleet, allKey(fleet), "list of clusters")
	}
	return first(fleet, waves, targets, 0), nil
}

// written reads a list of a fleet that has that digest, which is empty if the execution began before there was one.
func (s Summarizer) written(ctx context.Context, fleet contractfleet.Fleet, key, digest string) ([]contractfleet.Cluster, error) {
	clusters, err := s.Store.list(ctx, fleet, key)
	if err != nil {
		return nil, err
	}
	found, err := digestOf(clusters)
	if err == nil && digest != "" && found != digest {
		err = changed(fleet, key, "list of clusters")
	}
	return clusters, err
}

func targetsOf(clusters []contractfleet.Cluster) []contract.Target {
	targets := make([]contract.Target, len(clusters))
	for i, c := range clusters {
		targets[i] = c.Target
	}
	return targets
}

// frozenDigest is the digest of a list of clusters in their order.
func frozenDigest(targets []contract.Target) (string, error) { return digestOf(targets) }

// gateDigest is what a decision about the gate after that many waves must name: no other gate, no
// other execution, and no other list of clusters or request has it.
func gateDigest(fleet contractfleet.Fleet, wave int) (string, error) {
	return digestOf([]any{fleet.Execution, wave, fleet.Frozen, fleet.Digest})
}

func digestOf(value any) (string, error) {
	text, err := json.Marshal(value)
	if err != nil { // text and numbers encode
		return "", fmt.Errorf("encode what is to be approved: %w", err)
	}
	sum := sha256.Sum256(text)
	return base64.RawURLEncoding.EncodeToString(sum[:gateDigestBytes]), nil
}

// judge goes on as somebody decided about the gate, if anybody did.
func (s Summarizer) judge(ctx context.Context, in contractfleet.Summarize, next contractfleet.Run) (contractfleet.Run, error) {
	if why := s.unapproved(in); why != "" {
		return s.refuse(ctx, in, why)
	}
	approved := contractfleet.Approved{By: abbreviate(in.Run.Gate.Decision.By, maxApprover), At: in.Run.Gate.Decision.At}
	if in.Run.Gate.Wave == 0 {
		in.Run.Gate, next.Gate, in.Run.Approved, next.Approved = contractfleet.Passage{}, contractfleet.Passage{}, approved, approved
		return s.begin(ctx, in, next, nil)
	}
	next.Waves = slices.Clone(next.Waves)
	next.Waves[next.Wave-1].Approved = approved
	return s.open(ctx, in, next, nil)
}

// unapproved says why the gate is not approved; it is empty if it is.
func (s Summarizer) unapproved(in contractfleet.Summarize) string {
	gate := in.Run.Gate
	decision := gate.Decision
	switch failure := gate.Failure; {
	case failure.Error == statesTimeout:
		return fmt.Sprintf("nobody approved it within %s", time.Duration(gate.Rollout.TimeoutSeconds)*time.Second)
	case failure.Error != "":
		return fmt.Sprintf("its approval could not be requested: %s: %s", failure.Error, abbreviate(sentence(failure.Cause), maxBesideTarget))
	case s.Sealer == nil || s.Sealer.Verify(in.Fleet.Execution, decision) != nil:
		return "its approval does not come from the function approve: somebody sent it with the task token. See who, in CloudTrail"
	case decision.Digest != gate.Rollout.Digest:
		return "what was approved is another gate"
	case !decision.Approved:
		why := "it was rejected"
		if decision.By != "" {
			why += " by " + abbreviate(decision.By, maxApprover)
		}
		if decision.Reason != "" {
			why += ": " + abbreviate(strings.TrimSuffix(decision.Reason, "."), maxReason)
		}
		return why
	default:
		return ""
	}
}

// sentence is the message of a function's error, whose cause is JSON.
func sentence(cause string) string {
	var said struct {
		ErrorMessage string `json:"errorMessage"`
	}
	if json.Unmarshal([]byte(cause), &said) != nil || said.ErrorMessage == "" {
		return cause
	}
	return said.ErrorMessage
}
