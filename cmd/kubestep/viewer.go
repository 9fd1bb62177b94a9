package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/smithy-go/logging"
	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/kubestep/kubestep/internal/follow"
	"github.com/kubestep/kubestep/internal/follow/terminal"
)

// interval is the time between two looks at the history: short enough that the
// running state moves.
const interval = 200 * time.Millisecond

// credentialsTimeout bounds the search for credentials. It ends at the EC2
// metadata service, which nothing answers for outside of EC2.
const credentialsTimeout = 15 * time.Second

// The values of --output.
const (
	asTable = "table"
	asJSON  = "json"
	asYAML  = "yaml"
)

// viewer follows an execution and shows it as --output and --verbose say.
type viewer struct {
	output  string
	verbose bool
	// gauge watches over an execution; nil for most verbs.
	gauge gauge
}

// gauge adds to what is shown of an execution.
type gauge interface {
	// use is called before the execution starts.
	use(*sfn.Client)
	// event is called with each event of the history.
	event(types.HistoryEvent)
	// detail is what a live line says of the state that is running.
	detail(context.Context) string
	// failed is what is printed of an execution that failed.
	failed(terminal.Style) string
}

func newViewer(cmd *cobra.Command) *viewer {
	v := &viewer{}
	formats := []string{asTable, asJSON, asYAML}
	cmd.Flags().StringVarP(&v.output, "output", "o", asTable, "print the output as `FORMAT`: "+strings.Join(formats, ", ")+"; with json and yaml nothing else goes to standard output")
	cmd.Flags().BoolVarP(&v.verbose, "verbose", "v", false, "also print the execution input and the whole cause of each failed attempt")
	complete(cmd, "output", formats...)
	return v
}

// complete sets the values that a shell offers for a flag. Without values it
// offers none, and no files either.
func complete(cmd *cobra.Command, flag string, values ...string) {
	if err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // the flag does not exist
	}
}

// show runs an execution to its end and prints its output, unless there are problems.
func (v *viewer) show(cmd *cobra.Command, region string, render table, wrong problems, run func(*follow.Follower) (follow.Execution, error)) error {
	if !slices.Contains([]string{asTable, asJSON, asYAML}, v.output) {
		wrong.add("--output %q is not table, json or yaml", v.output)
	}
	client := client(cmd.Context(), region, &wrong)
	if len(wrong) > 0 {
		return wrong
	}
	// A program reads JSON and YAML: nothing else goes there.
	progress := cmd.OutOrStdout()
	if v.output != asTable {
		progress = cmd.ErrOrStderr()
	}
	follower := &follow.Follower{
		Client:   client,
		Clock:    follow.WallClock{},
		Interval: interval,
		Out:      progress,
		Live:     terminal.Is(progress),
		Style:    terminal.Colors(progress),
		Verbose:  v.verbose,
	}
	if v.gauge != nil {
		v.gauge.use(client)
		follower.Event, follower.Detail = v.gauge.event, v.gauge.detail
	}
	execution, err := run(follower)
	if err != nil {
		return &failure{err}
	}
	if execution.Status != types.ExecutionStatusSucceeded {
		if v.gauge != nil {
			_, _ = io.WriteString(progress, v.gauge.failed(terminal.Colors(progress)))
		}
		return &failure{}
	}
	text, err := v.format(execution, render, terminal.Colors(cmd.OutOrStdout()))
	if err != nil {
		return &failure{err}
	}
	if _, err := io.WriteString(cmd.OutOrStdout(), text); err != nil {
		return &failure{fmt.Errorf("print the output: %w", err)}
	}
	return nil
}

// format returns the output of an execution in the format that --output names.
func (v *viewer) format(execution follow.Execution, render table, style terminal.Style) (string, error) {
	switch v.output {
	case asJSON:
		var indented bytes.Buffer
		if err := json.Indent(&indented, []byte(execution.Output), "", "  "); err != nil {
			return "", fmt.Errorf("the output is not valid JSON: %w", err)
		}
		return terminal.JSON(indented.String()) + "\n", nil
	case asYAML:
		document, err := yaml.JSONToYAML([]byte(execution.Output))
		if err != nil {
			return "", fmt.Errorf("the output is not valid JSON: %w", err)
		}
		return terminal.YAML(string(document))
	default:
		text, err := render(execution, style)
		return "\n" + text, err
	}
}

// client makes a client of Step Functions from the environment, as the aws command does.
func client(ctx context.Context, region string, wrong *problems) *sfn.Client {
	cfg, err := config.LoadDefaultConfig(ctx,
		config.WithRegion(region),
		// What the SDK logs of its search for credentials is in the error too.
		config.WithLogger(logging.Nop{}))
	if err != nil {
		wrong.add("the AWS configuration is not valid: %v", err)
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, credentialsTimeout)
	defer cancel()
	if _, err := cfg.Credentials.Retrieve(ctx); err != nil {
		wrong.add("there are no AWS credentials: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (%v)", err)
		return nil
	}
	return sfn.NewFromConfig(cfg)
}

// parseARN checks an ARN of Step Functions. Its Region is the one to call: a
// state machine can be called in its own Region only.
func parseARN(what, value, resource string, wrong *problems) arn.ARN {
	a, err := arn.Parse(value)
	if err != nil || a.Service != "states" || a.Region == "" || !strings.HasPrefix(a.Resource, resource+":") {
		wrong.add("%s %q is not of the form arn:aws:states:REGION:ACCOUNT:%s:NAME", what, value, resource)
	}
	return a
}
