package test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// workloads are a namespace and an application in it, of each kind that owns others.
const workloads = `
apiVersion: v1
kind: Namespace
metadata: {name: %[1]s}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: %[1]s}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c, image: registry.example/c}]}}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: %[1]s}
spec: {selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: %[1]s}
spec:
  replicas: 2
  serviceName: db
  selector: {matchLabels: {app: db}}
  template: {metadata: {labels: {app: db}}, spec: {containers: [{name: c, image: registry.example/c}]}}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: db, namespace: %[1]s}
spec: {minAvailable: 1, selector: {matchLabels: {app: db}}}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent, namespace: %[1]s}
spec:
  selector: {matchLabels: {app: agent}}
  template: {metadata: {labels: {app: agent}}, spec: {containers: [{name: c, image: registry.example/c}]}}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: report, namespace: %[1]s}
spec:
  schedule: "* * * * *"
  jobTemplate:
    spec:
      template:
        metadata: {annotations: {kubestep.local/logs: the report is written}}
        spec: {restartPolicy: Never, containers: [{name: c, image: registry.example/c}]}
---
apiVersion: batch/v1
kind: Job
metadata: {name: migrate, namespace: %[1]s}
spec:
  ttlSecondsAfterFinished: 60
  template: {spec: {restartPolicy: Never, containers: [{name: c, image: registry.example/c}]}}
`

func TestWhatIsAppliedGetsReadyByItselfAndIsGoneWithAllThatItOwns(t *testing.T) {
	t.Parallel()
	a := newAdmin(t)
	namespace := "living-" + a.stack.Name
	e := a.run(t, map[string]any{"manifests": fmt.Sprintf(workloads, namespace), "wait": map[string]any{"timeoutSeconds": 120}})
	output := applied(t, e)
	assert.True(t, output.Ready)
	assert.Empty(t, output.Unobserved, "controllers looked at all of it")
	budget, err := admin(t).PolicyV1().PodDisruptionBudgets(namespace).Get(t.Context(), "db", metav1.GetOptions{})
	require.NoError(t, err)
	assert.EqualValues(t, 1, budget.Status.DisruptionsAllowed)

	pods, jobs := admin(t).CoreV1().Pods(namespace), admin(t).BatchV1().Jobs(namespace)
	var log string
	require.Eventually(t, func() bool {
		list, err := pods.List(t.Context(), metav1.ListOptions{FieldSelector: "status.phase=Succeeded"})
		if err != nil {
			return false
		}
		for _, pod := range list.Items {
			if strings.HasPrefix(pod.Name, "report-") {
				text, err := pods.GetLogs(pod.Name, &corev1.PodLogOptions{}).DoRaw(t.Context())
				log = string(text)
				return err == nil
			}
		}
		return false
	}, 90*time.Second, time.Second, "the CronJob starts a Job each minute")
	assert.Equal(t, "the report is written\n", log)

	// As kubectl deletes: what is owned goes in the background.
	background := metav1.DeleteOptions{PropagationPolicy: new(metav1.DeletePropagationBackground)}
	apps := admin(t).AppsV1()
	require.NoError(t, apps.Deployments(namespace).Delete(t.Context(), "web", background))
	require.NoError(t, apps.StatefulSets(namespace).Delete(t.Context(), "db", background))
	require.NoError(t, apps.DaemonSets(namespace).Delete(t.Context(), "agent", background))
	require.NoError(t, admin(t).BatchV1().CronJobs(namespace).Delete(t.Context(), "report", background))
	require.NoError(t, jobs.Delete(t.Context(), "migrate", background))
	assert.Eventually(t, func() bool {
		left, err := pods.List(t.Context(), metav1.ListOptions{})
		sets, setsErr := apps.ReplicaSets(namespace).List(t.Context(), metav1.ListOptions{})
		revisions, revisionsErr := apps.ControllerRevisions(namespace).List(t.Context(), metav1.ListOptions{})
		ran, ranErr := jobs.List(t.Context(), metav1.ListOptions{})
		return err == nil && setsErr == nil && revisionsErr == nil && ranErr == nil && len(left.Items)+len(sets.Items)+len(revisions.Items)+len(ran.Items) == 0
	}, time.Minute, 250*time.Millisecond, "what they owned is gone")

	require.NoError(t, admin(t).CoreV1().Namespaces().Delete(t.Context(), namespace, metav1.DeleteOptions{}))
	assert.Eventually(t, func() bool {
		_, err := admin(t).CoreV1().Namespaces().Get(t.Context(), namespace, metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	}, 5*time.Minute, time.Second, "and the namespace with the rest: it waits for what other scenarios leave unreadable for some seconds")
}
