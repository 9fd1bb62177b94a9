package contract

import (
	"encoding/json"
	"time"
)

// ClustersFailed is the error of a fleet of which more clusters failed than are
// tolerated. It is no ErrorName: the machine raises it, not a function.
const ClustersFailed = "ClustersFailed"

const (
	// MaxFleetClusters bounds the clusters of a fleet.
	MaxFleetClusters = 10_000
	// MaxFleetInState is how many clusters, and then outcomes, pass between states. A
	// larger fleet needs an output in S3.
	MaxFleetInState = 500
	// MaxOutcomeBytes bounds an outcome: MaxFleetInState of them leave room for the
	// rest of the document in the 256 KiB that Step Functions allows.
	MaxOutcomeBytes = 400
	// MaxAttempts is how often a cluster is tried: a second time if the first failed
	// for a reason that may have passed.
	MaxAttempts = 2
)

// FindClusters is the payload of find-clusters.
type FindClusters struct {
	// Execution is the ARN of the fleet's execution.
	Execution string    `json:"execution"`
	StartedAt time.Time `json:"startedAt"`
	// Input is the execution input as it was given, unchecked.
	Input json.RawMessage `json:"input"`
}

// FoundClusters is the result of find-clusters.
type FoundClusters struct {
	Fleet Fleet `json:"fleet"`
	// Request is what each cluster is asked: the workflow's input without the target.
	Request json.RawMessage `json:"request"`
	Run     FleetRun        `json:"run"`
}

// Fleet is what the states share.
type Fleet struct {
	// Name begins the name of each cluster's execution. It is the name of the fleet's
	// execution, unless the input says otherwise.
	Name string `json:"name"`
	// Execution is the ARN of the fleet's execution.
	Execution string    `json:"execution"`
	StartedAt time.Time `json:"startedAt"`
	Workflow  string    `json:"workflow"`
	// StateMachineARN is what runs the workflow, and Executions begins the ARNs of its executions.
	StateMachineARN string `json:"stateMachineArn"`
	Executions      string `json:"executions"`
	// Digest tells apart fleets of one name that ask the clusters different things: it is
	// part of the names of their executions.
	Digest string `json:"digest"`
	// Own ends the name of an execution that this fleet starts because the shared name
	// belongs to an execution that had ended before this fleet began.
	Own string `json:"own"`
	// Changes reports whether what is asked changes the clusters. Then nothing is started
	// once more clusters have failed than are tolerated.
	Changes bool `json:"changes"`
	// Clusters is how many there are.
	Clusters    int `json:"clusters"`
	Concurrency int `json:"concurrency"`
	// Tolerated is how many clusters may fail without failing the fleet.
	Tolerated int `json:"tolerated"`
	// InS3 reports whether clusters and outcomes are in Output, not in the state.
	InS3 bool `json:"inS3"`
	// Output is where the report is written; its bucket is empty if nowhere.
	Output Destination `json:"output"`
}

// FleetRun is where a fleet stands: what the next Map runs and, once there is nothing
// left to run, what became of it.
type FleetRun struct {
	// Round counts the Maps, from 1.
	Round int `json:"round"`
	// Attempt is 1, or 2 for those that are tried again.
	Attempt int `json:"attempt"`
	// Clusters are those to run. The list at the key List of the output's bucket takes
	// their place if the fleet is in S3.
	Clusters []FleetCluster `json:"clusters"`
	List     string         `json:"list"`
	// Size is how many there are to run.
	Size int `json:"size"`
	// Begun is how many clusters of the fleet have been given to a Map so far, and
	// Pending are the others; it is empty if they are in S3.
	Begun   int      `json:"begun"`
	Pending []Target `json:"pending"`
	// Failed is how many clusters have failed for good so far.
	Failed int `json:"failed"`
	// Outcomes are those that are settled; empty if they are in S3.
	Outcomes []FleetOutcome `json:"outcomes"`
	Verdict  Verdict        `json:"verdict"`
	// Summary is empty before all outcomes are settled.
	Summary FleetSummary `json:"summary"`
	// Cause is the sentence of ClustersFailed.
	Cause string `json:"cause"`
}

// FleetRan is a FleetRun after its Map: in the place of the clusters are their outcomes.
type FleetRan struct {
	Round    int            `json:"round"`
	Attempt  int            `json:"attempt"`
	Clusters []FleetOutcome `json:"clusters"`
	List     string         `json:"list"`
	Size     int            `json:"size"`
	Begun    int            `json:"begun"`
	Pending  []Target       `json:"pending"`
	Failed   int            `json:"failed"`
	Outcomes []FleetOutcome `json:"outcomes"`
}

// FleetCluster is a cluster that is to be run.
type FleetCluster struct {
	Target Target `json:"target"`
	// Execution is the name of its execution.
	Execution string `json:"execution"`
	Attempt   int    `json:"attempt"`
}

// OutcomeStatus is how the execution for a cluster ended.
type OutcomeStatus string

// The statuses are those of Step Functions, and one for what never became an execution.
const (
	Succeeded OutcomeStatus = "SUCCEEDED"
	Failed    OutcomeStatus = "FAILED"
	TimedOut  OutcomeStatus = "TIMED_OUT"
	Aborted   OutcomeStatus = "ABORTED"
	// NotStarted means that the fleet stopped before: too many clusters had failed.
	NotStarted OutcomeStatus = "NOT_STARTED"
)

// NotStartedError is the error of a cluster that is NotStarted.
const NotStartedError = "NotStarted"

// OutcomeStatuses are all there are, the best first.
func OutcomeStatuses() []OutcomeStatus {
	return []OutcomeStatus{Succeeded, Failed, TimedOut, Aborted, NotStarted}
}

