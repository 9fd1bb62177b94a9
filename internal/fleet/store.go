package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	smithy "github.com/aws/smithy-go"

	"github.com/kubestep/kubestep/internal/awsapi"
	"github.com/kubestep/kubestep/internal/contract"
)

// S3 is what is called of it.
type S3 interface {
	GetObject(context.Context, *s3.GetObjectInput, ...func(*s3.Options)) (*s3.GetObjectOutput, error)
	PutObject(context.Context, *s3.PutObjectInput, ...func(*s3.Options)) (*s3.PutObjectOutput, error)
}

// Store keeps the objects of a fleet.
type Store struct{ S3 S3 }

// NewStore makes a Store with a connection for each outcome that is read at once: the
// SDK keeps ten, and would open the others anew for each object.
func NewStore(cfg aws.Config) Store {
	client := awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) { t.MaxIdleConnsPerHost = reading })
	return Store{s3.NewFromConfig(cfg, func(o *s3.Options) { o.HTTPClient = client })}
}

// errNoObject means that there is no object of that key.
var errNoObject = errors.New("no such object")

// Put writes an object.
func (s Store) Put(ctx context.Context, bucket, key, kind string, body io.ReadSeeker) error {
	_, err := s.S3.PutObject(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: body, ContentType: aws.String(kind)})
	return explain(err, "s3:PutObject", bucket, key)
}

// Get reads an object of at most that many bytes.
func (s Store) Get(ctx context.Context, bucket, key string, limit int64) ([]byte, error) {
	out, err := s.S3.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		return nil, explain(err, "s3:GetObject", bucket, key)
	}
	defer func() { _ = out.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(out.Body, limit+1))
	if err != nil {
		return nil, explain(err, "s3:GetObject", bucket, key)
	}
	if int64(len(body)) > limit {
		return nil, contract.Errorf(contract.InvalidInput, "s3://%s/%s is larger than %d bytes", bucket, key, limit)
	}
	return body, nil
}

func explain(err error, action, bucket, key string) error {
	if err == nil {
		return nil
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		switch api.ErrorCode() {
		case "NoSuchBucket":
			return contract.Errorf(contract.InvalidInput, "There is no S3 bucket %s", bucket).From(err)
		case "NoSuchKey":
			return fmt.Errorf("s3://%s/%s: %w", bucket, key, errNoObject)
		}
	}
	return awsapi.Explain(err, fmt.Sprintf("%s of %s in bucket %s", action, key, bucket))
}
