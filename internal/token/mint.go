// Package token mints the bearer token by which EKS knows an IAM identity.
//
// The token is a presigned GetCallerIdentity request of STS: whoever holds it can
// ask STS who signed it, which is what the cluster's authenticator does.
// https://github.com/kubernetes-sigs/aws-iam-authenticator, pkg/token/token.go, has the rules.
package token

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/kubestep/kubestep/internal/awsapi"
	"github.com/kubestep/kubestep/internal/bearer"
	"github.com/kubestep/kubestep/internal/contract"
)

const (
	// lifetime is the signature's 15 minutes from its date, less a minute
	// for clocks that differ and for the time until the cluster reads it.
	lifetime = 14 * time.Minute
	// clusterIDHeader binds the token to the name of a cluster: the authenticator of one
	// with another name computes another signature. Clusters of the same name that map the
	// same role accept each other's tokens, in any Region (docs/security.md).
	clusterIDHeader = "X-K8s-Aws-Id"
	// query is the action that is signed. X-Amz-Expires must be in it, although the
	// authenticator counts from X-Amz-Date.
	query = "Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Expires=60"
	// emptyPayloadHash is the SHA-256 of an empty body.
	emptyPayloadHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

// Verifier verifies that describe-cluster attested a cluster.
type Verifier interface {
	Verify(execution, roleARN string, cluster contract.Cluster) error
}

// Minter mints tokens and returns them sealed.
type Minter struct {
	// FIPS selects the FIPS host of STS; see the function [FIPS].
	FIPS bool
	// Credentials returns a role's credentials for an execution, or the function's own if
	// roleARN is empty.
	Credentials func(roleARN, execution string) aws.CredentialsProvider
	// Principal is the ARN of the function's own role, and Group the Kubernetes group
	// that the stack maps it to: a refusal names both.
	Principal, Group string
	// Machine is the name of the state machine for whose executions it mints; empty for any.
	// describe-cluster attests clusters for executions of every machine of the stack.
	Machine     string
	Attestation Verifier
	Sealer      bearer.Sealer
	Now         func() time.Time
}

// Mint signs a token for a cluster and seals it for one execution. Signing is
// local: STS is called only to assume a role.
//
// Errors: AccessDenied, Throttled, AWSUnreachable, TokenTooLarge, Unexpected.
func (m Minter) Mint(ctx context.Context, in contract.MintToken) (contract.Token, error) {
	if of := contract.ExecutionARN(in.Execution).Machine(); m.Machine != "" && of != m.Machine {
		return contract.Token{}, contract.Errorf(contract.AccessDenied, "This function mints tokens for executions of %s, not of %q. Start an execution of that state machine instead of invoking its functions", m.Machine, of)
	}
	if err := m.Attestation.Verify(in.Execution, in.RoleARN, in.Cluster); err != nil {
		return contract.Token{}, err
	}
	principal := in.RoleARN
	if principal == "" {
		principal = m.Principal
	}
	credentials, err := m.Credentials(in.RoleARN, in.Execution).Retrieve(ctx)
	if err != nil {
		return contract.Token{}, awsapi.Explain(err, "sts:AssumeRole of "+principal)
	}
	minted, expiresAt, err := m.sign(ctx, credentials, in.Cluster)
	if err != nil {
		return contract.Token{}, err
	}
	sealed, err := m.Sealer.Seal(minted, bearer.BindingFor(in.Execution, in.Cluster))
	if err != nil {
		return contract.Token{}, err
	}
	return contract.Token{Sealed: sealed, ExpiresAt: expiresAt, Principal: principal, Group: m.Group}, nil
}

// FIPS reports whether a configuration asks for the FIPS hosts of AWS.
func FIPS(cfg aws.Config) bool {
	return sts.NewFromConfig(cfg).Options().EndpointOptions.UseFIPSEndpoint == aws.FIPSEndpointStateEnabled
}

// sign presigns with the SDK's signer and its table of hosts. A client of STS
// does the same through its middleware, in twice the time and with nearly three
// times the allocations.
func (m Minter) sign(ctx context.Context, credentials aws.Credentials, cluster contract.Cluster) (bearer.Token, time.Time, error) {
	unsigned := func(err error) (bearer.Token, time.Time, error) {
		return bearer.Token{}, time.Time{}, contract.Errorf(contract.Unexpected, "The token for cluster %s could not be signed: %w", cluster.Name, err)
	}
	// The authenticator accepts only the hosts of STS itself, whatever endpoint the
	// function is told to call (a proxy's, a VPC endpoint's): the control plane calls
	// that host, not the function. In the isolated partitions the authenticator
	// (v0.7.18) does not accept the dual-stack host.
	endpoint, err := sts.NewDefaultEndpointResolverV2().ResolveEndpoint(ctx, sts.EndpointParameters{
		Region:  aws.String(cluster.Region),
		UseFIPS: aws.Bool(m.FIPS),
	})
	if err != nil {
		return unsigned(err)
	}
	endpoint.URI.Path, endpoint.URI.RawQuery = "/", query
	request := (&http.Request{
		Method: http.MethodGet, URL: &endpoint.URI, Host: endpoint.URI.Host,
		Header: http.Header{clusterIDHeader: {cluster.Name}},
	}).WithContext(ctx)
	now := m.Now()
	url, _, err := v4.NewSigner().PresignHTTP(ctx, credentials, request, emptyPayloadHash, "sts", cluster.Region, now)
	if err != nil {
		return unsigned(err)
	}
	minted, err := bearer.FromPresignedURL(url)
	if tooLarge := (*bearer.TooLargeError)(nil); errors.As(err, &tooLarge) {
		return bearer.Token{}, time.Time{}, contract.Errorf(contract.TokenTooLarge,
			"The token for cluster %s is too large: %w, because the session token of the credentials has %d bytes. Assume the role with fewer session tags or without a session policy, or name a role for the cluster as roleArn",
			cluster.Name, err, len(credentials.SessionToken))
	} else if err != nil {
		return unsigned(err)
	}
	expiresAt := now.Add(lifetime)
	// A token expires with the credentials that signed it. Lambda does not say when its own expire.
	if credentials.CanExpire && credentials.Expires.Before(expiresAt) {
		expiresAt = credentials.Expires
	}
	return minted, expiresAt.UTC().Truncate(time.Second), nil
}
