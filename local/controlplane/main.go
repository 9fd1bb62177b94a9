// Command controlplane is the control plane of a local cluster in one process: etcd, kube-apiserver, aws-iam-authenticator
// and a stand-in for AWS STS, all on 127.0.0.1. It has its own Go module because it links most of Kubernetes.
//
//	controlplane serve --dir DIR --cluster NAME --region REGION --credentials-key-file FILE [--port PORT] [--new-ca] [--compact-every DURATION] [--until-stdin-closes]
//	controlplane apply --kubeconfig FILE [-k DIR]... [-f FILE]...
//	controlplane delete --kubeconfig FILE [-k DIR]... [-f FILE]...
//
// The version must be stamped, since clients parse it, and the flags must always be the same, since a build from
// nothing takes minutes:
//
//	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=v1.37.2 -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=37" -o ../../build/local/controlplane .
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubestep/kubestep/local/controlplane/manifest"
)

const usage = `controlplane runs the control plane of a local cluster, and applies objects to it.

  controlplane serve --dir DIR --cluster NAME --region REGION --credentials-key-file FILE
                     [--port PORT] [--new-ca] [--compact-every DURATION] [--until-stdin-closes]
  controlplane apply --kubeconfig FILE [-k DIR]... [-f FILE]...
  controlplane delete --kubeconfig FILE [-k DIR]... [-f FILE]...
`

// errUsage ends the program with the status for a wrong command line.
var errUsage = errors.New("see controlplane --help")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	err := run(ctx, os.Args[1:])
	stop()
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return
	}
	fmt.Fprintln(os.Stderr, "controlplane:", err)
	if errors.Is(err, errUsage) {
		os.Exit(2)
	}
	os.Exit(1)
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		args = []string{"--help"}
	}
	switch command, args := args[0], args[1:]; command {
	case "serve":
		return serveCommand(ctx, args)
	case "apply":
		return objectsCommand(command, args, func(c *manifest.Client, objects []*unstructured.Unstructured) error {
			return c.Apply(ctx, objects)
		})
	case "delete":
		return objectsCommand(command, args, func(c *manifest.Client, objects []*unstructured.Unstructured) error {
			return c.Delete(ctx, objects)
		})
	case "help", "-h", "--help":
		fmt.Print(usage)
		return nil
	default:
		return fmt.Errorf("there is no command %q: %w", command, errUsage)
	}
}

func serveCommand(ctx context.Context, args []string) error {
	var s settings
	flags := newFlags("serve")
	flags.StringVar(&s.dir, "dir", "", "")
	flags.StringVar(&s.cluster, "cluster", "", "")
	flags.StringVar(&s.region, "region", "", "")
	flags.StringVar(&s.credentialsKeyFile, "credentials-key-file", "", "")
	flags.IntVar(&s.port, "port", 0, "")
	flags.BoolVar(&s.newCA, "new-ca", false, "")
	flags.DurationVar(&s.compactEvery, "compact-every", 5*time.Minute, "")
	untilStdinCloses := flags.Bool("until-stdin-closes", false, "")
	if err := parse(flags, args, "dir", "cluster", "region", "credentials-key-file"); err != nil {
		return err
	}
	if *untilStdinCloses {
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin) // an error ends it as well as its end does
			cancel()
		}()
	}
	if err := serve(ctx, s, os.Stdout); ctx.Err() == nil || !errors.Is(err, context.Canceled) {
		return err
	}
	return nil // it was asked to stop before it was ready
}

// source is a flag that names objects, and what reads them.
type source struct {
	path string
	read func(string) ([]*unstructured.Unstructured, error)
}

func objectsCommand(name string, args []string, do func(*manifest.Client, []*unstructured.Unstructured) error) error {
	var sources []source
	flags := newFlags(name)
	kubeconfigFile := flags.String("kubeconfig", "", "")
	flags.Func("k", "", func(dir string) error {
		sources = append(sources, source{dir, manifest.FromKustomization})
		return nil
	})
	flags.Func("f", "", func(file string) error {
		sources = append(sources, source{file, manifest.FromFile})
		return nil
	})
	if err := parse(flags, args, "kubeconfig"); err != nil {
		return err
	}
	var objects []*unstructured.Unstructured
	for _, source := range sources {
		more, err := source.read(source.path)
		if err != nil {
			return err
		}
		objects = append(objects, more...)
	}
	client, err := manifest.NewClient(*kubeconfigFile, os.Stdout)
	if err != nil {
		return err
	}
	return do(client, objects)
}

func newFlags(name string) *flag.FlagSet {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	return flags
}

// parse reads the flags and insists on those that are required.
func parse(flags *flag.FlagSet, args []string, required ...string) error {
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Print(usage)
		return err
	case err != nil:
		return fmt.Errorf("%w: %w", err, errUsage)
	case flags.NArg() > 0:
		return fmt.Errorf("%q is no flag: %w", flags.Arg(0), errUsage)
	}
	var missing []string
	for _, name := range required {
		if flags.Lookup(name).Value.String() == "" {
			missing = append(missing, "--"+name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("%s must be given: %w", strings.Join(missing, ", "), errUsage)
	}
	return nil
}
