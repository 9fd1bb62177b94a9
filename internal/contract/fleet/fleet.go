// Package fleet is what passes between the states of the machine fleet, which runs a
// workflow on many clusters.
package fleet

import (
	"encoding/json"
	"time"

	"github.com/kubestep/kubestep/internal/contract"
)

// Name is the workflow's: it is in the names of its machine and of its files.
const Name = "fleet"

// ClustersFailed is the error of a fleet of which more clusters failed than are
// tolerated. It is no ErrorName: the machine raises it, not a function.
const ClustersFailed = "ClustersFailed"

// RolloutFailed is the error of a fleet with waves that stopped, and in place of
// ClustersFailed: its cause says which clusters are changed, or that none is any more. The
// machine raises it.
const RolloutFailed = "RolloutFailed"

// RollbackFailed is the error of a rollout that failed, was to be rolled back, and has left
// clusters changed: its cause says which. The machine raises it.
const RollbackFailed = "RollbackFailed"

const (
	// MaxClusters bounds the clusters of a fleet.
	MaxClusters = 10_000
	// DefaultConcurrency is how many clusters run at once if the input does not say.
	DefaultConcurrency = 40
	// MaxConcurrency bounds the clusters that run at once.
	MaxConcurrency = 1000
	// MaxInState is how many clusters, and then outcomes, pass between states. A
	// larger fleet needs an output in S3.
	MaxInState = 500
	// MaxOutcomeBytes bounds an outcome of the largest fleet in the state: MaxInState of
	// them leave room for the rest of the document in the 256 KiB that Step Functions
	// allows. The outcomes of a smaller fleet share that room.
	MaxOutcomeBytes = 400
	// EffectLength is how many characters an outcome's effect has.
	EffectLength = 12
	// MaxEffects is how many effects a summary has.
	MaxEffects = 8
	// MaxWaves bounds the waves of a fleet, which are in the state.
	MaxWaves = 20
	// MaxWavesBytes bounds what they are in JSON.
	MaxWavesBytes = 8 << 10
	// MaxInStateOfWaves is how many clusters of a fleet with waves pass between states.
	MaxInStateOfWaves = 400
	// MaxSoak is how long all waves may soak: the rest of the time is for the clusters.
	MaxSoak = 20 * time.Hour
	// MaxDuration is how long an execution of the fleet may take.
	MaxDuration = 24 * time.Hour
	// MaxRun is how long the execution of a cluster may take that changes it.
	MaxRun = 90 * time.Minute
	// MaxAttempts is how often a cluster is tried: a second time if the first failed
	// for a reason that may have passed.
	MaxAttempts = 2
)

// Document is the document of an execution.
type Document struct {
	// Fleet is what the states share: the name, the workflow, how many may fail, and where
	// the report goes.
	Fleet Fleet `json:"fleet"`
	// Request is what each cluster is asked.
	Request json.RawMessage `json:"request"`
	// Former is what each cluster is asked to be rolled back, which is Request then, and this
	// what was asked before. It is an empty object if nothing is rolled back.
	Former json.RawMessage `json:"former"`
	// Jobs are what the gates of waves ask of run-job, from place 1: at 0 is an empty object.
	Jobs []json.RawMessage `json:"jobs"`
	// Run are the clusters, and their outcomes so far.
	Run Run `json:"run"`
}

// RanDocument is a Document after its Map.
type RanDocument struct {
	Fleet   Fleet             `json:"fleet"`
	Request json.RawMessage   `json:"request"`
	Former  json.RawMessage   `json:"former"`
	Jobs    []json.RawMessage `json:"jobs"`
	Run     Ran               `json:"run"`
}

// Item is the document of an item of the Map.
type Item struct {
	// Fleet is what the items share, with the task of the round: its workflow, and what runs that.
	Fleet Fleet `json:"fleet"`
	// Request is what this cluster is asked.
	Request json.RawMessage `json:"request"`
	// Cluster is the cluster of this item.
	Cluster Cluster `json:"cluster" path:"$$.Map.Item.Value"`
	// Result is how the execution of the cluster ended.
	Result ExecutionResult `json:"result"`
	// Found is what record-outcome says of an execution that was there before.
	Found RecordedOutcome `json:"found"`
}

