package objects

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/util/csaupgrade"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/kubestep/kubestep/internal/kube"
)

// clientSide owns the fields that `kubectl apply` set without --server-side.
const clientSide = "kubectl-client-side-apply"

// MayBeClientSide reports whether an object, as JSON, may have been applied by a client.
// Most have not, and are not decoded.
func MayBeClientSide(object []byte) bool {
	return bytes.Contains(object, []byte(kube.LastApplied)) || bytes.Contains(object, []byte(clientSide))
}

// Ownership is who owns which fields of an object.
type Ownership struct {
	object  metav1.PartialObjectMetadata
	manager string
}

// maxManagedFields bounds what is decoded of it, in bytes: a set of fields takes many
// times as much memory.
const maxManagedFields = 1 << 20

// Ownership reads who owns which fields of an object, as JSON.
func (c Client) Ownership(object []byte) (Ownership, error) { return readOwnership(object, c.Manager) }

func readOwnership(object []byte, manager string) (Ownership, error) {
	o := Ownership{manager: manager}
	if err := json.Unmarshal(object, &o.object); err != nil {
		return o, kube.BadAnswer("it is not an object")
	}
	bytes := int64(0)
	for _, entry := range o.object.ManagedFields {
		bytes += entry.FieldsV1.GetRawReader().Size()
	}
	if bytes > maxManagedFields {
		return o, kube.BadAnswer("its managedFields have more than %d bytes", maxManagedFields)
	}
	return o, nil
}

// isOwn reports whether an entry is the one that applying writes.
func (o Ownership) isOwn(entry metav1.ManagedFieldsEntry) bool {
	return entry.Manager == o.manager && entry.Operation == metav1.ManagedFieldsOperationApply && entry.Subresource == ""
}

// own is what the manager applied, and when.
func (o Ownership) own() (fields *fieldpath.Set, at time.Time) {
	fields = &fieldpath.Set{}
	for _, entry := range o.object.ManagedFields {
		if o.isOwn(entry) {
			fields = entryFields(entry)
			if entry.Time != nil {
				at = entry.Time.Time
			}
		}
	}
	return fields, at
}

// others is what all other managers own.
func (o Ownership) others() *fieldpath.Set {
	all := &fieldpath.Set{}
	for _, entry := range o.object.ManagedFields {
		if !o.isOwn(entry) {
			all = all.Union(entryFields(entry))
		}
	}
	return all
}

func entryFields(entry metav1.ManagedFieldsEntry) *fieldpath.Set {
	fields := &fieldpath.Set{}
	if err := fields.FromJSON(entry.FieldsV1.GetRawReader()); err != nil {
		return &fieldpath.Set{} // the API server drops it, too
	}
	return fields
}

// clients are the managers that applied the object at the client's side: those that
// own kubectl's copy of it, as `kubectl apply --server-side` finds them, and kubectl's own.
func (o Ownership) clients() sets.Set[string] {
	names := sets.Set[string]{}
	annotation := fieldpath.NewSet(fieldpath.MakePathOrDie("metadata", "annotations", kube.LastApplied))
	for _, entry := range csaupgrade.FindFieldsOwners(o.object.ManagedFields, metav1.ManagedFieldsOperationUpdate, annotation) {
		names.Insert(entry.Manager)
	}
	for _, entry := range o.object.ManagedFields {
		if entry.Manager == clientSide && entry.Operation == metav1.ManagedFieldsOperationUpdate && entry.Subresource == "" {
			names.Insert(clientSide)
		}
	}
	return names
}

// OtherVersions are the versions as which clients applied the object, other than the one
// that is applied. What they own there cannot be compared, nor taken over.
func (o Ownership) OtherVersions() []string {
	clients, all := o.clients(), sets.Set[string]{}
	for _, entry := range o.object.ManagedFields {
		if clients.Has(entry.Manager) && entry.Operation == metav1.ManagedFieldsOperationUpdate && entry.APIVersion != o.object.APIVersion {
			all.Insert(entry.APIVersion)
		}
	}
	return sets.List(all)
}

// adoption is the patch that makes what clients own the manager's own; nil if they own
// nothing. It fails with a conflict if the object has changed.
func (o Ownership) adoption() ([]byte, error) {
	return csaupgrade.UpgradeManagedFieldsPatch(&o.object, o.clients(), o.manager)
}

