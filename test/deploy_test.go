package test

import (
	"bytes"
	"encoding/json"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kubestep/kubestep/internal/contract/podinventory"
	"github.com/kubestep/kubestep/local/stack"
)

// shell is a shell that has sourced .local/env.
type shell struct{ environment []string }

func newShell(t *testing.T, kubeconfig string) shell {
	t.Helper()
	developer, err := local.Developer()
	require.NoError(t, err)
	credentials, err := developer.Credentials.Retrieve(t.Context())
	require.NoError(t, err)
	return shell{append(os.Environ(),
		"AWS_ENDPOINT_URL="+local.Endpoint, "AWS_REGION=eu-west-1", "AWS_DEFAULT_REGION=eu-west-1",
		"AWS_ACCESS_KEY_ID="+credentials.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+credentials.SecretAccessKey, "AWS_SESSION_TOKEN="+credentials.SessionToken,
		"KUBECONFIG="+kubeconfig, "POD_INVENTORY_ARN=", "STATE_MACHINE_ARN=",
	)}
}

// run runs a command in the repository, with the variables that make would pass.
func (s shell) run(t *testing.T, variables []string, name string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, problems bytes.Buffer
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = repository, slices.Concat(s.environment, variables), &out, &problems
	err = cmd.Run()
	t.Logf("%v %s %v\n%s%s", variables, name, args, out.String(), problems.String())
	return out.String(), problems.String(), err
}

func TestAStackIsDeployedStartedReadAndRemovedByTheCommands(t *testing.T) {
	t.Parallel()
	cluster, err := local.StartControlPlane(t.Context(), "deployed")
	require.NoError(t, err)
	t.Cleanup(cluster.Stop)
	require.NoError(t, local.Describe(cluster, nil))
	s := newShell(t, cluster.Kubeconfig)
	given := []string{"STACK=made", "CLUSTER=deployed"}
	script, err := filepath.Abs(filepath.Join(repository, "hack", "stack.sh"))
	require.NoError(t, err)

	_, said, err := s.run(t, []string{"STACK=made", "PARAMS=Wrong=1"}, script, "deploy")
	require.Error(t, err)
	for _, missing := range []string{"Nothing was done", "the name of the EKS cluster", "an S3 bucket of account 111122223333 for the code: aws s3 mb", "PARAMS holds Wrong=1"} {
		assert.Contains(t, said, missing, "all that is missing is said at once")
	}
	for _, verb := range []string{"start", "destroy"} {
		_, said, err = s.run(t, given, script, verb)
		require.Error(t, err)
		assert.Contains(t, said, "the stack made in eu-west-1 of account 111122223333")
	}

	_, _, err = s.run(t, nil, "aws", "s3", "mb", "s3://kubestep-111122223333-eu-west-1")
	require.NoError(t, err)
	told, _, err := s.run(t, append(given, `PARAMS=ScheduleExpression='rate(1 hour)' CacheTtl=9s`), script, "deploy")
	require.NoError(t, err)
	const role = "arn:aws:iam::111122223333:role/made-mint-token"
	assert.Contains(t, told, "eksctl create iamidentitymapping --cluster deployed --region eu-west-1 --arn "+role, "what is left to do")
	assert.Len(t, running(stack.Stack{Name: "made"}), 7)

	objects, _, err := s.run(t, nil, "aws", "s3api", "list-objects-v2", "--bucket", "kubestep-111122223333-eu-west-1", "--query", "Contents[].[Key]", "--output", "text")
	require.NoError(t, err)
	for _, key := range strings.Fields(objects) {
		assert.True(t, strings.HasPrefix(key, "kubestep-code/made/"), key)
	}
	assert.Greater(t, len(strings.Fields(objects)), 4, "the functions and the template")
	release := func() string {
		id, _, err := s.run(t, nil, "aws", "cloudformation", "describe-stacks", "--stack-name", "made",
			"--query", "Stacks[0].Parameters[?ParameterKey=='ReleaseId'].ParameterValue", "--output", "text")
		require.NoError(t, err)
		return strings.TrimSpace(id)
	}
	first := release()
	assert.Regexp(t, "^[0-9a-f]{10}$", first)

	// This is what eksctl does.
	config, err := cluster.Admin()
	require.NoError(t, err)
	kube, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	_, err = kube.CoreV1().ConfigMaps("kube-system").Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "aws-auth"},
		Data:       map[string]string{"mapRoles": "- rolearn: " + role + "\n  username: kubestep\n  groups: [kubestep-pod-readers]\n"},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	found, _, err := s.run(t, append(given, "OUTPUT=json"), script, "start")
	require.NoError(t, err)
	var output podinventory.Output
	require.NoError(t, json.Unmarshal([]byte(found), &output))
	assert.Equal(t, "deployed", output.Cluster.Name, "the stack's default")
	assert.True(t, output.Access.Allowed, "make deploy applied rbac/")
	log, _, err := s.run(t, given, script, "logs")
	require.NoError(t, err)
	assert.Contains(t, log, `"state":"ListPods"`)

	_, _, err = s.run(t, append(given, "PARAMS=CacheTtl=9s"), script, "deploy")
	require.NoError(t, err)
	assert.Equal(t, first, release(), "the same code, template and parameters")
	_, _, err = s.run(t, append(given, "PARAMS=CacheTtl=8s"), script, "deploy")
	require.NoError(t, err)
	assert.NotEqual(t, first, release())

	_, said, err = s.run(t, given, script, "destroy")
	require.Error(t, err)
	assert.Contains(t, said, "Nothing was deleted.", "nobody has confirmed")
	assert.Len(t, running(stack.Stack{Name: "made"}), 7)
	_, _, err = s.run(t, append(given, "CONFIRM=made"), script, "destroy")
	require.NoError(t, err)
	assertNothingIsLeft(t, s, kube)
}

