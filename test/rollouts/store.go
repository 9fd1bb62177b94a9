package rollouts

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	smithy "github.com/aws/smithy-go"
)

// storage stands in for S3: buckets with versions.
type storage struct {
	// fault is the error of a request, before it is carried out or after; nil for none.
	fault func(operation, key string) (before, after error)

	mu      sync.Mutex // guards what follows
	objects map[string][]version
	// seized has what somebody else wrote into a bucket, to whatever key comes first.
	seized map[string][]byte
}

// version is a version of an object.
type version struct {
	id   string
	body []byte
}

func refused(code string) error {
	return &smithy.GenericAPIError{Code: code, Message: "it says " + code}
}

// put writes an object as somebody else does.
func (s *storage) put(bucket, key, id string, body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add(bucket+"/"+key, id, body)
}

func (s *storage) add(at, id string, body []byte) {
	if s.objects == nil {
		s.objects = map[string][]version{}
	}
	s.objects[at] = append(s.objects[at], version{id, body})
}

// seize has somebody else write the object that is about to be written to a bucket, just before.
func (s *storage) seize(bucket string, body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seized = map[string][]byte{bucket: body}
}

// replace has somebody else replace each object of a bucket, and reports whether there was any.
func (s *storage) replace(bucket string, body []byte) (replaced bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for at := range s.objects {
		if strings.HasPrefix(at, bucket+"/") {
			s.add(at, "", body)
			replaced = true
		}
	}
	return replaced
}

// get is the newest version of an object; nil if there is none.
func (s *storage) get(bucket, key string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	versions := s.objects[bucket+"/"+key]
	if len(versions) == 0 {
		return nil
	}
	return versions[len(versions)-1].body
}

func (s *storage) GetObject(_ context.Context, in *s3.GetObjectInput, _ ...func(*s3.Options)) (*s3.GetObjectOutput, error) {
	before, after := s.fault("GetObject", *in.Key)
	if before != nil {
		return nil, before
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	versions := s.objects[*in.Bucket+"/"+*in.Key]
	for n := len(versions) - 1; n >= 0; n-- {
		v := versions[n]
		if in.VersionId != nil && v.id != *in.VersionId {
			continue
		}
		out := &s3.GetObjectOutput{Body: io.NopCloser(bytes.NewReader(v.body)), ETag: aws.String(fmt.Sprintf(`"%d"`, n)), LastModified: aws.Time(epoch)}
		if v.id != "" {
			out.VersionId = aws.String(v.id)
		}
		return out, after
	}
	return nil, refused("NoSuchKey")
}

func (s *storage) PutObject(_ context.Context, in *s3.PutObjectInput, _ ...func(*s3.Options)) (*s3.PutObjectOutput, error) {
	before, after := s.fault("PutObject", *in.Key)
	if before != nil {
		return nil, before
	}
	body, err := io.ReadAll(in.Body)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	at := *in.Bucket + "/" + *in.Key
	if body, ok := s.seized[*in.Bucket]; ok {
		s.add(at, "", body)
		delete(s.seized, *in.Bucket)
	}
	n := len(s.objects[at])
	switch {
	case aws.ToString(in.IfNoneMatch) == "*" && n > 0, in.IfMatch != nil && n > 0 && *in.IfMatch != strconv.Quote(strconv.Itoa(n-1)):
		return nil, refused("PreconditionFailed")
	case in.IfMatch != nil && n == 0:
		return nil, refused("NoSuchKey")
	}
	s.add(at, "", body)
	return &s3.PutObjectOutput{}, after
}
