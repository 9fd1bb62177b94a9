package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/follow"
	"github.com/kubestep/kubestep/internal/follow/terminal"
	"github.com/kubestep/kubestep/internal/shell"
)

// applyTable is the result of an execution of apply-manifests: what was, or would be, applied
// or deleted, or the sets of the cluster.
func applyTable(execution follow.Execution, style paper) (string, error) {
	var output applymanifests.Output
	if err := json.Unmarshal([]byte(execution.Output), &output); err != nil {
		return "", fmt.Errorf("apply-manifests does not write such an output: %w", err)
	}
	switch output.Mode {
	case applymanifests.ModeSets:
		return setsTable(output, execution, style), nil
	case applymanifests.ModeDelete, applymanifests.ModePlanDelete:
		return deleteTable(output, execution, style), nil
	default:
		return planTable(output, execution, style), nil
	}
}

// planTable is each object, what was done to it, and the fields that changed.
func planTable(output applymanifests.Output, execution follow.Execution, style paper) string {
	var b bytes.Buffer
	plan := output.Plan
	writePlan(&b, output, style)
	form := "Applied in cluster %s: %d created, %d configured, %d unchanged%s, in %.1f s\n"
	if output.Mode == applymanifests.ModePlan {
		form = "Plan for cluster %s: %d to create, %d to change, %d unchanged%s, in %.1f s\n"
		if !output.Drift {
			form = "No drift in cluster %s: %d to create, %d to change, %d unchanged%s, in %.1f s\n"
		}
	}
	fmt.Fprintf(&b, form, described(output.Cluster), plan.Created, plan.Configured, plan.Unchanged, besides(output),
		execution.Stopped.Sub(execution.Started).Seconds())
	if output.Mode == applymanifests.ModePlan {
		b.WriteString(conflicts(plan.Objects, style))
	}
	writeSet(&b, output, style)
	for _, warning := range output.Warnings[:min(maxSaid, len(output.Warnings))] {
		fmt.Fprintf(&b, "%s %s\n", style.Yellow("warning:"), terminal.Line(warning))
	}
	if more := len(output.Warnings) - maxSaid; more > 0 {
		fmt.Fprintf(&b, "%s … and %d more\n", style.Yellow("warning:"), more)
	}
	for _, j := range output.Jobs {
		b.WriteString(completed(j))
	}
	for _, o := range output.Unobserved {
		fmt.Fprintf(&b, "%s %s counts as ready, although nothing has written its status\n", terminal.Line(o.Kind), terminal.Line(o.String()))
	}
	return b.String()
}

// completed says that a Job of before or after has completed, and when.
func completed(j applymanifests.CompletedJob) string {
	name := applymanifests.ObjectName{Namespace: j.Namespace, Name: j.Name}.String()
	text := fmt.Sprintf("%s: Job %s completed", terminal.Line(string(j.Gate)), terminal.Line(name))
	began, err := time.Parse(time.RFC3339, j.StartedAt)
	ended, endErr := time.Parse(time.RFC3339, j.EndedAt)
	switch {
	case !j.Ran:
		text += fmt.Sprintf(" at %s: %s", cmp.Or(terminal.Line(j.EndedAt), "an earlier time"), terminal.Line(j.Note))
	case err == nil && endErr == nil:
		text += fmt.Sprintf(", in %s", ended.Sub(began))
	}
	return text + "\n"
}

// writePlan prints the objects of a plan, and the fields that change.
func writePlan(b *bytes.Buffer, output applymanifests.Output, style paper) {
	plan := output.Plan
	if len(plan.Objects) > 0 {
		writeObjects(b, output, style)
		more := plan.Created + plan.Configured + plan.Unchanged + plan.Deleting + plan.Pruned + plan.Spared
		for _, o := range plan.Objects {
			if !isParent(o, output) { // which is not counted
				more--
			}
		}
		if more > 0 {
			fmt.Fprintf(b, "… and %d more\n", more)
		}
		b.WriteByte('\n')
	}
	for _, o := range plan.Objects {
		writeDifference(b, o, style)
	}
	if plan.Diff != nil {
		for _, key := range plan.Diff.Keys {
			fmt.Fprintf(b, "the whole difference: s3://%s/%s\n", terminal.Line(plan.Diff.Bucket), terminal.Line(key))
		}
	}
}

// described names a cluster, and says where it is.
func described(cluster contract.ClusterSummary) string {
	return fmt.Sprintf("%s (Kubernetes %s, %s)", terminal.Line(cluster.Name), terminal.Line(cluster.Version), terminal.Line(cluster.Region))
}

// conflicts says what the conflicts of a plan, and the owners of its objects, mean for
// applying it.
func conflicts(objects []applymanifests.PlannedObject, style paper) string {
	conflicting, owned, adopt := 0, 0, []string{}
	for _, o := range objects {
		if len(o.Conflicts) > 0 {
			conflicting++
		}
		if len(o.Owners) > 0 {
			owned++
		}
		for _, owner := range o.Owners {
			if flag := "--adopt " + shell.Quote(terminal.Line(owner)); !slices.Contains(adopt, flag) {
				adopt = append(adopt, flag)
			}
		}
	}
	text := ""
	if conflicting > 0 {
		text += fmt.Sprintf("%s in %s: applying fails unless you use --force-conflicts\n", style.Red("conflicts"), contract.Counted(conflicting, "object"))
	}
	if owned > 0 {
		text += fmt.Sprintf("%s of %s: applying fails without %s\n", style.Red("other owners"), contract.Counted(owned, "object"), strings.Join(contract.Few(adopt, maxSaid), " "))
	}
	return text
}

