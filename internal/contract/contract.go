// Package contract is the JSON that passes between the states of the machine,
// and the names of the errors that it acts upon. It needs the standard library
// only, so that whoever reads an execution's output can import its shape.
//
// Everything in it is visible in the execution history: no type here may hold
// a readable secret.
package contract

import (
	"encoding/json"
	"time"
)

// Request is the execution input once it is checked and completed: every field
// that the input left out holds its default.
type Request struct {
	// ClusterName is the EKS cluster's name, 1 to 100 characters.
	ClusterName string `json:"clusterName"`
	// Region is the AWS Region of the cluster; by default the functions' own.
	Region string `json:"region"`
	// RoleARN is an IAM role to assume before EKS and the cluster are called,
	// for a cluster of another account; empty for the functions' own roles.
	RoleARN string `json:"roleArn"`
	// Namespaces to list, each once, at most MaxNamespaces; by default "default".
	// AllNamespaces alone stands for all that there are.
	Namespaces []string `json:"namespaces"`
	// LabelSelector and FieldSelector are Kubernetes selectors; empty selects all.
	LabelSelector string `json:"labelSelector"`
	FieldSelector string `json:"fieldSelector"`
	// OnDenied says what becomes of namespaces that RBAC denies: Fail stops the
	// machine, which is the default, and Skip lists the others.
	OnDenied OnDenied `json:"onDenied"`
	// MaxItems is how many pods the output holds at most, 0 to MaxMaxItems; the
	// totals count all.
	MaxItems int `json:"maxItems"`
	// Output is where every pod is written to; nowhere where its bucket is empty.
	Output Destination `json:"output"`
}

// Destination is a place in S3.
type Destination struct {
	Bucket string `json:"bucket"`
	// Prefix begins the keys of what is written; the execution's name follows it.
	Prefix string `json:"prefix,omitempty"`
}

// OnDenied is what is done about namespaces that RBAC denies.
type OnDenied string

const (
	// Fail stops with Forbidden.
	Fail OnDenied = "fail"
	// Skip reports them in access, and lists the others.
	Skip OnDenied = "skip"
)

// AllNamespaces stands for every namespace of the cluster.
const AllNamespaces = "*"

const (
	// DefaultMaxItems is how many pods the output holds where the input does not say.
	DefaultMaxItems = 100
	// MaxMaxItems bounds what the input may ask for. The output's own bound in
	// bytes lets pass about 300 of them.
	MaxMaxItems = 1000
)

// Other is what sums up, among totals, those beyond their bound. It is the name
// of no namespace, and no reason in Kubernetes has parentheses.
const Other = "(other)"

// MaxNamespaces bounds the namespaces of one request: with names of 63
// characters, the request, the access reviews and the totals of that many stay
// well within the 256 KiB that Step Functions lets pass between states.
const MaxNamespaces = 200

// Cluster is what is needed to reach a cluster, as EKS describes it.
type Cluster struct {
	Name    string `json:"name"`
	ARN     string `json:"arn"`
	Region  string `json:"region"`
	Version string `json:"version"`
	// Status is ACTIVE or UPDATING: a cluster in any other is an error.
	Status string `json:"status"`
	// Endpoint is the URL of the Kubernetes API.
	Endpoint string `json:"endpoint"`
	// CertificateAuthority is padded standard base64 of one PEM block or, while
	// the authority is being rotated, of two.
	CertificateAuthority string `json:"certificateAuthority"`
	// AuthenticationMode says what maps IAM to Kubernetes: API,
	// API_AND_CONFIG_MAP or CONFIG_MAP.
	AuthenticationMode string `json:"authenticationMode"`
}

// DescribeCluster is the payload of describe-cluster.
type DescribeCluster struct {
	// Execution is the execution's ARN, for the log.
	Execution string `json:"execution"`
	// Input is the execution input as it was given, unchecked.
	Input json.RawMessage `json:"input"`
	// Afresh passes by the cache: the cached data was found wrong.
	Afresh bool `json:"afresh"`
}

// DescribedCluster is the result of describe-cluster.
type DescribedCluster struct {
	Request Request `json:"request"`
	Cluster Cluster `json:"cluster"`
}

// MintToken is the payload of mint-token.
type MintToken struct {
	// Execution is the execution's ARN; the token opens in no other.
	Execution string  `json:"execution"`
	Cluster   Cluster `json:"cluster"`
	RoleARN   string  `json:"roleArn"`
}

// Token is the result of mint-token: a bearer token, sealed.
type Token struct {
	Sealed string `json:"sealed"`
	// ExpiresAt is when the cluster stops taking it, less a margin.
	ExpiresAt time.Time `json:"expiresAt"`
	// Principal is the ARN of the IAM role whose identity the token carries.
	Principal string `json:"principal"`
}

