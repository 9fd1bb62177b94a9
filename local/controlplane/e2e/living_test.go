package e2e

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
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

const deleted = `
apiVersion: v1
kind: Namespace
metadata: {name: passing}
---
apiVersion: batch/v1
kind: Job
metadata: {name: migrate, namespace: passing}
spec:
  podFailurePolicy: {rules: [{action: FailJob, onExitCodes: {operator: In, values: [42]}}]}
  template:
    metadata: {annotations: {kubestep.local/run-for: 1h}}
    spec: {restartPolicy: Never, containers: [{name: c, image: registry.example/c}]}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, namespace: passing}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: disk}
spec: {accessModes: [ReadWriteOnce], capacity: {storage: 1Gi}, storageClassName: none, hostPath: {path: /none}}
---
apiVersion: storage.k8s.io/v1
kind: VolumeAttributesClass
metadata: {name: fast}
driverName: example.com
parameters: {iops: "1"}
---
apiVersion: v1
kind: Pod
metadata: {name: elsewhere, namespace: passing}
spec: {nodeName: no-such-node, containers: [{name: c, image: registry.example/c}]}
`

func TestWhatIsDeletedIsGoneWhateverItWasDoing(t *testing.T) {
	keyFile, _ := newKey(t)
	c := start(t, t.TempDir(), keyFile)
	defer c.stop(t)
	admin := c.admin(t)
	c.kubectl(t, deleted, "apply", "--server-side")
	running := func(not string) string {
		var name string
		require.Eventually(t, func() bool {
			pods, err := admin.CoreV1().Pods("passing").List(t.Context(), metav1.ListOptions{LabelSelector: "job-name=migrate", FieldSelector: "status.phase=Running"})
			if err != nil || len(pods.Items) != 1 || pods.Items[0].Name == not {
				return false
			}
			name = pods.Items[0].Name
			return true
		}, 30*time.Second, 50*time.Millisecond, "the Job runs a pod")
		return name
	}
	first := running("")
	require.NoError(t, admin.CoreV1().Pods("passing").Delete(t.Context(), first, metav1.DeleteOptions{}))
	running(first) // such a Job waits until the pod before has ended

	require.NoError(t, admin.CoreV1().PersistentVolumes().Delete(t.Context(), "disk", metav1.DeleteOptions{}))
	require.NoError(t, admin.StorageV1().VolumeAttributesClasses().Delete(t.Context(), "fast", metav1.DeleteOptions{}))
	require.NoError(t, admin.CoreV1().Namespaces().Delete(t.Context(), "passing", metav1.DeleteOptions{}))
	assert.Eventually(t, func() bool {
		_, namespace := admin.CoreV1().Namespaces().Get(t.Context(), "passing", metav1.GetOptions{})
		_, volume := admin.CoreV1().PersistentVolumes().Get(t.Context(), "disk", metav1.GetOptions{})
		_, class := admin.StorageV1().VolumeAttributesClasses().Get(t.Context(), "fast", metav1.GetOptions{})
		return apierrors.IsNotFound(namespace) && apierrors.IsNotFound(volume) && apierrors.IsNotFound(class)
	}, time.Minute, 100*time.Millisecond)
}

const lacking = `
apiVersion: v1
kind: Pod
metadata: {name: lacking, namespace: default}
spec:
  volumes: [{name: v, configMap: {name: late}}]
  containers: [{name: c, image: registry.example/c, envFrom: [{secretRef: {name: late}}]}]
`

func TestAPodWaitsForASecretAndAConfigMap(t *testing.T) {
	keyFile, _ := newKey(t)
	c := start(t, t.TempDir(), keyFile)
	defer c.stop(t)
	admin := c.admin(t)
	c.kubectl(t, lacking, "apply", "--server-side")
	pods, meta := admin.CoreV1().Pods("default"), metav1.ObjectMeta{Name: "late"}
	becomes := func(what string) {
		t.Helper()
		require.Eventually(t, func() bool {
			pod, err := pods.Get(t.Context(), "lacking", metav1.GetOptions{})
			if err != nil || len(pod.Status.ContainerStatuses) != 1 {
				return false
			}
			waiting := pod.Status.ContainerStatuses[0].State.Waiting
			return string(pod.Status.Phase) == what || waiting != nil && waiting.Reason == what
		}, 30*time.Second, 50*time.Millisecond, what)
	}
	becomes("ContainerCreating")
	_, err := admin.CoreV1().ConfigMaps("default").Create(t.Context(), &corev1.ConfigMap{ObjectMeta: meta}, metav1.CreateOptions{})
	require.NoError(t, err)
	becomes("CreateContainerConfigError")
	_, err = admin.CoreV1().Secrets("default").Create(t.Context(), &corev1.Secret{ObjectMeta: meta}, metav1.CreateOptions{})
	require.NoError(t, err)
	becomes("Running")

	told := map[string]string{}
	require.Eventually(t, func() bool {
		events, err := admin.CoreV1().Events("default").List(t.Context(), metav1.ListOptions{FieldSelector: "involvedObject.name=lacking,source=kubelet"})
		if err != nil {
			return false
		}
		for _, e := range events.Items {
			told[e.Reason] = e.Message
		}
		return told["Started"] != ""
	}, 30*time.Second, 50*time.Millisecond)
	assert.Equal(t, `MountVolume.SetUp failed for volume "v" : configmap "late" not found`, told["FailedMount"])
	assert.Equal(t, `Error: secret "late" not found`, told["Failed"])
}
