// Command cost computes from the histories of executions what a thousand of each cost, and from template.yml what a stack
// costs while nothing runs. It reads Step Functions as the aws command does, so it works in an account and in the local world:
//
//	go run ./hack/cost 'LABEL=EXECUTION_ARN' …
//	go run ./hack/cost -write docs/cost.md 'LABEL=EXECUTION_ARN' …
package main

import (
	"bytes"
	"cmp"
	"context"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"sigs.k8s.io/yaml"
)

// List prices in USD, of eu-west-1 on 2026-11-27, without any free tier.
const (
	perTransition = 0.025 / 1000     // https://aws.amazon.com/step-functions/pricing/
	perInvocation = 0.20 / 1_000_000 // https://aws.amazon.com/lambda/pricing/
	perGBSecond   = 0.0000133334     // the same, arm64
	perLogByte    = 0.57 / (1 << 30) // https://aws.amazon.com/cloudwatch/pricing/
	perTrace      = 5.00 / 1_000_000 // https://aws.amazon.com/xray/pricing/
	alarmMetric   = 0.10             // a month: https://aws.amazon.com/cloudwatch/pricing/
	customMetric  = 0.30             // a month, or its hours
	dashboard     = 3.00             // a month, beyond the first three of an account
	secret        = 0.40             // a month: https://aws.amazon.com/secrets-manager/pricing/
	key           = 1.00             // a month: https://aws.amazon.com/kms/pricing/
	hoursOfAMonth = 730
)

// Bytes of logs. An event of a machine without its data, and Lambda's own lines of an invocation (START, END, REPORT with the
// trace), as they are documented; a line of a function was measured as 524 bytes on average.
const (
	machineEvent   = 350
	functionsLines = 400 + 524
)

func main() {
	write := flag.String("write", "", "write the tables into this `page`, between its markers")
	flag.Parse()
	if err := run(context.Background(), *write, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "cost:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, page string, executions []string) error {
	text, err := os.ReadFile("template.yml")
	if err != nil {
		return err
	}
	stack, err := readTemplate(text)
	if err != nil {
		return err
	}
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return err
	}
	var rows []row
	for _, named := range executions {
		label, arn, _ := strings.Cut(named, "=")
		events, err := history(ctx, sfn.NewFromConfig(cfg), arn)
		if err != nil {
			return fmt.Errorf("%s: %w", arn, err)
		}
		r, err := measure(label, events, stack.memory)
		if err != nil {
			return fmt.Errorf("%s: %w", arn, err)
		}
		rows = append(rows, r)
	}
	tables := map[string]string{"executions": executionsTable(rows), "stack": stack.table()}
	if page == "" {
		fmt.Print(tables["executions"], "\n", tables["stack"])
		return nil
	}
	content, err := os.ReadFile(page) //nolint:gosec // the page that is named
	if err != nil {
		return err
	}
	for name, table := range tables {
		if content, err = between(content, name, table); err != nil {
			return fmt.Errorf("%s: %w", page, err)
		}
	}
	return os.WriteFile(page, content, 0o644) //nolint:gosec // anybody may read it
}

// between replaces what is between the markers of a table.
func between(page []byte, name, table string) ([]byte, error) {
	begin, end := "<!-- "+name+" (go run ./hack/cost) -->\n", "<!-- end of "+name+" -->"
	before, rest, found := bytes.Cut(page, []byte(begin))
	_, after, ends := bytes.Cut(rest, []byte(end))
	if !found || !ends {
		return nil, fmt.Errorf("no %s… %s", begin, end)
	}
	return bytes.Join([][]byte{before, []byte(begin), []byte(table), []byte(end), after}, nil), nil
}

func history(ctx context.Context, client sfn.GetExecutionHistoryAPIClient, arn string) ([]types.HistoryEvent, error) {
	var events []types.HistoryEvent
	pages := sfn.NewGetExecutionHistoryPaginator(client, &sfn.GetExecutionHistoryInput{ExecutionArn: &arn})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		events = append(events, page.Events...)
	}
	return events, nil
}

// row is what one execution comes to.
type row struct {
	label                            string
	transitions, invocations, events int
	gbSeconds                        float64
}

// function finds the name of a function in the ARN that a state invokes, without the stack's.
var function = regexp.MustCompile(`:function:[^:]+`)

// ends are the events that end an invocation.
var ends = []types.HistoryEventType{
	types.HistoryEventTypeLambdaFunctionSucceeded, types.HistoryEventTypeLambdaFunctionFailed, types.HistoryEventTypeTaskSucceeded, types.HistoryEventTypeTaskFailed,
}