// VerifyRBAC is the payload of verify-rbac.
type VerifyRBAC struct {
	Execution  string   `json:"execution"`
	Cluster    Cluster  `json:"cluster"`
	Token      Token    `json:"token"`
	Namespaces []string `json:"namespaces"`
	OnDenied   OnDenied `json:"onDenied"`
}

// VerifiedAccess is the result of verify-rbac.
type VerifiedAccess struct {
	Access
	// Granted are the namespaces that may be listed, in their order; there may be none.
	Granted []string `json:"granted"`
}

// Access is what the output says of access.
type Access struct {
	// Allowed is true where every namespace asked for may be listed. It is false
	// only where those denied were skipped.
	Allowed    bool              `json:"allowed"`
	Namespaces []NamespaceAccess `json:"namespaces"`
}

// NamespaceAccess is the answer of one SelfSubjectAccessReview.
type NamespaceAccess struct {
	Namespace string `json:"namespace"`
	Allowed   bool   `json:"allowed"`
	// Reason is the authorizer's own, at most 256 bytes of it. Where it denies
	// and gives none, it is what would allow it.
	Reason string `json:"reason"`
}

// ListPods is the payload of list-pods.
type ListPods struct {
	Execution     string   `json:"execution"`
	Cluster       Cluster  `json:"cluster"`
	Token         Token    `json:"token"`
	Namespaces    []string `json:"namespaces"`
	LabelSelector string   `json:"labelSelector"`
	FieldSelector string   `json:"fieldSelector"`
	MaxItems      int      `json:"maxItems"`
	// Output is where to write every pod to; nowhere where its bucket is empty.
	Output Destination `json:"output"`
	// Pods is what earlier rounds found; empty in the first.
	Pods Listing `json:"pods"`
}

// Listing is the result of list-pods.
type Listing struct {
	Pods
	// Cursor is where the next round goes on; null once all is listed.
	Cursor *Cursor `json:"cursor"`
}

// Pods is what the output says of the pods: totals of all, and some of them.
type Pods struct {
	Total int `json:"total"`
	// ByNamespace and ByStatus are bounded: those beyond, in the order of their
	// names, are summed up as Other.
	ByNamespace map[string]int `json:"byNamespace"`
	ByStatus    map[string]int `json:"byStatus"`
	// Items are the first pods, the unhealthy ones before the healthy.
	Items []Pod `json:"items"`
	// Truncated is true where Items does not hold every pod.
	Truncated bool `json:"truncated"`
	// Consistent is false where the pods of a namespace are not those of one
	// moment: a list took longer than the cluster keeps its past.
	Consistent bool `json:"consistent"`
	// Archive is where every pod was written to; null where that was not asked for.
	Archive *Archive `json:"archive"`
}

// Archive is a list of pods in S3: gzipped NDJSON in parts, each line a Pod. It is
// whole where the manifest is there, which holds this.
type Archive struct {
	Bucket string `json:"bucket"`
	// Prefix begins the keys of the parts.
	Prefix string `json:"prefix"`
	// Manifest is the key of the manifest, which is written last; empty before.
	Manifest string `json:"manifest"`
	Pods     int    `json:"pods"`
	Parts    []Part `json:"parts"`
}

// Part is an object of an Archive.
type Part struct {
	Name string `json:"name"`
	Pods int    `json:"pods"`
	// Bytes is its size as it is stored.
	Bytes int `json:"bytes"`
}

// Cursor is where a round of listing stopped.
type Cursor struct {
	// Open are the namespaces that are listed in part.
	Open []Place `json:"open"`
	// Next is the first namespace that no round has begun; empty where all are begun.
	Next string `json:"next"`
}

// Place is a place in the list of a namespace's pods.
type Place struct {
	// Namespace is empty where pods are listed across the cluster.
	Namespace string `json:"namespace"`
	// Continue is the API server's continue token; empty at the start.
	Continue string `json:"continue"`
}

// Pod is a row of `kubectl get pods -o wide`, as the API server prints it.
type Pod struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Ready     string `json:"ready"`
	Status    string `json:"status"`
	Restarts  int    `json:"restarts"`
	// Age is how old the pod was when it was listed, as kubectl writes it ("5d2h").
	Age string `json:"age"`
	// IP and Node are empty until the pod has them.
	IP   string `json:"ip"`
	Node string `json:"node"`
}

// Output is the output of an execution that succeeded.
type Output struct {
	Cluster ClusterSummary `json:"cluster"`
	Access  Access         `json:"access"`
	Pods    Pods           `json:"pods"`
}

// ClusterSummary is what the output says of the cluster: nothing of how to reach it.
type ClusterSummary struct {
	Name    string `json:"name"`
	ARN     string `json:"arn"`
	Region  string `json:"region"`
	Version string `json:"version"`
	Status  string `json:"status"`
}
