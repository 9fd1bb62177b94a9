// Package manifests applies manifests to a cluster by server-side apply: it reads
// them, checks permissions, plans with a dry run, and applies in stages.
package manifests

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/validate/content"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/documents"
	"github.com/kubestep/kubestep/internal/objects"
	"github.com/kubestep/kubestep/internal/sets"
)

const (
	// MaxBytes bounds the manifests of an execution.
	MaxBytes = 10 << 20
	// MaxObjects bounds the objects in them.
	MaxObjects = 1000
	// maxObject bounds an object: the API server takes no larger body (MaxRequestBodyBytes in
	// https://github.com/kubernetes/kubernetes/blob/v1.37.2/staging/src/k8s.io/apiserver/pkg/server/config.go).
	maxObject = 3 << 20
	// maxLists bounds how deep Lists are in Lists.
	maxLists = 3
	// maxName is the longest name of any kind.
	maxName = 253
	// maxProblems is how many problems are told; the others are counted.
	maxProblems = 50
	// maxCounted is how many are counted at least, if there are so many.
	maxCounted = 10_000
	// maxClipped bounds, in bytes, what is quoted of a manifest.
	maxClipped = 300
)

// Rules say which objects Read accepts.
type Rules struct {
	// Namespace is for objects that name none.
	Namespace string
	// AllowedKinds are the kinds among the restricted ones (RBAC, admission) that are
	// accepted all the same.
	AllowedKinds []string
	// AnyKind accepts every kind: for a caller that cannot know what the stack allows.
	AnyKind bool
	// Set is the set that the objects become members of; it has no name for none.
	Set sets.Set
	// Inline is set for manifests that are part of the execution input: everybody who
	// may read the execution reads them, so they may hold no Secret.
	Inline bool
}

// ReadInline reads manifests of an execution input: a string of YAML documents,
// or an array of objects.
func ReadInline(value json.RawMessage, rules Rules) ([]objects.Object, error) {
	rules.Inline = true
	if text, ok := documents.Unquote(value); ok {
		return Read(text, rules)
	}
	r := reader{rules: rules}
	isArray := len(value) > 0 && value[0] == '['
	for document, err := range documents.All(value) {
		var problem *documents.Problem
		switch {
		case errors.As(err, &problem):
			r.problem(place{document: 1}, "", "%s", problem)
		case isArray:
			i := 0
			for object := range documents.Items(document.JSON) {
				i++
				r.object(place{document: i}, object)
			}
		}
	}
	if !isArray {
		return nil, contract.Errorf(contract.InvalidInput, "manifests: expected a string of YAML documents or an array of objects")
	}
	return r.result()
}

// Read reads YAML documents and JSON values, each an object or a List of them. The
// error names every problem there is.
//
// Errors: InvalidInput.
func Read(text []byte, rules Rules) ([]objects.Object, error) {
	if len(text) > MaxBytes {
		return nil, contract.Errorf(contract.InvalidInput, "The manifests have more than %d bytes: put them into several files, and apply each in an execution of its own", MaxBytes)
	}
	r := reader{rules: rules}
	for document, err := range documents.All(text) {
		var problem *documents.Problem
		if errors.As(err, &problem) {
			r.problem(place{document: problem.Number}, "", "%s", problem)
		} else {
			r.object(place{document: document.Number}, document.JSON)
		}
		if r.more > maxCounted {
			break // this is no text of manifests
		}
	}
	return r.result()
}

// reader gathers objects and problems.
type reader struct {
	rules    Rules
	objects  []objects.Object
	first    map[string]place
	problems []string
	more     int // problems that are only counted
	rest     int // objects that are only counted
}

func (r *reader) problem(at place, what, format string, args ...any) {
	if len(r.problems) == maxProblems {
		r.more++
		return
	}
	where := at.String()
	if what != "" {
		where += " (" + clip(what) + ")"
	}
	r.problems = append(r.problems, where+": "+fmt.Sprintf(format, args...))
}

