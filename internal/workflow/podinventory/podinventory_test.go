package podinventory_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract"
	contractpods "github.com/kubestep/kubestep/internal/contract/podinventory"
	"github.com/kubestep/kubestep/internal/input"
	"github.com/kubestep/kubestep/internal/workflow/podinventory"
)

func read(raw string) (contractpods.Request, error) {
	f := input.Read(json.RawMessage(raw), "{}")
	r := podinventory.Read(f)
	return r, f.Err()
}

func TestARequestIsCompleted(t *testing.T) {
	with := func(change func(*contractpods.Request)) contractpods.Request {
		r := contractpods.Request{Namespaces: []string{"default"}, MaxItems: 100, OnDenied: contract.OnDeniedFail}
		change(&r)
		return r
	}
	for sentence, c := range map[string]struct {
		raw  string
		want contractpods.Request
	}{
		"nothing is needed":         {`{}`, with(func(*contractpods.Request) {})},
		"all namespaces are a star": {`{"namespaces":["*"]}`, with(func(r *contractpods.Request) { r.Namespaces = []string{"*"} })},
		"every member is read": {
			`{"namespaces":["shop","default"],"labelSelector":"app in (web, api),!canary","fieldSelector":"status.phase!=Running","onDenied":"skip","maxItems":0,"output":{"bucket":"inventories"}}`,
			contractpods.Request{Namespaces: []string{"shop", "default"}, LabelSelector: "app in (web, api),!canary", FieldSelector: "status.phase!=Running", OnDenied: contract.OnDeniedSkip, Output: contract.Destination{Bucket: "inventories"}},
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			got, err := read(c.raw)
			require.NoError(t, err)
			assert.Equal(t, c.want, got)
		})
	}
}

func TestAnInvalidRequestIsRefusedWithItsField(t *testing.T) {
	many := make([]string, podinventory.MaxNamespaces+1)
	for i := range many {
		many[i] = fmt.Sprintf("n%d", i)
	}
	tooMany, err := json.Marshal(map[string]any{"namespaces": many})
	require.NoError(t, err)
	for sentence, c := range map[string]struct{ raw, field, text string }{
		"no namespaces":                  {`{"namespaces":[]}`, "namespaces", "at least one"},
		"null as a namespace":            {`{"namespaces":[null]}`, "namespaces", "not an array with null at [0]"},
		"too many namespaces":            {string(tooMany), "namespaces", "at most 200"},
		"a namespace in capitals":        {`{"namespaces":["ok","Shop"]}`, "namespaces[1]", `"Shop" is not a valid namespace`},
		"all namespaces and one more":    {`{"namespaces":["*","a"]}`, "namespaces", `"*" stands for all namespaces`},
		"an empty namespace":             {`{"namespaces":[""]}`, "namespaces[0]", `"" is not a valid namespace`},
		"a namespace twice":              {`{"namespaces":["a","b","a"]}`, "namespaces[2]", `"a" repeats namespaces[0]`},
		"a label selector in prose":      {`{"labelSelector":"app in web"}`, "labelSelector", "is not a valid selector"},
		"a field selector without value": {`{"fieldSelector":"status.phase"}`, "fieldSelector", "is not a valid selector"},
		"a selector that is too long":    {fmt.Sprintf(`{"labelSelector":%q}`, strings.Repeat("a", 4097)), "labelSelector", "at most 4096"},
		"an unknown way to take denials": {`{"onDenied":"ignore"}`, "onDenied", `"ignore": expected "fail" or "skip"`},
		"fewer than no items":            {`{"maxItems":-1}`, "maxItems", "-1: expected 0 to 1000"},
		"too many items":                 {`{"maxItems":1001}`, "maxItems", "1001: expected 0 to 1000"},
	} {
		t.Run(sentence, func(t *testing.T) {
			_, err := read(c.raw)
			var problem input.Problem
			require.ErrorAs(t, err, &problem)
			assert.Equal(t, c.field, problem.Field)
			assert.Contains(t, problem.Text, c.text)
			assert.Contains(t, err.Error(), "1 problem. ")
		})
	}
}

func TestARequestSaysWhichPermissionsItNeedsAndHowToGrantThem(t *testing.T) {
	assert.Equal(t, []contract.Check{
		{Verb: "list", Resource: "pods", Namespace: "shop", Fix: "kubectl apply -k rbac/namespace -n shop"},
		{Verb: "list", Resource: "pods", Namespace: "bank", Fix: "kubectl apply -k rbac/namespace -n bank"},
	}, podinventory.Checks([]string{"shop", "bank"}, podinventory.DefaultGroup))
	assert.Equal(t, []contract.Check{
		{Verb: "list", Resource: "namespaces", Fix: "kubectl apply -k rbac/cluster"},
		{Verb: "list", Resource: "pods", Namespace: "*", Fix: "kubectl apply -k rbac/cluster"},
	}, podinventory.Checks([]string{"*"}, podinventory.DefaultGroup))
	assert.Equal(t, "kubectl kustomize rbac/namespace | sed s/kubestep-pod-readers/auditors/ | kubectl apply -f - -n shop",
		podinventory.Checks([]string{"shop"}, "auditors")[0].Fix, "for the group that the stack uses")
}
