package hack_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// checkout is a folder of sources, and the computer that it is on.
type checkout struct {
	root, bin string
	releases  *httptest.Server
	// taken are the paths that were asked for, in order.
	taken []string
}

// newCheckout serves a release of version v1.2.3 for Linux on amd64, to a checkout on a computer of the given kind.
func newCheckout(t *testing.T, machine string, change func(files map[string][]byte)) *checkout {
	t.Helper()
	files := map[string][]byte{
		"controlplane_v1.2.3_linux_amd64.tar.gz": archive(t, map[string]string{"LICENSE": "free", "controlplane": "of v1.2.3", "kubectl": "of v1.2.3"}),
		"local_v1.2.3_linux_amd64.tar.gz":        archive(t, map[string]string{"local": "of v1.2.3", "kubestep": "of v1.2.3", "list-pods/bootstrap": "of v1.2.3"}),
	}
	var sums strings.Builder
	for name, content := range files {
		_, _ = fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(content), name)
	}
	files["SHA256SUMS"] = []byte(sums.String())
	if change != nil {
		change(files)
	}
	c := &checkout{root: t.TempDir(), bin: t.TempDir()}
	c.releases = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.taken = append(c.taken, r.URL.Path)
		name, ofRelease := strings.CutPrefix(r.URL.Path, "/v1.2.3/")
		content, ok := files[name]
		if !ofRelease || !ok {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(content)
	}))
	t.Cleanup(c.releases.Close)
	script, err := os.ReadFile("prebuilt.sh")
	require.NoError(t, err)
	c.write(t, filepath.Join(c.root, "hack", "prebuilt.sh"), string(script))
	system, architecture, _ := strings.Cut(machine, " ")
	c.write(t, filepath.Join(c.bin, "uname"), fmt.Sprintf("#!/bin/sh\ncase $1 in -s) echo %s ;; -m) echo %s ;; esac\n", system, architecture))
	c.write(t, filepath.Join(c.bin, "go"), "#!/bin/sh\n")
	c.write(t, filepath.Join(c.bin, "make"), "#!/bin/sh\necho made \"$@\" >&2\n")
	return c
}

func (c *checkout) write(t *testing.T, name, text string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o700))
	require.NoError(t, os.WriteFile(name, []byte(text), 0o700))
}

func archive(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var packed bytes.Buffer
	zipped := gzip.NewWriter(&packed)
	w := tar.NewWriter(zipped)
	for name, text := range files {
		require.NoError(t, w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(text))}))
		_, err := w.Write([]byte(text))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	require.NoError(t, zipped.Close())
	return packed.Bytes()
}

func (c *checkout) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = c.root
	cmd.Env = append(os.Environ(), "PATH="+c.bin+string(os.PathListSeparator)+os.Getenv("PATH"), "RELEASES="+c.releases.URL, "MAKE=make",
		// No repository around the folder of the test, and nobody's settings.
		"GIT_CEILING_DIRECTORIES="+filepath.Dir(c.root), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_SYSTEM="+os.DevNull)
	return cmd
}

func (c *checkout) git(t *testing.T, args ...string) {
	t.Helper()
	said, err := c.command(t.Context(), "git", append([]string{"-c", "user.name=a", "-c", "user.email=a@b.c"}, args...)...).CombinedOutput()
	require.NoError(t, err, "%s", said)
}

// prebuilt runs prebuilt.sh, and returns what it says.
func (c *checkout) prebuilt(t *testing.T, version string) (said string, err error) {
	t.Helper()
	c.taken = nil
	out, err := c.command(t.Context(), filepath.Join(c.root, "hack", "prebuilt.sh"), version, "build/local").CombinedOutput()
	left, globErr := filepath.Glob(filepath.Join(c.root, "build", "local", "prebuilt-*"))
	require.NoError(t, globErr)
	assert.Empty(t, left, "it leaves no folder of its own")
	return string(out), err
}

func (c *checkout) has(program string) string {
	text, err := os.ReadFile(filepath.Join(c.root, "build", "local", program))
	if err != nil {
		return "nothing"
	}
	return string(text)
}

func TestPrebuiltTakesAReleaseOnceAndBuildsNothing(t *testing.T) {
	c := newCheckout(t, "Linux x86_64", nil)
	said, err := c.prebuilt(t, "v1.2.3")
	require.NoError(t, err, said)
	for _, program := range []string{"controlplane", "kubectl", "local", "kubestep", "list-pods/bootstrap"} {
		assert.Equal(t, "of v1.2.3", c.has(program), program)
	}
	assert.NotContains(t, said, "made")
	assert.Equal(t, []string{"/v1.2.3/SHA256SUMS", "/v1.2.3/controlplane_v1.2.3_linux_amd64.tar.gz", "/v1.2.3/local_v1.2.3_linux_amd64.tar.gz"}, c.taken)

	said, err = c.prebuilt(t, "v1.2.3")
	require.NoError(t, err, said)
	assert.Empty(t, c.taken, "it is there already")
}

