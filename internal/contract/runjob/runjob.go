// Package runjob is what passes between the states of the machine run-job, which runs a
// Kubernetes Job and waits for its end.
package runjob

import (
	"encoding/json"
	"log/slog"
	"time"

	"github.com/kubestep/kubestep/internal/contract"
)

// Name is the workflow's: it is in the names of its machine and of its files.
const Name = "run-job"

// Request is what run-job reads of the execution input, beside the target, with each
// default filled in.
type Request struct {
	// Job is the manifest of a Job of batch/v1: an object, or a string of YAML; null if it is
	// in S3 or a CronJob's.
	Job json.RawMessage `json:"job"`
	// Source is where the manifest of the Job is in S3; its bucket is empty if it is not there.
	Source Source `json:"source"`
	// CronJob is the CronJob whose template is run now, as kubectl create job --from does;
	// its name is empty if none is.
	CronJob CronJob `json:"cronJob"`
	// Namespace is for a Job that names none; by default "default".
	Namespace string `json:"namespace"`
	// Container is the container that env and args are for, and whose log and exit code are
	// told of a Job that succeeded; by default the first one.
	Container string `json:"container"`
	// Env are environment variables of the container, besides those that it has or in their
	// place. They are no place for secrets: everybody who may read the execution reads them.
	Env map[string]string `json:"env"`
	// Args are the arguments of the container, in place of those that it has; none keeps those.
	Args []string `json:"args"`
	// TimeoutSeconds is how long the Job may run, 1 to MaxTimeoutSeconds; by default
	// DefaultTimeoutSeconds. It becomes the Job's activeDeadlineSeconds, unless that is shorter.
	TimeoutSeconds int `json:"timeoutSeconds"`
	// StartSeconds is how long the Job may take until a container of it runs, 1 to
	// MaxTimeoutSeconds; by default DefaultStartSeconds.
	StartSeconds int `json:"startSeconds"`
	// Logs say what is kept of the containers' logs. They may hold secrets, so by default it
	// is none.
	Logs Logs `json:"logs"`
	// Keep says whether a Job that has ended stays in the cluster, until its
	// ttlSecondsAfterFinished is over; by default always.
	Keep Keep `json:"keep"`
	// Output is where logs are written to with logs all; nowhere if its bucket is empty.
	Output contract.Destination `json:"output"`
	// Stopped is the ARN of an execution of this machine that was stopped: its Job is deleted,
	// and none is run. It is empty otherwise.
	Stopped string `json:"stopped"`
}

// Source is an object in S3 with the manifest of a Job, in YAML or JSON.
type Source struct {
	Bucket string `json:"bucket"`
	Key    string `json:"key"`
	// VersionID is the version of the object; empty for the current one.
	VersionID string `json:"versionId,omitempty"`
}

// CronJob names a CronJob.
type CronJob struct {
	// Namespace is that of the request, if it is left out.
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
}

// Logs say what is kept of the containers' logs.
type Logs string

const (
	// LogsNone reads no log.
	LogsNone Logs = "none"
	// LogsTail puts the last lines of the container that matters into the output.
	LogsTail Logs = "tail"
	// LogsAll also writes the logs of all containers to S3, while they run.
	LogsAll Logs = "all"
)

// Keep says whether a Job that has ended stays in the cluster.
type Keep string

const (
	// KeepAlways leaves it there.
	KeepAlways Keep = "always"
	// KeepOnFailure deletes it if it succeeded.
	KeepOnFailure Keep = "onFailure"
	// KeepNever deletes it.
	KeepNever Keep = "never"
)

// MaxInline bounds the Job in the execution input, in bytes of JSON.
const MaxInline = 64 << 10

// The bounds and defaults of the request.
const (
	MaxTimeoutSeconds     = 24 * 3600
	DefaultTimeoutSeconds = 3600
	DefaultStartSeconds   = 120
	// MaxFleetTimeoutSeconds bounds TimeoutSeconds of a request of a fleet.
	MaxFleetTimeoutSeconds = 3600
)

// MaxTail bounds the last lines of a log in the output, in bytes.
const MaxTail = 16 << 10

// Document is the document of an execution.
type Document struct {
	contract.Document
	// Request is what the workflow was asked for, with a default for each key that the
	// input left out.
	Request Request `json:"request"`
	// Job is the name of the Job, and the permissions that it needs: the Job itself is not in
	// the state.
	Job LoadedJob `json:"job"`
	// Access is which checks are allowed, by namespace.
	Access contract.VerifiedAccess `json:"access"`
	// Run is what became of the Job so far, and where the next round of watching continues.
	Run Run `json:"run"`
	// Deleted is whether the Job was deleted.
	Deleted Deleted `json:"deleted"`
}

