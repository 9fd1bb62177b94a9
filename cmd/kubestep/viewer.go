package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/smithy-go/logging"
	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/follow"
	"github.com/kubestep/kubestep/internal/follow/terminal"
	"github.com/kubestep/kubestep/internal/shell"
)

// interval is the time between two looks at the history: short enough that the
// running state moves.
const interval = 200 * time.Millisecond

// credentialsTimeout bounds the search for credentials. It ends at the EC2
// metadata service, which nothing answers for outside of EC2.
const credentialsTimeout = 15 * time.Second

// viewer follows an execution and shows it as --output and --verbose say.
type viewer struct {
	format  *format
	verbose bool
	// plain redraws no line in place: others are printed in between.
	plain bool
	// table renders the output for a person.
	table table
	// names are what --output name prints of an output; nil for a workflow that has none.
	names func(output string) ([]string, error)
	// gauge watches over an execution; nil for most verbs.
	gauge gauge
	// recognizes means that the first events say which machine the execution is of.
	recognizes bool
	// advice is how the flags of the verb fix a failure; nil for most verbs.
	advice func(follow.Execution) string
	// reword is what is shown of a cause in its place; nil for the cause as it is.
	reword func(cause string) string
	// fixes names the cluster in the commands of a cause.
	fixes fixes
	// verdict is an exit status for an execution that succeeded; nil for most verbs.
	verdict func(follow.Execution) error
	// line is the connection to AWS, cfg uses it, and so does the client states.
	line   *line
	cfg    aws.Config
	states *sfn.Client
	// asked is true once the environment was asked for them.
	asked bool
}

// connect makes the client once; nil if there are problems.
func (v *viewer) connect(ctx context.Context, region string, wrong *problems) *sfn.Client {
	if !v.asked {
		v.asked, v.states = true, v.client(ctx, region, wrong)
	}
	return v.states
}

// gauge adds to what is shown of an execution.
type gauge interface {
	// use is called before the execution starts.
	use(*sfn.Client)
	// event is called with each event of the history.
	event(types.HistoryEvent)
	// detail is what a live line says of the state that is running, in that many characters.
	detail(ctx context.Context, room int) string
	// failed is what is printed of an execution that failed.
	failed(context.Context, follow.Execution, paper) string
	// known is what JSON and YAML hold of it; nil if nothing is known.
	known() any
}

// unsuccessful is what --output json and yaml print of an execution that did not succeed.
type unsuccessful struct {
	ExecutionARN string                `json:"executionArn"`
	Status       types.ExecutionStatus `json:"status"`
	Error        string                `json:"error"`
	Cause        string                `json:"cause"`
	// Summary is a fleet's.
	Summary any `json:"summary,omitempty"`
}

func newViewer(cmd *cobra.Command) *viewer {
	v := &viewer{format: addFormat(cmd, asWide, asName)}
	cmd.Flags().BoolVarP(&v.verbose, "verbose", "v", false, "also print the execution input and the whole cause of each failed attempt")
	return v
}

// use makes the viewer show executions of a machine.
func (v *viewer) use(m machine) {
	v.table, v.names = m.table, m.names
	if m.gauge != nil {
		v.gauge, v.table = m.gauge()
	}
}

// event takes an event of the history.
func (v *viewer) event(e types.HistoryEvent) {
	v.fixes.event(e)
	if v.recognizes {
		if m, ok := machineOf(e); ok {
			v.recognizes = false
			v.use(m)
			v.watch()
		}
	}
	if v.gauge != nil {
		v.gauge.event(e)
	}
}

// reworded is what is shown of a cause.
func (v *viewer) reworded(cause string) string {
	if v.reword != nil {
		cause = v.reword(cause)
	}
	return v.fixes.of(cause)
}

// watch lets the gauge call the API.
func (v *viewer) watch() {
	if v.gauge != nil {
		v.gauge.use(v.states)
	}
}

// chapter is the gauge's, if it divides an execution.
func (v *viewer) chapter() follow.Chapter {
	if divides, ok := v.gauge.(interface{ chapter() follow.Chapter }); ok {
		return divides.chapter()
	}
	return follow.Chapter{}
}

// detail is the gauge's, if there is one.
func (v *viewer) detail(ctx context.Context, room int) string {
	if v.gauge == nil {
		return ""
	}
	return v.gauge.detail(ctx, room)
}

// complete sets the values that a shell offers for a flag. Without values it
// offers none, and no files either.
func complete(cmd *cobra.Command, flag string, values ...string) {
	if err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // the flag does not exist
	}
}

