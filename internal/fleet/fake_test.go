package fleet_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
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
	// versions are the newest, by bucket/key, of what has any.
	versions map[string]string
	writes   map[string]int // by bucket/key: the ETag is the number
	written  time.Time      // when objects were, as S3 says
	// lose answers a request with an error, after it is done or in its place: the nth of all.
	lose func(n int, operation string) (after, instead error)
	n    int
}

// lost is the error in the place of the answer to the next request, and that of its answer.
func (f *fakeS3) lost(operation string) (after, instead error) {
	f.n++
	if f.lose == nil {
		return nil, nil
	}
	return f.lose(f.n, operation)
}

func (f *fakeS3) GetObject(_ context.Context, in *s3.GetObjectInput, _ ...func(*s3.Options)) (*s3.GetObjectOutput, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reads = append(f.reads, *in.Key)
	after, instead := f.lost("GetObject")
	if err := errors.Join(after, instead); err != nil {
		return nil, err
	}
	if err := f.refuse["GetObject"]; err != nil {
		return nil, err
	}
	body, ok := f.objects[*in.Bucket+"/"+*in.Key]
	if !ok {
		return nil, apiError("NoSuchKey")
	}
	version := in.VersionId
	if newest, ok := f.versions[*in.Bucket+"/"+*in.Key]; ok && version == nil {
		version = &newest
	}
	return &s3.GetObjectOutput{Body: io.NopCloser(strings.NewReader(body)), VersionId: version, ETag: aws.String(fmt.Sprint(f.writes[*in.Bucket+"/"+*in.Key])), LastModified: &f.written}, nil
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
	after, instead := f.lost("PutObject")
	if instead != nil {
		return nil, instead
	}
	key := *in.Bucket + "/" + *in.Key
	_, there := f.objects[key]
	switch {
	case aws.ToString(in.IfNoneMatch) == "*" && there, in.IfMatch != nil && there && *in.IfMatch != fmt.Sprint(f.writes[key]):
		return nil, apiError("PreconditionFailed")
	case in.IfMatch != nil && !there:
		return nil, apiError("NoSuchKey")
	}
	if f.writes == nil {
		f.writes = map[string]int{}
	}
	f.writes[key]++
	f.objects[key], f.kinds[key] = string(body), *in.ContentType
	return &s3.PutObjectOutput{}, after
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
