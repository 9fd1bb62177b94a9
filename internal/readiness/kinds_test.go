package readiness_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract"
)

// reading is an object and what is told of it.
type reading struct {
	object string
	// status is Current if the object is ready.
	status string
	// message is a part of what is told.
	message string
}

func (r reading) check(t *testing.T) {
	t.Helper()
	w := newWorld(t)
	var given struct{ Kind string }
	require.NoError(t, json.Unmarshal([]byte(r.object), &given))
	w.put(given.Kind, "one", r.object)
	got, err := w.checker.Check(t.Context(), w.payload)
	if err != nil {
		_, message := readTold(t, err)
		assert.Equal(t, "Failed", r.status, message)
		assert.Contains(t, message, given.Kind+" shop/one (Failed: ")
		assert.Contains(t, message, r.message)
		return
	}
	status, message := "Current", ""
	if len(got.NotReady) > 0 {
		status, message = got.NotReady[0].Status, got.NotReady[0].Message
	}
	assert.Equal(t, r.status, status, message)
	assert.Contains(t, message, r.message)
	assert.Equal(t, r.status == "Current", got.Complete)
}

func of(apiVersion, kind, rest string) string {
	return fmt.Sprintf(`{"apiVersion":%q,"kind":%q,"metadata":{"name":"one","namespace":"shop","generation":2},%s}`, apiVersion, kind, rest)
}

func aJob(status string) string { return of("batch/v1", "Job", `"spec":{"completions":3},`+status) }

func TestAJobIsReadyOnceItHasCompleted(t *testing.T) {
	for name, r := range map[string]reading{
		"that has not started":              {aJob(`"status":{}`), "InProgress", "it has not started"},
		"that nothing has looked at":        {aJob(`"a":1`), "InProgress", "it has not started"},
		"that runs":                         {aJob(`"status":{"startTime":"2026-01-01T00:00:00Z","active":1,"succeeded":2}`), "InProgress", "it has not completed (pods: 1 active, 2 succeeded, 0 failed)"},
		"whose pods fail and are repeated":  {aJob(`"status":{"startTime":"2026-01-01T00:00:00Z","active":1,"failed":4}`), "InProgress", "4 failed"},
		"whose pods all succeeded":          {aJob(`"status":{"startTime":"2026-01-01T00:00:00Z","succeeded":3}`), "InProgress", "it has not completed"},
		"that succeeded, whose pods end":    {aJob(`"status":{"startTime":"2026-01-01T00:00:00Z","conditions":[{"type":"SuccessCriteriaMet","status":"True"}]}`), "InProgress", "it has succeeded, and its last pods end"},
		"that is complete":                  {aJob(`"status":{"conditions":[{"type":"SuccessCriteriaMet","status":"True"},{"type":"Complete","status":"True"}]}`), "Current", ""},
		"that is not complete, as it says":  {aJob(`"status":{"startTime":"2026-01-01T00:00:00Z","conditions":[{"type":"Complete","status":"False"}]}`), "InProgress", ""},
		"that failed":                       {aJob(`"status":{"conditions":[{"type":"FailureTarget","status":"True"},{"type":"Failed","status":"True","reason":"BackoffLimitExceeded","message":"Job has reached the specified backoff limit"}]}`), "Failed", "it has failed: BackoffLimitExceeded: Job has reached the specified backoff limit"},
		"that failed, whose pods end":       {aJob(`"status":{"startTime":"2026-01-01T00:00:00Z","active":1,"conditions":[{"type":"FailureTarget","status":"True","reason":"PodFailurePolicy"}]}`), "Failed", "PodFailurePolicy"},
		"that is suspended":                 {of("batch/v1", "Job", `"spec":{"suspend":true},"status":{"conditions":[{"type":"Suspended","status":"True"}]}`), "InProgress", "it is suspended"},
		"that is to be suspended":           {of("batch/v1", "Job", `"spec":{"suspend":true},"status":{"startTime":"2026-01-01T00:00:00Z","active":1}`), "InProgress", "it is suspended"},
		"that was suspended and completed":  {aJob(`"status":{"conditions":[{"type":"Suspended","status":"False"},{"type":"Complete","status":"True"}]}`), "Current", ""},
		"that is complete, but going":       {strings.Replace(aJob(`"status":{"conditions":[{"type":"Complete","status":"True"}]}`), `"generation":2`, `"deletionTimestamp":"2026-01-01T00:00:00Z"`, 1), "Terminating", "it is being deleted"},
		"of a CronJob, which starts others": {of("batch/v1", "CronJob", `"status":{}`), "Current", ""},
	} {
		t.Run(name, r.check)
	}
}

