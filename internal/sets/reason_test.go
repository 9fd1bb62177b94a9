package sets

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/objects"
)

var addons = Set{Namespace: "shop", Name: "addons"}

// target is where an object is in the API.
func target(apiVersion, kind, plural, namespace, name string) objects.Target {
	return objects.Target{
		Object:   objects.Object{GroupVersionKind: schema.FromAPIVersionAndKind(apiVersion, kind), Namespace: namespace, Name: name},
		Resource: objects.Resource{Plural: plural, Namespaced: namespace != "", Served: true},
	}
}

// member is a live member with a UID made of its name.
func member(t objects.Target, more ...func(*metadata)) Member {
	m := Member{t, metadata{Name: t.Name, Namespace: t.Namespace, UID: t.Kind + "/" + t.Namespace + "/" + t.Name, ResourceVersion: "7"}}
	for _, change := range more {
		change(&m.metadata)
	}
	return m
}

func configMap(name string) objects.Target {
	return target("v1", "ConfigMap", "configmaps", "shop", name)
}

func namespace(name string) objects.Target {
	return target("v1", "Namespace", "namespaces", "", name)
}

func annotated(key, value string) func(*metadata) {
	return func(m *metadata) { m.Annotations = map[string]string{key: value} }
}

func labelled(key, value string) func(*metadata) {
	return func(m *metadata) { m.Labels = map[string]string{key: value} }
}

