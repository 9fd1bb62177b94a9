package statemachine

import (
	"reflect"
	"slices"

	"github.com/kubestep/kubestep/internal/contract/podinventory"
)

// PodInventory lists the pods of a cluster, in rounds.
//
// The page loop stands around the try block, not in it: so each round has a fresh
// token and its own five attempts, and a retry in the tenth round does not list the
// first nine again.
func PodInventory() Machine {
	of := documentOf[podinventory.Document]()
	described := cluster{document: of, workflow: podinventory.Name, results: Object{"pods": Object{}}, next: "WithFreshToken"}
	return Machine{
		Comment:        "Lists the pods of an EKS cluster: describe the cluster, mint a token, verify access, list.",
		StartAt:        "DescribeCluster",
		TimeoutSeconds: 900,
		Document:       of.leaves,
		Output:         reflect.TypeFor[podinventory.Output](),
		States: slices.Concat(
			States{
				described.describe(),
				try{
					document:  of,
					name:      "WithFreshToken",
					mintToken: "MintToken",
					work:      States{verifyRBAC(of, "ListPods"), listPods(of)},
					next:      "MorePods",
				}.state(),
				{
					Name:    "MorePods",
					Type:    Choice,
					Comment: "While there is a cursor, the next round begins with a fresh token.",
					Choices: []Rule{{Variable: "$.pods.cursor", IsNull: new(false), Next: "WithFreshToken"}},
					Default: "Output",
				},
				output[podinventory.Output](of, "The output: nothing of how to reach the cluster."),
			},
			described.refresh(),
			failures(),
		),
	}
}

func listPods(of document) State {
	return invoke(of, podinventory.FunctionListPods, State{
		Name:           "ListPods",
		Comment:        "Lists pods until all are listed or its time is up; then a cursor says where to go on.",
		TimeoutSeconds: 65,
		ResultPath:     "$.pods",
		End:            true,
	})
}
