package manifests

import "github.com/kubestep/kubestep/internal/contract/applymanifests"

// Metrics are the objects that are not as the manifests say, once all are planned.
func Metrics(p applymanifests.Plan) map[string]int {
	if !p.Complete {
		return nil
	}
	return map[string]int{"objects.created": p.Created, "objects.configured": p.Configured, "objects.unchanged": p.Unchanged, "objects.deleting": p.Deleting}
}
