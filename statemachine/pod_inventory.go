package statemachine

import "slices"

// PodInventory lists the pods of a cluster, in rounds.
//
// The page loop stands around the try block, not in it: so each round has a fresh
// token and its own five attempts, and a retry in the tenth round does not list the
// first nine again.
func PodInventory() Machine {
	described := cluster{workflow: "pod-inventory", results: Object{"pods": Object{}}, next: "WithFreshToken"}
	return Machine{
		Comment:        "Lists the pods of an EKS cluster: describe the cluster, mint a token, verify access, list.",
		StartAt:        "DescribeCluster",
		TimeoutSeconds: 900,
		States: slices.Concat(
			States{
				described.describe(),
				try{
					name:      "WithFreshToken",
					mintToken: "MintToken",
					work:      States{verifyRBAC("ListPods"), listPods()},
					next:      "MorePods",
				}.state(),
				{
					Name:    "MorePods",
					Type:    Choice,
					Comment: "While there is a cursor, the next round begins with a fresh token.",
					Choices: []Rule{{Variable: "$.pods.cursor", IsNull: new(false), Next: "WithFreshToken"}},
					Default: "Output",
				},
				{
					Name:    "Output",
					Type:    Pass,
					Comment: "The output: nothing of how to reach the cluster.",
					Parameters: Object{
						"cluster": copied("$.cluster", "name", "arn", "region", "version", "status"),
						"access":  copied("$.access", "allowed", "namespaces"),
						"pods":    copied("$.pods", "total", "unhealthy", "byNamespace", "byStatus", "items", "truncated", "consistent", "archive"),
					},
					End: true,
				},
			},
			described.refresh(),
			failures(),
		),
	}
}

func listPods() State {
	return invoke("ListPods",
		Object{
			"execution.$":     "$$.Execution.Id",
			"cluster.$":       "$.cluster",
			"token.$":         "$.token",
			"namespaces.$":    "$.access.granted",
			"labelSelector.$": "$.request.labelSelector",
			"fieldSelector.$": "$.request.fieldSelector",
			"maxItems.$":      "$.request.maxItems",
			"output.$":        "$.request.output",
			"pods.$":          "$.pods",
		},
		State{
			Name:           "ListPods",
			Comment:        "Lists pods until all are listed or its time is up; then a cursor says where to go on.",
			TimeoutSeconds: 65,
			ResultSelector: result("total", "unhealthy", "byNamespace", "byStatus", "items", "truncated", "consistent", "archive", "cursor"),
			ResultPath:     "$.pods",
			End:            true,
		})
}
