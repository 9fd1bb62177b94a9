package applymanifests_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract"
	contractmanifests "github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/input"
	"github.com/kubestep/kubestep/internal/workflow/applymanifests"
)

var byDefault = contractmanifests.Jobs{TimeoutSeconds: 900, StartSeconds: 120, Logs: "none"}

func TestARequestIsReadWithItsDefaults(t *testing.T) {
	f := input.Read(json.RawMessage(`{"manifests":"a"}`), "{}")
	request := applymanifests.Read(f)
	require.NoError(t, f.Err())
	assert.Equal(t, contractmanifests.Request{
		Before: []string{}, After: []string{}, Jobs: byDefault,
		Prune: contractmanifests.Prune{Kinds: []string{}}, Adopt: []string{}, Manifests: json.RawMessage(`"a"`), Namespace: "default", Mode: contractmanifests.ModePlan, FieldManager: "kubestep"}, request)

	f = input.Read(json.RawMessage(`{"source":{"bucket":"abc","key":"k","versionId":"v"},"namespace":"shop","mode":"apply","force":true,"fieldManager":"team-a","wait":{"timeoutSeconds":9},"output":{"bucket":"abc"}}`), "{}")
	request = applymanifests.Read(f)
	require.NoError(t, f.Err())
	assert.Equal(t, contractmanifests.Request{
		Before: []string{}, After: []string{}, Jobs: byDefault,
		Prune: contractmanifests.Prune{Kinds: []string{}}, Adopt: []string{},
		Source: contractmanifests.Source{Bucket: "abc", Key: "k", VersionID: "v"}, Namespace: "shop", Mode: contractmanifests.ModeApply, Force: true, FieldManager: "team-a",
		Wait: contractmanifests.Wait{TimeoutSeconds: 9}, Output: contract.Destination{Bucket: "abc"},
	}, request)
}

func TestWhatMayBePrunedIsTrueOrAnObject(t *testing.T) {
	none := []string{}
	for given, want := range map[string]contractmanifests.Prune{
		`{"manifests":"a","set":"s"}`:                                                                      {Kinds: none},
		`{"manifests":"a","set":"s","prune":true}`:                                                         {Enabled: true, Kinds: none},
		`{"manifests":"a","set":"s","prune":false}`:                                                        {Kinds: none},
		`{"manifests":"a","set":"s","prune":null}`:                                                         {Kinds: none},
		`{"manifests":"a","set":"s","prune":{"max":12,"kinds":["Namespace"]}}`:                             {Enabled: true, Max: 12, Kinds: []string{"Namespace"}},
		`{"manifests":"a","set":"s","prune":{"enabled":false,"max":12}}`:                                   {Max: 12, Kinds: none},
		`{"mode":"delete","set":"s"}`:                                                                      {Enabled: true, Kinds: none},
		`{"mode":"plan-delete","set":"s","prune":{"kinds":["Namespace"]}}`:                                 {Enabled: true, Kinds: []string{"Namespace"}},
		`{"manifests":"a","set":"s","adopt":["set/a/b","helm/a/b","flux/a/b","argocd/x","manager/a/b c"]}`: {Kinds: none},
	} {
		t.Run(given, func(t *testing.T) {
			f := input.Read(json.RawMessage(given), "{}")
			request := applymanifests.Read(f)
			require.NoError(t, f.Err())
			assert.Equal(t, want, request.Prune)
		})
	}
}

