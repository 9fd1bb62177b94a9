package store_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	smithy "github.com/aws/smithy-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/store"
)

// ofExecution is the folder of the execution, below the prefix.
const ofExecution = "111122223333/eu-west-1/kubestep-apply-manifests/nightly/"

// bucket keeps objects, by key. An error fails every request. A lost answer fails the first request after it has written the
// object.
type bucket struct {
	objects map[string][]byte
	order   []string
	err     error
	lose    bool
}

func (b *bucket) GetObject(context.Context, *s3.GetObjectInput, ...func(*s3.Options)) (*s3.GetObjectOutput, error) {
	return nil, errors.New("an archive is not read")
}

func (b *bucket) PutObject(ctx context.Context, in *s3.PutObjectInput, with ...func(*s3.Options)) (*s3.PutObjectOutput, error) {
	if b.err != nil || ctx.Err() != nil {
		return nil, errors.Join(b.err, ctx.Err())
	}
	if _, there := b.objects[*in.Key]; there && aws.ToString(in.IfNoneMatch) == "*" {
		return nil, &smithy.GenericAPIError{Code: "PreconditionFailed"}
	}
	content, err := io.ReadAll(in.Body)
	if b.objects == nil {
		b.objects = map[string][]byte{}
	}
	b.objects[*in.Key] = content
	b.order = append(b.order, *in.Key)
	if b.lose {
		b.lose = false
		again := *in
		again.Body = bytes.NewReader(content)
		return b.PutObject(ctx, &again, with...)
	}
	return &s3.PutObjectOutput{}, err
}

// asIs is the manifest as its fields are named.
func asIs(m store.Manifest) any { return m }

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
	first := store.New(b, execution).Parts(to, nil, asIs)
	require.NoError(t, first.Add(t.Context(), page(t, "a\n"), 1))
	require.NoError(t, first.Add(t.Context(), page(t, "b\nc\n"), 2))
	earlier, err := first.Finish(t.Context(), false)
	require.NoError(t, err)
	assert.Empty(t, earlier.Key)
	manifestKey := "kubestep/" + ofExecution + "manifest.json"
	assert.NotContains(t, b.objects, manifestKey)

	second := store.New(b, execution).Parts(to, &earlier, asIs)
	require.NoError(t, second.Add(t.Context(), page(t, "d\n"), 1))
	whole, err := second.Finish(t.Context(), true)
	require.NoError(t, err)

	require.Len(t, b.order, 3)
	assert.Regexp(t, "^kubestep/"+ofExecution+`part-00001-[A-Z2-7]{26}\.ndjson\.gz$`, b.order[0])
	assert.Regexp(t, "^kubestep/"+ofExecution+`part-00002-[A-Z2-7]{26}\.ndjson\.gz$`, b.order[1])
	assert.Equal(t, manifestKey, b.order[2], "the manifest last")
	assert.Equal(t, "a\nb\nc\n", unpack(t, b.objects[b.order[0]]), "the pages of a part are one stream")
	var manifest store.Manifest
	require.NoError(t, json.Unmarshal(b.objects[manifestKey], &manifest))
	assert.Equal(t, whole, manifest)
	assert.Equal(t, 4, manifest.Items)
	for i, part := range manifest.Parts {
		stored := b.objects[manifest.Prefix+part.Name]
		hash := sha256.Sum256(stored)
		assert.Equal(t, store.Part{Name: part.Name, Items: []int{3, 1}[i], Bytes: len(stored), SHA256: hex.EncodeToString(hash[:])}, part)
	}
	assert.Len(t, earlier.Parts, 1, "what an earlier round returned stays as it was")
}

func unpack(t *testing.T, part []byte) string {
	t.Helper()
	reader, err := gzip.NewReader(bytes.NewReader(part))
	require.NoError(t, err)
	text, err := io.ReadAll(reader)
	require.NoError(t, err)
	return string(text)
}

// Lambda may run the same round twice at the same time, and find other pods.
func TestTwoAttemptsAtARoundDoNotOverwriteEachOther(t *testing.T) {
	b := &bucket{}
	to := contract.Destination{Bucket: "inventories"}
	lost, kept := store.New(b, execution).Parts(to, nil, asIs), store.New(b, execution).Parts(to, nil, asIs)
	require.NoError(t, kept.Add(t.Context(), page(t, "a\n"), 1))
	whole, err := kept.Finish(t.Context(), true)
	require.NoError(t, err)
	require.NoError(t, lost.Add(t.Context(), page(t, "a\nb\n"), 2))
	_, err = lost.Finish(t.Context(), false)
	require.NoError(t, err)

	require.Len(t, whole.Parts, 1)
	assert.Equal(t, "a\n", unpack(t, b.objects[whole.Prefix+whole.Parts[0].Name]))
	assert.Len(t, b.objects, 3, "the other attempt's part is beside it, and the manifest does not name it")
}

func TestAPartWhoseAnswerWasLostIsWrittenOnce(t *testing.T) {
	b := &bucket{lose: true}
	w := store.New(b, execution).Parts(contract.Destination{Bucket: "inventories"}, nil, asIs)
	require.NoError(t, w.Add(t.Context(), page(t, "a\n"), 1))
	whole, err := w.Finish(t.Context(), false)
	require.NoError(t, err, "S3 says that the part is there already")
	assert.Equal(t, 1, whole.Items)
}

func TestAPartIsWrittenOnceItIsLarge(t *testing.T) {
	b := &bucket{}
	w := store.New(b, execution).Parts(contract.Destination{Bucket: "inventories"}, nil, asIs)
	for range 3 {
		require.NoError(t, w.Add(t.Context(), bytes.Repeat([]byte("x"), 600<<10), 1000))
	}
	require.Len(t, b.order, 1)
	assert.Regexp(t, "^"+ofExecution+"part-00001-", b.order[0])
}

func TestWhatS3RefusesOfAPartHasAName(t *testing.T) {
	for sentence, c := range map[string]struct {
		err  error
		name contract.ErrorName
		text string
	}{
		"no such bucket":      {&smithy.GenericAPIError{Code: "NoSuchBucket"}, contract.InvalidInput, "output.bucket"},
		"IAM says no":         {&smithy.GenericAPIError{Code: "AccessDenied"}, contract.AccessDenied, "s3:PutObject of s3://inventories/" + ofExecution + "manifest.json"},
		"too many requests":   {&smithy.GenericAPIError{Code: "SlowDown"}, contract.Throttled, "throttled"},
		"no way to the place": {errors.New("dial tcp: timeout"), contract.AWSUnreachable, "S3 gateway endpoint"},
	} {
		t.Run(sentence, func(t *testing.T) {
			w := store.New(&bucket{err: c.err}, execution).Parts(contract.Destination{Bucket: "inventories"}, nil, asIs)
			_, err := w.Finish(t.Context(), true)
			var named *contract.Error
			require.ErrorAs(t, err, &named)
			assert.Equal(t, c.name, named.Name)
			assert.Contains(t, strings.ReplaceAll(named.Message, "\n", " "), c.text)
			assert.ErrorIs(t, err, c.err)
		})
	}
}
