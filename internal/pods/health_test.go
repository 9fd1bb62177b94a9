package pods_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/podinventory"
	"github.com/kubestep/kubestep/internal/list/listtest"
	"github.com/kubestep/kubestep/internal/pods"
)

// The conditions of a row, as kube-apiserver 1.37 writes them of a pod whose phase is Succeeded or Failed.
const (
	noConditions = ""
	succeeded    = `"conditions":[{"type":"Completed","status":"True","reason":"Succeeded","message":"The pod has completed successfully."}],`
	hasFailed    = `"conditions":[{"type":"Completed","status":"True","reason":"Failed","message":"The pod failed."}],`
)

// printed is a row with everything that says whether the pod is healthy.
func printed(name, ready, status, gates, conditions string) string {
	return fmt.Sprintf(`{"cells":[%q,%q,%q,0,"2d","10.0.0.1","node-1","<none>",%q],%s"object":null}`, name, ready, status, gates, conditions)
}

func TestAPodIsHealthyIfItSucceededOrAllOfItIsReady(t *testing.T) {
	for name, test := range map[string]struct {
		ready, status, gates, conditions string
		healthy                          bool
	}{
		"runs, and every container is ready":           {"2/2", "Running", "<none>", noConditions, true},
		"runs, and a container is not ready":           {"1/2", "Running", "<none>", noConditions, false},
		"runs, and a sidecar is not ready":             {"1/2", "NotReady", "<none>", noConditions, false},
		"runs, and every readiness gate is true":       {"1/1", "Running", "2/2", noConditions, true},
		"runs, and a readiness gate is not true":       {"1/1", "Running", "0/1", noConditions, false},
		"runs, and one of two readiness gates is true": {"1/1", "Running", "1/2", noConditions, false},
		"succeeded": {"0/1", "Completed", "<none>", succeeded, true},
		"succeeded, and has no containers' status":               {"0/1", "Succeeded", "<none>", succeeded, true},
		"succeeded, and gives a reason of its own":               {"0/1", "Handed over", "<none>", succeeded, true},
		"succeeded, and its readiness gate is false now":         {"0/1", "Completed", "0/1", succeeded, true},
		"is printed Completed and will restart":                  {"0/1", "Completed", "<none>", noConditions, false},
		"is printed Succeeded and is not":                        {"0/1", "Succeeded", "<none>", noConditions, false},
		"is printed Completed, and a container is ready":         {"1/2", "Completed", "<none>", noConditions, false},
		"failed, and its containers ended well (node shut down)": {"0/1", "Completed", "<none>", hasFailed, false},
		"failed, and gives Succeeded as its reason":              {"0/1", "Succeeded", "<none>", hasFailed, false},
		"failed, and gives Running as its reason":                {"1/1", "Running", "<none>", hasFailed, false},
		"was evicted":                                      {"0/1", "Evicted", "<none>", hasFailed, false},
		"does not fit its node":                            {"0/1", "NodeAffinity", "<none>", hasFailed, false},
		"was on a node that is gone":                       {"0/1", "ContainerStatusUnknown", "<none>", hasFailed, false},
		"waits for its init containers":                    {"0/1", "Init:0/2", "<none>", noConditions, false},
		"is initializing":                                  {"0/1", "PodInitializing", "<none>", noConditions, false},
		"has scheduling gates":                             {"0/1", "SchedulingGated", "<none>", noConditions, false},
		"waits for a node":                                 {"0/1", "Pending", "<none>", noConditions, false},
		"crashes again and again":                          {"0/1", "CrashLoopBackOff", "<none>", noConditions, false},
		"is being deleted":                                 {"1/1", "Terminating", "<none>", noConditions, false},
		"is on a node that cannot be reached":              {"1/1", "Unknown", "<none>", noConditions, false},
		"has a condition that is none of a pod's":          {"0/1", "Completed", "<none>", `"conditions":[{"type":"Paused","status":"True","reason":"Succeeded"}],`, false},
		"has not completed, as its condition says":         {"0/1", "Completed", "<none>", `"conditions":[{"type":"Completed","status":"False","reason":"Succeeded"}],`, false},
		"has conditions that are null":                     {"1/1", "Running", "<none>", `"conditions":null,`, true},
		"has conditions of no form":                        {"1/1", "Running", "<none>", `"conditions":[7,{"type":{}},[null]],`, true},
		"has its condition after others, in another order": {"0/1", "Completed", "<none>", `"conditions":[{"type":"Other"},{"reason":"Failed","status":"True","type":"Completed"}],`, false},
	} {
		t.Run(name, func(t *testing.T) {
			server := &listtest.API{Pages: map[string]string{"shop/pods?": table("", printed("a", "1/1", "Running", "<none>", noConditions), printed("b", test.ready, test.status, test.gates, test.conditions))}}
			writer := &writer{}
			got, err := listPods(t.Context(), t, pods.Lister{Archive: func(podinventory.ListPods) pods.Writer { return writer }}, server.ServeHTTP, func(in *podinventory.ListPods) { in.Output.Bucket = "inventories" })
			require.NoError(t, err)
			require.Len(t, got.Items, 2)
			require.Len(t, writer.lines, 2)
			line := writer.lines[1]
			if test.healthy {
				assert.Equal(t, 0, got.Unhealthy)
				assert.Equal(t, "a", got.Items[0].Name, "the healthy ones by name")
				assert.False(t, line.Unhealthy, "in S3 too")
			} else {
				assert.Equal(t, 1, got.Unhealthy)
				assert.Equal(t, "b", got.Items[0].Name, "the unhealthy ones first")
				assert.True(t, line.Unhealthy, "in S3 too")
			}
			assert.Equal(t, line, got.Items[indexOf(got.Items, "b")])
		})
	}
}

