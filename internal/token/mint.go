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
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	smithyhttp "github.com/aws/smithy-go/transport/http"

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
	clusterHeader = "x-k8s-aws-id"
	// expiresHeader becomes the query parameter X-Amz-Expires, which must stand
	// in the request; the authenticator counts from X-Amz-Date all the same.
	expiresHeader, expires = "X-Amz-Expires", "60"
)

// Minter mints tokens and hands them out sealed.
type Minter struct {
	// AWS is the configuration that says how the endpoint of STS is found.
	AWS aws.Config
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

func (m Minter) sign(ctx context.Context, credentials aws.Credentials, cluster contract.Cluster) (bearer.Token, time.Time, error) {
	now := m.Now()
	client := sts.NewFromConfig(m.AWS, func(o *sts.Options) {
		o.Region = cluster.Region
		o.Credentials = fixed{credentials}
		// Whatever endpoint the function is told to call, a proxy's or a VPC
		// endpoint's: the authenticator takes the hosts of STS itself, no other.
		o.BaseEndpoint = nil
		// It is the control plane that calls that host, not the function; and of an
		// isolated partition its authenticator (v0.7.18) takes no dual-stack host.
		o.EndpointOptions.UseDualStackEndpoint = aws.DualStackEndpointStateDisabled
	})
	presigner := sts.NewPresignClient(client, func(o *sts.PresignOptions) { o.Presigner = clocked{v4.NewSigner(), now} })
	request, err := presigner.PresignGetCallerIdentity(ctx, &sts.GetCallerIdentityInput{}, func(o *sts.PresignOptions) {
		o.ClientOptions = append(o.ClientOptions, sts.WithAPIOptions(
			smithyhttp.SetHeaderValue(clusterHeader, cluster.Name),
			smithyhttp.SetHeaderValue(expiresHeader, expires),
		))
	})
	if err != nil {
		return bearer.Token{}, time.Time{}, contract.Errorf(contract.Unexpected, "The token for cluster %s could not be signed: %w", cluster.Name, err)
	}
	text := prefix + base64.RawURLEncoding.EncodeToString([]byte(request.URL))
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

// fixed are credentials that are retrieved already, so that what is signed with
// is what the expiry was read from.
type fixed struct{ credentials aws.Credentials }

func (f fixed) Retrieve(context.Context) (aws.Credentials, error) { return f.credentials, nil }

// clocked signs at a given time instead of the SDK's own.
type clocked struct {
	signer *v4.Signer
	now    time.Time
}

func (c clocked) PresignHTTP(ctx context.Context, credentials aws.Credentials, r *http.Request, payloadHash, service, region string, _ time.Time, options ...func(*v4.SignerOptions)) (string, http.Header, error) {
	url, header, err := c.signer.PresignHTTP(ctx, credentials, r, payloadHash, service, region, c.now, options...)
	if err != nil {
		return "", nil, fmt.Errorf("presign %s: %w", service, err)
	}
	return url, header, nil
}
