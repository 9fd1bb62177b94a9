package contract_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract"
)

func TestErrorNamesHoldsEveryNameThatIsDeclared(t *testing.T) {
	source, err := os.ReadFile("errors.go")
	require.NoError(t, err)
	declared := strings.Count(string(source), " ErrorName = \"")
	assert.Len(t, contract.ErrorNames(), declared)
}

func TestAnErrorKeepsWhatItCameFrom(t *testing.T) {
	cause := errors.New("connection refused")
	for how, err := range map[string]error{
		"said in the message": contract.Errorf(contract.ClusterUnreachable, "no way: %w", cause),
		"kept beside it":      contract.Errorf(contract.ClusterUnreachable, "no way").From(cause),
	} {
		assert.ErrorIs(t, err, cause, how)
		var named *contract.Error
		require.ErrorAs(t, err, &named, how)
		assert.Equal(t, contract.ClusterUnreachable, named.Name, how)
		assert.True(t, strings.HasPrefix(err.Error(), "no way"), how)
	}
}

func TestACheckIsWordedAsACauseNeedsIt(t *testing.T) {
	for want, check := range map[string]contract.Check{
		"list pods in namespace shop":                  {Verb: "list", Resource: "pods", Namespace: "shop"},
		"list pods in all namespaces":                  {Verb: "list", Resource: "pods", Namespace: contract.AllNamespaces},
		"list namespaces":                              {Verb: "list", Resource: "namespaces"},
		"patch deployments.apps web in namespace shop": {Verb: "patch", Group: "apps", Resource: "deployments", Namespace: "shop", Name: "web"},
	} {
		assert.Equal(t, want, check.String())
	}
}
