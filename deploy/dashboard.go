package deploy

import (
	"fmt"
	"strings"
)

// dashboard is what the CloudWatch dashboard shows:
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html
type dashboard struct {
	Widgets []widget
	// Alarms are the ARNs of the alarms, in JSON.
	Alarms string
	// OnDemand are the workflows whose widgets and alarms are there only if they are.
	OnDemand []onDemand
}

type onDemand struct {
	Machine

	DashboardWidgets []widget
}

// widget is a graph of metrics, half as wide as the dashboard.
type widget struct {
	X, Y    int
	Title   string
	Options string
	Metrics []string
}

const (
	right   = 12
	height  = 6
	stacked = `"stacked": true`
	sums    = `"stat": "Sum", "stacked": true`
	millis  = `"yAxis": {"left": {"label": "ms", "min": 0, "showUnits": false}}`
)

func (s Stack) dashboard() dashboard {
	first := s.Workflows[0]
	d := dashboard{
		Widgets: []widget{
			first.outcomes(0),
			{X: right, Title: "Duration of executions of " + first.Name, Options: millis, Metrics: []string{
				first.executions("ExecutionTime", "p50", "p50", ""), first.executions("ExecutionTime", "p90", "p90", ""), first.executions("ExecutionTime", "p99", "p99", ""),
			}},
			{Y: height, Title: "Errors by name, each retried as the definition says, and crashes", Options: sums, Metrics: []string{
				`["kubestep", "${AWS::StackName}.crashes", {"label": "crashes and time-outs"}]`, search(`{kubestep,error,stackName} MetricName=\"errors\"`, "Sum", "${!PROP('Dim.error')}"),
			}},
			first.counts(height),
			{Y: 2 * height, Title: "Duration of functions, p50 and p99", Options: millis, Metrics: []string{
				search(`{kubestep,stackName,state} MetricName=\"durationMs\"`, "p50", "${!PROP('Dim.state')} p50"),
				search(`{kubestep,stackName,state} MetricName=\"durationMs\"`, "p99", "${!PROP('Dim.state')} p99"),
			}},
			{X: right, Y: 2 * height, Title: "Cold starts", Options: stacked, Metrics: []string{
				search(`{kubestep,stackName,state} MetricName=\"coldStart\"`, "Sum", "${!PROP('Dim.state')}"),
			}},
		},
		Alarms: first.DashboardAlarms() + `, "${UnexpectedAlarm.Arn}", "${CrashesAlarm.Arn}", "${UnauthorizedAlarm.Arn}", ` + s.fleet().DashboardAlarms(),
	}
	y := 3*height + 2 // below the alarms
	for _, w := range s.Workflows[1:] {
		widgets := []widget{w.outcomes(y), w.counts(y)}
		if w.OnDemand {
			d.OnDemand = append(d.OnDemand, onDemand{w, widgets})
			d.Alarms += "${" + w.Prefix + "Alarms}"
		} else {
			d.Widgets = append(d.Widgets, widgets...)
			d.Alarms += ", " + w.DashboardAlarms()
		}
		y += height
	}
	return d
}

// DashboardAlarms are the ARNs of the machine's alarms, in JSON.
func (m Machine) DashboardAlarms() string {
	var all []string
	for _, a := range m.AllAlarms() {
		all = append(all, `"${`+m.Prefix+a.Name+`.Arn}"`)
	}
	return strings.Join(all, ", ")
}

func (m Machine) outcomes(y int) widget {
	w := widget{Y: y, Title: "Executions of " + m.Name + " by outcome", Options: sums, Metrics: []string{
		m.executions("ExecutionsSucceeded", "Sum", "succeeded", "#2ca02c"),
		m.executions("ExecutionsFailed", "Sum", "failed", "#d62728"),
		m.executions("ExecutionsTimedOut", "Sum", "timed out", "#ff7f0e"),
		m.executions("ExecutionsAborted", "Sum", "aborted", "#7f7f7f"),
	}}
	if len(m.Alarms) > 0 {
		w.Metrics = append(w.Metrics, m.executions("ExecutionThrottled", "Sum", "throttled", "#9467bd"))
	}
	return w
}

func (m Machine) counts(y int) widget {
	return widget{X: right, Y: y, Title: m.Counts.Title, Options: stacked, Metrics: []string{
		search("{kubestep,cluster,stackName} MetricName="+m.Counts.Metric, "Maximum", "${!PROP('Dim.cluster')} ${!PROP('MetricName')}"),
	}}
}

// executions is a metric of Step Functions about the machine's executions. It counts for the machine or for its alias.
func (m Machine) executions(metric, statistic, label, color string) string {
	if color != "" {
		color = fmt.Sprintf(`, "color": %q`, color)
	}
	return fmt.Sprintf(`[{"expression": "MAX(SEARCH('Namespace=\"AWS/States\" MetricName=\"%s\" StateMachineArn=\"${%s}\"', '%s', 300))", "label": "%s"%s}]`,
		metric, m.ID(), statistic, label, color)
}

// search finds metrics of the stack.
func search(what, statistic, label string) string {
	return fmt.Sprintf(`[{"expression": "SEARCH('%s stackName=\"${AWS::StackName}\"', '%s', 300)", "label": "%s"}]`, what, statistic, label)
}
