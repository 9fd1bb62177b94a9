// Package podinventory is what passes between the states of the machine pod-inventory,
// which lists the pods of a cluster.
package podinventory

import "github.com/kubestep/kubestep/internal/contract"

// Name is the workflow's: it is in the names of its machine and of its files.
const Name = "pod-inventory"

// Other sums up, among totals, what is beyond their bound. It is not a valid name
// of a namespace, and no reason in Kubernetes has parentheses.
const Other = "(other)"

// Request is what pod-inventory reads out of the execution input beside the target.
type Request struct {
	// Namespaces to list, each once, at most MaxNamespaces; by default "default".
	// contract.AllNamespaces alone stands for all that there are.
	Namespaces []string `json:"namespaces"`
	// LabelSelector and FieldSelector are Kubernetes selectors; empty selects all.
	LabelSelector string `json:"labelSelector"`
	FieldSelector string `json:"fieldSelector"`
	// OnDenied says what happens if RBAC denies a namespace: fail (the default) ends
	// the execution, and skip lists the others.
	OnDenied contract.OnDenied `json:"onDenied"`
	// MaxItems is how many pods the output holds at most, 0 to MaxMaxItems; the
	// totals count all.
	MaxItems int `json:"maxItems"`
	// Output is where every pod is written to; nowhere if its bucket is empty.
	Output contract.Destination `json:"output"`
}

// Document is the document of an execution.
type Document struct {
	contract.Document
	// Request is what the workflow was asked for, with a default for each key that the
	// input left out.
	Request Request `json:"request"`
	// Access is which checks are allowed, by namespace.
	Access contract.VerifiedAccess `json:"access"`
	// Pods are totals, the first pods, and the cursor, where the next round continues.
	Pods Listing `json:"pods"`
}

// FunctionListPods lists the pods.
const FunctionListPods contract.Function[ListPods, Listing] = "ListPods"

// ListPods is the payload of list-pods.
type ListPods struct {
	contract.Session
	Namespaces    []string `json:"namespaces" path:"$.access.granted"`
	LabelSelector string   `json:"labelSelector" path:"$.request.labelSelector"`
	FieldSelector string   `json:"fieldSelector" path:"$.request.fieldSelector"`
	MaxItems      int      `json:"maxItems" path:"$.request.maxItems"`
	// Output is where to write every pod to; nowhere if its bucket is empty.
	Output contract.Destination `json:"output" path:"$.request.output"`
	// Pods is what earlier rounds found; empty in the first.
	Pods Listing `json:"pods"`
}

// Listing is the result of list-pods.
type Listing struct {
	Pods
	// Cursor is where the next round continues; null once all is listed.
	Cursor *contract.Cursor `json:"cursor"`
}

// Pods is what the output says of the pods: totals of all, and some of them.
type Pods struct {
	Total int `json:"total"`
	// Unhealthy counts the pods that neither succeeded nor run with every container and
	// readiness gate ready.
	Unhealthy int `json:"unhealthy"`
	// ByNamespace and ByStatus are bounded: those beyond, in the order of their
	// names, are summed up as Other.
	ByNamespace map[string]int `json:"byNamespace"`
	ByStatus    map[string]int `json:"byStatus"`
	// Items are the first pods, the unhealthy ones before the healthy.
	Items []Pod `json:"items"`
	// Truncated is true if Items does not hold every pod.
	Truncated bool `json:"truncated"`
	// Consistent is false if the pods of a namespace are not from one
	// moment: a list took longer than the cluster keeps its past.
	Consistent bool `json:"consistent"`
	// Archive is where every pod was written to; null if that was not asked for.
	Archive *Archive `json:"archive"`
}

// Archive is what was written to S3: gzipped NDJSON in parts. It is complete once
// the manifest is there, which holds this. Read the parts that the manifest names,
// and no others: an attempt that failed may have left parts of its own.
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
	// Bytes is its size as it is stored, and SHA256 the hash of that, in hex.
	Bytes  int    `json:"bytes"`
	SHA256 string `json:"sha256"`
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
	// Unhealthy tells pods apart that are printed alike: one printed Completed may have
	// failed, or be about to restart. It is left out if the pod is healthy.
	Unhealthy bool `json:"unhealthy,omitempty"`
}

// Output is the output of an execution of pod-inventory that succeeded.
type Output struct {
	Cluster contract.ClusterSummary `json:"cluster"`
	Access  contract.Access         `json:"access"`
	Pods    Pods                    `json:"pods"`
}
