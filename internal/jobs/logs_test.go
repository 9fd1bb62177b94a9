package jobs_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/runjob"
	"github.com/kubestep/kubestep/internal/jobs"
	"github.com/kubestep/kubestep/internal/kube/kubetest"
)

// bucket keeps objects, by key.
type bucket struct {
	mu      sync.Mutex
	objects map[string][]byte
	puts    int
}

func (b *bucket) GetObject(context.Context, *s3.GetObjectInput, ...func(*s3.Options)) (*s3.GetObjectOutput, error) {
	return nil, errors.New("a log is not read")
}

func (b *bucket) PutObject(_ context.Context, in *s3.PutObjectInput, _ ...func(*s3.Options)) (*s3.PutObjectOutput, error) {
	content, err := io.ReadAll(in.Body)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.objects == nil {
		b.objects = map[string][]byte{}
	}
	b.objects[*in.Key] = content
	b.puts++
	return &s3.PutObjectOutput{}, err
}

// lines are the lines of the parts that a manifest names.
func (b *bucket) lines(t *testing.T, manifest string) (runjob.Log, []runjob.LogLine) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	var log runjob.Log
	require.NoError(t, json.Unmarshal(b.objects[manifest], &log))
	var all []runjob.LogLine
	for _, part := range log.Parts {
		stored := b.objects[log.Prefix+part.Name]
		assert.Len(t, stored, part.Bytes)
		reader, err := gzip.NewReader(bytes.NewReader(stored))
		require.NoError(t, err)
		for scanner := bufio.NewReaderSize(reader, 1<<20); ; {
			text, err := scanner.ReadString('\n')
			if errors.Is(err, io.EOF) {
				break
			}
			require.NoError(t, err)
			var l runjob.LogLine
			require.NoError(t, json.Unmarshal([]byte(text), &l), text)
			all = append(all, l)
		}
	}
	assert.Len(t, all, log.Lines)
	return log, all
}

// kept watches a Job whose logs are all kept.
func kept(t *testing.T, c *cluster, b *bucket) (runjob.Run, int) {
	t.Helper()
	in := c.watched(runjob.LogsAll)
	in.Output = contract.Destination{Bucket: "reports", Prefix: "logs"}
	w := jobs.Watcher{Kube: kubetest.Connector, S3: b}
	for n := 1; ; n++ {
		ctx, cancel := round(t)
		run, err := w.Watch(ctx, in)
		cancel()
		require.NoError(t, err)
		text, err := json.Marshal(run)
		require.NoError(t, err)
		in.Run = decode[runjob.Run](t, string(text)) // as it passes between states
		if run.Complete {
			return run, n
		}
	}
}

func TestTheLogOfAJobIsWhollyThereAndOnceAfterManyRounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, b := newCluster(t), &bucket{}
		c.job(object{})
		var want []string
		go func() {
			c.pod("migrate-1", running())
			for i := range 2000 {
				// Several lines have the same time, as with a clock of milliseconds.
				at := time.Now().Truncate(2 * time.Second)
				want = append(want, fmt.Sprintf("line %d", i))
				c.edit(func() { c.log["migrate-1/migrate"] = append(c.log["migrate-1/migrate"], line(at, "line %d", i)) })
				time.Sleep(700 * time.Millisecond)
			}
			c.edit(func() { c.ended["migrate-1/migrate"] = true })
			c.pod("migrate-1", exited(0, "Completed"))
			c.job(object{"succeeded": 1, "conditions": []object{condition("Complete", "CompletionsReached", "")}})
		}()

		run, n := kept(t, c, b)

		assert.Greater(t, n, 3)
		assert.Equal(t, "logs/111122223333/eu-west-1/kubestep-run-job/nightly/manifest.json", run.Log.Manifest)
		log, lines := b.lines(t, run.Log.Manifest)
		var got []string
		for _, l := range lines {
			assert.Equal(t, "migrate-1", l.Pod)
			got = append(got, l.Line)
		}
		assert.Equal(t, want, got)
		assert.False(t, log.Truncated)
		assert.Less(t, len(log.Parts), 250, "parts grow with the time that the Job takes")
		live, _ := b.lines(t, "logs/111122223333/eu-west-1/kubestep-run-job/nightly/live.json")
		assert.Equal(t, log, live, "whoever follows it sees its end")
		assert.True(t, strings.HasSuffix(run.Tail, "line 1998\nline 1999"))
	})
}

