package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubestep/kubestep/deploy"
	"github.com/kubestep/kubestep/internal/approval"
	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/internal/follow"
	"github.com/kubestep/kubestep/local/awsfront"
	"github.com/kubestep/kubestep/local/world"
)

const (
	// atOnce is how many clusters run at once.
	atOnce = 40
	// rolloutWaves is in how many waves a rollout goes to its clusters.
	rolloutWaves = 10
	// replanned is how many objects are planned again once their plan is approved.
	replanned = 500
	// inEachPlace is how many Regions are made up for a prefix: a number has two digits.
	inEachPlace = 80
)

// rollout is what a rollout, and an approval, took.
type rollout struct {
	clusters    int
	between     []time.Duration          // from the end of a round's Map to the next one's beginning
	transitions int                      // of the fleet's own execution
	spent       map[string]time.Duration // CPU time by function
	replans     []time.Duration          // from an approval to the first state that applies
}

// measureRollout applies a ConfigMap to clusters in waves, and then many to one of them once they are
// approved. All clusters are the local one, under the names of many Regions.
func (b *bench) measureRollout(ctx context.Context) (rollout, error) {
	places := []string{"af-east", "af-south", "af-west", "eu-east", "eu-north", "eu-south", "eu-west", "sa-east", "sa-west", "us-east", "us-north", "us-south", "us-west"}
	r := rollout{clusters: min(b.clusters, len(places)*inEachPlace), spent: map[string]time.Duration{}}
	say("a rollout to %d clusters in %d waves", r.clusters, rolloutWaves)
	s3, closeS3, err := b.quickOutcomes()
	if err != nil {
		return r, err
	}
	defer closeS3()
	store, err := b.applies(ctx, map[string]string{"FleetWorkflows": "pod-inventory,apply-manifests", "OutputBucket": world.ReportBucket}, s3)
	if err != nil {
		return r, err
	}
	client, err := b.admin()
	if err != nil {
		return r, err
	}
	if err := grant(ctx, client, "bench-appliers", rbacv1.Subject{Kind: rbacv1.GroupKind, APIGroup: rbacv1.GroupName, Name: "kubestep-appliers"}, applyRule); err != nil {
		return r, err
	}
	for _, namespace := range []string{"rollout", "approved"} {
		if err := b.namespace(ctx, namespace); err != nil {
			return r, err
		}
	}
	clusters := make([]contract.Target, r.clusters)
	for i := range clusters {
		clusters[i] = contract.Target{ClusterName: world.ClusterName, Region: fmt.Sprintf("%s-%d", places[i/inEachPlace], 10+i%inEachPlace)}
		if err := b.world.Describe(b.world.ControlPlane, func(c *awsfront.Cluster) {
			c.ARN = fmt.Sprintf("arn:aws:eks:%s:%s:cluster/%s", clusters[i].Region, world.Account, world.ClusterName)
		}); err != nil {
			return r, err
		}
	}
	if err := b.rollOut(ctx, &r, clusters); err != nil {
		return r, err
	}
	documents, _, err := configMaps(replanned, "first")
	if err != nil {
		return r, err
	}
	if err := store("approved", documents); err != nil {
		return r, err
	}
	say("a plan of %d objects that is approved", replanned)
	for range b.runs {
		took, err := b.approved(ctx)
		if err != nil {
			return r, err
		}
		r.replans = append(r.replans, took)
	}
	return r, nil
}