func (r *reader) result() ([]objects.Object, error) {
	switch {
	case len(r.problems) > 0:
		count := contract.Counted(len(r.problems)+r.more, "problem")
		if r.more > maxCounted {
			count = "at least " + count
		}
		text := fmt.Sprintf("The manifests have %s: %s", count, strings.Join(r.problems, "; "))
		if r.more > 0 {
			text += fmt.Sprintf("; and %d more", r.more)
		}
		return nil, contract.Errorf(contract.InvalidInput, "%s", text)
	case len(r.objects) == 0:
		return nil, contract.Errorf(contract.InvalidInput, "The manifests hold no object: every document is empty or a comment")
	case r.rest > 0:
		return nil, contract.Errorf(contract.InvalidInput, "The manifests hold %d objects: expected at most %d. Apply them in several executions", len(r.objects)+r.rest, MaxObjects)
	}
	return r.objects, nil
}

// object reads an object, or takes a List apart.
func (r *reader) object(at place, text []byte) {
	fields, ok := fieldsOf(text)
	if !ok {
		r.problem(at, "", "it is not a Kubernetes object: expected apiVersion, kind and metadata")
		return
	}
	metadata, malformed := map[string]json.RawMessage{}, false
	if raw := fields["metadata"]; present(raw) {
		if metadata, ok = fieldsOf(raw); !ok {
			r.problem(at, "", "metadata is not an object")
			malformed = true
		}
	}
	get := func(from map[string]json.RawMessage, field, path string) (value string) {
		if raw := from[field]; present(raw) && json.Unmarshal(raw, &value) != nil {
			r.problem(at, "", "%s is not a string: put it in quotes", path)
			malformed = true
		}
		return value
	}
	apiVersion, kind := get(fields, "apiVersion", "apiVersion"), get(fields, "kind", "kind")
	name, namespace := get(metadata, "name", "metadata.name"), get(metadata, "namespace", "metadata.namespace")
	if isList(apiVersion, kind, name, fields) {
		if r.rules.Inline && !isPlainList(fields, metadata) {
			r.problem(at, "", "it is a List, which in an execution input may have apiVersion, kind, items and an empty metadata only: what is beside the items is not applied")
		}
		r.list(at, apiVersion, kind, fields["items"])
		return
	}
	if kind == "List" && apiVersion == "v1" {
		r.problem(at, "", "the items of the List are not an array: if there are none, write items: []")
		return
	}
	what := ""
	if kind != "" || name != "" {
		what = objects.Describe(kind, namespace, name)
	}
	if malformed {
		return
	}
	if len(r.objects) == MaxObjects {
		r.rest++
		return
	}
	before := len(r.problems) + r.more
	o := objects.Object{Namespace: namespace, Name: name, JSON: text, From: at.String()}
	o.GroupVersionKind = r.groupVersionKind(at, what, apiVersion, kind)
	r.names(at, o, what, metadata)
	if o.Namespace == "" {
		o.Namespace = r.rules.Namespace
	}
	r.content(at, o, what, fields, metadata)
	r.membership(at, o, what, metadata)
	if len(text) > maxObject {
		r.problem(at, what, "it has %d bytes: the API server accepts at most %d", len(text), maxObject)
	}
	if len(r.problems)+r.more > before {
		return
	}
	// Whether a kind is in namespaces is known to the cluster alone, so two objects
	// without a namespace count as the same either way.
	key := strings.Join([]string{o.Group, o.Kind, o.Namespace, o.Name}, "/")
	if earlier, again := r.first[key]; again {
		r.problem(at, what, "it is in %s already", earlier)
		return
	}
	if r.first == nil {
		r.first = map[string]place{}
	}
	r.first[key] = at
	o.JSON = sent(o, fields)
	if r.rules.Set.Name != "" {
		o.JSON = withLabel(o.JSON, sets.LabelPartOf, r.rules.Set.ID())
	}
	r.objects = append(r.objects, o)
}

// fieldsOf returns the fields of an object.
func fieldsOf(text []byte) (map[string]json.RawMessage, bool) {
	if len(text) == 0 || text[0] != '{' {
		return nil, false
	}
	return maps.Collect(documents.Fields(text)), true
}

