package statemachine_test

import (
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract"
)

// uncaught is what Step Functions itself ends an execution with, past all states.
const uncaught = "nothing catches it"

// fate is what becomes of an error.
type fate struct {
	retries int
	afresh  bool
	end     string
}

// documented are the fates that docs/errors.md tells, by the error's name, and its sections.
func documented(t *testing.T) (fates map[string]fate, sections map[string]string, text string) {
	t.Helper()
	raw, err := os.ReadFile("../docs/errors.md")
	require.NoError(t, err)
	text = string(raw)

	fates, sections = map[string]fate{}, map[string]string{}
	for _, section := range strings.Split(text, "\n## ")[1:] {
		title, body, _ := strings.Cut(section, "\n")
		sections[anchor(title)] = body
	}
	row := regexp.MustCompile("(?m)^\\| \\[`([^`]+)`\\]\\(#([^)]+)\\) \\| (\\d+) \\| (yes|no) \\| (.+) \\|$")
	for _, m := range row.FindAllStringSubmatch(text, -1) {
		retries, err := strconv.Atoi(m[3])
		require.NoError(t, err)
		fates[m[1]] = fate{retries, m[4] == "yes", strings.Trim(m[5], "`")}
		assert.Contains(t, sections, m[2], "%s leads to a section", m[1])
	}
	return fates, sections, text
}

// anchor is what GitHub makes of a heading.
func anchor(title string) string {
	return regexp.MustCompile(`[^a-z0-9_-]`).ReplaceAllString(strings.ReplaceAll(strings.ToLower(title), " ", "-"), "")
}

// defined is the fate that the definition has for an error.
func defined(t *testing.T, m machine, name string) fate {
	t.Helper()
	// A task's own retries, the same in each, or those of the try block.
	counts := map[int]bool{}
	for _, s := range tasks(m) {
		counts[retries(s, name)] = true
	}
	require.Len(t, counts, 1, "%s is retried alike by all tasks", name)
	f := fate{retries: retries(m.States["WithFreshToken"], name)}
	for n := range counts {
		f.retries += n
	}
	ends := map[string]bool{}
	for _, s := range m.States {
		if len(s.Catch) == 0 {
			continue
		}
		next := caught(s, name)
		if next == "StaleCluster" {
			f.afresh = true
			next = "Explain" // the second time
		}
		ends[end(m, next, name)] = true
	}
	require.Len(t, ends, 1, "%s ends alike wherever it is caught", name)
	for f.end = range ends {
	}
	return f
}

func retries(s state, name string) int {
	for _, r := range s.Retry {
		if slices.Contains(r.ErrorEquals, name) {
			return r.MaxAttempts
		}
	}
	return 0
}

// caught is where the first catcher of the error leads.
func caught(s state, name string) string {
	for _, c := range s.Catch {
		if slices.Contains(c.ErrorEquals, name) || slices.Contains(c.ErrorEquals, "States.ALL") {
			return c.Next
		}
	}
	return ""
}

// end is the Fail state that a caught error comes to.
func end(m machine, at, name string) string {
	for m.States[at].Type == "Pass" {
		at = m.States[at].Next
	}
	if at == "Stop" {
		for _, c := range m.States[at].Choices {
			if c["StringEquals"] == name {
				return c["Next"].(string)
			}
		}
		return m.States[at].Default
	}
	return at
}

func TestThePageOfErrorsTellsWhatTheMachineDoes(t *testing.T) {
	m, _ := definition(t)
	fates, sections, text := documented(t)

	for _, name := range contract.ErrorNames() {
		assert.Contains(t, fates, string(name), "every name of the contract has its row")
		assert.Contains(t, sections, anchor(string(name)), "and its section")
	}
	for _, s := range m.States {
		for _, c := range s.Catch {
			for _, name := range c.ErrorEquals {
				if name != "States.ALL" {
					assert.Contains(t, fates, name, "every name that the machine catches")
				}
			}
		}
	}
	for _, s := range tasks(m) {
		for _, r := range s.Retry {
			for _, name := range r.ErrorEquals {
				assert.Contains(t, fates, name, "every name that the machine retries")
			}
		}
	}
	for name, told := range fates {
		if told.end == uncaught {
			assert.Contains(t, []string{"States.DataLimitExceeded", "TIMED_OUT"}, name)
			continue
		}
		assert.Equal(t, defined(t, m, name), told, name)
		fail := m.States[told.end]
		assert.Equal(t, "Fail", fail.Type, name)
		if fail.Error != "" { // Unexpected keeps what it was given
			assert.Equal(t, name, fail.Error)
		}
	}
	for section, body := range sections {
		for _, part := range []string{"**When it comes.**", "**What the machine does.**", "**What you see.**", "**How to mend it.**"} {
			assert.Equal(t, 1, strings.Count(body, part), "%s has %s", section, part)
		}
	}
	assert.Contains(t, text, m.States["TimedOut"].Cause, "the one cause that the definition itself holds")
	for _, name := range []string{"ExplainCrash", "ExplainLambda", "ExplainUnnamed"} {
		sentence, ok := strings.CutPrefix(m.States[name].Parameters.Cause.ErrorMessage, "States.Format('")
		require.True(t, ok, name)
		sentence, _, _ = strings.Cut(sentence, "{}")
		assert.Contains(t, text, sentence, "what %s says of an error", name)
	}
	assert.Contains(t, text, strconv.Itoa(m.TimeoutSeconds/60)+" minutes")
}
