package statemachine_test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/fleet"
	"github.com/kubestep/kubestep/statemachine"
)

// fate is what a machine does about an error before it ends the execution.
type fate struct {
	retries int
	// seconds is how long all retries wait, at most.
	seconds int
	refresh bool
}

// told returns the fates in docs/errors.md, by the error's name, and its sections.
func told(t *testing.T) (fates map[string]fate, sections map[string]string, text string) {
	t.Helper()
	raw, err := os.ReadFile("../docs/errors.md")
	require.NoError(t, err)
	text = string(raw)

	sections = map[string]string{}
	for _, section := range strings.Split(text, "\n## ")[1:] {
		title, body, _ := strings.Cut(section, "\n")
		sections[anchor(title)] = body
	}
	fates = map[string]fate{}
	for line := range strings.Lines(text) {
		var name, section, refresh string
		var f fate
		line = strings.NewReplacer("[`", "", "`](#", " ", ")", "").Replace(line)
		if n, _ := fmt.Sscanf(line, "| %s %s | %d | %d s | %s |", &name, &section, &f.retries, &f.seconds, &refresh); n == 5 {
			f.refresh = refresh == "yes"
			fates[name] = f
			assert.Contains(t, sections, section, "%s leads to a section", name)
		}
	}
	return fates, sections, text
}

// anchor returns the anchor that GitHub makes of a heading.
func anchor(title string) string {
	return regexp.MustCompile(`[^a-z0-9_-]`).ReplaceAllString(strings.ReplaceAll(strings.ToLower(title), " ", "-"), "")
}

// defined returns the fate that a machine has for an error, which is the same in all its states: the retries of the
// function, then those of the try block around it.
func defined(t *testing.T, m statemachine.Machine, name string) fate {
	t.Helper()
	tasks, blocks := map[fate]bool{}, map[fate]bool{}
	for _, s := range invocations(m) {
		r, _ := retrier(s, name)
		tasks[fate{retries: r.MaxAttempts, seconds: waits(r)}] = true
	}
	for _, s := range m.States {
		if s.Type == statemachine.Parallel {
			r, _ := retrier(s, name)
			blocks[fate{r.MaxAttempts, waits(r), caught(s, name) == "StaleCluster"}] = true
		}
	}
	require.Len(t, tasks, 1, "%s is retried alike by every function", name)
	require.Len(t, blocks, 1, "and alike by every block")
	var f fate
	for task := range tasks {
		for block := range blocks {
			f = fate{task.retries + block.retries, task.seconds + block.seconds, block.refresh}
		}
	}
	return f
}

// callsAWS reports whether a state calls an API of AWS itself. What it catches is not the execution's error.
func callsAWS(s statemachine.State) bool {
	return strings.Contains(s.Resource, ":aws-sdk:") || startsExecutions(s)
}

// startsExecutions reports whether a state's errors are those of starting an execution, which end in the outcome of a
// cluster.
func startsExecutions(s statemachine.State) bool {
	return strings.Contains(s.Resource, ":states:") && strings.Contains(s.Resource, "xecution")
}

func TestThePageOfErrorsSaysWhatTheMachinesDo(t *testing.T) {
	fates, sections, text := told(t)
	for _, name := range contract.ErrorNames() {
		assert.Contains(t, fates, string(name), "every name of the contract has its row")
		assert.Contains(t, sections, anchor(string(name)), "and its section")
	}
	assert.Contains(t, fates, fleet.ClustersFailed)
	every(t, func(t *testing.T, m statemachine.Machine) {
		connects := slices.ContainsFunc(m.States, func(s statemachine.State) bool { return s.Type == statemachine.Parallel })
		for state, s := range all(m) {
			for _, r := range s.Retry {
				for _, name := range r.ErrorEquals {
					assert.True(t, callsAWS(s) || fates[name] != fate{}, "%s retries %s", state, name)
				}
			}
			for _, c := range s.Catch {
				for _, name := range c.ErrorEquals {
					if name != "States.ALL" && !callsAWS(s) {
						assert.Contains(t, fates, name, "%s catches it", state)
					}
				}
			}
		}
		for name, f := range fates {
			// A machine that connects to no cluster does not get a cluster's errors.
			if connects {
				assert.Equal(t, defined(t, m, name), f, name)
			}
		}
		for _, explain := range []string{"ExplainTimeout", "ExplainCrash", "ExplainLambda", "ExplainUnnamed"} {
			said, _, _ := strings.Cut(sentence(all(m)[explain]), "{}")
			require.NotEmpty(t, said, explain)
			assert.Contains(t, text, said, "what %s says of an error", explain)
		}
	})
	for section, body := range sections {
		for _, part := range []string{"**When.**", "**What the machine does.**", "**What you see.**", "**How to fix it.**"} {
			assert.Equal(t, 1, strings.Count(body, part), "%s has %s", section, part)
		}
	}
}

func TestThePageOfErrorsNamesEveryErrorOfLambdaThatIsNotRetried(t *testing.T) {
	_, sections, _ := told(t)
	section := sections["lambda-that-cannot-run-a-function"]
	for _, e := range statemachine.InvokeErrors() {
		// Errors that the functions cannot get do not belong on a page for people.
		if e.Retried == statemachine.Not && !strings.HasPrefix(e.Why, "The functions ") && !strings.HasPrefix(e.Why, "The request ") && !strings.HasPrefix(e.Why, "The payload ") {
			assert.Contains(t, section, "`Lambda."+e.Name+"`")
		}
	}
}
