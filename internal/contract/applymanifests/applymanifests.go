// Package applymanifests is what passes between the states of the machine
// apply-manifests, which plans and applies manifests in a cluster.
package applymanifests

import (
	"encoding/json"
	"log/slog"
	"time"

	"github.com/kubestep/kubestep/internal/contract"
)

// Name is the workflow's: it is in the names of its machine and of its files.
const Name = "apply-manifests"

// Request is what apply-manifests reads of the execution input, beside the
// target, with each default filled in.
type Request struct {
	// Manifests are a string of YAML documents or an array of objects; null if they
	// are in S3.
	Manifests json.RawMessage `json:"manifests"`
	// Source is where the manifests are in S3; its bucket is empty if they are inline.
	Source Source `json:"source"`
	// Namespace is for objects that name none; by default "default".
	Namespace string `json:"namespace"`
	// Mode is plan, which changes nothing and is the default, or apply.
	Mode Mode `json:"mode"`
	// Force takes the fields that other field managers own.
	Force bool `json:"force"`
	// FieldManager is the name that owns what is applied, by default "kubestep". Sets of
	// manifests that share an object need different ones: what a manager applied before,
	// and applies no longer, is removed.
	FieldManager string `json:"fieldManager"`
	// Wait says how long to wait until all objects are ready.
	Wait Wait `json:"wait"`
	// Output is where the whole difference is written to; nowhere if its bucket is empty.
	Output contract.Destination `json:"output"`
	// Set is the name of the set that the objects are members of: of the ConfigMap in
	// Namespace that stands for it. It is empty for none.
	Set string `json:"set"`
	// Prune says whether members that are not in the manifests are deleted, and which may be.
	Prune Prune `json:"prune"`
	// Adopt are the owners from whom objects are taken into the set: see Owner.
	Adopt []string `json:"adopt"`
	// Approve says that somebody must approve the plan before it is applied.
	Approve Approve `json:"approve"`
	// Before are Jobs of the manifests, each as NAME or NAMESPACE/NAME, that must complete
	// before the other workloads are applied.
	Before []string `json:"before"`
	// After are Jobs of the manifests that are applied once all other objects are ready, and
	// must complete before the execution succeeds.
	After []string `json:"after"`
	// Jobs says how long the Jobs of Before and After may take.
	Jobs Jobs `json:"jobs"`
	// Effect is the digest of the only plan that may be applied, or the beginning of it, at least
	// MinEffect characters: PlanReport.Digest, or the effect that a fleet of plans tells. It is
	// empty if any may.
	Effect string `json:"effect,omitempty"`
}

// Jobs says how the Jobs of Before and After are waited for.
type Jobs struct {
	// TimeoutSeconds is how long those of Before may take together, and those of After; 1 to
	// MaxWaitSeconds, by default DefaultJobSeconds.
	TimeoutSeconds int `json:"timeoutSeconds"`
	// StartSeconds is how long each may take until a container of it runs, 1 to
	// MaxWaitSeconds; by default DefaultStartSeconds.
	StartSeconds int `json:"startSeconds"`
	// Logs is JobLogsTail if the last lines of a container that failed are told; by default
	// JobLogsNone, since they may hold secrets.
	Logs JobLogs `json:"logs"`
}

// JobLogs says what is told of the log of a Job that failed.
type JobLogs string

// The values of JobLogs.
const (
	JobLogsNone JobLogs = "none"
	JobLogsTail JobLogs = "tail"
)

// Bounds and defaults of Before, After and Jobs.
const (
	// MaxGateJobs bounds the Jobs of Before, and those of After.
	MaxGateJobs = 10
	// DefaultJobSeconds is the default of Jobs.TimeoutSeconds.
	DefaultJobSeconds = 900
	// DefaultStartSeconds is that of Jobs.StartSeconds.
	DefaultStartSeconds = 120
	// DefaultWaitSeconds is how long to wait until all objects are ready if After has Jobs, and
	// the input does not say.
	DefaultWaitSeconds = 300
)

