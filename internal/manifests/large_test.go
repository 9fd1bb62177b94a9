package manifests_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract/applymanifests"
)

// heavy is an object of 1.4 MiB as JSON, which etcd takes.
func heavy(data string) map[string]any {
	return map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "a", "namespace": "shop", "resourceVersion": "7"},
		"data": map[string]any{"a": data, "zeros": strings.Repeat("0", 1400<<10)},
	}
}

func TestALargeObjectIsReviewedPlannedAndAppliedAsAnyOther(t *testing.T) {
	f := execution(t, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a: new, zeros: \""+strings.Repeat("0", 1400<<10)+"\"}\n")
	f.objects[path("a")] = heavy("old")
	f.denied["create configmaps shop/"] = true // so that a review asks whether it is there
	_, err := f.applier.Verify(t.Context(), applymanifests.VerifyApply{Session: f.session})
	require.NoError(t, err)
	plan, applied, err := f.apply(t)
	require.NoError(t, err)
	assert.Equal(t, 1, plan.Configured)
	assert.Equal(t, 1, applied.Applied)
}