// present reports whether a field has a value: null is none.
func present(raw json.RawMessage) bool { return len(raw) > 0 && string(raw) != "null" }

// isList tells a List from an object whose kind happens to end in List, such as a
// DenyList: a List has items, and no name.
// https://github.com/kubernetes/community/blob/main/contributors/devel/sig-architecture/api-conventions.md#lists-and-simple-kinds
func isList(apiVersion, kind, name string, fields map[string]json.RawMessage) bool {
	items := fields["items"]
	if !strings.HasSuffix(kind, "List") || len(items) == 0 || items[0] != '[' {
		return false
	}
	return name == "" || kind == "List" && apiVersion == "v1"
}

// isPlainList reports whether a List has nothing but items.
func isPlainList(fields, metadata map[string]json.RawMessage) bool {
	for field := range fields {
		if !slices.Contains([]string{"apiVersion", "kind", "metadata", "items"}, field) {
			return false
		}
	}
	for _, value := range metadata {
		if present(value) && string(value) != `""` {
			return false
		}
	}
	return true
}

func (r *reader) list(at place, apiVersion, kind string, items []byte) {
	if at.lists++; at.lists > maxLists {
		r.problem(at, "", "it is a List in %d others: expected at most %d in one another", maxLists, maxLists)
		return
	}
	outer, i := at, 0
	for item := range documents.Items(items) {
		i++
		at = outer.at(i)
		if fields, ok := fieldsOf(item); kind != "List" && ok && !present(fields["kind"]) {
			item = complete(item, apiVersion, strings.TrimSuffix(kind, "List"))
		} else if kind != "List" && !ok {
			r.problem(at, "", "it is not an object, and so not an item of a %s: if this %s is not a list of objects, give it a name", clip(kind), clip(kind))
			continue
		}
		r.object(at, item)
	}
}

// complete gives an item of a typed List the apiVersion and the kind that it
// leaves to the List.
func complete(item json.RawMessage, apiVersion, kind string) json.RawMessage {
	completed := make([]byte, 0, len(item)+len(apiVersion)+len(kind)+len(`{"apiVersion":"","kind":"",`))
	completed = documents.AppendText(append(completed, `{"apiVersion":`...), apiVersion)
	completed = documents.AppendText(append(completed, `,"kind":`...), kind)
	for name, value := range documents.Fields(item) {
		if name != "apiVersion" && name != "kind" {
			completed = append(documents.AppendText(append(completed, ','), name), ':')
			completed = append(completed, value...)
		}
	}
	return append(completed, '}')
}

// groupVersionKind reads apiVersion and kind. The API server serves no others than
// these: https://github.com/kubernetes/kubernetes/blob/v1.37.2/staging/src/k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation/validation.go
func (r *reader) groupVersionKind(at place, what, apiVersion, kind string) schema.GroupVersionKind {
	if apiVersion == "" {
		r.problem(at, what, "apiVersion is missing")
	}
	if kind == "" {
		r.problem(at, what, "kind is missing")
	}
	v, err := schema.ParseGroupVersion(apiVersion)
	if apiVersion != "" && (err != nil || len(validation.IsDNS1035Label(v.Version)) > 0 || v.Group != "" && len(validation.IsDNS1123Subdomain(v.Group)) > 0) {
		r.problem(at, what, "%q is not a valid apiVersion", clip(apiVersion))
	}
	if kind != "" && len(validation.IsDNS1035Label(strings.ToLower(kind))) > 0 {
		r.problem(at, what, "%q is not a valid kind", clip(kind))
	}
	return v.WithKind(kind)
}

