// Package awsapi is what every call to AWS shares: the credentials that it is
// signed with, the execution that it names in its user agent, and what its error
// means to the machine.
package awsapi

import (
	"regexp"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/middleware"

	"github.com/kubestep/kubestep/internal/contract"
)

const (
	// sessionDuration is the most that role chaining allows, and every role allows.
	// https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles.html#iam-term-role-chaining
	sessionDuration = time.Hour
	// expiryWindow is how long before they expire credentials are renewed: a token
	// expires with the credentials that signed it, so it must not be minted from old ones.
	expiryWindow = 15 * time.Minute
	// maxSessions bounds the sessions whose credentials are kept.
	maxSessions = 64
	// maxSessionName is the longest RoleSessionName.
	// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
	maxSessionName = 64
)

// Roles returns the credentials of IAM roles. It is safe for concurrent use.
type Roles struct {
	own        aws.Config
	externalID string

	mu       sync.Mutex
	sessions map[session]aws.CredentialsProvider
}

// session is one role as one execution assumes it. CloudTrail shows the session's
// name, which leads from there to the execution.
type session struct{ roleARN, name string }

// NewRoles assumes roles with the credentials of own, and with externalID unless it
// is empty.
func NewRoles(own aws.Config, externalID string) *Roles {
	return &Roles{own: own, externalID: externalID, sessions: map[session]aws.CredentialsProvider{}}
}

// Credentials returns the role's credentials, assumed for the execution with that ARN,
// or the function's own if roleARN is empty. STS is called when they are first
// retrieved, and again before they expire.
func (r *Roles) Credentials(roleARN, execution string) aws.CredentialsProvider {
	if roleARN == "" {
		return r.own.Credentials
	}
	key := session{roleARN, sessionName(execution)}
	r.mu.Lock()
	defer r.mu.Unlock()
	if provider, ok := r.sessions[key]; ok {
		return provider
	}
	if len(r.sessions) >= maxSessions {
		clear(r.sessions)
	}
	assume := stscreds.NewAssumeRoleProvider(sts.NewFromConfig(r.own), roleARN, func(o *stscreds.AssumeRoleOptions) {
		o.RoleSessionName = key.name
		o.Duration = sessionDuration
		if r.externalID != "" {
			o.ExternalID = aws.String(r.externalID)
		}
	})
	provider := aws.NewCredentialsCache(assume, func(o *aws.CredentialsCacheOptions) { o.ExpiryWindow = expiryWindow })
	r.sessions[key] = provider
	return provider
}

// notInSessionName matches what RoleSessionName does not allow. The name of an
// execution may hold it.
var notInSessionName = regexp.MustCompile(`[^\w+=,.@-]`)

func sessionName(execution string) string {
	name := notInSessionName.ReplaceAllString("kubestep-"+contract.ExecutionARN(execution).Name(), "-")
	return name[:min(len(name), maxSessionName)]
}

// UserAgent adds the execution's name to a call, for CloudTrail.
func UserAgent(execution string) func(*middleware.Stack) error {
	return awsmiddleware.AddUserAgentKeyValue("kubestep", contract.ExecutionARN(execution).Name())
}
