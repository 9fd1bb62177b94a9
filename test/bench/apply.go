package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kubestep/kubestep/internal/contract/applymanifests"
)

// The ways to apply.
const (
	byFunction = "kubestep"
	byRequests = "raw requests"
	byKubectl  = "kubectl"
	// These two read the live objects beside the dry runs, as a plan has to.
	byMoreRequests = "raw requests, and a get each"
	byDiff         = "kubectl diff"
)

// appliers each have a namespace, and differs work in two of these.
var (
	appliers = []string{byFunction, byRequests, byKubectl}
	differs  = map[string]string{byMoreRequests: byRequests, byDiff: byKubectl}
)

// task is one thing to do with the manifests.
type task struct {
	title, file string
	clients     []string
	dryRun      bool
}

// tasks follow each other in a namespace that is empty at first, so that each finds
// what the one before it left.
var tasks = []task{
	{"plan, all are new", "first", appliers, true},
	{"apply, all are new", "first", appliers, false},
	{"plan, none changes", "first", append(slices.Clone(appliers), byMoreRequests), true},
	{"plan, all change", "second", append(slices.Clone(appliers), byMoreRequests, byDiff), true},
	{"apply, all change", "second", appliers, false},
}

// applying are the clients of each task, by its title.
type applying map[string]clients

// applyRuns is how many turns make one of the other clients'.
const applyRuns = 2

// applyBench applies n ConfigMaps by each client.
type applyBench struct {
	*bench
	n     int
	plans map[string]applymanifests.Plan // of the function, by namespace
}

// measureApplying measures the clients with n ConfigMaps, in turn, each in a namespace
// of its own. The first turn does not count.
func measureApplying(ctx context.Context, o options, n int) (applying, error) {
	measured := applying{}
	err := inFreshWorld(ctx, o, func(b *bench) error {
		a := &applyBench{b, n, map[string]applymanifests.Plan{}}
		if err := a.prepare(ctx); err != nil {
			return err
		}
		samples := map[string]map[string][]sample{}
		for turn := range applyRuns*o.runs + 1 {
			for _, client := range appliers {
				if err := a.namespace(ctx, a.in(client, turn)); err != nil {
					return err
				}
			}
			for _, t := range tasks {
				if samples[t.title] == nil {
					samples[t.title] = map[string][]sample{}
				}
				for i := range t.clients {
					client := t.clients[(turn+i)%len(t.clients)]
					s, err := a.measure(ctx, client, t, a.in(client, turn))
					if err != nil {
						return fmt.Errorf("%s: %s: %w", t.title, client, err)
					}
					if turn > 0 {
						samples[t.title][client] = append(samples[t.title][client], s)
					}
				}
			}
		}
		for _, t := range tasks {
			measured[t.title] = clients{}
			for _, client := range t.clients {
				f := summarize(samples[t.title][client])
				measured[t.title][client] = f
				say("%4d ConfigMaps, %-18s %-28s wall %v, request %v, cpu %v, %.0f MB", n, t.title+":", client, f.median.wall, f.median.request, f.median.cpu, f.max.memoryMB)
			}
		}
		return nil
	})
	return measured, err
}

// in is the namespace of a client.
func (a *applyBench) in(client string, turn int) string {
	if of, ok := differs[client]; ok {
		client = of
	}
	return fmt.Sprintf("%s-%d", strings.ReplaceAll(client, " ", "-"), turn)
}

func (a *applyBench) manifests(file string) string { return filepath.Join(a.dir, file+".yaml") }

func (a *applyBench) lines(file string) string { return filepath.Join(a.dir, file+".json") }