func (r *reader) names(at place, o objects.Object, what string, metadata map[string]json.RawMessage) {
	_, generated := metadata["generateName"]
	switch {
	case o.Name == "" && generated:
		r.problem(at, what, "it has generateName, so each execution would create another object: give it a name")
	case o.Name == "":
		r.problem(at, what, "metadata.name is missing")
	case len(o.Name) > maxName:
		r.problem(at, what, "its name has %d characters: expected at most %d", len(o.Name), maxName)
	default:
		wrong := content.IsPathSegmentName(o.Name)
		if strings.ContainsFunc(o.Name, objects.IsUnprintable) {
			wrong = append(wrong, "may not contain white space or what cannot be printed")
		}
		if len(wrong) > 0 {
			r.problem(at, what, "%q is not a valid name: it %s", clip(o.Name), strings.Join(wrong, ", "))
		}
	}
	if o.Namespace != "" {
		if wrong := validation.IsDNS1123Label(o.Namespace); len(wrong) > 0 {
			r.problem(at, what, "%q is not a valid namespace", clip(o.Namespace))
		}
	}
}

// content refuses what cannot be applied, or is not to be.
func (r *reader) content(at place, o objects.Object, what string, fields, metadata map[string]json.RawMessage) {
	// https://kubernetes.io/docs/reference/using-api/server-side-apply/ : a body with
	// managedFields is refused, and resourceVersion and uid belong to one object at
	// one moment.
	for _, field := range []string{"managedFields", "resourceVersion", "uid"} {
		if raw, ok := metadata[field]; ok && string(raw) != "null" && string(raw) != `""` {
			r.problem(at, what, "metadata.%s belongs to an object that was read from a cluster: remove it", field)
		}
	}
	if statusOnly(fields) {
		r.problem(at, what, "it holds a status and nothing else, and a status is not applied")
	}
	r.allowed(at, o, what)
	if r.rules.Inline {
		if why := secretInInput(o); why != "" {
			r.problem(at, what, "%s", why)
		}
	}
	if !isSecret(o) {
		return
	}
	for _, field := range []string{"data", "stringData"} {
		raw := fields[field]
		if !present(raw) || string(raw) == "{}" {
			continue
		}
		values, ok := fieldsOf(raw)
		if !ok {
			r.problem(at, what, "%s is not an object", field)
		}
		for _, key := range slices.Sorted(maps.Keys(values)) {
			// What is no key may be a part of a value, as in {a:b}, which has no
			// space. The API server's own message would quote either.
			isKey := len(validation.IsConfigMapKey(key)) == 0
			if value := values[key]; value[0] != '"' && present(value) {
				if !isKey {
					key = "*"
				}
				r.problem(at, what, "%s.%s is not a string: put it in quotes", field, key)
			} else if !isKey {
				r.problem(at, what, "%s has a key that is not valid, and that is not shown because it may be a value: expected letters, digits, -, _ and ., and white space after the colon", field)
			}
		}
	}
}

// allowed refuses objects that give permissions, unless the stack accepts them.
func (r *reader) allowed(at place, o objects.Object, what string) {
	name := o.Kind
	switch {
	case isAWSAuth(o):
		name = o.Kind + "/" + o.Name
	case !isRestricted(o):
		return
	}
	if r.rules.AnyKind || slices.Contains(r.rules.AllowedKinds, name) {
		return
	}
	if meant, ok := misspelt(o); ok {
		r.problem(at, what, "%s has no kind %s: did you mean %s?", o.Group, o.Kind, meant)
		return
	}
	if isAWSAuth(o) {
		r.problem(at, what, "whoever applies it can make anybody an administrator of an EKS cluster, so this stack refuses it: to accept it, name %s in its parameter ApplyAllowedKinds", name)
		return
	}
	r.problem(at, what, "whoever applies %s objects can give themselves any permission, so this stack refuses them: to accept them, name %s in its parameter ApplyAllowedKinds", name, name)
}

func statusOnly(fields map[string]json.RawMessage) bool {
	if _, ok := fields["status"]; !ok {
		return false
	}
	for field := range fields {
		if !slices.Contains([]string{"apiVersion", "kind", "metadata", "status"}, field) {
			return false
		}
	}
	return true
}

// sent is the object as it is sent.
func sent(o objects.Object, fields map[string]json.RawMessage) []byte {
	switch {
	case o.IsSecret() && present(fields["data"]) || o.IsSecret() && fields["stringData"] != nil:
		return replaced(o.JSON, secretData(fields), "data", "stringData")
	case o.Group == objects.GroupRBAC && o.Kind == "ClusterRole" && present(fields["aggregationRule"]) && fields["rules"] != nil:
		// The control plane writes these rules. If they were sent, each plan would differ
		// from what it wrote, and force would take the permissions away for a moment.
		// https://kubernetes.io/docs/reference/access-authn-authz/rbac/#aggregated-clusterroles
		return replaced(o.JSON, nil, "rules")
	default:
		return o.JSON
	}
}

