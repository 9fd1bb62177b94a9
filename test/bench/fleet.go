package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/fleet"
	"github.com/kubestep/kubestep/internal/follow"
	"github.com/kubestep/kubestep/local/standin"
	"github.com/kubestep/kubestep/local/world"
)

const bucket = "reports"

// objects stand in for S3.
type objects struct {
	mu   sync.Mutex
	held map[string][]byte // by path
	// others answers all requests but those for outcomes, if it is set.
	others http.Handler
}

func (o *objects) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if o.others != nil && !strings.Contains(r.URL.Path, "/outcomes/") {
		o.others.ServeHTTP(w, r)
		return
	}
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

// podsOfEach is how many pods each cluster of a fleet has.
const podsOfEach = 100

// functionNames are the functions of pod-inventory, and fleetFunctions those of fleet.
var functionNames = []string{"describe-cluster", "mint-token", "verify-rbac", "list-pods"}

var fleetFunctions = []string{"find-clusters", "record-outcome", "summarize"}

// overhead is what a fleet took of processors: its functions, and those of the executions
// that it started.
type overhead struct {
	clusters int
	spent    map[string]time.Duration // by function
	took     time.Duration
}

func (o overhead) sum(functions []string) time.Duration {
	var sum time.Duration
	for _, function := range functions {
		sum += o.spent[function]
	}
	return sum
}

// measureOverhead runs pod-inventory on clusters that meet nothing.
func (b *bench) measureOverhead(ctx context.Context) (overhead, error) {
	say("a fleet of %d clusters of %d pods", b.clusters, podsOfEach)
	apiServer := standin.Start(podsOfEach, nil)
	defer apiServer.Close()
	names := make([]string, b.clusters)
	for i := range names {
		names[i] = fmt.Sprintf("cluster-of-a-team-%05d", i)
		if err := apiServer.Describe(b.world, names[i]); err != nil {
			return overhead{}, err
		}
	}
	// moto keeps RecordOutcome waiting for seconds, and so starts environments that S3 would not.
	endpoint, err := url.Parse(b.world.Endpoint)
	if err != nil {
		return overhead{}, err
	}
	s3 := httptest.NewServer(&objects{held: map[string][]byte{}, others: &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(endpoint) }}})
	defer s3.Close()
	stack := b.world.Stack(world.StackName)
	stack.Environment["AWS_ENDPOINT_URL"] = s3.URL
	stack.Parameters = map[string]string{"ClusterArns": "arn:aws:eks:*:" + world.Account + ":cluster/*", "OutputBucket": world.ReportBucket}
	if err := b.world.Deploy(ctx, stack); err != nil {
		return overhead{}, err
	}
	input, err := json.Marshal(map[string]any{"workflow": "pod-inventory", "clusters": names, "output": contract.Destination{Bucket: world.ReportBucket}})
	if err != nil {
		return overhead{}, err
	}
	developer, err := b.world.Developer()
	if err != nil {
		return overhead{}, err
	}
	follower := follow.Follower{Client: sfn.NewFromConfig(developer), Clock: follow.WallClock{}, Interval: time.Second, Out: io.Discard}
	e, err := follower.Start(ctx, follow.Start{StateMachineARN: stack.StateMachineARN("fleet"), Input: string(input)})
	if err != nil {
		return overhead{}, err
	}
	if e.Status != types.ExecutionStatusSucceeded {
		return overhead{}, fmt.Errorf("the fleet has %s: %s: %s", e.Status, e.Error, e.Cause)
	}
	var output contract.FleetOutput
	if err := json.Unmarshal([]byte(e.Output), &output); err != nil {
		return overhead{}, err
	}
	if got := output.Summary.Totals["pods"]; got != b.clusters*podsOfEach {
		return overhead{}, fmt.Errorf("a fleet of %d clusters has %d pods", b.clusters, got)
	}
	o := overhead{clusters: b.clusters, spent: map[string]time.Duration{}, took: e.Stopped.Sub(e.Started)}
	for _, function := range slices.Concat(functionNames, fleetFunctions) {
		o.spent[function] = b.world.Lambda.CPU(b.functions() + function)
	}
	return o, nil
}

func (o overhead) write(p func(string, ...any)) {
	p("\n## Overhead of a fleet of %d clusters with %d pods each\n", o.clusters, podsOfEach)
	p("CPU time, of users and of the system, of the functions' processes from their starts on, cold starts included. The clusters' API servers")
	p("and S3 are stand-ins that answer at once. What they and the stand-in for Step Functions take is not counted: on AWS it is not the")
	p("functions' time, and the state transitions below are what it costs. One fleet ran, in %.0f s on this computer, 40 clusters at once.\n", o.took.Seconds())
	p("| functions | CPU time | per cluster | share |\n|---|--:|--:|--:|")
	all := o.sum(slices.Concat(functionNames, fleetFunctions)).Seconds()
	row := func(what string, functions ...string) {
		spent := o.sum(functions).Seconds()
		p("| %s | %.2f s | %.2f ms | %.1f %% |", what, spent, 1000*spent/float64(o.clusters), 100*spent/all)
	}
	row("**the executions**", functionNames...)
	for _, function := range functionNames {
		row(function, function)
	}
	row("**the fleet around them**", fleetFunctions...)
	for _, function := range fleetFunctions {
		row(function, function)
	}
}

// measureFleet writes benchmarks/fleet.md.
func measureFleet(ctx context.Context, o options) error {
	if err := build(ctx, o.root, "summarize"); err != nil {
		return err
	}
	say("the report of a fleet")
	program := filepath.Join(o.root, "build", "bench", "summarize")
	var b bytes.Buffer
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p("# Benchmarks of the fleet\n\nWritten by `make bench` on %s, on %s. Figures are the worst of %d runs.\n", time.Now().UTC().Format("2 January 2006"), machine(), o.runs)
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
	spent.write(p)
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
