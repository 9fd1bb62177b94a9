package test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/applymanifests"
)

// lakes defines a kind with a status, and has one of it. group is the scenario's own.
const lakes = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: lakes.%[1]s}
spec:
  group: %[1]s
  scope: Namespaced
  names: {plural: lakes, kind: Lake}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec: {type: object, x-kubernetes-preserve-unknown-fields: true}
          status: {type: object, properties: {observedGeneration: {type: string}, conditions: {type: array, items: {type: object, x-kubernetes-preserve-unknown-fields: true}}}}
---
apiVersion: %[1]s/v1
kind: Lake
metadata: {name: one}
`

// unobserved are objects of kinds whose controllers do not run here: kstatus calls most of them ready.
const unobserved = `
apiVersion: v1
kind: ReplicationController
metadata: {name: one}
spec:
  selector: {app: one}
  template: {metadata: {labels: {app: one}}, spec: {containers: [{name: c, image: registry.example/c}]}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: one}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: Service
metadata: {name: balanced}
spec: {type: LoadBalancer, ports: [{port: 80}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: one}
spec: {defaultBackend: {service: {name: balanced, port: {number: 80}}}}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: one}
spec: {maxReplicas: 2, scaleTargetRef: {apiVersion: apps/v1, kind: StatefulSet, name: one}}
---
apiVersion: v1
kind: ResourceQuota
metadata: {name: one}
spec: {hard: {pods: "9"}}
`

// existing are objects that are ready as soon as they exist, or that the API server itself looks at.
const existing = `
apiVersion: v1
kind: ConfigMap
metadata: {name: one}
---
apiVersion: v1
kind: Service
metadata: {name: inside}
spec: {ports: [{port: 80}]}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: one}
spec: {schedule: "@daily", jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: registry.example/c}]}}}}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: one}
`

func TestAnObjectThatNothingHasLookedAtIsNotReady(t *testing.T) {
	t.Parallel()
	a := newAdmin(t)
	group := a.stack.Name + ".example.com"
	manifests := unobserved + "---" + fmt.Sprintf(lakes, group) + "---" + existing
	e := a.run(t, map[string]any{"manifests": manifests, "wait": map[string]any{"timeoutSeconds": 3}})
	stopped(t, e, contract.NotReady, "7 of 12 objects in cluster demo are not ready", "All objects were applied and are left in place")
	for _, kind := range []string{
		"ReplicationController", "PersistentVolumeClaim", "Ingress", "HorizontalPodAutoscaler", "ResourceQuota", "Lake",
	} {
		assert.Contains(t, e.Cause, kind+" "+a.namespace+"/one (InProgress: ")
	}
	assert.Contains(t, e.Cause, "Service "+a.namespace+"/balanced (InProgress: its load balancer has no address yet)")
	for _, ready := range []string{"ConfigMap", "inside", "CronJob", "ServiceAccount", "CustomResourceDefinition"} {
		assert.NotContains(t, e.Cause, ready)
	}
}

func TestAnAPIServiceThatIsNotAvailableIsNotReady(t *testing.T) {
	t.Parallel()
	a := newAdmin(t)
	group := a.stack.Name + ".example.com"
	name := "v1." + group
	t.Cleanup(func() {
		_ = admin(t).RESTClient().Delete().AbsPath("/apis/apiregistration.k8s.io/v1/apiservices/" + name).Do(context.WithoutCancel(t.Context())).Error()
	})
	e := a.run(t, map[string]any{"wait": map[string]any{"timeoutSeconds": 3}, "manifests": fmt.Sprintf(`
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: %s}
spec: {group: %s, version: v1, groupPriorityMinimum: 1, versionPriority: 1, insecureSkipTLSVerify: true, service: {namespace: %s, name: nowhere}}
`, name, group, a.namespace)})
	stopped(t, e, contract.NotReady, "APIService "+name+" (InProgress: its API is not available")
}

// patchStatus changes the status of an object that has no controller here.
func patchStatus(ctx context.Context, t *testing.T, path, status string) {
	t.Helper()
	err := admin(t).RESTClient().Patch(types.MergePatchType).AbsPath(path + "/status").Body([]byte(`{"status":` + status + `}`)).Do(ctx).Error()
	assert.NoError(t, err)
}

// job is a Job whose pod fares as these annotations say.
func job(name, annotations string) string {
	return fmt.Sprintf(`---
apiVersion: batch/v1
kind: Job
metadata: {name: %s}
spec:
  backoffLimit: 0
  template:
    metadata: {annotations: {%s}}
    spec: {restartPolicy: Never, containers: [{name: c, image: registry.example/c}]}
