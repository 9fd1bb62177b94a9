package statemachine

import (
	"reflect"
	"slices"

	"github.com/kubestep/kubestep/internal/contract/applymanifests"
)

// ApplyManifests plans and applies manifests, and waits until the objects are ready.
//
// Each pass through the try block does one thing: it plans, applies, or checks
// readiness. If a pass both planned and applied, an attempt that came after a failed
// one would plan what is applied in part already, and report it as unchanged.
func ApplyManifests() Machine {
	of := documentOf[applymanifests.Document]()
	described := cluster{
		document: of,
		workflow: applymanifests.Name,
		results: Object{
			"manifests": Object{},
			"access":    Object{"checks": 0, "complete": false, "done": ""},
			"plan":      Object{"complete": false},
			"apply":     Object{"complete": false, "applied": 0, "warnings": []any{}, "done": ""},
			"readiness": Object{"complete": false, "waitSeconds": 1, "unobserved": []any{}},
		},
		progress: "States.Format('{}:{}', $.manifests.sha256, $.apply.done)",
		next:     "LoadManifests",
	}
	return Machine{
		Comment:        "Applies manifests to an EKS cluster: describe the cluster, load the manifests, mint a token, verify access, plan by a dry run, apply, wait until they are ready.",
		StartAt:        "DescribeCluster",
		TimeoutSeconds: applymanifests.MaxWaitSeconds + 1800, // at most fleet.MaxRun
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
							Comment: "Once all is applied, this pass looks whether it is ready.",
							Choices: []Rule{{Variable: "$.apply.complete", BooleanEquals: new(true), Next: "CheckReadiness"}},
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
							},
							Default: "PlanManifests",
						},
						planManifests(of),
						applyManifests(of),
						checkReadiness(of),
					},
					next: "WhatIsLeft",
				}.state(),
				{
					Name:    "WhatIsLeft",
					Type:    Choice,
					Comment: "The next pass begins with a fresh token, until the request is fulfilled.",
					Choices: []Rule{
						{Variable: "$.plan.complete", BooleanEquals: new(false), Next: "WithFreshToken"},
						{Variable: "$.request.mode", StringEquals: string(applymanifests.ModePlan), Next: "Output"},
						{Variable: "$.apply.complete", BooleanEquals: new(false), Next: "WithFreshToken"},
						{Variable: "$.request.wait.timeoutSeconds", NumericEquals: new(0.0), Next: "Output"},
						{Variable: "$.readiness.complete", BooleanEquals: new(true), Next: "Output"},
					},
					Default: "WaitUntilReady",
				},
				{
					Name:        "WaitUntilReady",
					Type:        Wait,
					Comment:     "What is applied takes time to become ready.",
					SecondsPath: "$.readiness.waitSeconds",
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
		Comment:        "Applies what the plan would change, in stages, until all is applied or its time is up.",
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