func aPod(status string) string { return of("v1", "Pod", `"status":`+status) }

func TestAPodIsReadyOnceItIsOrHasSucceeded(t *testing.T) {
	for name, r := range map[string]reading{
		"whose phase is Failed":                {aPod(`{"phase":"Failed"}`), "Failed", "its phase is Failed"},
		"that was evicted":                     {aPod(`{"phase":"Failed","reason":"Evicted","message":"The node was low on resource: memory."}`), "Failed", "Evicted: The node was low on resource: memory"},
		"whose container failed":               {aPod(`{"phase":"Failed","containerStatuses":[{"name":"c","state":{"terminated":{"exitCode":3,"reason":"Error"}}}]}`), "Failed", "container c ended with exit code 3: Error"},
		"that has succeeded":                   {aPod(`{"phase":"Succeeded","conditions":[{"type":"Ready","status":"False","reason":"PodCompleted"}]}`), "Current", ""},
		"that is ready":                        {aPod(`{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}`), "Current", ""},
		"that runs, and is not ready":          {aPod(`{"phase":"Running","conditions":[{"type":"Ready","status":"False","reason":"ReadinessGatesNotReady"}]}`), "InProgress", "it runs, and is not ready: ReadinessGatesNotReady"},
		"whose container restarts":             {aPod(`{"phase":"Running","containerStatuses":[{"name":"c","state":{"waiting":{"reason":"CrashLoopBackOff","message":"back-off 40s"}}}]}`), "InProgress", "container c: CrashLoopBackOff: back-off 40s"},
		"whose image cannot be pulled":         {aPod(`{"phase":"Pending","conditions":[{"type":"PodScheduled","status":"True"}],"containerStatuses":[{"name":"c","state":{"waiting":{"reason":"ImagePullBackOff"}}}]}`), "InProgress", "container c: ImagePullBackOff"},
		"whose init container fails":           {aPod(`{"phase":"Pending","initContainerStatuses":[{"name":"i","state":{"terminated":{"exitCode":1}}}]}`), "InProgress", "container i ended with exit code 1"},
		"whose containers are made":            {aPod(`{"phase":"Pending","containerStatuses":[{"name":"c","state":{"waiting":{"reason":"ContainerCreating"}}}]}`), "InProgress", "it has not started"},
		"that has waited for a node for years": {strings.Replace(aPod(`{"phase":"Pending","conditions":[{"type":"PodScheduled","status":"False","reason":"Unschedulable","message":"0/3 nodes are available"}]}`), `"name"`, `"creationTimestamp":"2020-01-01T00:00:00Z","name"`, 1), "InProgress", "it waits for a node: Unschedulable: 0/3 nodes are available"},
		"that has scheduling gates":            {aPod(`{"phase":"Pending","conditions":[{"type":"PodScheduled","status":"False","reason":"SchedulingGated"}]}`), "InProgress", "it has scheduling gates"},
		"that nothing has looked at":           {aPod(`{}`), "InProgress", "it has not started"},
		"on a node that cannot be reached":     {aPod(`{"phase":"Unknown"}`), "InProgress", "its phase is Unknown"},
		"that changes in place":                {aPod(`{"phase":"Running","observedGeneration":1,"conditions":[{"type":"Ready","status":"True"}]}`), "InProgress", "its generation is 2, and its controller has looked at 1"},
		"whose conditions have no form":        {aPod(`{"phase":"Running","conditions":"none","containerStatuses":[null,{"state":7}]}`), "InProgress", "it runs, and is not ready"},
	} {
		t.Run(name, r.check)
	}
}

