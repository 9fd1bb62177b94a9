package readiness_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/kube/kubetest"
	"github.com/kubestep/kubestep/internal/readiness"
)

// Who can write an object's status decides what is read of it.
func FuzzCheck(f *testing.F) {
	cluster, answer := kubetest.ServeWhat(f)
	checker := readiness.Checker{Kube: kubetest.Connector}
	for _, kind := range []string{
		"v1 Pod", "batch/v1 Job", "apps/v1 StatefulSet", "apps/v1 DaemonSet", "apps/v1 Deployment", "apps/v1 ReplicaSet", "v1 PersistentVolumeClaim", "v1 Service",
		"networking.k8s.io/v1 Ingress", "autoscaling/v1 HorizontalPodAutoscaler", "apiextensions.k8s.io/v1 CustomResourceDefinition", "argoproj.io/v1alpha1 Rollout", "case.example/v1 Lake",
	} {
		apiVersion, kind, _ := strings.Cut(kind, " ")
		for _, status := range []string{
			`null`, `7`, `{}`, `[[]]`, `{"conditions":[{"type":"Ready","status":"True"}],"observedGeneration":"2"}`,
			`{"phase":"Running","conditions":[null,7,{"type":{}}],"containerStatuses":[{"state":{"waiting":{"reason":"CrashLoopBackOff"}}},7],"loadBalancer":{"ingress":[[],{"ip":7}]}}`,
			`{"observedGeneration":1e300,"replicas":-1,"readyReplicas":9223372036854775807,"conditions":{"a":[]}}`,
		} {
			f.Add([]byte(of(apiVersion, kind, `"spec":`+status+`,"status":`+status)))
		}
	}
	f.Add([]byte(`{"kind":7,"apiVersion":{},"metadata":[],"status":{"conditions":[{"type":"Ready","status":"False","message":"k8s-aws-v1.aHR0cHM"}]}}`))
	f.Fuzz(func(t *testing.T, object []byte) {
		answer(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/api/v1" {
				_, _ = io.WriteString(w, `{"resources":[{"name":"things/status"}]}`)
				return
			}
			_, _ = w.Write(object)
		})
		got, err := checker.Check(t.Context(), applymanifests.CheckReadiness{
			Session: kubetest.Session(cluster), Wait: applymanifests.Wait{TimeoutSeconds: 60},
			WaitFor: []applymanifests.Reference{{Kind: "Thing", Namespace: "shop", Path: "/api/v1/namespaces/shop/things", Names: []string{"one"}}},
		})
		if err != nil {
			kubetest.Told(t, err)
			return
		}
		text, err := json.Marshal(got)
		require.NoError(t, err)
		assert.Less(t, len(text), 4<<10)
		assert.Equal(t, got.Complete, len(got.NotReady) == 0)
	})
}
