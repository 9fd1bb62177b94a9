package awsfront

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/local/trail"
)

func TestWhoMayNotListABucketIsNotToldThatAnObjectIsMissing(t *testing.T) {
	const (
		noKey    = `<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>`
		noBucket = `<Error><Code>NoSuchBucket</Code><Message>The specified bucket does not exist</Message></Error>`
		read     = `{"Statement":[{"Effect":"Allow","Action":["s3:GetObject"],"Resource":"arn:aws:s3:::b/*"}]}`
		list     = `{"Statement":{"Effect":"Allow","Action":"s3:List*","Resource":["arn:aws:s3:::b"]}}`
		other    = `{"Statement":[{"Effect":"Allow","Action":"s3:ListBucket","Resource":"arn:aws:s3:::other"}]}`
		denies   = `{"Statement":[{"Effect":"Deny","Action":"s3:ListBucket","Resource":"*"}]}`
	)
	for name, test := range map[string]struct {
		role     string
		policies []string
		answer   string
		want     string
	}{
		"a role that may only read":              {callerRole, []string{read}, noKey, "AccessDenied"},
		"one that may list too":                  {callerRole, []string{read, list}, noKey, "NoSuchKey"},
		"one that may list another bucket":       {callerRole, []string{read, other}, noKey, "AccessDenied"},
		"one that is denied what it is allowed":  {callerRole, []string{list, denies}, noKey, "AccessDenied"},
		"one of no stack, such as a developer's": {otherRole, []string{read}, noKey, "NoSuchKey"},
		"a bucket that is missing":               {callerRole, []string{read}, noBucket, "NoSuchBucket"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.engine.status, w.engine.answer = http.StatusNotFound, test.answer
			role := trail.Role{ARN: callerRole}
			for _, document := range test.policies {
				role.Policies = append(role.Policies, trail.Policy{Name: "p", Document: json.RawMessage(document)})
			}
			require.NoError(t, w.front.Permissions.Put(role))
			bucket, key := "b", "k"
			client := s3.NewFromConfig(w.config(test.role), func(o *s3.Options) { o.UsePathStyle, o.RetryMaxAttempts = true, 1 })

			_, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &bucket, Key: &key})

			var refused smithy.APIError
			require.ErrorAs(t, err, &refused)
			assert.Equal(t, test.want, refused.ErrorCode())
			if test.want == "AccessDenied" {
				assert.Contains(t, refused.ErrorMessage(), `is not authorized to perform: s3:ListBucket on resource: "arn:aws:s3:::b"`)
			}
			_, err = client.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: &bucket, Key: &key})
			assert.Error(t, err)
		})
	}
}