// Failed reports whether the cluster was tried and did not succeed.
func (o FleetOutcome) Failed() bool { return o.Status != Succeeded && o.Status != NotStarted }

// FleetOutcome is what became of a cluster, in at most MaxOutcomeBytes.
type FleetOutcome struct {
	Target
	// Attempt is 0 for a cluster that is NotStarted.
	Attempt int           `json:"attempt"`
	Status  OutcomeStatus `json:"status"`
	// Error is the name, and Cause the sentence, clipped; both are empty if it succeeded.
	Error string `json:"error,omitempty"`
	Cause string `json:"cause,omitempty"`
	// Totals are the workflow's figures by name, such as pods and unhealthy.
	Totals map[string]int `json:"totals,omitempty"`
	// StartedAt is when the execution started. It is before the fleet's own start if a
	// fleet of the same name and request had started the execution.
	StartedAt time.Time `json:"startedAt,omitzero"`
	Seconds   float64   `json:"seconds"`
	// Own reports whether the name of the execution ends in Fleet.Own.
	Own bool `json:"own,omitempty"`
}

// RecordOutcome is the payload of record-outcome.
type RecordOutcome struct {
	Fleet   Fleet           `json:"fleet"`
	Cluster FleetCluster    `json:"cluster"`
	Result  ExecutionResult `json:"result"`
}

// ExecutionResult is how an execution ended, in one of the forms in which Step
// Functions tells it: the description of an execution, or the Error and Cause of a
// state, whose Cause may hold a description in turn.
type ExecutionResult struct {
	Status string `json:"Status"`
	// Output is JSON, or JSON in a string.
	Output json.RawMessage `json:"Output"`
	Error  string          `json:"Error"`
	Cause  string          `json:"Cause"`
	// StartDate and StopDate are milliseconds since 1970, or RFC 3339.
	StartDate json.RawMessage `json:"StartDate"`
	StopDate  json.RawMessage `json:"StopDate"`
}

// RecordedOutcome is the result of record-outcome: the outcome, or nothing if it is in S3.
type RecordedOutcome struct {
	*FleetOutcome
}

// Summarize is the payload of summarize.
type Summarize struct {
	Fleet Fleet `json:"fleet"`
	// Request is what each cluster was asked, for the report.
	Request json.RawMessage `json:"request"`
	Run     FleetRan        `json:"run"`
}

// Verdict is what the machine does next.
type Verdict string

const (
	// TryAgain runs the clusters that are worth a second try.
	TryAgain Verdict = "TryAgain"
	// GoOn runs the next clusters of a fleet that changes them.
	GoOn Verdict = "GoOn"
	// Tolerable means that no more clusters failed than are tolerated.
	Tolerable Verdict = "Tolerable"
	// Intolerable fails with ClustersFailed.
	Intolerable Verdict = "Intolerable"
)

// FleetSummary adds up the outcomes.
type FleetSummary struct {
	Fleet    string `json:"fleet"`
	Workflow string `json:"workflow"`
	Clusters int    `json:"clusters"`
	// ByStatus counts the clusters.
	ByStatus map[OutcomeStatus]int `json:"byStatus"`
	// Totals adds up the clusters' figures.
	Totals map[string]int `json:"totals"`
	// Failures are the errors, the most frequent first.
	Failures []FleetFailure `json:"failures"`
	// Report is null if the input has no output.
	Report *FleetReport `json:"report"`
}

// FleetFailure is one error name, and whom it hit.
type FleetFailure struct {
	Error    string `json:"error"`
	Clusters int    `json:"clusters"`
	// Names are the first of them, and Cause is that of the first.
	Names []string `json:"names"`
	Cause string   `json:"cause"`
}

// FleetReport is where the report is in S3.
type FleetReport struct {
	Bucket string `json:"bucket"`
	HTML   string `json:"html"`
	CSV    string `json:"csv"`
	JSON   string `json:"json"`
	// Failed lists the clusters that failed: the source of a fleet that runs them again.
	Failed string `json:"failed"`
	// Again is the command that runs them; empty if no cluster failed. The list does not
	// hold what they were asked.
	Again string `json:"again"`
	// NotStarted lists the clusters that were not started, and Continue is the command
	// that goes on with them. Both are empty if there are none.
	NotStarted string `json:"notStarted"`
	Continue   string `json:"continue"`
}

// FleetOutput is the output of an execution of a fleet.
type FleetOutput struct {
	Summary FleetSummary `json:"summary"`
	// Outcomes are those of all clusters; empty if they are in S3.
	Outcomes []FleetOutcome `json:"outcomes"`
}

// PodFigures are what a fleet reads of the output of pod-inventory, a PodInventory: without
// the rows, which take longer to read than all else that is done for a cluster.
type PodFigures struct {
	Pods struct {
		Total int `json:"total"`
		// Unhealthy is nil in the output of a version that did not count them.
		Unhealthy *int `json:"unhealthy"`
	} `json:"pods"`
}

// Figures are what a fleet adds up of an execution: the pods, and the unhealthy ones as
// the inventory counts them.
func (o PodFigures) Figures() map[string]int {
	figures := map[string]int{"pods": o.Pods.Total}
	if o.Pods.Unhealthy != nil {
		figures["unhealthy"] = *o.Pods.Unhealthy
	}
	return figures
}

// Figures are what a fleet adds up of an execution: the objects by what applying does
// to them, and the clusters that were not as the manifests say.
func (r ApplyResult) Figures() map[string]int {
	drift := 0
	if r.Drift {
		drift = 1
	}
	return map[string]int{"created": r.Plan.Created, "configured": r.Plan.Configured, "unchanged": r.Plan.Unchanged, "applied": r.Applied, "drift": drift}
}