// Gate is what a Job of the manifests is applied before or after.
type Gate string

// The gates, as the input names them.
const (
	GateBefore Gate = "before"
	GateAfter  Gate = "after"
)

// Approve says how long to wait for an approval, and where to ask for it.
type Approve struct {
	// TopicARN is the SNS topic that is told what there is to approve; empty for none.
	TopicARN string `json:"topicArn"`
	// TimeoutSeconds is 0, if no approval is needed, to MaxApprovalSeconds.
	TimeoutSeconds int `json:"timeoutSeconds"`
}

// MinEffect and MaxEffect bound the length of Request.Effect.
const (
	MinEffect = 12
	MaxEffect = 24
)

// MaxApprovalSeconds bounds how long an execution waits for an approval.
const MaxApprovalSeconds = 7 * 24 * 3600

// Prune says what may be deleted of a set.
type Prune struct {
	// Enabled is false if nothing may be.
	Enabled bool `json:"enabled"`
	// Max is how many objects may be; 0 for the default, which depends on the set.
	Max int `json:"max"`
	// Kinds are those of the ProtectedKinds that may be.
	Kinds []string `json:"kinds"`
}

// MaxPruned is how many members of a set can be deleted at once, at most: the state has a
// digest for each.
const MaxPruned = 3000

// ProtectedKinds are the kinds whose objects take others along when they are deleted, or
// data. None is pruned unless Prune.Kinds names it.
func ProtectedKinds() []string {
	return []string{"CustomResourceDefinition", "Namespace", "PersistentVolume", "PersistentVolumeClaim"}
}

// Mode is how far apply-manifests goes.
type Mode string

const (
	// ModePlan tells what applying would change, and changes nothing.
	ModePlan Mode = "plan"
	// ModeApply applies what was planned.
	ModeApply Mode = "apply"
	// ModeDelete deletes all members of a set, and the set.
	ModeDelete Mode = "delete"
	// ModePlanDelete tells what ModeDelete would delete, and changes nothing.
	ModePlanDelete Mode = "plan-delete"
	// ModeSets lists the sets of a cluster, and changes nothing.
	ModeSets Mode = "sets"
)

// Modes are all of them.
func Modes() []Mode { return []Mode{ModePlan, ModeApply, ModeDelete, ModePlanDelete, ModeSets} }

// HasManifests reports whether the mode works on manifests.
func (m Mode) HasManifests() bool { return m == ModePlan || m == ModeApply }

// Changes reports whether the mode changes a cluster.
func (m Mode) Changes() bool { return m == ModeApply || m == ModeDelete }

// Source is an object in S3 with YAML documents, 10 MB at most.
type Source struct {
	Bucket string `json:"bucket"`
	Key    string `json:"key"`
	// VersionID is the version of the object; empty for the current one.
	VersionID string `json:"versionId,omitempty"`
}

// Wait is for how long.
type Wait struct {
	// TimeoutSeconds is 0, for not at all, to MaxWaitSeconds.
	TimeoutSeconds int `json:"timeoutSeconds"`
}

// DefaultFieldManager owns what is applied, unless the request names another one.
// https://kubernetes.io/docs/reference/using-api/server-side-apply/#managers
const DefaultFieldManager = "kubestep"

// MaxInline bounds manifests in the execution input, in bytes of JSON: they are in the
// document that passes between states, which is bounded at 256 KiB as a whole.
const MaxInline = 128 << 10

// MaxWaitSeconds bounds how long an execution waits for objects to be ready.
const MaxWaitSeconds = 3600

// Document is the document of an execution.
type Document struct {
	contract.Document
	// Request is what the workflow was asked for, with a default for each key that the
	// input left out.
	Request Request `json:"request"`
	// Manifests are the version and the hash of the manifests that were read, and how many
	// objects they hold: the manifests themselves are not in the state.
	Manifests LoadedManifests `json:"manifests"`
	// Access is which checks are allowed, by kind and object.
	Access VerifiedApply `json:"access"`
	// Plan is what would change.
	Plan Plan `json:"plan"`
	// Apply is what changed, and where the next round continues.
	Apply Applied `json:"apply"`
	// Readiness is which objects are ready.
	Readiness Readiness `json:"readiness"`
	// Prune is which members of the set were deleted.
	Prune Pruned `json:"prune"`
	// Approval is which plan was approved, and when.
	Approval Approval `json:"approval"`
}

