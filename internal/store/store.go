// Package store reads and writes the objects of an execution in S3. Every request
// carries the execution in its user agent, so that CloudTrail and S3's access logs lead
// back to it, and every error of S3 has the same name and sentence wherever it happens.
package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"unicode"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/kubestep/kubestep/internal/awsapi"
	"github.com/kubestep/kubestep/internal/contract"
)

// S3 has the calls of a client of S3 that a Store makes.
type S3 interface {
	GetObject(context.Context, *s3.GetObjectInput, ...func(*s3.Options)) (*s3.GetObjectOutput, error)
	PutObject(context.Context, *s3.PutObjectInput, ...func(*s3.Options)) (*s3.PutObjectOutput, error)
}

// Store reads and writes for one execution.
type Store struct {
	s3        S3
	execution contract.ExecutionARN
}

// New returns a Store for the execution.
func New(client S3, execution string) Store {
	return Store{client, contract.ExecutionARN(execution)}
}

// Object is the place of an object in S3.
type Object struct {
	// Field is the field of the input that names the bucket, such as output: errors
	// begin with it. It is empty if no input does.
	Field string
	// Bucket is the bucket's name.
	Bucket string
	Key    string
	// VersionID is empty for the current version.
	VersionID string
}

// String is the object's URI, and its version.
func (o Object) String() string {
	text := "s3://" + o.Bucket + "/" + o.Key
	if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		text = strconv.Quote(text) // an error is one line, whatever a key holds
	}
	if o.VersionID != "" {
		text += " (version " + o.VersionID + ")"
	}
	return text
}

// Folder begins the keys of what the execution writes to a destination:
// PREFIX/ACCOUNT/REGION/MACHINE/EXECUTION/.
func (s Store) Folder(to contract.Destination) string { return Prefix(to) + s.execution.Folder() }

// Prefix is the destination's prefix, with the slash that ends it if it is not empty.
func Prefix(to contract.Destination) string {
	prefix := strings.TrimSuffix(to.Prefix, "/")
	if prefix == "" {
		return ""
	}
	return prefix + "/"
}

// Get reads an object of at most limit bytes, and its version: empty if the bucket
// keeps none.
//
// Errors: InvalidInput for an object that cannot be read as it is, for which
// [ErrNoObject] tells a missing one apart, AccessDenied, Throttled, AWSUnreachable.
func (s Store) Get(ctx context.Context, from Object, limit int64) (body []byte, version string, err error) {
	in := &s3.GetObjectInput{Bucket: &from.Bucket, Key: &from.Key}
	action := "s3:GetObject"
	if from.VersionID != "" {
		in.VersionId = &from.VersionID
		action = "s3:GetObjectVersion"
	}
	out, err := s.s3.GetObject(ctx, in, s.named)
	if err != nil {
		return nil, "", explain(err, action, from)
	}
	defer func() { _ = out.Body.Close() }()
	body, err = io.ReadAll(io.LimitReader(out.Body, limit+1))
	if err != nil {
		return nil, "", explain(err, action, from)
	}
	if int64(len(body)) > limit {
		size := fmt.Sprintf("more than %d", limit)
		if out.ContentLength != nil && *out.ContentLength > limit {
			size = fmt.Sprint(*out.ContentLength)
		}
		return nil, "", from.invalid("%s has %s bytes: expected at most %d", from, size, limit)
	}
	if version = aws.ToString(out.VersionId); version == "null" {
		version = "" // versioning is suspended: this is the one version that can change
	}
	return body, version, nil
}

// Put writes an object, or replaces it.
//
// Errors: InvalidInput, AccessDenied, Throttled, AWSUnreachable.
func (s Store) Put(ctx context.Context, to Object, contentType string, body io.ReadSeeker) error {
	_, err := s.s3.PutObject(ctx, &s3.PutObjectInput{Bucket: &to.Bucket, Key: &to.Key, Body: body, ContentType: &contentType}, s.named)
	return explain(err, "s3:PutObject", to)
}

