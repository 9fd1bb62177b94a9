package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/internal/contract/podinventory"
	"github.com/kubestep/kubestep/internal/fleet/report"
	"github.com/kubestep/kubestep/internal/follow"
	"github.com/kubestep/kubestep/internal/follow/terminal"
)

func newFleetGauge() (gauge, table) {
	g := &fleetGauge{}
	return g, g.table
}

// fleetVerb is the verb that runs a workflow on many clusters.
func fleetVerb(m machine) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "fleet [CLUSTER...]",
		Short: m.Summary,
		Long: `Run a workflow on many EKS clusters, each as an execution of its own, and print the
results. A cluster that fails does not stop the others, but a fleet that applies
manifests begins no other once more have failed than --tolerate allows.

CLUSTER is a name or an ARN. Leave all of them out to take every cluster of the
Regions and roles that the flags name, or every cluster in a list in S3.`,
		Example: `  # The pods of three clusters
  kubestep fleet payments search checkout

  # Every production cluster of two Regions, with a report as a web page
  kubestep fleet --region eu-west-1 --region us-east-1 --tag environment=production --report s3://my-bucket/kubestep/

  # The clusters of other accounts; up to 5 % of them may fail
  kubestep fleet --role-arn arn:aws:iam::444455556666:role/kubestep-member --tolerate 5%

  # The clusters in a file, a name or an ARN in each line
  kubestep fleet -f clusters.txt --concurrency 10

  # Which clusters differ from these manifests
  kubestep fleet --workflow apply-manifests --region eu-west-1 --request '{"source":{"bucket":"my-bucket","key":"base.yaml"}}'

  # Apply them one cluster after another, and stop at the first that does not get ready
  kubestep fleet canary prod-1 prod-2 --workflow apply-manifests --concurrency 1 --request '{"mode":"apply","source":{"bucket":"my-bucket","key":"base.yaml"},"wait":{"timeoutSeconds":300}}'

  # Apply them to two clusters first, then to a tenth of the others, then to the rest
  kubestep fleet --region eu-west-1 --workflow apply-manifests --report s3://my-bucket/kubestep/ --request @request.json --waves '[{"name":"canary","clusters":["stage","demo"]},{"name":"tenth","percentage":10},{"name":"rest","percentage":100,"toleratedFailures":{"count":2}}]'

  # The same, and back to the former version if a wave fails
  kubestep fleet --region eu-west-1 --workflow apply-manifests --report s3://my-bucket/kubestep/ --request @request.json --waves @waves.json --on-failure rollback --rollback-version 3sL4kqtJlcpXroDTDmJ

  # Run the clusters that failed last time again, with the same request
  kubestep fleet --source s3://my-bucket/kubestep/111122223333/eu-west-1/kubestep-fleet/nightly/failed.jsonl --request '{"namespaces":["*"]}'`,
		ValidArgsFunction: completeName(clusterList),
	}
	var o fleetOptions
	start := newStarter(cmd, m, &o.fleet)
	start.otherwise = []any{&o.fleet.Workflow}
	o.addFlags(cmd, start)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var wrong problems
		start.set = o.complete(cmd, start, args, &wrong)
		return start.start(cmd, wrong)
	}
	return cmd
}

// fleetOptions are the flags of kubestep fleet.
type fleetOptions struct {
	fleet                                    fleet.Input
	source, request, tolerate, report, waves string
	file                                     string
	rollback                                 fleet.RollbackInput
}

