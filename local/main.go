// Command local starts and ends the local world of kubestep, for make run, make up and make down. It runs in the folder of the
// repository.
//
//	local run [--state DIR] [--workflow NAME] [--input JSON] [--output table|json|yaml]
//	local up [--state DIR]
//	local down [--state DIR]
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/internal/contract/podinventory"
	"github.com/kubestep/kubestep/internal/workflows"
	"github.com/kubestep/kubestep/local/session"
	"github.com/kubestep/kubestep/local/world"
)

// stopGrace is how long a world may take to end.
const stopGrace = 20 * time.Second

// stateFolder is the folder of the repository for what the local world writes and what is installed for it.
const stateFolder = ".local"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status, err := command(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "local:", err)
	}
	os.Exit(status)
}

// command runs a verb and returns the exit status.
func command(ctx context.Context, args []string) (int, error) {
	root, err := os.Getwd()
	if err != nil {
		return 1, fmt.Errorf("find the repository: %w", err)
	}
	if len(args) == 0 {
		args = []string{""}
	}
	flags := flag.NewFlagSet("local "+args[0], flag.ExitOnError)
	workflow := flags.String("workflow", podinventory.Name, "the `name` of the workflow to run")
	input := flags.String("input", "", "the execution `input` (the one in local/inputs if not set)")
	output := flags.String("output", "table", "print the output as table, json or yaml")
	state := flags.String("state", filepath.Join(root, stateFolder), "the `folder` of the world's state: each folder can have a world")
	_ = flags.Parse(args[1:]) // ends the program with the status for a wrong command line
	folder, err := filepath.Abs(*state)
	if err != nil {
		return 2, fmt.Errorf("find the folder of the state: %w", err)
	}
	l := local{root: root, folder: session.Folder(folder)}
	switch args[0] {
	case "run":
		return l.run(ctx, *workflow, *input, *output)
	case "up":
		return failure(l.up(ctx))
	case "down":
		return failure(l.down())
	case "serve": // what up starts
		return failure(l.serve(ctx))
	default:
		return 2, fmt.Errorf("%q is not run, up or down", args[0])
	}
}

func failure(err error) (int, error) {
	if err != nil {
		return 1, err
	}
	return 0, nil
}

type local struct {
	root   string
	folder session.Folder
}

// tools is the folder of what is installed once for all worlds.
func (l local) tools() string { return filepath.Join(l.root, stateFolder) }

// say prints what is being done to the standard error: the standard output is the execution's.
func say(format string, args ...any) { fmt.Fprintf(os.Stderr, "· "+format+"\n", args...) }

// start starts a world, furnishes it, and writes the file for shells.
func (l local) start(ctx context.Context, say func(string, ...any)) (*world.World, error) {
	began := time.Now()
	say("starting the local world: a control plane (etcd, kube-apiserver, controllers, aws-iam-authenticator), the Step Functions engine, Lambda")
	w, err := world.Start(ctx, world.Options{Root: l.root, Dir: string(l.folder), Tools: l.tools(), Say: say})
	if err != nil {
		return nil, err
	}
	say("deploying the functions and the state machines, applying rbac/, putting pods into the namespaces default and shop")
	if err := w.Furnish(ctx); err != nil {
		w.Stop()
		return nil, err
	}
	if err := l.writeEnv(ctx, w); err != nil {
		w.Stop()
		return nil, err
	}
	say("the local world is ready after %.1f s", time.Since(began).Seconds())
	return w, nil
}

func (l local) writeEnv(ctx context.Context, w *world.World) error {
	developer, err := w.Developer()
	if err != nil {
		return err
	}
	credentials, err := developer.Credentials.Retrieve(ctx)
	if err != nil {
		return fmt.Errorf("issue credentials: %w", err)
	}
	deployed := w.Stack(world.StackName)
	variables := map[string]string{
		"AWS_ENDPOINT_URL":      w.Endpoint,
		"AWS_ACCESS_KEY_ID":     credentials.AccessKeyID,
		"AWS_SECRET_ACCESS_KEY": credentials.SecretAccessKey,
		"AWS_SESSION_TOKEN":     credentials.SessionToken,
		"AWS_REGION":            world.Region,
		"AWS_DEFAULT_REGION":    world.Region,
		"STATE_MACHINE_ARN":     deployed.StateMachineARN(podinventory.Name), // the name of before
		"KUBECONFIG":            w.ControlPlane.Kubeconfig,
	}
	for _, workflow := range workflows.All() {
		variables[workflow.Variable()] = deployed.StateMachineARN(workflow.Name)
	}
	return l.folder.WriteEnv(variables, l.bin())
}

