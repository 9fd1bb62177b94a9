package attestation_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/attestation"
	"github.com/kubestep/kubestep/internal/contract"
)

func attester(t *testing.T, secret string) attestation.Attester {
	t.Helper()
	a, err := attestation.New(secret)
	require.NoError(t, err)
	return a
}

func TestOnlyWhatWasAttestedIsVerified(t *testing.T) {
	const execution, role = "arn:aws:states:eu-west-1:111122223333:execution:m:1", "arn:aws:iam::444455556666:role/theirs"
	a := attester(t, strings.Repeat("k", 32))
	attested, err := a.Attest(execution, role, contract.Cluster{Name: "demo", Region: "eu-west-1", Endpoint: "https://e", CertificateAuthority: "Y2E=", AuthenticationMode: "API"})
	require.NoError(t, err)
	require.NoError(t, a.Verify(execution, role, attested))
	require.NoError(t, attester(t, strings.Repeat("k", 32)).Verify(execution, role, attested), "another function with the same key verifies it")

	with := func(change func(*contract.Cluster)) contract.Cluster {
		c := attested
		change(&c)
		return c
	}
	for sentence, c := range map[string]struct {
		attester        attestation.Attester
		execution, role string
		cluster         contract.Cluster
	}{
		"another endpoint":            {a, execution, role, with(func(c *contract.Cluster) { c.Endpoint = "https://attacker" })},
		"another authority":           {a, execution, role, with(func(c *contract.Cluster) { c.CertificateAuthority = "eA==" })},
		"another name":                {a, execution, role, with(func(c *contract.Cluster) { c.Name = "other" })},
		"another Region":              {a, execution, role, with(func(c *contract.Cluster) { c.Region = "us-east-1" })},
		"no attestation":              {a, execution, role, with(func(c *contract.Cluster) { c.Attestation = "" })},
		"an attestation cut short":    {a, execution, role, with(func(c *contract.Cluster) { c.Attestation = c.Attestation[:8] })},
		"an attestation not base64":   {a, execution, role, with(func(c *contract.Cluster) { c.Attestation += "!" })},
		"another execution":           {a, execution + "2", role, attested},
		"another role":                {a, execution, "", attested},
		"an execution ending in role": {a, execution + role, "", attested},
		"another key":                 {attester(t, strings.Repeat("j", 32)), execution, role, attested},
	} {
		t.Run("not "+sentence, func(t *testing.T) {
			var named *contract.Error
			require.ErrorAs(t, c.attester.Verify(c.execution, c.role, c.cluster), &named)
			assert.Equal(t, contract.AccessDenied, named.Name)
		})
	}
}

func TestAKeyOfFewCharactersIsRefused(t *testing.T) {
	_, err := attestation.New("short")
	assert.ErrorContains(t, err, "5 characters: expected at least 32")
	assert.NotContains(t, err.Error(), "short")
}
