package soak

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/internal/follow"
	"github.com/kubestep/kubestep/local/standin"
	"github.com/kubestep/kubestep/local/world"
)

var clusters = flag.Int("clusters", 60, "of how many clusters the fleet is")

const (
	podsOfEach = 100
	// everyTenth cluster is gone, and every seventh is slow.
	everyTenth, everySeventh = 10, 7
	slowly                   = 300 * time.Millisecond
)

// The API servers are stand-ins, so that there can be a thousand; everything else is real.
func TestAFleetOfManyClustersHasOneOutcomeForEach(t *testing.T) {
	w, _ := start(t)
	quick := standin.Start(podsOfEach, nil)
	t.Cleanup(quick.Close)
	slow := standin.Start(podsOfEach, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(slowly)
			next.ServeHTTP(w, r)
		})
	})
	t.Cleanup(slow.Close)
	gone := 0
	for i := range *clusters {
		switch {
		case i%everyTenth == 0:
			gone++ // EKS has no cluster with that name
		case i%everySeventh == 0:
			require.NoError(t, slow.Describe(w, name(i)))
		default:
			require.NoError(t, quick.Describe(w, name(i)))
		}
	}
	names := make([]string, *clusters)
	for i := range names {
		names[i] = name(i)
	}
	input, err := json.Marshal(map[string]any{
		"workflow": "pod-inventory", "clusters": names, "request": map[string]int{"maxItems": 0}, "concurrency": *atOnce,
		"toleratedFailures": map[string]int{"percentage": everyTenth + 1}, "output": map[string]string{"bucket": world.ReportBucket},
	})
	require.NoError(t, err)
	developer, err := w.Developer()
	require.NoError(t, err)

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Minute)
	defer cancel()
	began := time.Now()
	follower := follow.Follower{Client: sfn.NewFromConfig(developer), Interval: time.Second, Out: io.Discard}
	e, err := follower.Start(ctx, follow.Start{StateMachineARN: w.Stack(world.StackName).StateMachineARN("fleet"), Input: string(input)})
	require.NoError(t, err)

	require.Equal(t, types.ExecutionStatusSucceeded, e.Status, "%s: %s", e.Error, e.Cause)
	var output fleet.Output
	require.NoError(t, json.Unmarshal([]byte(e.Output), &output))
	assert.Equal(t, *clusters, output.Summary.Clusters)
	assert.Equal(t, map[fleet.Status]int{fleet.StatusSucceeded: *clusters - gone, fleet.StatusFailed: gone}, output.Summary.ByStatus)
	assert.Equal(t, (*clusters-gone)*podsOfEach, output.Summary.Totals["pods"])
	require.Len(t, output.Summary.Failures, 1)
	assert.Equal(t, string(contract.ClusterNotFound), output.Summary.Failures[0].Error)

	ours, theirs := cpu(w, "find-clusters", "record-outcome", "summarize"), cpu(w, functions...)
	share := 100 * ours.Seconds() / (ours + theirs).Seconds()
	t.Logf("%d clusters in %.0f s, the execution's inside of that %.0f s", *clusters, time.Since(began).Seconds(), e.Stopped.Sub(e.Started).Seconds())
	t.Logf("the fleet's functions took %.1f s of processors, those of the workflow %.1f s: %.1f %% is the fleet's", ours.Seconds(), theirs.Seconds(), share)
}

func name(i int) string { return fmt.Sprintf("cluster-%05d", i) }

// cpu is the time that functions took of processors.
func cpu(w *world.World, functions ...string) time.Duration {
	var sum time.Duration
	for _, function := range functions {
		sum += w.Lambda.CPU(world.StackName + "-" + function)
	}
	return sum
}
