package main

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/local/world"
)

const (
	// spread has pods in many namespaces, and sparse in very many.
	spreadNamespaces, spreadPods = 50, 200
	sparseNamespaces, sparsePods = 900, 5

	// The list prices of eu-west-1 in US dollars:
	// https://aws.amazon.com/lambda/pricing/ (arm64, the first tier) and
	// https://aws.amazon.com/step-functions/pricing/ (Standard).
	perTransition = 0.025 / 1000
	perRequest    = 0.20 / 1e6
	perGBSecond   = 0.0000133334
)

func measure(ctx context.Context, o options) error {
	r := &report{options: o, written: o.written(), began: time.Now(), sizes: map[int]clients{}, spread: clients{}, sparse: clients{}, applied: map[int]applying{}, zips: map[string]int{}}
	if err := build(ctx, o.root, "apply", "clientset", "table"); err != nil {
		return err
	}
	var err error
	if r.mint, err = o.benchmark(ctx, "internal/token", "BenchmarkMint"); err != nil {
		return err
	}
	if r.seal, err = o.benchmark(ctx, "internal/bearer", "BenchmarkSeal"); err != nil {
		return err
	}
	say("%s, %s", r.mint, r.seal)
	if err := inFreshWorld(ctx, o, func(b *bench) error { return b.functionsAndExecutions(ctx, r) }); err != nil {
		return err
	}
	for _, n := range o.sizes {
		if r.sizes[n], err = oneNamespace(ctx, o, n); err != nil {
			return err
		}
	}
	for _, n := range o.objects {
		if r.applied[n], err = measureApplying(ctx, o, n); err != nil {
			return err
		}
	}
	r.cost = cost(r)
	r.took = time.Since(r.began)
	return r.write(filepath.Join(o.root, o.out))
}

// functionsAndExecutions measures what does not depend on the number of pods, and
// requests for all namespaces.
func (b *bench) functionsAndExecutions(ctx context.Context, r *report) error {
	functions, err := filepath.Glob(filepath.Join(b.root, "functions", "*", "main.go"))
	if err != nil {
		return err
	}
	for _, function := range functions {
		name := filepath.Base(filepath.Dir(function))
		if r.zips[name], err = b.zipped(ctx, name); err != nil {
			return err
		}
	}
	if r.cold, err = b.cold(ctx); err != nil {
		return err
	}
	if r.full, err = b.execution(ctx, `{"clusterName":"demo"}`); err != nil {
		return err
	}
	if r.bare, err = b.execution(ctx, `{"clusterName":"demo","maxItems":0}`); err != nil {
		return err
	}
	if b.allNamespaces {
		if err := b.everywhere(ctx, r); err != nil {
			return err
		}
	}
	r.widest, err = b.execution(ctx, `{"clusterName":"demo","namespaces":["*"]}`)
	return err
}

func (b *bench) socket() string {
	return filepath.Join(b.dir, "clusters", world.ClusterName, "etcd.sock")
}

// everywhere measures all namespaces: by the function, and by one raw request after
// the other.
func (b *bench) everywhere(ctx context.Context, r *report) error {
	admin, err := b.world.ControlPlane.Admin()
	if err != nil {
		return err
	}
	say("all namespaces: %d of %d pods", spreadNamespaces, spreadPods)
	var names []string
	for i := range spreadNamespaces {
		names = append(names, fmt.Sprintf("many-%02d", i))
		if err := fill(ctx, admin, b.socket(), names[i], spreadPods); err != nil {
			return err
		}
	}
	named, err := b.listPods(ctx, names...)
	if err != nil {
		return err
	}
	all, err := b.listPods(ctx, contract.AllNamespaces)
	if err != nil {
		return err
	}
	raw := func() (sample, error) {
		return child(ctx, filepath.Join(b.root, "build", "bench", "table"), append([]string{b.kubeconfig}, names...)...)
	}
	if err := turnAbout(r.spread, map[string]func() (sample, error){"raw Tables, one after the other": raw, "ListPods, the 50 by name": named, everyNamespace: all}, rowRuns*b.runs); err != nil {
		return err
	}
	say("all namespaces: those, and %d of %d pods", sparseNamespaces, sparsePods)
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for i := range sparseNamespaces {
		group.Go(func() error { return fill(groupCtx, admin, b.socket(), fmt.Sprintf("few-%03d", i), sparsePods) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return turnAbout(r.sparse, map[string]func() (sample, error){everyNamespace: all}, rowRuns*b.runs)
}

const everyNamespace = "ListPods, all of them"

// cost is what 1,000 executions cost with up to 10,000 pods, with warm functions, by
// what they take here.
func cost(r *report) float64 {
	listing := time.Duration(0)
	for n, measured := range r.sizes {
		if n <= 10_000 {
			listing = max(listing, measured["ListPods"].median.request)
		}
	}
	seconds := 3*0.128*0.020 + 0.256*math.Ceil(listing.Seconds()*1000)/1000
	return 1000 * (float64(r.full.transitions)*perTransition + 4*perRequest + seconds*perGBSecond)
}
