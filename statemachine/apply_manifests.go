package statemachine

import (
	"reflect"
	"slices"
	"strings"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
)

// ApplyManifests plans and applies manifests, waits until the objects are ready, and deletes
// what is no longer in the manifests of a set.
//
// Each pass through the try block does one thing: it plans, applies, checks readiness, or
// deletes. If a pass both planned and applied, an attempt that came after a failed
// one would plan what is applied in part already, and report it as unchanged.
func ApplyManifests() Machine {
	of := documentOf[applymanifests.Document]()
	described := cluster{
		document: of,
		workflow: applymanifests.Name,
		results: Object{
			"manifests": Object{},
			"access":    Object{"checks": 0, "complete": false, "done": ""},
			"plan":      Object{"complete": false, "compared": false, "tries": ""},
			"apply":     Object{"complete": false, "applied": 0, "warnings": []any{}, "done": "", "settled": false, "waitSeconds": 0, "watched": []any{}, "jobs": []any{}},
			"readiness": Object{"complete": false, "waitSeconds": 1, "unobserved": []any{}},
			"approval":  Object{"complete": false, "decision": Object{"digest": "", "at": "0001-01-01T00:00:00Z", "by": "", "approved": false, "reason": "", "seal": ""}, "digest": "", "effects": "", "leaving": ""},
			"prune":     Object{"complete": false, "pruned": 0, "deleting": []any{}, "kept": []any{}, "waitSeconds": 0},
		},
		progress: "States.Format('{}:{}', $.manifests.sha256, $.apply.done)",
		next:     "LoadManifests",
	}
	return Machine{
		Comment: "Applies manifests to an EKS cluster: describe the cluster, load the manifests, mint a token, verify access, plan by a dry run, apply, wait until they are ready, prune.",
		StartAt: "DescribeCluster",
		// At most fleet.MaxRun, beside an approval, for which a fleet does not wait.
		TimeoutSeconds: applymanifests.MaxWaitSeconds + 1800 + applymanifests.MaxApprovalSeconds,
		Document:       of.leaves,
		Output:         reflect.TypeFor[applymanifests.Output](),
		States: slices.Concat(
			States{
				described.describe(),
				loadManifests(of),
				try{
					document:  of,
					name:      "WithFreshToken",
					mintToken: "MintToken",
					work: States{
						{
							Name:    "IsApplied",
							Type:    Choice,
							Comment: "Once all is applied but the Jobs of after, this pass looks whether it is ready. Once these have completed too, it deletes what has left the set. While Jobs run, it looks at them.",
							Choices: []Rule{
								{And: []Rule{
									{Variable: "$.apply.settled", BooleanEquals: new(true)},
									{Variable: "$.readiness.complete", BooleanEquals: new(false)},
									{Variable: "$.request.wait.timeoutSeconds", NumericGreaterThan: new(0.0)},
									{Variable: "$.request.mode", StringEquals: string(applymanifests.ModeApply)},
								}, Next: "CheckReadiness"},
								{Variable: "$.apply.complete", BooleanEquals: new(true), Next: "PruneObjects"},
								{And: []Rule{
									{Variable: "$.plan.complete", BooleanEquals: new(true)},
									{Variable: "$.apply.waitSeconds", NumericGreaterThan: new(0.0)},
								}, Next: "ApplyManifests"},
							},
							Default: "VerifyApply",
						},
						verifyApply(of, "IsPlanned"),
						{
							Name:    "IsPlanned",
							Type:    Choice,
							Comment: "Once all permissions are reviewed and all is planned, this pass applies.",
							Choices: []Rule{
								{Variable: "$.access.complete", BooleanEquals: new(false), Next: "VerifyApply"},
								{Variable: "$.plan.complete", BooleanEquals: new(true), Next: "ApplyManifests"},
								{Variable: "$.plan.compared", BooleanEquals: new(true), Next: "PlanSet"},
							},
							Default: "PlanManifests",
						},
						planManifests(of),
						planSet(of),
						applyManifests(of),
						checkReadiness(of),
						pruneObjects(of),
					},
					catch: []Catcher{{
						Comment:     "Another execution changes the set, or did so since it was planned.",
						ErrorEquals: names(contract.SetInUse),
						ResultPath:  "$.failure",
						Next:        "IsSetInUse",
					}},
					next: "WhatIsLeft",
				}.state(),
				{
					Name:    "IsSetInUse",
					Type:    Choice,
					Comment: "All is planned again, for some two minutes: so long takes a function of an execution that was stopped.",
					Choices: []Rule{{Variable: "$.plan.tries", StringEquals: strings.Repeat(".", maxTries), Next: "NotFree"}},
					Default: "WaitForSet",
				},
				{Name: "WaitForSet", Type: Wait, Comment: "Gives the other execution time.", Seconds: 5, Next: "PlanAgain"},
				{
					Name:       "PlanAgain",
					Type:       Pass,
					Comment:    "What was planned may not be so any more.",
					Parameters: Object{"complete": false, "compared": false, "tries.$": "States.Format('{}.', $.plan.tries)"},
					ResultPath: "$.plan",
					Next:       "WithFreshToken",
				},
				{
					Name:       "NotFree",
					Type:       Pass,
					Comment:    "The set is still in use, so the error stands.",
					OutputPath: "$.failure",
					Next:       "Explain",
				},
				{
					Name:    "WhatIsLeft",
					Type:    Choice,
					Comment: "The next pass begins with a fresh token, until the request is fulfilled.",
					Choices: []Rule{
						{Variable: "$.plan.complete", BooleanEquals: new(false), Next: "WithFreshToken"},
						{Or: []Rule{
							{Variable: "$.request.mode", StringEquals: string(applymanifests.ModePlan)},
							{Variable: "$.request.mode", StringEquals: string(applymanifests.ModePlanDelete)},
							{Variable: "$.request.mode", StringEquals: string(applymanifests.ModeSets)},
						}, Next: "Output"},
						{And: []Rule{
							{Variable: "$.request.approve.timeoutSeconds", NumericGreaterThan: new(0.0)},
							{Variable: "$.approval.complete", BooleanEquals: new(false)},
							{Or: []Rule{
								{Variable: "$.plan.drift", BooleanEquals: new(true)},
								{Variable: "$.plan.adopted", NumericGreaterThan: new(0.0)},
							}},
						}, Next: "RequestApproval"},
						{And: []Rule{
							{Variable: "$.apply.settled", BooleanEquals: new(true)},
							{Variable: "$.request.mode", StringEquals: string(applymanifests.ModeApply)},
							{Variable: "$.request.wait.timeoutSeconds", NumericGreaterThan: new(0.0)},
							{Variable: "$.readiness.complete", BooleanEquals: new(false)},
						}, Next: "WaitUntilReady"},
						{Variable: "$.apply.waitSeconds", NumericGreaterThan: new(0.0), Next: "WaitForJobs"},
						{Variable: "$.apply.complete", BooleanEquals: new(false), Next: "WithFreshToken"},
						{Variable: "$.request.prune.enabled", BooleanEquals: new(false), Next: "Output"},
						{Variable: "$.prune.complete", BooleanEquals: new(true), Next: "Output"},
						{Variable: "$.prune.waitSeconds", NumericGreaterThan: new(0.0), Next: "WaitUntilGone"},
					},
					Default: "WithFreshToken",
				},
				requestApproval(of),
				{
					Name:    "WasApproved",
					Type:    Choice,
					Comment: "The function approve says so. Whether that is true is proven before anything is applied.",
					Choices: []Rule{{Variable: "$.approval.decision.approved", BooleanEquals: new(true), Next: "Approved"}},
					Default: "Rejected",
				},
				{
					Name:    "Rejected",
					Type:    Pass,
					Comment: "Says who rejected the plan, and why.",
					Parameters: Object{"Error": string(contract.NotApproved), "Cause": Object{
						"errorMessage.$": "States.Format('The plan was rejected (by: {}): {}. Nothing was applied', $.approval.decision.by, $.approval.decision.reason)",
					}},
					Next: failed,
				},
				{
					Name:    "Approved",
					Type:    Pass,
					Comment: "Keeps which plan was approved.",
					Parameters: Object{
						"complete": true, "decision.$": "$.approval.decision",
						"digest.$": "$.plan.digest", "effects.$": "$.plan.effects", "leaving.$": "$.plan.leaving",
					},
					ResultPath: "$.approval",
					Next:       "PlanAgain",
				},
				{
					Name:    "NotApproved",
					Type:    Pass,
					Comment: "Says that nobody decided in time.",
					Parameters: Object{"Error": string(contract.NotApproved), "Cause": Object{
						"errorMessage.$": "States.Format('Nobody approved the plan within {} seconds, so nothing was applied. Start another execution, and approve it in time: kubestep approvals', $.request.approve.timeoutSeconds)",
					}},
					Next: failed,
				},
				{
					Name:        "WaitForJobs",
					Type:        Wait,
					Comment:     "The Jobs of before, or of after, run.",
					SecondsPath: "$.apply.waitSeconds",
					Next:        "WithFreshToken",
				},
				{
					Name:        "WaitUntilReady",
					Type:        Wait,
					Comment:     "What is applied takes time to become ready.",
					SecondsPath: "$.readiness.waitSeconds",
					Next:        "WithFreshToken",
				},
				{
					Name:        "WaitUntilGone",
					Type:        Wait,
					Comment:     "What is deleted waits for its finalizers.",
					SecondsPath: "$.prune.waitSeconds",
					Next:        "WithFreshToken",
				},
				output[applymanifests.Output](of, "The output: nothing of how to reach the cluster."),
			},
			described.refresh(),
			failures(),
		),
	}
}

