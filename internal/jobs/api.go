package jobs

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubestep/kubestep/internal/kube"
)

// This file has the kinds as they are on the wire, as far as they are read: the packages of
// the typed clients would double the size of the functions.

// metadata is an object's.
type metadata struct {
	Name              string            `json:"name"`
	Namespace         string            `json:"namespace"`
	UID               string            `json:"uid"`
	ResourceVersion   string            `json:"resourceVersion"`
	DeletionTimestamp string            `json:"deletionTimestamp"`
	Annotations       map[string]string `json:"annotations"`
	OwnerReferences   []struct {
		UID string `json:"uid"`
	} `json:"ownerReferences"`
}

// job is a Job of batch/v1.
// https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/job-v1/
type job struct {
	Metadata metadata `json:"metadata"`
	Spec     struct {
		Suspend               bool                 `json:"suspend"`
		ActiveDeadlineSeconds int                  `json:"activeDeadlineSeconds"`
		Selector              metav1.LabelSelector `json:"selector"`
	} `json:"spec"`
	Status struct {
		Conditions     []condition `json:"conditions"`
		StartTime      string      `json:"startTime"`
		CompletionTime string      `json:"completionTime"`
		Active         int         `json:"active"`
		Succeeded      int         `json:"succeeded"`
		Failed         int         `json:"failed"`
		FailedIndexes  string      `json:"failedIndexes"`
	} `json:"status"`
}

type condition struct {
	Type               string    `json:"type"`
	Status             string    `json:"status"`
	Reason             string    `json:"reason"`
	Message            string    `json:"message"`
	LastTransitionTime time.Time `json:"lastTransitionTime"`
}

// The conditions of a Job. Complete and Failed are there once all of its pods have ended;
// the other two say before that which of them it will be.
// https://kubernetes.io/docs/concepts/workloads/controllers/job/#terminal-job-conditions
const (
	conditionComplete      = "Complete"
	conditionFailed        = "Failed"
	conditionCriteriaMet   = "SuccessCriteriaMet"
	conditionFailureTarget = "FailureTarget"
)

// is returns the condition of that type, if it is true.
func (j *job) is(kind string) (condition, bool) {
	for _, c := range j.Status.Conditions {
		if c.Type == kind && c.Status == "True" {
			return c, true
		}
	}
	return condition{}, false
}

// pod is a Pod of v1.
type pod struct {
	Metadata metadata `json:"metadata"`
	Spec     struct {
		Containers []struct {
			Name string `json:"name"`
		} `json:"containers"`
		InitContainers []struct {
			Name          string `json:"name"`
			RestartPolicy string `json:"restartPolicy"`
		} `json:"initContainers"`
	} `json:"spec"`
	Status struct {
		Phase                 string            `json:"phase"`
		Reason                string            `json:"reason"`
		Message               string            `json:"message"`
		Conditions            []condition       `json:"conditions"`
		ContainerStatuses     []containerStatus `json:"containerStatuses"`
		InitContainerStatuses []containerStatus `json:"initContainerStatuses"`
	} `json:"status"`
}

type containerStatus struct {
	Name         string         `json:"name"`
	RestartCount int            `json:"restartCount"`
	State        containerState `json:"state"`
	LastState    containerState `json:"lastState"`
}

type containerState struct {
	Waiting *struct {
		Reason  string `json:"reason"`
		Message string `json:"message"`
	} `json:"waiting"`
	Running *struct {
		StartedAt time.Time `json:"startedAt"`
	} `json:"running"`
	Terminated *terminated `json:"terminated"`
}

type terminated struct {
	ExitCode   int       `json:"exitCode"`
	Signal     int       `json:"signal"`
	Reason     string    `json:"reason"`
	Message    string    `json:"message"`
	FinishedAt time.Time `json:"finishedAt"`
}

// event is what a watch says of an object, or of the watch itself.
type event[T any] struct {
	// list is set for the first of the objects that a list found: what was known before and
	// is not among those that follow is gone.
	listed  []*T
	isList  bool
	object  *T
	deleted bool
	version string
	err     error // of the watch, which has ended
}

const (
	// pageLimit is how many objects a page of a list has.
	pageLimit = 50
	// maxEvent bounds an event of a watch, in bytes: an object in etcd, with the event around
	// it.
	maxEvent = kube.ObjectBytes + 1<<10
	// streamBytes bounds an answer that is read for as long as the function runs.
	streamBytes = 1 << 40

	firstRetry, lastRetry = 100 * time.Millisecond, 5 * time.Second
	// patience is how long a cluster may not answer until the function says so. The machine
	// retries it, and describes the cluster again.
	patience = 20 * time.Second
)

// objectsOf are the objects that are watched: a list of one kind, with a selector.
type objectsOf[T any] struct {
	conn *kube.Conn
	path []string
	// kind is the kind of the list.
	kind     string
	selector map[string]string
	metadata func(*T) metadata
}

// follow lists the objects, unless there is a version to go on from, and then watches them
// until the context ends, or the cluster does not let it. A watch that breaks goes on from
// its last version; if the API server no longer has that (410 Gone), the objects are listed
// again.
// https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
func (o objectsOf[T]) follow(ctx context.Context, version string, events chan<- event[T]) {
	send := func(e event[T]) bool {
		select {
		case events <- e:
			return true
		case <-ctx.Done():
			return false
		}
	}
	wait, failing := firstRetry, time.Time{}
	for {
		err := o.once(ctx, &version, send)
		if ctx.Err() != nil {
			return
		}
		if err == nil || isGone(err) { // a watch ends well after some minutes
			if isGone(err) {
				version = ""
			}
			wait, failing = firstRetry, time.Time{}
			continue
		}
		if failing.IsZero() {
			failing = time.Now()
		}
		pause := wait
		if apierrors.IsTooManyRequests(err) {
			pause = retryAfter(err)
		}
		if isFinal(err) || time.Since(failing)+pause > patience {
			send(event[T]{err: err})
			return
		}
		if !sleep(ctx, pause) {
			return
		}
		wait = min(2*wait, lastRetry)
	}
}

