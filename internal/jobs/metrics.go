package jobs

import "github.com/kubestep/kubestep/internal/contract/runjob"

// Metrics are the Jobs of a cluster by how they ended.
func Metrics(run runjob.Run) map[string]int {
	switch {
	case !run.Complete:
		return nil
	case run.Succeeded:
		return map[string]int{"jobs.Succeeded": 1}
	default:
		return map[string]int{"jobs." + run.End.Error: 1}
	}
}
