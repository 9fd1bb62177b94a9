package manifests

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/approval/proof"
	"github.com/kubestep/kubestep/internal/batch"
	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/kube"
	"github.com/kubestep/kubestep/internal/objects"
)

func TestOnlyThePlanThatTheRequestAllowsIsApplied(t *testing.T) {
	const digest = "q83vEjRWeJq83vEjRWeJq83v"
	for sentence, c := range map[string]struct {
		effect string
		plan   applymanifests.Plan
		done   string
		// progress is what was done before the cluster was described again, with prune.
		progress string
		want     contract.ErrorName
		says     string
	}{
		"any, if it names none":        {"", applymanifests.Plan{Drift: true, PlanReport: applymanifests.PlanReport{Digest: digest}}, "??", "", "", ""},
		"that of the digest":           {digest, applymanifests.Plan{Drift: true, PlanReport: applymanifests.PlanReport{Digest: digest}}, "??", "", "", ""},
		"that of its beginning":        {digest[:12], applymanifests.Plan{Drift: true, PlanReport: applymanifests.PlanReport{Digest: digest}}, "??", "", "", ""},
		"the same, in a later round":   {digest, applymanifests.Plan{Drift: true, PlanReport: applymanifests.PlanReport{Digest: digest}}, "C?", "", "", ""},
		"one that changes nothing":     {digest, applymanifests.Plan{PlanReport: applymanifests.PlanReport{Digest: "Zk3hT0wq1PdA"}}, "??", "", "", ""},
		"not another one":              {digest[:12], applymanifests.Plan{Drift: true, PlanReport: applymanifests.PlanReport{Digest: "Zk3hT0wq1PdA"}}, "??", "", contract.PlanChanged, "than the effect q83vEjRWeJq8 that the request allows: its plan has the digest Zk3hT0wq1PdA"},
		"not one that only adopts":     {digest[:12], applymanifests.Plan{PlanReport: applymanifests.PlanReport{Adopted: 1, Digest: "Zk3hT0wq1PdA"}}, "??", "", contract.PlanChanged, ""},
		"not what is left of any plan": {digest[:12], applymanifests.Plan{Drift: true, PlanReport: applymanifests.PlanReport{Digest: "Zk3hT0wq1PdA"}}, "C?", "", contract.NotApproved, "was applied in part"},
		"not what is left of a set":    {digest[:12], applymanifests.Plan{Drift: true, PlanReport: applymanifests.PlanReport{Digest: "Zk3hT0wq1PdA"}}, "??", "abc:uu", contract.NotApproved, "Members of set base of cluster demo may have been deleted"},
		"another one, of a set of which nothing can have been deleted": {digest[:12], applymanifests.Plan{Drift: true, PlanReport: applymanifests.PlanReport{Digest: "Zk3hT0wq1PdA"}}, "??", "abc:u.", contract.PlanChanged, ""},
	} {
		t.Run(sentence, func(t *testing.T) {
			s := &session{Client: objects.Client{Conn: &kube.Conn{Cluster: contract.Cluster{Name: "demo"}}}, history: batch.NewLedger(c.done, 2)}
			in := applymanifests.Session{Request: applymanifests.Request{Effect: c.effect, Set: "base"}, Manifests: applymanifests.LoadedManifests{Objects: 2}, Progress: c.progress}
			in.Request.Prune.Enabled = c.progress != ""
			err := Applier{Approvals: proof.Sealer{}}.approved(s, in, c.plan, applymanifests.Approval{})
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			var named *contract.Error
			require.ErrorAs(t, err, &named)
			assert.Equal(t, c.want, named.Name)
			assert.Contains(t, named.Message, c.says)
		})
	}
}
