package session_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/local/session"
)

func TestAShellEntersTheWorldAndLeavesItAsItWas(t *testing.T) {
	folder := session.Folder(t.TempDir())
	variables := map[string]string{"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_REGION": "eu-west-1", "QUOTED": "it's"}
	require.NoError(t, folder.WriteEnv(variables, "/tools"))
	read, err := folder.ReadEnv()
	require.NoError(t, err)
	assert.Equal(t, variables, read)

	const show = `echo "${AWS_ENDPOINT_URL-none} ${AWS_REGION-none} ${AWS_PROFILE-none} ${NO_PROXY-none} ${PATH##*:} ${QUOTED-none}"; `
	const inside = "http://127.0.0.1:1 eu-west-1 none 127.0.0.1,localhost,example.com /tools it's"
	const outside = "none us-east-1 mine example.com /bin none"
	for sentence, c := range map[string]struct{ script, want string }{
		"by deactivate":                     {". ENV; SHOW deactivate; SHOW", inside + "\n" + outside},
		"after it was entered twice":        {". ENV; . ENV; SHOW deactivate; SHOW", inside + "\n" + outside},
		"and may enter it again":            {". ENV; deactivate; . ENV; SHOW", inside},
		"without a deactivate that remains": {". ENV; deactivate; command -v deactivate || echo gone", "gone"},
		"and keeps the one of another environment": {
			"deactivate() { echo theirs; }; . ENV; deactivate; SHOW deactivate_kubestep; SHOW deactivate", "theirs\n" + inside + "\n" + outside + "\ntheirs",
		},
	} {
		for _, shell := range []string{"bash", "sh"} {
			t.Run(sentence+", in "+shell, func(t *testing.T) {
				script := strings.ReplaceAll(strings.ReplaceAll(c.script, "ENV", folder.EnvFile()), "SHOW", show)
				cmd := exec.CommandContext(t.Context(), shell, "-euc", script)
				cmd.Env = []string{"PATH=/usr/bin:/bin", "AWS_REGION=us-east-1", "AWS_PROFILE=mine", "NO_PROXY=example.com"}
				out, err := cmd.CombinedOutput()
				require.NoError(t, err, string(out))
				assert.Equal(t, c.want, strings.TrimSpace(string(out)))
			})
		}
	}
}
