package fleet_test

import (
	"context"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	smithy "github.com/aws/smithy-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract"
)

// fakeS3 keeps objects by bucket/key.
type fakeS3 struct {
	mu      sync.Mutex
	objects map[string]string
	kinds   map[string]string
	refuse  map[string]error // by operation
	discard bool             // objects are not kept
	reads   []string         // keys
}

func (f *fakeS3) GetObject(_ context.Context, in *s3.GetObjectInput, _ ...func(*s3.Options)) (*s3.GetObjectOutput, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reads = append(f.reads, *in.Key)
	if err := f.refuse["GetObject"]; err != nil {
		return nil, err
	}
	body, ok := f.objects[*in.Bucket+"/"+*in.Key]
	if !ok {
		return nil, apiError("NoSuchKey")
	}
	return &s3.GetObjectOutput{Body: io.NopCloser(strings.NewReader(body))}, nil
}

func (f *fakeS3) PutObject(_ context.Context, in *s3.PutObjectInput, _ ...func(*s3.Options)) (*s3.PutObjectOutput, error) {
	if f.discard {
		_, err := io.Copy(io.Discard, in.Body)
		return &s3.PutObjectOutput{}, err
	}
	body, err := io.ReadAll(in.Body)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.refuse["PutObject"]; err != nil {
		return nil, err
	}
	if f.objects == nil {
		f.objects, f.kinds = map[string]string{}, map[string]string{}
	}
	f.objects[*in.Bucket+"/"+*in.Key], f.kinds[*in.Bucket+"/"+*in.Key] = string(body), *in.ContentType
	return &s3.PutObjectOutput{}, nil
}

func apiError(code string) error {
	return &smithy.GenericAPIError{Code: code, Message: "it says " + code}
}

// sorted returns the keys in order.
func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// named asserts the error's name, and texts of its message.
func named(t *testing.T, err error, name contract.ErrorName, texts ...string) {
	t.Helper()
	var known *contract.Error
	require.ErrorAs(t, err, &known)
	assert.Equal(t, name, known.Name)
	for _, text := range texts {
		assert.Contains(t, known.Message, text)
	}
}
