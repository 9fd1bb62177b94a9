package sets

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/kube/kubetest"
	"github.com/kubestep/kubestep/internal/objects"
)

// parentAPI is the part of an API server that serves one ConfigMap, shop/addons: get, create, and a merge patch at a uid
// and a resource version.
type parentAPI struct {
	object  map[string]any // its metadata; nil if it does not exist
	version int
	// before may do something before a request is served.
	before func(r *http.Request)
}

func (a *parentAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if a.before != nil {
		a.before(r)
	}
	var sent struct {
		Metadata map[string]any `json:"metadata"`
	}
	if r.Body != nil {
		_ = json.NewDecoder(r.Body).Decode(&sent)
	}
	switch {
	case r.Method == http.MethodPost && a.object != nil:
		kubetest.Refuse(w, http.StatusConflict, metav1.StatusReasonAlreadyExists, "already exists")
		return
	case r.Method == http.MethodPost:
		a.put(sent.Metadata)
		a.object["uid"] = "uid-" + strconv.Itoa(a.version)
	case a.object == nil:
		kubetest.Refuse(w, http.StatusNotFound, metav1.StatusReasonNotFound, "not found")
		return
	case r.Method == http.MethodPatch && (sent.Metadata["uid"] != a.object["uid"] || sent.Metadata["resourceVersion"] != a.object["resourceVersion"]):
		kubetest.Refuse(w, http.StatusConflict, metav1.StatusReasonConflict, "the object has been modified")
		return
	case r.Method == http.MethodPatch:
		now := maps.Clone(a.object)
		for _, of := range []string{"labels", "annotations"} {
			all := maps.Clone(now[of].(map[string]any))
			for key, value := range sent.Metadata[of].(map[string]any) {
				all[key] = value
			}
			maps.DeleteFunc(all, func(_ string, value any) bool { return value == nil })
			now[of] = all
		}
		a.put(now)
	}
	kind := "ConfigMap"
	if strings.Contains(r.Header.Get("Accept"), "PartialObjectMetadata") {
		kind = "PartialObjectMetadata"
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"apiVersion": "v1", "kind": kind, "metadata": a.object})
}

func (a *parentAPI) put(metadata map[string]any) {
	a.version++
	a.object = maps.Clone(metadata)
	a.object["resourceVersion"] = strconv.Itoa(a.version)
}

// annotation returns an annotation of the parent.
func (a *parentAPI) annotation(key string) any {
	all, _ := a.object["annotations"].(map[string]any)
	return all[key]
}

// foreign is a ConfigMap that somebody else made.
func foreign(labels, annotations map[string]any) map[string]any {
	return map[string]any{"name": "addons", "namespace": "shop", "uid": "theirs", "resourceVersion": "5", "labels": labels, "annotations": annotations}
}

func serveParent(t *testing.T, a *parentAPI) objects.Client {
	t.Helper()
	conn, err := kubetest.Connector.Connect(kubetest.Session(kubetest.Serve(t, a.ServeHTTP)))
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	return objects.Client{Conn: conn, Manager: "kubestep"}
}

var deployments = Scope{Kinds: []schema.GroupKind{{Group: "apps", Kind: "Deployment"}, {Kind: "ConfigMap"}}, Namespaces: []string{"bank", "shop"}}

// first is what an execution knows that planned with the parent as it is now.
func first(t *testing.T, c objects.Client) Planned {
	t.Helper()
	p, err := Read(t.Context(), c, addons)
	require.NoError(t, err)
	return Planned{Parent: p.Planned()}
}

