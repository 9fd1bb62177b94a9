package main

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/follow"
	"github.com/kubestep/kubestep/internal/follow/terminal"
)

// deleteTable is each member of a set, and what became of it, or would.
func deleteTable(output applymanifests.Output, execution follow.Execution, style paper) string {
	var b bytes.Buffer
	writePlan(&b, output, style)
	elapsed := execution.Stopped.Sub(execution.Started).Seconds()
	set, cluster := setName(output), described(output.Cluster)
	switch {
	case !output.Drift:
		fmt.Fprintf(&b, "There is no set %s in cluster %s: nothing to delete, in %.1f s\n", set, cluster, elapsed)
		return b.String()
	case output.Mode == applymanifests.ModePlanDelete:
		fmt.Fprintf(&b, "Plan for set %s in cluster %s: %d to delete%s, in %.1f s\n", set, cluster, output.Plan.Pruned, spared(output), elapsed)
	case remaining(output) > 0:
		fmt.Fprintf(&b, "Deleted members of set %s in cluster %s: %d deleted%s, in %.1f s\n", set, cluster, output.Pruned, stayed(output), elapsed)
	default:
		fmt.Fprintf(&b, "Deleted set %s in cluster %s: %s, in %.1f s\n", set, cluster, contract.Counted(output.Pruned, "object"), elapsed)
	}
	writeLeft(&b, output, style)
	switch n := remaining(output); {
	case n == 0 || output.Plan.Refused != "":
	case output.Mode == applymanifests.ModePlanDelete && output.Plan.Spared > 0, output.Mode == applymanifests.ModeDelete:
		fmt.Fprintf(&b, "set %s stays, as long as it has members\n", set)
	}
	return b.String()
}

// writeSet says what a plan or an apply means for the set.
func writeSet(b *bytes.Buffer, output applymanifests.Output, style paper) {
	if output.Set == "" {
		return
	}
	writeLeft(b, output, style)
	if n := output.Plan.Pruned; n > 0 && !output.Prune {
		stay := "stay: --prune deletes them"
		if n == 1 {
			stay = "stays: --prune deletes it"
		}
		fmt.Fprintf(b, "%s left the manifests and %s\n", contract.Counted(n, "object"), stay)
	}
	members := output.Plan.Members
	if output.Mode == applymanifests.ModeApply {
		plan := output.Plan
		members = plan.Created + plan.Configured + plan.Unchanged + plan.Deleting + remaining(output)
	}
	fmt.Fprintf(b, "set %s: %s\n", setName(output), contract.Counted(members, "member"))
}

// writeLeft says what keeps members that were to be deleted.
func writeLeft(b *bytes.Buffer, output applymanifests.Output, style paper) {
	if output.Plan.Refused != "" {
		fmt.Fprintf(b, "%s: %s\n", style.Red("refused"), terminal.Line(output.Plan.Refused))
	}
	for _, left := range []struct {
		how string
		all []applymanifests.NotReadyObject
	}{{"deleting", output.Deleting}, {"kept", output.Kept}} {
		for _, o := range left.all[:min(maxSaid, len(left.all))] {
			name := applymanifests.ObjectName{Kind: o.Kind, Namespace: o.Namespace, Name: o.Name}
			fmt.Fprintf(b, "%s: %s %s: %s\n", style.Yellow(left.how), terminal.Line(o.Kind), terminal.Line(name.String()), terminal.Line(o.Message))
		}
		if more := len(left.all) - maxSaid; more > 0 {
			fmt.Fprintf(b, "%s: … and %d more\n", style.Yellow(left.how), more)
		}
	}
}

func setName(output applymanifests.Output) string {
	return terminal.Line(output.Namespace + "/" + output.Set)
}

// remaining counts the members that are not in the manifests, and that stay for now.
func remaining(output applymanifests.Output) int {
	return max(output.Plan.Pruned-output.Pruned, 0) + output.Plan.Spared
}

// isParent reports whether the object stands for the set.
func isParent(o applymanifests.PlannedObject, output applymanifests.Output) bool {
	return output.Set != "" && o.Kind == "ConfigMap" && o.Namespace == output.Namespace && o.Name == output.Set
}

// isLeaving reports whether the object is not in the manifests.
func isLeaving(o applymanifests.PlannedObject) bool {
	return o.Action == applymanifests.ActionPruned || o.Action == applymanifests.ActionSpared
}

// isDeletion reports whether the object is deleted, or would be.
func isDeletion(o applymanifests.PlannedObject, output applymanifests.Output) bool {
	return o.Action == applymanifests.ActionPruned && action(o, output) != fateStays && action(o, output) != fateKept
}

// The fates of a member that was to be deleted, but is there.
const (
	fateStays    = "stays"
	fateKept     = "kept"
	fateDeleting = "deleting"
)

// fate is what became of a member that a plan says is pruned, or would.
func fate(o applymanifests.PlannedObject, output applymanifests.Output) string {
	is := func(all []applymanifests.NotReadyObject) bool {
		return slices.ContainsFunc(all, func(left applymanifests.NotReadyObject) bool {
			return left.Kind == o.Kind && left.Namespace == o.Namespace && left.Name == o.Name
		})
	}
	whole := output.Mode == applymanifests.ModeDelete || output.Mode == applymanifests.ModePlanDelete
	switch {
	case !output.Prune:
		return fateStays
	case is(output.Deleting):
		return fateDeleting
	case is(output.Kept):
		return fateKept
	// The output has room for some of those that are left. If there are more, nobody knows
	// of this one, so the table says what was planned.
	case !output.Mode.Changes(), output.Plan.Pruned-output.Pruned > len(output.Deleting)+len(output.Kept):
		if whole {
			return "delete"
		}
		return "prune"
	case whole:
		return "deleted"
	default:
		return string(o.Action)
	}
}

// leaving counts the members that are not in the manifests by what becomes of them.
func leaving(output applymanifests.Output) string {
	switch plan := output.Plan; {
	case output.Set == "":
		return ""
	case !output.Prune:
		return spared(output)
	case output.Mode == applymanifests.ModePlan:
		return fmt.Sprintf(", %d to prune%s", plan.Pruned, spared(output))
	default:
		return fmt.Sprintf(", %d pruned%s", output.Pruned, stayed(output))
	}
}

// spared counts the members that a plan spares.
func spared(output applymanifests.Output) string {
	if output.Plan.Spared == 0 {
		return ""
	}
	return fmt.Sprintf(", %d spared", output.Plan.Spared)
}

// stayed counts the members that are there all the same.
func stayed(output applymanifests.Output) string {
	if still := output.Plan.Pruned - output.Pruned; still > 0 {
		return fmt.Sprintf(", %d still there%s", still, spared(output))
	}
	return spared(output)
}
