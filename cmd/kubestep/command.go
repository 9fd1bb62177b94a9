package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/smithy-go/logging"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/follow"
	"github.com/kubestep/kubestep/internal/follow/terminal"
)

// interval is the time between two looks at the history: short enough that the
// running state moves.
const interval = 200 * time.Millisecond

// credentialsTimeout bounds the search for credentials, the last place of which
// is an address that nothing answers at outside of EC2.
const credentialsTimeout = 15 * time.Second

// command is what the verbs have in common. It collects what is wrong, so that
// all of it is told at once and before anything starts.
type command struct {
	flags          *flag.FlagSet
	output         *string
	stdout, stderr io.Writer
	region         string
	problems       []string
}

func newCommand(verb string, stdout, stderr io.Writer) *command {
	flags := flag.NewFlagSet(verb, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	return &command{
		flags:  flags,
		output: flags.String("output", "table", ""),
		stdout: stdout, stderr: stderr,
	}
}

// parse reads the flags. It is done where that is all there is to do.
func (c *command) parse(args []string) (status int, done bool) {
	err := c.flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		say(c.stdout, "%s", usage)
		return succeeded, true
	case err != nil:
		c.problem("%v", err)
		return c.complain(), true
	}
	if *c.output != "table" && *c.output != "json" {
		c.problem("--output %q is neither table nor json", *c.output)
	}
	return succeeded, false
}

func (c *command) problem(format string, args ...any) {
	c.problems = append(c.problems, fmt.Sprintf(format, args...))
}

func (c *command) noMore(args []string) {
	if len(args) > 0 {
		c.problem("%q is more than was expected; flags stand before the arguments", strings.Join(args, " "))
	}
}

// arn checks an ARN and takes the Region from it: the one place where a state
// machine can be called is its own Region, so there is no need for another setting.
func (c *command) arn(what, value, resource string) {
	a, err := arn.Parse(value)
	if err != nil || a.Service != "states" || a.Region == "" || !strings.HasPrefix(a.Resource, resource+":") {
		c.problem("%s %q is not of the form arn:aws:states:REGION:ACCOUNT:%s:NAME", what, value, resource)
		return
	}
	c.region = a.Region
}

func (c *command) complain() int {
	for _, problem := range c.problems {
		say(c.stderr, "kubestep %s: %s.\n", c.flags.Name(), terminal.Line(problem))
	}
	say(c.stderr, "Nothing was done. See kubestep help.\n")
	return misused
}

// client is a client of Step Functions, made from the environment as the aws
// command does it.
func (c *command) client(ctx context.Context) *sfn.Client {
	cfg, err := config.LoadDefaultConfig(ctx,
		config.WithRegion(c.region),
		// What the SDK would log of its search for credentials is in the error too.
		config.WithLogger(logging.Nop{}))
	if err != nil {
		c.problem("the AWS configuration cannot be used: %v", err)
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, credentialsTimeout)
	defer cancel()
	if _, err := cfg.Credentials.Retrieve(ctx); err != nil {
		c.problem("there are no AWS credentials: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (%v)", err)
		return nil
	}
	return sfn.NewFromConfig(cfg)
}

// follow does the work, if nothing is wrong, and shows the result.
func (c *command) follow(ctx context.Context, run func(*follow.Follower) (follow.Execution, error)) int {
	client := c.client(ctx)
	if len(c.problems) > 0 {
		return c.complain()
	}
	// Whoever asks for JSON reads it by a program: nothing else goes there.
	progress := c.stdout
	if *c.output == "json" {
		progress = c.stderr
	}
	execution, err := run(&follow.Follower{
		Client:   client,
		Clock:    follow.WallClock{},
		Interval: interval,
		Out:      progress,
		Live:     terminal.Is(progress),
	})
	if err != nil {
		say(c.stderr, "kubestep %s: %s\n", c.flags.Name(), terminal.Text(err.Error()))
		return failed
	}
	if execution.Status != types.ExecutionStatusSucceeded {
		return failed
	}
	if err := c.print(execution); err != nil {
		say(c.stderr, "kubestep %s: %s\n", c.flags.Name(), terminal.Text(err.Error()))
		return failed
	}
	return succeeded
}

// print writes the output of an execution in the form that was asked for.
func (c *command) print(execution follow.Execution) error {
	text := ""
	if *c.output == "json" {
		var indented bytes.Buffer
		if err := json.Indent(&indented, []byte(execution.Output), "", "  "); err != nil {
			return fmt.Errorf("the output is not valid JSON: %w", err)
		}
		text = terminal.JSON(indented.String()) + "\n"
	} else {
		var output contract.Output
		if err := json.Unmarshal([]byte(execution.Output), &output); err != nil {
			return fmt.Errorf("the output is not that of kubestep's state machine: %w", err)
		}
		text = "\n" + table(output, execution.Stopped.Sub(execution.Started))
	}
	if _, err := io.WriteString(c.stdout, text); err != nil {
		return fmt.Errorf("print the output: %w", err)
	}
	return nil
}