func loadManifests(of document) State {
	return invoke(of, applymanifests.FunctionLoadManifests, State{
		Name:           "LoadManifests",
		Comment:        "Reads the manifests and names every problem of them, before the cluster is asked.",
		TimeoutSeconds: 65,
		ResultPath:     "$.manifests",
		Catch:          failureCatchers(),
		Next:           "WithFreshToken",
	})
}

func verifyApply(of document, next string) State {
	return invoke(of, applymanifests.FunctionVerifyApply, State{
		Name:           "VerifyApply",
		Comment:        "Asks the cluster whether this identity may read and apply each object, until all are reviewed or its time is up. Later passes do not ask again.",
		TimeoutSeconds: 65,
		ResultPath:     "$.access",
		Next:           next,
	})
}

// maxTries is how often all is planned again because another execution uses the set.
const maxTries = 25

func planSet(of document) State {
	return invoke(of, applymanifests.FunctionPlanSet, State{
		Name:           "PlanSet",
		Comment:        "Finds the members of the set that are not in the manifests.",
		TimeoutSeconds: 65,
		ResultPath:     "$.plan",
		End:            true,
	})
}

// requestApproval waits for an approval. The function that it invokes ends at once.
func requestApproval(of document) State {
	return await[contract.Decision](of, applymanifests.FunctionRequestApproval, State{
		Name:               "RequestApproval",
		Comment:            "Says what would be changed, and waits until the function approve is invoked.",
		TimeoutSecondsPath: "$.request.approve.timeoutSeconds",
		ResultPath:         "$.approval.decision",
		Catch: append([]Catcher{{
			Comment: "Nobody decided in time.", ErrorEquals: []string{timeout}, ResultPath: "$.failure", Next: "NotApproved",
		}}, failureCatchers()...),
		Next: "WasApproved",
	})
}

