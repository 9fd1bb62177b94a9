package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// own returns an address of this computer that is not a loopback address: a connection to it does not leave the computer, but a
// guard that lets it pass would let all others pass.
func own(t *testing.T) string {
	t.Helper()
	addresses, err := net.InterfaceAddrs()
	require.NoError(t, err)
	for _, address := range addresses {
		if ip := address.(*net.IPNet).IP; ip.IsGlobalUnicast() && ip.To4() != nil {
			return ip.String()
		}
	}
	t.Skip("this computer has no address but loopback, so nothing can leave it")
	return ""
}

// bait is a server at an address that the API server must not reach, or at one that it may.
type bait struct {
	host, port string
	bitten     atomic.Int32
}

func (b *bait) address() string { return net.JoinHostPort(b.host, b.port) }

func lay(t *testing.T, host string) *bait {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	b := &bait{host: host}
	_, b.port, err = net.SplitHostPort(listener.Addr().String())
	require.NoError(t, err)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			b.bitten.Add(1)
			_ = conn.Close()
		}
	}()
	return b
}

const webhookOnSecrets = `
apiVersion: admissionregistration.k8s.io/v1
kind: %sWebhookConfiguration
metadata: {name: bait}
webhooks:
- name: bait.kubestep.example
  admissionReviewVersions: [v1]
  sideEffects: None
  timeoutSeconds: 2
  rules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [secrets], scope: "*"}]
  clientConfig: %s
`

// externalName makes the service bait a name of a host: nothing but the API server's own resolver of services looks at it.
const externalName = `
apiVersion: v1
kind: Service
metadata: {name: bait, namespace: default}
spec: {type: ExternalName, externalName: "%s", ports: [{port: %s}]}
`

const apiService = `
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1.bait.kubestep.example}
spec:
  group: bait.kubestep.example
  version: v1
  groupPriorityMinimum: 1000
  versionPriority: 10
  insecureSkipTLSVerify: true
  service: {name: bait, namespace: default, port: %s}
`

const conversion = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: baits.kubestep.example}
spec:
  group: kubestep.example
  scope: Cluster
  names: {plural: baits, singular: bait, kind: Bait}
  versions:
  - {name: v1, served: true, storage: true, schema: &schema {openAPIV3Schema: {type: object}}}
  - {name: v2, served: true, storage: false, schema: *schema}
  conversion: {strategy: Webhook, webhook: {conversionReviewVersions: [v1], clientConfig: %s}}
