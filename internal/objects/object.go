// Package objects works on live objects of any kind: it finds them by discovery, reads and
// changes them, and names what the API server says of them. It knows where they are in the
// API and who owns their fields, and nothing of what they are for. What it tells of a Secret
// holds none of its values.
package objects

import (
	"strconv"
	"strings"
	"unicode"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubestep/kubestep/internal/contract"
)

// Object is one Kubernetes object, as somebody gave it.
type Object struct {
	schema.GroupVersionKind
	// Namespace is the object's own or, if it names none, the default one. For a
	// cluster-wide kind it means nothing until it is looked for: see [Target].
	Namespace string
	Name      string
	// JSON is the object as it is sent to the API server, which reads it as YAML.
	JSON []byte
	// From says where the object is in what was given, such as "document 1".
	From string
}

// Describe names an object of which any part may be missing, or be no name at all.
func Describe(kind, namespace, name string) string {
	text := printable(kind)
	if text == "" {
		text = "object"
	}
	switch {
	case name == "":
		return text
	case namespace == "":
		return text + " " + printable(name)
	default:
		return text + " " + printable(namespace) + "/" + printable(name)
	}
}

// maxName bounds a name in a message, in bytes.
const maxName = 300

// printable quotes a name that has characters which could be taken for something else.
func printable(name string) string {
	if strings.ContainsFunc(name, IsUnprintable) {
		name = strconv.Quote(name)
	}
	return contract.Clip(name, maxName)
}

// IsUnprintable reports whether a character has no place in a name: it could end the
// line of a message, or hide what follows.
func IsUnprintable(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }

// The groups of kinds that decide when other objects can be applied.
const (
	GroupAdmission   = "admissionregistration.k8s.io"
	GroupRBAC        = "rbac.authorization.k8s.io"
	groupDefinitions = "apiextensions.k8s.io"
)

// IsDefinition reports whether the object defines a kind.
func (o Object) IsDefinition() bool {
	return o.Group == groupDefinitions && o.Kind == "CustomResourceDefinition"
}

// IsNamespace reports whether the object is a namespace.
func (o Object) IsNamespace() bool { return o.Group == "" && o.Kind == "Namespace" }

// IsSecret reports whether the object's values must not be shown.
func (o Object) IsSecret() bool { return o.Group == "" && o.Kind == "Secret" }
