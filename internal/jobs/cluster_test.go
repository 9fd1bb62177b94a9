package jobs_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubestep/kubestep/internal/contract"
	"github.com/kubestep/kubestep/internal/contract/runjob"
	"github.com/kubestep/kubestep/internal/kube/kubetest"
)

const (
	uid  = "0b0c2c1e-7a5a-4b0e-9d3c-1f2e3d4c5b6a"
	path = "/apis/batch/v1/namespaces/shop/jobs"
)

// object is an object in JSON.
type object = map[string]any

// cluster is an API server of Jobs and pods, which a test changes.
type cluster struct {
	contract.Cluster

	mu       sync.Mutex
	version  int
	jobs     map[string]object // by name
	pods     map[string]object
	cronJobs map[string]object
	events   []object
	// log has what a container has logged, with timestamps, by POD/CONTAINER.
	log map[string][]string
	// ended are the containers of which a log that is followed ends.
	ended map[string]bool
	// history are the events of watches, by their versions, since compacted.
	history   []change
	compacted int
	changed   chan struct{}

	// refuse answers a request in place of the cluster, if it returns true.
	refuse   func(http.ResponseWriter, *http.Request) bool
	requests []string
	watching int
	// broken ends all watches that run.
	broken chan struct{}
}

type change struct {
	version int
	kind    string // of the object: Job or Pod
	event   string // as it is sent
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{
		version: 100, jobs: map[string]object{}, pods: map[string]object{}, cronJobs: map[string]object{},
		log: map[string][]string{}, ended: map[string]bool{}, changed: make(chan struct{}), broken: make(chan struct{}),
	}
	c.Cluster = kubetest.Serve(t, c.serve)
	return c
}

func (c *cluster) serve(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	line := r.Method + " " + r.URL.Path
	if q := r.URL.RawQuery; q != "" {
		line += "?" + q
	}
	c.requests = append(c.requests, line)
	refuse := c.refuse
	c.mu.Unlock()
	if refuse != nil && refuse(w, r) {
		return
	}
	switch q, rest := r.URL.Query(), strings.TrimPrefix(r.URL.Path, path+"/"); {
	case q.Get("watch") == "true":
		c.watch(w, r)
	case r.URL.Path == path && r.Method == http.MethodPost:
		c.create(w, r)
	case r.URL.Path == path:
		c.list(w, "JobList", c.jobs)
	case strings.HasPrefix(r.URL.Path, path+"/") && r.Method == http.MethodDelete:
		c.remove(w, r, rest)
	case strings.HasPrefix(r.URL.Path, path+"/"):
		c.get(w, c.jobs, rest)
	case strings.HasPrefix(r.URL.Path, "/apis/batch/v1/namespaces/shop/cronjobs/"):
		c.get(w, c.cronJobs, r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:])
	case strings.HasSuffix(r.URL.Path, "/log"):
		c.logs(w, r)
	case r.URL.Path == "/api/v1/namespaces/shop/pods":
		c.list(w, "PodList", c.pods)
	case r.URL.Path == "/api/v1/namespaces/shop/events":
		c.mu.Lock()
		defer c.mu.Unlock()
		_ = json.NewEncoder(w).Encode(object{"kind": "EventList", "items": c.events})
	default:
		kubetest.Refuse(w, http.StatusNotFound, metav1.StatusReasonNotFound, "no such path: "+r.URL.Path)
	}
}

func (c *cluster) get(w http.ResponseWriter, of map[string]object, name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if o, ok := of[name]; ok {
		_ = json.NewEncoder(w).Encode(o)
		return
	}
	kubetest.Refuse(w, http.StatusNotFound, metav1.StatusReasonNotFound, name+" not found")
}

func (c *cluster) create(w http.ResponseWriter, r *http.Request) {
	var o object
	_ = json.NewDecoder(r.Body).Decode(&o)
	c.mu.Lock()
	defer c.mu.Unlock()
	name := metadataOf(o)["name"].(string)
	if _, there := c.jobs[name]; there {
		kubetest.Refuse(w, http.StatusConflict, metav1.StatusReasonAlreadyExists, name+" already exists")
		return
	}
	metadataOf(o)["uid"] = uid
	if r.URL.Query().Get("dryRun") != "All" {
		c.put("Job", c.jobs, o, "ADDED")
	}
	w.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(w).Encode(o)
}