// The functions, in their order.
const (
	FunctionFindClusters  contract.Function[FindClusters, FoundClusters]    = "FindClusters"
	FunctionRecordOutcome contract.Function[RecordOutcome, RecordedOutcome] = "RecordOutcome"
	FunctionSummarize     contract.Function[Summarize, Run]                 = "Summarize"
	// FunctionRequestApproval is that of apply-manifests, which tells a topic.
	FunctionRequestApproval contract.Function[RequestApproval, contract.RequestedApproval] = "RequestApproval"
)

// FindClusters is the payload of find-clusters.
type FindClusters struct {
	// Execution is the ARN of the fleet's execution.
	Execution string    `json:"execution" path:"$$.Execution.Id"`
	StartedAt time.Time `json:"startedAt" path:"$$.Execution.StartTime"`
	// Input is the execution input as it was given, unchecked.
	Input json.RawMessage `json:"input" path:"$$.Execution.Input"`
	// Fleet and Run are where a fleet stands that is about to end: then those clusters are
	// found that have appeared since it began. They are empty before it begins.
	Fleet Fleet `json:"fleet"`
	Run   Run   `json:"run"`
}

// FoundClusters is the result of find-clusters.
type FoundClusters struct {
	Fleet Fleet `json:"fleet"`
	// Request is what each cluster is asked: the workflow's input without the target.
	Request json.RawMessage `json:"request"`
	Former  json.RawMessage `json:"former"`
	// Jobs are what the gates of waves ask of run-job.
	Jobs []json.RawMessage `json:"jobs"`
	Run  Run               `json:"run"`
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
	// Jobs is what the gates of waves run; empty if none runs a Job.
	Jobs Task `json:"jobs"`
	// Frozen is a digest of the list of clusters in their order.
	Frozen string `json:"frozen"`
	// Digest tells apart fleets of one name that ask the clusters different things: it is
	// part of the names of their executions.
	Digest string `json:"digest"`
	// Own ends the name of an execution that this fleet starts because the shared name
	// belongs to an execution that is foreign.
	Own string `json:"own"`
	// Changes reports whether what is asked changes the clusters. Then nothing is started
	// once more clusters have failed than are tolerated.
	Changes bool `json:"changes"`
	// SamePlan reports whether clusters are left out in which the request would do something else
	// than its effect says.
	SamePlan bool `json:"samePlan"`
	// OnFailure says what happens once a wave has failed.
	OnFailure OnFailure `json:"onFailure"`
	// Approve is the approval that was waited for before the first cluster.
	Approve Approve `json:"approve"`
	// ManifestsVersion is the version of the manifests in S3 that all clusters are asked to apply,
	// if the request names none: empty if the bucket keeps none.
	ManifestsVersion string `json:"manifestsVersion"`
	// FormerDigest takes the place of Digest in the names of the executions that roll back.
	FormerDigest string `json:"formerDigest"`
	// Clusters is how many there are.
	Clusters    int `json:"clusters"`
	Concurrency int `json:"concurrency"`
	// Tolerated is how many clusters may fail without failing the fleet. If it has waves,
	// each has a tolerance of its own, and this is their sum.
	Tolerated int `json:"tolerated"`
	// Lists reports whether the clusters are listed once more at the end: they were listed at the
	// beginning, of Regions, and change in waves.
	Lists bool `json:"lists"`
	// Waves is how many waves there are.
	Waves int `json:"waves"`
	// InS3 reports whether clusters and outcomes are in Output, not in the state.
	InS3 bool `json:"inS3"`
	// Output is where the report is written; its bucket is empty if nowhere.
	Output contract.Destination `json:"output"`
	// Lock is what lets no other rollout of the same set begin while this one runs; its bucket is
	// empty if there is none.
	Lock Lock `json:"lock"`
}

