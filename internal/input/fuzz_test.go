package input_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/input"
)

// Whoever may start an execution writes its input.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		``, `{}`, `null`, `[]`, `"demo"`, `{"clusterName":"demo"}`, `{"clusterName":`,
		`{"clusterName":"demo","region":"us-gov-east-1","roleArn":"arn:aws-us-gov:iam::111122223333:role/a/path/name","namespaces":["shop","default"],"labelSelector":"app in (web, api),!canary","fieldSelector":"status.phase!=Running"}`,
		`{"clusterName":"a b","namespace":"shop","region":7,"namespaces":["Shop",null],"labelSelector":"in in in","roleArn":"me"}`,
		`{"clusterName":"demo","clusterName":"other","namespaces":["a","a"],"AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID":{}}`,
		`{"clusterName":"demo\u0000\u001b[2J","labelSelector":"a\u202e","fieldSelector":"\ud800"}`,
		`{"namespaces":[[[[[[[["x"]]]]]]]]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		request, err := input.Parse(raw, defaults)
		if err != nil {
			var named *contract.Error
			require.ErrorAs(t, err, &named)
			assert.Equal(t, contract.InvalidInput, named.Name)
			assert.Zero(t, request)
			return
		}
		// What passes is what the machine can carry on: it reads back as itself, and no
		// field of it can become another host, another path or another header.
		encoded, err := json.Marshal(request)
		require.NoError(t, err)
		assert.LessOrEqual(t, len(encoded), 128<<10)
		again, err := input.Parse(encoded, contract.Request{})
		require.NoError(t, err, "RefreshCluster is given the completed request")
		assert.Equal(t, request, again)
		assert.Regexp(t, `^[0-9A-Za-z_-]+$`, request.ClusterName)
		assert.Regexp(t, `^[0-9a-z-]+$`, request.Region)
		assert.LessOrEqual(t, len(request.Namespaces), contract.MaxNamespaces)
		for _, namespace := range request.Namespaces {
			assert.Regexp(t, `^[0-9a-z-]{1,63}$`, namespace)
		}
	})
}
