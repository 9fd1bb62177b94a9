package jobs_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubestep/kubestep/internal/contract/applymanifests"
	"github.com/kubestep/kubestep/internal/jobs"
	"github.com/kubestep/kubestep/internal/kube/kubetest"
	"github.com/kubestep/kubestep/internal/manifests"
)

// looks looks at the Job of the cluster every two seconds, each time with a connection of its
// own, until it has ended, or so often.
func looks(t *testing.T, c *cluster, limits applymanifests.Jobs, ttl *int, most int) (seen manifests.SeenJob, n int) {
	t.Helper()
	of := manifests.AwaitedJob{Namespace: "shop", Name: "migrate", Limits: limits, TTL: ttl}
	for range most {
		conn, err := kubetest.Connector.Connect(kubetest.Session(c.Cluster))
		require.NoError(t, err)
		seen, err = jobs.Looker{}.Look(t.Context(), conn, of)
		conn.Close()
		require.NoError(t, err)
		n++
		if seen.Ended {
			break
		}
		of.Watched = seen.Watched
		time.Sleep(2 * time.Second)
	}
	return seen, n
}

var limits = applymanifests.Jobs{TimeoutSeconds: 60, StartSeconds: 10, Logs: applymanifests.JobLogsNone}

func TestALookSaysHowAJobOfOthersEnded(t *testing.T) {
	for sentence, c := range map[string]struct {
		happens func(*cluster)
		logs    applymanifests.JobLogs
		ttl     *int
		looks   int // until it has ended
		name    string
		cause   []string
		not     string
		lines   []string
	}{
		"it completed": {
			happens: func(c *cluster) {
				c.job(object{"succeeded": 1, "startTime": "2026-11-23T15:00:00Z", "completionTime": "2026-11-23T15:00:01Z", "conditions": []object{condition("Complete", "", "")}})
			},
			looks: 1,
		},
		"it fails with an exit code": {
			happens: func(c *cluster) {
				c.pod("migrate-1", exited(3, "Error"))
				c.job(object{"failed": 1, "conditions": []object{condition("Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit")}})
			},
			looks: 1, name: "JobFailed", cause: []string{"Job shop/migrate in cluster demo failed (BackoffLimitExceeded", "container migrate of pod migrate-1 ended with exit code 3 (Error)", "Its log: kubectl logs -n shop migrate-1 -c migrate"},
		},
		"it fails, and its last lines are wanted": {
			happens: func(c *cluster) {
				c.pod("migrate-1", exited(3, "Error"))
				c.log["migrate-1/migrate"] = []string{line(time.Now(), "connecting"), line(time.Now(), "column exists")}
				c.ended["migrate-1/migrate"] = true
				c.job(object{"failed": 1, "conditions": []object{condition("Failed", "BackoffLimitExceeded", "")}})
			},
			logs: applymanifests.JobLogsTail, looks: 1, name: "JobFailed", cause: []string{"exit code 3"}, lines: []string{"connecting", "column exists"},
		},
		"its pod is gone by the time it fails": {
			happens: func(c *cluster) {
				c.job(object{"active": 1})
				c.pod("migrate-1", exited(3, "Error"))
				go func() {
					time.Sleep(3 * time.Second)
					c.edit(func() { delete(c.pods, "migrate-1") })
					c.job(object{"failed": 1, "conditions": []object{condition("Failed", "BackoffLimitExceeded", "")}})
				}()
			},
			looks: 3, name: "JobFailed", cause: []string{"container migrate of pod migrate-1 ended with exit code 3"},
		},
		"it never starts": {
			happens: func(c *cluster) { c.job(nil); c.pod("migrate-1", waiting("ImagePullBackOff", "Back-off")) },
			looks:   6, name: "JobNeverStarted", cause: []string{"has no container that started within 10 seconds: pod migrate-1: ImagePullBackOff: container migrate: Back-off. It is left in place, and may start later: kubectl delete job migrate -n shop ends it. If it may take longer, raise jobs.startSeconds"},
			not: "The execution deletes",
		},
		"it is suspended, and nobody resumes it": {
			happens: func(c *cluster) { c.suspended(true) },
			looks:   6, name: "JobNeverStarted", cause: []string{"the Job is suspended (spec.suspend), and nobody resumed it"},
		},
		"it is resumed after 7 seconds, and does not start within 10 of them": {
			happens: func(c *cluster) {
				c.suspended(true)
				go func() { time.Sleep(7 * time.Second); c.suspended(false) }()
			},
			looks: 10, name: "JobNeverStarted", cause: []string{"within 10 seconds: it has no pods"},
		},
		"it takes too long": {
			happens: func(c *cluster) { c.job(nil); c.pod("migrate-1", running()) },
			looks:   31, name: "JobDeadline", cause: []string{"did not end within 60 seconds. It is left in place, and may still run", "raise jobs.timeoutSeconds"},
		},
		"its own deadline is over": {
			happens: func(c *cluster) {
				c.job(object{"failed": 1, "conditions": []object{condition("Failed", "DeadlineExceeded", "Job was active longer than specified deadline")}})
			},
			looks: 1, name: "JobDeadline", cause: []string{"did not end within 3600 seconds (DeadlineExceeded", "Raise activeDeadlineSeconds of the Job, and give it another name"},
		},
		"somebody deletes it": {
			happens: func(c *cluster) {
				c.job(nil)
				c.pod("migrate-1", running())
				go func() { time.Sleep(time.Second); c.edit(func() { delete(c.jobs, "migrate") }) }()
			},
			looks: 2, name: "JobFailed", cause: []string{"is gone, and was not seen to end: somebody deleted it. The audit log of the cluster says who"},
		},
		"it is gone, and its manifest says that it goes": {
			happens: func(c *cluster) {
				c.job(nil)
				go func() { time.Sleep(time.Second); c.edit(func() { delete(c.jobs, "migrate") }) }()
			},
			ttl:   new(60),
			looks: 2, name: "JobFailed", cause: []string{"its ttlSecondsAfterFinished of 60 was over before the next look, or somebody deleted it. Raise that"},
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				world := newCluster(t)
				c.happens(world)
				of := limits
				if c.logs != "" {
					of.Logs = c.logs
				}
				seen, n := looks(t, world, of, c.ttl, 100)
				synctest.Wait()
				assert.Equal(t, c.looks, n)
				require.True(t, seen.Ended)
				assert.Equal(t, c.lines, seen.Lines)
				if c.name == "" {
					assert.Nil(t, seen.Failure)
					return
				}
				require.NotNil(t, seen.Failure)
				assert.Equal(t, c.name, string(seen.Failure.Name))
				for _, text := range c.cause {
					assert.Contains(t, seen.Failure.Message, text)
				}
				if c.not != "" {
					assert.NotContains(t, seen.Failure.Message, c.not)
				}
			})
		})
	}
}

