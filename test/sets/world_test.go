package sets

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/sets"
	"github.com/kubestep/kubestep/test/asl"
)

// place is a part of the cluster that one test at a time has: two namespaces, a kind, and names of what is cluster-wide.
type place struct {
	name      string
	config    *rest.Config // of the administrator
	admin     dynamic.Interface
	discovery discovery.DiscoveryInterface
	link      *link
	// other is the link of an execution at the same time.
	other *link
	t     testing.TB
	// requests are done outside of any bubble.
	requests chan func()
	done     chan struct{}
}

var places atomic.Int32

// newPlace returns a new place, until the test ends. Call it outside of a bubble of testing/synctest.
func newPlace(t testing.TB) *place {
	t.Helper()
	config, err := controlPlane.Admin()
	require.NoError(t, err)
	admin, err := dynamic.NewForConfig(config)
	require.NoError(t, err)
	kinds, err := discovery.NewDiscoveryClientForConfig(config)
	require.NoError(t, err)
	p := &place{discovery: kinds, name: fmt.Sprintf("p%03d", places.Add(1)), config: config, admin: admin, link: newLink(t, config), other: newLink(t, config), t: t, requests: make(chan func()), done: make(chan struct{})}
	go func() {
		for request := range p.requests {
			request()
			p.done <- struct{}{}
		}
	}()
	t.Cleanup(func() { close(p.requests) })
	for _, namespace := range p.namespaces() {
		require.NoError(t, p.create("ns", "", namespace, nil))
	}
	return p
}

// outside does what keeps a connection outside of the bubble: in it, no time would pass.
func (p *place) outside(do func()) {
	p.requests <- do
	<-p.done
}

// namespace is the namespace that a test calls a or b.
func (p *place) namespace(short string) string {
	if short == "" {
		return ""
	}
	return p.name + "-" + short
}

func (p *place) namespaces() []string { return []string{p.namespace("a"), p.namespace("b")} }

func (p *place) group() string { return p.name + ".example.com" }

// kind is where objects are that a test calls by a short word.
type kind struct {
	schema.GroupVersionResource
	kind       string
	namespaced bool
}

// group is the kind and its group, as a parent says it.
func (k kind) group() string {
	return k.GroupVersionResource.GroupVersion().WithKind(k.kind).GroupKind().String()
}

func (p *place) kind(short string) kind {
	of := map[string]kind{
		"ns":     {schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}, "Namespace", false},
		"cm":     {schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}, "ConfigMap", true},
		"secret": {schema.GroupVersionResource{Version: "v1", Resource: "secrets"}, "Secret", true},
		"sa":     {schema.GroupVersionResource{Version: "v1", Resource: "serviceaccounts"}, "ServiceAccount", true},
		"lease":  {schema.GroupVersionResource{Group: "coordination.k8s.io", Version: "v1", Resource: "leases"}, "Lease", true},
		"pc":     {schema.GroupVersionResource{Group: "scheduling.k8s.io", Version: "v1", Resource: "priorityclasses"}, "PriorityClass", false},
		"crd":    {schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}, "CustomResourceDefinition", false},
		"gadget": {schema.GroupVersionResource{Group: p.group(), Version: "v1", Resource: "gadgets"}, "Gadget", true},
	}
	k, ok := of[short]
	if !ok {
		panic("no kind " + short)
	}
	return k
}

// inventory are the kinds that a place has objects of.
func inventory() []string { return []string{"gadget", "crd", "pc", "cm", "secret", "sa", "lease"} }

// object is an object that a test calls such as cm a/one=1: its kind, its namespace, name and value.
type object struct{ kind, namespace, name, value string }

// parse reads objects, such as "cm a/one=1 pc /two".
func parse(text string) []object {
	var all []object
	fields := strings.Fields(text)
	for i := 0; i+1 < len(fields); i += 2 {
		what, value, _ := strings.Cut(fields[i+1], "=")
		namespace, name, ok := strings.Cut(what, "/")
		if !ok {
			panic(fields[i+1] + " has no slash")
		}
		all = append(all, object{fields[i], namespace, name, value})
	}
	return all
}

// id is what makes it the same object.
func (o object) id() string { return o.kind + " " + o.namespace + "/" + o.name }

