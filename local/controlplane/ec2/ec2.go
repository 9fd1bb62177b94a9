// Package ec2 replaces the EC2 client of the AWS SDK, by a replace directive in the go.mod above. aws-iam-authenticator uses that
// client only to look up the host name of an instance, for mappings with {{EC2PrivateDNSName}}. The local cluster has no nodes, so it
// never does; but compiling the real client, with its hundreds of operations, takes a fifth of the control plane's build.
package ec2

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Client is the client whose only call fails.
type Client struct{}

// Options are the client's options.
type Options struct{}

// DescribeInstancesInput names the instances to look up.
type DescribeInstancesInput struct {
	InstanceIds []string
}

// DescribeInstancesOutput is the part of the response that the authenticator reads.
type DescribeInstancesOutput struct {
	NextToken    *string
	Reservations []Reservation
}

// Reservation groups instances.
type Reservation struct {
	Instances []Instance
}

// Instance is one virtual machine.
type Instance struct {
	InstanceId     *string
	PrivateDnsName *string
}

// NewFromConfig returns a Client. It ignores the configuration.
func NewFromConfig(aws.Config, ...func(*Options)) *Client {
	return &Client{}
}

// DescribeInstances always fails: the local world has no EC2.
func (*Client) DescribeInstances(context.Context, *DescribeInstancesInput, ...func(*Options)) (*DescribeInstancesOutput, error) {
	return nil, errors.New("the local control plane has no EC2: a mapping with {{EC2PrivateDNSName}} cannot be used")
}
