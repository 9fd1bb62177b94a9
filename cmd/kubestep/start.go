package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"github.com/kubestep/kubestep/internal/follow"
)

// Of https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html:
// the size of an input, and the characters that a name may have and still be
// found in the logs.
const maxInput = 262144

var executionName = regexp.MustCompile(`^[0-9A-Za-z_-]{1,80}$`)

// start is the verb of that name.
func start(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c := newCommand("start", stdout, stderr)
	machine := c.flags.String("state-machine-arn", os.Getenv("STATE_MACHINE_ARN"), "")
	input := c.flags.String("input", "{}", "")
	name := c.flags.String("name", "", "")
	if status, done := c.parse(args); done {
		return status
	}

	c.noMore(c.flags.Args())
	if *machine == "" {
		c.problem("there is no state machine: give --state-machine-arn, or set STATE_MACHINE_ARN")
	} else {
		c.arn("--state-machine-arn", *machine, "stateMachine")
	}
	document, err := readInput(*input)
	if err != nil {
		c.problem("--input %v", err)
	}
	if *name != "" && !executionName.MatchString(*name) {
		c.problem("--name %q is not 1 to 80 letters, digits, - and _", *name)
	}

	return c.follow(ctx, func(f *follow.Follower) (follow.Execution, error) {
		return f.Start(ctx, follow.Start{StateMachineARN: *machine, Input: document, Name: *name})
	})
}

// readInput is the JSON document that the flag holds, or that is in the file
// that it names after an @.
func readInput(flag string) (string, error) {
	document := flag
	if file, ok := strings.CutPrefix(flag, "@"); ok {
		content, err := os.ReadFile(file) //nolint:gosec // to read the file that the user names is what is asked for
		if err != nil {
			return "", fmt.Errorf("cannot be read: %w", err)
		}
		document = string(content)
	}
	if len(document) > maxInput {
		return "", fmt.Errorf("has %d bytes; Step Functions takes %d", len(document), maxInput)
	}
	var parsed any
	err := json.Unmarshal([]byte(document), &parsed)
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		before := document[:min(int(syntax.Offset), len(document))]
		line := strings.Count(before, "\n") + 1
		column := len(before) - strings.LastIndexByte(before, '\n') - 1
		return "", fmt.Errorf("is not valid JSON: line %d, character %d: %w", line, max(column, 1), err)
	}
	if err != nil {
		return "", fmt.Errorf("is not valid JSON: %w", err)
	}
	return document, nil
}
