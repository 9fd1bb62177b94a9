package test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/local/awsfront"
	"github.com/kubestep/kubestep/local/lambdahost"
)

// attempts is how often the SDK tries a call before it returns an error.
const attempts = 3

func TestEKSThatCannotServeIsAskedAgain(t *testing.T) {
	t.Parallel()
	for sentence, fault := range map[string]awsfront.Fault{
		"because it throttles":  {Status: http.StatusTooManyRequests, Code: "ThrottlingException", Message: "Rate exceeded"},
		"because it is broken":  {Status: http.StatusInternalServerError, Code: "ServerException", Message: "Internal failure"},
		"because it is not up":  {Status: http.StatusServiceUnavailable, Code: "ServiceUnavailableException", Message: "Service is unavailable"},
		"nor say what is wrong": {Status: http.StatusBadGateway},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			s := newScenario(t)
			s.mapRole(t)
			where := region()
			describe(t, where, nil)
			fault.Service, fault.Operation, fault.Region, fault.Times = "eks", "DescribeCluster", where, attempts
			local.Faults.Add(fault)

			e := s.run(t, in(t, where, nil))

			succeeded(t, e)
			assert.Equal(t, well, e.Path)
			assert.Equal(t, []string{"DescribeCluster: Throttled"}, failures(e))
			assert.Equal(t, 2, e.Attempts("DescribeCluster"))
		})
	}
}

func TestEKSThatHangsIsAskedAgain(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	s.mapRole(t)
	where := region()
	describe(t, where, nil)
	s.redeploy(t, "describe-cluster", func(f *lambdahost.Function) { f.Timeout = 2 * time.Second })
	local.Faults.Add(awsfront.Fault{Service: "eks", Region: where, Delay: time.Minute, Times: 1})

	e := s.run(t, in(t, where, nil))

	succeeded(t, e)
	assert.Equal(t, []string{"DescribeCluster: AWSUnreachable"}, failures(e))
	assert.Equal(t, well, e.Path)
}

func TestEKSThatKeepsThrottlingIsThrottled(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	where := region()
	describe(t, where, nil)
	s.hurry(t)
	remove := local.Faults.Add(awsfront.Fault{Service: "eks", Region: where, Status: http.StatusTooManyRequests, Code: "ThrottlingException", Message: "Rate exceeded"})
	defer remove()

	e := s.run(t, in(t, where, nil))

	stopped(t, e, contract.Throttled, "AWS throttled eks:DescribeCluster of cluster demo in "+where, "ThrottlingException", "fewer executions at once")
	assert.Equal(t, path("DescribeCluster", "Explain", "Failed"), e.Path)
	assert.Equal(t, 7, e.Attempts("DescribeCluster"))
}

func TestIAMThatDeniesDescribeClusterIsAccessDenied(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	where := region()
	describe(t, where, nil)
	remove := local.Faults.Add(awsfront.Fault{
		Service: "eks", Region: where, Status: http.StatusForbidden, Code: "AccessDeniedException",
		Message: "User: " + strings.Replace(s.stack.Role("describe-cluster"), ":iam:", ":sts:", 1) + " is not authorized to perform: eks:DescribeCluster on resource: " + clusterARN(where, "111122223333"),
	})
	defer remove()

	e := s.run(t, in(t, where, nil))

	stopped(t, e, contract.AccessDenied, s.stack.Name+"-DescribeClusterRole", "perform: eks:DescribeCluster on resource: "+clusterARN(where, "111122223333"), "Allow the action")
	assert.Equal(t, path("DescribeCluster", "Explain", "Failed"), e.Path)
	assert.Equal(t, 1, e.Attempts("DescribeCluster"), "what is denied is not asked again")
}

func TestARoleThatMayNotBeAssumedIsAccessDenied(t *testing.T) {
	t.Parallel()
	for sentence, c := range map[string]struct {
		trusted func(*scenario) []string
		path    []string
		who     string
	}{
		"by describe-cluster": {func(*scenario) []string { return nil }, path("DescribeCluster", "Explain", "Failed"), "describe-cluster"},
		"by mint-token": {
			func(s *scenario) []string { return []string{s.stack.Role("describe-cluster")} },
			path("DescribeCluster", "WithFreshToken", "MintToken", "Explain", "Failed"), "mint-token",
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			s := newScenario(t)
			where, role := region(), "arn:aws:iam::111122223333:role/untrusting-"+s.stack.Name
			describe(t, where, nil)
			s.set(t, map[string]string{"RoleArns": role})
			local.Roles.Put(awsfront.Role{ARN: role, Trusts: c.trusted(s)})

			e := s.run(t, in(t, where, map[string]any{"roleArn": role}))

			stopped(t, e, contract.AccessDenied, s.stack.Name+"-"+c.who+" is not authorized to perform: sts:AssumeRole on resource: "+role, "trust policy")
			assert.Equal(t, c.path, e.Path)
			assert.Len(t, failures(e), 1)
		})
	}
}

func TestAClusterThatIsUpdatingIsFine(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	s.mapRole(t)
	where := region()
	describe(t, where, func(c *awsfront.Cluster) { c.Status = "UPDATING" })

	e := s.run(t, in(t, where, nil))

	assert.Equal(t, "UPDATING", succeeded(t, e).Cluster.Status)
	assert.Equal(t, well, e.Path)
}

func TestASessionTokenThatMakesTheTokenTooLargeIsNamed(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	where, role := region(), "arn:aws:iam::111122223333:role/tagged-"+s.stack.Name
	describe(t, where, nil)
	s.set(t, map[string]string{"RoleArns": role})
	local.Roles.Put(awsfront.Role{ARN: role, Trusts: []string{"*"}, Tags: []string{"team=" + strings.Repeat("x", 2400)}})

	e := s.run(t, in(t, where, map[string]any{"roleArn": role}))

	stopped(t, e, contract.TokenTooLarge, "EKS accepts 4096", "session tags")
	assert.Equal(t, path("DescribeCluster", "WithFreshToken", "MintToken", "Explain", "Failed"), e.Path)
	assert.Equal(t, 1, e.Attempts("MintToken"))
}