func indexOf(items []podinventory.Pod, name string) int {
	for i, pod := range items {
		if pod.Name == name {
			return i
		}
	}
	return -1
}

func TestRowsAreJudgedOneByOne(t *testing.T) {
	server := &listtest.API{Pages: map[string]string{"shop/pods?": table("",
		printed("a", "0/1", "Completed", "<none>", hasFailed), printed("b", "0/1", "Completed", "<none>", succeeded), printed("c", "0/1", "Completed", "<none>", noConditions))}}
	got, err := listPods(t.Context(), t, pods.Lister{}, server.ServeHTTP, nil)
	require.NoError(t, err)
	assert.Equal(t, 2, got.Unhealthy)
	assert.Equal(t, []string{"a", "c", "b"}, []string{got.Items[0].Name, got.Items[1].Name, got.Items[2].Name})
}

func TestUnhealthyPodsAreCountedAndStayFirstOverRounds(t *testing.T) {
	first := podinventory.Pods{
		Total: 3, Unhealthy: 2, ByNamespace: map[string]int{"shop": 3}, ByStatus: map[string]int{"Completed": 3}, Consistent: true,
		Items: []podinventory.Pod{{Namespace: "shop", Name: "x", Status: "Completed", Unhealthy: true}, {Namespace: "shop", Name: "y", Status: "Completed", Unhealthy: true}},
	}
	server := &listtest.API{Pages: map[string]string{"shop/pods?two": table("", printed("z", "0/1", "Completed", "<none>", succeeded), printed("a", "1/1", "Running", "0/1", noConditions))}}
	got, err := listPods(t.Context(), t, pods.Lister{}, server.ServeHTTP, func(in *podinventory.ListPods) {
		in.MaxItems = 3
		in.Pods = podinventory.Listing{Pods: first, Cursor: &contract.Cursor{Open: []contract.Place{{Namespace: "shop", Continue: "two"}}, Begun: []string{"shop"}}}
	})
	require.NoError(t, err)
	assert.Equal(t, 5, got.Total)
	assert.Equal(t, 3, got.Unhealthy)
	assert.Equal(t, []string{"a", "x", "y"}, []string{got.Items[0].Name, got.Items[1].Name, got.Items[2].Name})
}

func TestATextThatIsCutShowsThatItIs(t *testing.T) {
	for name, test := range map[string]struct{ status, want string }{
		"as long as the bound":          {strings.Repeat("s", 64), strings.Repeat("s", 64)},
		"a byte longer":                 {strings.Repeat("s", 65), strings.Repeat("s", 61) + "…"},
		"much longer":                   {strings.Repeat("s", 6500), strings.Repeat("s", 61) + "…"},
		"cut in the middle of a letter": {strings.Repeat("s", 60) + "éééé", strings.Repeat("s", 60) + "…"},
		"cut in the middle of an emoji": {strings.Repeat("s", 59) + "😀😀", strings.Repeat("s", 59) + "…"},
	} {
		t.Run(name, func(t *testing.T) {
			server := &listtest.API{Pages: map[string]string{"shop/pods?": table("", printed("a", "0/1", test.status, "<none>", noConditions))}}
			got, err := listPods(t.Context(), t, pods.Lister{}, server.ServeHTTP, nil)
			require.NoError(t, err)
			assert.Equal(t, test.want, got.Items[0].Status)
			assert.Equal(t, map[string]int{test.want: 1}, got.ByStatus)
			assert.LessOrEqual(t, len(got.Items[0].Status), 64)
		})
	}
}