func pruneObjects(of document) State {
	return invoke(of, applymanifests.FunctionPruneObjects, State{
		Name:           "PruneObjects",
		Comment:        "Deletes the members that the plan says are to be deleted, in stages, and narrows the set to what is left.",
		TimeoutSeconds: 65,
		ResultPath:     "$.prune",
		End:            true,
	})
}

func planManifests(of document) State {
	return invoke(of, applymanifests.FunctionPlanManifests, State{
		Name:           "PlanManifests",
		Comment:        "Asks by a dry run what applying would do, until all objects are planned or its time is up.",
		TimeoutSeconds: 65,
		ResultPath:     "$.plan",
		End:            true,
	})
}

func applyManifests(of document) State {
	return invoke(of, applymanifests.FunctionApplyManifests, State{
		Name:           "ApplyManifests",
		Comment:        "Applies what the plan would change, in stages, until all is applied or its time is up, and looks whether the Jobs of before and after have completed.",
		TimeoutSeconds: 65,
		ResultPath:     "$.apply",
		End:            true,
	})
}

func checkReadiness(of document) State {
	return invoke(of, applymanifests.FunctionCheckReadiness, State{
		Name:           "CheckReadiness",
		Comment:        "Looks which objects are ready, and fails once one never will be or the time to wait is over.",
		TimeoutSeconds: 65,
		ResultPath:     "$.readiness",
		End:            true,
	})
}
