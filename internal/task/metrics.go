package task

import (
	"log/slog"
	"maps"
	"slices"
	"time"
)

// namespace holds the metrics of all stacks.
const namespace = "kubestep"

// embedded makes metrics of the line that it is part of, in CloudWatch's embedded
// metric format: no call, and nothing to wait for.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
type embedded struct {
	Timestamp         int64 // in milliseconds
	CloudWatchMetrics []directive
}

// directive names the members of the line that are metrics, and those that are
// their dimensions.
type directive struct {
	Namespace  string
	Dimensions [][]string
	Metrics    []metric
}

type metric struct{ Name, Unit string }

// maxMetrics is the most that CloudWatch accepts in a directive.
const maxMetrics = 100

// invocation is what a line says of one.
type invocation struct {
	at     time.Time
	took   time.Duration
	cold   bool
	failed bool
	// measure makes counts of the result; nil for none.
	measure func(out any) map[string]int
	counts  map[string]int
	// quiet leaves counts in the line without making metrics of them: CloudWatch charges
	// for each name and cluster.
	quiet bool
}

// attributes are the line's attributes. It has the members stackName, state, error
// and cluster already, as far as they are dimensions.
func (i invocation) attributes() []any {
	line := []any{
		slog.Float64("durationMs", float64(i.took.Microseconds())/1000),
		slog.Int("coldStart", asCount(i.cold)),
	}
	directives := []directive{directiveOf([]string{"stackName", "state"}, metric{"durationMs", "Milliseconds"}, metric{"coldStart", "Count"})}
	if i.failed {
		line = append(line, slog.Int("errors", 1))
		directives = append(directives, directiveOf([]string{"stackName", "error"}, metric{"errors", "Count"}))
	}
	if len(i.counts) > 0 && i.quiet {
		for _, name := range slices.Sorted(maps.Keys(i.counts)) {
			line = append(line, slog.Int(name, i.counts[name]))
		}
	} else if len(i.counts) > 0 {
		counts := directiveOf([]string{"stackName", "cluster"})
		for _, name := range slices.Sorted(maps.Keys(i.counts)) {
			if len(counts.Metrics) == maxMetrics {
				break
			}
			line = append(line, slog.Int(name, i.counts[name]))
			counts.Metrics = append(counts.Metrics, metric{name, "Count"})
		}
		directives = append(directives, counts)
	}
	return append(line, slog.Any("_aws", embedded{i.at.UnixMilli(), directives}))
}

func directiveOf(dimensions []string, metrics ...metric) directive {
	return directive{namespace, [][]string{dimensions}, metrics}
}

func asCount(b bool) int {
	if b {
		return 1
	}
	return 0
}
