package authenticator

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/aws-iam-authenticator/pkg/token"

	"github.com/kubestep/kubestep/internal/bearer"
	"github.com/kubestep/kubestep/internal/contract"
	kubestep "github.com/kubestep/kubestep/internal/token"
	"github.com/kubestep/kubestep/local/controlplane/sts"
	"github.com/kubestep/kubestep/local/credentials"
)

// standIn replaces STS, in every partition, for the authenticator's verifier.
func standIn(t *testing.T) credentials.Authority {
	t.Helper()
	authority := credentials.New([]byte(rand.Text() + rand.Text()))
	transport := &http.Transport{}
	sts.Transport{Authority: authority, Now: time.Now, Log: slog.New(slog.DiscardHandler)}.Register(transport)
	// The verifier calls STS through it, and has no option for another transport.
	before := http.DefaultTransport
	http.DefaultTransport = transport
	t.Cleanup(func() { http.DefaultTransport = before })
	return authority
}

// anybody attests every cluster.
type anybody struct{}

func (anybody) Verify(_, _ string, _ contract.Cluster) error { return nil }

// minted returns a token of mint-token, in the environment that the test has set.
func minted(t *testing.T, authority credentials.Authority, partition, region string) (string, error) {
	t.Helper()
	cfg, err := config.LoadDefaultConfig(t.Context(), config.WithRegion(region))
	require.NoError(t, err)
	issued, err := authority.Issue("arn:"+partition+":iam::111122223333:role/kubestep-mint-token", "kubestep", time.Now().Add(time.Hour))
	require.NoError(t, err)
	sealer, err := bearer.NewSealer(rand.Text() + rand.Text())
	require.NoError(t, err)
	minter := kubestep.Minter{
		FIPS: kubestep.FIPS(cfg), Sealer: sealer, Now: time.Now,
		Attestation: anybody{},
		Credentials: func(_, _ string) aws.CredentialsProvider {
			return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return issued, nil })
		},
	}
	sealed, err := minter.Mint(t.Context(), contract.MintToken{Execution: "e", Cluster: contract.Cluster{Name: "demo", Region: region}})
	if err != nil {
		return "", err
	}
	opened, err := sealer.Open(sealed.Sealed, bearer.Binding{Execution: "e"})
	require.NoError(t, err)
	return opened.Reveal(), nil
}

func TestTheVerifierOfEachPartitionTakesTheTokensThatAreMintedForIt(t *testing.T) {
	authority := standIn(t)
	for region, id := range map[string]string{
		"us-east-1": "aws", "eu-west-1": "aws", "af-south-1": "aws",
		"cn-north-1": "aws-cn", "cn-northwest-1": "aws-cn",
		"us-gov-west-1": "aws-us-gov", "us-gov-east-1": "aws-us-gov",
		"us-iso-east-1": "aws-iso", "us-isob-east-1": "aws-iso-b",
		"eu-isoe-west-1": "aws-iso-e", "us-isof-south-1": "aws-iso-f",
		"eusc-de-east-1": "aws-eusc",
	} {
		for _, fips := range []bool{false, true} {
			for _, dualStack := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s FIPS %t dual-stack %t", region, fips, dualStack), func(t *testing.T) {
					t.Setenv("AWS_USE_FIPS_ENDPOINT", fmt.Sprint(fips))
					t.Setenv("AWS_USE_DUALSTACK_ENDPOINT", fmt.Sprint(dualStack))
					bearer, err := minted(t, authority, id, region)
					require.NoError(t, err)
					identity, err := token.NewVerifier("demo", id, region).Verify(bearer)

					require.NoError(t, err)
					assert.Equal(t, "arn:"+id+":iam::111122223333:role/kubestep-mint-token", identity.CanonicalARN)
				})
			}
		}
	}
}
