package bearer_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/bearer"
	"github.com/kubestep/kubestep/internal/contract"
)

// genuine is the sealed token k8s-aws-v1.fuzz. It is a constant, because each seal is different, and all processes of the
// fuzzer need the same.
const genuine = "lUXSxO7deaq5An1u7ak31dS1JtGbd8cm1mIWkvCAydCkDde4GFGr5hlqYQ"

// Who can write an execution's state can write the sealed token and what it is bound to.
func FuzzOpen(f *testing.F) {
	s, err := bearer.NewSealer(strings.Repeat("k", 32))
	require.NoError(f, err)
	made := bearer.Binding{Execution: "e", Endpoint: "https://a", CertificateAuthority: "ca"}

	for _, sealed := range []string{genuine, "", "A", "AA==", genuine[:16], genuine + "A", genuine + "\n", "k8s-aws-v1.eHh4", "\x00\n\r", strings.Repeat("A", 16<<10)} {
		f.Add(sealed, "e", "https://a", "ca")
	}
	f.Add(genuine, "ehttps://a", "", "ca")
	f.Add(genuine, `e","https://a`, "ca", "")
	f.Add(genuine, "e\xff", "https://a", "ca")
	f.Fuzz(func(t *testing.T, sealed, execution, endpoint, authority string) {
		opened, err := s.Open(sealed, bearer.Binding{Execution: execution, Endpoint: endpoint, CertificateAuthority: authority})
		if err == nil {
			assert.Equal(t, genuine, sealed, "nothing opens but what was sealed")
			assert.Equal(t, made, bearer.Binding{Execution: execution, Endpoint: endpoint, CertificateAuthority: authority}, "nor elsewhere")
			assert.Equal(t, "k8s-aws-v1.fuzz", opened.Reveal())
			return
		}
		var named *contract.Error
		require.ErrorAs(t, err, &named)
		assert.Equal(t, contract.Unauthorized, named.Name)
		assert.Empty(t, opened.Reveal())
		assert.LessOrEqual(t, len(err.Error()), 1<<10)
		assert.NotContains(t, err.Error(), "k8s-aws-v1.")
	})
}
