// Package cluster finds out where a cluster is and which certificate authority to
// trust there, as EKS describes it, and attests that EKS said so. It never connects
// to the cluster.
package cluster

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"
	"k8s.io/apimachinery/pkg/util/cache"

	"github.com/kubestep/kubestep/internal/awsapi"
	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/input"
	"github.com/kubestep/kubestep/internal/workflow"
)

// EKS is what is called of the EKS API.
type EKS interface {
	DescribeCluster(context.Context, *eks.DescribeClusterInput, ...func(*eks.Options)) (*eks.DescribeClusterOutput, error)
}

// Attester vouches for a cluster, for one execution and role.
type Attester interface {
	Attest(execution, roleARN string, cluster contract.Cluster) (contract.Cluster, error)
}

// Describer describes clusters and caches what EKS said.
type Describer struct {
	// EKS returns the API of a Region, called as a role for an execution; an empty
	// ARN is the function's own role.
	EKS func(region, roleARN, execution string) EKS
	// Defaults complete the target.
	Defaults contract.Target
	// Workflows read the inputs that are accepted, each what a workflow of that name wants.
	Workflows map[string]workflow.Read
	// Cache keeps descriptions, each for TTL, and no errors. In Lambda it lives as long
	// as the execution environment, which has one invocation at a time.
	Cache       *cache.LRUExpireCache
	TTL         time.Duration
	Attestation Attester
}

// MaxCached bounds the descriptions that a function keeps; each takes about 3 KB.
const MaxCached = 256

// key identifies a description: the same name is another cluster in another Region, and
// in the account of another role.
type key struct{ region, roleARN, name string }

// API makes clients for Describer.EKS out of a configuration and the credentials of roles.
func API(cfg aws.Config, credentials func(roleARN, execution string) aws.CredentialsProvider) func(region, roleARN, execution string) EKS {
	return func(region, roleARN, execution string) EKS {
		return eks.NewFromConfig(cfg, func(o *eks.Options) {
			o.Region = region
			o.Credentials = credentials(roleARN, execution)
			o.APIOptions = append(o.APIOptions, awsapi.UserAgent(execution))
		})
	}
}

// Describe reads the execution input and describes its cluster: from the cache if
// that holds it, unless in.Refresh is set.
//
// Errors: InvalidInput, ClusterNotFound, ClusterNotActive, AccessDenied,
// Throttled, AWSUnreachable, Unexpected.
func (d *Describer) Describe(ctx context.Context, in contract.DescribeCluster) (contract.DescribedCluster, error) {
	out, err := d.read(in)
	if err != nil {
		return contract.DescribedCluster{}, err
	}
	out.Progress = in.Progress
	of := key{out.Target.Region, out.Target.RoleARN, out.Target.ClusterName}
	if in.Refresh {
		d.Cache.Remove(of)
	}
	cached, _ := d.Cache.Get(of)
	described, ok := cached.(contract.Cluster)
	if !ok {
		if described, err = d.ask(ctx, of, in.Execution); err != nil {
			return contract.DescribedCluster{}, err
		}
		d.Cache.Add(of, described, d.TTL)
	}
	out.Cluster, err = d.Attestation.Attest(in.Execution, out.Target.RoleARN, described)
	return out, err
}

// read reads the execution input: the target, and what the workflow wants.
func (d *Describer) read(in contract.DescribeCluster) (contract.DescribedCluster, error) {
	readRequest, known := d.Workflows[in.Workflow]
	if !known {
		return contract.DescribedCluster{}, contract.Errorf(contract.Unexpected, "describe-cluster does not know the workflow %q. Deploy the whole stack, so that the state machine and its functions are of one version", in.Workflow)
	}
	fields := input.Read(ofStopped(in.Input), `{"clusterName": "demo"}`)
	target := input.Target(fields, d.Defaults)
	request, checks := readRequest(fields)
	if err := fields.Err(); err != nil {
		return contract.DescribedCluster{}, err
	}
	encoded, err := contract.Encode(request)
	if err != nil {
		return contract.DescribedCluster{}, fmt.Errorf("encode the request: %w", err)
	}
	return contract.DescribedCluster{Target: target, Request: encoded, Checks: checks}, nil
}