// Lock is an object that names the execution which has it.
type Lock struct {
	Bucket string `json:"bucket"`
	Key    string `json:"key"`
	// Set is what is locked, as NAMESPACE/NAME.
	Set string `json:"set"`
}

// OnFailure is what a rollout does once a wave has failed.
type OnFailure string

const (
	// OnFailureStop begins nothing else, and is the default.
	OnFailureStop OnFailure = "stop"
	// OnFailureContinue begins all the same what is left, and fails at the end.
	OnFailureContinue OnFailure = "continue"
	// OnFailureRollback applies the former version to the clusters that are changed, or may be.
	OnFailureRollback OnFailure = "rollback"
)

// OnFailures are all there are.
func OnFailures() []OnFailure {
	return []OnFailure{OnFailureStop, OnFailureContinue, OnFailureRollback}
}

// Task is a workflow that runs on clusters.
type Task struct {
	Workflow string `json:"workflow"`
	// StateMachineARN is what runs it, and Executions begins the ARNs of its executions.
	StateMachineARN string `json:"stateMachineArn"`
	Executions      string `json:"executions"`
}

// Run is where a fleet stands: what the next Map runs and, once there is nothing
// left to run, what became of it.
type Run struct {
	// Round counts the Maps, from 1.
	Round int `json:"round"`
	// Attempt is 1, or 2 for those that are tried again.
	Attempt int `json:"attempt"`
	// Clusters are those to run. The list at the key List of the output's bucket takes
	// their place if the fleet is in S3.
	Clusters []Cluster `json:"clusters"`
	List     string    `json:"list"`
	// Digest is of the list at List: whoever may write there may have changed it meanwhile.
	Digest string `json:"digest"`
	// Size is how many there are to run.
	Size int `json:"size"`
	// Begun is how many clusters of the fleet have been given to a Map so far, and
	// Pending are the others; it is empty if they are in S3.
	Begun   int               `json:"begun"`
	Pending []contract.Target `json:"pending"`
	// Failed is how many clusters have failed for good so far: of the wave, if there are waves.
	Failed int `json:"failed"`
	// LeftOut is how many clusters of the wave were left out so far.
	LeftOut int `json:"leftOut"`
	// Waves are the fleet's, in the order in which they run; empty if it has none. All that
	// are in a wave are in the order of the waves: Pending, and the list in S3.
	Waves []Wave `json:"waves"`
	// Wave is the number of the wave that runs, from 1. It is 0 if all clusters run at once:
	// there are no waves, or nothing that is asked changes a cluster.
	Wave int `json:"wave"`
	// Concurrency is how many clusters run at once now.
	Concurrency int `json:"concurrency"`
	// Task is what runs on them. Asks is 0 if they are asked what the fleet asks, and 1 if that is
	// the Job of a gate, at the place Job of Document.Jobs.
	Task Task `json:"task"`
	Asks int  `json:"asks"`
	Job  int  `json:"job"`
	// Gate is the gate that is being passed, instead of a round.
	Gate Passage `json:"gate"`
	// Approved is who has approved that the fleet begins, and when.
	Approved Approved `json:"approved"`
	// Rollback is where the rollback of a rollout that failed stands.
	Rollback RollingBack `json:"rollback"`
	// Ending is what is known of a fleet that ends once its clusters are listed again.
	Ending Ending `json:"ending"`
	// Outcomes are those that are settled; empty if they are in S3.
	Outcomes []Outcome `json:"outcomes"`
	Verdict  Verdict   `json:"verdict"`
	// Summary is empty before all outcomes are settled.
	Summary Summary `json:"summary"`
	// Cause is the sentence of ClustersFailed, RolloutFailed or RollbackFailed.
	Cause string `json:"cause"`
}

