package hack_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// container has the properties of .devcontainer/devcontainer.json that are used here: another one is a mistake, or belongs here.
// https://containers.dev/implementors/json_reference/
type container struct {
	Name             string                     `json:"name"`
	Image            string                     `json:"image"`
	Features         map[string]json.RawMessage `json:"features"`
	HostRequirements struct {
		CPUs    int    `json:"cpus"`
		Memory  string `json:"memory"`
		Storage string `json:"storage"`
	} `json:"hostRequirements"`
	ContainerEnv   map[string]string          `json:"containerEnv"`
	Customizations map[string]json.RawMessage `json:"customizations"`
}

func TestTheDevContainerHasTheVersionsThatTheTestsRunWith(t *testing.T) {
	decoder := json.NewDecoder(strings.NewReader(read(t, ".devcontainer/devcontainer.json")))
	decoder.DisallowUnknownFields()
	var c container
	require.NoError(t, decoder.Decode(&c))
	assert.Regexp(t, `^[a-z.]+/[a-z/-]+:[a-z]+-\d+\.\d+$`, c.Image, "it names a release of a distribution")
	assert.NotEmpty(t, c.Name)
	assert.GreaterOrEqual(t, c.HostRequirements.CPUs, 2)
	for _, size := range []string{c.HostRequirements.Memory, c.HostRequirements.Storage} {
		assert.Regexp(t, `^\d+gb$`, size)
	}

	versions := map[string]string{}
	for feature, options := range c.Features {
		name := regexp.MustCompile(`^ghcr\.io/devcontainers/features/([a-z]+):\d+$`).FindStringSubmatch(feature)
		require.NotNil(t, name, feature)
		var of struct{ Version string }
		require.NoError(t, json.Unmarshal(options, &of))
		versions[name[1]] = of.Version
	}
	found := func(text, pattern string) string {
		match := regexp.MustCompile(pattern).FindStringSubmatch(text)
		require.NotNil(t, match, pattern)
		return match[1]
	}
	workflow := read(t, ".github/workflows/kubestep.yml")
	assert.Equal(t, map[string]string{
		"go":     found(read(t, "go.mod"), `(?m)^toolchain go(\S+)$`),
		"python": found(workflow, `python-version: "(.+)"`),
		"node":   found(workflow, `node-version: "(.+)"`),
	}, versions)
	makefile := read(t, "Makefile")
	assert.Equal(t, map[string]string{
		"CGO_ENABLED": found(makefile, `(?m)^export CGO_ENABLED := (.+)$`),
		"GOFLAGS":     found(makefile, `(?m)^export GOFLAGS := \$\(GOFLAGS\) (.+)$`),
	}, c.ContainerEnv, "other flags would build all of Kubernetes again")
}
