package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/runjob"
	"github.com/kubestep/kubestep/local/world"
)

const (
	jobsNamespace = "shop"
	jobExecution  = "arn:aws:states:eu-west-1:111122223333:execution:kubestep-run-job:bench"
	benchJob      = `
apiVersion: batch/v1
kind: Job
metadata: {generateName: bench-}
spec:
  backoffLimit: 0
  template:
    metadata: {annotations: {kubestep.local/run-for: %s, kubestep.local/repeat-first-line: "%d", kubestep.local/logs: "a line of some program that says what it does at this very moment, in about a hundred bytes for each one\nlast"}}
    spec: {restartPolicy: Never, containers: [{name: main, image: bench}]}
`
)

// What an hour of watching costs, by the prices of us-east-1 on arm64.
// https://aws.amazon.com/lambda/pricing/ https://aws.amazon.com/step-functions/pricing/ https://aws.amazon.com/s3/pricing/
const (
	gigabyteSecond = 0.0000133334
	transition     = 0.000025
	put            = 0.000005
	watchMemoryMB  = 128
	// A round is the function's 300 seconds less the 8 that it keeps.
	roundsAnHour = 3600/292 + 1
	// A round enters WatchWithFreshToken, MintTokenToWatch, WatchJob and HasEnded, and has 16 events; test/jobs_test.go counts them.
	transitionsARound, eventsARound = 4, 16
	// The others of an execution, at most.
	otherTransitions, otherEvents = 14, 60
	// With all logs: two for each part, by the pace of internal/jobs/archive.go.
	putsAnHour = 2 * 220
)

// measureJobs writes benchmarks/jobs.md.
func measureJobs(ctx context.Context, o options) error {
	return inFreshWorld(ctx, o, func(b *bench) error {
		config, err := b.world.ControlPlane.Admin()
		if err != nil {
			return err
		}
		client, err := kubernetes.NewForConfig(config)
		if err != nil {
			return err
		}
		j := jobBench{b, client, config.BearerToken}
		by := o.written()
		var noticed, wrote, got []sample
		for i := range max(o.runs, 5) + 1 {
			n, err := j.notice(ctx)
			if err != nil {
				return err
			}
			w, g, err := j.log(ctx)
			if err != nil {
				return err
			}
			if i > 0 { // the first is cold
				noticed, wrote, got = append(noticed, n), append(wrote, w), append(got, g)
			}
		}
		return j.write(by, summarize(noticed), summarize(wrote), summarize(got))
	})
}

type jobBench struct {
	*bench
	client *kubernetes.Clientset
	// token is the administrator's.
	token string
}

func (j jobBench) create(ctx context.Context, runFor string, lines int) (*batchv1.Job, error) {
	var job batchv1.Job
	if err := yaml.Unmarshal([]byte(fmt.Sprintf(benchJob, runFor, lines)), &job); err != nil {
		return nil, err
	}
	return j.client.BatchV1().Jobs(jobsNamespace).Create(ctx, &job, metav1.CreateOptions{})
}

// ended waits until the Job is Complete, by a watch, and returns when that arrived.
func (j jobBench) ended(ctx context.Context, job *batchv1.Job) (time.Time, error) {
	w, err := j.client.BatchV1().Jobs(jobsNamespace).Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + job.Name})
	if err != nil {
		return time.Time{}, err
	}
	defer w.Stop()
	for e := range w.ResultChan() {
		if job, ok := e.Object.(*batchv1.Job); ok {
			for _, c := range job.Status.Conditions {
				if c.Type == batchv1.JobComplete {
					return time.Now(), nil
				}
			}
		}
	}
	return time.Time{}, ctx.Err()
}

// watch invokes watch-job for a Job.
func (j jobBench) watch(ctx context.Context, job *batchv1.Job, logs runjob.Logs) (sample, runjob.Run, error) {
	var described contract.DescribedCluster
	of := describe
	of.Execution, of.Workflow = jobExecution, runjob.Name
	of.Input = []byte(`{"clusterName":"` + world.ClusterName + `","cronJob":{"namespace":"a","name":"b"}}`)
	if _, err := j.invoke(ctx, "describe-cluster", of, &described); err != nil {
		return sample{}, runjob.Run{}, err
	}
	s := contract.Session{Execution: jobExecution, Cluster: described.Cluster}
	if _, err := j.invoke(ctx, "jobs-mint-token", contract.MintToken{Execution: s.Execution, Cluster: s.Cluster}, &s.Token); err != nil {
		return sample{}, runjob.Run{}, err
	}
	if _, err := j.invoke(ctx, "jobs-verify-rbac", contract.VerifyRBAC{Session: s, Checks: []contract.Check{{Verb: "list", Resource: "pods", Namespace: jobsNamespace}}}, nil); err != nil {
		return sample{}, runjob.Run{}, err
	}
	var run runjob.Run
	began := time.Now()
	result, err := j.invoke(ctx, "watch-job", runjob.WatchJob{
		Session: s, StartSeconds: 120, Timeout: 3600, Logs: logs, Keep: runjob.KeepAlways, Output: contract.Destination{Bucket: world.ReportBucket},
		Run: runjob.Run{Job: runjob.CreatedJob{Namespace: jobsNamespace, Name: job.Name, UID: string(job.UID)}, Cursor: runjob.Cursor{Until: began.Add(time.Hour), Since: began}},
	}, &run)
	return sample{wall: time.Since(began), memoryMB: float64(result.MaxMemoryMB)}, run, err
}