// Ran is a Run after its Map: in the place of the clusters are their outcomes.
type Ran struct {
	Round    int               `json:"round"`
	Attempt  int               `json:"attempt"`
	Clusters []Outcome         `json:"clusters"`
	List     string            `json:"list"`
	Digest   string            `json:"digest"`
	Size     int               `json:"size"`
	Begun    int               `json:"begun"`
	Pending  []contract.Target `json:"pending"`
	Failed   int               `json:"failed"`
	LeftOut  int               `json:"leftOut"`
	Waves    []Wave            `json:"waves"`
	Wave     int               `json:"wave"`
	Gate     Passage           `json:"gate"`
	Approved Approved          `json:"approved"`
	Rollback RollingBack       `json:"rollback"`
	Ending   Ending            `json:"ending"`
	Outcomes []Outcome         `json:"outcomes"`
}

// RollingBack is where a rollback stands.
type RollingBack struct {
	// Begun reports whether the rollout is being rolled back, or was.
	Begun bool `json:"begun"`
	// Why says why it failed.
	Why string `json:"why"`
	// Clusters is how many are to be rolled back: those of a list in S3, the last wave first.
	// Laid is how many of them have been given to a Map.
	Clusters int `json:"clusters"`
	Laid     int `json:"laid"`
	// Digest is of that list.
	Digest string `json:"digest"`
}

// Ending is what is known of a fleet of which only the report is left.
type Ending struct {
	// Begun reports whether it ends.
	Begun bool `json:"begun"`
	// Why says why nothing else of it began; empty if nothing is left.
	Why string `json:"why"`
	// Appeared are the clusters that were not there when it began.
	Appeared Appeared `json:"appeared"`
}

// Appeared counts the clusters that were not there when the fleet began, and were not changed.
type Appeared struct {
	Clusters int `json:"clusters"`
	// Names are the first of them.
	Names []string `json:"names"`
	// Failure says why nobody knows; empty if it is known.
	Failure string `json:"failure"`
}

// Wave is a part of a fleet that changes its clusters. It begins when the wave before it
// has ended, and not at all if more clusters failed there than are tolerated.
type Wave struct {
	Name string `json:"name"`
	// Clusters is how many it has: those that follow the wave before.
	Clusters    int `json:"clusters"`
	Concurrency int `json:"concurrency"`
	// Tolerated is how many of them may fail.
	Tolerated int `json:"tolerated"`
	// Gate is what must be passed once the clusters have ended.
	Gate Gate `json:"gate"`
	// Failed is how many of its clusters have failed, once it has ended, and LeftOut how many were
	// left out.
	Failed  int `json:"failed,omitempty"`
	LeftOut int `json:"leftOut,omitempty"`
	// Jobs is in how many clusters the Job of the gate has succeeded.
	Jobs int `json:"jobs,omitempty"`
	// Approved is who has approved the gate, and when.
	Approved Approved `json:"approved,omitzero"`
}

// Approved is who has approved a gate, as they say, and when.
type Approved struct {
	By string    `json:"by"`
	At time.Time `json:"at"`
}

// Gate is between a wave that has ended well and the next one.
type Gate struct {
	// SoakSeconds is how long nothing happens, before anything is looked at.
	SoakSeconds int `json:"soakSeconds"`
	// Alarms are the names of alarms of CloudWatch that must be OK then, in the Region and the
	// account of the fleet.
	Alarms []string `json:"alarms"`
	// Job is what must succeed then in clusters of the wave.
	Job GateJob `json:"job,omitzero"`
	// Approval is waited for at the end.
	Approval Approve `json:"approval,omitzero"`
}

// Approve says how long to wait for an approval, and where to ask for it.
type Approve struct {
	// TopicARN is the SNS topic that is told what there is to approve; empty for none.
	TopicARN string `json:"topicArn"`
	// TimeoutSeconds is 0 if no approval is needed.
	TimeoutSeconds int `json:"timeoutSeconds"`
}

// GateJob is a Job that is run in each cluster of a wave that succeeded, or in the first of them.
type GateJob struct {
	// Request is the place of what is asked in Document.Jobs; 0 for no Job.
	Request int `json:"request"`
	// Digest is part of the names of the executions, as Fleet.Digest is of the clusters' own.
	Digest string `json:"digest"`
	// One is true if it is run in one cluster.
	One bool `json:"one"`
}

