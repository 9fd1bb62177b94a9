package kube

import (
	"bytes"
	"context"

	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/client-go/rest"
)

// Get reads an object of any kind.
func Get(ctx context.Context, client rest.Interface, path ...string) (map[string]any, error) {
	answer, err := Body(client.Get().AbsPath(path...).MaxRetries(0).Do(AtMost(ctx, ObjectBytes)))
	if err != nil {
		return nil, err
	}
	return Object(answer)
}

// acceptMetadata asks for an object's metadata alone.
// https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-representations
const acceptMetadata = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"

// Exists asks for an object, however large, and returns the error of [Get] if it is
// not there.
func Exists(ctx context.Context, client rest.Interface, path ...string) error {
	_, err := Body(client.Get().AbsPath(path...).SetHeader("Accept", acceptMetadata).MaxRetries(0).Do(AtMost(ctx, ObjectBytes)))
	return err
}

// Body is the body of an answer. [rest.Result.Raw] alone leaves the Status of a
// refusal unread.
func Body(result rest.Result) ([]byte, error) {
	if err := result.Error(); err != nil {
		return nil, err
	}
	return result.Raw()
}

// maxValues bounds the values of an object. What etcd takes by default has fewer, two
// bytes each; decoded, each may take a hundred.
const maxValues = 1_000_000

// Object decodes an object of any kind, and keeps whole numbers whole.
func Object(text []byte) (map[string]any, error) {
	// Each value but the first follows one of these, which may be in a string too: what
	// is short cannot have too many.
	if len(text) > maxValues && bytes.Count(text, []byte{','})+bytes.Count(text, []byte{'{'})+bytes.Count(text, []byte{'['}) > maxValues && values(text) > maxValues {
		return nil, BadAnswer("the object has more than %d values", maxValues)
	}
	var object map[string]any
	if err := utiljson.Unmarshal(text, &object); err != nil || object == nil {
		return nil, BadAnswer("it is not an object") // without its text, which may be of a Secret
	}
	return object, nil
}

// values counts what precedes a value in JSON, outside strings.
func values(text []byte) int {
	n, inString := 0, false
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			inString = !inString
		case '\\':
			i++
		case ',', '{', '[':
			if !inString {
				n++
			}
		}
	}
	return n
}
