package pods

import (
	"encoding/json"
	"maps"
	"strings"

	"github.com/kubestep/kubestep/internal/contract"
)

const (
	// maxItemBytes bounds the items in the state, so that the whole of it stays
	// well under the 262,144 bytes that Step Functions passes on.
	maxItemBytes = 48 << 10
	// maxStatuses bounds byStatus: any container may write a reason of its own.
	maxStatuses = 64
	// otherStatus sums up what is beyond.
	otherStatus = "(other)"
)

// tally counts pods, and keeps the first of them, the unhealthy before the healthy.
type tally struct {
	total       int
	byNamespace map[string]int
	byStatus    map[string]int
	unhealthy   []contract.Pod
	healthy     []contract.Pod
	maxItems    int
}

// newTally goes on from what earlier rounds counted.
func newTally(earlier contract.Pods, maxItems int) *tally {
	t := &tally{total: earlier.Total, byNamespace: map[string]int{}, byStatus: map[string]int{}, maxItems: maxItems}
	maps.Copy(t.byNamespace, earlier.ByNamespace)
	maps.Copy(t.byStatus, earlier.ByStatus)
	for _, pod := range earlier.Items {
		t.keep(pod)
	}
	return t
}

// enter makes a namespace show even where it has no pods.
func (t *tally) enter(namespace string) { t.byNamespace[namespace] += 0 }

func (t *tally) add(pod contract.Pod) {
	t.total++
	t.byNamespace[pod.Namespace]++
	status := pod.Status
	if _, known := t.byStatus[status]; !known && len(t.byStatus) >= maxStatuses {
		status = otherStatus
	}
	t.byStatus[status]++
	t.keep(pod)
}

func (t *tally) keep(pod contract.Pod) {
	list := &t.unhealthy
	if healthy(pod) {
		list = &t.healthy
	}
	if len(*list) < t.maxItems {
		*list = append(*list, pod)
	}
}

// healthy pods are done, or run with all their containers ready.
func healthy(pod contract.Pod) bool {
	if pod.Status == "Completed" || pod.Status == "Succeeded" {
		return true
	}
	ready, all, _ := strings.Cut(pod.Ready, "/")
	return pod.Status == "Running" && ready == all
}

// listing is the result so far; a nil cursor says that it is all.
func (t *tally) listing(cursor *contract.Cursor) contract.Listing {
	items := make([]contract.Pod, 0, min(t.maxItems, len(t.unhealthy)+len(t.healthy)))
	size := 0
	for _, list := range [][]contract.Pod{t.unhealthy, t.healthy} {
		for _, pod := range list {
			encoded, _ := json.Marshal(pod) // strings and a number: it cannot fail
			if size += len(encoded) + 1; len(items) == t.maxItems || size > maxItemBytes {
				break
			}
			items = append(items, pod)
		}
	}
	return contract.Listing{
		Pods: contract.Pods{
			Total: t.total, ByNamespace: t.byNamespace, ByStatus: t.byStatus,
			Items: items, Truncated: len(items) < t.total,
		},
		Cursor: cursor,
	}
}