// The functions, in their order.
const (
	FunctionLoadJob   contract.Function[LoadJob, LoadedJob] = "LoadJob"
	FunctionCreateJob contract.Function[CreateJob, Run]     = "CreateJob"
	FunctionWatchJob  contract.Function[WatchJob, Run]      = "WatchJob"
	FunctionDeleteJob contract.Function[DeleteJob, Deleted] = "DeleteJob"
)

// LoadJob is the payload of load-job.
type LoadJob struct {
	// Execution is the execution's ARN.
	Execution string           `json:"execution" path:"$$.Execution.Id"`
	Cluster   contract.Cluster `json:"cluster"`
	Request   Request          `json:"request"`
}

// LogAttrs has the execution and the cluster.
func (in LoadJob) LogAttrs() []slog.Attr { return contract.LogAttrs(in.Execution, in.Cluster.Name) }

// LoadedJob is the result of load-job. The Job itself does not pass between states:
// create-job reads it again, and compares its hash.
type LoadedJob struct {
	// Namespace and Name are where the Job is created.
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// VersionID is the version in S3 that was read; empty if the bucket keeps none.
	VersionID string `json:"versionId"`
	// SHA256 is the hash of the manifest, in hexadecimal; empty for a CronJob's.
	SHA256 string `json:"sha256"`
	// Checks are the permissions that the execution needs in the namespace.
	Checks []contract.Check `json:"checks"`
}

// CreateJob is the payload of create-job.
type CreateJob struct {
	contract.Session
	Request Request   `json:"request"`
	Job     LoadedJob `json:"job"`
	// Progress is what became of the Job before the cluster was described again, as JSON of a
	// Run; empty before.
	Progress string `json:"progress"`
}

// Run is the result of create-job and of watch-job: what became of the Job so far.
type Run struct {
	// Job is the Job that was created.
	Job CreatedJob `json:"job"`
	// Complete is true once the Job ended, or is not waited for any longer.
	Complete bool `json:"complete"`
	// Succeeded is true if the Job did.
	Succeeded bool `json:"succeeded"`
	// Delete is true if the Job is to be deleted now.
	Delete bool `json:"delete"`
	// Cursor is where the next round continues.
	Cursor Cursor `json:"cursor"`
	// End is how it ended, once it is complete.
	End End `json:"end"`
	// Tail are the last lines of the log of the container that matters, once it is complete.
	Tail string `json:"tail"`
	// Log is what was written to S3; its bucket is empty if that was not asked for.
	Log Log `json:"log"`
}

// CreatedJob is a Job in the cluster.
type CreatedJob struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// UID tells it from another Job of that name.
	UID string `json:"uid"`
}

// Cursor is where a round of watching stopped.
type Cursor struct {
	// Until is when the Job is not waited for any longer.
	Until time.Time `json:"until"`
	// Begun is true once a container of the Job has run.
	Begun bool `json:"begun"`
	// Since is when the Job came closer to its start the last time.
	Since time.Time `json:"since"`
	// Jobs and Pods are the resource versions from which the watches continue; empty to list.
	Jobs string `json:"jobs"`
	Pods string `json:"pods"`
	// Last is the container that ended last so far, and Failed the one that failed last.
	Last   *EndedContainer `json:"last"`
	Failed *EndedContainer `json:"failed"`
	// Read are the places in the logs of the containers that are read in part, and ReadWhole
	// has some characters for each container whose log is read to its end.
	Read      []LogPlace `json:"read"`
	ReadWhole string     `json:"readWhole"`
}

// EndedContainer is a container that ended.
type EndedContainer struct {
	Pod       string `json:"pod"`
	Container string `json:"container"`
	ExitCode  int    `json:"exitCode"`
	// Reason is the kubelet's, such as OOMKilled or Error.
	Reason string `json:"reason"`
	// Message is the kubelet's; it is left out if logs is none, because a log may be in it.
	Message    string    `json:"message"`
	FinishedAt time.Time `json:"finishedAt"`
	// Lines are the last lines that it wrote.
	Lines []string `json:"lines"`
}

// LogPlace is a place in the log of a container.
type LogPlace struct {
	Pod       string `json:"pod"`
	UID       string `json:"uid"`
	Container string `json:"container"`
	// Restarts tells the container from the one before it in the pod.
	Restarts int `json:"restarts"`
	// Time is the time of the last line that was read, and Lines how many of that time were;
	// the time is empty at the start.
	Time  string `json:"time"`
	Lines int    `json:"lines"`
}

// End is how a Job ended.
type End struct {
	// Error is the name of the error that the execution ends with; empty if the Job succeeded.
	Error string `json:"error"`
	// Cause is the sentence of the error.
	Cause string `json:"cause"`
	// Reason is the reason of the Job's condition, such as BackoffLimitExceeded.
	Reason string `json:"reason"`
	// ExitCode is the exit code of the container that matters.
	ExitCode  int    `json:"exitCode"`
	Pod       string `json:"pod"`
	Container string `json:"container"`
	// StartedAt and EndedAt are the Job's own, as it says; empty if it never started.
	StartedAt string `json:"startedAt"`
	EndedAt   string `json:"endedAt"`
	// PodsSucceeded and PodsFailed count pods as the Job does.
	PodsSucceeded int `json:"podsSucceeded"`
	PodsFailed    int `json:"podsFailed"`
}

