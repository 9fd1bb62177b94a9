package store_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/store"
)

const execution = "arn:aws:states:eu-west-1:111122223333:execution:kubestep-apply-manifests:nightly"

// client returns the SDK's client of S3, which sends its requests to the handler.
func client(t *testing.T, handle http.HandlerFunc) *s3.Client {
	t.Helper()
	server := httptest.NewServer(handle)
	t.Cleanup(server.Close)
	return s3.NewFromConfig(aws.Config{
		Region: "eu-west-1", BaseEndpoint: &server.URL, Credentials: credentials.NewStaticCredentialsProvider("own", "secret", ""),
		RetryMaxAttempts: 1,
	}, func(o *s3.Options) { o.UsePathStyle = true })
}

// refuse answers as S3 does.
func refuse(status int, code string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for _, h := range header {
			name, value, _ := strings.Cut(h, ": ")
			w.Header().Set(name, value)
		}
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code><Message>said S3</Message></Error>", code)
	}
}

func TestEveryRequestCarriesTheExecution(t *testing.T) {
	agents := map[string]string{}
	s := store.New(client(t, func(_ http.ResponseWriter, r *http.Request) {
		agents[r.Method+r.Header.Get("If-None-Match")] = r.UserAgent()
	}), execution)
	_, _, err := s.Get(t.Context(), store.Object{Bucket: "b", Key: "k"}, 10)
	require.NoError(t, err)
	require.NoError(t, s.Put(t.Context(), store.Object{Bucket: "b", Key: "k"}, "text/plain", strings.NewReader("x")))
	require.NoError(t, s.Create(t.Context(), store.Object{Bucket: "b", Key: "k"}, "text/plain", strings.NewReader("x")))
	for _, request := range []string{"GET", "PUT", "PUT*"} {
		assert.Contains(t, agents[request], "kubestep/nightly", request)
	}
}

func TestExecutionsOfTheSameNameHaveDifferentFolders(t *testing.T) {
	folders := map[string]bool{}
	for _, arn := range []string{
		execution,
		"arn:aws:states:eu-west-1:111122223333:execution:other-apply-manifests:nightly",
		"arn:aws:states:us-east-1:111122223333:execution:kubestep-apply-manifests:nightly",
		"arn:aws:states:eu-west-1:444455556666:execution:kubestep-apply-manifests:nightly",
	} {
		folders[store.New(nil, arn).Folder(contract.Destination{Prefix: "plans"})] = true
	}
	assert.Len(t, folders, 4)
	assert.Contains(t, folders, "plans/111122223333/eu-west-1/kubestep-apply-manifests/nightly/")
}

func TestAnObjectIsReadWholeOrRefused(t *testing.T) {
	version := "v1"
	s := store.New(client(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Amz-Version-Id", version)
		_, _ = io.WriteString(w, "0123456789")
	}), execution)
	body, got, err := s.Get(t.Context(), store.Object{Bucket: "b", Key: "k"}, 10)
	require.NoError(t, err)
	assert.Equal(t, "0123456789", string(body))
	assert.Equal(t, "v1", got)

	_, _, err = s.Get(t.Context(), store.Object{Field: "source", Bucket: "b", Key: "k"}, 9)
	assertNamed(t, err, contract.InvalidInput, "source: s3://b/k has 10 bytes: expected at most 9")

	version = "null"
	_, got, err = s.Get(t.Context(), store.Object{Bucket: "b", Key: "k"}, 10)
	require.NoError(t, err)
	assert.Empty(t, got, "the version of a bucket that keeps none")

	t.Run("an answer that ends early is no object", func(t *testing.T) {
		s := store.New(client(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "01234")
		}), execution)
		_, _, err := s.Get(t.Context(), store.Object{Bucket: "b", Key: "k"}, 1000)
		assertNamed(t, err, contract.AWSUnreachable, "S3 did not answer s3:GetObject of s3://b/k")
	})
}