func TestALineIsThereForWhoeverFollowsAfterASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, b := newCluster(t), &bucket{}
		c.job(object{})
		go func() {
			c.edit(func() { c.log["migrate-1/migrate"] = []string{line(time.Now(), "hello")} })
			c.pod("migrate-1", running())
			time.Sleep(1100 * time.Millisecond)
			_, lines := b.lines(t, "logs/111122223333/eu-west-1/kubestep-run-job/nightly/live.json")
			assert.Equal(t, []string{"hello"}, []string{lines[0].Line})
			c.edit(func() { c.ended["migrate-1/migrate"] = true })
			c.pod("migrate-1", exited(0, "Completed"))
			c.job(object{"conditions": []object{condition("Complete", "CompletionsReached", "")}})
		}()
		run, _ := kept(t, c, b)
		assert.Equal(t, 1, run.Log.Lines)
	})
}

func TestTheLogsOfAllContainersAreKeptHoweverManyThereAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, b := newCluster(t), &bucket{}
		for i := range 60 {
			pod := fmt.Sprintf("migrate-%d", i)
			c.edit(func() {
				c.log[pod+"/migrate"], c.ended[pod+"/migrate"] = []string{line(time.Now(), "one"), line(time.Now(), "two")}, true
			})
			c.pod(pod, exited(0, "Completed"))
		}
		c.job(object{"succeeded": 60, "conditions": []object{condition("Complete", "CompletionsReached", "")}})
		run, _ := kept(t, c, b)
		_, lines := b.lines(t, run.Log.Manifest)
		assert.Len(t, lines, 120)
	})
}

// The API server ends an answer well if the kubelet's connection breaks.
func TestALogThatBreaksOffIsReadOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, b := newCluster(t), &bucket{}
		c.job(object{})
		broke := 0
		c.refuse = func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasSuffix(r.URL.Path, "/log") || r.URL.Query().Get("follow") == "" || broke > 0 {
				return false
			}
			broke++
			_, _ = io.WriteString(w, line(time.Now(), "one")+"\n")
			return true
		}
		go func() {
			c.edit(func() { c.log["migrate-1/migrate"] = []string{line(time.Now(), "one"), line(time.Now(), "two")} })
			c.pod("migrate-1", running())
			time.Sleep(time.Second) // before it would be asked for again
			c.edit(func() {
				c.log["migrate-1/migrate"] = append(c.log["migrate-1/migrate"], line(time.Now(), "three"))
				c.ended["migrate-1/migrate"] = true
			})
			c.pod("migrate-1", exited(0, "Completed"))
			c.job(object{"conditions": []object{condition("Complete", "CompletionsReached", "")}})
		}()
		run, _ := kept(t, c, b)
		_, lines := b.lines(t, run.Log.Manifest)
		assert.Len(t, lines, 3)
		assert.Equal(t, 1, broke)
	})
}

func TestALogThatCannotBeReadAnyMoreIsSaidToBeCut(t *testing.T) {
	for sentence, code := range map[string]int32{"its pod is gone": http.StatusNotFound, "its node is gone": http.StatusInternalServerError} {
		t.Run(sentence, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, b := newCluster(t), &bucket{}
				c.pod("migrate-1", exited(0, "Completed"))
				c.job(object{"conditions": []object{condition("Complete", "CompletionsReached", "")}})
				c.refuse = func(w http.ResponseWriter, r *http.Request) bool {
					if strings.HasSuffix(r.URL.Path, "/log") {
						kubetest.Refuse(w, code, "", "no")
						return true
					}
					return false
				}
				run, n := kept(t, c, b)
				assert.True(t, run.Succeeded, "which is about its log alone")
				assert.True(t, run.Log.Truncated)
				assert.Equal(t, 1, n)
			})
		})
	}
}

