package jobs_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/runjob"
	"github.com/kubestep/kubestep/internal/jobs"
	"github.com/kubestep/kubestep/internal/kube/kubetest"
)

var watcher = jobs.Watcher{Kube: kubetest.Connector}

// rounds runs watch-job until the Job has ended, and returns how often.
func rounds(t *testing.T, in runjob.WatchJob) (run runjob.Run, n int) {
	t.Helper()
	for !in.Run.Complete {
		ctx, cancel := round(t)
		run, err := watcher.Watch(ctx, in)
		cancel()
		require.NoError(t, err)
		in.Run = run
		n++
	}
	return in.Run, n
}

func TestHowAJobEndedHasANameAndASentence(t *testing.T) {
	for sentence, c := range map[string]struct {
		happens func(*cluster)
		want    runjob.End
		cause   []string
		deletes bool
		after   time.Duration // at most a second later than it happens
	}{
		"it succeeds": {
			happens: func(c *cluster) {
				c.pod("migrate-1", running())
				time.Sleep(10 * time.Second)
				c.pod("migrate-1", exited(0, "Completed"))
				c.job(object{"succeeded": 1, "conditions": []object{condition("SuccessCriteriaMet", "CompletionsReached", ""), condition("Complete", "CompletionsReached", "")}})
			},
			want: runjob.End{Reason: "CompletionsReached", Pod: "migrate-1", Container: "migrate", PodsSucceeded: 1}, after: 10 * time.Second,
		},
		"it succeeds by its success policy, though pods of it failed": {
			happens: func(c *cluster) {
				c.pod("migrate-1", exited(1, "Error"))
				c.pod("migrate-0", exited(0, "Completed"))
				c.job(object{"succeeded": 1, "failed": 1, "conditions": []object{condition("Complete", "SuccessPolicy", "")}})
			},
			want: runjob.End{Reason: "SuccessPolicy", Pod: "migrate-0", Container: "migrate", PodsSucceeded: 1, PodsFailed: 1},
		},
		"a pod failed, and the Job goes on": {
			happens: func(c *cluster) {
				c.pod("migrate-1", exited(1, "Error"))
				c.job(object{"failed": 1})
				time.Sleep(time.Minute)
				c.pod("migrate-2", exited(0, "Completed"))
				c.job(object{"failed": 1, "succeeded": 1, "conditions": []object{condition("Complete", "CompletionsReached", "")}})
			},
			want: runjob.End{Reason: "CompletionsReached", Pod: "migrate-2", Container: "migrate", PodsSucceeded: 1, PodsFailed: 1}, after: time.Minute,
		},
		"it fails with an exit code": {
			happens: func(c *cluster) {
				c.pod("migrate-1", exited(3, "Error"))
				c.job(object{"failed": 1, "conditions": []object{condition("FailureTarget", "BackoffLimitExceeded", ""), condition("Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit")}})
			},
			want:  runjob.End{Error: "JobFailed", Reason: "BackoffLimitExceeded", ExitCode: 3, Pod: "migrate-1", Container: "migrate", PodsFailed: 1},
			cause: []string{"Job shop/migrate in cluster demo failed (BackoffLimitExceeded: Job has reached the specified backoff limit): container migrate of pod migrate-1 ended with exit code 3 (Error) (pods failed: 1, succeeded: 0)"},
		},
		"it will have failed once its pods have ended": {
			happens: func(c *cluster) {
				c.pod("migrate-1", exited(3, "Error"))
				c.pod("migrate-2", running())
				c.job(object{"failed": 1, "conditions": []object{condition("FailureTarget", "BackoffLimitExceeded", "")}})
				time.Sleep(20 * time.Second)
				killed := exited(137, "Error")
				c.pod("migrate-2", killed)
				c.job(object{"failed": 2, "conditions": []object{condition("FailureTarget", "BackoffLimitExceeded", ""), condition("Failed", "BackoffLimitExceeded", "")}})
			},
			want: runjob.End{Error: "JobFailed", Reason: "BackoffLimitExceeded", ExitCode: 3, Pod: "migrate-1", Container: "migrate", PodsFailed: 2}, after: 20 * time.Second,
		},
		"it takes too much memory": {
			happens: func(c *cluster) {
				c.pod("migrate-1", exited(137, "OOMKilled"))
				c.job(object{"failed": 1, "conditions": []object{condition("Failed", "BackoffLimitExceeded", "")}})
			},
			want:  runjob.End{Error: "JobFailed", Reason: "BackoffLimitExceeded", ExitCode: 137, Pod: "migrate-1", Container: "migrate", PodsFailed: 1},
			cause: []string{"exit code 137 (OOMKilled)", "resources.limits.memory"},
		},
		"indexes of it fail": {
			happens: func(c *cluster) {
				c.pod("migrate-7", exited(2, "Error"))
				c.job(object{"failed": 3, "succeeded": 47, "failedIndexes": "3,7-8", "conditions": []object{condition("Failed", "FailedIndexes", "Job has failed indexes")}})
			},
			want:  runjob.End{Error: "JobFailed", Reason: "FailedIndexes", ExitCode: 2, Pod: "migrate-7", Container: "migrate", PodsFailed: 3, PodsSucceeded: 47},
			cause: []string{"failed indexes: 3,7-8"},
		},
		"its policy for failures ends it": {
			happens: func(c *cluster) {
				c.pod("migrate-1", exited(42, "Error"))
				c.job(object{"failed": 1, "conditions": []object{condition("Failed", "PodFailurePolicy", "Container migrate for pod shop/migrate-1 failed with exit code 42 matching FailJob rule at index 0")}})
			},
			want:  runjob.End{Error: "JobFailed", Reason: "PodFailurePolicy", ExitCode: 42, Pod: "migrate-1", Container: "migrate", PodsFailed: 1},
			cause: []string{"matching FailJob rule at index 0"},
		},
		"a kubelet evicts its pod": {
			happens: func(c *cluster) {
				c.pod("migrate-1", object{"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."})
				c.job(object{"failed": 1, "conditions": []object{condition("Failed", "BackoffLimitExceeded", "")}})
			},
			want:  runjob.End{Error: "JobFailed", Reason: "BackoffLimitExceeded", ExitCode: 255, Pod: "migrate-1", PodsFailed: 1},
			cause: []string{"pod migrate-1 failed (Evicted)"},
		},
		"its container crashes again and again, and its pod is gone in the end": {
			happens: func(c *cluster) {
				crashed := waiting("CrashLoopBackOff", "back-off 10s")
				crashed["phase"] = "Running"
				crashed["containerStatuses"].([]object)[0]["lastState"] = object{"terminated": object{"exitCode": 9, "reason": "Error", "finishedAt": "2000-01-01T00:00:05Z"}}
				c.pod("migrate-1", crashed)
				time.Sleep(time.Second)
				c.edit(func() { c.put("Pod", c.pods, c.pods["migrate-1"], "DELETED") })
				c.job(object{"failed": 1, "conditions": []object{condition("Failed", "BackoffLimitExceeded", "")}})
			},
			want: runjob.End{Error: "JobFailed", Reason: "BackoffLimitExceeded", ExitCode: 9, Pod: "migrate-1", Container: "migrate", PodsFailed: 1}, after: time.Second,
		},
		"it runs into its deadline": {
			happens: func(c *cluster) {
				c.job(object{"startTime": time.Now().UTC().Format(time.RFC3339)})
				c.pod("migrate-1", running())
				time.Sleep(time.Hour)
				c.edit(func() { c.put("Pod", c.pods, c.pods["migrate-1"], "DELETED") })
				c.job(object{"failed": 1, "conditions": []object{condition("Failed", "DeadlineExceeded", "Job was active longer than specified deadline")}})
			},
			want:  runjob.End{Error: "JobDeadline", Reason: "DeadlineExceeded", PodsFailed: 1},
			cause: []string{"did not end within 3600 seconds", "Pods that had not ended shortly before: migrate-1", "Raise timeoutSeconds"}, after: time.Hour,
		},
		"its cluster does not end it at its deadline": {
			happens: func(c *cluster) { c.pod("migrate-1", running()) },
			want:    runjob.End{Error: "JobDeadline"}, deletes: true, after: 3690 * time.Second,
			cause: []string{"its cluster did not end it either", "The execution deletes the Job"},
		},
		"somebody deletes it": {
			happens: func(c *cluster) {
				c.pod("migrate-1", running())
				time.Sleep(5 * time.Second)
				c.edit(func() { c.put("Job", c.jobs, c.jobs["migrate"], "DELETED") })
			},
			want: runjob.End{Error: "JobFailed", Reason: "Deleted"}, after: 5 * time.Second,
			cause: []string{"was deleted before it ended, and not by this execution", "It is not created again"},
		},
		"it is deleted by its time to live as it ends": {
			happens: func(c *cluster) {
				c.pod("migrate-1", exited(0, "Completed"))
				time.Sleep(time.Second)
				c.edit(func() {
					c.jobs["migrate"]["status"] = object{"succeeded": 1, "conditions": []object{condition("Complete", "CompletionsReached", "")}}
					c.put("Job", c.jobs, c.jobs["migrate"], "DELETED")
				})
			},
			want: runjob.End{Reason: "CompletionsReached", Pod: "migrate-1", Container: "migrate", PodsSucceeded: 1}, after: time.Second,
		},
		"its image cannot be pulled": {
			happens: func(c *cluster) { c.pod("migrate-1", waiting("ImagePullBackOff", `Back-off pulling image "shop:6"`)) },
			want:    runjob.End{Error: "JobNeverStarted", Reason: "ImagePullBackOff"}, deletes: true, after: 120 * time.Second,
			cause: []string{`no container that started within 120 seconds: pod migrate-1: ImagePullBackOff: container migrate: Back-off pulling image "shop:6"`, "The execution deletes the Job"},
		},
		"a ConfigMap that it names is not there": {
			happens: func(c *cluster) {
				c.pod("migrate-1", waiting("CreateContainerConfigError", `configmap "prices" not found`))
			},
			want: runjob.End{Error: "JobNeverStarted", Reason: "CreateContainerConfigError"}, deletes: true, after: 120 * time.Second,
			cause: []string{`configmap "prices" not found`},
		},
		"no node has room for it": {
			happens: func(c *cluster) {
				no := object{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/2 nodes are available: 2 Insufficient memory."}
				for _, name := range []string{"migrate-1", "migrate-2", "migrate-3"} {
					c.pod(name, object{"phase": "Pending", "conditions": []object{no}})
				}
			},
			want: runjob.End{Error: "JobNeverStarted", Reason: "Unschedulable"}, deletes: true, after: 120 * time.Second,
			cause: []string{"pod migrate-1: Unschedulable: 0/2 nodes are available: 2 Insufficient memory (and so 2 more pods)"},
		},
		"a quota allows no pods": {
			happens: func(c *cluster) {
				c.edit(func() {
					c.events = []object{{"reason": "FailedCreate", "message": `Error creating: pods "migrate-" is forbidden: exceeded quota: small`, "lastTimestamp": "2026-01-01T00:00:00Z"}}
				})
			},
			want: runjob.End{Error: "JobNeverStarted", Reason: "FailedCreate"}, deletes: true, after: 120 * time.Second,
			cause: []string{"its controller can create no pod: Error creating", "exceeded quota: small"},
		},
		"it has no pods, and nothing says why": {
			want: runjob.End{Error: "JobNeverStarted", Reason: "NoPods"}, deletes: true, after: 120 * time.Second,
		},
		"it is suspended, and nobody resumes it": {
			happens: func(c *cluster) { c.suspended(true) },
			want:    runjob.End{Error: "JobNeverStarted", Reason: "Suspended"}, deletes: true, after: 120 * time.Second,
		},
		"it is resumed, and then has all of its time to start": {
			happens: func(c *cluster) {
				c.suspended(true)
				time.Sleep(100 * time.Second)
				c.suspended(false)
			},
			want: runjob.End{Error: "JobNeverStarted", Reason: "NoPods"}, deletes: true, after: 220 * time.Second,
		},
		"its init container takes long, and then its image cannot be pulled": {
			happens: func(c *cluster) {
				initializing := waiting("PodInitializing", "")
				initializing["initContainerStatuses"] = []object{{"name": "download", "state": object{"running": object{"startedAt": "2026-01-01T00:00:00Z"}}}}
				c.pod("migrate-1", initializing)
				time.Sleep(10 * time.Minute)
				c.pod("migrate-1", waiting("ErrImagePull", "not found"))
			},
			want: runjob.End{Error: "JobNeverStarted", Reason: "ErrImagePull"}, deletes: true, after: 720 * time.Second,
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				on := newCluster(t)
				on.job(object{})
				began := time.Now()
				go func() {
					if c.happens != nil {
						c.happens(on)
					}
				}()

				run, _ := rounds(t, on.watched(runjob.LogsNone))

				assert.GreaterOrEqual(t, time.Since(began), c.after)
				assert.LessOrEqual(t, time.Since(began), c.after+time.Second, "it is noticed within a second")
				cause := run.End.Cause
				run.End.Cause, run.End.StartedAt, run.End.EndedAt = "", "", ""
				assert.Equal(t, c.want, run.End)
				assert.Equal(t, c.want.Error == "", run.Succeeded)
				assert.Equal(t, c.deletes, run.Delete)
				assert.Equal(t, c.want.Error == "", cause == "")
				for _, text := range c.cause {
					assert.Contains(t, cause, text)
				}
			})
		})
	}
}