// notice measures how much later than a watch of its own the function answers.
func (j jobBench) notice(ctx context.Context) (sample, error) {
	job, err := j.create(ctx, "3s", 1)
	if err != nil {
		return sample{}, err
	}
	at := make(chan time.Time, 1)
	go func() {
		ended, _ := j.ended(ctx, job) // without it, the difference is absurd
		at <- ended
	}()
	_, _, err = j.watch(ctx, job, runjob.LogsNone)
	answered := time.Now()
	return sample{wall: max(0, answered.Sub(<-at))}, err
}

// log measures how long 10 MB of log of a Job that has ended take to S3, and how long to get.
func (j jobBench) log(ctx context.Context) (written, got sample, err error) {
	job, err := j.create(ctx, "1s", 100_000)
	if err != nil {
		return written, got, err
	}
	if _, err = j.ended(ctx, job); err != nil {
		return written, got, err
	}
	pods, err := j.client.CoreV1().Pods(jobsNamespace).List(ctx, metav1.ListOptions{LabelSelector: "job-name=" + job.Name})
	if err != nil || len(pods.Items) != 1 {
		return written, got, fmt.Errorf("%d pods: %w", len(pods.Items), err)
	}
	began := time.Now()
	curl := exec.CommandContext(ctx, "curl", "--silent", "--fail", "--insecure", "--header", "Authorization: Bearer "+j.token, "--output", "/dev/null", "--write-out", "%{size_download}",
		j.world.ControlPlane.Endpoint+"/api/v1/namespaces/"+jobsNamespace+"/pods/"+pods.Items[0].Name+"/log")
	size, err := curl.Output()
	if err != nil {
		return written, got, fmt.Errorf("curl: %w", err)
	}
	got.wall = time.Since(began)
	if got.bytes, err = strconv.ParseInt(string(size), 10, 64); err != nil {
		return written, got, err
	}
	written, run, err := j.watch(ctx, job, runjob.LogsAll)
	if err == nil && run.Log.Lines != 100_001 {
		err = fmt.Errorf("%d lines were written", run.Log.Lines)
	}
	return written, got, err
}

func (j jobBench) write(by string, noticed, written, got figures) error {
	var b bytes.Buffer
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	milliseconds := func(f figures) string {
		return fmt.Sprintf("%d ms (%d ms–%d ms)", f.median.wall.Milliseconds(), f.min.wall.Milliseconds(), f.max.wall.Milliseconds())
	}
	p("# Benchmarks of run-job\n\n%s. Figures are the median of %d runs, with the least and the most.\n", by, len(noticed.samples))
	p("| what | takes |\n|---|--:|")
	p("| WatchJob answers after the Job is Complete, by another watch | %s |", milliseconds(noticed))
	p("| curl of a log of %.1f MB | %s |", float64(got.median.bytes)/1e6, milliseconds(got))
	p("| WatchJob of a Job that has ended with that log: NDJSON, gzipped, in S3 with its manifest | %s |", milliseconds(written))
	p("| the one ÷ the other, the median of the turns | %.2f |", ratio(written, got, wall, wall))
	p("| peak memory of its environment | %.0f MB |", written.max.memoryMB)
	lambda := 3600 * watchMemoryMB / 1024.0 * gigabyteSecond
	states := (roundsAnHour*transitionsARound + otherTransitions) * transition
	p("\nAn hour of a Job, by the prices of us-east-1: %d rounds at most, so %d events of history, $%.4f for Lambda and $%.4f for state transitions: **$%.4f**; with all logs, $%.4f for requests of S3 more.",
		roundsAnHour, roundsAnHour*eventsARound+otherEvents, lambda, states, lambda+states, putsAnHour*put)
	folder := filepath.Join(j.root, j.out, "benchmarks")
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, "jobs.md"), []byte(strings.TrimSpace(b.String())+"\n"), 0o644) //nolint:gosec // anybody may read it
}
