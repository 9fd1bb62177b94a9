package test

import (
	"bytes"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/local/awsfront"
	"github.com/kubestep/kubestep/local/world"
)

func TestAllWell(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	s.mapRole(t)

	e := s.run(t, `{"clusterName":"demo"}`)

	output := succeeded(t, e)
	assert.Equal(t, well, e.Path)
	assert.Equal(t, contract.ClusterSummary{Name: "demo", ARN: "arn:aws:eks:eu-west-1:111122223333:cluster/demo", Region: "eu-west-1", Version: "1.37", Status: "ACTIVE"}, output.Cluster)
	assert.True(t, output.Access.Allowed)
	require.Len(t, output.Access.Namespaces, 1)
	assert.Equal(t, "default", output.Access.Namespaces[0].Namespace)
	assert.Contains(t, output.Access.Namespaces[0].Reason, "kubestep-pod-readers")
	assert.Positive(t, output.Pods.Total)
	assert.Equal(t, map[string]int{"default": output.Pods.Total}, output.Pods.ByNamespace)
	assert.Len(t, output.Pods.Items, output.Pods.Total)
	assert.False(t, output.Pods.Truncated)

	again := s.run(t, `{"clusterName":"demo"}`)
	assert.Equal(t, well, again.Path, "and so it goes in a warm environment")
	assert.Equal(t, output.Pods.ByStatus, succeeded(t, again).Pods.ByStatus)
}

func TestThreeNamespacesAndSelectors(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	s.mapRole(t)
	namespace(t, "empty")
	require.NoError(t, local.ControlPlane.Apply(t.Context(), "testdata/rbac/empty"))

	e := s.run(t, `{"clusterName":"demo","region":"eu-west-1","namespaces":["shop","empty","default"]}`)
	all := succeeded(t, e)
	assert.Equal(t, well, e.Path)
	require.Len(t, all.Access.Namespaces, 3)
	assert.Equal(t, "shop", all.Access.Namespaces[0].Namespace, "in the order of the input")
	assert.Len(t, all.Pods.ByNamespace, 3)
	assert.Zero(t, all.Pods.ByNamespace["empty"])
	for _, status := range []string{"Running", "Pending", "CrashLoopBackOff", "Completed", "Terminating"} {
		assert.Positive(t, all.Pods.ByStatus[status], status)
	}

	pending := succeeded(t, s.run(t, `{"clusterName":"demo","namespaces":["shop","empty","default"],"fieldSelector":"status.phase=Pending"}`))
	assert.Positive(t, pending.Pods.Total)
	assert.Less(t, pending.Pods.Total, all.Pods.Total)
	assert.Zero(t, pending.Pods.ByStatus["Running"])

	web := succeeded(t, s.run(t, `{"clusterName":"demo","namespaces":["shop","empty","default"],"labelSelector":"app in (web)"}`))
	assert.Positive(t, web.Pods.Total)
	assert.Less(t, web.Pods.Total, all.Pods.Total)
	for _, pod := range web.Pods.Items {
		assert.Contains(t, pod.Name, "web")
	}
}

func TestARoleThatIsNotMappedEndsInUnauthorizedAfterItsAttempts(t *testing.T) {
	t.Parallel()
	s := newScenario(t)

	e := s.run(t, `{"clusterName":"demo"}`)

	stopped(t, e, contract.Unauthorized, s.stack.Role("mint-token"), "demo", "CONFIG_MAP", "eksctl create iamidentitymapping")
	assert.Equal(t, path("DescribeCluster", "WithFreshToken", times(5, "MintToken", "VerifyRBAC"), "Explain", "Failed"), e.Path)
	assert.Equal(t, 5, e.Attempts("MintToken"))
}

func TestARoleThatIsMappedWhileItRetriesEndsWell(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	s.progress = &onFirst{text: "Unauthorized", do: func() { s.mapRole(t) }}

	e := s.run(t, `{"clusterName":"demo"}`)

	succeeded(t, e)
	mints := e.Attempts("MintToken")
	assert.Greater(t, mints, 1)
	assert.LessOrEqual(t, mints, 5)
	assert.Equal(t, path("DescribeCluster", "WithFreshToken", times(mints-1, "MintToken", "VerifyRBAC"), "MintToken", "VerifyRBAC", "ListPods", "MorePods", "Output"), e.Path)
}

