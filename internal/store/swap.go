package store

import (
	"context"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// Version is what an object was when it was read: its ETag, and when it was written.
type Version struct {
	ETag    string
	Written time.Time
}

// Look reads an object as Get does, and which version of it that was, for Swap.
func (s Store) Look(ctx context.Context, from Object, limit int64) ([]byte, Version, error) {
	out, err := s.s3.GetObject(ctx, &s3.GetObjectInput{Bucket: &from.Bucket, Key: &from.Key}, s.named)
	if err != nil {
		return nil, Version{}, explain(err, "s3:GetObject", from)
	}
	defer func() { _ = out.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(out.Body, limit))
	if err != nil {
		return nil, Version{}, explain(err, "s3:GetObject", from)
	}
	return body, Version{aws.ToString(out.ETag), aws.ToTime(out.LastModified)}, nil
}

// Swap writes an object unless somebody wrote it since it was read or, without an ETag, unless it
// is there. It reports whether it did: if an answer was lost, it may have all the same, so whoever
// is told that it did not reads the object again. The errors are Put's.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
func (s Store) Swap(ctx context.Context, to Object, contentType string, body io.ReadSeeker, etag string) (bool, error) {
	in := &s3.PutObjectInput{Bucket: &to.Bucket, Key: &to.Key, Body: body, ContentType: &contentType}
	if etag == "" {
		in.IfNoneMatch = aws.String("*")
	} else {
		in.IfMatch = &etag
	}
	_, err := s.s3.PutObject(ctx, in, s.named)
	switch code(err) {
	case "PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey":
		return false, nil
	}
	return err == nil, explain(err, "s3:PutObject", to)
}
