// Package soak runs many executions at once in the local world, while the role's mapping, its bindings and the API server
// come and go. Each execution must have the right totals, or an error that a disturbance at the time explains.
//
//	go test -v -count=1 -timeout 1h ./soak -executions 1000 -at-once 20 -clusters 200
package soak

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/kubestep/kubestep/local/world"
)

var (
	executions = flag.Int("executions", 100, "how many executions to start")
	atOnce     = flag.Int("at-once", 20, "how many of them at once")
)

const (
	// settled is the number of executions after which the functions' memory is first measured.
	settled = 100
	// around is the number of executions over which it is measured then, and at the end: between two garbage collections
	// it varies by up to 4 MiB.
	around = 50
	// growth is how much more memory there may be at the end, in percent.
	growth = 10
	// inTheClear is the prefix of every bearer token of EKS.
	inTheClear = "k8s-aws-v1."
)

func TestEveryExecutionEndsWithItsRightAnswer(t *testing.T) {
	w, logs := start(t)
	requests := mix(t, w)
	machine := w.Stack(world.StackName).StateMachineARN("pod-inventory")
	developer, err := w.Developer()
	require.NoError(t, err)
	client := sfn.NewFromConfig(developer)

	began := time.Now()
	over, end := context.WithCancel(t.Context())
	var progress progress
	// There are few in a short run, so that each disturbance occurs in it too.
	quiet := max(10, *executions/50)
	disturber := &disturber{world: w, root: root(t), undisturbed: func() <-chan struct{} { return progress.after(quiet) }}
	var disturbed errgroup.Group
	disturbed.Go(func() error { return disturber.run(t.Context(), over) })

	group, ctx := errgroup.WithContext(t.Context())
	group.SetLimit(*atOnce)
	for i := range *executions {
		group.Go(func() error {
			o, err := execute(ctx, client, machine, fmt.Sprintf("soak-%05d", i+1), requests[i%len(requests)])
			if err != nil {
				return err
			}
			progress.add(o, measure(w))
			return nil
		})
	}
	err = group.Wait()
	took := time.Since(began)
	end()
	require.NoError(t, disturbed.Wait())
	require.NoError(t, err)
	outcomes := progress.outcomes

	t.Logf("\n%s", summary(outcomes, disturber.windows, progress.memory, took))
	var good, wrong int
	for _, o := range outcomes {
		if err := judge(o, disturber.windows); err != nil {
			wrong++
			t.Errorf("execution %s: %v", o.name, err)
		}
		if o.status == types.ExecutionStatusSucceeded {
			good++
		}
	}
	assert.Zero(t, wrong, "wrong answers")
	assert.Positive(t, good)
	happened := map[string]bool{}
	for _, w := range disturber.windows {
		happened[w.name] = true
	}
	assert.Len(t, happened, len(disturber.all()), "each disturbance came at least once: %v", happened)

	t.Run("none is lost or doubled", func(t *testing.T) {
		assert.ElementsMatch(t, names(outcomes), listed(t, client, machine))
		assert.Len(t, outcomes, *executions)
	})
	t.Run("the functions' memory does not grow", func(t *testing.T) {
		switch {
		case runtime.GOOS != "linux":
			t.Skip("a process's resident memory is known on Linux only")
		case *executions < settled+around:
			t.Skipf("it is compared with that after the first %d executions, and hardly more were started", settled)
		}
		before, after := settledMemory(progress.memory)
		require.Len(t, before, len(functions))
		for _, function := range functions {
			assert.LessOrEqual(t, after[function], before[function]*(100+growth)/100, "KiB of the largest environment of %s", function)
		}
	})
	t.Run("no log holds a token in the clear", func(t *testing.T) {
		files, err := filepath.Glob(filepath.Join(logs, "*.log"))
		require.NoError(t, err)
		require.NotEmpty(t, files)
		for _, file := range files {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			assert.NotContains(t, string(text), inTheClear, file)
		}
	})
}

