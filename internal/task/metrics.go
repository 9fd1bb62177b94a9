package task

import (
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"time"

	"github.com/kubestep/kubestep/internal/bearer"
)

// namespace holds the metrics of all stacks.
const namespace = "kubestep"

// metricName is what a status must be like to name a metric: any container may
// write a reason of its own.
var metricName = regexp.MustCompile(`^[\x21-\x7E]{1,128}$`)

// embedded makes metrics of the line that it stands in, by CloudWatch's embedded
// metric format: no call, and nothing to wait for.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
type embedded struct {
	Timestamp         int64 // in milliseconds
	CloudWatchMetrics []directive
}

// directive names members of the line that are metrics, and those that are
// dimensions of them.
type directive struct {
	Namespace  string
	Dimensions [][]string
	Metrics    []metric
}

type metric struct{ Name, Unit string }

// invocation is what a line says of one.
type invocation struct {
	at          time.Time
	took        time.Duration
	cold        bool
	failed      bool
	podStatuses map[string]int
}

// attributes are those of the line. It has the members stackName, state, error
// and cluster already, so far as they are dimensions.
func (i invocation) attributes() []any {
	line := []any{
		slog.Float64("durationMs", float64(i.took.Microseconds())/1000),
		slog.Int("coldStart", number(i.cold)),
	}
	directives := []directive{of([]string{"stackName", "state"}, metric{"durationMs", "Milliseconds"}, metric{"coldStart", "Count"})}
	if i.failed {
		line = append(line, slog.Int("errors", 1))
		directives = append(directives, of([]string{"stackName", "error"}, metric{"errors", "Count"}))
	}
	if len(i.podStatuses) > 0 {
		counted := map[string]int{}
		for status, pods := range i.podStatuses {
			status = bearer.Redact(status)
			if !metricName.MatchString(status) {
				status = "(other)"
			}
			counted["pods."+status] += pods
		}
		pods := of([]string{"stackName", "cluster"})
		for _, name := range slices.Sorted(maps.Keys(counted)) {
			line = append(line, slog.Int(name, counted[name]))
			pods.Metrics = append(pods.Metrics, metric{name, "Count"})
		}
		directives = append(directives, pods)
	}
	return append(line, slog.Any("_aws", embedded{i.at.UnixMilli(), directives}))
}

func of(dimensions []string, metrics ...metric) directive {
	return directive{namespace, [][]string{dimensions}, metrics}
}

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}