// Open reports whether there is nothing to pass.
func (g Gate) Open() bool { return !g.Waits() && g.Job.Request == 0 && g.Approval.TimeoutSeconds == 0 }

// Waits reports whether the gate begins with a soak, or with alarms.
func (g Gate) Waits() bool { return g.SoakSeconds > 0 || len(g.Alarms) > 0 }

// Passage is a gate that is being passed.
type Passage struct {
	// Wave is the number of the wave before it; 0 if none is being passed, or if it is before the
	// first wave: only an approval is.
	Wave int `json:"wave"`
	// Stage is the part of the gate that is being passed.
	Stage       Stage    `json:"stage"`
	SoakSeconds int      `json:"soakSeconds"`
	Alarms      []string `json:"alarms"`
	// Watched reports whether there are alarms.
	Watched bool `json:"watched"`
	// Seen is what CloudWatch says of the alarms.
	Seen AlarmStates `json:"seen"`
	// Failure says why the alarms could not be read; its error is empty if they could.
	Failure Refusal `json:"failure"`
	// Begun is in how many clusters the Job has begun.
	Begun int `json:"begun"`
	// Rollout is what is to be approved, and Decision what somebody decided.
	Rollout  Rollout           `json:"rollout"`
	Decision contract.Decision `json:"decision"`
	// Why says why the gate was not passed; empty before.
	Why string `json:"why"`
}

// Stage is a part of a gate.
type Stage string

const (
	// StageAlarms is the soak, and then the alarms.
	StageAlarms Stage = "Alarms"
	// StageJob runs the Job.
	StageJob Stage = "Job"
	// StageAsk is before the approval of a fleet of which nothing has begun.
	StageAsk Stage = "Ask"
	// StageApproval waits for the approval.
	StageApproval Stage = "Approval"
)

// RequestApproval is the payload of request-approval, which ends while the execution waits for the
// decision.
type RequestApproval struct {
	Execution string  `json:"execution" path:"$$.Execution.Id"`
	Rollout   Rollout `json:"rollout" path:"$.run.gate.rollout"`
	// Token resumes the execution.
	Token string `json:"token" path:"$$.Task.Token"`
}

// Rollout is what there is to approve: that a rollout goes on, or begins.
type Rollout struct {
	Name     string `json:"name"`
	Workflow string `json:"workflow"`
	// Request is the beginning of what each cluster is asked, as JSON.
	Request string `json:"request"`
	// Digest is of the execution, the gate, and everything that the rollout goes on to change: the
	// list of its clusters, and what each is asked. A decision is about one digest.
	Digest string `json:"digest"`
	Approve
	// Wave is the wave whose gate waits; empty before the first wave.
	Wave string `json:"wave"`
	// Done are the waves that have ended.
	Done []WaveDone `json:"done"`
	// Next is the wave that begins then; it has no clusters if none is left.
	Next WaveNext `json:"next"`
	// Later is how many clusters are in the waves after it.
	Later int `json:"later"`
	// Report is where the report is, s3://BUCKET/KEY; empty if there is none.
	Report string `json:"report"`
}

// WaveDone is a wave that has ended.
type WaveDone struct {
	Name     string `json:"name"`
	Clusters int    `json:"clusters"`
	Failed   int    `json:"failed"`
	LeftOut  int    `json:"leftOut,omitempty"`
	Jobs     int    `json:"jobs"`
}

// WaveNext is a wave that is about to begin.
type WaveNext struct {
	Name     string `json:"name"`
	Clusters int    `json:"clusters"`
	// Names are the first of them.
	Names []string `json:"names"`
}

// AlarmStates are the names of alarms, and the state of each in its place: OK, ALARM or
// INSUFFICIENT_DATA. Composite alarms are beside the others.
type AlarmStates struct {
	Names           []string `json:"names"`
	States          []string `json:"states"`
	CompositeNames  []string `json:"compositeNames"`
	CompositeStates []string `json:"compositeStates"`
}

