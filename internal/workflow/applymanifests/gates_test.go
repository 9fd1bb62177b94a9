package applymanifests_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	contractmanifests "github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/input"
	"github.com/kubestep/kubestep/internal/workflow/applymanifests"
)

func TestAfterImpliesAWaitIfSomethingIsApplied(t *testing.T) {
	for given, want := range map[string]int{
		`{"manifests":"a","mode":"apply","after":["a"]}`:                              contractmanifests.DefaultWaitSeconds,
		`{"manifests":"a","mode":"apply","after":["a"],"wait":{"timeoutSeconds":10}}`: 10,
		`{"manifests":"a","mode":"apply","before":["a"]}`:                             0,
		`{"manifests":"a","mode":"plan","after":["a"]}`:                               0,
	} {
		f := input.Read(json.RawMessage(given), "{}")
		r := applymanifests.Read(f)
		require.NoError(t, f.Err(), given)
		assert.Equal(t, want, r.Wait.TimeoutSeconds, given)
	}
}

func TestWhatIsWrongWithBeforeAndAfterIsToldByField(t *testing.T) {
	for given, want := range map[string]string{
		`"before":["a/b/c"]`: `before: "a/b/c": expected a Job of the manifests, as NAME or NAMESPACE/NAME`,
		`"after":["A"]`:      `after: "A": expected a Job of the manifests, as NAME or NAMESPACE/NAME`,
		`"after":["/a"]`:     `after: "/a": expected a Job`,
		`"before":["a","b","c","d","e","f","g","h","i","j","k"]`: "before: 11 Jobs: expected at most 10",
		`"jobs":{"timeoutSeconds":60}`:                           "jobs: no Job is waited for: expected one in before or after",
		`"before":["a"],"jobs":{"timeoutSeconds":0}`:             "jobs.timeoutSeconds: 0: expected 1 to 3600",
		`"before":["a"],"jobs":{"startSeconds":3601}`:            "jobs.startSeconds: 3601: expected 1 to 3600",
		`"before":["a"],"jobs":{"logs":"all"}`:                   `jobs.logs: "all": expected "none" or "tail"`,
		// An execution of a fleet may take 90 minutes.
		`"before":["a"],"after":["b"],"wait":{"timeoutSeconds":1801}`: "jobs.timeoutSeconds: 900, for before and for after, and 1801 of wait are 3601: expected at most 3600 together. Run a Job that takes longer with run-job",
	} {
		f := input.Read(json.RawMessage(`{"manifests":"a","mode":"apply",`+given+`}`), "{}")
		applymanifests.Read(f)
		require.Error(t, f.Err(), given)
		assert.Contains(t, f.Err().Error(), want, given)
	}
	for _, mode := range []string{"delete", "plan-delete", "sets"} {
		f := input.Read(json.RawMessage(`{"mode":"`+mode+`","before":["a"]}`), "{}")
		applymanifests.Read(f)
		assert.ErrorContains(t, f.Err(), `before: no Job is applied in mode "`+mode+`"`)
	}
}
