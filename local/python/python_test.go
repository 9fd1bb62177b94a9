package python

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func options(t *testing.T) Options {
	t.Helper()
	return Options{Dir: t.TempDir(), Logs: t.TempDir(), Say: t.Logf}
}

func TestAnEnvironmentServesAsLongAsItWasMadeOfTheseRequirements(t *testing.T) {
	venv := t.TempDir()
	assert.False(t, installed(venv), "nothing, or an installation that was broken off")
	require.NoError(t, os.WriteFile(marker(venv), []byte("moto==5.2.4\n"), 0o600))
	assert.False(t, installed(venv), "another one")
	require.NoError(t, os.WriteFile(marker(venv), Requirements, 0o600))
	assert.False(t, installed(venv), "one whose Python is gone")
	require.NoError(t, os.Mkdir(filepath.Join(venv, "bin"), 0o700))
	require.NoError(t, os.WriteFile(interpreter(venv), nil, 0o600))
	assert.True(t, installed(venv))
}

func TestAMachineWithoutPythonGetsOneClearSentence(t *testing.T) {
	for name, scripts := range map[string]map[string]string{
		"none":                {},
		"one that is too old": {"python3": `echo '{"version":[3,9],"serves":true}'`},
		"one that is broken":  {"python3": "exit 127", "python": "exit 1"},
	} {
		t.Run(name, func(t *testing.T) {
			bin := t.TempDir()
			for name, script := range scripts {
				require.NoError(t, os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+script+"\n"), 0o700))
			}
			t.Setenv("PATH", bin)

			_, err := Find(t.Context(), options(t))

			require.EqualError(t, err, "there is no Python 3.10 or newer here, which moto, the local Step Functions, runs on: "+
				"install Python 3 (with its venv module) and try again")
		})
	}
}

func TestAPythonThatHasWhatIsNeededServesAsItIs(t *testing.T) {
	bin := t.TempDir()
	program := filepath.Join(bin, "python3")
	require.NoError(t, os.WriteFile(program, []byte("#!/bin/sh\necho '{\"version\":[3,12],\"serves\":true}'\n"), 0o700))
	t.Setenv("PATH", bin)

	found, err := Find(t.Context(), options(t))

	require.NoError(t, err)
	assert.Equal(t, program, found)
}

func TestAnInstallationThatFailsSaysWhatIsMissing(t *testing.T) {
	for name, test := range map[string]struct{ script, want string }{
		"no venv": {
			`case "$1" in -c) echo '{"version":[3,12],"serves":false}';; *) echo no ensurepip; exit 1;; esac`,
			"install Python's venv module, python3-venv on Debian and Ubuntu",
		},
		"no network": {
			`case "$2" in
			   venv) mkdir -p "$3/bin"; cp "$0" "$3/bin/python";;
			   pip) echo ERROR: no network; exit 1;;
			   *) echo '{"version":[3,12],"serves":false}';;
			 esac`,
			"pip cannot install moto (exit status 1): ERROR: no network; see ",
		},
	} {
		t.Run(name, func(t *testing.T) {
			bin, o := t.TempDir(), options(t)
			require.NoError(t, os.WriteFile(filepath.Join(bin, "python3"), []byte("#!/bin/sh\n"+test.script+"\n"), 0o700))
			t.Setenv("PATH", bin+":/bin:/usr/bin")

			_, err := Find(t.Context(), o)

			require.ErrorContains(t, err, test.want)
			assert.False(t, installed(filepath.Join(o.Dir, "venv")))
		})
	}
}

func TestOneProcessInstallsAtATime(t *testing.T) {
	name := filepath.Join(t.TempDir(), "below", "venv.lock")
	unlock, err := lock(name)
	require.NoError(t, err)
	second := make(chan func())
	go func() {
		unlock, err := lock(name)
		assert.NoError(t, err)
		second <- unlock
	}()
	select {
	case <-second:
		t.Fatal("the second has the lock while the first holds it")
	case <-time.After(50 * time.Millisecond):
	}
	unlock()
	(<-second)()
}
