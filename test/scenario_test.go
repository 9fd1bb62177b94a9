package test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/podinventory"
	"github.com/kubestep/kubestep/internal/follow"
	"github.com/kubestep/kubestep/local/stack"
	"github.com/kubestep/kubestep/local/world"
)

// scenario is a stack in the shared world.
type scenario struct {
	stack      stack.Stack
	machine    string
	client     *sfn.Client
	executions []follow.Execution
	progress   io.Writer
}

var names struct {
	sync.Mutex
	next int
}

// newScenario deploys a stack. Its role is not mapped yet.
func newScenario(t *testing.T) *scenario {
	t.Helper()
	names.Lock()
	names.next++
	name := fmt.Sprintf("s%d", names.next)
	names.Unlock()
	s := &scenario{stack: local.Stack(name), progress: io.Discard}
	// A scenario may have EKS describe the cluster in another Region.
	s.stack.Parameters = map[string]string{"ClusterArns": "arn:aws:eks:*:" + world.Account + ":cluster/*"}
	s.deploy(t)
	client, err := stepFunctions()
	require.NoError(t, err)
	s.client, s.machine = client, s.stack.StateMachineARN("pod-inventory")
	return s
}

func (s *scenario) deploy(t *testing.T) {
	t.Helper()
	require.NoError(t, local.Deploy(t.Context(), s.stack))
}

// set changes parameters of the stack and deploys it.
func (s *scenario) set(t *testing.T, parameters map[string]string) {
	t.Helper()
	maps.Copy(s.stack.Parameters, parameters)
	s.deploy(t)
}

func stepFunctions() (*sfn.Client, error) {
	developer, err := local.Developer()
	if err != nil {
		return nil, err
	}
	return sfn.NewFromConfig(developer), nil
}

// run starts an execution and follows it to its end.
func (s *scenario) run(t *testing.T, input string) follow.Execution {
	t.Helper()
	execution := s.start(t, s.machine, input)
	s.executions = append(s.executions, execution)
	checkSchemas(t, "pod-inventory", input, execution)
	return execution
}

// start starts an execution of any machine and follows it to its end.
func (s *scenario) start(t *testing.T, machine, input string) follow.Execution {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	follower := follow.Follower{Client: s.client, Interval: 250 * time.Millisecond, Out: s.progress}
	execution, err := follower.Start(ctx, follow.Start{StateMachineARN: machine, Input: input})
	require.NoError(t, err)
	return execution
}

// succeeded returns the output of an execution that must have succeeded.
func succeeded(t *testing.T, e follow.Execution) podinventory.Output {
	t.Helper()
	require.Equal(t, types.ExecutionStatusSucceeded, e.Status, "%s: %s", e.Error, e.Cause)
	d := json.NewDecoder(strings.NewReader(e.Output))
	d.DisallowUnknownFields()
	var output podinventory.Output
	require.NoError(t, d.Decode(&output))
	return output
}

// stopped asserts that an execution failed with an error name and with a cause that contains these texts.
func stopped(t *testing.T, e follow.Execution, name contract.ErrorName, cause ...string) {
	t.Helper()
	require.Equal(t, types.ExecutionStatusFailed, e.Status)
	assert.Equal(t, string(name), e.Error, e.Cause)
	for _, text := range cause {
		assert.Contains(t, e.Cause, text)
	}
	assert.NotContains(t, e.Cause, "errorMessage", "a sentence, not JSON")
}

// The path of an execution in which nothing fails.
var well = []string{"DescribeCluster", "WithFreshToken", "MintToken", "VerifyRBAC", "ListPods", "MorePods", "Output"}

// path joins states, given by name or as parts of a path.
func path(parts ...any) []string {
	var all []string
	for _, part := range parts {
		switch part := part.(type) {
		case string:
			all = append(all, part)
		case []string:
			all = append(all, part...)
		}
	}
	return all
}

// times repeats a part of a path.
func times(n int, part ...string) []string {
	var all []string
	for range n {
		all = append(all, part...)
	}
	return all
}

// admin returns a client of the cluster's administrator.
func admin(t *testing.T) *kubernetes.Clientset {
	t.Helper()
	config, err := local.ControlPlane.Admin()
	require.NoError(t, err)
	client, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	return client
}

// mapping is an entry of aws-auth's mapRoles.
type mapping struct {
	RoleARN  string   `json:"rolearn"`
	Username string   `json:"username"`
	Groups   []string `json:"groups"`
}

var awsAuth sync.Mutex

// mapRole maps the stack's role to groups, by default to the one that rbac/ binds.
func (s *scenario) mapRole(t *testing.T, groups ...string) {
	t.Helper()
	if len(groups) == 0 {
		groups = []string{"kubestep-pod-readers"}
	}
	editAwsAuth(t, func(mappings []mapping) []mapping {
		return append(mappings, mapping{s.stack.Role("mint-token"), "kubestep:" + s.stack.Name, groups})
	})
}

func editAwsAuth(t *testing.T, edit func([]mapping) []mapping) {
	t.Helper()
	awsAuth.Lock()
	defer awsAuth.Unlock()
	maps := admin(t).CoreV1().ConfigMaps("kube-system")
	held, err := maps.Get(t.Context(), "aws-auth", metav1.GetOptions{})
	require.NoError(t, err)
	var mappings []mapping
	require.NoError(t, yaml.Unmarshal([]byte(held.Data["mapRoles"]), &mappings))
	edited, err := yaml.Marshal(edit(mappings))
	require.NoError(t, err)
	held.Data["mapRoles"] = string(edited)
	_, err = maps.Update(t.Context(), held, metav1.UpdateOptions{})
	require.NoError(t, err)
}

// namespace creates a namespace without bindings.
func namespace(t *testing.T, name string) {
	t.Helper()
	_, err := admin(t).CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	if !apierrors.IsAlreadyExists(err) {
		require.NoError(t, err)
	}
}
