package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/local/world"
)

func (a *applyBench) measure(ctx context.Context, client string, t task, namespace string) (sample, error) {
	if client == byFunction {
		return a.byFunction(ctx, t, namespace)
	}
	kubeconfig := a.kubeconfig
	if client == byRequests || client == byMoreRequests {
		args := []string{"-manifests", a.lines(t.file), "-dry-run=" + strconv.FormatBool(t.dryRun), "-get=" + strconv.FormatBool(client == byMoreRequests)}
		return child(ctx, filepath.Join(a.root, "build", "bench", "apply"), append(args, kubeconfig, namespace)...)
	}
	args := []string{"apply", "--server-side"}
	switch {
	case client == byDiff:
		args[0] = "diff"
	case t.dryRun:
		args = append(args, "--dry-run=server")
	}
	args = append(args, "--kubeconfig", kubeconfig, "--cache-dir", filepath.Join(a.dir, "kubectl"), "-n", namespace, "-f", a.manifests(t.file))
	s, err := child(ctx, filepath.Join(a.root, "build", "local", "kubectl"), args...)
	if exit := (*exec.ExitError)(nil); client == byDiff && errors.As(err, &exit) && exit.ExitCode() == 1 {
		err = nil // it found differences
	}
	return s, err
}

// byFunction invokes plan-manifests or apply-manifests. The functions before them in
// the machine are not part of the sample.
func (a *applyBench) byFunction(ctx context.Context, t task, namespace string) (sample, error) {
	session, err := a.session(ctx, t, namespace)
	if err != nil {
		return sample{}, err
	}
	if t.dryRun {
		var plan applymanifests.Plan
		s, err := a.timed(ctx, "plan-manifests", applymanifests.PlanManifests{Session: session}, &plan)
		if err == nil && (!plan.Complete || plan.Created+plan.Configured+plan.Unchanged != a.n) {
			err = fmt.Errorf("it planned %d+%d+%d of %d objects", plan.Created, plan.Configured, plan.Unchanged, a.n)
		}
		a.plans[namespace] = plan
		return s, err
	}
	var applied applymanifests.Applied
	s, err := a.timed(ctx, "apply-manifests", applymanifests.ApplyManifests{Session: session, Plan: a.plans[namespace]}, &applied)
	if err == nil && (!applied.Complete || applied.Applied != a.n) {
		err = fmt.Errorf("it applied %d of %d objects", applied.Applied, a.n)
	}
	return s, err
}

func (b *bench) timed(ctx context.Context, function string, payload, into any) (sample, error) {
	before, began := processTime(function), time.Now()
	result, err := b.invoke(ctx, function, payload, into)
	return sample{wall: time.Since(began), request: result.Duration, cpu: processTime(function) - before, memoryMB: float64(result.MaxMemoryMB)}, err
}

// session is what the machine passes to the functions that work on manifests.
func (a *applyBench) session(ctx context.Context, t task, namespace string) (applymanifests.Session, error) {
	return a.applySession(ctx, "bench", map[string]any{
		"clusterName": world.ClusterName, "mode": "apply", "namespace": namespace,
		"source": map[string]string{"bucket": manifestBucket, "key": t.file},
	})
}

// applySession is that of an execution of this name with this input.
func (b *bench) applySession(ctx context.Context, name string, input map[string]any) (applymanifests.Session, error) {
	in, err := json.Marshal(input)
	if err != nil {
		return applymanifests.Session{}, err
	}
	// apply-mint-token mints for executions of its own machine only.
	execution := strings.Replace(b.world.Stack(world.StackName).StateMachineARN("apply-manifests"), ":stateMachine:", ":execution:", 1) + ":" + name
	var described contract.DescribedCluster
	if _, err := b.invoke(ctx, "describe-cluster", contract.DescribeCluster{Execution: execution, Workflow: "apply-manifests", Input: in}, &described); err != nil {
		return applymanifests.Session{}, err
	}
	s := applymanifests.Session{Session: contract.Session{Execution: execution, Cluster: described.Cluster}}
	if err := json.Unmarshal(described.Request, &s.Request); err != nil {
		return s, err
	}
	if _, err := b.invoke(ctx, "load-manifests", applymanifests.LoadManifests{Execution: s.Execution, Cluster: s.Cluster, Request: s.Request}, &s.Manifests); err != nil {
		return s, err
	}
	_, err = b.invoke(ctx, "apply-mint-token", contract.MintToken{Execution: s.Execution, Cluster: s.Cluster}, &s.Token)
	return s, err
}
