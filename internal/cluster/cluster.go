// Package cluster says where a cluster is and whom to trust there, as EKS
// describes it. It never connects to the cluster.
package cluster

import (
	"context"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/iam"
	"github.com/kubestep/kubestep/internal/input"
)

// EKS is what is called of the EKS API.
type EKS interface {
	DescribeCluster(context.Context, *eks.DescribeClusterInput, ...func(*eks.Options)) (*eks.DescribeClusterOutput, error)
}

// Describer describes clusters and caches what EKS said.
type Describer struct {
	// EKS is the API of a Region, called as a role; an empty ARN is the function's own.
	EKS func(region, roleARN string) EKS
	// Defaults complete the execution input.
	Defaults contract.Request
	Cache    *Cache
}

// API makes clients for Describer.EKS out of a configuration and credentials by role.
func API(cfg aws.Config, credentials func(roleARN string) aws.CredentialsProvider) func(region, roleARN string) EKS {
	return func(region, roleARN string) EKS {
		return eks.NewFromConfig(cfg, func(o *eks.Options) {
			o.Region = region
			o.Credentials = credentials(roleARN)
		})
	}
}

// Describe checks the execution input, completes it, and describes its cluster:
// from the cache where it holds it, unless it is asked for afresh.
//
// Errors: InvalidInput, ClusterNotFound, ClusterNotActive, AccessDenied,
// Throttled, ClusterUnreachable.
func (d *Describer) Describe(ctx context.Context, in contract.DescribeCluster) (contract.DescribedCluster, error) {
	request, err := input.Parse(in.Input, d.Defaults)
	if err != nil {
		return contract.DescribedCluster{}, err
	}
	key := Key{Region: request.Region, RoleARN: request.RoleARN, Name: request.ClusterName}
	if in.Afresh {
		d.Cache.Forget(key)
	}
	described, err := d.Cache.Get(ctx, key, func(ctx context.Context) (contract.Cluster, error) { return d.ask(ctx, key) })
	if err != nil {
		return contract.DescribedCluster{}, err
	}
	return contract.DescribedCluster{Request: request, Cluster: described}, nil
}

func (d *Describer) ask(ctx context.Context, key Key) (contract.Cluster, error) {
	doing := fmt.Sprintf("eks:DescribeCluster of cluster %s in %s%s", key.Name, key.Region, as(key.RoleARN))
	out, err := d.EKS(key.Region, key.RoleARN).DescribeCluster(ctx, &eks.DescribeClusterInput{Name: &key.Name})
	var missing *types.ResourceNotFoundException
	switch {
	case errors.As(err, &missing):
		return contract.Cluster{}, contract.Errorf(contract.ClusterNotFound,
			"EKS has no cluster %s in %s%s. See which there are: aws eks list-clusters --region %s", key.Name, key.Region, as(key.RoleARN), key.Region).From(err)
	case err != nil:
		return contract.Cluster{}, iam.Explain(err, doing)
	case out == nil || out.Cluster == nil:
		return contract.Cluster{}, contract.Errorf(contract.Unexpected, "EKS answered %s without a cluster", doing)
	}
	return read(out.Cluster, key.Region)
}

// as says whose rights were used, where they are not the function's own.
func as(roleARN string) string {
	if roleARN == "" {
		return ""
	}
	return " as " + roleARN
}

// usable are the states in which a cluster's API answers: one that is UPDATING does.
// https://docs.aws.amazon.com/eks/latest/APIReference/API_Cluster.html, status
var usable = []types.ClusterStatus{types.ClusterStatusActive, types.ClusterStatusUpdating}

func read(c *types.Cluster, region string) (contract.Cluster, error) {
	name := aws.ToString(c.Name)
	if !slices.Contains(usable, c.Status) {
		return contract.Cluster{}, contract.Errorf(contract.ClusterNotActive,
			"Cluster %s in %s is %s, and its API answers only when it is ACTIVE or UPDATING. Wait for it: aws eks wait cluster-active --region %s --name %s", name, region, c.Status, region, name)
	}
	described := contract.Cluster{
		Name:     name,
		ARN:      aws.ToString(c.Arn),
		Region:   region,
		Version:  aws.ToString(c.Version),
		Status:   string(c.Status),
		Endpoint: aws.ToString(c.Endpoint),
		// Before access entries there was only aws-auth, and EKS said nothing of a mode.
		AuthenticationMode: string(types.AuthenticationModeConfigMap),
	}
	if c.AccessConfig != nil && c.AccessConfig.AuthenticationMode != "" {
		described.AuthenticationMode = string(c.AccessConfig.AuthenticationMode)
	}
	if c.CertificateAuthority != nil {
		described.CertificateAuthority = aws.ToString(c.CertificateAuthority.Data)
	}
	if !strings.HasPrefix(described.Endpoint, "https://") {
		return contract.Cluster{}, contract.Errorf(contract.Unexpected, "EKS describes cluster %s with the endpoint %q, which is no https URL", name, described.Endpoint)
	}
	// Padded standard base64: RawStdEncoding would take it, and silently lose the tail.
	bundle, err := base64.StdEncoding.DecodeString(described.CertificateAuthority)
	if err != nil {
		return contract.Cluster{}, contract.Errorf(contract.Unexpected, "EKS describes cluster %s with a certificate authority that is not base64: %w", name, err)
	}
	if block, _ := pem.Decode(bundle); block == nil {
		return contract.Cluster{}, contract.Errorf(contract.Unexpected, "EKS describes cluster %s with a certificate authority that is not PEM", name)
	}
	return described, nil
}