// bin is the folder of kubestep, and of kubectl and aws for computers that do not have them.
func (l local) bin() string { return filepath.Join(l.tools(), "bin") }

// lend links kubestep, kubectl and aws, which make has built and installed, into bin.
func (l local) lend() error {
	if err := os.MkdirAll(l.bin(), 0o700); err != nil {
		return fmt.Errorf("make the folder of commands: %w", err)
	}
	for name, program := range map[string]string{"kubestep": "build/local/kubestep", "kubectl": "build/local/kubectl", "aws": ".local/aws/bin/aws"} {
		link := filepath.Join(l.bin(), name)
		if err := os.Remove(link); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("replace %s: %w", link, err)
		}
		if err := os.Symlink(filepath.Join(l.root, program), link); err != nil {
			return fmt.Errorf("link %s: %w", name, err)
		}
		if path, err := exec.LookPath(name); name != "kubestep" && (err != nil || filepath.Dir(path) == l.bin()) {
			say("this computer has no %s: env adds %s to the PATH", name, program)
		}
	}
	return nil
}

// example is the input of a workflow in local/inputs or, if there is none, the local cluster.
func (l local) example(workflow string) string {
	file := filepath.Join(l.root, "local", "inputs", workflow+".json")
	if _, err := os.Stat(file); err != nil {
		return `{"clusterName":"` + world.ClusterName + `"}`
	}
	return "@" + file
}

// readable says of an input that is no JSON that it is none, before a world starts for it. The command reads the others: @FILE, and - for
// the standard input.
func readable(input string) error {
	if input == "-" || strings.HasPrefix(input, "@") || json.Valid([]byte(input)) {
		return nil
	}
	return fmt.Errorf("the input is not valid JSON: %s", input)
}

// run starts one execution, in the running world or in one that it starts.
func (l local) run(ctx context.Context, workflow, input, output string) (int, error) {
	if input == "" {
		input = l.example(workflow)
	}
	if err := readable(input); err != nil {
		return 2, err
	}
	lock, err := l.folder.Lock()
	switch {
	case errors.Is(err, session.ErrRuns):
		_, _, unhealthy, err := l.await(ctx)
		if err != nil {
			return 1, err
		}
		if unhealthy != nil {
			return 1, fmt.Errorf("the local world that is running does not work: %w. make up starts it again", unhealthy)
		}
		say("using the local world that is running (make up)")
	case err != nil:
		return 1, err
	default:
		defer lock.Release()
		w, err := l.start(ctx, say)
		if err != nil {
			return 1, err
		}
		defer w.Stop()
	}
	variables, err := l.folder.ReadEnv()
	if err != nil {
		return 1, err
	}
	name := fmt.Sprintf("run-%d", time.Now().Unix())
	kubestep := exec.CommandContext(ctx, filepath.Join(l.root, "build", "local", "kubestep"), workflow, "--input", input, "--output", output, "--name", name)
	kubestep.Stdin, kubestep.Stdout, kubestep.Stderr = os.Stdin, os.Stdout, os.Stderr
	kubestep.Env = os.Environ()
	for variable, value := range variables {
		kubestep.Env = append(kubestep.Env, variable+"="+value)
	}
	// The terminal sends Ctrl-C to both processes: this one only waits.
	kubestep.Cancel = func() error { return kubestep.Process.Signal(os.Interrupt) }
	kubestep.WaitDelay = 5 * time.Second
	err = kubestep.Run()
	if workflow == fleet.Name {
		page, pageErr := l.savePage(ctx, variables, name, input)
		switch {
		case pageErr != nil:
			return 1, pageErr
		case page != "":
			say("open the report in a browser: %s", page)
		}
		if lock != nil {
			say("this local world ends now: for the commands above, start one with make up, and run the fleet in it")
		}
	}
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return max(exit.ExitCode(), 1), nil
	}
	return failure(err)
}

func (l local) down() error {
	began := time.Now()
	ran, err := l.folder.End(stopGrace)
	if err != nil {
		return err
	}
	if !ran {
		say("no local world is running")
		return nil
	}
	say("the local world has ended, after %.1f s", time.Since(began).Seconds())
	return nil
}