// progress is the outcomes so far.
type progress struct {
	mu       sync.Mutex
	outcomes []outcome
	// memory is the functions' memory at the end of each.
	memory  []memory
	waiting map[int]chan struct{}
}

func (p *progress) add(o outcome, m memory) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.outcomes, p.memory = append(p.outcomes, o), append(p.memory, m)
	if reached, ok := p.waiting[len(p.outcomes)]; ok {
		close(reached)
	}
}

// after returns a channel that is closed when n more executions have ended. Only one caller can wait at a time.
func (p *progress) after(n int) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	reached := make(chan struct{})
	p.waiting = map[int]chan struct{}{len(p.outcomes) + n: reached}
	return reached
}

func root(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("../..")
	require.NoError(t, err)
	return path
}

// start starts a world with a stack and the sample's pods.
func start(t *testing.T) (w *world.World, logs string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "kubestep-soak-")
	require.NoError(t, err)
	logs = filepath.Join(dir, "logs")
	w, err = world.Start(t.Context(), world.Options{Root: root(t), Dir: dir, Tools: filepath.Join(root(t), ".local"), Say: t.Logf})
	require.NoError(t, err, "make local builds what it needs")
	t.Cleanup(func() {
		w.Stop()
		if t.Failed() {
			t.Logf("The logs are in %s", logs)
			return
		}
		_ = os.RemoveAll(dir)
	})
	require.NoError(t, w.Furnish(t.Context()))
	return w, logs
}

var functions = []string{"describe-cluster", "mint-token", "verify-rbac", "list-pods"}

// memory is the resident KiB of each function's largest environment. That is usually the oldest one, because the one that
// was used last is used next. A mean over environments would depend on how many are new and have not collected garbage yet.
type memory map[string]int

func measure(w *world.World) memory {
	m := memory{}
	for _, function := range functions {
		m[function] = slices.Max(append(w.Lambda.ResidentKB(world.StackName+"-"+function), 0))
	}
	return m
}

// settledMemory returns the memory after the first executions, and at the end.
func settledMemory(all []memory) (before, after memory) {
	return median(all[settled-around/2 : settled+around/2]), median(all[len(all)-around:])
}

func median(all []memory) memory {
	m := memory{}
	for _, function := range functions {
		var each []int
		for _, at := range all {
			each = append(each, at[function])
		}
		slices.Sort(each)
		m[function] = each[len(each)/2]
	}
	return m
}

// execute starts an execution and waits for its end.
func execute(ctx context.Context, client *sfn.Client, machine, name string, r request) (outcome, error) {
	const interval = time.Second
	o := outcome{name: name, request: r, started: time.Now()}
	begun, err := client.StartExecution(ctx, &sfn.StartExecutionInput{StateMachineArn: &machine, Name: &name, Input: &r.input})
	if err != nil {
		return outcome{}, fmt.Errorf("start execution %s: %w", name, err)
	}
	for {
		now, err := client.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: begun.ExecutionArn})
		if err != nil {
			return outcome{}, fmt.Errorf("describe execution %s: %w", name, err)
		}
		if now.Status != types.ExecutionStatusRunning {
			o.ended, o.status = time.Now(), now.Status
			o.error, o.cause, o.output = text(now.Error), text(now.Cause), text(now.Output)
			return o, nil
		}
		select {
		case <-ctx.Done():
			return outcome{}, errors.Join(fmt.Errorf("execution %s runs still", name), ctx.Err())
		case <-time.After(interval):
		}
	}
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func names(outcomes []outcome) []string {
	all := make([]string, len(outcomes))
	for i, o := range outcomes {
		all[i] = o.name
	}
	return all
}

// listed returns the names of all executions in Step Functions.
func listed(t *testing.T, client *sfn.Client, machine string) []string {
	t.Helper()
	var all []string
	for pages := sfn.NewListExecutionsPaginator(client, &sfn.ListExecutionsInput{StateMachineArn: &machine}); pages.HasMorePages(); {
		page, err := pages.NextPage(t.Context())
		require.NoError(t, err)
		for _, e := range page.Executions {
			all = append(all, *e.Name)
		}
	}
	return all
}
