// Package e2e runs the built control plane, and calls it as its clients do.
package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kubestep/kubestep/local/credentials"
)

const (
	cluster = "demo"
	region  = "eu-west-1"

	mappedRole   = "arn:aws:iam::111122223333:role/kubestep/mapped"
	unmappedRole = "arn:aws:iam::111122223333:role/kubestep/unmapped"

	startTimeout = 30 * time.Second
	// stopTimeout is more than the 3 seconds that it takes, for a machine that is busy with other tests.
	stopTimeout = 10 * time.Second
)

// accessManifest maps a role to a group, and binds the group in the namespace shop. aws-auth names a role without its path.
const accessManifest = `
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: aws-auth, namespace: kube-system}
data:
  mapRoles: |
    - rolearn: arn:aws:iam::111122223333:role/mapped
      username: mapped
      groups: [pod-readers]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: pod-readers, namespace: shop}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: pod-reader}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: Group, name: pod-readers}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: pod-reader, namespace: shop}
rules: [{apiGroups: [""], resources: [pods], verbs: [list]}]
`

// controlPlane is a running control plane.
type controlPlane struct {
	Cluster, Endpoint, CertificateAuthority, Kubeconfig string

	command *exec.Cmd
	stderr  *bytes.Buffer
}

func binary(t *testing.T) string {
	t.Helper()
	name := os.Getenv("CONTROLPLANE_BINARY")
	if name == "" {
		t.Skip("CONTROLPLANE_BINARY does not name a built control plane, which takes minutes to build")
	}
	return name
}

func serveCommand(t *testing.T, dir, keyFile string, more ...string) *exec.Cmd {
	t.Helper()
	args := append([]string{"--dir", dir, "--cluster", cluster, "--credentials-key-file", keyFile}, more...)
	command := exec.Command(binary(t), args...)
	// The user's settings must not matter.
	command.Env = append(os.Environ(), "AWS_PROFILE=not-there", "HTTPS_PROXY=http://127.0.0.1:1", "AWS_ENDPOINT_URL=http://127.0.0.1:1")
	return command
}

// start starts a control plane and waits for its line.
func start(t *testing.T, dir, keyFile string, more ...string) *controlPlane {
	t.Helper()
	c := &controlPlane{command: serveCommand(t, dir, keyFile, more...), stderr: &bytes.Buffer{}}
	c.command.Stderr = c.stderr
	stdout, err := c.command.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, c.command.Start())
	t.Cleanup(func() { _ = c.command.Process.Kill() })

	line := make(chan string, 1)
	go func() {
		text, _ := bufio.NewReader(stdout).ReadString('\n')
		line <- text
	}()
	select {
	case text := <-line:
		require.NoError(t, json.Unmarshal([]byte(text), c), "stdout %q, stderr %q", text, c.stderr)
	case <-time.After(startTimeout):
		require.Fail(t, "the control plane is not ready", "stderr %q", c.stderr)
	}
	return c
}

// stop ends it, and expects that it exits soon and without an error.
func (c *controlPlane) stop(t *testing.T) {
	t.Helper()
	require.NoError(t, c.command.Process.Signal(os.Interrupt))
	ended := make(chan error, 1)
	asked := time.Now()
	go func() { ended <- c.command.Wait() }()
	select {
	case err := <-ended:
		assert.NoError(t, err, c.stderr)
		t.Logf("stopped after %s", time.Since(asked).Round(time.Millisecond))
	case <-time.After(stopTimeout):
		require.Fail(t, "the control plane does not stop")
	}
	assert.Empty(t, c.stderr.String())
}

func (c *controlPlane) port(t *testing.T) string {
	t.Helper()
	endpoint, err := url.Parse(c.Endpoint)
	require.NoError(t, err)
	return endpoint.Port()
}

func (c *controlPlane) admin(t *testing.T) *kubernetes.Clientset {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig)
	require.NoError(t, err)
	client, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	return client
}

// bearer returns a client that has only the endpoint, the CA and a token, as a function has.
func (c *controlPlane) bearer(t *testing.T, token string) *kubernetes.Clientset {
	t.Helper()
	ca, err := base64.StdEncoding.DecodeString(c.CertificateAuthority)
	require.NoError(t, err)
	client, err := kubernetes.NewForConfig(&rest.Config{
		Host: c.Endpoint, BearerToken: token, TLSClientConfig: rest.TLSClientConfig{CAData: ca},
	})
	require.NoError(t, err)
	return client
}

