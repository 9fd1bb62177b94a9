package awsfront

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/kubestep/kubestep/local/trail"
)

// Permissions are the policies of roles. The zero value has none; a role that has none here, such as the one for shells, may do
// everything.
type Permissions struct {
	mu    sync.Mutex
	roles map[string][]statement // by ARN
}

// statement is one of a policy. Its conditions count as met: they are about accounts, and each bucket here is the caller's.
type statement struct {
	Effect           string
	Action, Resource oneOrMore[string]
}

// oneOrMore is a value, or an array of them.
type oneOrMore[T any] []T

// UnmarshalJSON implements json.Unmarshaler.
func (o *oneOrMore[T]) UnmarshalJSON(text []byte) error {
	var one T
	if json.Unmarshal(text, &one) == nil {
		*o = oneOrMore[T]{one}
		return nil
	}
	return json.Unmarshal(text, (*[]T)(o)) //nolint:wrapcheck // of the decoder, for the decoder
}

// match reports whether a value matches one of the patterns. A * stands for any characters.
func match(patterns []string, value string) bool {
	for _, pattern := range patterns {
		expression := "^" + strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, ".*") + "$"
		if regexp.MustCompile(expression).MatchString(value) {
			return true
		}
	}
	return false
}

// Put sets the policies of a role.
func (p *Permissions) Put(role trail.Role) error {
	statements := []statement{}
	for _, policy := range role.Policies {
		var document struct{ Statement oneOrMore[statement] }
		if err := json.Unmarshal(policy.Document, &document); err != nil {
			return fmt.Errorf("read the policy %s of %s: %w", policy.Name, role.ARN, err)
		}
		statements = append(statements, document.Statement...)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.roles == nil {
		p.roles = map[string][]statement{}
	}
	p.roles[role.ARN] = statements
	return nil
}

// allow reports whether a role may do an action on a resource.
func (p *Permissions) allow(roleARN, action, resource string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	statements, known := p.roles[roleARN]
	allowed := !known
	for _, s := range statements {
		if match(s.Action, action) && match(s.Resource, resource) {
			if s.Effect == "Deny" {
				return false
			}
			allowed = true
		}
	}
	return allowed
}

// denyMissing makes the answer for an object that is not there the one of S3 for a caller that may not list the bucket, who must
// not learn whether it is there: https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
func (f *Front) denyMissing(response *http.Response) error {
	r := response.Request
	if response.StatusCode != http.StatusNotFound || r.Method != http.MethodGet && r.Method != http.MethodHead {
		return nil
	}
	c, err := identify(r)
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if err != nil || c.service != "s3" || key == "" {
		return nil //nolint:nilerr // then it is not about an object
	}
	roleARN, user := r.Header.Get(RoleHeader), ""
	if caller, err := f.caller(c); err == nil {
		user = caller.ARN
		if roleARN == "" {
			roleARN = caller.RoleARN
		}
	}
	resource := "arn:aws:s3:::" + bucket
	if f.Permissions == nil || f.Permissions.allow(roleARN, "s3:ListBucket", resource) {
		return nil
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	_ = response.Body.Close()
	var problem struct{ Code string }
	if xml.Unmarshal(body, &problem) == nil && problem.Code == "NoSuchBucket" { // which S3 tells everybody
		response.Body = io.NopCloser(bytes.NewReader(body))
		return nil
	}
	denied, err := xml.Marshal(struct {
		XMLName       xml.Name `xml:"Error"`
		Code, Message string
	}{
		Code:    "AccessDenied",
		Message: fmt.Sprintf("User: %s is not authorized to perform: s3:ListBucket on resource: %q because no identity-based policy allows the s3:ListBucket action", user, resource),
	})
	if err != nil {
		return fmt.Errorf("deny it: %w", err)
	}
	if r.Method == http.MethodHead {
		denied = nil
	}
	response.StatusCode, response.Status = http.StatusForbidden, strconv.Itoa(http.StatusForbidden)+" Forbidden"
	response.Header.Set("Content-Type", "application/xml")
	response.Header.Set("Content-Length", strconv.Itoa(len(denied)))
	response.ContentLength, response.Body = int64(len(denied)), io.NopCloser(bytes.NewReader(denied))
	return nil
}