func TestAnHourOfAJobIsAFewRoundsThatWatchAndDoNotPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		c.job(object{})
		began := time.Now()
		go func() {
			c.pod("migrate-1", running())
			time.Sleep(59 * time.Minute)
			c.pod("migrate-1", exited(0, "Completed"))
			c.job(object{"succeeded": 1, "conditions": []object{condition("Complete", "CompletionsReached", "")}})
		}()

		run, n := rounds(t, c.watched(runjob.LogsNone))

		assert.True(t, run.Succeeded)
		assert.Less(t, time.Since(began), 59*time.Minute+time.Second)
		assert.LessOrEqual(t, n, 13)
		assert.Len(t, c.asked("GET "+path+"?", true), n, "one watch of the Job a round")
		assert.Len(t, c.asked("GET "+path+"?", false), 2, "and it is listed at first and shortly before its deadline: other rounds go on from its version")
	})
}

func TestAWatchThatBreaksGoesOnFromItsVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		c.job(object{})
		go func() {
			time.Sleep(time.Second)
			c.pod("migrate-1", running())
			c.breakWatches()
			time.Sleep(time.Second)
			c.job(object{"succeeded": 1, "conditions": []object{condition("Complete", "CompletionsReached", "")}})
		}()
		run, n := rounds(t, c.watched(runjob.LogsNone))
		assert.True(t, run.Succeeded)
		assert.Equal(t, 1, n)
		assert.Len(t, c.asked("GET "+path+"?", true), 2)
		assert.Len(t, c.asked("GET "+path+"?", false), 1, "nothing is listed again")
	})
}