// Create writes an object whose key nobody else writes. The SDK repeats a request whose
// answer was lost, so what is there already is this object. The errors are Put's.
func (s Store) Create(ctx context.Context, to Object, contentType string, body io.ReadSeeker) error {
	_, err := s.s3.PutObject(ctx, &s3.PutObjectInput{Bucket: &to.Bucket, Key: &to.Key, Body: body, ContentType: &contentType, IfNoneMatch: aws.String("*")}, s.named)
	if code(err) == "PreconditionFailed" {
		return nil
	}
	return explain(err, "s3:PutObject", to)
}

// named puts the execution's name into the user agent of a request.
func (s Store) named(o *s3.Options) {
	o.APIOptions = append(o.APIOptions, awsapi.UserAgent(string(s.execution)))
}

// ErrNoObject is what the error of an object that does not exist wraps.
var ErrNoObject = errors.New("no such object")

// explain names an error of S3. It is nil if err is.
func explain(err error, action string, at Object) error {
	if err == nil {
		return nil
	}
	switch c := code(err); {
	case status(err) >= http.StatusInternalServerError:
		return awsapi.Explain(err, action+" of "+at.String())
	case c == "NoSuchBucket":
		return at.in("bucket").invalid("there is no S3 bucket %s", at.Bucket).From(err)
	case c == "NoSuchKey", c == "NoSuchVersion", at.VersionID != "" && c == "InvalidArgument": // of the form of the version's id
		return at.invalid("there is no object %s", at).From(errors.Join(ErrNoObject, err))
	// https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
	case at.VersionID != "" && c == "MethodNotAllowed":
		return at.invalid("%s is a delete marker: the object was deleted then", at).From(errors.Join(ErrNoObject, err))
	case c == "InvalidObjectState":
		return at.invalid("%s is archived: restore it before it is read", at).From(err)
	// https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
	case c == "TemporaryRedirect", c == "Redirect": // while DNS does not have a new bucket
		return contract.Errorf(contract.Throttled, "S3 is still setting up bucket %s (%s). Try again later", at.Bucket, c).From(err)
	case status(err) == http.StatusMovedPermanently, c == "PermanentRedirect", c == "AuthorizationHeaderMalformed", c == "IllegalLocationConstraintException":
		where := "another Region"
		if region := regionOf(err); region != "" {
			where = "Region " + region
		}
		return at.in("bucket").invalid("bucket %s is in %s: expected a bucket in the Region of the stack", at.Bucket, where).From(err)
	case strings.HasPrefix(c, "KMS."):
		return at.in("bucket").invalid("S3 cannot use the KMS key of bucket %s for %s (%s). Check that the key is enabled", at.Bucket, action, c).From(err)
	case c == "ConditionalRequestConflict", c == "OperationAborted": // "retry the upload", "try again": the machine does
		return contract.Errorf(contract.Throttled, "S3 was changing %s at the time of %s (%s). Try again later", at, action, c).From(err)
	case c == "", c == "RequestTimeout", c == "IncompleteBody": // S3 did not get all of the request
		return contract.Errorf(contract.AWSUnreachable, "S3 did not answer %s of %s: %w. In the subnets of a VPC, the function needs an S3 gateway endpoint, or a NAT gateway", action, at, err)
	}
	explained := awsapi.Explain(err, action+" of "+at.String())
	if explained.Name == contract.AccessDenied && strings.HasPrefix(action, "s3:GetObject") {
		explained.Message += ". S3 refuses an object that does not exist in the same way if the role may not list the bucket (s3:ListBucket)"
	}
	if explained.Name == contract.Unexpected && status(err) >= http.StatusBadRequest && status(err) < http.StatusInternalServerError {
		return at.invalid("S3 does not accept %s of %s: %w", action, at, err)
	}
	return explained
}

// in is the object with a field inside its field, for an error.
func (o Object) in(field string) Object {
	if o.Field != "" {
		o.Field += "." + field
	}
	return o
}

// invalid is an error of the input that named the object.
func (o Object) invalid(format string, args ...any) *contract.Error {
	if o.Field != "" {
		format = o.Field + ": " + format
	} else {
		format = strings.ToUpper(format[:1]) + format[1:]
	}
	return contract.Errorf(contract.InvalidInput, format, args...)
}
