package statemachine

import (
	"maps"

	"github.com/kubestep/kubestep/internal/contract"
)

// cluster is how a machine comes by the cluster that it works on, and by fresh data of
// it once the data proved stale.
type cluster struct {
	document document
	// workflow is the name by which describe-cluster knows how to read the input.
	workflow string
	// results are the keys that later states write to, each empty at first: JSONPath
	// has no optional keys, and a missing one is an error that nothing catches.
	results Object
	// progress is an intrinsic function for what must not be forgotten if the cluster is
	// described again; empty for nothing.
	progress string
	// next is where the machine begins with what DescribeCluster says.
	next string
}

// describe is the state that lays down the document. Each later state adds one key to it.
func (c cluster) describe() State {
	return c.state("DescribeCluster", false,
		"Checks the input and describes the cluster, from a cache of some minutes. Lays down the document that each later state adds one key to.")
}

// refresh are the states that describe the cluster again, once.
func (c cluster) refresh() States {
	return States{
		{
			Name:    "StaleCluster",
			Type:    Choice,
			Comment: "The cluster is described again once.",
			Choices: []Rule{{Variable: "$.refreshed", BooleanEquals: new(false), Next: "RefreshCluster"}},
			Default: "NotStale",
		},
		c.state("RefreshCluster", true,
			"Describes the cluster again, bypassing the cache, and starts over: a list that began against what may be another cluster does not go on."),
		{
			Name:       "NotStale",
			Type:       Pass,
			Comment:    "It fails with fresh data too, so the error stands.",
			OutputPath: "$.failure",
			Next:       "Explain",
		},
	}
}

// staleCatcher leads to the states of refresh, for the states that reach the cluster.
func staleCatcher() Catcher {
	return Catcher{
		Comment:     "What is known of the cluster may be stale.",
		ErrorEquals: names(contract.CertificateNotTrusted, contract.ClusterUnreachable),
		ResultPath:  "$.failure",
		Next:        "StaleCluster",
	}
}

func (c cluster) state(name string, refresh bool, comment string) State {
	payload := Object{"workflow": c.workflow, "refresh": refresh}
	if refresh && c.progress != "" {
		payload["progress.$"] = c.progress
	} else {
		payload["progress"] = ""
	}
	laid := Object{"refreshed": refresh}
	maps.Copy(laid, c.results)
	return invoke(c.document, contract.FunctionDescribeCluster, State{
		Name:           name,
		Comment:        comment,
		TimeoutSeconds: 20,
		Parameters:     payload,
		ResultSelector: laid,
		ResultPath:     "$",
		Catch:          failureCatchers(),
		Next:           c.next,
	})
}