func (c *cluster) remove(w http.ResponseWriter, r *http.Request, name string) {
	var options metav1.DeleteOptions
	_ = json.NewDecoder(r.Body).Decode(&options)
	c.mu.Lock()
	defer c.mu.Unlock()
	if string(*options.Preconditions.UID) != metadataOf(c.jobs[name])["uid"] || *options.PropagationPolicy != metav1.DeletePropagationBackground {
		kubetest.Refuse(w, http.StatusConflict, metav1.StatusReasonConflict, "another uid")
		return
	}
	delete(c.jobs, name)
	_, _ = io.WriteString(w, `{"kind":"Status","status":"Success"}`)
}

// put changes an object, and tells whoever watches. The lock must be held.
func (c *cluster) put(kind string, of map[string]object, o object, how string) {
	c.version++
	m := metadataOf(o)
	m["resourceVersion"] = strconv.Itoa(c.version)
	o["kind"] = kind
	name := m["name"].(string)
	if how == "DELETED" {
		delete(of, name)
	} else {
		of[name] = o
	}
	text, _ := json.Marshal(object{"type": how, "object": o})
	c.history = append(c.history, change{c.version, kind, string(text)})
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *cluster) list(w http.ResponseWriter, kind string, of map[string]object) {
	c.mu.Lock()
	defer c.mu.Unlock()
	items := []object{}
	for _, o := range of {
		items = append(items, o)
	}
	_ = json.NewEncoder(w).Encode(object{"kind": kind, "metadata": object{"resourceVersion": strconv.Itoa(c.version)}, "items": items})
}

func (c *cluster) watch(w http.ResponseWriter, r *http.Request) {
	kind := "Job"
	if strings.HasSuffix(r.URL.Path, "/pods") {
		kind = "Pod"
	}
	c.mu.Lock()
	at, _ := strconv.Atoi(r.URL.Query().Get("resourceVersion"))
	compacted, broken := c.compacted, c.broken
	c.watching++
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.watching--
		c.mu.Unlock()
	}()
	if at < compacted {
		_, _ = io.WriteString(w, `{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired","message":"too old resource version"}}`+"\n")
		return
	}
	w.WriteHeader(http.StatusOK)
	_ = http.NewResponseController(w).Flush()
	for {
		c.mu.Lock()
		var texts []string
		for _, e := range c.history {
			if e.version > at && e.kind == kind {
				texts = append(texts, e.event)
			}
		}
		at = c.version
		changed := c.changed
		c.mu.Unlock()
		for _, text := range texts {
			_, _ = io.WriteString(w, text+"\n")
		}
		_ = http.NewResponseController(w).Flush()
		select {
		case <-changed:
		case <-broken:
			panic(http.ErrAbortHandler)
		case <-r.Context().Done():
			return
		}
	}
}

