package main

import (
	"context"
	"fmt"
	"os/exec"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/kubestep/kubestep/internal/fleet/report"
)

// openVerb is the verb that prints where an execution is in the AWS console.
func openVerb() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "open EXECUTION",
		Short: "Print the link of an execution in the AWS console",
		Long: `Print the link of an execution in the AWS console, which shows its states as a graph.
EXECUTION is its name or its ARN. An ARN needs no permission, a name
states:DescribeExecution.`,
		Example: `  # The link
  kubestep open morning

  # In the browser
  kubestep open arn:aws:states:eu-west-1:111122223333:execution:kubestep-pod-inventory:morning --browser`,
		SuggestFor:        []string{"browse", "console", "view"},
		ValidArgsFunction: completeExecutions,
	}
	of := newExecutions(cmd)
	browser := false
	cmd.Flags().BoolVar(&browser, "browser", false, "also open it in the browser")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := oneExecution(args); err != nil {
			return err
		}
		arn := args[0]
		var wrong problems
		if isExecutionARN(arn) {
			parseARN("EXECUTION", arn, "execution", &wrong)
		} else {
			var err error
			if arn, err = of.resolve(cmd.Context(), arn); err != nil {
				return err
			}
		}
		if len(wrong) > 0 {
			return wrong
		}
		link := report.ConsoleURL(arn)
		if link == "" {
			return problems{"the partition of " + arn + " has no console that kubestep knows"}
		}
		if _, err := fmt.Fprintln(cmd.OutOrStdout(), link); err != nil || !browser {
			return err //nolint:wrapcheck // it only writes
		}
		if err := browse(cmd.Context(), link); err != nil {
			return &failure{fmt.Errorf("open the browser: %w", err)}
		}
		return nil
	}
	return cmd
}

// browse opens a link with the program that the operating system has for it.
func browse(ctx context.Context, link string) error {
	program, args := "xdg-open", []string{link}
	switch runtime.GOOS {
	case "darwin":
		program = "open"
	case "windows":
		program, args = "rundll32", []string{"url.dll,FileProtocolHandler", link}
	}
	return exec.CommandContext(ctx, program, args...).Run() //nolint:gosec,wrapcheck // the link is of an ARN that was parsed, and is escaped
}
