// Package token mints the bearer token by which EKS knows an IAM identity, and
// seals it for its way through the state of an execution.
//
// The token is a presigned GetCallerIdentity request of STS: whoever holds it can
// ask STS once who signed it, which is what the cluster's authenticator does.
// The rules stand in pkg/token/token.go of
// https://github.com/kubernetes-sigs/aws-iam-authenticator.
package token

import (
	"context"
	"encoding/base64"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/kubestep/kubestep/internal/bearer"
	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/iam"
)

const (
	prefix = "k8s-aws-v1."
	// maxBytes is what the authenticator reads of a token.
	maxBytes = 4096
	// lifetime is that of the signature, 15 minutes from its date, less a minute
	// for clocks that differ and for the way to the cluster.
	lifetime = 14 * time.Minute
	// clusterHeader binds the token to one cluster: the authenticator of another
	// one computes another signature.
	clusterHeader = "X-K8s-Aws-Id"
	// query is the action that is signed. X-Amz-Expires must stand in it; the
	// authenticator counts from X-Amz-Date all the same.
	query = "Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Expires=60"
	// emptyHash is the SHA-256 of no body.
	emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

// Minter mints tokens and hands them out sealed.
type Minter struct {
	// FIPS tells whether tokens are for the FIPS host of STS, as [FIPS] reads it.
	FIPS bool
	// Credentials of a role; those of the function for an empty ARN.
	Credentials func(roleARN string) aws.CredentialsProvider
	// Principal is the ARN of the function's own role, to be named where it is refused.
	Principal string
	Sealer    Sealer
	Now       func() time.Time
}

// Mint signs a token for a cluster and seals it for one execution. Signing is
// local: STS is called only to assume a role.
//
// Errors: AccessDenied, Throttled, ClusterUnreachable, TokenTooLarge.
func (m Minter) Mint(ctx context.Context, in contract.MintToken) (contract.Token, error) {
	principal := in.RoleARN
	if principal == "" {
		principal = m.Principal
	}
	provider := m.Credentials(in.RoleARN)
	credentials, err := provider.Retrieve(ctx)
	if err != nil {
		return contract.Token{}, iam.Explain(err, "sts:AssumeRole of "+principal)
	}
	minted, expiresAt, err := m.sign(ctx, credentials, in.Cluster)
	if err != nil {
		return contract.Token{}, err
	}
	sealed, err := m.Sealer.Seal(minted, Binding{Execution: in.Execution, Endpoint: in.Cluster.Endpoint, CertificateAuthority: in.Cluster.CertificateAuthority})
	if err != nil {
		return contract.Token{}, err
	}
	return contract.Token{Sealed: sealed, ExpiresAt: expiresAt, Principal: principal}, nil
}

// FIPS tells whether a configuration asks for the FIPS hosts of AWS.
func FIPS(cfg aws.Config) bool {
	return sts.NewFromConfig(cfg).Options().EndpointOptions.UseFIPSEndpoint == aws.FIPSEndpointStateEnabled
}

// sign presigns with the SDK's signer and its table of hosts. A client of STS
// would do the same by its stack of middleware, in twice the
// time and with nearly three times the allocations.
func (m Minter) sign(ctx context.Context, credentials aws.Credentials, cluster contract.Cluster) (bearer.Token, time.Time, error) {
	unsigned := func(err error) (bearer.Token, time.Time, error) {
		return bearer.Token{}, time.Time{}, contract.Errorf(contract.Unexpected, "The token for cluster %s could not be signed: %w", cluster.Name, err)
	}
	// Whatever endpoint the function is told to call, a proxy's or a VPC endpoint's:
	// the authenticator takes the hosts of STS itself, no other. It is the control
	// plane that calls that host, not the function; and of an isolated partition its
	// authenticator (v0.7.18) takes no dual-stack host.
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
		Header: http.Header{clusterHeader: {cluster.Name}},
	}).WithContext(ctx)
	now := m.Now()
	url, _, err := v4.NewSigner().PresignHTTP(ctx, credentials, request, emptyHash, "sts", cluster.Region, now)
	if err != nil {
		return unsigned(err)
	}
	text := prefix + base64.RawURLEncoding.EncodeToString([]byte(url))
	if len(text) > maxBytes {
		return bearer.Token{}, time.Time{}, contract.Errorf(contract.TokenTooLarge,
			"The token for cluster %s has %d bytes, and EKS takes %d: the session token of the credentials has %d. Assume the role with fewer session tags or without a session policy, or give a role of its own for the cluster as roleArn",
			cluster.Name, len(text), maxBytes, len(credentials.SessionToken))
	}
	expiresAt := now.Add(lifetime)
	// A token dies with the credentials that signed it. Lambda does not tell when its own end.
	if credentials.CanExpire && credentials.Expires.Before(expiresAt) {
		expiresAt = credentials.Expires
	}
	return bearer.New(text), expiresAt.UTC().Truncate(time.Second), nil
}