func (o *fleetOptions) addFlags(cmd *cobra.Command, start *starter) {
	flags := cmd.Flags()
	flags.StringVar(&o.fleet.Workflow, "workflow", podinventory.Name, "run the workflow of this `NAME`")
	flags.StringSliceVar(&o.fleet.Regions, "region", nil, "take the clusters of this AWS `REGION`; repeat it for more")
	flags.StringSliceVar(&o.fleet.RoleARNs, "role-arn", nil, "take the clusters that the IAM role of this `ARN` sees; repeat it for more")
	flags.StringToStringVar(&o.fleet.Tags, "tag", nil, "take the clusters that have this tag, `KEY=VALUE`; repeat it for more")
	flags.StringVarP(&o.file, "filename", "f", "", "read the clusters from this `FILE`, - for standard input: CSV, or a name, an ARN or a line of JSON each; or the whole input, as YAML or JSON")
	flags.StringVar(&o.source, "source", "", "take the clusters of a list, `s3://BUCKET/KEY`: CSV, or a line of JSON each")
	flags.StringVar(&o.request, "request", "", "the input of the workflow without the cluster, the same for all: `JSON` or @FILE")
	flags.IntVar(&o.fleet.Concurrency, "concurrency", 0, "run at most this `NUMBER` of clusters at once (40 if not set)")
	flags.StringVar(&o.tolerate, "tolerate", "", "succeed if at most this `NUMBER` of clusters fail, or a percentage such as 5% (none if not set)")
	flags.StringVar(&o.waves, "waves", "", "change the clusters in these waves, `JSON` or @FILE: the next begins if no more of one fail than it tolerates")
	flags.StringVar(&o.fleet.Unmatched, "unmatched", "", "`WHAT` becomes of clusters in no wave: refuse, last or skip (refuse if not set)")
	flags.StringVar((*string)(&o.fleet.OnFailure), "on-failure", "", "`WHAT` happens once a wave has failed: stop, continue or rollback (stop if not set)")
	flags.StringVar(&o.rollback.VersionID, "rollback-version", "", "roll back to the version of this `ID` of the request's source")
	flags.BoolVar(&o.fleet.RequireSamePlan, "require-same-plan", false, "leave clusters out in which the request would do something else than its effect says")
	flags.StringVar(&o.report, "report", "", "write the report below `s3://BUCKET/PREFIX`")
	flags.Lookup("tag").DefValue = "" // help would say (default [])
	start.setFlags(map[string]any{
		"workflow": &o.fleet.Workflow, "request": &o.fleet.Request, "region": &o.fleet.Regions, "role-arn": &o.fleet.RoleARNs, "tag": &o.fleet.Tags,
		"source": &o.fleet.Source, "concurrency": &o.fleet.Concurrency, "tolerate": &o.fleet.ToleratedFailures, "report": &o.fleet.Output,
		"waves": &o.fleet.Waves, "unmatched": &o.fleet.Unmatched, "on-failure": &o.fleet.OnFailure, "rollback-version": &o.fleet.Rollback,
		"require-same-plan": &o.fleet.RequireSamePlan,
	})
	complete(cmd, "workflow", onOneCluster()...)
	complete(cmd, "unmatched", "refuse", "last", "skip")
	complete(cmd, "on-failure", "stop", "continue", "rollback")
	for _, flag := range []string{"region", "role-arn", "tag", "source", "concurrency", "tolerate", "report", "waves", "rollback-version"} {
		complete(cmd, flag)
	}
}

// complete completes the input, and returns the addresses of the fields that it sets
// although no flag does.
func (o *fleetOptions) complete(cmd *cobra.Command, start *starter, args []string, wrong *problems) (set []any) {
	flags := cmd.Flags()
	if flags.Changed("filename") {
		list, document := readFleetFile(cmd, o.file, wrong)
		switch {
		case document != "" && flags.Changed("input"):
			wrong.add("--filename %s and --input are both the whole input", o.file)
		case document != "":
			start.input, start.inputFlag = document, "--filename "+o.file
		case len(args) > 0 || flags.Changed("source"):
			wrong.add("--filename cannot be used together with the names of clusters or --source")
		default:
			o.fleet.Clusters, set = list.clusters, append(set, &o.fleet.Clusters)
			start.reword = list.of
			start.otherPlace = ". Put the list in S3, and name it with --source"
		}
	}
	for _, arg := range args {
		cluster, _ := encode(arg) // a string encodes
		o.fleet.Clusters = append(o.fleet.Clusters, cluster)
	}
	if len(args) > 0 {
		set = append(set, &o.fleet.Clusters)
		start.reword = arguments(args).of
	}
	if !slices.ContainsFunc([]string{"filename", "source", "region", "role-arn", "tag", "input"}, flags.Changed) && len(args) == 0 {
		start.reword = inFlags
	}
	if flags.Changed("source") {
		bucket, key := location("--source", o.source, "s3://BUCKET/KEY", wrong)
		o.fleet.Source = &fleet.Source{Bucket: bucket, Key: key}
	}
	if flags.Changed("report") {
		report := destination("--report", o.report, wrong)
		o.fleet.Output = &report
	}
	if flags.Changed("request") {
		text, err := read(cmd.Context(), o.request, cmd.InOrStdin())
		if err == nil {
			err = check(text)
		}
		if err != nil {
			wrong.add("--request %v", err)
			text = "null"
		}
		o.fleet.Request = json.RawMessage(text)
	}
	if flags.Changed("waves") {
		o.readWaves(cmd, wrong)
	}
	if flags.Changed("rollback-version") {
		o.fleet.Rollback = &o.rollback
	}
	if flags.Changed("tolerate") {
		o.fleet.ToleratedFailures = o.tolerated(wrong)
	}
	return set
}

