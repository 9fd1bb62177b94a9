// Command bench measures what kubestep takes, and what the other ways to list
// pods take of the same cluster, and writes docs/benchmarks.md. All of it runs on
// this computer: the control plane, the functions in the Lambda host, the clients
// as processes of their own.
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
	flag.IntVar(&o.runs, "runs", 5, "how often each is measured")
	flag.IntVar(&o.pythonMost, "python-most", 50_000, "the most pods that the Python client is measured with: it takes 200 MB for each 1,000")
	flag.IntVar(&o.pythonRuns, "python-runs", 5, "how often the Python client is measured, at most")
	flag.IntVar(&o.heavyMost, "heavy-most", 50_000, "the most pods that kubectl and the clientset are measured with: kubectl takes 140 MB for each 1,000 too")
	sizes := flag.String("pods", "1000,10000,50000", "how many pods in one namespace")
	flag.Parse()
	for _, size := range strings.Split(*sizes, ",") {
		n, err := strconv.Atoi(size)
		if err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(2)
		}
		o.sizes = append(o.sizes, n)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// controlPlaneMemory is what Go's runtime keeps the control plane's memory below, if it can.
const controlPlaneMemory = "7GiB"

type options struct {
	root, out, python string
	runs, pythonMost  int
	pythonRuns        int
	heavyMost         int
	sizes             []int
}

func say(format string, args ...any) { fmt.Fprintf(os.Stderr, "· "+format+"\n", args...) }

func run(ctx context.Context, o options) error {
	root, err := filepath.Abs(o.root)
	if err != nil {
		return err
	}
	o.root = root
	// The path of etcd's socket must be short.
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	// For the control plane alone, which would take 14 GB to answer the clients that
	// ask for 50,000 pods at once, beside the 10 GB that one of them takes.
	if err := os.Setenv("GOMEMLIMIT", controlPlaneMemory); err != nil {
		return err
	}
	w, err := world.Start(ctx, world.Options{Root: root, Dir: dir, Tools: filepath.Join(root, ".local"), Say: say})
	if err != nil {
		return err
	}
	if err := os.Unsetenv("GOMEMLIMIT"); err != nil {
		return err
	}
	defer w.Stop()
	if err := w.Furnish(ctx); err != nil {
		return err
	}
	if err := w.ControlPlane.Apply(ctx, filepath.Join(root, "rbac", "cluster")); err != nil {
		return err
	}
	b := bench{options: o, world: w, dir: dir}
	return b.measure(ctx)
}