// show runs an execution to its end and prints its output, unless there are problems.
func (v *viewer) show(cmd *cobra.Command, region string, wrong problems, run func(*follow.Follower) (follow.Execution, error)) error {
	v.format.check(&wrong)
	v.connect(cmd.Context(), region, &wrong)
	if len(wrong) > 0 {
		return wrong
	}
	// The standard output is for what was asked for, and for nothing else.
	progress := cmd.ErrOrStderr()
	follower := &follow.Follower{
		Client:   v.states,
		Interval: interval,
		Out:      progress,
		Live:     terminal.Is(progress) && !v.plain,
		Style:    terminal.Colors(progress),
		Verbose:  v.verbose,
		Event:    v.event,
		Chapter:  v.chapter,
		Detail:   v.detail,
		Reword:   v.reworded,
		Width:    func() int { return terminal.Width(progress) },
	}
	v.watch()
	execution, err := run(follower)
	if refused, ok := errors.AsType[*refusal](err); ok {
		return refused
	}
	if err != nil && cmd.Context().Err() != nil && execution.Status == types.ExecutionStatusRunning {
		err = fmt.Errorf("%w\nTo see it: kubestep follow %[2]s\nTo stop it: kubestep stop %[2]s", err, shell.Quote(execution.ARN))
	}
	if err != nil {
		return &failure{err}
	}
	if execution.Status != types.ExecutionStatusSucceeded {
		return v.showFailure(cmd, execution, progress)
	}
	text, err := v.text(cmd, execution)
	if err != nil {
		return &failure{err}
	}
	fmt.Fprintln(progress)
	if err := printText(cmd, text); err != nil || v.verdict == nil {
		return err
	}
	return v.verdict(execution)
}

// text is the output of an execution as --output says.
func (v *viewer) text(cmd *cobra.Command, execution follow.Execution) (string, error) {
	if v.format.forPeople() {
		on := paperOf(cmd.OutOrStdout())
		on.wide = v.format.value == asWide
		return v.table(execution, on)
	}
	var names []string
	if v.format.value == asName {
		if v.names == nil {
			return "", fmt.Errorf("the output of %s has no names: use --output json", execution.ARN)
		}
		var err error
		if names, err = v.names(execution.Output); err != nil {
			return "", err
		}
		if left := unnamed(execution.Output); left != "" {
			fmt.Fprintln(cmd.ErrOrStderr(), left)
		}
	}
	return v.format.text(execution.Output, names)
}

// showFailure adds to what the follower has shown of an execution that did not
// succeed: what else is known of it, and for a program the error and the cause.
func (v *viewer) showFailure(cmd *cobra.Command, execution follow.Execution, progress io.Writer) error {
	document := unsuccessful{ExecutionARN: execution.ARN, Status: execution.Status, Error: execution.Error, Cause: execution.Cause}
	text := ""
	if v.gauge != nil {
		text = v.gauge.failed(cmd.Context(), execution, paperOf(cmd.OutOrStdout()))
		document.Summary = v.gauge.known()
	}
	if v.advice != nil {
		fmt.Fprint(progress, v.advice(execution))
	}
	if text != "" {
		fmt.Fprintln(progress)
	}
	switch {
	case text == "":
	case v.format.forPeople():
		if err := printText(cmd, text); err != nil {
			return err
		}
	default:
		_, _ = io.WriteString(progress, text)
	}
	if v.format.whole() {
		encoded, err := encode(document)
		if err != nil {
			return &failure{fmt.Errorf("print the failure: %w", err)}
		}
		text, err := formatted(string(encoded), v.format.value)
		if err != nil {
			return &failure{err}
		}
		if err := printText(cmd, text); err != nil {
			return err
		}
	}
	return &failure{}
}

// printText prints to the standard output.
func printText(cmd *cobra.Command, text string) error {
	// Who reads no further, as head does, has had enough.
	if _, err := io.WriteString(cmd.OutOrStdout(), text); err != nil && !errors.Is(err, syscall.EPIPE) {
		return &failure{fmt.Errorf("print the output: %w", err)}
	}
	return nil
}

// formatted is a document as JSON or YAML.
func formatted(document, as string) (string, error) {
	if as == asYAML {
		text, err := yaml.JSONToYAML([]byte(document))
		if err != nil {
			return "", fmt.Errorf("the output is not valid JSON: %w", err)
		}
		return terminal.YAML(string(text))
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, []byte(document), "", "  "); err != nil {
		return "", fmt.Errorf("the output is not valid JSON: %w", err)
	}
	return terminal.JSON(indented.String()) + "\n", nil
}

// client makes a client of Step Functions from the environment, as the aws command does.
func (v *viewer) client(ctx context.Context, region string, wrong *problems) *sfn.Client {
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
	v.line = &line{HTTPClient: awshttp.NewBuildableClient()}
	cfg.HTTPClient = v.line
	v.cfg = cfg
	return sfn.NewFromConfig(cfg)
}

// regionName matches the name of an AWS Region, which is part of a host's.
var regionName = regexp.MustCompile(`^[a-z0-9-]+$`)

// resources match what is identified by an ARN of each kind.
var resources = map[string]*regexp.Regexp{
	"stateMachine": regexp.MustCompile(`^stateMachine:[^:]+(:[^:]+)?$`),
	"execution":    regexp.MustCompile(`^execution:[^:]+:[^:]+$`),
}

// account matches the id of an AWS account.
var account = regexp.MustCompile(`^\d{12}$`)

// parseARN checks an ARN of Step Functions. Its Region is the one to call: a
// state machine can be called in its own Region only.
func parseARN(what, value, resource string, wrong *problems) contract.ARN {
	a := contract.ARN(value)
	if a.Service() != "states" || !regionName.MatchString(a.Region()) || !account.MatchString(a.Account()) || !resources[resource].MatchString(a.Resource()) {
		form := "stateMachine:NAME"
		if resource == "execution" {
			form = "execution:MACHINE:NAME"
		}
		wrong.add("%s %q is not of the form arn:aws:states:REGION:ACCOUNT:%s", what, value, form)
	}
	return a
}
