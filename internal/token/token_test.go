package token_test

import (
	"context"
	"encoding/base64"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	smithy "github.com/aws/smithy-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/bearer"
	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/token"
)

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

type credentials struct {
	aws.Credentials
	err error
}

func (c credentials) Retrieve(context.Context) (aws.Credentials, error) { return c.Credentials, c.err }

// attested verifies every cluster that has an attestation.
type attested struct{}

func (attested) Verify(_, _ string, cluster contract.Cluster) error {
	if cluster.Attestation == "" {
		return contract.Errorf(contract.Unexpected, "not attested")
	}
	return nil
}

func minter(t testing.TB, c credentials) token.Minter {
	t.Helper()
	sealer, err := bearer.NewSealer(strings.Repeat("k", 32))
	require.NoError(t, err)
	return token.Minter{
		FIPS:        token.FIPS(aws.Config{BaseEndpoint: aws.String("http://127.0.0.1:1")}),
		Credentials: func(_, _ string) aws.CredentialsProvider { return c },
		Principal:   "arn:aws:iam::111122223333:role/own",
		Group:       "kubestep-pod-readers",
		Attestation: attested{},
		Sealer:      sealer,
		Now:         func() time.Time { return now },
	}
}

func lambdaCredentials() credentials {
	return credentials{Credentials: aws.Credentials{AccessKeyID: "ASIAEXAMPLE", SecretAccessKey: "secret", SessionToken: strings.Repeat("s", 900)}}
}

func payload() contract.MintToken {
	return contract.MintToken{
		Execution: "arn:aws:states:eu-west-1:111122223333:execution:m:1",
		Cluster:   contract.Cluster{Name: "demo", Region: "eu-west-1", Endpoint: "https://e", CertificateAuthority: "Y2E=", Attestation: "a"},
	}
}

func TestAMachineHasATokenMintedByItsOwnFunctionOnly(t *testing.T) {
	m := minter(t, lambdaCredentials())
	m.Machine = "kubestep-apply-manifests"
	in := payload()
	for execution, denied := range map[string]bool{
		"arn:aws:states:eu-west-1:111122223333:execution:kubestep-apply-manifests:1":     false,
		"arn:aws:states:eu-west-1:111122223333:execution:kubestep-pod-inventory:1":       true,
		"arn:aws:states:eu-west-1:111122223333:execution:other:kubestep-apply-manifests": true,
		"": true,
	} {
		in.Execution = execution
		_, err := m.Mint(t.Context(), in)
		if !denied {
			require.NoError(t, err)
			continue
		}
		var named *contract.Error
		require.ErrorAs(t, err, &named)
		assert.Equal(t, contract.AccessDenied, named.Name)
		assert.Contains(t, named.Message, "This function mints tokens for executions of kubestep-apply-manifests, not of ")
	}
}

// open returns the URL in a minted token.
func open(t *testing.T, m token.Minter, in contract.MintToken, minted contract.Token) *url.URL {
	t.Helper()
	opened, err := m.Sealer.Open(minted.Sealed, bearer.BindingFor(in.Execution, in.Cluster))
	require.NoError(t, err)
	encoded, ok := strings.CutPrefix(opened.Reveal(), "k8s-aws-v1.")
	require.True(t, ok)
	text, err := base64.RawURLEncoding.DecodeString(encoded)
	require.NoError(t, err)
	u, err := url.Parse(string(text))
	require.NoError(t, err)
	return u
}

func TestATokenIsWhatTheAuthenticatorTakes(t *testing.T) {
	m, in := minter(t, lambdaCredentials()), payload()
	minted, err := m.Mint(t.Context(), in)
	require.NoError(t, err)

	u := open(t, m, in, minted)
	assert.Equal(t, "https", u.Scheme)
	assert.Equal(t, "sts.eu-west-1.amazonaws.com", u.Host, "the host of STS, whatever endpoint the function is told to call")
	assert.Equal(t, "/", u.Path)
	q := u.Query()
	var names []string
	for name, values := range q {
		names = append(names, name)
		assert.Len(t, values, 1, name)
	}
	assert.ElementsMatch(t, []string{"Action", "Version", "X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-Security-Token", "X-Amz-Signature", "X-Amz-SignedHeaders"}, names)
	assert.Equal(t, "GetCallerIdentity", q.Get("Action"))
	assert.Equal(t, "60", q.Get("X-Amz-Expires"))
	assert.Equal(t, "20261123T120000Z", q.Get("X-Amz-Date"), "by the clock that it is given")
	assert.Contains(t, strings.Split(q.Get("X-Amz-SignedHeaders"), ";"), "x-k8s-aws-id")
}

func TestATokenIsSignedForItsClusterAlone(t *testing.T) {
	m := minter(t, lambdaCredentials())
	signature := func(cluster string) string {
		in := payload()
		in.Cluster.Name = cluster
		minted, err := m.Mint(t.Context(), in)
		require.NoError(t, err)
		return open(t, m, in, minted).Query().Get("X-Amz-Signature")
	}
	assert.Equal(t, signature("demo"), signature("demo"))
	assert.NotEqual(t, signature("demo"), signature("other"))
}

