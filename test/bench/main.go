// Command bench measures what kubestep takes, beside the other ways to list pods and
// to apply manifests, and writes docs/benchmarks.md, docs/benchmarks/sets.md and
// docs/benchmarks/fleet.md. All of it runs on this computer:
// the control plane, the functions in the Lambda host, the clients as processes of
// their own.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/kubestep/kubestep/local/world"
)

func main() {
	var o options
	flag.StringVar(&o.root, "root", ".", "the repository")
	flag.StringVar(&o.out, "out", "docs", "the folder of what is written, below the repository")
	flag.StringVar(&o.python, "python", "", "a Python that has the package kubernetes; empty to leave it out")
	flag.IntVar(&o.runs, "runs", 5, "how often each client is measured")
	flag.IntVar(&o.pythonMost, "python-most", 10_000, "the most pods that the Python client is measured with: it takes 200 MB for each 1,000")
	flag.IntVar(&o.aloneFrom, "alone-from", 50_000, "from how many pods on each of the other clients gets a control plane to itself")
	flag.BoolVar(&o.allNamespaces, "all-namespaces", true, "whether to measure requests for all namespaces")
	flag.IntVar(&o.clusters, "clusters", 1000, "of how many clusters the fleet is; 0 to leave it out")
	flag.IntVar(&o.members, "members", 1000, "how many members the set has; 0 to leave it out")
	onlyFleet := flag.Bool("fleet", false, "measure the fleet alone")
	onlyJobs := flag.Bool("jobs", false, "measure run-job alone")
	onlySets := flag.Bool("sets", false, "measure a set alone")
	sizes := flag.String("pods", "1000,10000,50000", "how many pods in one namespace")
	objects := flag.String("objects", "500,1000", "how many ConfigMaps to apply")
	flag.Parse()
	o.sizes, o.objects = numbers(*sizes), numbers(*objects)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	o.commit = commitOf(ctx, o.root)
	var err error
	switch {
	case *onlyJobs, *onlySets:
		if o.root, err = filepath.Abs(o.root); err != nil {
			break
		}
		if *onlyJobs {
			err = measureJobs(ctx, o)
		} else {
			err = measureSets(ctx, o)
		}
	default:
		err = run(ctx, o, *onlyFleet)
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// numbers reads a list of numbers, which may be empty.
func numbers(list string) (found []int) {
	for _, number := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' }) {
		n, err := strconv.Atoi(number)
		if err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(2)
		}
		found = append(found, n)
	}
	return found
}

// controlPlaneMemory is what Go's runtime keeps the control plane's memory below, if
// it can: beside a client that asks for 50,000 pods at once, 24 GiB must do. No
// measurement comes near it, since each of those has a control plane to itself.
const controlPlaneMemory = "12GiB"

type options struct {
	root, out, python string
	commit            string
	runs, pythonMost  int
	aloneFrom         int
	allNamespaces     bool
	sizes, objects    []int
	clusters, members int
}

func say(format string, args ...any) { fmt.Fprintf(os.Stderr, "· "+format+"\n", args...) }

func run(ctx context.Context, o options, onlyFleet bool) error {
	root, err := filepath.Abs(o.root)
	if err != nil {
		return err
	}
	o.root = root
	if !onlyFleet {
		if err := measure(ctx, o); err != nil {
			return err
		}
		if err := measureJobs(ctx, o); err != nil {
			return err
		}
		if err := measureSets(ctx, o); err != nil {
			return err
		}
	}
	if o.clusters == 0 {
		return nil
	}
	return measureFleet(ctx, o)
}

// inFreshWorld measures in a local world of its own, with a control plane that
// nobody has asked for anything yet.
func inFreshWorld(ctx context.Context, o options, measure func(*bench) error) error {
	// The path of etcd's socket must be short.
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := os.Setenv("GOMEMLIMIT", controlPlaneMemory); err != nil {
		return err
	}
	w, err := world.Start(ctx, world.Options{
		Root: o.root, Dir: dir, Tools: filepath.Join(o.root, ".local"), Say: func(string, ...any) {},
		// The default of an API server. The local one asks about each request.
		ControlPlaneFlags: []string{"--cache-tokens=2m"},
	})
	if err != nil {
		return err
	}
	defer w.Stop()
	if err := os.Unsetenv("GOMEMLIMIT"); err != nil {
		return err
	}
	if err := w.Furnish(ctx); err != nil {
		return err
	}
	if err := w.ControlPlane.Apply(ctx, filepath.Join(o.root, "rbac", "cluster")); err != nil {
		return err
	}
	b := &bench{options: o, world: w, dir: dir}
	if b.kubeconfig, err = b.identity(ctx); err != nil {
		return err
	}
	return measure(b)
}
