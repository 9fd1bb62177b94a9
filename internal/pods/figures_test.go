package pods_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/pods"
)

func TestAFleetAddsUpThePodsAndThoseThatAreNotHealthy(t *testing.T) {
	totals, err := pods.Totals([]byte(`{"pods":{"total":12,"byStatus":{"Running":6,"Completed":1,"Succeeded":1,"CrashLoopBackOff":3,"(other)":1}}}`))
	require.NoError(t, err)
	assert.Equal(t, map[string]int{"pods": 12, "unhealthy": 4}, totals)

	_, err = pods.Totals([]byte(`[]`))
	assert.ErrorContains(t, err, "the output is not that of pod-inventory")
}