func TestAVersionThatTheAPIServerNoLongerHasIsListedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		c.job(object{})
		in := c.watched(runjob.LogsNone)
		in.Run.Cursor.Begun, in.Run.Cursor.Jobs, in.Run.Cursor.Pods = true, "7", "7"
		c.edit(func() { c.compacted = 50 })
		c.job(object{"succeeded": 1, "conditions": []object{condition("Complete", "CompletionsReached", "")}})
		run, _ := rounds(t, in)
		assert.True(t, run.Succeeded)
	})
}

func TestWhatACallerMustDoSomethingAboutIsAnError(t *testing.T) {
	for sentence, c := range map[string]struct {
		code   int32
		reason metav1.StatusReason
		want   contract.ErrorName
		within time.Duration
	}{
		"the token has expired":             {http.StatusUnauthorized, metav1.StatusReasonUnauthorized, contract.Unauthorized, time.Second},
		"the permission was revoked":        {http.StatusForbidden, metav1.StatusReasonForbidden, contract.Forbidden, time.Second},
		"the API server cannot answer":      {http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable, contract.ClusterUnreachable, 30 * time.Second},
		"the API server is asked too often": {http.StatusTooManyRequests, metav1.StatusReasonTooManyRequests, contract.Throttled, 30 * time.Second},
	} {
		t.Run(sentence, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				on := newCluster(t)
				on.job(object{})
				began := time.Now()
				go func() {
					time.Sleep(time.Minute)
					on.edit(func() {
						on.refuse = func(w http.ResponseWriter, _ *http.Request) bool {
							kubetest.Refuse(w, c.code, c.reason, "no")
							return true
						}
					})
					on.breakWatches()
				}()
				ctx, cancel := round(t)
				defer cancel()
				_, err := watcher.Watch(ctx, on.watched(runjob.LogsNone))
				var named *contract.Error
				require.ErrorAs(t, err, &named)
				assert.Equal(t, c.want, named.Name)
				assert.LessOrEqual(t, time.Since(began), time.Minute+c.within)
			})
		})
	}
}