// logs serves what a container has logged, as a kubelet does: from a second on, and until the
// container ends if it is followed.
func (c *cluster) logs(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	parts := strings.Split(r.URL.Path, "/")
	of := parts[len(parts)-2] + "/" + q.Get("container")
	sent, since := 0, time.Time{}
	if text := q.Get("sinceTime"); text != "" {
		since, _ = time.Parse(time.RFC3339, text)
	}
	w.WriteHeader(http.StatusOK)
	for {
		c.mu.Lock()
		all, ended, changed := c.log[of], c.ended[of], c.changed
		c.mu.Unlock()
		if tail, err := strconv.Atoi(q.Get("tailLines")); err == nil && sent == 0 {
			sent = max(0, len(all)-tail)
		}
		for ; sent < len(all); sent++ {
			stamp, text, _ := strings.Cut(all[sent], " ")
			if at, _ := time.Parse(time.RFC3339Nano, stamp); at.Before(since) {
				continue
			}
			if q.Get("timestamps") == "true" {
				text = stamp + " " + text
			}
			_, _ = io.WriteString(w, text+"\n")
		}
		_ = http.NewResponseController(w).Flush()
		if q.Get("follow") != "true" || ended {
			return
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}

func metadataOf(o object) object {
	m, ok := o["metadata"].(object)
	if !ok {
		m = object{}
		o["metadata"] = m
	}
	return m
}

// edit changes the cluster, and wakes whoever follows a log.
func (c *cluster) edit(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
	close(c.changed)
	c.changed = make(chan struct{})
}

// job writes the Job with these fields of its status.
func (c *cluster) job(status object) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.put("Job", c.jobs, object{
		"metadata": object{"name": "migrate", "namespace": "shop", "uid": uid, "annotations": object{"kubestep/execution": execution}},
		"spec":     object{"activeDeadlineSeconds": 3600},
		"status":   status,
	}, "MODIFIED")
}

// suspended writes the Job, suspended or not.
func (c *cluster) suspended(is bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.put("Job", c.jobs, object{"metadata": object{"name": "migrate", "namespace": "shop", "uid": uid}, "spec": object{"suspend": is}}, "MODIFIED")
}

// pod writes a pod of the Job with this status.
func (c *cluster) pod(name string, status object) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.put("Pod", c.pods, object{
		"metadata": object{"name": name, "namespace": "shop", "uid": "uid-of-" + name},
		"spec":     object{"containers": []object{{"name": "migrate"}, {"name": "proxy"}}},
		"status":   status,
	}, "MODIFIED")
}

// breakWatches ends all watches that run, as a connection does that breaks.
func (c *cluster) breakWatches() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.broken)
	c.broken = make(chan struct{})
}

// asked are the requests that begin so, the watches or the others.
func (c *cluster) asked(begin string, watches bool) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []string
	for _, line := range c.requests {
		if strings.HasPrefix(line, begin) && strings.Contains(line, "watch=true") == watches {
			all = append(all, line)
		}
	}
	return all
}

func condition(kind, reason, message string) object {
	return object{"type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": time.Now().UTC().Format(time.RFC3339)}
}

// The statuses of a container.
func running() object {
	return object{"phase": "Running", "containerStatuses": []object{{"name": "migrate", "state": object{"running": object{"startedAt": time.Now().UTC().Format(time.RFC3339)}}}}}
}

func exited(code int, reason string) object {
	phase := "Succeeded"
	if code != 0 {
		phase = "Failed"
	}
	return object{"phase": phase, "containerStatuses": []object{{"name": "migrate", "state": object{
		"terminated": object{"exitCode": code, "reason": reason, "finishedAt": time.Now().UTC().Format(time.RFC3339)},
	}}}}
}

func waiting(reason, message string) object {
	return object{"phase": "Pending", "containerStatuses": []object{{"name": "migrate", "state": object{"waiting": object{"reason": reason, "message": message}}}}}
}

const execution = "arn:aws:states:eu-west-1:111122223333:execution:kubestep-run-job:nightly"

// watched is the payload of watch-job for the Job of the cluster, which was created now.
func (c *cluster) watched(logs runjob.Logs) runjob.WatchJob {
	session := kubetest.Session(c.Cluster)
	session.Execution = execution
	now := time.Now().UTC()
	return runjob.WatchJob{
		Session: session, StartSeconds: 120, Timeout: 3600, Logs: logs, Keep: runjob.KeepAlways,
		Run: runjob.Run{
			Job:    runjob.CreatedJob{Namespace: "shop", Name: "migrate", UID: uid},
			Cursor: runjob.Cursor{Until: now.Add(3600*time.Second + 90*time.Second), Since: now},
		},
	}
}

// roundTime is the time of the function.
const roundTime = 300 * time.Second

// round is a context as Lambda makes one.
func round(t *testing.T) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithTimeout(t.Context(), roundTime)
}

// line is a line of a log with a timestamp.
func line(at time.Time, format string, args ...any) string {
	return at.UTC().Format(time.RFC3339Nano) + " " + fmt.Sprintf(format, args...)
}

func decode[T any](t *testing.T, text string) T {
	t.Helper()
	var value T
	require.NoError(t, json.Unmarshal([]byte(text), &value))
	return value
}
