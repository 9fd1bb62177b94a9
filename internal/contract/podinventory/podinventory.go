// Package podinventory is what passes between the states of the machine pod-inventory,
// which lists the pods of a cluster.
package podinventory

import (
	"strings"

	"github.com/kubestep/kubestep/internal/contract"
)

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
	Cursor *Cursor `json:"cursor"`
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
	// Consistent is false if the pods of a namespace are not those of one
	// moment: a list took longer than the cluster keeps its past.
	Consistent bool `json:"consistent"`
	// Archive is where every pod was written to; null if that was not asked for.
	Archive *contract.Archive `json:"archive"`
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

// statuses are the statuses that have a metric of their own. CloudWatch bills each
// name, and a container may write any reason: the others are counted as Other.
// https://github.com/kubernetes/kubernetes/blob/v1.37.2/pkg/printers/internalversion/printers.go, printPod
var statuses = map[string]bool{
	"Running": true, "Completed": true, "Succeeded": true, "Pending": true, "Failed": true, "Unknown": true,
	"NotReady": true, "Terminating": true, "ContainerCreating": true, "PodInitializing": true, "SchedulingGated": true,
	"CrashLoopBackOff": true, "Error": true, "OOMKilled": true, "Evicted": true, "NodeLost": true, "ContainerStatusUnknown": true,
	"ImagePullBackOff": true, "ErrImagePull": true, "InvalidImageName": true, "CreateContainerConfigError": true, "CreateContainerError": true,
}

// Metrics are the pods of the cluster by status, once all are listed.
func (l Listing) Metrics() map[string]int {
	if l.Cursor != nil || len(l.ByStatus) == 0 {
		return nil
	}
	metrics := map[string]int{}
	for status, pods := range l.ByStatus {
		switch {
		case strings.HasPrefix(status, "Init:"):
			status = "Init"
		case !statuses[status]:
			status = "Other"
		}
		metrics["pods."+status] += pods
	}
	return metrics
}

// Figures are what a fleet reads of an Output: without
// the rows, which take longer to read than all else that is done for a cluster.
type Figures struct {
	Pods struct {
		Total int `json:"total"`
		// Unhealthy is nil in the output of a version that did not count them.
		Unhealthy *int `json:"unhealthy"`
	} `json:"pods"`
}

// Figures are what a fleet adds up of an execution: the pods, and the unhealthy ones as
// the inventory counts them.
func (o Figures) Figures() map[string]int {
	figures := map[string]int{"pods": o.Pods.Total}
	if o.Pods.Unhealthy != nil {
		figures["unhealthy"] = *o.Pods.Unhealthy
	}
	return figures
}