func TestPrebuiltTakesTheFunctionsOfAReleaseOnlyIfTheSourcesAreItsOwn(t *testing.T) {
	c := newCheckout(t, "Linux x86_64", nil)
	c.write(t, filepath.Join(c.root, ".gitignore"), "/build/\n")
	c.git(t, "init", "--quiet")
	c.git(t, "add", ".")
	c.git(t, "commit", "--quiet", "-m", "one")
	c.git(t, "tag", "v1.2.3")
	said, err := c.prebuilt(t, "1")
	require.NoError(t, err, said)
	assert.Equal(t, "of v1.2.3", c.has("list-pods/bootstrap"))

	c.write(t, filepath.Join(c.root, "hack", "another.sh"), "")
	c.git(t, "add", ".")
	said, err = c.prebuilt(t, "1")
	require.NoError(t, err, said)
	assert.Empty(t, c.taken, "the control plane is there")
	assert.Contains(t, said, "these sources are not those of v1.2.3: the functions and commands are built from them")
	assert.Contains(t, said, "made --no-print-directory programs")

	c.git(t, "reset", "--quiet", "--hard", "v1.2.3")
	said, err = c.prebuilt(t, "1")
	require.NoError(t, err, said)
	assert.Equal(t, []string{"/v1.2.3/SHA256SUMS", "/v1.2.3/local_v1.2.3_linux_amd64.tar.gz"}, c.taken, "what was built meanwhile is of other sources")

	require.NoError(t, os.RemoveAll(filepath.Join(c.root, "build")))
	c.git(t, "rm", "--quiet", ".gitignore")
	said, err = c.prebuilt(t, "1")
	require.NoError(t, err, said)
	assert.Equal(t, "of v1.2.3", c.has("controlplane"))
	assert.Equal(t, "nothing", c.has("list-pods/bootstrap"))
}

func TestPrebuiltRefusesAndSaysHowToGoOn(t *testing.T) {
	const goOn = ". Without PREBUILT, make builds it from the sources, which takes some minutes once\n"
	for sentence, test := range map[string]struct {
		machine, version string
		change           func(files map[string][]byte)
		want             []string
	}{
		"an archive whose sum is another": {
			change: func(files map[string][]byte) {
				files["controlplane_v1.2.3_linux_amd64.tar.gz"] = archive(t, map[string]string{"controlplane": "of an attacker"})
			},
			want: []string{"controlplane_v1.2.3_linux_amd64.tar.gz is not what release v1.2.3 has: its SHA-256 is ", "Nothing of it is kept", "SECURITY.md"},
		},
		"the second archive, though the first is right": {
			change: func(files map[string][]byte) { files["local_v1.2.3_linux_amd64.tar.gz"] = []byte("cut") },
			want:   []string{"local_v1.2.3_linux_amd64.tar.gz is not what release v1.2.3 has"},
		},
		"a platform that there is no release for": {
			machine: "Linux riscv64",
			want:    []string{"release v1.2.3 has no controlplane_v1.2.3_linux_riscv64.tar.gz: it was not made for linux_riscv64"},
		},
		"a Mac, if the release was made for Linux alone": {
			machine: "Darwin arm64",
			want:    []string{"it was not made for darwin_arm64"},
		},
		"a release that is not there": {
			version: "v9.9.9",
			want:    []string{"cannot take http://127.0.0.1:", "/v9.9.9/SHA256SUMS: curl: (22) The requested URL returned error: 404"},
		},
		"what is no version": {version: "latest", want: []string{"'latest' is not a version such as v1.2.3"}},
		"sources of which nobody knows the release": {
			version: "1",
			want:    []string{"git knows no release that these sources contain. Name one, as in make run PREBUILT=v1.2.3"},
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			machine, version := test.machine, test.version
			if machine == "" {
				machine = "Linux x86_64"
			}
			if version == "" {
				version = "v1.2.3"
			}
			c := newCheckout(t, machine, test.change)
			said, err := c.prebuilt(t, version)
			require.Error(t, err, said)
			for _, want := range test.want {
				assert.Contains(t, said, want)
			}
			assert.True(t, strings.HasSuffix(said, goOn), said)
			assert.Equal(t, "nothing", c.has("controlplane"))
			assert.Equal(t, "nothing", c.has("local"))
		})
	}
}

func TestProgressSaysHowManyStepsAreDoneAndShowsTheRestOnlyOfAFailure(t *testing.T) {
	run := func(script string) (string, error) {
		cmd := exec.CommandContext(t.Context(), "./progress.sh", "packages compiled", "3", "^[^ :#]+$", "sh", "-c", script)
		cmd.Env = append(os.Environ(), "PROGRESS_SECONDS=0")
		said, err := cmd.CombinedOutput()
		return string(said), err
	}
	const steps = "echo a/b; echo c >&2; echo '# c'; echo 'c.go:1:2: wrong'; printf d"
	said, err := run(steps)
	require.NoError(t, err)
	assert.Equal(t, "· packages compiled: 1 of 3\n· packages compiled: 2 of 3\n· packages compiled: 3 of 3\n", said)
	said, err = run(steps + "; exit 3")
	require.Error(t, err)
	assert.True(t, strings.HasSuffix(said, "# c\nc.go:1:2: wrong\n"), said)
}
