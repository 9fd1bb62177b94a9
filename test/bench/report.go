package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/tools/benchmark/parse"
)

type report struct {
	options            options
	written            string
	began              time.Time
	took               time.Duration
	sizes              map[int]clients
	cold               clients
	spread, sparse     clients
	applied            map[int]applying
	mint, seal         *parse.Benchmark
	zips               map[string]int
	full, bare, widest execution
	cost               float64
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
	p("%s. This page alone took %d minutes.", r.written, int(r.took.Minutes()+0.5))
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
		r    *parse.Benchmark
	}{{"minting and sealing", r.mint}, {"sealing alone", r.seal}} {
		p("| %s | %.0f ns | %d B | %d |", t.name, t.r.NsPerOp, t.r.AllocedBytesPerOp, t.r.AllocsPerOp)
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