func TestAWorkloadIsReadyOnceItsReplicasAre(t *testing.T) {
	deployment := func(spec, status string) string {
		return of("apps/v1", "Deployment", `"spec":{`+spec+`},"status":{`+status+`}`)
	}
	set := func(spec, status string) string {
		return of("apps/v1", "StatefulSet", `"spec":{`+spec+`},"status":{`+status+`}`)
	}
	daemons := func(spec, status string) string {
		return of("apps/v1", "DaemonSet", `"spec":{`+spec+`},"status":{`+status+`}`)
	}
	const onDelete = `"replicas":2,"updateStrategy":{"type":"OnDelete"}`
	for name, r := range map[string]reading{
		"a Deployment that nothing has looked at":        {deployment(`"replicas":0`, ``), "InProgress", "Deployment not Available"},
		"a Deployment of the generation before":          {deployment(`"replicas":0`, `"observedGeneration":1,"conditions":[{"type":"Available","status":"True"}]`), "InProgress", "2"},
		"a Deployment whose pods wait for a node":        {deployment(`"replicas":1`, `"observedGeneration":2,"replicas":1,"updatedReplicas":1,"unavailableReplicas":1,"conditions":[{"type":"Available","status":"False"}]`), "InProgress", "Available: 0/1"},
		"a Deployment that a quota refuses":              {deployment(`"replicas":2`, `"observedGeneration":2,"conditions":[{"type":"ReplicaFailure","status":"True","reason":"FailedCreate","message":"exceeded quota: few"}]`), "InProgress", "Replicas: 0/2: FailedCreate: exceeded quota: few"},
		"a Deployment that is paused":                    {deployment(`"replicas":2,"paused":true`, `"observedGeneration":2,"replicas":2`), "InProgress", "Updated: 0/2: it is paused"},
		"a Deployment that is ready":                     {deployment(`"replicas":1`, `"observedGeneration":2,"replicas":1,"updatedReplicas":1,"readyReplicas":1,"availableReplicas":1,"conditions":[{"type":"Available","status":"True"}]`), "Current", ""},
		"a StatefulSet of none that nothing looked at":   {set(`"replicas":0`, `"replicas":0`), "InProgress", "its controller has not looked at it yet"},
		"a StatefulSet of none":                          {set(`"replicas":0`, `"observedGeneration":2,"replicas":0`), "Current", ""},
		"a StatefulSet of the generation before":         {set(`"replicas":1`, `"observedGeneration":1,"replicas":1,"readyReplicas":1,"updatedReplicas":1`), "InProgress", "2"},
		"a StatefulSet that is updated by deleting pods": {set(onDelete, `"observedGeneration":2,"replicas":2,"readyReplicas":1`), "InProgress", "1 of 2 replicas are ready"},
		"the same, once its pods are ready":              {set(onDelete, `"observedGeneration":2,"replicas":2,"readyReplicas":2,"currentRevision":"a","updateRevision":"b"`), "Current", ""},
		"a StatefulSet that is updated":                  {set(`"replicas":2,"updateStrategy":{"type":"RollingUpdate","rollingUpdate":{"partition":0}}`, `"observedGeneration":2,"replicas":2,"readyReplicas":2,"updatedReplicas":1,"currentRevision":"a","updateRevision":"b"`), "InProgress", "1 of 2 replicas are updated"},
		"a StatefulSet that is not rid of the old":       {set(`"replicas":2`, `"observedGeneration":2,"replicas":2,"readyReplicas":2,"updatedReplicas":2,"currentRevision":"a","updateRevision":"b"`), "InProgress", "its update is not complete"},
		"a StatefulSet with a partition":                 {set(`"replicas":2,"updateStrategy":{"rollingUpdate":{"partition":1}}`, `"observedGeneration":2,"replicas":2,"readyReplicas":2,"updatedReplicas":1,"currentRevision":"a","updateRevision":"b"`), "Current", ""},
		"a StatefulSet with minReadySeconds":             {set(`"replicas":2,"minReadySeconds":60`, `"observedGeneration":2,"replicas":2,"readyReplicas":2,"availableReplicas":0,"updatedReplicas":2`), "InProgress", "0 of 2 replicas are ready"},
		"a StatefulSet that shrinks":                     {set(`"replicas":1`, `"observedGeneration":2,"replicas":2,"readyReplicas":2,"updatedReplicas":2`), "InProgress", "1 replicas are to end"},
		"a DaemonSet that nothing has looked at":         {daemons(``, ``), "InProgress", "observedGeneration"},
		"a DaemonSet of which a pod is not available":    {daemons(``, `"observedGeneration":2,"desiredNumberScheduled":2,"currentNumberScheduled":2,"updatedNumberScheduled":2,"numberAvailable":1`), "InProgress", "Available: 1/2"},
		"a DaemonSet that is updated":                    {daemons(``, `"observedGeneration":2,"desiredNumberScheduled":2,"currentNumberScheduled":2,"updatedNumberScheduled":1,"numberAvailable":2,"numberReady":2`), "InProgress", "Updated: 1/2"},
		"a DaemonSet that is updated by deleting pods":   {daemons(`"updateStrategy":{"type":"OnDelete"}`, `"observedGeneration":2,"desiredNumberScheduled":2,"currentNumberScheduled":2,"updatedNumberScheduled":0,"numberAvailable":2,"numberReady":2`), "Current", ""},
		"a DaemonSet that fits no node":                  {daemons(``, `"observedGeneration":2,"desiredNumberScheduled":0`), "Current", ""},
		"a ReplicaSet that nothing has looked at":        {of("apps/v1", "ReplicaSet", `"spec":{"replicas":0},"status":{"replicas":0}`), "InProgress", "its controller has not looked at it yet"},
		"a ReplicaSet whose pods wait for a node":        {of("apps/v1", "ReplicaSet", `"spec":{"replicas":2},"status":{"observedGeneration":2,"replicas":2,"fullyLabeledReplicas":2}`), "InProgress", "0 of 2 replicas are available"},
		"a ReplicaSet that a quota refuses":              {of("apps/v1", "ReplicaSet", `"spec":{"replicas":2},"status":{"observedGeneration":2,"conditions":[{"type":"ReplicaFailure","status":"True","reason":"FailedCreate","message":"exceeded quota"}]}`), "InProgress", "FailedCreate: exceeded quota"},
		"a ReplicationController whose pods do not run":  {of("v1", "ReplicationController", `"spec":{"replicas":2},"status":{"observedGeneration":2,"replicas":2}`), "InProgress", "0 of 2 replicas are available"},
		"a ReplicationController that shrinks":           {of("v1", "ReplicationController", `"spec":{"replicas":1},"status":{"observedGeneration":2,"replicas":2,"availableReplicas":2}`), "InProgress", "1 replicas are to end"},
		"a ReplicationController whose pods run":         {of("v1", "ReplicationController", `"spec":{"replicas":2},"status":{"observedGeneration":2,"replicas":2,"availableReplicas":2}`), "Current", ""},
		"a Rollout with a string of a generation":        {of("argoproj.io/v1alpha1", "Rollout", `"status":{"observedGeneration":"2","phase":"Healthy"}`), "Current", ""},
		"a Rollout of the generation before":             {of("argoproj.io/v1alpha1", "Rollout", `"status":{"observedGeneration":"1","phase":"Healthy"}`), "InProgress", "its generation is 2, and its controller has looked at 1"},
		"a Rollout that is under way":                    {of("argoproj.io/v1alpha1", "Rollout", `"status":{"observedGeneration":"2","phase":"Progressing","message":"more replicas need to be updated"}`), "InProgress", "its phase is Progressing: more replicas need to be updated"},
		"a Rollout that waits for a person":              {of("argoproj.io/v1alpha1", "Rollout", `"status":{"observedGeneration":"2","phase":"Paused","message":"CanaryPauseStep"}`), "InProgress", "its phase is Paused: CanaryPauseStep"},
		"a Rollout that was aborted":                     {of("argoproj.io/v1alpha1", "Rollout", `"status":{"observedGeneration":"2","phase":"Degraded","message":"RolloutAborted"}`), "Failed", "it is degraded: RolloutAborted"},
	} {
		t.Run(name, r.check)
	}
}

