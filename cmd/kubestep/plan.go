package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/follow"
	"github.com/kubestep/kubestep/internal/follow/terminal"
)

// planTable is each object, what was done to it, and the fields that changed.
func planTable(execution follow.Execution, style terminal.Style) (string, error) {
	var output applymanifests.Output
	if err := json.Unmarshal([]byte(execution.Output), &output); err != nil {
		return "", fmt.Errorf("apply-manifests does not write such an output: %w", err)
	}
	var b bytes.Buffer
	plan := output.Plan
	if len(plan.Objects) > 0 {
		writeObjects(&b, output)
		if more := plan.Created + plan.Configured + plan.Unchanged + plan.Deleting - len(plan.Objects); more > 0 {
			fmt.Fprintf(&b, "… and %d more\n", more)
		}
		b.WriteByte('\n')
	}
	for _, o := range plan.Objects {
		writeDifference(&b, o, style)
	}
	if plan.Diff != nil {
		for _, key := range plan.Diff.Keys {
			fmt.Fprintf(&b, "the whole difference: s3://%s/%s\n", terminal.Line(plan.Diff.Bucket), terminal.Line(key))
		}
	}
	cluster := output.Cluster
	form := "Applied in cluster %s (Kubernetes %s, %s): %d created, %d configured, %d unchanged%s, in %.1f s\n"
	if output.Mode == applymanifests.ModePlan {
		form = "Plan for cluster %s (Kubernetes %s, %s): %d to create, %d to change, %d unchanged%s, in %.1f s\n"
		if !output.Drift {
			form = "No drift in cluster %s (Kubernetes %s, %s): %d to create, %d to change, %d unchanged%s, in %.1f s\n"
		}
	}
	fmt.Fprintf(&b, form, terminal.Line(cluster.Name), terminal.Line(cluster.Version), terminal.Line(cluster.Region),
		plan.Created, plan.Configured, plan.Unchanged, besides(plan, output.Mode), execution.Stopped.Sub(execution.Started).Seconds())
	if output.Mode == applymanifests.ModePlan {
		b.WriteString(conflicts(plan.Objects, style))
	}
	for _, warning := range output.Warnings[:min(maxSaid, len(output.Warnings))] {
		fmt.Fprintf(&b, "%s %s\n", style.Yellow("warning:"), terminal.Line(warning))
	}
	if more := len(output.Warnings) - maxSaid; more > 0 {
		fmt.Fprintf(&b, "%s … and %d more\n", style.Yellow("warning:"), more)
	}
	for _, o := range output.Unobserved {
		fmt.Fprintf(&b, "%s %s counts as ready, although nothing has written its status\n", terminal.Line(o.Kind), terminal.Line(o.String()))
	}
	return b.String(), nil
}

// conflicts says what the conflicts of a plan mean for applying it.
func conflicts(objects []applymanifests.PlannedObject, style terminal.Style) string {
	n := 0
	for _, o := range objects {
		if len(o.Conflicts) > 0 {
			n++
		}
	}
	in := fmt.Sprintf("%d objects", n)
	switch n {
	case 0:
		return ""
	case 1:
		in = "1 object"
	}
	return fmt.Sprintf("%s in %s: applying fails unless you use --force\n", style.Red("conflicts"), in)
}

// action is what applying did to an object, or would do.
func action(o applymanifests.PlannedObject, mode applymanifests.Mode) string {
	switch {
	case mode == applymanifests.ModePlan && o.Action == applymanifests.ActionCreated:
		return "create"
	case mode == applymanifests.ModePlan && o.Action == applymanifests.ActionConfigured:
		return "configure"
	default:
		return string(o.Action)
	}
}

func writeObjects(b *bytes.Buffer, output applymanifests.Output) {
	// Without a wait, nobody knows what is ready. After one, everything is, or the
	// execution would have failed.
	head := ""
	if output.Ready {
		head = "\tREADY"
	}
	var rows bytes.Buffer
	fmt.Fprintf(&rows, "KIND\tNAMESPACE\tNAME\tACTION%s\n", head)
	for _, o := range output.Plan.Objects {
		ready := ""
		switch {
		case slices.Contains(output.Unobserved, applymanifests.ObjectName{Kind: o.Kind, Namespace: o.Namespace, Name: o.Name}):
			ready = "\tunknown"
		case output.Ready:
			ready = "\tyes"
		}
		fmt.Fprintf(&rows, "%s\t%s\t%s\t%s%s\n", cell(o.Kind), cell(o.Namespace), cell(o.Name), cell(action(o, output.Mode)), ready)
	}
	aligned := tabwriter.NewWriter(b, 6, 4, 3, ' ', 0)
	_, _ = rows.WriteTo(aligned)
	_ = aligned.Flush()
}

// writeDifference prints the paths that change, in the colors of a diff.
func writeDifference(b *bytes.Buffer, o applymanifests.PlannedObject, style terminal.Style) {
	if len(o.Changes)+len(o.Conflicts)+len(o.Takes)+len(o.Warnings)+len(o.Notes) == 0 && o.Unchecked == "" {
		return
	}
	name := o.Name
	if o.Namespace != "" {
		name = o.Namespace + "/" + name
	}
	fmt.Fprintf(b, "%s\n", style.Bold(terminal.Line(o.Kind+" "+name)))
	if o.Unchecked != "" {
		fmt.Fprintf(b, "  no dry run: %s\n", terminal.Line(o.Unchecked))
	}
	for _, change := range o.Changes {
		line := terminal.Line(change)
		switch {
		case strings.HasPrefix(line, "+"):
			line = style.Green(line)
		case strings.HasPrefix(line, "-"):
			line = style.Red(line)
		case strings.HasPrefix(line, "~"):
			line = style.Yellow(line)
		}
		fmt.Fprintf(b, "  %s\n", line)
	}
	writeSaid(b, style.Red("conflict:"), o.Conflicts)
	writeSaid(b, style.Yellow("takes"), o.Takes)
	writeSaid(b, style.Yellow("warning:"), o.Warnings)
	writeSaid(b, "note:", o.Notes)
	b.WriteByte('\n')
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
func besides(plan applymanifests.PlanReport, mode applymanifests.Mode) string {
	text := ""
	if plan.Adopted > 0 {
		does := "owned now, by applying them"
		if mode == applymanifests.ModePlan {
			does = "to be owned, by applying them"
		}
		text = fmt.Sprintf(" (%d of them %s)", plan.Adopted, does)
	}
	if plan.Deleting > 0 {
		text += fmt.Sprintf(", %d being deleted", plan.Deleting)
	}
	return text
}
