// Package contract is the JSON that passes between the states of all machines, and the
// names of the errors that they act on. What one workflow adds is a package below. They
// import the standard library only.
//
// Everything in it is visible in the execution history: no type here may hold
// a readable secret.
package contract

import (
	"encoding/json"
	"time"
)

// Target is the cluster that an execution is for.
type Target struct {
	// ClusterName is the EKS cluster's name, 1 to 100 characters.
	ClusterName string `json:"clusterName"`
	// Region is the AWS Region of the cluster; by default the functions' own.
	Region string `json:"region"`
	// RoleARN is an IAM role to assume before EKS and the cluster are called,
	// for a cluster of another account; empty for the functions' own roles.
	RoleARN string `json:"roleArn"`
}

// Cluster is what is needed to reach a cluster, as EKS describes it.
type Cluster struct {
	Name    string `json:"name"`
	ARN     string `json:"arn"`
	Region  string `json:"region"`
	Version string `json:"version"`
	// Status is ACTIVE or UPDATING: a cluster in any other status is an error.
	Status string `json:"status"`
	// Endpoint is the https URL of the Kubernetes API.
	Endpoint string `json:"endpoint"`
	// CertificateAuthority is padded standard base64 of one PEM block or, while
	// the authority is being rotated, of two.
	CertificateAuthority string `json:"certificateAuthority"`
	// AuthenticationMode says what maps IAM to Kubernetes: API,
	// API_AND_CONFIG_MAP or CONFIG_MAP.
	AuthenticationMode string `json:"authenticationMode"`
	// Attestation is describe-cluster's word that EKS said all this, for one
	// execution and one role. mint-token refuses a cluster without it.
	Attestation string `json:"attestation"`
}

// Check is one thing that the identity must be allowed to do in the cluster.
type Check struct {
	Verb string `json:"verb"`
	// Group is the API group; empty for the core group.
	Group string `json:"group,omitempty"`
	// Resource is the plural name, as in RBAC rules; pods/log is a subresource.
	Resource string `json:"resource"`
	// Namespace is AllNamespaces for all of them, and empty for a resource that is
	// not namespaced.
	Namespace string `json:"namespace,omitempty"`
	// Name is of one object; empty for all.
	Name string `json:"name,omitempty"`
	// Fix is the command that grants the permission; empty if there is none to print.
	Fix string `json:"fix,omitempty"`
}

// AllNamespaces stands for every namespace of the cluster, in an input and in a Check.
const AllNamespaces = "*"

// OnDenied says what happens if RBAC denies a namespace.
type OnDenied string

const (
	// OnDeniedFail ends the execution with Forbidden.
	OnDeniedFail OnDenied = "fail"
	// OnDeniedSkip reports the namespace in access, and continues with the others.
	OnDeniedSkip OnDenied = "skip"
)

// Destination is a place in S3.
type Destination struct {
	Bucket string `json:"bucket"`
	// Prefix begins the keys of what is written; the execution's name follows it.
	Prefix string `json:"prefix,omitempty"`
}

// DescribeCluster is the payload of describe-cluster.
type DescribeCluster struct {
	// Execution is the execution's ARN.
	Execution string `json:"execution" path:"$$.Execution.Id"`
	// Workflow is the name of the workflow whose input it is.
	Workflow string `json:"workflow"`
	// Input is the execution input as it was given, unchecked.
	Input json.RawMessage `json:"input" path:"$$.Execution.Input"`
	// Refresh bypasses the cache, because its data proved stale.
	Refresh bool `json:"refresh"`
	// Progress is what the workflow has to remember of what it did before a refresh.
	Progress string `json:"progress"`
}

// DescribedCluster is the result of describe-cluster.
type DescribedCluster struct {
	Target Target `json:"target"`
	// Request is what the workflow reads out of the input beside the target, with
	// each default filled in.
	Request json.RawMessage `json:"request"`
	// Checks are the permissions that the request needs.
	Checks  []Check `json:"checks"`
	Cluster Cluster `json:"cluster"`
	// Progress is handed back as it was given: what begins anew does not know it otherwise.
	Progress string `json:"progress"`
}

// MintToken is the payload of mint-token.
type MintToken struct {
	// Execution is the execution's ARN; the token opens in no other.
	Execution string  `json:"execution" path:"$$.Execution.Id"`
	Cluster   Cluster `json:"cluster"`
	RoleARN   string  `json:"roleArn" path:"$.target.roleArn"`
}

// Token is the result of mint-token: a bearer token, sealed.
type Token struct {
	Sealed string `json:"sealed"`
	// ExpiresAt is when the cluster stops accepting it, less a margin.
	ExpiresAt time.Time `json:"expiresAt"`
	// Principal is the ARN of the IAM role whose identity the token carries.
	Principal string `json:"principal"`
	// Group is the Kubernetes group that the role is to be mapped to.
	Group string `json:"group"`
}

// Session is what a function needs to connect to the cluster. It is embedded in
// the payload of each function that does.
type Session struct {
	// Execution is the execution's ARN.
	Execution string  `json:"execution" path:"$$.Execution.Id"`
	Cluster   Cluster `json:"cluster"`
	Token     Token   `json:"token"`
}

// VerifyRBAC is the payload of verify-rbac.
type VerifyRBAC struct {
	Session
	Checks   []Check  `json:"checks"`
	OnDenied OnDenied `json:"onDenied" path:"$.request.onDenied"`
}

// VerifiedAccess is the result of verify-rbac.
type VerifiedAccess struct {
	Access
	// Granted are the namespaces in which every check was allowed, in their order;
	// there may be none.
	Granted []string `json:"granted"`
}

// Access is what the output says of access.
type Access struct {
	// Allowed is true if every check was allowed. It is false only if the denied
	// namespaces were skipped.
	Allowed    bool              `json:"allowed"`
	Namespaces []NamespaceAccess `json:"namespaces"`
}

// NamespaceAccess is the answer of the access reviews for a namespace.
type NamespaceAccess struct {
	// Namespace is AllNamespaces for what is reviewed across the cluster.
	Namespace string `json:"namespace"`
	Allowed   bool   `json:"allowed"`
	// Reason is the authorizer's own, at most 256 bytes of it. If it denies and
	// gives none, it is the command that grants the permission.
	Reason string `json:"reason"`
}

// Cursor is where a round of listing stopped.
type Cursor struct {
	// Open are the namespaces that are listed in part.
	Open []Place `json:"open"`
	// Begun are the namespaces of the request that a round has begun.
	Begun []string `json:"begun,omitempty"`
	// Next is the first namespace by name that no round has begun, if the request
	// is for all namespaces; empty if all are begun.
	Next string `json:"next,omitempty"`
}

// Place is a place in the list of a namespace's pods.
type Place struct {
	Namespace string `json:"namespace"`
	// Continue is the API server's continue token; empty at the start.
	Continue string `json:"continue"`
}

// ClusterSummary is what an output says of the cluster: nothing of how to reach it.
type ClusterSummary struct {
	Name    string `json:"name"`
	ARN     string `json:"arn"`
	Region  string `json:"region"`
	Version string `json:"version"`
	Status  string `json:"status"`
}
