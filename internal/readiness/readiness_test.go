package readiness_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/kube/kubetest"
	"github.com/kubestep/kubestep/internal/readiness"
)

// fakeClock advances only in Sleep.
type fakeClock struct{ now time.Time }

func (c *fakeClock) Now() time.Time { return c.now }

func (c *fakeClock) Sleep(_ context.Context, d time.Duration) error {
	c.now = c.now.Add(d)
	return nil
}

// world is a cluster whose objects a test changes, and the executions that wait for them.
type world struct {
	clock   *fakeClock
	checker readiness.Checker
	payload contract.CheckReadiness

	mu      sync.Mutex
	objects map[string]string // by path
	gets    int
}

func newWorld(t *testing.T) *world {
	w := &world{clock: &fakeClock{now: time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)}, objects: map[string]string{}}
	cluster := kubetest.Serve(t, func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.gets++
		if object, ok := w.objects[r.URL.Path]; ok {
			_, _ = io.WriteString(rw, object)
			return
		}
		kubetest.Refuse(rw, http.StatusNotFound, metav1.StatusReasonNotFound, "not found")
	})
	w.checker = readiness.Checker{Opener: kubetest.Opener{}, Clock: w.clock}
	w.payload = contract.CheckReadiness{Session: kubetest.Session(cluster), Wait: contract.Wait{TimeoutSeconds: 60}, WaitFor: []contract.Reference{
		{Kind: "ConfigMap", Namespace: "shop", Path: "/api/v1/namespaces/shop/configmaps", Names: []string{"one"}},
		{Kind: "Deployment", Namespace: "shop", Path: "/apis/apps/v1/namespaces/shop/deployments", Names: []string{"web"}},
	}}
	w.objects["/api/v1/namespaces/shop/configmaps/one"] = `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"one"}}`
	w.deploy(0, "")
	return w
}

// deploy writes the Deployment with that many ready replicas of two.
func (w *world) deploy(ready int, condition string) {
	w.objects["/apis/apps/v1/namespaces/shop/deployments/web"] = fmt.Sprintf(
		`{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web","generation":1},"spec":{"replicas":2},
		  "status":{"observedGeneration":1,"replicas":2,"updatedReplicas":2,"readyReplicas":%d,"availableReplicas":%d,"conditions":[{"type":"Available","status":"True"}%s]}}`, ready, ready, condition)
}

// round checks once, and keeps the answer for the next round.
func (w *world) round(t *testing.T) contract.Readiness {
	t.Helper()
	r, err := w.checker.Check(t.Context(), w.payload)
	require.NoError(t, err)
	w.payload.Readiness = r
	return r
}

func TestAnExecutionWaitsUntilAllIsReady(t *testing.T) {
	w := newWorld(t)
	r := w.round(t)
	assert.False(t, r.Complete)
	assert.Equal(t, "r.", r.Done)
	assert.Equal(t, 2, r.WaitSeconds)
	assert.Equal(t, w.clock.now.Add(time.Minute), r.Until)
	require.Len(t, r.NotReady, 1)
	assert.Equal(t, "Deployment web InProgress", strings.Join([]string{r.NotReady[0].Kind, r.NotReady[0].Name, r.NotReady[0].Status}, " "))

	w.clock.now = w.clock.now.Add(40 * time.Second)
	w.gets = 0
	assert.Equal(t, 10, w.round(t).WaitSeconds, "longer after a longer time")
	assert.Equal(t, 1, w.gets, "what was ready is not asked for again")

	w.deploy(2, "")
	r = w.round(t)
	assert.True(t, r.Complete)
	assert.Empty(t, r.NotReady)
}

func TestTheTimeToWaitBeginsWithTheFirstRoundAndEnds(t *testing.T) {
	w := newWorld(t)
	w.round(t)
	w.clock.now = w.clock.now.Add(59 * time.Second)
	assert.Equal(t, 2, w.round(t).WaitSeconds, "one more round at the end")
	w.clock.now = w.clock.now.Add(2 * time.Second)
	_, err := w.checker.Check(t.Context(), w.payload)
	name, message := kubetest.Told(t, err)
	assert.Equal(t, "NotReady", name)
	assert.Contains(t, message, "After 1m0s, 1 of 2 objects in cluster demo are not ready: Deployment shop/web (InProgress: ")
}

func TestWhatFailsPermanentlyIsNotWaitedFor(t *testing.T) {
	w := newWorld(t)
	w.deploy(0, `,{"type":"Progressing","status":"False","reason":"ProgressDeadlineExceeded"}`)
	_, err := w.checker.Check(t.Context(), w.payload)
	name, message := kubetest.Told(t, err)
	assert.Equal(t, "NotReady", name)
	assert.Contains(t, message, "After 0s, 1 of 2 objects in cluster demo are not ready: Deployment shop/web (Failed: ")
}

func TestAnObjectThatIsDeletedIsNotReady(t *testing.T) {
	w := newWorld(t)
	delete(w.objects, "/apis/apps/v1/namespaces/shop/deployments/web")
	r := w.round(t)
	require.Len(t, r.NotReady, 1)
	assert.Equal(t, "NotFound", r.NotReady[0].Status)
}

func TestManyObjectsThatAreNotReadyAreReportedInPart(t *testing.T) {
	w := newWorld(t)
	w.payload.WaitFor[1].Names = nil
	for i := range 900 {
		w.payload.WaitFor[1].Names = append(w.payload.WaitFor[1].Names, fmt.Sprintf("web-%d", i))
	}
	r := w.round(t)
	assert.Less(t, len(r.NotReady), 300)
	assert.NotEmpty(t, r.NotReady)
	assert.Equal(t, 900, strings.Count(r.Done, "."))
	w.clock.now = w.clock.now.Add(time.Hour)
	_, err := w.checker.Check(t.Context(), w.payload)
	_, message := kubetest.Told(t, err)
	assert.Contains(t, message, "900 of 901 objects")
	assert.Contains(t, message, ", and 880 more. All objects were applied")
}
