package test

import (
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/follow"
)

var schemas = sync.OnceValues(func() (map[string]*jsonschema.Schema, error) {
	compiled := map[string]*jsonschema.Schema{}
	files, err := filepath.Glob(filepath.Join(repository, "statemachine", "schema", "*.schema.json"))
	for _, file := range files {
		if err == nil {
			compiled[strings.TrimSuffix(filepath.Base(file), ".schema.json")], err = jsonschema.NewCompiler().Compile(file)
		}
	}
	return compiled, err
})

// valid returns what is wrong with a document according to a schema.
func valid(t *testing.T, schema, document string) error {
	t.Helper()
	compiled, err := schemas()
	require.NoError(t, err)
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(document))
	require.NoError(t, err)
	return compiled[schema].Validate(value)
}

// checkSchemas validates the input and the output of an execution with the published schemas.
func checkSchemas(t *testing.T, workflow, input string, e follow.Execution) {
	t.Helper()
	if e.Status != types.ExecutionStatusSucceeded {
		return
	}
	assert.NoError(t, valid(t, workflow+".input", input), "an input that was taken")
	assert.NoError(t, valid(t, workflow+".output", e.Output))
}

func TestTheSchemaOfTheInputRefusesWhatTheMachineRefuses(t *testing.T) {
	t.Parallel()
	for _, input := range []string{
		`["demo"]`, `{"clusterName":7}`, `{"clusterName":"a b"}`, `{"cluster":"demo"}`, `{"namespaces":[]}`, `{"namespaces":["a","a"]}`, `{"namespaces":[1]}`, `{"onDenied":"maybe"}`,
	} {
		assert.Error(t, valid(t, "pod-inventory.input", input), input)
	}
	for _, input := range []string{`{}`, `{"clusterName":null}`, `{"clusterName":"demo","AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID":"arn"}`} {
		assert.NoError(t, valid(t, "pod-inventory.input", input), input)
	}
}
