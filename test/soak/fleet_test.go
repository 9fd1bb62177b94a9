package soak

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/follow"
	"github.com/kubestep/kubestep/local/awsfront"
	"github.com/kubestep/kubestep/local/world"
)

var clusters = flag.Int("clusters", 60, "of how many clusters the fleet is")

const (
	podsOfEach = 100
	// everyTenth cluster is gone, and every seventh is slow.
	everyTenth, everySeventh = 10, 7
	slowly                   = 300 * time.Millisecond
)

// standIn answers as a cluster's API server: reviews, and a page of pods.
func standIn() http.Handler {
	rows := make([]string, podsOfEach)
	for i := range rows {
		rows[i] = fmt.Sprintf(`{"cells":["pod-%03d","1/1","Running","0","2d","10.0.0.1","node-1","<none>","<none>"],"object":null}`, i)
	}
	columns := make([]string, 0, 9)
	for _, name := range []string{"Name", "Ready", "Status", "Restarts", "Age", "IP", "Node", "Nominated Node", "Readiness Gates"} {
		columns = append(columns, fmt.Sprintf(`{"name":%q,"type":"string","format":"","description":"","priority":0}`, name))
	}
	table := fmt.Sprintf(`{"kind":"Table","apiVersion":"meta.k8s.io/v1","metadata":{"resourceVersion":"1"},"columnDefinitions":[%s],"rows":[%s]}`, strings.Join(columns, ","), strings.Join(rows, ","))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.Method == http.MethodPost {
			review := map[string]any{}
			if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			review["status"] = map[string]bool{"allowed": true}
			w.WriteHeader(http.StatusCreated)
			_ = json.NewEncoder(w).Encode(review) // the client is gone
			return
		}
		_, _ = io.WriteString(w, table)
	})
}

func serve(t *testing.T, handler http.Handler) (endpoint string, authority []byte) {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
}

// The API servers are stand-ins, so that there can be a thousand; everything else is real.
func TestAFleetOfManyClustersHasOneOutcomeForEach(t *testing.T) {
	w, logs := start(t)
	quick, authority := serve(t, standIn())
	slow, slowAuthority := serve(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		time.Sleep(slowly)
		standIn().ServeHTTP(rw, r)
	}))
	gone := 0
	for i := range *clusters {
		if i%everyTenth == 0 {
			gone++
			continue // EKS has no cluster with that name
		}
		require.NoError(t, w.Describe(&world.ControlPlane{Name: name(i)}, func(c *awsfront.Cluster) {
			c.Endpoint, c.CertificateAuthority = quick, authority
			if i%everySeventh == 0 {
				c.Endpoint, c.CertificateAuthority = slow, slowAuthority
			}
		}))
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
	follower := follow.Follower{Client: sfn.NewFromConfig(developer), Clock: follow.WallClock{}, Interval: time.Second, Out: io.Discard}
	e, err := follower.Start(ctx, follow.Start{StateMachineARN: w.Stack(world.StackName).StateMachineARN("fleet"), Input: string(input)})
	require.NoError(t, err)

	require.Equal(t, types.ExecutionStatusSucceeded, e.Status, "%s: %s", e.Error, e.Cause)
	var output contract.FleetOutput
	require.NoError(t, json.Unmarshal([]byte(e.Output), &output))
	assert.Equal(t, *clusters, output.Summary.Clusters)
	assert.Equal(t, map[contract.OutcomeStatus]int{contract.Succeeded: *clusters - gone, contract.Failed: gone}, output.Summary.ByStatus)
	assert.Equal(t, (*clusters-gone)*podsOfEach, output.Summary.Totals["pods"])
	require.Len(t, output.Summary.Failures, 1)
	assert.Equal(t, string(contract.ClusterNotFound), output.Summary.Failures[0].Error)

	spent, largest := durations(t, logs)
	var all, ours float64
	for state, milliseconds := range spent {
		all += milliseconds
		if state == "FindClusters" || state == "RecordOutcome" || state == "Summarize" {
			ours += milliseconds
		}
	}
	t.Logf("%d clusters in %.0f s, the execution's inside of that %.0f s", *clusters, time.Since(began).Seconds(), e.Stopped.Sub(e.Started).Seconds())
	t.Logf("the fleet's functions took %.1f s of the %.1f s of all functions (%.1f %%); by state, in ms: %v", ours/1000, all/1000, 100*ours/all, spent)
	t.Logf("the longest: FindClusters %.0f ms, Summarize %.0f ms; Summarize's memory: %v KiB", largest["FindClusters"], largest["Summarize"], w.Lambda.ResidentKB(world.StackName+"-summarize"))
}

func name(i int) string { return fmt.Sprintf("cluster-%05d", i) }

// durations are the milliseconds of each state's function, summed up, and the longest.
func durations(t *testing.T, logs string) (sum, longest map[string]float64) {
	t.Helper()
	sum, longest = map[string]float64{}, map[string]float64{}
	files, err := filepath.Glob(filepath.Join(logs, world.StackName+"-*.log"))
	require.NoError(t, err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
			var line struct {
				State      string
				DurationMS float64 `json:"durationMs"`
			}
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.State != "" {
				sum[line.State] += line.DurationMS
				longest[line.State] = max(longest[line.State], line.DurationMS)
			}
		}
	}
	return sum, longest
}
