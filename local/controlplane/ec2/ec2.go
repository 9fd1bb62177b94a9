// Package ec2 stands in for the EC2 client of the AWS SDK. aws-iam-authenticator's pkg/ec2provider needs that
// client for one thing: to turn the instance id in a node's session name into a host name, for mappings that hold
// {{EC2PrivateDNSName}}. The local cluster has no nodes, so nothing asks; but compiling the real client, with its
// hundreds of operations, would take a fifth of the whole control plane's build. The go.mod above replaces it
// by these few names, and the look-up by an error.
package ec2

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Client is the client whose only call fails.
type Client struct{}

// Options is what a call's options would change.
type Options struct{}

// DescribeInstancesInput names the instances to look up.
type DescribeInstancesInput struct {
	InstanceIds []string
}

// DescribeInstancesOutput is the part of the answer that the authenticator reads.
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

// NewFromConfig makes a Client; the configuration does not matter.
func NewFromConfig(aws.Config, ...func(*Options)) *Client {
	return &Client{}
}

// DescribeInstances always fails: the local world has no EC2.
func (*Client) DescribeInstances(context.Context, *DescribeInstancesInput, ...func(*Options)) (*DescribeInstancesOutput, error) {
	return nil, errors.New("the local control plane has no EC2: a mapping with {{EC2PrivateDNSName}} cannot be used")
}
