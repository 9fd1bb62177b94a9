package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

const (
	repository = "../.."
	version    = "v1.2.3"
)

func TestAnArchiveHoldsNothingOfWhenAndByWhomItWasMade(t *testing.T) {
	packed := packTar(file{"LICENSE", 0o644, []byte("text")}, file{"kubestep", 0o755, []byte("binary")})
	assert.Equal(t, packed, packTar(file{"LICENSE", 0o644, []byte("text")}, file{"kubestep", 0o755, []byte("binary")}))
	unzipped, err := gzip.NewReader(bytes.NewReader(packed))
	require.NoError(t, err)
	assert.True(t, unzipped.ModTime.IsZero())
	archive := tar.NewReader(unzipped)
	for _, want := range []string{"LICENSE", "kubestep"} {
		header, err := archive.Next()
		require.NoError(t, err)
		assert.Equal(t, want, header.Name)
		assert.True(t, header.ModTime.Equal(modified))
		assert.Zero(t, header.Uid)
		assert.Empty(t, header.Uname)
	}
	_, err = archive.Next()
	assert.ErrorIs(t, err, io.EOF)
}

func TestTheControlPlaneOfAReleaseTellsTheVersionThatTheMakefileSets(t *testing.T) {
	flags, err := release{root: repository}.kubernetesFlags()
	require.NoError(t, err)
	makefile, err := os.ReadFile(filepath.Join(repository, "Makefile"))
	require.NoError(t, err)
	version := regexp.MustCompile(`(?m)^KUBERNETES := (v(\d+)\.(\d+)\.\d+)$`).FindStringSubmatch(string(makefile))
	require.NotNil(t, version)
	const variable = " -X k8s.io/component-base/version.git"
	assert.Equal(t, "-s -w"+variable+"Version="+version[1]+variable+"Major="+version[2]+variable+"Minor="+version[3], flags)
}

func TestWhatPrebuiltAsksForIsWhatAReleaseHas(t *testing.T) {
	script, err := os.ReadFile(filepath.Join(repository, "hack", "prebuilt.sh"))
	require.NoError(t, err)
	for _, archive := range []string{"controlplane", "local"} {
		assert.Contains(t, string(script), archive+strings.Replace(platform{"SYSTEM", "ARCHITECTURE"}.suffix("${version}"), "SYSTEM_ARCHITECTURE", "$platform", 1))
	}
	assert.Contains(t, fmt.Sprint(platforms), "linux_amd64 linux_arm64 darwin_amd64 darwin_arm64")
}

func TestTheTemplateOfAReleaseFindsEverythingInABucket(t *testing.T) {
	r := release{root: repository, out: t.TempDir(), version: version}
	require.NoError(t, r.template(t.Context()))
	template, err := os.ReadFile(filepath.Join(r.out, "template.yml"))
	require.NoError(t, err)
	assert.NotRegexp(t, `(CodeUri|DefinitionUri): \S`, string(template))

	keys := map[string]bool{}
	for _, key := range regexp.MustCompile(`Bucket: !Ref CodeBucket\n +Key: !Sub "\$\{CodePrefix\}(.+)"`).FindAllStringSubmatch(string(template), -1) {
		keys[key[1]] = true
	}
	programs, err := filepath.Glob(filepath.Join(repository, "functions", "*", "main.go"))
	require.NoError(t, err)
	for _, program := range programs {
		name := filepath.Base(filepath.Dir(program)) + "-v1.2.3.zip"
		assert.Contains(t, keys, name)
		delete(keys, name)
	}
	for name := range keys {
		assert.FileExists(t, filepath.Join(r.out, name), "and nothing that a release has not")
	}
}

func TestTheSBOMIsTheSameInARepositoryAndInACopy(t *testing.T) {
	const sbom = `{"metadata":{"component":{"bom-ref":"pkg:golang/github.com/kubestep/kubestep%s?type=module"%s}},
		"dependencies":[{"ref":"pkg:golang/github.com/kubestep/kubestep%[1]s"},{"ref":"pkg:golang/github.com/kubestep/other@v1"}]}`
	repository, err := withVersion(fmt.Sprintf(sbom, "@v0.0.0-20261124062309-7223d95a746e", `,"version":"v0.0.0"`), version)
	require.NoError(t, err)
	folder, err := withVersion(fmt.Sprintf(sbom, "", ""), version)
	require.NoError(t, err)
	assert.Equal(t, string(repository), string(folder))
	assert.JSONEq(t, fmt.Sprintf(sbom, "@v1.2.3", `,"version":"v1.2.3"`), string(folder))
}

func TestNotesAreArrangedByArea(t *testing.T) {
	assert.Equal(t, `# kubestep v1.2.3

docs/deploy.md says how to deploy these files and how to check where they come from.

Changes since v1.2.2:

## README, docs

- say more (c3)

## local

- start faster (a1)
- stop faster (b2)

## other

- A subject without an area (d4)
`, notes(version, "v1.2.2", "a1 local: start faster\nc3 README, docs: say more\nb2 local: stop faster\nd4 A subject without an area\n"))
}

func TestAVersionIsOneOfSemVer(t *testing.T) {
	for _, wrong := range []string{"", "1.2.3", "v1.2", "v01.2.3", "v1.2.3 ", "v1.2.3+build", "latest"} {
		out := filepath.Join(t.TempDir(), "kept")
		assert.ErrorContains(t, release{repository, out, wrong}.make(t.Context(), "", true, false), "is not a version such as v1.2.3")
		assert.NoDirExists(t, out)
	}
	assert.Regexp(t, semver, "v1.2.3-rc.1")
}

// workflow is the part of a GitHub Actions workflow that this test reads.
type workflow struct {
	Permissions map[string]string `yaml:"permissions"`
	Jobs        map[string]struct {
		Permissions map[string]string `yaml:"permissions"`
		Steps       []struct {
			Uses string `yaml:"uses"`
			Run  string `yaml:"run"`
		} `yaml:"steps"`
	} `yaml:"jobs"`
}

func TestTheWorkflowPinsItsActionsAndMayDoLittle(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(repository, ".github", "workflows", "kubestep.yml"))
	require.NoError(t, err)
	var w workflow
	require.NoError(t, yaml.Unmarshal(text, &w))
	assert.Equal(t, map[string]string{"contents": "read"}, w.Permissions)
	makefile, err := os.ReadFile(filepath.Join(repository, "Makefile"))
	require.NoError(t, err)
	require.NotEmpty(t, w.Jobs)
	for name, job := range w.Jobs {
		if name != "release" {
			assert.Empty(t, job.Permissions, name)
		}
		for _, step := range job.Steps {
			if step.Uses != "" {
				assert.Regexp(t, `^actions/[a-z-]+@[0-9a-f]{40}$`, step.Uses)
			}
			for _, target := range regexp.MustCompile(`\bmake (?:-C \S+ )?([a-z-]+)`).FindAllStringSubmatch(step.Run, -1) {
				assert.Regexp(t, "(?m)^"+target[1]+":", string(makefile))
			}
		}
	}
}

func TestAReleaseHasTheManualPageOfTheCommand(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds the command")
	}
	page, err := release{root: repository, version: version}.manual(t.Context())
	require.NoError(t, err)
	assert.True(t, bytes.HasPrefix(page, []byte(".TH KUBESTEP 1 ")))
	assert.NotContains(t, string(page), version, "it is the same in each")
}
