package proof_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/approval/proof"
	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
)

const (
	secret    = "a secret of at least 32 characters"
	execution = "arn:aws:states:eu-west-1:111122223333:execution:kubestep-apply-manifests:noon"
)

func sealer(t *testing.T, secret string) proof.Sealer {
	t.Helper()
	s, err := proof.NewSealer(secret)
	require.NoError(t, err)
	return s
}

func TestOnlyThePlanThatWasApprovedIsApplied(t *testing.T) {
	approved, err := sealer(t, secret).Seal(execution, contract.Decision{Digest: "d1", At: time.Date(2026, 11, 26, 21, 0, 0, 0, time.UTC), By: "ada", Approved: true})
	require.NoError(t, err)
	forged := approved
	forged.Seal = "Zm9yZ2Vk"
	elsewhere, err := sealer(t, "another secret of 32 characters or more").Seal(execution, approved)
	require.NoError(t, err)
	other, err := sealer(t, secret).Seal(execution+"-other", approved)
	require.NoError(t, err)
	rejected, err := sealer(t, secret).Seal(execution, contract.Decision{Digest: "d1", At: approved.At})
	require.NoError(t, err)
	of := func(d contract.Decision) applymanifests.Approval {
		return applymanifests.Approval{Complete: true, Decision: d, Digest: "d1", Effects: "aaaaaabbbbbb", Leaving: "0123456789"}
	}
	otherPlan := of(approved)
	otherPlan.Digest = "d2"
	for sentence, c := range map[string]struct {
		approval         applymanifests.Approval
		effects, leaving string
		applied          int // how many objects the execution has applied
		want             contract.ErrorName
		says             string
	}{
		"the same plan":                             {approval: of(approved), effects: "aaaaaabbbbbb", leaving: "0123456789"},
		"nobody approved anything":                  {effects: "aaaaaabbbbbb", leaving: "0123456789", want: contract.NotApproved, says: "Nobody has approved"},
		"a seal that is none":                       {approval: of(forged), effects: "aaaaaabbbbbb", leaving: "0123456789", want: contract.NotApproved, says: "does not come from the function approve"},
		"a seal of another stack":                   {approval: of(elsewhere), effects: "aaaaaabbbbbb", leaving: "0123456789", want: contract.NotApproved, says: "does not come from the function approve"},
		"an approval of another execution":          {approval: of(other), effects: "aaaaaabbbbbb", leaving: "0123456789", want: contract.NotApproved, says: "does not come from the function approve"},
		"a rejection":                               {approval: of(rejected), effects: "aaaaaabbbbbb", leaving: "0123456789", want: contract.NotApproved, says: "What was approved is not the plan"},
		"an approval of another plan":               {approval: otherPlan, effects: "aaaaaabbbbbb", leaving: "0123456789", want: contract.NotApproved, says: "What was approved is not the plan"},
		"an object to which something else happens": {approval: of(approved), effects: "aaaaaacccccc", leaving: "0123456789", want: contract.PlanChanged, says: "since: ConfigMap shop/b. Start"},
		"an object that is applied already":         {approval: of(approved), effects: "ccccccbbbbbb", leaving: "0123456789", applied: 1},
		"other members that leave":                  {approval: of(approved), effects: "aaaaaabbbbbb", leaving: "9876543210", want: contract.PlanChanged, says: "the members of the set that are deleted"},
		"effects that are missing":                  {approval: of(approved), leaving: "0123456789", want: contract.PlanChanged, says: "ConfigMap shop/a, ConfigMap shop/b"},
	} {
		t.Run(sentence, func(t *testing.T) {
			err := sealer(t, secret).Same(execution, "demo", c.approval, applymanifests.Plan{Effects: c.effects, Leaving: c.leaving},
				[]string{"ConfigMap shop/a", "ConfigMap shop/b"}, func(i int) bool { return i < c.applied })
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

func TestEachPartOfADecisionIsSealed(t *testing.T) {
	sealed, err := sealer(t, secret).Seal(execution, contract.Decision{Digest: "d1", At: time.Unix(1, 0), By: "ada", Reason: "r"})
	require.NoError(t, err)
	require.NoError(t, sealer(t, secret).Verify(execution, sealed))
	for part, change := range map[string]func(*contract.Decision){
		"the digest":           func(d *contract.Decision) { d.Digest = "d2" },
		"the time":             func(d *contract.Decision) { d.At = d.At.Add(time.Second) },
		"the name":             func(d *contract.Decision) { d.By = "eve" },
		"whether it is a yes":  func(d *contract.Decision) { d.Approved = true },
		"the reason":           func(d *contract.Decision) { d.Reason = "" },
		"the seal":             func(d *contract.Decision) { d.Seal = d.Seal[1:] },
		"a seal that is empty": func(d *contract.Decision) { d.Seal = "" },
	} {
		t.Run(part, func(t *testing.T) {
			changed := sealed
			change(&changed)
			require.Error(t, sealer(t, secret).Verify(execution, changed))
		})
	}
	_, err = proof.NewSealer("short")
	require.Error(t, err)
}
