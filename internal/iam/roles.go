// Package iam is AWS's side of an identity: the credentials that a function
// acts with, and what an error of AWS means to the machine.
package iam

import (
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

const (
	// sessionName shows in CloudTrail and in the cluster's audit log.
	sessionName = "kubestep"
	// earlyRefresh is how long before their end assumed credentials are renewed:
	// a token made from them dies with them, so it must not be born old.
	earlyRefresh = 15 * time.Minute
	// maxRoles bounds the roles whose credentials are kept.
	maxRoles = 64
)

// Roles gives the credentials of a role. It is safe for concurrent use.
type Roles struct {
	own        aws.Config
	externalID string

	mu      sync.Mutex
	assumed map[string]aws.CredentialsProvider
}

// NewRoles acts with the credentials of own where no role is asked for, and
// assumes the others with them, with externalID where that is not empty.
func NewRoles(own aws.Config, externalID string) *Roles {
	return &Roles{own: own, externalID: externalID, assumed: map[string]aws.CredentialsProvider{}}
}

// Credentials of the role, or the function's own for an empty ARN. Nothing is
// called before they are retrieved; assumed ones are kept until near their end.
func (r *Roles) Credentials(roleARN string) aws.CredentialsProvider {
	if roleARN == "" {
		return r.own.Credentials
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if provider, ok := r.assumed[roleARN]; ok {
		return provider
	}
	if len(r.assumed) >= maxRoles {
		clear(r.assumed)
	}
	assume := stscreds.NewAssumeRoleProvider(sts.NewFromConfig(r.own), roleARN, func(o *stscreds.AssumeRoleOptions) {
		o.RoleSessionName = sessionName
		if r.externalID != "" {
			o.ExternalID = aws.String(r.externalID)
		}
	})
	provider := aws.NewCredentialsCache(assume, func(o *aws.CredentialsCacheOptions) { o.ExpiryWindow = earlyRefresh })
	r.assumed[roleARN] = provider
	return provider
}
