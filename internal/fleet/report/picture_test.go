package report_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/internal/fleet/report"
)

var picture = flag.String("picture", "", "the `folder` to write the pictures of the docs to")

// sample is a realistic fleet.
func sample() []fleet.Outcome {
	regions, stages := []string{"eu-west-1", "eu-central-1", "us-east-1", "ap-southeast-2"}, []string{"prod", "stage", "dev"}
	teams := []string{"payments", "search", "checkout", "ml", "edge", "tools", "data"}
	var all []fleet.Outcome
	for i := range 86 {
		o := well(fmt.Sprintf("%s-%s-%02d", teams[i%7], stages[i%3], i))
		o.Region, o.Seconds = regions[i%4], float64(i%13)/3+1.2
		o.Totals = map[string]int{"pods": (i*7919)%1400 + 12, "unhealthy": (i * i) % 7}
		if i%3 == 1 {
			o.RoleARN = "arn:aws:iam::444455556666:role/kubestep-member"
		}
		switch {
		case i%17 == 3:
			o.Status, o.Error, o.Totals = fleet.StatusFailed, "Unauthorized", nil
			o.Cause = fmt.Sprintf("Cluster %s does not accept the token of arn:aws:iam::111122223333:role/kubestep-mint-token, because the role is not mapped. Map it: aws eks create-access-entry --cluster-name %s …", o.ClusterName, o.ClusterName)
		case i%31 == 5:
			o.Status, o.Error, o.Totals, o.Attempt, o.Seconds = fleet.StatusFailed, "ClusterUnreachable", nil, 2, 63
			o.Cause = fmt.Sprintf("The API server of cluster %s did not answer within 10 s. Open port 443 of its security group to the functions.", o.ClusterName)
		case i == 44:
			o.Status, o.Error, o.Cause, o.Totals, o.Seconds = fleet.StatusTimedOut, "States.Timeout", "The execution ran out of time.", nil, 900
		}
		all = append(all, o)
	}
	return all
}

// widths are those of the pictures: a window, and a phone. A picture ends where a part of the page does: before the table, or on a phone
// after two of its rows.
var widths = map[string]struct {
	width, height int
	end           string
}{
	"":       {1160, 900, `document.querySelector("section[aria-labelledby=clusters]").getBoundingClientRect().top`},
	"-phone": {390, 844, `document.querySelectorAll("tbody tr")[1].getBoundingClientRect().bottom`},
}

// It writes the pictures (make pictures).
func TestThePicturesOfTheDocs(t *testing.T) {
	if *picture == "" {
		t.Skip("no folder for the pictures: -picture")
	}
	r := of(sample()...)
	r.Summary.Fleet, r.Fleet.Name, r.Request = "nightly", "nightly", `{"namespaces":["*"]}`
	for name, r := range map[string]report.Report{"report": r, "rollout": rollout(), "waiting": waiting()} {
		for suffix, size := range widths {
			b := startBrowser(t).open(t, page(t, r), size.width, size.height)
			for _, scheme := range []string{"light", "dark"} {
				b.call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
				end := evaluate[float64](b, "%s", size.end)
				require.Positive(t, end)
				var shot struct{ Data []byte }
				b.call("Page.captureScreenshot", map[string]any{
					"format": "png", "captureBeyondViewport": true, "clip": map[string]any{"x": 0, "y": 0, "width": size.width, "height": end, "scale": 1},
				}, &shot)
				require.NoError(t, os.WriteFile(filepath.Join(*picture, name+suffix+"-"+scheme+".png"), shot.Data, 0o600))
			}
		}
	}
}