// Whoever has tried the local world deploys from the same shell.
func TestALocalWorldThatHasEndedIsNotMissingCredentials(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(nil)
	gone.Close()
	s := shell{append(os.Environ(), "AWS_ENDPOINT_URL="+gone.URL, "AWS_ACCESS_KEY_ID=a", "AWS_SECRET_ACCESS_KEY=b", "AWS_MAX_ATTEMPTS=1")}
	script, err := filepath.Abs(filepath.Join(repository, "hack", "stack.sh"))
	require.NoError(t, err)

	_, said, err := s.run(t, []string{"STACK=made", "CLUSTER=demo"}, script, "deploy")

	require.Error(t, err)
	assert.Contains(t, said, "the local world at AWS_ENDPOINT_URL="+gone.URL+", which does not answer: start it with make up")
	assert.NotContains(t, said, "AWS_PROFILE")
}

func assertNothingIsLeft(t *testing.T, s shell, kube *kubernetes.Clientset) {
	t.Helper()
	for _, f := range local.Lambda.Functions() {
		assert.NotContains(t, f.Name, "made-")
	}
	client, err := stepFunctions()
	require.NoError(t, err)
	arn := "arn:aws:states:eu-west-1:111122223333:stateMachine:made-pod-inventory"
	_, err = client.DescribeStateMachine(t.Context(), &sfn.DescribeStateMachineInput{StateMachineArn: &arn})
	var gone *types.StateMachineDoesNotExist
	assert.ErrorAs(t, err, &gone)
	_, said, err := s.run(t, nil, "aws", "cloudformation", "describe-stacks", "--stack-name", "made")
	assert.Error(t, err)
	assert.Contains(t, said, "Stack with id made does not exist")
	objects, _, err := s.run(t, nil, "aws", "s3", "ls", "--recursive", "s3://kubestep-111122223333-eu-west-1/")
	assert.Empty(t, objects, err)
	roles, err := kube.RbacV1().Roles("").List(t.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/part-of=kubestep"})
	require.NoError(t, err)
	assert.Empty(t, roles.Items)
	bindings, err := kube.RbacV1().RoleBindings("").List(t.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/part-of=kubestep"})
	require.NoError(t, err)
	assert.Empty(t, bindings.Items)
}