// manifest is the object as it is applied.
func (p *place) manifest(o object) map[string]any {
	k := p.kind(o.kind)
	metadata := map[string]any{"name": p.nameOf(o)}
	if k.namespaced {
		metadata["namespace"] = p.namespace(o.namespace)
	}
	m := map[string]any{"apiVersion": k.GroupVersion().String(), "kind": k.kind, "metadata": metadata}
	switch o.kind {
	case "cm":
		m["data"] = map[string]any{"value": o.value}
	case "secret":
		m["stringData"] = map[string]any{"value": o.value}
	case "pc":
		m["value"] = int64(7)
	case "gadget":
		m["spec"] = map[string]any{"value": o.value}
	case "lease":
		m["spec"] = map[string]any{"holderIdentity": "x" + o.value}
	case "crd":
		m["spec"] = map[string]any{
			"group": p.group(), "scope": "Namespaced", "names": map[string]any{"plural": "gadgets", "singular": "gadget", "kind": "Gadget"},
			"versions": []any{map[string]any{"name": "v1", "served": true, "storage": true, "schema": map[string]any{"openAPIV3Schema": map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}},
		}
	}
	return m
}

// nameOf is the name in the cluster: that of a cluster-wide object is the place's own.
func (p *place) nameOf(o object) string {
	switch {
	case o.kind == "crd":
		return "gadgets." + p.group()
	case o.kind == "pc":
		return p.name + "-" + o.name
	default:
		return o.name
	}
}

func (p *place) client(k kind, namespace string) dynamic.ResourceInterface {
	if !k.namespaced {
		return p.admin.Resource(k.GroupVersionResource)
	}
	return p.admin.Resource(k.GroupVersionResource).Namespace(namespace)
}

// create makes an object as somebody else does, who may change it before.
func (p *place) create(short, namespace, name string, change func(map[string]any)) error {
	o := object{kind: short, namespace: namespace, name: name}
	m := p.manifest(o)
	if short == "ns" {
		m["metadata"] = map[string]any{"name": name}
	}
	if change != nil {
		change(m)
	}
	_, err := p.client(p.kind(short), p.namespace(namespace)).Create(context.Background(), &unstructured.Unstructured{Object: m}, metav1.CreateOptions{FieldManager: "somebody"})
	return err
}

// patch changes an object as somebody else does.
func (p *place) patch(o object, patch string) error { return p.patchAs(o, types.MergePatchType, patch) }

func (p *place) patchAs(o object, as types.PatchType, patch string) error {
	_, err := p.client(p.kind(o.kind), p.namespace(o.namespace)).Patch(context.Background(), p.nameOf(o), as, []byte(patch), metav1.PatchOptions{FieldManager: "somebody"})
	return err
}

// serve lets the cluster serve gadgets, or serve them no more, and returns once it does.
func (p *place) serve(served bool) error {
	crd := object{kind: "crd", name: "gadgets"}
	if err := p.patchAs(crd, types.JSONPatchType, fmt.Sprintf(`[{"op":"replace","path":"/spec/versions/0/served","value":%t}]`, served)); err != nil {
		return err
	}
	for range 500 {
		_, err := p.client(p.kind("gadget"), p.namespace("a")).List(context.Background(), metav1.ListOptions{})
		group, known := p.discovery.ServerResourcesForGroupVersion(p.group() + "/v1")
		if served && err == nil && known == nil && len(group.APIResources) > 0 || !served && apierrors.IsNotFound(err) && apierrors.IsNotFound(known) {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return fmt.Errorf("the cluster does not serve gadgets: %t", served)
}

// remove deletes an object as somebody else does.
func (p *place) remove(o object) error {
	return p.client(p.kind(o.kind), p.namespace(o.namespace)).Delete(context.Background(), p.nameOf(o), metav1.DeleteOptions{})
}

// live is an object as it is.
type live struct {
	object
	uid, partOf string
	parentOf    string
	annotations map[string]string
	deleting    bool
}

// look lists all objects of the place, but those that a cluster makes by itself.
func (p *place) look() (map[string]live, error) {
	all := map[string]live{}
	for _, short := range inventory() {
		k := p.kind(short)
		namespaces := []string{""}
		if k.namespaced {
			namespaces = []string{"a", "b"}
		}
		for _, namespace := range namespaces {
			list, err := p.client(k, p.namespace(namespace)).List(context.Background(), metav1.ListOptions{})
			if apierrors.IsNotFound(err) {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("list %s in %q: %w", short, namespace, err)
			}
			for _, item := range list.Items {
				o := object{kind: short, namespace: namespace, name: item.GetName()}
				switch short {
				case "pc", "crd":
					if !strings.HasPrefix(o.name, p.name+"-") && !strings.HasSuffix(o.name, "."+p.group()) {
						continue
					}
					o.name = strings.TrimPrefix(o.name, p.name+"-")
					if short == "crd" {
						o.name = "gadgets"
					}
				case "cm", "sa":
					if o.name == "kube-root-ca.crt" || o.name == "default" {
						continue
					}
				}
				o.value = valueOf(item)
				all[o.id()] = live{o, string(item.GetUID()), item.GetLabels()[sets.LabelPartOf], item.GetLabels()[sets.LabelID], item.GetAnnotations(), item.GetDeletionTimestamp() != nil}
			}
		}
	}
	return all, nil
}

func valueOf(item unstructured.Unstructured) string {
	for _, at := range [][]string{{"data", "value"}, {"spec", "value"}, {"spec", "holderIdentity"}} {
		if value, found, _ := unstructured.NestedString(item.Object, at...); found {
			if item.GetKind() == "Secret" { // in base64
				var text []byte
				_ = json.Unmarshal([]byte(`"`+value+`"`), &text)
				return string(text)
			}
			return strings.TrimPrefix(value, "x")
		}
	}
	return ""
}

// clear deletes all that is in the place.
func (p *place) clear() error {
	for try := 0; ; try++ {
		all, err := p.look()
		if err != nil || len(all) == 0 {
			return err
		}
		if try == 1000 {
			return fmt.Errorf("%s does not get empty: %v", p.name, slices.Sorted(maps.Keys(all)))
		}
		for _, id := range slices.Sorted(maps.Keys(all)) {
			l := all[id]
			if l.deleting && l.kind != "crd" || try == 0 && l.kind != "crd" {
				if err := p.patch(l.object, `{"metadata":{"finalizers":null}}`); err != nil && !apierrors.IsNotFound(err) {
					return err
				}
			}
			if err := p.remove(l.object); err != nil && !apierrors.IsNotFound(err) {
				return err
			}
		}
	}
}

// step is an execution: what it is given.
type step struct {
	// set is the set, whose ConfigMap is in namespace a.
	set string
	// manifests are the objects, as parse reads them.
	manifests string
	prune     bool
	mode      applymanifests.Mode
	kinds     []string
	adopt     []string
	wait      int
}

// documents puts objects into a file of S3, and returns its key.
func (p *place) documents(text string) string {
	var b strings.Builder
	for _, o := range parse(text) {
		document, err := json.Marshal(p.manifest(o))
		if err != nil { // maps of texts cannot fail
			panic(err)
		}
		b.WriteString("---\n")
		b.Write(document)
		b.WriteString("\n")
	}
	key := fmt.Sprintf("%x.yaml", sha256.Sum256([]byte(b.String())))
	files.Store(key, b.String())
	return key
}

// input is the execution's.
func (p *place) input(s step) map[string]any {
	in := map[string]any{"set": s.set, "namespace": p.namespace("a"), "mode": "apply", "force": true}
	if s.mode != "" {
		in["mode"] = string(s.mode)
	}
	if s.mode != applymanifests.ModeDelete {
		in["source"] = map[string]any{"bucket": "manifests", "key": p.documents(s.manifests)}
	}
	if s.prune || s.mode == applymanifests.ModeDelete {
		prune := map[string]any{"max": 50.0}
		if s.kinds != nil {
			prune["kinds"] = s.kinds
		}
		in["prune"] = prune
	}
	if s.adopt != nil {
		var adopt []string
		for _, set := range s.adopt {
			adopt = append(adopt, strings.ReplaceAll(set, "set/a/", "set/"+p.namespace("a")+"/"))
		}
		in["adopt"] = adopt
	}
	if s.wait > 0 {
		in["wait"] = map[string]any{"timeoutSeconds": s.wait}
	}
	return in
}

// setOf is the set of a step.
func (p *place) setOf(name string) sets.Set { return sets.Set{Namespace: p.namespace("a"), Name: name} }

// outcome is how an execution ended.
type outcome struct {
	output   applymanifests.Output
	path     []string
	requests []string
	hit      int // how many requests came before that at which a fault occurred
	err      error
}

// faulty is the request at which a fault occurred.
func (o outcome) faulty() string { return o.requests[o.hit] }

var executions atomic.Int64

// newExecution returns an execution of a step on the link.
func (p *place) newExecution(t testing.TB, l *link, s step) *execution {
	t.Helper()
	text, err := json.Marshal(p.input(s))
	require.NoError(t, err)
	var decoded any
	require.NoError(t, json.Unmarshal(text, &decoded))
	functions := l.functions()
	e := &execution{invoke: func(ctx context.Context, name string, payload json.RawMessage) (json.RawMessage, error) {
		return l.invoke(ctx, functions[name], payload)
	}}
	e.Execution = asl.Execution{
		Machine: machine, ARN: fmt.Sprintf("arn:aws:states:eu-west-1:111122223333:execution:one-apply-manifests:%s-%d", p.name, executions.Add(1)), Input: decoded,
		Do: e.do, Enters: e.enters,
	}
	return e
}

// end runs an execution to its end.
func (e *execution) end(t testing.TB) outcome {
	t.Helper()
	after, err := e.Run(t.Context())
	o := outcome{path: e.path, err: err}
	if err == nil {
		text, err := json.Marshal(after)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(text, &o.output))
	}
	return o
}

// run runs an execution of a step in which a fault occurs.
func (p *place) run(t testing.TB, s step, with plan) outcome {
	t.Helper()
	p.link.begin(with)
	o := p.newExecution(t, p.link, s).end(t)
	o.requests, o.hit = p.link.made()
	return o
}
