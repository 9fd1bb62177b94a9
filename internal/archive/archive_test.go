package archive_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	smithy "github.com/aws/smithy-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/archive"
	"github.com/kubestep/kubestep/internal/contract"
)

const execution = "arn:aws:states:eu-west-1:111122223333:execution:kubestep-pod-inventory:8f6e"

// bucket keeps what is put, by key, and fails with an error if there is one.
type bucket struct {
	objects map[string][]byte
	order   []string
	err     error
}

func (b *bucket) PutObject(_ context.Context, in *s3.PutObjectInput, _ ...func(*s3.Options)) (*s3.PutObjectOutput, error) {
	if b.err != nil {
		return nil, b.err
	}
	content, err := io.ReadAll(in.Body)
	if b.objects == nil {
		b.objects = map[string][]byte{}
	}
	b.objects[*in.Key] = content
	b.order = append(b.order, *in.Key)
	return &s3.PutObjectOutput{}, err
}

func page(t *testing.T, lines string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := io.WriteString(w, lines)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.Bytes()
}

func TestRoundsWritePartsAndTheLastWritesTheManifest(t *testing.T) {
	b := &bucket{}
	to := contract.Destination{Bucket: "inventories", Prefix: "kubestep/"}
	first := archive.NewWriter(b, to, execution, nil)
	require.NoError(t, first.Add(t.Context(), page(t, "a\n"), 1))
	require.NoError(t, first.Add(t.Context(), page(t, "b\nc\n"), 2))
	earlier, err := first.Finish(t.Context(), false)
	require.NoError(t, err)
	assert.Empty(t, earlier.Manifest)
	assert.NotContains(t, b.objects, "kubestep/8f6e/manifest.json")

	second := archive.NewWriter(b, to, execution, earlier)
	require.NoError(t, second.Add(t.Context(), page(t, "d\n"), 1))
	whole, err := second.Finish(t.Context(), true)
	require.NoError(t, err)

	assert.Equal(t, []string{"kubestep/8f6e/part-00001.ndjson.gz", "kubestep/8f6e/part-00002.ndjson.gz", "kubestep/8f6e/manifest.json"}, b.order, "the manifest last")
	reader, err := gzip.NewReader(bytes.NewReader(b.objects["kubestep/8f6e/part-00001.ndjson.gz"]))
	require.NoError(t, err)
	text, err := io.ReadAll(reader)
	require.NoError(t, err)
	assert.Equal(t, "a\nb\nc\n", string(text), "the pages of a part are one stream")
	var manifest contract.Archive
	require.NoError(t, json.Unmarshal(b.objects["kubestep/8f6e/manifest.json"], &manifest))
	assert.Equal(t, *whole, manifest)
	assert.Equal(t, 4, manifest.Pods)
	assert.Equal(t, []int{3, 1}, []int{manifest.Parts[0].Pods, manifest.Parts[1].Pods})
	assert.Len(t, earlier.Parts, 1, "what an earlier round told stays as it was")
}

func TestAPartIsWrittenOnceItIsLarge(t *testing.T) {
	b := &bucket{}
	w := archive.NewWriter(b, contract.Destination{Bucket: "inventories"}, execution, nil)
	for range 3 {
		require.NoError(t, w.Add(t.Context(), bytes.Repeat([]byte("x"), 600<<10), 1000))
	}
	assert.Equal(t, []string{"8f6e/part-00001.ndjson.gz"}, b.order)
}

func TestWhatS3RefusesHasAName(t *testing.T) {
	for sentence, c := range map[string]struct {
		err  error
		name contract.ErrorName
		text string
	}{
		"no such bucket":      {&smithy.GenericAPIError{Code: "NoSuchBucket"}, contract.InvalidInput, "output.bucket"},
		"IAM says no":         {&smithy.GenericAPIError{Code: "AccessDenied"}, contract.AccessDenied, "s3:PutObject of 8f6e/manifest.json to bucket inventories"},
		"too many requests":   {&smithy.GenericAPIError{Code: "SlowDown"}, contract.Throttled, "throttled"},
		"no way to the place": {errors.New("dial tcp: timeout"), contract.AWSUnreachable, "S3 gateway endpoint"},
	} {
		t.Run(sentence, func(t *testing.T) {
			w := archive.NewWriter(&bucket{err: c.err}, contract.Destination{Bucket: "inventories"}, execution, nil)
			_, err := w.Finish(t.Context(), true)
			var named *contract.Error
			require.ErrorAs(t, err, &named)
			assert.Equal(t, c.name, named.Name)
			assert.Contains(t, strings.ReplaceAll(named.Message, "\n", " "), c.text)
			assert.ErrorIs(t, err, c.err)
		})
	}
}
