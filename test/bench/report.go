package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/local/world"
)

const (
	// spread is the pods of many namespaces, and sparse those of very many.
	spreadNamespaces, spreadPods = 50, 200
	sparseNamespaces, sparsePods = 900, 5

	// The list prices of eu-west-1 in US dollars:
	// https://aws.amazon.com/lambda/pricing/ (arm64, the first tier) and
	// https://aws.amazon.com/step-functions/pricing/ (Standard).
	perTransition = 0.025 / 1000
	perRequest    = 0.20 / 1e6
	perGBSecond   = 0.0000133334
)

type report struct {
	options            options
	machine            string
	began              time.Time
	took               time.Duration
	sizes              map[int]clients
	cold               clients
	spread, sparse     clients
	applied            map[int]applying
	mint, seal         testing.BenchmarkResult
	zips               map[string]int
	full, bare, widest execution
	cost               float64
}

func measure(ctx context.Context, o options) error {
	r := &report{options: o, machine: machine(), began: time.Now(), sizes: map[int]clients{}, spread: clients{}, sparse: clients{}, applied: map[int]applying{}, zips: map[string]int{}}
	if err := build(ctx, o.root, "apply", "clientset", "table"); err != nil {
		return err
	}
	var err error
	if r.mint, r.seal, err = minting(ctx); err != nil {
		return err
	}
	say("minting and sealing %s, sealing %s", r.mint, r.seal)
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

// cost is that of 1,000 executions with up to 10,000 pods, with warm functions, by
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

func (r *report) write(folder string) error {
	if err := os.MkdirAll(filepath.Join(folder, "benchmarks"), 0o750); err != nil {
		return err
	}
	for name, value := range map[string]func(sample) float64{
		"wall":   func(s sample) float64 { return s.wall.Seconds() },
		"memory": func(s sample) float64 { return s.memoryMB },
	} {
		title := map[string]string{"wall": "Seconds to list the pods of a namespace", "memory": "Peak memory in MB"}[name]
		if err := os.WriteFile(filepath.Join(folder, "benchmarks", name+".svg"), plot(title, r.sizes, value), 0o600); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(folder, "benchmarks.md"), r.markdown(), 0o600)
}

func (r *report) markdown() []byte {
	var b bytes.Buffer
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p("# Benchmarks\n")
	p("Written by `make bench` on %s: one run of %d minutes on %s.", r.began.UTC().Format("2 January 2006"), int(r.took.Minutes()+0.5), r.machine)
	p("Each figure is the median of %d runs (ListPods and the raw Table: %d), with the least and the most where it varies. The API server, etcd and every client share the computer. Each pod has two containers and a full status, about 20 KB as JSON.\n", r.options.runs, rowRuns*r.options.runs)
	p("Each client is measured at its best, after a run that does not count: ListPods and the raw Table take turns on a control plane that was started for them, the others on another (from %d pods on, each on one of its own, %d times). The ratio of two that take turns is the median of the turns' ratios, since the API server is slower for some turns, while it collects its garbage.\n", r.options.aloneFrom, min(r.options.runs, aloneRuns))
	p("- **ListPods** is the whole invocation of the deployed binary through the local Lambda host, warm, with a token that VerifyRBAC has used; its memory is the peak of its environment, the cold invocation included.")
	p("- **raw Table** asks for the same rows in one request and throws them away: the least that any client can take.")
	p("- **Go clientset** lists in protobuf in one request. **kubectl** is `kubectl get pods`. **Python** is the package `kubernetes`, with at most %d pods: with more it does not fit beside the API server.", r.options.pythonMost)
	p("- *received* is what crosses the wire, TLS included. kubectl and the clientset ask for gzip, which saves bytes and costs time; ListPods does not.")
	p("- The other clients come with the token of a ServiceAccount that has the functions' permissions: the API server does less for an administrator, whom RBAC and priority and fairness exempt.")
	p("- They are processes of their own: their *wall* includes their start, *request* does not. For ListPods the one is measured by who invokes it, the other by the Lambda host.\n")
	p("## Pods of one namespace\n")
	p("![seconds](benchmarks/wall.svg)\n\n![memory](benchmarks/memory.svg)\n")
	for _, n := range slices.Sorted(maps.Keys(r.sizes)) {
		p("### %d pods\n", n)
		p("| client | wall | request | CPU | peak memory | received | wall ÷ raw | request ÷ raw |\n|---|--:|--:|--:|--:|--:|--:|--:|")
		raw := r.sizes[n]["raw Table"]
		for _, name := range order {
			f, ok := r.sizes[n][name]
			if !ok {
				p("| %s | not measured | | | | | | |", name)
				continue
			}
			requests, times := "", ""
			if f.median.request > 0 { // otherwise the client does not say
				requests = span(f, request)
				times = fmt.Sprintf("%.2f", ratio(f, raw, request, request))
			}
			p("| %s | %s | %s | %s | %.0f MB | %.1f MB | %.2f | %s |", name, span(f, wall), requests, ms(f.median.cpu), f.max.memoryMB, float64(f.median.bytes)/1e6, ratio(f, raw, wall, wall), times)
		}
		p("")
	}
	if r.options.allNamespaces {
		r.everyNamespace(p)
	}
	r.applying(p)
	p("## Tokens\n")
	p("| | time | memory | allocations |\n|---|--:|--:|--:|")
	for _, t := range []struct {
		name string
		r    testing.BenchmarkResult
	}{{"minting and sealing", r.mint}, {"sealing alone", r.seal}} {
		p("| %s | %d ns | %d B | %d |", t.name, t.r.NsPerOp(), t.r.AllocedBytesPerOp(), t.r.AllocsPerOp())
	}
	p("\n## Functions\n")
	p("| | zip for arm64 | start to first poll | start to first answer |\n|---|--:|--:|--:|")
	for _, name := range slices.Sorted(maps.Keys(r.zips)) {
		poll, answer := "", ""
		if cold, ok := r.cold[name]; ok {
			poll, answer = ms(cold.median.request), ms(cold.median.wall)
		}
		p("| %s | %.2f MB | %s | %s |", name, float64(r.zips[name])/1e6, poll, answer)
	}
	if cold, ok := r.cold["Python"]; ok {
		p("| the Python client, as a process | | | %s |", ms(cold.median.wall))
	}
	p("\n## An execution\n")
	p("| | state transitions | largest state | output |\n|---|--:|--:|--:|")
	for _, e := range []struct {
		name string
		e    execution
	}{{"one namespace", r.full}, {"the same without items", r.bare}, {"all namespaces", r.widest}} {
		p("| %s | %d | %d bytes | %d bytes |", e.name, e.e.transitions, e.e.largest, e.e.output)
	}
	p("\n1,000 executions take **$%.2f**: %d transitions at $0.025 per 1,000 (Standard), 4 invocations at $0.20 per million, and the functions' time at $0.0000133334 per GB-second (arm64; 20 ms for each of the three small ones, and what ListPods took here). Those are the list prices of eu-west-1 (https://aws.amazon.com/step-functions/pricing/, https://aws.amazon.com/lambda/pricing/); logs and data transfer are not in it.", r.cost, r.full.transitions)
	return b.Bytes()
}

func (r *report) everyNamespace(p func(string, ...any)) {
	for _, all := range []struct {
		title    string
		measured clients
	}{
		{fmt.Sprintf("All namespaces: %d of %d pods each", spreadNamespaces, spreadPods), r.spread},
		{fmt.Sprintf("All namespaces: those, and %d of %d pods each", sparseNamespaces, sparsePods), r.sparse},
	} {
		p("## %s\n", all.title)
		p("| way | request | CPU | peak memory |\n|---|--:|--:|--:|")
		for _, name := range slices.Sorted(maps.Keys(all.measured)) {
			f := all.measured[name]
			p("| %s | %s | %s | %.0f MB |", name, span(f, request), ms(f.median.cpu), f.max.memoryMB)
		}
		p("")
	}
	more := (r.sparse[everyNamespace].median.request - r.spread[everyNamespace].median.request) / sparseNamespaces
	p("All namespaces are listed one by one: a table of pods across the cluster does not say which namespace a pod is in. By the difference of the two tables, each further namespace of %d pods takes %.2f ms.\n", sparsePods, float64(more.Microseconds())/1000)
}

// span is the median of a figure, and in parentheses the least and the most.
func span(f figures, of func(sample) time.Duration) string {
	return fmt.Sprintf("%s (%s–%s)", ms(of(f.median)), ms(of(f.min)), ms(of(f.max)))
}

func ms(d time.Duration) string {
	if d >= 10*time.Second {
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return fmt.Sprintf("%.0f ms", float64(d.Microseconds())/1000)
}

var colours = map[string]string{"ListPods": "#0b6e4f", "raw Table": "#8fb8a8", "kubectl": "#3066be", "Go clientset": "#c8553d", "Python": "#e0a458"}

// plot draws bars on a logarithmic scale, a group for each number of pods.
func plot(title string, sizes map[int]clients, value func(sample) float64) []byte {
	const width, height, left, bottom, top = 760, 380, 60, 60, 50
	least, most := math.Inf(1), 0.0
	for _, c := range sizes {
		for _, f := range c {
			least, most = min(least, value(f.median)), max(most, value(f.median))
		}
	}
	low, high := math.Floor(math.Log10(max(least, 1e-4))), math.Ceil(math.Log10(max(most, 1e-3)))
	y := func(v float64) float64 {
		return top + (height-top-bottom)*(1-(math.Log10(max(v, 1e-4))-low)/(high-low))
	}
	var b strings.Builder
	w := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	w(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`, width, height)
	w(`<rect width="%d" height="%d" fill="white"/><text x="%d" y="20" font-size="15">%s</text>`, width, height, left, title)
	for e := low; e <= high; e++ {
		v := math.Pow(10, e)
		w(`<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%g</text>`, left, width-10, y(v), y(v), left-6, y(v)+4, v)
	}
	group := float64(width-left-20) / float64(len(sizes))
	for i, n := range slices.Sorted(maps.Keys(sizes)) {
		x := float64(left) + group*float64(i) + 15
		w(`<text x="%.1f" y="%d">%d pods</text>`, x, height-bottom+18, n)
		for j, name := range order {
			f, ok := sizes[n][name]
			if !ok {
				continue
			}
			s := f.median
			at := x + float64(j)*(group-30)/float64(len(order))
			w(`<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"><title>%s: %g</title></rect>`, at, y(value(s)), (group-30)/float64(len(order))-3, float64(height-bottom)-y(value(s)), colours[name], name, value(s))
			w(`<text x="%.1f" y="%.1f" font-size="10">%.3g</text>`, at, y(value(s))-3, value(s))
		}
	}
	for j, name := range order {
		w(`<rect x="%d" y="%d" width="10" height="10" fill="%s"/><text x="%d" y="%d">%s</text>`, left+j*130, height-24, colours[name], left+j*130+14, height-15, name)
	}
	w(`</svg>`)
	return []byte(b.String())
}
