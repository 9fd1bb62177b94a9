// Package archive writes a list of pods to S3: gzipped NDJSON in parts, while the
// list arrives, and a manifest once it is complete. Several attempts at the same
// round are harmless: each writes parts of its own, and the manifest names those of
// the one that succeeded.
package archive

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
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
	// partBytes is about the size of a part, compressed: some 40,000 pods.
	partBytes = 1 << 20
	manifest  = "manifest.json"
)

// S3 is what is called of it.
type S3 interface {
	PutObject(context.Context, *s3.PutObjectInput, ...func(*s3.Options)) (*s3.PutObjectOutput, error)
}

// Writer writes the parts of one round. Its methods are not safe for concurrent use.
type Writer struct {
	s3        S3
	execution string
	attempt   string // makes the names of this writer's parts unique
	at        contract.Archive
	pending   bytes.Buffer
	pods      int // in pending
}

// NewWriter continues after the parts that earlier rounds wrote.
func NewWriter(client S3, to contract.Destination, execution string, earlier *contract.Archive) *Writer {
	w := &Writer{s3: client, execution: execution, attempt: rand.Text()}
	if earlier != nil {
		w.at = *earlier
		w.at.Parts = append([]contract.Part{}, earlier.Parts...)
		return w
	}
	prefix := strings.TrimSuffix(to.Prefix, "/")
	if prefix != "" {
		prefix += "/"
	}
	w.at = contract.Archive{Bucket: to.Bucket, Prefix: prefix + folder(execution), Parts: []contract.Part{}}
	return w
}

// folder is the execution's own: the names of executions are unique in a state
// machine only, and those of state machines in a Region of an account.
// arn:aws:states:REGION:ACCOUNT:execution:MACHINE:NAME becomes ACCOUNT/REGION/MACHINE/NAME/.
func folder(execution string) string {
	parts := strings.Split(execution, ":")
	if len(parts) < 8 {
		return contract.ExecutionName(execution) + "/"
	}
	return strings.Join([]string{parts[4], parts[3], parts[6], parts[7]}, "/") + "/"
}

// Add takes a page of that many pods, gzipped: gzip lets such pieces follow each
// other in one file.
func (w *Writer) Add(ctx context.Context, page []byte, pods int) error {
	_, _ = w.pending.Write(page) // memory does not fail
	if w.pods += pods; w.pending.Len() < partBytes {
		return nil
	}
	return w.flush(ctx)
}

// Finish writes what is pending and, if the list is complete, the manifest. What it
// returns is in the state, and in the end in the output.
func (w *Writer) Finish(ctx context.Context, complete bool) (*contract.Archive, error) {
	if w.pods > 0 {
		if err := w.flush(ctx); err != nil {
			return nil, err
		}
	}
	if !complete {
		return &w.at, nil
	}
	w.at.Manifest = w.at.Prefix + manifest
	text, err := json.MarshalIndent(w.at, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode the manifest: %w", err)
	}
	// The manifest is replaced by a later attempt's: each names complete parts.
	return &w.at, w.put(ctx, &s3.PutObjectInput{Key: &w.at.Manifest, Body: bytes.NewReader(text), ContentType: aws.String("application/json")})
}

func (w *Writer) flush(ctx context.Context) error {
	hash := sha256.Sum256(w.pending.Bytes())
	part := contract.Part{
		Name: fmt.Sprintf("part-%05d-%s.ndjson.gz", len(w.at.Parts)+1, w.attempt),
		Pods: w.pods, Bytes: w.pending.Len(), SHA256: hex.EncodeToString(hash[:]),
	}
	err := w.put(ctx, &s3.PutObjectInput{
		Key: aws.String(w.at.Prefix + part.Name), Body: bytes.NewReader(w.pending.Bytes()), ContentType: aws.String("application/gzip"),
		IfNoneMatch: aws.String("*"),
	})
	// The SDK repeats a request whose answer was lost. Nobody else writes this key, so
	// what is there is this part.
	var api smithy.APIError
	if err != nil && (!errors.As(err, &api) || api.ErrorCode() != "PreconditionFailed") {
		return err
	}
	w.at.Parts = append(w.at.Parts, part)
	w.at.Pods += part.Pods
	w.pods = 0
	w.pending.Reset()
	return nil
}

func (w *Writer) put(ctx context.Context, object *s3.PutObjectInput) error {
	object.Bucket = &w.at.Bucket
	_, err := w.s3.PutObject(ctx, object, func(o *s3.Options) { o.APIOptions = append(o.APIOptions, awsapi.UserAgent(w.execution)) })
	if err == nil {
		return nil
	}
	var api smithy.APIError
	if errors.As(err, &api) && api.ErrorCode() == "NoSuchBucket" {
		return contract.Errorf(contract.InvalidInput, "output.bucket: there is no S3 bucket %s", w.at.Bucket).From(err)
	}
	doing := fmt.Sprintf("s3:PutObject of %s to bucket %s", *object.Key, w.at.Bucket)
	if !errors.As(err, &api) {
		return contract.Errorf(contract.AWSUnreachable, "S3 did not answer %s: %w. In the subnets of a VPC, list-pods needs an S3 gateway endpoint", doing, err)
	}
	return awsapi.Explain(err, doing)
}