// Refusal is the error of a state, as Step Functions lays it down.
type Refusal struct {
	Error string `json:"Error"`
	Cause string `json:"Cause"`
}

// Cluster is a cluster that is to be run.
type Cluster struct {
	Target contract.Target `json:"target"`
	// Execution is the name of its execution.
	Execution string `json:"execution"`
	Attempt   int    `json:"attempt"`
	// Wave is the number of its wave, from 1; 0 if the fleet has none.
	Wave int `json:"wave"`
}

// Status is how the execution for a cluster ended.
type Status string

// The statuses are Step Functions' own, and one for what never became an execution.
const (
	StatusSucceeded Status = "SUCCEEDED"
	StatusFailed    Status = "FAILED"
	StatusTimedOut  Status = "TIMED_OUT"
	StatusAborted   Status = "ABORTED"
	// StatusNotStarted means that the fleet stopped before: too many clusters had failed.
	StatusNotStarted Status = "NOT_STARTED"
	// StatusLeftOut means that its plan was another one than the request allows: nothing was
	// applied.
	StatusLeftOut Status = "LEFT_OUT"
)

// NotStartedError is the error of a cluster that is StatusNotStarted.
const NotStartedError = "NotStarted"

// Statuses are all there are, the best first.
func Statuses() []Status {
	return []Status{StatusSucceeded, StatusLeftOut, StatusFailed, StatusTimedOut, StatusAborted, StatusNotStarted}
}

// Failed reports whether the cluster was tried and did not succeed.
func (o Outcome) Failed() bool { return o.Status.Failed() }

// Failed reports whether that is a failure.
func (s Status) Failed() bool {
	return s != StatusSucceeded && s != StatusNotStarted && s != StatusLeftOut
}

// Failed is how many clusters were tried and did not succeed.
func (s Summary) Failed() int { return failed(s.ByStatus) }

func failed(byStatus map[Status]int) int {
	n := 0
	for status, clusters := range byStatus {
		if status.Failed() {
			n += clusters
		}
	}
	return n
}

// Outcome is what became of a cluster, as long as there is room for it.
type Outcome struct {
	contract.Target
	// Attempt is 0 for a cluster that is NotStarted.
	Attempt int    `json:"attempt"`
	Status  Status `json:"status"`
	// Error is the name, and Cause the sentence, clipped; both are empty if it succeeded.
	Error string `json:"error,omitempty"`
	Cause string `json:"cause,omitempty"`
	// Totals are the workflow's figures by name, such as pods and unhealthy.
	Totals map[string]int `json:"totals,omitempty"`
	// Effect is a digest of what changed, or would: the same for the same change in whichever
	// cluster. It is empty if nobody knows.
	Effect string `json:"effect,omitempty"`
	// StartedAt is when the execution started. It is before the fleet's own start if a
	// fleet of the same name and request had started the execution.
	StartedAt time.Time `json:"startedAt,omitzero"`
	Seconds   float64   `json:"seconds"`
	// Own reports whether the name of the execution ends in Fleet.Own.
	Own bool `json:"own,omitempty"`
	// Wave is the number of its wave, from 1; 0 if the fleet has none.
	Wave int `json:"wave,omitempty"`
	// Rollback is what became of rolling it back; nil if it was not.
	Rollback *RolledBack `json:"rollback,omitempty"`
}

// RolledBack is what became of rolling back a cluster.
type RolledBack struct {
	// Status is StatusNotStarted if there was no time for it.
	Status Status `json:"status"`
	Error  string `json:"error,omitempty"`
	Cause  string `json:"cause,omitempty"`
}

// RecordOutcome is the payload of record-outcome.
type RecordOutcome struct {
	Fleet Fleet `json:"fleet"`
	// Request is what each cluster is asked.
	Request json.RawMessage `json:"request"`
	Cluster Cluster         `json:"cluster"`
	Result  ExecutionResult `json:"result"`
	// Described reports whether Result is the description of whatever execution has the
	// name, and not what the state that started one got.
	Described bool `json:"described"`
}