func TestWhatS3RefusesHasAName(t *testing.T) {
	key, version := store.Object{Field: "source", Bucket: "b", Key: "k"}, store.Object{Field: "source", Bucket: "b", Key: "k", VersionID: "v"}
	for sentence, c := range map[string]struct {
		of      store.Object
		answer  http.HandlerFunc
		name    contract.ErrorName
		text    string
		missing bool
	}{
		"no bucket":                       {key, refuse(404, "NoSuchBucket"), contract.InvalidInput, "source.bucket: there is no S3 bucket b", false},
		"no object":                       {key, refuse(404, "NoSuchKey"), contract.InvalidInput, "source: there is no object s3://b/k", true},
		"no version":                      {version, refuse(404, "NoSuchVersion"), contract.InvalidInput, "source: there is no object s3://b/k (version v)", true},
		"what is not a version":           {version, refuse(400, "InvalidArgument"), contract.InvalidInput, "there is no object s3://b/k (version v)", true},
		"a delete marker":                 {version, refuse(405, "MethodNotAllowed"), contract.InvalidInput, "is a delete marker", true},
		"an archived object":              {key, refuse(403, "InvalidObjectState"), contract.InvalidInput, "restore it", false},
		"a bucket of another Region":      {key, refuse(301, "PermanentRedirect", "X-Amz-Bucket-Region: us-east-1"), contract.InvalidInput, "source.bucket: bucket b is in Region us-east-1: expected a bucket in the Region of the stack", false},
		"a signature for another Region":  {key, refuse(400, "AuthorizationHeaderMalformed"), contract.InvalidInput, "bucket b is in another Region", false},
		"a key of KMS that is disabled":   {key, refuse(400, "KMS.DisabledException"), contract.InvalidInput, "KMS key of bucket b", false},
		"any other 4xx":                   {key, refuse(400, "InvalidRequest"), contract.InvalidInput, "source: S3 does not accept s3:GetObject of s3://b/k", false},
		"IAM says no":                     {key, refuse(403, "AccessDenied"), contract.AccessDenied, "s3:ListBucket", false},
		"too many requests":               {key, refuse(503, "SlowDown"), contract.Throttled, "throttled", false},
		"a fault of S3":                   {key, refuse(500, "InternalError"), contract.Throttled, "could not serve", false},
		"a fault of KMS":                  {key, refuse(503, "KMS.InternalException"), contract.Throttled, "could not serve", false},
		"a new bucket":                    {key, refuse(307, "TemporaryRedirect"), contract.Throttled, "Try again later", false},
		"another operation on the bucket": {key, refuse(409, "OperationAborted"), contract.Throttled, "Try again later", false},
		"a request that stood still":      {key, refuse(400, "RequestTimeout"), contract.AWSUnreachable, "S3 did not answer", false},
		"half a request":                  {key, refuse(400, "IncompleteBody"), contract.AWSUnreachable, "S3 did not answer", false},
		"no answer":                       {key, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, contract.AWSUnreachable, "S3 gateway endpoint", false},
		"a key that is no line of text":   {store.Object{Bucket: "b", Key: "k\n---\nkind: Pod"}, refuse(404, "NoSuchKey"), contract.InvalidInput, `There is no object "s3://b/k\n---\nkind: Pod"`, true},
	} {
		t.Run(sentence, func(t *testing.T) {
			_, _, err := store.New(client(t, c.answer), execution).Get(t.Context(), c.of, 10)
			assertNamed(t, err, c.name, c.text)
			assert.Equal(t, c.missing, errors.Is(err, store.ErrNoObject))
			assert.Error(t, errors.Unwrap(err), "what it came from is kept")
		})
	}
}

func TestWhatIsWrittenTwiceIsWrittenOnce(t *testing.T) {
	at := store.Object{Field: "output", Bucket: "b", Key: "k"}
	create := func(answer http.HandlerFunc) error {
		return store.New(client(t, answer), execution).Create(context.Background(), at, "text/plain", strings.NewReader("x"))
	}
	require.NoError(t, create(refuse(412, "PreconditionFailed")), "the answer to the first request was lost")
	assertNamed(t, create(refuse(409, "ConditionalRequestConflict")), contract.Throttled, "Try again")
	assertNamed(t, create(refuse(404, "NoSuchBucket")), contract.InvalidInput, "output.bucket: there is no S3 bucket b")
}

func assertNamed(t *testing.T, err error, name contract.ErrorName, text string) {
	t.Helper()
	var named *contract.Error
	require.ErrorAs(t, err, &named)
	assert.Equal(t, name, named.Name, named.Message)
	assert.Contains(t, named.Message, text)
	assert.NotContains(t, named.Message, "\n")
}
