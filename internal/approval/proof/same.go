package proof

import (
	"strings"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
)

// maxNamed is how many objects an error names.
const maxNamed = 20

// Same returns an error unless the plan is the one that was approved for the execution. names
// are the objects in the order of the manifests, and done reports which of them the execution
// has applied already.
//
// Errors: NotApproved, PlanChanged.
func (s Sealer) Same(execution, cluster string, approved applymanifests.Approval, plan applymanifests.Plan, names []string, done func(i int) bool) error {
	if !approved.Complete {
		return contract.Errorf(contract.NotApproved, "Nobody has approved the plan for cluster %s, so nothing is applied", cluster)
	}
	if err := s.Verify(execution, approved.Decision); err != nil {
		return err
	}
	if !approved.Decision.Approved || approved.Decision.Digest != approved.Digest {
		return contract.Errorf(contract.NotApproved, "What was approved is not the plan for cluster %s that the execution waited with, so nothing is applied", cluster)
	}
	var differ []string
	const length = applymanifests.EffectLength
	for i, name := range names {
		before, now := part(approved.Effects, i, length), part(plan.Effects, i, length)
		if before != now && !done(i) {
			differ = append(differ, name)
		}
	}
	members := approved.Leaving != plan.Leaving
	if len(differ) == 0 && !members {
		return nil
	}
	var texts []string
	if len(differ) > 0 {
		texts = append(texts, strings.Join(contract.Few(differ, maxNamed), ", "))
	}
	if members {
		texts = append(texts, "the members of the set that are deleted")
	}
	return contract.Errorf(contract.PlanChanged, "Applying to cluster %s would do something else than was approved at %s, because the cluster has changed since: %s. Start another execution, and look at its plan",
		cluster, approved.Decision.At.UTC().Format("2006-01-02T15:04:05Z"), strings.Join(texts, "; and "))
}

func part(text string, i, length int) string {
	if (i+1)*length > len(text) {
		return ""
	}
	return text[i*length : (i+1)*length]
}
