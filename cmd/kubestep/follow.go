package main

import (
	"context"
	"io"

	"github.com/kubestep/kubestep/internal/follow"
)

// followOn is the verb follow.
func followOn(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c := newCommand("follow", stdout, stderr)
	if status, done := c.parse(args); done {
		return status
	}

	execution := c.flags.Arg(0)
	if execution == "" {
		c.problem("there is no execution: give its ARN")
	} else {
		c.arn("EXECUTION_ARN", execution, "execution")
		c.noMore(c.flags.Args()[1:])
	}

	return c.follow(ctx, func(f *follow.Follower) (follow.Execution, error) {
		return f.Follow(ctx, execution)
	})
}