// kubectl applies a manifest with the kubectl that is built with the control plane.
func (c *controlPlane) kubectl(t *testing.T, manifest string, args ...string) {
	t.Helper()
	args = append(args, "--kubeconfig", c.Kubeconfig, "--cache-dir", t.TempDir(), "-f", "-")
	command := exec.Command(filepath.Join(filepath.Dir(binary(t)), "kubectl"), args...)
	command.Stdin = strings.NewReader(manifest)
	out, err := command.CombinedOutput()
	require.NoError(t, err, string(out))
}

func newKey(t *testing.T) (string, credentials.Authority) {
	t.Helper()
	key := make([]byte, 32)
	_, err := rand.Read(key)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "credentials.key")
	require.NoError(t, os.WriteFile(file, key, 0o600))
	return file, credentials.New(key)
}

// signedAt presigns at a given time; the SDK's own presigner uses the clock.
type signedAt struct {
	moment time.Time
}

func (s signedAt) PresignHTTP(ctx context.Context, creds aws.Credentials, r *http.Request, payload, service, region string, _ time.Time, options ...func(*v4.SignerOptions)) (string, http.Header, error) {
	return v4.NewSigner().PresignHTTP(ctx, creds, r, payload, service, region, s.moment, options...)
}

// token returns a bearer token for a cluster.
func token(t *testing.T, creds aws.Credentials, cluster string, at time.Time) string {
	t.Helper()
	client := sts.New(sts.Options{Region: region, Credentials: aws.CredentialsProviderFunc(
		func(context.Context) (aws.Credentials, error) { return creds, nil },
	)})
	presigned, err := sts.NewPresignClient(client).PresignGetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{},
		func(o *sts.PresignOptions) {
			o.Presigner = signedAt{at}
			o.ClientOptions = append(o.ClientOptions, sts.WithAPIOptions(
				smithyhttp.SetHeaderValue("X-K8s-Aws-Id", cluster), smithyhttp.SetHeaderValue("X-Amz-Expires", "60")))
		})
	require.NoError(t, err)
	return "k8s-aws-v1." + base64.RawURLEncoding.EncodeToString([]byte(presigned.URL))
}

func TestTheClusterDecidesByTokenMappingAndBinding(t *testing.T) {
	keyFile, authority := newKey(t)
	c := start(t, t.TempDir(), keyFile)

	c.kubectl(t, accessManifest, "apply", "--server-side")

	now := time.Now()
	issue := func(role string, expires time.Time) aws.Credentials {
		creds, err := authority.Issue(role, "function", expires)
		require.NoError(t, err)
		return creds
	}
	good := issue(mappedRole, now.Add(time.Hour))
	wrongSecret := good
	wrongSecret.SecretAccessKey = "wrong" + good.SecretAccessKey[5:]
	unmapped := issue(unmappedRole, now.Add(time.Hour))
	_, foreigner := newKey(t)
	foreign, err := foreigner.Issue(mappedRole, "function", now.Add(time.Hour))
	require.NoError(t, err)

	require.Eventually(t, func() bool {
		_, err := c.bearer(t, token(t, good, cluster, now)).CoreV1().Pods("shop").List(t.Context(), metav1.ListOptions{})
		return err == nil
	}, 2*time.Second, 10*time.Millisecond, "the mapping works soon after it is applied")
	t.Logf("a bearer token has %d bytes", len(token(t, good, cluster, now)))

	tests := map[string]struct {
		token, namespace string
		want             metav1.StatusReason
	}{
		"mapped and bound":                {token(t, good, cluster, now), "shop", ""},
		"mapped and not bound":            {token(t, good, cluster, now), "default", metav1.StatusReasonForbidden},
		"not mapped":                      {token(t, unmapped, cluster, now), "shop", metav1.StatusReasonUnauthorized},
		"a wrong secret":                  {token(t, wrongSecret, cluster, now), "shop", metav1.StatusReasonUnauthorized},
		"credentials from elsewhere":      {token(t, foreign, cluster, now), "shop", metav1.StatusReasonUnauthorized},
		"another cluster's token":         {token(t, good, "other", now), "shop", metav1.StatusReasonUnauthorized},
		"a token of 14 minutes":           {token(t, good, cluster, now.Add(-14*time.Minute)), "shop", ""},
		"a token of 15 and a half":        {token(t, good, cluster, now.Add(-15*time.Minute-30*time.Second)), "shop", metav1.StatusReasonUnauthorized},
		"a token of expired credentials":  {token(t, issue(mappedRole, now.Add(-time.Second)), cluster, now), "shop", metav1.StatusReasonUnauthorized},
		"no token at all, so anonymously": {"", "shop", metav1.StatusReasonForbidden},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := c.bearer(t, test.token).CoreV1().Pods(test.namespace).List(t.Context(), metav1.ListOptions{})

			if test.want == "" {
				assert.NoError(t, err)
			} else {
				assert.Equal(t, test.want, apierrors.ReasonForError(err), "%v", err)
			}
		})
	}

	c.kubectl(t, accessManifest, "delete", "--wait=false")
	assert.Eventually(t, func() bool {
		_, err := c.admin(t).CoreV1().Namespaces().Get(t.Context(), "shop", metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	}, 20*time.Second, 100*time.Millisecond, "a namespace that is deleted goes")

	c.stop(t)
}