func TestAKindOfKubernetesIsReadyOnceItWorks(t *testing.T) {
	crd := func(conditions string) string {
		return of("apiextensions.k8s.io/v1", "CustomResourceDefinition", `"status":{"conditions":[`+conditions+`]}`)
	}
	hpa := func(conditions string) string {
		return of("autoscaling/v2", "HorizontalPodAutoscaler", `"status":{"conditions":[`+conditions+`]}`)
	}
	for name, r := range map[string]reading{
		"an APIService that nothing has looked at":       {of("apiregistration.k8s.io/v1", "APIService", `"status":{}`), "InProgress", "its API is not available"},
		"an APIService that is not available":            {of("apiregistration.k8s.io/v1", "APIService", `"status":{"conditions":[{"type":"Available","status":"False","reason":"FailedDiscoveryCheck","message":"no response"}]}`), "InProgress", "FailedDiscoveryCheck: no response"},
		"an APIService that is available":                {of("apiregistration.k8s.io/v1", "APIService", `"status":{"conditions":[{"type":"Available","status":"True","reason":"Local"}]}`), "Current", ""},
		"a CRD that nothing has looked at":               {crd(``), "InProgress", "Install in progress"},
		"a CRD that is established":                      {crd(`{"type":"NamesAccepted","status":"True"},{"type":"Established","status":"True"}`), "Current", ""},
		"a CRD established at an earlier generation":     {crd(`{"type":"NamesAccepted","status":"True","observedGeneration":1},{"type":"Established","status":"True","observedGeneration":1}`), "Current", ""},
		"a CRD whose names are taken":                    {crd(`{"type":"NamesAccepted","status":"False","reason":"PluralConflict","message":"\"lakes\" is already in use"}`), "Failed", "is already in use"},
		"a claim that waits for its first consumer":      {of("v1", "PersistentVolumeClaim", `"status":{"phase":"Pending"}`), "InProgress", "no volume is bound to it (Pending). If its storage class waits for the first consumer, it is bound once a pod uses it"},
		"a claim whose volume is lost":                   {of("v1", "PersistentVolumeClaim", `"status":{"phase":"Lost"}`), "Failed", "its phase is Lost"},
		"a claim that is bound":                          {of("v1", "PersistentVolumeClaim", `"status":{"phase":"Bound"}`), "Current", ""},
		"a volume that is not available yet":             {of("v1", "PersistentVolume", `"status":{"phase":"Pending"}`), "InProgress", "it is not available yet: Pending"},
		"a volume that failed":                           {of("v1", "PersistentVolume", `"status":{"phase":"Failed","message":"no such disk"}`), "Failed", "no such disk"},
		"a volume that is available":                     {of("v1", "PersistentVolume", `"status":{"phase":"Available"}`), "Current", ""},
		"a load balancer without an address":             {of("v1", "Service", `"spec":{"type":"LoadBalancer","clusterIP":"10.0.0.7"},"status":{"loadBalancer":{}}`), "InProgress", "its load balancer has no address yet"},
		"a load balancer with an empty address":          {of("v1", "Service", `"spec":{"type":"LoadBalancer"},"status":{"loadBalancer":{"ingress":[{}]}}`), "InProgress", "its load balancer has no address yet"},
		"a load balancer with a name":                    {of("v1", "Service", `"spec":{"type":"LoadBalancer"},"status":{"loadBalancer":{"ingress":[{"hostname":"a.elb.amazonaws.com"}]}}`), "Current", ""},
		"a load balancer with external addresses":        {of("v1", "Service", `"spec":{"type":"LoadBalancer","externalIPs":["192.0.2.1"]},"status":{"loadBalancer":{}}`), "Current", ""},
		"a Service within the cluster":                   {of("v1", "Service", `"spec":{"type":"ClusterIP","clusterIP":"10.0.0.7"},"status":{"loadBalancer":{}}`), "Current", ""},
		"an Ingress without an address":                  {of("networking.k8s.io/v1", "Ingress", `"status":{"loadBalancer":{}}`), "InProgress", "no controller has written its address yet"},
		"an Ingress with an address":                     {of("networking.k8s.io/v1", "Ingress", `"status":{"loadBalancer":{"ingress":[{"ip":"192.0.2.1"}]}}`), "Current", ""},
		"a disruption budget that nothing has looked at": {of("policy/v1", "PodDisruptionBudget", `"status":{"currentHealthy":0}`), "InProgress", "its controller has not looked at it yet"},
		"a disruption budget of the generation before":   {of("policy/v1", "PodDisruptionBudget", `"status":{"observedGeneration":1}`), "InProgress", "2"},
		"a disruption budget that cannot be computed":    {of("policy/v1", "PodDisruptionBudget", `"status":{"observedGeneration":2,"conditions":[{"type":"DisruptionAllowed","status":"False","reason":"SyncFailed","message":"found no controller"}]}`), "InProgress", "SyncFailed: found no controller"},
		"a disruption budget that allows none":           {of("policy/v1", "PodDisruptionBudget", `"status":{"observedGeneration":2,"conditions":[{"type":"DisruptionAllowed","status":"False","reason":"InsufficientPods"}]}`), "Current", ""},
		"an autoscaler that nothing has looked at":       {of("autoscaling/v2", "HorizontalPodAutoscaler", `"status":{"desiredReplicas":0}`), "InProgress", "its controller has not looked at it yet"},
		"an autoscaler without metrics":                  {hpa(`{"type":"AbleToScale","status":"True"},{"type":"ScalingActive","status":"False","reason":"FailedGetResourceMetric","message":"no metrics"}`), "InProgress", "it does not scale: FailedGetResourceMetric: no metrics"},
		"an autoscaler without a target":                 {hpa(`{"type":"AbleToScale","status":"False","reason":"FailedGetScale"}`), "InProgress", "it cannot scale: FailedGetScale"},
		"an autoscaler of a target without replicas":     {hpa(`{"type":"AbleToScale","status":"True"},{"type":"ScalingActive","status":"False","reason":"ScalingDisabled"}`), "Current", ""},
		"an autoscaler at its limit":                     {hpa(`{"type":"AbleToScale","status":"True"},{"type":"ScalingActive","status":"True"},{"type":"ScalingLimited","status":"True"}`), "Current", ""},
		"an autoscaler of version 1":                     {`{"apiVersion":"autoscaling/v1","kind":"HorizontalPodAutoscaler","metadata":{"name":"one","annotations":{"autoscaling.alpha.kubernetes.io/conditions":"[{\"type\":\"AbleToScale\",\"status\":\"True\"},{\"type\":\"ScalingActive\",\"status\":\"True\"}]"}},"status":{"currentReplicas":1,"desiredReplicas":1}}`, "Current", ""},
		"a namespace":                                    {of("v1", "Namespace", `"status":{"phase":"Active"}`), "Current", ""},
		"a namespace that is going":                      {`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"one","deletionTimestamp":"2026-01-01T00:00:00Z"},"status":{"phase":"Terminating"}}`, "Terminating", "it is being deleted"},
		"a signing request that waits":                   {of("certificates.k8s.io/v1", "CertificateSigningRequest", `"status":{"conditions":[{"type":"Approved","status":"True"}]}`), "InProgress", "it has no certificate yet"},
		"a signing request that was denied":              {of("certificates.k8s.io/v1", "CertificateSigningRequest", `"status":{"conditions":[{"type":"Denied","status":"True","message":"no"}]}`), "Failed", "it is denied: no"},
		"a signing request that was granted":             {of("certificates.k8s.io/v1", "CertificateSigningRequest", `"status":{"certificate":"LS0t"}`), "Current", ""},
		"a Secret":                                       {of("v1", "Secret", `"data":{}`), "Current", ""},
	} {
		t.Run(name, r.check)
	}
}