func TestTheParentIsWidenedBeforeAndNarrowedAfter(t *testing.T) {
	api := &parentAPI{}
	c := serveParent(t, api)
	change, err := addons.Begin(t.Context(), c, "me", first(t, c), deployments)
	require.NoError(t, err)
	assert.Equal(t, "ConfigMap,Deployment.apps", api.annotation("applyset.kubernetes.io/contains-group-kinds"))
	assert.Equal(t, "bank", api.annotation("applyset.kubernetes.io/additional-namespaces"), "all but its own")
	assert.Equal(t, "kubestep/v1", api.annotation("applyset.kubernetes.io/tooling"))
	assert.Equal(t, map[string]any{"applyset.kubernetes.io/id": addons.ID()}, api.object["labels"])
	assert.NotNil(t, api.annotation(annotationChangingUntil))

	require.NoError(t, change.Narrow(t.Context(), Scope{Kinds: []schema.GroupKind{{Kind: "Secret"}}, Namespaces: []string{"shop"}}, 3))
	assert.Equal(t, "Secret", api.annotation("applyset.kubernetes.io/contains-group-kinds"))
	assert.Empty(t, api.annotation("applyset.kubernetes.io/additional-namespaces"))
	assert.Equal(t, "3", api.annotation(annotationMembers))
	assert.Nil(t, api.annotation(annotationChangingUntil))

	_, err = addons.Begin(t.Context(), c, "other", first(t, c), deployments)
	require.NoError(t, err)
	assert.Equal(t, "ConfigMap,Deployment.apps,Secret", api.annotation("applyset.kubernetes.io/contains-group-kinds"), "nothing is forgotten that may have members")
}

func TestTwoExecutionsDoNotChangeASetAtOnce(t *testing.T) {
	name := func(err error) contract.ErrorName {
		if err == nil {
			return ""
		}
		var named *contract.Error
		require.ErrorAs(t, err, &named)
		return named.Name
	}
	for sentence, c := range map[string]struct {
		// meanwhile is what happens between the plan of this execution and its first change.
		meanwhile func(t *testing.T, c objects.Client, api *parentAPI)
		claimed   bool
		want      contract.ErrorName
	}{
		"nothing happened": {},
		"another execution is at it": {
			meanwhile: func(t *testing.T, c objects.Client, _ *parentAPI) {
				t.Helper()
				_, err := addons.Begin(t.Context(), c, "other", first(t, c), deployments)
				require.NoError(t, err)
			},
			want: contract.SetInUse,
		},
		"another execution changed it since the plan": {
			meanwhile: func(t *testing.T, c objects.Client, _ *parentAPI) {
				t.Helper()
				change, err := addons.Begin(t.Context(), c, "other", first(t, c), deployments)
				require.NoError(t, err)
				change.End(t.Context())
			},
			want: contract.SetInUse,
		},
		"another execution took it over since the first change": {
			meanwhile: func(t *testing.T, c objects.Client, _ *parentAPI) {
				t.Helper()
				change, err := addons.Begin(t.Context(), c, "other", first(t, c), deployments)
				require.NoError(t, err)
				change.End(t.Context())
			},
			claimed: true, want: contract.SetTaken,
		},
		"it was deleted since the first change": {
			meanwhile: func(_ *testing.T, _ objects.Client, api *parentAPI) { api.object = nil },
			claimed:   true, want: contract.SetTaken,
		},
		"it was deleted since the plan": {
			meanwhile: func(_ *testing.T, _ objects.Client, api *parentAPI) { api.object = nil },
			want:      contract.SetInUse,
		},
		"this execution has begun itself, and its answer was lost": {
			meanwhile: func(t *testing.T, c objects.Client, _ *parentAPI) {
				t.Helper()
				_, err := addons.Begin(t.Context(), c, "me", first(t, c), deployments)
				require.NoError(t, err)
			},
		},
		"a person labelled the parent after the first change": {
			meanwhile: func(t *testing.T, c objects.Client, api *parentAPI) {
				t.Helper()
				_, err := addons.Begin(t.Context(), c, "me", first(t, c), deployments)
				require.NoError(t, err)
				api.put(api.object)
			},
			claimed: true,
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			api := &parentAPI{}
			client := serveParent(t, api)
			change, err := addons.Begin(t.Context(), client, "before", first(t, client), deployments)
			require.NoError(t, err)
			change.End(t.Context())
			planned := first(t, client)
			planned.Claimed = c.claimed
			if c.meanwhile != nil {
				c.meanwhile(t, client, api)
			}
			_, err = addons.Begin(t.Context(), client, "me", planned, deployments)
			assert.Equal(t, c.want, name(err), "%v", err)
			if err == nil {
				assert.Equal(t, "me", api.annotation(annotationExecution))
			} else if api.object != nil {
				assert.Equal(t, "other", api.annotation(annotationExecution))
			}
		})
	}
}