func TestARestartKeepsObjectsAndTheCAAndRotatesItWhenAsked(t *testing.T) {
	dir := t.TempDir()
	keyFile, authority := newKey(t)
	creds, err := authority.Issue(mappedRole, "function", time.Now().Add(time.Hour))
	require.NoError(t, err)
	first := start(t, dir, keyFile)
	first.kubectl(t, accessManifest, "apply", "--server-side")
	first.stop(t)

	again := start(t, dir, keyFile, "--port", first.port(t))

	assert.Equal(t, first.Endpoint, again.Endpoint)
	assert.Equal(t, first.CertificateAuthority, again.CertificateAuthority)
	assert.Equal(t, first.Kubeconfig, again.Kubeconfig)
	require.Eventually(t, func() bool {
		_, err := again.bearer(t, token(t, creds, cluster, time.Now())).CoreV1().Pods("shop").List(t.Context(), metav1.ListOptions{})
		return err == nil
	}, 2*time.Second, 10*time.Millisecond, "the mapping is still there")
	require.NoError(t, again.command.Process.Kill())
	_ = again.command.Wait()

	rotated := start(t, dir, keyFile, "--port", first.port(t), "--new-ca")

	assert.NotEqual(t, first.CertificateAuthority, rotated.CertificateAuthority)
	_, err = rotated.admin(t).CoreV1().Namespaces().Get(t.Context(), "shop", metav1.GetOptions{})
	assert.NoError(t, err, "objects outlive even a kill")
	_, err = again.bearer(t, "").CoreV1().Pods("shop").List(t.Context(), metav1.ListOptions{})
	assert.ErrorContains(t, err, "x509", "a client with the old CA does not trust the server")
	rotated.stop(t)
}

func TestAStopWhileItStartsIsNotAFailure(t *testing.T) {
	keyFile, _ := newKey(t)
	for _, after := range []time.Duration{500 * time.Millisecond, time.Second, 1500 * time.Millisecond} {
		t.Run("after "+after.String(), func(t *testing.T) {
			c := &controlPlane{command: serveCommand(t, t.TempDir(), keyFile), stderr: &bytes.Buffer{}}
			c.command.Stderr = c.stderr
			require.NoError(t, c.command.Start())
			time.Sleep(after)

			c.stop(t)
		})
	}
}

