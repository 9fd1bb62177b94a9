package pods_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/podinventory"
	"github.com/kubestep/kubestep/internal/pods"
)

func TestTheNamesOfMetricsDoNotGrowWithTheStatusesOfPods(t *testing.T) {
	listing := podinventory.Listing{Pods: podinventory.Pods{ByStatus: map[string]int{
		"Running": 3, "CrashLoopBackOff": 1, "Init:7/93": 2, "Init:Error": 1, "Ein Status, den es nicht gibt": 2, "ExitCode:137": 1, podinventory.Other: 4,
	}}}
	assert.Equal(t, map[string]int{"pods.Running": 3, "pods.CrashLoopBackOff": 1, "pods.Init": 3, "pods.Other": 7}, pods.Metrics(listing))
	listing.Cursor = &contract.Cursor{}
	assert.Nil(t, pods.Metrics(listing), "while a cursor is left they are not those of the cluster")
}
