package statemachine

import (
	"slices"

	"github.com/kubestep/kubestep/internal/contract/applymanifests"
)

// ApplyManifests plans and applies manifests, and waits until the objects are ready.
//
// Each pass through the try block does one thing: it plans, applies, or checks
// readiness. If a pass both planned and applied, an attempt that came after a failed
// one would plan what is applied in part already, and report it as unchanged.
func ApplyManifests() Machine {
	described := cluster{
		workflow: "apply-manifests",
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
		TimeoutSeconds: applymanifests.MaxWaitSeconds + 1800,
		States: slices.Concat(
			States{
				described.describe(),
				loadManifests(),
				try{
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
						verifyApply("IsPlanned"),
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
						planManifests(),
						applyManifests(),
						checkReadiness(),
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
				{
					Name:    "Output",
					Type:    Pass,
					Comment: "The output: nothing of how to reach the cluster.",
					Parameters: Object{
						"cluster":      copied("$.cluster", "name", "arn", "region", "version", "status"),
						"mode.$":       "$.request.mode",
						"drift.$":      "$.plan.drift",
						"plan":         copied("$.plan", "created", "configured", "unchanged", "deleting", "adopted", "objects", "truncated", "diff"),
						"applied.$":    "$.apply.applied",
						"warnings.$":   "$.apply.warnings",
						"ready.$":      "$.readiness.complete",
						"unobserved.$": "$.readiness.unobserved",
					},
					End: true,
				},
			},
			described.refresh(),
			failures(),
		),
	}
}

func loadManifests() State {
	return invoke("LoadManifests",
		Object{"execution.$": "$$.Execution.Id", "cluster.$": "$.cluster", "request.$": "$.request", "progress.$": "$.progress"},
		State{
			Name:           "LoadManifests",
			Comment:        "Reads the manifests and names every problem of them, before the cluster is asked.",
			TimeoutSeconds: 65,
			ResultSelector: result("versionId", "sha256", "objects"),
			ResultPath:     "$.manifests",
			Catch:          failureCatchers(),
			Next:           "WithFreshToken",
		})
}

// ofManifests is the payload of a function that works on the manifests in the cluster,
// with the keys that it needs beside.
func ofManifests(keys ...string) Object {
	payload := copied("$", append(keys, "cluster", "token", "request", "manifests", "progress")...)
	payload["execution.$"] = "$$.Execution.Id"
	return payload
}

func verifyApply(next string) State {
	return invoke("VerifyApply", ofManifests("access"), State{
		Name:           "VerifyApply",
		Comment:        "Asks the cluster whether this identity may read and apply each object, until all are reviewed or its time is up. Later passes do not ask again.",
		TimeoutSeconds: 65,
		ResultSelector: result("checks", "complete", "done"),
		ResultPath:     "$.access",
		Next:           next,
	})
}

func planManifests() State {
	return invoke("PlanManifests", ofManifests("plan"), State{
		Name:           "PlanManifests",
		Comment:        "Asks by a dry run what applying would do, until all objects are planned or its time is up.",
		TimeoutSeconds: 65,
		ResultSelector: result("created", "configured", "unchanged", "deleting", "adopted", "drift", "objects", "truncated", "diff", "complete", "actions", "waitFor"),
		ResultPath:     "$.plan",
		End:            true,
	})
}

func applyManifests() State {
	payload := ofManifests("plan", "apply")
	payload["attempt.$"] = "$$.State.RetryCount"
	return invoke("ApplyManifests", payload, State{
		Name:           "ApplyManifests",
		Comment:        "Applies what the plan would change, in stages, until all is applied or its time is up.",
		TimeoutSeconds: 65,
		ResultSelector: result("complete", "applied", "warnings", "done"),
		ResultPath:     "$.apply",
		End:            true,
	})
}

func checkReadiness() State {
	return invoke("CheckReadiness",
		Object{
			"execution.$": "$$.Execution.Id",
			"cluster.$":   "$.cluster",
			"token.$":     "$.token",
			"wait.$":      "$.request.wait",
			"waitFor.$":   "$.plan.waitFor",
			"readiness.$": "$.readiness",
		},
		State{
			Name:           "CheckReadiness",
			Comment:        "Looks which objects are ready, and fails once one never will be or the time to wait is over.",
			TimeoutSeconds: 65,
			ResultSelector: result("complete", "until", "waitSeconds", "notReady", "unobserved", "done"),
			ResultPath:     "$.readiness",
			End:            true,
		})
}