// ofStopped is the input of an execution that was stopped, with its ARN as `stopped`, if an
// input is the event that says so: a rule starts an execution with it, to end what the other
// one left in the cluster. A workflow that leaves nothing does not know that key.
// https://docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html
func ofStopped(given json.RawMessage) json.RawMessage {
	var event struct {
		Source string `json:"source"`
		Detail struct {
			ExecutionARN string `json:"executionArn"`
			Input        string `json:"input"`
		} `json:"detail"`
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(given, &event) != nil || event.Source != "aws.states" || json.Unmarshal([]byte(event.Detail.Input), &members) != nil || members == nil {
		return given
	}
	stopped, err := contract.Encode(event.Detail.ExecutionARN)
	if err != nil {
		return given
	}
	members["stopped"] = stopped
	of, err := contract.Encode(members)
	if err != nil {
		return given
	}
	return of
}

func (d *Describer) ask(ctx context.Context, of key, execution string) (contract.Cluster, error) {
	doing := fmt.Sprintf("eks:DescribeCluster of cluster %s in %s%s", of.name, of.region, awsapi.AsRole(of.roleARN))
	out, err := d.EKS(of.region, of.roleARN, execution).DescribeCluster(ctx, &eks.DescribeClusterInput{Name: &of.name})
	var missing *types.ResourceNotFoundException
	switch {
	case errors.As(err, &missing):
		return contract.Cluster{}, contract.Errorf(contract.ClusterNotFound,
			"EKS has no cluster %s in %s%s. List the clusters: aws eks list-clusters --region %s", of.name, of.region, awsapi.AsRole(of.roleARN), of.region).From(err)
	case err != nil:
		return contract.Cluster{}, awsapi.Explain(err, doing)
	case out == nil || out.Cluster == nil:
		return contract.Cluster{}, contract.Errorf(contract.Unexpected, "EKS answered %s without a cluster", doing)
	}
	return read(out.Cluster, of.region)
}

// usable are the statuses in which a cluster's API answers: it does while UPDATING.
// https://docs.aws.amazon.com/eks/latest/APIReference/API_Cluster.html, status
var usable = []types.ClusterStatus{types.ClusterStatusActive, types.ClusterStatusUpdating}

func read(c *types.Cluster, region string) (contract.Cluster, error) {
	name := aws.ToString(c.Name)
	// https://docs.aws.amazon.com/eks/latest/userguide/eks-connector.html
	if c.ConnectorConfig != nil {
		return contract.Cluster{}, contract.Errorf(contract.InvalidInput,
			"Cluster %s in %s is connected to EKS, which does not run it, so EKS has no endpoint for its API", name, region)
	}
	if !slices.Contains(usable, c.Status) {
		return contract.Cluster{}, contract.Errorf(contract.ClusterNotActive,
			"Cluster %s in %s is %s, and its API answers only if it is ACTIVE or UPDATING. Wait for it: aws eks wait cluster-active --region %s --name %s", name, region, c.Status, region, name)
	}
	described := contract.Cluster{
		Name:     name,
		ARN:      aws.ToString(c.Arn),
		Region:   region,
		Version:  aws.ToString(c.Version),
		Status:   string(c.Status),
		Endpoint: aws.ToString(c.Endpoint),
		// Clusters older than access entries have no mode, and only aws-auth.
		AuthenticationMode: string(types.AuthenticationModeConfigMap),
	}
	if c.AccessConfig != nil && c.AccessConfig.AuthenticationMode != "" {
		described.AuthenticationMode = string(c.AccessConfig.AuthenticationMode)
	}
	if c.CertificateAuthority != nil {
		described.CertificateAuthority = aws.ToString(c.CertificateAuthority.Data)
	}
	if !strings.HasPrefix(described.Endpoint, "https://") {
		return contract.Cluster{}, contract.Errorf(contract.Unexpected, "EKS describes cluster %s with the endpoint %q, which is not an https URL", name, described.Endpoint)
	}
	// Padded standard base64: RawStdEncoding would accept it, and silently lose the tail.
	bundle, err := base64.StdEncoding.DecodeString(described.CertificateAuthority)
	if err != nil {
		return contract.Cluster{}, contract.Errorf(contract.Unexpected, "EKS describes cluster %s with a certificate authority that is not base64: %w", name, err)
	}
	if block, _ := pem.Decode(bundle); block == nil {
		return contract.Cluster{}, contract.Errorf(contract.Unexpected, "EKS describes cluster %s with a certificate authority that is not PEM", name)
	}
	return described, nil
}