// Log is a log in S3: gzipped NDJSON in parts, a line for each line of a container. It is
// complete once the manifest is there. Read the parts that the manifest names, and no others.
type Log struct {
	Bucket string `json:"bucket"`
	// Prefix begins the keys of the parts.
	Prefix string `json:"prefix"`
	// Manifest is the key of the manifest, which is written last; empty before.
	Manifest string `json:"manifest"`
	Lines    int    `json:"lines"`
	// Truncated is true if not all of the log is there: it was longer than what is kept, or a
	// pod was gone before its log was read.
	Truncated bool   `json:"truncated"`
	Parts     []Part `json:"parts"`
}

// Part is an object of a Log.
type Part struct {
	// Name follows the prefix in the key.
	Name  string `json:"name"`
	Lines int    `json:"lines"`
	// Bytes is its size as it is stored.
	Bytes int `json:"bytes"`
}

// LogLine is a line of a part of a Log.
type LogLine struct {
	Time      string `json:"time"`
	Pod       string `json:"pod"`
	Container string `json:"container"`
	Line      string `json:"line"`
}

// LiveManifest is the name, after the prefix, of a manifest that is replaced whenever a part
// is written: whoever follows a log reads it.
const LiveManifest = "live.json"

// WatchJob is the payload of watch-job.
type WatchJob struct {
	contract.Session
	Container    string               `json:"container" path:"$.request.container"`
	StartSeconds int                  `json:"startSeconds" path:"$.request.startSeconds"`
	Timeout      int                  `json:"timeoutSeconds" path:"$.request.timeoutSeconds"`
	Logs         Logs                 `json:"logs" path:"$.request.logs"`
	Keep         Keep                 `json:"keep" path:"$.request.keep"`
	Output       contract.Destination `json:"output" path:"$.request.output"`
	// Run is what became of the Job in earlier rounds.
	Run Run `json:"run"`
}

// DeleteJob is the payload of delete-job.
type DeleteJob struct {
	contract.Session
	// Stopped is the ARN of the execution whose Job it is, if that was stopped; empty for
	// this execution's.
	Stopped string `json:"stopped" path:"$.request.stopped"`
	// Job is the place of the Job, and Created the Job that was created; its uid is empty if
	// another execution did that.
	Job     LoadedJob  `json:"job"`
	Created CreatedJob `json:"created" path:"$.run.job"`
}

// Deleted is the result of delete-job.
type Deleted struct {
	// Deleted is true if the Job was deleted.
	Deleted bool `json:"deleted"`
	// Why says why it was not; empty if it was, or if that was not asked for.
	Why string `json:"why"`
}

// Output is the output of an execution of run-job that succeeded.
type Output struct {
	Cluster contract.ClusterSummary `json:"cluster"`
	// Job is the Job that ran or, for a stopped execution, that was deleted.
	Job JobSummary `json:"job"`
	// Succeeded is true if the Job did; false only for a stopped execution.
	Succeeded bool `json:"succeeded" path:"$.run.succeeded"`
	// End is how the Job ended.
	End EndSummary `json:"end" path:"$.run.end"`
	// Tail are the last lines of the log of the container that matters, 16 KiB at most; empty
	// with logs none.
	Tail string `json:"tail" path:"$.run.tail"`
	// Log is where the log is in S3; its bucket is empty if that was not asked for.
	Log LogSummary `json:"log" path:"$.run.log"`
	// Deleted is whether the Job was deleted.
	Deleted Deleted `json:"deleted"`
}

// JobSummary is what the output says of the Job.
type JobSummary struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

// EndSummary is what the output says of the end.
type EndSummary struct {
	// Reason is the reason of the Job's condition, such as CompletionsReached.
	Reason string `json:"reason"`
	// ExitCode is the exit code of the container that matters.
	ExitCode  int    `json:"exitCode"`
	Pod       string `json:"pod"`
	Container string `json:"container"`
	// StartedAt and EndedAt are the Job's own times.
	StartedAt string `json:"startedAt"`
	EndedAt   string `json:"endedAt"`
	// PodsSucceeded and PodsFailed count pods as the Job does.
	PodsSucceeded int `json:"podsSucceeded"`
	PodsFailed    int `json:"podsFailed"`
}

// LogSummary is what the output says of the log in S3: the manifest names its parts.
type LogSummary struct {
	Bucket    string `json:"bucket"`
	Prefix    string `json:"prefix"`
	Manifest  string `json:"manifest"`
	Lines     int    `json:"lines"`
	Truncated bool   `json:"truncated"`
}
