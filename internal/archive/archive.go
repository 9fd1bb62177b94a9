// Package archive writes a list of pods to S3: gzipped NDJSON in parts, while the
// list arrives, and a manifest once it is whole.
package archive

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	smithy "github.com/aws/smithy-go"

	"github.com/kubestep/kubestep/internal/awsapi"
	"github.com/kubestep/kubestep/internal/contract"
)

const (
	// partBytes is about what a part takes, compressed: some 40,000 pods.
	partBytes = 1 << 20
	manifest  = "manifest.json"
)

// S3 is what is called of it.
type S3 interface {
	PutObject(context.Context, *s3.PutObjectInput, ...func(*s3.Options)) (*s3.PutObjectOutput, error)
}

// Writer writes the parts of one execution. Its methods are not to be called at
// the same time.
type Writer struct {
	s3      S3
	at      contract.Archive
	pending bytes.Buffer
	pods    int // in pending
}

// NewWriter goes on after the parts that earlier rounds wrote. A round that is
// tried again writes the same parts once more.
func NewWriter(client S3, to contract.Destination, execution string, earlier *contract.Archive) *Writer {
	w := &Writer{s3: client}
	if earlier != nil {
		w.at = *earlier
		w.at.Parts = append([]contract.Part{}, earlier.Parts...)
		return w
	}
	name := execution[strings.LastIndexByte(execution, ':')+1:]
	prefix := strings.TrimSuffix(to.Prefix, "/")
	if prefix != "" {
		prefix += "/"
	}
	w.at = contract.Archive{Bucket: to.Bucket, Prefix: prefix + name + "/", Parts: []contract.Part{}}
	return w
}

// Add takes a page of that many pods, which is gzipped by itself: gzip lets such
// pieces stand one after the other.
func (w *Writer) Add(ctx context.Context, page []byte, pods int) error {
	_, _ = w.pending.Write(page) // memory does not fail
	if w.pods += pods; w.pending.Len() < partBytes {
		return nil
	}
	return w.flush(ctx)
}

// Finish writes what is pending and, where the list is whole, the manifest. What
// it returns is in the state, and in the end in the output.
func (w *Writer) Finish(ctx context.Context, whole bool) (*contract.Archive, error) {
	if w.pods > 0 {
		if err := w.flush(ctx); err != nil {
			return nil, err
		}
	}
	if !whole {
		return &w.at, nil
	}
	w.at.Manifest = w.at.Prefix + manifest
	text, err := json.MarshalIndent(w.at, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode the manifest: %w", err)
	}
	return &w.at, w.put(ctx, manifest, "application/json", text)
}

func (w *Writer) flush(ctx context.Context) error {
	part := contract.Part{Name: fmt.Sprintf("part-%05d.ndjson.gz", len(w.at.Parts)+1), Pods: w.pods, Bytes: w.pending.Len()}
	if err := w.put(ctx, part.Name, "application/gzip", w.pending.Bytes()); err != nil {
		return err
	}
	w.at.Parts = append(w.at.Parts, part)
	w.at.Pods += part.Pods
	w.pods = 0
	w.pending.Reset()
	return nil
}

func (w *Writer) put(ctx context.Context, name, kind string, body []byte) error {
	key := w.at.Prefix + name
	_, err := w.s3.PutObject(ctx, &s3.PutObjectInput{Bucket: &w.at.Bucket, Key: &key, Body: bytes.NewReader(body), ContentType: aws.String(kind)})
	if err == nil {
		return nil
	}
	var api smithy.APIError
	if errors.As(err, &api) && api.ErrorCode() == "NoSuchBucket" {
		return contract.Errorf(contract.InvalidInput, "output.bucket: there is no S3 bucket %s", w.at.Bucket).From(err)
	}
	doing := fmt.Sprintf("s3:PutObject of %s to bucket %s", key, w.at.Bucket)
	if !errors.As(err, &api) {
		return contract.Errorf(contract.AWSUnreachable, "S3 could not be reached for %s: %w. In the subnets of a VPC list-pods needs an S3 gateway endpoint", doing, err)
	}
	return awsapi.Explain(err, doing)
}