// once lists, if there is no version, and watches from the version until the watch ends.
func (o objectsOf[T]) once(ctx context.Context, version *string, send func(event[T]) bool) error {
	if *version == "" {
		listed, at, err := o.list(ctx)
		if err != nil {
			return err
		}
		*version = at
		if !send(event[T]{isList: true, listed: listed, version: at}) {
			return nil
		}
	}
	request := o.conn.Get().AbsPath(o.path...).MaxRetries(0).Param("watch", "true").Param("allowWatchBookmarks", "true").Param("resourceVersion", *version)
	for name, value := range o.selector {
		request = request.Param(name, value)
	}
	stream, err := request.Stream(kube.Streamed(ctx, streamBytes))
	if err != nil {
		return err
	}
	defer func() { _ = stream.Close() }()
	lines := newLines(stream, maxEvent)
	for {
		line, err := lines.next()
		if errors.Is(err, io.EOF) || err == nil && len(bytes.TrimSpace(line)) == 0 {
			return nil
		}
		if err != nil {
			return err
		}
		var of struct {
			Type   string          `json:"type"`
			Object json.RawMessage `json:"object"`
		}
		if json.Unmarshal(line, &of) != nil {
			return kube.BadAnswer("it is not an event of a watch")
		}
		if of.Type == "ERROR" {
			var status metav1.Status
			if json.Unmarshal(of.Object, &status) != nil {
				return kube.BadAnswer("it is not a Status")
			}
			return &apierrors.StatusError{ErrStatus: status}
		}
		var object T
		if json.Unmarshal(of.Object, &object) != nil {
			return kube.BadAnswer("the object of an event of a watch cannot be read")
		}
		*version = o.metadata(&object).ResourceVersion
		e := event[T]{version: *version}
		if of.Type != "BOOKMARK" {
			e.object, e.deleted = &object, of.Type == "DELETED"
		}
		if !send(e) {
			return nil
		}
	}
}

// list reads all objects, page by page, and the version of the list.
func (o objectsOf[T]) list(ctx context.Context) (all []*T, version string, err error) {
	next := ""
	for {
		request := o.conn.Get().AbsPath(o.path...).MaxRetries(0).Param("limit", strconv.Itoa(pageLimit))
		for name, value := range o.selector {
			request = request.Param(name, value)
		}
		if next != "" {
			request = request.Param("continue", next)
		}
		text, err := kube.Body(request.Do(kube.AtMost(ctx, kube.PageBytes)))
		if err != nil {
			return nil, "", err
		}
		var page struct {
			Kind     string `json:"kind"`
			Metadata struct {
				ResourceVersion string `json:"resourceVersion"`
				Continue        string `json:"continue"`
			} `json:"metadata"`
			Items []*T `json:"items"`
		}
		if json.Unmarshal(text, &page) != nil || page.Kind != o.kind {
			return nil, "", kube.BadAnswer("it is not a %s", o.kind)
		}
		all = append(all, page.Items...)
		if next = page.Metadata.Continue; next == "" {
			return all, page.Metadata.ResourceVersion, nil
		}
	}
}

// isGone reports whether the API server no longer has the version that was asked for.
func isGone(err error) bool { return apierrors.IsGone(err) || apierrors.IsResourceExpired(err) }

// isFinal reports whether asking again would not help: who asks is not recognized, or not
// allowed to.
func isFinal(err error) bool {
	return apierrors.IsUnauthorized(err) || apierrors.IsForbidden(err) || apierrors.IsBadRequest(err) || statusCode(err) == http.StatusNotFound
}

func statusCode(err error) int {
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		return int(status.Status().Code)
	}
	return 0
}

func retryAfter(err error) time.Duration {
	if seconds, said := apierrors.SuggestsClientDelay(err); said && seconds > 0 {
		return time.Duration(seconds) * time.Second
	}
	return time.Second
}

// sleep waits, and reports whether the context has not ended before.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// lines reads lines of a bounded length.
type lines struct {
	r   *bufio.Reader
	max int
	buf []byte
}

func newLines(r io.Reader, most int) *lines {
	return &lines{r: bufio.NewReaderSize(r, 32<<10), max: most}
}

// next returns the next line, without what ends it, until it is called again.
func (l *lines) next() ([]byte, error) {
	line, err := l.r.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return bytes.TrimRight(line, "\n"), lineEnd(line, err)
	}
	l.buf = append(l.buf[:0], line...)
	for errors.Is(err, bufio.ErrBufferFull) {
		if len(l.buf) > l.max {
			return nil, &kube.TooLargeError{Bytes: int64(l.max)}
		}
		line, err = l.r.ReadSlice('\n')
		l.buf = append(l.buf, line...)
	}
	whole := bytes.TrimRight(l.buf, "\n")
	if cap(l.buf) > 1<<20 {
		l.buf = nil // it was an exception
	}
	return whole, lineEnd(whole, err)
}

// lineEnd is the error of a line: the last one needs no line break.
func lineEnd(line []byte, err error) error {
	if errors.Is(err, io.EOF) && len(line) > 0 {
		return nil
	}
	return err
}
