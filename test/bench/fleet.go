package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"

	"github.com/kubestep/kubestep/internal/contract/fleet"
)

// measureFleet writes benchmarks/fleet.md.
func measureFleet(ctx context.Context, o options) error {
	if err := build(ctx, o.root, "summarize"); err != nil {
		return err
	}
	say("the report of a fleet")
	program := filepath.Join(o.root, "build", "bench", "summarize")
	var b bytes.Buffer
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p("# Benchmarks of the fleet\n\n%s. Runs of each: %d; the figures are the worst.\n", o.written(), o.runs)
	p("## Summarize\n\nIt reads the outcomes of a large fleet from S3, here a stand-in on this computer, by the AWS SDK, and writes the report.\nPeak memory counts its whole process.\n")
	p("| clusters | wall | peak memory | report.html |\n|--:|--:|--:|--:|")
	for _, clusters := range []int{1000, fleet.MaxClusters} {
		store := &objects{held: map[string][]byte{}}
		if err := store.add(clusters); err != nil {
			return err
		}
		server := httptest.NewServer(store)
		var worst summarized
		for range o.runs {
			child := exec.CommandContext(ctx, program, fmt.Sprint(clusters), server.URL)
			child.Env = append(os.Environ(), "GOMEMLIMIT=96MiB") // as in template.yml
			out, err := child.Output()
			if err != nil {
				return fmt.Errorf("summarize %d: %w", clusters, err)
			}
			var got summarized
			if err := json.Unmarshal(out, &got); err != nil {
				return err
			}
			worst = summarized{max(worst.Seconds, got.Seconds), max(worst.PeakKB, got.PeakKB)}
		}
		server.Close()
		p("| %d | %.2f s | %d MB | %.2f MB |", clusters, worst.Seconds, worst.PeakKB/1000, float64(len(store.held["/"+bucket+benchFolder+"report.html"]))/1e6)
	}
	milliseconds, err := drawn(ctx, o)
	if err != nil {
		return err
	}
	if milliseconds > 0 {
		p("\nChromium draws the page of 1000 clusters within %.0f ms of opening it.", milliseconds)
	}
	var spent overhead
	if err := inFreshWorld(ctx, o, func(b *bench) (err error) {
		spent, err = b.measureOverhead(ctx)
		return err
	}); err != nil {
		return err
	}
	var waves rollout
	if err := inFreshWorld(ctx, o, func(b *bench) (err error) {
		waves, err = b.measureRollout(ctx)
		return err
	}); err != nil {
		return err
	}
	spent.write(p)
	waves.write(p)
	transitions(p)
	folder := filepath.Join(o.root, o.out, "benchmarks")
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, "fleet.md"), b.Bytes(), 0o644) //nolint:gosec // anybody may read it
}

// drawn is after how many milliseconds Chromium has drawn the report of 1,000 clusters,
// as the test of the page measures it; 0 if there is no Chromium.
func drawn(ctx context.Context, o options) (float64, error) {
	test := exec.CommandContext(ctx, "go", "test", "-count="+fmt.Sprint(o.runs), "-v", "-run", "InABrowser/a_thousand_clusters", "./internal/fleet/report")
	test.Dir = o.root
	out, err := test.CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("draw the report: %w: %s", err, out)
	}
	most := 0.0
	for _, line := range regexp.MustCompile(`drawn after (\d+) ms`).FindAllSubmatch(out, -1) {
		after, err := strconv.ParseFloat(string(line[1]), 64)
		if err != nil {
			return 0, err
		}
		most = max(most, after)
	}
	return most, nil
}

// transitions counts the state transitions of 1,000 clusters that meet nothing, and their price.
func transitions(p func(string, ...any)) {
	const clusters = 1000
	// Each start of an execution is one, and each state that is entered.
	workflow := clusters * (1 + len([]string{"DescribeCluster", "WithFreshToken", "MintToken", "VerifyRBAC", "ListPods", "MorePods", "Output"}))
	item := clusters * (1 + len([]string{"RunWorkflow", "RecordOutcome"}))
	around := 1 + len([]string{"FindClusters", "WhereClustersAre", "RunListedClusters", "Summarize", "Verdict", "Output"})
	byHand := clusters * (1 + len([]string{"RunWorkflow"}))
	p("\n## State transitions of %d clusters\n\nCounted off the definitions, for clusters that meet nothing; the list price is for eu-west-1.\n", clusters)
	p("| | transitions | list price |\n|---|--:|--:|")
	for _, row := range []struct {
		what string
		n    int
	}{
		{"the executions of pod-inventory", workflow},
		{"fleet, around them: find, start, record, summarize", item + around},
		{"by hand: a distributed Map that starts them, without outcomes or a report", byHand + 2},
	} {
		p("| %s | %d | $%.2f |", row.what, row.n, float64(row.n)*perTransition)
	}
}