// rollOut runs the fleet.
func (b *bench) rollOut(ctx context.Context, r *rollout, clusters []contract.Target) error {
	waves := make([]map[string]any, rolloutWaves)
	for i := range waves {
		waves[i] = map[string]any{"name": fmt.Sprintf("wave-%d", i+1), "percentage": 100 / (rolloutWaves - i)}
	}
	waves[rolloutWaves-1]["percentage"] = 100
	input, err := json.Marshal(map[string]any{
		"workflow": "apply-manifests", "clusters": clusters, "waves": waves, "concurrency": atOnce, "output": contract.Destination{Bucket: world.ReportBucket},
		"request": map[string]any{"mode": "apply", "namespace": "rollout", "manifests": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: base}\ndata: {a: b}\n"},
	})
	if err != nil {
		return err
	}
	before := b.spent()
	developer, err := b.world.Developer()
	if err != nil {
		return err
	}
	api := sfn.NewFromConfig(developer)
	follower := follow.Follower{Client: api, Interval: time.Second, Out: io.Discard}
	e, err := follower.Start(ctx, follow.Start{StateMachineARN: b.world.Stack(world.StackName).StateMachineARN("fleet"), Input: string(input)})
	if err != nil {
		return err
	}
	if e.Status != types.ExecutionStatusSucceeded {
		return fmt.Errorf("the rollout has %s: %s: %s", e.Status, e.Error, e.Cause)
	}
	for function, spent := range b.spent() {
		r.spent[function] = spent - before[function]
	}
	r.transitions = 1 + len(e.Path) // the start counts as one
	var output fleet.Output
	if err := json.Unmarshal([]byte(e.Output), &output); err != nil {
		return err
	}
	if n := output.Summary.ByStatus[fleet.StatusSucceeded]; n != len(clusters) {
		return fmt.Errorf("%d of %d clusters succeeded", n, len(clusters))
	}
	r.between, err = betweenRounds(ctx, api, e.ARN)
	return err
}

// betweenRounds are the times from the end of each Map to the beginning of the next.
func betweenRounds(ctx context.Context, api *sfn.Client, execution string) ([]time.Duration, error) {
	var all []time.Duration
	var left time.Time
	for pages := sfn.NewGetExecutionHistoryPaginator(api, &sfn.GetExecutionHistoryInput{ExecutionArn: &execution, MaxResults: 1000}); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, event := range page.Events {
			if event.Type == types.HistoryEventTypeMapStateExited {
				left = *event.Timestamp
			}
			if event.Type == types.HistoryEventTypeMapStateEntered && !left.IsZero() {
				all = append(all, event.Timestamp.Sub(left))
			}
		}
	}
	if len(all) < rolloutWaves-1 {
		return nil, fmt.Errorf("%d rounds follow another: expected one for each wave at least", len(all))
	}
	return all, nil
}

// approved applies once the plan is approved, and returns what came between.
func (b *bench) approved(ctx context.Context) (time.Duration, error) {
	input, err := json.Marshal(map[string]any{
		"clusterName": world.ClusterName, "mode": "apply", "namespace": "approved", "force": true, "approve": map[string]any{"timeoutSeconds": 600},
		"source": map[string]string{"bucket": manifestBucket, "key": "approved"},
	})
	if err != nil {
		return 0, err
	}
	client, err := b.admin()
	if err != nil {
		return 0, err
	}
	if err := client.CoreV1().ConfigMaps("approved").DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=orders"}); err != nil {
		return 0, err
	}
	developer, err := b.world.Developer()
	if err != nil {
		return 0, err
	}
	api := sfn.NewFromConfig(developer)
	machine := b.world.Stack(world.StackName).StateMachineARN("apply-manifests")
	started, err := api.StartExecution(ctx, &sfn.StartExecutionInput{StateMachineArn: &machine, Input: aws.String(string(input))})
	if err != nil {
		return 0, err
	}
	var waits *approval.Waiting
	for deadline := time.Now().Add(time.Minute); waits == nil; time.Sleep(100 * time.Millisecond) {
		if waits, err = approval.Find(ctx, api, *started.ExecutionArn); err != nil {
			return 0, err
		}
		if time.Now().After(deadline) {
			return 0, errors.New("an execution does not wait for an approval")
		}
	}
	if _, err := b.invoke(ctx, "approve", applymanifests.ApprovePlan{Execution: *started.ExecutionArn, Digest: waits.Plan.Digest}, nil); err != nil {
		return 0, err
	}
	follower := follow.Follower{Client: api, Interval: 100 * time.Millisecond, Out: io.Discard}
	e, err := follower.Follow(ctx, *started.ExecutionArn)
	if err != nil {
		return 0, err
	}
	if e.Status != types.ExecutionStatusSucceeded {
		return 0, fmt.Errorf("what was approved has %s: %s: %s", e.Status, e.Error, e.Cause)
	}
	return between(ctx, api, e.ARN, "RequestApproval", "ApplyManifests")
}

