// Package manifests applies manifests to a cluster by server-side apply: it reads
// them, checks permissions, plans by a dry run, applies in stages, and tells
// whether the objects are ready.
package manifests

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	yamlv2 "go.yaml.in/yaml/v2"
	"k8s.io/apimachinery/pkg/api/validate/content"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/kubestep/kubestep/internal/contract"
)

const (
	// MaxBytes bounds the manifests of an execution.
	MaxBytes = 10 << 20
	// MaxObjects bounds the objects in them.
	MaxObjects = 1000
	// maxDocument bounds a YAML document, and any one object: the API server takes no
	// larger body (MaxRequestBodyBytes in
	// https://github.com/kubernetes/kubernetes/blob/v1.37.2/staging/src/k8s.io/apiserver/pkg/server/config.go).
	// It also bounds the memory that a parser takes, many times the document's size.
	maxDocument = 3 << 20
	// maxDepth bounds nesting: schemas of CRDs reach some 60.
	maxDepth = 256
	// maxName is the longest name of any kind.
	maxName = 253
	// maxProblems is how many problems are told; the others are counted.
	maxProblems = 50
	// maxTold bounds, in bytes, what is quoted of a parser or a manifest.
	maxTold = 300
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
	// Inline is set for manifests that are part of the execution input: everybody who
	// may read the execution reads them, so they may hold no Secret.
	Inline bool
}

// ReadInline reads manifests of an execution input: a string of YAML documents,
// or an array of objects.
func ReadInline(value json.RawMessage, rules Rules) ([]Object, error) {
	rules.Inline = true
	var text string
	if json.Unmarshal(value, &text) == nil {
		return Read([]byte(text), rules)
	}
	var documents []json.RawMessage
	if err := json.Unmarshal(value, &documents); err != nil {
		return nil, contract.Errorf(contract.InvalidInput, "manifests: expected a string of YAML documents or an array of objects")
	}
	r := reader{rules: rules}
	for i, document := range documents {
		r.object(place{document: i + 1}, document)
	}
	return r.result()
}

// Read reads YAML documents, each an object or a List of them; JSON is YAML too.
// The error names every problem there is.
//
// Errors: InvalidInput.
func Read(text []byte, rules Rules) ([]Object, error) {
	if len(text) > MaxBytes {
		return nil, contract.Errorf(contract.InvalidInput, "The manifests have %d bytes: expected at most %d", len(text), MaxBytes)
	}
	r := reader{rules: rules}
	documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	for number := 1; ; number++ {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		at := place{document: number}
		if err != nil {
			r.problem(at, "", "%s", told(err.Error()))
			break
		}
		if !blank(document) {
			r.document(at, document)
		}
	}
	return r.result()
}

// reader gathers objects and problems.
type reader struct {
	rules    Rules
	objects  []Object
	first    map[string]place
	problems []string
	more     int // problems that are only counted
}

func (r *reader) problem(at place, what, format string, args ...any) {
	if len(r.problems) == maxProblems {
		r.more++
		return
	}
	where := at.String()
	if what != "" {
		where += " (" + told(what) + ")"
	}
	r.problems = append(r.problems, where+": "+fmt.Sprintf(format, args...))
}

func (r *reader) result() ([]Object, error) {
	switch {
	case len(r.problems) > 0:
		count := "1 problem"
		if n := len(r.problems) + r.more; n > 1 {
			count = fmt.Sprintf("%d problems", n)
		}
		text := fmt.Sprintf("The manifests have %s: %s", count, strings.Join(r.problems, "; "))
		if r.more > 0 {
			text += fmt.Sprintf("; and %d more", r.more)
		}
		return nil, contract.Errorf(contract.InvalidInput, "%s", text)
	case len(r.objects) == 0:
		return nil, contract.Errorf(contract.InvalidInput, "The manifests hold no object: every document is empty or a comment")
	case len(r.objects) > MaxObjects:
		return nil, contract.Errorf(contract.InvalidInput, "The manifests hold %d objects: expected at most %d. Apply them in several executions", len(r.objects), MaxObjects)
	}
	return r.objects, nil
}

// document reads a document of a file.
func (r *reader) document(at place, document []byte) {
	if trimmed := bytes.TrimSpace(document); len(trimmed) > 0 && trimmed[0] == '{' {
		if values, ok := jsonValues(trimmed); ok {
			for _, value := range values {
				r.object(at, value)
			}
			return
		}
	}
	if len(document) > maxDocument {
		r.problem(at, "", "it has %d bytes: expected at most %d in a YAML document. Put each object into a document of its own, or write JSON", len(document), maxDocument)
		return
	}
	if size, err := expanded(document); err == nil && size > maxDocument {
		r.problem(at, "", "its aliases expand to more than %d bytes", maxDocument)
		return
	}
	converted, err := yaml.YAMLToJSONStrict(document)
	if err != nil {
		r.problem(at, "", "it is not valid YAML: %s", told(syntax(err)))
		return
	}
	if string(converted) == "null" {
		return // nothing but comments
	}
	r.object(at, converted)
}

