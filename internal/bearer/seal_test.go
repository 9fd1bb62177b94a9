package bearer_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/bearer"
	"github.com/kubestep/kubestep/internal/contract"
)

func TestASealedTokenOpensOnlyWhereItWasMade(t *testing.T) {
	const secret = "0123456789abcdef0123456789abcdef"
	made := bearer.Binding{Execution: "e", Endpoint: "https://a", CertificateAuthority: "ca"}
	s := sealer(t, secret)
	minted := bearer.New("k8s-aws-v1." + strings.Repeat("x", 1500))
	sealed, err := s.Seal(minted, made)
	require.NoError(t, err)

	opened, err := s.Open(sealed, made)
	require.NoError(t, err)
	assert.Equal(t, minted.Reveal(), opened.Reveal())
	assert.NotContains(t, sealed, "k8s-aws-v1.")

	same, err := sealer(t, secret).Open(sealed, made)
	require.NoError(t, err, "another function with the same key opens it")
	assert.Equal(t, minted.Reveal(), same.Reveal())

	again, err := s.Seal(minted, made)
	require.NoError(t, err)
	assert.NotEqual(t, sealed, again, "no two seals are alike")

	for sentence, c := range map[string]struct {
		sealer  bearer.Sealer
		sealed  string
		binding bearer.Binding
	}{
		"in another execution":        {s, sealed, bearer.Binding{Execution: "f", Endpoint: "https://a", CertificateAuthority: "ca"}},
		"for another endpoint":        {s, sealed, bearer.Binding{Execution: "e", Endpoint: "https://b", CertificateAuthority: "ca"}},
		"for another authority":       {s, sealed, bearer.Binding{Execution: "e", Endpoint: "https://a", CertificateAuthority: "cb"}},
		"with fields moved":           {s, sealed, bearer.Binding{Execution: "ehttps://a", Endpoint: "", CertificateAuthority: "ca"}},
		"with another key":            {sealer(t, secret[1:]+"x"), sealed, made},
		"cut at the end":              {s, sealed[:len(sealed)-1], made},
		"cut to the nonce":            {s, sealed[:16], made},
		"empty":                       {s, "", made},
		"with more behind it":         {s, sealed + "AAAA", made},
		"far too long":                {s, strings.Repeat("A", 1<<20), made},
		"not base64":                  {s, "!" + sealed[1:], made},
		"padded":                      {s, sealed + "==", made},
		"as the token in the clear":   {s, minted.Reveal(), made},
		"with its first bit flipped":  {s, flip(sealed, 0), made},
		"with its middle bit flipped": {s, flip(sealed, len(sealed)/2), made},
	} {
		t.Run("not "+sentence, func(t *testing.T) {
			opened, err := c.sealer.Open(c.sealed, c.binding)
			var named *contract.Error
			require.ErrorAs(t, err, &named)
			assert.Equal(t, contract.Unauthorized, named.Name, "so that the machine mints again")
			assert.Empty(t, opened.Reveal())
			assert.NotContains(t, err.Error(), "k8s-aws-v1.")
		})
	}
}

func TestAKeyOfFewCharactersIsRefused(t *testing.T) {
	for _, secret := range []string{"", "short", strings.Repeat("k", 31)} {
		_, err := bearer.NewSealer(secret)
		assert.ErrorContains(t, err, "expected at least 32")
		if secret != "" {
			assert.NotContains(t, err.Error(), secret)
		}
	}
}

// flip changes a character of base64.
func flip(s string, i int) string {
	b := []byte(s)
	if b[i] == 'A' {
		b[i] = 'B'
	} else {
		b[i] = 'A'
	}
	return string(b)
}

func sealer(t testing.TB, secret string) bearer.Sealer {
	t.Helper()
	s, err := bearer.NewSealer(secret)
	require.NoError(t, err)
	return s
}

func BenchmarkSeal(b *testing.B) {
	sealer, err := bearer.NewSealer(strings.Repeat("k", 40))
	require.NoError(b, err)
	binding := bearer.BindingFor("e", contract.Cluster{Name: "demo", Endpoint: "https://example", CertificateAuthority: "LS0t"})
	token := bearer.New("k8s-aws-v1." + strings.Repeat("t", 3200))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := sealer.Seal(token, binding); err != nil {
			b.Fatal(err)
		}
	}
}