func TestAFunctionThatWasKilledHoldsASetNoLongerThanItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := serveParent(t, &parentAPI{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := addons.Begin(ctx, c, "killed", first(t, c), deployments)
		require.NoError(t, err)
		planned := first(t, c)
		time.Sleep(time.Minute + grace - 2*time.Second)
		_, err = addons.Begin(t.Context(), c, "me", planned, deployments)
		require.ErrorContains(t, err, "is changing it, until")
		time.Sleep(2 * time.Second)
		_, err = addons.Begin(t.Context(), c, "me", planned, deployments)
		require.NoError(t, err)
	})
}

func TestAConfigMapThatIsNoSetOfOursIsLeftAlone(t *testing.T) {
	id := map[string]any{LabelID: addons.ID()}
	for sentence, c := range map[string]struct {
		labels, annotations map[string]any
		want                string
	}{
		"a ConfigMap of an application": {nil, nil, "it exists and is no set, since it has no annotation applyset.kubernetes.io/tooling"},
		"a set of kubectl":              {id, map[string]any{annotationTooling: "kubectl/v1.37"}, `it is a set of "kubectl/v1.37", and only that may change it`},
		"a set of a namesake":           {id, map[string]any{annotationTooling: "example.com/kubestep/v1"}, `it is a set of "example.com/kubestep/v1"`},
		"a set of a later kubestep":     {id, map[string]any{annotationTooling: "kubestep/v2"}, `"kubestep/v2" wrote it, and this version of kubestep reads kubestep/v1`},
		"a set that was copied":         {map[string]any{LabelID: "applyset-other-v1"}, map[string]any{annotationTooling: "kubestep/v1", annotationKinds: ""}, `its label applyset.kubernetes.io/id is "applyset-other-v1" instead of ` + addons.ID()},
		"a set without its kinds":       {id, map[string]any{annotationTooling: "kubestep/v1"}, "it has no annotation applyset.kubernetes.io/contains-group-kinds, without which its members are not known"},
		"a set with an odd time":        {id, map[string]any{annotationTooling: "kubestep/v1", annotationKinds: "", annotationChangingUntil: "soon"}, `its annotation kubestep.github.io/changing-until is "soon", which is no time`},
	} {
		t.Run(sentence, func(t *testing.T) {
			api := &parentAPI{object: foreign(c.labels, c.annotations)}
			client := serveParent(t, api)
			_, err := Read(t.Context(), client, addons)
			name, message := kubetest.Told(t, err)
			assert.Equal(t, string(contract.OwnerConflict), name)
			assert.Contains(t, message, "ConfigMap shop/addons in cluster demo cannot be set addons: "+c.want)
			_, err = addons.Begin(t.Context(), client, "me", Planned{Parent: applymanifests.NoParent}, deployments)
			require.Error(t, err)
			assert.Equal(t, "5", api.object["resourceVersion"])
		})
	}
}

func TestAChangeOfSomebodyElseIsNotOverwritten(t *testing.T) {
	api := &parentAPI{}
	c := serveParent(t, api)
	change, err := addons.Begin(t.Context(), c, "me", first(t, c), deployments)
	require.NoError(t, err)
	once := true
	api.before = func(r *http.Request) {
		if r.Method == http.MethodPatch && once {
			once = false
			labelled := maps.Clone(api.object)
			labelled["labels"] = map[string]any{LabelID: addons.ID(), "team": "a"}
			api.put(labelled)
		}
	}
	require.NoError(t, change.Narrow(t.Context(), Scope{}, 0))
	assert.Equal(t, map[string]any{LabelID: addons.ID(), "team": "a"}, api.object["labels"])
	assert.Empty(t, api.annotation(annotationKinds))
}