`

const customResource = `
apiVersion: kubestep.example/v1
kind: Bait
metadata: {name: bait}
`

// node makes a kubelet of the bait.
func node(t *testing.T, admin *kubernetes.Clientset, b *bait) {
	t.Helper()
	created, err := admin.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "bait"}}, metav1.CreateOptions{})
	require.NoError(t, err)
	created.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: b.host}}
	port, err := net.LookupPort("tcp", b.port)
	require.NoError(t, err)
	created.Status.DaemonEndpoints.KubeletEndpoint.Port = int32(port)
	_, err = admin.CoreV1().Nodes().UpdateStatus(t.Context(), created, metav1.UpdateOptions{})
	require.NoError(t, err)
}

// pod makes a pod on the node of that name, with the bait's address.
func pod(t *testing.T, admin *kubernetes.Clientset, b *bait) {
	t.Helper()
	created, err := admin.CoreV1().Pods("default").Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "bait", Labels: map[string]string{"app": "bait"}},
		Spec:       corev1.PodSpec{NodeName: "bait", Containers: []corev1.Container{{Name: "bait", Image: "bait"}}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	created.Status.Phase, created.Status.PodIP = corev1.PodRunning, b.host
	created.Status.PodIPs = []corev1.PodIP{{IP: b.host}}
	_, err = admin.CoreV1().Pods("default").UpdateStatus(t.Context(), created, metav1.UpdateOptions{})
	require.NoError(t, err)
}

// unmake deletes what node and pod made.
func unmake(t *testing.T, admin *kubernetes.Clientset) {
	t.Helper()
	none := int64(0)
	_ = admin.CoreV1().Pods("default").Delete(t.Context(), "bait", metav1.DeleteOptions{GracePeriodSeconds: &none})
	_ = admin.CoreV1().Nodes().Delete(t.Context(), "bait", metav1.DeleteOptions{})
}

func (c *controlPlane) secret(t *testing.T) error {
	t.Helper()
	_, err := c.admin(t).CoreV1().Secrets("default").Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{GenerateName: "bait-"}}, metav1.CreateOptions{})
	return err
}

// call makes a request as a client does that wants to upgrade the connection, or does not.
func (c *controlPlane) call(t *testing.T, verb, path, upgrade string) error {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig)
	require.NoError(t, err)
	config.NextProtos = []string{"http/1.1"} // HTTP/2 has no upgrade
	client, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	request := client.CoreV1().RESTClient().Verb(verb).RequestURI(path)
	if upgrade != "" {
		request = request.SetHeader("Connection", "Upgrade").SetHeader("Upgrade", upgrade).SetHeader("X-Stream-Protocol-Version", "v4.channel.k8s.io").
			SetHeader("Sec-WebSocket-Version", "13").SetHeader("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==").SetHeader("Sec-WebSocket-Protocol", "v5.channel.k8s.io")
	}
	return request.Do(t.Context()).Error()
}

// ways are all that is known by which an object makes the API server connect to an address of its own.
func ways() map[string]func(t *testing.T, c *controlPlane, b *bait) error {
	webhook := func(kind, form string, args func(c *controlPlane, b *bait) []any) func(*testing.T, *controlPlane, *bait) error {
		return func(t *testing.T, c *controlPlane, b *bait) error {
			t.Helper()
			manifest := fmt.Sprintf(externalName, b.host, b.port) + "---" + fmt.Sprintf(webhookOnSecrets, kind, fmt.Sprintf(form, args(c, b)...))
			c.kubectl(t, manifest, "apply", "--server-side")
			defer c.kubectl(t, manifest, "delete")
			var err error
			require.Eventually(t, func() bool { // a webhook is called a moment after it was created
				err = c.secret(t)
				return err != nil
			}, 5*time.Second, 50*time.Millisecond)
			return err
		}
	}
	byService := `{service: {name: bait, namespace: default, port: %s}}`
	convert := func(form string, args func(c *controlPlane, b *bait) []any) func(*testing.T, *controlPlane, *bait) error {
		return func(t *testing.T, c *controlPlane, b *bait) error {
			t.Helper()
			manifest := fmt.Sprintf(externalName, b.host, b.port) + "---" + fmt.Sprintf(conversion, fmt.Sprintf(form, args(c, b)...))
			c.kubectl(t, manifest, "apply", "--server-side")
			defer c.kubectl(t, manifest, "delete", "--wait=false")
			require.Eventually(t, func() bool {
				return c.call(t, http.MethodGet, "/apis/kubestep.example/v1/baits", "") == nil
			}, 10*time.Second, 50*time.Millisecond)
			c.kubectl(t, customResource, "apply", "--server-side")
			return c.call(t, http.MethodGet, "/apis/kubestep.example/v2/baits/bait", "")
		}
	}
	port := func(_ *controlPlane, b *bait) []any { return []any{b.port} }
	kubelet := func(verb, upgrade, form string, args func(*bait) []any) func(*testing.T, *controlPlane, *bait) error {
		return func(t *testing.T, c *controlPlane, b *bait) error {
			t.Helper()
			admin := c.admin(t)
			node(t, admin, b)
			pod(t, admin, b)
			defer unmake(t, admin)
			return c.call(t, verb, fmt.Sprintf(form, args(b)...), upgrade)
		}
	}
	no := func(*bait) []any { return nil }
	itsPort := func(b *bait) []any { return []any{b.port} }
	return map[string]func(*testing.T, *controlPlane, *bait) error{
		"a validating webhook by service": webhook("Validating", byService, port),
		"a mutating webhook by service":   webhook("Mutating", byService, port),
		"a webhook by URL": webhook("Validating", `{url: "https://%s/"}`, func(_ *controlPlane, b *bait) []any {
			return []any{b.address()}
		}),
		// Only with a CA does the API server make a transport of its own.
		"a webhook by URL with a CA": webhook("Mutating", `{url: "https://%s/", caBundle: %s}`, func(c *controlPlane, b *bait) []any {
			return []any{b.address(), c.CertificateAuthority}
		}),
		"a conversion webhook by service": convert(byService, port),
		"a conversion webhook by URL": convert(`{url: "https://%s/"}`, func(_ *controlPlane, b *bait) []any {
			return []any{b.address()}
		}),
		"an APIService": func(t *testing.T, c *controlPlane, b *bait) error {
			t.Helper()
			manifest := fmt.Sprintf(externalName, b.host, b.port) + "---" + fmt.Sprintf(apiService, b.port)
			c.kubectl(t, manifest, "apply", "--server-side")
			defer c.kubectl(t, manifest, "delete")
			path := "/apis/apiregistration.k8s.io/v1/apiservices/v1.bait.kubestep.example"
			var text string
			require.Eventually(t, func() bool {
				raw, err := c.admin(t).CoreV1().RESTClient().Get().AbsPath(path).DoRaw(t.Context())
				text = string(raw)
				return err == nil && strings.Contains(text, "FailedDiscoveryCheck")
			}, 10*time.Second, 50*time.Millisecond)
			return fmt.Errorf("%s", text)
		},
		"a node's proxy":                     kubelet(http.MethodGet, "", "/api/v1/nodes/bait/proxy/healthz", no),
		"a node's proxy, by port":            kubelet(http.MethodGet, "", "/api/v1/nodes/https:bait:%s/proxy/", itsPort),
		"a pod's logs":                       kubelet(http.MethodGet, "", "/api/v1/namespaces/default/pods/bait/log", no),
		"an exec in a pod":                   kubelet(http.MethodPost, "SPDY/3.1", "/api/v1/namespaces/default/pods/bait/exec?command=sh&stdout=true&container=bait", no),
		"an exec in a pod, by WebSocket":     kubelet(http.MethodGet, "websocket", "/api/v1/namespaces/default/pods/bait/exec?command=sh&stdout=true&container=bait", no),
		"an attach to a pod":                 kubelet(http.MethodPost, "SPDY/3.1", "/api/v1/namespaces/default/pods/bait/attach?stdout=true&container=bait", no),
		"a forwarded port":                   kubelet(http.MethodPost, "SPDY/3.1", "/api/v1/namespaces/default/pods/bait/portforward?ports=80", no),
		"a pod's proxy":                      kubelet(http.MethodGet, "", "/api/v1/namespaces/default/pods/bait:%s/proxy/", itsPort),
		"a pod's proxy with an upgrade":      kubelet(http.MethodGet, "websocket", "/api/v1/namespaces/default/pods/bait:%s/proxy/", itsPort),
		"a pod's proxy with TLS":             kubelet(http.MethodGet, "", "/api/v1/namespaces/default/pods/https:bait:%s/proxy/", itsPort),
		"a pod's proxy with TLS and upgrade": kubelet(http.MethodGet, "websocket", "/api/v1/namespaces/default/pods/https:bait:%s/proxy/", itsPort),
		"a service's proxy": func(t *testing.T, c *controlPlane, b *bait) error {
			t.Helper()
			pod(t, c.admin(t), b)
			defer unmake(t, c.admin(t))
			manifest := fmt.Sprintf(`