// adopted is what applying makes of the object, once what the clients own is the
// manager's: it goes without what they alone own and what is not applied. less reports
// whether that is anything beside the copy that kubectl keeps.
func (o Ownership) adopted(object map[string]any) (next any, less bool, err error) {
	applied, _ := o.own()
	after := Ownership{manager: o.manager}
	o.object.DeepCopyInto(&after.object)
	if err := csaupgrade.UpgradeManagedFields(&after.object, o.clients(), o.manager); err != nil {
		return nil, false, err
	}
	kept := after.others().Union(applied)
	// Whatever is applied has a name.
	for _, always := range []string{"apiVersion", "kind", "metadata"} {
		kept.Insert(fieldpath.MakePathOrDie(always))
	}
	all, _ := after.own()
	gone := all.Difference(kept)
	annotations := fieldpath.MakePathOrDie("metadata", "annotations")
	copied := fieldpath.NewSet(annotations, append(annotations, fieldpath.FieldNameElement(kube.LastApplied)))
	return newFinder().remove(object, gone, kept), !gone.Difference(copied).Empty(), nil
}

// Lost are the fields that the manager applied before, as it owns them in before, and
// that are in no object afterwards, and when that was.
func Lost(before, after Ownership, next any) (fields []string, at time.Time) {
	owned, at := before.own()
	still, _ := after.own()
	f := newFinder()
	return topmost(owned.Difference(still), func(path fieldpath.Path) bool {
		_, there := f.find(next, path)
		return !there
	}), at
}

// respell returns the object to be applied with each value that only looks different,
// such as 0.5 for 500m, as it is in the live object: forced is what becomes of it when
// all fields are taken from their owners. A field that has the same value before and
// after is in no conflict. It reports whether there is any.
func respell(applied, live, forced []byte, manager string) ([]byte, bool) {
	before, err := readOwnership(live, manager)
	if err != nil {
		return nil, false
	}
	after, err := readOwnership(forced, manager)
	if err != nil {
		return nil, false
	}
	var objects [3]map[string]any
	for i, text := range [][]byte{applied, live, forced} {
		if objects[i], err = kube.Object(text); err != nil {
			return nil, false
		}
	}
	f, some := newFinder(), false
	before.others().Difference(after.others()).Leaves().Iterate(func(path fieldpath.Path) {
		given, isGiven := f.find(objects[0], path)
		now, isThere := f.find(objects[1], path)
		then, stays := f.find(objects[2], path)
		if isGiven && isThere && stays && equal(now, then) && !equal(given, now) {
			f.set(objects[0], path, now)
			some = true
		}
	})
	if !some {
		return nil, false
	}
	text, err := json.Marshal(objects[0])
	return readAsYAML(text), err == nil
}

// readAsYAML escapes what YAML does not allow in JSON, or takes for the end of a line: the
// API server reads what is applied as YAML. encoding/json escapes the others.
// https://yaml.org/spec/1.2.2/#51-character-set
func readAsYAML(text []byte) []byte {
	var escaped bytes.Buffer
	for _, r := range string(text) {
		if r >= 0x7f && r < 0xa0 || r == 0xfeff || r == 0xfffe || r == 0xffff {
			fmt.Fprintf(&escaped, `\u%04x`, r)
		} else {
			escaped.WriteRune(r)
		}
	}
	return escaped.Bytes()
}

// equal compares JSON.
func equal(a, b any) bool { return slices.Equal(encoded(a), encoded(b)) }

func encoded(value any) []byte {
	text, _ := json.Marshal(value) // it was JSON before
	return text
}

// Owned is what the client's field manager owns of an object, as the API server keeps it;
// empty if that is nothing.
func (c Client) Owned(object map[string]any) string {
	metadata, _ := object["metadata"].(map[string]any)
	entries, _ := metadata["managedFields"].([]any)
	for _, e := range entries {
		entry, _ := e.(map[string]any)
		if entry["manager"] == c.Manager && entry["operation"] == "Apply" && entry["subresource"] == nil {
			fields, _ := json.Marshal(entry["fieldsV1"]) // it was JSON before
			return fmt.Sprint(entry["apiVersion"], string(fields))
		}
	}
	return ""
}
