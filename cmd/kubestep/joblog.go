package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/runjob"
	"github.com/kubestep/kubestep/internal/follow"
	"github.com/kubestep/kubestep/internal/follow/terminal"
	"github.com/kubestep/kubestep/internal/store"
)

// logInterval is the time between two looks for more lines.
const logInterval = time.Second

// jobGauge reads the exit code of a Job and, if it has somewhere to print to, its lines as
// they come: from the parts in S3, which the function that watches writes.
type jobGauge struct {
	// out is where lines are printed to; nil for nowhere.
	out      io.Writer
	exitCode int

	bucket *s3.Client
	live   *store.Object

	mu      sync.Mutex
	stop    context.CancelFunc
	printed int    // lines
	of      string // the container of which all lines so far are
	several bool
}

func newJobGauge() (gauge, table) { return &jobGauge{}, jobTable }

func (g *jobGauge) use(client *sfn.Client) {
	if client == nil {
		return
	}
	o := client.Options()
	g.bucket = s3.New(s3.Options{Region: o.Region, Credentials: o.Credentials, HTTPClient: o.HTTPClient, BaseEndpoint: o.BaseEndpoint, Retryer: o.Retryer})
}

// event learns from the first payload of watch-job where the log will be, and from its
// results how the Job ended.
func (g *jobGauge) event(e types.HistoryEvent) {
	if scheduled := e.TaskScheduledEventDetails; scheduled != nil && g.out != nil && g.live == nil {
		var parameters struct {
			Payload struct {
				Execution string               `json:"execution"`
				Output    contract.Destination `json:"output"`
				Run       json.RawMessage      `json:"run"`
			}
		}
		if json.Unmarshal([]byte(aws.ToString(scheduled.Parameters)), &parameters) == nil && parameters.Payload.Run != nil && parameters.Payload.Output.Bucket != "" {
			p := parameters.Payload
			g.live = &store.Object{Bucket: p.Output.Bucket, Key: store.Prefix(p.Output) + contract.ExecutionARN(p.Execution).Folder() + runjob.LiveManifest}
			ctx, cancel := context.WithCancel(context.Background())
			g.stop = cancel
			go g.follow(ctx)
		}
	}
	if exited := e.StateExitedEventDetails; exited != nil && strings.HasPrefix(aws.ToString(exited.Name), "Watch") {
		var document struct {
			Run runjob.Run `json:"run"`
		}
		if json.Unmarshal([]byte(aws.ToString(exited.Output)), &document) == nil && document.Run.Complete {
			g.exitCode = document.Run.End.ExitCode
			if g.live != nil {
				g.stop()
				g.print(context.Background()) // the rest
			}
		}
	}
}

// follow prints lines until the context ends.
func (g *jobGauge) follow(ctx context.Context) {
	for ticks := time.NewTicker(logInterval); ; {
		select {
		case <-ctx.Done():
			ticks.Stop()
			return
		case <-ticks.C:
			g.print(ctx)
		}
	}
}

// print prints the lines that were not printed yet. A part that cannot be read now is read
// the next time: an attempt of the function that failed may have written others.
func (g *jobGauge) print(ctx context.Context) {
	g.mu.Lock()
	defer g.mu.Unlock()
	var log runjob.Log
	text, err := g.get(ctx, g.live.Key)
	if err != nil || json.Unmarshal(text, &log) != nil {
		return
	}
	before := 0
	for _, part := range log.Parts {
		if before+part.Lines <= g.printed {
			before += part.Lines
			continue
		}
		packed, err := g.get(ctx, log.Prefix+part.Name)
		if err != nil {
			return
		}
		reader, err := gzip.NewReader(bytes.NewReader(packed))
		if err != nil {
			return
		}
		lines := bufio.NewScanner(reader)
		lines.Buffer(nil, 8<<20)
		for lines.Scan() {
			if before++; before <= g.printed {
				continue
			}
			g.printed = before
			g.line(lines.Bytes())
		}
	}
}

func (g *jobGauge) line(text []byte) {
	var l runjob.LogLine
	if json.Unmarshal(text, &l) != nil {
		return
	}
	of := l.Pod + "/" + l.Container
	g.several = g.several || g.of != "" && g.of != of
	g.of = of
	if g.several {
		fmt.Fprintf(g.out, "%s: ", terminal.Line(of))
	}
	fmt.Fprintln(g.out, terminal.Line(l.Line))
}

func (g *jobGauge) get(ctx context.Context, key string) ([]byte, error) {
	out, err := g.bucket.GetObject(ctx, &s3.GetObjectInput{Bucket: &g.live.Bucket, Key: &key})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	defer func() { _ = out.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(out.Body, 64<<20))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	return text, nil
}

// detail is empty: the lines are what is shown.
func (g *jobGauge) detail(context.Context, int) string { return "" }

// failed is empty: the cause says how the Job ended.
func (g *jobGauge) failed(context.Context, follow.Execution, paper) string { return "" }

func (g *jobGauge) known() any { return nil }

// jobTable is how a Job ended, and the end of its log.
func jobTable(execution follow.Execution, style paper) (string, error) {
	var output runjob.Output
	if err := json.Unmarshal([]byte(execution.Output), &output); err != nil {
		return "", fmt.Errorf("run-job does not write such an output: %w", err)
	}
	var b strings.Builder
	if output.Tail != "" {
		for line := range strings.SplitSeq(output.Tail, "\n") {
			fmt.Fprintln(&b, terminal.Line(line))
		}
		b.WriteByte('\n')
	}
	job := terminal.Line(output.Job.Namespace + "/" + output.Job.Name)
	if !output.Succeeded {
		fmt.Fprintf(&b, "Job %s of a stopped execution: %s\n", job, deletion(output.Deleted))
		return b.String(), nil
	}
	pods := "1 pod"
	if output.End.PodsSucceeded != 1 {
		pods = fmt.Sprintf("%d pods", output.End.PodsSucceeded)
	}
	failed := ""
	if output.End.PodsFailed > 0 {
		failed = fmt.Sprintf(", %d failed before", output.End.PodsFailed)
	}
	b.WriteString(explainLog(output.Log))
	fmt.Fprintf(&b, "Job %s %s in cluster %s (Kubernetes %s, %s): %s%s, in %.1f s\n", job, style.Green("succeeded"),
		terminal.Line(output.Cluster.Name), terminal.Line(output.Cluster.Version), terminal.Line(output.Cluster.Region), pods, failed, execution.Stopped.Sub(execution.Started).Seconds())
	return b.String(), nil
}

func deletion(d runjob.Deleted) string {
	if d.Deleted {
		return "deleted"
	}
	return terminal.Line(d.Why)
}
