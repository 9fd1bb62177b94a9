package pages

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// documents returns all pages for people, by their paths in the repository.
func documents(t *testing.T) []string {
	t.Helper()
	var found []string
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md", "rbac/*.md"} {
		matches, err := filepath.Glob(filepath.Join(repository, pattern))
		require.NoError(t, err)
		for _, match := range matches {
			name, err := filepath.Rel(repository, match)
			require.NoError(t, err)
			found = append(found, filepath.ToSlash(name))
		}
	}
	require.Contains(t, found, "docs/deploy.md")
	return found
}

var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

func TestEveryLinkBetweenPagesLeadsSomewhere(t *testing.T) {
	for _, page := range documents(t) {
		for _, target := range link.FindAllStringSubmatch(read(t, page), -1) {
			path, anchor, _ := strings.Cut(target[1], "#")
			if strings.Contains(path, "://") {
				continue
			}
			file := page
			if path != "" {
				file = filepath.Join(filepath.Dir(page), path)
			}
			_, err := os.Stat(filepath.Join(repository, file))
			if assert.NoError(t, err, "%s: %s", page, target[1]) && anchor != "" {
				assert.Contains(t, anchors(read(t, file)), anchor, "%s: %s", page, target[1])
			}
		}
	}
}

// anchors returns the anchors that GitHub makes of headings, and those of a page itself.
func anchors(text string) []string {
	var found []string
	for _, id := range regexp.MustCompile(`<a id="([^"]+)">`).FindAllStringSubmatch(text, -1) {
		found = append(found, id[1])
	}
	for _, heading := range regexp.MustCompile("(?m)^#+ (.+)$").FindAllStringSubmatch(text, -1) {
		name := regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(heading[1]), "")
		found = append(found, strings.ReplaceAll(name, " ", "-"))
	}
	return found
}

func TestTheIndexLeadsToEveryPage(t *testing.T) {
	var led []string
	for _, target := range link.FindAllStringSubmatch(read(t, "docs/README.md"), -1) {
		led = append(led, filepath.ToSlash(filepath.Join("docs", target[1])))
	}
	for _, page := range documents(t) {
		if page != "docs/README.md" {
			assert.Contains(t, led, page)
		}
	}
}

// An indented block of a page is commands, or JSON. errors.md and ARCHITECTURE.md show what causes and folders look like.
func TestEveryCommandIsRunByATestOrSaysWhatItNeeds(t *testing.T) {
	sources, err := filepath.Glob(filepath.Join(repository, "test", "*_test.go"))
	require.NoError(t, err)
	var tests strings.Builder
	for _, source := range sources {
		content, err := os.ReadFile(source)
		require.NoError(t, err)
		tests.Write(content)
	}
	workflow := read(t, ".github/workflows/kubestep.yml")
	fenced := regexp.MustCompile("(?ms)^```(\\w*)\n(.*?)^```$")
	for _, page := range documents(t) {
		if page == "docs/errors.md" || page == "ARCHITECTURE.md" {
			continue
		}
		text := read(t, page)
		for _, block := range fenced.FindAllStringSubmatch(text, -1) {
			if block[1] == "sh" || block[1] == "" {
				assert.Regexp(t, "^# needs [A-Z]", block[2], page)
			}
		}
		for _, block := range regexp.MustCompile("(?m)(?:^    \\S.*\n)+").FindAllString(fenced.ReplaceAllString(text, ""), -1) {
			switch {
			case strings.HasPrefix(block, "    {"):
			case page == "CONTRIBUTING.md":
				for _, command := range regexp.MustCompile(`(?m)^    (\S+ \S+)`).FindAllStringSubmatch(block, -1) {
					assert.Contains(t, workflow, "- run: "+command[1])
				}
			default:
				assert.True(t, strings.Contains(tests.String(), `commands(t, "`+page+`")`), "%s: no test runs\n%s", page, block)
			}
		}
	}
}

func TestEveryParameterIsNamed(t *testing.T) {
	var text strings.Builder
	for _, page := range documents(t) {
		if page != "docs/security.md" { // it is generated, and names them anyhow
			text.WriteString(read(t, page))
		}
	}
	for name := range readTemplate(t).Parameters {
		assert.True(t, strings.Contains(text.String(), "`"+name+"`"), name)
	}
}

func TestTheDefaultsOfParametersAreThoseOfTheTemplate(t *testing.T) {
	parameters := readTemplate(t).Parameters
	rows := regexp.MustCompile("(?m)^\\| ((?:`[A-Z]\\w+`(?:, )?)+) \\| ([^|]+) \\|").FindAllStringSubmatch(read(t, "docs/deploy.md"), -1)
	require.Greater(t, len(rows), 20)
	for _, row := range rows {
		names := regexp.MustCompile(`[A-Z]\w+`).FindAllString(row[1], -1)
		defaults := strings.Split(row[2], ", ")
		for i, name := range names {
			want := "none"
			if parameters[name].Default == nil {
				require.Contains(t, parameters, name)
			} else if *parameters[name].Default != "" {
				want = "`" + *parameters[name].Default + "`"
			}
			assert.Equal(t, want, defaults[min(i, len(defaults)-1)], name)
		}
	}
}

func TestThePageOfOperationsHasEveryAlarmAndQuery(t *testing.T) {
	page, text := read(t, "docs/operating.md"), read(t, "template.yml")
	alarms := regexp.MustCompile(`(?m)^  (\w+Alarm):$`).FindAllStringSubmatch(text, -1)
	require.Greater(t, len(alarms), 10)
	rows := regexp.MustCompile("(?m)^\\| `(…?)(\\w+Alarm)`").FindAllStringSubmatch(page, -1)
	described := func(alarm string) bool {
		return slices.ContainsFunc(rows, func(row []string) bool {
			return alarm == row[2] || row[1] != "" && strings.HasSuffix(alarm, row[2])
		})
	}
	for _, alarm := range alarms {
		assert.True(t, described(alarm[1]), "no row says what %s means", alarm[1])
	}
	for _, row := range rows {
		assert.True(t, slices.ContainsFunc(alarms, func(alarm []string) bool { return strings.HasSuffix(alarm[1], row[2]) }), "there is no alarm %s", row[2])
	}
	queries := regexp.MustCompile(`Name: !Sub "\$\{AWS::StackName\}/([^"]+)"`).FindAllStringSubmatch(text, -1)
	require.NotEmpty(t, queries)
	for _, query := range queries {
		assert.Contains(t, page, "**"+query[1]+"**")
	}
	assert.False(t, described("OtherAlarm"))
}

func TestEveryCellOfTheComparisonHasASource(t *testing.T) {
	text := read(t, "docs/compare.md")
	sources := regexp.MustCompile(`(?m)^(\d+)\. `).FindAllStringSubmatch(text, -1)
	require.NotEmpty(t, sources)
	var cited []string
	rows := regexp.MustCompile(`(?m)^\| [^|\n]+\|.+\|$`).FindAllString(text, -1)
	require.Greater(t, len(rows), 10)
	for _, row := range rows {
		for _, cell := range strings.Split(strings.Trim(row, "|"), "|")[1:] {
			numbers := regexp.MustCompile(`\[(\d+)\]`).FindAllStringSubmatch(cell, -1)
			assert.NotEmpty(t, numbers, cell)
			for _, number := range numbers {
				cited = append(cited, number[1])
			}
		}
	}
	for _, source := range sources {
		assert.Contains(t, cited, source[1], "a source that nothing cites")
	}
	slices.Sort(cited)
	assert.Len(t, slices.Compact(cited), len(sources), "each is listed")
}

func TestTheGlossaryHasEveryNameInState(t *testing.T) {
	text := read(t, "docs/how-it-works.md")
	definitions, err := filepath.Glob(filepath.Join(repository, "statemachine", "*.asl.json"))
	require.NoError(t, err)
	require.NotEmpty(t, definitions)
	for _, definition := range definitions {
		content, err := os.ReadFile(definition)
		require.NoError(t, err)
		for _, name := range regexp.MustCompile(`"ResultPath": "(\$\.\w+)`).FindAllStringSubmatch(string(content), -1) {
			assert.Contains(t, text, "| `"+name[1]+"` |", filepath.Base(definition))
		}
	}
	for _, state := range regexp.MustCompile(`\b(?:[A-Z][a-z]+){2,}\b`).FindAllString(text, -1) {
		assert.True(t, known(t, state), "%s is not the name of a state", state)
	}
}

// known reports whether a word of two capitals names a state, or is one of others' names.
func known(t *testing.T, word string) bool {
	t.Helper()
	if slices.Contains([]string{"SelfSubjectAccessReview"}, word) {
		return true
	}
	definitions, err := filepath.Glob(filepath.Join(repository, "statemachine", "*.asl.json"))
	require.NoError(t, err)
	for _, definition := range definitions {
		content, err := os.ReadFile(definition)
		require.NoError(t, err)
		if strings.Contains(string(content), `"`+word+`"`) {
			return true
		}
	}
	return false
}
