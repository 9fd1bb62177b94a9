package kube

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/client-go/rest"
)

// LastApplied is the annotation in which `kubectl apply` without --server-side keeps a copy of
// the whole object, Secrets too.
const LastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// Get reads an object of a kind. The last element of its path is its name.
func Get(ctx context.Context, client rest.Interface, kind string, path ...string) (map[string]any, error) {
	answer, err := Body(client.Get().AbsPath(path...).MaxRetries(0).Do(AtMost(ctx, ObjectBytes)))
	if err != nil {
		return nil, err
	}
	object, err := Object(answer)
	if err != nil {
		return nil, err
	}
	metadata, _ := object["metadata"].(map[string]any)
	if name := path[len(path)-1]; object["kind"] != kind || metadata["name"] != name {
		return nil, notObject(kind, name)
	}
	return object, nil
}

// IsObject returns an error if an answer is not the object that was asked for, whatever its
// status code is: a proxy answers 200 with a page of its own, and what stands for an API
// server with a Status, or with another object. Nothing of the answer is in the error.
func IsObject(text []byte, kind, name string) error {
	var of struct {
		Kind     string `json:"kind"`
		Metadata struct {
			Name string `json:"name"`
		} `json:"metadata"`
	}
	if json.Unmarshal(text, &of) != nil || of.Kind != kind || of.Metadata.Name != name {
		return notObject(kind, name)
	}
	return nil
}

func notObject(kind, name string) error { return BadAnswer("it is not %s %s", kind, name) }

// acceptMetadata asks for an object's metadata alone.
// https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-representations
const acceptMetadata = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"

// Metadata reads an object's metadata alone, however large the rest is, as JSON.
func Metadata(ctx context.Context, client rest.Interface, path ...string) ([]byte, error) {
	answer, err := Body(client.Get().AbsPath(path...).SetHeader("Accept", acceptMetadata).MaxRetries(0).Do(AtMost(ctx, ObjectBytes)))
	if err != nil {
		return nil, err
	}
	return answer, IsObject(answer, "PartialObjectMetadata", path[len(path)-1])
}

// Exists asks for an object, however large, and returns the error of [Get] if it is
// not there.
func Exists(ctx context.Context, client rest.Interface, path ...string) error {
	_, err := Metadata(ctx, client, path...)
	return err
}

// APIResource is an entry of an APIResourceList: a kind, or a subresource of one.
type APIResource struct {
	Name       string   `json:"name"`
	Kind       string   `json:"kind"`
	Namespaced bool     `json:"namespaced"`
	Verbs      []string `json:"verbs"`
}

// IsSubresource reports whether it is a subresource, such as pods/log.
func (r APIResource) IsSubresource() bool { return strings.Contains(r.Name, "/") }

// HasStatus reports whether the status of a resource is a subresource, which controllers write.
func HasStatus(all []APIResource, resource string) bool {
	return slices.ContainsFunc(all, func(r APIResource) bool { return r.Name == resource+"/status" })
}

// Resources reads the kinds of a group and version.
func Resources(ctx context.Context, client rest.Interface, path ...string) ([]APIResource, error) {
	answer, err := Body(client.Get().AbsPath(path...).MaxRetries(0).Do(AtMost(ctx, KindsBytes)))
	if err != nil {
		return nil, err
	}
	var list struct {
		Kind      string        `json:"kind"`
		Resources []APIResource `json:"resources"`
	}
	if err := json.Unmarshal(answer, &list); err != nil || list.Kind != "APIResourceList" {
		return nil, BadAnswer("it is not an APIResourceList")
	}
	return list.Resources, nil
}

// Body is the body of an answer. [rest.Result.Raw] alone leaves the Status of a
// refusal unread.
func Body(result rest.Result) ([]byte, error) {
	if err := result.Error(); err != nil {
		return nil, err
	}
	return result.Raw()
}

// maxDecodedBytes bounds what an object takes once it is decoded. What etcd takes by
// default, 1.5 MiB, takes 80 MB at the most.
const maxDecodedBytes = 100 << 20

// Object decodes an object of any kind, and keeps whole numbers whole.
func Object(text []byte) (map[string]any, error) {
	if len(text) > 1<<20 && decodedBytes(text) > maxDecodedBytes {
		return nil, BadAnswer("the object has so many fields that it would take more than %d bytes of memory", maxDecodedBytes)
	}
	var object map[string]any
	if err := utiljson.Unmarshal(text, &object); err != nil || object == nil {
		return nil, BadAnswer("it is not an object") // without its text, which may be of a Secret
	}
	return object, nil
}

// decodedBytes is about what JSON takes as maps and slices, beside its strings.
func decodedBytes(text []byte) int {
	const (
		aMap   = 312 // the smallest that is not empty, with its place in another value
		aSlice = 48
		aValue = 60 // a place in either, and what is there
	)
	bytes, inString := 0, false
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			inString = !inString
		case '\\':
			i++
		case '{':
			if inString {
				continue
			}
			if i+1 < len(text) && text[i+1] == '}' {
				bytes += aSlice
			} else {
				bytes += aMap
			}
		case '[':
			if !inString {
				bytes += aSlice
			}
		case ',':
			if !inString {
				bytes += aValue
			}
		}
	}
	return bytes
}
