package contract

import (
	"encoding/json"
	"strings"
)

// About tells which execution and which cluster an invocation is for, by their
// names, so that its log says so. Either may be empty.

// About is of an input that nobody has checked.
func (in DescribeCluster) About() (execution, cluster string) {
	const longest = 100 // of an EKS cluster's name
	var given struct {
		ClusterName string `json:"clusterName"`
	}
	if err := json.Unmarshal(in.Input, &given); err != nil || len(given.ClusterName) > longest {
		given.ClusterName = ""
	}
	return executionName(in.Execution), given.ClusterName
}

// About has the cluster's name where the input left it to the stack.
func (out DescribedCluster) About() (execution, cluster string) { return "", out.Cluster.Name }

// About is what the machine hands on.
func (in MintToken) About() (execution, cluster string) {
	return executionName(in.Execution), in.Cluster.Name
}

// About is what the machine hands on.
func (in VerifyRBAC) About() (execution, cluster string) {
	return executionName(in.Execution), in.Cluster.Name
}

// About is what the machine hands on.
func (in ListPods) About() (execution, cluster string) {
	return executionName(in.Execution), in.Cluster.Name
}

// executionName is the last part of an execution's ARN.
func executionName(arn string) string { return arn[strings.LastIndex(arn, ":")+1:] }

// Counts are what a metric is made of: how many pods of each status there are,
// once all are listed.
func (out Listing) Counts() map[string]int {
	if out.Cursor != nil {
		return nil
	}
	return out.ByStatus
}
