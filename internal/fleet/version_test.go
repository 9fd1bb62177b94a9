package fleet_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract"
	contractfleet "github.com/kubestep/kubestep/internal/contract/fleet"
)

func TestAllWavesAreAskedToApplyTheVersionThatIsTheNewestAtFirst(t *testing.T) {
	const waves = `"waves":[{"name":"canary","clusters":["a"]},{"name":"rest","percentage":100}],"clusters":["a","b"]`
	asked := func(t *testing.T, s3 *fakeS3, source, more string) (contractfleet.FoundClusters, string, error) {
		t.Helper()
		found, err := find(t, rollout(nil, s3), `{"workflow":"apply-manifests","request":{"mode":"apply","set":"base","source":`+source+`},`+more+`}`)
		var request struct {
			Set    string          `json:"set"`
			Source json.RawMessage `json:"source"`
		}
		if err == nil {
			require.NoError(t, json.Unmarshal(found.Request, &request))
			assert.Equal(t, "base", request.Set, "the rest of the request stays")
		}
		return found, string(request.Source), err
	}
	newest := func() *fakeS3 {
		s3 := versioned()
		s3.versions = map[string]string{"manifests/base.yaml": "v7"}
		return s3
	}
	for sentence, c := range map[string]struct {
		s3           *fakeS3
		source, more string
		want         string
	}{
		"a bucket with versions":     {newest(), `{"bucket":"manifests","key":"base.yaml"}`, waves, `{"bucket":"manifests","key":"base.yaml","versionId":"v7"}`},
		"a bucket without":           {versioned(), `{"bucket":"manifests","key":"base.yaml"}`, waves, `{"bucket":"manifests","key":"base.yaml"}`},
		"a version that is named":    {newest(), `{"bucket":"manifests","key":"base.yaml","versionId":"v3"}`, waves, `{"bucket":"manifests","key":"base.yaml","versionId":"v3"}`},
		"a fleet that has no waves":  {newest(), `{"bucket":"manifests","key":"base.yaml"}`, `"clusters":["a","b"]`, `{"bucket":"manifests","key":"base.yaml"}`},
		"a rollback to a former one": {newest(), `{"bucket":"manifests","key":"base.yaml"}`, `"onFailure":"rollback","rollback":{"versionId":"v1"},"output":{"bucket":"reports"},` + waves, `{"bucket":"manifests","key":"base.yaml","versionId":"v7"}`},
	} {
		t.Run(sentence, func(t *testing.T) {
			_, source, err := asked(t, c.s3, c.source, c.more)
			require.NoError(t, err)
			assert.JSONEq(t, c.want, source)
		})
	}

	t.Run("what the report says at the end", func(t *testing.T) {
		s3 := newest()
		text := `{"workflow":"apply-manifests","request":{"mode":"apply","source":{"bucket":"manifests","key":"base.yaml"}},` + waves + `}`
		found, err := find(t, rollout(nil, s3), text)
		require.NoError(t, err)
		s3.versions["manifests/base.yaml"] = "v8"
		found.Run.Ending.Begun = true
		last, err := rollout(nil, s3).Find(t.Context(), contractfleet.FindClusters{Execution: execution, StartedAt: start, Input: json.RawMessage(text), Fleet: found.Fleet, Run: found.Run})
		require.NoError(t, err)
		assert.JSONEq(t, string(found.Request), string(last.Request))
	})

	_, _, err := asked(t, newest(), `{"bucket":"manifests","key":"base.yaml"}`, `"onFailure":"rollback","rollback":{"versionId":"v7"},"output":{"bucket":"reports"},`+waves)
	named(t, err, contract.InvalidInput, "rollback: version v7 is what the request applies: expected a former one")
}