// action is what applying did to an object, or would do.
func action(o applymanifests.PlannedObject, output applymanifests.Output) string {
	planned := output.Mode == applymanifests.ModePlan
	switch {
	case planned && o.Action == applymanifests.ActionCreated:
		return "create"
	case planned && o.Action == applymanifests.ActionConfigured:
		return "configure"
	case o.Action == applymanifests.ActionPruned:
		return fate(o, output)
	default:
		return string(o.Action)
	}
}

func writeObjects(b *bytes.Buffer, output applymanifests.Output, style paper) {
	// Without a wait, nobody knows what is ready. After one, everything is, or the
	// execution would have failed.
	head := []string{"KIND", "NAMESPACE", "NAME", "ACTION"}
	gated := slices.ContainsFunc(output.Plan.Objects, func(o applymanifests.PlannedObject) bool { return o.Gate != "" })
	if gated {
		head = append(head, "GATE")
	}
	if output.Ready {
		head = append(head, "READY")
	}
	rows := [][]string{head}
	for _, o := range output.Plan.Objects {
		row := []string{cell(o.Kind), cell(o.Namespace), cell(o.Name), cell(action(o, output))}
		if gated {
			row = append(row, cmp.Or(terminal.Line(string(o.Gate)), "-"))
		}
		switch {
		case !output.Ready:
		case isLeaving(o), isParent(o, output): // which nobody waits for
			row = append(row, "-")
		case slices.Contains(output.Unobserved, applymanifests.ObjectName{Kind: o.Kind, Namespace: o.Namespace, Name: o.Name}):
			row = append(row, "unknown")
		default:
			row = append(row, "yes")
		}
		rows = append(rows, row)
	}
	var aligned bytes.Buffer
	style.table(&aligned, rows, "NAME")
	i := -1 // the head
	for line := range strings.Lines(aligned.String()) {
		line = strings.TrimSuffix(line, "\n")
		if i >= 0 && isDeletion(output.Plan.Objects[i], output) {
			line = style.Red(line)
		}
		b.WriteString(line + "\n")
		i++
	}
}

// writeDifference prints the paths that change, in the colors of a diff.
func writeDifference(b *bytes.Buffer, o applymanifests.PlannedObject, style paper) {
	if len(o.Changes)+len(o.Conflicts)+len(o.Takes)+len(o.Warnings)+len(o.Notes) == 0 && o.Unchecked == "" || o.Action == applymanifests.ActionPruned {
		return // or what is pruned: writeSet says whether it stays
	}
	name := o.Name
	if o.Namespace != "" {
		name = o.Namespace + "/" + name
	}
	fmt.Fprintf(b, "%s\n", style.Bold(terminal.Line(o.Kind+" "+name)))
	if o.Unchecked != "" {
		fmt.Fprintf(b, "  no dry run: %s\n", terminal.Line(o.Unchecked))
	}
	writeChanges(b, o, style)
	writeSaid(b, style.Red("conflict:"), o.Conflicts)
	writeSaid(b, style.Yellow("takes"), o.Takes)
	writeSaid(b, style.Yellow("warning:"), o.Warnings)
	about := "note:"
	switch {
	case o.Action == applymanifests.ActionSpared:
		about = style.Yellow("spared:")
	case len(o.Owners) > 0:
		about = style.Red("note:")
	}
	writeSaid(b, about, o.Notes)
	b.WriteByte('\n')
}

// writeChanges prints the fields that change, with their values if the plan tells them.
func writeChanges(b *bytes.Buffer, o applymanifests.PlannedObject, on paper) {
	for i, change := range o.Changes {
		line := terminal.Line(change)
		color := func(text string) string { return text }
		switch {
		case strings.HasPrefix(line, "+"):
			color = on.Green
		case strings.HasPrefix(line, "-"):
			color = on.Red
		case strings.HasPrefix(line, "~"):
			color = on.Yellow
		}
		var values applymanifests.ChangedValue
		if i < len(o.Values) {
			values = o.Values[i]
		}
		before, after := terminal.Line(values.Before), terminal.Line(values.After)
		one := cmp.Or(before, after)
		if before != "" && after != "" {
			one = before + " → " + after
		}
		switch {
		case one == "":
			fmt.Fprintf(b, "  %s\n", color(line))
		case on.fits("  " + line + ": " + one):
			fmt.Fprintf(b, "  %s: %s\n", color(line), one)
		case before != "" && after != "":
			fmt.Fprintf(b, "  %s:\n      %s\n    → %s\n", color(line), before, after)
		default:
			fmt.Fprintf(b, "  %s:\n      %s\n", color(line), one)
		}
	}
}

// maxSaid is how many sentences of a kind are printed of an object.
const maxSaid = 20

// writeSaid prints sentences on an object.
func writeSaid(b *bytes.Buffer, about string, sentences []string) {
	for _, sentence := range sentences[:min(maxSaid, len(sentences))] {
		fmt.Fprintf(b, "  %s %s\n", about, terminal.Line(sentence))
	}
	if more := len(sentences) - maxSaid; more > 0 {
		fmt.Fprintf(b, "  %s … and %d more\n", about, more)
	}
}

// besides are the objects that the counts by action do not tell.
func besides(output applymanifests.Output) string {
	text, plan := "", output.Plan
	if plan.Adopted > 0 {
		does := "owned now, by applying them"
		if output.Mode == applymanifests.ModePlan {
			does = "to be owned, by applying them"
		}
		text = fmt.Sprintf(" (%d of them %s)", plan.Adopted, does)
	}
	if plan.Deleting > 0 {
		text += fmt.Sprintf(", %d being deleted", plan.Deleting)
	}
	return text + leaving(output)
}
