package contract

import (
	"encoding/json"
	"log/slog"
)

// A payload and a result say by LogAttrs which execution and which cluster an
// invocation is for. Empty ones are left out.

// LogAttrs reads an input that nobody has checked.
func (in DescribeCluster) LogAttrs() []slog.Attr {
	const maxNameLength = 100 // of an EKS cluster's name
	var given struct {
		ClusterName string `json:"clusterName"`
	}
	if err := json.Unmarshal(in.Input, &given); err != nil || len(given.ClusterName) > maxNameLength {
		given.ClusterName = ""
	}
	return LogAttrs(in.Execution, given.ClusterName)
}

// LogAttrs has the cluster's name, which the input may have left to the stack.
func (out DescribedCluster) LogAttrs() []slog.Attr { return LogAttrs("", out.Cluster.Name) }

// LogAttrs has the execution and the cluster.
func (in MintToken) LogAttrs() []slog.Attr {
	return LogAttrs(in.Execution, label(in.Execution, in.Cluster))
}

// LogAttrs has the execution and the cluster.
func (s Session) LogAttrs() []slog.Attr { return LogAttrs(s.Execution, label(s.Execution, s.Cluster)) }

// label is the cluster's name or, if it is not of the account and Region of the
// execution, ACCOUNT/REGION/NAME: as a dimension of metrics it must not stand for the
// clusters of that name elsewhere too.
func label(execution string, cluster Cluster) string {
	own, its := ARN(execution), ARN(cluster.ARN)
	if own.Account() == "" || its.Account() == "" || own.Region() == its.Region() && own.Account() == its.Account() {
		return cluster.Name
	}
	return its.Account() + "/" + its.Region() + "/" + cluster.Name
}

// LogAttrs are the attributes of an execution and its cluster.
func LogAttrs(execution, cluster string) []slog.Attr {
	return []slog.Attr{slog.String("execution", ExecutionARN(execution).Name()), slog.String("cluster", cluster)}
}