func TestAnAPIServerThatIsAwayForAMomentIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		c.job(object{})
		go func() {
			c.edit(func() {
				c.refuse = func(w http.ResponseWriter, _ *http.Request) bool {
					kubetest.Refuse(w, http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable, "no")
					return true
				}
			})
			c.breakWatches()
			time.Sleep(15 * time.Second)
			c.edit(func() { c.refuse = nil })
			c.pod("migrate-1", exited(0, "Completed"))
			c.job(object{"succeeded": 1, "conditions": []object{condition("Complete", "CompletionsReached", "")}})
		}()
		run, n := rounds(t, c.watched(runjob.LogsNone))
		assert.True(t, run.Succeeded)
		assert.Equal(t, 1, n)
	})
}

func TestWhatEndedIsNotWatchedAgain(t *testing.T) {
	in := runjob.WatchJob{Run: runjob.Run{Complete: true, Succeeded: true, Tail: "done"}}
	run, err := watcher.Watch(t.Context(), in)
	require.NoError(t, err)
	assert.Equal(t, in.Run, run)
}

func TestTheJobIsDeletedAsTheRequestSays(t *testing.T) {
	for keep, want := range map[runjob.Keep][2]bool{
		runjob.KeepAlways: {false, false}, runjob.KeepOnFailure: {true, false}, runjob.KeepNever: {true, true},
	} {
		for i, kind := range []string{"Complete", "Failed"} {
			t.Run(string(keep)+" "+kind, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c := newCluster(t)
					c.pod("migrate-1", exited(i, "Whatever"))
					c.job(object{"conditions": []object{condition(kind, "Because", "")}})
					in := c.watched(runjob.LogsNone)
					in.Keep = keep
					run, _ := rounds(t, in)
					assert.Equal(t, want[i], run.Delete)
				})
			})
		}
	}
}

