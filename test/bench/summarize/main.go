// Command summarize runs Summarize once, in a process of its own, and prints what it took.
//
//	summarize CLUSTERS ENDPOINT
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/kubestep/kubestep/internal/contract"
	contractfleet "github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/internal/fleet"
)

func main() {
	clusters, err := strconv.Atoi(os.Args[1])
	if err == nil {
		err = summarize(context.Background(), clusters, os.Args[2])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "summarize:", err)
		os.Exit(1)
	}
}

// summarize runs Summarize once, as the function does but for Lambda, and prints what it took.
func summarize(ctx context.Context, clusters int, endpoint string) error {
	store := fleet.NewStore(aws.Config{Region: "eu-west-1", BaseEndpoint: &endpoint, Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")})
	began := time.Now()
	run, err := fleet.Summarizer{Store: store, Now: time.Now}.Summarize(ctx, contractfleet.Summarize{
		Run: contractfleet.Ran{Round: 1, Attempt: contractfleet.MaxAttempts, List: "111122223333/eu-west-1/kubestep-fleet/bench/clusters.json", Size: clusters, Begun: clusters},
		Fleet: contractfleet.Fleet{
			Name: "bench", Workflow: "pod-inventory", StartedAt: began, Clusters: clusters, Tolerated: clusters, InS3: true, Output: contract.Destination{Bucket: "reports"},
			Execution: "arn:aws:states:eu-west-1:111122223333:execution:kubestep-fleet:bench", Executions: "arn:aws:states:eu-west-1:111122223333:execution:kubestep-pod-inventory",
		},
	})
	if err != nil {
		return err
	}
	if run.Summary.Totals["pods"] != (clusters-clusters/10)*100 {
		return fmt.Errorf("%d clusters have %d pods", clusters, run.Summary.Totals["pods"])
	}
	took := time.Since(began).Seconds()
	// Not getrusage, whose figure includes the process that started this one.
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	peak := 0
	_, after, _ := strings.Cut(string(status), "VmHWM:")
	if _, err := fmt.Sscan(after, &peak); err != nil {
		return fmt.Errorf("read the peak of the memory: %w", err)
	}
	return json.NewEncoder(os.Stdout).Encode(struct {
		Seconds float64
		PeakKB  int
	}{took, peak})
}
