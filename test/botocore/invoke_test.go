// Package botocore compares what is written down of AWS with AWS's own models of its
// APIs, which the aws command brings along.
package botocore

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/statemachine"
)

// models is where make installs the aws command of test/requirements.txt.
const models = "../../.local/aws/lib/python3*/site-packages/awscli/botocore/data"

func TestEveryErrorOfLambdasInvokeIsDecidedUpon(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(models, "lambda", "2015-03-31", "service-2.json"))
	require.NoError(t, err)
	require.Len(t, files, 1, "make test installs it")
	text, err := os.ReadFile(files[0])
	require.NoError(t, err)
	var model struct {
		Operations map[string]struct {
			Errors []struct{ Shape string }
		}
	}
	require.NoError(t, json.Unmarshal(text, &model))
	var declared []string
	for _, e := range model.Operations["Invoke"].Errors {
		declared = append(declared, e.Shape)
	}

	var decided []string
	for _, e := range statemachine.InvokeErrors() {
		decided = append(decided, e.Name)
	}
	assert.ElementsMatch(t, declared, decided, "each is in InvokeErrors, as retried or with the reason why not")
}