func TestAMemberThatLeftTheManifestsIsDeletedUnlessThereIsAReason(t *testing.T) {
	definition := target("apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions", "", "widgets.example.com")
	widget := target("example.com/v1", "Widget", "widgets", "shop", "one")
	for sentence, c := range map[string]struct {
		member Member
		others []Member
		rules  Rules
		want   string // of the reason; empty if it is deleted
		drift  bool
	}{
		"a plain object":          {member: member(configMap("a"))},
		"an object with an owner": {member: member(configMap("a"), func(m *metadata) { m.OwnerReferences = []owner{{"Deployment", "web", "u"}} }), want: "Deployment web owns it"},
		"one of Helm":             {member: member(configMap("a"), annotated("meta.helm.sh/release-name", "cache")), want: "Helm release shop/cache owns it"},
		"one of Helm in another namespace": {member: member(configMap("a"), func(m *metadata) {
			m.Annotations = map[string]string{"meta.helm.sh/release-name": "cache", "meta.helm.sh/release-namespace": "infra"}
		}), want: "Helm release infra/cache owns it"},
		"one of Helm by its label alone":    {member: member(configMap("a"), labelled("app.kubernetes.io/managed-by", "Helm")), want: "Helm release shop/unknown owns it"},
		"one that stands for another set":   {member: member(configMap("a"), labelled(LabelID, "applyset-x-v1")), want: "it stands for another set, whose members nobody would find without it: delete that set first", drift: true},
		"one of Argo CD":                    {member: member(configMap("a"), annotated("argocd.argoproj.io/tracking-id", "shop:/ConfigMap:shop/a")), want: "Argo CD application shop owns it"},
		"one of Argo CD by its label":       {member: member(configMap("a"), labelled("argocd.argoproj.io/instance", "shop")), want: "Argo CD application shop owns it"},
		"one of Flux":                       {member: member(configMap("a"), labelled("kustomize.toolkit.fluxcd.io/name", "apps")), want: "Flux object shop/apps owns it"},
		"one of Flux's Helm":                {member: member(configMap("a"), labelled("helm.toolkit.fluxcd.io/name", "apps")), want: "Flux object shop/apps owns it"},
		"one that cli-utils would detach":   {member: member(configMap("a"), annotated("client.lifecycle.config.k8s.io/deletion", "detach")), want: "its annotation client.lifecycle.config.k8s.io/deletion: detach keeps it"},
		"one that cli-utils would keep":     {member: member(configMap("a"), annotated("cli-utils.sigs.k8s.io/on-remove", "keep")), want: "its annotation cli-utils.sigs.k8s.io/on-remove: keep keeps it"},
		"one that Helm would keep":          {member: member(configMap("a"), annotated("helm.sh/resource-policy", "keep")), want: "its annotation helm.sh/resource-policy: keep keeps it"},
		"one that Flux would not prune":     {member: member(configMap("a"), annotated("kustomize.toolkit.fluxcd.io/prune", "disabled")), want: "its annotation kustomize.toolkit.fluxcd.io/prune: disabled keeps it"},
		"one that Argo CD would not prune":  {member: member(configMap("a"), annotated("argocd.argoproj.io/sync-options", "Validate=false, Prune=false")), want: "its annotation argocd.argoproj.io/sync-options: Validate=false, Prune=false keeps it"},
		"such an annotation that says else": {member: member(configMap("a"), annotated("argocd.argoproj.io/sync-options", "Prune=true"))},
		"one that is being deleted": {member: member(configMap("a"), func(m *metadata) {
			m.DeletionTimestamp, m.Finalizers = "2026-11-26T21:00:00Z", []string{"example.com/hold"}
		}), want: "it is being deleted, since 2026-11-26T21:00:00Z, and waits for its finalizers [example.com/hold]", drift: true},
		"a namespace":                      {member: member(namespace("old")), want: `objects of kind Namespace take others along, or data: to prune them, name Namespace in "prune": {"kinds": […]} (--prune-kinds)`, drift: true},
		"a namespace that may go":          {member: member(namespace("old")), rules: Rules{Kinds: []string{"Namespace"}}},
		"a namespace of a kept object":     {member: member(namespace("shop")), rules: Rules{Set: Set{Namespace: "other"}, Kinds: []string{"Namespace"}, Kept: []objects.Target{configMap("b")}}, want: "deleting it would delete ConfigMap shop/b, which stays", drift: true},
		"a namespace of a spared member":   {member: member(namespace("shop")), others: []Member{member(configMap("b"), annotated("helm.sh/resource-policy", "keep"))}, rules: Rules{Set: Set{Namespace: "other"}, Kinds: []string{"Namespace"}}, want: "deleting it would delete ConfigMap shop/b, which stays", drift: true},
		"a namespace of members that go":   {member: member(namespace("shop")), others: []Member{member(configMap("b"))}, rules: Rules{Set: Set{Namespace: "other"}, Kinds: []string{"Namespace"}}},
		"the namespace of the set itself":  {member: member(namespace("shop")), rules: Rules{Kinds: []string{"Namespace"}}, want: "deleting it would delete ConfigMap shop/addons, the set itself, which stays", drift: true},
		"a definition":                     {member: member(definition), want: `objects of kind CustomResourceDefinition take others along, or data: to prune them, name CustomResourceDefinition in "prune": {"kinds": […]} (--prune-kinds)`, drift: true},
		"a definition of a kept object":    {member: member(definition), rules: Rules{Kinds: []string{"CustomResourceDefinition"}, Kept: []objects.Target{widget}}, want: "deleting it would delete Widget shop/one, which stays", drift: true},
		"a definition of objects that go":  {member: member(definition), others: []Member{member(widget)}, rules: Rules{Kinds: []string{"CustomResourceDefinition"}}},
		"a volume":                         {member: member(target("v1", "PersistentVolume", "persistentvolumes", "", "disk")), want: `objects of kind PersistentVolume take others along, or data: to prune them, name PersistentVolume in "prune": {"kinds": […]} (--prune-kinds)`, drift: true},
		"a claim":                          {member: member(target("v1", "PersistentVolumeClaim", "persistentvolumeclaims", "shop", "disk")), want: `objects of kind PersistentVolumeClaim take others along, or data: to prune them, name PersistentVolumeClaim in "prune": {"kinds": […]} (--prune-kinds)`, drift: true},
		"the owner of a member that stays": {member: member(configMap("a")), others: []Member{member(configMap("b"), func(m *metadata) { m.OwnerReferences = []owner{{"ConfigMap", "a", "ConfigMap/shop/a"}} })}, rules: Rules{Kept: []objects.Target{configMap("b")}}, want: "deleting it would delete ConfigMap shop/b, which stays", drift: true},
		"a namesake of a protected kind":   {member: member(target("example.com/v1", "Namespace", "namespaces", "shop", "old"))},
	} {
		t.Run(sentence, func(t *testing.T) {
			if c.rules.Set == (Set{}) {
				c.rules.Set = addons
			}
			leaving := Leave(append([]Member{c.member}, c.others...), c.rules)
			assert.NotEmpty(t, leaving)
			got := leaving[0]
			assert.Equal(t, c.member.UID(), got.UID())
			if c.want == "" {
				assert.Nil(t, got.Spared)
				return
			}
			if assert.NotNil(t, got.Spared) {
				assert.Equal(t, c.want, got.Spared.String())
				assert.Equal(t, c.drift, got.Spared.IsDrift())
			}
		})
	}
}

func TestWhatIsInTheManifestsStays(t *testing.T) {
	ingress := target("networking.k8s.io/v1", "Ingress", "ingresses", "shop", "web")
	old := member(target("extensions/v1beta1", "Ingress", "ingresses", "shop", "web"), func(m *metadata) { m.UID = "same" })
	now := member(ingress, func(m *metadata) { m.UID = "same" })
	assert.Empty(t, Leave([]Member{old, now}, Rules{Set: addons, Kept: []objects.Target{ingress}}), "another group serves the same object")
	assert.Empty(t, Leave([]Member{member(target("apps/v1beta1", "Deployment", "deployments", "shop", "web"))},
		Rules{Set: addons, Kept: []objects.Target{target("apps/v1", "Deployment", "deployments", "shop", "web")}}), "another version of its group")
	leaving := Leave([]Member{member(target("v1", "ConfigMap", "configmaps", "bank", "a"))}, Rules{Set: addons, Kept: []objects.Target{configMap("a")}})
	assert.Len(t, leaving, 1, "one of the same name in another namespace is another one")
}

