// Command kubestep starts an execution of kubestep's state machine, or takes up
// one that runs, shows its states as they happen and prints the pods that it
// found. It speaks to the Step Functions API only, on AWS or wherever
// AWS_ENDPOINT_URL points.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// The exit statuses.
const (
	succeeded = 0 // the execution did
	failed    = 1 // it did not, or could not be followed to its end
	misused   = 2 // the command line or the environment is wrong; nothing was started
)

const usage = `kubestep lists the pods of an EKS cluster by a Step Functions execution.

  kubestep start [--state-machine-arn ARN] [--input JSON|@FILE] [--name NAME] [--output table|json]
      starts an execution, shows its states as they happen, and prints the pods.
      The ARN may stand in STATE_MACHINE_ARN.

  kubestep follow [--output table|json] EXECUTION_ARN
      does the same for an execution that was started already.

The AWS credentials and the endpoint are taken from the environment, as the aws
command does. With --output json the standard output holds the execution's output
and nothing else. The exit status is 0 where the execution succeeded, 1 where it
did not, and 2 where the command was used wrongly and nothing was started.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second Ctrl-C ends the command at once.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	verb := ""
	if len(args) > 0 {
		verb = args[0]
	}
	switch verb {
	case "start":
		return start(ctx, args[1:], stdout, stderr)
	case "follow":
		return followOn(ctx, args[1:], stdout, stderr)
	case "help", "-h", "-help", "--help":
		say(stdout, "%s", usage)
		return succeeded
	case "":
		say(stderr, "%s", usage)
	default:
		say(stderr, "kubestep: there is no command %q; there are start and follow.\n\n%s", verb, usage)
	}
	return misused
}

// say writes what cannot be told to anybody if it cannot be written.
func say(w io.Writer, format string, args ...any) {
	_, _ = fmt.Fprintf(w, format, args...)
}