func TestARoundThatWroteOfTheLogEndsWellWhateverComesThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, b := newCluster(t), &bucket{}
		c.job(object{})
		go func() {
			c.edit(func() { c.log["migrate-1/migrate"] = []string{line(time.Now(), "one")} })
			c.pod("migrate-1", running())
			time.Sleep(time.Minute)
			c.edit(func() {
				c.refuse = func(w http.ResponseWriter, _ *http.Request) bool {
					kubetest.Refuse(w, http.StatusUnauthorized, metav1.StatusReasonUnauthorized, "expired")
					return true
				}
			})
			c.breakWatches()
		}()
		in := c.watched(runjob.LogsAll)
		in.Output = contract.Destination{Bucket: "reports"}
		w := jobs.Watcher{Kube: kubetest.Connector, S3: b}
		ctx, cancel := round(t)
		defer cancel()
		run, err := w.Watch(ctx, in)
		require.NoError(t, err, "its parts are not lost")
		assert.Equal(t, 1, run.Log.Lines)
		assert.False(t, run.Complete)
		in.Run = run
		_, err = w.Watch(ctx, in)
		var named *contract.Error
		require.ErrorAs(t, err, &named, "and the next meets it first")
		assert.Equal(t, contract.Unauthorized, named.Name)
	})
}

func TestNothingOfALineThatDoesNotBelongInAFileIsKept(t *testing.T) {
	long := strings.Repeat("x", 127<<10) + " " + kubetest.Token + strings.Repeat("y", 3<<10) + " " + strings.Repeat("z", 200<<10)
	for given, want := range map[string]string{
		"plain":                          "plain",
		"a\ttab and \"quotes\" \\":       "a\ttab and \"quotes\" \\",
		"\x1b[31mred\x1b[0m":             "red",
		"\x1b]0;title\x07bell\x07":       "bell",
		"progress 1%\rprogress 2%":       "progress 1%progress 2%",
		"größer \xff":                    "größer \ufffd",
		"turned \u202e round":            "turned \ufffd round",
		"token " + kubetest.Token + " .": "token [REDACTED] .",
		"hidden k8s-\x1b[0maws-v1.abc":   "hidden [REDACTED]",
		"":                               "",
	} {
		synctest.Test(t, func(t *testing.T) {
			_, lines := logged(t, given)
			require.Len(t, lines, 1)
			assert.Equal(t, want, lines[0].Line)
		})
	}
	synctest.Test(t, func(t *testing.T) {
		log, lines := logged(t, long)
		var all strings.Builder
		for _, l := range lines {
			all.WriteString(l.Line)
		}
		assert.Greater(t, len(lines), 1, "a line that is too long becomes several")
		assert.NotContains(t, all.String(), "k8s-aws-v1.", "none of which ends within a token")
		assert.Equal(t, strings.Repeat("x", 127<<10)+" [REDACTED] "+strings.Repeat("z", 200<<10), all.String())
		assert.Equal(t, len(lines), log.Lines)
	})
}

// logged is what is kept of a container that logs one line.
func logged(t *testing.T, text string) (runjob.Log, []runjob.LogLine) {
	t.Helper()
	c, b := newCluster(t), &bucket{}
	c.edit(func() {
		c.log["migrate-1/migrate"], c.ended["migrate-1/migrate"] = []string{line(time.Now(), "%s", text)}, true
	})
	c.pod("migrate-1", exited(0, "Completed"))
	c.job(object{"conditions": []object{condition("Complete", "CompletionsReached", "")}})
	run, _ := kept(t, c, b)
	return b.lines(t, run.Log.Manifest)
}
