package awsfront

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/kubestep/kubestep/local/credentials"
)

// Role is a role that can be assumed.
type Role struct {
	ARN string
	// Trusts are the ARNs of the roles that may assume it; "*" is any.
	Trusts []string
	// ExternalID is required to assume it, unless it is empty.
	ExternalID string
	// Tags are the session tags of its sessions.
	Tags []string
}

// Roles are the roles that can be assumed. The zero value has none.
type Roles struct {
	mu    sync.Mutex
	roles map[string]Role // by ARN
}

// Put creates or updates a role.
func (r *Roles) Put(role Role) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.roles == nil {
		r.roles = map[string]Role{}
	}
	r.roles[role.ARN] = role
}

// allow returns a role, and reports whether the caller may assume it. Like AWS, it does not say why not.
func (r *Roles) allow(roleARN string, caller credentials.Identity, externalID string) (Role, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	role, ok := r.roles[roleARN]
	return role, ok &&
		(slices.Contains(role.Trusts, "*") || slices.Contains(role.Trusts, caller.RoleARN)) &&
		(role.ExternalID == "" || role.ExternalID == externalID)
}

// Role chaining limits a session to an hour, and every caller here is a role:
// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
const (
	minSession = 15 * time.Minute
	maxSession = time.Hour
)

func (f *Front) assumeRole(w http.ResponseWriter, _ *http.Request, c call) *apiError {
	caller, err := f.caller(c)
	if err != nil {
		return unrecognized(err, "ExpiredToken", "InvalidClientTokenId")
	}
	length := maxSession
	if given := c.form.Get("DurationSeconds"); given != "" {
		seconds, err := strconv.Atoi(given)
		length = time.Duration(seconds) * time.Second
		if err != nil || length < minSession || length > maxSession {
			return invalid("DurationSeconds is %s, and must be from %.0f to %.0f", given, minSession.Seconds(), maxSession.Seconds())
		}
	}
	roleARN, session := c.form.Get("RoleArn"), c.form.Get("RoleSessionName")
	role, allowed := f.Roles.allow(roleARN, caller, c.form.Get("ExternalId"))
	if !allowed {
		return &apiError{
			http.StatusForbidden, "AccessDenied",
			fmt.Sprintf("User: %s is not authorized to perform: sts:AssumeRole on resource: %s", caller.ARN, roleARN),
		}
	}
	issued, err := f.Authority.Issue(roleARN, session, f.Now().Add(length), role.Tags...)
	if err != nil {
		return invalid("%s", err)
	}
	assumed, _, err := f.Authority.Recognize(issued.AccessKeyID, issued.SessionToken, f.Now())
	if err != nil {
		return &apiError{http.StatusInternalServerError, "InternalFailure", err.Error()}
	}
	type assumedRoleUser struct {
		ARN string `xml:"Arn"`
		ID  string `xml:"AssumedRoleId"`
	}
	type temporaryCredentials struct {
		AccessKeyID     string `xml:"AccessKeyId"`
		SecretAccessKey string
		SessionToken    string
		Expiration      time.Time
	}
	respond(w, c, struct {
		AssumedRoleUser assumedRoleUser
		Credentials     temporaryCredentials
	}{
		assumedRoleUser{assumed.ARN, assumed.UserID},
		temporaryCredentials{issued.AccessKeyID, issued.SecretAccessKey, issued.SessionToken, issued.Expires.UTC()},
	})
	return nil
}

func (f *Front) getCallerIdentity(w http.ResponseWriter, _ *http.Request, c call) *apiError {
	caller, err := f.caller(c)
	if err != nil {
		return unrecognized(err, "ExpiredToken", "InvalidClientTokenId")
	}
	respond(w, c, struct {
		ARN     string `xml:"Arn"`
		UserID  string `xml:"UserId"`
		Account string
	}{caller.ARN, caller.UserID, caller.Account})
	return nil
}