func TestTheCallsThatClientsUsuallyMakeWork(t *testing.T) {
	keyFile, _ := newKey(t)
	c := start(t, t.TempDir(), keyFile)
	admin := c.admin(t)

	t.Run("the server tells its version", func(t *testing.T) {
		version, err := admin.Discovery().ServerVersion()
		require.NoError(t, err)
		assert.Regexp(t, `^v1\.\d+\.\d+$`, version.GitVersion)
		assert.Equal(t, "1", version.Major)
	})
	t.Run("pods are made, and told their status", func(t *testing.T) {
		pods := admin.CoreV1().Pods("default")
		pod, err := pods.Create(t.Context(), &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: "web"},
			Spec:       corev1.PodSpec{NodeName: "node", Containers: []corev1.Container{{Name: "web", Image: "web"}}},
		}, metav1.CreateOptions{})
		require.NoError(t, err)
		pod.Status.Phase = corev1.PodRunning
		_, err = pods.UpdateStatus(t.Context(), pod, metav1.UpdateOptions{})
		require.NoError(t, err)
		running, err := pods.List(t.Context(), metav1.ListOptions{FieldSelector: "status.phase=Running"})
		require.NoError(t, err)
		assert.Len(t, running.Items, 1)
	})
	t.Run("everything listens on the loopback interface only", func(t *testing.T) {
		addresses := listening(t, c.command.Process.Pid)
		assert.Len(t, addresses, 3, "the API server, the authenticator and the kubelets: %v", addresses)
		for _, address := range addresses {
			assert.True(t, address.Addr().IsLoopback(), address)
		}
	})
	t.Run("the kubeconfig is its owner's", func(t *testing.T) {
		info, err := os.Stat(c.Kubeconfig)
		require.NoError(t, err)
		assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	})
	c.stop(t)
}

// listening returns the addresses where a process takes TCP connections, as Linux tells them: proc_pid_net(5).
func listening(t *testing.T, pid int) []netip.AddrPort {
	t.Helper()
	descriptors, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	require.NoError(t, err)
	if len(descriptors) == 0 {
		t.Skip("this computer has no /proc")
	}
	var addresses []netip.AddrPort
	for _, file := range []string{"tcp", "tcp6"} {
		table, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, file))
		require.NoError(t, err)
		for line := range strings.Lines(string(table)) {
			fields := strings.Fields(line)
			const isListening = "0A"
			if fields[3] != isListening || !slices.ContainsFunc(descriptors, func(d string) bool {
				target, _ := os.Readlink(d)
				return target == "socket:["+fields[9]+"]"
			}) {
				continue
			}
			host, port, _ := strings.Cut(fields[1], ":")
			raw, err := hex.DecodeString(host)
			require.NoError(t, err)
			for word := range slices.Chunk(raw, 4) { // each is in the order of this computer
				slices.Reverse(word)
			}
			ip, _ := netip.AddrFromSlice(raw)
			number, err := strconv.ParseUint(port, 16, 16)
			require.NoError(t, err)
			addresses = append(addresses, netip.AddrPortFrom(ip.Unmap(), uint16(number)))
		}
	}
	return addresses
}

func TestAFailureToStartIsOneSentence(t *testing.T) {
	keyFile, _ := newKey(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	_, takenPort, err := net.SplitHostPort(taken.Addr().String())
	require.NoError(t, err)
	running := start(t, t.TempDir(), keyFile)
	brokenCA := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(brokenCA, "apiserver.crt"), []byte("broken"), 0o600))

	tests := map[string]struct {
		command *exec.Cmd
		status  int
		want    string
	}{
		"the port is taken":      {serveCommand(t, t.TempDir(), keyFile, "--port", takenPort), 1, "address already in use"},
		"the key is not there":   {serveCommand(t, t.TempDir(), filepath.Join(t.TempDir(), "absent")), 1, "absent"},
		"the CA cannot be read":  {serveCommand(t, brokenCA, keyFile), 1, "apiserver.crt"},
		"one runs there already": {serveCommand(t, filepath.Dir(running.Kubeconfig), keyFile), 1, "runs on the data in"},
		"a flag is missing":      {exec.Command(binary(t), "--dir", t.TempDir()), 2, "--cluster, --credentials-key-file must be given"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			test.command.Stdout, test.command.Stderr = &stdout, &stderr

			err := test.command.Run()

			var exit *exec.ExitError
			require.ErrorAs(t, err, &exit)
			assert.Equal(t, test.status, exit.ExitCode())
			assert.Contains(t, stderr.String(), test.want)
			assert.Equal(t, 1, strings.Count(stderr.String(), "\n"), "one line: %q", stderr.String())
			assert.Empty(t, stdout.String())
		})
	}

	_, err = running.admin(t).CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{})
	assert.NoError(t, err, "the one that runs is not disturbed")
	running.stop(t)
}