// between is the time from the end of a state to the beginning of another.
func between(ctx context.Context, api *sfn.Client, execution, from, to string) (time.Duration, error) {
	history, err := api.GetExecutionHistory(ctx, &sfn.GetExecutionHistoryInput{ExecutionArn: &execution})
	if err != nil {
		return 0, err
	}
	var left time.Time
	for _, event := range history.Events {
		if exited := event.StateExitedEventDetails; exited != nil && aws.ToString(exited.Name) == from {
			left = *event.Timestamp
		}
		if entered := event.StateEnteredEventDetails; entered != nil && aws.ToString(entered.Name) == to && !left.IsZero() {
			return event.Timestamp.Sub(left), nil
		}
	}
	return 0, fmt.Errorf("%s did not come after %s", to, from)
}

// rolloutFunctions are the functions of the executions, and those of the fleet around them.
func rolloutFunctions() (executions, around []string) {
	for _, m := range deploy.Kubestep().Machines() {
		for _, f := range m.Invoked() {
			switch m.Name {
			case "apply-manifests":
				executions = append(executions, f.Name)
			case "fleet":
				around = append(around, f.Name)
			}
		}
	}
	// It is invoked for approvals alone, by both.
	return slices.DeleteFunc(executions, func(name string) bool { return slices.Contains(around, name) }), around
}

func (b *bench) spent() map[string]time.Duration {
	all := map[string]time.Duration{}
	executions, around := rolloutFunctions()
	for _, function := range slices.Concat(executions, around) {
		all[function] = b.world.Lambda.CPU(b.functions() + function)
	}
	return all
}

func (r rollout) write(p func(string, ...any)) {
	executions, around := rolloutFunctions()
	sum := func(functions []string) (all time.Duration) {
		for _, function := range functions {
			all += r.spent[function]
		}
		return all
	}
	of, fleets := sum(executions).Seconds(), sum(around).Seconds()
	slices.Sort(r.between)
	slices.Sort(r.replans)
	p("\n## A rollout to %d clusters in %d waves\n", r.clusters, rolloutWaves)
	p("A ConfigMap is applied to each cluster, %d at once, without gates. None may fail, so a wave has a round for every %d clusters.", atOnce, atOnce)
	p("All of them are the local cluster under the names of many Regions. S3 for their outcomes is a stand-in that answers at once.\n")
	p("| | |\n|---|--:|")
	p("| from the end of a round to the beginning of the next, of this wave or another, median of %d | %d ms |", len(r.between), r.between[len(r.between)/2].Milliseconds())
	p("| the same, at most | %d ms |", r.between[len(r.between)-1].Milliseconds())
	p("| state transitions of the fleet's execution, for each round | %.1f |", float64(r.transitions)/float64(len(r.between)+1))
	p("| CPU time of the executions' functions, for each cluster | %.1f ms |", 1000*of/float64(r.clusters))
	p("| CPU time of the fleet's functions around them, for each cluster | %.1f ms |", 1000*fleets/float64(r.clusters))
	p("| the fleet's share | %.1f %% |", 100*fleets/(of+fleets))
	p("| a plan of %d new objects again, from its approval to ApplyManifests, median of %d | %d ms |", replanned, len(r.replans), r.replans[len(r.replans)/2].Milliseconds())
	p("| the same, at most | %d ms |", r.replans[len(r.replans)-1].Milliseconds())
}