// ExecutionResult is how an execution ended, in one of the forms in which Step
// Functions tells it: the description of an execution, or the Error and Cause of a
// state, whose Cause may hold a description in turn.
type ExecutionResult struct {
	Status string `json:"Status"`
	// Input and Output are JSON, or JSON in a string.
	Input  json.RawMessage `json:"Input"`
	Output json.RawMessage `json:"Output"`
	Error  string          `json:"Error"`
	Cause  string          `json:"Cause"`
	// StartDate and StopDate are milliseconds since 1970, or RFC 3339.
	StartDate json.RawMessage `json:"StartDate"`
	StopDate  json.RawMessage `json:"StopDate"`
}

// RecordedOutcome is the result of record-outcome.
type RecordedOutcome struct {
	Execution Standing `json:"execution"`
	// Outcome is an empty object if it is in S3, or if the execution is not Ended.
	Outcome SomeOutcome `json:"outcome"`
}

// SomeOutcome is an outcome or an empty object.
type SomeOutcome struct {
	*Outcome
}

// Standing is what an execution that has the name of a cluster's is to the fleet.
type Standing string

const (
	// StandingEnded is of an execution whose outcome is the cluster's.
	StandingEnded Standing = "Ended"
	// StandingRunning is of one whose outcome will be.
	StandingRunning Standing = "Running"
	// StandingForeign is of one that says nothing about what the fleet asks: its input is
	// another one, or it had ended before the fleet began.
	StandingForeign Standing = "Foreign"
)

// NameTakenError is the error of a cluster whose execution could not be started, because
// somebody else's have both of its names.
const NameTakenError = "NameTaken"

// Summarize is the payload of summarize.
type Summarize struct {
	Fleet Fleet `json:"fleet"`
	// Request is what each cluster was asked last, Former the other request, and Jobs what gates
	// ask, for the report.
	Request json.RawMessage   `json:"request"`
	Former  json.RawMessage   `json:"former"`
	Jobs    []json.RawMessage `json:"jobs"`
	Run     Ran               `json:"run"`
}

// Verdict is what the machine does next.
type Verdict string

const (
	// VerdictTryAgain runs the clusters that are worth a second try.
	VerdictTryAgain Verdict = "TryAgain"
	// VerdictGoOn runs the next clusters of a fleet that changes them.
	VerdictGoOn Verdict = "GoOn"
	// VerdictGate passes the gate of a wave.
	VerdictGate Verdict = "Gate"
	// VerdictJob runs the Job of a gate.
	VerdictJob Verdict = "Job"
	// VerdictApproval waits for the approval of a gate.
	VerdictApproval Verdict = "Approval"
	// VerdictLookAgain lists the clusters once more, before the report.
	VerdictLookAgain Verdict = "LookAgain"
	// VerdictTolerable means that no more clusters failed than are tolerated.
	VerdictTolerable Verdict = "Tolerable"
	// VerdictIntolerable fails with ClustersFailed.
	VerdictIntolerable Verdict = "Intolerable"
	// VerdictRollBack begins to ask the clusters what rolls them back.
	VerdictRollBack Verdict = "RollBack"
	// VerdictRolloutFailed fails with RolloutFailed.
	VerdictRolloutFailed Verdict = "RolloutFailed"
	// VerdictRollbackFailed fails with RollbackFailed.
	VerdictRollbackFailed Verdict = "RollbackFailed"
)