// onFirst calls a function when a text is written for the first time.
type onFirst struct {
	text string
	do   func()
	once sync.Once
}

func (o *onFirst) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(o.text)) {
		o.once.Do(o.do)
	}
	return len(p), nil
}

func TestARoleThatIsMappedButNotBoundIsForbiddenWithoutARetry(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	s.mapRole(t)
	namespace(t, "unbound")

	e := s.run(t, `{"clusterName":"demo","namespaces":["unbound"]}`)

	stopped(t, e, contract.Forbidden, "kubestep:"+s.stack.Name, "kubestep-pod-readers", "list pods in namespace unbound", "kubectl apply -k rbac/namespace -n unbound")
	assert.Equal(t, path("DescribeCluster", "WithFreshToken", "MintToken", "VerifyRBAC", "Explain", "Failed"), e.Path)
	assert.Equal(t, 1, e.Attempts("MintToken"))
	assert.Equal(t, 1, e.Attempts("VerifyRBAC"))
}

func TestOneNamespaceOfThreeThatIsNotBoundIsNamed(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	s.mapRole(t)
	namespace(t, "unbound")

	e := s.run(t, `{"clusterName":"demo","namespaces":["default","unbound","shop"]}`)

	stopped(t, e, contract.Forbidden, "list pods in namespace unbound")
	assert.NotContains(t, e.Cause, "default")
	assert.NotContains(t, e.Cause, "shop")
	assert.NotContains(t, e.Path, "ListPods")
}

func TestAnUnknownClusterIsNotFound(t *testing.T) {
	t.Parallel()
	e := newScenario(t).run(t, `{"clusterName":"nowhere"}`)

	stopped(t, e, contract.ClusterNotFound, "nowhere", "eu-west-1", "aws eks list-clusters --region eu-west-1")
	assert.Equal(t, path("DescribeCluster", "Explain", "Failed"), e.Path)
	assert.Zero(t, e.Attempts("MintToken"))
	assert.Equal(t, 1, e.Attempts("DescribeCluster"))
}

func TestAClusterThatIsNotActiveIsNotActive(t *testing.T) {
	t.Parallel()
	for _, status := range []string{"CREATING", "DELETING", "FAILED"} {
		t.Run(status, func(t *testing.T) {
			t.Parallel()
			name := "cluster-" + status
			require.NoError(t, local.Describe(&world.ControlPlane{Name: name}, func(c *awsfront.Cluster) { c.Status = status }))
			e := newScenario(t).run(t, `{"clusterName":"`+name+`"}`)
			stopped(t, e, contract.ClusterNotActive, name, status)
			assert.Equal(t, path("DescribeCluster", "Explain", "Failed"), e.Path)
		})
	}
}

func TestABadInputHasAllItsProblemsNamed(t *testing.T) {
	t.Parallel()
	for sentence, c := range map[string]struct {
		input string
		cause []string
	}{
		"each with its field": {
			`{"clusterName":"a b","namespace":"shop","region":7,"namespaces":["Shop"],"labelSelector":"in in in","roleArn":"me"}`,
			[]string{"6 problems", `"namespace": unknown key: expected "namespaces"?`, `clusterName: "a b"`, "region: expected a string, not a number", `namespaces[0]: "Shop"`, "labelSelector: ", `roleArn: "me"`},
		},
		"if it is not an object": {`["demo"]`, []string{"input: expected a JSON object"}},
		"where it is a string":   {`"demo"`, []string{"input: expected a JSON object"}},
		"where it is empty":      {`{}`, []string{"clusterName: missing"}},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			e := newScenario(t).run(t, c.input)
			stopped(t, e, contract.InvalidInput, c.cause...)
			assert.Equal(t, path("DescribeCluster", "Explain", "Failed"), e.Path)
		})
	}
}
