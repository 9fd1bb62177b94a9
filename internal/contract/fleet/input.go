package fleet

import (
	"encoding/json"

	"github.com/kubestep/kubestep/internal/contract"
)

// Input is the execution input. internal/fleet reads it, with every problem at once.
type Input struct {
	// Workflow is what to run on each cluster, such as pod-inventory.
	Workflow string `json:"workflow"`
	// Request is what each cluster is asked: the workflow's input without the cluster.
	Request json.RawMessage `json:"request,omitempty"`
	// Clusters are names, ARNs of clusters in this account, or objects. Without them
	// and without source, the fleet is all clusters of the Regions, as the roles.
	Clusters []json.RawMessage `json:"clusters,omitempty"`
	// Regions are those to list clusters in; by default the functions' own.
	Regions []string `json:"regions,omitempty"`
	// RoleARNs are those to list clusters as; by default find-clusters's own.
	RoleARNs []string `json:"roleArns,omitempty"`
	// Tags are those that a cluster must have, all of them.
	Tags map[string]string `json:"tags,omitempty"`
	// Source is a list of clusters in S3.
	Source *Source `json:"source,omitempty"`
	// Name begins the names of the clusters' executions; by default the name of the
	// fleet's execution. Fleets that have the same name, ask the same and run at the same
	// time share them.
	Name string `json:"name,omitempty"`
	// Concurrency is how many clusters run at once; by default 40.
	Concurrency int `json:"concurrency,omitempty"`
	// ToleratedFailures is how many clusters may fail without failing the fleet; by
	// default none. A fleet that changes its clusters begins no other once more have failed.
	ToleratedFailures *ToleratedFailures `json:"toleratedFailures,omitempty"`
	// Waves are the parts in which a fleet changes its clusters, one after another. Each
	// cluster is in the first wave that takes it, or in the one that the source names.
	Waves []WaveInput `json:"waves,omitempty"`
	// Unmatched says what becomes of clusters that no wave takes: refuse, the default,
	// starts nothing; last puts them in a wave after the others; skip leaves them out.
	Unmatched string `json:"unmatched,omitempty"`
	// RequireSamePlan leaves clusters out in which the request would do something else than its
	// effect says: they are no failures.
	RequireSamePlan bool `json:"requireSamePlan,omitempty"`
	// OnFailure says what happens once a wave has failed: stop, the default, begins nothing else;
	// continue goes on, and fails at the end; rollback applies the former version of the
	// manifests to the clusters that are changed, or may be.
	OnFailure OnFailure `json:"onFailure,omitempty"`
	// Rollback is the former version of the manifests.
	Rollback *RollbackInput `json:"rollback,omitempty"`
	// Approve makes a fleet that changes its clusters wait for an approval before the first of them.
	Approve *ApproveInput `json:"approve,omitempty"`
	// Output is where the report is written. More than 500 clusters need it.
	Output *contract.Destination `json:"output,omitempty"`
}

// WaveInput is a wave and which clusters it takes: with one of clusters, tags, regions and
// percentage or, if the fleet has a source that names waves, none of these.
type WaveInput struct {
	Name string `json:"name"`
	// Clusters are names, ARNs or objects, as the fleet's own. A name is a cluster of any
	// Region and role.
	Clusters []json.RawMessage `json:"clusters,omitempty"`
	// Tags are those that a cluster must have, all of them.
	Tags map[string]string `json:"tags,omitempty"`
	// Regions are those of the clusters.
	Regions []string `json:"regions,omitempty"`
	// Percentage is a share of the clusters that no wave before takes, 1 to 100, and
	// rounded up: the first of them.
	Percentage int `json:"percentage,omitempty"`
	// Concurrency is how many clusters run at once; by default as many as of the fleet.
	Concurrency int `json:"concurrency,omitempty"`
	// ToleratedFailures is how many of the wave may fail; by default the fleet's.
	ToleratedFailures *ToleratedFailures `json:"toleratedFailures,omitempty"`
	// Gate is what must be passed before the next wave begins, besides that this one ended well.
	Gate *GateInput `json:"gate,omitempty"`
}

// RollbackInput is the version of the manifests that a rollback applies: a version of the
// object that the request has as its source, or another source.
type RollbackInput struct {
	VersionID string        `json:"versionId,omitempty"`
	Source    *FormerSource `json:"source,omitempty"`
}

// FormerSource is an object in S3 with YAML documents.
type FormerSource struct {
	Bucket string `json:"bucket"`
	Key    string `json:"key"`
	// VersionID is the version of the object; without it, its key must not be that of the request.
	VersionID string `json:"versionId,omitempty"`
}

// GateInput is the gate of a wave.
type GateInput struct {
	// SoakSeconds is how long to wait first, at most 20 hours in all waves.
	SoakSeconds int `json:"soakSeconds,omitempty"`
	// Alarms are the names of alarms of CloudWatch that must be OK then, at most 10.
	Alarms []string `json:"alarms,omitempty"`
	// Job is a request of run-job that must succeed then, and in which clusters.
	Job json.RawMessage `json:"job,omitempty"`
	// Approval must be given at the end.
	Approval *ApproveInput `json:"approval,omitempty"`
}

// ApproveInput says how to ask for an approval.
type ApproveInput struct {
	// TopicARN is an SNS topic that is told what there is to approve.
	TopicARN string `json:"topicArn,omitempty"`
	// TimeoutSeconds is how long to wait, at most 20 hours; by default 8 hours.
	TimeoutSeconds int `json:"timeoutSeconds,omitempty"`
}

// Source is an object in S3: CSV if its key ends in .csv, and else a line of JSON for
// each cluster.
type Source struct {
	Bucket string `json:"bucket"`
	Key    string `json:"key"`
}

// ToleratedFailures is a number of clusters or a share of them.
type ToleratedFailures struct {
	// Percentage is 0 to 100, and rounded down to whole clusters.
	Percentage *int `json:"percentage,omitempty"`
	Count      *int `json:"count,omitempty"`
}
