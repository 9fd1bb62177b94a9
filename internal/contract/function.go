package contract

// Function is a Lambda function by the name of its state, with the types of its payload
// and of its result. A machine invokes it and its main starts it by the same constant, so
// the compiler holds what is sent to what is taken, and what is answered to what is read.
//
// A field of a payload is copied from the field of that name in the machine's document,
// or from the path in its tag, such as `path:"$.request.wait"`. So is a field of an output.
type Function[In, Out any] string

// The functions that the machines of all workflows have.
const (
	FunctionDescribeCluster Function[DescribeCluster, DescribedCluster] = "DescribeCluster"
	FunctionMintToken       Function[MintToken, Token]                  = "MintToken"
	FunctionVerifyRBAC      Function[VerifyRBAC, VerifiedAccess]        = "VerifyRBAC"
)

// Document is what the documents of all machines that work on a cluster have: the
// execution's data, which DescribeCluster lays down and each later state adds to.
type Document struct {
	// Target is the cluster that is meant: `clusterName`, `region`, `roleArn`.
	Target Target `json:"target"`
	// Checks are what the workflow needs to be allowed: verb, group, resource, namespace,
	// name, and the command that allows it.
	Checks []Check `json:"checks"`
	// Cluster is what EKS says: endpoint, CA, version, status, and an attestation that
	// describe-cluster said so.
	Cluster Cluster `json:"cluster"`
	// Refreshed is true once RefreshCluster has run.
	Refreshed bool `json:"refreshed"`
	// Progress is what was done before RefreshCluster; empty for a workflow that has nothing
	// to remember.
	Progress string `json:"progress"`
	// Token is the sealed token, when it expires, which IAM principal it stands for, and
	// the Kubernetes group.
	Token Token `json:"token"`
	// Failure is the error that is being explained.
	Failure Failure `json:"failure"`
}

// Failure is an error that a state ended with.
type Failure struct {
	Error string `json:"Error"`
	// Cause is a sentence or, of a function, JSON with one.
	Cause string `json:"Cause"`
}