// rollout is the one of docs/rollouts.md: its second wave stopped it.
func rollout() report.Report {
	all := sample()[:40]
	waves := []fleet.WaveSummary{
		{Name: "canary", Clusters: 2, ByStatus: map[fleet.Status]int{}, Gate: fleet.GatePassed}, {Name: "tenth", Clusters: 4, ByStatus: map[fleet.Status]int{}},
		{Name: "rest", Clusters: 34, Tolerated: 2, ByStatus: map[fleet.Status]int{}},
	}
	var pending []fleet.Cluster
	for i := range all {
		o := &all[i]
		o.Status, o.Error, o.Cause, o.Attempt, o.Seconds = fleet.StatusSucceeded, "", "", 1, 38+float64(i%9)
		o.Totals, o.Effect = map[string]int{"created": 1, "configured": 2, "applied": 3}, "q83vEjRWeJq8"
		switch {
		case i < 2:
			o.Wave = 1
		case i < 6:
			o.Wave = 2
			if i > 3 {
				o.Status, o.Error, o.Totals, o.Effect, o.Seconds = fleet.StatusFailed, "NotReady", nil, "", 302
				o.Cause = "After 5m0s, 1 of 3 objects in cluster " + o.ClusterName + " are not ready: Deployment shop/web (InProgress: Available: 0/2). All objects were applied and are left in place"
			} else if i == 3 {
				o.Totals, o.Effect = map[string]int{"created": 1, "configured": 3, "applied": 4}, "Zk3hT0wq1PdA"
			}
		default:
			o.Wave, o.Status, o.Error, o.Cause, o.Totals, o.Effect, o.Attempt, o.Seconds = 3, fleet.StatusNotStarted, fleet.NotStartedError, "The fleet had stopped, because too many clusters of wave tenth had failed: none may fail.", nil, "", 0, 0
			pending = append(pending, fleet.Cluster{Target: o.Target, Wave: 3})
		}
		waves[o.Wave-1].ByStatus[o.Status]++
	}
	r := of(all...)
	r.Summary.Failures = r.Summary.Failures[:1]
	r.Summary.Fleet, r.Fleet.Name, r.Summary.Workflow, r.Request = "base-1.8", "base-1.8", "apply-manifests", `{"mode":"apply","source":{"bucket":"my-bucket","key":"base.yaml"},"wait":{"timeoutSeconds":300}}`
	r.Summary.Waves, r.Pending, r.Fleet.Changes = waves, pending, true
	r.Waves = []fleet.Wave{{Name: "canary", Clusters: 2, Concurrency: 1}, {Name: "tenth", Clusters: 4, Concurrency: 5}, {Name: "rest", Clusters: 34, Concurrency: 20, Tolerated: 2}}
	r.Summary.Effects = []fleet.Effect{
		{Digest: "q83vEjRWeJq8", Clusters: 3, Names: []string{all[0].ClusterName, all[1].ClusterName, all[2].ClusterName}, Totals: all[0].Totals},
		{Digest: "Zk3hT0wq1PdA", Clusters: 1, Names: []string{all[3].ClusterName}, Totals: all[3].Totals},
	}
	r.Fleet.Output = contract.Destination{Bucket: "my-bucket", Prefix: "kubestep/"}
	at := &fleet.Report{Bucket: "my-bucket", Failed: "kubestep/failed.jsonl", NotStarted: "kubestep/notstarted.jsonl"}
	at.Again, at.Continue = r.Commands(at)
	r.Summary.Report = at
	return r
}

// waiting is the same rollout before it: the gate of its canary waits.
func waiting() report.Report {
	r := rollout()
	r.Summary.Failures, r.Summary.Report, r.Pending = nil, nil, nil
	r.Summary.Effects = []fleet.Effect{{Digest: "q83vEjRWeJq8", Clusters: 2, Names: []string{r.Outcomes[0].ClusterName, r.Outcomes[1].ClusterName}, Totals: r.Outcomes[0].Totals}}
	r.Summary.ByStatus = map[fleet.Status]int{fleet.StatusSucceeded: 2, fleet.StatusNotStarted: 38}
	for i := range r.Outcomes {
		o := &r.Outcomes[i]
		if i >= 2 {
			o.Status, o.Error, o.Cause, o.Totals, o.Effect, o.Attempt, o.Seconds = fleet.StatusNotStarted, "", "", nil, "", 0, 0
		}
	}
	for i, status := range []fleet.Status{fleet.StatusSucceeded, fleet.StatusNotStarted, fleet.StatusNotStarted} {
		r.Summary.Waves[i].ByStatus = map[fleet.Status]int{status: r.Summary.Waves[i].Clusters}
	}
	r.Summary.Totals = map[string]int{"created": 2, "configured": 4, "applied": 6}
	r.Summary.Waves[0].Gate, r.FinishedAt = fleet.GateWaiting, r.Fleet.StartedAt.Add(12*time.Minute)
	r.Waiting = &fleet.Rollout{
		Wave: "canary", Digest: "q83vEjRWeJq83vEjRWeJq83v", Approve: fleet.Approve{TimeoutSeconds: 8 * 3600}, Later: 34,
		Next: fleet.WaveNext{Name: "tenth", Clusters: 4, Names: []string{r.Outcomes[2].ClusterName, r.Outcomes[3].ClusterName, r.Outcomes[4].ClusterName, r.Outcomes[5].ClusterName}},
	}
	return r
}
