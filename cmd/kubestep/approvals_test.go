package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestWhatWaitsForAnApprovalIsAtAClusterOrAtAWave(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	all := []waitingPlan{
		{Execution: "arn:aws:states:eu-west-1:123456789012:execution:kubestep-apply-manifests:noon", Cluster: "demo", Region: "eu-west-1", Digest: "q83vEjRWeJq83vEjRWeJq83v", Since: now, Until: now.Add(time.Hour), Created: 1, Configured: 2},
		{Execution: "arn:aws:states:eu-west-1:123456789012:execution:kubestep-fleet:r1", Digest: "Zk3hT0wq1PdAZk3hT0wq1PdA", Since: now, Until: now.Add(8 * time.Hour), Rollout: "r1", Wave: "canary", Next: 2},
	}
	assert.Equal(t, `WAITS AT      LEFT   CHANGES      DIGEST                     NAME
demo          60m    +1 ~2 -0     q83vEjRWeJq83vEjRWeJq83v   noon
wave canary   8h     2 clusters   Zk3hT0wq1PdAZk3hT0wq1PdA   r1
`, waitingTable(all, paper{width: 80}, now))
	assert.Contains(t, waitingTable(all, paper{wide: true}, now), "WAITS AT      REGION      SINCE ")
}
