package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/internal/follow"
	"github.com/kubestep/kubestep/internal/follow/terminal"
	"github.com/kubestep/kubestep/internal/shell"
)

const (
	// countInterval is the time between two looks at the clusters' executions.
	countInterval = 2 * time.Second
	// countPages bounds the pages of one look, of 1,000 executions each.
	countPages = 12
	// fleetNameLength is how much of a fleet's name begins each execution's name, at least.
	fleetNameLength = 24
	barWidth        = 24
	minBarWidth     = 4
	// lastAttempt ends the name of a cluster's second execution, of at most fleet.MaxAttempts.
	lastAttempt = "-2"
)

// fleetGauge counts the clusters of a fleet by outcome while their executions run.
type fleetGauge struct {
	client  *sfn.Client
	fleet   fleet.Fleet
	summary fleet.Summary
	// outcomes are those that the state holds; none of a large fleet.
	outcomes []fleet.Outcome
	// executions are the names of the clusters' executions that the state has held so far,
	// without what a second try adds.
	executions map[string]bool
	counts     map[fleet.Status]int
	next       time.Time
	standing   standing
}

func (g *fleetGauge) use(client *sfn.Client) { g.client = client }

// event reads the document as FindClusters and Summarize leave it.
func (g *fleetGauge) event(e types.HistoryEvent) {
	g.standing.event(e)
	if e.StateExitedEventDetails == nil {
		return
	}
	var document struct {
		Fleet fleet.Fleet `json:"fleet"`
		Run   fleet.Run   `json:"run"`
	}
	switch aws.ToString(e.StateExitedEventDetails.Name) {
	case "FindClusters", "Summarize":
		if json.Unmarshal([]byte(aws.ToString(e.StateExitedEventDetails.Output)), &document) == nil {
			g.fleet, g.summary, g.outcomes = document.Fleet, document.Run.Summary, document.Run.Outcomes
			for _, c := range document.Run.Clusters {
				if g.executions == nil {
					g.executions = map[string]bool{}
				}
				g.executions[strings.TrimSuffix(c.Execution, lastAttempt)] = true
			}
		}
	}
}

// chapter says what the rollout waits for: it has none else.
func (g *fleetGauge) chapter() follow.Chapter { return follow.Chapter{Say: g.standing.says} }

// detail is a bar of the clusters that are done, and how they ended. If there is not room for
// everything, the failures are the last to be left out.
func (g *fleetGauge) detail(ctx context.Context, room int) string {
	if g.fleet.Clusters == 0 {
		return ""
	}
	if now := time.Now(); now.After(g.next) {
		g.next = now.Add(countInterval)
		g.count(ctx, time.Time{})
	}
	done := 0
	for _, n := range g.counts {
		done += n
	}
	done = min(done, g.fleet.Clusters)
	text := strings.TrimRight(fmt.Sprintf("%d of %s  %s", done, clusters(g.fleet.Clusters), outcomes(g.counts, paper{})), " ")
	if width := min(barWidth, room-utf8.RuneCountInString(text)-1); width >= minBarWidth {
		full := width * done / g.fleet.Clusters
		return strings.Repeat("█", full) + strings.Repeat("░", width-full) + " " + text
	}
	failures := maps.Clone(g.counts)
	delete(failures, fleet.StatusSucceeded)
	of := fmt.Sprintf("%d of %d  ", done, g.fleet.Clusters)
	for _, shorter := range []string{text, of + outcomes(g.counts, paper{}), of + outcomes(failures, paper{})} {
		if utf8.RuneCountInString(shorter) <= room {
			return strings.TrimRight(shorter, " ")
		}
	}
	return fmt.Sprintf("%s%d failed", of, done-g.counts[fleet.StatusSucceeded])
}

// notInNames is what a fleet's name may hold and the names of its clusters' executions do not.
var notInNames = regexp.MustCompile(`[^0-9A-Za-z_-]`)

// named returns a function that tells the names of the fleet's executions, without what a
// second try or the fleet itself adds. Those of a fleet whose clusters are in S3 are not
// in the state: each begins with the fleet's name and ends in a hash of 12 characters.
func (g *fleetGauge) named() func(string) bool {
	if !g.fleet.InS3 {
		return func(name string) bool { return g.executions[name] }
	}
	begin := notInNames.ReplaceAllString(g.fleet.Name, "-")
	if len(begin) > fleetNameLength {
		begin = begin[:fleetNameLength] // more of it, if the cluster's name is short
	} else {
		begin += "-"
	}
	return regexp.MustCompile("^" + begin + `.+-[2-7a-z]{12}$`).MatchString
}

// count reads how the executions of the fleet ended that had started by then; of a cluster
// that is tried again, the last one counts. What cannot be read now is read at the next
// look: the bar is not worth ending the command for.
func (g *fleetGauge) count(ctx context.Context, stopped time.Time) {
	counts := map[fleet.Status]int{}
	seen := map[string]bool{}
	named := g.named()
	pages := sfn.NewListExecutionsPaginator(g.client, &sfn.ListExecutionsInput{StateMachineArn: &g.fleet.StateMachineARN, MaxResults: 1000})
	for page := 0; pages.HasMorePages() && page < countPages; page++ {
		listed, err := pages.NextPage(ctx)
		if err != nil {
			return
		}
		older := false
		for _, e := range listed.Executions {
			// The list may have no fractions of seconds.
			if aws.ToTime(e.StartDate).Before(g.fleet.StartedAt.Truncate(time.Second)) {
				older = true
				continue
			}
			if !stopped.IsZero() && aws.ToTime(e.StartDate).After(stopped) {
				continue
			}
			cluster := strings.TrimSuffix(strings.TrimSuffix(aws.ToString(e.Name), "-"+g.fleet.Own), lastAttempt)
			if !named(cluster) || seen[cluster] {
				continue
			}
			seen[cluster] = true
			if e.Status != types.ExecutionStatusRunning {
				counts[fleet.Status(e.Status)]++
			}
		}
		if older {
			break // the newest come first
		}
	}
	g.counts = counts
}

func (g *fleetGauge) failed(ctx context.Context, execution follow.Execution, style paper) string {
	if g.summary.Clusters > 0 {
		return g.result(style)
	}
	if g.fleet.Clusters == 0 {
		return ""
	}
	// It was stopped, or ran out of time: nothing has added up what there is.
	g.count(ctx, execution.Stopped)
	counted := outcomes(g.counts, style)
	if counted == "" {
		counted = "none has ended"
	}
	return fmt.Sprintf("%s: %s\nTo run the clusters that are left, within 14 days: aws stepfunctions redrive-execution --execution-arn %s\n",
		clusters(g.fleet.Clusters), counted, shell.Quote(terminal.Line(execution.ARN)))
}

func (g *fleetGauge) known() any {
	if g.summary.Clusters == 0 {
		return nil
	}
	return g.summary
}