func TestMoreThanTheRailsAllowIsRefused(t *testing.T) {
	for sentence, c := range map[string]struct {
		pruned, members, max int
		whole                bool
		want                 string
	}{
		"ten of many":                         {pruned: 10, members: 100},
		"eleven of many":                      {pruned: 11, members: 100, want: `11 objects are not in the manifests, and more than 10 are pruned only with "prune": {"max": 11} (--prune-max 11)`},
		"eleven that are allowed":             {pruned: 11, members: 100, max: 11},
		"more than are allowed":               {pruned: 12, members: 100, max: 11, want: `12 objects are not in the manifests, and "prune": {"max": 11} allows fewer`},
		"fewer than ten, and not so many":     {pruned: 3, members: 100, max: 2, want: `3 objects are not in the manifests, and "prune": {"max": 2} allows fewer`},
		"half of ten":                         {pruned: 5, members: 10},
		"more than half of ten":               {pruned: 6, members: 10, want: `6 of the 10 members of the set are not in the manifests, and more than half are pruned only with "prune": {"max": 6} (--prune-max 6)`},
		"more than half that are allowed":     {pruned: 6, members: 10, max: 6},
		"all of a small set":                  {pruned: 9, members: 9},
		"a set that is deleted":               {pruned: 500, members: 500, whole: true},
		"a set that is larger than was meant": {pruned: 500, members: 500, whole: true, max: 20, want: `500 objects are not in the manifests, and "prune": {"max": 20} allows fewer`},
		"nothing":                             {members: 10},
	} {
		t.Run(sentence, func(t *testing.T) {
			assert.Equal(t, c.want, Refused(c.pruned, c.members, applymanifests.Prune{Max: c.max}, c.whole))
		})
	}
}

func TestAnObjectOfSomebodyElseIsNamedByItsOwner(t *testing.T) {
	live := func(labels, annotations map[string]any, managers ...any) map[string]any {
		return map[string]any{"metadata": map[string]any{"namespace": "shop", "labels": labels, "annotations": annotations, "managedFields": managers}}
	}
	entry := func(manager, field string) any {
		return map[string]any{"manager": manager, "operation": "Update", "fieldsV1": map[string]any{field: map[string]any{}}}
	}
	status := map[string]any{"manager": "kubelet", "subresource": "status", "fieldsV1": map[string]any{"f:status": map[string]any{}}}
	other := Set{Namespace: "bank", Name: "addons"}
	for sentence, c := range map[string]struct {
		live    map[string]any
		changed bool
		want    []Owner
		adopt   []string
	}{
		"a member of this set":                        {live: live(map[string]any{LabelPartOf: addons.ID()}, nil, entry("helm", "f:data")), changed: true},
		"a member of another set":                     {live: live(map[string]any{LabelPartOf: other.ID()}, nil), want: []Owner{Owner("set/" + other.ID())}, adopt: []string{"set/bank/addons"}},
		"an object of Helm":                           {live: live(nil, map[string]any{"meta.helm.sh/release-name": "cache"}), want: []Owner{"helm/shop/cache"}, adopt: []string{"helm/shop/cache"}},
		"an object of nobody with the same content":   {live: live(nil, nil, entry("kubectl", "f:data"))},
		"one whose content changes":                   {live: live(nil, nil, entry("kubectl", "f:data"), entry("vim", "f:data"), entry("kubectl", "f:spec")), changed: true, want: []Owner{"manager/kubectl", "manager/vim"}, adopt: []string{"manager/vim", "manager/kubectl"}},
		"one that this manager applied before":        {live: live(nil, nil, entry("vim", "f:data"), entry("kubestep", "f:data")), changed: true},
		"one that only the control plane has written": {live: live(nil, nil, entry("kube-controller-manager", "f:spec"), entry("x", "f:metadata"), status), changed: true},
	} {
		t.Run(sentence, func(t *testing.T) {
			got := addons.Owners(c.live, c.changed, "kubestep")
			assert.Equal(t, c.want, got)
			for _, owner := range got {
				assert.False(t, owner.IsAdopted([]string{"set/shop/addons", "helm/other/cache", "manager/k"}))
				assert.True(t, owner.IsAdopted(c.adopt), owner)
			}
		})
	}
}
