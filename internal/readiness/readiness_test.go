package readiness_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/kube/kubetest"
	"github.com/kubestep/kubestep/internal/readiness"
)

const (
	one       = "/api/v1/namespaces/shop/configmaps/one"
	web       = "/apis/apps/v1/namespaces/shop/deployments/web"
	configMap = `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"one"}}`
)

// world is a cluster whose objects a test changes, and the executions that wait for them.
type world struct {
	checker readiness.Checker
	payload applymanifests.CheckReadiness

	mu      sync.Mutex
	objects map[string]string // by path
	gets    []string
	takes   time.Duration     // an answer
	answers map[string]answer // by path
}

// answer is what the API server says instead of an object.
type answer struct {
	code    int32
	reason  metav1.StatusReason
	message string
}

func newWorld(t *testing.T) *world {
	w := &world{objects: map[string]string{}, answers: map[string]answer{}}
	cluster := kubetest.Serve(t, func(rw http.ResponseWriter, r *http.Request) {
		time.Sleep(w.takes)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.gets = append(w.gets, r.URL.Path)
		if a, ok := w.answers[r.URL.Path]; ok {
			kubetest.Refuse(rw, a.code, a.reason, a.message)
			return
		}
		if object, ok := w.objects[r.URL.Path]; ok {
			_, _ = io.WriteString(rw, object)
			return
		}
		kubetest.Refuse(rw, http.StatusNotFound, metav1.StatusReasonNotFound, "not found")
	})
	w.checker = readiness.Checker{Kube: kubetest.Connector}
	w.payload = applymanifests.CheckReadiness{Session: kubetest.Session(cluster), Wait: applymanifests.Wait{TimeoutSeconds: 60}, WaitFor: []applymanifests.Reference{
		{Kind: "ConfigMap", Namespace: "shop", Path: "/api/v1/namespaces/shop/configmaps", Names: []string{"one"}},
		{Kind: "Deployment", Namespace: "shop", Path: "/apis/apps/v1/namespaces/shop/deployments", Names: []string{"web"}},
	}}
	w.objects[one] = configMap
	w.deploy(0, "")
	return w
}

// deploy writes the Deployment with that many ready replicas of two.
func (w *world) deploy(ready int, condition string) {
	w.objects[web] = deployment(ready, condition)
}

func deployment(ready int, condition string) string {
	return fmt.Sprintf(
		`{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web","generation":1},"spec":{"replicas":2},
		  "status":{"observedGeneration":1,"replicas":2,"updatedReplicas":2,"readyReplicas":%d,"availableReplicas":%d,"conditions":[{"type":"Available","status":"True"}%s]}}`, ready, ready, condition)
}

// put makes the payload wait for one object alone, of a kind with a status.
func (w *world) put(kind, name, object string) {
	w.payload.WaitFor = []applymanifests.Reference{{Kind: kind, Namespace: "shop", Path: "/apis/case.example/v1/namespaces/shop/things", Names: []string{name}}}
	w.objects["/apis/case.example/v1/namespaces/shop/things/"+name] = object
	w.objects["/apis/case.example/v1"] = `{"kind":"APIResourceList","resources":[{"name":"things"},{"name":"things/status"}]}`
}

// replicate makes the payload wait for n others in the place of the last object, which are
// there unless object is empty.
func (w *world) replicate(n int, object string) {
	last := &w.payload.WaitFor[len(w.payload.WaitFor)-1]
	last.Names = nil
	for i := range n {
		name := fmt.Sprintf("web-%d", i)
		last.Names = append(last.Names, name)
		if object != "" {
			w.objects[last.Path+"/"+name] = nameOf.ReplaceAllString(object, fmt.Sprintf(`"metadata":{"name":%q`, name))
		}
	}
}

var nameOf = regexp.MustCompile(`"metadata":\{"name":"[^"]*"`)

// round checks once, and keeps the answer for the next round.
func (w *world) round(t *testing.T) applymanifests.Readiness {
	t.Helper()
	r, err := w.checker.Check(t.Context(), w.payload)
	require.NoError(t, err)
	w.payload.Readiness = r
	return r
}

func TestAnExecutionWaitsUntilAllIsReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.round(t)
		assert.False(t, r.Complete)
		assert.Equal(t, "r.", r.Done)
		assert.Equal(t, 2, r.WaitSeconds)
		assert.Equal(t, time.Now().Add(time.Minute).UTC(), r.Until)
		require.Len(t, r.NotReady, 1)
		assert.Equal(t, "Deployment web InProgress", strings.Join([]string{r.NotReady[0].Kind, r.NotReady[0].Name, r.NotReady[0].Status}, " "))

		time.Sleep(40 * time.Second)
		w.gets = nil
		assert.Equal(t, 10, w.round(t).WaitSeconds, "longer after a longer time")
		assert.Equal(t, []string{web}, w.gets, "what was ready is not asked for again before all was")

		w.deploy(2, "")
		r = w.round(t)
		assert.True(t, r.Complete)
		assert.Empty(t, r.NotReady)
		assert.Equal(t, "RR", r.Done)
	})
}

func TestOnceAllWereReadyAllAreLookedAtAgain(t *testing.T) {
	w := newWorld(t)
	assert.Equal(t, "r.", w.round(t).Done)
	w.deploy(2, "")
	delete(w.objects, one)
	w.gets = nil

	r := w.round(t)
	assert.False(t, r.Complete, "what was ready is not any more")
	assert.Equal(t, []string{web, one}, w.gets)
	assert.Equal(t, ".r", r.Done)
	require.Len(t, r.NotReady, 1)
	assert.Equal(t, applymanifests.NotReadyObject{Kind: "ConfigMap", Namespace: "shop", Name: "one", Status: "NotFound", Message: "it does not exist"}, r.NotReady[0])

	w.objects[one] = configMap
	w.deploy(1, "")
	assert.Equal(t, "r.", w.round(t).Done, "and now the other is not")
	w.deploy(2, "")
	r = w.round(t)
	assert.True(t, r.Complete)
	assert.Equal(t, "RR", r.Done)
}

func TestWhatIsNotReadyAtTheLastLookIsNamedOnceTheTimeIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.round(t)
		w.deploy(2, "")
		delete(w.objects, one)
		time.Sleep(time.Minute)
		_, err := w.checker.Check(t.Context(), w.payload)
		_, message := kubetest.Told(t, err)
		assert.Contains(t, message, "After 1m0s, 1 of 2 objects in cluster demo are not ready: ConfigMap shop/one (NotFound: it does not exist)")
	})
}

func TestALastLookGoesOnInTheNextRound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.replicate(30, deployment(2, ""))
		w.payload.Readiness.Done = strings.Repeat("r", 31)
		w.payload.Readiness.Until = time.Now().Add(-time.Second) // which does not end a look that finds nothing wrong
		rounds, complete := 0, false
		for ; rounds < 31 && !complete; rounds++ {
			w.gets = nil
			w.takes = 5 * time.Second
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			r, err := w.checker.Check(ctx, w.payload)
			cancel()
			require.NoError(t, err)
			require.NotEmpty(t, w.gets)
			require.NotContains(t, r.Done, ".")
			w.payload.Readiness, complete = r, r.Complete
		}
		assert.True(t, complete)
		assert.Greater(t, rounds, 1)
		assert.Equal(t, strings.Repeat("R", 31), w.payload.Readiness.Done)
	})
}

func TestWhatHasEndedMayGo(t *testing.T) {
	w := newWorld(t)
	migrate := "/apis/batch/v1/namespaces/shop/jobs/one"
	w.payload.WaitFor[0] = applymanifests.Reference{Kind: "Job", Namespace: "shop", Path: "/apis/batch/v1/namespaces/shop/jobs", Names: []string{"one"}}
	w.objects[migrate] = aJob(`"status":{"conditions":[{"type":"Complete","status":"True"}]}`)
	assert.Equal(t, "e.", w.round(t).Done)
	w.deploy(2, "")

	w.objects[migrate] = aJob(`"status":{"startTime":"2026-01-01T00:00:00Z","active":1}`)
	assert.Equal(t, ".r", w.round(t).Done, "but another in its place is waited for")
	w.objects[migrate] = aJob(`"status":{"conditions":[{"type":"Complete","status":"True"}]}`)
	w.deploy(1, "")
	assert.Equal(t, "e.", w.round(t).Done)

	delete(w.objects, migrate) // by its ttlSecondsAfterFinished
	w.deploy(2, "")
	r := w.round(t)
	assert.True(t, r.Complete)
	assert.Equal(t, "ER", r.Done)
}