// replaced is an object without some of its fields, and with the first of them if it
// has a value.
func replaced(text, value []byte, fields ...string) []byte {
	out := append(make([]byte, 0, len(text)), '{')
	add := func(name string, value []byte) {
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(documents.AppendText(out, name), ':'), value...)
	}
	for name, value := range documents.Fields(text) {
		if !slices.Contains(fields, name) {
			add(name, value)
		}
	}
	if value != nil {
		add(fields[0], value)
	}
	return append(out, '}')
}

// membership refuses what cannot be a member of the set, or would take its place.
func (r *reader) membership(at place, o objects.Object, what string, metadata map[string]json.RawMessage) {
	set := r.rules.Set
	if set.Name == "" {
		return
	}
	if o.Group == "" && o.Kind == "ConfigMap" && o.Name == set.Name && o.Namespace == set.Namespace {
		r.problem(at, what, "it is the ConfigMap that stands for set %s: give the set, or the ConfigMap, another name", set.Name)
	}
	labels, _ := fieldsOf(metadata["labels"])
	for _, label := range []string{sets.LabelPartOf, sets.LabelID} {
		if _, given := labels[label]; given {
			r.problem(at, what, "its label %s is what says of which set it is: remove it, since kubestep sets it", label)
		}
	}
}

// withLabel is an object with a label. The API server refuses one whose labels are none.
func withLabel(text []byte, label, value string) []byte {
	set := func(within []byte, field string, value []byte) []byte {
		if !present(within) {
			within = []byte("{}")
		}
		return replaced(within, value, field)
	}
	get := func(within []byte, field string) []byte {
		for name, value := range documents.Fields(within) {
			if name == field {
				return value
			}
		}
		return nil
	}
	metadata := get(text, "metadata")
	if given := get(metadata, "labels"); present(given) && given[0] != '{' {
		return text
	}
	labels := set(get(metadata, "labels"), label, documents.AppendText(nil, value))
	return set(text, "metadata", set(metadata, "labels", labels))
}

// secretData is data with what is in stringData, as the API server would add it. In
// data, the keys have an owner: one that is removed from the manifest is removed from
// the Secret, and one that somebody else sets is a conflict.
// https://github.com/kubernetes/kubernetes/issues/108008
func secretData(fields map[string]json.RawMessage) []byte {
	values, any := map[string]json.RawMessage{}, false
	for name, value := range documents.Fields(fields["data"]) {
		values[name] = value
	}
	any = present(fields["data"])
	for name, value := range documents.Fields(fields["stringData"]) {
		var text string
		_ = json.Unmarshal(value, &text) // content has seen that it is a string, or null
		values[name], any = documents.AppendText(nil, base64.StdEncoding.EncodeToString([]byte(text))), true
	}
	if !any {
		return nil
	}
	out := []byte{'{'}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(documents.AppendText(out, name), ':')
		if value := values[name]; present(value) {
			out = append(out, value...)
		} else {
			out = append(out, `""`...) // as the API server reads null
		}
	}
	return append(out, '}')
}

// clip cuts what was given by somebody else.
func clip(text string) string { return contract.Clip(text, maxClipped) }

// place is where an object is in the manifests.
type place struct {
	document int    // 1 for the first
	items    string // of Lists in one another, such as 2.1 for the first item of the second; empty outside a List
	lists    int    // in one another, around it
}

// at is the place of an item.
func (p place) at(item int) place {
	if p.items != "" {
		p.items += "."
	}
	p.items += strconv.Itoa(item)
	return p
}

func (p place) String() string {
	if p.items == "" {
		return fmt.Sprintf("document %d", p.document)
	}
	return fmt.Sprintf("document %d, item %s", p.document, p.items)
}
