package objects

import (
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/yaml"
)

func object(t *testing.T, text string) map[string]any {
	t.Helper()
	var o map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(text), &o))
	return o
}

func fields(t *testing.T, text string) *fieldpath.Set {
	t.Helper()
	set := &fieldpath.Set{}
	require.NoError(t, set.FromJSON(strings.NewReader(text)))
	return set
}

func TestWhatAManagerNoLongerAppliesGoesAsTheAPIServerRemovesIt(t *testing.T) {
	for sentence, c := range map[string]struct{ object, gone, kept, want string }{
		"a value":                               {"{a: 1, b: 1}", `{"f:b":{}}`, `{}`, "{a: 1}"},
		"a value that is not there":             {"{a: 1}", `{"f:b":{}}`, `{}`, "{a: 1}"},
		"a map with all in it":                  {"{a: 1, m: {x: 1, y: 1}}", `{"f:m":{".":{},"f:x":{}}}`, `{}`, "{a: 1}"},
		"a part of a map of which more is kept": {"{m: {x: 1, y: 1}}", `{"f:m":{".":{},"f:x":{}}}`, `{"f:m":{"f:y":{}}}`, "{m: {y: 1}}"},
		"a field in which nothing is kept":      {"{a: 1, m: {x: 1, default: 1}}", `{"f:m":{"f:x":{}}}`, `{}`, "{a: 1}"},
		"an item by its name":                   {"{l: [{name: a, x: 1}, {name: b, x: 1}]}", `{"f:l":{"k:{\"name\":\"a\"}":{".":{},"f:x":{}}}}`, `{"f:l":{"k:{\"name\":\"b\"}":{".":{}}}}`, "{l: [{name: b, x: 1}]}"},
		"an item of which others have a part":   {"{l: [{name: a, x: 1}, {name: b}]}", `{"f:l":{"k:{\"name\":\"a\"}":{".":{}}}}`, `{"f:l":{"k:{\"name\":\"a\"}":{"f:x":{}}}}`, "{l: [{name: b}]}"},
		"a part of an item":                     {"{l: [{name: a, x: 1, y: 1}]}", `{"f:l":{"k:{\"name\":\"a\"}":{"f:x":{}}}}`, `{"f:l":{"k:{\"name\":\"a\"}":{".":{},"f:y":{}}}}`, "{l: [{name: a, y: 1}]}"},
		"an item by two keys":                   {"{l: [{port: 1, protocol: TCP}, {port: 1, protocol: UDP}]}", `{"f:l":{"k:{\"port\":1,\"protocol\":\"UDP\"}":{".":{}}}}`, `{"f:l":{"k:{\"port\":1,\"protocol\":\"TCP\"}":{".":{}}}}`, "{l: [{port: 1, protocol: TCP}]}"},
		"an item of a set":                      {"{l: [a, b]}", `{"f:l":{"v:\"a\"":{}}}`, `{"f:l":{"v:\"b\"":{}}}`, "{l: [b]}"},
		"the last item of a list that stays":    {"{l: [a]}", `{"f:l":{"v:\"a\"":{}}}`, `{"f:l":{}}`, "{l: null}"},
	} {
		t.Run(sentence, func(t *testing.T) {
			before, want := object(t, c.object), object(t, c.want)
			assert.Equal(t, any(want), newFinder().remove(any(before), fields(t, c.gone), fields(t, c.kept)))
			assert.Equal(t, object(t, c.object), before, "it is copied")
		})
	}
}