func TestTheLastLinesAreToldOnlyIfTheyAreAskedFor(t *testing.T) {
	for logs, told := range map[runjob.Logs]bool{runjob.LogsNone: false, runjob.LogsTail: true} {
		t.Run(string(logs), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCluster(t)
				c.edit(func() {
					for i := range 30 {
						c.log["migrate-1/migrate"] = append(c.log["migrate-1/migrate"], line(time.Now(), "line %d \x1b[31mred\x1b[0m %s", i, kubetest.Token))
					}
					c.ended["migrate-1/migrate"] = true
				})
				status := exited(3, "Error")
				status["containerStatuses"].([]object)[0]["state"].(object)["terminated"].(object)["message"] = "the last line, by FallbackToLogsOnError"
				c.pod("migrate-1", status)
				c.job(object{"failed": 1, "conditions": []object{condition("Failed", "BackoffLimitExceeded", "")}})

				run, _ := rounds(t, c.watched(logs))

				assert.Equal(t, told, strings.Contains(run.End.Cause, "line 10 red [REDACTED]\nline 11"), run.End.Cause)
				assert.NotContains(t, run.End.Cause, "line 9 ", "twenty of them")
				assert.Equal(t, told, strings.Contains(run.Tail, "line 0 "))
				assert.Equal(t, told, strings.Contains(run.End.Cause, "FallbackToLogsOnError"))
				assert.NotContains(t, run.Tail+run.End.Cause, "\x1b")
				assert.NotContains(t, run.Tail+run.End.Cause, kubetest.Token)
				assert.Equal(t, told, len(c.asked("GET /api/v1/namespaces/shop/pods/migrate-1/log", false)) > 0)
			})
		})
	}
}

func TestTheTailIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		c.edit(func() {
			for i := range 3000 {
				c.log["migrate-1/migrate"] = append(c.log["migrate-1/migrate"], line(time.Now(), "%d %s", i, strings.Repeat(`"`, 100)))
			}
			c.ended["migrate-1/migrate"] = true
		})
		c.pod("migrate-1", exited(0, "Completed"))
		c.job(object{"conditions": []object{condition("Complete", "CompletionsReached", "")}})
		run, _ := rounds(t, c.watched(runjob.LogsTail))
		text, err := contract.Encode(run.Tail)
		require.NoError(t, err)
		assert.LessOrEqual(t, len(text), runjob.MaxTail+2)
		assert.Greater(t, len(text), runjob.MaxTail-300)
		assert.True(t, strings.HasPrefix(run.Tail[strings.LastIndex(run.Tail, "\n"):], "\n2999 "))
	})
}