// withoutClusters is what the input's reader says of an input that names no clusters.
const withoutClusters = "clusters: missing: expected clusters, source, or regions (and, if you like, roleArns and tags)"

// inFlags says with flags what a command line without clusters lacks.
func inFlags(cause string) string {
	return strings.Replace(cause, withoutClusters, "there are no clusters: name them, or use --region (and, if you like, --role-arn and --tag), --source or --filename", 1)
}

// readWaves reads the waves as the input has them. What is wrong in one of them, the input's
// reader says.
func (o *fleetOptions) readWaves(cmd *cobra.Command, wrong *problems) {
	text, err := read(cmd.Context(), o.waves, cmd.InOrStdin())
	if err == nil {
		err = check(text) // what follows an array, and keys that are there twice, would be lost
	}
	if err != nil {
		wrong.add("--waves %v", err)
		return
	}
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&o.fleet.Waves); err != nil {
		wrong.add(`--waves is not an array such as [{"name":"canary","clusters":["demo"]},{"name":"rest","percentage":100}]: %v`, err)
	}
}

// tolerated is a number of clusters, or a percentage.
func (o *fleetOptions) tolerated(wrong *problems) *fleet.ToleratedFailures {
	number, isPercentage := strings.CutSuffix(o.tolerate, "%")
	n, err := strconv.Atoi(number)
	if err != nil || n < 0 {
		wrong.add("--tolerate %q is not a number such as 3, nor a percentage such as 5%%", o.tolerate)
	}
	if isPercentage {
		return &fleet.ToleratedFailures{Percentage: &n}
	}
	return &fleet.ToleratedFailures{Count: &n}
}

// onOneCluster are the names of the workflows that a fleet may run.
func onOneCluster() []string {
	var names []string
	for _, m := range machines() {
		if m.OnOneCluster() {
			names = append(names, m.Name)
		}
	}
	return names
}

// destination is where a flag says that the workflow is to write.
func destination(flag, value string, wrong *problems) contract.Destination {
	bucket, prefix := location(flag, value, "s3://BUCKET/PREFIX", wrong)
	return contract.Destination{Bucket: bucket, Prefix: prefix}
}

// location reads a place in S3.
func location(flag, value, form string, wrong *problems) (bucket, key string) {
	path, ok := strings.CutPrefix(value, "s3://")
	bucket, key, _ = strings.Cut(path, "/")
	if !ok || bucket == "" {
		wrong.add("%s %q is not of the form %s", flag, value, form)
	}
	return bucket, key
}

// table is the result of a fleet that succeeded.
func (g *fleetGauge) table(execution follow.Execution, style paper) (string, error) {
	var output fleet.Output
	if err := json.Unmarshal([]byte(execution.Output), &output); err != nil {
		return "", fmt.Errorf("fleet does not write such an output: %w", err)
	}
	g.summary, g.outcomes = output.Summary, output.Outcomes
	return g.result(style), nil
}

// fewOutcomes is of how many clusters each is a line, unless the table is to be wide.
const fewOutcomes = 20

// causes is how many errors of a fleet are shown with a cause.
const causes = 5

