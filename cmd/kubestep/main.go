// Command kubestep starts the executions of kubestep's state machines, shows
// their states as they happen, and prints their output. It calls the Step
// Functions API, to approve a plan also Lambda, and to follow a Job's log S3: on AWS or
// wherever AWS_ENDPOINT_URL points.
//
// Each workflow has a verb (machine.go). One with flags and a table of its own is a file:
// inventory.go is the one to copy. It adds its flags to those that all verbs share
// (starter.go), and they set fields of the workflow's request.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/kubestep/kubestep/internal/follow/terminal"
	"github.com/kubestep/kubestep/internal/input"
)

// The exit statuses.
const (
	succeeded   = 0   // the execution did
	failed      = 1   // it did not, or could not be followed to its end
	misused     = 2   // nothing was started or changed: the command line or the environment is wrong, or AWS refuses
	drifted     = 3   // it succeeded and found drift, if the command line asks for this status
	interrupted = 130 // by a signal, as shells count: 128 and SIGINT
)

// version is the release; make release sets it.
var version string

func main() {
	// Whoever reads the states, or the output, may go away: a write fails then, and the
	// execution is followed to its end all the same.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second Ctrl-C ends the command at once.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// root is the command with its verbs.
func root() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "kubestep",
		Short: "Run Kubernetes API calls against Amazon EKS as Step Functions executions",
		Long: `kubestep starts executions of kubestep's state machines, shows their states as
they happen, and prints their output.

It reads AWS credentials and endpoints from the environment and from ~/.aws, as
the aws command does.

` + exitStatuses + `
What was asked for is printed to the standard output; the states, and how an
execution failed, to the standard error.

With --output json or yaml, the error and cause of an execution that fails are
printed in that format too.

The state machines are found by the name of their stack, kubestep, in the AWS
Region and account of the environment. --stack or ` + stackVariable + ` names
another.

kubestep help errors says what an error means and how to fix it, and kubestep help
environment which variables are read. https://github.com/kubestep/kubestep has the
documentation.`,
		Example: `  kubestep inventory demo -n shop
  kubestep inventory demo --all-namespaces --output json
  kubestep fleet --region eu-west-1 --tag environment=production --report s3://my-bucket/kubestep/
  kubestep apply demo -f shop.yaml --plan
  kubestep delete demo --set addons --plan
  kubestep job run demo -n shop --from cronjob/backup --logs tail
  kubestep follow arn:aws:states:eu-west-1:111122223333:execution:kubestep-pod-inventory:morning`,
		Version:       release(),
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	cmd.Flags().Bool("version", false, "print the version") // cobra's would take -v
	cmd.SetVersionTemplate("kubestep {{.Version}}\n")
	cmd.SetUsageTemplate(strings.ReplaceAll(cmd.UsageTemplate(), ".FlagUsages", fmt.Sprintf(".FlagUsagesWrapped %d", columns)))
	for _, m := range machines() {
		for _, verb := range m.verbs {
			cmd.AddCommand(verb(m))
		}
	}
	cmd.AddCommand(followVerb(), listVerb(), stopVerb(), openVerb(), approveVerb(), versionVerb(), manVerb())
	cmd.AddCommand(topics()...)
	reflow(cmd)
	cmd.SetFlagErrorFunc(meant)
	return cmd
}

// addCobras adds the commands that cobra brings, and makes them as strict as the
// others. The output must be set: cobra's completion holds on to it.
func addCobras(cmd *cobra.Command) {
	cmd.InitDefaultHelpCmd()
	cmd.InitDefaultCompletionCmd()
	for _, verb := range cmd.Commands() {
		switch verb.Name() {
		case "help":
			strictHelp(verb)
		case "completion":
			strictCompletion(verb)
		}
	}
}

// unknownFlag is what pflag says of one.
var unknownFlag = regexp.MustCompile(`^unknown flag: --([a-z-]+)`)

// meant adds to an error about a flag which one may be meant.
func meant(cmd *cobra.Command, err error) error {
	found := unknownFlag.FindStringSubmatch(err.Error())
	if found == nil {
		return err
	}
	if found[1] == "dry-run" && cmd.Flags().Lookup("plan") != nil { // as kubectl has it
		return fmt.Errorf("%w. To see what would change: --plan", err)
	}
	var like []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if strings.HasPrefix(f.Name, found[1]) || input.Alike(f.Name, found[1]) {
			like = append(like, "--"+f.Name)
		}
	})
	if len(like) == 0 {
		return err
	}
	return fmt.Errorf("%w. Did you mean %s?", err, strings.Join(like, " or "))
}

