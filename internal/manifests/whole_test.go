package manifests_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/input"
	"github.com/kubestep/kubestep/internal/kube/kubetest"
	"github.com/kubestep/kubestep/internal/manifests"
	workflowmanifests "github.com/kubestep/kubestep/internal/workflow/applymanifests"
)

func TestAnExecutionThatPlansAppliesNothing(t *testing.T) {
	f := execution(t, configMaps(1), func(r *applymanifests.Request) { r.Mode = applymanifests.ModePlan })
	plan, err := f.plan(t.Context())
	require.NoError(t, err)
	_, err = f.applier.Apply(t.Context(), applymanifests.ApplyManifests{Session: f.session, Plan: plan})
	name, message := kubetest.Told(t, err)
	assert.Equal(t, "InvalidInput", name)
	assert.Contains(t, message, `request.mode: "plan": nothing is applied but in mode "apply"`)
}

func TestAWholeRequestIsReadAsLoadManifestsReadsIt(t *testing.T) {
	const (
		secret = `apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {password: hunter2}`
		role   = `apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: a}\nrules: []`
		well   = `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {password: hunter2}`
	)
	for sentence, c := range map[string]struct{ given, want string }{
		"a ConfigMap":                         {`{"manifests":"` + well + `"}`, ""},
		"a source, which is read by its name": {`{"source":{"bucket":"abc","key":"k"}}`, ""},
		"a kind that the stack allows":        {`{"manifests":"` + role + `"}`, ""},
		"a kind that it does not":             {`{"manifests":"` + `apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: a}\nrules: []` + `"}`, "manifests: The manifests have 1 problem"},
		"a Secret":                            {`{"manifests":"` + secret + `"}`, "manifests: The manifests have 1 problem: document 1"},
		"a Secret among others":               {`{"manifests":"` + well + `\n---\n` + secret + `"}`, "document 2"},
		"a Secret in an array":                {`{"manifests":[{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a"},"stringData":{"password":"hunter2"}}]}`, "manifests: The manifests have 1 problem"},
		"a Secret in a List":                  {`{"manifests":[{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a"},"data":{"password":"aHVudGVyMg=="}}]}]}`, "manifests: The manifests have 1 problem"},
		"a Secret in broken YAML":             {`{"manifests":"` + secret + `\n  password: [hunter2"}`, "manifests: The manifests have 1 problem"},
		"YAML that is broken":                 {`{"manifests":"apiVersion: v1\nkind: ConfigMap\ndata: {password: hunter2"}`, "manifests: The manifests have 1 problem"},
		"no object":                           {`{"manifests":"# hunter2"}`, "manifests: The manifests hold no object"},
		"another type":                        {`{"manifests":7}`, "1 problem. manifests: expected a string of YAML documents or an array of objects"},
	} {
		t.Run(sentence, func(t *testing.T) {
			f := input.Read(json.RawMessage(c.given), "{}")
			manifests.CheckInline(manifests.Rules{AllowedKinds: []string{"Role"}})(f, workflowmanifests.Read(f))
			err := f.Err()
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.want)
			assert.NotContains(t, err.Error(), "hunter2")
			assert.NotContains(t, err.Error(), "aHVudGVyMg")
		})
	}
}