// Summary adds up the outcomes.
type Summary struct {
	Fleet    string `json:"fleet"`
	Workflow string `json:"workflow"`
	Clusters int    `json:"clusters"`
	// ByStatus counts the clusters.
	ByStatus map[Status]int `json:"byStatus"`
	// Totals adds up the clusters' figures.
	Totals map[string]int `json:"totals"`
	// Failures are the errors, the most frequent first.
	Failures []Failure `json:"failures"`
	// Effects are the changes and how many clusters have each, the most frequent first, up to
	// MaxEffects: that many clusters get the same change, and so many get another one.
	Effects []Effect `json:"effects,omitempty"`
	// Note says what the fleet does not see, if it is so.
	Note string `json:"note,omitempty"`
	// Waves are the fleet's, in their order, if it has any.
	Waves []WaveSummary `json:"waves,omitempty"`
	// Approved is who has approved that the fleet begins, and when.
	Approved Approved `json:"approved,omitzero"`
	// Appeared are the clusters of the fleet's Regions and tags that were not there when it began,
	// if it has waves.
	Appeared *Appeared `json:"appeared,omitempty"`
	// Rollback is there if the rollout was rolled back.
	Rollback *RollbackSummary `json:"rollback,omitempty"`
	// Report is null if the input has no output.
	Report *Report `json:"report"`
}

// RollbackSummary adds up a rollback.
type RollbackSummary struct {
	// Clusters is how many were to be rolled back, and RolledBack how many were.
	Clusters   int `json:"clusters"`
	RolledBack int `json:"rolledBack"`
	// Changed are the first of those that are still changed, or may be.
	Changed []string `json:"changed"`
}

// Effect is one change, and which clusters have it.
type Effect struct {
	Digest   string `json:"digest"`
	Clusters int    `json:"clusters"`
	// Names are the first of these clusters, and Totals are the figures of the first one.
	Names  []string       `json:"names"`
	Totals map[string]int `json:"totals"`
}

// WaveSummary adds up the outcomes of a wave.
type WaveSummary struct {
	Name     string `json:"name"`
	Clusters int    `json:"clusters"`
	// Tolerated is how many of them may fail.
	Tolerated int `json:"tolerated"`
	// ByStatus counts the clusters.
	ByStatus map[Status]int `json:"byStatus"`
	// RolledBack is how many of those that had succeeded were rolled back.
	RolledBack int `json:"rolledBack,omitempty"`
	// Gate is what became of the wave's gate; empty if it has none, or was not reached.
	Gate GateResult `json:"gate,omitempty"`
	// Why says why the gate was not passed, or the next wave did not begin although no more clusters
	// failed than are tolerated.
	Why string `json:"why,omitempty"`
	// Jobs is in how many clusters the Job of the gate has succeeded.
	Jobs int `json:"jobs,omitempty"`
	// Approved is who has approved the gate, and when.
	Approved Approved `json:"approved,omitzero"`
}

// GateResult is what became of a gate.
type GateResult string

// What becomes of gates.
const (
	GatePassed GateResult = "passed"
	GateFailed GateResult = "failed"
	// GateWaiting is of a report that is written while the gate waits for its approval.
	GateWaiting GateResult = "waiting"
)

// Failed is how many clusters of the wave were tried and did not succeed.
func (w WaveSummary) Failed() int {
	return failed(w.ByStatus)
}

// Failure is one error name, and whom it hit.
type Failure struct {
	Error    string `json:"error"`
	Clusters int    `json:"clusters"`
	// Names are the first of these clusters, and Cause is the first one's.
	Names []string `json:"names"`
	Cause string   `json:"cause"`
}

// Report is where the report is in S3.
type Report struct {
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
	// Same lists the clusters of the first of Summary.Effects, which get the same change: the
	// source of a fleet that applies it. It is empty if the fleet has changed them, or nobody
	// knows.
	Same string `json:"same,omitempty"`
	// Differs lists the clusters that were left out; it is empty if there are none.
	Differs string `json:"differs,omitempty"`
	// Changed lists the clusters that could not be rolled back, and RollBack is the command that
	// tries again. Both are empty if there are none.
	Changed  string `json:"changed,omitempty"`
	RollBack string `json:"rollBack,omitempty"`
}

// Output is the output of an execution of a fleet.
type Output struct {
	Summary Summary `json:"summary" path:"$.run.summary"`
	// Outcomes has all clusters; it is empty if they are in S3.
	Outcomes []Outcome `json:"outcomes" path:"$.run.outcomes"`
}