func TestTheHostIsThatOfTheClustersPartition(t *testing.T) {
	for region, host := range map[string]string{
		"us-east-1":     "sts.us-east-1.amazonaws.com",
		"cn-north-1":    "sts.cn-north-1.amazonaws.com.cn",
		"us-gov-west-1": "sts.us-gov-west-1.amazonaws.com",
		"us-iso-east-1": "sts.us-iso-east-1.c2s.ic.gov",
	} {
		t.Run(region, func(t *testing.T) {
			m, in := minter(t, lambdaCredentials()), payload()
			in.Cluster.Region = region
			minted, err := m.Mint(t.Context(), in)
			require.NoError(t, err)
			assert.Equal(t, host, open(t, m, in, minted).Host)
		})
	}
}

func TestATokenEndsWithItsSignatureOrItsCredentialsWhicheverIsFirst(t *testing.T) {
	until := func(end time.Time) credentials {
		c := lambdaCredentials()
		c.CanExpire, c.Expires = true, end
		return c
	}
	for sentence, c := range map[string]struct {
		credentials credentials
		want        time.Time
	}{
		"credentials that tell no end":   {lambdaCredentials(), now.Add(14 * time.Minute)},
		"credentials that last an hour":  {until(now.Add(time.Hour)), now.Add(14 * time.Minute)},
		"credentials that end before it": {until(now.Add(5 * time.Minute)), now.Add(5 * time.Minute)},
	} {
		t.Run(sentence, func(t *testing.T) {
			minted, err := minter(t, c.credentials).Mint(t.Context(), payload())
			require.NoError(t, err)
			assert.Equal(t, c.want, minted.ExpiresAt)
		})
	}
}

func TestTheResultNamesThePrincipalAndItsGroup(t *testing.T) {
	own, err := minter(t, lambdaCredentials()).Mint(t.Context(), payload())
	require.NoError(t, err)
	assert.Equal(t, "arn:aws:iam::111122223333:role/own", own.Principal)
	assert.Equal(t, "kubestep-pod-readers", own.Group)

	in := payload()
	in.RoleARN = "arn:aws:iam::444455556666:role/theirs"
	assumed, err := minter(t, lambdaCredentials()).Mint(t.Context(), in)
	require.NoError(t, err)
	assert.Equal(t, in.RoleARN, assumed.Principal)
}

// The wall time depends on the machine; the allocations do not.
func TestMintingAllocatesLittle(t *testing.T) {
	if testing.Short() {
		t.Skip("the race detector allocates too, and make race says -short")
	}
	m, in := minter(t, lambdaCredentials()), payload()
	allocations := testing.AllocsPerRun(100, func() {
		_, _ = m.Mint(t.Context(), in)
	})
	assert.LessOrEqual(t, allocations, 145.0, "130 as measured, and a margin")
}

func BenchmarkMint(b *testing.B) {
	m, in := minter(b, lambdaCredentials()), payload()
	b.ReportAllocs()
	for b.Loop() {
		_, err := m.Mint(b.Context(), in)
		require.NoError(b, err)
	}
}

func TestWhatKeepsATokenFromBeingMintedHasAName(t *testing.T) {
	large := lambdaCredentials()
	large.SessionToken = strings.Repeat("/", 1800)
	for sentence, c := range map[string]struct {
		credentials credentials
		name        contract.ErrorName
		text        string
	}{
		"a session token so large that the token is": {large, contract.TokenTooLarge, "7710 bytes, and EKS accepts 4096, because the session token of the credentials has 1800"},
		"a role that may not be assumed":             {credentials{err: &smithy.GenericAPIError{Code: "AccessDenied", Message: "User: arn:x is not authorized to perform: sts:AssumeRole"}}, contract.AccessDenied, "not authorized to perform: sts:AssumeRole"},
		"STS that throttles":                         {credentials{err: &smithy.GenericAPIError{Code: "Throttling"}}, contract.Throttled, "throttled"},
		"STS that does not answer":                   {credentials{err: errors.New("i/o timeout")}, contract.AWSUnreachable, "i/o timeout"},
	} {
		t.Run(sentence, func(t *testing.T) {
			_, err := minter(t, c.credentials).Mint(t.Context(), payload())
			var named *contract.Error
			require.ErrorAs(t, err, &named)
			assert.Equal(t, c.name, named.Name)
			assert.Contains(t, named.Message, c.text)
			assert.NotContains(t, named.Message, "k8s-aws-v1.")
		})
	}
}

func TestNoTokenIsMintedForAClusterThatWasNotAttested(t *testing.T) {
	m, in := minter(t, lambdaCredentials()), payload()
	m.Credentials = func(_, _ string) aws.CredentialsProvider {
		t.Error("no credentials are asked for")
		return lambdaCredentials()
	}
	in.Cluster.Attestation = ""
	minted, err := m.Mint(t.Context(), in)
	assert.ErrorContains(t, err, "not attested")
	assert.Zero(t, minted)
}
