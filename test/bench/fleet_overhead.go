package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/internal/follow"
	"github.com/kubestep/kubestep/local/standin"
	"github.com/kubestep/kubestep/local/world"
)

// podsOfEach is how many pods each cluster of a fleet has.
const podsOfEach = 100

// functionNames are pod-inventory's functions, and fleetFunctions the fleet's.
var functionNames = []string{"describe-cluster", "mint-token", "verify-rbac", "list-pods"}

var fleetFunctions = []string{"find-clusters", "record-outcome", "summarize"}

// overhead is what a fleet took of processors: its functions, and the functions of the executions
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
	environment, closeS3, err := b.quickOutcomes()
	if err != nil {
		return overhead{}, err
	}
	defer closeS3()
	stack := b.world.Stack(world.StackName)
	maps.Copy(stack.Environment, environment)
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
	follower := follow.Follower{Client: sfn.NewFromConfig(developer), Interval: time.Second, Out: io.Discard}
	e, err := follower.Start(ctx, follow.Start{StateMachineARN: stack.StateMachineARN("fleet"), Input: string(input)})
	if err != nil {
		return overhead{}, err
	}
	if e.Status != types.ExecutionStatusSucceeded {
		return overhead{}, fmt.Errorf("the fleet has %s: %s: %s", e.Status, e.Error, e.Cause)
	}
	var output fleet.Output
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

// quickOutcomes is the environment of functions that keep outcomes in a stand-in for S3: moto keeps RecordOutcome
// waiting for seconds, and so starts environments that S3 would not.
func (b *bench) quickOutcomes() (environment map[string]string, closeS3 func(), err error) {
	endpoint, err := url.Parse(b.world.Endpoint)
	if err != nil {
		return nil, nil, err
	}
	s3 := httptest.NewServer(&objects{held: map[string][]byte{}, others: &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(endpoint) }}})
	return map[string]string{"AWS_ENDPOINT_URL": s3.URL}, s3.Close, nil
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