// result is the failures by error with the cause of the first of each, and the totals.
func (g *fleetGauge) result(style paper) string {
	summary := g.summary
	var b bytes.Buffer
	if n := len(g.outcomes); n > 0 && (style.wide || n <= fewOutcomes) {
		writeOutcomes(&b, g.outcomes, contract.ARN(g.fleet.StateMachineARN), style)
	}
	if len(summary.Failures) > 0 {
		rows := [][]string{{"ERROR", "CLUSTERS", "NAMES"}}
		for _, failure := range summary.Failures {
			names := g.names(failure)
			if more := failure.Clusters - len(names); more > 0 {
				names = append(names, fmt.Sprintf("… and %d more", more))
			}
			rows = append(rows, []string{cell(failure.Error), strconv.Itoa(failure.Clusters), strings.Join(names, ", ")})
		}
		style.table(&b, rows, "ERROR")
		b.WriteByte('\n')
		for _, failure := range summary.Failures[:min(causes, len(summary.Failures))] {
			if failure.Cause == "" || len(failure.Names) == 0 {
				continue
			}
			fmt.Fprintf(&b, "%s: %s\n%s\n\n", style.Bold(g.names(failure)[0]), cell(failure.Error), terminal.Text(strings.TrimRight(failure.Cause, "\n")))
		}
		if more := len(summary.Failures) - causes; more > 0 {
			fmt.Fprintf(&b, "… and the causes of %d more\n\n", more)
		}
	}
	b.WriteString(waves(summary.Waves, style))
	if text := report.Approved(summary.Approved); text != "" {
		fmt.Fprintf(&b, "%s\n\n", terminal.Line(text))
	}
	b.WriteString(effects(summary))
	if text := report.Rollback(summary); text != "" {
		fmt.Fprintf(&b, "%s\n\n", terminal.Line(text))
	}
	if summary.Note != "" {
		fmt.Fprintf(&b, "%s\n\n", terminal.Line(summary.Note))
	}
	if text := report.Appeared(summary); text != "" {
		fmt.Fprintf(&b, "%s\n\n", terminal.Line(text))
	}
	before := ""
	if summary.Rollback != nil {
		before = ", before the rollback"
	}
	fmt.Fprintf(&b, "%s%s: %s%s\n", clusters(summary.Clusters), before, outcomes(summary.ByStatus, style), g.tolerance())
	if len(summary.Totals) > 0 {
		fmt.Fprintf(&b, "in all%s: %s\n", before, totals(summary.Totals))
	}
	if summary.Report != nil {
		fmt.Fprintf(&b, "report: s3://%s/%s\n", terminal.Line(summary.Report.Bucket), terminal.Line(summary.Report.HTML))
		if summary.Report.Same != "" && len(summary.Effects) > 1 {
			fmt.Fprintf(&b, "clusters with the change of most: --source s3://%s/%s\n", terminal.Line(summary.Report.Bucket), terminal.Line(summary.Report.Same))
		}
		if summary.Report.Differs != "" {
			fmt.Fprintf(&b, "clusters left out: --source s3://%s/%s\n", terminal.Line(summary.Report.Bucket), terminal.Line(summary.Report.Differs))
		}
		if summary.Report.RollBack != "" {
			fmt.Fprintf(&b, "roll back those still changed: %s\n", terminal.Line(summary.Report.RollBack))
		}
		if summary.Report.Continue != "" {
			fmt.Fprintf(&b, "go on with those not started%s: %s\n", terminal.Line(report.Gateless(summary)), terminal.Line(summary.Report.Continue))
		}
		if summary.Report.Again != "" {
			fmt.Fprintf(&b, "run the failed clusters again: %s\n", terminal.Line(summary.Report.Again))
		}
	}
	return b.String()
}

// writeOutcomes has a line for each cluster, which is in the Region and account of home if the
// outcome names none.
func writeOutcomes(b *bytes.Buffer, all []fleet.Outcome, home contract.ARN, on paper) {
	rows := [][]string{{"CLUSTER", "REGION", "ACCOUNT", "STATUS", "TOOK", "TOTALS", "ERROR"}}
	for _, o := range all {
		counts := maps.Clone(o.Totals)
		maps.DeleteFunc(counts, func(_ string, n int) bool { return n == 0 })
		figures := totals(counts)
		if len(counts) == 0 && len(o.Totals) > 0 {
			figures = "nothing"
		}
		rows = append(rows, []string{
			cell(o.ClusterName), cell(cmp.Or(o.Region, home.Region())), cell(cmp.Or(contract.ARN(o.RoleARN).Account(), home.Account())),
			strings.ToLower(string(o.Status)), fmt.Sprintf("%.1f s", o.Seconds), cell(figures), cell(o.Error),
		})
	}
	everywhere := ""
	if !on.wide {
		rows, everywhere = withoutPlace(rows)
	}
	on.table(b, rows, "CLUSTER", "ERROR")
	b.WriteString(everywhere + "\n")
}

// withoutPlace leaves out the columns of the Region and of the account if all clusters are in the same, and says which.
func withoutPlace(rows [][]string) ([][]string, string) {
	const region, account = 1, 2
	first := rows[1]
	for _, row := range rows[1:] {
		if row[region] != first[region] || row[account] != first[account] {
			return rows, ""
		}
	}
	shorter := make([][]string, len(rows))
	for i, row := range rows {
		shorter[i] = slices.Delete(slices.Clone(row), region, account+1)
	}
	return shorter, fmt.Sprintf("all in %s of account %s\n", first[region], first[account])
}

// effects says how many clusters get the same change, and has two lines for each change: what it
// is, and whose.
func effects(summary fleet.Summary) string {
	if len(summary.Effects) == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintln(&b, report.Same(summary))
	for _, e := range summary.Effects {
		names := make([]string, len(e.Names))
		for i, name := range e.Names {
			names[i] = cell(name)
		}
		if more := e.Clusters - len(names); more > 0 {
			names = append(names, fmt.Sprintf("… and %d more", more))
		}
		fmt.Fprintf(&b, "  %s  %s: %s\n    %s\n", cell(e.Digest), clusters(e.Clusters), terminal.Line(report.Figures(e.Totals)), strings.Join(names, ", "))
	}
	b.WriteByte('\n')
	return b.String()
}

