package pods

import (
	"encoding/json"
	"fmt"

	"github.com/kubestep/kubestep/internal/contract"
)

// Totals reads what a fleet adds up out of an execution's output: the pods, and those
// that are in no healthy status.
func Totals(output json.RawMessage) (map[string]int, error) {
	var read contract.PodInventory
	if err := json.Unmarshal(output, &read); err != nil {
		return nil, fmt.Errorf("the output is not that of pod-inventory: %w", err)
	}
	unhealthy := read.Pods.Total
	for status, pods := range read.Pods.ByStatus {
		// How many containers of a pod are ready is not among the totals.
		if healthy(status, "1/1") {
			unhealthy -= pods
		}
	}
	return map[string]int{"pods": read.Pods.Total, "unhealthy": unhealthy}, nil
}
