package e2e

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const alive = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: default}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}, annotations: {kubestep.local/logs: "one\ntwo\nthree"}}
    spec: {containers: [{name: web, image: registry.example/web}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec: {selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Secret
metadata: {name: token, namespace: default, annotations: {kubernetes.io/service-account.name: default}}
type: kubernetes.io/service-account-token
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: sum}
aggregationRule: {clusterRoleSelectors: [{matchLabels: {part: "yes"}}]}
rules: []
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: part, labels: {part: "yes"}}
rules: [{apiGroups: [""], resources: [pods], verbs: [list]}]
---
apiVersion: batch/v1
kind: Job
metadata: {name: brief, namespace: default}
spec:
  ttlSecondsAfterFinished: 0
  template: {spec: {restartPolicy: Never, containers: [{name: c, image: registry.example/c}]}}
`

func TestTheClusterLivesAndGoesOnAfterARestart(t *testing.T) {
	keyFile, _ := newKey(t)
	dir := t.TempDir()
	c := start(t, dir, keyFile)
	admin := c.admin(t)
	c.kubectl(t, alive, "apply", "--server-side")

	eventually := func(what string, is func() bool) {
		t.Helper()
		require.Eventually(t, is, 30*time.Second, 50*time.Millisecond, what)
	}
	log := func() string {
		pods, err := admin.CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{LabelSelector: "app=web"})
		if err != nil || len(pods.Items) != 1 {
			return ""
		}
		text, _ := admin.CoreV1().Pods("default").GetLogs(pods.Items[0].Name, &corev1.PodLogOptions{TailLines: new(int64(2))}).DoRaw(t.Context())
		return string(text)
	}
	eventually("a Deployment gets ready", func() bool {
		web, err := admin.AppsV1().Deployments("default").Get(t.Context(), "web", metav1.GetOptions{})
		return err == nil && web.Status.ReadyReplicas == 1
	})
	eventually("its pods print", func() bool { return log() == "two\nthree\n" })
	eventually("a Service finds them", func() bool {
		slices, err := admin.DiscoveryV1().EndpointSlices("default").List(t.Context(), metav1.ListOptions{LabelSelector: "kubernetes.io/service-name=web"})
		return err == nil && len(slices.Items) == 1 && len(slices.Items[0].Endpoints) == 1
	})
	eventually("a service account gets its token", func() bool {
		secret, err := admin.CoreV1().Secrets("default").Get(t.Context(), "token", metav1.GetOptions{})
		return err == nil && len(secret.Data["token"]) > 0 && len(secret.Data["ca.crt"]) > 0
	})
	eventually("a ClusterRole is the sum of others", func() bool {
		sum, err := admin.RbacV1().ClusterRoles().Get(t.Context(), "sum", metav1.GetOptions{})
		return err == nil && len(sum.Rules) == 1
	})
	eventually("a Job ends, and goes after its time", func() bool {
		jobs, err := admin.BatchV1().Jobs("default").List(t.Context(), metav1.ListOptions{})
		return err == nil && len(jobs.Items) == 0
	})
	c.stop(t)

	c = start(t, dir, keyFile)
	admin = c.admin(t)
	assert.Eventually(t, func() bool { return log() == "two\nthree\n" }, 30*time.Second, 50*time.Millisecond, "from another port")
	require.NoError(t, admin.AppsV1().Deployments("default").Delete(t.Context(), "web", metav1.DeleteOptions{}))
	eventually("what a Deployment owns goes with it", func() bool {
		pods, err := admin.CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{LabelSelector: "app=web"})
		return err == nil && len(pods.Items) == 0
	})
	c.stop(t)
}
