package manifests

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/diff"
	"github.com/kubestep/kubestep/internal/objects"
)

func TestTwoPlansOfTheSameChangesHaveTheSameDigest(t *testing.T) {
	object := func(kind string) objects.Target {
		return objects.Target{Object: objects.Object{GroupVersionKind: schema.GroupVersionKind{Version: "v1", Kind: kind}, Namespace: "shop", Name: "a", JSON: []byte(`{"data":{"a":"b"}}`)}}
	}
	live := func(uid, version, value string) map[string]any {
		return map[string]any{"metadata": map[string]any{"uid": uid, "resourceVersion": version}, "data": map[string]any{"a": value}}
	}
	configured := func(kind string, live, next map[string]any) effect {
		return effect{object(kind), applymanifests.ActionConfigured, live, next, diff.Rules{}, diff.Compare(live, next, diff.Rules{Secret: kind == "Secret"})}
	}
	one := configured("ConfigMap", live("u1", "1", "old"), live("u1", "1", "new"))
	secret := configured("Secret", live("u1", "1", "old"), live("u1", "1", "new"))
	other := object("ConfigMap")
	other.Name = "b"
	for sentence, c := range map[string]struct {
		a, b             effect
		here, everywhere bool // whether they are the same
	}{
		"the same change":                     {one, one, true, true},
		"in another cluster":                  {one, configured("ConfigMap", live("u2", "9", "old"), live("u2", "9", "new")), true, true},
		"of another value":                    {one, configured("ConfigMap", live("u1", "1", "older"), live("u1", "1", "new")), false, false},
		"to another value":                    {one, configured("ConfigMap", live("u1", "1", "old"), live("u1", "1", "newer")), false, false},
		"of another object":                   {one, effect{other, one.action, one.live, one.next, one.rules, one.changes}, false, false},
		"of a Secret with other values":       {secret, configured("Secret", live("u1", "1", "1234"), live("u1", "1", "5678")), true, true},
		"of a Secret that was written since":  {secret, configured("Secret", live("u1", "2", "old"), live("u1", "2", "new")), false, true},
		"of a Secret in another cluster":      {secret, configured("Secret", live("u2", "1", "old"), live("u2", "1", "new")), false, true},
		"an object that is made, or was":      {effect{Target: object("ConfigMap"), action: applymanifests.ActionCreated}, effect{Target: object("ConfigMap"), action: applymanifests.ActionUnchanged}, false, false},
		"an object that is as it should be":   {effect{Target: object("ConfigMap"), action: applymanifests.ActionUnchanged}, effect{Target: object("ConfigMap"), action: applymanifests.ActionUnchanged, live: live("u", "1", "x")}, true, true},
		"objects that are made of other JSON": {effect{Target: object("ConfigMap"), action: applymanifests.ActionCreated}, effect{Target: withJSON(object("ConfigMap"), `{}`), action: applymanifests.ActionCreated}, false, false},
	} {
		t.Run(sentence, func(t *testing.T) {
			e, err := NewEffects("a secret that the functions share")
			require.NoError(t, err)
			hereA, everywhereA, err := e.sum(c.a)
			require.NoError(t, err)
			hereB, everywhereB, err := e.sum(c.b)
			require.NoError(t, err)
			assert.Equal(t, c.here, string(hereA) == string(hereB), "here")
			assert.Equal(t, c.everywhere, string(everywhereA) == string(everywhereB), "everywhere")

			another, err := NewEffects("a secret of another stack, which it keeps")
			require.NoError(t, err)
			here, everywhere, err := another.sum(c.a)
			require.NoError(t, err)
			assert.NotEqual(t, hereA, here, "nobody can try values without the key")
			assert.NotEqual(t, everywhereA, everywhere)
		})
	}
}

func withJSON(t objects.Target, text string) objects.Target {
	t.JSON = []byte(text)
	return t
}

func TestADigestGoesOnInTheNextRound(t *testing.T) {
	a, b := make([]byte, 32), make([]byte, 32)
	a[3], b[5] = 7, 9
	var whole digest
	whole.add(a)
	whole.add(b)
	var first digest
	first.add(b)
	second := newDigest(first.String())
	second.add(a)
	assert.Equal(t, whole.String(), second.String())
	assert.NotEqual(t, first.String(), second.String())
	assert.Len(t, whole.String(), 24)
}