// measure reads a history. A transition is each state that was entered, each retry, and the start. The time of an invocation is that
// between its start and its end in the history, which is a little more than Lambda bills.
func measure(label string, events []types.HistoryEvent, memory map[string]float64) (row, error) {
	r := row{label: label, events: len(events), transitions: 1}
	began := map[int64]types.HistoryEvent{}
	scheduled := map[int64]string{}
	for _, e := range events {
		before := began[e.PreviousEventId].Type
		if (e.Type == types.HistoryEventTypeLambdaFunctionScheduled || e.Type == types.HistoryEventTypeTaskScheduled) && strings.HasSuffix(string(before), "Failed") {
			r.transitions++
		}
		began[e.Id] = e
		switch {
		case e.StateEnteredEventDetails != nil:
			r.transitions++
		case e.LambdaFunctionScheduledEventDetails != nil:
			scheduled[e.Id] = function.FindString(aws.ToString(e.LambdaFunctionScheduledEventDetails.Resource))
		case e.TaskScheduledEventDetails != nil && aws.ToString(e.TaskScheduledEventDetails.ResourceType) == "lambda":
			scheduled[e.Id] = function.FindString(strings.ReplaceAll(aws.ToString(e.TaskScheduledEventDetails.Parameters), `\"`, `"`))
		}
		if !slices.Contains(ends, e.Type) {
			continue
		}
		start := began[e.PreviousEventId]
		name, invoked := scheduled[start.PreviousEventId]
		if !invoked {
			continue
		}
		size, err := memoryOf(name, memory)
		if err != nil {
			return row{}, err
		}
		r.invocations++
		r.gbSeconds += size * max(e.Timestamp.Sub(*start.Timestamp), time.Millisecond).Seconds()
	}
	return r, nil
}

// memoryOf is in GB. The name of a function is the stack's and its own, so the longest that it ends with is its own.
func memoryOf(arn string, memory map[string]float64) (float64, error) {
	longest := ""
	for own := range memory {
		if strings.HasSuffix(strings.TrimSuffix(arn, `"`), "-"+own) && len(own) > len(longest) {
			longest = own
		}
	}
	if longest == "" {
		return 0, fmt.Errorf("no function of template.yml is %q", arn)
	}
	return memory[longest], nil
}

func executionsTable(rows []row) string {
	var b strings.Builder
	b.WriteString("| 1,000 executions of | transitions | invocations | GB-s | Step Functions | Lambda | logs | traces | USD |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, r := range rows {
		machine := 1000 * float64(r.transitions) * perTransition
		lambda := 1000 * (float64(r.invocations)*perInvocation + r.gbSeconds*perGBSecond)
		logs := 1000 * perLogByte * float64(r.events*machineEvent+r.invocations*functionsLines)
		traces := 1000 * perTrace
		fmt.Fprintf(&b, "| %s | %d,000 | %d,000 | %.0f | %.3f | %.3f | %.3f | %.3f | **%.2f** |\n",
			r.label, r.transitions, r.invocations, 1000*r.gbSeconds, machine, lambda, logs, traces, machine+lambda+logs+traces)
	}
	return b.String()
}

// template is what costs something in template.yml.
type template struct {
	// memory of a function in GB, by the part of its name after the stack's.
	memory map[string]float64
	// By the condition under which they are there.
	alarmMetrics, secrets map[string]int
	keys, dashboards      int
}

// readTemplate reads the template. Tags of CloudFormation such as !Sub are dropped, and their values stay.
func readTemplate(text []byte) (template, error) {
	var parsed struct {
		Globals struct {
			Function struct{ MemorySize int }
		}
		Resources map[string]struct {
			Type, Condition string
			Properties      struct {
				FunctionName string
				MemorySize   int
				MetricName   string
				Metrics      []struct{ MetricStat any }
			}
		}
	}
	if err := yaml.Unmarshal(text, &parsed); err != nil {
		return template{}, err
	}
	t := template{memory: map[string]float64{}, alarmMetrics: map[string]int{}, secrets: map[string]int{}}
	for _, r := range parsed.Resources {
		switch r.Type {
		case "AWS::Serverless::Function":
			own := strings.TrimPrefix(r.Properties.FunctionName, "${AWS::StackName}-")
			t.memory[own] = float64(cmp.Or(r.Properties.MemorySize, parsed.Globals.Function.MemorySize)) / 1024
		case "AWS::CloudWatch::Alarm":
			n := 0
			for _, m := range r.Properties.Metrics {
				if m.MetricStat != nil {
					n++
				}
			}
			t.alarmMetrics[r.Condition] += max(n, 1)
		case "AWS::SecretsManager::Secret":
			t.secrets[r.Condition]++
		case "AWS::KMS::Key":
			t.keys++
		case "AWS::CloudWatch::Dashboard":
			t.dashboards++
		}
	}
	return t, nil
}

func (t template) table() string {
	var b strings.Builder
	b.WriteString("| a stack, a month | how many | USD |\n|---|--:|--:|\n")
	line := func(what string, n int, price float64) {
		fmt.Fprintf(&b, "| %s | %d | %.2f |\n", what, n, float64(n)*price)
	}
	line("KMS key; none with `EncryptionKeyArn`", t.keys, key)
	line("secrets", t.secrets[""], secret)
	line("metrics that alarms watch", t.alarmMetrics[""], alarmMetric)
	line("the same, of a schedule", t.alarmMetrics["HasAnySchedule"], alarmMetric)
	line("dashboard, beyond the first three of an account", t.dashboards, dashboard)
	line("more secrets with `EnableApply=true`", t.secrets["EnablesApply"], secret)
	line("more alarm metrics with `EnableApply=true`", t.alarmMetrics["EnablesApply"], alarmMetric)
	line("more secrets with `EnableJobs=true`", t.secrets["EnablesJobs"], secret)
	line("more alarm metrics with `EnableJobs=true`", t.alarmMetrics["EnablesJobs"], alarmMetric)
	fmt.Fprintf(&b, "| custom metrics, each that is sent in every hour | 1 | %.2f |\n", customMetric)
	fmt.Fprintf(&b, "| the same, each that is sent in one hour of a week | 1 | %.4f |\n", customMetric/hoursOfAMonth*52/12)
	return b.String()
}