// strictHelp makes the help of a command that does not exist an error.
func strictHelp(cmd *cobra.Command) {
	cmd.Use = "help [COMMAND]"
	cmd.Short = "Show the help of a command"
	cmd.Long = "Show the help of a command, as its flag --help does."
	cmd.Example = "  # The flags of inventory, with examples\n  kubestep help inventory\n\n  # What an error means, and how to fix it\n  kubestep help errors Forbidden\n\n  # The exit statuses\n  kubestep help exit-codes"
	verbs := cmd.ValidArgsFunction
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		if found, rest, err := cmd.Root().Find(args); err == nil && found.Hidden && found.ValidArgsFunction != nil {
			return found.ValidArgsFunction(cmd, rest, begun)
		}
		names, directive := verbs(cmd, args, begun)
		for _, t := range topics() {
			if len(args) == 0 && strings.HasPrefix(t.Name(), begun) {
				names = append(names, cobra.CompletionWithDesc(t.Name(), t.Short))
			}
		}
		return names, directive
	}
	cmd.Run = nil
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		found, rest, err := cmd.Root().Find(args)
		if err != nil {
			return err //nolint:wrapcheck // it says which command is unknown
		}
		if found.Hidden && found.RunE != nil { // a topic, which is a page
			found.SetOut(cmd.OutOrStdout())
			return found.RunE(found, rest)
		}
		found.InitDefaultHelpFlag()
		return found.Help() //nolint:wrapcheck // it only writes
	}
}

// strictCompletion makes the completion of no shell an error, and says how to load it.
func strictCompletion(cmd *cobra.Command) {
	cmd.Short = "Print the completion script of a shell"
	cmd.Long = "Print the script that completes kubestep's commands and flags in a shell."
	cmd.Example = `  # bash: the package bash-completion must be installed
  source <(kubestep completion bash)

  # zsh
  source <(kubestep completion zsh)

  # fish
  kubestep completion fish | source`
	cmd.RunE = func(*cobra.Command, []string) error {
		return problems{"there is no shell: name bash, zsh, fish or powershell"}
	}
}

// versionVerb answers those who try it in place of --version.
func versionVerb() *cobra.Command {
	return &cobra.Command{
		Use: "version", Hidden: true, Args: cobra.NoArgs, Short: "Print the version",
		Run: func(cmd *cobra.Command, _ []string) {
			_, _ = fmt.Fprintf(cmd.OutOrStdout(), "kubestep %s\n", release())
		},
	}
}

// release is the version, or what Go recorded of a build from a module.
func release() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	cmd := root() //nolint:contextcheck // cobra passes the context to a verb as it runs
	cmd.SetArgs(args)
	cmd.SetIn(stdin)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	addCobras(cmd) //nolint:contextcheck // the same
	if len(args) == 0 {
		cmd.SetOut(stderr)
		_ = cmd.Help()
		return misused
	}
	ran, err := cmd.ExecuteContextC(ctx)
	verb := ran.CommandPath()
	if ran.Name() == "help" {
		verb = cmd.Name() // the help of help does not list the commands
	}
	if err == nil {
		return succeeded
	}
	if status, ok := errors.AsType[exitStatus](err); ok {
		return int(status)
	}
	if failure, ok := errors.AsType[*failure](err); ok {
		if failure.err != nil {
			_, _ = fmt.Fprintf(stderr, "%s: %s\n", verb, terminal.Text(failure.err.Error()))
		}
		if ctx.Err() != nil {
			return interrupted
		}
		return failed
	}
	starts := ran.Flags().Lookup("input") != nil // as newStarter has it
	if ctx.Err() != nil {                        // what else is wrong may follow from it
		ending := "interrupted"
		if starts {
			ending += "; nothing was started"
		}
		_, _ = fmt.Fprintf(stderr, "%s: %s\n", verb, ending)
		return interrupted
	}
	if refused, ok := errors.AsType[*refusal](err); ok {
		_, _ = fmt.Fprintf(stderr, "%s: %s\n", verb, terminal.Text(refused.err.Error()))
		if starts {
			_, _ = fmt.Fprintln(stderr, "Nothing was started.")
		}
		return misused
	}
	wrong, ok := errors.AsType[problems](err)
	if !ok { // cobra's own: an unknown command or flag
		wrong = problems{strings.ReplaceAll(strings.TrimSpace(err.Error()), "\t", "  ")}
	}
	for _, problem := range wrong {
		_, _ = fmt.Fprintf(stderr, "%s: %s\n", verb, terminal.Text(problem))
	}
	if starts {
		_, _ = fmt.Fprint(stderr, "Nothing was started. ")
	}
	_, _ = fmt.Fprintf(stderr, "Run %s --help for the flags and examples.\n", verb)
	return misused
}

// exitStatus ends a command that has printed everything.
type exitStatus int

func (s exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// failure is an execution that failed or could not be followed. Its err is nil if
// the follower has shown why.
type failure struct{ err error }

func (f *failure) Error() string {
	if f.err == nil {
		return "the execution failed"
	}
	return f.err.Error()
}

func (f *failure) Unwrap() error { return f.err }

// refusal is why AWS did nothing of what it was asked: nothing was started or changed, and the help of
// the verb is no help.
type refusal struct{ err error }

func (r *refusal) Error() string { return r.err.Error() }

func (r *refusal) Unwrap() error { return r.err }

// problems is everything that is wrong with a command line and its environment,
// so that all of it is reported at once and before anything starts.
type problems []string

func (p problems) Error() string { return strings.Join(p, "\n") }

func (p *problems) add(format string, args ...any) {
	*p = append(*p, fmt.Sprintf(format, args...))
}