`, name, annotations)
}

func TestAJobIsWaitedForUntilItIsComplete(t *testing.T) {
	t.Parallel()
	a := newAdmin(t)
	e := a.run(t, map[string]any{"manifests": job("long", "kubestep.local/run-for: 1h"), "wait": map[string]any{"timeoutSeconds": 6}})
	stopped(t, e, contract.NotReady, "Job "+a.namespace+"/long (InProgress: it has not completed (pods: 1 active, 0 succeeded, 0 failed))")

	e = a.run(t, map[string]any{"manifests": job("short", "kubestep.local/run-for: 5s"), "wait": map[string]any{"timeoutSeconds": 60}})
	assert.True(t, applied(t, e).Ready)
	assert.Greater(t, e.Attempts("CheckReadiness"), 1)

	e = a.run(t, map[string]any{"manifests": job("fails", `kubestep.local/exit: "3"`), "wait": map[string]any{"timeoutSeconds": 60}})
	stopped(t, e, contract.NotReady, "Job "+a.namespace+"/fails (Failed: ", "BackoffLimitExceeded")
}

// pod is a pod with these annotations and this spec.
func pod(name, annotations, spec string) string {
	return fmt.Sprintf("---\napiVersion: v1\nkind: Pod\nmetadata: {name: %s, annotations: {%s}}\nspec: {%s}\n", name, annotations, spec)
}

func TestAPodThatFailedFailsAtOnceAndOneThatCanStillStartIsWaitedFor(t *testing.T) {
	t.Parallel()
	a := newAdmin(t)
	const (
		runs     = "containers: [{name: c, image: registry.example/c}]"
		runsOnce = "restartPolicy: Never, " + runs
	)
	for name, c := range map[string]struct{ manifest, cause string }{
		"large":   {pod("large", "", "containers: [{name: c, image: registry.example/c, resources: {requests: {memory: 64Gi}}}]"), "(InProgress: it waits for a node: Unschedulable: 0/2 nodes are available: 2 Insufficient memory."},
		"nowhere": {pod("nowhere", "", "containers: [{name: c, image: registry.invalid/c}]"), "(InProgress: it has not started (container c: "},
		"slow":    {pod("slow", "kubestep.local/ready-after: 1h", runs), "(InProgress: it runs, and is not ready: ContainersNotReady"},
		// Between two crashes it would be ready for a moment, as in any cluster.
		"restarts": {pod("restarts", `kubestep.local/exit: "1", kubestep.local/ready-after: 1h`, runs), "(InProgress: it runs, and is not ready"},
	} {
		e := a.run(t, map[string]any{"manifests": c.manifest, "wait": map[string]any{"timeoutSeconds": 7}})
		stopped(t, e, contract.NotReady, "Pod "+a.namespace+"/"+name+" "+c.cause)
	}
	for name, c := range map[string]struct{ exit, cause string }{
		"wrong":  {`"3"`, "(container c ended with exit code 3: Error)"},
		"greedy": {"OOMKilled", "(container c ended with exit code 137: OOMKilled)"},
	} {
		e := a.run(t, map[string]any{"manifests": pod(name, "kubestep.local/exit: "+c.exit, runsOnce), "wait": map[string]any{"timeoutSeconds": 60}})
		stopped(t, e, contract.NotReady, "Pod "+a.namespace+"/"+name+" (Failed: its phase is Failed "+c.cause)
	}

	// Nothing evicts here.
	evicted := pod("evicted", "", "schedulerName: by-hand, "+runsOnce)
	applied(t, a.apply(t, evicted))
	patchStatus(t.Context(), t, "/api/v1/namespaces/"+a.namespace+"/pods/evicted", `{"phase":"Failed","reason":"Evicted","message":"The node was low on resource: memory."}`)
	e := a.run(t, map[string]any{"manifests": evicted, "wait": map[string]any{"timeoutSeconds": 20}})
	stopped(t, e, contract.NotReady, "Pod "+a.namespace+"/evicted (Failed: its phase is Failed: Evicted: The node was low on resource: memory)")
	assert.Equal(t, 1, e.Attempts("CheckReadiness"))
}

func TestACustomResourceIsReadyOnceItsGenerationIsObservedOrNothingObservesIt(t *testing.T) {
	t.Parallel()
	a := newAdmin(t)
	group := a.stack.Name + ".example.com"
	manifests := fmt.Sprintf(lakes, group)
	wait := map[string]any{"manifests": manifests, "wait": map[string]any{"timeoutSeconds": 60}}
	output := applied(t, a.run(t, wait))
	assert.True(t, output.Ready)
	assert.Equal(t, []applymanifests.ObjectName{{Kind: "Lake", Namespace: a.namespace, Name: "one"}}, output.Unobserved, "after half a minute")

	lake := "/apis/" + group + "/v1/namespaces/" + a.namespace + "/lakes/one"
	patchStatus(t.Context(), t, lake, `{"observedGeneration":"1"}`)
	output = applied(t, a.run(t, wait))
	assert.True(t, output.Ready)
	assert.Empty(t, output.Unobserved)

	changed := map[string]any{"manifests": strings.Replace(manifests, "kind: Lake\nmetadata: {name: one}", "kind: Lake\nmetadata: {name: one}\nspec: {deep: true}", 1), "wait": map[string]any{"timeoutSeconds": 3}}
	stopped(t, a.run(t, changed), contract.NotReady, "Lake "+a.namespace+"/one (InProgress: Lake generation is 2, but latest observed generation is 1)")
}

func TestWhatIsReadyAndThenIsNotIsSeenAtTheLastLook(t *testing.T) {
	t.Parallel()
	a := newAdmin(t)
	maps := admin(t).CoreV1().ConfigMaps(a.namespace)
	ctx := context.WithoutCancel(t.Context())
	a.progress = &onFirst{text: "CheckReadiness", do: func() {
		assert.NoError(t, maps.Delete(ctx, "one", metav1.DeleteOptions{}))
	}}
	e := a.run(t, map[string]any{"manifests": configMap("one", "1") + "---" + slowDeployment, "wait": map[string]any{"timeoutSeconds": 12}})
	stopped(t, e, contract.NotReady, "1 of 2 objects in cluster demo are not ready: ConfigMap "+a.namespace+"/one (NotFound: it does not exist)")
}

func TestAPodThatHasFailedOrRestartsIsUnhealthyHoweverItIsPrinted(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	group := "health-" + s.stack.Name
	grant(t, group, "pods")
	s.mapRole(t, group)
	namespace(t, group)
	ended := func(code int, reason string) string {
		return fmt.Sprintf(`"containerStatuses":[{"name":"c","image":"registry.example/c","imageID":"","ready":false,"restartCount":0,"state":{"terminated":{"exitCode":%d,"reason":%q}}}]`, code, reason)
	}
	const (
		running  = `"containerStatuses":[{"name":"c","image":"registry.example/c","imageID":"","ready":true,"restartCount":0,"state":{"running":{"startedAt":"2026-01-01T00:00:00Z"}}}]`
		notReady = `"conditions":[{"type":"Ready","status":"False"}]`
		isReady  = `"conditions":[{"type":"Ready","status":"True"}]`
	)
	cases := map[string]struct {
		status, printed string
		gate            bool
		healthy         bool
	}{
		"runs":      {`{"phase":"Running",` + isReady + `,` + running + `}`, "Running", false, true},
		"succeeded": {`{"phase":"Succeeded",` + notReady + `,` + ended(0, "Completed") + `}`, "Completed", false, true},
		"loops":     {`{"phase":"Running",` + notReady + `,` + ended(0, "Completed") + `}`, "Completed", false, false},
		"shut-down": {`{"phase":"Failed","reason":"Terminated",` + ended(0, "Completed") + `}`, "Completed", false, false},
		"evicted":   {`{"phase":"Failed","reason":"Evicted"}`, "Evicted", false, false},
		"lost":      {`{"phase":"Failed",` + ended(137, "ContainerStatusUnknown") + `}`, "ContainerStatusUnknown", false, false},
		"pretends":  {`{"phase":"Failed","reason":"Running"}`, "Running", false, false},
		"gated":     {`{"phase":"Running",` + notReady + `,` + running + `}`, "Running", true, false},
		"opened":    {`{"phase":"Running","conditions":[{"type":"Ready","status":"True"},{"type":"example.com/gate","status":"True"}],` + running + `}`, "Running", true, true},
		"waits":     {`{"phase":"Pending","conditions":[{"type":"PodScheduled","status":"False","reason":"Unschedulable"}]}`, "Pending", false, false},
		"cut":       {`{"phase":"Failed","reason":"` + strings.Repeat("r", 70) + `"}`, strings.Repeat("r", 61) + "…", false, false},
	}
	unhealthy := 0
	for name, c := range cases {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PodSpec{SchedulerName: "by-hand", Containers: []corev1.Container{{Name: "c", Image: "registry.example/c"}}}}
		if c.gate {
			pod.Spec.ReadinessGates = []corev1.PodReadinessGate{{ConditionType: "example.com/gate"}}
		}
		_, err := admin(t).CoreV1().Pods(group).Create(t.Context(), pod, metav1.CreateOptions{})
		require.NoError(t, err)
		patchStatus(t.Context(), t, "/api/v1/namespaces/"+group+"/pods/"+name, c.status)
		if !c.healthy {
			unhealthy++
		}
	}

	pods := succeeded(t, s.run(t, fmt.Sprintf(`{"clusterName":"demo","namespaces":[%q]}`, group))).Pods

	require.Len(t, pods.Items, len(cases))
	assert.Equal(t, unhealthy, pods.Unhealthy)
	for i, item := range pods.Items {
		c := cases[item.Name]
		assert.Equal(t, c.printed, item.Status, item.Name)
		assert.Equal(t, c.healthy, !item.Unhealthy, item.Name)
		assert.Equal(t, i < unhealthy, item.Unhealthy, "the unhealthy ones first")
	}
}
