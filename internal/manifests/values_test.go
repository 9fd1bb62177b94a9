package manifests_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract/applymanifests"
)

// The output of an execution stays in its history.
func TestAPlanTellsNoValueOfWhatMayHoldASecret(t *testing.T) {
	for sentence, c := range map[string]struct{ manifest, at string }{
		"a Secret":                            {secret, "/api/v1/namespaces/shop/secrets/db"},
		"a ConfigMap with a Secret in it":     {strings.Replace(fmt.Sprintf(configMap, "a"), `{a: "1"}`, "\n  s.yaml: |\n    apiVersion: v1\n    kind: Secret\n    data: {pin: aHVudGVyMg==}", 1), path("a")},
		"a ConfigMap that had a Secret in it": {fmt.Sprintf(configMap, "a"), path("a")},
		"a ConfigMap of credentials":          {fmt.Sprintf(configMap, "db-credentials"), path("db-credentials")},
	} {
		t.Run(sentence, func(t *testing.T) {
			f := execution(t, c.manifest)
			kind := "ConfigMap"
			if sentence == "a Secret" {
				kind = "Secret"
			}
			live := map[string]any{"a": "0", "other": "hunter2"}
			if sentence == "a ConfigMap that had a Secret in it" {
				live["s.yaml"] = "apiVersion: v1\nkind: Secret\nstringData: {pin: hunter2}"
			}
			_, _, err := f.apply(t)
			require.NoError(t, err)
			f.objects[c.at]["data"], f.objects[c.at]["kind"] = live, kind
			plan, err := f.plan(t.Context())
			require.NoError(t, err)
			require.NotEmpty(t, plan.Objects[0].Changes)
			assert.Nil(t, plan.Objects[0].Values)
			text, err := json.Marshal(plan)
			require.NoError(t, err)
			assert.NotContains(t, string(text), "hunter2")
		})
	}
}

func TestNoObjectLeavesAPlanForValues(t *testing.T) {
	const n = 400
	f := execution(t, configMaps(n))
	_, _, err := f.apply(t)
	require.NoError(t, err)
	for i := range n {
		f.objects[path(fmt.Sprintf("c%d", i))]["data"] = map[string]any{"a": strings.Repeat("x", 100)}
	}
	plan, err := f.plan(t.Context())
	require.NoError(t, err)
	assert.Len(t, plan.Objects, n)
	assert.False(t, plan.Truncated)
	valued := 0
	for i, o := range plan.Objects {
		if o.Values != nil {
			valued++
			assert.Equal(t, valued, i+1, "the first ones have values")
			assert.Equal(t, []applymanifests.ChangedValue{{Before: `"` + strings.Repeat("x", 63) + "…", After: `"1"`}}, o.Values)
		}
	}
	assert.Greater(t, valued, 10)
	assert.Less(t, valued, n)
	text, err := json.Marshal(plan.Objects)
	require.NoError(t, err)
	assert.LessOrEqual(t, len(text), 48<<10)
}
