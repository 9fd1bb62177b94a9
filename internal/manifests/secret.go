package manifests

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/kubestep/kubestep/internal/documents"
	"github.com/kubestep/kubestep/internal/input"
	"github.com/kubestep/kubestep/internal/objects"
)

const (
	kindSecret = "Secret"

	// accountName is the annotation of a Secret whose values the control plane writes.
	// https://kubernetes.io/docs/concepts/configuration/secret/#serviceaccount-token-secrets
	accountName = "kubernetes.io/service-account.name"

	inHistory = "a Secret in the execution input stays readable in the execution history: put the manifests into S3 and name them by source (--source), and change the values if an execution was started with them"
	mayHold   = ". A Secret without values may be there if it has only apiVersion, kind, type, immutable, and metadata of name, namespace, labels and the annotation " + accountName

	// maxTexts bounds how many texts are in each other in which a Secret is looked for.
	maxTexts = 8
)

// isSecret recognizes a Secret that the cluster does not, because its kind or group
// is misspelt: its values are secret all the same.
func isSecret(o objects.Object) bool {
	return (o.Group == "" || o.Group == "core") && (strings.EqualFold(o.Kind, kindSecret) || strings.EqualFold(o.Kind, "Secrets"))
}

// secretInInput is why an object may not be in an execution input, where it would stay
// readable; empty if it may. It is closer than isSecret: what a Secret holds in the wrong
// place is a value too.
func secretInInput(o objects.Object) string {
	var decoded map[string]any
	_ = json.Unmarshal(o.JSON, &decoded) // what documents returns is valid
	switch {
	case !meansSecret(o.GroupVersionKind):
	case !isEmpty(decoded["data"]) || !isEmpty(decoded["stringData"]):
		return inHistory
	case !isSecretWithoutValues(decoded):
		return inHistory + mayHold
	}
	if holdsSecret(decoded, maxTexts) {
		return inHistory
	}
	return ""
}

// meansSecret recognizes what may be a Secret that is misspelt. The groups without a dot
// are those of Kubernetes itself, none of which has another kind of such a name.
// https://github.com/kubernetes/kubernetes/blob/v1.37.2/staging/src/k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation/validation.go
func meansSecret(of schema.GroupVersionKind) bool {
	if strings.Contains(of.Group, ".") && !strings.HasSuffix(of.Group, ".k8s.io") {
		return false
	}
	return input.Alike(of.Kind, kindSecret) || strings.Contains(strings.ToLower(of.Kind), "secret") && !strings.Contains(of.Group, ".")
}

// isEmpty reports whether a decoded value holds nothing.
func isEmpty(value any) bool {
	switch v := value.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case map[string]any:
		return len(v) == 0
	case []any:
		return len(v) == 0
	default:
		return false
	}
}

// secretType are types as the documentation has them.
// https://kubernetes.io/docs/concepts/configuration/secret/#secret-types
var secretType = regexp.MustCompile(`^(Opaque|[0-9a-z.-]+/[0-9A-Za-z._-]+)$`)

// isSecretWithoutValues reports whether a Secret has only keys that it may have, with
// values that each of them may have.
func isSecretWithoutValues(secret map[string]any) bool {
	for key, value := range secret {
		ok := false
		switch key {
		case "apiVersion", "kind": // they are read already
			ok = true
		case "data", "stringData":
			ok = isEmpty(value)
		case "type":
			text, _ := value.(string)
			ok = isEmpty(value) || secretType.MatchString(text)
		case "immutable":
			_, ok = value.(bool)
			ok = ok || value == nil
		case "metadata":
			metadata, isObject := value.(map[string]any)
			ok = isObject && isPlainMetadata(metadata)
		}
		if !ok {
			return false
		}
	}
	return true
}

// emptyInMetadata are the keys that an object from a cluster has there.
var emptyInMetadata = []string{"creationTimestamp", "deletionTimestamp", "finalizers", "generateName", "generation", "managedFields", "ownerReferences", "resourceVersion", "selfLink", "uid"}

func isPlainMetadata(metadata map[string]any) bool {
	for key, value := range metadata {
		ok := false
		switch key {
		case "name", "namespace": // they are read already
			ok = true
		case "labels":
			ok = isMapOf(value, func(key, text string) bool {
				return len(validation.IsQualifiedName(key)) == 0 && len(validation.IsValidLabelValue(text)) == 0
			})
		case "annotations":
			ok = isMapOf(value, func(key, text string) bool {
				return key == accountName && len(validation.IsDNS1123Subdomain(text)) == 0
			})
		default:
			ok = slices.Contains(emptyInMetadata, key) && isEmpty(value)
		}
		if !ok {
			return false
		}
	}
	return true
}

// isMapOf reports whether a value is a map of such keys and strings, or nothing.
func isMapOf(value any, such func(key, text string) bool) bool {
	members, _ := value.(map[string]any)
	for key, member := range members {
		if text, ok := member.(string); !ok || !such(key, text) {
			return false
		}
	}
	return members != nil || value == nil
}

// holdsSecret reports whether a value is or has in it, however deep and in texts too, the
// manifest of a Secret with values. A reference to a Secret is none.
func holdsSecret(value any, texts int) bool {
	switch v := value.(type) {
	case map[string]any:
		if isSecretManifest(v) {
			return true
		}
		for _, member := range v {
			if holdsSecret(member, texts) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(v, func(item any) bool { return holdsSecret(item, texts) })
	case string:
		return texts > 0 && textHoldsSecret(v, texts)
	}
	return false
}

// textHoldsSecret is for the copy that kubectl keeps in an annotation, and for manifests
// in a ConfigMap.
func textHoldsSecret(text string, texts int) bool {
	folded := strings.ToLower(text)
	if !strings.Contains(folded, "secret") && !strings.Contains(folded, "stringdata") {
		return false
	}
	for document, err := range documents.All([]byte(text)) {
		var decoded any
		if err == nil && json.Unmarshal(document.JSON, &decoded) == nil && holdsSecret(decoded, texts-1) {
			return true
		}
	}
	return false
}

// isSecretManifest recognizes a manifest among other objects.
func isSecretManifest(object map[string]any) bool {
	valued := false
	for key, value := range object {
		switch {
		case strings.EqualFold(key, "stringData"):
			if isValues(value) {
				return true // whatever the kind is: no other has it
			}
		case strings.EqualFold(key, "data"):
			valued = valued || !isEmpty(value)
		}
	}
	apiVersion, _ := object["apiVersion"].(string)
	kind, _ := object["kind"].(string)
	version, err := schema.ParseGroupVersion(apiVersion)
	if err != nil || apiVersion == "" || !meansSecret(version.WithKind(kind)) {
		return false
	}
	_, isManifest := object["metadata"].(map[string]any) // which a reference has not
	return valued || isManifest && !isSecretWithoutValues(object)
}

// isValues tells values from the schema of a field, in which there are objects.
func isValues(value any) bool {
	members, ok := value.(map[string]any)
	if !ok {
		return !isEmpty(value)
	}
	for _, member := range members {
		if _, nested := member.(map[string]any); nested {
			return false
		}
	}
	return len(members) > 0
}
