package test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/follow"
	"github.com/kubestep/kubestep/local/awsfront"
	"github.com/kubestep/kubestep/local/lambdahost"
	"github.com/kubestep/kubestep/local/world"
	"github.com/kubestep/kubestep/test/apiproxy"
)

var regions struct {
	sync.Mutex
	next int
}

// region returns an AWS Region that no other scenario uses, in which EKS may describe the cluster as the scenario needs
// it. The cluster has the same name in every Region: the authenticator accepts tokens for that name only, from any Region.
func region() string {
	regions.Lock()
	defer regions.Unlock()
	regions.next++
	places := []string{"eu", "me", "sa", "us"} // a report lists them after eu-west-1
	const inPlace = 80                         // a Region's number has at most two digits
	place, number := regions.next/inPlace, regions.next%inPlace
	return fmt.Sprintf("%s-west-%d", places[place], 10+number)
}

// describe makes EKS describe the cluster demo in that Region, as its control plane is, with the changes that change makes.
func describe(t *testing.T, region string, change func(*awsfront.Cluster)) {
	t.Helper()
	require.NoError(t, local.Describe(local.ControlPlane, func(c *awsfront.Cluster) {
		c.ARN = clusterARN(region, world.Account)
		if change != nil {
			change(c)
		}
	}))
}

func clusterARN(region, account string) string {
	return fmt.Sprintf("arn:aws:eks:%s:%s:cluster/%s", region, account, world.ClusterName)
}

// in returns the input for the cluster demo in that Region, with more keys.
func in(t *testing.T, region string, more map[string]any) string {
	t.Helper()
	input := map[string]any{"clusterName": world.ClusterName, "region": region}
	for key, value := range more {
		input[key] = value
	}
	text, err := json.Marshal(input)
	require.NoError(t, err)
	return string(text)
}

// proxied starts a proxy to the cluster's API server, which EKS describes as the cluster's endpoint in the Region that it
// returns.
func proxied(t *testing.T, faults ...apiproxy.Fault) (proxy *apiproxy.Proxy, where string) {
	t.Helper()
	proxy, err := apiproxy.Start(local.ControlPlane.Endpoint, local.ControlPlane.CertificateAuthority)
	require.NoError(t, err)
	t.Cleanup(proxy.Close)
	for _, fault := range faults {
		proxy.Add(fault)
	}
	where = region()
	describe(t, where, func(c *awsfront.Cluster) {
		c.Endpoint, c.CertificateAuthority = proxy.Endpoint, proxy.CertificateAuthority
	})
	return proxy, where
}

// redeploy deploys one function of the stack again, with a change.
func (s *scenario) redeploy(t *testing.T, function string, change func(*lambdahost.Function)) {
	t.Helper()
	all := local.Lambda.Functions()
	at := slices.IndexFunc(all, func(f lambdahost.Function) bool { return f.Name == s.stack.Name+"-"+function })
	require.GreaterOrEqual(t, at, 0, function)
	changed := all[at]
	change(&changed)
	require.NoError(t, local.Lambda.Put(changed))
}

var longestWait = regexp.MustCompile(`("MaxDelaySeconds":) *\d+`)

// hurry deploys the stack's machine again, with at most a second before each retry: otherwise they take a minute and a half.
func (s *scenario) hurry(t *testing.T) {
	t.Helper()
	machine, err := s.client.DescribeStateMachine(t.Context(), &sfn.DescribeStateMachineInput{StateMachineArn: &s.machine})
	require.NoError(t, err)
	require.Regexp(t, longestWait, *machine.Definition)
	hurried := longestWait.ReplaceAllString(*machine.Definition, "${1}1")
	_, err = s.client.UpdateStateMachine(t.Context(), &sfn.UpdateStateMachineInput{StateMachineArn: &s.machine, Definition: &hurried})
	require.NoError(t, err)
}

// failures returns the attempts that failed, with the names of their errors.
func failures(e follow.Execution) []string {
	var all []string
	for _, step := range e.Steps {
		if step.Kind == follow.Failed {
			all = append(all, step.State+": "+step.Error)
		}
	}
	return all
}