func TestOnlyAValueThatLooksDifferentIsSpelledAsItIsInTheCluster(t *testing.T) {
	managed := func(owner, fields string) string {
		return `"metadata":{"managedFields":[{"manager":"` + owner + `","operation":"Update","apiVersion":"v1","fieldsV1":` + fields + `}]}`
	}
	for sentence, c := range map[string]struct{ applied, live, forced, want string }{
		"another spelling":   {`{"cpu":"0.5","a":"1"}`, `{"cpu":"500m","a":"1",` + managed("hpa", `{"f:cpu":{}}`) + `}`, `{"cpu":"500m","a":"1"}`, `{"cpu":"500m","a":"1"}`},
		"another value":      {`{"cpu":"0.4"}`, `{"cpu":"500m",` + managed("hpa", `{"f:cpu":{}}`) + `}`, `{"cpu":"400m"}`, ``},
		"a value that comes": {`{"cpu":"0.4"}`, `{` + managed("hpa", `{"f:cpu":{}}`) + `}`, `{"cpu":"400m"}`, ``},
		"one of both": {
			`{"l":[{"name":"a","cpu":"0.5","m":"1"}]}`, `{"l":[{"name":"b"},{"name":"a","cpu":"500m","m":"2"}],` + managed("hpa", `{"f:l":{"k:{\"name\":\"a\"}":{"f:cpu":{},"f:m":{}}}}`) + `}`,
			`{"l":[{"name":"b"},{"name":"a","cpu":"500m","m":"1"}]}`, `{"l":[{"name":"a","cpu":"500m","m":"1"}]}`,
		},
		"beside text that YAML reads otherwise": {"{\"cpu\":\"0.5\",\"a\":\"x\\u0085y\"}", `{"cpu":"500m","a":"1",` + managed("hpa", `{"f:cpu":{}}`) + `}`, `{"cpu":"500m","a":"1"}`, `{"cpu":"500m","a":"x\u0085y"}`},
		"no live object":                        {`{"cpu":"0.5"}`, ``, `{"cpu":"500m"}`, ``},
	} {
		t.Run(sentence, func(t *testing.T) {
			got, ok := respell([]byte(c.applied), []byte(c.live), []byte(c.forced), "kubestep")
			assert.Equal(t, c.want != "", ok)
			if ok {
				assert.JSONEq(t, c.want, string(got))
				assert.NotContains(t, string(got), "\u0085", "which YAML takes for the end of a line")
			}
		})
	}
}

func TestLongListsOfItemsAndOwnersTakeNoLongerThanTheirLength(t *testing.T) {
	const items = 20_000
	list, gone := make([]any, items), &fieldpath.Set{}
	for i := range list {
		name := strconv.Itoa(i)
		list[i] = map[string]any{"name": name, "value": "1"}
		gone.Insert(fieldpath.MakePathOrDie("l", fieldpath.KeyByFields("name", name), "value"))
	}
	left := newFinder().remove(map[string]any{"l": list}, gone, fields(t, `{"f:l":{}}`))
	assert.Len(t, left.(map[string]any)["l"], items)
	fields, _ := Lost(Ownership{}, Ownership{}, left)
	assert.Empty(t, fields)
}

func TestWhatTheManagerOwnsIsComparedByItself(t *testing.T) {
	const other = "{manager: kubectl, operation: Apply, apiVersion: v1, fieldsV1: {a: {}}}"
	const update = "{manager: kubestep, operation: Update, apiVersion: v1, fieldsV1: {a: {}}}"
	const status = "{manager: kubestep, operation: Apply, subresource: status, apiVersion: v1, fieldsV1: {a: {}}}"
	of := func(entries string) string {
		return Client{Manager: "kubestep"}.Owned(object(t, "metadata: {managedFields: ["+entries+"]}"))
	}
	assert.Empty(t, of(other+","+update+","+status))
	own := of(other + ", {manager: kubestep, operation: Apply, apiVersion: v1, time: 2026-01-01, fieldsV1: {a: {}, b: {}}}")
	assert.NotEmpty(t, own)
	assert.Equal(t, own, of("{manager: kubestep, operation: Apply, apiVersion: v1, time: 2027-01-01, fieldsV1: {b: {}, a: {}}}"), "whenever that was")
	assert.NotEqual(t, own, of("{manager: kubestep, operation: Apply, apiVersion: v1, fieldsV1: {a: {}}}"))
}