// The functions, in their order.
const (
	FunctionLoadManifests   contract.Function[LoadManifests, LoadedManifests]              = "LoadManifests"
	FunctionVerifyApply     contract.Function[VerifyApply, VerifiedApply]                  = "VerifyApply"
	FunctionPlanManifests   contract.Function[PlanManifests, Plan]                         = "PlanManifests"
	FunctionPlanSet         contract.Function[PlanSet, Plan]                               = "PlanSet"
	FunctionRequestApproval contract.Function[RequestApproval, contract.RequestedApproval] = "RequestApproval"
	FunctionApplyManifests  contract.Function[ApplyManifests, Applied]                     = "ApplyManifests"
	FunctionCheckReadiness  contract.Function[CheckReadiness, Readiness]                   = "CheckReadiness"
	FunctionPruneObjects    contract.Function[PruneObjects, Pruned]                        = "PruneObjects"
	// FunctionApprove is no state's: people invoke it.
	FunctionApprove contract.Function[ApprovePlan, ApprovedPlan] = "Approve"
)

// LoadManifests is the payload of load-manifests.
type LoadManifests struct {
	// Execution is the execution's ARN.
	Execution string           `json:"execution" path:"$$.Execution.Id"`
	Cluster   contract.Cluster `json:"cluster"`
	Request   Request          `json:"request"`
	// Progress is what was applied before the cluster was described again, as in
	// Session.
	Progress string `json:"progress"`
}

// LogAttrs has the execution and the cluster.
func (in LoadManifests) LogAttrs() []slog.Attr {
	return contract.LogAttrs(in.Execution, in.Cluster.Name)
}

// LoadedManifests is the result of load-manifests. The manifests themselves do not
// pass between states: each function reads them again, and compares their hash.
type LoadedManifests struct {
	// VersionID is the version in S3 that was read; empty if the bucket keeps none.
	VersionID string `json:"versionId"`
	// SHA256 is the hash of the manifests, in hexadecimal.
	SHA256 string `json:"sha256"`
	// Objects is how many objects there are.
	Objects int `json:"objects"`
}

// Session is what a function needs to work on the manifests in the cluster.
// It is embedded in the payload of each function that does.
type Session struct {
	contract.Session
	Request   Request         `json:"request"`
	Manifests LoadedManifests `json:"manifests"`
	// Progress is what was applied before the cluster was described again: the hash of
	// the manifests, a colon, and Applied.Done. It is empty before.
	Progress string `json:"progress"`
}

// VerifyApply is the payload of verify-apply.
type VerifyApply struct {
	Session
	// Access is what earlier rounds found; empty in the first.
	Access VerifiedApply `json:"access"`
}

// VerifiedApply is the result of verify-apply: once it is complete, the permissions are
// there.
type VerifiedApply struct {
	// Checks is how many permissions were reviewed.
	Checks int `json:"checks"`
	// Complete is false while there are objects for the next round.
	Complete bool `json:"complete"`
	// Done has a letter for each permission on a kind, and then for each object.
	Done string `json:"done"`
}

// PlanManifests is the payload of plan-manifests.
type PlanManifests struct {
	Session
	// Plan is what earlier rounds found; empty in the first.
	Plan Plan `json:"plan"`
}

