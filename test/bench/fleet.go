package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/fleet"
)

const bucket = "reports"

// objects stand in for S3.
type objects struct {
	mu   sync.Mutex
	held map[string][]byte // by path
}

func (o *objects) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if r.Method == http.MethodPut {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		o.held[r.URL.Path] = body
		return
	}
	body, ok := o.held[r.URL.Path]
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		body = []byte(`<Error><Code>NoSuchKey</Code></Error>`)
	}
	_, _ = w.Write(body) // the client is gone
}

// add puts the outcomes of a fleet of that many clusters, every tenth of which failed.
func (o *objects) add(clusters int) error {
	list := make([]contract.FleetCluster, clusters)
	for i := range list {
		target := contract.Target{ClusterName: fmt.Sprintf("cluster-of-a-team-%05d", i), Region: "eu-west-1"}
		list[i] = contract.FleetCluster{Target: target, Attempt: 1, Execution: fleet.ExecutionName("bench", target, 1)}
		outcome := contract.FleetOutcome{Target: target, Attempt: 1, Status: contract.Succeeded, Totals: map[string]int{"pods": 100, "unhealthy": 3}, Seconds: 1.2}
		if i%10 == 0 {
			outcome.Status, outcome.Totals, outcome.Error, outcome.Cause = contract.Failed, nil, "Unauthorized", strings.Repeat("word ", 60)
		}
		text, err := json.Marshal(fleet.Bound(outcome))
		if err != nil {
			return err
		}
		o.held["/"+bucket+"/bench/outcomes/"+list[i].Execution+".json"] = text
	}
	text, err := json.Marshal(list)
	o.held["/"+bucket+"/bench/clusters-1.json"] = text
	return err
}

// summarized is what test/bench/summarize prints.
type summarized struct {
	Seconds float64
	PeakKB  int
}

// measureFleet writes docs/benchmarks/fleet.md.
func measureFleet(ctx context.Context, o options) error {
	program := filepath.Join(o.root, "build", "bench", "summarize")
	var b bytes.Buffer
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p("# Benchmarks of the fleet\n\nWritten by `make bench-fleet` on %s, on %s. Figures are the worst of %d runs.\n", time.Now().UTC().Format("2 January 2006"), machine(), o.runs)
	p("## Summarize\n\nIt reads the outcomes of a large fleet from S3, here a stand-in on this computer, by the AWS SDK, and writes the report.\nPeak memory is that of its whole process.\n")
	p("| clusters | wall | peak memory | report.html |\n|--:|--:|--:|--:|")
	for _, clusters := range []int{1000, contract.MaxFleetClusters} {
		store := &objects{held: map[string][]byte{}}
		if err := store.add(clusters); err != nil {
			return err
		}
		server := httptest.NewServer(store)
		var worst summarized
		for range o.runs {
			child := exec.CommandContext(ctx, program, fmt.Sprint(clusters), server.URL)
			child.Env = append(os.Environ(), "GOMEMLIMIT=40MiB") // as in template.yml
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
		p("| %d | %.2f s | %d MB | %.2f MB |", clusters, worst.Seconds, worst.PeakKB/1000, float64(len(store.held["/"+bucket+"/bench/report.html"]))/1e6)
	}
	transitions(p)
	return os.WriteFile(filepath.Join(o.root, o.out, "benchmarks", "fleet.md"), b.Bytes(), 0o644) //nolint:gosec // anybody may read it
}

// transitions counts the state transitions of 1,000 clusters that meet nothing, and their price.
func transitions(p func(string, ...any)) {
	const clusters = 1000
	// Each start of an execution is one, and each state that is entered.
	workflow := clusters * (1 + len([]string{"DescribeCluster", "WithFreshToken", "MintToken", "VerifyRBAC", "ListPods", "MorePods", "Output"}))
	item := clusters * (1 + len([]string{"RunWorkflow", "RecordOutcome"}))
	around := 1 + len([]string{"FindClusters", "WhereClustersAre", "RunListedClusters", "Summarize", "Verdict", "Output"})
	byHand := clusters * (1 + len([]string{"RunWorkflow"}))
	p("\n## State transitions of %d clusters\n\nCounted off the definitions, for clusters that meet nothing; the list price is that of eu-west-1.\n", clusters)
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
