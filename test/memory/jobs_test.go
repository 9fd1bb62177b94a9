//go:build linux

package memory

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/runjob"
)

// watchMB is what watch-job may take while it writes a log of 10 MB.
const watchMB = 48

const ended = `{"metadata":{"name":"migrate","namespace":"shop","uid":"u","resourceVersion":"5"},"status":{"succeeded":1,"conditions":[{"type":"Complete","status":"True","reason":"CompletionsReached"}]}}`

const endedPod = `{"metadata":{"name":"migrate-1","uid":"p","resourceVersion":"4"},"spec":{"containers":[{"name":"main"}]},"status":{"phase":"Succeeded","containerStatuses":[{"name":"main","state":{"terminated":{"exitCode":0,"reason":"Completed","finishedAt":"2026-11-26T12:00:00Z"}}}]}}`

// jobServer answers as a cluster with a Job that has ended, whose pod has this log.
func jobServer(pods string, log func(io.Writer)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/log"):
			log(w)
		case r.URL.Query().Get("watch") == "true":
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		case strings.HasSuffix(r.URL.Path, "/jobs"):
			_, _ = io.WriteString(w, `{"kind":"JobList","metadata":{"resourceVersion":"9"},"items":[`+ended+`]}`)
		default:
			_, _ = io.WriteString(w, `{"kind":"PodList","metadata":{"resourceVersion":"9"},"items":[`+pods+`]}`)
		}
	}
}

// watchJob is the payload for a Job that has ended.
func watchJob(s contract.Session, logs runjob.Logs) runjob.WatchJob {
	now := time.Now()
	return runjob.WatchJob{
		Session: s, StartSeconds: 120, Timeout: 3600, Logs: logs, Keep: runjob.KeepAlways, Output: contract.Destination{Bucket: "reports"},
		Run: runjob.Run{Job: runjob.CreatedJob{Namespace: "shop", Name: "migrate", UID: "u"}, Cursor: runjob.Cursor{Until: now.Add(time.Hour), Since: now}},
	}
}

// tenMegabytes are 100,000 lines.
func tenMegabytes(w io.Writer) {
	for i := range 100_000 {
		_, _ = fmt.Fprintf(w, "2026-11-26T12:00:00.%09dZ line %d of a program that says what it does, in about a hundred bytes for each of them\n", i, i)
	}
}

func TestALogOfTenMegabytes(t *testing.T) {
	bucket := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	defer bucket.Close()
	of := session(t, jobServer(endedPod, tenMegabytes))
	o := invoke(t, "watch-job", watchJob(of, runjob.LogsAll), "AWS_ENDPOINT_URL="+bucket.URL)
	require.Empty(t, o.failure.ErrorType, o.failure.ErrorMessage)
	assert.Contains(t, string(o.answer), `"lines":100000`)
	assert.LessOrEqual(t, o.peakMB, watchMB, "peak memory in MB")
}

func TestAHostileJobOrLog(t *testing.T) {
	for sentence, handler := range map[string]http.HandlerFunc{
		"a line without an end": jobServer(endedPod, func(w io.Writer) { write(w, "2026-11-26T12:00:00Z ", "x", 40*megabyte, "") }),
		"a log of control characters": jobServer(endedPod, func(w io.Writer) {
			write(w, "", "2026-11-26T12:00:00Z "+strings.Repeat("\x1b", 1000)+"\n", 20*megabyte, "")
		}),
		"pods of 15 MiB":       jobServer(endedPod+`,{"metadata":{"name":"`+strings.Repeat("x", 15*megabyte)+`"}}`, tenMegabytes),
		"more than 16 MiB":     jobServer(endedPod+`,{"metadata":{"name":"`+strings.Repeat("x", 17*megabyte)+`"}}`, tenMegabytes),
		"a page of no cluster": func(w http.ResponseWriter, _ *http.Request) { write(w, "<html>", "x", 20*megabyte, "") },
	} {
		t.Run(sentence, func(t *testing.T) {
			bucket := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
			defer bucket.Close()
			for _, logs := range []runjob.Logs{runjob.LogsTail, runjob.LogsAll} {
				invoke(t, "watch-job", watchJob(session(t, handler), logs), "AWS_ENDPOINT_URL="+bucket.URL)
			}
		})
	}
}