// Plan is the result of plan-manifests.
type Plan struct {
	PlanReport
	// Drift is true if the cluster is not as the manifests say.
	Drift bool `json:"drift"`
	// Complete is false while there is something left to plan.
	Complete bool `json:"complete"`
	// Compared is true once each object of the manifests is planned: what is left then are
	// the members of the set.
	Compared bool `json:"compared"`
	// Parent is the version of the set's ConfigMap before anything was planned, or
	// NoParent; empty without a set. It must be the same when the first object is applied:
	// else another execution changed the set meanwhile, and all is planned again.
	Parent string `json:"parent"`
	// Effects has EffectLength characters for each object, in the order of the manifests: the
	// same for the same effect of applying it to this cluster. They are dots if it is not
	// planned yet.
	Effects string `json:"effects"`
	// Tries has a dot for each time that it was.
	Tries string `json:"tries"`
	// Leaving has a digest of DigestLength for each member that is to be deleted: only these
	// are, whatever is a member later.
	Leaving string `json:"leaving"`
	// Sets are the sets of the cluster, in ModeSets.
	Sets []Set `json:"sets"`
	// Actions has a letter for each object, in the order of the manifests.
	Actions string `json:"actions"`
	// WaitFor are the objects that must become ready, if the request says to wait.
	WaitFor []Reference `json:"waitFor"`
}

// NoParent stands for the version of a set's ConfigMap that does not exist.
const NoParent = "none"

// DigestLength is how many characters of the SHA-256 of a member's UID, in base64, are a
// digest: 60 bits.
const DigestLength = 10

// EffectLength is how many characters an effect has: 36 bits of a keyed hash.
const EffectLength = 6

// PlanSet is the payload of plan-set.
type PlanSet struct {
	Session
	// Plan is what the plan says of the manifests.
	Plan Plan `json:"plan"`
}

// Set is a set, as its ConfigMap tells of it.
type Set struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	// ID is the label of the members, after applyset.kubernetes.io/part-of=.
	ID string `json:"id"`
	// Members is how many objects were in it when it was applied last.
	Members int `json:"members"`
	// Applied is when that was.
	Applied string `json:"applied"`
	// Tooling is what wrote it, such as kubestep/v1 or kubectl/v1.37.
	Tooling string `json:"tooling"`
}

// Reference names objects of one kind in one namespace.
type Reference struct {
	Kind string `json:"kind"`
	// Namespace is empty for a kind that is cluster-wide.
	Namespace string `json:"namespace,omitempty"`
	// Path is the resource's path in the API.
	Path  string   `json:"path"`
	Names []string `json:"names"`
}

// PlanReport is what the output says of the plan.
type PlanReport struct {
	// Created, Configured and Unchanged count the objects by what applying does to them.
	Created    int `json:"created"`
	Configured int `json:"configured"`
	Unchanged  int `json:"unchanged"`
	// Deleting counts the objects that are being deleted, whatever applying does to them.
	Deleting int `json:"deleting"`
	// Adopted counts the objects in Unchanged that are applied all the same, because the field
	// manager does not own their fields yet.
	Adopted int `json:"adopted"`
	// Pruned counts the members of the set that are not in the manifests, and that pruning
	// deletes.
	Pruned int `json:"pruned"`
	// Spared counts those that pruning does not delete; each says why.
	Spared int `json:"spared"`
	// Members is how many members the set has, with those; 0 without a set.
	Members int `json:"members"`
	// Refused says why so many objects are not pruned; empty if they are.
	Refused string `json:"refused"`
	// Digest is the same for two plans of the same changes, in whichever cluster, by the same
	// stack: it is made of what is applied, the action on each object, and each value before
	// and after, but for those of Secrets.
	Digest string `json:"digest"`
	// Objects are the objects, those that change first if not all have room.
	Objects []PlannedObject `json:"objects"`
	// Truncated is true if Objects does not hold every object.
	Truncated bool `json:"truncated"`
	// Diff is where the whole difference was written to; null if that was not asked for.
	Diff *Diff `json:"diff"`
}