// jsonValues splits JSON values that follow each other.
func jsonValues(text []byte) ([]json.RawMessage, bool) {
	var values []json.RawMessage
	decoder := json.NewDecoder(bytes.NewReader(text))
	for {
		var value json.RawMessage
		switch err := decoder.Decode(&value); {
		case errors.Is(err, io.EOF):
			return values, true
		case err != nil:
			return nil, false
		}
		values = append(values, value)
	}
}

// object reads an object, or takes a List apart.
func (r *reader) object(at place, text []byte) {
	if len(r.objects) > MaxObjects {
		r.objects = append(r.objects, Object{}) // only counted
		return
	}
	if depth(text) > maxDepth {
		r.problem(at, "", "it is nested deeper than %d levels", maxDepth)
		return
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil || fields == nil {
		r.problem(at, "", "it is not a Kubernetes object: expected apiVersion, kind and metadata")
		return
	}
	var metadata map[string]json.RawMessage
	malformed := false
	if raw, ok := fields["metadata"]; ok && json.Unmarshal(raw, &metadata) != nil {
		r.problem(at, "", "metadata is not an object")
		malformed = true
	}
	get := func(from map[string]json.RawMessage, field, path string) (value string) {
		if raw, ok := from[field]; ok && json.Unmarshal(raw, &value) != nil {
			r.problem(at, "", "%s is not a string: put it in quotes", path)
			malformed = true
		}
		return value
	}
	apiVersion, kind := get(fields, "apiVersion", "apiVersion"), get(fields, "kind", "kind")

	var items []json.RawMessage
	if raw, ok := fields["items"]; ok && strings.HasSuffix(kind, "List") && json.Unmarshal(raw, &items) == nil {
		r.list(at, apiVersion, kind, items)
		return
	}
	name, namespace := get(metadata, "name", "metadata.name"), get(metadata, "namespace", "metadata.namespace")
	what := ""
	if kind != "" || name != "" {
		what = describe(kind, namespace, name)
	}
	if malformed {
		return
	}
	before := len(r.problems) + r.more
	if apiVersion == "" {
		r.problem(at, what, "apiVersion is missing")
	}
	if kind == "" {
		r.problem(at, what, "kind is missing")
	}
	groupVersion, err := schema.ParseGroupVersion(apiVersion)
	if err != nil || apiVersion != "" && !validGroupVersion(groupVersion) {
		r.problem(at, what, "%q is not a valid apiVersion", told(apiVersion))
	}
	if wrong := content.IsPathSegmentName(kind); len(wrong) > 0 {
		r.problem(at, what, "%q is not a valid kind", told(kind))
	}
	o := Object{GroupVersionKind: groupVersion.WithKind(kind), Namespace: namespace, Name: name, JSON: text, place: at}
	r.names(o, what, metadata)
	r.content(o, what, fields, metadata)
	if len(text) > maxDocument {
		r.problem(at, what, "it has %d bytes: the API server accepts at most %d", len(text), maxDocument)
	}
	if len(r.problems)+r.more > before {
		return
	}
	if o.Namespace == "" {
		o.Namespace = r.rules.Namespace
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
	r.objects = append(r.objects, o)
}

func (r *reader) list(at place, apiVersion, kind string, items []json.RawMessage) {
	var defaults map[string]string
	if kind != "List" {
		defaults = map[string]string{"apiVersion": apiVersion, "kind": strings.TrimSuffix(kind, "List")}
	}
	for i, item := range items {
		at.item = i + 1
		if defaults != nil {
			item = complete(item, defaults)
		}
		r.object(at, item)
	}
}

// complete gives an item of a typed List the apiVersion and the kind that it
// leaves to the List.
func complete(item json.RawMessage, defaults map[string]string) json.RawMessage {
	var fields map[string]json.RawMessage
	if json.Unmarshal(item, &fields) != nil || fields == nil || fields["kind"] != nil {
		return item
	}
	for field, value := range defaults {
		fields[field], _ = json.Marshal(value)
	}
	completed, err := json.Marshal(fields)
	if err != nil {
		return item
	}
	return completed
}

func (r *reader) names(o Object, what string, metadata map[string]json.RawMessage) {
	_, generated := metadata["generateName"]
	switch {
	case o.Name == "" && generated:
		r.problem(o.place, what, "it has generateName, so each execution would create another object: give it a name")
	case o.Name == "":
		r.problem(o.place, what, "metadata.name is missing")
	case len(o.Name) > maxName:
		r.problem(o.place, what, "its name has %d characters: expected at most %d", len(o.Name), maxName)
	default:
		if wrong := content.IsPathSegmentName(o.Name); len(wrong) > 0 {
			r.problem(o.place, what, "%q is not a valid name: it %s", told(o.Name), strings.Join(wrong, ", "))
		}
	}
	if o.Namespace != "" {
		if wrong := validation.IsDNS1123Label(o.Namespace); len(wrong) > 0 {
			r.problem(o.place, what, "%q is not a valid namespace", told(o.Namespace))
		}
	}
}

// content refuses what cannot be applied, or is not to be.
func (r *reader) content(o Object, what string, fields, metadata map[string]json.RawMessage) {
	// https://kubernetes.io/docs/reference/using-api/server-side-apply/ : a body with
	// managedFields is refused, and resourceVersion and uid belong to one object at
	// one moment.
	for _, field := range []string{"managedFields", "resourceVersion", "uid"} {
		if raw, ok := metadata[field]; ok && string(raw) != "null" {
			r.problem(o.place, what, "metadata.%s belongs to an object that was read from a cluster: remove it", field)
		}
	}
	if statusOnly(fields) {
		r.problem(o.place, what, "it holds a status and nothing else, and a status is not applied")
	}
	if o.restricted() && !r.rules.AnyKind && !slices.Contains(r.rules.AllowedKinds, o.Kind) {
		r.problem(o.place, what, "whoever applies %s objects can give themselves any permission, so this stack refuses them: to accept them, name %s in its parameter ApplyAllowedKinds", o.Kind, o.Kind)
	}
	if !o.IsSecret() {
		return
	}
	valued := false
	for _, field := range []string{"data", "stringData"} {
		raw, ok := fields[field]
		if !ok || string(raw) == "null" || string(raw) == "{}" {
			continue
		}
		valued = true
		var values map[string]any
		if json.Unmarshal(raw, &values) != nil {
			r.problem(o.place, what, "%s is not an object", field)
		}
		for _, key := range slices.Sorted(maps.Keys(values)) {
			if _, isText := values[key].(string); !isText {
				// The API server's own message would quote the value.
				r.problem(o.place, what, "%s.%s is not a string: put it in quotes", field, told(key))
			}
		}
	}
	if valued && r.rules.Inline {
		r.problem(o.place, what, "a Secret in the execution input stays readable in the execution history: put the manifests into S3 and name them by source (--source)")
	}
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

func validGroupVersion(v schema.GroupVersion) bool {
	return len(content.IsPathSegmentName(v.Version)) == 0 && len(content.IsPathSegmentName(v.Group)) == 0
}

// blank reports whether a document has no line but comments and separators.
func blank(document []byte) bool {
	for line := range bytes.Lines(document) {
		line = bytes.TrimSpace(line)
		if len(line) > 0 && line[0] != '#' && !bytes.Equal(line, []byte("---")) {
			return false
		}
	}
	return true
}

// depth is how deep JSON is nested.
func depth(text []byte) int {
	deepest, now := 0, 0
	quoted, escaped := false, false
	for _, c := range text {
		switch {
		case escaped:
			escaped = false
		case quoted:
			escaped, quoted = c == '\\', c != '"'
		case c == '"':
			quoted = true
		case c == '{' || c == '[':
			now++
			deepest = max(deepest, now)
		case c == '}' || c == ']':
			now--
		}
	}
	return deepest
}

// expanded is about how large a document is once its aliases are replaced by what
// they stand for. The parser itself bounds how many nodes that makes, but not
// how long they are.
func expanded(document []byte) (int, error) {
	if !bytes.Contains(document, []byte("&")) || !bytes.Contains(document, []byte("*")) {
		return len(document), nil
	}
	var tree any
	if err := yamlv2.Unmarshal(document, &tree); err != nil {
		return 0, fmt.Errorf("parse the document: %w", err)
	}
	return size(tree), nil
}

func size(tree any) int {
	switch node := tree.(type) {
	case string:
		return len(node)
	case []any:
		total := 0
		for _, item := range node {
			total += 1 + size(item)
		}
		return total
	case map[any]any:
		total := 0
		for key, value := range node {
			total += 2 + size(key) + size(value)
		}
		return total
	default:
		return 1
	}
}

// syntax is what the parser says, without what it quotes of a value.
func syntax(err error) string {
	text := strings.TrimPrefix(strings.TrimPrefix(err.Error(), "error converting YAML to JSON: "), "yaml: ")
	if strings.Contains(text, "unknown anchor") {
		// An unquoted value that begins with * is read as an alias, and may be a secret.
		return "an alias (*) names an anchor (&) that is not in the document: put a value that begins with * in quotes"
	}
	return strings.Join(strings.Fields(text), " ")
}

// told cuts what was given by somebody else.
func told(text string) string {
	if len(text) <= maxTold {
		return text
	}
	return strings.ToValidUTF8(text[:maxTold], "") + "…"
}