func TestALookSaysWhatAJobWaitsFor(t *testing.T) {
	for want, happens := range map[string]func(*cluster){
		"no container has started": func(c *cluster) { c.job(nil) },
		"it is suspended":          func(c *cluster) { c.suspended(true) },
		"pod migrate-1: ImagePullBackOff: container migrate: no such image": func(c *cluster) { c.job(nil); c.pod("migrate-1", waiting("ImagePullBackOff", "no such image")) },
		"pods: 1 active, 0 succeeded, 2 failed":                             func(c *cluster) { c.job(object{"active": 1, "failed": 2}) },
	} {
		synctest.Test(t, func(t *testing.T) {
			world := newCluster(t)
			happens(world)
			seen, _ := looks(t, world, limits, nil, 1)
			assert.False(t, seen.Ended)
			assert.Equal(t, want, seen.Watched.Why)
		})
	}
}

func TestALookThatIsRefusedIsAnError(t *testing.T) {
	c := newCluster(t)
	c.job(nil)
	c.refuse = func(w http.ResponseWriter, _ *http.Request) bool {
		kubetest.Refuse(w, http.StatusForbidden, metav1.StatusReasonForbidden, "no")
		return true
	}
	conn, err := kubetest.Connector.Connect(kubetest.Session(c.Cluster))
	require.NoError(t, err)
	defer conn.Close()
	_, err = jobs.Looker{}.Look(t.Context(), conn, manifests.AwaitedJob{Namespace: "shop", Name: "migrate", Limits: limits})
	assert.Error(t, err)
}
