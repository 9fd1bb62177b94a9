package test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/local/awsfront"
	"github.com/kubestep/kubestep/local/world"
	"github.com/kubestep/kubestep/test/apiproxy"
)

const otherAccount = "444455556666"

// otherRole is a role of another account that the stack's two functions may assume, if they give the external ID.
func (s *scenario) otherRole(t *testing.T, name, externalID string) string {
	t.Helper()
	role := fmt.Sprintf("arn:aws:iam::%s:role/%s-%s", otherAccount, name, s.stack.Name)
	s.set(t, map[string]string{"RoleArns": role})
	local.Roles.Put(awsfront.Role{ARN: role, Trusts: []string{s.stack.Role("describe-cluster"), s.stack.Role("mint-token")}, ExternalID: externalID})
	editAwsAuth(t, func(all []mapping) []mapping {
		return append(all, mapping{role, "theirs:" + s.stack.Name, []string{"kubestep-pod-readers"}})
	})
	return role
}

func TestEachAccountAndRegionHasAClusterOfItsOwnThatNoCacheMixes(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	s.set(t, map[string]string{"ExternalId": "agreed"})
	s.mapRole(t)
	role := s.otherRole(t, "reader", "agreed")
	here, there := region(), region()
	type place struct {
		region, account, role string
		proxy                 *apiproxy.Proxy
	}
	places := []place{
		{region: here, account: world.Account}, {region: there, account: world.Account},
		{region: here, account: otherAccount, role: role}, {region: there, account: otherAccount, role: role},
	}
	for i, p := range places {
		proxy, err := apiproxy.Start(local.ControlPlane.Endpoint, local.ControlPlane.CertificateAuthority)
		require.NoError(t, err)
		t.Cleanup(proxy.Close)
		places[i].proxy = proxy
		describe(t, p.region, func(c *awsfront.Cluster) {
			c.ARN, c.Endpoint, c.CertificateAuthority = clusterARN(p.region, p.account), proxy.Endpoint, proxy.CertificateAuthority
		})
	}

	for round := 1; round <= 2; round++ { // the second in a warm environment
		for _, p := range places {
			input := map[string]any{}
			if p.role != "" {
				input["roleArn"] = p.role
			}
			e := s.run(t, in(t, p.region, input))
			output := succeeded(t, e)
			assert.Equal(t, well, e.Path)
			assert.Equal(t, clusterARN(p.region, p.account), output.Cluster.ARN)
			assert.Equal(t, p.region, output.Cluster.Region)
			assert.Equal(t, round, p.proxy.Passed("pods"), "each is asked at its own endpoint")
		}
	}
}

func TestAnExternalIDThatIsNotTheOneAgreedIsAccessDenied(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	role := s.otherRole(t, "guarded", "agreed")

	e := s.run(t, in(t, region(), map[string]any{"roleArn": role}))

	stopped(t, e, contract.AccessDenied, "sts:AssumeRole on resource: "+role, "external ID")
	assert.Equal(t, path("DescribeCluster", "Explain", "Failed"), e.Path)
}

func TestARoleOfAnotherAccountThatIsNotMappedIsNamed(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	s.mapRole(t) // only its own role is mapped
	where := region()
	role := fmt.Sprintf("arn:aws:iam::%s:role/team/unmapped-%s", otherAccount, s.stack.Name)
	s.set(t, map[string]string{"RoleArns": role})
	local.Roles.Put(awsfront.Role{ARN: role, Trusts: []string{s.stack.Role("describe-cluster"), s.stack.Role("mint-token")}})
	describe(t, where, func(c *awsfront.Cluster) { c.ARN, c.AuthenticationMode = clusterARN(where, otherAccount), "API" })

	e := s.run(t, in(t, where, map[string]any{"roleArn": role}))

	stopped(t, e, contract.Unauthorized, role, "authentication mode is API",
		"aws eks create-access-entry --region "+where+" --cluster-name demo --principal-arn "+role+" --kubernetes-groups kubestep-pod-readers")
}