// PlannedObject is an object and what applying does to it.
type PlannedObject struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	// Namespace is empty for an object that is cluster-wide.
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	Action    Action `json:"action"`
	// Gate is set for a Job of Before or After.
	Gate Gate `json:"gate,omitempty"`
	// Changes are paths of fields: "+" before a new one, "-" before one that goes, "~"
	// before one whose value changes. Past a bound, the last one says how many there are.
	Changes []string `json:"changes,omitempty"`
	// Values are the values before and after, for each of Changes in its order. None is there
	// of a Secret, of an object that holds one, and if there is no room for all objects.
	Values []ChangedValue `json:"values,omitempty"`
	// Conflicts are fields that another field manager owns, and its name.
	Conflicts []string `json:"conflicts,omitempty"`
	// Takes are fields that Force takes from another field manager, and its name.
	Takes []string `json:"takes,omitempty"`
	// Owners are others whose the object is, as Adopt names them: only by doing so, it becomes
	// a member of the set.
	Owners []string `json:"owners,omitempty"`
	// Warnings are what the API server warns of.
	Warnings []string `json:"warnings,omitempty"`
	// Notes are sentences on what else is special about applying the object.
	Notes []string `json:"notes,omitempty"`
	// Unchecked says why no dry run is possible yet; empty if there was one.
	Unchecked string `json:"unchecked,omitempty"`
}

// ChangedValue is the value of a field before and after, as JSON of at most 64 bytes each, cut
// with an ellipsis. A value is empty where the field is missing, and both are if they must not
// be shown.
type ChangedValue struct {
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
}

// Action is what applying does to an object.
type Action string

// The actions, by the words of kubectl, and ActionDeleting for an object that is being deleted:
// what is applied to it goes with it.
const (
	ActionCreated    Action = "created"
	ActionConfigured Action = "configured"
	ActionUnchanged  Action = "unchanged"
	ActionDeleting   Action = "deleting"
	// ActionPruned and ActionSpared are for members of the set that are not in the manifests.
	ActionPruned Action = "pruned"
	ActionSpared Action = "spared"
)

// Diff is a difference as text in S3, in parts.
type Diff struct {
	Bucket string   `json:"bucket"`
	Keys   []string `json:"keys"`
}

// RequestApproval is the payload of request-approval, which ends while the execution waits
// for the decision.
type RequestApproval struct {
	Execution string           `json:"execution" path:"$$.Execution.Id"`
	Cluster   contract.Cluster `json:"cluster"`
	Approve   Approve          `json:"approve" path:"$.request.approve"`
	Mode      Mode             `json:"mode" path:"$.request.mode"`
	Plan      PlanReport       `json:"plan"`
	// Token resumes the execution.
	Token string `json:"token" path:"$$.Task.Token"`
}

// LogAttrs has the execution and the cluster.
func (in RequestApproval) LogAttrs() []slog.Attr {
	return contract.LogAttrs(in.Execution, in.Cluster.Name)
}

// ApprovePlan is the payload of approve.
type ApprovePlan struct {
	// Execution is the ARN of the execution that waits.
	Execution string `json:"execution"`
	// Digest is of the plan, or of the gate of a rollout, that is approved or rejected: the execution
	// must wait for that one.
	Digest string `json:"digest"`
	// Reject is true to reject it, for a Reason.
	Reject bool   `json:"reject"`
	Reason string `json:"reason"`
	// By is who says that they decide. It is not proven: IAM decides who may, and CloudTrail says
	// who did.
	By string `json:"by"`
}

// LogAttrs has the execution.
func (in ApprovePlan) LogAttrs() []slog.Attr { return contract.LogAttrs(in.Execution, "") }

// ApprovedPlan is the result of approve.
type ApprovedPlan struct {
	Execution string    `json:"execution"`
	Digest    string    `json:"digest"`
	Approved  bool      `json:"approved"`
	At        time.Time `json:"at"`
}

// Approval is which plan was approved.
type Approval struct {
	// Complete is true once one was.
	Complete bool              `json:"complete"`
	Decision contract.Decision `json:"decision"`
	// Digest, Effects and Leaving are of the plan that was approved: the plan that is applied
	// must have the same.
	Digest  string `json:"digest"`
	Effects string `json:"effects"`
	Leaving string `json:"leaving"`
}