func lake(status string) string { return of("case.example/v1", "Lake", `"status":`+status) }

func TestACustomResourceIsReadyOnceItSaysSo(t *testing.T) {
	for name, r := range map[string]reading{
		"without a status":                                 {of("case.example/v1", "Lake", `"spec":{}`), "InProgress", "nothing has written its status yet (it counts as ready 30s after the first look, if nothing does)"},
		"with an empty status":                             {lake(`{}`), "InProgress", "nothing has written its status yet"},
		"with a status of empty fields":                    {lake(`{"conditions":[],"addresses":null,"parents":{"a":[]}}`), "InProgress", "nothing has written its status yet"},
		"with the conditions that its CRD sets by default": {lake(`{"conditions":[{"type":"Resolved","status":"Unknown","reason":"Pending","message":"Waiting for controller"}]}`), "InProgress", "nothing has written its status yet"},
		"whose generation is observed, and nothing else":   {lake(`{"observedGeneration":2}`), "Current", ""},
		"whose generation is observed, in a string":        {lake(`{"observedGeneration":"2"}`), "Current", ""},
		"whose generation is observed, as 2.0":             {lake(`{"observedGeneration":2.0}`), "Current", ""},
		"whose last generation was observed":               {lake(`{"observedGeneration":1}`), "InProgress", "2"},
		"whose last generation was observed, in a string":  {lake(`{"observedGeneration":"1"}`), "InProgress", "2"},
		"with a hash for a generation":                     {lake(`{"observedGeneration":"7d9f4c","conditions":[{"type":"Ready","status":"True"}]}`), "Current", ""},
		"with a map for a generation":                      {lake(`{"observedGeneration":{},"conditions":[{"type":"Ready","status":"False","message":"no water"}]}`), "InProgress", "no water"},
		"that is ready":                                    {lake(`{"conditions":[{"type":"Ready","status":"True"}]}`), "Current", ""},
		"that is not ready":                                {lake(`{"conditions":[{"type":"Ready","status":"False","reason":"Dry"}]}`), "InProgress", "Dry"},
		"that does not know":                               {lake(`{"conditions":[{"type":"Ready","status":"Unknown","message":"measuring"}]}`), "InProgress", "measuring"},
		"that is ready, in a boolean":                      {lake(`{"conditions":[{"type":"Ready","status":true}]}`), "Current", ""},
		"that is not ready, in a boolean":                  {lake(`{"conditions":[{"type":"Ready","status":false}]}`), "InProgress", ""},
		"that is ready, in small letters":                  {lake(`{"conditions":[{"type":"Ready","status":"true"}]}`), "Current", ""},
		"that is ready, by a word of its own":              {lake(`{"conditions":[{"type":"Ready","status":"Maybe","reason":"Odd"}]}`), "InProgress", "Odd"},
		"that was ready a generation ago":                  {lake(`{"conditions":[{"type":"Ready","status":"True","observedGeneration":1}]}`), "InProgress", "its generation is 2, and this was said of 1"},
		"that was ready a generation ago, in a string":     {lake(`{"conditions":[{"type":"Ready","status":"True","observedGeneration":"1"}]}`), "InProgress", "its generation is 2, and this was said of 1"},
		"that is ready in this generation":                 {lake(`{"conditions":[{"type":"Ready","status":"True","observedGeneration":2}]}`), "Current", ""},
		"that stalled":                                     {lake(`{"observedGeneration":2,"conditions":[{"type":"Stalled","status":"True","message":"dammed"}]}`), "Failed", "dammed"},
		"that stalled a generation ago":                    {lake(`{"conditions":[{"type":"Stalled","status":"True","observedGeneration":1},{"type":"Ready","status":"False","reason":"Filling"}]}`), "InProgress", "Filling"},
		"that is reconciling":                              {lake(`{"conditions":[{"type":"Reconciling","status":"True","reason":"Filling"},{"type":"Ready","status":"True"}]}`), "InProgress", "Filling"},
		"that is reconciling and does not say why":         {lake(`{"conditions":[{"type":"Reconciling","status":"True"},{"type":"Ready","status":"False","reason":"Dry","message":"no water"}]}`), "InProgress", "its condition Ready is False: Dry: no water"},
		"that is ready and not ready":                      {lake(`{"conditions":[{"type":"Ready","status":"True"},{"type":"Ready","status":"False"}]}`), "InProgress", "it stands there twice"},
		"that is ready twice":                              {lake(`{"conditions":[{"type":"Ready","status":"True"},{"type":"Ready","status":"True"}]}`), "Current", ""},
		"whose conditions hold anything":                   {lake(`{"conditions":[7,null,{"type":5,"status":[]},{"status":"True"},{"type":"Ready","status":"False","reason":{"a":1},"message":["x"]}]}`), "InProgress", "[x]"},
		"whose conditions are a map":                       {lake(`{"conditions":{"Ready":"False"},"level":3}`), "Current", ""},
		"whose status is a word":                           {lake(`"full"`), "Current", ""},
		"whose status is a list":                           {lake(`["full"]`), "Current", ""},
		"that is not available":                            {lake(`{"conditions":[{"type":"Available","status":"False","reason":"Dry","message":"no water"}]}`), "InProgress", "its condition Available is False: Dry: no water"},
		"that is available":                                {lake(`{"conditions":[{"type":"Progressing","status":"False"},{"type":"Available","status":"True"}]}`), "Current", ""},
		"that is ready and says that it is not available":  {lake(`{"conditions":[{"type":"Available","status":"False"},{"type":"Ready","status":"True"}]}`), "Current", ""},
		"a Gateway that waits for its controller":          {of("gateway.networking.k8s.io/v1", "Gateway", `"status":{"conditions":[{"type":"Accepted","status":"Unknown","reason":"Pending"},{"type":"Programmed","status":"Unknown","reason":"Pending","message":"Waiting for controller"}]}`), "InProgress", "Waiting for controller"},
		"a Gateway without a load balancer":                {of("gateway.networking.k8s.io/v1", "Gateway", `"status":{"conditions":[{"type":"Accepted","status":"True"},{"type":"Programmed","status":"False","reason":"AddressNotAssigned"}]}`), "InProgress", "AddressNotAssigned"},
		"a GatewayClass that nothing accepts":              {of("gateway.networking.k8s.io/v1", "GatewayClass", `"status":{"conditions":[{"type":"Accepted","status":"Unknown","reason":"Pending"}]}`), "InProgress", "Pending"},
		"an AWS resource that is being made":               {of("rds.services.k8s.aws/v1alpha1", "DBInstance", `"status":{"conditions":[{"type":"ACK.ResourceSynced","status":"False","message":"creating"}]}`), "InProgress", "creating"},
		"an AWS resource that cannot be made":              {of("rds.services.k8s.aws/v1alpha1", "DBInstance", `"status":{"conditions":[{"type":"ACK.ResourceSynced","status":"True"},{"type":"ACK.Terminal","status":"True","message":"InvalidParameterValue"}]}`), "Failed", "InvalidParameterValue"},
		"a snapshot that cannot be used yet":               {of("snapshot.storage.k8s.io/v1", "VolumeSnapshot", `"status":{"readyToUse":false}`), "InProgress", "its status says that it is not readyToUse"},
		"a cluster that says that it is not ready":         {lake(`{"ready":false,"phase":"Provisioning"}`), "InProgress", "its status says that it is not ready"},
		"that says what only it understands":               {lake(`{"level":3}`), "Current", ""},
		"whose message has lines":                          {lake(`{"conditions":[{"type":"Ready","status":"False","message":"dry\n---\nkind: Secret\u001b[0m"}]}`), "InProgress", "dry --- kind: Secret [0m"},
		"that is going":                                    {strings.Replace(lake(`{"conditions":[{"type":"Ready","status":"True"}]}`), `"generation"`, `"deletionTimestamp":"2026-01-01T00:00:00Z","generation"`, 1), "Terminating", ""},
	} {
		t.Run(name, r.check)
	}
}

func TestAKindWithoutAStatusIsReadyOnceItExists(t *testing.T) {
	for name, resources := range map[string]string{
		"because its status is no subresource":      `[{"name":"things"},{"name":"others/status"}]`,
		"because the API server says nothing of it": `null`,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.put("Thing", "one", of("case.example/v1", "Thing", `"spec":{}`))
			w.objects["/apis/case.example/v1"] = `{"kind":"APIResourceList","resources":` + resources + `}`
			got := w.round(t)
			assert.True(t, got.Complete)
			assert.Empty(t, got.Unobserved)
		})
	}
}

func readTold(t *testing.T, err error) (name, message string) {
	t.Helper()
	var named *contract.Error
	require.ErrorAs(t, err, &named)
	return string(named.Name), named.Message
}