func TestAnObjectThatNothingObservesCountsAsReadyAfterAWhileAndTheOutputSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put("Thing", "one", of("case.example/v1", "Thing", `"spec":{}`))
		time.Sleep(time.Hour) // what came before does not count
		r := w.round(t)
		assert.Equal(t, ".", r.Done)
		assert.Empty(t, r.Unobserved)
		time.Sleep(29 * time.Second)
		assert.Equal(t, ".", w.round(t).Done)

		time.Sleep(time.Second)
		r = w.round(t)
		assert.True(t, r.Complete)
		assert.Equal(t, "U", r.Done)
		assert.Equal(t, []applymanifests.ObjectName{{Kind: "Thing", Namespace: "shop", Name: "one"}}, r.Unobserved)

		w.payload.Readiness, w.payload.Wait.TimeoutSeconds = applymanifests.Readiness{}, 10
		w.round(t)
		time.Sleep(11 * time.Second)
		_, err := w.checker.Check(t.Context(), w.payload)
		_, message := kubetest.Told(t, err)
		assert.Contains(t, message, "Thing shop/one (InProgress: nothing has written its status yet", "a shorter wait does not shorten that")
	})
}

func TestWhetherAKindHasAStatusIsAskedOnceForAllItsObjects(t *testing.T) {
	w := newWorld(t)
	w.put("Thing", "one", of("case.example/v1", "Thing", `"spec":{}`))
	w.replicate(51, of("case.example/v1", "Thing", `"spec":{}`))
	assert.Equal(t, strings.Repeat(".", 51), w.round(t).Done)
	assert.Len(t, w.gets, 52)

	w.answers["/apis/case.example/v1"] = answer{http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable, "starting"}
	assert.Equal(t, strings.Repeat(".", 51), w.round(t).Done, "what is not known to have none may have one")
}

func TestWhatTheAPIServerCannotSayOfOneObjectHidesNoOther(t *testing.T) {
	w := newWorld(t)
	w.answers[one] = answer{http.StatusInternalServerError, metav1.StatusReasonInternalError, `conversion webhook for case.example/v1, Kind=Lake failed: connection refused`}
	r := w.round(t)
	require.Len(t, r.NotReady, 2)
	assert.Equal(t, applymanifests.NotReadyObject{Kind: "ConfigMap", Namespace: "shop", Name: "one", Status: "Unknown", Message: "the API server answers: conversion webhook for case.example/v1, Kind=Lake failed: connection refused"}, r.NotReady[0])
	assert.Equal(t, "Deployment", r.NotReady[1].Kind)

	w.payload.WaitFor[0].Kind = "Secret"
	assert.Equal(t, "the API server answers 500", w.round(t).NotReady[0].Message, "what it says of a Secret may hold what is stored")
	w.payload.WaitFor[0].Kind = "ConfigMap"

	w.deploy(2, "")
	assert.Equal(t, ".r", w.round(t).Done)
	delete(w.answers, one)
	assert.True(t, w.round(t).Complete)
}

func TestOneObjectThatTheAPIServerCannotReadIsWaitedForAsLongAsItIsWell(t *testing.T) {
	w := newWorld(t)
	w.payload.WaitFor = w.payload.WaitFor[:1]
	w.answers[one] = answer{http.StatusInternalServerError, metav1.StatusReasonInternalError, "stored under an older schema"}
	w.objects["/readyz"] = "ok"
	r := w.round(t)
	assert.Equal(t, ".", r.Done)
	assert.Equal(t, "Unknown", r.NotReady[0].Status)

	w.answers["/readyz"] = answer{http.StatusInternalServerError, metav1.StatusReasonInternalError, "etcd failed"}
	_, err := w.checker.Check(t.Context(), w.payload)
	name, message := kubetest.Told(t, err)
	assert.Equal(t, "ClusterUnreachable", name)
	assert.Contains(t, message, "stored under an older schema")
}