// ApplyManifests is the payload of apply-manifests.
type ApplyManifests struct {
	Session
	Plan Plan `json:"plan"`
	// Approval is what was approved, if an approval is needed.
	Approval Approval `json:"approval"`
	// Apply is what earlier rounds did; empty in the first.
	Apply Applied `json:"apply"`
	// Attempt counts the retries of this round.
	Attempt int `json:"attempt" path:"$$.State.RetryCount"`
}

// Applied is the result of apply-manifests.
type Applied struct {
	// Complete is false while there are objects for the next round.
	Complete bool `json:"complete"`
	// Applied counts the objects that were applied: unchanged ones only if they are adopted.
	Applied int `json:"applied"`
	// Warnings are what the API server warned of, about objects that had no dry run.
	Warnings []string `json:"warnings"`
	// Done has a letter for each object, in the order of the manifests.
	Done string `json:"done"`
	// Settled is true once all is applied but the Jobs of After: then the execution waits until
	// it is ready, and only then goes on.
	Settled bool `json:"settled"`
	// WaitSeconds is how long to wait before the next round looks at Jobs; 0 if it need not.
	WaitSeconds int `json:"waitSeconds"`
	// Watched are the Jobs that are waited for.
	Watched []WatchedJob `json:"watched"`
	// Jobs are those that completed.
	Jobs []CompletedJob `json:"jobs"`
}

// WatchedJob is a Job that is waited for.
type WatchedJob struct {
	// Object is its place in the manifests.
	Object int `json:"object"`
	// UID tells it from another Job of that name; empty until it was looked at.
	UID string `json:"uid"`
	// Until is when it is not waited for any longer, and Since when it came closer to its start
	// the last time.
	Until time.Time `json:"until"`
	Since time.Time `json:"since"`
	// Begun is true once a container of it has run.
	Begun bool `json:"begun"`
	// Failed is the container that failed last so far.
	Failed *FailedContainer `json:"failed"`
	// Why says what it waits for.
	Why string `json:"why"`
}

// FailedContainer is a container of a Job that failed.
type FailedContainer struct {
	Pod       string    `json:"pod"`
	Container string    `json:"container"`
	ExitCode  int       `json:"exitCode"`
	Reason    string    `json:"reason"`
	EndedAt   time.Time `json:"endedAt"`
}

