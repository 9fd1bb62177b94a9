package manifests

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
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

// Source reads manifests, wherever they are.
type Source struct {
	S3 S3
	// AllowedKinds are the RBAC and admission kinds that are accepted.
	AllowedKinds []string
}

// Load reads and checks the manifests, and returns what identifies them.
//
// Errors: InvalidInput, AccessDenied, AWSUnreachable, Throttled.
func (s Source) Load(ctx context.Context, in contract.LoadManifests) (contract.LoadedManifests, error) {
	objects, loaded, err := s.read(ctx, in.Request)
	if err != nil {
		return contract.LoadedManifests{}, err
	}
	loaded.Objects = len(objects)
	return loaded, nil
}

// again reads what load-manifests read.
func (s Source) again(ctx context.Context, request contract.ApplyRequest, before contract.LoadedManifests) ([]Object, error) {
	if before.VersionID != "" {
		request.Source.VersionID = before.VersionID
	}
	objects, loaded, err := s.read(ctx, request)
	if err == nil && request.Source.Bucket != "" && loaded.SHA256 != before.SHA256 {
		return nil, contract.Errorf(contract.InvalidInput, "source: %s changed while the execution ran. Start another one, and enable versioning in the bucket, so that an execution reads one version", uri(request.Source))
	}
	return objects, err
}

func (s Source) read(ctx context.Context, request contract.ApplyRequest) ([]Object, contract.LoadedManifests, error) {
	rules := Rules{Namespace: request.Namespace, AllowedKinds: s.AllowedKinds}
	if request.Source.Bucket == "" {
		objects, err := ReadInline(request.Manifests, rules)
		return objects, contract.LoadedManifests{SHA256: hash(canonical(request.Manifests))}, err
	}
	text, version, err := s.get(ctx, request.Source)
	if err != nil {
		return nil, contract.LoadedManifests{}, err
	}
	objects, err := Read(text, rules)
	return objects, contract.LoadedManifests{VersionID: version, SHA256: hash(text)}, err
}

// canonical is JSON without the differences that passing it on may make.
func canonical(value json.RawMessage) []byte {
	var decoded any
	if json.Unmarshal(value, &decoded) != nil {
		return value
	}
	text, err := json.Marshal(decoded)
	if err != nil {
		return value
	}
	return text
}

func hash(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

func (s Source) get(ctx context.Context, from contract.ManifestSource) (text []byte, version string, err error) {
	in := &s3.GetObjectInput{Bucket: &from.Bucket, Key: &from.Key}
	doing := "s3:GetObject of " + uri(from)
	if from.VersionID != "" {
		in.VersionId = &from.VersionID
		doing = "s3:GetObjectVersion of " + uri(from)
	}
	out, err := s.S3.GetObject(ctx, in)
	if err != nil {
		var api smithy.APIError
		if errors.As(err, &api) {
			switch api.ErrorCode() {
			case "NoSuchBucket":
				return nil, "", contract.Errorf(contract.InvalidInput, "source.bucket: there is no S3 bucket %s", from.Bucket).From(err)
			case "NoSuchKey", "NoSuchVersion", "InvalidArgument":
				return nil, "", contract.Errorf(contract.InvalidInput, "source: there is no object %s", uri(from)).From(err)
			}
		}
		return nil, "", awsapi.Explain(err, doing)
	}
	defer func() { _ = out.Body.Close() }()
	text, err = io.ReadAll(io.LimitReader(out.Body, MaxBytes+1))
	if err != nil {
		return nil, "", contract.Errorf(contract.AWSUnreachable, "S3 did not complete %s: %w", doing, err)
	}
	if version = aws.ToString(out.VersionId); version == "null" {
		version = "" // versioning is suspended: this is the one version that can change
	}
	return text, version, nil
}

func uri(from contract.ManifestSource) string {
	text := fmt.Sprintf("s3://%s/%s", from.Bucket, from.Key)
	if from.VersionID != "" {
		text += " (version " + from.VersionID + ")"
	}
	return text
}

// writeDiff writes a part of the difference. The same part of the same execution
// has the same key, so that a retry replaces it.
func (s Source) writeDiff(ctx context.Context, to contract.Destination, execution string, part int, text string) (string, error) {
	prefix := strings.TrimSuffix(to.Prefix, "/")
	if prefix != "" {
		prefix += "/"
	}
	key := fmt.Sprintf("%s%s/diff-%05d.txt", prefix, contract.ExecutionName(execution), part)
	_, err := s.S3.PutObject(ctx, &s3.PutObjectInput{Bucket: &to.Bucket, Key: &key, Body: strings.NewReader(text), ContentType: aws.String("text/plain; charset=utf-8")})
	if err == nil {
		return key, nil
	}
	var api smithy.APIError
	if errors.As(err, &api) && api.ErrorCode() == "NoSuchBucket" {
		return "", contract.Errorf(contract.InvalidInput, "output.bucket: there is no S3 bucket %s", to.Bucket).From(err)
	}
	return "", awsapi.Explain(err, fmt.Sprintf("s3:PutObject of s3://%s/%s", to.Bucket, key))
}
