package input_test

import (
	"encoding/json"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract"
)

// Who can start an execution can write its input.
func FuzzRead(f *testing.F) {
	// The garbage collector has the memory of describe-cluster.
	debug.SetMemoryLimit(128 << 20)
	for _, seed := range []string{
		``, `{}`, `null`, `[]`, `"demo"`, `{"clusterName":"demo"}`, `{"clusterName":`,
		`{"clusterName":"demo","region":"us-gov-east-1","roleArn":"arn:aws-us-gov:iam::111122223333:role/a/path/name","list":["shop","default"],"output":{"bucket":"abc","prefix":"a/"}}`,
		`{"clusterName":"a b","lists":"shop","region":7,"list":["Shop",null],"roleArn":"me","output":{"bucket":null,"prefix":"../"}}`,
		`{"clusterName":"demo","clusterName":"other","AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID":{}}`,
		`{"clusterName":"demo\u0000\u001b[2J","colour":"a\u202e"}`,
		`{"list":[[[[[[[["x"]]]]]]]],"output":{"output":{"output":{}}}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := read(string(raw))
		if err != nil {
			var named *contract.Error
			require.ErrorAs(t, err, &named)
			assert.Equal(t, contract.InvalidInput, named.Name)
			assert.LessOrEqual(t, len(named.Message), 16<<10)
			return
		}
		// Values that are accepted cannot change the host, the path or a header.
		assert.Regexp(t, `^[0-9A-Za-z_-]+$`, got.Target.ClusterName)
		assert.Regexp(t, `^[0-9a-z-]+$`, got.Target.Region)
		assert.NotContains(t, got.Output.Prefix, "../")
		encoded, err := json.Marshal(got.Target)
		require.NoError(t, err)
		again, err := read(string(encoded))
		require.NoError(t, err)
		assert.Equal(t, got.Target, again.Target)
	})
}