// waves has a line for each wave, and one for what became of its gate. Behind the total, each cluster
// is in one column.
func waves(all []fleet.WaveSummary, on paper) string {
	if len(all) == 0 {
		return ""
	}
	columns := []struct {
		head string
		of   func(fleet.WaveSummary) int
		// rare is a column that is there only if it has another number than 0.
		rare bool
	}{
		{head: "TOTAL", of: func(w fleet.WaveSummary) int { return w.Clusters }},
		{head: "DONE", of: func(w fleet.WaveSummary) int { return w.ByStatus[fleet.StatusSucceeded] - w.RolledBack }},
		{head: "FAILED", of: fleet.WaveSummary.Failed},
		{head: "LEFT OUT", of: func(w fleet.WaveSummary) int { return w.ByStatus[fleet.StatusLeftOut] }, rare: true},
		{head: "ROLLED BACK", of: func(w fleet.WaveSummary) int { return w.RolledBack }, rare: true},
		{head: "NOT STARTED", of: func(w fleet.WaveSummary) int { return w.ByStatus[fleet.StatusNotStarted] }},
		{head: "MAY FAIL", of: func(w fleet.WaveSummary) int { return w.Tolerated }},
	}
	rows := make([][]string, 1+len(all))
	rows[0] = []string{"WAVE"}
	for i, w := range all {
		rows[i+1] = []string{cell(w.Name)}
	}
	for _, c := range columns {
		if c.rare && !slices.ContainsFunc(all, func(w fleet.WaveSummary) bool { return c.of(w) != 0 }) {
			continue
		}
		rows[0] = append(rows[0], c.head)
		for i, w := range all {
			rows[i+1] = append(rows[i+1], strconv.Itoa(c.of(w)))
		}
	}
	var b bytes.Buffer
	on.table(&b, rows)
	for _, w := range all {
		parts := slices.DeleteFunc([]string{string(w.Gate), report.Gate(w)}, func(part string) bool { return part == "" })
		if len(parts) > 0 {
			fmt.Fprintf(&b, "  gate of %s: %s\n", cell(w.Name), terminal.Line(strings.Join(parts, "; ")))
		}
	}
	b.WriteByte('\n')
	return b.String()
}

// names returns the names of the clusters that failed in this way. It adds the Region, and the
// account of a role, where several clusters of the fleet have the name.
func (g *fleetGauge) names(failure fleet.Failure) []string {
	places := map[string]map[contract.Target]bool{}
	var those []contract.Target
	for _, o := range g.outcomes {
		if places[o.ClusterName] == nil {
			places[o.ClusterName] = map[contract.Target]bool{}
		}
		places[o.ClusterName][o.Target] = true
		if o.Error == failure.Error {
			those = append(those, o.Target)
		}
	}
	names := make([]string, 0, len(failure.Names))
	for i, name := range failure.Names {
		text := cell(name)
		// Summarize takes the names from the first outcomes with this error.
		if len(places[name]) > 1 && i < len(those) && those[i].ClusterName == name {
			text += " (" + cell(those[i].Region)
			if account := contract.ARN(those[i].RoleARN).Account(); account != "" {
				text += ", account " + cell(account)
			}
			text += ")"
		}
		names = append(names, text)
	}
	return names
}

// tolerance says how many clusters may fail, if any failed.
func (g *fleetGauge) tolerance() string {
	switch failed := g.summary.Failed(); {
	case failed == 0 || g.fleet.Clusters == 0:
		return ""
	case g.fleet.Tolerated == 0:
		return " (none may fail)"
	default:
		return fmt.Sprintf(" (at most %d may fail)", g.fleet.Tolerated)
	}
}

func clusters(n int) string { return contract.Counted(n, "cluster") }

// outcomes counts the clusters by status.
func outcomes(byStatus map[fleet.Status]int, style paper) string {
	var parts []string
	for _, status := range fleet.Statuses() {
		n := byStatus[status]
		if n == 0 {
			continue
		}
		part := fmt.Sprintf("%d %s", n, strings.ReplaceAll(strings.ToLower(string(status)), "_", " "))
		switch status {
		case fleet.StatusSucceeded:
			part = style.Green(part)
		case fleet.StatusFailed, fleet.StatusTimedOut, fleet.StatusAborted:
			part = style.Red(part)
		case fleet.StatusNotStarted, fleet.StatusLeftOut:
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ", ")
}
