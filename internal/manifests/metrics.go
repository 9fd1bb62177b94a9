package manifests

import "github.com/kubestep/kubestep/internal/contract/applymanifests"

// Metrics are the objects that are not as the manifests say, once all are planned.
func Metrics(p applymanifests.Plan) map[string]int {
	if !p.Compared {
		return nil
	}
	return map[string]int{"objects.created": p.Created, "objects.configured": p.Configured, "objects.unchanged": p.Unchanged, "objects.deleting": p.Deleting}
}

// SetMetrics are the members of a set that are not in the manifests.
func SetMetrics(p applymanifests.Plan) map[string]int {
	return map[string]int{"objects.pruned": p.Pruned, "objects.spared": p.Spared}
}
