package pages

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

// What the examples of docs/integrate ask a fleet, from the waves.json of the second tutorial, is what a fleet reads.

// waves returns the waves.json of the second tutorial.
func waves(t *testing.T) string {
	t.Helper()
	found := regexp.MustCompile("(?s)```json\n(\\[\\{.*?)```").FindStringSubmatch(read(t, "docs/tutorials/pipelines.md"))
	require.NotNil(t, found)
	return found[1]
}

// asks asserts that an input of a fleet is valid, and its request too.
func asks(t *testing.T, input, mode string) {
	t.Helper()
	require.NoError(t, valid(t, "fleet", input), input)
	var parsed struct {
		Regions []string
		Request json.RawMessage
		Waves   []any
		Output  struct{ Bucket, Prefix string }
	}
	require.NoError(t, json.Unmarshal([]byte(input), &parsed))
	require.NoError(t, valid(t, "apply-manifests", string(parsed.Request)), input)
	assert.Equal(t, []string{"eu-west-1", "us-east-1"}, parsed.Regions)
	assert.Len(t, parsed.Waves, 3)
	assert.Equal(t, []string{"reports", "kubestep/"}, []string{parsed.Output.Bucket, parsed.Output.Prefix})
	var request struct {
		Mode, Namespace string
		Source          struct{ Bucket, Key, VersionID string }
	}
	require.NoError(t, json.Unmarshal(parsed.Request, &request))
	assert.Equal(t, mode, request.Mode)
	assert.Equal(t, "shop", request.Namespace)
	assert.Equal(t, "expansion", request.Source.VersionID, "the last cluster gets what the first one got")
}

func TestTheScriptOfGitHubActionsAsksWhatAFleetReads(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"plan", "apply"} {
		folder := workplace(t)
		require.NoError(t, os.WriteFile(filepath.Join(folder, "waves.json"), []byte(waves(t)), 0o600))
		var workflow struct{ Env map[string]string }
		require.NoError(t, yaml.Unmarshal([]byte(read(t, "docs/integrate/github-actions.yaml")), &workflow))
		workflow.Env["REPORTS"] = "reports"
		text := "export MODE=" + mode
		for name, value := range workflow.Env {
			text += " " + name + "='" + value + "'"
		}
		fleets := of(shell(t, folder, mode, text+"\nbash docs/integrate/rollout.sh"), "kubestep")
		require.Len(t, fleets, 1)
		request := flag(fleets[0], "--request")
		input := map[string]any{"workflow": flag(fleets[0], "--workflow"), "request": json.RawMessage(request), "waves": json.RawMessage(waves(t))}
		var regions []string
		for _, word := range fleets[0].args {
			if region, ok := strings.CutPrefix(word, "--region="); ok {
				regions = append(regions, region)
			}
		}
		bucket, prefix, _ := strings.Cut(strings.TrimPrefix(flag(fleets[0], "--report"), "s3://"), "/")
		input["regions"], input["output"] = regions, map[string]string{"bucket": bucket, "prefix": prefix}
		encoded, err := json.Marshal(input)
		require.NoError(t, err)
		asks(t, string(encoded), mode)
		assert.Equal(t, "@waves.json", flag(fleets[0], "--waves"))
	}
}

func TestARolloutThatFailsInGitHubActionsSaysWhyInItsSummary(t *testing.T) {
	t.Parallel()
	folder := workplace(t)
	require.NoError(t, os.WriteFile(filepath.Join(folder, "bin", "kubestep"), []byte("#!/bin/sh\necho 'Wave canary stopped the rollout'\nexit 1\n"), 0o700))
	shell(t, folder, "rollout.sh", "export MODE=apply MANIFESTS=manifests REPORTS=reports REGIONS=eu-west-1 GITHUB_STEP_SUMMARY=steps\nbash docs/integrate/rollout.sh; [[ $? == 1 ]]")
	summary, err := os.ReadFile(filepath.Join(folder, "steps"))
	require.NoError(t, err)
	assert.Equal(t, "```text\nWave canary stopped the rollout\n```\n", string(summary))
}

func TestThePipelineAsksWhatAFleetReads(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("jq"); err != nil {
		t.Skip("jq is missing, which the image of CodeBuild has")
	}
	var pipeline struct {
		Resources struct {
			Render struct {
				Properties struct {
					Environment struct{ EnvironmentVariables []struct{ Name string } }
					Source      struct{ BuildSpec string }
				}
			}
		}
	}
	require.NoError(t, yaml.Unmarshal([]byte(read(t, "docs/integrate/pipeline.yml")), &pipeline))
	var build struct {
		Phases    struct{ Build struct{ Commands []string } }
		Artifacts struct{ Files []string }
	}
	render := pipeline.Resources.Render.Properties
	require.NoError(t, yaml.Unmarshal([]byte(render.Source.BuildSpec), &build))
	given := map[string]string{"MANIFESTS": "manifests", "REPORTS": "reports", "REGIONS": "eu-west-1,us-east-1", "NAMESPACE": "shop"}
	require.Len(t, render.Environment.EnvironmentVariables, len(given))
	text := "export"
	for _, variable := range render.Environment.EnvironmentVariables {
		require.Contains(t, given, variable.Name)
		text += " " + variable.Name + "=" + given[variable.Name]
	}

	folder := workplace(t)
	require.NoError(t, os.WriteFile(filepath.Join(folder, "waves.json"), []byte(waves(t)), 0o600))
	require.NoError(t, os.Mkdir(filepath.Join(folder, "manifests"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "manifests", "one.yaml"), []byte("kind: ConfigMap"), 0o600))
	shell(t, folder, "pipeline.yml", text+"\n"+strings.Join(build.Phases.Build.Commands, "\n"))
	assert.Equal(t, []string{"plan.json", "deploy.json"}, build.Artifacts.Files)
	for file, mode := range map[string]string{"plan.json": "plan", "deploy.json": "apply"} {
		input, err := os.ReadFile(filepath.Join(folder, file))
		require.NoError(t, err)
		asks(t, string(input), mode)
	}
}