apiVersion: v1
kind: Service
metadata: {name: bait, namespace: default}
spec: {ports: [{port: 80, targetPort: %[2]s}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: bait, namespace: default, labels: {kubernetes.io/service-name: bait}}
addressType: IPv4
endpoints: [{addresses: ["%[1]s"], conditions: {ready: true}, targetRef: {kind: Pod, namespace: default, name: bait}}]
ports: [{port: %[2]s, name: ""}]
`, b.host, b.port)
			c.kubectl(t, manifest, "apply", "--server-side")
			defer c.kubectl(t, manifest, "delete")
			var err error
			require.Eventually(t, func() bool { // the API server sees the endpoints a moment later
				err = c.call(t, http.MethodGet, "/api/v1/namespaces/default/services/bait/proxy/", "")
				return err == nil || !strings.Contains(err.Error(), "no endpoints")
			}, 5*time.Second, 50*time.Millisecond)
			return err
		},
	}
}

func TestTheAPIServerConnectsToThisComputerOnly(t *testing.T) {
	host := own(t)
	keyFile, _ := newKey(t)
	c := start(t, t.TempDir(), keyFile)
	log := func() string {
		text, _ := os.ReadFile(filepath.Join(filepath.Dir(c.Kubeconfig), "egress.log"))
		return string(text)
	}
	for name, way := range ways() {
		t.Run(name, func(t *testing.T) {
			b := lay(t, host)

			err := way(t, c, b)

			t.Log(err)
			assert.Zero(t, b.bitten.Load(), "it got a connection")
			assert.Contains(t, log(), "to="+b.address()+` error="`, "the guard is what stopped it")
		})
	}
	if t.Failed() {
		t.FailNow() // what follows would leave this computer
	}
	t.Run("a webhook by the cluster's own address of a service", func(t *testing.T) {
		manifest := "apiVersion: v1\nkind: Service\nmetadata: {name: bait, namespace: default}\nspec: {clusterIP: 10.100.77.161, ports: [{port: 443}]}\n---" +
			fmt.Sprintf(webhookOnSecrets, "Mutating", "{service: {name: bait, namespace: default}}")
		c.kubectl(t, manifest, "apply", "--server-side")
		var err error
		require.Eventually(t, func() bool {
			err = c.secret(t)
			return err != nil
		}, 5*time.Second, 50*time.Millisecond)
		assert.ErrorContains(t, err, "the local control plane reaches only this computer")
		assert.ErrorContains(t, err, "10.100.77.161:443")
	})
	t.Run("names are not looked up", func(t *testing.T) {
		for _, kind := range []corev1.NodeAddressType{corev1.NodeHostName, corev1.NodeInternalDNS, corev1.NodeExternalDNS} {
			admin := c.admin(t)
			created, err := admin.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: strings.ToLower(string(kind))}}, metav1.CreateOptions{})
			require.NoError(t, err)
			created.Status.Addresses = []corev1.NodeAddress{{Type: kind, Address: "kubelet.example"}}
			_, err = admin.CoreV1().Nodes().UpdateStatus(t.Context(), created, metav1.UpdateOptions{})
			require.NoError(t, err)
			err = c.call(t, http.MethodGet, "/api/v1/nodes/"+created.Name+"/proxy/", "")
			assert.ErrorContains(t, err, "the local control plane reaches only this computer")
		}
	})
	c.stop(t)
}

func TestTheAPIServerConnectsToWhatIsOnThisComputer(t *testing.T) {
	keyFile, _ := newKey(t)
	c := start(t, t.TempDir(), keyFile)
	for name, way := range ways() {
		if strings.Contains(name, "pod's proxy") || strings.Contains(name, "node's proxy") || strings.Contains(name, "service's proxy") {
			continue // Kubernetes itself keeps these from loopback
		}
		t.Run(name, func(t *testing.T) {
			b := lay(t, "127.0.0.1")
			t.Log(way(t, c, b))
			assert.NotZero(t, b.bitten.Load())
		})
	}
	c.stop(t)
}
