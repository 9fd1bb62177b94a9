package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/kubestep/kubestep/internal/contract"
	contractfleet "github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/internal/fleet"
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

// benchFolder is where test/bench/summarize reads and writes.
const benchFolder = "/111122223333/eu-west-1/kubestep-fleet/bench/"

// add puts the outcomes of a fleet of that many clusters, every tenth of which failed.
func (o *objects) add(clusters int) error {
	list := make([]contractfleet.Cluster, clusters)
	for i := range list {
		target := contract.Target{ClusterName: fmt.Sprintf("cluster-of-a-team-%05d", i), Region: "eu-west-1"}
		list[i] = contractfleet.Cluster{Target: target, Attempt: 1, Execution: fleet.ExecutionName(contractfleet.Fleet{Name: "bench"}, target, 1)}
		outcome := contractfleet.Outcome{Target: target, Attempt: 1, Status: contractfleet.StatusSucceeded, Totals: map[string]int{"pods": 100, "unhealthy": 3}, Seconds: 1.2}
		if i%10 == 0 {
			outcome.Status, outcome.Totals, outcome.Error, outcome.Cause = contractfleet.StatusFailed, nil, "Unauthorized", strings.Repeat("word ", 60)
		}
		text, err := json.Marshal(fleet.Bound(contractfleet.Fleet{Clusters: clusters, InS3: clusters > contractfleet.MaxInState}, outcome))
		if err != nil {
			return err
		}
		o.held["/"+bucket+benchFolder+"outcomes/"+list[i].Execution+".json"] = text
	}
	text, err := json.Marshal(list)
	o.held["/"+bucket+benchFolder+"clusters.json"] = text
	return err
}

// summarized is what test/bench/summarize prints.
type summarized struct {
	Seconds float64
	PeakKB  int
}
