package pods

import (
	"strings"

	"github.com/kubestep/kubestep/internal/contract/podinventory"
)

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
func Metrics(l podinventory.Listing) map[string]int {
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
