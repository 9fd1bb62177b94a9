package kube

import (
	"context"
	"fmt"

	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/client-go/rest"
)

// Get reads an object of any kind.
func Get(ctx context.Context, client rest.Interface, path ...string) (map[string]any, error) {
	answer, err := Body(client.Get().AbsPath(path...).MaxRetries(0).Do(ctx))
	if err != nil {
		return nil, err
	}
	return Object(answer)
}

// Body is the body of an answer. [rest.Result.Raw] alone leaves the Status of a
// refusal unread.
func Body(result rest.Result) ([]byte, error) {
	if err := result.Error(); err != nil {
		return nil, err
	}
	return result.Raw()
}

// Object decodes an object of any kind, and keeps whole numbers whole.
func Object(text []byte) (map[string]any, error) {
	var object map[string]any
	if err := utiljson.Unmarshal(text, &object); err != nil || object == nil {
		return nil, fmt.Errorf("the answer is not an object: %.100q", text)
	}
	return object, nil
}
