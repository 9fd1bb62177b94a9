package access

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/kubestep/kubestep/internal/contract"
)

// An administrator passes the end of a cause on to kubectl, by the command of
// docs/errors.md: all that is applied must be the roles for this group.
func FuzzTheRolesOfACauseAreOurs(f *testing.F) {
	for _, hostile := range []string{
		"a", "x\n---\n{kind: ClusterRoleBinding}\n---\n#", "\r---\r", "\u2028---\u2028", "\u0085---\u0085", "\"\n---", "'", "- a: b", "!!binary x", "---", "...", "\xff\n---\n", "#", "a: b", "*",
	} {
		f.Add("denied to", hostile, hostile, hostile, hostile, hostile)
		f.Add(hostile, "web", "deployments", "apps", "shop", "appliers")
	}
	f.Fuzz(func(t *testing.T, message, name, resource, apiGroup, namespace, group string) {
		checks := []contract.Check{
			{Verb: "patch", Resource: resource, Group: apiGroup, Namespace: namespace, Name: name},
			{Verb: "get", Resource: "configmaps", Namespace: "shop", Name: name},
		}
		cause := WithRoles(message+describeChecks(checks), checks, group)
		// sed -n '/^---$/,$p'
		lines := strings.Split(cause, "\n")
		first := 0
		for first < len(lines) && lines[first] != "---" {
			first++
		}
		require.Equal(t, 1, first, "the roles begin on the second line")
		for i, document := range strings.Split("\n"+strings.Join(lines[first:], "\n"), "\n---\n")[1:] {
			var object struct {
				APIVersion string
				Kind       string
				Metadata   metadata
				Rules      []rule
				RoleRef    subject
				Subjects   []subject
			}
			require.NoError(t, yaml.UnmarshalStrict([]byte(document+"\n"), &object), document)
			assert.True(t, strings.HasPrefix(object.Metadata.Name, "kubestep-apply-"), object.Metadata.Name)
			if i%2 == 0 {
				assert.Contains(t, []string{"Role", "ClusterRole"}, object.Kind)
				for _, r := range object.Rules {
					for _, verb := range r.Verbs {
						assert.Contains(t, []string{"patch", "get"}, verb)
					}
				}
				continue
			}
			assert.Contains(t, []string{"RoleBinding", "ClusterRoleBinding"}, object.Kind)
			assert.Equal(t, object.Metadata.Name, object.RoleRef.Name)
			require.Len(t, object.Subjects, 1)
			assert.Equal(t, string([]rune(group)), object.Subjects[0].Name)
		}
	})
}