func TestAnObjectThatCannotBeReadHidesNoOtherUnlessNothingIsAsAnAPIServerAnswers(t *testing.T) {
	w := newWorld(t)
	for sentence, text := range map[string]string{
		"it is not an object":                               `<html>`,
		"it is larger than 10485760":                        `{"a":"` + strings.Repeat("a", 11<<20) + `"}`,
		"it would take more than 104857600 bytes of memory": `{"a":[` + strings.Repeat(`{"a":{}},`, 500_000) + `{}]}`,
	} {
		w.objects[one] = text
		r := w.round(t)
		require.Len(t, r.NotReady, 2)
		assert.Equal(t, "Unknown", r.NotReady[0].Status)
		assert.Contains(t, r.NotReady[0].Message, sentence)
	}

	w.objects[one], w.objects[web], w.objects["/readyz"] = `<html>`, `<html>`, `<html>`
	_, err := w.checker.Check(t.Context(), w.payload)
	name, message := kubetest.Told(t, err)
	assert.Equal(t, "ClusterUnreachable", name)
	assert.Contains(t, message, "it is not an object")
}

func TestEveryObjectThatMayNotBeReadIsNamed(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{one, web} {
		w.answers[path] = answer{http.StatusForbidden, metav1.StatusReasonForbidden, "no"}
	}
	_, err := w.checker.Check(t.Context(), w.payload)
	name, message := kubetest.Told(t, err)
	assert.Equal(t, "Forbidden", name)
	assert.Contains(t, message, "get ConfigMap shop/one, Deployment shop/web: no")
}

func TestATokenThatEndsAndAThrottleAreErrorsOfTheRound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for want, a := range map[string]answer{
			"Unauthorized": {http.StatusUnauthorized, metav1.StatusReasonUnauthorized, "no"},
			"Throttled":    {http.StatusTooManyRequests, metav1.StatusReasonTooManyRequests, "later"},
		} {
			for _, path := range []string{web, "/apis/case.example/v1"} {
				w := newWorld(t)
				w.payload.WaitFor = w.payload.WaitFor[1:]
				if path != web {
					w.put("Thing", "one", of("case.example/v1", "Thing", `"spec":{}`))
				}
				w.answers[path] = a
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				_, err := w.checker.Check(ctx, w.payload)
				cancel()
				name, _ := kubetest.Told(t, err)
				assert.Equal(t, want, name, path)
			}
		}
	})
}

func TestTheTimeToWaitBeginsWithTheFirstRoundAndEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.round(t)
		time.Sleep(59 * time.Second)
		assert.Equal(t, 2, w.round(t).WaitSeconds, "one more round at the end")
		time.Sleep(2 * time.Second)
		_, err := w.checker.Check(t.Context(), w.payload)
		name, message := kubetest.Told(t, err)
		assert.Equal(t, "NotReady", name)
		assert.Contains(t, message, "After 1m0s, 1 of 2 objects in cluster demo are not ready: Deployment shop/web (InProgress: ")
	})
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
	delete(w.objects, web)
	r := w.round(t)
	require.Len(t, r.NotReady, 1)
	assert.Equal(t, "NotFound", r.NotReady[0].Status)
}

func TestManyObjectsThatAreNotReadyAreReportedInPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.replicate(900, "")
		r := w.round(t)
		assert.Less(t, len(r.NotReady), 300)
		assert.NotEmpty(t, r.NotReady)
		assert.Equal(t, 900, strings.Count(r.Done, "."))
		time.Sleep(time.Hour)
		_, err := w.checker.Check(t.Context(), w.payload)
		_, message := kubetest.Told(t, err)
		assert.Contains(t, message, "900 of 901 objects")
		assert.Contains(t, message, ", and 880 more. All objects were applied")
	})
}

// What answers in the place of an object says nothing about it.
func TestAnAnswerThatIsNotTheObjectIsNotReady(t *testing.T) {
	for sentence, answer := range map[string]string{
		"a Status":       `{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","code":500}`,
		"another object": `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"other"}}`,
		"another kind":   `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"one"}}`,
	} {
		t.Run(sentence, func(t *testing.T) {
			w := newWorld(t)
			w.objects[one] = answer
			r, err := w.checker.Check(t.Context(), w.payload)
			require.NoError(t, err)
			assert.False(t, r.Complete)
			require.Len(t, r.NotReady, 2)
			assert.Contains(t, r.NotReady[0].Message, "what answers cannot be read: it is not ConfigMap one")
		})
	}
}
