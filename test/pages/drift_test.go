package pages

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

// rule is a rule of docs/integrate/on-drift.yml.
type rule struct {
	Properties struct {
		EventPattern struct {
			Detail struct {
				Output []struct{ Wildcard string }
				Status []string
			}
		}
		Targets []struct {
			InputTransformer struct {
				InputPathsMap map[string]string
				InputTemplate string
			}
		}
	}
}

func rules(t *testing.T) map[string]rule {
	t.Helper()
	var parsed struct{ Resources map[string]rule }
	require.NoError(t, yaml.Unmarshal([]byte(read(t, "docs/integrate/on-drift.yml")), &parsed))
	return parsed.Resources
}

// matches is what EventBridge means by a wildcard: * is any number of characters.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
func matches(wildcard, text string) bool {
	return regexp.MustCompile("(?s)^" + strings.ReplaceAll(regexp.QuoteMeta(wildcard), `\*`, ".*") + "$").MatchString(text)
}

func TestTheRuleOfDriftMatchesOutputsThatSaySo(t *testing.T) {
	text := read(t, "internal/contract/applymanifests/testdata/apply-manifests.output.json")
	var output map[string]any
	require.NoError(t, json.Unmarshal([]byte(text), &output))
	require.Contains(t, output, "drift", "the name that the rule matches")
	hit := func(text string) bool {
		for _, one := range rules(t)["Drift"].Properties.EventPattern.Detail.Output {
			if matches(one.Wildcard, text) {
				return true
			}
		}
		return false
	}
	for _, drift := range []bool{true, false} {
		output["drift"] = drift
		// Text of a user's that looks like it.
		output["warnings"] = []string{`"drift":true`}
		compact, err := json.Marshal(output)
		require.NoError(t, err)
		assert.Equal(t, drift, hit(string(compact)), "%v, as Step Functions writes it", drift)
		spaced := bytes.ReplaceAll(compact, []byte(`"drift":`), []byte(`"drift": `))
		assert.Equal(t, drift, hit(string(spaced)), "%v, with a space", drift)
	}
}

func TestTheMessagesOfDriftAreJSON(t *testing.T) {
	for _, name := range []string{"Drift", "Failure"} {
		transformer := rules(t)[name].Properties.Targets[0].InputTransformer
		text := transformer.InputTemplate
		for key := range transformer.InputPathsMap {
			require.Contains(t, text, "<"+key+">", "it is used")
			text = strings.ReplaceAll(text, "<"+key+">", "arn:aws:states:eu-west-1:111122223333:execution:kubestep-apply-manifests:noon")
		}
		var message struct {
			Version, Source string
			Content         struct{ TextType, Description string }
		}
		require.NoError(t, json.Unmarshal([]byte(text), &message), text)
		assert.NotContains(t, text, "<", "everything is replaced")
		assert.Equal(t, "1.0", message.Version)
		assert.Equal(t, "custom", message.Source)
		assert.NotEmpty(t, message.Content.Description)
	}
}

func TestAPageLeadsToEachFileOfIntegrate(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(repository, "docs", "integrate", "*"))
	require.NoError(t, err)
	var pages strings.Builder
	for _, page := range documents(t) {
		pages.WriteString(read(t, page))
	}
	for _, file := range files {
		assert.True(t, strings.Contains(pages.String(), filepath.Base(file)+")"), "no page leads to %s", file)
	}
}