func TestEachProblemOfARequestHasASentence(t *testing.T) {
	for given, want := range map[string]string{
		`{}`: "manifests: missing: expected YAML documents in manifests, or an object of S3 in source",
		`{"manifests":"a","source":{"bucket":"abc","key":"k"}}`: "source: expected either manifests or source, not both",
		`{"manifests":{}}`: "manifests: expected a string of YAML documents or an array of objects",
		`{"manifests":"` + strings.Repeat("x", 128<<10) + `"}`:                "manifests: 131074 bytes: expected at most 131072 in the execution input. Put them into S3",
		`{"source":{"key":"k"}}`:                                              "source.bucket: missing",
		`{"source":{"bucket":"B","key":"k"}}`:                                 `source.bucket: "B" is not a valid S3 bucket name`,
		`{"source":{"bucket":"abc"}}`:                                         "source.key: expected 1 to 1024 bytes, not 0",
		`{"manifests":"a","namespace":"Shop"}`:                                `namespace: "Shop" is not a valid namespace`,
		`{"manifests":"a","mode":"destroy"}`:                                  `mode: "destroy": expected "plan", "apply", "delete", "plan-delete" or "sets"`,
		`{"manifests":"a","mode":"delete","set":"a"}`:                         `mode: "delete" works on what is in the cluster: expected neither manifests nor source`,
		`{"mode":"delete"}`:                                                   "set: missing: expected the name of the set to delete",
		`{"mode":"delete","set":"a","prune":false}`:                           `prune: expected true in mode "delete", or nothing`,
		`{"mode":"delete","set":"a","adopt":["helm/a/b"]}`:                    `adopt: nothing is applied in mode "delete"`,
		`{"mode":"sets","set":"a"}`:                                           `mode: "sets" lists all sets`,
		`{"mode":"sets","namespace":"Shop"}`:                                  `namespace: "Shop" is not a valid namespace`,
		`{"manifests":"a","namespace":"*"}`:                                   `namespace: "*" is not a valid namespace`,
		`{"manifests":"a","set":"A_b"}`:                                       `set: "A_b" is not a valid name of a ConfigMap`,
		`{"manifests":"a","prune":true}`:                                      "set: missing: only members of a set are pruned",
		`{"manifests":"a","adopt":["helm/a/b"]}`:                              "set: missing: objects are adopted into a set",
		`{"manifests":"a","set":"a","prune":1}`:                               "prune: expected true or false",
		`{"manifests":"a","set":"a","prune":{"max":0}}`:                       "prune.max: 0: expected 1 to 3000",
		`{"manifests":"a","set":"a","prune":{"kinds":["Secret"]}}`:            `prune.kinds: "Secret": expected "CustomResourceDefinition", "Namespace", "PersistentVolume" or "PersistentVolumeClaim". Objects of other kinds are pruned without it`,
		`{"manifests":"a","set":"a","adopt":["helm"]}`:                        `adopt: "helm": expected an owner such as`,
		`{"manifests":"a","wait":{"timeoutSeconds":60}}`:                      "wait: nothing is applied in mode \"plan\"",
		`{"manifests":"a","mode":"apply","wait":{}}`:                          "wait.timeoutSeconds: missing: expected 1 to 3600",
		`{"manifests":"a","mode":"apply","wait":10}`:                          `1 problem. wait: expected an object such as {"timeoutSeconds":300}, not a number`,
		`{"manifests":"a","mode":"apply","wait":{"timeout":5}}`:               `unknown key`,
		`{"manifests":"a","fieldManager":"a\u0007b"}`:                         `fieldManager: "a\ab": expected 1 to 128 printable bytes`,
		`{"manifests":"a","mode":"apply","effect":"short"}`:                   `effect: "short" is not the digest of a plan: expected plan.digest of the output, or its first 12 characters`,
		`{"manifests":"a","effect":"q83vEjRWeJq8"}`:                           `effect: nothing is applied in mode "plan"`,
		`{"manifests":"a","fieldManager":""}`:                                 `fieldManager: "": expected 1 to 128 printable bytes`,
		`{"manifests":"a","fieldManager":"` + strings.Repeat("m", 129) + `"}`: "fieldManager: ",
	} {
		t.Run(want, func(t *testing.T) {
			f := input.Read(json.RawMessage(given), "{}")
			applymanifests.Read(f)
			require.Error(t, f.Err())
			assert.Contains(t, f.Err().Error(), want)
		})
	}
}

func TestOnlyARequestToApplyChangesACluster(t *testing.T) {
	for given, want := range map[string]bool{`{"mode":"delete","set":"s"}`: true, `{"mode":"plan-delete","set":"s"}`: false, `{"mode":"sets"}`: false, `{"manifests":"a"}`: false, `{"manifests":"a","mode":"plan"}`: false, `{"manifests":"a","mode":"apply"}`: true} {
		request := applymanifests.Read(input.Read(json.RawMessage(given), "{}"))
		assert.Equal(t, want, applymanifests.Workflow().Changes(request), given)
	}
}