// CompletedJob is a Job of Before or After that completed.
type CompletedJob struct {
	Gate      Gate   `json:"gate"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Ran is false if it had completed before this execution, so that it did not run again.
	Ran bool `json:"ran"`
	// StartedAt and EndedAt are the Job's own times.
	StartedAt string `json:"startedAt"`
	EndedAt   string `json:"endedAt"`
	// Note says what to do for it to run again, if it did not.
	Note string `json:"note,omitempty"`
}

// CheckReadiness is the payload of check-readiness.
type CheckReadiness struct {
	contract.Session
	Wait Wait `json:"wait" path:"$.request.wait"`
	// After are the Jobs that are not applied yet.
	After   []string    `json:"after" path:"$.request.after"`
	WaitFor []Reference `json:"waitFor" path:"$.plan.waitFor"`
	// Readiness is what earlier rounds found; empty in the first.
	Readiness Readiness `json:"readiness"`
}

// Readiness is the result of check-readiness.
type Readiness struct {
	// Complete is true once every object was ready.
	Complete bool `json:"complete"`
	// Until is when NotReady ends the execution.
	Until time.Time `json:"until"`
	// WaitSeconds is how long to wait before the next round.
	WaitSeconds int `json:"waitSeconds"`
	// NotReady are some of the objects that are not ready.
	NotReady []NotReadyObject `json:"notReady"`
	// Unobserved are some of the objects that count as ready although nothing has
	// written their status; empty until Complete.
	Unobserved []ObjectName `json:"unobserved"`
	// Done has a letter for each object to wait for.
	Done string `json:"done"`
}

// ObjectName names an object.
type ObjectName struct {
	Kind string `json:"kind"`
	// Namespace is empty for an object that is cluster-wide.
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
}

// String is the name, after the namespace if there is one.
func (o ObjectName) String() string {
	if o.Namespace == "" {
		return o.Name
	}
	return o.Namespace + "/" + o.Name
}

// NotReadyObject is an object that is not ready, and why.
type NotReadyObject struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	// Status is InProgress, Failed, Terminating, NotFound or Unknown.
	Status  string `json:"status"`
	Message string `json:"message"`
}

// PruneObjects is the payload of prune-objects.
type PruneObjects struct {
	Session
	Plan Plan `json:"plan"`
	// Approval is what was approved, if an approval is needed.
	Approval Approval `json:"approval"`
	// Readiness says until when the execution waits.
	Readiness Readiness `json:"readiness"`
	// Prune is what earlier rounds did; empty in the first.
	Prune Pruned `json:"prune"`
}

// Pruned is the result of prune-objects.
type Pruned struct {
	// Complete is false while there is something left to do.
	Complete bool `json:"complete"`
	// Pruned counts the members of the plan that are gone.
	Pruned int `json:"pruned"`
	// Deleting are some of the members that are being deleted, and what each waits for.
	Deleting []NotReadyObject `json:"deleting"`
	// Kept are some of the members that were not deleted though the plan says so, or that
	// joined the set since, and why.
	Kept []NotReadyObject `json:"kept"`
	// Empty is set in mode delete once no member is left: then the parent is deleted.
	Empty bool `json:"empty"`
	// Until is when NotDeleted ends the execution.
	Until time.Time `json:"until"`
	// WaitSeconds is how long to wait before the next round.
	WaitSeconds int `json:"waitSeconds"`
}

// Output is the output of an execution of apply-manifests that succeeded.
type Output struct {
	Cluster contract.ClusterSummary `json:"cluster"`
	Mode    Mode                    `json:"mode" path:"$.request.mode"`
	// Set is the name of the set, in Namespace; empty without one.
	Set       string `json:"set" path:"$.request.set"`
	Namespace string `json:"namespace" path:"$.request.namespace"`
	// Prune is true if what is planned to be pruned is deleted, or would be in mode apply.
	Prune bool `json:"prune" path:"$.request.prune.enabled"`
	// Drift is true if the cluster was not as the manifests say.
	Drift bool       `json:"drift" path:"$.plan.drift"`
	Plan  PlanReport `json:"plan"`
	// Applied counts the objects that were applied: 0 in mode plan.
	Applied int `json:"applied" path:"$.apply.applied"`
	// Warnings are what the API server warned of, about objects that had no dry run. The
	// others have theirs in Plan.
	Warnings []string `json:"warnings" path:"$.apply.warnings"`
	// Ready is true if every object was ready, and false if that was not asked for.
	Ready bool `json:"ready" path:"$.readiness.complete"`
	// Unobserved are some of the objects that count as ready although no controller has
	// written their status for a while: they have one, and their controllers may never
	// write it, or not run.
	Unobserved []ObjectName `json:"unobserved" path:"$.readiness.unobserved"`
	// Pruned counts the members of the set that were deleted and are gone: 0 without prune.
	Pruned int `json:"pruned" path:"$.prune.pruned"`
	// Deleting are some of the members that are being deleted, and what each waits for.
	Deleting []NotReadyObject `json:"deleting" path:"$.prune.deleting"`
	// Kept are some of the members that were not deleted though the plan says so, or that
	// joined the set since, and why.
	Kept []NotReadyObject `json:"kept" path:"$.prune.kept"`
	// Sets are the sets of the cluster, in mode sets.
	Sets []Set `json:"sets" path:"$.plan.sets"`
	// Approval is who approved the plan, and when; empty if that was not asked for.
	Approval contract.Decision `json:"approval" path:"$.approval.decision"`
	// Jobs are the Jobs of before and after, once they completed.
	Jobs []CompletedJob `json:"jobs" path:"$.apply.jobs"`
}
